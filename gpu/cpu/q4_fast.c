/* Rows of 4-bit weights times tokens, in integers.
 *
 * Few tokens are multiplied while a row's codes come out of their bytes, in the order in which they
 * do; for more, rows become panels of 16-bit integers, each row a lane. */
#include "gpu/cpu/q4_fast.h"

#include "core/num.h"
#include "gpu/cpu/q4.h"
#include "gpu/cpu/q4_words.h"

#include <float.h>
#include <math.h>

#ifdef __AVX2__

#define FEW_DEPTH 16384 /* columns of them at a time */
#define DEPTH 512       /* of more: a panel of 32 KiB, 16 with AVX2 */
#define RUN_BLOCKS 16   /* whose scales are made together */
#define BLOCK LF_FAST_BLOCK
#define RUN (RUN_BLOCKS * BLOCK)
#define ROWS 4     /* whose sums are in registers together */
#define TILE 6     /* tokens of a panel's product whose sums are */
#define AHEAD 4096 /* elements asked for early: the hardware stops at the end of a page */
#define NEAR 2     /* into the second cache: the first one holds the tokens */

/* Integers of codes are at most CODE_MAX, a block's integers of a token sum up to TOKEN_SUM at most
 * (each is rounded by half): no sum of products is over 2^31 - 1. */
#define CODE_MAX 6336
#define TOKEN_MAX 32767
#define TOKEN_SUM 338900
_Static_assert(DEPTH <= RUN, "a panel is no deeper than a run");
_Static_assert((TOKEN_SUM + BLOCK / 2) * (int64_t)CODE_MAX <= INT32_MAX, "sums fit");

#ifdef __AVX512F__

#define LANES 16
#define FEW 6     /* tokens, at most, that are multiplied by rows as they are */
#define AT_ONCE 1 /* registers of numbers that a step leaves */
#define TOGETHER(T) ((T) <= 2 ? 4 : 2) /* rows that go together for few tokens */
typedef __m512 vec;
typedef __m512i ivec;
#define FLOATS(i) _mm512_cvtepi32_ps(i)
#define FMADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define SET1(f) _mm512_set1_ps(f)
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define PAIR(p) _mm512_set1_epi32(p)
#define INTS(p) _mm512_loadu_si512(p)
#ifdef __AVX512VNNI__
#define DOT(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#else
#define DOT(sum, a, b) _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
#endif

#else

#define LANES 8
#define FEW 4
#define AT_ONCE 2
#define TOGETHER(T) ((T) <= 1 ? 4 : (T) == 2 ? 2 : 1)
typedef __m256 vec;
typedef __m256i ivec;
#define FLOATS(i) _mm256_cvtepi32_ps(i)
#define FMADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define SET1(f) _mm256_set1_ps(f)
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define PAIR(p) _mm256_set1_epi32(p)
#define INTS(p) _mm256_loadu_si256((const __m256i *)(p))
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))

#endif

#define PANEL (2 * LANES) /* rows of one */
#define GROUP (8 * LANES) /* elements of a row whose codes fill a register */

/* ---- Codes ---- */

/* A code table in integers; code i is about number[i] / step. */
struct numbers {
    int16_t number[16];
    float step;
};

static float misfit(const float *code, float step)
{
    float sum = 0;
    for (int i = 0; i < 16; i++) {
        float d = code[i] - rintf(code[i] * step) / step;
        sum += d * d;
    }
    return sum;
}

/* NF4's codes are nearest to whole numbers at 6,283 among the steps that leave the tokens enough
 * bits; FP4's are whole at multiples of 192. Other tables take what is better. */
static struct numbers numbers_of(const float *code)
{
    struct numbers n;
    float most = FLT_MIN;
    for (int i = 0; i < 16; i++)
        most = fmaxf(most, fabsf(code[i]));
    n.step = 6283 / most;
    if (misfit(code, CODE_MAX / most) < misfit(code, n.step))
        n.step = CODE_MAX / most;
    for (int i = 0; i < 16; i++)
        n.number[i] = (int16_t)lrintf(code[i] * n.step);
    return n;
}

/* ---- Tokens ---- */

/* Where tokens lie in the scratch: their integers, `depth` a token, then a scale a block. */
struct packed {
    int16_t *numbers;
    float *scales;
    size_t depth;
};

static struct packed packed_in(void *scratch, size_t T, size_t depth)
{
    struct packed p = {.numbers = scratch, .depth = (depth + GROUP - 1) / GROUP * GROUP};
    p.scales = (float *)(p.numbers + T * p.depth);
    return p;
}

/* Which element is the i-th of a group in the order in which codes come out of a row ... */
static size_t element_in_row(size_t i)
{
#ifdef __AVX512F__
    return 4 * (i % 32) + (i / 32 ^ 1);
#else
    size_t step = i / 16, byte = i % 16 / 8 * 16 + step % 2 * 8 + i % 8;
    return 2 * byte + step / 2;
#endif
}

/* ... and in that of a panel, where two that are neighbours make a lane. */
static size_t element_in_panel(size_t i)
{
#ifdef __AVX512F__
    return i / 8 * 8 + i % 2 * 4 + (i % 8 / 2 ^ 1);
#else
    return i / 8 * 8 + i % 4 / 2 * 4 + i % 2 * 2 + i % 8 / 4;
#endif
}

/* A block's numbers, in the order of the elements; their scale. What is not finite gives a scale
 * that is not; what is too small to matter, and whose inverse would not be finite, is 0. */
LF_INLINE float round_block(int16_t *numbers, const float *x)
{
    lf_v8 sum = {0}, most = {0};
    for (size_t i = 0; i < BLOCK; i += 8) {
        lf_v8 v = (lf_v8)_mm256_andnot_ps(_mm256_set1_ps(-0.0F), _mm256_loadu_ps(x + i));
        sum += v;
        most = (lf_v8)_mm256_max_ps((__m256)most, (__m256)v);
    }
    __m128 m =
        _mm_max_ps(_mm256_castps256_ps128((__m256)most), _mm256_extractf128_ps((__m256)most, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    float by_sum = lf_v8_sum(sum) / TOKEN_SUM, by_most = _mm_cvtss_f32(m) / TOKEN_MAX;
    float scale = by_most > by_sum ? by_most : by_sum;
    float inverse = scale < 1e-30F ? 0 : 1 / scale;
    __m256 factor = _mm256_set1_ps(inverse);
    for (size_t i = 0; i < BLOCK; i += 16) {
        __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), factor));
        __m256i ab = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
        _mm256_storeu_si256((__m256i *)(numbers + i), ab);
    }
    return scale;
}

size_t lf_fast_depth(size_t T)
{
    return T <= FEW ? FEW_DEPTH : DEPTH;
}

void lf_fast_pack(void *scratch, const float *x, size_t ldx, size_t T, size_t k0, size_t k1)
{
    struct packed p = packed_in(scratch, T, k1 - k0);
    uint8_t order[GROUP];
    for (size_t i = 0; i < GROUP; i++)
        order[i] = (uint8_t)(T <= FEW ? element_in_row(i) : element_in_panel(i));
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < p.depth; k += GROUP) {
            int16_t plain[GROUP] = {0}, *out = p.numbers + t * p.depth + k;
            float *scales = p.scales + (t * p.depth + k) / BLOCK;
            for (size_t i = 0; i < GROUP; i += BLOCK)
                scales[i / BLOCK] =
                    k0 + k + i < k1 ? round_block(plain + i, x + t * ldx + k0 + k + i) : 0;
            for (size_t i = 0; i < GROUP; i++)
                out[i] = plain[order[i]];
        }
}

/* ---- Scales ---- */

/* Of up to RUN_BLOCKS blocks of a row: block i's scale, divided by the step of the codes, is
 * plain[i] * factor + offset. What is behind the last one is finite. */
struct run_scales {
    float plain[RUN_BLOCKS];
    float factor, offset;
};

/* Of the n blocks from element e on. */
LF_INLINE void fetch_scales(struct run_scales *out, const struct scales *s, size_t e, size_t n,
                            float inverse)
{
    size_t block = e / BLOCK;
    if (!s->absmax && s->shift == 6 && block >> s->shift2 == (block + n - 1) >> s->shift2) {
        out->factor = s->absmax2[block >> s->shift2] * inverse;
        out->offset = s->offset * inverse;
        for (size_t i = 0; i < n; i++) {
            uint32_t bits; /* by way of a general register: the vector units have enough to do */
            memcpy(&bits, &s->code[s->q[block + i]], sizeof bits);
            __asm__("" : "+r"(bits));
            memcpy(&out->plain[i], &bits, sizeof bits);
        }
    } else {
        out->factor = inverse;
        out->offset = 0;
        for (size_t i = 0; i < n; i++)
            out->plain[i] = scale_at(s, e + i * BLOCK);
    }
    for (size_t i = n; i < RUN_BLOCKS; i++)
        out->plain[i] = 0;
}

/* ---- Few tokens ---- */

/* A row group of a call: `n` the first row. */
struct fast_rows {
    const struct lf_q4_dots *a;
    struct packed x;
    struct scales scales;
    const struct numbers *codes;
    float *y;
    size_t n;
};

#ifdef __AVX512F__

struct table {
    __m512i numbers;
};

LF_INLINE struct table table_of(const struct numbers *n)
{
    /* Indices are the low five bits of a word: the fifth belongs to another code. */
    return (struct table){_mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)n->number))};
}

LF_INLINE ivec row_codes(const uint8_t *p, size_t left)
{
    return left >= GROUP ? _mm512_loadu_si512(p)
                         : _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)p));
}

/* The numbers of a step: code `step` of every word. */
LF_INLINE void row_numbers(ivec out[AT_ONCE], const struct table *t, ivec codes, const size_t step)
{
    out[0] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, (unsigned)(4 * step)), t->numbers);
}

/* Of a group's two blocks, i the first one's in a run. */
LF_INLINE vec group_scale(const float *scales, size_t i)
{
    const __m512i two = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return _mm512_permutexvar_ps(_mm512_add_epi32(two, _mm512_set1_epi32((int)i)), LOAD(scales));
}

LF_INLINE float sum_of(vec v)
{
    return _mm512_reduce_add_ps(v);
}

#else

/* The first bytes of the numbers, and their second ones. */
struct table {
    __m256i byte[2];
};

LF_INLINE struct table table_of(const struct numbers *n)
{
    const __m128i apart = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m128i a = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)n->number), apart);
    __m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(n->number + 8)), apart);
    return (struct table){{_mm256_broadcastsi128_si256(_mm_unpacklo_epi64(a, b)),
                           _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(a, b))}};
}

LF_INLINE ivec row_codes(const uint8_t *p, size_t left)
{
    (void)left;
    return _mm256_loadu_si256((const __m256i *)p);
}

/* The numbers of a step: the high codes of the bytes, or the low ones. */
LF_INLINE void row_numbers(ivec out[AT_ONCE], const struct table *t, ivec codes, const size_t step)
{
    ivec nibble =
        _mm256_and_si256(step ? codes : _mm256_srli_epi16(codes, 4), _mm256_set1_epi8(15));
    ivec first = _mm256_shuffle_epi8(t->byte[0], nibble);
    ivec second = _mm256_shuffle_epi8(t->byte[1], nibble);
    out[0] = _mm256_unpacklo_epi8(first, second);
    out[1] = _mm256_unpackhi_epi8(first, second);
}

LF_INLINE vec group_scale(const float *scales, size_t i)
{
    return SET1(scales[i]);
}

LF_INLINE float sum_of(vec v)
{
    return lf_v8_sum((lf_v8)v);
}

#endif

/* `left` elements, at most a run, of R rows from element e on, columns k on of the packed tokens;
 * from: their scales. R and T are constants at each call. */
LF_INLINE void add_run(vec *sums, const struct fast_rows *g, const struct table *table,
                       const struct run_scales *from, size_t e, size_t k, size_t left,
                       const size_t R, const size_t T)
{
    size_t K = (size_t)g->a->w->K, depth = g->x.depth;
    float scales[ROWS * FEW][RUN_BLOCKS];
#pragma GCC unroll 4
    for (size_t r = 0; r < R; r++)
#pragma GCC unroll 2
        for (size_t i = 0; i < RUN_BLOCKS; i += LANES) {
            vec row = FMADD(LOAD(from[r].plain + i), SET1(from[r].factor), SET1(from[r].offset));
#pragma GCC unroll 8
            for (size_t t = 0; t < T; t++)
                STORE(scales[r * T + t] + i,
                      MUL(row, LOAD(g->x.scales + (t * depth + k) / BLOCK + i)));
        }
    for (size_t i = 0; i < left; i += GROUP) {
        const int16_t *x = g->x.numbers + k + i;
        ivec codes[ROWS], part[ROWS * FEW];
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            const uint8_t *p = (const uint8_t *)g->a->w->data + (e + r * K + i) / 2;
            __builtin_prefetch(p + (R * K > AHEAD ? R * K : AHEAD) / 2, 0, NEAR);
            codes[r] = row_codes(p, left - i);
        }
#pragma GCC unroll 16
        for (size_t j = 0; j < R * T; j++)
            part[j] = (ivec){0};
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j += AT_ONCE) /* rows alternate: sums wait for one another */
#pragma GCC unroll 4
            for (size_t r = 0; r < R; r++) {
                ivec v[AT_ONCE];
                row_numbers(v, table, codes[r], j / AT_ONCE);
#pragma GCC unroll 2
                for (size_t h = 0; h < AT_ONCE; h++)
#pragma GCC unroll 8
                    for (size_t t = 0; t < T; t++) {
                        const int16_t *token = x + t * depth + (j + h) * 2 * LANES;
                        part[r * T + t] = DOT(part[r * T + t], v[h], INTS(token));
                    }
            }
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++)
#pragma GCC unroll 8
            for (size_t t = 0; t < T; t++) {
                vec scale = group_scale(scales[r * T + t], i / BLOCK);
                sums[r * T + t] = FMADD(FLOATS(part[r * T + t]), scale, sums[r * T + t]);
            }
    }
}

/* Scales of R rows from element e on. */
LF_INLINE void fetch_rows(struct run_scales *out, const struct fast_rows *g, size_t e, size_t left,
                          const size_t R)
{
#pragma GCC unroll 4
    for (size_t r = 0; r < R; r++)
        fetch_scales(&out[r], &g->scales, e + r * (size_t)g->a->w->K,
                     lf_min(RUN_BLOCKS, left / BLOCK), 1 / g->codes->step);
}

LF_INLINE void dots_rows(const struct fast_rows *g, const size_t R, const size_t T)
{
    const struct lf_q4_dots *a = g->a;
    const struct table table = table_of(g->codes);
    size_t e = g->n * (size_t)a->w->K + a->k0, depth = a->k1 - a->k0;
    vec sums[ROWS * FEW];
    struct run_scales scales[2][ROWS];
#pragma GCC unroll 16
    for (size_t i = 0; i < R * T; i++)
        sums[i] = (vec){0};
    fetch_rows(scales[0], g, e, depth, R);
    for (size_t k = 0; k < depth; k += RUN) {
        /* The next run's scales now: a vector is not to wait for numbers just stored one by one. */
        struct run_scales *now = scales[k / RUN % 2];
        if (k + RUN < depth)
            fetch_rows(scales[(k / RUN + 1) % 2], g, e + k + RUN, depth - k - RUN, R);
        add_run(sums, g, &table, now, e + k, k, lf_min(RUN, depth - k), R, T);
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            float *y = &g->y[t * a->ldy + r];
            *y = (a->accumulate ? *y : 0) + sum_of(sums[r * T + t]);
        }
}

LF_INLINE void dots_of(struct fast_rows g, const size_t T)
{
    for (; g.n + TOGETHER(T) <= g.a->n1; g.n += TOGETHER(T), g.y += TOGETHER(T))
        dots_rows(&g, TOGETHER(T), T);
    for (; g.n < g.a->n1; g.n++, g.y++)
        dots_rows(&g, 1, T);
}

static void few_tokens(const struct fast_rows *g)
{
    switch (g->a->T) {
    case 1:
        return dots_of(*g, 1);
    case 2:
        return dots_of(*g, 2);
    case 3:
        return dots_of(*g, 3);
#if FEW > 4
    case 5:
        return dots_of(*g, 5);
    case 6:
        return dots_of(*g, 6);
#endif
    default:
        return dots_of(*g, 4);
    }
}

/* ---- Many tokens ---- */

/* A panel: the numbers of PANEL rows, a pair of elements of each a lane, and their blocks' scales.
 */
struct panel {
    ivec numbers[DEPTH / 2][2];
    float scales[DEPTH / BLOCK][PANEL];
};

/* The eight elements of a word, of WORD_ROWS rows each: four pairs, PANEL lanes apart. */
LF_INLINE void word_numbers(ivec *out, words w, const struct table *t)
{
#ifndef __AVX512F__
    const __m256i by_pair = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                             0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    w = _mm256_shuffle_epi8(w, by_pair);
#endif
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j += AT_ONCE) {
        ivec v[AT_ONCE];
        row_numbers(v, t, w, j / AT_ONCE);
#pragma GCC unroll 2
        for (size_t h = 0; h < AT_ONCE; h++)
            out[2 * (j + h)] = v[h];
    }
}

/* WORD_ROWS rows, `stride` bytes apart, of n elements: the half of a panel. */
static void half_panel(ivec *out, const uint8_t *codes, size_t stride, size_t n,
                       const struct table *t)
{
    for (size_t k = 0; k < n; k += Q4_RUN, out += Q4_RUN) {
        words run[WORDS];
        words_of(run, codes + k / 2, stride);
#pragma GCC unroll 4
        for (size_t i = 0; i < WORDS; i++)
            word_numbers(out + 8 * i, run[i], t);
    }
}

/* Rows from n on, m <= PANEL of them, of g's columns [k0, k1). */
static void decode_panel(struct panel *p, const struct fast_rows *g, size_t n, size_t m)
{
    const struct lf_q4_dots *a = g->a;
    const struct table table = table_of(g->codes);
    size_t K = (size_t)a->w->K, depth = a->k1 - a->k0, blocks = depth / BLOCK;
    const uint8_t *data = (const uint8_t *)a->w->data;
    for (size_t r = 0; r < m; r++) {
        struct run_scales s;
        fetch_scales(&s, &g->scales, (n + r) * K + a->k0, blocks, 1 / g->codes->step);
        for (size_t b = 0; b < blocks; b++)
            p->scales[b][r] = s.plain[b] * s.factor + s.offset;
    }
    for (size_t half = 0; half < 2 && half * WORD_ROWS < m; half++) {
        size_t row = half * WORD_ROWS, rows = lf_min(WORD_ROWS, m - row);
        const uint8_t *codes = data + ((n + row) * K + a->k0) / 2;
        uint8_t copy[WORD_ROWS][DEPTH / 2];
        if (rows == WORD_ROWS) {
            half_panel(&p->numbers[0][half], codes, K / 2, depth, &table);
            continue;
        }
        for (size_t r = 0; r < WORD_ROWS; r++)
            memcpy(copy[r], codes + lf_min(r, rows - 1) * K / 2, depth / 2);
        half_panel(&p->numbers[0][half], copy[0], sizeof copy[0], depth, &table);
    }
}

/* M tokens from t on times m rows of a panel; M is a constant at each call. */
LF_INLINE void tile_of(const struct fast_rows *g, const struct panel *p, size_t t, size_t m,
                       const size_t M)
{
    const struct lf_q4_dots *a = g->a;
    size_t depth = g->x.depth, blocks = (a->k1 - a->k0) / BLOCK;
    const int16_t *x = g->x.numbers + t * depth;
    const float *scales = g->x.scales + t * depth / BLOCK;
    float out[TILE][PANEL];
    vec sums[TILE][2];
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++)
        sums[i][0] = sums[i][1] = (vec){0};
    for (size_t b = 0; b < blocks; b++) {
        const ivec(*pairs)[2] = &p->numbers[b * BLOCK / 2];
        ivec part[TILE][2];
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++)
            part[i][0] = part[i][1] = (ivec){0};
        for (size_t k = 0; k < BLOCK / 2; k++)
#pragma GCC unroll 8
            for (size_t i = 0; i < M; i++) {
                int32_t pair;
                memcpy(&pair, x + i * depth + b * BLOCK + 2 * k, sizeof pair);
                part[i][0] = DOT(part[i][0], pairs[k][0], PAIR(pair));
                part[i][1] = DOT(part[i][1], pairs[k][1], PAIR(pair));
            }
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++) {
            vec scale = SET1(scales[i * depth / BLOCK + b]);
#pragma GCC unroll 2
            for (size_t h = 0; h < 2; h++)
                sums[i][h] = FMADD(MUL(FLOATS(part[i][h]), LOAD(&p->scales[b][h * LANES])), scale,
                                   sums[i][h]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++)
#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++)
            STORE(&out[i][h * LANES], sums[i][h]);
    for (size_t i = 0; i < M; i++) {
        float *y = g->y + (t + i) * a->ldy;
        if (a->accumulate)
            for (size_t n = 0; n < m; n++)
                y[n] += out[i][n];
        else
            memcpy(y, out[i], m * sizeof *y);
    }
}

static void tile(const struct fast_rows *g, const struct panel *p, size_t t, size_t m, size_t M)
{
    switch (M) {
    case 1:
        return tile_of(g, p, t, m, 1);
    case 2:
        return tile_of(g, p, t, m, 2);
    case 3:
        return tile_of(g, p, t, m, 3);
    case 4:
        return tile_of(g, p, t, m, 4);
    case 5:
        return tile_of(g, p, t, m, 5);
    default:
        return tile_of(g, p, t, m, 6);
    }
}

/* Tiles of tokens are nearly equal: one token alone costs as much as two. */
static void many_tokens(struct fast_rows *g, struct panel *p)
{
    size_t T = g->a->T, tiles = (T + TILE - 1) / TILE;
    for (; g->n < g->a->n1; g->n += PANEL, g->y += PANEL) {
        size_t m = lf_min(PANEL, g->a->n1 - g->n);
        decode_panel(p, g, g->n, m);
        for (size_t i = 0; i < tiles; i++)
            tile(g, p, i * T / tiles, m, (i + 1) * T / tiles - i * T / tiles);
    }
}

void lf_fast_products(const struct lf_q4_dots *a, void *scratch)
{
    struct packed x = packed_in(scratch, a->T, a->k1 - a->k0);
    struct numbers codes = numbers_of(a->w->code);
    struct fast_rows g = {
        .a = a, .x = x, .scales = scales_of(a->w), .codes = &codes, .y = a->y, .n = a->n0};
    char *behind = (char *)scratch + LF_FAST_SCRATCH - sizeof(struct panel);
    if (a->T <= FEW)
        few_tokens(&g);
    else
        many_tokens(&g, (struct panel *)behind);
}

#else

size_t lf_fast_depth(size_t T)
{
    return T;
}

void lf_fast_pack(void *scratch, const float *x, size_t ldx, size_t T, size_t k0, size_t k1)
{
    (void)scratch, (void)x, (void)ldx, (void)T, (void)k0, (void)k1;
}

void lf_fast_products(const struct lf_q4_dots *a, void *scratch)
{
    (void)a, (void)scratch;
}

#endif
