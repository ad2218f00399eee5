/* Trainings on the engine: given a place, stepped, told about, ended. */
#include "daemon/engine/inside.h"

#include "core/clock.h"

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
    free(t->checkpoint_dir);
    free(t);
}

static void poke(struct lf_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->poked = true;
    pthread_cond_signal(&e->more);
    pthread_mutex_unlock(&e->lock);
}

static enum lf_err training_new(struct lf_training **out, struct lf_engine *e,
                                const struct lf_training_spec *spec, struct lf_diag *diag)
{
    struct lf_training *t = calloc(1, sizeof *t);
    if (!t) {
        lf_dataset_free(spec->train);
        lf_dataset_free(spec->eval);
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a training");
    }
    atomic_init(&t->refs, 1);
    t->engine = e;
    t->train = spec->train;
    t->eval = spec->eval;
    t->event = spec->event;
    t->event_arg = spec->event_arg;
    t->checkpoint_seconds = spec->checkpoint_seconds;
    t->checkpoint_dir = strdup(spec->checkpoint_dir);
    lf_train_settings_default(&t->settings);
    if (!t->checkpoint_dir || lf_train_settings_copy(&t->settings, spec->settings) != LF_OK) {
        training_unref(t);
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a training");
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
    *out = t; /* before the engine can speak of it */
    pthread_mutex_lock(&e->lock);
    if (e->state == LF_ENGINE_FAILED || e->state == LF_ENGINE_STOPPED || e->stopping) {
        rc = lf_fail(diag, LF_E_INTERRUPTED, "the engine has stopped");
    } else if (e->o->train_tokens == 0) {
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "this daemon does not train (--train-tokens 0)");
    } else {
        atomic_fetch_add(&t->refs, 1);
        *e->training_end = t;
        e->training_end = &t->next;
        pthread_cond_signal(&e->more);
    }
    pthread_mutex_unlock(&e->lock);
    if (rc != LF_OK)
        training_unref(t);
    return rc;
}

void lf_training_pause(struct lf_training *t, bool paused)
{
    atomic_store(&t->pause, paused);
    poke(t->engine);
}

void lf_training_cancel(struct lf_training *t)
{
    atomic_store(&t->cancel, true);
    poke(t->engine);
}

void lf_training_release(struct lf_training *t)
{
    struct lf_engine *e = t->engine;
    atomic_store(&t->released, true);
    poke(e);
    pthread_mutex_lock(&e->lock);
    while (!t->gone)
        pthread_cond_wait(&e->gone, &e->lock);
    pthread_mutex_unlock(&e->lock);
    training_unref(t);
}

/* ---- Telling --------------------------------------------------------------------------------- */

static void tell(struct lf_training *t, struct lf_training_event *e)
{
    if (t->job)
        lf_job_progress(t->job, &e->progress);
    t->event(t->event_arg, e);
}

static void tell_ended(struct lf_training *t, enum lf_err rc, const char *why, bool alone)
{
    struct lf_training_event e = {.kind = LF_TRAINING_ENDED, .rc = rc, .alone = alone};
    lf_fail(&e.why, rc, "%s", why ? why : "");
    t->told = true;
    tell(t, &e);
}

static void on_event(void *arg, const struct lf_train_event *event)
{
    struct lf_training *t = arg;
    struct lf_training_event e = {.kind = LF_TRAINING_STEP, .step = *event};
    e.step.reason = NULL;
    switch (event->kind) {
    case LF_TRAIN_MICRO:
        return;
    case LF_TRAIN_STEP:
        lf_counter_add(&t->engine->counters->train_steps, 1);
        break;
    case LF_TRAIN_EVAL:
        e.kind = LF_TRAINING_EVAL;
        break;
    case LF_TRAIN_CHECKPOINT:
        t->checkpointed = true;
        e.kind = LF_TRAINING_CHECKPOINT;
        lf_fail(&e.why, LF_OK, "%s", event->reason ? event->reason : "");
        break;
    case LF_TRAIN_END:
        t->over = true;
        return;
    }
    tell(t, &e);
}

/* ---- In and out ------------------------------------------------------------------------------ */

static void let_go(struct lf_engine *e, struct lf_training *t)
{
    pthread_mutex_lock(&e->lock);
    t->gone = true;
    pthread_cond_broadcast(&e->gone);
    pthread_mutex_unlock(&e->lock);
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
    let_go(e, t);
}

/* Datasets belong to the trainer from here on, whatever it answers. */
static void place(struct lf_engine *e, struct lf_training *t)
{
    struct lf_diag diag = {""};
    struct lf_job_spec spec = {.settings = &t->settings,
                               .train = t->train,
                               .eval = t->eval,
                               .checkpoint_dir = t->checkpoint_dir,
                               .checkpoint_seconds = t->checkpoint_seconds,
                               .event = on_event,
                               .event_arg = t};
    bool alone = lf_engine_trainings_running(e) == 0;
    bool could_evict = false;
    for (int i = 0; i < e->n_residents; i++)
        could_evict = could_evict || e->residents[i]->users == 0;
    enum lf_err rc = lf_trainer_add(e->trainer, &spec, &t->job, &diag);
    t->train = t->eval = NULL;
    if (rc == LF_OK) {
        tell(t, &(struct lf_training_event){.kind = LF_TRAINING_STARTED});
        return;
    }
    if (rc == LF_E_OVERLOADED)
        rc = LF_E_DEVICE_FULL;
    if (rc == LF_E_DEVICE_FULL && could_evict)
        while (lf_residents_evict(e))
            continue;
    tell_ended(t, rc, diag.text, alone && !could_evict && e->n_live == 0);
}

/* The trainer is done with it: how did it end? The job stays until the caller has what it needs. */
static void settle(struct lf_training *t)
{
    struct lf_training_event ended = {.kind = LF_TRAINING_ENDED};
    lf_job_progress(t->job, &ended.progress);
    switch (ended.progress.state) {
    case LF_JOB_DONE: {
        const struct lf_adapter *a = NULL;
        ended.rc = lf_job_adapter(t->job, &a, &ended.why);
        if (ended.rc == LF_OK)
            ended.rc = lf_adapter_copy(&ended.adapter, a, &ended.why);
        break;
    }
    case LF_JOB_CANCELLED:
        ended.rc = LF_E_CANCELLED;
        break;
    case LF_JOB_FAILED:
    case LF_JOB_RUNNING:
    case LF_JOB_PAUSED:
        ended.rc = lf_fail(&ended.why, LF_E_INVALID, "%s", ended.progress.reason);
        break;
    }
    t->told = true;
    t->event(t->event_arg, &ended);
}

static void poll_one(struct lf_engine *e, struct lf_training *t)
{
    if (t->told) {
        if (atomic_load(&t->released))
            forget(e, t);
        return;
    }
    if (!t->job) {
        if (atomic_load(&t->cancel))
            tell_ended(t, LF_E_CANCELLED, "cancelled", false);
        else
            place(e, t);
        return;
    }
    if (atomic_load(&t->cancel) && !t->over)
        lf_job_cancel(t->job);
    bool pause = atomic_load(&t->pause);
    if (pause != t->paused && !t->over) {
        t->paused = pause;
        lf_job_pause(t->job, pause);
        tell(t,
             &(struct lf_training_event){.kind = pause ? LF_TRAINING_PAUSED : LF_TRAINING_RESUMED});
    }
    if (t->over)
        settle(t);
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
        struct lf_job_progress p;
        if (!t->job || t->over)
            continue;
        lf_job_progress(t->job, &p);
        n += p.state == LF_JOB_RUNNING;
    }
    return n;
}

static uint64_t tokens_trained(const struct lf_engine *e)
{
    uint64_t sum = 0;
    for (const struct lf_training *t = e->trainings; t; t = t->next) {
        struct lf_job_progress p;
        if (!t->job)
            continue;
        lf_job_progress(t->job, &p);
        sum += (uint64_t)p.tokens;
    }
    return sum;
}

enum lf_err lf_engine_train_step(struct lf_engine *e, int budget, struct lf_diag *diag)
{
    int active;
    uint64_t before = tokens_trained(e);
    enum lf_err rc = lf_trainer_step(e->trainer, budget, &active, diag);
    if (rc == LF_OK)
        lf_counter_add(&e->counters->train_tokens, tokens_trained(e) - before);
    return rc;
}

/* ---- The end --------------------------------------------------------------------------------- */

static bool owes_checkpoint(const struct lf_engine *e)
{
    for (const struct lf_training *t = e->trainings; t; t = t->next) {
        struct lf_job_progress p;
        if (!t->job || t->over || t->checkpointed)
            continue;
        lf_job_progress(t->job, &p);
        if (p.state == LF_JOB_RUNNING)
            return true;
    }
    return false;
}

void lf_engine_trainings_stop(struct lf_engine *e)
{
    uint64_t end = lf_clock_ns() + STOP_NS;
    struct lf_diag diag = {""};
    for (struct lf_training *t = e->trainings; t; t = t->next) {
        t->checkpointed = false;
        if (t->job && !t->over)
            lf_job_checkpoint(t->job);
    }
    while (owes_checkpoint(e) && lf_clock_ns() < end)
        if (lf_engine_train_step(e, 0, &diag) != LF_OK)
            break;
    for (struct lf_training *t = e->trainings; t; t = t->next)
        if (t->over && !t->told)
            settle(t); /* the last steps finished it */
    lf_engine_end_trainings(e, LF_E_INTERRUPTED, "the daemon stops");
}

/* Jobs go with the trainer, their checkpoints stay. */
void lf_engine_end_trainings(struct lf_engine *e, enum lf_err rc, const char *why)
{
    for (struct lf_training *t = e->trainings; t; t = t->next)
        if (!t->told)
            tell_ended(t, rc, why, false);
    lf_trainer_free(e->trainer);
    e->trainer = NULL;
    while (e->trainings) {
        struct lf_training *t = e->trainings;
        e->trainings = t->next;
        t->job = NULL;
        let_go(e, t);
    }
}
