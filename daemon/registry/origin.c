/* What made a version: the note in its weights. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/json.h"
#include "core/utf8.h"
#include "model/safetensors.h"
#include "score/metrics.h"
#include "trainer/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *lf_origin_text(const struct lf_origin *o, const struct lf_ask *ask,
                     const struct lf_base *base)
{
    json_auto_t *j =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "version",
                  (int)o->version, "start", o->start[0] ? o->start : "fresh", "rows_sha256",
                  o->rows_sha256, "inputs_sha256", o->inputs_sha256, "form", ask->form, "template",
                  ask->template_ ? ask->template_ : "", "base", "name", base->name, "sha256",
                  base->sha256, "repository", base->repository, "revision", base->revision);
    return j ? json_dumps(j, JSON_COMPACT) : NULL;
}

static void take_text(char *out, size_t cap, const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    snprintf(out, cap, "%s", s && strlen(s) < cap ? s : "");
}

void lf_origin_read(struct lf_origin *out, const char *dir)
{
    char path[LF_PATH_MAX];
    struct lf_tensors *t = NULL;
    json_auto_t *j = NULL;
    *out = (struct lf_origin){0};
    if (lf_path_join(path, dir, LF_ADAPTER_WEIGHTS_NAME, NULL) != LF_OK ||
        lf_tensors_open(&t, path, LF_ADAPTER_HEADER_MAX, NULL) != LF_OK)
        return;
    const char *note = lf_tensors_note(t);
    if (note && lf_json_parse(&j, note, strlen(note), NULL) == LF_OK && json_is_object(j)) {
        const json_t *base = json_object_get(j, "base");
        json_int_t n = json_integer_value(json_object_get(j, "version"));
        out->version = n > 0 && n < INT32_MAX ? (int32_t)n : 0;
        take_text(out->rows_sha256, sizeof out->rows_sha256, j, "rows_sha256");
        take_text(out->inputs_sha256, sizeof out->inputs_sha256, j, "inputs_sha256");
        take_text(out->base, sizeof out->base, base, "repository");
        if (!out->base[0])
            take_text(out->base, sizeof out->base, base, "name");
        take_text(out->base_sha256, sizeof out->base_sha256, base, "sha256");
    }
    lf_tensors_free(t);
}

/* ---- What an import says of its base -------------------------------------------------------- */

#define NAMED \
    "named" /* beside the weights: the base that an import names, where it may be another */

/* Weights without a note: adapter_config.json may tell what they were trained on, by name alone. */
enum lf_err lf_registry_named_write(const char *dir, const struct lf_origin *o,
                                    const struct lf_base *base, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *config = NULL;
    enum lf_err rc = lf_path_join(path, dir, LF_ADAPTER_CONFIG_NAME, diag);
    if (rc != LF_OK || o->base_sha256[0])
        return rc;
    rc = lf_json_load(&config, path, diag);
    const char *name = json_string_value(json_object_get(config, "base_model_name_or_path"));
    if (rc != LF_OK || !name || !name[0] || lf_base_is_called(base, name))
        return rc;
    return lf_path_join(path, dir, NAMED, diag) ?: lf_file_write(path, name, strlen(name), diag);
}

char *lf_registry_named(struct lf_registry *r, uint64_t id, int32_t current)
{
    char path[LF_PATH_MAX];
    lf_buf_auto name = {0};
    if (current <= 0 ||
        lf_registry_pathf(r, path, NULL, "adapters/%llu/versions/%d/" NAMED, (unsigned long long)id,
                          (int)current) != LF_OK ||
        !lf_file_exists(path) || lf_file_first_line(&name, path, LF_REPOSITORY_MAX, NULL) != LF_OK)
        return NULL;
    return lf_buf_take(&name, NULL);
}

/* ---- What its report says: it may be anybody's file ------------------------------------------ */

/* NULL where the version has none. Yours. */
static json_t *report_of(struct lf_registry *r, uint64_t id, int32_t version)
{
    char path[LF_PATH_MAX];
    json_t *j = NULL;
    if (version <= 0 ||
        lf_registry_pathf(r, path, NULL, "adapters/%llu/versions/%d/%s", (unsigned long long)id,
                          (int)version, lf_files[LF_FILE_METRICS].disk) != LF_OK ||
        !lf_file_exists(path) || lf_json_load(&j, path, NULL) != LF_OK)
        return NULL;
    return j;
}

static struct lf_told_score score_of(const json_t *part)
{
    const struct lf_metric *metric = lf_metric_find(lf_json_text_of(part, "metric"));
    const json_t *score = json_object_get(part, "score");
    return metric && json_is_number(score)
               ? (struct lf_told_score){metric, json_number_value(score)}
               : (struct lf_told_score){0};
}

struct lf_told lf_registry_told(struct lf_registry *r, uint64_t id, int32_t version)
{
    json_auto_t *j = report_of(r, id, version);
    return (struct lf_told){.eval = score_of(json_object_get(j, "eval")),
                            .base = score_of(json_object_get(j, "base"))};
}

char *lf_registry_warning(struct lf_registry *r, uint64_t id, int32_t version)
{
    char out[LF_DIAG_MAX];
    lf_buf_auto line = {0};
    json_auto_t *j = report_of(r, id, version);
    json_auto_t *list = json_array();
    json_array_extend(list, json_object_get(json_object_get(j, "data"), "warnings"));
    json_array_extend(list, json_object_get(json_object_get(j, "train"), "warnings"));
    if (lf_survey_line(&line, list) != LF_OK || line.len == 0)
        return NULL;
    lf_utf8_printable(out, sizeof out, line.data, line.len);
    return strdup(out);
}
