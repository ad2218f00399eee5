/* Bytes: read, write, flush, setattr, poll. */
#include "fs/draft.h"
#include "fs/state.h"
#include "fs/feed.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>

#define CALL_TIMEOUT_S 30
#define CALL_REPLY_MAX (1u << 20)
#define HTTP_RANGE_NOT_SATISFIABLE 416

/* ---- Reading --------------------------------------------------------------------------------- */

static void reply_part(fuse_req_t req, const char *data, size_t n, off_t off, size_t size)
{
    size_t at = off < 0 || (size_t)off > n ? n : (size_t)off;
    fuse_reply_buf(req, data ? data + at : NULL, n - at < size ? n - at : size);
}

static void reply_staged(fuse_req_t req, struct lf_stage *s, off_t off, size_t size)
{
    uint64_t n = lf_stage_bytes(s);
    uint64_t left = off < 0 || (uint64_t)off > n ? 0 : n - (uint64_t)off;
    struct fuse_bufvec buf = FUSE_BUFVEC_INIT(left < size ? (size_t)left : size);
    buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    buf.buf[0].fd = lf_stage_fd(s);
    buf.buf[0].pos = off;
    fuse_reply_data(req, &buf, 0);
}

static void range_arrived(struct lf_op *op, enum lf_err rc)
{
    const struct lf_client_result *r = op->answer;
    if (rc != LF_E_INTERRUPTED && r->status == HTTP_RANGE_NOT_SATISFIABLE) { /* past the end */
        fuse_reply_buf(op->req, NULL, 0);
        lf_op_end(op);
    } else if (rc != LF_OK) {
        lf_op_reply(op, rc);
    } else {
        fuse_reply_buf(op->req, r->body, r->body_bytes);
        lf_op_end(op);
    }
}

static void read_range(struct lf_op *op)
{
    char url[LF_FS_URL_MAX];
    struct lf_place place;
    lf_node_place(op->node, &place);
    enum lf_err rc = lf_fs_file_url(url, &place, "");
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    struct lf_client_spec spec = {.method = "GET",
                                  .path = url,
                                  .range_off = op->off,
                                  .range_bytes = op->size,
                                  .reply_max = op->size,
                                  .timeout_s = CALL_TIMEOUT_S};
    lf_op_call(op, &spec, range_arrived);
}

/* Of a log: not past the size that a stat would tell now. */
static void read_log(struct lf_op *op, enum lf_err rc)
{
    struct stat st;
    double timeout_s;
    if (rc == LF_OK)
        rc = lf_fs_stat(&st, &timeout_s, op->fs, op->node);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    uint64_t left = (uint64_t)st.st_size > op->off ? (uint64_t)st.st_size - op->off : 0;
    if (left == 0) {
        fuse_reply_buf(op->req, NULL, 0);
        lf_op_end(op);
        return;
    }
    if (op->size > left)
        op->size = (size_t)left;
    read_range(op);
}

static void read_ctl(fuse_req_t req, off_t off, size_t size)
{
    struct lf_buf words;
    lf_buf_init(&words, 0);
    if (lf_space_ctl(&words) == LF_OK)
        reply_part(req, words.data, words.len, off, size);
    else
        fuse_reply_err(req, ENOMEM);
    lf_buf_free(&words);
}

/* Replies: buf, data, err. */
static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    (void)ino;
    struct lf_handle *h = lf_fs_handle(fi);
    enum lf_kind kind = h->node->kind;
    if (kind == LF_KIND_CTL) {
        read_ctl(req, off, size);
        return;
    }
    if (lf_kind_is_made(kind)) {
        reply_part(req, h->text.data, h->text.len, off, size);
        return;
    }
    if (lf_draft_bytes(h->node)) {
        reply_staged(req, lf_draft_bytes(h->node), off, size);
        return;
    }
    struct lf_op *op = lf_op_new(lf_fs_of(req), req, h->node);
    if (!op)
        return;
    op->handle = h;
    op->fi = *fi;
    op->off = off < 0 ? 0 : (uint64_t)off;
    op->size = size;
    if (h->stream)
        lf_feed_read(op);
    else if (kind == LF_KIND_LOG)
        lf_fs_look(op, op->node, read_log);
    else
        read_range(op);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void ctl_done(struct lf_op *op, enum lf_err rc)
{
    lf_fs_changed(op->fs);
    if (rc != LF_OK || op->size == 0) {
        lf_op_reply(op, rc);
        return;
    }
    fuse_reply_write(op->req, op->size);
    lf_op_end(op);
}

/* Sends op->data, whole lines; op->size is what the WRITE is answered with, 0 for a FLUSH. */
static void ctl_send(struct lf_op *op, enum lf_err rc)
{
    char url[LF_FS_URL_MAX];
    struct lf_place place;
    struct lf_node *adapter = lf_node_adapter(op->node);
    if (rc == LF_OK && adapter && adapter->commits > 0) {
        lf_op_settle(op, op->node, ctl_send);
        return;
    }
    lf_node_place(op->node, &place);
    if (rc == LF_OK)
        rc = lf_fs_adapter_url(url, place.owner, "/ctl");
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    struct lf_client_spec spec = {.method = "POST",
                                  .path = url,
                                  .content_type = "text/plain",
                                  .body = op->data.data,
                                  .body_bytes = op->data.len,
                                  .reply_max = CALL_REPLY_MAX,
                                  .timeout_s = CALL_TIMEOUT_S};
    lf_op_call(op, &spec, ctl_done);
}

/* A command is done, or refused, in the write that ends its line; without a newline, at close. */
static void ctl_write(fuse_req_t req, struct lf_handle *h, const char *data, size_t n)
{
    struct lf_buf *line = &h->text;
    if (lf_buf_append(line, data, n) != LF_OK) {
        lf_buf_reset(line);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    const char *last = line->len ? memrchr(line->data, '\n', line->len) : NULL;
    size_t whole = last ? (size_t)(last - line->data) + 1 : 0;
    if (line->len - whole > LF_CTL_LINE_MAX) {
        lf_buf_reset(line);
        fuse_reply_err(req, EINVAL);
        return;
    }
    if (whole == 0) {
        fuse_reply_write(req, n);
        return;
    }
    struct lf_op *op = lf_op_new(lf_fs_of(req), req, h->node);
    if (!op)
        return;
    op->size = n;
    enum lf_err rc = lf_buf_append(&op->data, line->data, whole);
    lf_buf_drop_front(line, whole);
    ctl_send(op, rc);
}

/* ---- Writing --------------------------------------------------------------------------------- */

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
    if (rc == LF_OK)
        rc = write_draft(op->node, op->fi.flags, op->data.data, op->data.len, op->off);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    fuse_reply_write(op->req, op->data.len);
    lf_op_end(op);
}

static void reply_write(fuse_req_t req, enum lf_err rc, size_t n)
{
    if (rc == LF_OK)
        fuse_reply_write(req, n);
    else
        fuse_reply_err(req, lf_fs_errno(rc));
}

/* Replies: write, err. EFBIG, ENOSPC: over the limits of staged files. */
static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    (void)ino;
    struct lf_handle *h = lf_fs_handle(fi);
    if (h->node->kind == LF_KIND_CTL) {
        ctl_write(req, h, data, size);
        return;
    }
    if (h->stream) {
        reply_write(req, lf_feed_write(h->stream, data, size), size);
        return;
    }
    if (lf_draft_bytes(h->node)) {
        reply_write(req, write_draft(h->node, fi->flags, data, size, (uint64_t)off), size);
        return;
    }
    struct lf_op *op = lf_op_new(lf_fs_of(req), req, h->node);
    if (!op)
        return;
    op->fi = *fi;
    op->off = (uint64_t)off;
    if (lf_buf_append(&op->data, data, size) == LF_OK)
        lf_draft_load(op, write_loaded);
    else
        lf_op_reply(op, LF_E_NO_MEMORY);
}

/* ---- Closing --------------------------------------------------------------------------------- */

static void flush_ctl(fuse_req_t req, struct lf_handle *h)
{
    struct lf_op *op = lf_op_new(lf_fs_of(req), req, h->node);
    if (!op)
        return;
    enum lf_err rc = lf_buf_append(&op->data, h->text.data, h->text.len);
    lf_buf_reset(&h->text);
    ctl_send(op, rc);
}

/* A child that inherited the descriptor flushes what is there when it ends: in `(a; b) > f`, a's
 * half of the file. Only who has opened it is done when it closes. */
static bool is_opener(fuse_req_t req, const struct lf_handle *h)
{
    pid_t process = lf_fs_process(req);
    return process == 0 || h->opener == 0 || process == h->opener;
}

/* Replies: err. EINVAL: the daemon refuses what was written, and `status` says why; the file stays
 * what it was. */
static void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct lf_handle *h = lf_fs_handle(fi);
    struct lf_node *n = h->node;
    if (h->stream)
        lf_feed_flush(h->stream);
    if (n->kind == LF_KIND_CTL && h->text.len > 0) {
        flush_ctl(req, h);
        return;
    }
    if (!h->writes || n->kind != LF_KIND_UPLOAD || !n->linked || !is_opener(req, h)) {
        fuse_reply_err(req, 0);
        return;
    }
    if (!lf_draft_is_dirty(n)) {
        fuse_reply_err(req, lf_fs_errno(n->draft->verdict));
        return;
    }
    struct lf_op *op = lf_op_new(lf_fs_of(req), req, n);
    if (!op)
        return;
    struct lf_place place;
    lf_node_place(n, &place);
    lf_draft_send(op, &place, false, lf_op_reply);
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static void setattr_reply(struct lf_op *op, enum lf_err rc)
{
    struct stat st;
    double timeout_s = 0;
    if (rc == LF_OK)
        rc = lf_fs_stat(&st, &timeout_s, op->fs, op->node);
    lf_draft_settle(op->node);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    fuse_reply_attr(op->req, &st, timeout_s);
    lf_op_end(op);
}

/* Of a local file, mode and times are kept; of the daemon's they are accepted and forgotten, so
 * that editors, install and rsync -a go on. */
static void setattr_rest(struct lf_op *op, enum lf_err rc)
{
    struct lf_draft *d = op->node->draft;
    if (rc == LF_OK && op->node->kind == LF_KIND_LOCAL && d) {
        if (op->to_set & FUSE_SET_ATTR_MODE)
            d->mode = op->attr.st_mode & 07777;
        if (op->to_set & FUSE_SET_ATTR_MTIME && !(op->to_set & FUSE_SET_ATTR_MTIME_NOW))
            d->mtime_ms =
                (int64_t)op->attr.st_mtim.tv_sec * 1000 + op->attr.st_mtim.tv_nsec / 1000000;
    }
    if (rc != LF_OK || lf_draft_bytes(op->node))
        setattr_reply(op, rc);
    else
        lf_fs_look(op, op->node, setattr_reply);
}

/* truncate(2) of a file that no one has open commits at once. */
static void size_loaded(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n = op->node;
    struct lf_place place;
    if (rc == LF_OK)
        rc = lf_draft_truncate(n, (uint64_t)op->attr.st_size);
    if (rc == LF_OK && n->kind == LF_KIND_UPLOAD && n->linked && n->draft->writers == 0) {
        lf_node_place(n, &place);
        lf_op_commits(op, n);
        lf_draft_send(op, &place, lf_space_trains(&place), setattr_rest);
        return;
    }
    setattr_rest(op, rc);
}

static void set_size(struct lf_op *op)
{
    struct lf_node *n = op->node;
    if (n->kind == LF_KIND_GENERATE || n->kind == LF_KIND_CTL) { /* O_TRUNC of a shell */
        setattr_rest(op, LF_OK);
        return;
    }
    if (!lf_kind_is_draft(n->kind)) {
        lf_op_reply(op, LF_E_READ_ONLY);
        return;
    }
    if (!lf_draft_get(n)) {
        lf_op_reply(op, LF_E_NO_MEMORY);
        return;
    }
    if (op->attr.st_size > 0)
        lf_draft_load(op, size_loaded);
    else
        size_loaded(op, lf_draft_empty(op->fs, n)); /* nothing to fetch */
}

/* Replies: attr, err. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    (void)fi;
    struct lf_fs *fs = lf_fs_of(req);
    struct lf_op *op = lf_op_new(fs, req, lf_fs_node(fs, ino));
    if (!op)
        return;
    op->attr = *attr;
    op->to_set = to_set;
    if (to_set & FUSE_SET_ATTR_SIZE)
        set_size(op);
    else
        setattr_rest(op, LF_OK);
}

/* ---- Polling --------------------------------------------------------------------------------- */

/* Replies: poll, err. */
static void on_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                    struct fuse_pollhandle *ph)
{
    (void)ino;
    struct lf_handle *h = lf_fs_handle(fi);
    if (h->stream) {
        fuse_reply_poll(req, lf_feed_poll(h->stream, ph));
        return;
    }
    if (ph)
        fuse_pollhandle_destroy(ph);
    fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
}

/* fsync and fsyncdir are left out: the kernel then takes them for done. A staged file has no life
 * beyond this process, and what a close has committed is durable in the daemon. */
void lf_fs_ops_bytes(struct fuse_lowlevel_ops *ops)
{
    ops->read = on_read;
    ops->write = on_write;
    ops->flush = on_flush;
    ops->setattr = on_setattr;
    ops->poll = on_poll;
}
