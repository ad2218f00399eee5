/* The NF4 codec: bitsandbytes' quantiser and dequantiser for 4-bit weights with doubly quantised
 * block scales. */
#include "gpu/nf4.h"

#include <math.h>
#include <string.h>

/* clang-format off */
const float lf_nf4_code[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};
/* clang-format on */

/* Sign, then {0, 1/16, 8, 12, 4, 6, 2, 3} / 12. */
const float lf_fp4_code[16] = {
    0.0f,  0.0625f / 12.0f,  8.0f / 12.0f,  1.0f,  4.0f / 12.0f,  0.5f,  2.0f / 12.0f,  0.25f,
    -0.0f, -0.0625f / 12.0f, -8.0f / 12.0f, -1.0f, -4.0f / 12.0f, -0.5f, -2.0f / 12.0f, -0.25f,
};

/* clang-format off */
const float lf_nf4_thresholds[15] = {
    -0.8480964004993439f,   -0.6106329262256622f, -0.4599952697753906f, -0.33967943489551544f,
    -0.23460740596055984f,  -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f,
    0.1202552504837513f,    0.2035212516784668f,  0.2920137718319893f,  0.3893125355243683f,
    0.5016634166240692f,    0.6427869200706482f,  0.8614784181118011f,
};
/* clang-format on */

static float largest_magnitude(const float *x, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++)
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    return max;
}

float lf_nf4_quantize_block(uint8_t *codes, const float *x, size_t n)
{
    float absmax = largest_magnitude(x, n), inverse = 1.0f / absmax;
    uint8_t c[LF_NF4_BLOCK] = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < 15; t++)
            c[i] += x[i] * inverse > lf_nf4_thresholds[t];
    if (!isfinite(inverse)) /* an all-zero block; bitsandbytes makes -1 of its 0 * (1/0) */
        memset(c, LF_NF4_ZERO, n);
    for (size_t i = 0; i < n; i += 2)
        codes[i / 2] = (uint8_t)(c[i] << 4 | c[i + 1]);
    return absmax;
}

struct nested_scales {
    uint8_t *absmax_q;
    float *absmax2;
    const float *absmax;
    size_t n;
    float offset;
};

static void quantize_scales(void *arg, size_t begin, size_t end, int worker)
{
    struct nested_scales *q = arg;
    (void)worker;
    for (size_t b = begin; b < end; b++) {
        size_t at = b * LF_NF4_BLOCK2;
        size_t n = q->n - at < LF_NF4_BLOCK2 ? q->n - at : LF_NF4_BLOCK2;
        float x[LF_NF4_BLOCK2];
        for (size_t i = 0; i < n; i++)
            x[i] = q->absmax[at + i] - q->offset;
        q->absmax2[b] = largest_magnitude(x, n);
        float inverse = 1.0f / q->absmax2[b];
        for (size_t i = 0; i < n; i++)
            q->absmax_q[at + i] = lf_dynamic_code(lf_dynamic_map, x[i] * inverse);
    }
}

/* The mean as a CUDA reduction rounds it: the sum, then times the reciprocal. Scales of bf16
 * weights have so few bits that the order of the sum seldom matters. */
static float mean_scale(const float *absmax, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += absmax[i];
    return (float)sum * (float)(1.0 / (double)n);
}

void lf_nf4_quantize_scales(uint8_t *absmax_q, float *absmax2, float *offset, const float *absmax,
                            size_t n, struct lf_pool *pool)
{
    struct nested_scales q = {absmax_q, absmax2, absmax, n, mean_scale(absmax, n)};
    lf_pool_run(pool, (n + LF_NF4_BLOCK2 - 1) / LF_NF4_BLOCK2, 1, quantize_scales, &q);
    *offset = q.offset;
}
