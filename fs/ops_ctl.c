/* Commands: read, write and flush of `ctl`. */
#include "fs/ops.h"

#include "fs/request.h"

#include <string.h>

void lf_ops_ctl_read(fuse_req_t req, off_t off, size_t size)
{
    lf_buf_auto words = {0};
    if (lf_space_ctl(&words) == LF_OK)
        lf_ops_reply_part(req, &words, off, size);
    else
        fuse_reply_err(req, ENOMEM);
}

struct ctl_op {
    struct lf_op op;
    struct lf_buf lines; /* whole ones */
    size_t written;      /* what the WRITE is answered with; 0: a FLUSH */
};

static void ctl_done(struct lf_op *op, enum lf_err rc)
{
    size_t written = ((struct ctl_op *)op)->written;
    lf_snapshot_changed(&op->fs->snapshot, rc);
    if (rc != LF_OK || written == 0) {
        lf_op_reply(op, rc);
        return;
    }
    fuse_reply_write(op->req, written);
    lf_op_end(op);
}

static void ctl_send(struct lf_op *op, enum lf_err rc)
{
    const struct lf_buf *lines = &((struct ctl_op *)op)->lines;
    struct lf_place place;
    if (rc == LF_OK && lf_op_settles(op, op->node, ctl_send))
        return;
    lf_node_place(op->node, &place);
    if (!lf_op_failed(op, rc))
        lf_op_request_adapter(op, "POST", place.owner, "/ctl", "text/plain", lines->data,
                              lines->len, ctl_done);
}

static void drop(struct lf_op *op)
{
    lf_buf_free(&((struct ctl_op *)op)->lines);
}

/* Sends the first n bytes of the unfinished line, which are whole commands, and takes them off it.
 */
static void ctl_start(fuse_req_t req, struct lf_handle *h, size_t n, size_t written)
{
    struct ctl_op *c = lf_op_new(&lf_ops_fs(req)->waits, req, h->node, sizeof *c);
    if (!c)
        return;
    c->op.drop = drop;
    c->written = written;
    enum lf_err rc = lf_buf_append(&c->lines, h->text.data, n);
    lf_buf_drop_front(&h->text, n);
    ctl_send(&c->op, rc);
}

/* A command is done, or refused, in the write that ends its line; without a newline, at close. */
void lf_ops_ctl_write(fuse_req_t req, struct lf_handle *h, const char *data, size_t n)
{
    struct lf_buf *line = &h->text;
    if (lf_buf_append(line, data, n) != LF_OK) {
        lf_buf_reset(line);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (lf_space_is_copy(&(struct lf_place){.kind = LF_KIND_CTL}, line->data, line->len)) {
        lf_buf_reset(line); /* the list of commands, copied with its directory: none is given */
        fuse_reply_write(req, n);
        return;
    }
    const char *last = line->len ? memrchr(line->data, '\n', line->len) : NULL;
    size_t whole = last ? (size_t)(last - line->data) + 1 : 0;
    if (line->len - whole > LF_CTL_LINE_MAX) { /* the daemon refuses it and says so */
        ctl_start(req, h, line->len, n);
        return;
    }
    if (whole == 0) {
        fuse_reply_write(req, n);
        return;
    }
    ctl_start(req, h, whole, n);
}

void lf_ops_ctl_flush(fuse_req_t req, struct lf_handle *h)
{
    ctl_start(req, h, h->text.len, 0);
}
