/* The daemon's tree and its queue, kept for a moment.
 *
 * A snapshot is believed for TTL_MIN_MS, or for ten times as long as it took to parse, so that a
 * tree of 100,000 adapters takes at most a tenth of this thread. What is done through this mount
 * expires it at once; what others do is seen that much later (and another ATTR_TIMEOUT_S for what
 * the kernel keeps, fs/attr.c). Operations that wait share one call, which is made ahead of
 * time while they keep coming, so that over a long line few of them wait. Where the daemon is gone
 * (client/http.h), the last snapshot is gone on with: it is stale, and the log says so.
 */
#ifndef LF_FS_SNAPSHOT_H
#define LF_FS_SNAPSHOT_H

#include "fs/wait.h"

struct lf_snapshot;

/* One of the two documents. */
struct lf_cache {
    struct lf_snapshot *of;
    void (*request)(struct lf_cache *c, char *path, size_t cap);
    enum lf_err (*parse)(struct lf_cache *c, const struct lf_client_result *r,
                         struct lf_diag *diag);
    bool known; /* the daemon has answered once */
    bool fresh; /* what is there was true at fetched_ns */
    uint64_t fetched_ns, ttl_ns;
    struct lf_client_call *call;
    bool changed;                /* by our doing, since it was fetched */
    bool stale;                  /* it was shown without the daemon */
    bool whole;                  /* ask for everything, not for what changed */
    bool outdated;               /* something changed since the call in flight was sent */
    struct lf_op_list now, next; /* waiting for this call; for the one after it */
};

struct lf_snapshot {
    struct lf_client *client; /* set by the owner before the first wait */
    struct lf_tree *tree;     /* NULL until the daemon has answered once */
    struct lf_tree_jobs jobs;
    struct lf_cache tree_cache, jobs_cache;
};

void lf_snapshot_init(struct lf_snapshot *s);
void lf_snapshot_deinit(struct lf_snapshot *s);
struct lf_view lf_snapshot_view(const struct lf_snapshot *s);
/* Goes on with `step`, at once or later, when there is what questions about a node of this kind
 * (and, for a directory, the names in it) need: the tree, the queue, or nothing. */
void lf_snapshot_look(struct lf_snapshot *s, struct lf_op *op, enum lf_kind kind, lf_op_step step);
/* The daemon's tree may have changed: the next look asks again. */
void lf_snapshot_expire(struct lf_snapshot *s);
/* Something was done to it through this mount, which ended with rc. Where it was done, the next
 * look waits for a daemon that is gone: what was acknowledged is not to be missing in what is
 * shown. */
void lf_snapshot_changed(struct lf_snapshot *s, enum lf_err rc);

#endif
