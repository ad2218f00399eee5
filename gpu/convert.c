/* bf16 and fp16 as bits: conversions to and from fp32 on the host, rounding to nearest even. */
#include "gpu/device.h"

#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

float lf_bf16_to_f32(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

uint16_t lf_f32_to_bf16(float x)
{
    uint32_t u = bits_of(x);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(u >> 16 | 0x40); /* a quiet NaN keeps its sign */
    return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
}

float lf_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t rest = h & 0x7FFFu;
    if (rest >= 0x7C00u) /* infinity, NaN */
        return float_of(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
    if (rest < 0x400u) { /* zero, subnormal: units of 2^-24, exact in fp32 */
        float x = (float)rest * (1.0f / 16777216.0f);
        return float_of(sign | bits_of(x));
    }
    return float_of(sign | ((rest << 13) + ((127u - 15u) << 23)));
}

uint16_t lf_f32_to_f16(float x)
{
    uint32_t u = bits_of(x);
    uint32_t sign = u >> 16 & 0x8000u;
    uint32_t rest = u & 0x7FFFFFFFu;
    if (rest > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u | (rest >> 13 & 0x3FFu));
    if (rest >= 0x477FF000u) /* 65520: rounds past the largest finite, 65504 */
        return (uint16_t)(sign | 0x7C00u);
    if (rest < 0x38800000u) { /* below 2^-14: adding 0.5 rounds to units of 2^-24 */
        uint32_t units = bits_of(float_of(rest) + 0.5f) - bits_of(0.5f);
        return (uint16_t)(sign | units);
    }
    uint32_t odd = rest >> 13 & 1;
    return (uint16_t)(sign | ((rest - ((127u - 15u) << 23) + 0xFFFu + odd) >> 13));
}

/* Of an array that may stand at any address, as in files. */
static uint16_t half_at(const void *src, size_t i)
{
    uint16_t h;
    memcpy(&h, (const char *)src + i * sizeof h, sizeof h);
    return h;
}

void lf_to_f32(float *dst, const void *src, enum lf_dtype t, size_t n)
{
    if (t == LF_F32)
        memcpy(dst, src, n * sizeof *dst);
    else if (t == LF_BF16)
        for (size_t i = 0; i < n; i++)
            dst[i] = lf_bf16_to_f32(half_at(src, i));
    else if (t == LF_F16)
        for (size_t i = 0; i < n; i++)
            dst[i] = lf_f16_to_f32(half_at(src, i));
    else
        lf_assert(!"a floating dtype");
}

void lf_from_f32(void *dst, enum lf_dtype t, const float *src, size_t n)
{
    uint16_t *h = dst;
    if (t == LF_F32)
        memcpy(dst, src, n * sizeof *src);
    else if (t == LF_BF16)
        for (size_t i = 0; i < n; i++)
            h[i] = lf_f32_to_bf16(src[i]);
    else if (t == LF_F16)
        for (size_t i = 0; i < n; i++)
            h[i] = lf_f32_to_f16(src[i]);
    else
        lf_assert(!"a floating dtype");
}
