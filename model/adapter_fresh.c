/* A fresh adapter: its sites by settings, its start as PEFT has it. */
#include "model/peft.h"

#include "core/json.h"
#include "core/rng.h"
#include "model/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The last part of "self_attn.q_proj". */
static const char *short_name(const struct lf_proj *p)
{
    const char *dot = strrchr(p->module, '.');
    return dot ? dot + 1 : p->module;
}

static enum lf_err unknown_module(const struct lf_config *c, const char *word, size_t n,
                                  struct lf_diag *diag)
{
    char known[256] = "";
    for (int p = 0; p < c->n_proj; p++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", p ? ", " : "",
                 short_name(&c->proj[p]));
    return lf_fail(diag, LF_E_INVALID, "target_modules: this model has no \"%.*s\" (it has %s)",
                   (int)(n > 64 ? 64 : n), word, known);
}

static bool names_a_site(const struct lf_config *c, const char *word, size_t n)
{
    for (int i = 0; i < lf_config_sites(c); i++) {
        char site[LF_SITE_NAME_MAX];
        lf_adapter_site_name(site, c, i);
        if (lf_site_is_named(site, word, n))
            return true;
    }
    return false;
}

/* target_modules as PEFT's list. Whoever names what is not there means something else. */
static enum lf_err targets_json(json_t **out, const struct lf_config *c, const char *words,
                                struct lf_diag *diag)
{
    if (!words || strcmp(words, "all-linear") == 0) {
        *out = json_string("all-linear");
        return LF_OK;
    }
    json_auto_t *list = json_array();
    for (const char *w = words + strspn(words, ", "); *w; w += strspn(w, ", ")) {
        size_t n = strcspn(w, ", ");
        if (!names_a_site(c, w, n))
            return unknown_module(c, w, n, diag);
        json_array_append_new(list, json_stringn(w, n));
        w += n;
    }
    if (json_array_size(list) == 0)
        return lf_fail(diag, LF_E_INVALID, "target_modules names nothing");
    *out = json_incref(list);
    return LF_OK;
}

static enum lf_err layers_check(const struct lf_config *c, const json_t *layers,
                                struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(layers); i++)
        if (json_integer_value(json_array_get(layers, i)) >= c->L)
            return lf_fail(diag, LF_E_INVALID,
                           "layers_to_transform: this model has the layers 0 to %d", c->L - 1);
    return LF_OK;
}

/* The settings as a configuration of PEFT's. */
static enum lf_err config_of(json_t **out, const struct lf_config *c,
                             const struct lf_lora_settings *s, struct lf_diag *diag)
{
    const struct {
        const char *key, *text;
    } members[] = {{"rank_pattern", s->rank_pattern},
                   {"alpha_pattern", s->alpha_pattern},
                   {"layers_to_transform", s->layers}};
    json_t *targets = NULL;
    enum lf_err rc = targets_json(&targets, c, s->target_modules, diag);
    if (rc != LF_OK)
        return rc;
    json_t *j = json_pack("{s:i, s:f, s:f, s:b, s:b, s:o}", "r", s->rank, "lora_alpha", s->alpha,
                          "lora_dropout", s->dropout, "use_rslora", s->rslora, "use_dora", s->dora,
                          "target_modules", targets);
    if (!j)
        return lf_no_memory(diag, "an adapter");
    for (size_t i = 0; i < sizeof members / sizeof *members && rc == LF_OK; i++) {
        json_t *v = NULL;
        if (members[i].text)
            rc = lf_json_parse(&v, members[i].text, strlen(members[i].text), diag);
        if (v)
            json_object_set_new(j, members[i].key, v);
    }
    rc = rc ?: layers_check(c, json_object_get(j, "layers_to_transform"), diag);
    if (rc == LF_OK)
        *out = j;
    else
        json_decref(j);
    return rc;
}

static enum lf_err double_ranks(struct lf_adapter *a, struct lf_diag *diag)
{
    double alpha = a->alpha * (a->rslora ? sqrt(2) : 2);
    for (int i = 0; i < a->shape.n_sites; i++) {
        int *rank = &a->shape.rank[i];
        bool usual = a->shape.scale[i] == lf_lora_scale(a->alpha, *rank, a->rslora);
        if (2 * *rank > LF_RANK_MAX)
            return lf_fail(diag, LF_E_INVALID,
                           "rank %d: an adapter that trains beside its start has twice the rank, "
                           "of which %d is the most",
                           *rank, LF_RANK_MAX);
        *rank *= 2;
        if (*rank > 0 && usual)
            a->shape.scale[i] = lf_lora_scale(alpha, *rank, a->rslora);
    }
    a->rank *= 2;
    a->alpha = alpha;
    a->shape.half_trains = true;
    return LF_OK;
}

/* Rank and scale of its sites, without parameters. */
static enum lf_err sites_new(struct lf_adapter **out, const struct lf_config *c,
                             const struct lf_lora_settings *s, struct lf_diag *diag)
{
    json_auto_t *config = NULL;
    struct lf_adapter *a = NULL;
    if (s->rank < 1 || s->rank > LF_RANK_MAX)
        return lf_fail(diag, LF_E_INVALID, "rank %d is not between 1 and %d", s->rank, LF_RANK_MAX);
    enum lf_err rc = config_of(&config, c, s, diag) ?: lf_adapter_alloc(&a, c, diag);
    rc = rc ?: lf_peft_sites(a, c, config, diag) ?: lf_peft_patterns_check(a, c, config, diag);
    if (rc == LF_OK && s->doubled)
        rc = double_ranks(a, diag);
    if (rc == LF_OK)
        *out = a;
    else
        lf_adapter_free(a);
    return rc;
}

enum lf_err lf_adapter_shape_new(struct lf_adapter_shape *out, const struct lf_config *c,
                                 const struct lf_lora_settings *s, struct lf_diag *diag)
{
    struct lf_adapter *a;
    enum lf_err rc = sites_new(&a, c, s, diag);
    if (rc != LF_OK)
        return rc;
    lf_adapter_shape_lay(&a->shape, c);
    *out = a->shape;
    a->shape = (struct lf_adapter_shape){0};
    lf_adapter_free(a);
    return LF_OK;
}

enum lf_err lf_lora_settings_check(const struct lf_config *c, const struct lf_lora_settings *s,
                                   struct lf_diag *diag)
{
    struct lf_adapter_shape shape;
    enum lf_err rc = lf_adapter_shape_new(&shape, c, s, diag);
    if (rc == LF_OK)
        lf_adapter_shape_free(&shape);
    return rc;
}

/* PEFT's kaiming_uniform_(a=sqrt(5)): U(-1/sqrt(K), 1/sqrt(K)). */
static void init_a(float *a, int R, int K, uint64_t seed, int site)
{
    float bound = (float)(1.0 / sqrt((double)K));
    size_t n = (size_t)R * (size_t)K;
    for (size_t i = 0; i < n; i++)
        a[i] = (2.0f * lf_rng_unit(lf_rng_u32(seed, i, (uint64_t)site)) - 1.0f) * bound;
}

enum lf_err lf_adapter_new(struct lf_adapter **out, const struct lf_config *c,
                           const struct lf_lora_settings *s, uint64_t seed, struct lf_diag *diag)
{
    struct lf_adapter *a = NULL;
    void *params = NULL;
    enum lf_err rc = sites_new(&a, c, s, diag);
    rc = rc ?: lf_adapter_shape_params(&params, &a->shape, c, LF_F32, diag);
    if (rc != LF_OK) {
        lf_adapter_free(a);
        return rc;
    }
    a->params = params;
    for (int i = 0; i < a->shape.n_sites; i++)
        init_a(a->params + a->shape.a_off[i], a->shape.rank[i], c->proj[i % c->n_proj].K, seed, i);
    *out = a;
    return LF_OK;
}
