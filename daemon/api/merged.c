/* LoRAX' "merged_adapters": {"ids", "weights", "merge_strategy", "density",
 * "majority_sign_method"}. */
#include "daemon/api/merged.h"

#include "daemon/engine/blend.h"

#include "core/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_MOST 1e6

static enum lf_err read_weights(struct lf_merge *how, const json_t *weights, size_t n_ids,
                                struct lf_diag *diag)
{
    for (int i = 0; i < how->n; i++)
        how->weight[i] = 1.0 / how->n;
    if (!weights || json_is_null(weights))
        return LF_OK;
    if (!json_is_array(weights) || json_array_size(weights) != n_ids)
        return lf_fail(diag, LF_E_INVALID,
                       "\"weights\" must be a list of as many numbers as there are \"ids\": %zu",
                       n_ids);
    for (int i = 0; i < how->n; i++) {
        const json_t *w = json_array_get(weights, (size_t)i);
        how->weight[i] = json_is_number(w) ? json_number_value(w) : NAN;
        if (!(fabs(how->weight[i]) <= WEIGHT_MOST))
            return lf_fail(diag, LF_E_INVALID, "\"weights\": each must be a number, up to %g",
                           WEIGHT_MOST);
    }
    return LF_OK;
}

static enum lf_err read_how(struct lf_merge *how, const json_t *o, struct lf_diag *diag)
{
    static const char *const methods[] = {"total", "frequency", NULL};
    static const char *const known[] = {
        "ids", "weights", "merge_strategy", "density", "majority_sign_method", NULL};
    const json_t *ids = json_object_get(o, "ids");
    size_t n = json_array_size(ids);
    if (!json_is_object(o))
        return lf_fail(diag, LF_E_INVALID, "\"merged_adapters\" must be an object");
    struct lf_json_in in = {.obj = o, .diag = diag, .rc = lf_json_only(o, known, diag)};
    how->strategy = (enum lf_merge_strategy)lf_json_word(&in, "merge_strategy", LF_MERGE_LINEAR,
                                                         lf_merge_words);
    how->density = lf_json_real(&in, "density", 0, 0, 1);
    how->by_frequency = lf_json_word(&in, "majority_sign_method", 0, methods) == 1;
    if (in.rc != LF_OK)
        return in.rc;
    if (!json_is_array(ids) || n < 1 || n > LF_MERGE_PARTS_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"ids\" must be a list of 1 to %d adapters",
                       LF_MERGE_PARTS_MAX);
    if (how->strategy != LF_MERGE_LINEAR && how->density == 0)
        return lf_fail(diag, LF_E_INVALID,
                       "\"merge_strategy\" \"%s\" needs a \"density\" over 0 and up to 1",
                       lf_merge_words[how->strategy]);
    how->n = (int)n;
    return read_weights(how, json_object_get(o, "weights"), n, diag);
}

/* One of them; its name is appended to the answer's. */
static enum lf_err add_part(struct lf_http *q, const json_t *id, struct lf_served_model *out,
                            struct lf_pick *pick, struct lf_diag *diag)
{
    struct lf_served_model one;
    if (!json_is_string(id))
        return lf_fail(diag, LF_E_INVALID, "\"ids\" must be a list of adapters' names");
    enum lf_err rc = lf_served_model_find(q, json_string_value(id), &one, diag);
    if (rc != LF_OK)
        return rc;
    if (one.pick.id == 0)
        return lf_fail(diag, LF_E_INVALID, "\"ids\": %.64s is a base, not an adapter", one.name);
    if (out->team && one.team != out->team)
        return lf_fail(diag, LF_E_BASE_DIFFERS, "\"ids\": %.64s is of another base than %.64s",
                       one.name, out->name);
    *pick = one.pick;
    if (!out->team) {
        *out = one;
        return LF_OK;
    }
    size_t at = strlen(out->name);
    snprintf(out->name + at, sizeof out->name - at, ",%s", one.name);
    return LF_OK;
}

static enum lf_err merge(struct lf_http *q, const json_t *merged, struct lf_served_model *out,
                         struct lf_diag *diag)
{
    struct lf_merge how = {0};
    struct lf_served_model s = {0};
    struct lf_pick *parts = NULL;
    enum lf_err rc = read_how(&how, merged, diag);
    if (rc == LF_OK && !(parts = calloc((size_t)how.n, sizeof *parts)))
        rc = lf_no_memory(diag, "a merge");
    const json_t *ids = json_object_get(merged, "ids");
    for (int i = 0; i < how.n && rc == LF_OK; i++)
        rc = add_part(q, json_array_get(ids, (size_t)i), &s, &parts[i], diag);
    rc = rc ?: lf_blend_pick(&s.pick, parts, &how, diag);
    free(parts);
    if (rc == LF_OK)
        *out = s;
    return rc;
}

enum lf_err lf_served_model_asked(struct lf_http *q, const json_t *request, const char *name,
                                  struct lf_served_model *out, struct lf_diag *diag)
{
    struct lf_served_model named = {0}, mixture = {0};
    const json_t *merged = json_object_get(request, "merged_adapters");
    if (!merged || json_is_null(merged))
        return lf_served_model_find(q, name, out, diag);
    enum lf_err rc = name[0] ? lf_served_model_find(q, name, &named, diag) : LF_OK;
    if (rc == LF_OK && named.pick.id != 0)
        return lf_fail(diag, LF_E_INVALID,
                       "%.64s and \"merged_adapters\" are not asked for together", name);
    rc = rc ?: merge(q, merged, &mixture, diag);
    if (rc == LF_OK && named.team && named.team != mixture.team) {
        lf_blend_release(mixture.pick.blend);
        return lf_fail(diag, LF_E_BASE_DIFFERS, "\"ids\": %.64s is of another base than %.64s",
                       mixture.name, name);
    }
    if (rc == LF_OK)
        *out = mixture;
    return rc;
}
