/* Decoding weights to memory. */
#include "gpu/cpu/q4.h"
#include "gpu/cpu/weights.h"
#include "gpu/weight.h"

static void bf16_row(float *dst, const uint16_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)src[i] << 16;
        memcpy(&dst[i], &bits, sizeof bits);
    }
}

#ifdef __AVX2__

/* Elements [e, e + n) of the flattened matrix; e and n are multiples of Q4_RUN, as blocks are. */
static void q4_run(float *dst, const struct lf_weight *w, size_t e, size_t n)
{
    struct decoder d = decoder_of(w);
    struct scales s = scales_of(w);
    const uint8_t *codes = (const uint8_t *)w->data + e / 2;
    size_t block = (size_t)w->block;
    for (size_t i = 0; i < n;) {
        __m256 scale = _mm256_set1_ps(scale_at(&s, e + i));
        size_t end = i + (block - ((e + i) & (block - 1)));
        for (end = end < n ? end : n; i < end; i += Q4_RUN) {
            __m256 v[4];
            decode_run(v, &d, codes + i / 2);
            for (size_t j = 0; j < 4; j++)
                _mm256_storeu_ps(dst + i + 8 * j, _mm256_mul_ps(v[j], scale));
        }
    }
}

#else

static void q4_run(float *dst, const struct lf_weight *w, size_t e, size_t n)
{
    struct scales s = scales_of(w);
    const uint8_t *codes = (const uint8_t *)w->data + e / 2;
    size_t block = (size_t)w->block;
    for (size_t i = 0; i < n;) {
        float scale = scale_at(&s, e + i);
        size_t end = i + (block - ((e + i) & (block - 1)));
        for (end = end < n ? end : n; i < end; i += 2) {
            dst[i] = w->code[codes[i / 2] >> 4] * scale;
            dst[i + 1] = w->code[codes[i / 2] & 15] * scale;
        }
    }
}

#endif

static void decode_row(float *dst, const struct lf_weight *w, size_t n, size_t k0, size_t k1)
{
    size_t e = n * (size_t)w->K + k0;
    if (w->kind == LF_WEIGHT_BF16)
        bf16_row(dst, (const uint16_t *)w->data + e, k1 - k0);
    else if (e % Q4_RUN == 0 && (k1 - k0) % Q4_RUN == 0)
        q4_run(dst, w, e, k1 - k0);
    else
        for (size_t k = k0; k < k1; k++)
            dst[k - k0] = lf_weight_at(w, (int)n, (int)k);
}

struct lf_weight_rows lf_weight_view(const struct lf_weight *w, size_t n0, size_t n1, size_t k0,
                                     size_t k1, float *buffer)
{
    size_t K = (size_t)w->K;
    if (w->kind == LF_WEIGHT_F32)
        return (struct lf_weight_rows){(const float *)w->data + n0 * K + k0, K};
    for (size_t n = n0; n < n1; n++)
        decode_row(buffer + (n - n0) * (k1 - k0), w, n, k0, k1);
    return (struct lf_weight_rows){buffer, k1 - k0};
}
