/* Names that go: rmdir, unlink. What becomes of them is said in fs/removal.h. */
#include "fs/ops.h"

#include "fs/request.h"
#include "fs/attr.h"
#include "fs/removal.h"

/* The operation is about the name's node from now on. False: it was answered. */
static bool turn_to_child(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n;
    rc = rc ?: lf_attr_resolve(&n, op->fs, op->node, ((struct lf_name_op *)op)->name);
    if (!lf_op_failed(op, rc))
        lf_op_turn_to(op, n);
    return rc == LF_OK;
}

static void rmdir_done(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK || rc == LF_E_NOT_FOUND) {
        lf_removal_forget(op->fs, op->node);
        lf_node_drop_adapter(&op->fs->nodes, op->node);
        rc = LF_OK;
    }
    lf_snapshot_changed(&op->fs->snapshot, rc);
    lf_op_reply(op, rc);
}

/* What is local goes; any other place of an adapter is hidden, and its node loses the name. */
static enum lf_err remove_name(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_place place;
    lf_node_place(n, &place);
    enum lf_err rc = lf_node_is_local(n) ? LF_OK : lf_removal_add(fs, lf_node_adapter(n), &place);
    if (rc == LF_OK)
        lf_node_unlink(&fs->nodes, n);
    return rc;
}

static void rmdir_step(struct lf_op *op, enum lf_err rc)
{
    if (!turn_to_child(op, rc))
        return;
    struct lf_node *n = op->node;
    rc = LF_OK;
    if (!lf_kind_is_dir(n->kind) || !lf_node_adapter(n))
        rc = LF_E_READ_ONLY; /* /base/<name> and the like; the kernel has seen to ENOTDIR */
    else
        rc = lf_removal_check(op->fs, n, lf_ops_process(op->req));
    if (rc == LF_E_NOT_EMPTY && lf_kinds[n->kind].given &&
        lf_node_adapter(n)->maker == lf_ops_process(op->req))
        rc = LF_E_NOT_FOUND; /* mv, about to make it where it has just made the adapter */
    if (rc == LF_OK && n->kind == LF_KIND_ADAPTER) {
        lf_op_request_adapter(op, "DELETE", n->name, "", NULL, NULL, 0, rmdir_done);
        return;
    }
    lf_op_reply(op, rc ?: remove_name(op->fs, n));
}

static void rmdir_settled(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n = lf_node_find(&op->fs->nodes, op->node, ((struct lf_name_op *)op)->name);
    if (rc == LF_OK && n && n->kind == LF_KIND_ADAPTER && lf_op_settles(op, n, rmdir_settled))
        return;
    if (!lf_op_failed(op, rc))
        lf_ops_look(op, rmdir_step);
}

/* Replies: err. What may be removed is said in fs/removal.h. */
static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lf_name_op *n = lf_ops_new_name(req, parent, name, sizeof *n);
    if (n)
        rmdir_settled(&n->op, LF_OK);
}

static void unlink_step(struct lf_op *op, enum lf_err rc)
{
    if (!turn_to_child(op, rc))
        return;
    struct lf_node *n = op->node;
    lf_op_reply(op, lf_node_adapter(n) ? remove_name(op->fs, n) : LF_E_READ_ONLY);
}

/* Replies: err. fs/removal.h says what becomes of it. */
static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lf_name_op *n = lf_ops_new_name(req, parent, name, sizeof *n);
    if (n)
        lf_ops_look(&n->op, unlink_step);
}

void lf_ops_remove(struct fuse_lowlevel_ops *ops)
{
    ops->rmdir = on_rmdir;
    ops->unlink = on_unlink;
}
