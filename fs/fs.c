/* Questions about nodes: what is this name, what are its attributes. */
#include "fs/draft.h"
#include "fs/removal.h"
#include "fs/state.h"

#include <stdio.h>
#include <string.h>

/* The kernel may believe a name and its attributes for this long, so that `ls -l` asks once. Looked
 * at anew each time are a log, whose size must never be younger in a read than in a later stat
 * (tail would take it for truncated), and a file that is being written, which is the old one again,
 * or none, when it is refused or nothing was written. */
#define FS_ATTR_TIMEOUT_S 0.25
#define FS_BLOCK_BYTES 512
#define FS_IO_BYTES (128 << 10)

struct lf_fs *lf_fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* The kernel tells the thread; its process is in /proc. */
pid_t lf_fs_process(fuse_req_t req)
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

struct lf_node *lf_fs_node(struct lf_fs *fs, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? fs->nodes.root : (struct lf_node *)(uintptr_t)ino;
}

struct lf_handle *lf_fs_handle(const struct fuse_file_info *fi)
{
    return (struct lf_handle *)(uintptr_t)fi->fh;
}

struct lf_view lf_fs_view(const struct lf_fs *fs)
{
    return (struct lf_view){.tree = fs->tree, .jobs = &fs->jobs};
}

void lf_fs_changed(struct lf_fs *fs)
{
    lf_cache_expire(&fs->tree_cache);
    lf_cache_expire(&fs->jobs_cache);
}

void lf_fs_look(struct lf_op *op, struct lf_node *n, lf_op_step step)
{
    switch (n->kind) {
    case LF_KIND_ROOT:
    case LF_KIND_README:
    case LF_KIND_METRICS:
        step(op, LF_OK);
        return;
    case LF_KIND_JOBS:
    case LF_KIND_JOB:
        lf_cache_wait(&op->fs->jobs_cache, op, step);
        return;
    default:
        lf_cache_wait(&op->fs->tree_cache, op, step);
    }
}

/* A node that is there whatever the daemon says: a local file, or one that is being written. */
static bool stands_alone(const struct lf_node *n)
{
    return n->kind == LF_KIND_LOCAL || n->kind == LF_KIND_LOCAL_LINK ||
           (n->kind == LF_KIND_UPLOAD && lf_draft_bytes(n));
}

enum lf_err lf_fs_resolve(struct lf_node **out, struct lf_fs *fs, struct lf_node *dir,
                          const char *name)
{
    struct lf_view v = lf_fs_view(fs);
    struct lf_place parent, place;
    struct lf_facts facts;
    struct lf_node *n = lf_node_find(&fs->nodes, dir, name);
    if (n && stands_alone(n)) {
        *out = n;
        return LF_OK;
    }
    lf_node_place(dir, &parent);
    enum lf_err rc = lf_space_child(&place, &v, &parent, name);
    if (rc == LF_OK && dir->kind != LF_KIND_ROOT)
        rc = lf_space_facts(&facts, &v, &place);
    if (rc == LF_OK && lf_removal_hides(dir, &place))
        rc = LF_E_NOT_FOUND;
    if (rc != LF_OK)
        return rc;
    n = lf_node_get(&fs->nodes, dir, name, place.kind);
    if (!n)
        return LF_E_NO_MEMORY;
    *out = n;
    return LF_OK;
}

static void set_times(struct stat *st, int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    st->st_atim = st->st_mtim = st->st_ctim = t;
}

enum lf_err lf_fs_stat(struct stat *out, double *timeout_s, struct lf_fs *fs, struct lf_node *n)
{
    struct lf_view v = lf_fs_view(fs);
    struct lf_place place;
    struct lf_facts facts = {0};
    struct lf_stage *bytes = lf_draft_bytes(n);
    mode_t mode = lf_kind_mode(n->kind);
    enum lf_err rc = LF_OK;
    lf_node_place(n, &place);
    if (bytes) {
        facts = (struct lf_facts){lf_stage_bytes(bytes), n->draft->mtime_ms};
        if (n->kind == LF_KIND_LOCAL)
            mode = S_IFREG | n->draft->mode;
    } else if (n->kind == LF_KIND_LOCAL_LINK) {
        facts.bytes = strlen(n->target);
    } else {
        rc = lf_space_facts(&facts, &v, &place);
    }
    if (rc != LF_OK && n->linked)
        return rc;
    blkcnt_t blocks = (blkcnt_t)((facts.bytes + FS_BLOCK_BYTES - 1) / FS_BLOCK_BYTES);
    *out = (struct stat){.st_ino = lf_node_ino(n),
                         .st_mode = mode,
                         .st_nlink = !n->linked && n->parent ? 0
                                     : S_ISDIR(mode)         ? 2
                                                             : 1,
                         .st_uid = fs->uid,
                         .st_gid = fs->gid,
                         .st_size = (off_t)facts.bytes,
                         .st_blksize = FS_IO_BYTES,
                         .st_blocks = blocks};
    set_times(out, facts.mtime_ms ? facts.mtime_ms : fs->mounted_ms);
    bool settled = n->kind != LF_KIND_LOG && !(bytes && n->kind == LF_KIND_UPLOAD);
    *timeout_s = settled ? FS_ATTR_TIMEOUT_S : 0;
    return LF_OK;
}

enum lf_err lf_fs_entry(struct fuse_entry_param *out, struct lf_fs *fs, struct lf_node *n)
{
    *out = (struct fuse_entry_param){.ino = (fuse_ino_t)(uintptr_t)n};
    enum lf_err rc = lf_fs_stat(&out->attr, &out->attr_timeout, fs, n);
    out->entry_timeout = out->attr_timeout;
    return rc;
}
