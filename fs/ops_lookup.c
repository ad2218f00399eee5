/* What there is: lookup, forget, getattr, readlink, statfs. */
#include "fs/ops.h"

#include "fs/attr.h"
#include "fs/request.h"

#include <stdio.h>
#include <sys/statvfs.h>

/* ---- Names ----------------------------------------------------------------------------------- */

/* What is always there can be made all the same, as `cp -r` of an adapter does: to who is about to
 * make it, it is not there. */
static void lookup_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n;
    struct lf_place place;
    if (rc == LF_OK &&
        lf_attr_resolve(&n, op->fs, op->node, ((struct lf_name_op *)op)->name) == LF_OK) {
        lf_node_place(n, &place);
        if (lf_space_is_given(&place) && lf_ops_makes(op->req, n->name))
            rc = LF_E_NOT_FOUND;
    }
    lf_ops_reply_entry(op, rc);
}

/* Replies: entry, err. */
static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lf_name_op *n = lf_ops_new_name(req, parent, name, sizeof *n);
    if (n)
        lf_ops_look(&n->op, lookup_step);
}

/* Replies: none. */
static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
    struct lf_fs *fs = lf_ops_fs(req);
    if (ino != FUSE_ROOT_ID)
        lf_node_forget(&fs->nodes, lf_ops_node(fs, ino), lookups);
    fuse_reply_none(req);
}

/* Replies: none. */
static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct lf_fs *fs = lf_ops_fs(req);
    for (size_t i = 0; i < count; i++)
        if (forgets[i].ino != FUSE_ROOT_ID)
            lf_node_forget(&fs->nodes, lf_ops_node(fs, forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(req);
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static void getattr_step(struct lf_op *op, enum lf_err rc)
{
    struct stat st;
    double timeout_s = 0;
    rc = rc ?: lf_attr_stat(&st, &timeout_s, op->fs, op->node);
    if (rc == LF_E_NOT_FOUND) {
        fuse_reply_err(op->req, ESTALE);
        lf_op_end(op);
        return;
    }
    if (lf_op_failed(op, rc))
        return;
    fuse_reply_attr(op->req, &st, timeout_s);
    lf_op_end(op);
}

struct sizing {
    struct lf_op op;
    const struct lf_handle *handle; /* that is asked about, or NULL */
    uint64_t bytes;                 /* of the text that is made at open */
};

static void size_known(struct lf_op *op, enum lf_err rc)
{
    struct stat st;
    double timeout_s = 0;
    rc = rc ?: lf_attr_stat(&st, &timeout_s, op->fs, op->node);
    if (rc != LF_OK) {
        getattr_step(op, rc);
        return;
    }
    st.st_size = (off_t)((struct sizing *)op)->bytes;
    fuse_reply_attr(op->req, &st, 0);
    lf_op_end(op);
}

static void size_arrived(struct lf_op *op, enum lf_err rc)
{
    ((struct sizing *)op)->bytes = rc == LF_OK ? op->answer->body_bytes : 0;
    lf_ops_look(op, size_known);
}

/* tar, rclone and Python's copyfile read as many bytes as a file is said to have. What is made at
 * open says what it would have now; what is open, what it has. */
static void size_of_text(struct sizing *s)
{
    char url[LF_URL_MAX];
    if (s->handle) {
        s->bytes = s->handle->text.len;
        size_known(&s->op, LF_OK);
    } else if (lf_url_node(url, s->op.node, "") == LF_OK) {
        lf_op_request(&s->op, "GET", url, NULL, NULL, 0, size_arrived);
    } else {
        size_known(&s->op, LF_OK);
    }
}

static void getattr_look(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK && lf_attr_is_unsized(op->fs, op->node))
        size_of_text((struct sizing *)op);
    else
        getattr_step(op, rc);
}

/* Replies: attr, err. ESTALE: the name has gone since it was looked up; the kernel then looks the
 * path up again, and creates the file where the caller wants it created. */
static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct sizing *s = lf_ops_new(req, ino, sizeof *s);
    if (!s)
        return;
    struct lf_op *op = &s->op;
    s->handle = fi ? lf_ops_handle(fi) : NULL;
    switch (op->node->kind) {
    case LF_KIND_BASES:
    case LF_KIND_JOBS:
    case LF_KIND_MODELS: /* there without a daemon, too */
        getattr_step(op, LF_OK);
        return;
    default:
        lf_ops_look(op, getattr_look);
    }
}

static void readlink_step(struct lf_op *op, enum lf_err rc)
{
    const struct lf_tree_adapter *a = NULL;
    struct lf_place place;
    char target[32];
    if (rc == LF_OK && op->node->kind == LF_KIND_LOCAL_LINK) {
        fuse_reply_readlink(op->req, op->node->target);
        lf_op_end(op);
        return;
    }
    lf_node_place(op->node, &place);
    if (rc == LF_OK)
        a = lf_tree_adapter(op->fs->snapshot.tree, place.owner);
    if (rc == LF_OK && (!a || a->current <= 0))
        rc = LF_E_NOT_FOUND;
    if (lf_op_failed(op, rc))
        return;
    snprintf(target, sizeof target, "%lld", (long long)a->current);
    fuse_reply_readlink(op->req, target);
    lf_op_end(op);
}

/* Replies: readlink, err. */
static void on_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct lf_op *op = lf_ops_new(req, ino, sizeof *op);
    if (op)
        lf_ops_look(op, readlink_step);
}

/* Replies: statfs, err. The room is that of the staged files. */
static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct lf_fs *fs = lf_ops_fs(req);
    struct statvfs s;
    if (fstatvfs(fs->stages.dir, &s) != 0) {
        fuse_reply_err(req, errno);
        return;
    }
    s.f_namemax = NAME_MAX;
    fuse_reply_statfs(req, &s);
}

void lf_ops_lookup(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = on_lookup;
    ops->forget = on_forget;
    ops->forget_multi = on_forget_multi;
    ops->getattr = on_getattr;
    ops->readlink = on_readlink;
    ops->statfs = on_statfs;
}
