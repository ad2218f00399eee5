/* What is opened: open, create, release. */
#include "fs/ops.h"

#include "fs/request.h"
#include "fs/attr.h"
#include "fs/draft.h"
#include "fs/limits.h"
#include "fs/removal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- Opening --------------------------------------------------------------------------------- */

struct opening {
    struct lf_name_op at; /* the name: CREATE's */
    struct lf_handle *handle;
    struct fuse_file_info fi;
    mode_t mode; /* CREATE's */
};

static struct opening *opening(struct lf_op *op)
{
    return (struct opening *)op;
}

/* The handle is the operation's until the kernel has it. */
static void drop(struct lf_op *op)
{
    lf_handle_free(op->fs, opening(op)->handle);
}

/* How the kernel treats the handle: made, followed and streamed bytes are never cached, since their
 * size is not known, or not for long; nor are those of a file that others replace, since what the
 * kernel keeps is of the name, not of the handle; a version's never change. A stream has positions,
 * which mean nothing: sendfile(2), by which Python copies, takes it for the empty file that its
 * size says, and Python's open(..., "r+") wants some before it reads and writes through one
 * descriptor. */
static void set_caching(struct fuse_file_info *fi, const struct lf_handle *h)
{
    enum lf_kind kind = h->node->kind;
    fi->direct_io =
        lf_kinds[kind].made || lf_kinds[kind].stream || kind == LF_KIND_LOG || h->steady;
    fi->keep_cache = kind == LF_KIND_REMOTE;
}

static void reply_open(struct lf_op *op)
{
    struct opening *o = opening(op);
    set_caching(&o->fi, o->handle);
    o->fi.fh = (uint64_t)(uintptr_t)o->handle;
    if (fuse_reply_open(op->req, &o->fi) != -ENOENT)
        o->handle = NULL;
    lf_op_end(op);
}

static bool is_status(const struct lf_node *n)
{
    return n->kind == LF_KIND_TEXT && strcmp(n->name, lf_files[LF_FILE_STATUS].name) == 0;
}

/* What is known without the daemon. */
static enum lf_err stale_status(struct lf_op *op, enum lf_err rc, struct lf_buf *text)
{
    struct lf_place p;
    lf_node_place(op->node, &p);
    const struct lf_tree *tree = op->fs->snapshot.tree;
    const struct lf_tree_adapter *a = tree ? lf_tree_adapter(tree, p.owner) : NULL;
    if (!a)
        return rc;
    lf_buf_printf(text, "stale: the daemon has been %s for %lld s; ",
                  rc == LF_E_TIMED_OUT ? "silent" : "away",
                  (long long)lf_client_gone_s(op->fs->client));
    return a->current > 0 ? lf_buf_printf(text, "v%lld was served\n", (long long)a->current)
                          : lf_buf_puts(text, "nothing was served\n");
}

static void text_arrived(struct lf_op *op, enum lf_err rc)
{
    const struct lf_client_result *r = op->answer;
    struct lf_buf *text = &opening(op)->handle->text;
    if (rc == LF_OK && op->node->kind == LF_KIND_TEXT)
        lf_snapshot_expire(&op->fs->snapshot); /* what status speaks of is listed, too */
    if (rc != LF_OK && rc != LF_E_INTERRUPTED && r->lost && is_status(op->node))
        rc = stale_status(op, rc, text);
    else
        rc = rc ?: lf_buf_append(text, r->body, r->body_bytes);
    if (rc == LF_OK && op->node->kind == LF_KIND_JOB && text->len &&
        text->data[text->len - 1] != '\n')
        rc = lf_buf_putc(text, '\n');
    if (!lf_op_failed(op, rc))
        reply_open(op);
}

static enum lf_err text_url(char url[LF_URL_MAX], const struct lf_node *n)
{
    struct lf_place p;
    int k;
    lf_node_place(n, &p);
    switch (n->kind) {
    case LF_KIND_METRICS:
        k = snprintf(url, LF_URL_MAX, "/metrics");
        break;
    case LF_KIND_JOB:
        k = snprintf(url, LF_URL_MAX, "/v1/jobs/%s", p.owner);
        break;
    case LF_KIND_BASE_FILE:
        k = snprintf(url, LF_URL_MAX, "/v1/bases/%s/files/%s", p.owner, p.rel);
        break;
    default:
        return lf_url_file(url, &p, "");
    }
    return k < 0 || k >= LF_URL_MAX ? LF_E_INVALID : LF_OK;
}

static void text_ask(struct lf_op *op)
{
    char url[LF_URL_MAX];
    struct lf_client_spec spec = {.method = "GET",
                                  .path = url,
                                  .reply_max = LF_OPEN_TEXT_MAX,
                                  .timeout_s = LF_REQUEST_TIMEOUT_S,
                                  .waits = !is_status(op->node)};
    enum lf_err rc = text_url(url, op->node);
    if (!lf_op_failed(op, rc))
        lf_op_call(op, &spec, text_arrived);
}

/* Bytes of the daemon: what was closed before is done first. */
static void open_settled(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK && lf_op_settles(op, op->node, open_settled))
        return;
    if (rc != LF_OK)
        lf_op_reply(op, rc);
    else if (lf_kinds[op->node->kind].stream || opening(op)->handle->steady)
        reply_open(op);
    else
        text_ask(op);
}

/* LF_OK: op->handle counts as a writer of the node's draft. */
static enum lf_err begin_writing(struct lf_op *op)
{
    struct opening *o = opening(op);
    struct lf_draft *d = lf_draft_get(op->node);
    if (!d)
        return LF_E_NO_MEMORY;
    enum lf_err rc = o->fi.flags & O_TRUNC ? lf_draft_empty(op->fs, op->node) : LF_OK;
    if (rc != LF_OK) {
        lf_draft_settle(op->node);
        return rc;
    }
    d->writers++;
    o->handle->writes = true;
    o->handle->opener = lf_ops_process(op->req);
    return LF_OK;
}

/* Writes a copy of what the daemon makes, from its start on. */
static bool is_copying(enum lf_kind kind, int flags)
{
    return lf_kinds[kind].output && (flags & O_ACCMODE) == O_WRONLY && (flags & O_TRUNC);
}

/* Writes a version's file anew: the daemon takes what is the same. */
static bool is_restoring(enum lf_kind kind, int flags)
{
    return kind == LF_KIND_REMOTE && (flags & O_ACCMODE) != O_RDONLY && (flags & O_TRUNC);
}

/* LF_E_READ_ONLY for a file that is not for writing; `generate` cannot be written alone. */
static enum lf_err check_mode(enum lf_kind kind, int flags)
{
    int mode = flags & O_ACCMODE;
    if (mode == O_RDONLY || lf_kinds[kind].draft || kind == LF_KIND_CTL ||
        is_copying(kind, flags) || is_restoring(kind, flags))
        return LF_OK;
    if (kind == LF_KIND_GENERATE)
        return mode == O_RDWR ? LF_OK : LF_E_INVALID;
    return LF_E_READ_ONLY;
}

/* A file that the daemon replaces by another one, unless it is made here just now. Those of
 * adapter/ are cached all the same: weights are mapped. */
static bool is_steady(const struct lf_node *n)
{
    struct lf_place place;
    lf_node_place(n, &place);
    const struct lf_file_row *f = n->kind == LF_KIND_UPLOAD ? lf_file_find(place.rel) : NULL;
    return f && f->disk && !(n->draft && n->draft->made);
}

static void open_known(struct lf_op *op)
{
    struct opening *o = opening(op);
    enum lf_kind kind = op->node->kind;
    enum lf_err rc = LF_OK;
    if (is_copying(kind, o->fi.flags) || is_restoring(kind, o->fi.flags)) {
        rc = begin_writing(op);
        if (!lf_op_failed(op, rc))
            reply_open(op);
        return;
    }
    if (lf_kinds[kind].stream && (o->fi.flags & O_NOFOLLOW)) {
        reply_open(op); /* a walk (cp -r, tar, grep -r), which waits for nothing: an empty file */
        return;
    }
    if (lf_kinds[kind].stream) {
        o->handle->feed = lf_feed_new(op->fs, op->node);
        rc = o->handle->feed ? LF_OK : LF_E_NO_MEMORY;
    } else if (kind == LF_KIND_LOG) {
        lf_snapshot_expire(&op->fs->snapshot); /* its size is to be the one of now */
    } else if (kind == LF_KIND_README) {
        rc = lf_space_readme(&o->handle->text);
    } else if (lf_kinds[kind].draft && (o->fi.flags & O_ACCMODE) != O_RDONLY) {
        rc = begin_writing(op);
    } else {
        o->handle->steady = is_steady(op->node);
    }
    if (rc != LF_OK)
        lf_op_reply(op, rc);
    else if (lf_kinds[kind].stream || o->handle->steady ||
             (lf_kinds[kind].made && kind != LF_KIND_README && kind != LF_KIND_CTL))
        open_settled(op, LF_OK);
    else
        reply_open(op);
}

/* Replies: open, err. EPERM: not for writing. EINVAL: `generate` opened for writing alone. */
static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct opening *o = lf_ops_new(req, ino, sizeof *o);
    if (!o)
        return;
    struct lf_op *op = &o->at.op;
    o->fi = *fi;
    op->drop = drop;
    o->handle = lf_handle_new(op->fs, op->node);
    enum lf_err rc = o->handle ? check_mode(op->node->kind, fi->flags) : LF_E_NO_MEMORY;
    if (rc == LF_OK)
        open_known(op);
    else if (rc == LF_E_INVALID)
        lf_ops_refuse_open(op);
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
    d->made = d->made || is_new;
    if (n->kind == LF_KIND_LOCAL && is_new) {
        d->mode = opening(op)->mode & 07777;
        lf_node_add_local(n);
    }
    return LF_OK;
}

static enum lf_err create_node(struct lf_op *op, struct lf_node **out)
{
    struct opening *o = opening(op);
    struct lf_view v = lf_snapshot_view(&op->fs->snapshot);
    struct lf_place dir, place;
    struct lf_node *n;
    enum lf_err rc = lf_attr_resolve(&n, op->fs, op->node, o->at.name);
    if (rc == LF_OK)
        lf_node_place(n, &place);
    if (rc == LF_OK && lf_space_is_given(&place) && !lf_kind_is_dir(n->kind)) {
        o->fi.flags |= O_TRUNC;
        *out = n;
        return check_mode(n->kind, o->fi.flags);
    }
    if (rc == LF_OK && (!lf_kinds[n->kind].draft || (o->fi.flags & O_EXCL)))
        return LF_E_EXISTS;
    if (rc == LF_OK) {
        *out = n;
        return LF_OK;
    }
    lf_node_place(op->node, &dir);
    if (lf_space_child(&place, &v, &dir, o->at.name) != LF_OK)
        return LF_E_NOT_FOUND;
    if (!lf_kinds[place.kind].draft && !lf_kinds[place.kind].output && place.kind != LF_KIND_CTL &&
        place.kind != LF_KIND_REMOTE)
        return LF_E_READ_ONLY;
    n = lf_node_get(&op->fs->nodes, op->node, o->at.name, place.kind);
    if (!n)
        return LF_E_NO_MEMORY;
    rc = place.kind == LF_KIND_CTL ? LF_OK : make_file(op, n);
    if (rc != LF_OK)
        return rc;
    lf_removal_undo(op->fs, lf_node_adapter(n), &place);
    o->fi.flags &= ~O_TRUNC; /* it is empty */
    *out = n;
    return LF_OK;
}

static void create_step(struct lf_op *op, enum lf_err rc)
{
    struct opening *o = opening(op);
    struct fuse_entry_param e;
    struct lf_node *n = NULL;
    rc = rc ?: create_node(op, &n);
    if (rc == LF_E_NOT_FOUND) {
        lf_ops_refuse_name(op, o->at.name);
        return;
    }
    if (lf_op_failed(op, rc))
        return;
    lf_op_turn_to(op, n);
    o->handle = lf_handle_new(op->fs, n);
    rc = !o->handle ? LF_E_NO_MEMORY : n->kind == LF_KIND_CTL ? LF_OK : begin_writing(op);
    rc = rc ?: lf_attr_entry(&e, op->fs, n);
    if (rc != LF_OK) {
        lf_draft_settle(n);
        lf_op_reply(op, rc);
        return;
    }
    lf_node_looked_up(n);
    set_caching(&o->fi, o->handle);
    o->fi.fh = (uint64_t)(uintptr_t)o->handle;
    if (fuse_reply_create(op->req, &e, &o->fi) == -ENOENT)
        lf_node_forget(&op->fs->nodes, n, 1);
    else
        o->handle = NULL;
    lf_op_end(op);
}

/* Replies: create, err. In an adapter directory and its adapter/; EPERM elsewhere. EINVAL: a name
 * that means nothing there, and `status` says so. */
static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct opening *o = lf_ops_new_name(req, parent, name, sizeof *o);
    if (!o)
        return;
    o->fi = *fi;
    o->mode = mode;
    o->at.op.drop = drop;
    lf_ops_look(&o->at.op, create_step);
}

/* ---- Releasing ------------------------------------------------------------------------------- */

/* Replies: err, which no one sees. The rules are those of fs/draft.h. */
static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    lf_handle_free(lf_ops_fs(req), lf_ops_handle(fi));
    fuse_reply_err(req, 0);
}

void lf_ops_open(struct fuse_lowlevel_ops *ops)
{
    ops->open = on_open;
    ops->create = on_create;
    ops->release = on_release;
}
