/* Names: lookup, getattr, mkdir, rmdir, unlink, symlink, readlink, statfs. */
#include "fs/draft.h"
#include "fs/removal.h"
#include "fs/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define CALL_TIMEOUT_S 30
#define CALL_REPLY_MAX (1u << 20)

/* ---- Entries --------------------------------------------------------------------------------- */

/* Replies with op->node's child of that name, and counts the lookup. */
static void reply_entry(struct lf_op *op, const char *name)
{
    struct lf_node *n;
    struct fuse_entry_param e;
    enum lf_err rc = lf_fs_resolve(&n, op->fs, op->node, name);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    lf_node_looked_up(n);
    rc = lf_fs_entry(&e, op->fs, n);
    if (rc != LF_OK || fuse_reply_entry(op->req, &e) == -ENOENT)
        lf_node_forget(&op->fs->nodes, n, 1); /* the kernel does not have it */
    if (rc != LF_OK)
        lf_op_reply(op, rc);
    else
        lf_op_end(op);
}

static void lookup_step(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK)
        reply_entry(op, op->name);
    else
        lf_op_reply(op, rc);
}

/* An operation on a name in a directory, with the names copied. NULL: it was answered. */
static struct lf_op *name_op(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lf_fs *fs = lf_fs_of(req);
    struct lf_op *op = lf_op_new(fs, req, lf_fs_node(fs, parent));
    enum lf_err rc = op ? lf_op_names(op, name, NULL) : LF_OK;
    if (rc == LF_OK)
        return op;
    lf_op_reply(op, rc);
    return NULL;
}

/* Replies: entry, err. */
static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lf_op *op = name_op(req, parent, name);
    if (op)
        lf_fs_look(op, op->node, lookup_step);
}

/* Replies: none. */
static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
    struct lf_fs *fs = lf_fs_of(req);
    if (ino != FUSE_ROOT_ID)
        lf_node_forget(&fs->nodes, lf_fs_node(fs, ino), lookups);
    fuse_reply_none(req);
}

/* Replies: none. */
static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct lf_fs *fs = lf_fs_of(req);
    for (size_t i = 0; i < count; i++)
        if (forgets[i].ino != FUSE_ROOT_ID)
            lf_node_forget(&fs->nodes, lf_fs_node(fs, forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(req);
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static void getattr_step(struct lf_op *op, enum lf_err rc)
{
    struct stat st;
    double timeout_s = 0;
    if (rc == LF_OK)
        rc = lf_fs_stat(&st, &timeout_s, op->fs, op->node);
    if (rc == LF_E_NOT_FOUND) {
        fuse_reply_err(op->req, ESTALE);
        lf_op_end(op);
        return;
    }
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    fuse_reply_attr(op->req, &st, timeout_s);
    lf_op_end(op);
}

/* Replies: attr, err. ESTALE: the name has gone since it was looked up; the kernel then looks the
 * path up again, and creates the file where the caller wants it created. */
static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct lf_fs *fs = lf_fs_of(req);
    struct lf_op *op = lf_op_new(fs, req, lf_fs_node(fs, ino));
    if (!op)
        return;
    switch (op->node->kind) {
    case LF_KIND_BASES:
    case LF_KIND_JOBS:
    case LF_KIND_MODELS: /* there without a daemon, too */
        getattr_step(op, LF_OK);
        return;
    default:
        lf_fs_look(op, op->node, getattr_step);
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
        a = lf_tree_adapter(op->fs->tree, place.owner);
    if (rc == LF_OK && (!a || a->current <= 0))
        rc = LF_E_NOT_FOUND;
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    snprintf(target, sizeof target, "%lld", (long long)a->current);
    fuse_reply_readlink(op->req, target);
    lf_op_end(op);
}

/* Replies: readlink, err. */
static void on_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct lf_fs *fs = lf_fs_of(req);
    struct lf_op *op = lf_op_new(fs, req, lf_fs_node(fs, ino));
    if (op)
        lf_fs_look(op, op->node, readlink_step);
}

/* Replies: statfs, err. The room is that of the staged files. */
static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct lf_fs *fs = lf_fs_of(req);
    struct statvfs s;
    if (fstatvfs(fs->stages.dir, &s) != 0) {
        fuse_reply_err(req, errno);
        return;
    }
    s.f_namemax = NAME_MAX;
    fuse_reply_statfs(req, &s);
}

/* ---- Making directories ---------------------------------------------------------------------- */

static void mkdir_made(struct lf_op *op, enum lf_err rc)
{
    lf_fs_changed(op->fs);
    if (rc == LF_OK)
        lf_fs_look(op, op->node, lookup_step);
    else
        lf_op_reply(op, rc);
}

/* Replies: entry, err. In /model alone. EINVAL: not a name for an adapter. */
static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    char body[LF_NAME_MAX + 32];
    struct lf_place dir, place;
    struct lf_op *op = name_op(req, parent, name);
    if (!op)
        return;
    lf_node_place(op->node, &dir);
    if (dir.kind != LF_KIND_MODELS) {
        lf_op_reply(op, LF_E_READ_ONLY);
        return;
    }
    struct lf_view v = lf_fs_view(op->fs);
    if (lf_space_child(&place, &v, &dir, name) != LF_OK) {
        lf_op_reply(op, LF_E_INVALID);
        return;
    }
    int n = snprintf(body, sizeof body, "{\"name\": \"%s\"}", place.owner);
    struct lf_client_spec spec = {.method = "POST",
                                  .path = "/v1/adapters",
                                  .content_type = "application/json",
                                  .body = body,
                                  .body_bytes = (uint64_t)n,
                                  .reply_max = CALL_REPLY_MAX,
                                  .timeout_s = CALL_TIMEOUT_S};
    lf_op_call(op, &spec, mkdir_made);
}

/* ---- Removing -------------------------------------------------------------------------------- */

static void rmdir_done(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK || rc == LF_E_NOT_FOUND) {
        lf_removal_forget(op->fs, op->other);
        lf_node_drop_adapter(&op->fs->nodes, op->other);
        rc = LF_OK;
    }
    lf_fs_changed(op->fs);
    lf_op_reply(op, rc);
}

static void rmdir_adapter(struct lf_op *op)
{
    char url[LF_FS_URL_MAX];
    enum lf_err rc = lf_fs_adapter_url(url, op->other->name, "");
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    struct lf_client_spec spec = {
        .method = "DELETE", .path = url, .reply_max = CALL_REPLY_MAX, .timeout_s = CALL_TIMEOUT_S};
    lf_op_call(op, &spec, rmdir_done);
}

/* Hides one place of an adapter; its node loses the name. */
static enum lf_err hide(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_place place;
    lf_node_place(n, &place);
    enum lf_err rc = lf_removal_add(fs, lf_node_adapter(n), &place);
    if (rc == LF_OK)
        lf_node_unlink(&fs->nodes, n);
    return rc;
}

static void rmdir_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n = NULL;
    if (rc == LF_OK)
        rc = lf_fs_resolve(&n, op->fs, op->node, op->name);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    op->other = lf_node_hold(n);
    if (!lf_kind_is_dir(n->kind) || !lf_node_adapter(n))
        rc = LF_E_READ_ONLY; /* /base/<name> and the like; the kernel has seen to ENOTDIR */
    else
        rc = lf_removal_check_empty(op->fs, n);
    if (rc == LF_OK && n->kind == LF_KIND_ADAPTER) {
        rmdir_adapter(op);
        return;
    }
    if (rc == LF_OK)
        rc = hide(op->fs, n);
    lf_op_reply(op, rc);
}

static void rmdir_settled(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n = lf_node_find(&op->fs->nodes, op->node, op->name);
    if (rc == LF_OK && n && n->kind == LF_KIND_ADAPTER && n->commits > 0)
        lf_op_settle(op, n, rmdir_settled);
    else if (rc == LF_OK)
        lf_fs_look(op, op->node, rmdir_step);
    else
        lf_op_reply(op, rc);
}

/* Replies: err. What may be removed is said in fs/removal.h. */
static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lf_op *op = name_op(req, parent, name);
    if (op)
        rmdir_settled(op, LF_OK);
}

static void unlink_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n = NULL;
    if (rc == LF_OK)
        rc = lf_fs_resolve(&n, op->fs, op->node, op->name);
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    op->other = lf_node_hold(n);
    if (n->kind == LF_KIND_LOCAL || n->kind == LF_KIND_LOCAL_LINK)
        lf_node_unlink(&op->fs->nodes, n);
    else
        rc = lf_node_adapter(n) ? hide(op->fs, n) : LF_E_READ_ONLY;
    lf_op_reply(op, rc);
}

/* Replies: err. fs/removal.h says what becomes of it. */
static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lf_op *op = name_op(req, parent, name);
    if (op)
        lf_fs_look(op, op->node, unlink_step);
}

/* ---- Symbolic links -------------------------------------------------------------------------- */

static void link_made(struct lf_op *op, enum lf_err rc)
{
    struct lf_place place = {.kind = LF_KIND_CURRENT, .rel = "versions/current"};
    if (rc == LF_OK)
        lf_removal_undo(op->fs, lf_node_adapter(op->node), &place);
    mkdir_made(op, rc);
}

static enum lf_err make_local_link(struct lf_op *op, const char *target)
{
    char *copy = strdup(target);
    struct lf_node *n =
        copy ? lf_node_get(&op->fs->nodes, op->node, op->name, LF_KIND_LOCAL_LINK) : NULL;
    if (!n) {
        free(copy);
        return LF_E_NO_MEMORY;
    }
    free(n->target);
    n->target = copy;
    lf_node_add_local(n);
    return LF_OK;
}

static void symlink_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_view v = lf_fs_view(op->fs);
    struct lf_place dir, place;
    struct lf_node *there;
    const char *target = op->data.data;
    lf_node_place(op->node, &dir);
    if (rc == LF_OK && lf_fs_resolve(&there, op->fs, op->node, op->name) == LF_OK)
        rc = LF_E_EXISTS;
    if (rc == LF_OK && lf_space_child(&place, &v, &dir, op->name) != LF_OK)
        rc = LF_E_READ_ONLY;
    if (rc == LF_OK && place.kind == LF_KIND_CURRENT) {
        lf_op_rollback(op, place.owner, target, link_made);
        return;
    }
    if (rc == LF_OK && place.kind != LF_KIND_LOCAL && place.kind != LF_KIND_LOCAL_LINK)
        rc = LF_E_READ_ONLY;
    if (rc == LF_OK)
        rc = make_local_link(op, target);
    if (rc == LF_OK)
        reply_entry(op, op->name);
    else
        lf_op_reply(op, rc);
}

/* Replies: entry, err. As `current` it serves another version (EINVAL: not the number of one); any
 * other free name in an adapter is a link of this mount alone, such as `ln -sfn` renames. */
static void on_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct lf_op *op = name_op(req, parent, name);
    if (!op)
        return;
    if (lf_buf_puts(&op->data, target) != LF_OK)
        lf_op_reply(op, LF_E_NO_MEMORY);
    else
        lf_fs_look(op, op->node, symlink_step);
}

void lf_fs_ops_names(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = on_lookup;
    ops->forget = on_forget;
    ops->forget_multi = on_forget_multi;
    ops->getattr = on_getattr;
    ops->readlink = on_readlink;
    ops->statfs = on_statfs;
    ops->mkdir = on_mkdir;
    ops->rmdir = on_rmdir;
    ops->unlink = on_unlink;
    ops->symlink = on_symlink;
}
