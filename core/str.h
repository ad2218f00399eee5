/* Bytes with a length, borrowed from whoever holds them; no NUL is promised. */
#ifndef LF_CORE_STR_H
#define LF_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct lf_str {
    const char *s;
    size_t n;
};

static inline bool lf_str_same(struct lf_str a, struct lf_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

static inline bool lf_str_is(struct lf_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.s, text, s.n) == 0;
}

#endif
