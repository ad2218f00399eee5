/* What the callbacks share. */
#include "fs/ops.h"

#include "fs/attr.h"
#include "fs/request.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* The kernel tells the thread; its process is in /proc. */
pid_t lf_ops_process(fuse_req_t req)
{
    char path[64], line[128];
    pid_t thread = fuse_req_ctx(req)->pid;
    int process = (int)thread;
    snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
    FILE *f = thread > 0 ? fopen(path, "re") : NULL;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Tgid: %d", &process) == 1)
            break;
    if (f)
        fclose(f);
    return process;
}

/* The system call that a thread waits in: its number and first arguments. False: not to be seen. */
static bool waits_in(pid_t thread, long *call, unsigned long arg[3])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)thread);
    FILE *f = thread > 0 ? fopen(path, "re") : NULL;
    int n = f ? fscanf(f, "%ld %lx %lx %lx", call, &arg[0], &arg[1], &arg[2]) : 0;
    if (f)
        fclose(f);
    return n == 4;
}

/* Which argument is the path of the name that the call makes; -1: it makes none. */
static int made_path(long call, const unsigned long arg[3])
{
    unsigned long exclusive = O_CREAT | O_EXCL;
    if (call == SYS_mkdirat)
        return 1;
    if (call == SYS_symlinkat)
        return 2;
    if (call == SYS_openat)
        return (arg[2] & exclusive) == exclusive ? 1 : -1;
#ifdef SYS_mkdir /* the older calls, which newer architectures do not have */
    if (call == SYS_mkdir)
        return 0;
    if (call == SYS_symlink)
        return 1;
    if (call == SYS_open)
        return (arg[1] & exclusive) == exclusive ? 0 : -1;
#endif
    return -1;
}

/* A LOOKUP does not say what it is for, but its thread waits in the system call. The directories on
 * the way are looked up in it as well: only the path's last part is made. */
bool lf_ops_makes(fuse_req_t req, const char *name)
{
    char path[PATH_MAX + 1] = "";
    long call = -1;
    unsigned long arg[3] = {0};
    pid_t thread = fuse_req_ctx(req)->pid;
    int i = waits_in(thread, &call, arg) ? made_path(call, arg) : -1;
    if (i < 0)
        return false;
    /* Page by page: what follows the string may not be there. */
    for (size_t at = 0; at < PATH_MAX;) {
        size_t left = 4096 - (arg[i] + at) % 4096, n = left < PATH_MAX - at ? left : PATH_MAX - at;
        struct iovec here = {path + at, n}, there = {(void *)(uintptr_t)(arg[i] + at), n};
        if (process_vm_readv(thread, &here, 1, &there, 1, 0) != (ssize_t)n)
            return false;
        if (memchr(path + at, '\0', n))
            break;
        at += n;
    }
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        path[--n] = '\0';
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, name) == 0;
}

static void name_refused(struct lf_op *op, enum lf_err rc)
{
    lf_snapshot_expire(&op->fs->snapshot);
    lf_op_reply(op, rc == LF_E_NOT_FOUND || rc == LF_OK ? LF_E_INVALID : rc);
}

void lf_ops_refuse_name(struct lf_op *op, const char *name)
{
    struct lf_place dir;
    lf_node_place(op->node, &dir);
    if (lf_node_adapter(op->node))
        lf_op_request_stray(op, &dir, name, name_refused);
    else
        lf_op_reply(op, LF_E_READ_ONLY);
}

void lf_ops_refuse_open(struct lf_op *op)
{
    struct lf_place dir;
    lf_node_place(op->node->parent, &dir);
    lf_op_request_stray(op, &dir, op->node->name, name_refused);
}

void *lf_ops_new(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct lf_fs *fs = lf_ops_fs(req);
    return lf_op_new(&fs->waits, req, lf_ops_node(fs, ino), size);
}

void *lf_ops_new_name(fuse_req_t req, fuse_ino_t parent, const char *name, size_t size)
{
    struct lf_name_op *n = lf_ops_new(req, parent, size);
    if (!n || snprintf(n->name, sizeof n->name, "%s", name) <= NAME_MAX)
        return n;
    fuse_reply_err(req, ENAMETOOLONG); /* which is no error of ours */
    lf_op_end(&n->op);
    return NULL;
}

void lf_ops_reply_entry(struct lf_op *op, enum lf_err rc)
{
    struct lf_node *n;
    struct fuse_entry_param e;
    rc = rc ?: lf_attr_resolve(&n, op->fs, op->node, ((struct lf_name_op *)op)->name);
    if (lf_op_failed(op, rc))
        return;
    lf_node_looked_up(n);
    rc = lf_attr_entry(&e, op->fs, n);
    if (rc != LF_OK || fuse_reply_entry(op->req, &e) == -ENOENT)
        lf_node_forget(&op->fs->nodes, n, 1); /* the kernel does not have it */
    if (rc != LF_OK)
        lf_op_reply(op, rc);
    else
        lf_op_end(op);
}

void lf_ops_reply_part(fuse_req_t req, const struct lf_buf *text, off_t off, size_t size)
{
    size_t at = off < 0 || (size_t)off > text->len ? text->len : (size_t)off;
    size_t left = text->len - at;
    fuse_reply_buf(req, text->data ? text->data + at : NULL, left < size ? left : size);
}
