/* The examiner: scores a new version on its adapter's eval rows, by generation, and the base once
 * for comparison. Its generations are background work: they give way to everybody's. */
#include "daemon/jobs/live.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 200       /* the first of eval.jsonl */
#define AT_ONCE 32         /* generations asked for ahead */
#define LOOK_MS 200

void lf_examiner_ask(struct lf_jobs *j, uint64_t adapter_id, int32_t version)
{
    struct lf_exam *x = calloc(1, sizeof *x);
    if (!x)
        return;
    *x = (struct lf_exam){NULL, adapter_id, version};
    pthread_mutex_lock(&j->lock);
    *j->exams_end = x;
    j->exams_end = &x->next;
    pthread_cond_signal(&j->asked);
    pthread_mutex_unlock(&j->lock);
}

static bool closing(struct lf_jobs *j)
{
    pthread_mutex_lock(&j->lock);
    bool c = j->closing;
    pthread_mutex_unlock(&j->lock);
    return c;
}

/* ---- One row --------------------------------------------------------------------------------- */

struct exam {
    struct lf_jobs *j;
    struct lf_dataset *rows;
    struct lf_train_settings settings;
    lf_metric_fn metric;
    int64_t n;
    int context;
};

/* Asks for row i's completion; *out stays NULL when its prompt does not fit. */
static enum lf_err ask(const struct exam *x, const struct lf_pick *pick, int64_t i,
                       struct lf_generation **out, struct lf_diag *diag)
{
    const int32_t *ids;
    int n = lf_dataset_prompt(x->rows, i, &ids);
    int room = x->context - n;
    *out = NULL;
    if (n < 1 || room < 1)
        return LF_OK;
    struct lf_generate_spec spec = {.ids = ids,
                                    .n = n,
                                    .pick = pick,
                                    .sample = lf_sample_greedy(),
                                    .max_tokens = room < x->settings.max_tokens
                                                      ? room
                                                      : x->settings.max_tokens,
                                    .background = true};
    return lf_engine_generate(x->j->d->engine, &spec, out, diag);
}

/* Waits for the completion's end; its ids, without the one that ended it. */
static enum lf_err collect(const struct exam *x, struct lf_generation *g, struct lf_ids *ids,
                           struct lf_diag *diag)
{
    struct lf_generation_news news;
    enum lf_err rc = LF_OK;
    ids->n = 0;
    do {
        struct lf_generated some[64];
        lf_generation_take(g, some, 64, LOOK_MS, &news, diag);
        for (int i = 0; i < news.n && rc == LF_OK; i++)
            rc = lf_ids_push(ids, some[i].token);
        if (closing(x->j))
            lf_generation_cancel(g, false);
    } while (!news.ended);
    if (news.finish == LF_FINISH_EOS && ids->n > 0)
        ids->n--;
    return rc == LF_OK ? news.rc : lf_fail(diag, rc, "no memory for a completion");
}

/* *score: of row i's completion. */
static enum lf_err grade(const struct exam *x, int64_t i, struct lf_generation *g, double *score,
                         struct lf_diag *diag)
{
    struct lf_ids ids = {0};
    struct lf_buf text;
    const char *reference = lf_dataset_completion(x->rows, i);
    lf_buf_init(&text, 0);
    *score = 0;
    enum lf_err rc = g ? collect(x, g, &ids, diag) : LF_OK;
    if (rc == LF_OK && g && reference) {
        rc = lf_tokenizer_decode(x->j->d->base->model->tokenizer, &text, ids.ids, ids.n, true);
        if (rc == LF_OK)
            *score = x->metric(text.data ? text.data : "", reference);
    }
    lf_buf_free(&text);
    lf_ids_free(&ids);
    return rc;
}

/* ---- All rows -------------------------------------------------------------------------------- */

static enum lf_err grade_all(const struct exam *x, const struct lf_pick *pick, double *mean,
                             struct lf_diag *diag)
{
    struct lf_generation *ahead[AT_ONCE] = {NULL};
    enum lf_err rc = LF_OK;
    double sum = 0, score;
    int64_t asked = 0;
    for (int64_t i = 0; i < x->n && rc == LF_OK; i++) {
        while (asked < x->n && asked < i + AT_ONCE && rc == LF_OK) {
            rc = ask(x, pick, asked, &ahead[asked % AT_ONCE], diag);
            asked++;
        }
        if (rc == LF_OK)
            rc = grade(x, i, ahead[i % AT_ONCE], &score, diag);
        if (rc == LF_OK)
            sum += isfinite(score) ? score : 0;
        lf_generation_release(ahead[i % AT_ONCE]);
        ahead[i % AT_ONCE] = NULL;
    }
    for (int k = 0; k < AT_ONCE; k++)
        lf_generation_release(ahead[k]);
    if (rc == LF_OK)
        *mean = sum / (double)x->n;
    return rc;
}

static json_t *score_json(const struct exam *x, const char *sha256, double score, double seconds)
{
    return json_pack("{s:s, s:f, s:I, s:i, s:s, s:f}", "metric", x->settings.metric, "score", score,
                     "rows", (json_int_t)x->n, "max_tokens", x->settings.max_tokens, "sha256",
                     sha256, "seconds", seconds);
}

/* The base's score of before, when it was of the same rows. */
static json_t *base_known(const struct exam *x, uint64_t adapter_id, const char *sha256)
{
    json_t *report = lf_report_read(x->j, adapter_id);
    json_t *base = json_object_get(report, "base");
    const char *sha = json_string_value(json_object_get(base, "sha256"));
    const char *metric = json_string_value(json_object_get(base, "metric"));
    bool same = sha && metric && strcmp(sha, sha256) == 0 &&
                strcmp(metric, x->settings.metric) == 0 &&
                json_integer_value(json_object_get(base, "max_tokens")) == x->settings.max_tokens;
    base = same ? json_incref(base) : NULL;
    json_decref(report);
    return base;
}

static enum lf_err grade_both(const struct exam *x, const struct lf_exam *what,
                              struct lf_diag *diag)
{
    struct lf_dataset_report rows;
    struct lf_pick pick = {.id = what->adapter_id, .version = what->version};
    struct lf_pick none = {0};
    char part[64];
    double score, base_score;
    lf_dataset_report(x->rows, &rows);
    snprintf(part, sizeof part, "versions/%d", (int)what->version);
    enum lf_err rc = lf_registry_dir(x->j->d->registry, what->adapter_id, part, pick.dir, diag);
    uint64_t start = lf_clock_ns();
    if (rc == LF_OK)
        rc = grade_all(x, &pick, &score, diag);
    double seconds = (double)(lf_clock_ns() - start) / 1e9;
    json_t *base = rc == LF_OK ? base_known(x, what->adapter_id, rows.sha256) : NULL;
    start = lf_clock_ns();
    if (rc == LF_OK && !base) {
        rc = grade_all(x, &none, &base_score, diag);
        if (rc == LF_OK)
            base = score_json(x, rows.sha256, base_score, (double)(lf_clock_ns() - start) / 1e9);
    }
    if (rc != LF_OK)
        return rc;
    lf_registry_log(x->j->d->registry, what->adapter_id,
                    json_pack("{s:s, s:i, s:s, s:f, s:O}", "event", "scored", "version",
                              (int)what->version, "metric", x->settings.metric, "score", score,
                              "base", json_object_get(base, "score")));
    return lf_report_eval(x->j, what->adapter_id, what->version,
                          json_pack("{s:o, s:o}", "eval",
                                    score_json(x, rows.sha256, score, seconds), "base", base),
                          diag);
}

static enum lf_err examine(struct lf_jobs *j, const struct lf_exam *what, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_engine_status status;
    struct exam x = {.j = j};
    lf_engine_status(j->d->engine, &status);
    x.context = status.context_max;
    enum lf_err rc = lf_registry_settings(j->d->registry, what->adapter_id, &x.settings, diag);
    if (rc != LF_OK)
        return rc;
    x.metric = lf_metric_find(x.settings.metric);
    rc = lf_registry_dir(j->d->registry, what->adapter_id, lf_file_disk_name(LF_FILE_EVAL), path,
                         diag);
    if (rc == LF_OK && x.metric && lf_file_exists(path)) {
        rc = lf_dataset_load(&x.rows, path, j->d->base->model, &x.settings, true, diag);
        if (rc == LF_OK) {
            x.n = lf_dataset_rows(x.rows) < ROWS_MAX ? lf_dataset_rows(x.rows) : ROWS_MAX;
            rc = grade_both(&x, what, diag);
        }
        lf_dataset_free(x.rows);
    }
    lf_train_settings_free(&x.settings);
    return rc;
}

void *lf_examiner_main(void *arg)
{
    struct lf_jobs *j = arg;
    for (;;) {
        struct lf_diag diag = {""};
        pthread_mutex_lock(&j->lock);
        while (!j->exams && !j->closing)
            pthread_cond_wait(&j->asked, &j->lock);
        struct lf_exam *x = j->exams;
        if (j->closing)
            x = NULL;
        if (x) {
            j->exams = x->next;
            if (!j->exams)
                j->exams_end = &j->exams;
        }
        pthread_mutex_unlock(&j->lock);
        if (!x)
            return NULL;
        if (examine(j, x, &diag) != LF_OK)
            lf_log(LF_LOG_WARN, "jobs", "version %d is not scored: %s", (int)x->version, diag.text);
        free(x);
    }
}
