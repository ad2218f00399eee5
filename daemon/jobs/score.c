/* The scorer: scores the base on an adapter's eval rows when a training is queued, and each new
 * version when it is there, by generation. Its generations are background work: they give way to
 * everybody's. */
#include "daemon/jobs/inside.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/lock.h"
#include "daemon/warm.h"
#include "trainer/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 128 /* generations asked for ahead, so that some always wait */
#define LOOK_MS 200
/* For a base that others keep from the device; then others are scored. */
#define COME_NS LF_NS_PER_S

/* Behind all others. */
static void queue_up(struct lf_jobs *j, struct lf_scoring *x)
{
    lf_lock_auto held = lf_lock(&j->lock);
    x->next = NULL;
    *j->scorings_end = x;
    j->scorings_end = &x->next;
    pthread_cond_signal(&j->asked);
}

void lf_scorer_request(struct lf_jobs *j, uint64_t adapter_id, int32_t version, bool judged)
{
    struct lf_scoring *x = calloc(1, sizeof *x);
    if (!x)
        return;
    *x = (struct lf_scoring){NULL, adapter_id, version, judged};
    if (version > 0)
        lf_registry_scores_due(j->d->registry, adapter_id, 1);
    queue_up(j, x);
}

static bool closing(struct lf_jobs *j)
{
    lf_lock_auto held = lf_lock(&j->lock);
    return j->closing;
}

/* ---- Completions by the engine --------------------------------------------------------------- */

struct scoring_job {
    struct lf_jobs *j;
    uint64_t adapter_id;
    struct lf_team *team;
    struct lf_dataset *d;
    struct lf_eval_dataset rows;
    struct lf_eval_options o;
    struct lf_train_settings settings;
    int64_t n;
    struct lf_diag *worse; /* why the version is not to be served; "": it is */
};

/* Who answers, for lf_evaluate. */
struct answering {
    const struct scoring_job *x;
    const struct lf_pick *pick;
    int64_t done; /* rows */
};

static enum lf_err ask(const struct answering *a, const struct lf_eval_row *r,
                       struct lf_generation **out, struct lf_diag *diag)
{
    const struct lf_generate_spec spec = {.ids = r->ids,
                                          .n = r->n_ids,
                                          .pick = a->pick,
                                          .sample = lf_sample_greedy(),
                                          .max_tokens = r->max_tokens,
                                          .background = true};
    enum lf_err rc = LF_E_OVERLOADED; /* where the base has made way: until it is back */
    while (rc == LF_E_OVERLOADED && !closing(a->x->j))
        rc = lf_team_generate(a->x->team, &spec, out, diag);
    return rc;
}

static enum lf_err take(struct lf_writer *w, const struct lf_generated *some,
                        const struct lf_generation_news *news)
{
    bool eos = news->ended && news->finish == LF_FINISH_EOS;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < news->n - eos && rc == LF_OK; i++)
        rc = lf_writer_token(w, some[i].token);
    if (rc == LF_OK && news->ended)
        rc = lf_writer_end(w, eos ? LF_ENDING_EOS : LF_ENDING_LENGTH);
    return rc;
}

/* Waits for the completion's end, or a stop string. */
static enum lf_err collect(struct lf_jobs *j, struct lf_generation *g, struct lf_writer *w,
                           struct lf_diag *diag)
{
    struct lf_generation_news news;
    do {
        struct lf_generated some[64];
        lf_generation_take(g, some, 64, LOOK_MS, &news, diag);
        if (news.rc == LF_OK && take(w, some, &news) != LF_OK)
            return lf_no_memory(diag, "a completion");
        if (w->ending == LF_ENDING_STOP)
            lf_generation_cancel(g, true);
        else if (closing(j))
            lf_generation_cancel(g, false);
    } while (w->ending == LF_ENDING_NONE && news.rc == LF_OK);
    return news.rc;
}

struct asked {
    int64_t row;
    struct lf_generation *g; /* NULL: none */
};

static enum lf_err collect_row(struct answering *a, struct lf_evaluation *e,
                               const struct asked *asked, struct lf_diag *diag)
{
    struct lf_writer w;
    lf_evaluation_writer(e, &w, a->x->rows.tokenizer);
    enum lf_err rc = collect(a->x->j, asked->g, &w, diag);
    rc = rc ?: lf_evaluation_done(e, asked->row, &w, diag);
    lf_writer_free(&w);
    lf_registry_scores_done(a->x->j->d->registry, a->x->adapter_id, ++a->done, a->x->n);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "eval.jsonl");
}

/* AT_ONCE generations are under way; the oldest is waited for. */
static enum lf_err complete(void *arg, struct lf_evaluation *e, struct lf_diag *diag)
{
    struct answering *a = arg;
    struct asked ring[AT_ONCE] = {{0}};
    struct lf_eval_row r = {0};
    enum lf_err rc = LF_OK;
    for (size_t first = 0; rc == LF_OK; first++) {
        for (size_t at = first; r.row >= 0 && at < first + AT_ONCE && rc == LF_OK; at++) {
            struct asked *next = &ring[at % AT_ONCE];
            if (next->g)
                continue;
            rc = lf_evaluation_next(e, &r, diag);
            next->row = r.row;
            if (rc == LF_OK && r.row >= 0)
                rc = ask(a, &r, &next->g, diag);
        }
        struct asked *oldest = &ring[first % AT_ONCE];
        if (!oldest->g)
            break;
        rc = rc ?: collect_row(a, e, oldest, diag);
        lf_generation_release(oldest->g);
        oldest->g = NULL;
    }
    for (int k = 0; k < AT_ONCE; k++)
        lf_generation_release(ring[k].g);
    return rc;
}

/* ---- Scores ---------------------------------------------------------------------------------- */

static json_t *stops(const struct scoring_job *x)
{
    json_t *list = json_array();
    for (int i = 0; i < x->settings.n_stop; i++)
        json_array_append_new(list, json_string(x->settings.stop[i]));
    return list;
}

/* How sure the score is, and the rows' scores that say so. */
static enum lf_err put_rows(json_t *out, const struct lf_eval_report *r)
{
    lf_buf_auto hex = {0};
    if (r->row_scores.n == 0)
        return LF_OK;
    enum lf_err rc = lf_row_scores_print(&r->row_scores, &hex);
    if (rc == LF_OK &&
        json_object_set_new(out, "interval",
                            json_pack("[f, f]", r->interval.low, r->interval.high)) == 0 &&
        json_object_set_new(out, "row_scores", json_string(lf_buf_str(&hex))) == 0)
        return LF_OK;
    return LF_E_NO_MEMORY;
}

/* What metrics.json says of a version, or of the base: *out is yours. */
static enum lf_err score_json(json_t **out, const struct scoring_job *x, const struct lf_pick *pick,
                              const char *sha256, struct lf_diag *diag)
{
    struct lf_eval_report r;
    struct answering a = {x, pick, 0};
    enum lf_err rc = lf_evaluate(&x->rows.rows, &x->o, complete, &a, &r, diag);
    if (rc != LF_OK)
        return rc;
    *out = json_pack("{s:s, s:f, s:I, s:i, s:o, s:s, s:f}", "metric", x->settings.metric, "score",
                     r.score, "rows", (json_int_t)x->n, "max_tokens", x->settings.max_tokens,
                     "stop", stops(x), "sha256", sha256, "seconds", r.seconds);
    if (r.confusion)
        json_object_set(*out, "confusion", r.confusion);
    if (r.unread > 0)
        json_object_set_new(*out, "unread", json_integer((json_int_t)r.unread));
    rc = *out ? put_rows(*out, &r) : LF_E_NO_MEMORY;
    lf_eval_report_free(&r);
    return rc == LF_OK ? rc : lf_no_memory(diag, "the scores");
}

/* What the report has under `key`, when it was of the same rows; yours, or NULL. */
static json_t *part_known(const struct scoring_job *x, const json_t *report, const char *key,
                          const char *sha256)
{
    json_t *part = json_object_get(report, key);
    const char *sha = json_string_value(json_object_get(part, "sha256"));
    const char *metric = json_string_value(json_object_get(part, "metric"));
    json_auto_t *stop = stops(x);
    bool same = sha && metric && strcmp(sha, sha256) == 0 &&
                strcmp(metric, x->settings.metric) == 0 &&
                json_equal(json_object_get(part, "stop"), stop) &&
                json_integer_value(json_object_get(part, "rows")) == x->n &&
                json_integer_value(json_object_get(part, "max_tokens")) == x->settings.max_tokens;
    return same ? json_incref(part) : NULL;
}

/* This very version has its score on these rows. */
static bool version_known(const struct scoring_job *x, const struct lf_scoring *what,
                          const char *sha256)
{
    json_auto_t *report = lf_report_read(x->j, what->adapter_id);
    json_auto_t *eval = part_known(x, report, "eval", sha256);
    return eval && json_integer_value(json_object_get(report, "version")) == what->version;
}

static enum lf_err score_base(json_t **out, const struct scoring_job *x, uint64_t adapter_id,
                              const char *sha256, struct lf_diag *diag)
{
    const struct lf_pick none = {0};
    json_auto_t *report = lf_report_read(x->j, adapter_id);
    *out = part_known(x, report, "base", sha256);
    return *out ? LF_OK : score_json(out, x, &none, sha256, diag);
}

static enum lf_err pick_version(struct lf_pick *pick, const struct scoring_job *x, int32_t version,
                                struct lf_diag *diag)
{
    char part[64];
    *pick = (struct lf_pick){.id = x->adapter_id, .version = version};
    snprintf(part, sizeof part, "versions/%d", (int)version);
    return lf_registry_dir(x->j->d->registry, x->adapter_id, part, pick->dir, diag);
}

/* The scores of what is served while another version is held: those that its own report has, where
 * they are of the same rows. NULL: none is served. */
static enum lf_err score_served(json_t **out, const struct scoring_job *x, int32_t version,
                                const char *sha256, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_pick pick;
    struct lf_adapter_view v;
    json_auto_t *report = NULL;
    enum lf_err rc = lf_registry_view_id(x->j->d->registry, x->adapter_id, &v, diag);
    if (rc != LF_OK || v.record.current == 0 || v.record.current == version || v.stranger)
        return rc;
    rc = pick_version(&pick, x, v.record.current, diag);
    rc = rc ?: lf_path_join(path, pick.dir, lf_files[LF_FILE_METRICS].disk, diag);
    if (rc == LF_OK && lf_json_load(&report, path, NULL) == LF_OK)
        *out = part_known(x, report, "eval", sha256);
    return rc != LF_OK || *out ? rc : score_json(out, x, &pick, sha256, diag);
}

static enum lf_err judge(const struct scoring_job *x, const struct lf_scoring *what,
                         const json_t *eval, const json_t *base, const char *sha256,
                         struct lf_diag *diag)
{
    json_auto_t *served = NULL;
    struct lf_diag why = {""};
    enum lf_err rc = score_served(&served, x, what->version, sha256, diag);
    const struct lf_scored scored = {what->version, eval, base, served};
    if (rc == LF_OK && lf_gate_is_worse(&scored, &why))
        *x->worse = why;
    return rc;
}

static enum lf_err score_version(const struct scoring_job *x, const struct lf_scoring *what,
                                 json_t *base, const char *sha256, struct lf_diag *diag)
{
    struct lf_pick pick;
    json_t *eval;
    enum lf_err rc = pick_version(&pick, x, what->version, diag);
    rc = rc ?: score_json(&eval, x, &pick, sha256, diag);
    if (rc == LF_OK && what->judged && x->settings.gate == LF_GATE_ON)
        rc = judge(x, what, eval, base, sha256, diag);
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
static enum lf_err score_both(const struct scoring_job *x, const struct lf_scoring *what,
                              struct lf_diag *diag)
{
    struct lf_dataset_report rows;
    json_auto_t *base = NULL;
    lf_dataset_report(x->d, &rows);
    if (what->version > 0 && !what->judged && version_known(x, what, rows.sha256))
        return LF_OK;
    enum lf_err rc = score_base(&base, x, what->adapter_id, rows.sha256, diag);
    if (rc != LF_OK)
        return rc;
    return what->version > 0 ? score_version(x, what, base, rows.sha256, diag)
                             : lf_report_base(x->j, what->adapter_id, json_incref(base), diag);
}

/* Until the model is open, or nothing is to be waited for any more. False: other bases have the
 * device now. */
static bool await_engine(struct lf_jobs *j, struct lf_team *team)
{
    while (lf_team_state(team) == LF_ENGINE_LOADING && !closing(j))
        lf_clock_sleep(LOOK_MS * LF_NS_PER_MS);
    enum lf_err rc = lf_team_come(team, lf_clock_ns() + COME_NS, NULL);
    return closing(j) || (rc != LF_E_OVERLOADED && rc != LF_E_TIMED_OUT);
}

/* The rows to score on, of a file or of the part of it that is held out. *d NULL: none. */
static enum lf_err rows_load(struct scoring_job *x, const char *path, bool held_out,
                             struct lf_diag *diag)
{
    struct lf_dataset *held = NULL;
    char dir[LF_PATH_MAX];
    const struct lf_dataset_limits limits = lf_jobs_row_limits(x->j, x->adapter_id, dir);
    enum lf_err rc =
        lf_dataset_load(&x->d, path, x->team->base->model, &x->settings, true, &limits, diag);
    if (rc != LF_OK || !held_out)
        return rc;
    rc = lf_dataset_hold_out(&x->d, &held, x->settings.validation, diag);
    lf_dataset_free(x->d);
    x->d = held;
    return rc;
}

static enum lf_err score_rows(struct scoring_job *x, const struct lf_scoring *what,
                              const char *path, bool held_out, struct lf_diag *diag)
{
    const struct lf_model *m = x->team->base->model;
    struct lf_engine_status status;
    enum lf_err rc = rows_load(x, path, held_out, diag);
    if (rc != LF_OK || !x->d)
        return rc;
    lf_team_status(x->team, &status);
    rc = lf_eval_dataset_init(&x->rows, x->d, m->tokenizer, status.context_max, diag);
    x->o.max_tokens = x->settings.max_tokens;
    x->o.stop = x->settings.stop;
    x->o.n_stop = x->settings.n_stop;
    x->o.rows_max = x->settings.eval_rows;
    x->n = x->rows.rows.n;
    if (x->o.rows_max > 0 && x->o.rows_max < x->n)
        x->n = x->o.rows_max;
    rc = rc ?: score_both(x, what, diag);
    lf_eval_dataset_free(&x->rows);
    lf_dataset_free(x->d);
    return rc;
}

static enum lf_err score_adapter(struct lf_jobs *j, const struct lf_scoring *what,
                                 struct lf_diag *worse, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct scoring_job x = {.j = j,
                            .adapter_id = what->adapter_id,
                            .team = lf_team_for(j->d, what->adapter_id),
                            .worse = worse};
    struct lf_diag why = {""};
    if (what->version > 0 && lf_leaks_look(j, what->adapter_id, what->version, &why) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "eval.jsonl is not compared with the rows: %s", why.text);
    enum lf_err rc = lf_registry_settings(j->d->registry, what->adapter_id, &x.settings, diag);
    if (rc != LF_OK)
        return rc;
    x.o.metric = lf_metric_find(x.settings.metric);
    bool held_out;
    if (x.o.metric && lf_scored_rows(j, what->adapter_id, &x.settings, path, &held_out))
        rc = score_rows(&x, what, path, held_out, diag);
    lf_train_settings_free(&x.settings);
    return rc;
}

/* Into the adapter's log, where a person looks for the score, and its report, where a program does.
 */
static void log_failure(struct lf_jobs *j, const struct lf_scoring *x, const struct lf_diag *diag)
{
    lf_registry_log(j->d->registry, x->adapter_id,
                    json_pack("{s:s, s:i, s:s}", "event", "not scored", "version", (int)x->version,
                              "reason", diag->text));
    if (x->version == 0)
        return;
    json_t *part = json_pack("{s:{s:s}}", "eval", "reason", diag->text);
    if (part && lf_report_eval(j, x->adapter_id, x->version, part, NULL) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "metrics.json does not say so");
}

/* The daemon or its engine ends: the next start scores it. */
static bool is_cut_off(struct lf_jobs *j, const struct lf_scoring *x)
{
    enum lf_engine_state state = lf_team_state(lf_team_for(j->d, x->adapter_id));
    return closing(j) || (state != LF_ENGINE_READY && state != LF_ENGINE_ABSENT);
}

/* It is served from now on, or not. One that could not be scored is. */
static void decide(struct lf_jobs *j, const struct lf_scoring *x, const char *worse)
{
    struct lf_diag diag = {""};
    if (!*worse)
        lf_warm(j->d, x->adapter_id, x->version, LF_WARM_MS);
    if (lf_registry_verdict(j->d->registry, x->adapter_id, x->version, *worse ? worse : NULL,
                            &diag) != LF_OK)
        lf_log(LF_LOG_ERROR, "jobs", "v%d is not decided on: %s", (int)x->version, diag.text);
}

/* ---- Which ----------------------------------------------------------------------------------- */

/* The version that the report is of, where that is the served one or one that is held, and there is
 * neither its score nor a reason why not; else 0. *trained: it was made here. */
static int32_t unscored(struct lf_jobs *j, const struct lf_adapter_record *a, bool *trained)
{
    json_auto_t *report = lf_report_read(j, a->id);
    int32_t version = (int32_t)json_integer_value(json_object_get(report, "version"));
    bool held = a->refused == LF_REFUSED_VERSION && version > a->current;
    *trained = json_object_get(report, "train");
    return (version == a->current || held) && !json_object_get(report, "eval") ? version : 0;
}

/* Versions that the last run made and did not come to score. */
static void request_unscored(struct lf_jobs *j)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view *list = NULL;
    size_t n = 0;
    if (lf_registry_list(j->d->registry, &list, &n, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "versions without scores stay so: %s", diag.text);
    for (size_t i = 0; i < n && !closing(j); i++) {
        bool trained = false;
        int32_t version =
            lf_served_has_rows(j, list[i].record.id) ? unscored(j, &list[i].record, &trained) : 0;
        if (version > 0)
            lf_scorer_request(j, list[i].record.id, version, trained);
    }
    free(list);
}

void lf_jobs_score(struct lf_jobs *j, const char *name)
{
    struct lf_adapter_view v;
    if (lf_registry_view(j->d->registry, name, &v, NULL) != LF_OK ||
        !lf_served_has_rows(j, v.record.id))
        return;
    if (lf_report_retry(j, v.record.id, v.record.current, NULL) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "%s: its report is not written", name);
    lf_scorer_request(j, v.record.id, v.record.current, false);
}

/* The first whose base is on a device, else the first of all: bases come and go less often. With
 * the lock held. */
static struct lf_scoring *take_next(struct lf_jobs *j)
{
    struct lf_scoring **at = &j->scorings;
    while (*at && lf_team_state(lf_team_for(j->d, (*at)->adapter_id)) == LF_ENGINE_ABSENT)
        at = &(*at)->next;
    at = *at ? at : &j->scorings;
    struct lf_scoring *x = *at;
    *at = x->next;
    if (!*at)
        j->scorings_end = at;
    return x;
}

void *lf_scorer_main(void *arg)
{
    struct lf_jobs *j = arg;
    request_unscored(j);
    for (;;) {
        struct lf_diag diag = {""};
        pthread_mutex_lock(&j->lock);
        while (!j->scorings && !j->closing)
            pthread_cond_wait(&j->asked, &j->lock);
        struct lf_scoring *x = j->closing ? NULL : take_next(j);
        pthread_mutex_unlock(&j->lock);
        if (!x)
            return NULL;
        if (!await_engine(j, lf_team_for(j->d, x->adapter_id))) {
            queue_up(j, x); /* the bases of others may be there */
            continue;
        }
        struct lf_diag worse = {""};
        enum lf_err rc = score_adapter(j, x, &worse, &diag);
        bool over = rc == LF_OK || !is_cut_off(j, x);
        if (rc != LF_OK && over)
            log_failure(j, x, &diag);
        if (x->judged && over)
            decide(j, x, worse.text);
        if (x->version > 0)
            lf_registry_scores_due(j->d->registry, x->adapter_id, -1);
        free(x);
    }
}
