/* Adapters that come onto the device before anybody asks for them. */
#include "daemon/engine/inside.h"

#include "core/lock.h"

#include <stdlib.h>

struct lf_bringing {
    struct lf_bringing *next; /* in the engine's inbox or its list */
    int refs;                 /* the caller and the engine; under the engine's lock, like these: */
    bool over;
    enum lf_err rc;
    struct lf_diag why;
    /* The engine's */
    struct lf_pick pick;
    bool keep, held;
    struct lf_resident *resident; /* wanted; NULL: not yet */
};

/* With the engine's lock held. */
static void unref(struct lf_bringing *b)
{
    if (--b->refs == 0)
        free(b);
}

enum lf_err lf_engine_bring(struct lf_engine *e, const struct lf_pick *pick, bool keep,
                            int timeout_ms, struct lf_diag *diag)
{
    lf_assert(pick->id != 0 && !pick->blend);
    struct lf_bringing *b = calloc(1, sizeof *b);
    struct timespec at = lf_deadline_in(timeout_ms);
    int waited = 0;
    if (!b)
        return lf_no_memory(diag, "an adapter's way");
    b->pick = *pick;
    b->keep = keep;
    b->refs = 2;
    lf_lock_auto held = lf_lock(&e->lock);
    if (e->stopping || e->state == LF_ENGINE_FAILED) {
        free(b);
        return lf_fail(diag, LF_E_DEVICE_LOST, "the engine is not there");
    }
    b->next = e->bring_inbox;
    e->bring_inbox = b;
    e->poked = true;
    pthread_cond_signal(&e->more);
    while (timeout_ms > 0 && !b->over && waited == 0)
        waited = pthread_cond_timedwait(&e->brought, &e->lock, &at);
    enum lf_err rc = b->over ? b->rc : timeout_ms > 0 ? LF_E_TIMED_OUT : LF_OK;
    if (rc != LF_OK)
        lf_fail(diag, rc, "%s", b->over ? b->why.text : "the adapter is still on its way");
    unref(b);
    return rc;
}

static void end(struct lf_engine *e, struct lf_bringing *b, enum lf_err rc, const char *why)
{
    if (b->resident)
        lf_resident_let_go(e, b->resident, b->held);
    lf_lock_auto held = lf_lock(&e->lock);
    b->over = true;
    b->rc = rc;
    lf_fail(&b->why, rc, "%s", why);
    pthread_cond_broadcast(&e->brought);
    unref(b);
}

/* False: it is on its way. */
static bool bring_one(struct lf_engine *e, struct lf_bringing *b)
{
    struct lf_diag diag = {""};
    enum lf_err rc = LF_OK;
    if (!b->resident && !(b->resident = lf_resident_want(e, &b->pick)))
        rc = lf_no_memory(&diag, "an adapter");
    else if (!b->held || b->resident->state == LF_RESIDENT_BROKEN)
        rc = lf_resident_hold(e, b->resident, &b->held, &diag);
    if (rc == LF_OK && b->resident->state != LF_RESIDENT_PLACED)
        return false;
    if (rc == LF_OK && b->keep)
        lf_resident_pin(e, b->resident);
    end(e, b, rc, diag.text);
    return true;
}

static void take_in(struct lf_engine *e)
{
    lf_lock_auto held = lf_lock(&e->lock);
    struct lf_bringing **last = &e->bring_inbox;
    while (*last)
        last = &(*last)->next;
    *last = e->bringing;
    e->bringing = e->bring_inbox;
    e->bring_inbox = NULL;
}

void lf_engine_bring_all(struct lf_engine *e)
{
    take_in(e);
    for (struct lf_bringing **at = &e->bringing; *at;) {
        struct lf_bringing *b = *at, *next = b->next;
        if (bring_one(e, b))
            *at = next;
        else
            at = &b->next;
    }
}

void lf_engine_end_bringing(struct lf_engine *e, enum lf_err rc, const char *why)
{
    take_in(e);
    while (e->bringing) {
        struct lf_bringing *b = e->bringing;
        e->bringing = b->next;
        end(e, b, rc, why);
    }
}
