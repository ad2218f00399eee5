/* How GGUF stores numbers: a block of each form, widened. The blocks are ggml's (ggml-quants.c). */
#include "tools/gguf/inside.h"

#include "gpu/device.h"

#include <string.h>

static float half(const unsigned char *at)
{
    float x;
    lf_to_f32(&x, at, LF_F16, 1);
    return x;
}

static void widen_f32(float *out, const unsigned char *b)
{
    memcpy(out, b, sizeof *out);
}

static void widen_f16(float *out, const unsigned char *b)
{
    *out = half(b);
}

static void widen_bf16(float *out, const unsigned char *b)
{
    lf_to_f32(out, b, LF_BF16, 1);
}

/* 32: a half, then nibbles around 8; the low ones are the first sixteen. */
static void widen_q4_0(float *out, const unsigned char *b)
{
    float d = half(b);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((b[2 + i] & 15) - 8);
        out[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

/* 32: a half, then signed bytes. */
static void widen_q8_0(float *out, const unsigned char *b)
{
    float d = half(b);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(signed char)b[2 + i];
}

/* Scale and minimum of the j-th of eight: six bits each, the last four's top bits in the first
 * four's bytes. */
static void scale_of_q4_k(int j, const unsigned char *s, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

/* 256: two halves, twelve bytes of scales and minima, then nibbles; of each 32 bytes the low ones
 * come first. */
static void widen_q4_k(float *out, const unsigned char *b)
{
    float d = half(b), d_min = half(b + 2);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        const unsigned char *q = b + 16 + j / 2 * 32;
        scale_of_q4_k(j, b + 4, &scale, &min);
        for (int i = 0; i < 32; i++)
            out[32 * j + i] =
                d * (float)scale * (float)(j % 2 ? q[i] >> 4 : q[i] & 15) - d_min * (float)min;
    }
}

/* 256: low nibbles, pairs of high bits, sixteen signed scales, a half. */
static void widen_q6_k(float *out, const unsigned char *b)
{
    const signed char *scales = (const signed char *)b + 192;
    float d = half(b + 208);
    for (int i = 0; i < 256; i++) {
        int wide = i / 128, k = i % 128, quarter = k / 32, l = k % 32;
        int low = b[64 * wide + 32 * (quarter % 2) + l] >> (quarter / 2 * 4) & 15;
        int high = b[128 + 32 * wide + l] >> (2 * quarter) & 3;
        out[i] = d * (float)scales[i / 16] * (float)((low | high << 4) - 32);
    }
}

const struct lf_gguf_form *lf_gguf_form(uint32_t type)
{
    static const struct lf_gguf_form forms[] = {
        {"F32", 0, 1, 4, widen_f32},        {"F16", 1, 1, 2, widen_f16},
        {"Q4_0", 2, 32, 18, widen_q4_0},    {"Q8_0", 8, 32, 34, widen_q8_0},
        {"Q4_K", 12, 256, 144, widen_q4_k}, {"Q6_K", 14, 256, 210, widen_q6_k},
        {"BF16", 30, 1, 2, widen_bf16},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].type == type)
            return &forms[i];
    return NULL;
}
