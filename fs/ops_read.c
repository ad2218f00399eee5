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

#define HTTP_PRECONDITION_FAILED 412
#define HTTP_RANGE_NOT_SATISFIABLE 416

/* A steady handle is asked for as little as a line at a time, and nothing of it is cached. */
#define BLOCK_BYTES (128u << 10)

struct read_op {
    struct lf_op op;
    struct lf_handle *handle; /* open as long as it is read */
    uint64_t off;
    size_t size;
    bool named; /* by their ETag: other bytes are not wanted */
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

/* What a steady handle has of the bytes from `off` on; false: it has to be asked for. */
static bool reply_kept(fuse_req_t req, const struct lf_handle *h, uint64_t off, size_t size)
{
    uint64_t kept_end = h->text_off + h->text.len;
    bool is_over = off >= h->end;
    if (!is_over &&
        (off < h->text_off || off >= kept_end || (kept_end - off < size && kept_end != h->end)))
        return false;
    size_t n = is_over ? 0 : (size_t)(kept_end - off);
    fuse_reply_buf(req, is_over ? NULL : h->text.data + (off - h->text_off), n < size ? n : size);
    return true;
}

static void read_range(struct lf_op *op);

/* The answer is of the same bytes as those before; the first one says which these are. */
static bool is_same(struct lf_handle *h, const char *etag)
{
    if (h->node->kind == LF_KIND_LOG || !etag) /* it grows */
        return true;
    if (!h->etag[0])
        snprintf(h->etag, sizeof h->etag, "%s", etag);
    return strcmp(h->etag, etag) == 0;
}

static size_t asked_bytes(const struct read_op *r)
{
    return r->handle->steady && r->size < BLOCK_BYTES ? BLOCK_BYTES : r->size;
}

static void reply_range(struct read_op *r, const struct lf_client_result *answer)
{
    struct lf_handle *h = r->handle;
    size_t n = answer->body_bytes < r->size ? answer->body_bytes : r->size;
    fuse_reply_buf(r->op.req, answer->body, n);
    if (!h->steady)
        return;
    if (answer->body_bytes < asked_bytes(r))
        h->end = r->off + answer->body_bytes;
    if (r->size >= BLOCK_BYTES)
        return;
    lf_buf_reset(&h->text);
    h->text_off = r->off;
    if (lf_buf_append(&h->text, answer->body, answer->body_bytes) != LF_OK)
        lf_buf_free(&h->text); /* then it is asked for anew */
}

static void range_arrived(struct lf_op *op, enum lf_err rc)
{
    const struct lf_client_result *answer = op->answer;
    struct read_op *r = (struct read_op *)op;
    int status = rc == LF_E_INTERRUPTED ? 0 : answer->status;
    bool same = rc != LF_OK || is_same(r->handle, answer->etag);
    if (!same && !r->named) {
        read_range(op); /* another read came first, and found other bytes */
        return;
    }
    if (!same || status == HTTP_PRECONDITION_FAILED)
        fuse_reply_err(op->req, ESTALE); /* replaced, and too long ago */
    else if (status == HTTP_RANGE_NOT_SATISFIABLE)
        fuse_reply_buf(op->req, NULL, 0); /* past the end */
    else if (lf_op_failed(op, rc))
        return;
    else
        reply_range(r, answer);
    lf_op_end(op);
}

static void read_range(struct lf_op *op)
{
    struct read_op *r = (struct read_op *)op;
    const struct lf_handle *h = r->handle;
    char url[LF_URL_MAX];
    enum lf_err rc = lf_url_node(url, op->node, "");
    if (lf_op_failed(op, rc))
        return;
    size_t size = asked_bytes(r);
    r->named = h->etag[0] != '\0';
    struct lf_client_spec spec = {.method = "GET",
                                  .path = url,
                                  .range_off = r->off,
                                  .range_bytes = size,
                                  .if_match = r->named ? h->etag : NULL,
                                  .reply_max = size,
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
    if (h->steady && reply_kept(req, h, from, size))
        return;
    struct read_op *r = lf_op_new(waits, req, h->node, sizeof *r);
    if (!r)
        return;
    r->handle = h;
    r->off = from;
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
