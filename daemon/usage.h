/* What was asked of each adapter, for /metrics: counters that any thread adds to, without locks. */
#ifndef LF_DAEMON_USAGE_H
#define LF_DAEMON_USAGE_H

#include "daemon/limits.h"

#include <stdatomic.h>
#include <stdint.h>

/* A row is an adapter's until the daemon ends, since a counter must not fall. */
struct lf_adapter_usage {
    atomic_uint_fast64_t owner; /* the adapter's id + 1; 0: nobody's yet */
    atomic_int waiting, running;
    atomic_uint_fast64_t ended, cancelled, failed, refused; /* requests */
    atomic_uint_fast64_t prompt_tokens, completion_tokens, loads;
    atomic_uint_fast64_t queue_micro, queued;       /* until the first step: sum, and of how many */
    atomic_uint_fast64_t first_micro, first_tokens; /* until the first token */
    atomic_uint_fast64_t later_micro, later_tokens; /* of the tokens after it */
};

struct lf_usages {
    struct lf_adapter_usage row[LF_USAGE_ADAPTERS_MAX + 1]; /* the last: of all that found no row */
};

/* The row of an adapter, or the last one, which is that of merged adapters, too. id 0: the bare
 * base. */
struct lf_adapter_usage *lf_usage_of(struct lf_usages *u, uint64_t id);

#endif
