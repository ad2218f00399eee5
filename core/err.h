/* Errors: one type, one polarity.
 *
 * A fallible function returns enum lf_err: LF_OK or a negated errno whose name says what that
 * errno means here. The first caller of the whole system is the kernel (FUSE replies -rc), so
 * no table stands between a room and the file that a person reads.
 *
 * A reason travels beside the code in a struct lf_diag on the caller's stack: written by the
 * deepest function that knows, untouched on success, complete enough to be shown as it is.
 * Libraries never print; the border (main, an HTTP route, a FUSE callback) shows it once.
 */
#ifndef LF_CORE_ERR_H
#define LF_CORE_ERR_H

#include "core/limits.h"

#include <errno.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lf_err {
    LF_OK = 0,
    LF_E_INVALID = -EINVAL,           /* the user's bytes are wrong: JSON, a value, a name */
    LF_E_NOT_FOUND = -ENOENT,         /* no such adapter, file, job, base */
    LF_E_EXISTS = -EEXIST,            /* the name is taken */
    LF_E_NOT_EMPTY = -ENOTEMPTY,      /* a directory that still holds things */
    LF_E_NO_MEMORY = -ENOMEM,         /* host memory */
    LF_E_IO = -EIO,                   /* the disk or the network failed */
    LF_E_NO_SPACE = -ENOSPC,          /* the disk is full */
    LF_E_TOO_BIG = -EFBIG,            /* over a ceiling of core/limits.h */
    LF_E_DAMAGED = -EBADMSG,          /* magic, size or checksum does not hold */
    LF_E_UNSUPPORTED = -ENOTSUP,      /* understood, but not done by this program */
    LF_E_BASE_DIFFERS = -ESTALE,      /* an adapter's shapes do not fit this base */
    LF_E_BUSY = -EBUSY,               /* in use: training runs, the store is open elsewhere */
    LF_E_OVERLOADED = -EAGAIN,        /* a queue is full; try again */
    LF_E_CANCELLED = -ECANCELED,      /* the caller or a ctl line asked for it */
    LF_E_INTERRUPTED = -EINTR,        /* a signal arrived while waiting */
    LF_E_TIMED_OUT = -ETIMEDOUT,      /* a wait had a limit */
    LF_E_DEVICE_FULL = -ENOBUFS,      /* no device memory, adapter slot or KV page left */
    LF_E_DEVICE_LOST = -ENODEV,       /* a sticky device fault: its context is gone */
    LF_E_DENIED = -EACCES,            /* API key or file permission */
    LF_E_READ_ONLY = -EPERM,          /* the file exists and is not for writing */
    LF_E_UNREACHABLE = -ECONNREFUSED, /* the daemon does not answer */
    LF_E_FAILED = -EREMOTEIO,         /* what was waited for did not come about */
    LF_E_NO_PROMPT = -ENODATA,        /* a completion of nothing was asked for */
};

struct lf_diag {
    char text[LF_DIAG_MAX];
};

#define LF_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define LF_MUST_CHECK __attribute__((warn_unused_result))

/* Writes the reason into diag (may be NULL) and returns rc: `return lf_fail(diag, rc, ...)`. What
 * it quotes may hold any bytes: a reason is one line without control characters
 * (lf_utf8_printable). */
enum lf_err lf_fail(struct lf_diag *diag, enum lf_err rc, const char *fmt, ...) LF_PRINTF(3, 4);

/* LF_E_NO_MEMORY: "no memory for ", and for what. */
enum lf_err lf_no_memory(struct lf_diag *diag, const char *fmt, ...) LF_PRINTF(2, 3);

/* As lf_fail, for a failed system call: maps the errno value and appends its text. */
enum lf_err lf_fail_errno(struct lf_diag *diag, int errnum, const char *fmt, ...) LF_PRINTF(3, 4);

/* Puts "prefix: " before the reason that is there already; returns rc. */
enum lf_err lf_fail_within(struct lf_diag *diag, enum lf_err rc, const char *fmt, ...)
    LF_PRINTF(3, 4);

/* A positive errno to the nearest code (LF_E_IO where none is nearer). */
enum lf_err lf_err_from_errno(int errnum);

/* A short lower-case word for machines: "invalid", "not_found"... Static storage. */
const char *lf_err_name(enum lf_err rc);
/* Back from that word; LF_OK for "ok" and for a word that is none of them. */
enum lf_err lf_err_from_name(const char *name);

/* A broken invariant of ours: prints and aborts, also in release builds. Never for bytes that
 * came from a disk, a socket, a device or a user. */
#define lf_assert(cond) ((cond) ? (void)0 : lf_assert_failed(#cond, __FILE__, __LINE__))
void lf_assert_failed(const char *cond, const char *file, int line);

#ifdef __cplusplus
}
#endif
#endif
