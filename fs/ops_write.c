/* Bytes in: write, flush, setattr. */
#include "fs/ops.h"

#include "core/clock.h"
#include "fs/attr.h"
#include "fs/draft.h"

#include <fcntl.h>

/* ---- Writing --------------------------------------------------------------------------------- */

struct writing {
    struct lf_transfer moves; /* the file as it is, from the daemon */
    int flags;
    uint64_t off;
    struct lf_buf data;
};

static void drop_data(struct lf_op *op)
{
    lf_buf_free(&((struct writing *)op)->data);
}

/* The bytes are here. O_APPEND writes at the end that is here, which the kernel may not know. */
static enum lf_err write_draft(struct lf_node *n, int flags, const char *data, size_t size,
                               uint64_t off)
{
    if (flags & O_APPEND)
        off = lf_stage_bytes(lf_draft_bytes(n));
    return lf_draft_write(n, data, size, off);
}

static void write_loaded(struct lf_op *op, enum lf_err rc)
{
    const struct writing *w = (struct writing *)op;
    rc = rc ?: write_draft(op->node, w->flags, w->data.data, w->data.len, w->off);
    if (lf_op_failed(op, rc))
        return;
    fuse_reply_write(op->req, w->data.len);
    lf_op_end(op);
}

static void reply_write(fuse_req_t req, enum lf_err rc, size_t n)
{
    if (rc == LF_OK)
        fuse_reply_write(req, n);
    else
        fuse_reply_err(req, lf_op_errno(rc));
}

/* Of a prompt for `generate`, `error` says how it is asked. */
static void refuse_write(fuse_req_t req, struct lf_node *n)
{
    struct lf_op *op =
        n->kind == LF_KIND_GENERATE ? lf_op_new(&lf_ops_fs(req)->waits, req, n, sizeof *op) : NULL;
    if (op)
        lf_ops_refuse_open(op);
    else if (n->kind != LF_KIND_GENERATE)
        fuse_reply_err(req, EPERM);
}

/* Replies: write, err. EFBIG, ENOSPC: over the limits of staged files.
 * EPERM: a file that the daemon makes, and no copy of one; EINVAL: `generate`, likewise. */
static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    (void)ino;
    struct lf_handle *h = lf_ops_handle(fi);
    if (h->node->kind == LF_KIND_CTL) {
        lf_ops_ctl_write(req, h, data, size);
        return;
    }
    if (h->feed) {
        reply_write(req, lf_feed_write(h->feed, data, size), size);
        return;
    }
    if (lf_kinds[h->node->kind].output && off == 0) {
        struct lf_place place;
        lf_node_place(h->node, &place);
        if (!lf_space_is_copy(&place, data, size)) {
            refuse_write(req, h->node);
            return;
        }
    }
    lf_draft_tell(lf_ops_fs(req), h->node);
    if (lf_draft_bytes(h->node)) {
        enum lf_err rc = write_draft(h->node, fi->flags, data, size, (uint64_t)off);
        lf_draft_ahead(lf_ops_fs(req), h->node);
        reply_write(req, rc, size);
        return;
    }
    struct writing *w = lf_op_new(&lf_ops_fs(req)->waits, req, h->node, sizeof *w);
    if (!w)
        return;
    w->flags = fi->flags;
    w->off = (uint64_t)off;
    w->moves.op.drop = drop_data;
    if (lf_buf_append(&w->data, data, size) == LF_OK)
        lf_draft_load(&w->moves, write_loaded);
    else
        lf_op_reply(&w->moves.op, LF_E_NO_MEMORY);
}

/* ---- Closing --------------------------------------------------------------------------------- */

/* A child that inherited the descriptor flushes what is there when it ends: in `(a; b) > f`, a's
 * half of the file. Only who has opened it is done when it closes. */
static bool is_opener(fuse_req_t req, const struct lf_handle *h)
{
    pid_t process = lf_ops_process(req);
    return process == 0 || h->opener == 0 || process == h->opener;
}

/* Replies with what the daemon says of what was written through the handle, which it gets now where
 * it has not seen it yet. */
static void reply_taken(fuse_req_t req, const struct lf_handle *h)
{
    struct lf_node *n = h->node;
    struct lf_place place;
    lf_node_place(n, &place);
    bool sent = n->kind == LF_KIND_UPLOAD || n->kind == LF_KIND_REMOTE || lf_space_is_kept(&place);
    if (!h->writes || !sent || !n->linked) {
        fuse_reply_err(req, 0);
        return;
    }
    if (!lf_draft_is_dirty(n)) {
        fuse_reply_err(req, lf_op_errno(n->draft->verdict));
        return;
    }
    struct lf_transfer *t = lf_op_new(&lf_ops_fs(req)->waits, req, n, sizeof *t);
    if (!t)
        return;
    t->held = true;
    lf_draft_send(t, &place, lf_space_trains(&place), lf_op_reply);
}

/* Replies: err. EINVAL: the daemon refuses what was written, and `status` says why; the file stays
 * what it was. ENOSPC and others: a write failed. */
static void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct lf_handle *h = lf_ops_handle(fi);
    if (h->feed)
        lf_feed_flush(h->feed);
    if (h->node->kind == LF_KIND_CTL && h->text.len > 0)
        lf_ops_ctl_flush(req, h);
    else if (h->writes && !is_opener(req, h))
        fuse_reply_err(req, 0);
    else
        reply_taken(req, h);
}

/* Replies: err, as flush does: what it has acknowledged is durable in the daemon. A file that is
 * not fit to be taken in yet is refused (EINVAL), and its close tries again. Of a local file, which
 * has no life beyond this process, nothing is done. */
static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    reply_taken(req, lf_ops_handle(fi));
}

/* ---- Attributes ------------------------------------------------------------------------------ */

struct setting {
    struct lf_transfer moves; /* where the size is set */
    struct stat attr;
    int what; /* FUSE_SET_ATTR_... */
};

static void setattr_reply(struct lf_op *op, enum lf_err rc)
{
    struct stat st;
    double timeout_s = 0;
    rc = rc ?: lf_attr_stat(&st, &timeout_s, op->fs, op->node);
    lf_draft_settle(op->node);
    if (lf_op_failed(op, rc))
        return;
    fuse_reply_attr(op->req, &st, timeout_s);
    lf_op_end(op);
}

/* Of a local file, mode and times are kept; of the daemon's they are accepted and forgotten, so
 * that editors, install and rsync -a go on. */
static void setattr_rest(struct lf_op *op, enum lf_err rc)
{
    const struct setting *s = (struct setting *)op;
    struct lf_draft *d = op->node->draft;
    if (rc == LF_OK && op->node->kind == LF_KIND_LOCAL && d) {
        if (s->what & FUSE_SET_ATTR_MODE)
            d->mode = s->attr.st_mode & 07777;
        if (s->what & FUSE_SET_ATTR_MTIME_NOW)
            d->mtime_ms = lf_clock_unix_ms();
        else if (s->what & FUSE_SET_ATTR_MTIME)
            d->mtime_ms =
                (int64_t)s->attr.st_mtim.tv_sec * 1000 + s->attr.st_mtim.tv_nsec / 1000000;
    }
    if (rc != LF_OK || lf_draft_bytes(op->node))
        setattr_reply(op, rc);
    else
        lf_ops_look(op, setattr_reply);
}

/* truncate(2) of a file that no one has open commits at once. */
static void size_loaded(struct lf_op *op, enum lf_err rc)
{
    struct setting *s = (struct setting *)op;
    struct lf_node *n = op->node;
    rc = rc ?: lf_draft_truncate(n, (uint64_t)s->attr.st_size);
    if (rc == LF_OK && n->kind == LF_KIND_UPLOAD && n->linked && n->draft->writers == 0) {
        lf_draft_commit(&s->moves, setattr_rest);
        return;
    }
    setattr_rest(op, rc);
}

static void set_size(struct setting *s)
{
    struct lf_op *op = &s->moves.op;
    struct lf_node *n = op->node;
    if (n->kind == LF_KIND_GENERATE || n->kind == LF_KIND_CTL) { /* O_TRUNC of a shell */
        setattr_rest(op, LF_OK);
        return;
    }
    if (!lf_kinds[n->kind].draft) {
        lf_op_reply(op, LF_E_READ_ONLY);
        return;
    }
    if (!lf_draft_get(n)) {
        lf_op_reply(op, LF_E_NO_MEMORY);
        return;
    }
    if (s->attr.st_size > 0)
        lf_draft_load(&s->moves, size_loaded);
    else
        size_loaded(op, lf_draft_empty(op->fs, n)); /* nothing to fetch */
}

/* Replies: attr, err. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    (void)fi;
    struct setting *s = lf_ops_new(req, ino, sizeof *s);
    if (!s)
        return;
    s->attr = *attr;
    s->what = to_set;
    if (to_set & FUSE_SET_ATTR_SIZE)
        set_size(s);
    else
        setattr_rest(&s->moves.op, LF_OK);
}

/* fsyncdir is left out: the kernel then takes it for done, and what was done is durable. */
void lf_ops_write(struct fuse_lowlevel_ops *ops)
{
    ops->write = on_write;
    ops->flush = on_flush;
    ops->fsync = on_fsync;
    ops->setattr = on_setattr;
}
