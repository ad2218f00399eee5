/* An engine among others on its device: it comes when somebody wants its base and there is room,
 * and makes way when it has nothing to do and others want theirs. */
#include "daemon/engine/inside.h"
#include "daemon/engine/together.h"

#include "core/clock.h"
#include "core/lock.h"
#include "core/log.h"

#include <stdio.h>
#include <string.h>

#define SAME_WAIT_NS 60000000000u /* who gives up and asks again within it has waited on */
#define LOOK_MS 20                /* while it is waited for: others become idle meanwhile */
#define AGAIN_NS 10000000000u     /* a base that could not be loaded is tried again after that */

/* ---- Coming ---------------------------------------------------------------------------------- */

/* With the engine's lock held: it was tried a moment ago, and could not be loaded. */
static bool failed_lately(const struct lf_engine *e)
{
    return e->failed_ns > 0 && lf_clock_ns() - e->failed_ns < AGAIN_NS;
}

/* With the engine's lock held, while it is not there. */
static struct lf_route_base tell_absent(struct lf_engine *e)
{
    bool stays = e->first || (e->pinned && !failed_lately(e));
    bool wanted = stays || e->wanted > 0 || e->training_inbox || e->bring_inbox;
    uint64_t now = lf_clock_ns();
    if (wanted && (e->wanted_ns == 0 || now - e->wanted_last_ns > SAME_WAIT_NS))
        e->wanted_ns = now;
    if (wanted)
        e->wanted_last_ns = now;
    return (struct lf_route_base){.wanted_ns = wanted ? e->wanted_ns : 0, .welcome = e->welcome};
}

bool lf_engine_await(struct lf_engine *e)
{
    if (!e->together)
        return true;
    for (;;) {
        lf_engine_trainings_drop(e);
        pthread_mutex_lock(&e->lock);
        struct lf_route_base now = tell_absent(e);
        e->poked = false;
        pthread_mutex_unlock(&e->lock);
        bool comes = lf_together_tell(e->together, e->number, &now).enters;
        struct timespec at = lf_deadline_in(LOOK_MS);
        lf_lock_auto held = lf_lock(&e->lock);
        if (e->stopping)
            return false;
        if (comes) {
            e->loading = true;
            e->first = e->welcome = false;
            e->wanted_ns = 0;
            return true;
        }
        bool looks = now.wanted_ns > 0 || e->pinned;
        while (!looks && !e->poked && !e->stopping && !e->training_inbox)
            pthread_cond_wait(&e->more, &e->lock);
        if (looks && !e->poked && !e->stopping)
            pthread_cond_timedwait(&e->more, &e->lock, &at);
    }
}

/* When a wait for it is over, at the latest: for room so long, and while it loads until the
 * deadline. With the engine's lock held. */
static uint64_t patience(const struct lf_engine *e, uint64_t since_ns, uint64_t deadline_ns)
{
    uint64_t room_ns = since_ns + (uint64_t)(e->o->base_wait_s * LF_NS_PER_S);
    if (e->loading)
        room_ns = UINT64_MAX;
    return deadline_ns > 0 && deadline_ns < room_ns ? deadline_ns : room_ns;
}

/* Until it is there, or is not to be waited for any more: then *late. With the engine's lock held.
 */
static void wait_for(struct lf_engine *e, uint64_t deadline_ns, bool *late)
{
    uint64_t start = lf_clock_ns(), failures = e->failures;
    *late = false;
    while (e->state == LF_ENGINE_ABSENT && !e->stopping && e->failures == failures && !*late) {
        struct timespec at = lf_deadline_in(LOOK_MS);
        pthread_cond_timedwait(&e->brought, &e->lock, &at);
        *late = lf_clock_ns() >= patience(e, start, deadline_ns);
    }
}

enum lf_err lf_engine_come(struct lf_engine *e, uint64_t deadline_ns, struct lf_diag *diag)
{
    bool late = false;
    char others[LF_DIAG_MAX];
    pthread_mutex_lock(&e->lock);
    enum lf_err rc = LF_OK;
    if (e->state == LF_ENGINE_ABSENT)
        rc = failed_lately(e) ? lf_fail(diag, e->rc, "%s", e->why.text) : LF_OK;
    if (e->state == LF_ENGINE_ABSENT && rc == LF_OK) {
        uint64_t failures = e->failures;
        e->wanted++;
        e->poked = true;
        pthread_cond_signal(&e->more);
        wait_for(e, deadline_ns, &late);
        e->wanted--;
        if (e->failures != failures && e->state == LF_ENGINE_ABSENT)
            rc = lf_fail(diag, e->rc, "%s", e->why.text);
    }
    bool loading = e->loading;
    pthread_mutex_unlock(&e->lock);
    if (rc != LF_OK || !late)
        return rc == LF_OK ? LF_OK : LF_E_DEVICE_LOST;
    lf_together_names(e->together, others);
    return loading ? lf_fail(diag, LF_E_TIMED_OUT, "the base %s is being loaded", e->base->name)
                   : lf_fail(diag, LF_E_OVERLOADED,
                             "the base %s waits for room on the device, where now is: %s",
                             e->base->name, others);
}

void lf_engine_welcome(struct lf_engine *e)
{
    lf_lock_auto held = lf_lock(&e->lock);
    if (e->state != LF_ENGINE_ABSENT || e->welcome || e->loading || failed_lately(e))
        return;
    e->welcome = e->poked = true;
    pthread_cond_signal(&e->more);
}

uint64_t lf_engine_room(struct lf_engine *e)
{
    return e->together ? lf_together_room(e->together) : 0;
}

/* ---- Making way ------------------------------------------------------------------------------ */

/* With the engine's lock held. Trainings that have come meanwhile are not begun any more. */
static bool has_any(const struct lf_engine *e)
{
    return e->requests > 0 || e->inbox || e->trainings || e->lent || e->lend_inbox || e->bringing ||
           e->bring_inbox;
}

bool lf_engine_makes_way(struct lf_engine *e)
{
    if (!e->together)
        return false;
    pthread_mutex_lock(&e->lock);
    bool idle = !has_any(e) && !e->training_inbox && e->wanted == 0;
    pthread_mutex_unlock(&e->lock);
    if (!idle)
        e->idle_ns = 0;
    else if (e->idle_ns == 0)
        e->idle_ns = lf_clock_ns();
    const struct lf_route_base now = {
        .there = true, .trains = e->trainings || e->lent, .idle_ns = e->idle_ns};
    e->makes_way = lf_together_tell(e->together, e->number, &now).leaves;
    lf_lock_auto held = lf_lock(&e->lock);
    bool shut = e->makes_way && !now.trains;
    if (shut == (e->state == LF_ENGINE_READY)) { /* else it stays as it is */
        e->state = shut ? LF_ENGINE_ABSENT : LF_ENGINE_READY;
        pthread_cond_broadcast(&e->brought);
    }
    e->status.idle_ns = e->idle_ns;
    return shut && !has_any(e) && !e->stopping;
}

/* Of what there was on the device nothing is left. */
static void show_absent(struct lf_engine *e)
{
    e->status.gen = (struct lf_gen_status){0};
    e->status.slots_used = e->status.adapters_host = e->status.trainings = 0;
    e->status.adapter_bytes = e->status.adapter_bytes_max = e->status.host_bytes = 0;
    e->status.memory_used = e->status.memory_peak = e->status.idle_ns = 0;
}

bool lf_engine_sleeps(struct lf_engine *e, enum lf_err rc, const struct lf_diag *why)
{
    if (!e->together || rc == LF_E_DEVICE_LOST || (rc != LF_OK && !e->loading))
        return false;
    lf_lock_auto held = lf_lock(&e->lock);
    if (rc == LF_OK && e->stopping)
        return false;
    lf_log(rc == LF_OK ? LF_LOG_INFO : LF_LOG_ERROR, "engine", "%s: %s%s%s", e->base->name,
           e->called, rc == LF_OK ? "makes way for another base" : "cannot be loaded: ",
           rc == LF_OK ? "" : why->text);
    if (rc == LF_OK) {
        lf_counter_add(&e->counters->bases_evicted, 1);
        return true;
    }
    e->failures++;
    e->failed_ns = lf_clock_ns();
    e->rc = rc;
    lf_fail(&e->why, rc, "the base %s cannot be loaded: %s", e->base->name, why->text);
    return true;
}

void lf_engine_sleep(struct lf_engine *e)
{
    lf_engine_close(e);
    e->idle_ns = e->asked_ns = 0;
    e->train_tokens = 0;
    e->makes_way = false;
    lf_lock_auto held = lf_lock(&e->lock);
    show_absent(e);
    e->loading = false;
    e->state = LF_ENGINE_ABSENT;
    pthread_cond_broadcast(&e->brought);
}
