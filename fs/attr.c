/* Names and attributes: the snapshot, with what this mount knows better. */
#include "fs/attr.h"

#include "core/clock.h"
#include "fs/draft.h"
#include "fs/removal.h"

#include <string.h>

/* The kernel may believe a name and its attributes for this long, so that `ls -l` asks once. Looked
 * at again each time are a log, whose size must never be younger in a read than in a later stat
 * (tail would take it for truncated), a temporary, whose name may become another file's, and a file
 * that is being written, which is the old one again, or none, when it is refused or nothing was
 * written. */
#define ATTR_TIMEOUT_S 0.25
#define FS_BLOCK_BYTES 512
#define ALIAS_MS 3000 /* whoever has made a directory of versions/current goes on in it */
#define FS_IO_BYTES (128 << 10)

/* A node that is there whatever the daemon says: a local one, or a file that is being written. */
static bool stands_alone(const struct lf_node *n)
{
    return lf_node_is_local(n) || (n->kind == LF_KIND_UPLOAD && lf_draft_bytes(n));
}

enum lf_err lf_attr_resolve(struct lf_node **out, struct lf_fs *fs, struct lf_node *dir,
                            const char *name)
{
    struct lf_view v = lf_snapshot_view(&fs->snapshot);
    struct lf_place parent, place;
    struct lf_facts facts;
    struct lf_node *n = lf_node_find(&fs->nodes, dir, name);
    if (n && (stands_alone(n) || n->alias_until_ns > lf_clock_ns())) {
        *out = n;
        return LF_OK;
    }
    if (dir->alias_until_ns)
        dir->alias_until_ns = lf_clock_ns() + (uint64_t)ALIAS_MS * LF_NS_PER_MS;
    lf_node_place(dir, &parent);
    enum lf_err rc = lf_space_child(&place, &v, &parent, name);
    if (rc == LF_OK && dir->kind != LF_KIND_ROOT)
        rc = lf_space_facts(&facts, &v, &place);
    if (rc == LF_OK && lf_removal_hides(dir, &place))
        rc = LF_E_NOT_FOUND;
    if (rc == LF_E_NOT_FOUND && n && n->made) {
        *out = n;
        return LF_OK;
    }
    if (rc != LF_OK)
        return rc;
    if (n && n->alias_until_ns)
        lf_node_unlink(&fs->nodes, n); /* the link is another node */
    n = lf_node_get(&fs->nodes, dir, name, place.kind);
    if (!n)
        return LF_E_NO_MEMORY;
    *out = n;
    return LF_OK;
}

bool lf_attr_is_unsized(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_place place;
    lf_node_place(n, &place);
    const struct lf_file_row *f = n->kind == LF_KIND_TEXT ? lf_file_find(place.rel) : NULL;
    if (!f || f->disk || f->check != LF_CHECK_NONE || lf_draft_bytes(n) ||
        f == &lf_files[LF_FILE_SETTINGS])
        return false;
    const struct lf_tree_adapter *a = lf_tree_adapter(fs->snapshot.tree, place.owner);
    return !a || !lf_tree_file(a, place.rel);
}

static void set_times(struct stat *st, int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    st->st_atim = st->st_mtim = st->st_ctim = t;
}

enum lf_err lf_attr_stat(struct stat *out, double *timeout_s, struct lf_fs *fs, struct lf_node *n)
{
    struct lf_view v = lf_snapshot_view(&fs->snapshot);
    struct lf_place place;
    struct lf_facts facts = {0};
    struct lf_stage *bytes = lf_draft_bytes(n);
    mode_t mode = lf_kinds[n->kind].mode;
    enum lf_err rc = LF_OK;
    lf_node_place(n, &place);
    if (bytes) {
        facts = (struct lf_facts){lf_stage_bytes(bytes), n->draft->mtime_ms};
        if (n->kind == LF_KIND_LOCAL)
            mode = S_IFREG | n->draft->mode;
    } else if (n->kind == LF_KIND_LOCAL_LINK) {
        facts.bytes = strlen(n->target);
    } else if (n->kind != LF_KIND_LOCAL_DIR) {
        rc = lf_space_facts(&facts, &v, &place);
    }
    if (rc != LF_OK && n->linked && !n->made)
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
    bool settled = n->kind != LF_KIND_LOG && n->kind != LF_KIND_LOCAL &&
                   !(bytes && n->kind == LF_KIND_UPLOAD) && !lf_attr_is_unsized(fs, n);
    *timeout_s = settled ? ATTR_TIMEOUT_S : 0;
    return LF_OK;
}

enum lf_err lf_attr_entry(struct fuse_entry_param *out, struct lf_fs *fs, struct lf_node *n)
{
    *out = (struct fuse_entry_param){.ino = (fuse_ino_t)(uintptr_t)n};
    enum lf_err rc = lf_attr_stat(&out->attr, &out->attr_timeout, fs, n);
    out->entry_timeout = out->attr_timeout;
    return rc;
}
