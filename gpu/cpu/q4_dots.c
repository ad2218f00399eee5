/* Rows of 4-bit weights times tokens, in the order in which codes come out of their bytes. */
#include "gpu/cpu/q4_dots.h"

#include "core/num.h"
#include "gpu/cpu/q4.h"

#ifdef __AVX512F__

#define STEPS 8    /* vectors of a group of elements */
#define ROWS 4     /* whose sums are in registers together */
#define AHEAD 4096 /* elements asked for early: the hardware stops at the end of a page */
#define NEAR 2     /* into the second cache: the first one holds the tokens */
#define PIECE 64   /* rows that all passes of tokens take, one after the other */

/* A row group of a call: `n` the first row, `x` the tokens of a pass, `y` where they go. */
struct dot_rows {
    const struct lf_q4_dots *a;
    struct scales scales;
    const float *x;
    float *y;
    size_t n;
};

#define LANES 16
#define PASS 6                         /* tokens whose sums are in registers together */
#define TOGETHER(T) ((T) <= 3 ? 4 : 2) /* rows that go together then */

typedef __m512 vec;

/* 128 elements are 16 words; the step j takes code j of every word. */
static size_t element(size_t step, size_t lane)
{
    return 8 * lane + (step ^ 1);
}

LF_INLINE __m512i codes_at(const uint8_t *p, size_t left)
{
    if (left >= STEPS * LANES)
        return _mm512_loadu_si512(p);
    return _mm512_maskz_loadu_epi32((__mmask16)((1U << left / 8) - 1), p);
}

/* The scales of the group's 16 words. */
LF_INLINE vec scales_at(const struct scales *s, size_t e, size_t left)
{
    const __m512i spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    if (s->shift > 5) {
        vec first = _mm512_set1_ps(scale_at(s, e));
        return _mm512_mask_broadcastss_ps(first, 0xff00,
                                          _mm_set_ss(scale_at(s, left > 64 ? e + 64 : e)));
    }
    float four[4] = {0};
    for (size_t i = 0; i < 4 && 32 * i < left; i++)
        four[i] = scale_at(s, e + 32 * i);
    return _mm512_permutexvar_ps(spread, _mm512_castps128_ps512(_mm_loadu_ps(four)));
}

/* `left` elements, at most a group, of R rows from element e on: their products with T tokens are
 * added to the sums, scaled together. R and T are constants at each call. */
LF_INLINE void add_group(vec *sums, const struct dot_rows *g, const struct scales *s, size_t e,
                         const float *x, size_t left, const size_t R, const size_t T)
{
    const vec table = _mm512_loadu_ps(g->a->w->code);
    size_t K = (size_t)g->a->w->K;
    __m512i codes[ROWS];
    vec part[ROWS * PASS];
#pragma GCC unroll 4
    for (size_t r = 0; r < R; r++) {
        const uint8_t *p = (const uint8_t *)g->a->w->data + (e + r * K) / 2;
        __builtin_prefetch(p + (R * K > AHEAD ? R * K : AHEAD) / 2, 0, NEAR);
        codes[r] = codes_at(p, left);
    }
#pragma GCC unroll 8
    for (size_t j = 0; j < STEPS; j++) {
        vec v[ROWS];
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++)
            v[r] = _mm512_permutexvar_ps(_mm512_srli_epi32(codes[r], (unsigned)(4 * j)), table);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; t++) {
            vec token = _mm512_loadu_ps(x + (j * T + t) * LANES);
#pragma GCC unroll 4
            for (size_t r = 0; r < R; r++)
                part[r * T + t] = j == 0 ? _mm512_mul_ps(v[r], token)
                                         : _mm512_fmadd_ps(v[r], token, part[r * T + t]);
        }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < R; r++) {
        vec scale = scales_at(s, e + r * K, left);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; t++)
            sums[r * T + t] = _mm512_fmadd_ps(part[r * T + t], scale, sums[r * T + t]);
    }
}

LF_INLINE float sum_of(vec v)
{
    return _mm512_reduce_add_ps(v);
}

#define GROUP (STEPS * LANES)

_Static_assert(LF_Q4_DOTS_DEPTH % GROUP == 0, "columns are whole groups");

/* ---- Tokens ---- */

/* Tokens are cut into passes of nearly the same size: where pass i of them starts. */
static size_t passes_of(size_t T)
{
    return (T + PASS - 1) / PASS;
}

static size_t pass_start(size_t T, size_t i)
{
    return i * T / passes_of(T);
}

static size_t padded(size_t depth)
{
    return (depth + GROUP - 1) / GROUP * GROUP;
}

static void pack_group(float *dst, size_t stride, const float *x, size_t left)
{
    float whole[GROUP] = {0};
    if (left < GROUP) {
        memcpy(whole, x, left * sizeof *x);
        x = whole;
    }
#pragma GCC unroll 8
    for (size_t j = 0; j < STEPS; j++)
        for (size_t lane = 0; lane < LANES; lane++)
            dst[j * stride + lane] = x[element(j, lane)];
}

void lf_q4_dots_pack(float *packed, const float *x, size_t ldx, size_t T, size_t k0, size_t k1)
{
    size_t depth = padded(k1 - k0);
    for (size_t i = 0; i < passes_of(T); i++) {
        size_t start = pass_start(T, i), n = pass_start(T, i + 1) - start;
        for (size_t t = 0; t < n; t++)
            for (size_t k = k0; k < k1; k += GROUP)
                pack_group(packed + start * depth + (k - k0) * n + t * LANES, n * LANES,
                           x + (start + t) * ldx + k, k1 - k);
    }
}

/* ---- Products ---- */

/* Scales as bitsandbytes makes them by default, with what is constant then: a fifth of the
 * instructions for one token are about scales. */
static bool are_usual(const struct scales *s)
{
    return !s->absmax && s->shift == 6 && s->shift2 == 8;
}

LF_INLINE struct scales usual_scales(struct scales s)
{
    s.absmax = NULL;
    s.shift = 6;
    s.shift2 = 8;
    return s;
}

LF_INLINE void dots_rows(const struct dot_rows *g, const size_t R, const size_t T, const bool usual)
{
    const struct scales s = usual ? usual_scales(g->scales) : g->scales;
    const struct lf_q4_dots *a = g->a;
    size_t e = g->n * (size_t)a->w->K + a->k0, depth = a->k1 - a->k0;
    const float *x = g->x;
    vec sums[ROWS * PASS];
#pragma GCC unroll 32
    for (size_t i = 0; i < R * T; i++)
        sums[i] = (vec){0};
    size_t k = 0;
    for (; k + GROUP <= depth; k += GROUP, x += GROUP * T)
        add_group(sums, g, &s, e + k, x, GROUP, R, T);
    if (k < depth)
        add_group(sums, g, &s, e + k, x, depth - k, R, T);
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            float *y = &g->y[t * a->ldy + r];
            *y = (a->accumulate ? *y : 0) + sum_of(sums[r * T + t]);
        }
}

LF_INLINE void dots_pass(struct dot_rows g, size_t n1, const size_t T, const bool usual)
{
    for (; g.n + TOGETHER(T) <= n1; g.n += TOGETHER(T), g.y += TOGETHER(T))
        dots_rows(&g, TOGETHER(T), T, usual);
    for (; g.n < n1; g.n++, g.y++)
        dots_rows(&g, 1, T, usual);
}

LF_INLINE void dots_any(const struct dot_rows *g, size_t n1, size_t T, const bool usual)
{
    switch (T) {
    case 1:
        return dots_pass(*g, n1, 1, usual);
    case 2:
        return dots_pass(*g, n1, 2, usual);
    case 3:
        return dots_pass(*g, n1, 3, usual);
#if PASS > 4
    case 5:
        return dots_pass(*g, n1, 5, usual);
    case 6:
        return dots_pass(*g, n1, 6, usual);
#endif
    default:
        return dots_pass(*g, n1, 4, usual);
    }
}

static void dots(const struct dot_rows *g, size_t n1, size_t T)
{
    if (are_usual(&g->scales))
        dots_any(g, n1, T, true);
    else
        dots_any(g, n1, T, false);
}

void lf_q4_dots(const struct lf_q4_dots *a, const float *packed)
{
    size_t passes = passes_of(a->T), depth = padded(a->k1 - a->k0);
    size_t piece = passes > 1 ? PIECE : a->n1 - a->n0;
    struct dot_rows g = {.a = a, .scales = scales_of(a->w)};
    for (g.n = a->n0; g.n < a->n1; g.n += piece)
        for (size_t i = 0; i < passes; i++) {
            size_t start = pass_start(a->T, i);
            g.x = packed + start * depth;
            g.y = a->y + start * a->ldy + (g.n - a->n0);
            dots(&g, lf_min(g.n + piece, a->n1), pass_start(a->T, i + 1) - start);
        }
}

#else

void lf_q4_dots_pack(float *packed, const float *x, size_t ldx, size_t T, size_t k0, size_t k1)
{
    (void)packed, (void)x, (void)ldx, (void)T, (void)k0, (void)k1;
}

void lf_q4_dots(const struct lf_q4_dots *a, const float *packed)
{
    (void)a, (void)packed;
}

#endif
