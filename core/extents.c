/* Extents of a piece of memory: a list by place. Users are thousands at the most, and each call
 * walks the list once. */
#include "core/extents.h"

#include <stdbool.h>
#include <stdlib.h>

enum lf_err lf_extents_init(struct lf_extents *r, size_t bytes)
{
    struct lf_extent *all = calloc(1, sizeof *all);
    if (!all)
        return LF_E_NO_MEMORY;
    all->bytes = bytes;
    *r = (struct lf_extents){.first = all, .bytes = bytes};
    return LF_OK;
}

void lf_extents_free(struct lf_extents *r)
{
    for (struct lf_extent *next; r->first; r->first = next) {
        next = r->first->next;
        free(r->first);
    }
    *r = (struct lf_extents){0};
}

/* What is left of a free extent behind its first bytes becomes a free extent of its own. */
static bool cut(struct lf_extent *x, size_t bytes)
{
    if (x->bytes == bytes)
        return true;
    struct lf_extent *rest = malloc(sizeof *rest);
    if (!rest)
        return false;
    *rest = (struct lf_extent){
        .prev = x, .next = x->next, .at = x->at + bytes, .bytes = x->bytes - bytes};
    if (x->next)
        x->next->prev = rest;
    x->next = rest;
    x->bytes = bytes;
    return true;
}

struct lf_extent *lf_extents_take(struct lf_extents *r, size_t bytes, void *user)
{
    struct lf_extent *best = NULL;
    lf_assert(bytes > 0 && user);
    for (struct lf_extent *f = r->first; f; f = f->next)
        if (!f->user && f->bytes >= bytes && (!best || f->bytes < best->bytes))
            best = f;
    if (!best || !cut(best, bytes))
        return NULL;
    best->user = user;
    r->used += bytes;
    return best;
}

/* It and its next one become one. */
static void join(struct lf_extent *x)
{
    struct lf_extent *gone = x->next;
    x->bytes += gone->bytes;
    x->next = gone->next;
    if (gone->next)
        gone->next->prev = x;
    free(gone);
}

void lf_extents_give(struct lf_extents *r, struct lf_extent *x)
{
    lf_assert(x->user);
    x->user = NULL;
    r->used -= x->bytes;
    if (x->next && !x->next->user)
        join(x);
    if (x->prev && !x->prev->user)
        join(x->prev);
}

/* Two ends of a window move over the list: `to` takes in extents until there is enough, `from`
 * lets go of those that are not needed. */
bool lf_extents_cheapest(const struct lf_extents *r, size_t bytes, lf_extent_cost_fn cost_of,
                         const void *arg, struct lf_extent **first, struct lf_extent **last,
                         double *cost)
{
    struct lf_extent *from = r->first;
    size_t held = 0;
    double sum = 0;
    bool found = false;
    for (struct lf_extent *to = r->first; to; to = to->next) {
        double c = to->user ? cost_of(to->user, arg) : 0;
        if (c < 0) {
            from = to->next;
            held = 0;
            sum = 0;
            continue;
        }
        held += to->bytes;
        sum += c;
        while (from != to && held - from->bytes >= bytes) {
            held -= from->bytes;
            sum -= from->user ? cost_of(from->user, arg) : 0;
            from = from->next;
        }
        if (held < bytes || (found && sum >= *cost))
            continue;
        found = true;
        *first = from;
        *last = to;
        *cost = sum;
    }
    return found;
}
