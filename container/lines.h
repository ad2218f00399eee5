/* A text of lines, read as a stream from a file that may be packed: one line in memory at a time,
 * bounded. */
#ifndef LF_CONTAINER_LINES_H
#define LF_CONTAINER_LINES_H

#include "container/source.h"
#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_lines {
    struct lf_source source;
    struct lf_buf buf; /* text, of which `used` bytes were handed out */
    size_t used;
    int64_t number; /* of the line handed out last, from 1 */
    bool ended;     /* it had its '\n' */
};

/* Close with lf_lines_close, also after a failure. */
enum lf_err lf_lines_open(struct lf_lines *l, const char *path, struct lf_diag *diag) LF_MUST_CHECK;
/* The next line that is not blank, without its end ('\n' or '\r\n'); *text NULL at the end of the
 * file. NUL-terminated, borrowed until the next call. */
enum lf_err lf_lines_next(struct lf_lines *l, const char **text, size_t *n,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* For formats that are no lines: at least `want` bytes behind what was handed out, fewer at the end
 * of the file. They are at buf.data + used, to be counted there when they are done with. */
enum lf_err lf_lines_need(struct lf_lines *l, size_t want, struct lf_diag *diag) LF_MUST_CHECK;
void lf_lines_close(struct lf_lines *l);

#endif
