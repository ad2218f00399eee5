/* What GET /metrics shows: counters that any thread adds to, without locks. */
#ifndef LF_DAEMON_COUNTERS_H
#define LF_DAEMON_COUNTERS_H

#include "core/buf.h"
#include "daemon/limits.h"
#include "daemon/usage.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LF_COUNTER_STATUSES 24
#define LF_HISTOGRAM_BUCKETS 16

/* Durations in seconds, or sizes. sum is in millionths. */
struct lf_histogram {
    const double *bounds; /* (n_bounds) ascending, static */
    int n_bounds;
    atomic_uint_fast64_t bucket[LF_HISTOGRAM_BUCKETS + 1]; /* the last: above all bounds */
    atomic_uint_fast64_t sum_micro;
};

struct lf_counters {
    atomic_uint_fast64_t requests[LF_COUNTER_ROUTES_MAX + 1][LF_COUNTER_STATUSES];
    /* Generations, by how they ended */
    atomic_uint_fast64_t ended_eos, ended_stop, ended_length, ended_cancelled, ended_failed;
    atomic_uint_fast64_t refused; /* the queue was full */
    atomic_uint_fast64_t prompt_tokens, cached_tokens, completion_tokens;
    atomic_uint_fast64_t drafted_tokens, accepted_tokens;
    atomic_uint_fast64_t train_tokens, train_steps;
    atomic_uint_fast64_t adapters_read, adapters_loaded, adapters_evicted;
    atomic_uint_fast64_t adapter_hits_device, adapter_hits_host; /* requests that found theirs */
    atomic_uint_fast64_t jobs_done, jobs_failed, jobs_cancelled;
    atomic_uint_fast64_t device_losses, bases_loaded, bases_evicted;
    struct lf_usages usages;           /* of each adapter */
    struct lf_histogram queue_seconds; /* from arrival to the first step */
    struct lf_histogram first_token_seconds;
    struct lf_histogram token_seconds; /* mean time of a token after the first, by request */
    struct lf_histogram request_seconds;
    struct lf_histogram batch_tokens; /* of a serving step */
};

void lf_counters_init(struct lf_counters *c);
/* An HTTP request on routes[route] was answered; route past the table: none of ours. */
void lf_counters_request(struct lf_counters *c, size_t route, unsigned status);
void lf_histogram_add(struct lf_histogram *h, double value);
static inline void lf_counter_add(atomic_uint_fast64_t *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

/* ---- Prometheus' text form ------------------------------------------------------------------- */

struct lf_route;
/* What the counters know; other rooms' numbers are printed with lf_metric_print. */
enum lf_err lf_counters_print(const struct lf_counters *c, const struct lf_route *routes, size_t n,
                              struct lf_buf *out) LF_MUST_CHECK;
/* The two lines before a metric's values. type: "gauge", "counter", "histogram" or "summary". */
void lf_metric_head(struct lf_buf *out, const char *name, const char *type, const char *help);
/* One without labels. type: "gauge" or "counter". */
void lf_metric_print(struct lf_buf *out, const char *type, const char *name, const char *help,
                     double value);

#endif
