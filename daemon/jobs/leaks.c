/* Eval rows that came after the training was prepared: whether rows that the version was trained on
 * are among them. Who has them in both finds a score that says nothing. */
#include "daemon/jobs/inside.h"

#include "core/file.h"
#include "core/json.h"
#include "core/lock.h"

#include <string.h>

static bool goes_on(void *arg, double done)
{
    (void)done;
    struct lf_jobs *j = arg;
    lf_lock_auto held = lf_lock(&j->lock);
    return !j->closing;
}

struct lf_dataset_limits lf_jobs_row_limits(struct lf_jobs *j, uint64_t adapter_id,
                                            char dir[LF_PATH_MAX])
{
    bool there = lf_registry_dir(j->d->registry, adapter_id, NULL, dir, NULL) == LF_OK;
    return (struct lf_dataset_limits){j->d->row_memory, goes_on, j, there ? dir : NULL, NULL};
}

/* The settings that the version was trained with, else the adapter's. */
static enum lf_err settings_of(struct lf_jobs *j, uint64_t adapter_id, int32_t version,
                               struct lf_train_settings *out, struct lf_diag *diag)
{
    char part[64], path[LF_PATH_MAX];
    snprintf(part, sizeof part, "versions/%d/%s", (int)version, lf_files[LF_FILE_CONFIG].disk);
    enum lf_err rc = lf_registry_dir(j->d->registry, adapter_id, part, path, diag);
    if (rc == LF_OK && lf_file_exists(path))
        return lf_train_settings_load(out, path, diag);
    return rc ?: lf_registry_settings(j->d->registry, adapter_id, out, diag);
}

/* Both files as rows, compared, and what the report says of them made anew. */
static enum lf_err compare(struct lf_jobs *j, uint64_t adapter_id, int32_t version,
                           const char *train_path, const char *eval_path, struct lf_diag *diag)
{
    struct lf_train_settings s;
    struct lf_dataset *train = NULL, *eval = NULL;
    struct lf_survey survey;
    char rows_dir[LF_PATH_MAX];
    const struct lf_dataset_limits limits = lf_jobs_row_limits(j, adapter_id, rows_dir);
    const struct lf_model *m = lf_registry_base(j->d->registry, adapter_id)->model;
    enum lf_err rc = settings_of(j, adapter_id, version, &s, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_dataset_load(&train, train_path, m, &s, false, &limits, diag);
    rc = rc ?: lf_dataset_load(&eval, eval_path, m, &s, false, &limits, diag);
    rc = rc ?: lf_survey_make(&survey, train, eval, &limits, diag);
    if (rc == LF_OK)
        rc = lf_report_eval(j, adapter_id, version,
                            json_pack("{s:o}", "data", lf_survey_json(&survey)), diag);
    lf_dataset_free(train);
    lf_dataset_free(eval);
    lf_train_settings_free(&s);
    return rc;
}

enum lf_err lf_leaks_look(struct lf_jobs *j, uint64_t adapter_id, int32_t version,
                          struct lf_diag *diag)
{
    char train[LF_PATH_MAX], eval[LF_PATH_MAX], train_sha256[LF_SHA256_HEX];
    char eval_sha256[LF_SHA256_HEX];
    json_auto_t *report = lf_report_read(j, adapter_id);
    const json_t *data = json_object_get(report, "data");
    struct lf_registry *r = j->d->registry;
    enum lf_err rc = lf_registry_dir(r, adapter_id, lf_files[LF_FILE_DATASET].disk, train, diag);
    rc = rc ?: lf_registry_dir(r, adapter_id, lf_files[LF_FILE_EVAL].disk, eval, diag);
    if (rc != LF_OK || json_integer_value(json_object_get(report, "version")) != version ||
        !lf_file_exists(train) || !lf_file_exists(eval))
        return rc;
    rc = lf_sha256_file(eval_sha256, eval, diag);
    if (rc != LF_OK || strcmp(eval_sha256, lf_json_text_of(data, "eval_sha256")) == 0)
        return rc; /* they were looked at */
    rc = lf_sha256_file(train_sha256, train, diag);
    if (rc != LF_OK || strcmp(train_sha256, lf_json_text_of(data, "sha256")) != 0)
        return rc; /* the version's rows are gone: nothing to compare with */
    rc = compare(j, adapter_id, version, train, eval, diag);
    lf_registry_rewarn(r, adapter_id);
    return rc;
}
