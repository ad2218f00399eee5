/* Waiting operations: requests of the kernel that cannot be answered at once, and work of our own.
 *
 * One thread does everything: it reads the kernel's requests, drives the HTTP client and runs the
 * timers (fs/mount.c), so nothing here is locked and nothing may block. An operation names the step
 * that goes on when what it waits for is there; the step is called with LF_OK, with the daemon's
 * error, or with LF_E_INTERRUPTED when the kernel wants the request back. A hundred readers that
 * wait for tokens are a hundred small structures, and `ls` is answered between them.
 *
 *     callback -> lf_op_new -> wait for (snapshot | draft | HTTP answer | commits of the adapter)
 *              -> step -> ... -> one reply -> lf_op_end
 *
 * What a callback needs to remember it puts into a structure of its own whose first member is the
 * lf_op; its steps cast back. `drop` gives back what such a structure holds.
 */
#ifndef LF_FS_WAIT_H
#define LF_FS_WAIT_H

#define FUSE_USE_VERSION 314

#include "client/http.h"
#include "fs/node.h"

#include <fuse3/fuse_lowlevel.h>
#include <stddef.h>
#include <sys/queue.h>

struct lf_fs;
struct lf_op;
TAILQ_HEAD(lf_op_list, lf_op);
typedef void (*lf_op_step)(struct lf_op *op, enum lf_err rc);

struct lf_waits {
    struct lf_fs *fs; /* whose operations they are; handed on, not looked into */
    struct lf_client *client;
    struct lf_nodes *nodes;
    struct lf_op_list all;
    struct lf_op_list interrupted; /* those that the kernel wants back */
    struct lf_op_list settling;    /* those that wait for an adapter's commits */
    size_t n_detached;             /* operations of our own: commits, removals */
};

struct lf_op {
    TAILQ_ENTRY(lf_op) all, wait, interrupt;
    struct lf_op_list *waits_in; /* or NULL */
    struct lf_waits *waits;
    struct lf_fs *fs;
    fuse_req_t req;                 /* NULL: an operation of our own, which replies to no one */
    lf_op_step step;                /* what goes on */
    void (*drop)(struct lf_op *op); /* or NULL; at the end, before the memory goes */
    struct lf_client_call *call;    /* in flight, or NULL */
    const struct lf_client_result *answer; /* during the step after lf_op_call */
    bool armed, interrupted;               /* registered for FUSE_INTERRUPT; it came */
    struct lf_node *node;                  /* held: what the request names (a parent for names) */
    struct lf_node *commits_to; /* held: the adapter among whose commits it counts, or NULL */
};

void lf_waits_init(struct lf_waits *w, struct lf_fs *fs, struct lf_nodes *nodes);

/* size bytes, zeroed, which begin with an lf_op. For a request; a reply of ENOMEM is sent where
 * there is no memory (NULL). node is held. */
void *lf_op_new(struct lf_waits *w, fuse_req_t req, struct lf_node *node, size_t size);
/* For work of our own. NULL: out of memory. */
void *lf_op_new_detached(struct lf_waits *w, struct lf_node *node, size_t size);
/* Frees it: the reply was sent. */
void lf_op_end(struct lf_op *op);
/* Replies with an error (LF_OK: success without data) and frees it. */
void lf_op_reply(struct lf_op *op, enum lf_err rc);
/* True where rc is a failure, with which it has replied: the operation is over. */
bool lf_op_failed(struct lf_op *op, enum lf_err rc);
/* The operation is about another node from now on. */
void lf_op_turn_to(struct lf_op *op, struct lf_node *node);
/* The positive errno that a reply carries. */
int lf_op_errno(enum lf_err rc);

/* Waits in a list until lf_op_wake, or an interrupt. */
void lf_op_wait(struct lf_op *op, struct lf_op_list *list, lf_op_step step);
void lf_op_wake(struct lf_op_list *list, enum lf_err rc);
/* Sends a call (method, path, body... of spec; its callback is set here) and goes on with `step`
 * when it has ended; op->answer is there during the step. */
void lf_op_call(struct lf_op *op, struct lf_client_spec *spec, lf_op_step step);

/* Until its end this operation is an upload to, or a removal in, the node's adapter. */
void lf_op_commits(struct lf_op *op, struct lf_node *n);
/* True: such a one is under way in the node's adapter, and the operation waits for its end; then
 * comes `step`, which asks again. So what a program does after close() sees what close() started.
 */
bool lf_op_settles(struct lf_op *op, struct lf_node *n, lf_op_step step);

/* Steps the interrupted operations with LF_E_INTERRUPTED. */
void lf_op_run_interrupts(struct lf_waits *w);
/* Steps every operation that waits for the kernel's sake with LF_E_INTERRUPTED. */
void lf_op_interrupt_all(struct lf_waits *w);
/* Ends an operation of our own without its next step. */
void lf_op_abandon(struct lf_op *op);

#endif
