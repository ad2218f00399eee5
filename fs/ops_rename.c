/* Rename: an adapter's name, a file's commit, a version's choice.
 *
 *   model/a -> model/b                   the adapter gets another name
 *   (local file) -> dataset.jsonl...     commit: sent, checked, trained; how sed -i, rsync, vim's
 *                                        backups and os.replace write
 *   dataset.jsonl -> dataset.jsonl~      fetched, then a local file; the old name is removed, late,
 *                                        so that an editor may write it again (fs/removal.h)
 *   (local link) -> versions/current     another version is served: ln -sfn
 *   (local file) -> (other name)         nothing but the name
 * Anything else is EPERM. RENAME_NOREPLACE is honoured; RENAME_EXCHANGE is EINVAL.
 */
#include "fs/draft.h"
#include "fs/removal.h"
#include "fs/state.h"

#include <stdio.h>
#include <string.h>

#define CALL_TIMEOUT_S 30
#define CALL_REPLY_MAX (1u << 20)

/* In these operations: op->node is the old parent at first, and what is renamed once that is known;
 * op->other is the new parent, op->place the new place. */

/* The name has moved in the daemon or in the mount; now it does in the table. */
static void moved(struct lf_op *op, enum lf_kind kind)
{
    struct lf_node *n = op->node;
    struct lf_place old;
    enum lf_err rc = LF_OK;
    lf_node_place(n, &old);
    struct lf_node *old_adapter = lf_node_adapter(n);
    lf_removal_undo(op->fs, lf_node_adapter(op->other), &op->place);
    if (n->kind == LF_KIND_UPLOAD)
        rc = lf_removal_add(op->fs, old_adapter, &old);
    if (rc == LF_OK)
        rc = lf_node_move(&op->fs->nodes, n, op->other, op->new_name, kind);
    if (rc == LF_OK)
        lf_draft_settle(n);
    lf_fs_changed(op->fs);
    lf_op_reply(op, rc);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void file_sent(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK)
        moved(op, LF_KIND_UPLOAD);
    else
        lf_op_reply(op, rc);
}

static void file_loaded(struct lf_op *op, enum lf_err rc)
{
    if (rc != LF_OK) {
        lf_draft_settle(op->node);
        lf_op_reply(op, rc);
    } else if (op->place.kind == LF_KIND_UPLOAD) {
        struct lf_place to = op->place;
        lf_op_commits(op, op->other);
        lf_draft_send(op, &to, lf_space_trains(&to), file_sent);
    } else {
        moved(op, LF_KIND_LOCAL);
    }
}

/* ---- Links ----------------------------------------------------------------------------------- */

static void link_done(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK)
        moved(op, LF_KIND_CURRENT);
    else
        lf_op_reply(op, rc);
}

void lf_op_rollback(struct lf_op *op, const char *adapter, const char *target, lf_op_step step)
{
    char url[LF_FS_URL_MAX], line[64];
    size_t n = strlen(target);
    char digits[24] = "";
    if (n > 0 && target[n - 1] == '/') /* `ln -s 2/ current` */
        n--;
    if (n < sizeof digits)
        memcpy(digits, target, n);
    enum lf_err rc = lf_fs_adapter_url(url, adapter, "/ctl");
    if (rc == LF_OK && !lf_space_number(digits))
        rc = LF_E_INVALID;
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    int k = snprintf(line, sizeof line, "rollback %s\n", digits);
    struct lf_client_spec spec = {.method = "POST",
                                  .path = url,
                                  .content_type = "text/plain",
                                  .body = line,
                                  .body_bytes = (uint64_t)k,
                                  .reply_max = CALL_REPLY_MAX,
                                  .timeout_s = CALL_TIMEOUT_S};
    lf_op_call(op, &spec, step);
}

/* ---- Adapters -------------------------------------------------------------------------------- */

static void adapter_done(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK)
        rc = lf_node_move(&op->fs->nodes, op->node, op->other, op->new_name, LF_KIND_ADAPTER);
    lf_fs_changed(op->fs);
    lf_op_reply(op, rc);
}

static void rename_adapter(struct lf_op *op)
{
    char url[LF_FS_URL_MAX], body[LF_NAME_MAX + 32];
    enum lf_err rc = lf_fs_adapter_url(url, op->node->name, "/rename");
    if (rc != LF_OK) {
        lf_op_reply(op, rc);
        return;
    }
    int k = snprintf(body, sizeof body, "{\"to\": \"%s\"}", op->place.owner);
    struct lf_client_spec spec = {.method = "POST",
                                  .path = url,
                                  .content_type = "application/json",
                                  .body = body,
                                  .body_bytes = (uint64_t)k,
                                  .reply_max = CALL_REPLY_MAX,
                                  .timeout_s = CALL_TIMEOUT_S};
    lf_op_call(op, &spec, adapter_done);
}

/* ---- Which of them it is --------------------------------------------------------------------- */

static void rename_known(struct lf_op *op)
{
    struct lf_node *n = op->node;
    struct lf_place from;
    enum lf_kind to = op->place.kind;
    lf_node_place(n, &from);
    bool file = n->kind == LF_KIND_LOCAL || lf_draft_bytes(n) ||
                (n->kind == LF_KIND_UPLOAD && lf_space_removable(&from));
    if (n->kind == LF_KIND_ADAPTER && to == LF_KIND_ADAPTER) {
        rename_adapter(op);
    } else if (file && (to == LF_KIND_UPLOAD || to == LF_KIND_LOCAL)) {
        if (lf_draft_get(n))
            lf_draft_load(op, file_loaded);
        else
            lf_op_reply(op, LF_E_NO_MEMORY);
    } else if (n->kind == LF_KIND_LOCAL_LINK && to == LF_KIND_CURRENT) {
        lf_op_rollback(op, op->place.owner, n->target, link_done);
    } else if (n->kind == LF_KIND_LOCAL_LINK && (to == LF_KIND_LOCAL || to == LF_KIND_LOCAL_LINK)) {
        moved(op, LF_KIND_LOCAL_LINK);
    } else {
        lf_op_reply(op, LF_E_READ_ONLY);
    }
}

/* LF_E_EXISTS where the new name must stay what it is. *same: it is the old one. */
static enum lf_err check_target(struct lf_op *op, bool *same)
{
    struct lf_node *there;
    *same = false;
    if (lf_fs_resolve(&there, op->fs, op->other, op->new_name) != LF_OK)
        return LF_OK;
    lf_node_hold(there);
    bool taken = (op->flags & RENAME_NOREPLACE) || there->kind == LF_KIND_ADAPTER;
    *same = there == op->node;
    lf_node_release(&op->fs->nodes, there);
    return taken && !*same ? LF_E_EXISTS : LF_OK;
}

static void rename_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_view v = lf_fs_view(op->fs);
    struct lf_place dir;
    struct lf_node *n = NULL;
    bool same = false;
    lf_node_place(op->other, &dir);
    if (rc == LF_OK)
        rc = lf_fs_resolve(&n, op->fs, op->node, op->name);
    if (rc == LF_OK) { /* from here on op->node is what is renamed */
        lf_node_hold(n);
        lf_node_release(&op->fs->nodes, op->node);
        op->node = n;
    }
    if (rc == LF_OK && lf_space_child(&op->place, &v, &dir, op->new_name) != LF_OK)
        rc = dir.kind == LF_KIND_MODELS ? LF_E_INVALID : LF_E_READ_ONLY;
    if (rc == LF_OK)
        rc = check_target(op, &same);
    if (rc == LF_OK && !same)
        rename_known(op);
    else
        lf_op_reply(op, rc);
}

/* What is written just now is waited for. */
static void rename_settled(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n = lf_node_find(&op->fs->nodes, op->node, op->name);
    const struct lf_node *to = lf_node_adapter(op->other);
    if (rc == LF_OK && n && lf_node_adapter(n) && lf_node_adapter(n)->commits > 0)
        lf_op_settle(op, n, rename_settled);
    else if (rc == LF_OK && to && to->commits > 0)
        lf_op_settle(op, op->other, rename_settled);
    else if (rc == LF_OK)
        lf_fs_look(op, op->node, rename_step);
    else
        lf_op_reply(op, rc);
}

/* Replies: err. */
static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned int flags)
{
    struct lf_fs *fs = lf_fs_of(req);
    struct lf_op *op = lf_op_new(fs, req, lf_fs_node(fs, parent));
    if (!op)
        return;
    op->other = lf_node_hold(lf_fs_node(fs, new_parent));
    op->flags = flags;
    enum lf_err rc = lf_op_names(op, name, new_name);
    if (rc == LF_OK && (flags & ~(unsigned)RENAME_NOREPLACE))
        rc = LF_E_INVALID;
    if (rc == LF_OK)
        rename_settled(op, LF_OK);
    else
        lf_op_reply(op, rc);
}

void lf_fs_ops_rename(struct fuse_lowlevel_ops *ops)
{
    ops->rename = on_rename;
}
