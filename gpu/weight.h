/* Weights as numbers: what element (n, k) of a struct lf_weight is. For the backends, and for
 * model/merged_base.c, which writes them out.
 *
 * The scalar forms here are the definition (the ref backend uses nothing else); lf_weight_rows is
 * the fast form of the same values, to the bit.
 */
#ifndef LF_GPU_WEIGHT_H
#define LF_GPU_WEIGHT_H

#include "gpu/ops.h"

/* Scale of block i of a Q4 weight. Two roundings, as bitsandbytes: no fused multiply-add. */
static inline float lf_q4_scale(const struct lf_weight *w, size_t i)
{
    if (w->absmax)
        return w->absmax[i];
    float product = w->absmax_code[w->absmax_q[i]] * w->absmax2[i / (size_t)w->block2];
    return product + w->offset;
}

/* W[n, k] in fp32. */
static inline float lf_weight_at(const struct lf_weight *w, int n, int k)
{
    size_t e = (size_t)n * (size_t)w->K + (size_t)k;
    if (w->kind == LF_WEIGHT_F32)
        return ((const float *)w->data)[e];
    if (w->kind == LF_WEIGHT_BF16)
        return lf_bf16_to_f32(((const uint16_t *)w->data)[e]);
    uint8_t byte = ((const uint8_t *)w->data)[e / 2];
    int nibble = e % 2 ? byte & 15 : byte >> 4;
    return w->code[nibble] * lf_q4_scale(w, e / (size_t)w->block);
}

#endif
