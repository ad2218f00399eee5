/* The device's memory for adapters: segments, and who leaves when they are full. */
#include "daemon/engine/region.h"

#include "core/grow.h"

#include <stdlib.h>

#define ALIGN ((size_t)256)
/* A card's segment holds some adapters and makes few calls of the driver; host memory that nobody
 * writes to costs nothing. */
#define SEGMENT_BYTES ((size_t)256 << 20)
#define SEGMENT_BYTES_HOST ((size_t)16 << 20)

void lf_region_init(struct lf_region *a, struct lf_device *dev, size_t ceiling, size_t spare)
{
    *a = (struct lf_region){.dev = dev, .ceiling = ceiling, .spare = spare};
}

static void segment_free(struct lf_region *a, struct lf_segment *s)
{
    a->bytes -= s->extents.bytes;
    a->used -= s->extents.used;
    lf_device_release(a->dev, s->base);
    lf_extents_free(&s->extents);
    free(s);
}

void lf_region_free(struct lf_region *a)
{
    while (a->n > 0)
        segment_free(a, a->segments[--a->n]);
    free(a->segments);
    *a = (struct lf_region){0};
}

bool lf_region_grow(struct lf_region *a, size_t bytes)
{
    struct lf_device_info info;
    void *base = NULL;
    lf_device_info(a->dev, &info);
    if (bytes == 0 || bytes > a->ceiling - a->bytes || info.memory_free < a->spare ||
        bytes > info.memory_free - a->spare ||
        lf_grow(&a->segments, &a->cap, (size_t)a->n + 1, sizeof *a->segments) != LF_OK)
        return false;
    struct lf_segment *s = calloc(1, sizeof *s);
    if (!s || lf_extents_init(&s->extents, bytes) != LF_OK ||
        lf_device_alloc(a->dev, &base, bytes, NULL) != LF_OK) {
        if (s)
            lf_extents_free(&s->extents);
        free(s);
        return false;
    }
    s->base = base;
    a->segments[a->n++] = s;
    a->bytes += bytes;
    return true;
}

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static bool take_gap(struct lf_region *a, struct lf_spot *out, size_t bytes, void *user)
{
    for (int i = 0; i < a->n; i++) {
        struct lf_segment *s = a->segments[i];
        struct lf_extent *extent = lf_extents_take(&s->extents, bytes, user);
        if (!extent)
            continue;
        *out = (struct lf_spot){.memory = s->base + extent->at, .segment = s, .extent = extent};
        a->used += bytes;
        return true;
    }
    return false;
}

bool lf_region_take(struct lf_region *a, struct lf_spot *out, size_t bytes, void *user)
{
    bytes = aligned(bytes);
    if (take_gap(a, out, bytes, user))
        return true;
    size_t usual = lf_device_on_host(a->dev) ? SEGMENT_BYTES_HOST : SEGMENT_BYTES;
    if (bytes < usual && lf_region_grow(a, usual))
        return take_gap(a, out, bytes, user);
    return lf_region_grow(a, bytes) && take_gap(a, out, bytes, user);
}

void lf_region_give(struct lf_region *a, struct lf_spot *place)
{
    a->used -= place->extent->bytes;
    lf_extents_give(&place->segment->extents, place->extent);
    *place = (struct lf_spot){0};
}

void *lf_region_victim(const struct lf_region *a, size_t bytes, lf_extent_cost_fn cost_of,
                       const void *arg)
{
    struct lf_extent *first, *last, *from = NULL, *to = NULL;
    double cost, least = 0;
    for (int i = 0; i < a->n; i++)
        if (lf_extents_cheapest(&a->segments[i]->extents, aligned(bytes), cost_of, arg, &first,
                                &last, &cost) &&
            (!from || cost < least)) {
            from = first;
            to = last;
            least = cost;
        }
    while (from && !from->user && from != to)
        from = from->next;
    return from ? from->user : NULL;
}

/* The segment whose users cost the least; -1: each has some that must stay. */
static int cheapest_segment(const struct lf_region *a, lf_extent_cost_fn cost_of, const void *arg)
{
    int best = -1;
    double least = 0;
    for (int i = 0; i < a->n; i++) {
        struct lf_extent *first, *last;
        double cost;
        const struct lf_extents *r = &a->segments[i]->extents;
        if (!lf_extents_cheapest(r, r->bytes, cost_of, arg, &first, &last, &cost) ||
            (best >= 0 && cost >= least))
            continue;
        best = i;
        least = cost;
    }
    return best;
}

bool lf_region_can_shrink(const struct lf_region *a, lf_extent_cost_fn cost_of, const void *arg)
{
    return cheapest_segment(a, cost_of, arg) >= 0;
}

bool lf_region_shrink(struct lf_region *a, lf_extent_cost_fn cost_of, const void *arg,
                      void (*leave)(void *user, void *context), void *context)
{
    int i = cheapest_segment(a, cost_of, arg);
    if (i < 0)
        return false;
    struct lf_segment *s = a->segments[i];
    for (struct lf_extent *g = s->extents.first; s->extents.used > 0;) {
        while (!g->user)
            g = g->next;
        leave(g->user, context);
        g = s->extents.first;
    }
    a->segments[i] = a->segments[--a->n];
    segment_free(a, s);
    return true;
}
