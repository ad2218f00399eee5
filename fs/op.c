/* Waiting operations: lists, interrupts, HTTP answers, and the timers. */
#include "fs/state.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u

/* ---- Life ------------------------------------------------------------------------------------ */

struct lf_op *lf_op_new_detached(struct lf_fs *fs, struct lf_node *node)
{
    struct lf_op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->fs = fs;
    op->node = node ? lf_node_hold(node) : NULL;
    lf_buf_init(&op->data, 0);
    TAILQ_INSERT_TAIL(&fs->ops, op, all);
    fs->n_detached++;
    return op;
}

struct lf_op *lf_op_new(struct lf_fs *fs, fuse_req_t req, struct lf_node *node)
{
    struct lf_op *op = lf_op_new_detached(fs, node);
    if (!op) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    fs->n_detached--;
    op->req = req;
    return op;
}

void lf_op_end(struct lf_op *op)
{
    struct lf_fs *fs = op->fs;
    lf_assert(!op->waits_in && !op->call);
    if (op->interrupted)
        TAILQ_REMOVE(&fs->interrupted, op, interrupt);
    TAILQ_REMOVE(&fs->ops, op, all);
    if (!op->req)
        fs->n_detached--;
    struct lf_node *adapter = op->commits_to;
    lf_node_release(&fs->nodes, op->node);
    lf_node_release(&fs->nodes, op->other);
    lf_buf_free(&op->data);
    free(op);
    if (!adapter)
        return;
    adapter->commits--;
    lf_node_release(&fs->nodes, adapter);
    lf_fs_changed(fs);
    lf_op_wake(&fs->settling, LF_OK);
}

void lf_op_reply(struct lf_op *op, enum lf_err rc)
{
    if (op->req)
        fuse_reply_err(op->req, lf_fs_errno(rc));
    lf_op_end(op);
}

enum lf_err lf_op_names(struct lf_op *op, const char *name, const char *new_name)
{
    size_t n = strlen(name), k = new_name ? strlen(new_name) : 0;
    if (n > NAME_MAX || k > NAME_MAX)
        return LF_E_INVALID;
    memcpy(op->name, name, n + 1);
    if (new_name)
        memcpy(op->new_name, new_name, k + 1);
    return LF_OK;
}

int lf_fs_errno(enum lf_err rc)
{
    switch (rc) {
    case LF_E_BASE_DIFFERS: /* ESTALE would make the kernel look the path up again */
        return EINVAL;
    default:
        return -(int)rc;
    }
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
    TAILQ_INSERT_TAIL(&op->fs->interrupted, op, interrupt);
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

void lf_op_run_interrupts(struct lf_fs *fs)
{
    struct lf_op *op;
    while ((op = TAILQ_FIRST(&fs->interrupted))) {
        TAILQ_REMOVE(&fs->interrupted, op, interrupt);
        op->interrupted = false;
        interrupt(op);
    }
}

void lf_op_interrupt_all(struct lf_fs *fs)
{
    struct lf_op *op = TAILQ_FIRST(&fs->ops);
    while (op) {
        if (op->req) {
            interrupt(op);
            op = TAILQ_FIRST(&fs->ops); /* a step may end and wake others */
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
    enum lf_err rc = lf_client_start(&op->call, op->fs->client, spec, NULL);
    if (rc == LF_OK) {
        arm(op);
        return;
    }
    struct lf_client_result none = {.rc = rc, .body = ""};
    op->answer = &none;
    step(op, rc);
}

/* ---- Commits of an adapter ------------------------------------------------------------------- */

void lf_op_settle(struct lf_op *op, struct lf_node *n, lf_op_step step)
{
    struct lf_node *adapter = lf_node_adapter(n);
    if (adapter && adapter->commits > 0)
        lf_op_wait(op, &op->fs->settling, step); /* the step asks again */
    else
        step(op, LF_OK);
}

void lf_op_commits(struct lf_op *op, struct lf_node *n)
{
    struct lf_node *adapter = lf_node_adapter(n);
    if (!adapter || op->commits_to)
        return;
    op->commits_to = lf_node_hold(adapter);
    adapter->commits++;
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static enum lf_err url_fit(int n)
{
    return n < 0 || n >= LF_FS_URL_MAX ? LF_E_INVALID : LF_OK;
}

enum lf_err lf_fs_adapter_url(char out[LF_FS_URL_MAX], const char *name, const char *tail)
{
    return url_fit(snprintf(out, LF_FS_URL_MAX, "/v1/adapters/%s%s", name, tail));
}

enum lf_err lf_fs_file_url(char out[LF_FS_URL_MAX], const struct lf_place *p, const char *query)
{
    return url_fit(
        snprintf(out, LF_FS_URL_MAX, "/v1/adapters/%s/files/%s%s", p->owner, p->rel, query));
}

/* ---- Timers ---------------------------------------------------------------------------------- */

void lf_timer_set(struct lf_fs *fs, struct lf_timer *t, unsigned ms)
{
    lf_timer_clear(t);
    t->due_ns = lf_clock_ns() + (uint64_t)ms * NS_PER_MS;
    LIST_INSERT_HEAD(&fs->timers, t, link);
}

void lf_timer_clear(struct lf_timer *t)
{
    if (t->due_ns)
        LIST_REMOVE(t, link);
    t->due_ns = 0;
}

static struct lf_timer *timer_first(const struct lf_fs *fs)
{
    struct lf_timer *t, *first = NULL;
    LIST_FOREACH(t, &fs->timers, link)
    if (!first || t->due_ns < first->due_ns)
        first = t;
    return first;
}

int lf_timer_next_ms(const struct lf_fs *fs)
{
    const struct lf_timer *t = timer_first(fs);
    if (!t)
        return -1;
    uint64_t now = lf_clock_ns();
    return now >= t->due_ns ? 0 : (int)((t->due_ns - now + NS_PER_MS - 1) / NS_PER_MS);
}

void lf_timer_run(struct lf_fs *fs)
{
    struct lf_timer *t;
    while ((t = timer_first(fs)) && t->due_ns <= lf_clock_ns()) {
        lf_timer_clear(t);
        t->fn(t->arg);
    }
}
