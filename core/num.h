/* The smaller and the larger of two, and the value of a digit. */
#ifndef LF_CORE_NUM_H
#define LF_CORE_NUM_H

#include <stddef.h>

static inline size_t lf_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t lf_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline int lf_min_int(int a, int b)
{
    return a < b ? a : b;
}

static inline int lf_max_int(int a, int b)
{
    return a > b ? a : b;
}

/* 0 to 15, in either case; -1 for what is no hexadecimal digit. */
static inline int lf_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

#endif
