/* Bases on a device: who comes, who makes way. */
#include "route/bases.h"

#include <stddef.h>

static uint64_t free_of(const struct lf_route_base *rows, int n, uint64_t bytes)
{
    for (int i = 0; i < n; i++)
        if (rows[i].there)
            bytes -= rows[i].bytes < bytes ? rows[i].bytes : bytes;
    return bytes;
}

/* Who waits longest, of those that have not been looked at. */
static struct lf_route_base *next_waiter(struct lf_route_base *rows, int n, uint64_t after_ns,
                                         const struct lf_route_base *after)
{
    struct lf_route_base *best = NULL;
    for (struct lf_route_base *r = rows; r < rows + n; r++) {
        bool behind = r->wanted_ns > after_ns || (r->wanted_ns == after_ns && r > after);
        if (!r->there && r->wanted_ns > 0 && behind && (!best || r->wanted_ns < best->wanted_ns))
            best = r;
    }
    return best;
}

/* 0: idle; 1, 2: in use. */
static int use_of(const struct lf_route_base *r, uint64_t now_ns)
{
    if (r->idle_ns > 0 && r->idle_ns + LF_ROUTE_IDLE_NS <= now_ns)
        return 0;
    return r->trains ? 2 : 1;
}

static bool goes_before(const struct lf_route_base *a, const struct lf_route_base *b,
                        uint64_t now_ns)
{
    int use = use_of(a, now_ns), other = use_of(b, now_ns);
    if (use != other)
        return use < other;
    return use == 0 ? a->idle_ns < b->idle_ns : a->came_ns < b->came_ns;
}

/* The next to make way; NULL: none may. */
static struct lf_route_base *victim(struct lf_route_base *rows, int n, bool in_use, uint64_t now_ns)
{
    struct lf_route_base *best = NULL;
    for (struct lf_route_base *r = rows; r < rows + n; r++)
        if (r->there && !r->pinned && !r->leaves && (in_use || use_of(r, now_ns) == 0) &&
            (!best || goes_before(r, best, now_ns)))
            best = r;
    return best;
}

/* Room for one that waits. False: whoever left, there would be none; or one of those trains, whose
 * end may be long in coming: then it alone makes way, and others go on meanwhile. */
static bool make_way(struct lf_route_base *rows, int n, const struct lf_route_base *for_whom,
                     uint64_t room, uint64_t cycle_ns, uint64_t now_ns)
{
    bool in_use = now_ns - for_whom->wanted_ns >= cycle_ns, trains = false;
    while (room < for_whom->bytes) {
        struct lf_route_base *v = victim(rows, n, in_use, now_ns);
        if (!v)
            break;
        v->leaves = true;
        room += v->bytes;
        trains = trains || use_of(v, now_ns) == 2;
    }
    bool enough = room >= for_whom->bytes;
    for (int i = 0; i < n && (!enough || trains); i++)
        rows[i].leaves = rows[i].leaves && enough && use_of(&rows[i], now_ns) == 2;
    return enough && !trains;
}

void lf_route_bases(struct lf_route_base *rows, int n, uint64_t bytes, uint64_t cycle_ns,
                    uint64_t now_ns)
{
    uint64_t room = free_of(rows, n, bytes);
    bool made_way = false;
    for (int i = 0; i < n; i++)
        rows[i].enters = rows[i].leaves = false;
    struct lf_route_base *w = next_waiter(rows, n, 0, NULL);
    for (; w && !made_way; w = next_waiter(rows, n, w->wanted_ns, w)) {
        w->enters = w->bytes <= room;
        if (w->enters)
            room -= w->bytes;
        else
            made_way = make_way(rows, n, w, room, cycle_ns, now_ns);
    }
    for (int i = 0; i < n && !made_way; i++)
        if (rows[i].welcome && !rows[i].there && rows[i].bytes <= room) {
            rows[i].enters = true;
            room -= rows[i].bytes;
        }
}

uint64_t lf_route_bases_room(const struct lf_route_base *rows, int n, uint64_t bytes)
{
    uint64_t room = free_of(rows, n, bytes);
    for (int i = 0; i < n; i++)
        if (rows[i].there && !rows[i].pinned && rows[i].idle_ns > 0)
            room += rows[i].bytes;
    return room;
}
