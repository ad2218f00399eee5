/* Reading a PEFT adapter: which modules its configuration targets, with what rank and scale, then
 * their tensors. Follows peft 0.21 (tuners/tuners_utils.py, check_target_module_exists;
 * utils/other.py, get_pattern_key). What would change the arithmetic and is not done here is
 * refused by name. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/adapter.h"

#include "core/file.h"
#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/limits.h"
#include "model/safetensors.h"

#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PREFIX "base_model.model."
#define PIECE 4096 /* numbers that are converted at a time */

/* ---- Matching -------------------------------------------------------------------------------- */

/* Does `regex` (a Python one) match all of `text`? With `suffix`, a part of it after a dot does:
 * (.*\.)?(regex)$. */
static enum lf_err regex_matches(bool *out, const char *regex, bool suffix, const char *text,
                                 struct lf_diag *diag)
{
    struct lf_buf p = {.max = LF_PATTERN_BYTES_MAX};
    int code;
    PCRE2_SIZE at;
    lf_buf_printf(&p, suffix ? "^(?:.*\\.)?(?:%s)$" : "^(?:%s)$", regex);
    if (p.rc != LF_OK) {
        lf_buf_free(&p);
        return lf_fail(diag, LF_E_TOO_BIG, "a pattern is longer than %d bytes",
                       LF_PATTERN_BYTES_MAX);
    }
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)p.data, p.len, PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    lf_buf_free(&p);
    pcre2_match_data *md = re ? pcre2_match_data_create_from_pattern(re, NULL) : NULL;
    pcre2_match_context *mc = md ? pcre2_match_context_create(NULL) : NULL;
    enum lf_err rc = LF_OK;
    if (!re) {
        rc = lf_fail(diag, LF_E_INVALID, "\"%.128s\" is not a regular expression", regex);
    } else if (!mc) {
        rc = lf_no_memory(diag, "a pattern");
    } else {
        pcre2_set_match_limit(mc, LF_PATTERN_STEPS_MAX);
        int n = pcre2_match(re, (PCRE2_SPTR)text, strlen(text), 0, 0, md, mc);
        if (n < 0 && n != PCRE2_ERROR_NOMATCH)
            rc = lf_fail(diag, LF_E_INVALID, "\"%.128s\" takes too long to match", regex);
        else
            *out = n >= 0;
    }
    pcre2_match_context_free(mc);
    pcre2_match_data_free(md);
    pcre2_code_free(re);
    return rc;
}

/* A list of names, or a regular expression. */
static enum lf_err modules_match(bool *out, const json_t *modules, const char *what,
                                 const char *key, struct lf_diag *diag)
{
    *out = false;
    if (json_is_string(modules)) {
        enum lf_err rc = regex_matches(out, json_string_value(modules), false, key, diag);
        return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", what);
    }
    if (!json_is_array(modules))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a list of names or a pattern", what);
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const json_t *v = json_array_get(modules, i);
        if (!json_is_string(v))
            return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a list of names or a pattern", what);
        *out = *out || lf_site_is_named(key, json_string_value(v), json_string_length(v));
    }
    return LF_OK;
}

static bool is_set(const json_t *v)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_NULL:
    case JSON_FALSE:
        return false;
    case JSON_ARRAY:
        return json_array_size(v) > 0;
    case JSON_OBJECT:
        return json_object_size(v) > 0;
    case JSON_STRING:
        return json_string_length(v) > 0;
    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_TRUE:
        break;
    }
    return true;
}

/* layers_to_transform holds for lists of names only, as in PEFT. */
static enum lf_err layer_wanted(bool *out, const json_t *config, int layer, struct lf_diag *diag)
{
    const json_t *layers = json_object_get(config, "layers_to_transform");
    const json_t *pattern = json_object_get(config, "layers_pattern");
    *out = true;
    if (!is_set(layers))
        return LF_OK;
    if (json_is_array(pattern) && json_array_size(pattern) == 1)
        pattern = json_array_get(pattern, 0);
    if (is_set(pattern) &&
        (!json_is_string(pattern) || strcmp(json_string_value(pattern), "layers") != 0))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"layers_pattern\" other than \"layers\" is not "
                       "supported");
    if (json_is_integer(layers)) {
        *out = json_integer_value(layers) == layer;
        return LF_OK;
    }
    if (!json_is_array(layers))
        return lf_fail(diag, LF_E_INVALID, "\"layers_to_transform\" must be layer numbers");
    *out = false;
    for (size_t i = 0; i < json_array_size(layers); i++)
        if (json_is_integer(json_array_get(layers, i)) &&
            json_integer_value(json_array_get(layers, i)) == layer)
            *out = true;
    return LF_OK;
}

static enum lf_err site_targeted(bool *out, const json_t *config, const char *key, int layer,
                                 struct lf_diag *diag)
{
    const json_t *targets = json_object_get(config, "target_modules");
    const json_t *exclude = json_object_get(config, "exclude_modules");
    bool hit = false;
    enum lf_err rc = LF_OK;
    if (json_is_string(targets) && strcasecmp(json_string_value(targets), "all-linear") == 0)
        hit = true;
    else
        rc = modules_match(&hit, targets, "target_modules", key, diag);
    if (rc == LF_OK && hit && json_is_array(targets))
        rc = layer_wanted(&hit, config, layer, diag);
    if (rc == LF_OK && hit && is_set(exclude)) {
        bool out_of_it;
        rc = modules_match(&out_of_it, exclude, "exclude_modules", key, diag);
        hit = rc == LF_OK && !out_of_it;
    }
    *out = hit;
    return rc;
}

/* The value of the first pattern of obj[name] that matches the site, or *out as it is. */
static enum lf_err pattern_value(double *out, const json_t *config, const char *name,
                                 const char *key, struct lf_diag *diag)
{
    const json_t *patterns = json_object_get(config, name);
    const char *regex;
    json_t *v;
    if (!is_set(patterns))
        return LF_OK;
    if (!json_is_object(patterns))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be an object", name);
    json_object_foreach((json_t *)(uintptr_t)patterns, regex, v) {
        bool hit;
        enum lf_err rc = regex_matches(&hit, regex, true, key, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "%s", name);
        if (!hit)
            continue;
        if (!json_is_number(v))
            return lf_fail(diag, LF_E_INVALID, "\"%s\": \"%.64s\" must be a number", name, regex);
        *out = json_number_value(v);
        return LF_OK;
    }
    return LF_OK;
}

/* ---- The configuration ----------------------------------------------------------------------- */

/* Keys without bearing on the numbers of a trained adapter. */
static const char *const ignored[] = {
    "auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode",
    "init_lora_weights", "peft_version", "megatron_core", "qalora_group_size", "eva_config",
    "corda_config", "loftq_config", "runtime_config", "ensure_weight_tying", "lora_ga_config",
    /* read elsewhere */
    "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules",
    "exclude_modules", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern",
    "bias", NULL};

/* Initialisations that leave the base's weights as they are; the others subtract from them. */
static bool init_harmless(const json_t *v)
{
    static const char *const kinds[] = {"gaussian", "eva", "orthogonal", NULL};
    if (!json_is_string(v))
        return true;
    for (int i = 0; kinds[i]; i++)
        if (strcmp(kinds[i], json_string_value(v)) == 0)
            return true;
    return false;
}

static enum lf_err refuse_variants(const json_t *config, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(config, diag);
    const char *type = lf_json_str(&in, "peft_type", "LORA");
    const char *bias = lf_json_str(&in, "bias", "none"), *key;
    json_t *v;
    if (in.rc != LF_OK)
        return in.rc;
    if (strcmp(type, "LORA") != 0)
        return lf_fail(diag, LF_E_UNSUPPORTED, "peft_type \"%.32s\" is not supported (LORA is)",
                       type);
    if (strcmp(bias, "none") != 0)
        return lf_fail(diag, LF_E_UNSUPPORTED, "\"bias\": \"%.32s\" is not supported", bias);
    if (!init_harmless(json_object_get(config, "init_lora_weights")))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"init_lora_weights\": \"%.32s\" is not supported "
                       "(it changes the base's weights)",
                       json_string_value(json_object_get(config, "init_lora_weights")));
    json_object_foreach((json_t *)(uintptr_t)config, key, v) {
        int i = 0;
        while (ignored[i] && strcmp(ignored[i], key) != 0)
            i++;
        if (!ignored[i] && is_set(v))
            return lf_fail(diag, LF_E_UNSUPPORTED, "\"%.64s\" is not supported", key);
    }
    return LF_OK;
}

static enum lf_err read_settings(struct lf_adapter *a, const json_t *config, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(config, diag);
    a->rank = lf_json_int(&in, "r", 8, 1, LF_RANK_MAX); /* PEFT's defaults */
    a->alpha = lf_json_real(&in, "lora_alpha", 8, -1e9, 1e9);
    a->dropout = lf_json_real(&in, "lora_dropout", 0, 0, 1);
    a->rslora = lf_json_bool(&in, "use_rslora", false);
    return in.rc;
}

static enum lf_err read_site(struct lf_adapter *a, const struct lf_config *c, int site,
                             const json_t *config, struct lf_diag *diag)
{
    char key[LF_SITE_NAME_MAX];
    bool targeted;
    double rank = a->rank, alpha = a->alpha;
    lf_adapter_site_name(key, c, site);
    enum lf_err rc = site_targeted(&targeted, config, key, site / c->n_proj, diag);
    if (rc != LF_OK || !targeted)
        return rc;
    rc = pattern_value(&rank, config, "rank_pattern", key, diag);
    rc = rc ?: pattern_value(&alpha, config, "alpha_pattern", key, diag);
    if (rc != LF_OK)
        return rc;
    if (!(rank >= 1 && rank <= LF_RANK_MAX) || rank != floor(rank))
        return lf_fail(diag, LF_E_INVALID, "rank %g of %s is not between 1 and %d", rank, key,
                       LF_RANK_MAX);
    a->shape.rank[site] = (int)rank;
    a->shape.scale[site] = lf_lora_scale(alpha, (int)rank, a->rslora);
    return LF_OK;
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* PEFT writes lora_A.weight; a plain state dict has the adapter's name ("default") in between. */
static const struct lf_tensor *find_factor(const struct lf_tensors *ts, const char *key, char ab)
{
    char name[LF_SITE_NAME_MAX + 64];
    snprintf(name, sizeof name, PREFIX "%s.lora_%c.weight", key, ab);
    const struct lf_tensor *t = lf_tensors_find(ts, name);
    if (t)
        return t;
    snprintf(name, sizeof name, PREFIX "%s.lora_%c.default.weight", key, ab);
    return lf_tensors_find(ts, name);
}

static enum lf_err check_factor(const struct lf_tensor *t, int rows, int cols, bool rank_is_rows,
                                struct lf_diag *diag)
{
    if (t->dtype != LF_F32 && t->dtype != LF_F16 && t->dtype != LF_BF16)
        return lf_fail(diag, LF_E_UNSUPPORTED, "tensor \"%.128s\" is not fp32, fp16 or bf16",
                       t->name);
    if (t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols)
        return LF_OK;
    if (t->n_dims != 2)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\" is not a matrix", t->name);
    bool rank_differs = rank_is_rows ? t->dims[0] != rows : t->dims[1] != cols;
    return lf_fail(diag, rank_differs ? LF_E_DAMAGED : LF_E_BASE_DIFFERS,
                   "tensor \"%.128s\" is (%lld, %lld); %s says (%d, %d)", t->name,
                   (long long)t->dims[0], (long long)t->dims[1],
                   rank_differs ? "adapter_config.json" : "this base", rows, cols);
}

/* Sites that are targeted but have no tensors (an adapter saved for some layers) get rank 0. */
static enum lf_err match_tensors(struct lf_adapter *a, const struct lf_config *c,
                                 const struct lf_tensors *ts, struct lf_diag *diag)
{
    size_t used = 0;
    for (int i = 0; i < a->shape.n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        char key[LF_SITE_NAME_MAX];
        if (a->shape.rank[i] == 0)
            continue;
        lf_adapter_site_name(key, c, i);
        const struct lf_tensor *A = find_factor(ts, key, 'A'), *B = find_factor(ts, key, 'B');
        if (!A && !B) {
            a->shape.rank[i] = 0;
            continue;
        }
        if (!A || !B)
            return lf_fail(diag, LF_E_DAMAGED, "%s has one of lora_A and lora_B", key);
        enum lf_err rc = check_factor(A, a->shape.rank[i], p->K, true, diag);
        rc = rc ?: check_factor(B, p->N, a->shape.rank[i], false, diag);
        if (rc != LF_OK)
            return rc;
        used += 2;
    }
    return used == lf_tensors_count(ts) ? LF_OK : LF_E_UNSUPPORTED;
}

/* Names the first tensor that no targeted site took, with what is probably wrong. */
static enum lf_err refuse_unused(const struct lf_adapter *a, const struct lf_config *c,
                                 const struct lf_tensors *ts, struct lf_diag *diag)
{
    for (size_t i = 0; i < lf_tensors_count(ts); i++) {
        const struct lf_tensor *t = lf_tensors_at(ts, i);
        bool used = false;
        for (int s = 0; s < a->shape.n_sites && !used; s++) {
            char key[LF_SITE_NAME_MAX];
            if (a->shape.rank[s] == 0)
                continue;
            lf_adapter_site_name(key, c, s);
            used = t == find_factor(ts, key, 'A') || t == find_factor(ts, key, 'B');
        }
        int layer;
        if (used)
            continue;
        if (sscanf(t->name, PREFIX "model.layers.%d.", &layer) == 1 && layer >= c->L)
            return lf_fail(diag, LF_E_BASE_DIFFERS, "tensor \"%.128s\": this base has %d layers",
                           t->name, c->L);
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "tensor \"%.128s\" is not a LoRA factor of a "
                       "targeted linear map of this base",
                       t->name);
    }
    return LF_OK;
}

static bool all_finite(const void *p, enum lf_dtype type, size_t n)
{
    const uint16_t *halves = p;
    const float *floats = p;
    unsigned bad = 0;
    if (type == LF_BF16)
        for (size_t i = 0; i < n; i++)
            bad |= (halves[i] & 0x7F80) == 0x7F80;
    else
        for (size_t i = 0; i < n; i++)
            bad |= !isfinite(floats[i]);
    return !bad;
}

/* A factor, as the type that is wanted; whether it is finite. */
static bool read_factor(char *dst, enum lf_dtype type, const struct lf_tensor *t, size_t n)
{
    float some[PIECE];
    size_t to = lf_dtype_bytes(type), from = lf_dtype_bytes(t->dtype);
    if (t->dtype == type)
        memcpy(dst, t->data, n * to);
    for (size_t at = 0; at < n && t->dtype != type; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        lf_to_f32(some, (const char *)t->data + at * from, t->dtype, piece);
        lf_from_f32(dst + at * to, type, some, piece);
    }
    return all_finite(dst, type, n);
}

static enum lf_err read_tensors(const struct lf_adapter *a, void *params, enum lf_dtype type,
                                const struct lf_config *c, const struct lf_tensors *ts,
                                struct lf_diag *diag)
{
    size_t bytes = lf_dtype_bytes(type);
    for (int i = 0; i < a->shape.n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        size_t rank = (size_t)a->shape.rank[i];
        char key[LF_SITE_NAME_MAX];
        if (rank == 0)
            continue;
        lf_adapter_site_name(key, c, i);
        const struct lf_tensor *A = find_factor(ts, key, 'A'), *B = find_factor(ts, key, 'B');
        if (!read_factor((char *)params + a->shape.a_off[i] * bytes, type, A,
                         rank * (size_t)p->K) ||
            !read_factor((char *)params + a->shape.b_off[i] * bytes, type, B, rank * (size_t)p->N))
            return lf_fail(diag, LF_E_DAMAGED, "the adapter's weights are not all finite");
    }
    return LF_OK;
}

/* ---- Together -------------------------------------------------------------------------------- */

static enum lf_err load_config(struct lf_adapter *a, const struct lf_config *c, const char *dir,
                               struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_t *config = NULL;
    if (lf_path_join(path, dir, "adapter_config.json", diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_json_load(&config, path, diag);
    if (rc != LF_OK)
        return rc;
    if (!json_is_object(config))
        rc = lf_fail(diag, LF_E_INVALID, "not a JSON object");
    rc = rc ?: refuse_variants(config, diag);
    rc = rc ?: read_settings(a, config, diag);
    for (int i = 0; i < a->shape.n_sites && rc == LF_OK; i++)
        rc = read_site(a, c, i, config, diag);
    json_decref(config);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

static enum lf_err load_tensors(struct lf_adapter *a, void **params, enum lf_dtype type,
                                const struct lf_config *c, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_tensors *ts;
    if (lf_path_join(path, dir, "adapter_model.safetensors", diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_tensors_open(&ts, path, LF_ADAPTER_HEADER_MAX, diag);
    if (rc == LF_E_NOT_FOUND && lf_path_join(path, dir, "adapter_model.bin", NULL) == LF_OK &&
        lf_file_exists(path))
        return lf_fail(diag, LF_E_UNSUPPORTED, "%s is PyTorch's: save the adapter as safetensors",
                       path);
    if (rc != LF_OK)
        return rc;
    rc = match_tensors(a, c, ts, diag);
    if (rc == LF_E_UNSUPPORTED && lf_tensors_count(ts) > 0)
        rc = refuse_unused(a, c, ts, diag);
    rc = rc ?: lf_adapter_shape_params(params, &a->shape, c, type, diag);
    rc = rc ?: read_tensors(a, *params, type, c, ts, diag);
    lf_tensors_free(ts);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

enum lf_err lf_adapter_load(struct lf_adapter **out, const struct lf_config *c, const char *dir,
                            struct lf_diag *diag)
{
    struct lf_adapter *a;
    void *params = NULL;
    enum lf_err rc = lf_adapter_alloc(&a, c, diag);
    if (rc != LF_OK)
        return rc;
    rc = load_config(a, c, dir, diag) ?: load_tensors(a, &params, LF_F32, c, dir, diag);
    a->params = params;
    if (rc == LF_OK)
        *out = a;
    else
        lf_adapter_free(a);
    return rc;
}

enum lf_err lf_packed_load(struct lf_packed **out, const struct lf_config *c, enum lf_dtype type,
                           const char *dir, struct lf_diag *diag)
{
    struct lf_adapter *a;
    enum lf_err rc = lf_adapter_alloc(&a, c, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_packed *p = calloc(1, sizeof *p);
    rc = p ? LF_OK : lf_no_memory(diag, "an adapter");
    rc = rc ?: load_config(a, c, dir, diag);
    rc = rc ?: load_tensors(a, &p->params, type, c, dir, diag);
    if (rc == LF_OK) {
        p->shape = a->shape;
        p->bytes = p->shape.n_params * lf_dtype_bytes(type);
        a->shape = (struct lf_adapter_shape){0};
        *out = p;
    } else {
        lf_packed_free(p);
    }
    lf_adapter_free(a);
    return rc;
}
