/* Extents of a piece of memory that somebody else owns: handed out where they fit best, given back,
 * joined with their free neighbours. Knows sizes and places, no bytes. One thread at a time. */
#ifndef LF_CORE_EXTENTS_H
#define LF_CORE_EXTENTS_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>

struct lf_extent {
    struct lf_extent *prev, *next; /* by place; they lie side by side without gaps */
    size_t at, bytes;
    void *user; /* whose it is; NULL: free */
};

struct lf_extents {
    struct lf_extent *first;
    size_t bytes, used;
};

/* All of it free. LF_E_NO_MEMORY. Free with lf_extents_free, also with some that are out. */
enum lf_err lf_extents_init(struct lf_extents *r, size_t bytes) LF_MUST_CHECK;
void lf_extents_free(struct lf_extents *r);

/* The smallest free extent that holds so many bytes, cut to them; user is not NULL. NULL: there is
 * none, or no memory for its description. */
struct lf_extent *lf_extents_take(struct lf_extents *r, size_t bytes, void *user);
void lf_extents_give(struct lf_extents *r, struct lf_extent *x);

/* What leaving costs a range's user; below 0: it must stay. */
typedef double (*lf_extent_cost_fn)(const void *user, const void *arg);
/* The neighbours, *first to *last, that hold so many bytes together and whose users cost the least
 * in sum; *cost: that. False: users that must stay leave no such place. */
bool lf_extents_cheapest(const struct lf_extents *r, size_t bytes, lf_extent_cost_fn cost_of,
                         const void *arg, struct lf_extent **first, struct lf_extent **last,
                         double *cost);

#endif
