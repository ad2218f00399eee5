/* Serving: who comes onto the device, one step of all who are there, and their tokens out.
 *
 * Waiting generations are admitted by their priority and as the turns of their keys and adapters
 * come (turns.c), those of one oldest first. One key's requests for one adapter have the places
 * that the device has for a step and no more: a few others are kept for who comes beside them. One
 * whose adapter is not on the device does not hold up those behind it: until it has waited
 * adapter_cycle_s, then nobody overtakes it any more, the adapters in use run dry, and one of them
 * makes room. */
#include "daemon/engine/inside.h"

#include "core/clock.h"

#define BACKGROUND_PART 4 /* at most a fourth of the sequences evaluate */

/* ---- In -------------------------------------------------------------------------------------- */

/* Waiting generations that ended or were admitted have left NULLs. */
static void waiting_pack(struct lf_engine *e)
{
    int n = 0;
    for (int i = 0; i < e->n_waiting; i++)
        if (e->waiting[i])
            e->waiting[n++] = e->waiting[i];
    e->n_waiting = n;
}

static void leave_queue(struct lf_engine *e, int i)
{
    lf_generation_leaves_queue(e->waiting[i]);
    e->waiting[i] = NULL;
}

static void refuse(struct lf_engine *e, int i, enum lf_err rc, const char *why)
{
    struct lf_generation *g = e->waiting[i];
    leave_queue(e, i);
    lf_generation_end(g, NULL, rc, why);
}

/* *slot: its adapter's, -1 for the base; *ready false: not yet. */
static enum lf_err adapter_ready(struct lf_engine *e, struct lf_generation *g, bool *ready,
                                 int *slot, struct lf_diag *diag)
{
    *slot = -1;
    *ready = g->pick.id == 0;
    if (*ready)
        return LF_OK;
    struct lf_resident *r = g->resident;
    enum lf_err rc = LF_OK;
    if (!g->held || r->state == LF_RESIDENT_BROKEN)
        rc = lf_resident_hold(e, r, &g->held, diag);
    if (rc == LF_E_DEVICE_FULL &&
        (e->n_live > 0 || e->residents.n_held > 0 || lf_engine_trainings_running(e) > 0))
        return LF_OK; /* something will end */
    *ready = r->state == LF_RESIDENT_PLACED && g->held;
    *slot = r->slot;
    return rc;
}

static enum lf_err admit_one(struct lf_engine *e, struct lf_generation *g, bool *admitted,
                             struct lf_diag *diag)
{
    int slot;
    enum lf_err rc = adapter_ready(e, g, admitted, &slot, diag);
    if (rc != LF_OK || !*admitted)
        return rc;
    struct lf_gen_request request = {.ids = g->ids,
                                     .n = g->n,
                                     .slot = slot,
                                     .owner = lf_pick_owner(g->pick.id, g->pick.version),
                                     .group = g->pick.id + g->key * 0x9e3779b97f4a7c15u,
                                     .sample = g->sample,
                                     .bias = g->bias,
                                     .n_bias = g->n_bias,
                                     .guide = g->guide,
                                     .scores = g->scored ? &g->scores : NULL,
                                     .max_tokens = g->max_tokens,
                                     .ignore_eos = g->ignore_eos,
                                     .background = g->background,
                                     .user = g};
    rc = lf_gen_add(e->gen, &request, &g->seq, diag);
    if (rc != LF_OK)
        return rc;
    e->live[e->n_live++] = g;
    e->n_background += g->background;
    lf_counter_add(&e->counters->prompt_tokens, (uint64_t)g->n);
    pthread_mutex_lock(&g->lock);
    g->times.started = lf_clock_ns();
    double queued = (double)(g->times.started - g->times.submitted) / 1e9;
    pthread_mutex_unlock(&g->lock);
    atomic_fetch_sub(&g->usage->waiting, 1);
    atomic_fetch_add(&g->usage->running, 1);
    lf_counter_add(&g->usage->prompt_tokens, (uint64_t)g->n);
    if (!g->background) {
        lf_histogram_add(&e->counters->queue_seconds, queued);
        lf_counter_add(&g->usage->queue_micro, (uint64_t)(queued * 1e6));
        lf_counter_add(&g->usage->queued, 1);
    }
    return LF_OK;
}

/* Its adapter is in host memory and has waited for a place on the device long enough. */
static bool wants_room(const struct lf_engine *e, const struct lf_generation *g, uint64_t now)
{
    return !g->held && g->resident->state == LF_RESIDENT_READ &&
           (double)(now - g->times.submitted) > e->o->adapter_cycle_s * LF_NS_PER_S;
}

/* One pass over those of one kind, and from when somebody wants room, over those of them that have
 * a place on the device: they give it back when they end, and not before they are let in. */
static void admit_pass(struct lf_engine *e, bool background, bool *room_wanted)
{
    int seqs = lf_gen_seqs_max(e->gen);
    int background_max = seqs / BACKGROUND_PART > 0 ? seqs / BACKGROUND_PART : 1;
    uint64_t now = lf_clock_ns();
    for (int k = 0; k < e->n_waiting; k++) {
        int i = e->turns.order[k].i;
        struct lf_generation *g = e->waiting[i];
        struct lf_diag diag = {""};
        if (!g || g->background != background || (*room_wanted && !g->held) ||
            e->turns.order[k].turn >= e->dev->traits->seqs)
            continue;
        if (e->n_live == seqs || (background && e->n_background >= background_max))
            return;
        bool admitted;
        enum lf_err rc = admit_one(e, g, &admitted, &diag);
        if (rc != LF_OK)
            refuse(e, i, rc, diag.text);
        else if (admitted)
            leave_queue(e, i);
        else if (wants_room(e, g, now))
            *room_wanted = true;
    }
}

void lf_engine_admit(struct lf_engine *e)
{
    lf_residents_collect(e);
    lf_engine_bring_all(e);
    e->room = false;
    if (e->n_waiting == 0 || e->n_live == lf_gen_seqs_max(e->gen) ||
        lf_turns_take(&e->turns, e->live, e->n_live, e->waiting, e->n_waiting) != LF_OK)
        return;
    bool room_wanted = false;
    admit_pass(e, false, &room_wanted);
    admit_pass(e, true, &room_wanted);
    waiting_pack(e);
    lf_deliverer_flush(e->deliverer);
}

/* ---- A step ---------------------------------------------------------------------------------- */

static void live_remove(struct lf_engine *e, struct lf_generation *g)
{
    for (int i = 0; i < e->n_live; i++)
        if (e->live[i] == g) {
            e->live[i] = e->live[--e->n_live];
            break;
        }
    e->n_background -= g->background;
}

static void deliver(struct lf_engine *e, const struct lf_gen_token *t, uint64_t now)
{
    struct lf_generation *g = t->user;
    if (t->finish == LF_FINISH_NONE) {
        lf_generation_push(g, t, now);
        return;
    }
    live_remove(e, g);
    if (t->finish == LF_FINISH_FAILED)
        lf_generation_end(g, NULL, LF_E_TOO_BIG,
                          "what the answer's form allows takes too much memory");
    else
        lf_generation_end(g, t, LF_OK, "");
}

/* Live sequences that have begun to answer; evaluation is in no hurry. */
static int decoding(const struct lf_engine *e)
{
    int n = 0;
    for (int i = 0; i < e->n_live; i++)
        n += !e->live[i]->background && e->live[i]->n_made > 0;
    return n;
}

/* Somebody may come, and nobody trains on the device meanwhile. */
static bool awaits_others(const struct lf_engine *e)
{
    return e->n_live < lf_gen_seqs_max(e->gen) && lf_engine_trainings_running(e) == 0 && !e->lent;
}

/* What the step that has landed says of the device's time; its n tokens on their way. */
static void landed(struct lf_engine *e, int n)
{
    struct lf_gen_status before = e->counted, *after = &e->counted;
    lf_gen_status(e->gen, after);
    lf_share_stepped(&e->share, after);
    lf_histogram_add(&e->counters->batch_tokens,
                     (double)(after->prompt_tokens - before.prompt_tokens +
                              after->completion_tokens - before.completion_tokens));
    lf_counter_add(&e->counters->cached_tokens,
                   (uint64_t)(after->cached_tokens - before.cached_tokens));
    lf_counter_add(&e->counters->drafted_tokens, (uint64_t)(after->drafted - before.drafted));
    lf_counter_add(&e->counters->accepted_tokens, (uint64_t)(after->accepted - before.accepted));
    lf_counter_add(&e->counters->completion_tokens,
                   (uint64_t)(after->completion_tokens - before.completion_tokens));
    uint64_t now = lf_clock_ns();
    double wait = lf_gen_in_parts(e->gen) ? 0 : lf_share_launch_after(&e->share, after);
    e->launch_ns = now + (uint64_t)(wait * LF_NS_PER_S);
    for (int i = 0; i < n; i++)
        deliver(e, &e->tokens[i], now);
    lf_deliverer_flush(e->deliverer);
}

/* The next part of a step; before it who came meanwhile, where he can be read in a moment. */
static enum lf_err serve_part(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_gen_status g;
    int n = 0;
    lf_gen_status(e->gen, &g);
    int tokens = lf_share_between(&e->share, g.unread);
    enum lf_err rc = lf_gen_go_on(e->gen, tokens, e->tokens, &n, diag);
    if (rc == LF_OK && tokens > 0)
        landed(e, n);
    return rc;
}

enum lf_err lf_engine_serve_step(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_gen_status before;
    int n = 0;
    if (lf_gen_part_way(e->gen))
        return serve_part(e, diag);
    lf_gen_status(e->gen, &before);
    int n_decoding = decoding(e);
    struct lf_share_prompts prompts =
        lf_share_prompts(&e->share, n_decoding, before.reading + before.waiting, before.unread);
    lf_gen_hold(e->gen, prompts.alone                                      ? LF_GEN_HELD_DECODING
                        : lf_share_holds_background(&e->share, n_decoding) ? LF_GEN_HELD_BACKGROUND
                                                                           : LF_GEN_HELD_NONE);
    lf_gen_parts(e->gen, prompts.alone || !awaits_others(e) ? 1 : lf_share_parts(&e->share));
    enum lf_err rc = lf_gen_step(e->gen, prompts.tokens, e->tokens, &n, diag);
    if (rc == LF_OK)
        landed(e, n);
    return rc;
}

/* ---- Out ------------------------------------------------------------------------------------- */

/* Why it is not to go on; LF_OK: it is. */
static enum lf_err over(const struct lf_generation *g, uint64_t now)
{
    if (atomic_load(&g->cancelled))
        return LF_E_CANCELLED;
    return g->deadline_ns > 0 && now > g->deadline_ns ? LF_E_TIMED_OUT : LF_OK;
}

static const char *why_over(enum lf_err rc)
{
    return rc == LF_E_CANCELLED ? "cancelled" : "the answer was not whole by its deadline";
}

void lf_engine_sweep(struct lf_engine *e)
{
    uint64_t now = lf_clock_ns();
    enum lf_err rc;
    for (int i = e->n_live - 1; i >= 0; i--) {
        struct lf_generation *g = e->live[i];
        if ((rc = over(g, now)) == LF_OK)
            continue;
        lf_gen_remove(e->gen, g->seq);
        live_remove(e, g);
        lf_generation_end(g, NULL, rc, why_over(rc));
    }
    for (int i = 0; i < e->n_waiting; i++)
        if ((rc = over(e->waiting[i], now)) != LF_OK)
            refuse(e, i, rc, why_over(rc));
    waiting_pack(e);
    lf_deliverer_flush(e->deliverer);
}

void lf_engine_end_generations(struct lf_engine *e, enum lf_err rc, const char *why)
{
    while (e->n_live > 0) {
        struct lf_generation *g = e->live[0];
        lf_gen_remove(e->gen, g->seq);
        live_remove(e, g);
        lf_generation_end(g, NULL, rc, why);
    }
    for (int i = 0; i < e->n_waiting; i++)
        refuse(e, i, rc, why);
    waiting_pack(e);
    lf_deliverer_flush(e->deliverer);
}
