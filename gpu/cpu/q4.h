/* The parts of a 4-bit weight that its decoding takes apart: scales, and on AVX2 the code table.
 * Private to gpu/. */
#ifndef LF_GPU_CPU_Q4_H
#define LF_GPU_CPU_Q4_H

#include "gpu/cpu/isa.h"
#include "gpu/ops.h"

#define Q4_RUN 32 /* elements decoded together: no block is shorter (bitsandbytes' smallest) */

/* The scales of a Q4 weight: lf_q4_scale with its divisions, by powers of two, as shifts. */
struct scales {
    const float *absmax, *code, *absmax2;
    const uint8_t *q;
    int shift, shift2; /* elements a scale, scales a nested one */
    float offset;
};

LF_INLINE struct scales scales_of(const struct lf_weight *w)
{
    return (struct scales){w->absmax,
                           w->absmax_code,
                           w->absmax2,
                           w->absmax_q,
                           __builtin_ctz((unsigned)w->block),
                           w->absmax ? 0 : __builtin_ctz((unsigned)w->block2),
                           w->offset};
}

/* Whether the weight's rows are whole runs of Q4_RUN elements, none of which has two scales. */
static inline bool lf_q4_fits(const struct lf_weight *w)
{
    return w->kind == LF_WEIGHT_Q4 && w->K % (w->block < 64 ? w->block : 64) == 0;
}

/* The scale of element e. */
LF_INLINE float scale_at(const struct scales *s, size_t e)
{
    size_t i = e >> s->shift;
    return s->absmax ? s->absmax[i]
                     : lf_multiply_add(s->code[s->q[i]], s->absmax2[i >> s->shift2], s->offset);
}

#ifdef __AVX2__

/* The code table taken apart: the first, second, third and fourth bytes of its 16 floats. */
struct decoder {
    __m256i byte[4];
};

LF_INLINE struct decoder decoder_of(const struct lf_weight *w)
{
    const __m128i apart = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m128i four[4]; /* of codes: their first bytes, their second ... */
    for (int i = 0; i < 4; i++)
        four[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(w->code + 4 * i)), apart);
    __m128i a = _mm_unpacklo_epi32(four[0], four[1]), b = _mm_unpacklo_epi32(four[2], four[3]);
    __m128i c = _mm_unpackhi_epi32(four[0], four[1]), d = _mm_unpackhi_epi32(four[2], four[3]);
    return (struct decoder){{_mm256_broadcastsi128_si256(_mm_unpacklo_epi64(a, b)),
                             _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(a, b)),
                             _mm256_broadcastsi128_si256(_mm_unpacklo_epi64(c, d)),
                             _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(c, d))}};
}

/* The floats of 32 codes, one a byte, by looking the bytes of the floats up one by one and putting
 * them together. Halves of a register stay apart: bytes 0-3 and 16-19 come out first. Tried and
 * slower by half: the table in two registers of floats, permuted by 32-bit lanes and blended (two
 * permutations for 8 elements, each of two operations on Zen 3). */
LF_INLINE void decode_nibbles(__m256 out[4], const struct decoder *d, __m256i nibble)
{
    __m256i b0 = _mm256_shuffle_epi8(d->byte[0], nibble);
    __m256i b1 = _mm256_shuffle_epi8(d->byte[1], nibble);
    __m256i b2 = _mm256_shuffle_epi8(d->byte[2], nibble);
    __m256i b3 = _mm256_shuffle_epi8(d->byte[3], nibble);
    __m256i low0 = _mm256_unpacklo_epi8(b0, b1), low1 = _mm256_unpackhi_epi8(b0, b1);
    __m256i high0 = _mm256_unpacklo_epi8(b2, b3), high1 = _mm256_unpackhi_epi8(b2, b3);
    out[0] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low0, high0));
    out[1] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low0, high0));
    out[2] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low1, high1));
    out[3] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low1, high1));
}

/* Q4_RUN elements in their order: a half of a register deals with every other four of them. */
LF_INLINE void decode_run(__m256 out[4], const struct decoder *d, const uint8_t *bytes)
{
    const __m256i twice = _mm256_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13, 2, 2,
                                           3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15);
    __m256i two = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
    two = _mm256_shuffle_epi8(two, twice);
    __m256i nibble =
        _mm256_blendv_epi8(_mm256_srli_epi16(two, 4), two, _mm256_set1_epi16((short)0xff00));
    decode_nibbles(out, d, _mm256_and_si256(nibble, _mm256_set1_epi8(15)));
}

#endif

#endif
