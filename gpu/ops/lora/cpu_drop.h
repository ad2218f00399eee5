/* LoRA dropout over runs of a row: eight Philox counters at a time. Private to gpu/. */
#ifndef LF_GPU_OPS_LORA_CPU_DROP_H
#define LF_GPU_OPS_LORA_CPU_DROP_H

#include "gpu/cpu/isa.h"
#include "gpu/ops/lora/drop.h"

#define LF_DROP_RUN 32 /* numbers of eight counters */

#ifdef __AVX2__

/* High halves of the eight 32 x 32 bit products. */
LF_INLINE __m256i lf_drop_mulhi(__m256i x, __m256i factor)
{
    __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, factor), 32);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), factor);
    return _mm256_blend_epi32(even, odd, 0xAA);
}

/* Words 4*first .. 4*first + 31 of lf_rng's stream (key, site); the counters' low halves may not
 * wrap among them. */
LF_INLINE void lf_drop_words(uint32_t *out, uint64_t key, uint64_t first, uint64_t site)
{
    const __m256i m0 = _mm256_set1_epi32((int)0xD2511F53u);
    const __m256i m1 = _mm256_set1_epi32((int)0xCD9E8D57u);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    __m256i x0 = _mm256_add_epi32(_mm256_set1_epi32((int)(uint32_t)first),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i x1 = _mm256_set1_epi32((int)(uint32_t)(first >> 32));
    __m256i x2 = _mm256_set1_epi32((int)(uint32_t)site);
    __m256i x3 = _mm256_set1_epi32((int)(uint32_t)(site >> 32));
    for (int i = 0; i < 10; i++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        __m256i y0 = _mm256_xor_si256(_mm256_xor_si256(lf_drop_mulhi(x2, m1), x1),
                                      _mm256_set1_epi32((int)k0));
        __m256i y2 = _mm256_xor_si256(_mm256_xor_si256(lf_drop_mulhi(x0, m0), x3),
                                      _mm256_set1_epi32((int)k1));
        x1 = _mm256_mullo_epi32(x2, m1);
        x3 = _mm256_mullo_epi32(x0, m0);
        x0 = y0;
        x2 = y2;
    }
    __m256i a = _mm256_unpacklo_epi32(x0, x1), b = _mm256_unpackhi_epi32(x0, x1);
    __m256i c = _mm256_unpacklo_epi32(x2, x3), d = _mm256_unpackhi_epi32(x2, x3);
    __m256i r0 = _mm256_unpacklo_epi64(a, c), r1 = _mm256_unpackhi_epi64(a, c);
    __m256i r2 = _mm256_unpacklo_epi64(b, d), r3 = _mm256_unpackhi_epi64(b, d);
    __m256i *to = (__m256i *)out;
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(r0, r1, 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(r2, r3, 0x20));
    _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(r0, r1, 0x31));
    _mm256_storeu_si256(to + 3, _mm256_permute2x128_si256(r2, r3, 0x31));
}

#else

LF_INLINE void lf_drop_words(uint32_t *out, uint64_t key, uint64_t first, uint64_t site)
{
    for (uint64_t i = 0; i < LF_DROP_RUN / 4; i++) {
        struct lf_u32x4 four = lf_rng4(key, first + i, site);
        memcpy(out + 4 * i, four.v, sizeof four.v);
    }
}

#endif

/* y[k - k0] = x[k - k0] * factor(k) for k in [k0, k1) of the token at pos; y may be x. */
LF_INLINE void lf_drop_run(float *y, const float *x, const struct lf_seq *seq, int32_t pos, int K,
                           size_t k0, size_t k1, int site)
{
    uint64_t i = (uint64_t)pos * (uint64_t)K + k0, end = i + (k1 - k0);
    float keep = 1 / (1 - seq->drop_p), p = seq->drop_p;
    while (i < end) {
        uint32_t words[LF_DROP_RUN];
        uint64_t first = i / LF_DROP_RUN * LF_DROP_RUN; /* whole runs: low halves do not wrap */
        uint64_t stop = first + LF_DROP_RUN < end ? first + LF_DROP_RUN : end;
        lf_drop_words(words, seq->drop_key, first / 4, (uint64_t)site);
        const uint32_t *w = words + (i - first);
        size_t n = (size_t)(stop - i);
#pragma omp simd
        for (size_t j = 0; j < n; j++)
            y[j] = (float)(int32_t)(w[j] >> 8) * (1.0f / 16777216.0f) < p ? 0 : x[j] * keep;
        x += n;
        y += n;
        i = stop;
    }
}

#endif
