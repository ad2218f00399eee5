/* Files as the rooms need them: whole reads, read-only maps, and writes that are there wholly or
 * not at all (write, fsync, rename, fsync of the directory). Any thread. */
#ifndef LF_CORE_FILE_H
#define LF_CORE_FILE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Where nothing is mapped, both are 0; an empty file's data is "". */
struct lf_mapping {
    const void *data;
    size_t bytes;
};

/* Appends the whole file to `out`; LF_E_TOO_BIG past `max` bytes. */
enum lf_err lf_file_read(struct lf_buf *out, const char *path, size_t max,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* The first line of a file, alone in `out` (empty before); an empty one is LF_E_INVALID. */
enum lf_err lf_file_first_line(struct lf_buf *out, const char *path, size_t max,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Maps the file read-only. Unmap with lf_file_unmap. A file truncated under a map faults: map
 * only files that this program or a checkpoint's publisher replaces by rename. */
enum lf_err lf_file_map(struct lf_mapping *out, const char *path,
                        struct lf_diag *diag) LF_MUST_CHECK;
/* The same of an open one; `what` is its name in the reason. fd stays open, and may be closed. */
enum lf_err lf_file_map_fd(struct lf_mapping *out, int fd, const char *what,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* DIR/NAME; LF_OK with nothing mapped where there is no such file. */
enum lf_err lf_file_map_optional(struct lf_mapping *out, const char *dir, const char *name,
                                 struct lf_diag *diag) LF_MUST_CHECK;
void lf_file_unmap(struct lf_mapping *m);
/* A local map that goes where its block ends: `lf_mapping_auto m = {0};` */
#define lf_mapping_auto __attribute__((cleanup(lf_file_unmap))) struct lf_mapping

static inline struct lf_str lf_mapping_text(const struct lf_mapping *m)
{
    return (struct lf_str){m->data ? (const char *)m->data : "", m->bytes};
}

/* Replaces `path` with these bytes, durably and at once (mode 0644). */
enum lf_err lf_file_write(const char *path, const void *data, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* All of n bytes into a file that is open, at an offset; `what` is its name in the reason. */
enum lf_err lf_file_write_at(int fd, const void *data, size_t n, uint64_t offset, const char *what,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The last steps of a replacement written by the caller: fsync fd, rename tmp over path, fsync
 * the directory. fd stays open. */
enum lf_err lf_file_commit(int fd, const char *tmp, const char *path,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* A removal of a file that lasts. */
enum lf_err lf_file_remove(const char *path, struct lf_diag *diag) LF_MUST_CHECK;
/* A rename that lasts. */
enum lf_err lf_file_move(const char *from, const char *to, struct lf_diag *diag) LF_MUST_CHECK;
/* fsync of a directory, so that names made or removed in it last. */
enum lf_err lf_dir_sync(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* mkdir -p, mode 0755; what was made lasts. */
enum lf_err lf_dir_make(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* Likewise, below root, which is not made: LF_E_NOT_FOUND where it has gone away. */
enum lf_err lf_dir_make_below(const char *root, const char *dir,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* rm -r; a path that is not there is LF_OK. Does not follow links. */
enum lf_err lf_dir_remove(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_NO_SPACE where the disk of a directory, or file, has fewer bytes free, which a large file
 * that is about to be written asks for first. */
enum lf_err lf_dir_room(const char *dir, uint64_t bytes, struct lf_diag *diag) LF_MUST_CHECK;
/* A copy, durably and at once. sha256 (LF_SHA256_HEX bytes, or NULL): of the bytes that were
 * copied. Constant memory. */
enum lf_err lf_file_copy(const char *from, const char *to, char *sha256,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* A new file without a name in an open directory, for reading and writing; -1 and errno. */
int lf_file_open_nameless(int dir);
/* Where large files that nobody names go: TMPDIR, else /var/tmp. */
const char *lf_dir_of_temporaries(void);
/* False where it is surely not there: what cannot be looked at may be. */
bool lf_file_exists(const char *path);
/* Bytes, or -1. */
int64_t lf_file_size(const char *path);

/* The names in a directory but for "." and "..", in order: a local list that goes where its block
 * ends. */
struct lf_names {
    char **at; /* (n) owned */
    size_t n, cap;
};
#define lf_names_auto __attribute__((cleanup(lf_names_free))) struct lf_names
/* Into an empty list. What is not there, or no directory, has none. */
enum lf_err lf_dir_names(struct lf_names *out, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
void lf_names_free(struct lf_names *l);

/* DIR/NAME into LF_PATH_MAX bytes; LF_E_INVALID where it does not fit. */
enum lf_err lf_path_join(char *out, const char *dir, const char *name,
                         struct lf_diag *diag) LF_MUST_CHECK;

/* What tells a file from the one that replaces it, by a rename: its inode, the time of its last
 * change and its size, in hex. */
#define LF_FILE_TAG (3 * 17)
void lf_file_tag(char out[LF_FILE_TAG], const struct stat *st);
enum lf_err lf_file_tag_at(char out[LF_FILE_TAG], const char *path,
                           struct lf_diag *diag) LF_MUST_CHECK;

/* SHA-256 in lower-case hex (64 digits and a NUL). */
#define LF_SHA256_HEX 65
void lf_sha256_hex(char out[LF_SHA256_HEX], const void *data, size_t n);
/* The same where memory may be out. */
enum lf_err lf_sha256_of(char out[LF_SHA256_HEX], const void *data, size_t n,
                         struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_sha256_file(char out[LF_SHA256_HEX], const char *path,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* The same piece by piece. begin gives NULL when memory is out; end writes the digits (out may be
 * NULL) and frees. */
struct lf_sha256;
struct lf_sha256 *lf_sha256_begin(void);
void lf_sha256_add(struct lf_sha256 *h, const void *data, size_t n);
void lf_sha256_end(struct lf_sha256 *h, char out[LF_SHA256_HEX]);

/* "x.tmp-Ab12Cd": what is written to take a file's place. */
bool lf_name_is_temporary(const char *name);
/* A name for an adapter or a base: 1 to LF_NAME_MAX of [A-Za-z0-9._-], not starting with '.'. */
bool lf_name_ok(const char *name);

#endif
