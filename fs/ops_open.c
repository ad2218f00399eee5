/* Handles: open, create, release. */
#include "fs/draft.h"
#include "fs/removal.h"
#include "fs/state.h"
#include "fs/feed.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX (16u << 20) /* of a file that is made at open */
#define CALL_TIMEOUT_S 30

/* ---- Handles --------------------------------------------------------------------------------- */

struct lf_handle *lf_handle_new(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_handle *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->node = lf_node_hold(n);
    lf_buf_init(&h->text, 0);
    LIST_INSERT_HEAD(&fs->handles, h, link);
    return h;
}

void lf_handle_discard(struct lf_handle *h)
{
    LIST_REMOVE(h, link);
    lf_feed_free(h->stream);
    lf_buf_free(&h->text);
    free(h);
}

void lf_handle_free(struct lf_fs *fs, struct lf_handle *h)
{
    if (!h)
        return;
    struct lf_node *n = h->node;
    bool wrote = h->writes;
    lf_handle_discard(h);
    if (wrote)
        lf_draft_writer_gone(fs, n);
    lf_node_release(&fs->nodes, n);
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* How the kernel treats the handle: made, followed and streamed bytes are never cached, since their
 * size is not known, or not for long; a version's never change. */
static void set_caching(struct fuse_file_info *fi, enum lf_kind kind)
{
    fi->direct_io = lf_kind_is_made(kind) || lf_kind_is_stream(kind) || kind == LF_KIND_LOG;
    fi->nonseekable = lf_kind_is_stream(kind);
    fi->keep_cache = kind == LF_KIND_REMOTE;
}

static void reply_open(struct lf_op *op)
{
    set_caching(&op->fi, op->node->kind);
    op->fi.fh = (uint64_t)(uintptr_t)op->handle;
    if (fuse_reply_open(op->req, &op->fi) == -ENOENT)
        lf_handle_free(op->fs, op->handle);
    lf_op_end(op);
}

static void fail_open(struct lf_op *op, enum lf_err rc)
{
    lf_handle_free(op->fs, op->handle);
    lf_op_reply(op, rc);
}

static void text_arrived(struct lf_op *op, enum lf_err rc)
{
    const struct lf_client_result *r = op->answer;
    struct lf_buf *text = &op->handle->text;
    if (rc == LF_OK && op->node->kind == LF_KIND_TEXT)
        lf_fs_changed(op->fs); /* a version that status speaks of is in the next listing, too */
    if (rc == LF_OK)
        rc = lf_buf_append(text, r->body, r->body_bytes);
    if (rc == LF_OK && op->node->kind == LF_KIND_JOB && text->len &&
        text->data[text->len - 1] != '\n')
        rc = lf_buf_putc(text, '\n');
    if (rc == LF_OK)
        reply_open(op);
    else
        fail_open(op, rc);
}

static enum lf_err text_url(char url[LF_FS_URL_MAX], const struct lf_node *n)
{
    struct lf_place p;
    int k;
    lf_node_place(n, &p);
    switch (n->kind) {
    case LF_KIND_METRICS:
        k = snprintf(url, LF_FS_URL_MAX, "/metrics");
        break;
    case LF_KIND_JOB:
        k = snprintf(url, LF_FS_URL_MAX, "/v1/jobs/%s", p.owner);
        break;
    case LF_KIND_BASE_FILE:
        k = snprintf(url, LF_FS_URL_MAX, "/v1/bases/%s/files/%s", p.owner, p.rel);
        break;
    default:
        return lf_fs_file_url(url, &p, "");
    }
    return k < 0 || k >= LF_FS_URL_MAX ? LF_E_INVALID : LF_OK;
}

static void text_ask(struct lf_op *op)
{
    char url[LF_FS_URL_MAX];
    enum lf_err rc = text_url(url, op->node);
    if (rc != LF_OK) {
        fail_open(op, rc);
        return;
    }
    struct lf_client_spec spec = {
        .method = "GET", .path = url, .reply_max = TEXT_BYTES_MAX, .timeout_s = CALL_TIMEOUT_S};
    lf_op_call(op, &spec, text_arrived);
}

/* A file of the daemon's making: what was closed before is done first. */
static void open_settled(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *adapter = lf_node_adapter(op->node);
    if (rc == LF_OK && adapter && adapter->commits > 0)
        lf_op_settle(op, op->node, open_settled);
    else if (rc != LF_OK)
        fail_open(op, rc);
    else if (lf_kind_is_stream(op->node->kind))
        reply_open(op);
    else
        text_ask(op);
}

/* LF_OK: op->handle counts as a writer of the node's draft. */
static enum lf_err begin_writing(struct lf_op *op)
{
    struct lf_draft *d = lf_draft_get(op->node);
    if (!d)
        return LF_E_NO_MEMORY;
    enum lf_err rc = op->fi.flags & O_TRUNC ? lf_draft_empty(op->fs, op->node) : LF_OK;
    if (rc != LF_OK) {
        lf_draft_settle(op->node);
        return rc;
    }
    d->writers++;
    op->handle->writes = true;
    op->handle->opener = lf_fs_process(op->req);
    return LF_OK;
}

/* LF_E_READ_ONLY for a file that is not for writing; `generate` cannot be written alone. */
static enum lf_err check_mode(const struct lf_op *op)
{
    enum lf_kind kind = op->node->kind;
    int mode = op->fi.flags & O_ACCMODE;
    if (mode == O_RDONLY || lf_kind_is_draft(kind) || kind == LF_KIND_CTL)
        return LF_OK;
    if (kind == LF_KIND_GENERATE)
        return mode == O_RDWR ? LF_OK : LF_E_INVALID;
    return LF_E_READ_ONLY;
}

static void open_known(struct lf_op *op)
{
    enum lf_kind kind = op->node->kind;
    enum lf_err rc = LF_OK;
    if (lf_kind_is_stream(kind)) {
        op->handle->stream = lf_feed_new(op->fs, op->node);
        rc = op->handle->stream ? LF_OK : LF_E_NO_MEMORY;
    } else if (kind == LF_KIND_README) {
        rc = lf_space_readme(&op->handle->text);
    } else if (lf_kind_is_draft(kind) && (op->fi.flags & O_ACCMODE) != O_RDONLY) {
        rc = begin_writing(op);
    }
    if (rc != LF_OK)
        fail_open(op, rc);
    else if (lf_kind_is_stream(kind) ||
             (lf_kind_is_made(kind) && kind != LF_KIND_README && kind != LF_KIND_CTL))
        open_settled(op, LF_OK);
    else
        reply_open(op);
}

/* Replies: open, err. EPERM: not for writing. EINVAL: `generate` opened for writing alone. */
static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct lf_fs *fs = lf_fs_of(req);
    struct lf_op *op = lf_op_new(fs, req, lf_fs_node(fs, ino));
    if (!op)
        return;
    op->fi = *fi;
    enum lf_err rc = check_mode(op);
    if (rc == LF_OK) {
        op->handle = lf_handle_new(op->fs, op->node);
        rc = op->handle ? LF_OK : LF_E_NO_MEMORY;
    }
    if (rc == LF_OK)
        open_known(op);
    else
        lf_op_reply(op, rc);
}

/* ---- Creating -------------------------------------------------------------------------------- */

/* A file that was not there: empty, and nothing to send until something is written. */
static enum lf_err make_file(struct lf_op *op, struct lf_node *n)
{
    bool is_new = !n->draft;
    struct lf_draft *d = lf_draft_get(n);
    enum lf_err rc = d ? lf_draft_empty(op->fs, n) : LF_E_NO_MEMORY;
    if (rc != LF_OK)
        return rc;
    d->emptied = false;
    if (n->kind == LF_KIND_LOCAL && is_new) {
        d->mode = op->attr.st_mode & 07777;
        lf_node_add_local(n);
    }
    return LF_OK;
}

static enum lf_err create_node(struct lf_op *op, struct lf_node **out)
{
    struct lf_view v = lf_fs_view(op->fs);
    struct lf_place dir, place;
    struct lf_node *n;
    enum lf_err rc = lf_fs_resolve(&n, op->fs, op->node, op->name);
    if (rc == LF_OK && (!lf_kind_is_draft(n->kind) || (op->fi.flags & O_EXCL)))
        return LF_E_EXISTS;
    if (rc == LF_OK) {
        *out = n;
        return LF_OK;
    }
    lf_node_place(op->node, &dir);
    if (lf_space_child(&place, &v, &dir, op->name) != LF_OK || !lf_kind_is_draft(place.kind))
        return LF_E_READ_ONLY;
    n = lf_node_get(&op->fs->nodes, op->node, op->name, place.kind);
    if (!n)
        return LF_E_NO_MEMORY;
    rc = make_file(op, n);
    if (rc != LF_OK)
        return rc;
    lf_removal_undo(op->fs, lf_node_adapter(n), &place);
    op->fi.flags &= ~O_TRUNC; /* it is empty */
    *out = n;
    return LF_OK;
}

static void create_step(struct lf_op *op, enum lf_err rc)
{
    struct fuse_entry_param e;
    struct lf_node *n = NULL;
    if (rc == LF_OK)
        rc = create_node(op, &n);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    lf_node_release(&op->fs->nodes, op->node);
    op->node = lf_node_hold(n);
    op->handle = lf_handle_new(op->fs, n);
    rc = op->handle ? begin_writing(op) : LF_E_NO_MEMORY;
    if (rc == LF_OK)
        rc = lf_fs_entry(&e, op->fs, n);
    if (rc != LF_OK) {
        lf_draft_settle(n);
        fail_open(op, rc);
        return;
    }
    lf_node_looked_up(n);
    set_caching(&op->fi, n->kind);
    op->fi.fh = (uint64_t)(uintptr_t)op->handle;
    if (fuse_reply_create(op->req, &e, &op->fi) == -ENOENT) {
        lf_handle_free(op->fs, op->handle);
        lf_node_forget(&op->fs->nodes, n, 1);
    }
    lf_op_end(op);
}

/* Replies: create, err. In an adapter directory and its adapter/; EPERM elsewhere. */
static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct lf_fs *fs = lf_fs_of(req);
    struct lf_op *op = lf_op_new(fs, req, lf_fs_node(fs, parent));
    if (!op)
        return;
    op->fi = *fi;
    op->attr.st_mode = mode;
    enum lf_err rc = lf_op_names(op, name, NULL);
    if (rc == LF_OK)
        lf_fs_look(op, op->node, create_step);
    else
        lf_op_reply(op, rc);
}

/* ---- Releasing ------------------------------------------------------------------------------- */

/* Replies: err, which no one sees. The rules are those of fs/draft.h. */
static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    lf_handle_free(lf_fs_of(req), lf_fs_handle(fi));
    fuse_reply_err(req, 0);
}

void lf_fs_ops_open(struct fuse_lowlevel_ops *ops)
{
    ops->open = on_open;
    ops->create = on_create;
    ops->release = on_release;
}
