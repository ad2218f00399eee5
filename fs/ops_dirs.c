/* Directories: a listing is made at opendir and handed out piece by piece, each entry with its
 * attributes, so that `ls -l` asks nothing more. */
#include "fs/ops.h"

#include "core/clock.h"
#include "fs/attr.h"
#include "fs/removal.h"

#include <stdlib.h>
#include <string.h>

/* ---- Opening --------------------------------------------------------------------------------- */

struct listing {
    struct lf_fs *fs;
    struct lf_node *dir;
    struct lf_place place;
    struct lf_buf *names;
};

static enum lf_err add_name(struct lf_buf *names, const char *name)
{
    return lf_buf_append(names, name, strlen(name) + 1);
}

static enum lf_err list_name(void *arg, const char *name)
{
    struct listing *l = arg;
    struct lf_view v = lf_snapshot_view(&l->fs->snapshot);
    struct lf_place place;
    if (lf_space_child(&place, &v, &l->place, name) != LF_OK || lf_removal_hides(l->dir, &place))
        return LF_OK;
    return add_name(l->names, name);
}

/* "." and ".." come first, then the daemon's names, then the mount's own. */
static enum lf_err list_names(struct lf_op *op, struct lf_buf *names)
{
    struct lf_fs *fs = op->fs;
    struct lf_node *adapter = lf_node_adapter(op->node), *n;
    struct lf_view v = lf_snapshot_view(&fs->snapshot);
    struct listing l = {.fs = fs, .dir = op->node, .names = names};
    lf_node_place(op->node, &l.place);
    enum lf_err rc = add_name(l.names, ".") ?: add_name(l.names, "..");
    rc = rc ?: lf_space_list(&v, &l.place, list_name, &l);
    if (!adapter)
        return rc;
    LIST_FOREACH(n, &adapter->locals, local)
    if (rc == LF_OK && n->parent == op->node)
        rc = add_name(l.names, n->name);
    return rc;
}

static void opendir_step(struct lf_op *op, enum lf_err rc)
{
    struct fuse_file_info fi = {0};
    struct lf_handle *h = rc == LF_OK ? lf_handle_new(op->fs, op->node) : NULL;
    rc = rc ?: (h ? list_names(op, &h->text) : LF_E_NO_MEMORY);
    if (rc != LF_OK) {
        lf_handle_free(op->fs, h);
        lf_op_reply(op, rc);
        return;
    }
    if (op->node->kind == LF_KIND_ADAPTER) {
        op->node->lister = lf_ops_process(op->req);
        op->node->listed_ns = lf_clock_ns();
    }
    fi.fh = (uint64_t)(uintptr_t)h;
    if (fuse_reply_open(op->req, &fi) == -ENOENT)
        lf_handle_free(op->fs, h);
    lf_op_end(op);
}

/* Replies: open, err. */
static void on_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct lf_op *op = lf_ops_new(req, ino, sizeof *op);
    (void)fi;
    if (op)
        lf_ops_look(op, opendir_step);
}

/* Replies: err. */
static void on_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    lf_handle_free(lf_ops_fs(req), lf_ops_handle(fi));
    fuse_reply_err(req, 0);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* A reply under construction. */
struct page {
    fuse_req_t req;
    struct lf_fs *fs;
    struct lf_node *dir;
    bool plus;
    char *data;
    size_t used, size;
};

/* "." or "..", which count no lookups. */
static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* False: it did not fit. `next` is the offset after it. */
static bool page_put(struct page *p, const char *name, const struct fuse_entry_param *e, off_t next)
{
    size_t room = p->size - p->used;
    char *at = p->data + p->used;
    size_t need = p->plus ? fuse_add_direntry_plus(p->req, at, room, name, e, next)
                          : fuse_add_direntry(p->req, at, room, name, &e->attr, next);
    if (need > room)
        return false;
    p->used += need;
    return true;
}

/* The same, of a name that may be gone since the directory was opened: then it is left out. */
static bool page_add(struct page *p, const char *name, off_t next)
{
    struct fuse_entry_param e = {.attr.st_mode = S_IFDIR};
    struct lf_node *n, *up = p->dir->parent ? p->dir->parent : p->dir;
    if (is_dot(name)) {
        e.attr.st_ino = lf_node_ino(name[1] ? up : p->dir);
        return page_put(p, name, &e, next);
    }
    if (lf_attr_resolve(&n, p->fs, p->dir, name) != LF_OK)
        return true;
    lf_node_hold(n);
    bool gone = lf_attr_entry(&e, p->fs, n) != LF_OK;
    bool fits = gone || page_put(p, name, &e, next);
    if (p->plus && fits && !gone)
        lf_node_looked_up(n);
    lf_node_release(&p->fs->nodes, n);
    return fits;
}

/* Offsets are positions in the handle's list of names. */
static void read_names(fuse_req_t req, struct lf_handle *h, size_t size, off_t off, bool plus)
{
    struct page p = {.req = req, .fs = lf_ops_fs(req), .dir = h->node, .plus = plus, .size = size};
    p.data = malloc(size);
    if (!p.data) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    size_t at = off < 0 ? h->text.len : (size_t)off;
    while (at < h->text.len) {
        const char *name = h->text.data + at;
        size_t next = at + strlen(name) + 1;
        if (!page_add(&p, name, (off_t)next))
            break;
        at = next;
    }
    fuse_reply_buf(req, p.data, p.used);
    free(p.data);
}

/* Replies: buf, err. */
static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    (void)ino;
    read_names(req, lf_ops_handle(fi), size, off, false);
}

/* Replies: buf, err. */
static void on_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi)
{
    (void)ino;
    read_names(req, lf_ops_handle(fi), size, off, true);
}

void lf_ops_dirs(struct fuse_lowlevel_ops *ops)
{
    ops->opendir = on_opendir;
    ops->releasedir = on_releasedir;
    ops->readdir = on_readdir;
    ops->readdirplus = on_readdirplus;
}
