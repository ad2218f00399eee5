/* The device's memory for adapters that are served: segments of it, each cut into extents
 * (core/extents.h). It grows by a segment when it is full, while the device has memory and its
 * ceiling is not reached, and gives segments back when a training wants them. So an adapter takes
 * its bytes and no more, and none is allocated or released while others are served. The engine's
 * thread. */
#ifndef LF_DAEMON_ENGINE_REGION_H
#define LF_DAEMON_ENGINE_REGION_H

#include "core/extents.h"
#include "gpu/device.h"

struct lf_segment {
    char *base;
    struct lf_extents extents;
};

struct lf_region {
    struct lf_device *dev;
    size_t ceiling; /* of all segments together */
    size_t spare;   /* of the device's memory, that growing leaves */
    struct lf_segment **segments;
    int n;
    size_t cap, bytes, used;
};

/* Where something lies; memory NULL: nowhere. */
struct lf_spot {
    void *memory;
    struct lf_segment *segment;
    struct lf_extent *extent;
};

void lf_region_init(struct lf_region *a, struct lf_device *dev, size_t ceiling, size_t spare);
void lf_region_free(struct lf_region *a);
/* A segment of so many bytes, where the device has them. */
bool lf_region_grow(struct lf_region *a, size_t bytes);

/* Memory for a user (not NULL), 256-byte aligned; grows for it. False: there is none now. */
bool lf_region_take(struct lf_region *a, struct lf_spot *out, size_t bytes, void *user);
void lf_region_give(struct lf_region *a, struct lf_spot *place);
/* Who is to leave so that this many bytes come free at the least cost: one of those who lie there;
 * again, until lf_region_take succeeds. NULL: those who must stay leave no such place. */
void *lf_region_victim(const struct lf_region *a, size_t bytes, lf_extent_cost_fn cost_of,
                       const void *arg);
/* Gives the segment whose users cost the least back to the device; `leave` gives up a user's place.
 * False: there is none without users that must stay. */
bool lf_region_shrink(struct lf_region *a, lf_extent_cost_fn cost_of, const void *arg,
                      void (*leave)(void *user, void *context), void *context);
/* Whether that would give anything back. */
bool lf_region_can_shrink(const struct lf_region *a, lf_extent_cost_fn cost_of, const void *arg);

#endif
