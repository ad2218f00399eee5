/* Scales of rows' blocks for products of integers, of many blocks one after the other. Private to
 * gpu/cpu/q4_fast.c.
 *
 * Those of 8 bits are numbers of a table of 256 floats. With AVX-512 the table is kept as halves of
 * 16 bits, 32 a register, where permutations look up 32 blocks at once: a fifth of the instructions
 * that reading one number after the other takes, which was a third of the time of one token's
 * products. */
#ifndef LF_GPU_CPU_Q4_SCALES_H
#define LF_GPU_CPU_Q4_SCALES_H

#include "core/num.h"
#include "gpu/cpu/q4_fast.h"
#include "gpu/cpu/q4_ints.h"

#ifdef __AVX2__

#define RUN_BLOCKS 16 /* whose sums are scaled together */
#define FOUR 4        /* blocks that are added one after the other */
#define CHUNK 32      /* blocks whose scales are looked up together */
#define EARLY 1024    /* blocks whose numbers are asked for early */

/* Where a row is multiplied as it is, the blocks of a run have these places: the first ones of
 * its fours, then the second ones ... */
static inline size_t place_of(size_t b)
{
    return b / RUN_BLOCKS * RUN_BLOCKS + b % FOUR * FOUR + b % RUN_BLOCKS / FOUR;
}

/* What scales come from; they are divided by the step of the codes. */
struct scale_source {
    struct scales s;
    float inverse; /* of the step */
#ifdef __AVX512F__
    ivec half[2][8]; /* the low halves of the table's numbers, and the high ones */
#endif
};

/* Scales of the default kind: of 8 bits, one for each block of the tokens. */
LF_INLINE bool are_usual(const struct scales *s)
{
    return !s->absmax && s->shift == 6;
}

/* The scale of a block: the same number, to the bit, alone and among others. */
LF_INLINE float scale_alone(const struct scale_source *from, size_t block)
{
    const struct scales *s = &from->s;
    if (!are_usual(s))
        return scale_at(s, block * LF_FAST_BLOCK) * from->inverse;
    return lf_multiply_add(s->code[s->q[block]], s->absmax2[block >> s->shift2] * from->inverse,
                           s->offset * from->inverse);
}

#ifdef __AVX512F__

#define ROW_SCALES(blocks) (blocks) /* numbers that a row's blocks take */

static inline void scale_source_init(struct scale_source *from, const struct lf_weight *w,
                                     float step)
{
    from->s = scales_of(w);
    from->inverse = 1 / step;
    if (!are_usual(&from->s))
        return;
    const ivec even =
        _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                         24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    for (size_t h = 0; h < 2; h++)
        for (size_t i = 0; i < 8; i++) {
            const float *code = from->s.code + 32 * i;
            ivec words = _mm512_add_epi16(even, _mm512_set1_epi16((short)h));
            from->half[h][i] = _mm512_permutex2var_epi16(INTS(code), words, INTS(code + 16));
        }
}

/* 32 halves of numbers; bit: where bits 5, 6 and 7 of an index are set. */
LF_INLINE ivec look_up(const ivec half[8], ivec index, const __mmask32 bit[3])
{
    ivec v[8];
#pragma GCC unroll 4
    for (size_t i = 0; i < 8; i += 2)
        v[i] = _mm512_mask_permutexvar_epi16(_mm512_permutexvar_epi16(index, half[i]), bit[0],
                                             index, half[i + 1]);
    return _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(v[0], bit[1], v[2]), bit[2],
                                 _mm512_mask_mov_epi16(v[4], bit[1], v[6]));
}

/* Of n <= CHUNK blocks that have one nested scale; CHUNK numbers are written. */
LF_INLINE void scale_chunk(float *out, const struct scale_source *from, size_t block, size_t n)
{
    const struct scales *s = &from->s;
    const __m256i in_turn = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const vec factor = SET1(s->absmax2[block >> s->shift2] * from->inverse);
    const vec offset = SET1(s->offset * from->inverse);
    __mmask32 bit[3];
    __builtin_prefetch(s->q + block + EARLY, 0, 2);
    __m256i q = _mm256_maskz_loadu_epi8(n < CHUNK ? (1U << n) - 1 : ~0U, s->q + block);
    ivec index = _mm512_cvtepu8_epi16(_mm256_permutevar8x32_epi32(q, in_turn));
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++)
        bit[i] = _mm512_test_epi16_mask(index, _mm512_set1_epi16((short)(32 << i)));
    ivec low = look_up(from->half[0], index, bit), high = look_up(from->half[1], index, bit);
    vec a = _mm512_castsi512_ps(_mm512_unpacklo_epi16(low, high));
    vec b = _mm512_castsi512_ps(_mm512_unpackhi_epi16(low, high));
    STORE(out, FMADD(a, factor, offset));
    STORE(out + LANES, FMADD(b, factor, offset));
}

/* Of n blocks; up to CHUNK - 1 numbers more are written. */
LF_INLINE void fill_scales(float *out, const struct scale_source *from, size_t block, size_t n)
{
    if (!are_usual(&from->s)) {
        for (size_t i = 0; i < n; i++)
            out[i] = scale_alone(from, block + i);
        return;
    }
    for (size_t m; n; n -= m, out += m, block += m) {
        size_t nested = (size_t)1 << from->s.shift2;
        m = lf_min(lf_min(n, CHUNK), nested - (block & (nested - 1)));
        scale_chunk(out, from, block, m);
    }
}

/* Of the n blocks of each of `rows` rows, which are `stride` apart. */
LF_INLINE void fill_rows(float *out, const struct scale_source *from, size_t block, size_t n,
                         size_t rows, size_t stride)
{
    if (n == stride)
        fill_scales(out, from, block, rows * n);
    else
        for (size_t r = 0; r < rows; r++)
            fill_scales(out + r * n, from, block + r * stride, n);
}

/* Scales of a run's n blocks, in their places; others' are 0. */
LF_INLINE void run_scales(vec out[1], const float *row, size_t n)
{
    const ivec places = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __mmask16 there = (__mmask16)(n < RUN_BLOCKS ? (1U << n) - 1 : ~0U);
    out[0] = _mm512_permutexvar_ps(places, _mm512_maskz_loadu_ps(there, row));
}

#else

#define ROW_SCALES(blocks) (((blocks) + RUN_BLOCKS - 1) / RUN_BLOCKS * RUN_BLOCKS)

static inline void scale_source_init(struct scale_source *from, const struct lf_weight *w,
                                     float step)
{
    from->s = scales_of(w);
    from->inverse = 1 / step;
}

LF_INLINE void fill_scales(float *out, const struct scale_source *from, size_t block, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = scale_alone(from, block + i);
}

/* By way of a general register: the vector units have enough to do. */
LF_INLINE void run_codes(float *out, const struct scales *s, size_t block, const size_t n)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &s->code[s->q[block + i]], sizeof bits);
        __asm__("" : "+r"(bits));
        memcpy(&out[place_of(i)], &bits, sizeof bits);
    }
}

LF_INLINE bool has_one_nested(const struct scales *s, size_t block, size_t n)
{
    return are_usual(s) && block >> s->shift2 == (block + n - 1) >> s->shift2;
}

/* Of a row's n blocks, whole runs, in their places: numbers of the table first, as a vector is not
 * to wait for numbers just stored one by one. */
LF_INLINE void fill_row(float *out, const struct scale_source *from, size_t block, size_t n)
{
    const struct scales *s = &from->s;
    for (size_t i = 0; i < n; i += RUN_BLOCKS) {
        size_t m = lf_min(RUN_BLOCKS, n - i);
        if (m < RUN_BLOCKS)
            memset(out + i, 0, RUN_BLOCKS * sizeof *out);
        if (!has_one_nested(s, block + i, m))
            for (size_t b = 0; b < m; b++)
                out[i + place_of(b)] = scale_alone(from, block + i + b);
        else if (m == RUN_BLOCKS) /* unrolled */
            run_codes(out + i, s, block + i, RUN_BLOCKS);
        else
            run_codes(out + i, s, block + i, m);
    }
    for (size_t i = 0; i < n; i += RUN_BLOCKS) {
        size_t m = lf_min(RUN_BLOCKS, n - i);
        if (!has_one_nested(s, block + i, m))
            continue;
        vec factor = SET1(s->absmax2[(block + i) >> s->shift2] * from->inverse);
        vec offset = SET1(s->offset * from->inverse);
        for (size_t b = i; b < i + RUN_BLOCKS; b += LANES)
            STORE(out + b, FMADD(LOAD(out + b), factor, offset));
    }
}

LF_INLINE void fill_rows(float *out, const struct scale_source *from, size_t block, size_t n,
                         size_t rows, size_t stride)
{
    for (size_t r = 0; r < rows; r++)
        fill_row(out + r * ROW_SCALES(n), from, block + r * stride, n);
}

LF_INLINE void run_scales(vec out[2], const float *row, size_t n)
{
    (void)n;
    out[0] = LOAD(row);
    out[1] = LOAD(row + LANES);
}

#endif

#endif

#endif
