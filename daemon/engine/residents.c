/* Adapters between their files and the device: who is where, who comes, who leaves. */
#include "daemon/engine/blend.h"
#include "daemon/engine/inside.h"

#include "core/budget.h"
#include "core/clock.h"
#include "core/lock.h"
#include "core/log.h"

#include <stdlib.h>
#include <string.h>

/* A file costs so many times what the same bytes in host memory do. */
#define FILE_COST 8
#define PINNED_COST 1e12 /* more than any age makes up for */
/* Of what is free when all else has its memory, the part that is the region's from the start. */
#define REGION_FIRST 0.5
/* The driver's own part grows, with recorded steps; adapters leave so much of a card. */
#define REGION_SPARE ((size_t)256 << 20)
#define HOST_PART 4 /* of --host-memory, a quarter is for adapters */

/* ---- The table ------------------------------------------------------------------------------- */

static struct lf_resident **chain_of(struct lf_residents *rs, uint64_t id, int32_t version)
{
    uint64_t h = lf_pick_owner(id, version) * 0x9e3779b97f4a7c15u;
    return &rs->chains[h >> 32 & (LF_RESIDENT_CHAINS - 1)];
}

static struct lf_resident *find(struct lf_residents *rs, uint64_t id, int32_t version)
{
    struct lf_resident *r = rs->chains ? *chain_of(rs, id, version) : NULL;
    while (r && (r->id != id || r->version != version))
        r = r->next;
    return r;
}

/* Those that are read ahead of their places on the device. */
static void count_ahead(struct lf_residents *rs, const struct lf_resident *r, int by)
{
    if (r->state != LF_RESIDENT_READ || r->wanted == 0)
        return;
    rs->n_ahead += by;
    rs->ahead_bytes += by > 0 ? r->packed->bytes : -r->packed->bytes;
}

static void want(struct lf_residents *rs, struct lf_resident *r, int by)
{
    count_ahead(rs, r, -1);
    r->wanted += by;
    count_ahead(rs, r, 1);
}

static void move_to(struct lf_residents *rs, struct lf_resident *r, enum lf_resident_state state)
{
    lf_lock_auto held = lf_lock(&rs->lock);
    count_ahead(rs, r, -1);
    rs->n_placed += (state >= LF_RESIDENT_COPYING && state <= LF_RESIDENT_PLACED) -
                    (r->state >= LF_RESIDENT_COPYING && r->state <= LF_RESIDENT_PLACED);
    rs->n_reading += (state == LF_RESIDENT_READING) - (r->state == LF_RESIDENT_READING);
    r->state = state;
    count_ahead(rs, r, 1);
}

static void forget(struct lf_residents *rs, struct lf_resident *r)
{
    lf_lock_auto held = lf_lock(&rs->lock);
    struct lf_resident **at = chain_of(rs, r->id, r->version);
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    rs->n--;
    lf_blend_release(r->blend);
    free(r);
}

/* ---- Leaving --------------------------------------------------------------------------------- */

static void off_host(struct lf_residents *rs, struct lf_resident *r)
{
    if (!r->packed)
        return;
    if (r->state == LF_RESIDENT_READ)
        move_to(rs, r, LF_RESIDENT_ABSENT);
    rs->host_bytes -= r->packed->bytes;
    rs->n_host--;
    lf_packed_free(r->packed);
    r->packed = NULL;
}

/* What is on the stream may read it still: lf_mark_set(freed) before others lie there. So may parts
 * of a step that are not there yet, of a sequence that has just ended. */
static void off_device(struct lf_engine *e, struct lf_resident *r)
{
    struct lf_diag why;
    lf_assert(r->state == LF_RESIDENT_PLACED && r->users == 0);
    if (lf_gen_settle(e->gen, &why) != LF_OK)
        lf_log(LF_LOG_WARN, "engine", "a step that was part way: %s", why.text);
    lf_slots_unload(e->slots, e->stream, r->slot);
    lf_region_give(&e->residents.region, &r->place);
    move_to(&e->residents, r, r->packed ? LF_RESIDENT_READ : LF_RESIDENT_ABSENT);
    lf_counter_add(&e->counters->adapters_evicted, 1);
}

static bool is_with_loader(const struct lf_resident *r)
{
    return r->state == LF_RESIDENT_READING || r->state == LF_RESIDENT_COPYING;
}

/* Lets go of what nobody wants to be kept; the resident itself may be gone then. */
static void settle(struct lf_engine *e, struct lf_resident *r)
{
    struct lf_residents *rs = &e->residents;
    if (is_with_loader(r))
        return;
    if (r->unwanted && r->users == 0) {
        if (r->state == LF_RESIDENT_PLACED)
            off_device(e, r);
        if (r->wanted == 0)
            off_host(rs, r);
    }
    bool nowhere = r->state == LF_RESIDENT_ABSENT && !r->pinned;
    if (r->wanted == 0 && (nowhere || r->state == LF_RESIDENT_BROKEN))
        forget(rs, r);
}

/* What its return would cost for the time that it was not used; -1: it stays. */
static double cost_of(const void *user, const void *now)
{
    const struct lf_resident *r = user;
    if (r->state != LF_RESIDENT_PLACED || r->users > 0)
        return -1;
    double age = (double)(*(const uint64_t *)now - r->used_ns) / 1e9 + 1e-3;
    double cost = (double)r->place.extent->bytes * (r->packed ? 1 : FILE_COST) / age;
    return r->pinned ? PINNED_COST * cost : cost;
}

/* Whether a loses its place in host memory before b. */
static bool leaves_host_before(const struct lf_resident *a, const struct lf_resident *b)
{
    bool twice = a->state == LF_RESIDENT_PLACED;
    if (a->pinned != b->pinned)
        return b->pinned;
    if (twice != (b->state == LF_RESIDENT_PLACED))
        return twice;
    return twice ? a->used_ns > b->used_ns : a->used_ns < b->used_ns;
}

static struct lf_resident *host_victim(struct lf_residents *rs)
{
    struct lf_resident *best = NULL;
    for (int i = 0; i < LF_RESIDENT_CHAINS; i++)
        for (struct lf_resident *r = rs->chains[i]; r; r = r->next)
            if (!is_with_loader(r) && r->packed &&
                (r->state == LF_RESIDENT_PLACED || r->wanted == 0) &&
                (!best || leaves_host_before(r, best)))
                best = r;
    return best;
}

static void trim_host(struct lf_engine *e)
{
    struct lf_residents *rs = &e->residents;
    struct lf_resident *r;
    while ((rs->host_bytes > rs->host_max || rs->n_host > LF_RESIDENTS_MAX) &&
           (r = host_victim(rs))) {
        off_host(rs, r);
        settle(e, r);
    }
}

void lf_residents_unload(struct lf_engine *e, uint64_t id)
{
    struct lf_residents *rs = &e->residents;
    for (int i = 0; i < LF_RESIDENT_CHAINS; i++)
        for (struct lf_resident *next, *r = rs->chains[i]; r; r = next) {
            next = r->next;
            if (r->id != id)
                continue;
            r->unwanted = true;
            r->pinned = false;
            lf_gen_forget(e->gen, lf_pick_owner(r->id, r->version));
            settle(e, r);
        }
}

/* ---- Coming ---------------------------------------------------------------------------------- */

/* Room in host memory for those that are read ahead of their places: within its bound, and one for
 * each loader in any case. */
static bool may_read(const struct lf_residents *rs)
{
    return rs->n_reading < 2 * rs->loaders.n &&
           (rs->n_reading + rs->n_ahead < rs->loaders.n || rs->ahead_bytes < rs->host_max);
}

/* Where it is nowhere, and a loader and host memory are free. */
static void read_it(struct lf_engine *e, struct lf_resident *r)
{
    struct lf_residents *rs = &e->residents;
    if (r->state != LF_RESIDENT_ABSENT || !may_read(rs))
        return;
    move_to(rs, r, LF_RESIDENT_READING);
    lf_loaders_read(&rs->loaders, r);
}

struct lf_resident *lf_resident_want(struct lf_engine *e, const struct lf_pick *pick)
{
    struct lf_residents *rs = &e->residents;
    struct lf_resident *r = find(rs, pick->id, pick->version);
    if (!r && (r = calloc(1, sizeof *r))) {
        r->id = pick->id;
        r->version = pick->version;
        memcpy(r->dir, pick->dir, sizeof r->dir);
        lf_blend_hold(r->blend = pick->blend);
        lf_lock_auto held = lf_lock(&rs->lock);
        struct lf_resident **chain = chain_of(rs, r->id, r->version);
        r->next = *chain;
        *chain = r;
        rs->n++;
    }
    if (!r)
        return NULL;
    if (r->state >= LF_RESIDENT_COPYING && r->state <= LF_RESIDENT_PLACED)
        lf_counter_add(&e->counters->adapter_hits_device, 1);
    else if (r->state == LF_RESIDENT_READ)
        lf_counter_add(&e->counters->adapter_hits_host, 1);
    want(rs, r, 1);
    r->unwanted = false;
    r->used_ns = lf_clock_ns();
    read_it(e, r);
    return r;
}

void lf_resident_let_go(struct lf_engine *e, struct lf_resident *r, bool held)
{
    lf_assert(r->wanted > 0 && r->users >= held);
    want(&e->residents, r, -1);
    r->users -= held;
    e->residents.n_held -= held;
    r->used_ns = lf_clock_ns();
    settle(e, r);
    trim_host(e);
}

static bool one_slot(struct lf_engine *e)
{
    struct lf_residents *rs = &e->residents;
    uint64_t now = lf_clock_ns();
    struct lf_resident *best = NULL;
    double least = 0;
    if (rs->n_placed < e->o->slots)
        return true;
    for (int i = 0; i < LF_RESIDENT_CHAINS; i++)
        for (struct lf_resident *r = rs->chains[i]; r; r = r->next) {
            double cost = cost_of(r, &now);
            if (cost < 0 || (best && cost >= least))
                continue;
            best = r;
            least = cost;
        }
    if (best)
        off_device(e, best);
    if (best)
        settle(e, best);
    return best != NULL;
}

static void leave(void *user, void *context)
{
    struct lf_engine *e = context;
    off_device(e, user);
    settle(e, user);
}

bool lf_residents_can_shrink(struct lf_engine *e)
{
    uint64_t now = lf_clock_ns();
    return lf_region_can_shrink(&e->residents.region, cost_of, &now);
}

/* The stream is waited for: what is given back may be anybody's next. */
bool lf_residents_shrink(struct lf_engine *e)
{
    uint64_t now = lf_clock_ns();
    return lf_residents_can_shrink(e) && lf_stream_wait(e->stream, NULL) == LF_OK &&
           lf_region_shrink(&e->residents.region, cost_of, &now, leave, e);
}

/* Memory on the device: free, or what neighbours leave, or what a larger segment in the place of
 * smaller ones has. */
static bool one_place(struct lf_engine *e, struct lf_resident *r)
{
    struct lf_region *a = &e->residents.region;
    uint64_t now = lf_clock_ns();
    if (r->packed->bytes > a->ceiling)
        return false;
    while (!lf_region_take(a, &r->place, r->packed->bytes, r)) {
        void *victim = lf_region_victim(a, r->packed->bytes, cost_of, &now);
        if (victim)
            leave(victim, e);
        else if (!lf_residents_shrink(e))
            return false;
    }
    return true;
}

static enum lf_err place(struct lf_engine *e, struct lf_resident *r, struct lf_diag *diag)
{
    struct lf_residents *rs = &e->residents;
    if (!one_slot(e) || !one_place(e, r))
        return lf_fail(diag, LF_E_DEVICE_FULL,
                       "an adapter of %.1f MiB has no room: adapters have %.1f MiB of the device, "
                       "and %d places",
                       (double)r->packed->bytes / 1048576.0, (double)rs->region.bytes / 1048576.0,
                       e->o->slots);
    lf_mark_set(rs->freed);
    move_to(rs, r, LF_RESIDENT_COPYING);
    lf_loaders_copy(&rs->loaders, r);
    return LF_OK;
}

enum lf_err lf_resident_hold(struct lf_engine *e, struct lf_resident *r, bool *held,
                             struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    *held = false;
    if (r->state == LF_RESIDENT_BROKEN)
        return lf_fail(diag, r->rc, "%s", r->why.text);
    if (r->state == LF_RESIDENT_ABSENT)
        read_it(e, r);
    if (r->state == LF_RESIDENT_READ)
        rc = place(e, r, diag);
    if (rc != LF_OK || r->state < LF_RESIDENT_COPYING)
        return rc;
    *held = true;
    r->users++;
    e->residents.n_held++;
    r->used_ns = lf_clock_ns();
    return LF_OK;
}

void lf_resident_pin(struct lf_engine *e, struct lf_resident *r)
{
    struct lf_residents *rs = &e->residents;
    for (int i = 0; i < LF_RESIDENT_CHAINS; i++)
        for (struct lf_resident *next, *x = rs->chains[i]; x; x = next) {
            next = x->next;
            if (x->id != r->id || x == r || !x->pinned)
                continue;
            x->pinned = false;
            settle(e, x);
        }
    r->pinned = true;
}

/* ---- What the loaders have done -------------------------------------------------------------- */

static void was_read(struct lf_engine *e, struct lf_resident *r)
{
    struct lf_residents *rs = &e->residents;
    if (r->rc == LF_OK) {
        rs->host_bytes += r->packed->bytes;
        rs->n_host++;
        lf_counter_add(&e->counters->adapters_read, 1);
    }
    move_to(rs, r, r->rc == LF_OK ? LF_RESIDENT_READ : LF_RESIDENT_BROKEN);
}

static void was_copied(struct lf_engine *e, struct lf_resident *r)
{
    struct lf_residents *rs = &e->residents;
    r->rc = r->rc ?: lf_gen_settle(e->gen, &r->why);
    r->rc = r->rc
                ?: lf_slots_lend(e->slots, e->stream, &r->slot, &r->packed->shape, r->place.memory,
                                 &r->why);
    if (r->rc == LF_OK) {
        move_to(rs, r, LF_RESIDENT_PLACED);
        lf_counter_add(&e->counters->adapters_loaded, 1);
        lf_counter_add(&lf_usage_of(&e->counters->usages, r->id)->loads, 1);
        return;
    }
    lf_region_give(&rs->region, &r->place);
    move_to(rs, r, LF_RESIDENT_BROKEN);
    off_host(rs, r);
}

void lf_residents_collect(struct lf_engine *e)
{
    struct lf_resident *next, *done = lf_loaders_done(&e->residents.loaders);
    for (struct lf_resident *r = done; r; r = next) {
        next = r->next_load;
        if (r->state == LF_RESIDENT_READING)
            was_read(e, r);
        else
            was_copied(e, r);
        settle(e, r);
    }
    if (done)
        trim_host(e);
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum lf_err lf_residents_init(struct lf_residents *rs, struct lf_diag *diag)
{
    pthread_mutex_init(&rs->lock, NULL);
    rs->chains = calloc(LF_RESIDENT_CHAINS, sizeof(struct lf_resident *));
    return rs->chains ? LF_OK : lf_no_memory(diag, "the engine's tables");
}

void lf_residents_destroy(struct lf_residents *rs)
{
    free(rs->chains);
    rs->chains = NULL;
    pthread_mutex_destroy(&rs->lock);
}

enum lf_err lf_residents_open(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_residents *rs = &e->residents;
    struct lf_device_info info;
    const struct lf_daemon_options *o = e->o;
    size_t host = o->host_memory_bytes ? (size_t)o->host_memory_bytes : lf_memory_limit() / 2;
    size_t sharers = (size_t)e->sharers; /* of the host's memory */
    bool own = !lf_device_on_host(e->dev);
    size_t ceiling = (size_t)o->adapter_memory_bytes;
    if (ceiling == 0)
        ceiling = own ? SIZE_MAX : host / HOST_PART / sharers;
    lf_region_init(&rs->region, e->dev, ceiling, own ? REGION_SPARE : 0);
    rs->host_max = (size_t)o->adapter_cache_bytes / sharers;
    if (rs->host_max == 0 && own) /* elsewhere the same bytes would lie there twice */
        rs->host_max = host / HOST_PART / sharers;
    lf_device_info(e->dev, &info);
    size_t first = (size_t)(REGION_FIRST * (double)info.memory_free);
    if (own)
        lf_region_grow(&rs->region, first < ceiling ? first : ceiling);
    return lf_mark_new(&rs->freed, e->stream, diag) ?: lf_loaders_start(e, diag);
}

void lf_residents_close(struct lf_engine *e)
{
    struct lf_residents *rs = &e->residents;
    lf_loaders_stop(e);
    pthread_mutex_lock(&rs->lock);
    for (int i = 0; i < LF_RESIDENT_CHAINS; i++)
        for (struct lf_resident *r; (r = rs->chains[i]);) {
            rs->chains[i] = r->next;
            if (r->state == LF_RESIDENT_PLACED)
                lf_slots_unload(e->slots, e->stream, r->slot);
            lf_packed_free(r->packed);
            lf_blend_release(r->blend);
            free(r);
        }
    rs->n = rs->n_placed = rs->n_host = rs->n_held = rs->n_reading = 0;
    rs->host_bytes = 0;
    pthread_mutex_unlock(&rs->lock);
    lf_region_free(&rs->region);
    lf_mark_free(rs->freed);
    rs->freed = NULL;
}

enum lf_residency lf_engine_residency(struct lf_engine *e, uint64_t id, int32_t version)
{
    lf_lock_auto held = lf_lock(&e->residents.lock);
    const struct lf_resident *r = find(&e->residents, id, version);
    if (r && r->state == LF_RESIDENT_PLACED)
        return LF_RESIDENCY_DEVICE;
    return r && (r->state == LF_RESIDENT_READ || r->state == LF_RESIDENT_COPYING)
               ? LF_RESIDENCY_HOST
               : LF_RESIDENCY_NONE;
}
