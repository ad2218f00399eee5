/* Products of bf16 weights with a few tokens: weights are multiplied while they are decoded. */
#include "gpu/cpu/weights.h"

#ifdef __AVX2__

#define ROWS 4     /* whose sums are in registers together */
#define AHEAD 1024 /* elements asked for early: the hardware stops at the end of a page */
#define NEAR 2     /* into the second cache: the first one holds the tokens */

#ifdef __AVX512F__

#define LANES 16
#define PASS 5 /* tokens whose sums are in registers together */
#define TOGETHER(T) 4

typedef __m512 vec;
#define LOAD(p) _mm512_loadu_ps(p)
#define FMADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define SUM(v) _mm512_reduce_add_ps(v)

LF_INLINE vec bf16_at(const uint16_t *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

#else

#define LANES 8
#define PASS 3
#define TOGETHER(T) ((T) == 1 ? 4 : 2) /* rows that go together then */

typedef __m256 vec;
#define LOAD(p) _mm256_loadu_ps(p)
#define FMADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define SUM(v) lf_v8_sum((lf_v8)(v))

LF_INLINE vec bf16_at(const uint16_t *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

#endif

struct gemv {
    float *y;
    const float *x;
    const struct lf_weight *w;
    size_t ldy, ldx, n; /* n: the first row */
    bool accumulate;
};

/* R rows by T tokens; both are constants at each call. */
LF_INLINE void gemv_rows(const struct gemv *g, const size_t R, const size_t T)
{
    size_t K = (size_t)g->w->K, ahead = R * K > AHEAD ? R * K : AHEAD;
    const uint16_t *w = (const uint16_t *)g->w->data + g->n * K;
    vec sums[ROWS * PASS];
#pragma GCC unroll 32
    for (size_t i = 0; i < R * T; i++)
        sums[i] = (vec){0};
    for (size_t k = 0; k < K; k += LANES)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            if (k % 32 == 0)
                __builtin_prefetch(w + r * K + k + ahead, 0, NEAR);
            vec v = bf16_at(w + r * K + k);
#pragma GCC unroll 8
            for (size_t t = 0; t < T; t++)
                sums[r * T + t] = FMADD(v, LOAD(g->x + t * g->ldx + k), sums[r * T + t]);
        }
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            float *y = &g->y[t * g->ldy + r];
            *y = (g->accumulate ? *y : 0) + SUM(sums[r * T + t]);
        }
}

LF_INLINE void all_rows(struct gemv g, const size_t T, size_t n1)
{
    for (; g.n + TOGETHER(T) <= n1; g.n += TOGETHER(T), g.y += TOGETHER(T))
        gemv_rows(&g, TOGETHER(T), T);
    for (; g.n < n1; g.n++, g.y++)
        gemv_rows(&g, 1, T);
}

/* T <= PASS tokens. */
static void pass(const struct gemv *g, size_t T, size_t n1)
{
    switch (T) {
    case 1:
        return all_rows(*g, 1, n1);
    case 2:
        return all_rows(*g, 2, n1);
#if PASS > 3
    case 4:
        return all_rows(*g, 4, n1);
    case 5:
        return all_rows(*g, 5, n1);
#endif
    default:
        return all_rows(*g, 3, n1);
    }
}

bool lf_weight_gemv(float *y, size_t ldy, const struct lf_weight *w, size_t n0, size_t n1,
                    const float *x, size_t ldx, size_t T, bool accumulate)
{
    if (w->kind != LF_WEIGHT_BF16 || w->K % LANES != 0)
        return false;
    size_t passes = (T + PASS - 1) / PASS;
    for (size_t i = 0, t = 0; i < passes; i++) {
        size_t end = (i + 1) * T / passes;
        struct gemv g = {y + t * ldy, x + t * ldx, w, ldy, ldx, n0, accumulate};
        pass(&g, end - t, n1);
        t = end;
    }
    return true;
}

#else

bool lf_weight_gemv(float *y, size_t ldy, const struct lf_weight *w, size_t n0, size_t n1,
                    const float *x, size_t ldx, size_t T, bool accumulate)
{
    (void)y, (void)ldy, (void)w, (void)n0, (void)n1, (void)x, (void)ldx, (void)T, (void)accumulate;
    return false;
}

#endif
