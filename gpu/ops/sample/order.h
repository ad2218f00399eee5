/* Floats as integers in the same order, so that a threshold can be found by bisection: no sort,
 * no scratch memory, ties stay together. Private to gpu/. */
#ifndef LF_GPU_OPS_SAMPLE_ORDER_H
#define LF_GPU_OPS_SAMPLE_ORDER_H

#include <stdint.h>
#include <string.h>

/* a < b exactly when key(a) < key(b); -0 counts as +0; no NaN. */
static inline uint32_t lf_order_key(float x)
{
    uint32_t u;
    x += 0.0f;
    memcpy(&u, &x, sizeof u);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* The float of a key. */
static inline float lf_order_float(uint32_t key)
{
    float x;
    key = key & 0x80000000u ? key & 0x7FFFFFFFu : ~key;
    memcpy(&x, &key, sizeof x);
    return x;
}

#endif
