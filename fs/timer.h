/* Timers of the mount's thread. */
#ifndef LF_FS_TIMER_H
#define LF_FS_TIMER_H

#include <stdint.h>
#include <sys/queue.h>

struct lf_timer {
    LIST_ENTRY(lf_timer) link;
    uint64_t due_ns; /* 0: not set */
    void (*fn)(void *arg);
    void *arg;
};
LIST_HEAD(lf_timers, lf_timer);

/* Replaces the time of one that was set already. */
void lf_timer_set(struct lf_timers *all, struct lf_timer *t, unsigned ms);
void lf_timer_clear(struct lf_timer *t);
/* Milliseconds until the next one, -1: none. */
int lf_timer_next_ms(const struct lf_timers *all);
/* Calls those that are due. */
void lf_timer_run(struct lf_timers *all);

#endif
