/* What the mount is made of, for the files of this room alone.
 *
 * One thread does everything: it reads the kernel's requests, drives the HTTP client and runs the
 * timers (fs/mount.c), so nothing here is locked and nothing may block. A request that cannot be
 * answered at once becomes a waiting operation (struct lf_op): it names the step that goes on when
 * what it waits for is there, and that step is told when it never will be (the daemon's error, or
 * LF_E_INTERRUPTED when the kernel wants the request back). A hundred readers that wait for tokens
 * are a hundred small structures, and `ls` is answered between them.
 *
 *     callback -> lf_op_new -> wait for (tree | draft | HTTP answer | commits of the adapter)
 *              -> step -> ... -> one reply -> lf_op_end
 *
 * Kinds of waiting: lf_cache_wait (fs/cache.c), lf_draft_load and lf_draft_send (fs/draft.c),
 * lf_op_call and lf_op_settle (fs/op.c), the readers of a stream (fs/stream.c).
 */
#ifndef LF_FS_STATE_H
#define LF_FS_STATE_H

#define FUSE_USE_VERSION 314

#include "core/buf.h"
#include "client/http.h"
#include "fs/node.h"
#include "fs/stage.h"

#include <fuse3/fuse_lowlevel.h>
#include <limits.h>
#include <sys/queue.h>

struct lf_op;
struct lf_fs;
TAILQ_HEAD(lf_op_list, lf_op);

/* ---- Timers ---------------------------------------------------------------------------------- */

struct lf_timer {
    LIST_ENTRY(lf_timer) link;
    uint64_t due_ns; /* 0: not set */
    void (*fn)(void *arg);
    void *arg;
};

void lf_timer_set(struct lf_fs *fs, struct lf_timer *t, unsigned ms);
void lf_timer_clear(struct lf_timer *t);
/* Milliseconds until the next one, -1: none. */
int lf_timer_next_ms(const struct lf_fs *fs);
void lf_timer_run(struct lf_fs *fs);

/* ---- The daemon's tree, kept for a moment ---------------------------------------------------- */

struct lf_cache {
    struct lf_fs *fs;
    void (*request)(struct lf_cache *c, char *path, size_t cap);
    enum lf_err (*parse)(struct lf_cache *c, const struct lf_client_result *r,
                         struct lf_diag *diag);
    bool fresh; /* what is there was true at fetched_ns */
    uint64_t fetched_ns, ttl_ns;
    struct lf_client_call *call;
    bool whole;                  /* ask for everything, not for what changed */
    bool outdated;               /* something changed since the call in flight was sent */
    struct lf_op_list now, next; /* waiting for this call; for the one after it */
};

void lf_cache_init_tree(struct lf_cache *c, struct lf_fs *fs);
void lf_cache_init_jobs(struct lf_cache *c, struct lf_fs *fs);
/* Goes on with `step` when the snapshot is fresh: at once or later. */
void lf_cache_wait(struct lf_cache *c, struct lf_op *op, void (*step)(struct lf_op *, enum lf_err));
/* The next wait asks the daemon again. */
void lf_cache_expire(struct lf_cache *c);

/* ---- The mount ------------------------------------------------------------------------------- */

struct lf_fs {
    struct fuse_session *session;
    struct lf_client *client;
    struct lf_nodes nodes;
    struct lf_stage_pool stages;
    struct lf_tree *tree; /* NULL until the daemon has answered once */
    struct lf_tree_jobs jobs;
    struct lf_cache tree_cache, jobs_cache;
    struct lf_op_list ops;         /* all that wait */
    struct lf_op_list interrupted; /* those that the kernel wants back */
    struct lf_op_list settling;    /* those that wait for an adapter's commits */
    size_t n_detached;             /* operations of our own: commits, removals */
    LIST_HEAD(, lf_timer) timers;
    LIST_HEAD(, lf_handle) handles;
    LIST_HEAD(, lf_node) removing; /* adapters with hidden names */
    struct lf_timer removal_timer;
    uid_t uid;
    gid_t gid;
    int64_t mounted_ms;
};

struct lf_view lf_fs_view(const struct lf_fs *fs);
/* Waits for what questions about a node (and, for a directory, the names in it) need: the tree, the
 * queue, or nothing. */
void lf_fs_look(struct lf_op *op, struct lf_node *n, void (*step)(struct lf_op *, enum lf_err));
/* The node that `name` in `dir` is; after lf_fs_look. Borrowed. */
enum lf_err lf_fs_resolve(struct lf_node **out, struct lf_fs *fs, struct lf_node *dir,
                          const char *name) LF_MUST_CHECK;
/* Attributes of a node, and how long the kernel may believe them. */
enum lf_err lf_fs_stat(struct stat *out, double *timeout_s, struct lf_fs *fs,
                       struct lf_node *n) LF_MUST_CHECK;
/* As lf_fs_resolve and lf_fs_stat, in the form that entries are replied in; counts no lookup. */
enum lf_err lf_fs_entry(struct fuse_entry_param *out, struct lf_fs *fs,
                        struct lf_node *n) LF_MUST_CHECK;
/* The daemon's tree has changed by our doing. */
void lf_fs_changed(struct lf_fs *fs);

/* ---- Handles --------------------------------------------------------------------------------- */

struct lf_feed;

struct lf_handle {
    LIST_ENTRY(lf_handle) link;
    struct lf_node *node;   /* held */
    bool writes;            /* counts among its draft's writers */
    pid_t opener;           /* the process that opened it; 0: not known */
    struct lf_buf text;     /* TEXT and its like: the answer; CTL: the unfinished line;
                               a directory: its names, each ending in NUL */
    struct lf_feed *stream; /* PROGRESS, GENERATE */
};

/* NULL: out of memory. */
struct lf_handle *lf_handle_new(struct lf_fs *fs, struct lf_node *n);
/* The kernel has released it (NULL is fine): what it wrote goes where it must. */
void lf_handle_free(struct lf_fs *fs, struct lf_handle *h);
/* At the end of everything: memory alone. */
void lf_handle_discard(struct lf_handle *h);

/* ---- Waiting operations ---------------------------------------------------------------------- */

typedef void (*lf_op_step)(struct lf_op *op, enum lf_err rc);

struct lf_op {
    TAILQ_ENTRY(lf_op) all, wait, interrupt;
    struct lf_op_list *waits_in; /* or NULL */
    struct lf_fs *fs;
    fuse_req_t req;              /* NULL: an operation of our own, which replies to no one */
    lf_op_step step;             /* what goes on */
    lf_op_step then;             /* what goes on after lf_draft_load or lf_draft_send */
    struct lf_client_call *call; /* in flight, or NULL */
    const struct lf_client_result *answer; /* during the step after lf_op_call */
    bool armed, interrupted;               /* told libfuse whom to tell; was told */
    struct lf_node *node;                  /* held: what the request names (a parent for names) */
    struct lf_node *other;                 /* held: a second one, or NULL */
    struct lf_node *commits_to; /* held: the adapter among whose commits it counts, or NULL */
    struct lf_handle *handle;   /* outlives the operation: the kernel releases it later */
    struct fuse_file_info fi;
    char name[NAME_MAX + 1], new_name[NAME_MAX + 1];
    struct stat attr; /* SETATTR's */
    int to_set;
    unsigned flags; /* RENAME's */
    uint64_t off;
    size_t size;
    struct lf_buf data;    /* WRITE's bytes; SYMLINK's target */
    struct lf_place place; /* where a draft is sent to */
    uint64_t changes;      /* of the draft that is being sent */
    bool train;            /* sending it starts training */
};

/* For a request; a reply of ENOMEM is sent where there is no memory (NULL). node is held. */
struct lf_op *lf_op_new(struct lf_fs *fs, fuse_req_t req, struct lf_node *node);
/* For work of our own. NULL: out of memory. */
struct lf_op *lf_op_new_detached(struct lf_fs *fs, struct lf_node *node);
/* Frees it: the reply was sent. */
void lf_op_end(struct lf_op *op);
/* Replies with an error (LF_OK: success without data) and frees it. */
void lf_op_reply(struct lf_op *op, enum lf_err rc);
/* LF_E_INVALID "name too long" and the like: copies the names. */
enum lf_err lf_op_names(struct lf_op *op, const char *name, const char *new_name) LF_MUST_CHECK;

/* Waits in a list until lf_op_wake, or an interrupt. */
void lf_op_wait(struct lf_op *op, struct lf_op_list *list, lf_op_step step);
void lf_op_wake(struct lf_op_list *list, enum lf_err rc);
/* Sends a call (method, path, body... of spec; its callback is set here) and goes on with `step`
 * when it has ended; op->answer is there during the step. */
void lf_op_call(struct lf_op *op, struct lf_client_spec *spec, lf_op_step step);
/* Goes on when no upload or removal of the node's adapter is under way: what a program does after
 * close() sees what close() has started. */
void lf_op_settle(struct lf_op *op, struct lf_node *n, lf_op_step step);
/* Until its end this operation is such an upload or removal. */
void lf_op_commits(struct lf_op *op, struct lf_node *n);
/* Has `target`, the text of a link, become the version that the adapter serves. Replies EINVAL
 * where it is no number. */
void lf_op_rollback(struct lf_op *op, const char *adapter, const char *target, lf_op_step step);
/* Steps the interrupted operations with LF_E_INTERRUPTED. */
void lf_op_run_interrupts(struct lf_fs *fs);
/* Steps every operation that waits for the kernel's sake with LF_E_INTERRUPTED. */
void lf_op_interrupt_all(struct lf_fs *fs);

/* Ends an operation of our own without its next step. */
void lf_op_abandon(struct lf_op *op);

/* The positive errno that a reply carries. */
int lf_fs_errno(enum lf_err rc);

/* "/v1/adapters/<name>/files/<rel><query>" of a place. */
#define LF_FS_URL_MAX 512
enum lf_err lf_fs_file_url(char out[LF_FS_URL_MAX], const struct lf_place *p,
                           const char *query) LF_MUST_CHECK;
/* "/v1/adapters/<name><tail>". */
enum lf_err lf_fs_adapter_url(char out[LF_FS_URL_MAX], const char *name,
                              const char *tail) LF_MUST_CHECK;

/* ---- The callbacks --------------------------------------------------------------------------- */

/* By file: what each may reply is said at each. */
void lf_fs_ops_names(struct fuse_lowlevel_ops *ops); /* lookup, getattr, mkdir, unlink... */
void lf_fs_ops_dirs(struct fuse_lowlevel_ops *ops);  /* opendir, readdir... */
void lf_fs_ops_rename(struct fuse_lowlevel_ops *ops);
void lf_fs_ops_open(struct fuse_lowlevel_ops *ops);  /* open, create, release */
void lf_fs_ops_bytes(struct fuse_lowlevel_ops *ops); /* read, write, flush, setattr, poll */

struct lf_fs *lf_fs_of(fuse_req_t req);
/* The process (not the thread) that asks; 0: not known, such as from another PID name space. */
pid_t lf_fs_process(fuse_req_t req);
struct lf_node *lf_fs_node(struct lf_fs *fs, fuse_ino_t ino);
struct lf_handle *lf_fs_handle(const struct fuse_file_info *fi);

#endif
