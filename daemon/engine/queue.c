/* A generation from its caller's side, and the two moments at which both sides meet. */
#include "daemon/engine/blend.h"
#include "daemon/engine/inside.h"

#include "core/clock.h"
#include "core/lock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Asking ---------------------------------------------------------------------------------- */

static void scores_free(struct lf_scores *s)
{
    free(s->logprob);
    free(s->top_ids);
    free(s->top_logprob);
}

/* For n tokens with top_n alternatives each. */
static bool scores_new(struct lf_scores *s, size_t n, int top_n)
{
    size_t tops = n * (size_t)top_n;
    s->logprob = malloc(n * sizeof *s->logprob + 1);
    s->top_ids = tops ? malloc(tops * sizeof *s->top_ids) : NULL;
    s->top_logprob = tops ? malloc(tops * sizeof *s->top_logprob) : NULL;
    return s->logprob && (tops == 0 || (s->top_ids && s->top_logprob));
}

/* The n-th token as its score has it. */
static struct lf_generated scored(const struct lf_scores *s, size_t n, int top_n, int32_t token)
{
    size_t top = n * (size_t)top_n;
    return (struct lf_generated){.token = token,
                                 .logprob = s->logprob[n],
                                 .top_ids = top_n ? s->top_ids + top : NULL,
                                 .top_logprob = top_n ? s->top_logprob + top : NULL};
}

static void unref(struct lf_generation *g)
{
    if (atomic_fetch_sub(&g->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->more);
    lf_guide_free(g->guide);
    lf_blend_release(g->pick.blend);
    free(g->ids);
    free(g->bias);
    free(g->tokens);
    scores_free(&g->scores);
    scores_free(&g->tops);
    free(g);
}

static bool copy(void *to, const void *from, size_t bytes)
{
    void *p = malloc(bytes + 1); /* not NULL, for nothing too */
    *(void **)to = p;
    if (p && bytes > 0)
        memcpy(p, from, bytes);
    return p != NULL;
}

/* What it fills as it goes. Pages that nothing is written to cost nothing. */
static bool tables_new(struct lf_generation *g, const struct lf_generate_spec *spec)
{
    size_t max = (size_t)spec->max_tokens;
    bool ok = copy(&g->ids, spec->ids, (size_t)spec->n * sizeof *g->ids) &&
              copy(&g->bias, spec->bias, (size_t)spec->n_bias * sizeof *g->bias);
    g->tokens = malloc(max * sizeof *g->tokens + 1);
    ok = ok && g->tokens && scores_new(&g->tops, max, spec->sample.top_n);
    return ok &&
           (!spec->score_prompt || scores_new(&g->scores, (size_t)spec->n, spec->sample.top_n));
}

static enum lf_err generation_new(struct lf_generation **out, struct lf_engine *e,
                                  const struct lf_generate_spec *spec, struct lf_diag *diag)
{
    struct lf_generation *g = calloc(1, sizeof *g);
    if (!g)
        return lf_no_memory(diag, "a generation");
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->more, &attr);
    pthread_condattr_destroy(&attr);
    atomic_init(&g->refs, 1);
    bool ok = tables_new(g, spec);
    if (ok && spec->grammar)
        ok = lf_guide_new(&g->guide, spec->grammar, diag) == LF_OK;
    if (!ok) {
        unref(g);
        return lf_no_memory(diag, "a generation");
    }
    g->engine = e;
    g->usage = lf_usage_of(&e->counters->usages, spec->pick->id);
    g->n = spec->n;
    g->pick = *spec->pick;
    lf_blend_hold(g->pick.blend);
    g->sample = spec->sample;
    g->n_bias = spec->n_bias;
    g->scored = spec->score_prompt;
    g->max_tokens = spec->max_tokens;
    g->ignore_eos = spec->ignore_eos;
    g->background = spec->background;
    g->priority = spec->priority;
    g->key = spec->key;
    g->deadline_ns = spec->deadline_ns;
    g->whole = spec->whole;
    g->times.submitted = lf_clock_ns();
    *out = g;
    return LF_OK;
}

void lf_generation_leaves_queue(struct lf_generation *g)
{
    struct lf_engine *e = g->engine;
    if (g->background)
        return;
    lf_waiting_leave(e->waits, g->key);
    lf_lock_auto held = lf_lock(&e->lock);
    e->queued--;
}

/* With the engine's lock held. */
static enum lf_err check(const struct lf_engine *e, const struct lf_generate_spec *spec,
                         struct lf_diag *diag)
{
    if (e->state == LF_ENGINE_LOADING)
        return lf_fail(diag, LF_E_DEVICE_LOST, "the base is being loaded");
    if (e->state == LF_ENGINE_FAILED)
        return lf_fail(diag, LF_E_DEVICE_LOST, "%s", e->why.text);
    if (e->stopping || e->state == LF_ENGINE_STOPPED)
        return lf_fail(diag, LF_E_DEVICE_LOST, "the daemon is stopping");
    if (e->state == LF_ENGINE_ABSENT)
        return lf_fail(diag, LF_E_DEVICE_LOST, "the base is not on the device");
    if (spec->n < 1)
        return lf_fail(diag, LF_E_INVALID, "the prompt is empty");
    if (spec->max_tokens < 0 || spec->n > e->status.context_max - spec->max_tokens)
        return lf_fail(diag, LF_E_INVALID,
                       "the prompt has %d tokens and %d may follow: over the context of %d",
                       spec->n, spec->max_tokens, e->status.context_max);
    return LF_OK;
}

/* It is the engine's from now on, as far as this is still ready. */
static enum lf_err submit(struct lf_engine *e, struct lf_generation *g,
                          const struct lf_generate_spec *spec, struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&e->lock);
    enum lf_err rc = check(e, spec, diag);
    if (rc != LF_OK)
        return rc;
    atomic_fetch_add(&g->refs, 1);
    *e->inbox_end = g;
    e->inbox_end = &g->next;
    e->queued += !g->background;
    e->requests++;
    atomic_fetch_add(&g->usage->waiting, 1);
    pthread_cond_signal(&e->more);
    return LF_OK;
}

static void count_refused(struct lf_engine *e, const struct lf_generate_spec *spec)
{
    lf_counter_add(&e->counters->refused, 1);
    lf_counter_add(&lf_usage_of(&e->counters->usages, spec->pick->id)->refused, 1);
}

enum lf_err lf_engine_generate(struct lf_engine *e, const struct lf_generate_spec *spec,
                               struct lf_generation **out, struct lf_diag *diag)
{
    struct lf_generation *g = NULL;
    pthread_mutex_lock(&e->lock);
    enum lf_err rc = check(e, spec, diag);
    pthread_mutex_unlock(&e->lock);
    if (rc == LF_OK && !spec->background)
        rc = lf_waiting_enter(e->waits, spec->key, spec->waiting_max, diag);
    if (rc == LF_E_OVERLOADED)
        count_refused(e, spec);
    if (rc != LF_OK)
        return rc;
    rc = generation_new(&g, e, spec, diag);
    if (g)
        rc = submit(e, g, spec, diag);
    if (rc == LF_OK) {
        *out = g;
        return rc;
    }
    if (g)
        unref(g);
    if (!spec->background)
        lf_waiting_leave(e->waits, spec->key);
    return rc;
}

/* ---- Taking ---------------------------------------------------------------------------------- */

struct timespec lf_deadline_in(int timeout_ms)
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
    struct timespec at = lf_deadline_in(timeout_ms);
    int waited = 0;
    *news = (struct lf_generation_news){0};
    lf_lock_auto held = lf_lock(&g->lock);
    while ((g->whole || g->n_taken == g->n_tokens) && !g->ended && waited == 0)
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

struct lf_generated lf_generation_prompt(const struct lf_generation *g, int t)
{
    return scored(&g->scores, (size_t)t, g->sample.top_n, g->ids[t]);
}

int lf_generation_cached(const struct lf_generation *g)
{
    return g->n_cached;
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

static void count_usage(const struct lf_generation *g)
{
    struct lf_adapter_usage *u = g->usage;
    const struct lf_generation_times *t = &g->times;
    bool left = g->rc == LF_E_CANCELLED && !atomic_load(&g->enough);
    atomic_fetch_sub(t->started ? &u->running : &u->waiting, 1);
    lf_counter_add(left                                        ? &u->cancelled
                   : g->rc != LF_OK && g->rc != LF_E_CANCELLED ? &u->failed
                                                               : &u->ended,
                   1);
    lf_counter_add(&u->completion_tokens, (uint64_t)g->n_tokens);
    if (g->n_tokens > 1) {
        lf_counter_add(&u->later_micro, (t->ended - t->first_token) / 1000);
        lf_counter_add(&u->later_tokens, (uint64_t)g->n_tokens - 1);
    }
}

static void count_end(struct lf_counters *c, const struct lf_generation *g)
{
    const struct lf_generation_times *t = &g->times;
    if (g->rc == LF_E_CANCELLED)
        lf_counter_add(atomic_load(&g->enough) ? &c->ended_stop : &c->ended_cancelled, 1);
    else if (g->rc != LF_OK)
        lf_counter_add(&c->ended_failed, 1);
    else
        lf_counter_add(g->finish == LF_FINISH_LENGTH ? &c->ended_length : &c->ended_eos, 1);
    lf_histogram_add(&c->request_seconds, (double)(t->ended - t->submitted) / 1e9);
    if (g->n_tokens > 1)
        lf_histogram_add(&c->token_seconds,
                         (double)(t->ended - t->first_token) / 1e9 / (g->n_tokens - 1));
}

/* With the generation's lock held. */
static void put(struct lf_generation *g, const struct lf_delivery *d)
{
    lf_assert(g->n_tokens < g->max_tokens);
    g->tokens[g->n_tokens] = scored(&g->tops, (size_t)g->n_tokens, g->sample.top_n, d->token);
    if (g->n_tokens++ > 0)
        return;
    g->times.first_token = d->ns;
    if (g->background)
        return;
    lf_histogram_add(&g->engine->counters->first_token_seconds,
                     (double)(d->ns - g->times.submitted) / 1e9);
    lf_counter_add(&g->usage->first_micro, (d->ns - g->times.submitted) / 1000);
    lf_counter_add(&g->usage->first_tokens, 1);
}

void lf_generation_deliver(const struct lf_delivery *d)
{
    struct lf_generation *g = d->g;
    pthread_mutex_lock(&g->lock);
    if (d->token >= 0)
        put(g, d);
    if (d->ends) {
        g->ended = true;
        g->rc = d->rc;
        g->finish = d->finish;
        g->times.ended = d->ns;
        count_end(g->engine->counters, g);
        count_usage(g);
    }
    if (d->ends || !g->whole)
        pthread_cond_signal(&g->more);
    pthread_mutex_unlock(&g->lock);
    if (d->ends)
        unref(g);
}

/* Keeps what is borrowed of the token, which may be below 0: the prompt was only read. */
static struct lf_delivery delivery(struct lf_generation *g, const struct lf_gen_token *t,
                                   uint64_t now)
{
    struct lf_delivery d = {.g = g, .token = t ? t->token : -1, .ns = now};
    if (t)
        d.finish = t->finish;
    if (t && g->n_made == 0)
        g->n_cached = t->n_cached;
    if (d.token < 0)
        return d;
    lf_assert(g->n_made < g->max_tokens);
    size_t at = (size_t)g->n_made++, n = (size_t)g->sample.top_n;
    g->tops.logprob[at] = t->logprob;
    if (n > 0) {
        memcpy(g->tops.top_ids + at * n, t->top_ids, n * sizeof *t->top_ids);
        memcpy(g->tops.top_logprob + at * n, t->top_logprob, n * sizeof *t->top_logprob);
    }
    return d;
}

void lf_generation_push(struct lf_generation *g, const struct lf_gen_token *t, uint64_t now)
{
    struct lf_delivery d = delivery(g, t, now);
    lf_deliverer_put(g->engine->deliverer, &d);
}

void lf_generation_end(struct lf_generation *g, const struct lf_gen_token *last, enum lf_err rc,
                       const char *why)
{
    struct lf_engine *e = g->engine;
    struct lf_delivery d = delivery(g, last, lf_clock_ns());
    d.ends = true;
    d.rc = rc;
    if (g->resident)
        lf_resident_let_go(e, g->resident, g->held);
    g->resident = NULL;
    g->held = false;
    e->room = true;
    if (rc != LF_OK) {
        lf_lock_auto held = lf_lock(&g->lock);
        lf_fail(&g->why, rc, "%s", why);
    }
    pthread_mutex_lock(&e->lock);
    e->requests--;
    pthread_mutex_unlock(&e->lock);
    lf_deliverer_put(e->deliverer, &d);
}
