/* The engine's thread: its turn, its start and its end. */
#include "daemon/engine/inside.h"
#include "daemon/engine/together.h"

#include "core/clock.h"
#include "core/grow.h"
#include "core/log.h"
#include "core/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AWAITED_NS 5000000000ull /* after a request: the next may come at any moment */
#define STATUS_NS 1000000000ull

/* ---- Work in --------------------------------------------------------------------------------- */

/* Its adapter is on the way from now on, whenever its turn comes. */
static enum lf_err waiting_add(struct lf_engine *e, struct lf_generation *g)
{
    size_t need = (size_t)e->n_waiting + 1;
    enum lf_err rc = lf_grow(&e->waiting, &e->cap_waiting, need, sizeof(struct lf_generation *));
    if (rc == LF_OK && g->pick.id != 0 && !(g->resident = lf_resident_want(e, &g->pick)))
        rc = LF_E_NO_MEMORY;
    if (rc == LF_OK)
        e->waiting[e->n_waiting++] = g;
    return rc;
}

static bool has_work(const struct lf_engine *e)
{
    return e->n_live > 0 || lf_engine_trainings_running(e) > 0;
}

/* The step under way takes a while, and who comes meanwhile can be in the next one. */
static bool too_early(const struct lf_engine *e)
{
    return e->n_live > 0 && e->n_live < lf_gen_seqs_max(e->gen) &&
           lf_engine_trainings_running(e) == 0 && lf_clock_ns() < e->launch_ns;
}

/* One that makes way begins no training. */
static bool nothing_new(const struct lf_engine *e)
{
    return !e->stopping && !e->poked && !e->inbox && (!e->training_inbox || e->makes_way);
}

/* With the engine's lock held. */
static void take_trainings(struct lf_engine *e)
{
    struct lf_training **end = &e->trainings;
    while (*end)
        end = &(*end)->next;
    *end = e->training_inbox;
    e->training_inbox = NULL;
    e->training_end = &e->training_inbox;
}

/* Waits for work where there is none, or until it is time for the next step; then takes what came.
 * False: stop. */
static bool take_in(struct lf_engine *e)
{
    bool busy = has_work(e) || (e->room && e->n_waiting > 0), early = e->gen && too_early(e);
    struct timespec at = {.tv_sec = (time_t)(e->launch_ns / LF_NS_PER_S),
                          .tv_nsec = (long)(e->launch_ns % LF_NS_PER_S)};
    pthread_mutex_lock(&e->lock);
    while (!busy && nothing_new(e))
        pthread_cond_wait(&e->more, &e->lock);
    while (early && nothing_new(e))
        early = pthread_cond_timedwait(&e->more, &e->lock, &at) == 0;
    struct lf_generation *g = e->inbox;
    bool stopping = e->stopping;
    for (size_t i = 0; i < e->n_unloads; i++)
        lf_residents_unload(e, e->unloads[i]);
    e->n_unloads = 0;
    e->inbox = NULL;
    e->inbox_end = &e->inbox;
    if (!e->makes_way || stopping)
        take_trainings(e);
    e->poked = false;
    pthread_mutex_unlock(&e->lock);
    while (g) {
        struct lf_generation *next = g->next;
        g->next = NULL;
        if (waiting_add(e, g) != LF_OK) {
            lf_generation_leaves_queue(g);
            lf_generation_end(g, NULL, LF_E_NO_MEMORY, "no memory for the queue");
        }
        g = next;
    }
    lf_deliverer_flush(e->deliverer);
    return !stopping;
}

/* ---- A turn ---------------------------------------------------------------------------------- */

/* Of the last training batch's seconds, those that somebody waited for it. Who comes while it runs,
 * and nobody else is there, waits for its end. */
static double held_up(const struct lf_engine *e, double seconds)
{
    uint64_t end = e->train_ns + (uint64_t)(seconds * LF_NS_PER_S), since = end;
    for (int i = 0; i < e->n_live; i++)
        if (e->live[i]->times.submitted < since)
            since = e->live[i]->times.submitted;
    if (e->train_beside || since < e->train_ns)
        return seconds;
    return (double)(end - since) / LF_NS_PER_S;
}

/* What the last training batch took, when the stream is past it. */
static enum lf_err count_training(struct lf_engine *e, struct lf_diag *diag)
{
    int tokens = e->train_tokens;
    if (tokens == 0)
        return LF_OK;
    enum lf_err rc = lf_mark_wait(e->train_end, diag);
    e->train_tokens = 0;
    if (rc != LF_OK)
        return rc;
    double seconds = lf_mark_seconds(e->train_begin, e->train_end);
    lf_share_trained(&e->share, tokens, seconds, held_up(e, seconds));
    return rc;
}

/* A block more with each batch, since the thread waits for it. What cannot be had is made again. */
static void take_host_memory(struct lf_engine *e)
{
    struct lf_diag why;
    if (lf_exec_host_take(e->exec, 1, &why) != LF_OK)
        lf_log(LF_LOG_WARN, "engine", "more blocks are run again in backward: %s", why.text);
}

static int training_budget(const struct lf_engine *e)
{
    bool awaited = e->asked_ns > 0 && lf_clock_ns() - e->asked_ns < AWAITED_NS;
    return lf_share_training(&e->share, e->n_live > 0, awaited);
}

/* A training batch: a whole one while nobody is there or was a moment ago; else a short one, beside
 * live sequences once serving has had as much time as training. */
static enum lf_err train(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_share *s = &e->share;
    bool beside = e->n_live > 0;
    enum lf_err rc = count_training(e, diag);
    if (rc != LF_OK || (beside && s->debt > 0))
        return rc;
    take_host_memory(e);
    lf_mark_set(e->train_begin);
    e->train_ns = lf_clock_ns();
    rc = lf_engine_train_step(e, training_budget(e), diag);
    lf_mark_set(e->train_end);
    e->train_tokens = lf_trainer_tokens(e->trainer);
    e->train_beside = beside;
    return rc;
}

/* What /metrics and lf_engine_generate look at. */
static void show(struct lf_engine *e, bool with_device)
{
    if (with_device)
        lf_device_info(e->dev, &e->info);
    struct lf_engine_status now = {.waiting = e->n_waiting,
                                   .idle_ns = e->idle_ns,
                                   .load_seconds = e->load_seconds,
                                   .slots = e->o->slots,
                                   .slots_used = e->residents.n_placed,
                                   .adapter_bytes = e->residents.region.used,
                                   .adapter_bytes_max = e->residents.region.bytes,
                                   .adapters_host = e->residents.n_host,
                                   .host_bytes = e->residents.host_bytes,
                                   .host_bytes_max = e->residents.host_max,
                                   .trainings = lf_engine_trainings_running(e),
                                   .context_max = lf_gen_context_max(e->gen),
                                   .seqs_max = lf_gen_seqs_max(e->gen),
                                   .device_word = e->dev->traits->word,
                                   .act = e->dev->act,
                                   .memory_used = e->info.memory_used,
                                   .memory_peak = e->info.memory_peak,
                                   .memory_total = e->info.memory_total,
                                   .plan = e->plan};
    memcpy(now.device, e->info.name, sizeof now.device);
    lf_gen_status(e->gen, &now.gen);
    lf_lock_auto held = lf_lock(&e->lock);
    e->status = now;
}

/* Turns until it is to stop or to leave (LF_OK), or something of the device fails. */
static enum lf_err run(struct lf_engine *e, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    uint64_t shown = 0;
    while (rc == LF_OK && !lf_engine_makes_way(e) && (rc = lf_gen_await(e->gen, diag)) == LF_OK &&
           take_in(e)) {
        lf_engine_sweep(e);
        if (e->trainer)
            lf_engine_trainings_poll(e);
        if (e->lent)
            take_host_memory(e);
        lf_engine_lend_turns(e, training_budget(e));
        lf_engine_admit(e);
        if (e->n_live > e->n_background)
            e->asked_ns = lf_clock_ns();
        if (too_early(e))
            continue;
        if (e->n_live > 0 && e->train_tokens > 0)
            lf_mark_set(e->train_end); /* until serving goes on it is the training's time */
        rc = e->n_live > 0 ? lf_engine_serve_step(e, diag) : lf_gen_settle(e->gen, diag);
        if (rc == LF_OK && e->trainer && lf_engine_trainings_running(e) > 0)
            rc = train(e, diag);
        if (rc == LF_OK && e->trainer)
            lf_engine_trainings_poll(e);
        if (lf_engine_trainings_idle(e) && !e->lent)
            lf_exec_host_give(e->exec);
        bool with_device = lf_clock_ns() - shown > STATUS_NS;
        show(e, with_device);
        if (with_device)
            shown = lf_clock_ns();
    }
    return rc;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void set_state(struct lf_engine *e, enum lf_engine_state state, enum lf_err rc,
                      const char *why)
{
    lf_lock_auto held = lf_lock(&e->lock);
    e->state = state;
    e->rc = rc;
    e->loading = false;
    if (rc == LF_OK)
        e->failed_ns = 0;
    lf_fail(&e->why, rc, "%s", why);
    pthread_cond_broadcast(&e->brought);
}

/* Everything that is under way, and what came in while the state said otherwise, ends. */
static void end_all(struct lf_engine *e, enum lf_err rc, const char *why)
{
    lf_engine_poke(e); /* take_in does not wait */
    take_in(e);
    lf_engine_end_bringing(e, rc, why);
    lf_engine_end_lending(e);
    if (e->gen)
        lf_engine_end_generations(e, rc, why);
    lf_engine_end_trainings(e, rc, why);
}

/* Opens, and runs until it is to stop or to leave (LF_OK), or cannot go on. */
static enum lf_err live(struct lf_engine *e, struct lf_diag *diag)
{
    enum lf_err rc = lf_engine_open(e, diag);
    if (rc != LF_OK)
        return rc;
    show(e, true);
    set_state(e, LF_ENGINE_READY, LF_OK, "");
    lf_counter_add(&e->counters->bases_loaded, 1);
    lf_log(LF_LOG_INFO, "engine", "%s: %sready on %s, loaded in %.1f s", e->base->name, e->called,
           e->status.device, e->load_seconds);
    return run(e, diag);
}

static void *engine_main(void *arg)
{
    struct lf_engine *e = arg;
    struct lf_diag diag = {""};
    enum lf_err rc = LF_OK;
    bool sleeps = true;
    while (sleeps && lf_engine_await(e)) {
        diag.text[0] = '\0';
        rc = live(e, &diag);
        sleeps = lf_engine_sleeps(e, rc, &diag);
        if (sleeps && rc != LF_OK) /* what waits for room would wait for ever */
            end_all(e, rc == LF_E_DEVICE_FULL ? LF_E_INVALID : rc, e->why.text);
        if (sleeps)
            lf_engine_sleep(e);
    }
    if (sleeps || rc == LF_OK) { /* stopped before it came again, or while it was there */
        take_in(e);
        lf_engine_trainings_stop(e);
        end_all(e, LF_E_CANCELLED, "the daemon is stopping");
        set_state(e, LF_ENGINE_STOPPED, LF_OK, "");
    } else {
        lf_log(LF_LOG_ERROR, "engine", "%s%s: %s", e->called, lf_err_name(rc), diag.text);
        lf_counter_add(&e->counters->device_losses, rc == LF_E_DEVICE_LOST);
        set_state(e, LF_ENGINE_FAILED, rc, diag.text);
        end_all(e, LF_E_DEVICE_LOST, diag.text);
    }
    lf_engine_close(e);
    return NULL;
}

enum lf_err lf_engine_start(struct lf_engine **out, const struct lf_engine_around *around,
                            struct lf_diag *diag)
{
    struct lf_engine *e = calloc(1, sizeof *e);
    if (!e)
        return lf_no_memory(diag, "the engine");
    e->o = around->o;
    e->seat = around->seat;
    e->base = around->base;
    if (e->o->seats > 1)
        snprintf(e->called, sizeof e->called, "seat %d: ", e->seat);
    e->cache_dir = around->cache_dir;
    e->bytes = around->bytes;
    e->sharers = around->sharers > 0 ? around->sharers : 1;
    e->together = around->together;
    e->pinned = around->pinned;
    e->first = around->first || around->pinned;
    e->state = e->together && !e->first ? LF_ENGINE_ABSENT : LF_ENGINE_LOADING;
    if (around->plan) {
        e->plan = e->status.plan = *around->plan;
        e->status.context_max = around->context_max;
    }
    e->memory = around->memory;
    e->counters = around->counters;
    e->waits = around->waiting;
    e->inbox_end = &e->inbox;
    e->training_end = &e->training_inbox;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->more, &monotonic);
    pthread_cond_init(&e->brought, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&e->gone, NULL);
    enum lf_err rc = lf_residents_init(&e->residents, diag);
    rc = rc ?: lf_deliverer_start(&e->deliverer, lf_generation_deliver, diag);
    if (rc != LF_OK) {
        lf_engine_free(e);
        return rc;
    }
    if (e->together)
        e->number = lf_together_add(e->together, e, e->base->name, e->bytes, e->pinned);
    int bad = pthread_create(&e->thread, NULL, engine_main, e);
    if (bad) {
        lf_engine_free(e);
        return lf_fail_errno(diag, bad, "the engine's thread");
    }
    e->started = true;
    *out = e;
    return LF_OK;
}

enum lf_err lf_engine_unload(struct lf_engine *e, uint64_t id, struct lf_diag *diag)
{
    pthread_mutex_lock(&e->lock);
    size_t i = 0;
    while (i < e->n_unloads && e->unloads[i] != id)
        i++;
    enum lf_err rc = lf_grow(&e->unloads, &e->cap_unloads, i + 1, sizeof *e->unloads);
    if (rc == LF_OK) {
        e->unloads[i] = id;
        e->n_unloads += i == e->n_unloads;
        e->poked = true;
        pthread_cond_signal(&e->more);
    }
    pthread_mutex_unlock(&e->lock);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory to unload an adapter");
}

void lf_engine_stop(struct lf_engine *e)
{
    if (!e || !e->started)
        return;
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_signal(&e->more);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    lf_deliverer_stop(e->deliverer);
    e->deliverer = NULL;
    e->started = false;
}

void lf_engine_free(struct lf_engine *e)
{
    if (!e)
        return;
    lf_engine_stop(e);
    lf_deliverer_stop(e->deliverer);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->more);
    pthread_cond_destroy(&e->gone);
    pthread_cond_destroy(&e->brought);
    lf_residents_destroy(&e->residents);
    free(e->waiting);
    free(e->unloads);
    free(e);
}

enum lf_engine_state lf_engine_state(struct lf_engine *e)
{
    lf_lock_auto held = lf_lock(&e->lock);
    return e->stopping ? LF_ENGINE_STOPPED : e->state;
}

enum lf_err lf_engine_failure(struct lf_engine *e, struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&e->lock);
    return lf_fail(diag, e->rc, "%s", e->why.text);
}

void lf_engine_status(struct lf_engine *e, struct lf_engine_status *out)
{
    lf_lock_auto held = lf_lock(&e->lock);
    *out = e->status;
    out->state = e->state;
    out->waiting = e->queued + e->wanted;
    out->requests = e->requests;
    out->given = e->given;
    out->helping = e->helping;
    out->part = e->bytes;
    out->pinned = e->pinned;
    out->loading = e->loading;
    out->load_failed = e->failed_ns > 0;
}
