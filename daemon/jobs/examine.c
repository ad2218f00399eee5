/* The examiner: scores the base on an adapter's eval rows when a training is queued, and each new
 * version when it is there, by generation. Its generations are background work: they give way to
 * everybody's. */
#include "daemon/jobs/live.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "trainer/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AT_ONCE 128 /* generations asked for ahead, so that some always wait */
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
    const struct lf_metric *metric;
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
    struct lf_generate_spec spec = {
        .ids = ids,
        .n = n,
        .pick = pick,
        .sample = lf_sample_greedy(),
        .max_tokens = room < x->settings.max_tokens ? room : x->settings.max_tokens,
        .background = true};
    return lf_engine_generate(x->j->d->engine, &spec, out, diag);
}

/* The text of what came so far, up to a stop string. True: it has one. */
static bool decode(const struct exam *x, struct lf_buf *text, const struct lf_ids *ids)
{
    lf_buf_reset(text);
    if (ids->n == 0 ||
        lf_tokenizer_decode(x->j->d->base->model->tokenizer, text, ids->ids, ids->n, true) != LF_OK)
        return false;
    return lf_eval_cut(text, x->settings.stop, x->settings.n_stop);
}

/* Waits for the completion's end, or a stop string: its text. */
static enum lf_err collect(const struct exam *x, struct lf_generation *g, struct lf_buf *text,
                           struct lf_diag *diag)
{
    struct lf_generation_news news;
    struct lf_ids ids = {0};
    bool met = false;
    enum lf_err rc = LF_OK;
    do {
        struct lf_generated some[64];
        lf_generation_take(g, some, 64, LOOK_MS, &news, diag);
        for (int i = 0; i < news.n && rc == LF_OK; i++)
            rc = lf_ids_push(&ids, some[i].token);
        if (news.ended && news.finish == LF_FINISH_EOS && ids.n > 0)
            ids.n--;
        if (news.n > 0 || news.ended)
            met = decode(x, text, &ids);
        if (met)
            break;
        if (closing(x->j))
            lf_generation_cancel(g, false);
    } while (!news.ended);
    if (met)
        lf_generation_cancel(g, true);
    lf_ids_free(&ids);
    if (rc != LF_OK || text->rc != LF_OK)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a completion");
    return met ? LF_OK : news.rc;
}

/* ---- All rows -------------------------------------------------------------------------------- */

/* Adds the score of row i's completion; g NULL: its prompt did not fit. */
static enum lf_err grade(const struct exam *x, int64_t i, struct lf_generation *g,
                         struct lf_eval_sums *all, struct lf_diag *diag)
{
    struct lf_buf text;
    const char *reference = lf_dataset_completion(x->rows, i);
    lf_buf_init(&text, 0);
    enum lf_err rc = g ? collect(x, g, &text, diag) : LF_OK;
    struct lf_eval_row r = {.row = i,
                            .completion = text.data ? text.data : "",
                            .reference = reference ? reference : "",
                            .finish = g && reference ? LF_FINISH_EOS : LF_FINISH_NONE};
    if (rc == LF_OK)
        rc = lf_eval_add(all, &r, lf_dataset_columns(x->rows, i), diag);
    lf_buf_free(&text);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "eval.jsonl");
}

static enum lf_err grade_all(const struct exam *x, const struct lf_pick *pick,
                             struct lf_eval_sums *all, struct lf_diag *diag)
{
    struct lf_generation *ahead[AT_ONCE] = {NULL};
    enum lf_err rc = LF_OK;
    int64_t asked = 0;
    for (int64_t i = 0; i < x->n && rc == LF_OK; i++) {
        while (asked < x->n && asked < i + AT_ONCE && rc == LF_OK) {
            rc = ask(x, pick, asked, &ahead[asked % AT_ONCE], diag);
            asked++;
        }
        if (rc == LF_OK)
            rc = grade(x, i, ahead[i % AT_ONCE], all, diag);
        lf_generation_release(ahead[i % AT_ONCE]);
        ahead[i % AT_ONCE] = NULL;
    }
    for (int k = 0; k < AT_ONCE; k++)
        lf_generation_release(ahead[k]);
    return rc;
}

static json_t *stops(const struct exam *x)
{
    json_t *list = json_array();
    for (int i = 0; i < x->settings.n_stop; i++)
        json_array_append_new(list, json_string(x->settings.stop[i]));
    return list;
}

/* What metrics.json says of a version, or of the base: *out is yours. */
static enum lf_err score_json(json_t **out, const struct exam *x, const struct lf_pick *pick,
                              const char *sha256, struct lf_diag *diag)
{
    struct lf_eval_sums all;
    struct lf_eval_report r;
    enum lf_err rc = lf_eval_begin(&all, x->metric, diag);
    if (rc == LF_OK)
        rc = grade_all(x, pick, &all, diag);
    lf_eval_end(&all, rc == LF_OK ? &r : NULL);
    if (rc != LF_OK)
        return rc;
    *out = json_pack("{s:s, s:f, s:I, s:i, s:o, s:s, s:f}", "metric", x->settings.metric, "score",
                     r.score, "rows", (json_int_t)x->n, "max_tokens", x->settings.max_tokens,
                     "stop", stops(x), "sha256", sha256, "seconds", r.seconds);
    if (r.confusion)
        json_object_set_new(*out, "confusion", r.confusion);
    return *out ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "no memory for the scores");
}

/* What the report has under `key`, when it was of the same rows; yours, or NULL. */
static json_t *part_known(const struct exam *x, const json_t *report, const char *key,
                          const char *sha256)
{
    json_t *part = json_object_get(report, key);
    const char *sha = json_string_value(json_object_get(part, "sha256"));
    const char *metric = json_string_value(json_object_get(part, "metric"));
    json_t *stop = stops(x);
    bool same = sha && metric && strcmp(sha, sha256) == 0 &&
                strcmp(metric, x->settings.metric) == 0 &&
                json_equal(json_object_get(part, "stop"), stop) &&
                json_integer_value(json_object_get(part, "rows")) == x->n &&
                json_integer_value(json_object_get(part, "max_tokens")) == x->settings.max_tokens;
    json_decref(stop);
    return same ? json_incref(part) : NULL;
}

static json_t *base_known(const struct exam *x, uint64_t adapter_id, const char *sha256)
{
    json_t *report = lf_report_read(x->j, adapter_id);
    json_t *base = part_known(x, report, "base", sha256);
    json_decref(report);
    return base;
}

/* This very version has its score on these rows. */
static bool version_known(const struct exam *x, const struct lf_exam *what, const char *sha256)
{
    json_t *report = lf_report_read(x->j, what->adapter_id);
    json_t *eval = part_known(x, report, "eval", sha256);
    bool known = eval && json_integer_value(json_object_get(report, "version")) == what->version;
    json_decref(eval);
    json_decref(report);
    return known;
}

static enum lf_err grade_base(json_t **out, const struct exam *x, uint64_t adapter_id,
                              const char *sha256, struct lf_diag *diag)
{
    const struct lf_pick none = {0};
    *out = base_known(x, adapter_id, sha256);
    return *out ? LF_OK : score_json(out, x, &none, sha256, diag);
}

static enum lf_err grade_version(const struct exam *x, const struct lf_exam *what, json_t *base,
                                 const char *sha256, struct lf_diag *diag)
{
    struct lf_pick pick = {.id = what->adapter_id, .version = what->version};
    char part[64];
    json_t *eval;
    snprintf(part, sizeof part, "versions/%d", (int)what->version);
    enum lf_err rc = lf_registry_dir(x->j->d->registry, what->adapter_id, part, pick.dir, diag);
    if (rc == LF_OK)
        rc = score_json(&eval, x, &pick, sha256, diag);
    if (rc != LF_OK)
        return rc;
    lf_registry_log(x->j->d->registry, what->adapter_id,
                    json_pack("{s:s, s:i, s:s, s:O, s:O}", "event", "scored", "version",
                              (int)what->version, "metric", x->settings.metric, "score",
                              json_object_get(eval, "score"), "base",
                              json_object_get(base, "score")));
    return lf_report_eval(x->j, what->adapter_id, what->version,
                          json_pack("{s:o, s:O}", "eval", eval, "base", base), diag);
}

/* The base, and the version where there is one yet. */
static enum lf_err grade_both(const struct exam *x, const struct lf_exam *what,
                              struct lf_diag *diag)
{
    struct lf_dataset_report rows;
    json_t *base = NULL;
    lf_dataset_report(x->rows, &rows);
    if (what->version > 0 && version_known(x, what, rows.sha256))
        return LF_OK;
    enum lf_err rc = grade_base(&base, x, what->adapter_id, rows.sha256, diag);
    if (rc == LF_OK && what->version > 0)
        rc = grade_version(x, what, base, rows.sha256, diag);
    else if (rc == LF_OK)
        rc = lf_report_base(x->j, what->adapter_id, json_incref(base), diag);
    json_decref(base);
    return rc;
}

/* Until the model is open, or nothing is to be waited for any more. */
static void await_engine(struct lf_jobs *j)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    while (lf_engine_state(j->d->engine) == LF_ENGINE_LOADING && !closing(j))
        nanosleep(&look, NULL);
}

static enum lf_err examine(struct lf_jobs *j, const struct lf_exam *what, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_engine_status status;
    struct exam x = {.j = j};
    await_engine(j);
    lf_engine_status(j->d->engine, &status);
    x.context = status.context_max;
    enum lf_err rc = lf_registry_settings(j->d->registry, what->adapter_id, &x.settings, diag);
    if (rc != LF_OK)
        return rc;
    x.metric = lf_metric_find(x.settings.metric);
    rc = lf_registry_dir(j->d->registry, what->adapter_id, lf_files[LF_FILE_EVAL].disk, path, diag);
    if (rc == LF_OK && x.metric && lf_file_exists(path)) {
        rc = lf_dataset_load(&x.rows, path, j->d->base->model, &x.settings, true, diag);
        if (rc == LF_OK) {
            int64_t n = lf_dataset_rows(x.rows), some = x.settings.eval_rows;
            x.n = some > 0 && some < n ? some : n;
            rc = grade_both(&x, what, diag);
        }
        lf_dataset_free(x.rows);
    }
    lf_train_settings_free(&x.settings);
    return rc;
}

/* Into the daemon's log, the adapter's own, where a person looks for the score, and its report,
 * where a program does. */
static void tell_failure(struct lf_jobs *j, const struct lf_exam *x, const struct lf_diag *diag)
{
    if (x->version > 0)
        lf_log(LF_LOG_WARN, "jobs", "version %d is not scored: %s", (int)x->version, diag->text);
    else
        lf_log(LF_LOG_WARN, "jobs", "the base is not scored: %s", diag->text);
    lf_registry_log(j->d->registry, x->adapter_id,
                    json_pack("{s:s, s:i, s:s}", "event", "not scored", "version", (int)x->version,
                              "reason", diag->text));
    if (x->version == 0)
        return;
    json_t *part = json_pack("{s:{s:s}}", "eval", "reason", diag->text);
    if (part && lf_report_eval(j, x->adapter_id, x->version, part, NULL) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "metrics.json does not say so");
}

/* An exam that was not passed. When the engine has ended, the daemon's next start takes it up
 * again. */
static void not_scored(struct lf_jobs *j, const struct lf_exam *x, const struct lf_diag *diag)
{
    if (!closing(j) && lf_engine_state(j->d->engine) == LF_ENGINE_READY)
        tell_failure(j, x, diag);
}

/* ---- Which ----------------------------------------------------------------------------------- */

/* The report is of the served version, and that has rows to be scored on. *scored: it has a score,
 * or a reason why not. */
static bool is_reported(struct lf_jobs *j, const struct lf_adapter_record *a, bool *scored)
{
    char path[LF_PATH_MAX];
    if (a->current == 0 ||
        lf_registry_dir(j->d->registry, a->id, lf_files[LF_FILE_EVAL].disk, path, NULL) != LF_OK ||
        !lf_file_exists(path))
        return false;
    json_t *report = lf_report_read(j, a->id);
    bool reported = json_integer_value(json_object_get(report, "version")) == a->current;
    *scored = json_object_get(report, "eval") != NULL;
    json_decref(report);
    return reported;
}

/* Versions that the last run made and did not come to score. */
static void take_up(struct lf_jobs *j)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view *list = NULL;
    size_t n = 0;
    if (lf_registry_list(j->d->registry, &list, &n, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "versions without scores stay so: %s", diag.text);
    for (size_t i = 0; i < n && !closing(j); i++) {
        bool scored;
        if (is_reported(j, &list[i].record, &scored) && !scored)
            lf_examiner_ask(j, list[i].record.id, list[i].record.current);
    }
    free(list);
}

void lf_jobs_eval_changed(struct lf_jobs *j, const char *name)
{
    struct lf_adapter_view v;
    bool scored;
    if (lf_registry_view(j->d->registry, name, &v, NULL) != LF_OK ||
        !is_reported(j, &v.record, &scored))
        return;
    if (lf_report_retry(j, v.record.id, NULL) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "%s: its report is not written", name);
    lf_examiner_ask(j, v.record.id, v.record.current);
}

void *lf_examiner_main(void *arg)
{
    struct lf_jobs *j = arg;
    take_up(j);
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
        enum lf_err rc = examine(j, x, &diag);
        if (rc != LF_OK)
            not_scored(j, x, &diag);
        free(x);
    }
}
