/* The queue from outside: training is asked for, orders are given, jobs are shown. */
#include "daemon/jobs/sweep.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/lock.h"
#include "daemon/engine/plan.h"
#include "daemon/limits.h"
#include "daemon/warm.h"
#include "trainer/log.h"
#include "trainer/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENDED_JOBS_KEPT 1000

/* ---- The list -------------------------------------------------------------------------------- */

enum lf_err lf_job_dir(struct lf_jobs *j, uint64_t adapter_id, uint64_t job_id,
                       char out[LF_PATH_MAX], struct lf_diag *diag)
{
    char part[64];
    snprintf(part, sizeof part, "jobs/%llu", (unsigned long long)job_id);
    return lf_registry_dir(j->d->registry, adapter_id, part, out, diag);
}

/* With the lock held. */
static struct lf_open_job *find_open(struct lf_jobs *j, uint64_t job_id)
{
    for (struct lf_open_job *l = j->open; l; l = l->next)
        if (l->record.id == job_id)
            return l;
    return NULL;
}

static struct lf_open_job *find_adapter(struct lf_jobs *j, uint64_t adapter_id)
{
    struct lf_open_job *found = NULL;
    for (struct lf_open_job *l = j->open; l; l = l->next)
        if (l->record.adapter_id == adapter_id && !l->cancelled && !l->unwritten)
            found = l;
    return found;
}

static void append(struct lf_jobs *j, struct lf_open_job *l)
{
    struct lf_open_job **at = &j->open;
    while (*at)
        at = &(*at)->next;
    *at = l;
    pthread_cond_broadcast(&j->changed);
}

static void take_off(struct lf_jobs *j, struct lf_open_job *l)
{
    struct lf_open_job **at = &j->open;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
    l->next = NULL;
}

void lf_open_job_show(struct lf_jobs *j, const struct lf_open_job *l)
{
    const struct lf_job_record *r = &l->record;
    struct lf_activity a = {.job = r->id,
                            .version = r->version,
                            .progress = r->progress,
                            .waits = l->no_room,
                            .preparing = l->prepared,
                            .starting = l->starting};
    if (l->sweep)
        snprintf(a.note, sizeof a.note, "%s", l->sweep->note);
    lf_registry_activity(j->d->registry, r->adapter_id, &a);
}

static void log_end(struct lf_jobs *j, const struct lf_job_record *r)
{
    json_t *line = json_pack("{s:s, s:I, s:i}", "event", lf_job_state_name(r->progress.state),
                             "job", (json_int_t)r->id, "version", (int)r->version);
    const struct lf_progress *p = &r->progress;
    if (line && p->steps > 0) {
        json_object_set_new(line, "step", json_integer((json_int_t)p->step));
        json_object_set_new(line, "loss", lf_json_finite(p->loss));
        json_object_set_new(line, "seconds", json_real(p->seconds));
        json_object_set_new(line, "kept_step", lf_train_kept_json(p));
    }
    if (line && r->reason[0])
        json_object_set_new(line, "reason", json_string(r->reason));
    lf_registry_log(j->d->registry, r->adapter_id, line);
}

/* The store does not know of its end yet. */
static void unwritten(struct lf_jobs *j, struct lf_open_job *l, const char *why)
{
    lf_lock_auto held = lf_lock(&j->lock);
    if (!l->unwritten)
        lf_log(LF_LOG_ERROR, "jobs", "job %llu: its end is not in the store: %s; it is tried again",
               (unsigned long long)l->record.id, why);
    l->unwritten = true;
    snprintf(l->waits_for, sizeof l->waits_for, "%s", why);
}

/* Its inputs and its checkpoint. */
static void drop(struct lf_jobs *j, const struct lf_job_record *r)
{
    char dir[LF_PATH_MAX];
    struct lf_diag diag = {""};
    if ((lf_job_dir(j, r->adapter_id, r->id, dir, &diag) ?: lf_dir_remove(dir, &diag)) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "job %llu: %s", (unsigned long long)r->id, diag.text);
}

/* A failed job's are kept for a retry, until another one takes its place. */
static bool is_kept(struct lf_jobs *j, const struct lf_job_record *r)
{
    lf_lock_auto held = lf_lock(&j->lock);
    return r->progress.state == LF_JOB_FAILED && !find_adapter(j, r->adapter_id);
}

bool lf_open_job_end(struct lf_jobs *j, struct lf_open_job *l)
{
    struct lf_diag diag = {""};
    struct lf_job_record *r = &l->record;
    pthread_mutex_lock(&j->lock);
    r->ended_ms = lf_clock_unix_ms();
    struct lf_job_record ended = *r;
    pthread_mutex_unlock(&j->lock);
    if (ended.progress.state == LF_JOB_DONE && !ended.held)
        lf_warm(j->d, ended.adapter_id, ended.version, LF_WARM_MS);
    if (lf_registry_job_finish(j->d->registry, &ended, &diag) != LF_OK) {
        unwritten(j, l, diag.text);
        return false;
    }
    pthread_mutex_lock(&j->lock);
    take_off(j, l);
    pthread_mutex_unlock(&j->lock);
    log_end(j, r);
    if (!is_kept(j, r))
        drop(j, r);
    if (lf_store_job_prune(j->d->store, ENDED_JOBS_KEPT, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "ended jobs are not forgotten: %s", diag.text);
    pthread_mutex_lock(&j->lock);
    l->stage = LF_STAGE_ENDED;
    struct lf_open_job *other = find_adapter(j, r->adapter_id);
    if (other)
        lf_open_job_show(j, other); /* the one that took its place */
    for (struct lf_open_job *o = j->open; o; o = o->next)
        o->no_room = false; /* there may be now */
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    lf_curve_free(&l->curve);
    json_decref(l->warnings);
    lf_sweep_run_free(l->sweep);
    free(l);
    return true;
}

size_t lf_jobs_unsaved(struct lf_jobs *j, struct lf_diag *diag)
{
    size_t n = 0;
    lf_lock_auto held = lf_lock(&j->lock);
    for (const struct lf_open_job *l = j->open; l; l = l->next)
        if (l->waits_for[0] && ++n == 1)
            lf_fail(diag, LF_E_IO, "job %llu of %s waits %s: %s", (unsigned long long)l->record.id,
                    l->record.adapter,
                    l->stage == LF_STAGE_UNSAVED || l->unwritten ? "to be saved" : "for its rows",
                    l->waits_for);
    return n;
}

/* ---- Making one ------------------------------------------------------------------------------ */

/* The last job's version is not served: it was made from these very inputs. */
static bool is_refused_again(struct lf_jobs *j, const struct lf_adapter_record *a,
                             const char *sha256)
{
    struct lf_job_record last;
    return a->refused == LF_REFUSED_VERSION &&
           lf_store_job_get(j->d->store, a->last_job, &last, NULL) == LF_OK &&
           strcmp(last.inputs_sha256, sha256) == 0;
}

/* The open job was made from these very inputs. *any: there is one. */
static bool is_open_from(struct lf_jobs *j, uint64_t adapter_id, const char *sha256, bool *any)
{
    lf_lock_auto held = lf_lock(&j->lock);
    const struct lf_open_job *open = find_adapter(j, adapter_id);
    *any = open;
    return open && strcmp(open->record.inputs_sha256, sha256) == 0;
}

/* The open job, or else the served version, or a newer one, was made from these very inputs; to
 * train them again, forced, is news where no job is open. */
static bool made_from(struct lf_jobs *j, const struct lf_adapter_record *a, const char *sha256,
                      bool force)
{
    bool any, open = is_open_from(j, a->id, sha256, &any);
    if (any || force)
        return open;
    return is_refused_again(j, a, sha256) ||
           (a->current > 0 && strcmp(a->inputs_sha256, sha256) == 0);
}

/* A job that no thread works at ends here and now; else the thread that has it will end it. */
static void cancel(struct lf_jobs *j, uint64_t job_id)
{
    struct lf_open_job *mine = NULL;
    pthread_mutex_lock(&j->lock);
    struct lf_open_job *l = find_open(j, job_id);
    if (l && !l->cancelled) {
        l->cancelled = true;
        if (l->training)
            lf_training_cancel(l->training);
        if (l->sweep)
            lf_sweep_cancel(l->sweep);
        if (l->stage == LF_STAGE_WAITING) {
            l->stage = LF_STAGE_ENDED;
            l->record.progress.state = LF_JOB_CANCELLED;
            mine = l;
        }
    }
    pthread_mutex_unlock(&j->lock);
    if (mine)
        (void)lf_open_job_end(j, mine);
}

/* The curve so far of a job that goes on. */
static void recall_curve(struct lf_jobs *j, struct lf_open_job *l)
{
    char path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    enum lf_err rc = lf_registry_dir(j->d->registry, l->record.adapter_id,
                                     lf_files[LF_FILE_LOG].disk, path, &diag);
    rc = rc ?: lf_train_log_read(&l->curve, path, l->record.id, -1, &diag);
    if (rc != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "the curve starts again: %s", diag.text);
}

/* Of its data sets' files. */
static int64_t bytes_of(struct lf_jobs *j, const struct lf_job_record *r)
{
    static const char *const names[] = {LF_INPUTS_DATASET, LF_INPUTS_EVAL};
    char dir[LF_PATH_MAX], path[LF_PATH_MAX];
    int64_t sum = 0;
    if (lf_job_dir(j, r->adapter_id, r->id, dir, NULL) != LF_OK)
        return 0;
    for (size_t i = 0; i < 2; i++)
        if (lf_path_join(path, dir, names[i], NULL) == LF_OK && lf_file_size(path) > 0)
            sum += lf_file_size(path);
    return sum;
}

static enum lf_err enlist(struct lf_jobs *j, const struct lf_job_record *record,
                          struct lf_diag *diag)
{
    struct lf_open_job *l = calloc(1, sizeof *l);
    if (!l)
        return lf_no_memory(diag, "the job");
    l->jobs = j;
    l->record = *record;
    l->bytes = bytes_of(j, record);
    if (record->progress.step > 0)
        recall_curve(j, l);
    pthread_mutex_lock(&j->lock);
    struct lf_open_job *older = find_adapter(j, record->adapter_id);
    uint64_t old_id = older ? older->record.id : 0;
    append(j, l);
    lf_open_job_show(j, l);
    pthread_mutex_unlock(&j->lock);
    if (old_id)
        cancel(j, old_id);
    return LF_OK;
}

/* The line of a job that is new: with what of an open one it replaces is given up. */
static json_t *queued_line(struct lf_jobs *j, const struct lf_job_record *record)
{
    json_t *line = json_pack("{s:s, s:I, s:i}", "event", "queued", "job", (json_int_t)record->id,
                             "version", (int)record->version);
    lf_lock_auto held = lf_lock(&j->lock);
    const struct lf_open_job *older = find_adapter(j, record->adapter_id);
    if (line && older) {
        const struct lf_progress *p = &older->record.progress;
        json_object_set_new(line, "replaces", json_integer((json_int_t)older->record.id));
        json_object_set_new(line, "its_step", json_integer(p->step));
        json_object_set_new(line, "its_steps", json_integer(p->steps));
    }
    return line;
}

/* A job without inputs: its adapter was removed meanwhile, or came back, which takes them away. */
static void take_back(struct lf_jobs *j, struct lf_job_record *record)
{
    struct lf_diag diag = {""};
    record->progress.state = LF_JOB_CANCELLED;
    record->ended_ms = lf_clock_unix_ms();
    if (lf_registry_job_finish(j->d->registry, record, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "job %llu: %s", (unsigned long long)record->id, diag.text);
}

/* `frozen` holds the inputs; it becomes the job's directory. */
static enum lf_err make(struct lf_jobs *j, uint64_t adapter_id, const char *frozen,
                        const char *sha256, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    struct lf_job_record record = {.adapter_id = adapter_id, .progress = lf_progress_none()};
    memcpy(record.inputs_sha256, sha256, sizeof record.inputs_sha256);
    enum lf_err rc = lf_registry_job_create(j->d->registry, &record, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_job_dir(j, adapter_id, record.id, dir, diag) ?: lf_file_move(frozen, dir, diag);
    if (rc != LF_OK) {
        take_back(j, &record);
        return rc;
    }
    lf_registry_log(j->d->registry, adapter_id, queued_line(j, &record));
    return enlist(j, &record, diag);
}

/* LF_E_INVALID where a training of the frozen inputs cannot run on the device, whatever ends
 * beside it; of a sweep, one of its. Not known before the engine is ready: then they wait. */
static enum lf_err may_fit(struct lf_jobs *j, uint64_t adapter_id, const char *frozen,
                           struct lf_diag *diag)
{
    struct lf_train_settings s;
    struct lf_sweep sweep = {.n = 0};
    const struct lf_team *team = lf_team_for(j->d, adapter_id);
    enum lf_err rc = lf_inputs_settings(frozen, &s, diag);
    if (rc != LF_OK)
        return rc;
    if (s.sweep)
        rc = lf_sweep_expand(&sweep, &s, diag);
    else
        rc = lf_team_plan_check(team, &s, diag);
    for (int i = 0; i < sweep.n && rc == LF_OK; i++)
        rc = lf_team_plan_check(team, &sweep.settings[i], diag);
    lf_sweep_free(&sweep);
    lf_train_settings_free(&s);
    return rc;
}

/* The adapter's last job before this one may have failed. */
static void drop_failed(struct lf_jobs *j, uint64_t job_id)
{
    struct lf_job_record r;
    if (lf_store_job_get(j->d->store, job_id, &r, NULL) == LF_OK &&
        r.progress.state == LF_JOB_FAILED)
        drop(j, &r);
}

static void await_no_more(struct lf_jobs *j, uint64_t adapter_id)
{
    lf_lock_auto held = lf_lock(&j->lock);
    lf_jobs_await_forget(j, adapter_id);
}

/* Before a lock is taken, and by who asks, not by the thread that makes all trainings. */
static void read_rows(struct lf_jobs *j, const char *name)
{
    struct lf_adapter_view v;
    if (lf_registry_view(j->d->registry, name, &v, NULL) == LF_OK)
        lf_inputs_read(j->d->registry, &j->digests, v.record.id);
}

enum lf_err lf_jobs_train(struct lf_jobs *j, const char *name, bool force, bool *queued,
                          struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], sha256[LF_SHA256_HEX];
    struct lf_adapter_view v;
    read_rows(j, name);
    lf_lock_auto held = lf_lock(&j->making);
    enum lf_err rc = lf_registry_view(j->d->registry, name, &v, diag);
    if (rc != LF_OK)
        return rc;
    await_no_more(j, v.record.id); /* what comes from now on makes it be awaited again */
    rc = lf_registry_dir(j->d->registry, v.record.id, "jobs/new", dir, diag);
    rc = rc ?: lf_dir_remove(dir, diag);
    if (rc == LF_OK) {
        rc = lf_inputs_freeze(j->d->registry, &j->digests, v.record.id, dir, sha256, diag);
        if (rc == LF_OK)
            *queued = !made_from(j, &v.record, sha256, force);
        if (rc == LF_OK && *queued)
            rc = may_fit(j, v.record.id, dir, diag);
        if (rc == LF_OK && *queued)
            rc = make(j, v.record.id, dir, sha256, diag);
        if (rc == LF_OK && *queued) {
            drop_failed(j, v.record.last_job);
            lf_scorer_request(j, v.record.id, 0, false);
        }
        if ((rc != LF_OK || !*queued) && lf_dir_remove(dir, NULL) != LF_OK)
            lf_log(LF_LOG_WARN, "jobs", "%s is left over", dir);
    }
    if (rc == LF_OK && v.record.wanted && !lf_jobs_is_awaited(j, v.record.id))
        rc = lf_registry_await(j->d->registry, v.record.id, false, false, diag);
    return rc;
}

/* The digest of what the directory holds now. With `making` held. */
static enum lf_err inputs_digest(struct lf_jobs *j, uint64_t adapter_id, char sha256[LF_SHA256_HEX],
                                 struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    enum lf_err rc = lf_registry_dir(j->d->registry, adapter_id, "jobs/new", dir, diag);
    rc = rc ?: lf_dir_remove(dir, diag);
    rc = rc ?: lf_inputs_freeze(j->d->registry, &j->digests, adapter_id, dir, sha256, diag);
    return rc ?: lf_dir_remove(dir, diag);
}

/* Whether what the directory holds now is not what the served version or the open job has. */
static enum lf_err is_news(struct lf_jobs *j, const struct lf_adapter_record *a, bool *news,
                           struct lf_diag *diag)
{
    char sha256[LF_SHA256_HEX];
    lf_lock_auto held = lf_lock(&j->making);
    enum lf_err rc = inputs_digest(j, a->id, sha256, diag);
    if (rc == LF_OK)
        *news = !made_from(j, a, sha256, false);
    return rc;
}

enum lf_err lf_jobs_train_quiet(struct lf_jobs *j, const char *name, bool *queued,
                                struct lf_diag *diag)
{
    struct lf_adapter_view v;
    *queued = true;
    read_rows(j, name);
    enum lf_err rc = lf_registry_view(j->d->registry, name, &v, diag);
    if (rc == LF_OK && (v.record.current > 0 || v.activity.job))
        rc = is_news(j, &v.record, queued, diag);
    return rc ?: lf_jobs_await(j, v.record.id, *queued, diag);
}

bool lf_jobs_has_begun(struct lf_jobs *j, uint64_t job_id)
{
    lf_lock_auto held = lf_lock(&j->lock);
    const struct lf_open_job *l = find_open(j, job_id);
    return l && (l->started || l->record.progress.step > 0);
}

/* ---- Orders ---------------------------------------------------------------------------------- */

/* Its state does not allow the order. */
static enum lf_err refuse(uint64_t id, enum lf_job_state state, struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_BUSY, "job %llu is %s", (unsigned long long)id,
                   lf_job_state_name(state));
}

static enum lf_err pause_job(struct lf_jobs *j, uint64_t id, bool paused, struct lf_diag *diag)
{
    struct lf_job_record record;
    enum lf_err rc = LF_OK;
    pthread_mutex_lock(&j->lock);
    struct lf_open_job *l = find_open(j, id);
    if (!l || l->cancelled) {
        rc = lf_fail(diag, LF_E_BUSY, "job %llu is over", (unsigned long long)id);
    } else if ((l->record.progress.state == LF_JOB_PAUSED) == paused) {
        rc = refuse(id, l->record.progress.state, diag);
    } else {
        if (l->training)
            lf_training_pause(l->training, paused);
        if (l->sweep)
            lf_sweep_pause(l->sweep, paused);
        l->record.progress.state = paused       ? LF_JOB_PAUSED
                                   : l->started ? LF_JOB_RUNNING
                                                : LF_JOB_QUEUED;
        record = l->record;
        lf_open_job_show(j, l);
        pthread_cond_broadcast(&j->changed);
    }
    pthread_mutex_unlock(&j->lock);
    return rc ?: lf_store_job_put(j->d->store, &record, diag);
}

static enum lf_err finish_job(struct lf_jobs *j, uint64_t id, struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&j->lock);
    struct lf_open_job *l = find_open(j, id);
    if (!l || l->cancelled || !l->started)
        return lf_fail(diag, LF_E_BUSY, "job %llu does not train", (unsigned long long)id);
    if (l->sweep)
        lf_sweep_finish(l->sweep);
    else
        lf_training_finish(l->training);
    return LF_OK;
}

/* A failed job of these very inputs goes on from its checkpoint. */
static enum lf_err reopen(struct lf_jobs *j, struct lf_job_record *r, const char *dir,
                          struct lf_diag *diag)
{
    struct lf_inputs_fault f;
    enum lf_err rc = lf_inputs_fault_read(&f, dir, diag);
    if (rc == LF_OK && f.failures > 1)
        return lf_fail(
            diag, LF_E_BUSY,
            "job %llu was tried again at half the learning rate already: set a lower one "
            "in config.json, and train",
            (unsigned long long)r->id);
    r->progress.state = LF_JOB_QUEUED;
    r->ended_ms = 0;
    r->losses = r->attempts = 0;
    r->reason[0] = '\0';
    rc = rc ?: lf_registry_job_reopen(j->d->registry, r, diag);
    if (rc != LF_OK)
        return rc;
    lf_registry_log(j->d->registry, r->adapter_id,
                    json_pack("{s:s, s:I, s:i}", "event", "retried", "job", (json_int_t)r->id,
                              "version", (int)r->version));
    return enlist(j, r, diag);
}

/* *kept: its inputs and its checkpoint are there, and the adapter's files are still those. */
static enum lf_err find_kept(struct lf_jobs *j, const struct lf_job_record *r, uint64_t last_job,
                             char dir[LF_PATH_MAX], bool *kept, struct lf_diag *diag)
{
    char sha256[LF_SHA256_HEX];
    enum lf_err rc = lf_job_dir(j, r->adapter_id, r->id, dir, diag);
    *kept = rc == LF_OK && r->progress.state == LF_JOB_FAILED && last_job == r->id &&
            lf_file_exists(dir);
    if (!*kept)
        return rc;
    rc = inputs_digest(j, r->adapter_id, sha256, diag);
    *kept = rc == LF_OK && strcmp(sha256, r->inputs_sha256) == 0;
    return rc;
}

static enum lf_err retry(struct lf_jobs *j, struct lf_job_record *r, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    bool kept = false;
    struct lf_adapter_view v;
    bool queued;
    if (lf_job_state_open(r->progress.state) || r->progress.state == LF_JOB_DONE)
        return refuse(r->id, r->progress.state, diag);
    enum lf_err rc = lf_registry_view_id(j->d->registry, r->adapter_id, &v, diag);
    lf_inputs_read(j->d->registry, &j->digests, r->adapter_id);
    pthread_mutex_lock(&j->making);
    rc = rc ?: find_kept(j, r, v.record.last_job, dir, &kept, diag);
    if (rc == LF_OK && kept)
        rc = reopen(j, r, dir, diag);
    pthread_mutex_unlock(&j->making);
    return rc != LF_OK || kept ? rc : lf_jobs_train(j, v.record.name, true, &queued, diag);
}

enum lf_err lf_jobs_order(struct lf_jobs *j, uint64_t id, enum lf_ctl_word order,
                          struct lf_diag *diag)
{
    struct lf_job_record r;
    enum lf_err rc = lf_store_job_get(j->d->store, id, &r, diag);
    if (rc != LF_OK)
        return rc;
    switch (order) {
    case LF_CTL_CANCEL:
        if (!lf_job_state_open(r.progress.state))
            return refuse(id, r.progress.state, diag);
        cancel(j, id);
        return LF_OK;
    case LF_CTL_PAUSE:
    case LF_CTL_RESUME:
        return pause_job(j, id, order == LF_CTL_PAUSE, diag);
    case LF_CTL_FINISH:
        return finish_job(j, id, diag);
    case LF_CTL_RETRY:
        return retry(j, &r, diag);
    default:
        return lf_fail(diag, LF_E_INVALID, "not an order to a job");
    }
}

enum lf_err lf_jobs_order_adapter(struct lf_jobs *j, const char *name, enum lf_ctl_word order,
                                  struct lf_diag *diag)
{
    struct lf_adapter_view v;
    bool queued;
    enum lf_err rc = lf_registry_view(j->d->registry, name, &v, diag);
    if (rc == LF_OK && v.record.wanted) {
        if (order == LF_CTL_CANCEL) {
            await_no_more(j, v.record.id);
            return lf_registry_await(j->d->registry, v.record.id, false, false, diag);
        }
        rc = lf_jobs_train(j, name, false, &queued, diag);
        rc = rc ?: lf_registry_view(j->d->registry, name, &v, diag);
    }
    if (rc == LF_OK && v.record.last_job == 0)
        rc = lf_fail(diag, LF_E_BUSY, "%s has no job", name);
    return rc ?: lf_jobs_order(j, v.record.last_job, order, diag);
}

void lf_jobs_adapter_gone(struct lf_jobs *j, uint64_t adapter_id)
{
    pthread_mutex_lock(&j->lock);
    const struct lf_open_job *l = find_adapter(j, adapter_id);
    uint64_t id = l ? l->record.id : 0;
    lf_jobs_await_forget(j, adapter_id);
    pthread_mutex_unlock(&j->lock);
    if (id)
        cancel(j, id);
}

enum lf_err lf_jobs_adapter_remove(struct lf_jobs *j, const char *name, struct lf_diag *diag)
{
    uint64_t id;
    enum lf_err rc = lf_registry_remove(j->d->registry, name, &id, diag);
    if (rc != LF_OK)
        return rc;
    lf_jobs_adapter_gone(j, id);
    struct lf_diag why = {""};
    if (lf_team_unload(lf_team_for(j->d, id), id, &why) != LF_OK)
        lf_log(LF_LOG_WARN, "engine", "%s is removed, but still in memory: %s", name, why.text);
    return LF_OK;
}

/* ---- Shown ----------------------------------------------------------------------------------- */

static json_t *time_or_null(int64_t ms)
{
    return ms > 0 ? json_integer(ms) : json_null();
}

static json_t *record_json(const struct lf_job_record *r)
{
    const struct lf_progress *p = &r->progress;
    json_t *out = json_pack(
        "{s:I, s:s, s:s, s:i, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "id",
        (json_int_t)r->id, "adapter", r->adapter, "state", lf_job_state_name(p->state), "version",
        (int)r->version, "step", (json_int_t)p->step, "steps", (json_int_t)p->steps, "tokens",
        (json_int_t)p->tokens, "loss", lf_json_finite(p->loss), "eval_loss",
        lf_json_finite(p->eval_loss), "tokens_per_second", lf_json_finite(p->tokens_per_second),
        "eta_seconds", lf_json_finite(p->eta_seconds), "created_ms", (json_int_t)r->created_ms,
        "started_ms", time_or_null(r->started_ms), "ended_ms", time_or_null(r->ended_ms), "reason",
        r->reason[0] ? json_string(r->reason) : json_null());
    if (out) {
        lf_train_rewards_json(out, "", &p->rewards);
        lf_train_rewards_json(out, "eval_", &p->eval_rewards);
    }
    return out;
}

/* The record in memory is newer than the store's. */
static json_t *job_json(struct lf_jobs *j, const struct lf_job_record *stored)
{
    struct lf_job_record r = *stored;
    pthread_mutex_lock(&j->lock);
    const struct lf_open_job *l = find_open(j, r.id);
    if (l)
        r = l->record;
    pthread_mutex_unlock(&j->lock);
    return record_json(&r);
}

json_t *lf_jobs_json(struct lf_jobs *j, uint64_t id)
{
    struct lf_job_record r;
    return lf_store_job_get(j->d->store, id, &r, NULL) == LF_OK ? job_json(j, &r) : json_null();
}

enum lf_err lf_jobs_list_json(struct lf_jobs *j, json_t **out, struct lf_diag *diag)
{
    struct lf_job_record *list = NULL;
    size_t n = 0;
    enum lf_err rc = lf_store_job_list(j->d->store, false, &list, &n, diag);
    if (rc != LF_OK)
        return rc;
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(rows, job_json(j, &list[i]));
    free(list);
    *out = rows;
    return LF_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* A job that was open when the last run ended waits again; its checkpoint is in its directory. */
static enum lf_err resume_job(struct lf_jobs *j, struct lf_job_record *r, struct lf_diag *diag)
{
    struct lf_adapter_view v;
    char dir[LF_PATH_MAX];
    if (r->progress.state == LF_JOB_RUNNING)
        r->progress.state = LF_JOB_QUEUED;
    enum lf_err rc = lf_registry_view_id(j->d->registry, r->adapter_id, &v, NULL);
    if (rc != LF_OK) { /* removed, and killed before the job was cancelled */
        r->progress.state = LF_JOB_CANCELLED;
        r->ended_ms = lf_clock_unix_ms();
        return lf_store_job_put(j->d->store, r, diag);
    }
    if (r->attempts >= LF_JOB_ATTEMPTS_MAX) {
        r->progress.state = LF_JOB_FAILED;
        r->ended_ms = lf_clock_unix_ms();
        snprintf(r->reason, sizeof r->reason,
                 "set aside: the daemon died %d times while its rows were prepared; retry trains "
                 "it again",
                 (int)r->attempts);
        lf_log(LF_LOG_ERROR, "jobs", "job %llu of %s: %s", (unsigned long long)r->id, r->adapter,
               r->reason);
        return lf_registry_job_finish(j->d->registry, r, diag);
    }
    rc = lf_job_dir(j, r->adapter_id, r->id, dir, diag);
    if (rc == LF_OK && !lf_file_exists(dir)) /* killed between the record and the inputs */
        rc = lf_inputs_freeze(j->d->registry, &j->digests, r->adapter_id, dir, r->inputs_sha256,
                              diag);
    if (rc == LF_E_NOT_FOUND) { /* what it was to train on is lost */
        r->progress.state = LF_JOB_FAILED;
        r->ended_ms = lf_clock_unix_ms();
        snprintf(r->reason, sizeof r->reason, "%s", diag->text);
        return lf_registry_job_finish(j->d->registry, r, diag);
    }
    return rc ?: enlist(j, r, diag);
}

/* Trainings that were awaited when the last run ended. */
static enum lf_err await_again(struct lf_jobs *j, struct lf_diag *diag)
{
    struct lf_adapter_view *list = NULL;
    size_t n = 0;
    enum lf_err rc = lf_registry_list(j->d->registry, &list, &n, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        if (list[i].record.wanted)
            rc = lf_jobs_await(j, list[i].record.id, true, diag);
    free(list);
    return rc;
}

static enum lf_err threads_start(struct lf_jobs *j, struct lf_diag *diag)
{
    void *(*const mains[])(void *) = {lf_preparer_main, lf_small_preparer_main, lf_recorder_main,
                                      lf_scorer_main, lf_quiet_main};
    for (int i = 0; i < 5; i++) {
        int bad = pthread_create(&j->threads[i], NULL, mains[i], j);
        if (bad)
            return lf_fail_errno(diag, bad, "the jobs' threads");
        j->n_threads++;
    }
    return LF_OK;
}

enum lf_err lf_jobs_open(struct lf_jobs **out, struct lf_daemon *d, struct lf_diag *diag)
{
    struct lf_job_record *list = NULL;
    size_t n = 0;
    struct lf_jobs *j = calloc(1, sizeof *j);
    if (!j)
        return lf_no_memory(diag, "the jobs");
    j->d = d;
    j->events_end = &j->events;
    j->scorings_end = &j->scorings;
    lf_recent_init(&j->digests);
    pthread_mutex_init(&j->making, NULL);
    pthread_mutex_init(&j->reporting, NULL);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->changed, NULL);
    pthread_cond_init(&j->asked, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->came, &attr);
    pthread_cond_init(&j->quiet, &attr);
    pthread_condattr_destroy(&attr);
    enum lf_err rc = lf_store_job_list(d->store, true, &list, &n, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        rc = resume_job(j, &list[i], diag);
    free(list);
    rc = rc ?: await_again(j, diag);
    rc = rc ?: threads_start(j, diag);
    if (rc == LF_OK)
        *out = j;
    else
        lf_jobs_close(j);
    return rc;
}

void lf_jobs_close(struct lf_jobs *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->closing = true;
    pthread_cond_broadcast(&j->changed);
    pthread_cond_broadcast(&j->came);
    pthread_cond_broadcast(&j->asked);
    pthread_cond_broadcast(&j->quiet);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < j->n_threads; i++)
        pthread_join(j->threads[i], NULL);
    while (j->open) {
        struct lf_open_job *l = j->open;
        j->open = l->next;
        lf_adapter_free(l->trained);
        lf_curve_free(&l->curve);
        json_decref(l->warnings);
        lf_sweep_run_free(l->sweep);
        free(l);
    }
    while (j->scorings) {
        struct lf_scoring *x = j->scorings;
        j->scorings = x->next;
        free(x);
    }
    lf_recent_deinit(&j->digests);
    pthread_mutex_destroy(&j->making);
    pthread_mutex_destroy(&j->reporting);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->changed);
    pthread_cond_destroy(&j->came);
    pthread_cond_destroy(&j->asked);
    pthread_cond_destroy(&j->quiet);
    while (j->awaited)
        lf_jobs_await_forget(j, j->awaited->adapter_id);
    free(j);
}
