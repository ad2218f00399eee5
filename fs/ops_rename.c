/* Rename: an adapter's name, a file's commit, a version's choice.
 *
 *   model/a -> model/b                   the adapter gets another name
 *   (local file) -> dataset.jsonl...     commit: sent, checked, trained; how sed -i, rsync, vim's
 *                                        backups and os.replace write
 *   dataset.jsonl -> dataset.jsonl~      fetched, then a local file; the old name is removed, late,
 *                                        so that an editor may write it again (fs/removal.h)
 *   (local link) -> versions/current     another version is served: ln -sfn
 *   (local file) -> (temporary's name)   nothing but the name
 *   (local file) -> status, log...       a copy of such a file: dropped
 * Anything else is EPERM. RENAME_NOREPLACE is honoured; RENAME_EXCHANGE is EINVAL.
 */
#include "fs/ops.h"

#include "fs/request.h"
#include "fs/attr.h"
#include "fs/draft.h"
#include "fs/removal.h"

#include <stdio.h>
#include <unistd.h>

#define COPY_START_BYTES 1024

/* op.node is the old parent at first, and what is renamed once that is known. */
struct renaming {
    struct lf_transfer moves; /* of a file's bytes, where they have to */
    struct lf_node *dir;      /* held: the new parent */
    struct lf_place to;       /* the new place */
    char name[NAME_MAX + 1], new_name[NAME_MAX + 1];
    unsigned flags;
};

static struct renaming *renaming(struct lf_op *op)
{
    return (struct renaming *)op;
}

static void drop(struct lf_op *op)
{
    lf_node_release(&op->fs->nodes, renaming(op)->dir);
}

/* The name has moved in the daemon or in the mount; now it does in the table. */
static void moved(struct lf_op *op, enum lf_kind kind)
{
    struct renaming *r = renaming(op);
    struct lf_node *n = op->node;
    struct lf_place old;
    enum lf_err rc = LF_OK;
    lf_node_place(n, &old);
    struct lf_node *old_adapter = lf_node_adapter(n);
    lf_removal_undo(op->fs, lf_node_adapter(r->dir), &r->to);
    if (n->kind == LF_KIND_UPLOAD)
        rc = lf_removal_add(op->fs, old_adapter, &old);
    rc = rc ?: lf_node_move(&op->fs->nodes, n, r->dir, r->new_name, kind);
    if (rc == LF_OK)
        lf_draft_settle(n);
    lf_snapshot_changed(&op->fs->snapshot, rc);
    lf_op_reply(op, rc);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void file_sent(struct lf_op *op, enum lf_err rc)
{
    if (!lf_op_failed(op, rc))
        moved(op, renaming(op)->to.kind);
}

static void file_loaded(struct lf_op *op, enum lf_err rc)
{
    struct renaming *r = renaming(op);
    if (rc != LF_OK) {
        lf_draft_settle(op->node);
        lf_op_reply(op, rc);
    } else if (r->to.kind == LF_KIND_UPLOAD || r->to.kind == LF_KIND_REMOTE) {
        lf_op_commits(op, r->dir);
        lf_draft_send(&r->moves, &r->to, lf_space_trains(&r->to), file_sent);
    } else {
        moved(op, LF_KIND_LOCAL);
    }
}

static void copy_sent(struct lf_op *op, enum lf_err rc)
{
    const struct renaming *r = renaming(op);
    if (rc == LF_OK) {
        lf_removal_undo(op->fs, lf_node_adapter(r->dir), &r->to);
        lf_node_unlink(&op->fs->nodes, op->node);
    }
    lf_op_reply(op, rc);
}

/* rsync's copy of a file that the daemon makes: taken, and dropped where it tells nothing. */
static void drop_copy(struct lf_op *op)
{
    char start[COPY_START_BYTES];
    const struct lf_stage *s = lf_draft_bytes(op->node);
    ssize_t n = s ? pread(lf_stage_fd(s), start, sizeof start, 0) : 0;
    bool copy = n >= 0 && lf_space_is_copy(&renaming(op)->to, start, (size_t)n);
    if (copy && lf_space_is_kept(&renaming(op)->to)) {
        lf_op_commits(op, renaming(op)->dir);
        lf_draft_send(&renaming(op)->moves, &renaming(op)->to, false, copy_sent);
        return;
    }
    copy_sent(op, copy ? LF_OK : LF_E_READ_ONLY);
}

/* ---- Links ----------------------------------------------------------------------------------- */

static void link_done(struct lf_op *op, enum lf_err rc)
{
    if (!lf_op_failed(op, rc))
        moved(op, LF_KIND_CURRENT);
}

/* ---- Adapters -------------------------------------------------------------------------------- */

static void adapter_done(struct lf_op *op, enum lf_err rc)
{
    const struct renaming *r = renaming(op);
    rc = rc ?: lf_node_move(&op->fs->nodes, op->node, r->dir, r->new_name, LF_KIND_ADAPTER);
    lf_snapshot_changed(&op->fs->snapshot, rc);
    lf_op_reply(op, rc);
}

static void rename_adapter(struct lf_op *op)
{
    char body[LF_NAME_MAX + 32];
    int k = snprintf(body, sizeof body, "{\"to\": \"%s\"}", renaming(op)->to.owner);
    lf_op_request_adapter(op, "POST", op->node->name, "/rename", "application/json", body,
                          (size_t)k, adapter_done);
}

/* ---- Which of them it is --------------------------------------------------------------------- */

static void rename_known(struct lf_op *op)
{
    struct renaming *r = renaming(op);
    struct lf_node *n = op->node;
    struct lf_place from;
    enum lf_kind to = r->to.kind;
    lf_node_place(n, &from);
    bool file = n->kind == LF_KIND_LOCAL || lf_draft_bytes(n) ||
                (n->kind == LF_KIND_UPLOAD && lf_space_removable(&from));
    if (n->kind == LF_KIND_ADAPTER && to == LF_KIND_ADAPTER) {
        rename_adapter(op);
    } else if (file && (to == LF_KIND_UPLOAD || to == LF_KIND_LOCAL || to == LF_KIND_REMOTE)) {
        if (lf_draft_get(n))
            lf_draft_load(&r->moves, file_loaded);
        else
            lf_op_reply(op, LF_E_NO_MEMORY);
    } else if (n->kind == LF_KIND_LOCAL && (lf_kinds[to].output || to == LF_KIND_CTL)) {
        drop_copy(op);
    } else if (n->kind == LF_KIND_LOCAL_LINK && to == LF_KIND_CURRENT) {
        lf_op_request_rollback(op, r->to.owner, n->target, link_done);
    } else if (n->kind == LF_KIND_LOCAL_LINK && (to == LF_KIND_LOCAL || to == LF_KIND_LOCAL_LINK)) {
        moved(op, LF_KIND_LOCAL_LINK);
    } else {
        lf_op_reply(op, LF_E_READ_ONLY);
    }
}

/* LF_E_EXISTS where the new name must stay what it is. *same: it is the old one. */
static enum lf_err check_target(struct lf_op *op, bool *same)
{
    const struct renaming *r = renaming(op);
    struct lf_node *there;
    *same = false;
    if (lf_attr_resolve(&there, op->fs, r->dir, r->new_name) != LF_OK)
        return LF_OK;
    lf_node_hold(there);
    bool taken = (r->flags & RENAME_NOREPLACE) || there->kind == LF_KIND_ADAPTER;
    *same = there == op->node;
    lf_node_release(&op->fs->nodes, there);
    return taken && !*same ? LF_E_EXISTS : LF_OK;
}

static void rename_step(struct lf_op *op, enum lf_err rc)
{
    struct renaming *r = renaming(op);
    struct lf_view v = lf_snapshot_view(&op->fs->snapshot);
    struct lf_place dir;
    struct lf_node *n = NULL;
    bool same = false;
    lf_node_place(r->dir, &dir);
    rc = rc ?: lf_attr_resolve(&n, op->fs, op->node, r->name);
    if (rc == LF_OK)
        lf_op_turn_to(op, n);
    if (rc == LF_OK && lf_space_child(&r->to, &v, &dir, r->new_name) != LF_OK) {
        if (dir.kind != LF_KIND_MODELS && n->kind != LF_KIND_ADAPTER) {
            lf_op_turn_to(op, r->dir);
            lf_ops_refuse_name(op, r->new_name);
            return;
        }
        rc = dir.kind == LF_KIND_MODELS ? LF_E_INVALID : LF_E_READ_ONLY;
    }
    rc = rc ?: check_target(op, &same);
    if (rc == LF_OK && !same)
        rename_known(op);
    else
        lf_op_reply(op, rc);
}

/* What is written just now is waited for. */
static void rename_settled(struct lf_op *op, enum lf_err rc)
{
    struct renaming *r = renaming(op);
    struct lf_node *n = lf_node_find(&op->fs->nodes, op->node, r->name);
    if (rc == LF_OK &&
        ((n && lf_op_settles(op, n, rename_settled)) || lf_op_settles(op, r->dir, rename_settled)))
        return;
    if (!lf_op_failed(op, rc))
        lf_ops_look(op, rename_step);
}

/* Replies: err. */
static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned int flags)
{
    struct renaming *r = lf_ops_new(req, parent, sizeof *r);
    if (!r)
        return;
    struct lf_op *op = &r->moves.op;
    r->dir = lf_node_hold(lf_ops_node(op->fs, new_parent));
    op->drop = drop;
    r->flags = flags;
    int a = snprintf(r->name, sizeof r->name, "%s", name);
    int b = snprintf(r->new_name, sizeof r->new_name, "%s", new_name);
    if (a > NAME_MAX || b > NAME_MAX || (flags & ~(unsigned)RENAME_NOREPLACE))
        lf_op_reply(op, LF_E_INVALID);
    else
        rename_settled(op, LF_OK);
}

void lf_ops_rename(struct fuse_lowlevel_ops *ops)
{
    ops->rename = on_rename;
}
