/* A mount without a kernel and without a daemon: the client and the replies are fakes that
 * remember, and a test says what is answered. */
#ifndef LF_TESTS_FS_RIG_H
#define LF_TESTS_FS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs/draft.h"
#include "fs/fs.h"
#include "fs/removal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- The daemon ------------------------------------------------------------------------------ */

struct lf_client_call {
    char method[8], path[256];
    char body[256]; /* NUL-terminated; of a larger one nothing */
    bool waits;
    uint64_t range_off, range_bytes;
    char if_match[64]; /* "": any */
    lf_client_data_fn on_data;
    lf_client_done_fn on_done;
    void *arg;
    struct lf_client_spec spec; /* without its text */
    bool resumed;
    struct lf_client_call *next;
};

static struct lf_client_call *calls; /* in flight, oldest first */
static int calls_made;
static enum lf_err start_fails; /* what the next calls fail with at once: the daemon is gone */

enum lf_err lf_client_start(struct lf_client_call **out, struct lf_client *h,
                            const struct lf_client_spec *spec, struct lf_diag *diag)
{
    (void)h;
    (void)diag;
    if (start_fails != LF_OK)
        return start_fails;
    struct lf_client_call *c = calloc(1, sizeof *c), **at = &calls;
    assert_non_null(c);
    snprintf(c->method, sizeof c->method, "%s", spec->method);
    snprintf(c->path, sizeof c->path, "%s", spec->path);
    c->spec = *spec;
    if (spec->body) {
        assert_in_range(spec->body_bytes, 0, sizeof c->body - 1);
        memcpy(c->body, spec->body, spec->body_bytes);
    } else if (spec->body_bytes > 0 && spec->body_bytes < sizeof c->body) {
        assert_int_equal(pread(spec->body_fd, c->body, spec->body_bytes, 0), spec->body_bytes);
    }
    c->waits = spec->waits;
    c->range_off = spec->range_off;
    c->range_bytes = spec->range_bytes;
    snprintf(c->if_match, sizeof c->if_match, "%s", spec->if_match ? spec->if_match : "");
    c->on_data = spec->on_data;
    c->on_done = spec->on_done;
    c->arg = spec->arg;
    while (*at)
        at = &(*at)->next;
    *at = *out = c;
    calls_made++;
    return LF_OK;
}

void lf_client_cancel(struct lf_client_call *c)
{
    struct lf_client_call **at = &calls;
    while (c && *at != c)
        at = &(*at)->next;
    if (c)
        *at = c->next;
    free(c);
}

bool lf_client_is_gone(const struct lf_client *h)
{
    (void)h;
    return start_fails != LF_OK;
}

void lf_client_resume(struct lf_client_call *c)
{
    c->resumed = true;
}

/* The oldest call, which must be this one, ends like this; its body comes before. */
static inline void answer_with(const char *method, const char *path, enum lf_err rc, bool lost,
                               const char *body)
{
    struct lf_client_call *c = calls, copy;
    static const struct lf_diag diag = {"as the test wants it"};
    assert_non_null(c);
    assert_string_equal(c->method, method);
    assert_string_equal(c->path, path);
    copy = *c;
    lf_client_cancel(c);
    if (copy.on_data && rc == LF_OK && *body)
        assert_int_equal(copy.on_data(copy.arg, body, strlen(body)), LF_CLIENT_TAKEN);
    copy.on_done(copy.arg, &(struct lf_client_result){.rc = rc,
                                                      .lost = lost,
                                                      .status = lost          ? 0
                                                                : rc == LF_OK ? 200
                                                                              : 400,
                                                      .body = copy.on_data ? "" : body,
                                                      .body_bytes = copy.on_data ? 0 : strlen(body),
                                                      .diag = &diag});
}

static inline void answer(const char *method, const char *path, enum lf_err rc, const char *body)
{
    answer_with(method, path, rc, false, body);
}

/* ---- The kernel ------------------------------------------------------------------------------ */

struct fuse_req {
    int replies, err;
    char bytes[256]; /* NUL-terminated; of an iov the beginning */
    size_t n;        /* bytes of an iov */
    fuse_interrupt_func_t interrupt;
    void *arg;
};

int fuse_reply_err(fuse_req_t req, int err)
{
    req->replies++;
    req->err = err;
    return 0;
}

int fuse_reply_buf(fuse_req_t req, const char *buf, size_t size)
{
    req->replies++;
    req->err = 0;
    assert_in_range(size, 0, sizeof req->bytes - 1);
    if (size > 0)
        memcpy(req->bytes, buf, size);
    req->bytes[size] = '\0';
    return 0;
}

int fuse_reply_iov(fuse_req_t req, const struct iovec *iov, int count)
{
    req->replies++;
    req->err = 0;
    req->n = 0;
    for (int i = 0; i < count; i++) {
        size_t room = req->n < sizeof req->bytes - 1 ? sizeof req->bytes - 1 - req->n : 0;
        if (room > 0)
            memcpy(req->bytes + req->n, iov[i].iov_base,
                   iov[i].iov_len < room ? iov[i].iov_len : room);
        req->n += iov[i].iov_len;
    }
    return 0;
}

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
    req->interrupt = func;
    req->arg = data;
}

static inline void was_answered(const struct fuse_req *req, int err, const char *bytes)
{
    assert_int_equal(req->replies, 1);
    assert_int_equal(req->err, err);
    assert_string_equal(req->bytes, bytes);
}

/* ---- The mount ------------------------------------------------------------------------------- */

struct rig {
    struct lf_fs fs;
    struct lf_node *models, *ant; /* model/ant */
};

#define RIG_TREE                                                                               \
    "{\"generation\": 7, \"bases\": [], \"adapters\": [{\"name\": \"ant\", \"changed_ms\": 7," \
    " \"current\": 1, \"versions\": [1], \"files\": {\"dataset.jsonl\": [100, 6],"             \
    " \"prompt\": [5, 4], \"log\": [3, 4], \"versions/1/log\": [3, 4]}}]}"

static inline int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct lf_diag diag = {""};
    if (!r || lf_nodes_init(&r->fs.nodes) != LF_OK ||
        lf_stage_pool_init(&r->fs.stages, "/tmp", &diag) != LF_OK)
        return 1;
    calls_made = 0;
    start_fails = LF_OK;
    r->fs.nodes.draft_free = lf_draft_free;
    lf_waits_init(&r->fs.waits, &r->fs, &r->fs.nodes);
    lf_snapshot_init(&r->fs.snapshot);
    LIST_INIT(&r->fs.timers);
    LIST_INIT(&r->fs.handles);
    lf_removal_init(&r->fs);
    r->models = lf_node_get(&r->fs.nodes, r->fs.nodes.root, "model", LF_KIND_MODELS);
    lf_node_hold(r->models);
    r->ant = lf_node_hold(lf_node_get(&r->fs.nodes, r->models, "ant", LF_KIND_ADAPTER));
    *state = r;
    return 0;
}

/* Nothing may be left that waits, no call, no staged byte. */
static inline int rig_teardown(void **state)
{
    struct rig *r = *state;
    assert_null(calls);
    assert_true(TAILQ_EMPTY(&r->fs.waits.all));
    assert_int_equal(r->fs.waits.n_detached, 0);
    assert_int_equal(r->ant->commits, 0);
    lf_nodes_deinit(&r->fs.nodes);
    lf_stage_pool_deinit(&r->fs.stages);
    lf_snapshot_deinit(&r->fs.snapshot);
    free(r);
    return 0;
}

/* A node in the adapter's directory, held to the end. */
static inline struct lf_node *rig_file(struct rig *r, const char *name, enum lf_kind kind)
{
    struct lf_node *n = lf_node_get(&r->fs.nodes, r->ant, name, kind);
    assert_non_null(n);
    return lf_node_hold(n);
}

static inline void rig_know_tree(struct rig *r)
{
    struct lf_diag diag = {""};
    assert_int_equal(lf_tree_parse(&r->fs.snapshot.tree, RIG_TREE, strlen(RIG_TREE), &diag), LF_OK);
}

/* Steps that remember. */
static int stepped;
static enum lf_err stepped_with;
static inline void step_reply(struct lf_op *op, enum lf_err rc)
{
    stepped++;
    stepped_with = rc;
    lf_op_reply(op, rc);
}

#endif
