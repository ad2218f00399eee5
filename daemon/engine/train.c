/* Trainings on the engine: from state to state (inside.h), and a batch of all of them. */
#include "daemon/engine/inside.h"

#include "core/clock.h"
#include "core/lock.h"

#include <stdlib.h>
#include <string.h>

#define STOP_NS 20000000000ull /* for the checkpoints of a stop */

/* ---- From the caller's side ------------------------------------------------------------------ */

static void training_unref(struct lf_training *t)
{
    if (atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    lf_train_settings_free(&t->settings);
    lf_dataset_free(t->train);
    lf_dataset_free(t->eval);
    lf_adapter_free(t->init);
    for (int i = 0; i < t->n_replicas; i++)
        lf_replica_leave(t->replicas[i]);
    free(t->checkpoint_dir);
    free(t);
}

static enum lf_err training_new(struct lf_training **out, struct lf_engine *e,
                                const struct lf_training_spec *spec, struct lf_diag *diag)
{
    struct lf_training *t = calloc(1, sizeof *t);
    if (!t) {
        lf_dataset_free(spec->train);
        lf_dataset_free(spec->eval);
        lf_adapter_free(spec->init);
        for (int i = 0; i < spec->n_replicas; i++)
            lf_replica_leave(spec->replicas[i]);
        return lf_no_memory(diag, "a training");
    }
    atomic_init(&t->refs, 1);
    t->engine = e;
    t->train = spec->train;
    t->eval = spec->eval;
    t->eval_at = spec->eval_at;
    t->init = spec->init;
    t->event = spec->event;
    t->ended = spec->ended;
    t->arg = spec->arg;
    t->checkpoint_seconds = spec->checkpoint_seconds;
    t->fault = spec->fault;
    t->n_replicas = spec->n_replicas;
    memcpy(t->replicas, spec->replicas, sizeof t->replicas);
    t->checkpoint_dir = strdup(spec->checkpoint_dir);
    lf_train_settings_default(&t->settings);
    if (!t->checkpoint_dir || lf_train_settings_copy(&t->settings, spec->settings) != LF_OK) {
        training_unref(t);
        return lf_no_memory(diag, "a training");
    }
    *out = t;
    return LF_OK;
}

enum lf_err lf_engine_train(struct lf_engine *e, const struct lf_training_spec *spec,
                            struct lf_training **out, struct lf_diag *diag)
{
    struct lf_training *t = NULL;
    enum lf_err rc = training_new(&t, e, spec, diag);
    if (rc != LF_OK)
        return rc;
    *out = t; /* before the first event */
    pthread_mutex_lock(&e->lock);
    if (e->state == LF_ENGINE_FAILED || e->state == LF_ENGINE_STOPPED || e->stopping) {
        rc = lf_fail(diag, LF_E_INTERRUPTED, "the engine has stopped");
    } else if (e->o->train_tokens == 0) {
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "this daemon does not train (--train-tokens 0)");
    } else {
        atomic_fetch_add(&t->refs, 1);
        *e->training_end = t;
        e->training_end = &t->next;
        e->given++;
        pthread_cond_signal(&e->more);
    }
    pthread_mutex_unlock(&e->lock);
    if (rc != LF_OK)
        training_unref(t);
    return rc;
}

static void want(struct lf_training *t, unsigned what, bool on)
{
    if (on)
        atomic_fetch_or(&t->wanted, what);
    else
        atomic_fetch_and(&t->wanted, ~what);
    lf_engine_poke(t->engine);
}

void lf_training_pause(struct lf_training *t, bool paused)
{
    want(t, LF_TRAINING_PAUSE, paused);
}

void lf_training_finish(struct lf_training *t)
{
    want(t, LF_TRAINING_FINISH, true);
}

void lf_training_cancel(struct lf_training *t)
{
    want(t, LF_TRAINING_CANCEL, true);
}

void lf_training_release(struct lf_training *t)
{
    struct lf_engine *e = t->engine;
    want(t, LF_TRAINING_RELEASE, true);
    pthread_mutex_lock(&e->lock);
    while (t->state != LF_TRAINING_GONE)
        pthread_cond_wait(&e->gone, &e->lock);
    pthread_mutex_unlock(&e->lock);
    training_unref(t);
}

/* ---- States ---------------------------------------------------------------------------------- */

static void set_state(struct lf_training *t, enum lf_training_state state)
{
    struct lf_engine *e = t->engine;
    lf_lock_auto held = lf_lock(&e->lock);
    t->state = state;
    e->given -= state == LF_TRAINING_ENDED;
    if (state == LF_TRAINING_GONE)
        pthread_cond_broadcast(&e->gone);
}

static void end(struct lf_training *t, const struct lf_training_end *how)
{
    set_state(t, LF_TRAINING_ENDED);
    t->ended(t->arg, how);
}

static void end_early(struct lf_training *t, enum lf_err rc, const char *why, bool alone)
{
    struct lf_training_end how = {.rc = rc, .alone = alone, .progress = lf_progress_none()};
    lf_fail(&how.why, rc, "%s", why);
    if (t->job)
        lf_job_progress(t->job, &how.progress, NULL);
    end(t, &how);
}

static void let_go(struct lf_training *t)
{
    set_state(t, LF_TRAINING_GONE);
    training_unref(t);
}

static void forget(struct lf_engine *e, struct lf_training *t)
{
    struct lf_training **at = &e->trainings;
    while (*at && *at != t)
        at = &(*at)->next;
    if (*at)
        *at = t->next;
    if (t->job)
        lf_job_release(t->job);
    t->job = NULL;
    e->room = true;
    let_go(t);
}

static void on_event(void *arg, const struct lf_train_event *e)
{
    struct lf_training *t = arg;
    if (e->kind == LF_TRAIN_STEP)
        lf_counter_add(&t->engine->counters->train_steps, 1);
    if (e->kind != LF_TRAIN_MICRO && e->kind != LF_TRAIN_END)
        t->event(t->arg, e);
}

static bool starting(void *arg, double part)
{
    struct lf_training *t = arg;
    struct lf_train_event e = {
        .kind = LF_TRAIN_STARTING, .progress = lf_progress_none(), .part = part};
    if ((int)(part * 100) > t->hundredths || part == 0)
        t->event(t->arg, &e);
    t->hundredths = (int)(part * 100);
    return !atomic_load(&t->unwanted) && !(atomic_load(&t->wanted) & LF_TRAINING_CANCEL);
}

/* Without the engine's thread, which others wait for: a wide adapter takes a while. Datasets belong
 * to the trainer from here on. */
static void *prepare(void *arg)
{
    struct lf_training *t = arg;
    struct lf_job_spec spec = {.settings = &t->settings,
                               .train = t->train,
                               .eval = t->eval,
                               .eval_at = t->eval_at,
                               .init = t->init,
                               .checkpoint_dir = t->checkpoint_dir,
                               .checkpoint_seconds = t->checkpoint_seconds,
                               .fault = &t->fault,
                               .replicas = t->replicas,
                               .n_replicas = t->n_replicas,
                               .event = on_event,
                               .starting = starting,
                               .event_arg = t};
    t->train = t->eval = NULL;
    t->n_replicas = 0;
    t->made = lf_job_prepare(&t->job_made, t->engine->trainer, &spec, &t->made_why);
    atomic_store(&t->prepared, true);
    lf_engine_poke(t->engine);
    return NULL;
}

/* True once: it was prepared, well or not. */
static bool preparation_over(struct lf_training *t, bool wait)
{
    if (!t->preparing || (!wait && !atomic_load(&t->prepared)))
        return false;
    pthread_join(t->preparer, NULL);
    t->preparing = false;
    return true;
}

static void place(struct lf_engine *e, struct lf_training *t)
{
    struct lf_diag diag = {""};
    bool alone = lf_engine_trainings_running(e) == 0;
    bool could_evict = lf_residents_can_shrink(e);
    struct lf_job *j = t->job_made;
    t->job_made = NULL;
    enum lf_err rc = lf_gen_settle(e->gen, &diag);
    rc = rc ?: lf_trainer_place(e->trainer, j, &diag);
    if (rc == LF_OK) {
        t->job = j;
        set_state(t, LF_TRAINING_PLACED);
        return;
    }
    if (rc == LF_E_DEVICE_FULL && could_evict)
        while (lf_residents_shrink(e))
            continue;
    end_early(t, rc, diag.text, alone && !could_evict && e->n_live == 0);
}

/* One step of it on the way to its place. */
static void wait_for_place(struct lf_engine *e, struct lf_training *t, bool cancelled)
{
    bool begun = t->preparing;
    if (!begun && !cancelled)
        t->preparing = pthread_create(&t->preparer, NULL, prepare, t) == 0;
    if (begun && !preparation_over(t, false))
        return;
    if (cancelled) {
        lf_job_discard(t->job_made);
        t->job_made = NULL;
        end_early(t, LF_E_CANCELLED, "cancelled", false);
    } else if (!begun && !t->preparing) {
        end_early(t, LF_E_NO_MEMORY, "no thread to prepare a training", false);
    } else if (begun && t->made != LF_OK) {
        end_early(t, t->made, t->made_why.text, false);
    } else if (begun) {
        place(e, t);
    }
}

/* Where the trainer is done with it. The job stays until the caller has what it needs. */
static void settle(struct lf_training *t)
{
    struct lf_training_end how = {.rc = LF_OK};
    const struct lf_adapter *a = NULL;
    lf_job_progress(t->job, &how.progress, &how.why);
    if (lf_job_state_open(how.progress.state))
        return;
    if (how.progress.state == LF_JOB_DONE)
        how.rc = lf_job_adapter(t->job, &a, &how.why);
    else
        how.rc = how.progress.state == LF_JOB_CANCELLED ? LF_E_CANCELLED : LF_E_INVALID;
    lf_job_fault(t->job, &how.fault);
    if (how.rc == LF_OK)
        how.rc = lf_adapter_copy(&how.adapter, a, &how.why);
    end(t, &how);
}

static void poll_one(struct lf_engine *e, struct lf_training *t)
{
    unsigned wanted = atomic_load(&t->wanted);
    switch (t->state) {
    case LF_TRAINING_WAITING:
        wait_for_place(e, t, wanted & LF_TRAINING_CANCEL);
        break;
    case LF_TRAINING_PLACED:
        if (wanted & LF_TRAINING_CANCEL)
            lf_job_cancel(t->job);
        else if (wanted & LF_TRAINING_FINISH)
            lf_job_finish(t->job);
        else
            lf_job_pause(t->job, wanted & LF_TRAINING_PAUSE);
        settle(t);
        break;
    case LF_TRAINING_ENDED:
        if (wanted & LF_TRAINING_RELEASE)
            forget(e, t);
        break;
    case LF_TRAINING_GONE:
        break;
    }
}

void lf_engine_trainings_poll(struct lf_engine *e)
{
    struct lf_training *next;
    for (struct lf_training *t = e->trainings; t; t = next) {
        next = t->next;
        poll_one(e, t);
    }
}

int lf_engine_trainings_running(const struct lf_engine *e)
{
    int n = 0;
    for (const struct lf_training *t = e->trainings; t; t = t->next) {
        struct lf_progress p;
        if (t->state != LF_TRAINING_PLACED)
            continue;
        lf_job_progress(t->job, &p, NULL);
        n += p.state == LF_JOB_RUNNING;
    }
    return n;
}

bool lf_engine_trainings_idle(const struct lf_engine *e)
{
    for (const struct lf_training *t = e->trainings; t; t = t->next)
        if (t->state == LF_TRAINING_WAITING)
            return false;
    return lf_engine_trainings_running(e) == 0;
}

static uint64_t tokens_trained(const struct lf_engine *e)
{
    uint64_t sum = 0;
    for (const struct lf_training *t = e->trainings; t; t = t->next) {
        struct lf_progress p;
        if (!t->job)
            continue;
        lf_job_progress(t->job, &p, NULL);
        sum += (uint64_t)p.tokens;
    }
    return sum;
}

enum lf_err lf_engine_train_step(struct lf_engine *e, int budget, struct lf_diag *diag)
{
    int active;
    uint64_t before = tokens_trained(e);
    enum lf_err rc = lf_gen_settle(e->gen, diag);
    rc = rc ?: lf_trainer_step(e->trainer, budget, &active, diag);
    if (rc == LF_OK)
        lf_counter_add(&e->counters->train_tokens, tokens_trained(e) - before);
    return rc;
}

/* ---- The end --------------------------------------------------------------------------------- */

static bool any_checkpointing(const struct lf_engine *e)
{
    for (const struct lf_training *t = e->trainings; t; t = t->next)
        if (t->state == LF_TRAINING_PLACED && lf_job_checkpointing(t->job))
            return true;
    return false;
}

void lf_engine_trainings_stop(struct lf_engine *e)
{
    uint64_t end_ns = lf_clock_ns() + STOP_NS;
    struct lf_diag diag = {""};
    for (struct lf_training *t = e->trainings; t; t = t->next)
        if (t->state == LF_TRAINING_PLACED)
            lf_job_checkpoint(t->job);
    while (any_checkpointing(e) && lf_clock_ns() < end_ns)
        if (lf_engine_train_step(e, 0, &diag) != LF_OK)
            break;
    for (struct lf_training *t = e->trainings; t; t = t->next)
        if (t->state == LF_TRAINING_PLACED)
            settle(t); /* the last steps may have finished it */
    lf_engine_end_trainings(e, LF_E_INTERRUPTED, "the daemon stops");
}

void lf_engine_trainings_drop(struct lf_engine *e)
{
    struct lf_training *dropped = NULL;
    pthread_mutex_lock(&e->lock);
    struct lf_training **at = &e->training_inbox;
    for (struct lf_training *t; (t = *at);) {
        if (!(atomic_load(&t->wanted) & LF_TRAINING_CANCEL)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        t->next = dropped;
        dropped = t;
    }
    e->training_end = at;
    pthread_mutex_unlock(&e->lock);
    for (struct lf_training *t; (t = dropped);) {
        dropped = t->next;
        end_early(t, LF_E_CANCELLED, "cancelled", false);
        let_go(t);
    }
}

/* Jobs go with the trainer, their checkpoints stay. */
void lf_engine_end_trainings(struct lf_engine *e, enum lf_err rc, const char *why)
{
    for (struct lf_training *t = e->trainings; t; t = t->next)
        atomic_store(&t->unwanted, true);
    for (struct lf_training *t = e->trainings; t; t = t->next) {
        preparation_over(t, true);
        lf_job_discard(t->job_made);
        t->job_made = NULL;
        if (t->state != LF_TRAINING_ENDED)
            end_early(t, rc, why, false);
    }
    lf_trainer_free(e->trainer);
    e->trainer = NULL;
    while (e->trainings) {
        struct lf_training *t = e->trainings;
        e->trainings = t->next;
        t->job = NULL;
        let_go(t);
    }
}
