/* Adapters on the device: found, asked for, placed, taken off. */
#include "daemon/engine/inside.h"

#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

static struct lf_resident *find(const struct lf_engine *e, const struct lf_pick *pick)
{
    for (int i = 0; i < e->n_residents; i++)
        if (e->residents[i]->id == pick->id && e->residents[i]->version == pick->version)
            return e->residents[i];
    return NULL;
}

/* Ids are counted from 1 on. */
uint64_t lf_pick_owner(uint64_t id, int32_t version)
{
    return (id << 32 | (uint32_t)version) + 1;
}

static void drop(struct lf_engine *e, struct lf_resident *r)
{
    for (int i = 0; i < e->n_residents; i++)
        if (e->residents[i] == r)
            e->residents[i] = e->residents[--e->n_residents];
    if (r->state == LF_RESIDENT_PLACED)
        lf_slots_unload(e->slots, e->stream, r->slot);
    lf_adapter_free(r->adapter);
    free(r);
}

/* The next request reads it afresh. */
static bool is_done_with(const struct lf_resident *r)
{
    return r->users == 0 && r->state != LF_RESIDENT_READING &&
           (r->unwanted || r->state == LF_RESIDENT_BROKEN);
}

void lf_residents_unload(struct lf_engine *e, uint64_t id)
{
    for (int i = e->n_residents - 1; i >= 0; i--) {
        struct lf_resident *r = e->residents[i];
        if (r->id != id)
            continue;
        r->unwanted = true;
        lf_gen_forget(e->gen, lf_pick_owner(r->id, r->version));
        if (!is_done_with(r))
            continue;
        drop(e, r);
        lf_counter_add(&e->counters->adapters_evicted, 1);
    }
}

bool lf_residents_evict(struct lf_engine *e)
{
    struct lf_resident *oldest = NULL;
    for (int i = 0; i < e->n_residents; i++) {
        struct lf_resident *r = e->residents[i];
        if (r->users == 0 && r->state != LF_RESIDENT_READING &&
            (!oldest || r->used_ns < oldest->used_ns))
            oldest = r;
    }
    if (!oldest)
        return false;
    drop(e, oldest);
    lf_counter_add(&e->counters->adapters_evicted, 1);
    return true;
}

struct lf_resident *lf_resident_hold(struct lf_engine *e, const struct lf_pick *pick)
{
    struct lf_resident *r = find(e, pick);
    if (!r) {
        if (e->n_residents == e->o->slots && !lf_residents_evict(e))
            return NULL;
        r = calloc(1, sizeof *r);
        if (!r)
            return NULL;
        r->id = pick->id;
        r->version = pick->version;
        memcpy(r->dir, pick->dir, sizeof r->dir);
        e->residents[e->n_residents++] = r;
        lf_loader_request(&e->loader, r);
    }
    r->users++;
    r->unwanted = false;
    r->used_ns = lf_clock_ns();
    return r;
}

void lf_resident_let_go(struct lf_engine *e, struct lf_resident *r)
{
    lf_assert(r->users > 0);
    r->users--;
    r->used_ns = lf_clock_ns();
    if (is_done_with(r))
        drop(e, r);
}

enum lf_err lf_resident_place(struct lf_engine *e, struct lf_resident *r, struct lf_diag *diag)
{
    enum lf_err rc;
    do
        rc = lf_slots_load(e->slots, e->stream, &r->slot, r->adapter, false, diag);
    while (rc == LF_E_DEVICE_FULL && lf_residents_evict(e));
    if (rc != LF_OK)
        return rc;
    lf_adapter_free(r->adapter);
    r->adapter = NULL;
    r->state = LF_RESIDENT_PLACED;
    lf_counter_add(&e->counters->adapters_loaded, 1);
    return LF_OK;
}

void lf_residents_collect(struct lf_engine *e)
{
    struct lf_resident *next;
    for (struct lf_resident *r = lf_loader_done(&e->loader); r; r = next) {
        next = r->next_load;
        r->state = r->rc == LF_OK ? LF_RESIDENT_READ : LF_RESIDENT_BROKEN;
        if (is_done_with(r))
            drop(e, r);
    }
}

void lf_residents_drop_all(struct lf_engine *e)
{
    while (e->n_residents > 0)
        drop(e, e->residents[0]);
}
