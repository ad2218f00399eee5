/* Bytes with a length, borrowed from whoever holds them; no NUL is promised. */
#ifndef LF_CORE_STR_H
#define LF_CORE_STR_H

#include <stddef.h>

struct lf_str {
    const char *s;
    size_t n;
};

#endif
