/* A study's run: preparing, then base by base. */
#include "land/run.h"

#include "core/file.h"
#include "core/clock.h"
#include "core/grow.h"
#include "core/json.h"
#include "land/limits.h"
#include "model/model.h"
#include "text/tokenizer.h"
#include "land/features.h"
#include "land/host.h"
#include "land/rows.h"
#include "land/show.h"
#include "land/spread.h"
#include "land/task.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define POLL_NS 200000000    /* between looks at the daemon */
#define WRITE_NS 1000000000u /* between status files */
#define LOCK_SECONDS 90      /* a daemon of a run that was killed writes its checkpoints */

struct study_run {
    const struct lf_study *s;
    const struct lf_land_order *o;
    struct lf_grid *f;
    struct lf_show show;
    struct lf_host host;
    struct lf_remote *remote;
    int lock;
    uint64_t start_ns, written_ns;
    double seconds_before;          /* of earlier runs */
    int measured;                   /* tasks whose features are known */
    struct lf_tokenizer *tokenizer; /* that they are measured with */
    bool here[LF_LAND_BASES_MAX];   /* bases that the daemon has, of those whose turn it is */
    int n_here;
    int deaths;
    char (*test)[LF_SHA256_HEX]; /* (tasks) digests of the rows that are scored */
};

static bool is_open(const struct lf_cell *c)
{
    return c->state != LF_CELL_DONE && c->state != LF_CELL_FAILED;
}

static bool in_flight(const struct lf_cell *c)
{
    return c->state == LF_CELL_TRAINING || c->state == LF_CELL_SCORING;
}

static enum lf_err stopped(const struct study_run *r, struct lf_diag *diag)
{
    return *r->o->stop
               ? lf_fail(diag, LF_E_INTERRUPTED, "interrupted; the same command goes on from here")
               : LF_OK;
}

/* ---- The status ------------------------------------------------------------------------------ */

static enum lf_err show_status(struct study_run *r, bool now, struct lf_diag *diag)
{
    uint64_t t = lf_clock_ns();
    r->f->seconds = r->seconds_before + (double)(t - r->start_ns) / 1e9;
    lf_show_draw(&r->show, r->f, now);
    if (!now && t - r->written_ns < WRITE_NS)
        return LF_OK;
    r->written_ns = t;
    return lf_grid_write(r->f, diag);
}

/* A cell is over: its file, and a line. */
static enum lf_err cell_end(struct study_run *r, struct lf_cell *c, enum lf_cell_state state,
                            const char *reason, struct lf_diag *diag)
{
    const struct lf_land_cell *q = &c->result;
    c->state = state;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    if (state == LF_CELL_FAILED)
        lf_show_note(&r->show, true, "%s %s: failed: %s", c->column, r->f->tasks[c->task], reason);
    else
        lf_show_note(&r->show, false, "%s %s: %s %.3f, base %.3f (%+.3f); %lld tokens in %.1f s",
                     c->column, r->f->tasks[c->task], q->metric, q->tuned_score, q->base_score,
                     q->tuned_score - q->base_score, (long long)q->tokens, q->seconds);
    r->deaths = 0;
    return lf_grid_cell_write(r->f, c, diag) ?: show_status(r, true, diag);
}

/* ---- Preparing ------------------------------------------------------------------------------- */

/* Settings and key of a task's cells; those that are done already become so. */
static enum lf_err task_cells(struct study_run *r, int task, const json_t *own,
                              char bases[][LF_SHA256_HEX], struct lf_diag *diag)
{
    char path[LF_PATH_MAX], train[LF_SHA256_HEX], *test = r->test[task];
    enum lf_err rc = lf_grid_path(path, r->f, diag, "tasks/%s/train.jsonl", r->f->tasks[task]);
    rc = rc ?: lf_sha256_file(train, path, diag);
    rc = rc ?: lf_grid_path(path, r->f, diag, "tasks/%s/test.jsonl", r->f->tasks[task]);
    rc = rc ?: lf_sha256_file(test, path, diag);
    for (int i = 0; i < r->f->n_columns && rc == LF_OK; i++) {
        struct lf_cell *c = lf_grid_cell(r->f, i, task);
        lf_buf_auto text = {0};
        c->settings = lf_study_settings(r->s, own, c->base, task, c->variant);
        char *settings =
            c->settings ? json_dumps(c->settings, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
        if (!settings ||
            lf_buf_printf(&text, "%s\n%s\n%s\n%s", bases[c->base], settings, train, test) != LF_OK)
            rc = lf_no_memory(diag, "the study's settings");
        if (rc == LF_OK) {
            snprintf(c->result.metric, sizeof c->result.metric, "%s",
                     lf_json_text_of(c->settings, "metric"));
            lf_sha256_hex(c->key, text.data, text.len);
            lf_grid_cell_recall(r->f, c);
        }
        free(settings);
    }
    return rc;
}

static enum lf_err prepare_task(struct study_run *r, int task, char bases[][LF_SHA256_HEX],
                                struct lf_diag *diag)
{
    const struct lf_study_task *t = &r->s->tasks[task];
    const struct lf_task_options o = {.train_max = t->rows,
                                      .test_max = t->eval_rows,
                                      .has_shots = t->shots >= 0,
                                      .shots = t->shots >= 0 ? (int)t->shots : 0,
                                      .test_percent = (int)t->test_percent};
    char dir[LF_PATH_MAX], path[LF_PATH_MAX];
    struct lf_task *definition = NULL;
    struct lf_task_rows made;
    json_auto_t *own = NULL, *all_rows = json_pack("{s:i}", "eval_rows", 0);
    enum lf_err rc = lf_grid_path(dir, r->f, diag, "tasks/%s", t->name);
    rc = rc ?: lf_grid_path(path, r->f, diag, "tasks/%s/config.json", t->name);
    rc = rc ?: lf_task_open(&definition, t->definition, diag);
    rc = rc ?: lf_task_prepare(definition, t->data, dir, &o, &made, diag);
    lf_task_close(definition);
    rc = rc ?: lf_json_load(&own, path, diag);
    if (rc == LF_OK && json_object_update_missing(own, all_rows) != 0)
        rc = lf_no_memory(diag, "the task's settings");
    if (rc == LF_OK) /* the study has chosen the rows to score */
        rc = task_cells(r, task, own, bases, diag);
    return rc;
}

/* A task that cannot be prepared fails in all its cells. */
static enum lf_err prepare_all(struct study_run *r, struct lf_diag *diag)
{
    char(*bases)[LF_SHA256_HEX] = calloc((size_t)r->s->n_bases, sizeof *bases);
    r->test = calloc((size_t)r->s->n_tasks, sizeof *r->test);
    enum lf_err rc = bases && r->test ? LF_OK : lf_no_memory(diag, "the study");
    for (int b = 0; b < r->s->n_bases && rc == LF_OK; b++)
        rc = lf_model_dir_digest(bases[b], r->s->bases[b].dir, diag);
    for (int k = 0; k < r->s->n_tasks && rc == LF_OK; k++) {
        struct lf_diag why = {""};
        enum lf_err bad = prepare_task(r, k, bases, &why);
        for (int i = 0; i < r->f->n_columns && bad != LF_OK && rc == LF_OK; i++)
            rc = cell_end(r, lf_grid_cell(r->f, i, k), LF_CELL_FAILED, why.text, diag);
        rc = rc ?: stopped(r, diag);
    }
    free(bases);
    return rc;
}

/* ---- Features -------------------------------------------------------------------------------- */

struct texts {
    json_t *rows; /* holds the strings */
    struct lf_land_row *list;
    size_t n, cap;
};

static enum lf_err add_texts(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    struct texts *x = arg;
    const char *prompt = json_string_value(json_object_get(row, "prompt"));
    const char *completion = json_string_value(json_object_get(row, "completion"));
    (void)line;
    if (!prompt || !completion)
        return LF_OK;
    if (json_array_append(x->rows, row) != 0 ||
        lf_grow(&x->list, &x->cap, x->n + 1, sizeof *x->list) != LF_OK)
        return lf_no_memory(diag, "the rows");
    x->list[x->n++] = (struct lf_land_row){prompt, completion};
    return LF_OK;
}

static enum lf_err write_features(const char *path, const double *x, const char *digest,
                                  struct lf_diag *diag)
{
    json_t *j = json_pack("{s:s}", "sha256", digest), *values = json_object();
    for (int i = 0; i < LF_LAND_FEATURES; i++)
        json_object_set_new(values, lf_land_feature_name((enum lf_land_feature)i),
                            isfinite(x[i]) ? json_real(x[i]) : json_null());
    json_object_set_new(j, "features", values);
    return lf_json_write(path, j, JSON_INDENT(1) | JSON_REAL_PRECISION(9), diag);
}

static bool features_known(const char *path, const char *digest)
{
    json_auto_t *j = NULL;
    return lf_file_exists(path) && lf_json_load(&j, path, NULL) == LF_OK &&
           strcmp(lf_json_text_of(j, "sha256"), digest) == 0;
}

static enum lf_err measure_rows(double *x, const struct study_run *r, const char *path,
                                struct lf_diag *diag)
{
    static const struct lf_rows_form form = {.format = "jsonl", .encoding = ""};
    struct texts t = {.rows = json_array()};
    enum lf_err rc = lf_rows_read(path, &form, add_texts, &t, diag);
    rc = rc ?: lf_land_features(x, r->tokenizer, t.list, t.n, t.n, diag);
    free(t.list);
    json_decref(t.rows);
    return rc;
}

static enum lf_err measure_task(struct study_run *r, int task, struct lf_diag *diag)
{
    char rows[LF_PATH_MAX], path[LF_PATH_MAX], digest[LF_SHA256_HEX];
    double x[LF_LAND_FEATURES];
    enum lf_err rc = lf_grid_path(rows, r->f, diag, "tasks/%s/train.jsonl", r->f->tasks[task]);
    rc = rc ?: lf_grid_path(path, r->f, diag, "tasks/%s/features.json", r->f->tasks[task]);
    if (rc != LF_OK || !lf_file_exists(rows))
        return rc;
    rc = lf_sha256_file(digest, rows, diag);
    if (rc != LF_OK || features_known(path, digest))
        return rc;
    if (!r->tokenizer)
        rc = lf_tokenizer_open(&r->tokenizer, r->s->bases[0].dir, diag);
    return rc ?: measure_rows(x, r, rows, diag) ?: write_features(path, x, digest, diag);
}

/* The next task's features, in the time that the daemon needs anyway. False: all are known. */
static bool measure_next(struct study_run *r)
{
    struct lf_diag why = {""};
    if (r->measured == r->s->n_tasks)
        return false;
    if (measure_task(r, r->measured, &why) != LF_OK)
        lf_show_note(&r->show, true, "%s: its texts are not measured: %s", r->f->tasks[r->measured],
                     why.text);
    r->measured++;
    return true;
}

/* ---- A cell at the daemon -------------------------------------------------------------------- */

/* The adapter's name: a daemon of the study's own holds nothing else, and mostly has one base. */
static void adapter_name(char out[LF_PATH_MAX], const struct study_run *r, const struct lf_cell *c)
{
    bool remote = r->o->remote.url, several = r->n_here > 1;
    const char *base = r->s->bases[c->base].name, *variant = r->s->variants[c->variant].name;
    snprintf(out, LF_PATH_MAX, "%s%s%s%s%s%s%s", remote ? r->s->name : "", remote ? "." : "",
             several ? base : "", several ? "." : "", r->f->tasks[c->task], variant[0] ? "." : "",
             variant);
}

/* What it trains with, and on which base. Yours. */
static json_t *adapter_settings(const struct study_run *r, const struct lf_cell *c)
{
    json_t *own = json_copy(c->settings);
    if (own && r->n_here > 1)
        json_object_set_new(own, "base", json_string(r->s->bases[c->base].name));
    return own;
}

static enum lf_err cell_call(struct study_run *r, const struct lf_cell *c, json_t **out,
                             const char *method, const char *rest, const json_t *body,
                             struct lf_diag *diag)
{
    char name[LF_PATH_MAX], path[LF_PATH_MAX];
    adapter_name(name, r, c);
    enum lf_err rc = lf_remote_path(path, name, rest, diag);
    return rc ?: lf_remote_json(r->remote, out, method, path, body, diag);
}

static enum lf_err cell_upload(struct study_run *r, const struct lf_cell *c, const char *file,
                               const char *rest, struct lf_diag *diag)
{
    char name[LF_PATH_MAX], path[LF_PATH_MAX], from[LF_PATH_MAX];
    json_auto_t *answer = NULL;
    adapter_name(name, r, c);
    enum lf_err rc = lf_remote_path(path, name, rest, diag);
    rc = rc ?: lf_grid_path(from, r->f, diag, "tasks/%s/%s", r->f->tasks[c->task], file);
    return rc ?: lf_remote_upload(r->remote, &answer, path, from, diag);
}

/* Copies what makes an adapter; the data set last, which starts its training. What the daemon has
 * already, it knows. */
static enum lf_err submit(struct study_run *r, struct lf_cell *c, struct lf_diag *diag)
{
    char name[LF_PATH_MAX];
    adapter_name(name, r, c);
    json_auto_t *made = NULL, *put = NULL, *body = json_pack("{s:s}", "name", name);
    json_auto_t *settings = adapter_settings(r, c);
    enum lf_err rc = lf_remote_json(r->remote, &made, "POST", "/v1/adapters", body, diag);
    if (rc == LF_E_EXISTS)
        rc = LF_OK;
    rc = rc ?: cell_call(r, c, &put, "PUT", "/files/config.json", settings, diag);
    rc = rc ?: cell_upload(r, c, "test.jsonl", "/files/eval.jsonl", diag);
    rc = rc ?: cell_upload(r, c, "train.jsonl", "/files/dataset.jsonl?train=1", diag);
    if (rc == LF_OK) {
        c->state = LF_CELL_TRAINING;
        c->progress = 0;
    }
    return rc;
}

/* metrics.json says that this version was scored: what it says. */
static enum lf_err take_scores(struct lf_cell *c, json_t *metrics, struct lf_diag *diag)
{
    const json_t *eval = json_object_get(metrics, "eval"), *base = json_object_get(metrics, "base");
    const json_t *train = json_object_get(metrics, "train");
    struct lf_land_cell *q = &c->result;
    double seconds = lf_json_real_of(train, "seconds");
    q->tuned_score = lf_json_real_of(eval, "score");
    q->base_score = lf_json_real_of(base, "score");
    q->rows = json_integer_value(json_object_get(eval, "rows"));
    q->tokens = json_integer_value(json_object_get(train, "tokens"));
    q->seconds = isfinite(seconds) ? seconds : 0;
    c->metrics = json_incref(metrics);
    return lf_land_trust_of(&q->trust, eval, base) == LF_OK ? LF_OK
                                                            : lf_no_memory(diag, "the scores");
}

/* The report is of this version, and its scores are of these rows. */
static bool is_scored(const struct study_run *r, const struct lf_cell *c, const json_t *metrics,
                      json_int_t version)
{
    const json_t *eval = json_object_get(metrics, "eval");
    return json_integer_value(json_object_get(metrics, "version")) == version &&
           strcmp(lf_json_text_of(eval, "sha256"), r->test[c->task]) == 0 &&
           isfinite(lf_json_real_of(eval, "score")) &&
           isfinite(lf_json_real_of(json_object_get(metrics, "base"), "score"));
}

static enum lf_err look_at_scores(struct study_run *r, struct lf_cell *c, json_int_t version,
                                  struct lf_diag *diag)
{
    json_auto_t *metrics = NULL;
    c->state = LF_CELL_SCORING;
    enum lf_err rc = cell_call(r, c, &metrics, "GET", "/files/metrics.json", NULL, diag);
    if (rc != LF_OK) /* not found: the moment before it is written */
        return rc == LF_E_NOT_FOUND ? LF_OK : rc;
    const char *why = lf_json_text_of(json_object_get(metrics, "eval"), "reason");
    if (is_scored(r, c, metrics, version)) {
        rc = take_scores(c, metrics, diag);
        return rc ?: cell_end(r, c, LF_CELL_DONE, "", diag);
    }
    return *why ? cell_end(r, c, LF_CELL_FAILED, why, diag) : LF_OK;
}

/* Where a cell is now. *speed: of its training, tokens a second. */
static enum lf_err look_at(struct study_run *r, struct lf_cell *c, double *speed,
                           struct lf_diag *diag)
{
    json_auto_t *adapter = NULL;
    enum lf_err rc = cell_call(r, c, &adapter, "GET", "", NULL, diag);
    if (rc != LF_OK)
        return rc;
    const json_t *job = json_object_get(adapter, "job");
    const char *state = lf_json_text_of(job, "state");
    const char *reason = lf_json_text_of(job, "reason");
    double step = lf_json_real_of(job, "step"), steps = lf_json_real_of(job, "steps");
    double now = lf_json_real_of(job, "tokens_per_second");
    if (strcmp(state, "failed") == 0)
        return cell_end(r, c, LF_CELL_FAILED, *reason ? reason : "its training failed", diag);
    if (strcmp(state, "cancelled") == 0)
        return cell_end(r, c, LF_CELL_FAILED, "its training was cancelled", diag);
    if (strcmp(state, "done") == 0)
        return look_at_scores(r, c, json_integer_value(json_object_get(adapter, "version")), diag);
    c->progress = step >= 0 && steps > 0 ? step / steps : 0;
    *speed += strcmp(state, "running") == 0 && isfinite(now) ? now : 0;
    return LF_OK;
}

/* ---- A daemon ----------------------------------------------------------------------------------
 */

/* The next cell, of the bases that are here, behind `c` (NULL: the first), base by base, so that a
 * daemon that has few of them at a time has what is of one together. NULL: there is no more. */
static struct lf_cell *next_of(const struct study_run *r, const struct lf_cell *c)
{
    const struct lf_grid *f = r->f;
    int at = c ? (int)(c - f->cells) : -1; /* [task][column] */
    int column = c ? at % f->n_columns : 0, task = c ? at / f->n_columns + 1 : 0;
    for (; column < f->n_columns; column++, task = 0)
        if (task < f->n_tasks && r->here[lf_grid_cell(f, column, 0)->base])
            return lf_grid_cell(f, column, task);
    return NULL;
}

static int count_open(const struct study_run *r)
{
    int n = 0;
    for (struct lf_cell *c = NULL; (c = next_of(r, c));)
        n += is_open(c);
    return n;
}

static enum lf_err fail_all(struct study_run *r, const char *reason, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (struct lf_cell *c = NULL; rc == LF_OK && (c = next_of(r, c));)
        if (is_open(c))
            rc = cell_end(r, c, LF_CELL_FAILED, reason, diag);
    return rc;
}

/* The daemon cannot be asked now: it died, or it is gone. */
static bool is_away(enum lf_err rc)
{
    return rc == LF_E_UNREACHABLE || rc == LF_E_IO || rc == LF_E_TIMED_OUT ||
           rc == LF_E_DEVICE_LOST || rc == LF_E_OVERLOADED;
}

/* One look at all cells that the daemon has, and more for it where a base has room. */
static enum lf_err look_round(struct study_run *r, struct lf_diag *diag)
{
    int n[LF_LAND_BASES_MAX] = {0}; /* of each base, at the daemon */
    double speed = 0;
    enum lf_err rc = LF_OK;
    for (struct lf_cell *c = NULL; (c = next_of(r, c));)
        n[c->base] += in_flight(c);
    for (struct lf_cell *c = NULL; rc == LF_OK && (c = next_of(r, c));) {
        struct lf_diag why = {""};
        enum lf_err bad = LF_OK;
        if (in_flight(c)) {
            bad = look_at(r, c, &speed, &why);
        } else if (c->state == LF_CELL_WAITING && n[c->base] < r->s->fused) {
            bad = submit(r, c, &why);
            n[c->base] += bad == LF_OK;
        }
        if (is_away(bad))
            rc = lf_fail(diag, bad, "%s", why.text);
        else if (bad != LF_OK)
            rc = cell_end(r, c, LF_CELL_FAILED, why.text, diag);
        rc = rc ?: stopped(r, diag);
    }
    r->f->tokens_per_second = speed;
    return rc ?: show_status(r, false, diag);
}

/* Everything that was with the daemon is sent again, for it to say what it has. */
static void forget_flights(struct study_run *r)
{
    for (struct lf_cell *c = NULL; (c = next_of(r, c));)
        if (in_flight(c))
            c->state = LF_CELL_WAITING;
}

/* Until all cells of its bases ended. LF_E_UNREACHABLE and the like: the daemon is away. */
static enum lf_err watch(struct study_run *r, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && count_open(r) > 0) {
        rc = look_round(r, diag);
        if (rc == LF_OK && !measure_next(r))
            lf_clock_sleep(POLL_NS);
    }
    return rc;
}

/* What the daemon computes on, for the report. */
static void ask_device(struct study_run *r)
{
    json_auto_t *info = NULL;
    if (lf_remote_json(r->remote, &info, "GET", "/info", NULL, NULL) == LF_OK)
        snprintf(r->f->device, sizeof r->f->device, "%s", lf_json_text_of(info, "device"));
}

/* Of the bases, those that the daemon has are here. LF_E_BASE_DIFFERS: it has none of them. */
static enum lf_err connect_to(struct study_run *r, const struct lf_remote_options *at,
                              const struct lf_study_base *bases, int n, struct lf_diag *diag)
{
    json_auto_t *answer = NULL;
    size_t i;
    json_t *there;
    lf_remote_free(r->remote);
    r->remote = NULL;
    r->n_here = 0;
    memset(r->here, 0, sizeof r->here);
    enum lf_err rc = lf_remote_new(&r->remote, at, diag);
    rc = rc ?: lf_remote_json(r->remote, &answer, "GET", "/v1/bases", NULL, diag);
    if (rc != LF_OK)
        return rc;
    const char *name = "no base";
    json_array_foreach(json_object_get(answer, "bases"), i, there) {
        name = lf_json_text_of(there, "name");
        for (const struct lf_study_base *b = bases; b < bases + n; b++)
            if (strcmp(b->name, name) == 0) {
                r->here[b - r->s->bases] = true;
                r->n_here++;
            }
    }
    if (r->n_here == 0)
        return lf_fail(diag, LF_E_BASE_DIFFERS,
                       "that daemon serves %s, which is no base of this "
                       "study",
                       name);
    ask_device(r);
    return LF_OK;
}

/* A daemon of our own for these bases, started again where it dies. */
static enum lf_err run_bases(struct study_run *r, const struct lf_study_base *b, int n,
                             struct lf_diag *diag)
{
    char data[LF_PATH_MAX];
    const char *name = n > 1 ? "together" : b->name;
    struct lf_diag why = {""};
    enum lf_err rc = lf_grid_path(data, r->f, diag, "daemons/%s", name);
    r->deaths = 0;
    r->n_here = n;
    for (int i = 0; i < r->s->n_bases; i++)
        r->here[i] = r->s->bases + i >= b && r->s->bases + i < b + n;
    while (rc == LF_OK && count_open(r) > 0) {
        enum lf_err bad =
            lf_host_start(&r->host, b, n, data, r->s->daemon, r->o->device, r->o->stop, &why);
        const struct lf_remote_options at = {.url = r->host.socket};
        bool answered = bad == LF_OK;
        bad = bad ?: connect_to(r, &at, b, n, &why) ?: watch(r, &why);
        bool again = bad != LF_OK && is_away(bad) && answered && ++r->deaths < LF_DEATHS_MAX;
        lf_host_stop(&r->host);
        if (again) {
            lf_show_note(&r->show, true, "%s: %s; its daemon is started again", name, why.text);
            bad = LF_OK;
        }
        forget_flights(r);
        if (bad == LF_E_INTERRUPTED || bad == LF_E_NO_SPACE)
            rc = lf_fail(diag, bad, "%s", why.text);
        else if (bad != LF_OK)
            rc = fail_all(r, why.text, diag);
    }
    return rc;
}

/* The daemon that the user named: the bases that it has. */
static enum lf_err run_remote(struct study_run *r, struct lf_diag *diag)
{
    struct lf_diag why = {""};
    enum lf_err rc = connect_to(r, &r->o->remote, r->s->bases, r->s->n_bases, &why);
    rc = rc ?: watch(r, &why);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "%s", why.text);
}

/* ---- By Slurm -------------------------------------------------------------------------------- */

static enum lf_err spread_ended(void *arg, struct lf_cell *c, enum lf_cell_state state,
                                const char *reason, struct lf_diag *diag)
{
    return cell_end(arg, c, state, reason, diag);
}

static enum lf_err spread_look(void *arg, struct lf_diag *diag)
{
    measure_next(arg);
    return show_status(arg, false, diag) ?: stopped(arg, diag);
}

static enum lf_err run_slurm(struct study_run *r, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    struct lf_slurm slurm;
    const struct lf_land_order *o = r->o;
    const struct lf_spread_hooks hooks = {spread_ended, spread_look, r};
    int tasks = o->slurm_tasks ? o->slurm_tasks : (int)r->s->fused;
    enum lf_err rc = lf_grid_path(dir, r->f, diag, "slurm");
    rc = rc ?: lf_slurm_init(&slurm, dir, o->slurm_options, o->slurm_n, diag);
    return rc ?: lf_spread_run(r->f, r->s, o->device, &slurm, tasks, &hooks, diag);
}

/* ---- All ------------------------------------------------------------------------------------- */

/* Held by this process and by its daemons: those of a run that was killed end soon. */
static enum lf_err take_lock(struct study_run *r, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_grid_path(path, r->f, diag, "lock");
    if (rc != LF_OK)
        return rc;
    r->lock = open(path, O_RDWR | O_CREAT, 0644);
    if (r->lock < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    uint64_t end = lf_clock_ns() + LOCK_SECONDS * 1000000000ull;
    bool told = false;
    while (flock(r->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return lf_fail_errno(diag, errno, "%s", path);
        if (!told)
            lf_show_note(&r->show, true, "%s: waiting for the run before to end", r->f->dir);
        told = true;
        if (lf_clock_ns() > end)
            return lf_fail(diag, LF_E_BUSY, "%s: another run works there", r->f->dir);
        rc = stopped(r, diag);
        if (rc != LF_OK)
            return rc;
        lf_clock_sleep(POLL_NS);
    }
    return LF_OK;
}

static void recall_seconds(struct study_run *r)
{
    struct lf_grid before;
    if (lf_grid_read(&before, r->f->dir, NULL) != LF_OK)
        return;
    r->seconds_before = before.seconds;
    snprintf(r->f->device, sizeof r->f->device, "%s", before.device);
    lf_grid_free(&before);
}

static enum lf_err run_all(struct study_run *r, struct lf_diag *diag)
{
    enum lf_err rc = show_status(r, true, diag) ?: prepare_all(r, diag);
    int done = lf_grid_count(r->f, LF_CELL_DONE);
    if (done > 0)
        lf_show_note(&r->show, false, "%d of %d cells are done already", done,
                     r->f->n_tasks * r->f->n_columns);
    if (rc == LF_OK && r->o->remote.url)
        rc = run_remote(r, diag);
    else if (rc == LF_OK && r->o->slurm)
        rc = run_slurm(r, diag);
    else if (rc == LF_OK && r->s->together)
        rc = run_bases(r, r->s->bases, r->s->n_bases, diag);
    else
        for (int b = 0; b < r->s->n_bases && rc == LF_OK; b++)
            rc = run_bases(r, &r->s->bases[b], 1, diag);
    while (rc == LF_OK && measure_next(r))
        rc = stopped(r, diag);
    return rc;
}

enum lf_err lf_land_run(struct lf_grid *f, const struct lf_study *s, const struct lf_land_order *o,
                        struct lf_diag *diag)
{
    struct study_run r = {.s = s, .o = o, .f = f, .lock = -1, .start_ns = lf_clock_ns()};
    lf_show_init(&r.show, stderr, o->quiet);
    enum lf_err rc = lf_host_options_check(s->daemon, diag) ?: lf_dir_make(o->dir, diag);
    rc = rc ?: lf_grid_init(f, s, o->dir, diag);
    if (rc != LF_OK)
        return rc;
    rc = take_lock(&r, diag);
    if (rc == LF_OK) {
        recall_seconds(&r);
        r.start_ns = lf_clock_ns();
        f->running = true;
        rc = run_all(&r, diag);
        f->running = false;
        f->finished = rc == LF_OK;
        enum lf_err wrote = show_status(&r, true, rc == LF_OK ? diag : NULL);
        rc = rc ?: wrote;
    }
    lf_show_end(&r.show);
    free(r.test);
    lf_tokenizer_free(r.tokenizer);
    lf_remote_free(r.remote);
    if (r.lock >= 0)
        close(r.lock);
    return rc;
}
