/* Files that come in parts, over lines that may be cut: what has come is kept for whoever goes on
 * with it, for ten minutes after the last byte, until it is whole.
 *
 * A file has an owner (a number of the caller's) and an id that its sender chose. One writer at a
 * time has hold of it: who takes hold takes it from the one before, whose connection may be dead
 * without the end that reads it having heard. Bytes are added at the end alone, and summed up as
 * they come. Whole, it is claimed once, with the digest of all that was sent; how that ended is
 * remembered for a sender that was not told. Any thread.
 */
#ifndef LF_CORE_PARTS_H
#define LF_CORE_PARTS_H

#include "core/file.h"
#include "core/limits.h"
#include "core/recent.h"

#include <pthread.h>
#include <sys/queue.h>

struct lf_parted; /* a file on its way */

struct lf_parts {
    pthread_mutex_t lock; /* of the list and of who holds what; taken last */
    LIST_HEAD(, lf_parted) files;
    size_t n;
    struct lf_recent ended;
};

void lf_parts_init(struct lf_parts *p);
/* Nobody has hold of any. */
void lf_parts_deinit(struct lf_parts *p);
/* Those of which nothing has come for ten minutes go. */
void lf_parts_expire(struct lf_parts *p);

/* A hold of one. */
struct lf_part_hold {
    struct lf_parted *file; /* NULL: of none */
    uint64_t turn;
};
/* Takes hold, to add bytes at `at`: at 0 it begins, also anew, in a file in `dir`. LF_E_BUSY: other
 * than so many are there, or it is being claimed; LF_E_NOT_FOUND; LF_E_INVALID: no id;
 * LF_E_OVERLOADED: too many. */
enum lf_err lf_part_take(struct lf_part_hold *out, struct lf_parts *p, uint64_t owner,
                         const char *id, uint64_t at, const char *dir,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_TOO_BIG past LF_DATASET_BYTES_MAX; LF_E_CANCELLED: another has taken it. */
enum lf_err lf_part_write(struct lf_part_hold *h, const void *data, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Lets go; what has come stays. */
void lf_part_leave(struct lf_parts *p, struct lf_part_hold *h);
/* How many bytes are there; who had hold of it has it no more. LF_E_NOT_FOUND. */
enum lf_err lf_parts_bytes(struct lf_parts *p, uint64_t owner, const char *id, uint64_t *bytes,
                           struct lf_diag *diag) LF_MUST_CHECK;

/* One that is whole. */
struct lf_claim {
    int fd; /* and its file: yours */
    char path[LF_PATH_MAX];
    uint64_t bytes;
    char answer[LF_SHA256_HEX]; /* of LF_E_EXISTS */
};
/* LF_E_EXISTS: it was claimed before, and answered so; LF_E_BUSY: it is being claimed, and will be
 * answered; LF_E_DAMAGED: its bytes are not those of the digest, and are gone; LF_E_NOT_FOUND.
 * Every claim that is LF_OK is answered. */
enum lf_err lf_parts_claim(struct lf_claim *out, struct lf_parts *p, uint64_t owner, const char *id,
                           const char *sha256, struct lf_diag *diag) LF_MUST_CHECK;
/* NULL: it was refused, and nothing is remembered. */
void lf_parts_answer(struct lf_parts *p, uint64_t owner, const char *id, const char *answer);

#endif
