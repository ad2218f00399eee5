/* Timers: an unordered list, of few. */
#include "fs/timer.h"

#include "core/clock.h"

#include <stddef.h>

void lf_timer_set(struct lf_timers *all, struct lf_timer *t, unsigned ms)
{
    lf_timer_clear(t);
    t->due_ns = lf_clock_ns() + (uint64_t)ms * LF_NS_PER_MS;
    LIST_INSERT_HEAD(all, t, link);
}

void lf_timer_clear(struct lf_timer *t)
{
    if (t->due_ns)
        LIST_REMOVE(t, link);
    t->due_ns = 0;
}

static struct lf_timer *timer_first(const struct lf_timers *all)
{
    struct lf_timer *t, *first = NULL;
    LIST_FOREACH(t, all, link)
    if (!first || t->due_ns < first->due_ns)
        first = t;
    return first;
}

int lf_timer_next_ms(const struct lf_timers *all)
{
    const struct lf_timer *t = timer_first(all);
    if (!t)
        return -1;
    uint64_t now = lf_clock_ns();
    return now >= t->due_ns ? 0 : (int)((t->due_ns - now + LF_NS_PER_MS - 1) / LF_NS_PER_MS);
}

void lf_timer_run(struct lf_timers *all)
{
    struct lf_timer *t;
    while ((t = timer_first(all)) && t->due_ns <= lf_clock_ns()) {
        lf_timer_clear(t);
        t->fn(t->arg);
    }
}
