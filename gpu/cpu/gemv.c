/* Products of weights with tokens, multiplied while they are decoded. */
#include "gpu/cpu/gemm.h"
#include "gpu/cpu/q4.h"
#include "gpu/cpu/weights.h"

#include "core/num.h"

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
#define PASS 4
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
    size_t k0, k1;
    bool accumulate;
};

/* R rows by T tokens; both are constants at each call, as is the weight's kind. */

/* Columns [k0, k1), as they lie. */
LF_INLINE void add_dense(vec *sums, const struct gemv *g, size_t k0, size_t k1, const size_t R,
                         const size_t T, const enum lf_weight_kind kind)
{
    size_t K = (size_t)g->w->K, ahead = R * K > AHEAD ? R * K : AHEAD;
    const uint16_t *bf16 = (const uint16_t *)g->w->data + g->n * K;
    const float *f32 = (const float *)g->w->data + g->n * K;
    for (size_t k = k0; k < k1; k += LANES)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            size_t at = r * K + k;
            if (kind == LF_WEIGHT_F32 || k % 32 == 0)
                __builtin_prefetch(kind == LF_WEIGHT_F32 ? (const void *)(f32 + at + ahead)
                                                         : (const void *)(bf16 + at + ahead),
                                   0, NEAR);
            vec v = kind == LF_WEIGHT_F32 ? LOAD(f32 + at) : bf16_at(bf16 + at);
#pragma GCC unroll 8
            for (size_t t = 0; t < T; t++)
                sums[r * T + t] = FMADD(v, LOAD(g->x + t * g->ldx + k), sums[r * T + t]);
        }
}

#ifdef __AVX512F__

/* gpu/cpu/q4_dots.h has a faster form. */
LF_INLINE void add_q4(vec *sums, const struct gemv *g, size_t k0, size_t k1, const size_t R,
                      const size_t T)
{
    (void)sums, (void)g, (void)k0, (void)k1, (void)R, (void)T;
}

static bool fits(const struct lf_weight *w)
{
    return w->kind != LF_WEIGHT_Q4 && w->K % LANES == 0;
}

#else

/* Columns [k0, k1), runs of codes. */
LF_INLINE void add_q4(vec *sums, const struct gemv *g, size_t k0, size_t k1, const size_t R,
                      const size_t T)
{
    const struct decoder d = decoder_of(g->w);
    const struct scales s = scales_of(g->w);
    size_t K = (size_t)g->w->K, ahead = (R * K > 4 * AHEAD ? R * K : 4 * AHEAD) / 2;
    size_t step = lf_min((size_t)g->w->block, 2 * Q4_RUN); /* elements of one scale */
    for (size_t k = k0; k < k1; k += step)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            size_t e = (g->n + r) * K + k;
            const uint8_t *codes = (const uint8_t *)g->w->data + e / 2;
            const __m256 scale = _mm256_set1_ps(scale_at(&s, e));
            __builtin_prefetch(codes + ahead, 0, NEAR);
            for (size_t run = 0; run < step; run += Q4_RUN) {
                const float *x = g->x + k + run;
                __m256 v[4];
                decode_run(v, &d, codes + run / 2);
#pragma GCC unroll 4
                for (size_t i = 0; i < 4; i++) {
                    v[i] = _mm256_mul_ps(v[i], scale);
#pragma GCC unroll 4
                    for (size_t t = 0; t < T; t++)
                        sums[r * T + t] =
                            FMADD(v[i], LOAD(x + t * g->ldx + 8 * i), sums[r * T + t]);
                }
            }
        }
}

static bool fits(const struct lf_weight *w)
{
    return w->kind == LF_WEIGHT_Q4 ? lf_q4_fits(w) : w->kind == LF_WEIGHT_BF16 && w->K % LANES == 0;
}

#endif

LF_INLINE void gemv_rows(const struct gemv *g, const size_t R, const size_t T,
                         const enum lf_weight_kind kind)
{
    bool accumulate = g->accumulate;
    for (size_t k = g->k0; k < g->k1; k += LF_DOTS_DEPTH, accumulate = true) {
        size_t k1 = lf_min(k + LF_DOTS_DEPTH, g->k1);
        vec sums[ROWS * PASS];
#pragma GCC unroll 32
        for (size_t i = 0; i < R * T; i++)
            sums[i] = (vec){0};
        if (kind == LF_WEIGHT_Q4)
            add_q4(sums, g, k, k1, R, T);
        else
            add_dense(sums, g, k, k1, R, T, kind);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; t++)
#pragma GCC unroll 4
            for (size_t r = 0; r < R; r++) {
                float *y = &g->y[t * g->ldy + r];
                *y = (accumulate ? *y : 0) + SUM(sums[r * T + t]);
            }
    }
}

LF_INLINE void all_rows(struct gemv g, const size_t T, size_t n1, const enum lf_weight_kind kind)
{
    for (; g.n + TOGETHER(T) <= n1; g.n += TOGETHER(T), g.y += TOGETHER(T))
        gemv_rows(&g, TOGETHER(T), T, kind);
    for (; g.n < n1; g.n++, g.y++)
        gemv_rows(&g, 1, T, kind);
}

/* T <= PASS tokens. */
LF_INLINE void pass(const struct gemv *g, size_t T, size_t n1, const enum lf_weight_kind kind)
{
    switch (T) {
    case 1:
        return all_rows(*g, 1, n1, kind);
    case 2:
        return all_rows(*g, 2, n1, kind);
    case 3:
        return all_rows(*g, 3, n1, kind);
#if PASS > 4
    case 5:
        return all_rows(*g, 5, n1, kind);
#endif
    default:
        return all_rows(*g, 4, n1, kind);
    }
}

static void pass_any(const struct gemv *g, size_t T, size_t n1)
{
    if (g->w->kind == LF_WEIGHT_BF16)
        pass(g, T, n1, LF_WEIGHT_BF16);
    else if (g->w->kind == LF_WEIGHT_F32)
        pass(g, T, n1, LF_WEIGHT_F32);
    else
        pass(g, T, n1, LF_WEIGHT_Q4);
}

bool lf_weight_gemv(float *y, size_t ldy, const struct lf_weight *w, size_t n0, size_t n1,
                    const float *x, size_t ldx, size_t T, bool accumulate)
{
    if (T > LF_GEMV_TOKENS || !fits(w))
        return false;
    size_t K = (size_t)w->K, passes = (T + PASS - 1) / PASS;
    size_t depth = passes > 1 ? LF_DOTS_DEPTH : K; /* of a pass: tokens stay in the first cache */
    for (size_t k = 0; k < K; k += depth)
        for (size_t i = 0; i < passes; i++) {
            size_t t = i * T / passes, end = (i + 1) * T / passes;
            struct gemv g = {.y = y + t * ldy,
                             .x = x + t * ldx,
                             .w = w,
                             .ldy = ldy,
                             .ldx = ldx,
                             .n = n0,
                             .k0 = k,
                             .k1 = lf_min(k + depth, K),
                             .accumulate = accumulate || k > 0};
            pass_any(&g, end - t, n1);
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
