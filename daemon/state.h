/* The daemon from inside: what handlers reach. All of it is made before the first request and
 * freed after the last. */
#ifndef LF_DAEMON_STATE_H
#define LF_DAEMON_STATE_H

#include "daemon/counters.h"
#include "daemon/daemon.h"
#include "daemon/rates.h"
#include "route/waiting.h"

#include <stdatomic.h>

struct lf_audit;
struct lf_batches;
struct lf_budget;
struct lf_connections;
struct lf_jobs;
struct lf_keys;
struct lf_registry;
struct lf_sharing;
struct lf_store;
struct lf_teams;
struct lf_tracer;

struct lf_daemon {
    struct lf_daemon_options options;
    struct lf_store *store;
    struct lf_teams *teams; /* daemon/team.h */
    struct lf_waiting waiting;
    struct lf_registry *registry;
    struct lf_jobs *jobs;
    struct lf_sharing *sharing; /* daemon/sharing.h; NULL: adapters are this daemon's alone */
    struct lf_batches *batches; /* daemon/api/batch.h */
    struct lf_counters counters;
    struct lf_rates rates;                         /* of the last hour */
    struct lf_budget *request_memory, *row_memory; /* parts of --host-memory */
    struct lf_connections *connections;            /* daemon/http/connections.h */
    char cache_dir[LF_PATH_MAX];                   /* quantised copies of weights */
    char documents_dir[LF_PATH_MAX];               /* meta/documents.h */
    struct lf_audit *audit;                        /* daemon/http/audit.h */
    struct lf_keys *keys;                          /* keys/keys.h */
    struct lf_tracer *tracer;                      /* trace/trace.h; NULL: spans are for nobody */
    int64_t started_ms;
    atomic_bool leaving;  /* it is about to stop: /health says so, and all is answered yet */
    atomic_bool stopping; /* new requests are turned away, streams that only follow end */
    atomic_int active;    /* requests whose answer is not out yet */
};

#endif
