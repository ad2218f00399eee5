/* Bytes out: read, poll. */
#include "fs/ops.h"

#include "fs/request.h"
#include "fs/attr.h"
#include "fs/draft.h"
#include "fs/limits.h"

#include <fcntl.h>
#include <poll.h>

#define HTTP_RANGE_NOT_SATISFIABLE 416

struct read_op {
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
    const struct read_op *r = (struct read_op *)op;
    char url[LF_URL_MAX];
    enum lf_err rc = lf_url_node(url, op->node, "");
    if (lf_op_failed(op, rc))
        return;
    struct lf_client_spec spec = {.method = "GET",
                                  .path = url,
                                  .range_off = r->off,
                                  .range_bytes = r->size,
                                  .reply_max = r->size,
                                  .timeout_s = LF_REQUEST_TIMEOUT_S};
    lf_op_call(op, &spec, range_arrived);
}

/* Of a log: not past the size that a stat would tell now. */
static void read_log(struct lf_op *op, enum lf_err rc)
{
    struct read_op *r = (struct read_op *)op;
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
    read_range(op);
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
    if (lf_draft_bytes(h->node)) {
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
    struct read_op *r = lf_op_new(waits, req, h->node, sizeof *r);
    if (!r)
        return;
    r->off = off < 0 ? 0 : (uint64_t)off;
    r->size = size;
    if (kind == LF_KIND_LOG)
        lf_ops_look(&r->op, read_log);
    else
        read_range(&r->op);
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
