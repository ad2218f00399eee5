/* The recorder: writes down what the engine reports. Log lines as they come; the store and the
 * curve every few seconds; a version, when a training is done: saved, then served, then let go of
 * by the engine, so that a crash at any moment finds either the checkpoint or the version. */
#include "daemon/jobs/inside.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/lock.h"
#include "daemon/jobs/start.h"
#include "daemon/jobs/sweep.h"
#include "daemon/limits.h"
#include "trainer/ask.h"
#include "trainer/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRY_NS 2000000000ull
#define SAVE_NS 5000000000ull
#define EXPIRE_NS (60ull * 1000000000ull) /* also how soon a disk that fills up is seen */

static void put(struct lf_jobs *j, struct lf_job_event *r)
{
    r->next = NULL;
    lf_lock_auto held = lf_lock(&j->lock);
    *j->events_end = r;
    j->events_end = &r->next;
    pthread_cond_signal(&j->came);
}

static void put_event(struct lf_open_job *l, struct lf_trial *t, const struct lf_train_event *e)
{
    struct lf_job_event *r = malloc(sizeof *r);
    if (!r)
        return; /* a line of the log is lost, no more */
    *r = (struct lf_job_event){.job = l, .trial = t, .event = *e};
    if (e->reason) {
        snprintf(r->reason, sizeof r->reason, "%s", e->reason);
        r->event.reason = r->reason;
    }
    put(l->jobs, r);
}

void lf_recorder_event(void *arg, const struct lf_train_event *e)
{
    put_event(arg, NULL, e);
}

void lf_recorder_trial_event(void *arg, const struct lf_train_event *e)
{
    struct lf_trial *t = arg;
    put_event(t->job, t, e);
}

void lf_recorder_trial_ended(void *arg, const struct lf_training_end *end)
{
    struct lf_trial *t = arg;
    t->end = *end;
    t->end_event = (struct lf_job_event){.job = t->job, .trial = t, .event.kind = LF_TRAIN_END};
    put(t->job->jobs, &t->end_event);
}

void lf_recorder_ended(void *arg, const struct lf_training_end *end)
{
    struct lf_open_job *l = arg;
    l->end = *end;
    l->end_event = (struct lf_job_event){.job = l, .event.kind = LF_TRAIN_END};
    put(l->jobs, &l->end_event);
}

/* ---- Progress -------------------------------------------------------------------------------- */

/* The numbers, not the state: a pause that is asked for is shown before the trainer comes to it. */
static void take_progress(struct lf_jobs *j, struct lf_open_job *l, const struct lf_progress *p)
{
    lf_lock_auto held = lf_lock(&j->lock);
    enum lf_job_state state = l->record.progress.state;
    l->record.progress = *p;
    l->record.progress.state = state;
    l->unsaved = true;
    lf_open_job_show(j, l);
}

static void set_state(struct lf_jobs *j, struct lf_open_job *l, enum lf_job_state state)
{
    lf_lock_auto held = lf_lock(&j->lock);
    l->record.progress.state = state;
    lf_open_job_show(j, l);
}

static void save_curve(struct lf_jobs *j, const struct lf_open_job *l)
{
    struct lf_diag diag = {""};
    if (lf_report_curve(j, l, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "loss.svg is not written: %s", diag.text);
}

static void save(struct lf_jobs *j, struct lf_open_job *l)
{
    struct lf_diag diag = {""};
    uint64_t used = lf_team_memory_used(lf_team_for(j->d, l->record.adapter_id));
    if (used > l->memory_bytes)
        l->memory_bytes = used;
    pthread_mutex_lock(&j->lock);
    struct lf_job_record record = l->record;
    l->unsaved = false;
    pthread_mutex_unlock(&j->lock);
    if (lf_store_job_put(j->d->store, &record, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "job %llu: progress is not saved: %s",
               (unsigned long long)record.id, diag.text);
    save_curve(j, l);
}

static void log_line(struct lf_jobs *j, const struct lf_open_job *l, json_t *line)
{
    if (line)
        json_object_set_new(line, "job", json_integer((json_int_t)l->record.id));
    lf_registry_log(j->d->registry, l->record.adapter_id, line);
}

/* In `status` beside what is odd about the rows. */
static void on_warning(struct lf_jobs *j, struct lf_open_job *l, const char *reason)
{
    lf_buf_auto line = {0};
    json_auto_t *all = lf_survey_warnings(&l->survey);
    if (!l->warnings)
        l->warnings = json_array();
    json_array_append_new(l->warnings, json_string(reason));
    json_array_extend(all, l->warnings);
    if (lf_survey_line(&line, all) == LF_OK)
        lf_registry_warned(j->d->registry, l->record.adapter_id, line.data);
}

static void on_started(struct lf_jobs *j, struct lf_open_job *l)
{
    lf_lock_auto held = lf_lock(&j->lock);
    l->started = true;
    l->starting = 0;
    if (l->record.progress.state == LF_JOB_QUEUED)
        l->record.progress.state = LF_JOB_RUNNING;
    if (l->record.started_ms == 0)
        l->record.started_ms = lf_clock_unix_ms();
    pthread_cond_broadcast(&j->changed);
}

static void on_starting(struct lf_jobs *j, struct lf_open_job *l, double part)
{
    lf_lock_auto held = lf_lock(&j->lock);
    l->starting = 1 + (int)(part * 100);
    if (!l->cancelled)
        lf_open_job_show(j, l);
}

static void on_event(struct lf_jobs *j, struct lf_open_job *l, struct lf_trial *t,
                     const struct lf_train_event *e)
{
    struct lf_progress sum = e->progress;
    if (e->kind == LF_TRAIN_STARTING) {
        on_starting(j, l, e->part);
        return;
    }
    if (e->kind == LF_TRAIN_STARTED)
        on_started(j, l);
    else if (e->kind == LF_TRAIN_WARNING)
        on_warning(j, l, e->reason);
    else if (e->kind == LF_TRAIN_PAUSED || e->kind == LF_TRAIN_RESUMED)
        set_state(j, l, e->progress.state);
    if (!t && lf_train_curve_add(&l->curve, e) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "no memory for a point of a curve");
    if (t)
        lf_sweep_event(j, t, e, &sum);
    take_progress(j, l, &sum);
    json_t *line = lf_train_log_json(e);
    if (line && t)
        json_object_set_new(line, "trial", json_integer(t->index));
    if (line && e->kind == LF_TRAIN_STARTED)
        json_object_set_new(line, "version", json_integer(l->record.version));
    log_line(j, l, line);
    if (e->kind == LF_TRAIN_STARTED)
        save(j, l);
}

/* ---- The end --------------------------------------------------------------------------------- */

/* Back to the preparer: its rows went with the trainer's job, its checkpoint is there. */
static void wait_again(struct lf_jobs *j, struct lf_open_job *l, bool no_room)
{
    lf_lock_auto held = lf_lock(&j->lock);
    l->stage = LF_STAGE_WAITING;
    l->no_room = no_room;
    if (no_room)
        l->full = 0;
    if (no_room)
        l->busy = false;
    if (l->record.progress.state == LF_JOB_RUNNING)
        l->record.progress.state = LF_JOB_QUEUED;
    lf_open_job_show(j, l);
    pthread_cond_broadcast(&j->changed);
}

/* config.json beside the weights: all settings that the training had. */
static void save_settings(struct lf_jobs *j, const struct lf_open_job *l)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX];
    struct lf_mapping m;
    const struct lf_job_record *r = &l->record;
    if (lf_job_dir(j, r->adapter_id, r->id, dir, NULL) != LF_OK ||
        lf_path_join(path, dir, LF_INPUTS_SETTINGS, NULL) != LF_OK ||
        lf_file_map(&m, path, NULL) != LF_OK)
        return;
    lf_registry_version_write(j->d->registry, r->adapter_id, r->version, LF_FILE_CONFIG,
                              m.data ? (const char *)m.data : "", m.bytes);
    lf_file_unmap(&m);
}

/* What made the version. */
static struct lf_origin origin_of(const struct lf_open_job *l)
{
    const struct lf_job_record *r = &l->record;
    struct lf_origin o = {.version = r->version};
    memcpy(o.rows_sha256, l->survey.report.sha256, sizeof o.rows_sha256);
    memcpy(o.inputs_sha256, r->inputs_sha256, sizeof o.inputs_sha256);
    return o;
}

/* The weights, what made them, and how they are asked. */
static enum lf_err save_weights(struct lf_jobs *j, const struct lf_open_job *l,
                                const struct lf_adapter *a, const char *dir, struct lf_diag *diag)
{
    char job[LF_PATH_MAX];
    struct lf_train_settings s;
    struct lf_origin o = origin_of(l);
    const struct lf_base *base = lf_registry_base(j->d->registry, l->record.adapter_id);
    enum lf_err rc = lf_job_dir(j, l->record.adapter_id, l->record.id, job, diag);
    rc = rc ?: lf_inputs_settings(job, &s, diag);
    if (rc != LF_OK)
        return rc;
    json_auto_t *parent = lf_start_parent(job);
    snprintf(o.start, sizeof o.start, "%s", lf_json_text_of(parent, "sha256"));
    const struct lf_ask ask = lf_ask_of(l->survey.report.form, &s);
    char *origin = lf_origin_text(&o, &ask, base);
    if (!origin)
        rc = lf_no_memory(diag, "the version's origin");
    rc = rc ?: lf_adapter_save(a, &base->model->config, dir, lf_base_title(base), origin, diag);
    rc = rc ?: lf_ask_write(dir, &ask, diag);
    free(origin);
    lf_train_settings_free(&s);
    return rc;
}

static enum lf_err save_version(struct lf_jobs *j, const struct lf_open_job *l,
                                const struct lf_adapter *a, struct lf_diag *diag)
{
    char root[LF_PATH_MAX], dir[LF_PATH_MAX], part[64];
    enum lf_err rc = lf_registry_dir(j->d->registry, l->record.adapter_id, NULL, root, diag);
    rc = rc ?: lf_path_join(dir, root, "versions", diag) ?: lf_dir_make_below(root, dir, diag);
    snprintf(part, sizeof part, "versions/%d", (int)l->record.version);
    rc = rc ?: lf_registry_dir(j->d->registry, l->record.adapter_id, part, dir, diag);
    rc = rc ?: save_weights(j, l, a, dir, diag) ?: lf_version_seal(dir, diag);
    if (rc == LF_OK && l->sweep)
        lf_sweep_version_write(j, l);
    else if (rc == LF_OK)
        save_settings(j, l);
    return rc;
}

static void finish(struct lf_jobs *j, struct lf_open_job *l, enum lf_job_state state,
                   const char *reason)
{
    struct lf_counters *c = &j->d->counters;
    lf_counter_add(state == LF_JOB_DONE        ? &c->jobs_done
                   : state == LF_JOB_CANCELLED ? &c->jobs_cancelled
                                               : &c->jobs_failed,
                   1);
    lf_lock_auto held = lf_lock(&j->lock);
    l->stage = LF_STAGE_ENDED;
    l->record.progress.state = state;
    snprintf(l->record.reason, sizeof l->record.reason, "%s", reason);
}

/* Not the training's fault: another time it may be written. */
static bool only_the_disk(enum lf_err rc)
{
    return rc == LF_E_NO_SPACE || rc == LF_E_IO || rc == LF_E_READ_ONLY || rc == LF_E_DENIED ||
           rc == LF_E_NO_MEMORY || rc == LF_E_EXISTS;
}

/* What was trained is kept in memory, and its checkpoint on the disk, until it can be saved. */
static void wait_to_save(struct lf_jobs *j, struct lf_open_job *l, struct lf_adapter *a,
                         const char *why)
{
    bool first = l->stage != LF_STAGE_UNSAVED;
    pthread_mutex_lock(&j->lock);
    l->stage = LF_STAGE_UNSAVED;
    l->trained = a;
    snprintf(l->waits_for, sizeof l->waits_for, "%s", why);
    pthread_mutex_unlock(&j->lock);
    if (first)
        log_line(j, l, json_pack("{s:s, s:s}", "event", "not saved yet", "reason", why));
}

/* Tries to make the version. True: the job is over. */
static bool save_trained(struct lf_jobs *j, struct lf_open_job *l, struct lf_adapter *a)
{
    struct lf_diag diag = {""};
    enum lf_err rc = l->cancelled ? LF_E_CANCELLED : save_version(j, l, a, &diag);
    if (only_the_disk(rc)) {
        wait_to_save(j, l, a, diag.text);
        return false;
    }
    l->trained = NULL;
    lf_adapter_free(a);
    finish(j, l,
           rc == LF_OK            ? LF_JOB_DONE
           : rc == LF_E_CANCELLED ? LF_JOB_CANCELLED
                                  : LF_JOB_FAILED,
           diag.text);
    return true;
}

/* For whoever tries it again. */
static void note_fault(struct lf_jobs *j, const struct lf_open_job *l,
                       const struct lf_train_fault *fault)
{
    char dir[LF_PATH_MAX];
    struct lf_diag diag = {""};
    struct lf_inputs_fault f;
    if (!fault->not_finite)
        return;
    enum lf_err rc = lf_job_dir(j, l->record.adapter_id, l->record.id, dir, &diag);
    rc = rc ?: lf_inputs_fault_read(&f, dir, &diag);
    if (rc == LF_OK) {
        f.failures++;
        f.fault = *fault;
        rc = lf_inputs_fault_write(&f, dir, &diag);
    }
    if (rc != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "job %llu: a retry will not know what it failed of: %s",
               (unsigned long long)l->record.id, diag.text);
}

/* Where its seat has no room for it; alone: and will not have. True: another may. */
static bool has_no_room(struct lf_jobs *j, struct lf_open_job *l, bool alone)
{
    l->full |= 1u << l->seat;
    l->busy = l->busy || !alone;
    return !l->sweep && lf_team_has_other(lf_team_for(j->d, l->record.adapter_id), l->full);
}

/* What the end of a training means for its job. True: the job is over. */
static bool judge(struct lf_jobs *j, struct lf_open_job *l, const struct lf_training_end *e)
{
    enum lf_err rc = e->rc;
    if (rc == LF_OK)
        return save_trained(j, l, e->adapter);
    lf_adapter_free(e->adapter);
    bool elsewhere = rc == LF_E_DEVICE_FULL && has_no_room(j, l, e->alone);
    bool again = elsewhere || (rc == LF_E_DEVICE_FULL && l->busy) || rc == LF_E_INTERRUPTED ||
                 (rc == LF_E_DEVICE_LOST && ++l->record.losses < LF_JOB_LOSSES_MAX);
    if (again && !l->cancelled) {
        wait_again(j, l, rc != LF_E_DEVICE_LOST && !elsewhere);
        return false;
    }
    note_fault(j, l, &e->fault);
    finish(j, l, rc == LF_E_CANCELLED || l->cancelled ? LF_JOB_CANCELLED : LF_JOB_FAILED,
           rc == LF_E_CANCELLED ? "" : e->why.text);
    return true;
}

/* Where its training started; null: fresh. */
static json_t *parent_json(struct lf_jobs *j, const struct lf_open_job *l)
{
    char dir[LF_PATH_MAX];
    json_t *parent = NULL;
    if (lf_job_dir(j, l->record.adapter_id, l->record.id, dir, NULL) == LF_OK)
        parent = lf_start_parent(dir);
    return parent ? parent : json_null();
}

/* A job that is over: written down, and what follows. */
static void settle(struct lf_jobs *j, struct lf_open_job *l)
{
    struct lf_diag diag = {""};
    const struct lf_job_record r = l->record; /* l may be gone before this is done with */
    bool done = r.progress.state == LF_JOB_DONE;
    if (done && !l->unwritten && lf_report_training(j, l, parent_json(j, l), &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "metrics.json is not written: %s", diag.text);
    struct lf_diag why = {""};
    bool guesses = done && lf_gate_guesses(j, l, &why);
    bool held = guesses || (done && lf_gate_holds(j, r.adapter_id));
    pthread_mutex_lock(&j->lock); /* lists of jobs read the record */
    l->record.held = held;
    pthread_mutex_unlock(&j->lock);
    if (done) /* from before the job is seen to end, so that whoever waits waits for the scores */
        lf_registry_scores_due(j->d->registry, r.adapter_id, 1);
    if (lf_open_job_end(j, l) && done) {
        lf_registry_version_log(j->d->registry, r.adapter_id, r.version, r.id);
        if (guesses &&
            lf_registry_verdict(j->d->registry, r.adapter_id, r.version, why.text, &diag) != LF_OK)
            lf_log(LF_LOG_WARN, "jobs", "v%d is not decided on: %s", (int)r.version, diag.text);
        lf_scorer_request(j, r.adapter_id, r.version, !guesses);
    }
    if (done)
        lf_registry_scores_due(j->d->registry, r.adapter_id, -1);
}

static void on_ended(struct lf_jobs *j, struct lf_open_job *l)
{
    const struct lf_training_end e = l->end;
    pthread_mutex_lock(&j->lock);
    struct lf_training *training = l->training;
    l->training = NULL;
    l->started = false;
    if (l->sweep)
        l->sweep->note[0] = '\0';
    pthread_mutex_unlock(&j->lock);
    if (e.progress.steps > 0)
        take_progress(j, l, &e.progress);
    bool over = judge(j, l, &e);
    if (over)
        save_curve(j, l); /* its end is written together with its version */
    else
        save(j, l);
    if (training)
        lf_training_release(training);
    if (over)
        settle(j, l);
}

/* The line of one training of a sweep that is over. */
static void log_trial(struct lf_jobs *j, const struct lf_trial *t)
{
    const struct lf_sweep_row *row = &t->run->table.row[t->index];
    const char *state = lf_job_state_name(row->state);
    json_t *line = json_pack("{s:s, s:i, s:I}", "event",
                             row->state == LF_JOB_CANCELLED ? "ended early" : state, "trial",
                             t->index, "step", (json_int_t)row->progress.step);
    if (line && row->reason[0])
        json_object_set_new(line, "reason", json_string(row->reason));
    log_line(j, t->job, line);
}

static void on_trial_ended(struct lf_jobs *j, struct lf_open_job *l, struct lf_trial *t)
{
    bool all = lf_sweep_ended(j, t, &l->end);
    if (!lf_job_state_open(t->run->table.row[t->index].state))
        log_trial(j, t);
    if (all)
        on_ended(j, l);
}

/* The next job after `last` (NULL: the first) that waits to be written down. */
static struct lf_open_job *next_waiting(struct lf_jobs *j, uint64_t last)
{
    lf_lock_auto held = lf_lock(&j->lock);
    for (struct lf_open_job *l = j->open; l; l = l->next)
        if (l->record.id > last && (l->stage == LF_STAGE_UNSAVED || l->unwritten))
            return l;
    return NULL;
}

/* The recorder alone ends these, so that l stays. */
static void try_again(struct lf_jobs *j)
{
    uint64_t id = 0;
    for (struct lf_open_job *l = next_waiting(j, 0); l; l = next_waiting(j, id)) {
        id = l->record.id;
        if (l->stage != LF_STAGE_UNSAVED || save_trained(j, l, l->trained))
            settle(j, l);
    }
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* The first job with something to save; NULL: none. */
static struct lf_open_job *next_unsaved(struct lf_jobs *j)
{
    lf_lock_auto held = lf_lock(&j->lock);
    struct lf_open_job *l = j->open;
    while (l && (!l->unsaved || l->stage != LF_STAGE_TRAINING))
        l = l->next;
    return l;
}

static void save_all(struct lf_jobs *j)
{
    /* Only the recorder ends a job that trains, so l stays. */
    for (struct lf_open_job *l = next_unsaved(j); l; l = next_unsaved(j))
        save(j, l);
}

/* The next event, after at most a second; NULL: none. *closing: and none will come. */
static struct lf_job_event *next_event(struct lf_jobs *j, bool *closing)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec++;
    int waited = 0;
    lf_lock_auto held = lf_lock(&j->lock);
    while (!j->events && !j->closing && waited == 0)
        waited = pthread_cond_timedwait(&j->came, &j->lock, &at);
    struct lf_job_event *r = j->events;
    if (r) {
        j->events = r->next;
        if (!j->events)
            j->events_end = &j->events;
    }
    *closing = j->closing;
    return r;
}

static void handle(struct lf_jobs *j, struct lf_job_event *r)
{
    if (r->event.kind == LF_TRAIN_END) {
        if (r->trial)
            on_trial_ended(j, r->job, r->trial);
        else
            on_ended(j, r->job);
        return;
    }
    on_event(j, r->job, r->trial, &r->event);
    free(r);
}

void *lf_recorder_main(void *arg)
{
    struct lf_jobs *j = arg;
    uint64_t saved = lf_clock_ns(), expired = saved, tried = saved;
    bool closing = false;
    for (;;) {
        struct lf_job_event *r = next_event(j, &closing);
        if (!r && closing)
            return NULL;
        if (r)
            handle(j, r);
        uint64_t now = lf_clock_ns();
        if (now - tried > TRY_NS) {
            try_again(j);
            tried = now;
        }
        if (now - saved > SAVE_NS) {
            save_all(j);
            saved = now;
        }
        if (now - expired > EXPIRE_NS) {
            lf_registry_trash_expire(j->d->registry, (int64_t)((now - expired) / LF_NS_PER_S));
            lf_registry_expire(j->d->registry);
            expired = now;
        }
    }
}
