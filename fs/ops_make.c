/* New names that are no files: mkdir, symlink. */
#include "fs/ops.h"

#include "core/clock.h"
#include "fs/request.h"
#include "fs/attr.h"
#include "fs/removal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIAS_MS 3000 /* for the first file in it */

/* ---- Directories ----------------------------------------------------------------------------- */

static void mkdir_look(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n;
    if (rc == LF_OK &&
        lf_attr_resolve(&n, op->fs, op->node, ((struct lf_name_op *)op)->name) == LF_OK)
        n->maker = lf_ops_process(op->req);
    lf_ops_reply_entry(op, rc);
}

static void mkdir_made(struct lf_op *op, enum lf_err rc)
{
    lf_snapshot_changed(&op->fs->snapshot, rc);
    if (!lf_op_failed(op, rc))
        lf_ops_look(op, mkdir_look);
}

/* A version that is copied in is there from now on, before its files. `current`, where a copy has
 * made a directory of the link, is adapter/ by another name, until there is a link. */
static enum lf_err make_dir(struct lf_op *op, const char *name, enum lf_kind kind)
{
    if (kind != LF_KIND_VERSION && kind != LF_KIND_CURRENT)
        return LF_OK;
    struct lf_node *n = lf_node_get(&op->fs->nodes, op->node, name,
                                    kind == LF_KIND_CURRENT ? LF_KIND_WEIGHTS : kind);
    if (!n)
        return LF_E_NO_MEMORY;
    if (!n->made)
        lf_node_hold(n); /* for as long as the mount lives */
    n->made = true;
    if (kind == LF_KIND_CURRENT)
        n->alias_until_ns = lf_clock_ns() + (uint64_t)ALIAS_MS * LF_NS_PER_MS;
    return LF_OK;
}

static enum lf_err make_local_dir(struct lf_op *op, const char *name)
{
    struct lf_node *n = lf_node_get(&op->fs->nodes, op->node, name, LF_KIND_LOCAL_DIR);
    if (n)
        lf_node_add_local(n);
    return n ? LF_OK : LF_E_NO_MEMORY;
}

/* adapter/ and versions/ are there already: whoever copies a directory makes them. */
static void mkdir_given(struct lf_op *op, enum lf_err rc)
{
    struct lf_view v = lf_snapshot_view(&op->fs->snapshot);
    const char *name = ((struct lf_name_op *)op)->name;
    struct lf_place dir, place;
    lf_node_place(op->node, &dir);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
    } else if (!lf_node_adapter(op->node) || dir.kind == LF_KIND_LOCAL_DIR) {
        lf_op_reply(op, LF_E_READ_ONLY);
    } else if (lf_file_is_temporary_dir(name)) {
        lf_ops_reply_entry(op, make_local_dir(op, name));
    } else if (lf_space_child(&place, &v, &dir, name) != LF_OK ||
               !(lf_kind_is_dir(place.kind) || place.kind == LF_KIND_CURRENT)) {
        lf_ops_refuse_name(op, name);
    } else {
        lf_removal_undo(op->fs, lf_node_adapter(op->node), &place);
        lf_ops_reply_entry(op, make_dir(op, name, place.kind));
    }
}

/* Replies: entry, err. EINVAL: not a name for an adapter, or for a directory of one. */
static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    char body[LF_NAME_MAX + 32];
    struct lf_place dir, place;
    struct lf_name_op *named = lf_ops_new_name(req, parent, name, sizeof *named);
    if (!named)
        return;
    struct lf_op *op = &named->op;
    lf_node_place(op->node, &dir);
    if (dir.kind != LF_KIND_MODELS) {
        lf_ops_look(op, mkdir_given);
        return;
    }
    struct lf_view v = lf_snapshot_view(&op->fs->snapshot);
    if (lf_space_child(&place, &v, &dir, name) != LF_OK) {
        lf_op_reply(op, LF_E_INVALID);
        return;
    }
    int n = snprintf(body, sizeof body, "{\"name\": \"%s\"}", place.owner);
    lf_op_request(op, "POST", "/v1/adapters", "application/json", body, (size_t)n, mkdir_made);
}

/* Replies: err. There are no pipes, sockets and devices; plain files are made by create. */
static void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    (void)parent;
    (void)name;
    (void)mode;
    (void)device;
    fuse_reply_err(req, EPERM);
}

/* ---- Symbolic links -------------------------------------------------------------------------- */

struct making_link {
    struct lf_name_op at;
    char *target;
};

static void drop_target(struct lf_op *op)
{
    free(((struct making_link *)op)->target);
}

static void link_made(struct lf_op *op, enum lf_err rc)
{
    struct lf_place place = {.kind = LF_KIND_CURRENT, .rel = "versions/current"};
    if (rc == LF_OK)
        lf_removal_undo(op->fs, lf_node_adapter(op->node), &place);
    mkdir_made(op, rc);
}

/* The target is the node's from now on. */
static enum lf_err make_local_link(struct making_link *s)
{
    struct lf_op *op = &s->at.op;
    struct lf_node *n = lf_node_get(&op->fs->nodes, op->node, s->at.name, LF_KIND_LOCAL_LINK);
    if (!n)
        return LF_E_NO_MEMORY;
    free(n->target);
    n->target = s->target;
    s->target = NULL;
    lf_node_add_local(n);
    return LF_OK;
}

static void symlink_step(struct lf_op *op, enum lf_err rc)
{
    struct making_link *s = (struct making_link *)op;
    struct lf_view v = lf_snapshot_view(&op->fs->snapshot);
    struct lf_place dir, place;
    struct lf_node *there;
    lf_node_place(op->node, &dir);
    if (rc == LF_OK && lf_attr_resolve(&there, op->fs, op->node, s->at.name) == LF_OK &&
        !lf_kinds[there->kind].given)
        rc = LF_E_EXISTS;
    if (rc == LF_OK && lf_space_child(&place, &v, &dir, s->at.name) != LF_OK)
        rc = LF_E_READ_ONLY;
    if (rc == LF_OK && place.kind == LF_KIND_CURRENT) {
        lf_op_request_rollback(op, place.owner, s->target, link_made);
        return;
    }
    if (rc == LF_OK && place.kind != LF_KIND_LOCAL && place.kind != LF_KIND_LOCAL_LINK)
        rc = LF_E_READ_ONLY;
    rc = rc ?: make_local_link(s);
    lf_ops_reply_entry(op, rc);
}

/* Replies: entry, err. As `current` it serves another version (EINVAL: not the number of one); any
 * temporary's name in an adapter is a link of this mount alone, such as `ln -sfn` renames. */
static void on_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct making_link *s = lf_ops_new_name(req, parent, name, sizeof *s);
    if (!s)
        return;
    s->at.op.drop = drop_target;
    s->target = strdup(target);
    if (s->target)
        lf_ops_look(&s->at.op, symlink_step);
    else
        lf_op_reply(&s->at.op, LF_E_NO_MEMORY);
}

void lf_ops_make(struct fuse_lowlevel_ops *ops)
{
    ops->mkdir = on_mkdir;
    ops->mknod = on_mknod;
    ops->symlink = on_symlink;
}
