/* Making a backup: second names for all files, a copy of the store, then bytes by their digests. */
#include "backup/backup.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "meta/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#define SNAPSHOT "snapshot.tmp-XXXXXX" /* below DATA: a hard link stays on its disk */

struct backup {
    const char *data, *dir;
    char snapshot[LF_PATH_MAX];
    json_t *before; /* path -> its entry of the backup before; owned */
    json_t *files;  /* owned */
    struct lf_backup_counts n;
};

/* ---- One moment ------------------------------------------------------------------------------ */

/* What a backup has no use for, at the top of a data directory or below it. */
static bool is_left_out(const char *name, bool top)
{
    static const char *const own[] = {"state", "incoming", "trash", "cache", "reserve", NULL};
    for (size_t i = 0; top && own[i]; i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return strstr(name, ".tmp-") != NULL;
}

/* `from` gets a second name at `to`, in place of an older one. What went meanwhile is passed over.
 */
static enum lf_err link_file(const char *from, const char *to, const struct stat *st,
                             struct lf_diag *diag)
{
    struct stat have;
    if (stat(to, &have) == 0 && have.st_ino == st->st_ino)
        return LF_OK;
    unlink(to);
    if (link(from, to) == 0 || errno == ENOENT)
        return LF_OK;
    return lf_fail_errno(diag, errno, "%s", to);
}

static enum lf_err link_all(const char *from, const char *to, bool top, struct lf_diag *diag)
{
    lf_names_auto names = {0};
    enum lf_err rc = lf_dir_names(&names, from, diag);
    if (rc == LF_OK && mkdir(to, 0700) != 0 && errno != EEXIST)
        rc = lf_fail_errno(diag, errno, "%s", to);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        char a[LF_PATH_MAX], b[LF_PATH_MAX];
        struct stat st;
        rc = lf_path_join(a, from, names.at[i], diag) ?: lf_path_join(b, to, names.at[i], diag);
        if (rc != LF_OK || is_left_out(names.at[i], top) || lstat(a, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            rc = link_all(a, b, false, diag);
        else if (S_ISREG(st.st_mode))
            rc = link_file(a, b, &st, diag);
    }
    return rc;
}

static enum lf_err snapshot_make(struct backup *b, struct lf_diag *diag)
{
    char state[LF_PATH_MAX], copy[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(b->snapshot, b->data, SNAPSHOT, diag);
    if (rc == LF_OK && !mkdtemp(b->snapshot)) {
        rc = lf_fail_errno(diag, errno, "%s", b->snapshot);
        b->snapshot[0] = '\0';
    }
    rc = rc ?: lf_path_join(state, b->data, "state", diag);
    rc = rc ?: lf_path_join(copy, b->snapshot, "state", diag);
    rc = rc ?: link_all(b->data, b->snapshot, true, diag) ?: lf_store_copy(state, copy, diag);
    return rc ?: link_all(b->data, b->snapshot, true, diag);
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static bool has_object(const char *dir, const char *sha256, int64_t bytes)
{
    char path[LF_PATH_MAX];
    return strlen(sha256) == 64 && lf_backup_object(path, dir, sha256, NULL) == LF_OK &&
           lf_file_size(path) == bytes;
}

/* Copies the file, to learn its digest, and keeps the copy where there is none of that digest. */
static enum lf_err object_take(struct backup *b, const char *path, char sha256[LF_SHA256_HEX],
                               int64_t *bytes, struct lf_diag *diag)
{
    char fresh[LF_PATH_MAX], object[LF_PATH_MAX], parent[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(fresh, b->dir, LF_BACKUP_OBJECTS "/new", diag);
    rc = rc ?: lf_file_copy(path, fresh, sha256, diag);
    rc = rc ?: lf_backup_object(object, b->dir, sha256, diag);
    if (rc != LF_OK)
        return rc;
    *bytes = lf_file_size(fresh);
    if (*bytes < 0)
        return lf_fail_errno(diag, errno, "%s", fresh);
    if (lf_file_size(object) == *bytes) {
        unlink(fresh);
        return LF_OK;
    }
    snprintf(parent, sizeof parent, "%s", object);
    *strrchr(parent, '/') = '\0';
    b->n.files_copied++;
    b->n.bytes_copied += *bytes;
    return lf_dir_make(parent, diag) ?: lf_file_move(fresh, object, diag);
}

static bool is_same(const json_t *entry, const struct stat *st, int64_t mtime_ns)
{
    return json_integer_value(json_object_get(entry, "ino")) == (json_int_t)st->st_ino &&
           json_integer_value(json_object_get(entry, "bytes")) == (json_int_t)st->st_size &&
           json_integer_value(json_object_get(entry, "mtime_ns")) == mtime_ns;
}

static enum lf_err file_take(struct backup *b, const char *path, const char *rel,
                             const struct stat *st, struct lf_diag *diag)
{
    char sha256[LF_SHA256_HEX] = "";
    int64_t bytes = (int64_t)st->st_size;
    int64_t mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    const json_t *entry = json_object_get(b->before, rel);
    if (entry && is_same(entry, st, mtime_ns))
        snprintf(sha256, sizeof sha256, "%s", lf_json_text_of(entry, "sha256"));
    if (!has_object(b->dir, sha256, bytes)) {
        enum lf_err rc = object_take(b, path, sha256, &bytes, diag);
        if (rc != LF_OK)
            return rc;
    }
    b->n.files++;
    b->n.bytes += bytes;
    json_t *made = json_pack("{s:s, s:s, s:I, s:I, s:I}", "path", rel, "sha256", sha256, "bytes",
                             (json_int_t)bytes, "ino", (json_int_t)st->st_ino, "mtime_ns",
                             (json_int_t)mtime_ns);
    return json_array_append_new(b->files, made) == 0 ? LF_OK
                                                      : lf_no_memory(diag, "the list of files");
}

/* rel: below DATA; "" for the top. */
static enum lf_err take_all(struct backup *b, const char *rel, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX], inner[LF_PATH_MAX];
    lf_names_auto names = {0};
    enum lf_err rc = lf_path_join(dir, b->snapshot, rel, diag) ?: lf_dir_names(&names, dir, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        struct stat st;
        if (*rel)
            rc = lf_path_join(inner, rel, names.at[i], diag);
        else
            snprintf(inner, sizeof inner, "%s", names.at[i]);
        rc = rc ?: lf_path_join(path, b->snapshot, inner, diag);
        if (rc == LF_OK && lstat(path, &st) != 0)
            rc = lf_fail_errno(diag, errno, "%s", path);
        if (rc == LF_OK)
            rc = S_ISDIR(st.st_mode) ? take_all(b, inner, diag)
                                     : file_take(b, path, inner, &st, diag);
    }
    return rc;
}

/* ---- The list -------------------------------------------------------------------------------- */

static enum lf_err set_write(struct backup *b, struct lf_diag *diag)
{
    char hex[LF_SHA256_HEX], path[LF_PATH_MAX], name[LF_PATH_MAX];
    lf_buf_auto text = {0};
    json_t *set = json_pack("{s:i, s:O}", "format", LF_BACKUP_FORMAT, "files", b->files);
    enum lf_err rc = lf_json_put(&text, set, JSON_INDENT(1));
    if (rc != LF_OK)
        return lf_no_memory(diag, "the list of files");
    lf_sha256_hex(hex, text.data, text.len);
    snprintf(name, sizeof name, LF_BACKUP_SETS "/%013lld-%.16s.json", (long long)lf_clock_unix_ms(),
             hex);
    return lf_path_join(path, b->dir, name, diag) ?: lf_file_write(path, text.data, text.len, diag);
}

static enum lf_err before_read(struct backup *b, struct lf_diag *diag)
{
    size_t i;
    json_t *entry, *list = NULL;
    enum lf_err rc = lf_backup_list(&list, b->dir, NULL, diag);
    b->before = json_object();
    json_array_foreach(json_object_get(list, "files"), i, entry)
        json_object_set(b->before, lf_json_text_of(entry, "path"), entry);
    json_decref(list);
    return rc;
}

/* What a backup that was cut short left in DATA. The lock says that none is under way. */
static enum lf_err clear(const char *data, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_names_auto names = {0};
    enum lf_err rc = lf_dir_names(&names, data, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++)
        if (strncmp(names.at[i], SNAPSHOT, strlen(SNAPSHOT) - 6) == 0)
            rc = lf_path_join(path, data, names.at[i], diag) ?: lf_dir_remove(path, diag);
    return rc;
}

static enum lf_err lock(int *fd, const char *data, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, data, "adapters", diag);
    if (rc != LF_OK)
        return rc;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return lf_fail(diag, LF_E_NOT_FOUND, "%s: no data directory of lorafs", data);
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
        return lf_fail(diag, LF_E_BUSY, "%s: another backup is under way", data);
    return LF_OK;
}

static enum lf_err run(struct backup *b, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, b->dir, LF_BACKUP_OBJECTS, diag) ?: lf_dir_make(path, diag);
    rc = rc ?: lf_path_join(path, b->dir, LF_BACKUP_SETS, diag) ?: lf_dir_make(path, diag);
    rc = rc ?: clear(b->data, diag) ?: before_read(b, diag) ?: snapshot_make(b, diag);
    return rc ?: take_all(b, "", diag) ?: set_write(b, diag);
}

enum lf_err lf_backup(const char *data_dir, const char *dir, struct lf_backup_counts *out,
                      struct lf_diag *diag)
{
    int fd = -1;
    struct backup b = {.data = data_dir, .dir = dir, .files = json_array()};
    enum lf_err rc = lock(&fd, data_dir, diag);
    rc = rc ?: run(&b, diag);
    if (b.snapshot[0] && lf_dir_remove(b.snapshot, NULL) != LF_OK && rc == LF_OK)
        rc = lf_fail(diag, LF_E_IO, "%s is left over", b.snapshot);
    if (fd >= 0)
        close(fd);
    json_decref(b.before);
    json_decref(b.files);
    if (rc == LF_OK)
        *out = b.n;
    return rc;
}

enum lf_err lf_backup_clear(const char *data_dir, struct lf_diag *diag)
{
    int fd = -1;
    enum lf_err rc = lock(&fd, data_dir, diag) ?: clear(data_dir, diag);
    if (fd >= 0)
        close(fd);
    return rc == LF_E_BUSY || rc == LF_E_NOT_FOUND ? LF_OK : rc;
}
