/* The smaller and the larger of two, the order of two for qsort and bsearch, and the value of a
 * digit. */
#ifndef LF_CORE_NUM_H
#define LF_CORE_NUM_H

#include <stddef.h>
#include <stdint.h>

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

static inline int lf_order_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static inline int lf_order_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
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
