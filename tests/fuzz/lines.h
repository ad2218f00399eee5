/* For targets whose input is several texts: lines, and what is left. */
#ifndef LF_TESTS_FUZZ_LINES_H
#define LF_TESTS_FUZZ_LINES_H

#include "core/err.h"

#include <stdint.h>
#include <string.h>

/* The next line of the input as a string. Yours. */
static inline char *take_line(const uint8_t **data, size_t *n)
{
    const uint8_t *end = memchr(*data, '\n', *n);
    size_t len = end ? (size_t)(end - *data) : *n, whole = end ? len + 1 : len;
    char *s = strndup((const char *)*data, len);
    lf_assert(s);
    *data += whole;
    *n -= whole;
    return s;
}

#endif
