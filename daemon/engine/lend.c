/* The device helps with trainings of other engines. */
#include "daemon/engine/inside.h"

#include "core/lock.h"
#include "core/log.h"

#include <stdlib.h>

static void wake(void *engine)
{
    lf_engine_poke(engine);
}

enum lf_err lf_engine_lend(struct lf_engine *e, struct lf_replica **out, struct lf_diag *diag)
{
    struct lf_lending *l = calloc(1, sizeof *l);
    if (!l)
        return lf_no_memory(diag, "a replica");
    lf_lock_auto held = lf_lock(&e->lock);
    enum lf_err rc = LF_OK;
    if (e->state != LF_ENGINE_READY || e->stopping || e->o->train_tokens == 0)
        rc = lf_fail(diag, LF_E_DEVICE_LOST, "the engine does not train");
    const struct lf_replica_spec spec = {
        .x = e->exec, .m = e->model, .slots = e->slots, .wake = wake, .arg = e};
    rc = rc ?: lf_replica_new(&l->replica, &spec, diag);
    if (rc != LF_OK) {
        free(l);
        return rc;
    }
    *out = l->replica;
    l->next = e->lend_inbox;
    e->lend_inbox = l;
    e->given++;
    e->helping++;
    return LF_OK;
}

static void end(struct lf_engine *e, struct lf_lending *l)
{
    lf_replica_close(l->replica);
    free(l);
    e->room = true;
    lf_lock_auto held = lf_lock(&e->lock);
    e->given--;
    e->helping--;
}

static void take_in(struct lf_engine *e)
{
    lf_lock_auto held = lf_lock(&e->lock);
    while (e->lend_inbox) {
        struct lf_lending *l = e->lend_inbox;
        e->lend_inbox = l->next;
        l->next = e->lent;
        e->lent = l;
        lf_log(LF_LOG_INFO, "engine", "%shelps with a training", e->called);
    }
}

void lf_engine_lend_turns(struct lf_engine *e, int budget)
{
    struct lf_diag ignored; /* a device that fails says so again */
    take_in(e);
    if (e->lent && lf_gen_settle(e->gen, &ignored) != LF_OK)
        return;
    for (struct lf_lending **at = &e->lent; *at;) {
        struct lf_lending *l = *at;
        lf_replica_budget(l->replica, budget);
        if (lf_replica_turn(l->replica)) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        end(e, l);
    }
}

void lf_engine_end_lending(struct lf_engine *e)
{
    take_in(e);
    while (e->lent) {
        struct lf_lending *l = e->lent;
        e->lent = l->next;
        end(e, l);
    }
}
