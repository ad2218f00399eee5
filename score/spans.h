/* Parts of a text, as the metrics look at them. Private to score/. */
#ifndef LF_SCORE_SPANS_H
#define LF_SCORE_SPANS_H

#include "core/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_span {
    const char *s;
    size_t n;
};

#define LF_SPACE " \t\r\n\f\v"

/* The text without bytes of `set` at both ends. */
struct lf_span lf_span_trim(struct lf_span t, const char *set);
static inline bool lf_is_in(char c, const char *set)
{
    for (; *set; set++)
        if (*set == c)
            return true;
    return false;
}
/* White space as Python has it. */
bool lf_is_space(uint32_t cp);
/* The text without white space at both ends. */
struct lf_span lf_span_whole(const char *text);
/* The whole span is one finite number, without white space. */
bool lf_span_number(struct lf_span t, double *x);
/* Equal in lower case. */
bool lf_span_same(struct lf_span a, struct lf_span b);
/* Appends it in lower case. */
enum lf_err lf_span_lower(struct lf_buf *out, struct lf_span t);
/* The first number as LoRA Land reads one: up to three digits, then thousands of three behind
 * commas, then decimals. n is 0 where there is none. */
struct lf_span lf_first_number(const char *text);

#endif
