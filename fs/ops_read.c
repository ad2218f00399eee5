/* Bytes out: read, poll. */
#include "fs/ops.h"

#include "fs/request.h"
#include "fs/attr.h"
#include "fs/draft.h"
#include "fs/limits.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define HTTP_RANGE_NOT_SATISFIABLE 416

struct log_read {
    struct lf_op op;
    uint64_t off;
    size_t size;
};

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

/* ---- A log ----------------------------------------------------------------------------------- */

static void range_arrived(struct lf_op *op, enum lf_err rc)
{
    bool past_end =
        rc != LF_OK && rc != LF_E_INTERRUPTED && op->answer->status == HTTP_RANGE_NOT_SATISFIABLE;
    if (lf_op_failed(op, past_end ? LF_OK : rc))
        return;
    fuse_reply_buf(op->req, op->answer->body, past_end ? 0 : op->answer->body_bytes);
    lf_op_end(op);
}

static void read_range(struct log_read *r)
{
    char url[LF_URL_MAX];
    enum lf_err rc = lf_url_node(url, r->op.node, "");
    if (lf_op_failed(&r->op, rc))
        return;
    struct lf_client_spec spec = {.method = "GET",
                                  .path = url,
                                  .range_off = r->off,
                                  .range_bytes = r->size,
                                  .reply_max = r->size,
                                  .timeout_s = LF_REQUEST_TIMEOUT_S,
                                  .waits = true};
    lf_op_call(&r->op, &spec, range_arrived);
}

/* Not past the size that a stat would tell now. */
static void read_log(struct lf_op *op, enum lf_err rc)
{
    struct log_read *r = (struct log_read *)op;
    struct stat st;
    double timeout_s;
    rc = rc ?: lf_attr_stat(&st, &timeout_s, op->fs, op->node);
    if (lf_op_failed(op, rc))
        return;
    uint64_t left = (uint64_t)st.st_size > r->off ? (uint64_t)st.st_size - r->off : 0;
    if (left == 0) {
        fuse_reply_buf(op->req, NULL, 0);
        lf_op_end(op);
        return;
    }
    if (r->size > left)
        r->size = (size_t)left;
    read_range(r);
}

static void log_read(fuse_req_t req, struct lf_node *n, uint64_t off, size_t size)
{
    struct log_read *r = lf_op_new(&lf_ops_fs(req)->waits, req, n, sizeof *r);
    if (!r)
        return;
    r->off = off;
    r->size = size;
    lf_ops_look(&r->op, read_log);
}

/* ---- Any file -------------------------------------------------------------------------------- */

/* Of the daemon's, piece by piece. */
static void file_read(fuse_req_t req, struct lf_handle *h, uint64_t off, size_t size)
{
    struct lf_fs *fs = lf_ops_fs(req);
    struct lf_ahead_read *r = lf_op_new(&fs->waits, req, h->node, sizeof *r);
    if (!r)
        return;
    if (!h->ahead)
        h->ahead = lf_ahead_new(fs, h->node);
    if (!h->ahead) {
        lf_op_reply(&r->op, LF_E_NO_MEMORY);
        return;
    }
    r->ahead = h->ahead;
    r->off = off;
    r->size = size;
    lf_ahead_read(r);
}

/* Replies: buf, data, err. */
static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    (void)ino;
    struct lf_handle *h = lf_ops_handle(fi);
    struct lf_waits *waits = &lf_ops_fs(req)->waits;
    enum lf_kind kind = h->node->kind;
    if (kind == LF_KIND_CTL) {
        lf_ops_ctl_read(req, off, size);
        return;
    }
    if (lf_kinds[kind].made) {
        lf_ops_reply_part(req, &h->text, off, size);
        return;
    }
    if (!h->steady && lf_draft_bytes(h->node)) {
        reply_staged(req, lf_draft_bytes(h->node), off, size);
        return;
    }
    if (h->feed) {
        struct lf_feed_read *f = lf_op_new(waits, req, h->node, sizeof *f);
        if (!f)
            return;
        f->feed = h->feed;
        f->size = size;
        f->nonblocking = fi->flags & O_NONBLOCK;
        lf_feed_read(f);
        return;
    }
    if (lf_kinds[kind].stream) { /* opened by a walk */
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    uint64_t from = off < 0 ? 0 : (uint64_t)off;
    if (kind == LF_KIND_LOG)
        log_read(req, h->node, from, size);
    else
        file_read(req, h, from, size);
}

/* Replies: poll, err. */
static void on_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                    struct fuse_pollhandle *ph)
{
    (void)ino;
    struct lf_handle *h = lf_ops_handle(fi);
    if (h->feed) {
        fuse_reply_poll(req, lf_feed_poll(h->feed, ph));
        return;
    }
    if (ph)
        fuse_pollhandle_destroy(ph);
    fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
}

void lf_ops_read(struct fuse_lowlevel_ops *ops)
{
    ops->read = on_read;
    ops->poll = on_poll;
}
