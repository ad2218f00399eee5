/* Runs of 4-bit codes of several rows, transposed while they are codes, eight of which are a word:
 * a word of every row in one register. Private to gpu/. */
#ifndef LF_GPU_CPU_Q4_WORDS_H
#define LF_GPU_CPU_Q4_WORDS_H

#include "gpu/cpu/isa.h"

#ifdef __AVX2__

#define WORDS 4 /* of a run (Q4_RUN) in a row */

#ifdef __AVX512F__

#define WORD_ROWS 16
typedef __m512i words;
#define UNPACK(half, size, a, b) _mm512_unpack##half##_epi##size(a, b)

/* A run of the rows r, r + 4, r + 8 and r + 12. */
LF_INLINE words run_of(const uint8_t *p, size_t stride)
{
    words w = _mm512_zextsi128_si512(_mm_loadu_si128((const __m128i *)p));
    w = _mm512_inserti32x4(w, _mm_loadu_si128((const __m128i *)(p + 4 * stride)), 1);
    w = _mm512_inserti32x4(w, _mm_loadu_si128((const __m128i *)(p + 8 * stride)), 2);
    return _mm512_inserti32x4(w, _mm_loadu_si128((const __m128i *)(p + 12 * stride)), 3);
}

#else

#define WORD_ROWS 8
typedef __m256i words;
#define UNPACK(half, size, a, b) _mm256_unpack##half##_epi##size(a, b)

/* A run of the rows r and r + 4. */
LF_INLINE words run_of(const uint8_t *p, size_t stride)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                   _mm_loadu_si128((const __m128i *)(p + 4 * stride)), 1);
}

#endif

/* Word i of WORD_ROWS rows, `stride` bytes apart, in out[i]. */
LF_INLINE void words_of(words out[WORDS], const uint8_t *p, size_t stride)
{
    words a = run_of(p, stride), b = run_of(p + stride, stride);
    words c = run_of(p + 2 * stride, stride), d = run_of(p + 3 * stride, stride);
    words ab = UNPACK(lo, 32, a, b), cd = UNPACK(lo, 32, c, d);
    out[0] = UNPACK(lo, 64, ab, cd);
    out[1] = UNPACK(hi, 64, ab, cd);
    ab = UNPACK(hi, 32, a, b);
    cd = UNPACK(hi, 32, c, d);
    out[2] = UNPACK(lo, 64, ab, cd);
    out[3] = UNPACK(hi, 64, ab, cd);
}

#endif

#endif
