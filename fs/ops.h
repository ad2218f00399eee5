/* The kernel's requests: each callback says what it may reply. By file: */
#ifndef LF_FS_OPS_H
#define LF_FS_OPS_H

#include "fs/handle.h"

#include <limits.h>

void lf_ops_lookup(struct fuse_lowlevel_ops *ops); /* lookup, forget, getattr, readlink, statfs */
void lf_ops_dirs(struct fuse_lowlevel_ops *ops);   /* opendir, readdir, releasedir */
void lf_ops_make(struct fuse_lowlevel_ops *ops);   /* mkdir, mknod, symlink */
void lf_ops_remove(struct fuse_lowlevel_ops *ops); /* rmdir, unlink */
void lf_ops_rename(struct fuse_lowlevel_ops *ops);
void lf_ops_open(struct fuse_lowlevel_ops *ops);  /* open, create, release */
void lf_ops_read(struct fuse_lowlevel_ops *ops);  /* read, poll */
void lf_ops_write(struct fuse_lowlevel_ops *ops); /* write, flush, fsync, setattr */

/* read, write and flush of `ctl` */
void lf_ops_ctl_read(fuse_req_t req, off_t off, size_t size);
void lf_ops_ctl_write(fuse_req_t req, struct lf_handle *h, const char *data, size_t n);
void lf_ops_ctl_flush(fuse_req_t req, struct lf_handle *h);

/* ---- What they share ------------------------------------------------------------------------- */

static inline struct lf_fs *lf_ops_fs(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static inline struct lf_node *lf_ops_node(struct lf_fs *fs, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? fs->nodes.root : (struct lf_node *)(uintptr_t)ino;
}

static inline struct lf_handle *lf_ops_handle(const struct fuse_file_info *fi)
{
    return (struct lf_handle *)(uintptr_t)fi->fh;
}

/* Replies with what there is of `text` at an offset. */
void lf_ops_reply_part(fuse_req_t req, const struct lf_buf *text, off_t off, size_t size);

/* The process (not the thread) that asks; 0: not known, such as from another PID name space. */
pid_t lf_ops_process(fuse_req_t req);

/* Whether the request comes of a system call that makes this name and fails where it is there:
 * mkdir, symlink, open(O_EXCL). False where the kernel does not let us see it
 * (kernel.yama.ptrace_scope).
 */
bool lf_ops_makes(fuse_req_t req, const char *name);
/* A step for a name that cannot be in the directory op.node: the daemon is told, the reply is
 * EINVAL. Outside an adapter EPERM. */
void lf_ops_refuse_name(struct lf_op *op, const char *name);
/* The same of a file that is there, and cannot be opened so. */
void lf_ops_refuse_open(struct lf_op *op);

/* An operation on a node of the kernel's; `size` bytes that begin with an lf_op. NULL: answered. */
void *lf_ops_new(fuse_req_t req, fuse_ino_t ino, size_t size);

/* lf_snapshot_look for the operation's node. */
static inline void lf_ops_look(struct lf_op *op, lf_op_step step)
{
    lf_snapshot_look(&op->fs->snapshot, op, op->node->kind, step);
}

/* An operation on a name in a directory, op.node. */
struct lf_name_op {
    struct lf_op op;
    char name[NAME_MAX + 1];
};
/* `size` bytes that begin with an lf_name_op. NULL: answered (ENAMETOOLONG). */
void *lf_ops_new_name(fuse_req_t req, fuse_ino_t parent, const char *name, size_t size);
/* A step: replies with that name's entry, and counts the lookup; or with rc. */
void lf_ops_reply_entry(struct lf_op *op, enum lf_err rc);

#endif
