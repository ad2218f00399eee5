/* Stop strings over text that comes in pieces: what may turn out to be the beginning of one is
 * held back. Knows nothing of tokens. One thread. */
#ifndef LF_TEXT_STOP_H
#define LF_TEXT_STOP_H

#include "core/buf.h"
#include "core/limits.h"

#include <stdbool.h>

struct lf_stop {
    const char *strings[LF_STOPS_MAX]; /* borrowed, none empty */
    int n;
    struct lf_buf held; /* text that is not settled yet */
    int met;            /* index of the string that ended the text, or -1 */
};

/* strings (n): borrowed until lf_stop_free; n <= LF_STOPS_MAX, none empty. */
void lf_stop_init(struct lf_stop *s, const char *const *strings, int n);
void lf_stop_free(struct lf_stop *s);
/* Takes more text and appends to `out` what is settled. Once a string was met (s->met >= 0) the
 * text before its earliest occurrence is out, and nothing more comes. */
enum lf_err lf_stop_push(struct lf_stop *s, struct lf_buf *out, const char *text,
                         size_t n) LF_MUST_CHECK;
/* The text's end: appends what was held back. */
enum lf_err lf_stop_finish(struct lf_stop *s, struct lf_buf *out) LF_MUST_CHECK;

#endif
