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

/* Seven decades, i = 0..6: the midpoints of 2^i equal parts of [0.1, 1] times 10^(i-6), both signs;
 * 0; and 1 without its negative. */
/* clang-format off */
const float lf_dynamic_map[256] = {
    -0.99296874f, -0.9789063f, -0.96484375f, -0.9507812f, -0.93671876f, -0.92265624f, -0.9085938f,
    -0.89453125f, -0.8804687f, -0.86640626f, -0.85234374f, -0.8382813f, -0.82421875f, -0.8101562f,
    -0.79609376f, -0.78203124f, -0.7679688f, -0.75390625f, -0.7398437f, -0.72578126f, -0.7117188f,
    -0.6976563f, -0.68359375f, -0.6695312f, -0.65546876f, -0.6414063f, -0.6273438f, -0.61328125f,
    -0.5992187f, -0.58515626f, -0.5710938f, -0.5570313f, -0.54296875f, -0.5289062f, -0.5148437f,
    -0.50078124f, -0.4867187f, -0.47265625f, -0.45859373f, -0.44453126f, -0.43046874f, -0.41640624f,
    -0.40234375f, -0.38828123f, -0.37421876f, -0.36015624f, -0.34609374f, -0.33203125f,
    -0.31796873f, -0.30390626f, -0.28984374f, -0.27578127f, -0.26171875f, -0.24765624f,
    -0.23359375f, -0.21953125f, -0.20546874f, -0.19140625f, -0.17734376f, -0.16328125f,
    -0.14921875f, -0.13515624f, -0.12109375f, -0.107031256f, -0.09859375f, -0.09578126f,
    -0.092968754f, -0.09015625f, -0.08734375f, -0.08453125f, -0.08171876f, -0.07890625f,
    -0.07609375f, -0.07328125f, -0.070468746f, -0.067656256f, -0.06484375f, -0.06203125f,
    -0.059218753f, -0.05640625f, -0.05359375f, -0.05078125f, -0.04796875f, -0.04515625f,
    -0.042343747f, -0.03953125f, -0.036718752f, -0.03390625f, -0.03109375f, -0.028281251f,
    -0.02546875f, -0.02265625f, -0.019843752f, -0.01703125f, -0.01421875f, -0.01140625f,
    -0.00971875f, -0.009156249f, -0.00859375f, -0.00803125f, -0.00746875f, -0.00690625f,
    -0.00634375f, -0.00578125f, -0.0052187503f, -0.0046562497f, -0.00409375f, -0.0035312497f,
    -0.00296875f, -0.00240625f, -0.00184375f, -0.0012812499f, -0.0009437501f, -0.00083125f,
    -0.00071875006f, -0.0006062501f, -0.00049375003f, -0.00038125002f, -0.00026875004f,
    -0.00015625001f, -8.875e-05f, -6.625e-05f, -4.375e-05f, -2.1249998e-05f, -7.75e-06f,
    -3.2500002e-06f, -5.5000004e-07f, 0.0f, 5.5000004e-07f, 3.2500002e-06f, 7.75e-06f,
    2.1249998e-05f, 4.375e-05f, 6.625e-05f, 8.875e-05f, 0.00015625001f, 0.00026875004f,
    0.00038125002f, 0.00049375003f, 0.0006062501f, 0.00071875006f, 0.00083125f, 0.0009437501f,
    0.0012812499f, 0.00184375f, 0.00240625f, 0.00296875f, 0.0035312497f, 0.00409375f, 0.0046562497f,
    0.0052187503f, 0.00578125f, 0.00634375f, 0.00690625f, 0.00746875f, 0.00803125f, 0.00859375f,
    0.009156249f, 0.00971875f, 0.01140625f, 0.01421875f, 0.01703125f, 0.019843752f, 0.02265625f,
    0.02546875f, 0.028281251f, 0.03109375f, 0.03390625f, 0.036718752f, 0.03953125f, 0.042343747f,
    0.04515625f, 0.04796875f, 0.05078125f, 0.05359375f, 0.05640625f, 0.059218753f, 0.06203125f,
    0.06484375f, 0.067656256f, 0.070468746f, 0.07328125f, 0.07609375f, 0.07890625f, 0.08171876f,
    0.08453125f, 0.08734375f, 0.09015625f, 0.092968754f, 0.09578126f, 0.09859375f, 0.107031256f,
    0.12109375f, 0.13515624f, 0.14921875f, 0.16328125f, 0.17734376f, 0.19140625f, 0.20546874f,
    0.21953125f, 0.23359375f, 0.24765624f, 0.26171875f, 0.27578127f, 0.28984374f, 0.30390626f,
    0.31796873f, 0.33203125f, 0.34609374f, 0.36015624f, 0.37421876f, 0.38828123f, 0.40234375f,
    0.41640624f, 0.43046874f, 0.44453126f, 0.45859373f, 0.47265625f, 0.4867187f, 0.50078124f,
    0.5148437f, 0.5289062f, 0.54296875f, 0.5570313f, 0.5710938f, 0.58515626f, 0.5992187f,
    0.61328125f, 0.6273438f, 0.6414063f, 0.65546876f, 0.6695312f, 0.68359375f, 0.6976563f,
    0.7117188f, 0.72578126f, 0.7398437f, 0.75390625f, 0.7679688f, 0.78203124f, 0.79609376f,
    0.8101562f, 0.82421875f, 0.8382813f, 0.85234374f, 0.86640626f, 0.8804687f, 0.89453125f,
    0.9085938f, 0.92265624f, 0.93671876f, 0.9507812f, 0.96484375f, 0.9789063f, 0.99296874f, 1.0f,
};
/* clang-format on */

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

/* The dynamic map's entry nearest to x in [-1, 1]. A midpoint goes to the entry at which the
 * search ends, as it does in bitsandbytes. */
static uint8_t dynamic_code(float x)
{
    int pivot = 127, lower = 0, upper = 255;
    for (int step = 64; step > 0; step >>= 1) {
        if (x > lf_dynamic_map[pivot]) {
            lower = pivot;
            pivot += step;
        } else {
            upper = pivot;
            pivot -= step;
        }
    }
    float value = lf_dynamic_map[pivot];
    if (x > value)
        return (uint8_t)(x > (lf_dynamic_map[upper] + value) * 0.5f ? upper : pivot);
    return (uint8_t)(x < (lf_dynamic_map[lower] + value) * 0.5f ? lower : pivot);
}

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
            q->absmax_q[at + i] = dynamic_code(x[i] * inverse);
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
