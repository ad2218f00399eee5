/* Weights as numbers: what element (n, k) of a struct lf_weight is. For the backends, and for
 * model/merged_base.c, which writes them out.
 *
 * lf_weight_at is the definition (the ref backend uses nothing else); lf_weight_row, and
 * lf_weight_view of the cpu backend, give the same values, to the bit.
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

/* A block's worth of the elements [e, e + n) of a Q4 weight, or what is left of either: how many.
 */
static inline size_t lf_q4_block(float *out, const struct lf_weight *w, size_t e, size_t n)
{
    const uint8_t *codes = w->data;
    const size_t block = (size_t)w->block, left = block - e % block;
    const float scale = lf_q4_scale(w, e / block);
    float value[16];
    n = n < left ? n : left;
    for (int i = 0; i < 16; i++)
        value[i] = w->code[i] * scale;
    for (size_t i = 0; i < n; i++, e++)
        out[i] = value[e % 2 ? codes[e / 2] & 15 : codes[e / 2] >> 4];
    return n;
}

/* W[n, :] in fp32. */
static inline void lf_weight_row(float *out, const struct lf_weight *w, int n)
{
    const size_t K = (size_t)w->K, e = (size_t)n * K;
    for (size_t k = 0; k < K && w->kind == LF_WEIGHT_Q4;)
        k += lf_q4_block(out + k, w, e + k, K - k);
    for (size_t k = 0; k < K && w->kind != LF_WEIGHT_Q4; k++)
        out[k] = lf_weight_at(w, n, (int)k);
}

#endif
