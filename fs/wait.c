/* Waiting operations: life, interrupts, lists, HTTP answers. */
#include "fs/wait.h"

#include <stdlib.h>

/* ---- Life ------------------------------------------------------------------------------------ */

void lf_waits_init(struct lf_waits *w, struct lf_fs *fs, struct lf_nodes *nodes)
{
    *w = (struct lf_waits){.fs = fs, .nodes = nodes};
    TAILQ_INIT(&w->all);
    TAILQ_INIT(&w->interrupted);
    TAILQ_INIT(&w->settling);
}

void *lf_op_new_detached(struct lf_waits *w, struct lf_node *node, size_t size)
{
    struct lf_op *op = calloc(1, size);
    if (!op)
        return NULL;
    op->waits = w;
    op->fs = w->fs;
    op->node = lf_node_hold(node);
    TAILQ_INSERT_TAIL(&w->all, op, all);
    w->n_detached++;
    return op;
}

void *lf_op_new(struct lf_waits *w, fuse_req_t req, struct lf_node *node, size_t size)
{
    struct lf_op *op = lf_op_new_detached(w, node, size);
    if (!op) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    w->n_detached--;
    op->req = req;
    return op;
}

void lf_op_end(struct lf_op *op)
{
    struct lf_waits *w = op->waits;
    struct lf_node *adapter = op->commits_to;
    lf_assert(!op->waits_in && !op->call);
    if (op->interrupted)
        TAILQ_REMOVE(&w->interrupted, op, interrupt);
    TAILQ_REMOVE(&w->all, op, all);
    if (!op->req)
        w->n_detached--;
    if (op->drop)
        op->drop(op);
    lf_node_release(w->nodes, op->node);
    free(op);
    if (!adapter)
        return;
    adapter->commits--;
    lf_node_release(w->nodes, adapter);
    lf_op_wake(&w->settling, LF_OK);
}

void lf_op_reply(struct lf_op *op, enum lf_err rc)
{
    if (op->req)
        fuse_reply_err(op->req, lf_op_errno(rc));
    lf_op_end(op);
}

bool lf_op_failed(struct lf_op *op, enum lf_err rc)
{
    if (rc != LF_OK)
        lf_op_reply(op, rc);
    return rc != LF_OK;
}

void lf_op_turn_to(struct lf_op *op, struct lf_node *node)
{
    struct lf_node *before = op->node;
    op->node = lf_node_hold(node);
    lf_node_release(op->waits->nodes, before);
}

int lf_op_errno(enum lf_err rc)
{
    /* ESTALE would make the kernel look the path up again. */
    return rc == LF_E_BASE_DIFFERS ? EINVAL : -(int)rc;
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

/* Called by libfuse with its own locks held: only takes note. */
static void on_interrupt(fuse_req_t req, void *arg)
{
    (void)req;
    struct lf_op *op = arg;
    if (op->interrupted)
        return;
    op->interrupted = true;
    TAILQ_INSERT_TAIL(&op->waits->interrupted, op, interrupt);
}

static void arm(struct lf_op *op)
{
    if (op->req && !op->armed)
        fuse_req_interrupt_func(op->req, on_interrupt, op);
    op->armed = true;
}

/* It waits for nothing any more. */
static void pull_out(struct lf_op *op)
{
    lf_client_cancel(op->call);
    op->call = NULL;
    if (op->waits_in)
        TAILQ_REMOVE(op->waits_in, op, wait);
    op->waits_in = NULL;
}

static void interrupt(struct lf_op *op)
{
    pull_out(op);
    op->step(op, LF_E_INTERRUPTED);
}

void lf_op_run_interrupts(struct lf_waits *w)
{
    struct lf_op *op;
    while ((op = TAILQ_FIRST(&w->interrupted))) {
        TAILQ_REMOVE(&w->interrupted, op, interrupt);
        op->interrupted = false;
        interrupt(op);
    }
}

void lf_op_interrupt_all(struct lf_waits *w)
{
    struct lf_op *op = TAILQ_FIRST(&w->all);
    while (op) {
        if (op->req) {
            interrupt(op);
            op = TAILQ_FIRST(&w->all); /* a step may end and wake others */
        } else {
            op = TAILQ_NEXT(op, all);
        }
    }
}

void lf_op_abandon(struct lf_op *op)
{
    pull_out(op);
    lf_op_end(op);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

void lf_op_wait(struct lf_op *op, struct lf_op_list *list, lf_op_step step)
{
    op->step = step;
    op->waits_in = list;
    TAILQ_INSERT_TAIL(list, op, wait);
    arm(op);
}

void lf_op_wake(struct lf_op_list *list, enum lf_err rc)
{
    struct lf_op_list woken; /* those who wait again are not in it */
    struct lf_op *op;
    TAILQ_INIT(&woken);
    TAILQ_CONCAT(&woken, list, wait);
    TAILQ_FOREACH(op, &woken, wait)
    op->waits_in = &woken;
    while ((op = TAILQ_FIRST(&woken))) {
        TAILQ_REMOVE(&woken, op, wait);
        op->waits_in = NULL;
        op->step(op, rc);
    }
}

static void on_answer(void *arg, const struct lf_client_result *r)
{
    struct lf_op *op = arg;
    op->call = NULL;
    op->answer = r;
    op->step(op, r->rc);
}

void lf_op_call(struct lf_op *op, struct lf_client_spec *spec, lf_op_step step)
{
    spec->on_done = on_answer;
    spec->arg = op;
    op->step = step;
    enum lf_err rc = lf_client_start(&op->call, op->waits->client, spec, NULL);
    if (rc == LF_OK) {
        arm(op);
        return;
    }
    struct lf_client_result none = {
        .rc = rc, .body = "", .lost = lf_client_is_gone(op->waits->client)};
    op->answer = &none;
    step(op, rc);
}

/* ---- Commits of an adapter ------------------------------------------------------------------- */

void lf_op_commits(struct lf_op *op, struct lf_node *n)
{
    struct lf_node *adapter = lf_node_adapter(n);
    if (!adapter || op->commits_to)
        return;
    op->commits_to = lf_node_hold(adapter);
    adapter->commits++;
}

bool lf_op_settles(struct lf_op *op, struct lf_node *n, lf_op_step step)
{
    const struct lf_node *adapter = lf_node_adapter(n);
    if (!adapter || adapter->commits == 0)
        return false;
    lf_op_wait(op, &op->waits->settling, step);
    return true;
}
