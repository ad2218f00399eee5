/* Which modules a PEFT configuration targets, with what rank and scale. Follows peft 0.21
 * (tuners/tuners_utils.py, check_target_module_exists; utils/other.py, get_pattern_key). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/peft.h"

#include "core/buf.h"
#include "core/json.h"
#include "model/limits.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool lf_peft_is_set(const json_t *v)
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

/* layers_to_transform holds for lists of names, as in PEFT, and here for "all-linear" too, with
 * which PEFT refuses it. */
static enum lf_err layer_wanted(bool *out, const json_t *config, int layer, struct lf_diag *diag)
{
    const json_t *layers = json_object_get(config, "layers_to_transform");
    const json_t *pattern = json_object_get(config, "layers_pattern");
    *out = true;
    if (!lf_peft_is_set(layers))
        return LF_OK;
    if (json_is_array(pattern) && json_array_size(pattern) == 1)
        pattern = json_array_get(pattern, 0);
    if (lf_peft_is_set(pattern) &&
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
    bool all = json_is_string(targets) && strcasecmp(json_string_value(targets), "all-linear") == 0;
    bool hit = all;
    enum lf_err rc = LF_OK;
    if (!all)
        rc = modules_match(&hit, targets, "target_modules", key, diag);
    if (rc == LF_OK && hit && (all || json_is_array(targets)))
        rc = layer_wanted(&hit, config, layer, diag);
    if (rc == LF_OK && hit && lf_peft_is_set(exclude)) {
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
    if (!lf_peft_is_set(patterns))
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

static enum lf_err read_settings(struct lf_adapter *a, const json_t *config, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(config, diag);
    a->rank = lf_json_int(&in, "r", 8, 1, LF_RANK_MAX); /* PEFT's defaults */
    a->alpha = lf_json_real(&in, "lora_alpha", 8, -1e9, 1e9);
    a->dropout = lf_json_real(&in, "lora_dropout", 0, 0, 1);
    a->rslora = lf_json_bool(&in, "use_rslora", false);
    a->shape.dora = lf_json_bool(&in, "use_dora", false);
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

enum lf_err lf_peft_sites(struct lf_adapter *a, const struct lf_config *c, const json_t *config,
                          struct lf_diag *diag)
{
    enum lf_err rc = read_settings(a, config, diag);
    for (int i = 0; i < a->shape.n_sites && rc == LF_OK; i++)
        rc = read_site(a, c, i, config, diag);
    return rc;
}

static enum lf_err pattern_is_used(const struct lf_adapter *a, const struct lf_config *c,
                                   const char *name, const char *regex, struct lf_diag *diag)
{
    bool hit = false;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < a->shape.n_sites && rc == LF_OK && !hit; i++) {
        char key[LF_SITE_NAME_MAX];
        lf_adapter_site_name(key, c, i);
        if (a->shape.rank[i] > 0)
            rc = regex_matches(&hit, regex, true, key, diag);
    }
    if (rc != LF_OK || hit)
        return rc;
    return lf_fail(diag, LF_E_INVALID, "%s: no site of the adapter is \"%.64s\"", name, regex);
}

enum lf_err lf_peft_patterns_check(const struct lf_adapter *a, const struct lf_config *c,
                                   const json_t *config, struct lf_diag *diag)
{
    static const char *const names[] = {"rank_pattern", "alpha_pattern"};
    const char *regex;
    json_t *v;
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *patterns = json_object_get(config, names[i]);
        json_object_foreach(patterns, regex, v)
            rc = rc ?: pattern_is_used(a, c, names[i], regex, diag);
    }
    return rc;
}
