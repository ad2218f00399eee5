/* A generation from its caller's side, and the two moments at which both sides meet. */
#include "daemon/engine/inside.h"

#include "core/clock.h"
#include "core/lock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Asking ---------------------------------------------------------------------------------- */

static void unref(struct lf_generation *g)
{
    if (atomic_fetch_sub(&g->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->more);
    free(g->ids);
    free(g->tokens);
    free(g);
}

static enum lf_err generation_new(struct lf_generation **out, struct lf_engine *e,
                                  const struct lf_generate_spec *spec, struct lf_diag *diag)
{
    struct lf_generation *g = calloc(1, sizeof *g);
    if (!g)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a generation");
    g->ids = malloc((size_t)spec->n * sizeof *g->ids);
    g->tokens = malloc((size_t)spec->max_tokens * sizeof *g->tokens);
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->more, &attr);
    pthread_condattr_destroy(&attr);
    atomic_init(&g->refs, 1);
    if (!g->ids || !g->tokens) {
        unref(g);
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a generation");
    }
    memcpy(g->ids, spec->ids, (size_t)spec->n * sizeof *g->ids);
    g->engine = e;
    g->n = spec->n;
    g->pick = *spec->pick;
    g->sample = spec->sample;
    g->max_tokens = spec->max_tokens;
    g->ignore_eos = spec->ignore_eos;
    g->background = spec->background;
    g->times.submitted = lf_clock_ns();
    *out = g;
    return LF_OK;
}

/* With the engine's lock held. */
static enum lf_err check(const struct lf_engine *e, const struct lf_generate_spec *spec,
                         struct lf_diag *diag)
{
    if (e->state == LF_ENGINE_LOADING)
        return lf_fail(diag, LF_E_DEVICE_LOST, "the base is being loaded");
    if (e->state == LF_ENGINE_FAILED)
        return lf_fail(diag, LF_E_DEVICE_LOST, "%s", e->why.text);
    if (e->state != LF_ENGINE_READY || e->stopping)
        return lf_fail(diag, LF_E_DEVICE_LOST, "the daemon is stopping");
    if (spec->n < 1)
        return lf_fail(diag, LF_E_INVALID, "the prompt is empty");
    if (spec->max_tokens < 1 || spec->n > e->status.context_max - spec->max_tokens)
        return lf_fail(diag, LF_E_INVALID,
                       "the prompt has %d tokens and %d may follow: over the context of %d",
                       spec->n, spec->max_tokens, e->status.context_max);
    if (!spec->background && e->queued >= LF_QUEUE_MAX)
        return lf_fail(diag, LF_E_OVERLOADED, "%d requests wait already", e->queued);
    return LF_OK;
}

enum lf_err lf_engine_generate(struct lf_engine *e, const struct lf_generate_spec *spec,
                               struct lf_generation **out, struct lf_diag *diag)
{
    struct lf_generation *g = NULL;
    pthread_mutex_lock(&e->lock);
    enum lf_err rc = check(e, spec, diag);
    pthread_mutex_unlock(&e->lock);
    rc = rc ?: generation_new(&g, e, spec, diag);
    if (rc == LF_OK) {
        pthread_mutex_lock(&e->lock);
        rc = check(e, spec, diag); /* it may have changed meanwhile */
        if (rc == LF_OK) {
            atomic_fetch_add(&g->refs, 1);
            *e->inbox_end = g;
            e->inbox_end = &g->next;
            e->queued += !g->background;
            pthread_cond_signal(&e->more);
        }
        pthread_mutex_unlock(&e->lock);
    }
    if (rc == LF_OK)
        *out = g;
    else if (g)
        unref(g);
    if (rc == LF_E_OVERLOADED)
        lf_counter_add(&e->counters->refused, 1);
    return rc;
}

/* ---- Taking ---------------------------------------------------------------------------------- */

static struct timespec deadline(int timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

void lf_generation_take(struct lf_generation *g, struct lf_generated *out, int cap, int timeout_ms,
                        struct lf_generation_news *news, struct lf_diag *diag)
{
    struct timespec at = deadline(timeout_ms);
    int waited = 0;
    *news = (struct lf_generation_news){0};
    lf_lock_auto held = lf_lock(&g->lock);
    while (g->n_taken == g->n_tokens && !g->ended && waited == 0)
        waited = pthread_cond_timedwait(&g->more, &g->lock, &at);
    int n = g->n_tokens - g->n_taken;
    news->n = n < cap ? n : cap;
    memcpy(out, g->tokens + g->n_taken, (size_t)news->n * sizeof *out);
    g->n_taken += news->n;
    if (g->ended && g->n_taken == g->n_tokens) {
        news->ended = true;
        news->finish = g->finish;
        news->rc = g->rc;
        if (g->rc != LF_OK)
            lf_fail(diag, g->rc, "%s", g->why.text);
    }
}

void lf_generation_times(struct lf_generation *g, struct lf_generation_times *out)
{
    lf_lock_auto held = lf_lock(&g->lock);
    *out = g->times;
}

void lf_generation_cancel(struct lf_generation *g, bool enough)
{
    atomic_store(&g->enough, enough);
    if (!atomic_exchange(&g->cancelled, true))
        lf_engine_poke(g->engine);
}

void lf_generation_release(struct lf_generation *g)
{
    if (!g)
        return;
    pthread_mutex_lock(&g->lock);
    bool ended = g->ended;
    pthread_mutex_unlock(&g->lock);
    if (!ended)
        lf_generation_cancel(g, false);
    unref(g);
}

/* ---- The engine's side ----------------------------------------------------------------------- */

static void count_end(struct lf_counters *c, const struct lf_generation *g)
{
    const struct lf_generation_times *t = &g->times;
    if (g->rc == LF_E_CANCELLED)
        lf_counter_add(atomic_load(&g->enough) ? &c->ended_stop : &c->ended_cancelled, 1);
    else if (g->rc != LF_OK)
        lf_counter_add(&c->ended_failed, 1);
    else if (g->finish == LF_FINISH_EOS)
        lf_counter_add(&c->ended_eos, 1);
    else
        lf_counter_add(&c->ended_length, 1);
    lf_histogram_add(&c->request_seconds, (double)(t->ended - t->submitted) / 1e9);
    if (g->n_tokens > 1)
        lf_histogram_add(&c->token_seconds,
                         (double)(t->ended - t->first_token) / 1e9 / (g->n_tokens - 1));
}

/* With the generation's lock held. */
static void put(struct lf_generation *g, const struct lf_gen_token *t, uint64_t now)
{
    lf_assert(g->n_tokens < g->max_tokens);
    g->tokens[g->n_tokens++] = (struct lf_generated){t->token, t->logprob};
    if (g->n_tokens > 1)
        return;
    g->times.first_token = now;
    if (!g->background)
        lf_histogram_add(&g->engine->counters->first_token_seconds,
                         (double)(now - g->times.submitted) / 1e9);
}

void lf_generation_push(struct lf_generation *g, const struct lf_gen_token *t, uint64_t now)
{
    lf_lock_auto held = lf_lock(&g->lock);
    put(g, t, now);
    pthread_cond_signal(&g->more);
}

void lf_generation_end(struct lf_generation *g, const struct lf_gen_token *last, enum lf_err rc,
                       const char *why)
{
    struct lf_engine *e = g->engine;
    uint64_t now = lf_clock_ns();
    if (g->resident)
        lf_resident_let_go(e, g->resident);
    g->resident = NULL;
    e->room = true;
    pthread_mutex_lock(&g->lock);
    if (last)
        put(g, last, now);
    g->ended = true;
    g->rc = rc;
    g->finish = last ? last->finish : LF_FINISH_NONE;
    lf_fail(&g->why, rc, "%s", why);
    g->times.ended = now;
    count_end(e->counters, g);
    pthread_cond_signal(&g->more);
    pthread_mutex_unlock(&g->lock);
    unref(g);
}
