/* The last hour in numbers, for a page that is opened now: counters and gauges of /metrics, noted
 * every few seconds. */
#ifndef LF_DAEMON_RATES_H
#define LF_DAEMON_RATES_H

#include "daemon/limits.h"

#include <jansson.h>
#include <pthread.h>
#include <stdint.h>

struct lf_daemon;

enum {
    LF_RATE_COMPLETION,
    LF_RATE_PROMPT,
    LF_RATE_TRAIN,
    LF_RATE_LIVE,
    LF_RATE_WAITING,
    LF_RATE_TRAININGS,
    LF_RATE_N
};

struct lf_rates {
    uint64_t next_ns; /* when it is noted again; of the thread that notes */
    pthread_mutex_t lock;
    /* Under the lock: a ring */
    struct lf_rate_note {
        int64_t ms; /* since 1970 */
        uint64_t value[LF_RATE_N];
    } note[LF_RATE_NOTES_MAX];
    size_t first, n;
};

void lf_rates_init(struct lf_rates *r);
/* Notes what is now, where it is time. One thread. */
void lf_rates_note(struct lf_rates *r, struct lf_daemon *d);
/* {"every_ms", "notes": [{"ms", and each by its name in /metrics}]}, oldest first. Yours; NULL:
 * memory is out. */
json_t *lf_rates_json(struct lf_rates *r);

#endif
