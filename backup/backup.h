/* Backups of a data directory, also while a daemon runs on it, and back. Files are kept by their
 * digest, so that a backup into the same directory copies what has changed:
 *
 *   DIR/objects/ab/cdef...        the bytes whose SHA-256 is abcdef...
 *   DIR/sets/<time>-<digest>.json a backup: {"format", "files": [{"path", "sha256", "bytes", "ino",
 *                                 "mtime_ns"}]}; the digest is of its own bytes
 *
 * A backup is of one moment: all files get a second name first, then the store is copied, then the
 * files that changed meanwhile get theirs. What is in use is left out: uploads under way, the
 * trash, copies of bases. One thread. */
#ifndef LF_BACKUP_H
#define LF_BACKUP_H

#include "core/err.h"

#include <jansson.h>
#include <stdint.h>

struct lf_backup_counts {
    int64_t files, bytes;               /* of the backup */
    int64_t files_copied, bytes_copied; /* that were not there already */
};

/* DIR is made where it is not there. A backup that fails leaves those before it whole. */
enum lf_err lf_backup(const char *data_dir, const char *dir, struct lf_backup_counts *out,
                      struct lf_diag *diag) LF_MUST_CHECK;
/* Removes what a backup that was cut short left in DATA, unless one is under way. */
enum lf_err lf_backup_clear(const char *data_dir, struct lf_diag *diag) LF_MUST_CHECK;
/* The newest backup of DIR whose list is whole, or `set` (a name of DIR/sets, with or without
 * ".json"). LF_E_NOT_EMPTY where there is something at data_dir; LF_E_DAMAGED where a file is not
 * what its digest says: then nothing is left there. */
enum lf_err lf_restore(const char *dir, const char *set, const char *data_dir,
                       struct lf_backup_counts *out, struct lf_diag *diag) LF_MUST_CHECK;

#define LF_BACKUP_FORMAT 1
#define LF_BACKUP_OBJECTS "objects"
#define LF_BACKUP_SETS "sets"
/* DIR/objects/ab/cdef... */
enum lf_err lf_backup_object(char *out, const char *dir, const char *sha256,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The list of the newest backup, or of `set` (NULL: the newest). *out yours (json_decref); NULL
 * where there is none. Damaged ones are passed over, unless asked for. */
enum lf_err lf_backup_list(json_t **out, const char *dir, const char *set,
                           struct lf_diag *diag) LF_MUST_CHECK;

#endif
