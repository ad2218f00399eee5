/* Elementary functions in straight lines, so that a loop over them becomes vector code on every
 * instruction set. Relative errors are against the exact value, measured over all floats of the
 * range. Private to gpu/.
 */
#ifndef LF_GPU_CPU_VMATH_H
#define LF_GPU_CPU_VMATH_H

#include "gpu/cpu/isa.h"

LF_INLINE float lf_float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

LF_INLINE uint32_t lf_bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* e^x, 1.5e-7. 0 below -87.3 (the smallest normal number); x above 88 counts as 88. */
LF_INLINE float lf_exp(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float clamped = x > 88.0f ? 88.0f : x;
    float shifted = clamped * 1.44269504088896341f + magic;
    float n = shifted - magic;
    float r = clamped - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    uint32_t exponent = lf_bits_of(shifted) - lf_bits_of(magic) + 127;
    float y = p * lf_float_of(exponent << 23);
    return x < -87.3f ? 0 : y;
}

/* tanh x, 2e-7. */
LF_INLINE float lf_tanh(float x)
{
    float a = x < 0 ? -x : x, z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = p * z * x + x;
    float large = 1 - 2 / (lf_exp(2 * a) + 1);
    large = x < 0 ? -large : large;
    return a < 0.625f ? small : large;
}

/* (1 + erf(x / sqrt 2)) / 2, the normal distribution's: 1e-6, also where it is small (Press et al.,
 * "Numerical Recipes", erfcc). */
LF_INLINE float lf_normal_cdf(float x)
{
    float z = (x < 0 ? -x : x) * 0.70710678118654752f;
    float t = 1 / (1 + 0.5f * z);
    float p = 0.17087277f;
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    float tail = 0.5f * t * lf_exp(p * t - 1.26551223f - z * z);
    return x < 0 ? tail : 1 - tail;
}

#endif
