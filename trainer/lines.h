/* A file of lines, read as a stream: one line in memory at a time, bounded, hashed on the way.
 * Private to trainer/. */
#ifndef LF_TRAINER_LINES_H
#define LF_TRAINER_LINES_H

#include "core/buf.h"
#include "core/err.h"
#include "core/file.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_lines {
    const char *path; /* borrowed */
    int fd;
    struct lf_buf buf; /* bytes read, of which `used` were handed out */
    size_t used;
    bool at_end;    /* of the file */
    int64_t number; /* of the line handed out last, from 1 */
    bool ended;     /* it had its '\n' */
    uint64_t bytes; /* read so far */
    struct lf_sha256 *hash;
};

/* Close with lf_lines_close, also after a failure. */
enum lf_err lf_lines_open(struct lf_lines *l, const char *path, struct lf_diag *diag) LF_MUST_CHECK;
/* The next line that is not blank, without its end ('\n' or '\r\n') and without a byte order mark;
 * *text NULL at the end of the file. NUL-terminated, borrowed until the next call. */
enum lf_err lf_lines_next(struct lf_lines *l, const char **text, size_t *n,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* At the end of the file: SHA-256 over all its bytes. */
void lf_lines_sha256(struct lf_lines *l, char out[LF_SHA256_HEX]);
void lf_lines_close(struct lf_lines *l);

#endif
