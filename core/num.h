/* The smaller and the larger of two. */
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

#endif
