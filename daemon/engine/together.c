/* Several bases' engines on a device. */
#include "daemon/engine/together.h"

#include "daemon/engine/inside.h"

#include "core/clock.h"
#include "core/lock.h"

#include <stdio.h>
#include <string.h>

void lf_together_init(struct lf_together *t, uint64_t bytes, uint64_t cycle_ns)
{
    *t = (struct lf_together){.bytes = bytes, .cycle_ns = cycle_ns};
    pthread_mutex_init(&t->lock, NULL);
}

void lf_together_destroy(struct lf_together *t)
{
    pthread_mutex_destroy(&t->lock);
}

int lf_together_add(struct lf_together *t, struct lf_engine *e, const char *base, uint64_t bytes,
                    bool pinned)
{
    lf_lock_auto held = lf_lock(&t->lock);
    lf_assert(t->n < LF_BASES_MAX);
    t->engine[t->n] = e;
    t->base[t->n] = base;
    t->row[t->n] = (struct lf_route_base){.bytes = bytes, .pinned = pinned};
    return t->n++;
}

struct lf_route_base lf_together_tell(struct lf_together *t, int number,
                                      const struct lf_route_base *now)
{
    struct lf_route_base before[LF_BASES_MAX], *own = &t->row[number];
    uint64_t ns = lf_clock_ns();
    lf_lock_auto held = lf_lock(&t->lock);
    memcpy(before, t->row, sizeof before);
    own->there = now->there;
    own->trains = now->trains;
    own->welcome = now->welcome;
    own->wanted_ns = now->wanted_ns;
    own->idle_ns = now->idle_ns;
    lf_route_bases(t->row, t->n, t->bytes, t->cycle_ns, ns);
    struct lf_route_base out = *own;
    if (own->enters) {
        own->there = true;
        own->came_ns = ns;
        own->wanted_ns = own->idle_ns = 0;
        own->enters = own->welcome = false;
    }
    for (int i = 0; i < t->n; i++)
        if (i != number &&
            (t->row[i].enters != before[i].enters || t->row[i].leaves != before[i].leaves))
            lf_engine_poke(t->engine[i]);
    return out;
}

uint64_t lf_together_room(struct lf_together *t)
{
    lf_lock_auto held = lf_lock(&t->lock);
    return lf_route_bases_room(t->row, t->n, t->bytes);
}

void lf_together_names(struct lf_together *t, char out[LF_DIAG_MAX])
{
    size_t at = 0;
    lf_lock_auto held = lf_lock(&t->lock);
    for (int i = 0; i < t->n && at < LF_DIAG_MAX; i++)
        if (t->row[i].there)
            at += (size_t)snprintf(out + at, LF_DIAG_MAX - at, "%s%s%s", at > 0 ? ", " : "",
                                   t->base[i], t->row[i].trains ? " (trains)" : "");
    if (at == 0)
        snprintf(out, LF_DIAG_MAX, "nothing");
}
