/* MLflow's file store.
 *
 *     STORE/EXPERIMENT_ID/meta.yaml
 *     STORE/EXPERIMENT_ID/RUN_ID/meta.yaml, artifacts/, params/KEY, tags/mlflow.runName
 *     STORE/EXPERIMENT_ID/RUN_ID/metrics/KEY     "MILLISECONDS VALUE STEP", a line each
 */
#include "trainer/mlflow.h"

#include "core/buf.h"
#include "core/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRIC_FILES 16 /* more than there are names of metrics */
#define ID_DIGITS 18    /* of an experiment: MLflow wants a number */

struct metric_file {
    char key[64];
    FILE *file;
};

struct lf_mlflow {
    char dir[LF_PATH_MAX]; /* of the run */
    char experiment_id[ID_DIGITS + 1], run_id[33], run[128];
    double start;
    struct metric_file metrics[METRIC_FILES];
    int n_metrics;
};

static long long millis(double time)
{
    return (long long)(time * 1000);
}

/* A YAML string: in single quotes, with those in it doubled. */
static void put_quoted(struct lf_buf *out, const char *key, const char *value)
{
    lf_buf_printf(out, "%s: '", key);
    for (const char *p = value; *p; p++)
        lf_buf_puts(out, *p == '\'' ? "''" : (char[]){*p, '\0'});
    lf_buf_puts(out, "'\n");
}

static enum lf_err write_file(const char *dir, const char *name, const struct lf_buf *text,
                              struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (text->rc != LF_OK)
        return lf_no_memory(diag, "a run of MLflow's");
    return lf_path_join(path, dir, name, diag)
               ?: lf_file_write(path, lf_buf_str(text), text->len, diag);
}

/* ---- Ids ------------------------------------------------------------------------------------- */

static void experiment_id(char out[ID_DIGITS + 1], const char *name)
{
    char sha256[LF_SHA256_HEX], head[16] = "";
    lf_sha256_hex(sha256, name, strlen(name));
    memcpy(head, sha256, sizeof head - 1);
    uint64_t n = strtoull(head, NULL, 16) % 900000000000000000u + 100000000000000000u;
    snprintf(out, ID_DIGITS + 1, "%" PRIu64, n);
}

static void run_id(char out[33], const char *experiment, const char *run, double time)
{
    char sha256[LF_SHA256_HEX], what[512];
    int n = snprintf(what, sizeof what, "%s\n%s\n%lld", experiment, run, millis(time));
    lf_sha256_hex(sha256, what, n < (int)sizeof what ? (size_t)n : sizeof what - 1);
    snprintf(out, 33, "%.32s", sha256);
}

/* ---- meta.yaml ------------------------------------------------------------------------------- */

static enum lf_err write_experiment(const char *dir, const char *id, const char *name, double time,
                                    struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, dir, "meta.yaml", diag);
    if (rc != LF_OK || lf_file_exists(path))
        return rc;
    lf_buf_printf(&text, "artifact_location: file://%s\ncreation_time: %lld\n", dir, millis(time));
    put_quoted(&text, "experiment_id", id);
    lf_buf_printf(&text, "last_update_time: %lld\nlifecycle_stage: active\n", millis(time));
    put_quoted(&text, "name", name);
    return write_file(dir, "meta.yaml", &text, diag);
}

static enum lf_err write_run(const struct lf_mlflow *m, double end, enum lf_mlflow_status status,
                             struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    const char *user = getenv("USER");
    lf_buf_printf(&text, "artifact_uri: file://%s/artifacts\n", m->dir);
    if (end > 0)
        lf_buf_printf(&text, "end_time: %lld\n", millis(end));
    else
        lf_buf_puts(&text, "end_time: null\n");
    lf_buf_puts(&text, "entry_point_name: ''\n");
    put_quoted(&text, "experiment_id", m->experiment_id);
    lf_buf_puts(&text, "lifecycle_stage: active\n");
    put_quoted(&text, "run_id", m->run_id);
    put_quoted(&text, "run_name", m->run);
    put_quoted(&text, "run_uuid", m->run_id);
    lf_buf_printf(&text,
                  "source_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: %lld\n"
                  "status: %d\ntags: []\n",
                  millis(m->start), (int)status);
    put_quoted(&text, "user_id", user ? user : "lorafs");
    return write_file(m->dir, "meta.yaml", &text, diag);
}

/* ---- A run ----------------------------------------------------------------------------------- */

static enum lf_err make_dirs(const struct lf_mlflow *m, struct lf_diag *diag)
{
    static const char *const names[] = {"artifacts", "metrics", "params", "tags"};
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_dir_remove(m->dir, diag); /* the same run as it was written before */
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == LF_OK; i++)
        rc = lf_path_join(path, m->dir, names[i], diag) ?: lf_dir_make(path, diag);
    return rc;
}

enum lf_err lf_mlflow_open(struct lf_mlflow **out, const char *store, const char *experiment,
                           const char *run, double time, struct lf_diag *diag)
{
    char real[LF_PATH_MAX], dir[LF_PATH_MAX];
    struct lf_mlflow *m = calloc(1, sizeof *m);
    if (!m)
        return lf_no_memory(diag, "a run of MLflow's");
    m->start = time;
    snprintf(m->run, sizeof m->run, "%s", run);
    experiment_id(m->experiment_id, experiment);
    run_id(m->run_id, experiment, run, time);
    enum lf_err rc = lf_dir_make(store, diag);
    if (rc == LF_OK && !realpath(store, real))
        rc = lf_fail_errno(diag, errno, "%s", store);
    rc = rc ?: lf_path_join(dir, real, m->experiment_id, diag) ?: lf_dir_make(dir, diag);
    rc = rc ?: write_experiment(dir, m->experiment_id, experiment, time, diag);
    rc = rc ?: lf_path_join(m->dir, dir, m->run_id, diag) ?: make_dirs(m, diag);
    rc = rc ?: write_run(m, 0, LF_MLFLOW_RUNNING, diag);
    lf_buf_auto name = {0};
    lf_buf_puts(&name, run);
    rc = rc ?: write_file(m->dir, "tags/mlflow.runName", &name, diag);
    if (rc == LF_OK)
        *out = m;
    else
        lf_mlflow_close(m);
    return rc;
}

enum lf_err lf_mlflow_param(struct lf_mlflow *m, const char *key, const char *value,
                            struct lf_diag *diag)
{
    char name[128];
    lf_buf_auto text = {0};
    lf_buf_puts(&text, value);
    snprintf(name, sizeof name, "params/%s", key);
    return write_file(m->dir, name, &text, diag);
}

static enum lf_err metric_of(struct lf_mlflow *m, FILE **out, const char *key, struct lf_diag *diag)
{
    char name[128], path[LF_PATH_MAX];
    for (int i = 0; i < m->n_metrics; i++)
        if (strcmp(m->metrics[i].key, key) == 0) {
            *out = m->metrics[i].file;
            return LF_OK;
        }
    lf_assert(m->n_metrics < METRIC_FILES);
    struct metric_file *f = &m->metrics[m->n_metrics];
    snprintf(f->key, sizeof f->key, "%s", key);
    snprintf(name, sizeof name, "metrics/%s", key);
    enum lf_err rc = lf_path_join(path, m->dir, name, diag);
    if (rc == LF_OK && !(f->file = fopen(path, "ae")))
        rc = lf_fail_errno(diag, errno, "%s", path);
    m->n_metrics += rc == LF_OK;
    *out = f->file;
    return rc;
}

enum lf_err lf_mlflow_metric(struct lf_mlflow *m, double time, int64_t step, const char *key,
                             double value, struct lf_diag *diag)
{
    FILE *file = NULL;
    enum lf_err rc = metric_of(m, &file, key, diag);
    if (rc == LF_OK &&
        (fprintf(file, "%lld %.17g %lld\n", millis(time), value, (long long)step) < 0 ||
         fflush(file) != 0))
        rc = lf_fail_errno(diag, errno, "%s/metrics/%s", m->dir, key);
    return rc;
}

enum lf_err lf_mlflow_end(struct lf_mlflow *m, double time, enum lf_mlflow_status status,
                          struct lf_diag *diag)
{
    return write_run(m, time, status, diag);
}

void lf_mlflow_close(struct lf_mlflow *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->n_metrics; i++)
        fclose(m->metrics[i].file);
    free(m);
}
