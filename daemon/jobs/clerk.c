/* The clerk: writes down what the engine tells. Log lines as they come; the store and the curve
 * every few seconds; a version, when a training is done: saved, then served, then let go of by the
 * engine, so that a crash at any moment finds either the checkpoint or the version. */
#include "daemon/jobs/live.h"

#include "core/clock.h"
#include "core/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAVE_NS 5000000000ull
#define EXPIRE_NS (3600ull * 1000000000ull)
#define LOSSES_MAX 3 /* of the device, under one job */

void lf_clerk_note(void *arg, const struct lf_training_event *e)
{
    struct lf_live *l = arg;
    struct lf_jobs *j = l->jobs;
    struct lf_note *n = malloc(sizeof *n);
    lf_assert(n != NULL || e->kind != LF_TRAINING_ENDED);
    if (!n)
        return; /* a step's line is lost, no more */
    *n = (struct lf_note){NULL, l, *e};
    pthread_mutex_lock(&j->lock);
    *j->notes_end = n;
    j->notes_end = &n->next;
    pthread_cond_signal(&j->noted);
    pthread_mutex_unlock(&j->lock);
}

/* ---- Progress -------------------------------------------------------------------------------- */

static void take_progress(struct lf_jobs *j, struct lf_live *l, const struct lf_job_progress *p)
{
    pthread_mutex_lock(&j->lock);
    struct lf_job_record *r = &l->record;
    r->step = p->step;
    r->steps = p->steps;
    r->tokens = p->tokens;
    r->loss = p->loss;
    r->eval_loss = p->eval_loss;
    r->tokens_per_second = p->tokens_per_second;
    l->eta_seconds = p->step > p->resumed ? p->eta_seconds : (double)NAN;
    l->unsaved = true;
    lf_live_show(j, l);
    pthread_mutex_unlock(&j->lock);
}

static void set_status(struct lf_jobs *j, struct lf_live *l, enum lf_job_status status)
{
    pthread_mutex_lock(&j->lock);
    l->record.status = status;
    lf_live_show(j, l);
    pthread_mutex_unlock(&j->lock);
}

static void save(struct lf_jobs *j, struct lf_live *l)
{
    struct lf_diag diag = {""};
    pthread_mutex_lock(&j->lock);
    struct lf_job_record record = l->record;
    l->unsaved = false;
    pthread_mutex_unlock(&j->lock);
    enum lf_err rc = lf_store_job_put(j->d->store, &record, &diag);
    if (rc == LF_OK)
        rc = lf_report_curve(j, l, &diag);
    if (rc != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "job %llu: progress is not saved: %s",
               (unsigned long long)record.id, diag.text);
}

static void log_line(struct lf_jobs *j, const struct lf_live *l, json_t *line)
{
    if (line)
        json_object_set_new(line, "job", json_integer((json_int_t)l->record.id));
    lf_registry_log(j->d->registry, l->record.adapter_id, line);
}

static void on_started(struct lf_jobs *j, struct lf_live *l, const struct lf_job_progress *p)
{
    pthread_mutex_lock(&j->lock);
    l->started = true;
    if (l->record.status == LF_JOB_STATUS_QUEUED)
        l->record.status = LF_JOB_STATUS_RUNNING;
    if (l->record.started_ms == 0)
        l->record.started_ms = lf_clock_unix_ms();
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    take_progress(j, l, p);
    log_line(j, l,
             json_pack("{s:s, s:i, s:I, s:I}", "event", "started", "version",
                       (int)l->record.version, "step", (json_int_t)p->step, "steps",
                       (json_int_t)p->steps));
    save(j, l);
}

static void on_step(struct lf_jobs *j, struct lf_live *l, const struct lf_training_event *e)
{
    const struct lf_train_event *s = &e->step;
    take_progress(j, l, &e->progress);
    lf_curve_add(&l->curve.train, &l->curve.n_train, &l->curve.cap_train, (double)s->step, s->loss);
    log_line(j, l,
             json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:I, s:f}", "event", "step", "step",
                       (json_int_t)s->step, "steps", (json_int_t)s->steps, "loss", s->loss,
                       "learning_rate", s->learning_rate, "grad_norm", s->grad_norm, "tokens",
                       (json_int_t)s->tokens, "tokens_per_second", s->tokens_per_second));
}

static void on_eval(struct lf_jobs *j, struct lf_live *l, const struct lf_training_event *e)
{
    const struct lf_train_event *s = &e->step;
    take_progress(j, l, &e->progress);
    lf_curve_add(&l->curve.eval, &l->curve.n_eval, &l->curve.cap_eval, (double)s->step,
                 s->eval_loss);
    log_line(j, l,
             json_pack("{s:s, s:I, s:f}", "event", "eval", "step", (json_int_t)s->step, "eval_loss",
                       s->eval_loss));
}

static void on_checkpoint(struct lf_jobs *j, struct lf_live *l, const struct lf_training_event *e)
{
    json_t *line = json_pack("{s:s, s:I}", "event", "checkpoint", "step", (json_int_t)e->step.step);
    if (line && e->why.text[0])
        json_object_set_new(line, "failed", json_string(e->why.text));
    log_line(j, l, line);
}

/* ---- The end --------------------------------------------------------------------------------- */

/* Back to the preparer: its rows went with the trainer's job, its checkpoint is there. */
static void wait_again(struct lf_jobs *j, struct lf_live *l, bool no_room)
{
    pthread_mutex_lock(&j->lock);
    l->stage = LF_STAGE_WAITING;
    l->no_room = no_room;
    if (l->record.status == LF_JOB_STATUS_RUNNING)
        l->record.status = LF_JOB_STATUS_QUEUED;
    lf_live_show(j, l);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

static enum lf_err save_version(struct lf_jobs *j, const struct lf_live *l,
                                const struct lf_adapter *a, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], part[64];
    const struct lf_base *base = j->d->base;
    enum lf_err rc = lf_registry_dir(j->d->registry, l->record.adapter_id, "versions", dir, diag);
    if (rc == LF_OK)
        rc = lf_dir_make(dir, diag);
    snprintf(part, sizeof part, "versions/%d", (int)l->record.version);
    if (rc == LF_OK)
        rc = lf_registry_dir(j->d->registry, l->record.adapter_id, part, dir, diag);
    return rc == LF_OK ? lf_adapter_save(a, &base->model->config, dir, base->name, diag) : rc;
}

static void finish(struct lf_jobs *j, struct lf_live *l, enum lf_job_status status,
                   const char *reason)
{
    pthread_mutex_lock(&j->lock);
    l->stage = LF_STAGE_ENDED;
    l->record.status = status;
    snprintf(l->record.reason, sizeof l->record.reason, "%s", reason);
    pthread_mutex_unlock(&j->lock);
}

/* What the engine's word means for the job. True: the job is over. */
static bool judge(struct lf_jobs *j, struct lf_live *l, const struct lf_training_event *e)
{
    struct lf_diag diag = {""};
    enum lf_err rc = e->rc;
    if (rc == LF_OK)
        rc = save_version(j, l, e->adapter, &diag);
    else
        lf_fail(&diag, rc, "%s", e->why.text);
    if (rc == LF_OK) {
        finish(j, l, LF_JOB_STATUS_DONE, "");
        return true;
    }
    if (rc == LF_E_CANCELLED) {
        finish(j, l, LF_JOB_STATUS_CANCELLED, "");
        return true;
    }
    bool again = (rc == LF_E_DEVICE_FULL && !e->alone) || rc == LF_E_INTERRUPTED ||
                 (rc == LF_E_DEVICE_LOST && ++l->record.losses < LOSSES_MAX);
    if (again && !l->cancelled) {
        wait_again(j, l, rc != LF_E_DEVICE_LOST);
        return false;
    }
    finish(j, l, l->cancelled ? LF_JOB_STATUS_CANCELLED : LF_JOB_STATUS_FAILED, diag.text);
    return true;
}

static void on_ended(struct lf_jobs *j, struct lf_live *l, const struct lf_training_event *e)
{
    struct lf_diag diag = {""};
    pthread_mutex_lock(&j->lock);
    struct lf_training *training = l->training;
    l->training = NULL;
    l->started = false;
    pthread_mutex_unlock(&j->lock);
    if (e->progress.steps > 0)
        take_progress(j, l, &e->progress);
    bool over = judge(j, l, e);
    save(j, l);
    bool done = over && l->record.status == LF_JOB_STATUS_DONE;
    if (done && lf_report_training(j, l, &e->progress, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "metrics.json is not written: %s", diag.text);
    uint64_t adapter_id = l->record.adapter_id;
    int32_t version = l->record.version;
    lf_training_release(training);
    if (over)
        lf_live_end(j, l);
    if (done)
        lf_examiner_ask(j, adapter_id, version);
    lf_adapter_free(e->adapter);
}

static void handle(struct lf_jobs *j, struct lf_live *l, const struct lf_training_event *e)
{
    switch (e->kind) {
    case LF_TRAINING_STARTED:
        on_started(j, l, &e->progress);
        break;
    case LF_TRAINING_STEP:
        on_step(j, l, e);
        break;
    case LF_TRAINING_EVAL:
        on_eval(j, l, e);
        break;
    case LF_TRAINING_CHECKPOINT:
        on_checkpoint(j, l, e);
        break;
    case LF_TRAINING_PAUSED:
    case LF_TRAINING_RESUMED:
        set_status(j, l,
                   e->kind == LF_TRAINING_PAUSED ? LF_JOB_STATUS_PAUSED : LF_JOB_STATUS_RUNNING);
        log_line(j, l,
                 json_pack("{s:s}", "event", e->kind == LF_TRAINING_PAUSED ? "paused" : "resumed"));
        break;
    case LF_TRAINING_ENDED:
        on_ended(j, l, e);
        break;
    }
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* The first job with something to save; NULL: none. */
static struct lf_live *next_unsaved(struct lf_jobs *j)
{
    pthread_mutex_lock(&j->lock);
    struct lf_live *l = j->live;
    while (l && (!l->unsaved || l->stage != LF_STAGE_TRAINING))
        l = l->next;
    pthread_mutex_unlock(&j->lock);
    return l;
}

static void save_all(struct lf_jobs *j)
{
    /* Only the clerk ends a job that trains, so l stays. */
    for (struct lf_live *l = next_unsaved(j); l; l = next_unsaved(j))
        save(j, l);
}

/* The next note, after at most a second; NULL: none. *closing: and none will come. */
static struct lf_note *next_note(struct lf_jobs *j, bool *closing)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec++;
    int waited = 0;
    pthread_mutex_lock(&j->lock);
    while (!j->notes && !j->closing && waited == 0)
        waited = pthread_cond_timedwait(&j->noted, &j->lock, &at);
    struct lf_note *n = j->notes;
    if (n) {
        j->notes = n->next;
        if (!j->notes)
            j->notes_end = &j->notes;
    }
    *closing = j->closing;
    pthread_mutex_unlock(&j->lock);
    return n;
}

void *lf_clerk_main(void *arg)
{
    struct lf_jobs *j = arg;
    uint64_t saved = lf_clock_ns(), expired = saved;
    bool closing = false;
    for (;;) {
        struct lf_note *n = next_note(j, &closing);
        if (n)
            handle(j, n->live, &n->event);
        free(n);
        if (!n && closing)
            return NULL;
        uint64_t now = lf_clock_ns();
        if (now - saved > SAVE_NS) {
            save_all(j);
            saved = now;
        }
        if (now - expired > EXPIRE_NS) {
            lf_registry_trash_expire(j->d->registry);
            expired = now;
        }
    }
}
