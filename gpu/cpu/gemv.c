/* Products with a few tokens: weights are multiplied while they are being decoded. */
#include "gpu/cpu/q4.h"
#include "gpu/cpu/weights.h"

#ifdef __AVX512F__

#define ROWS 4     /* at most, of a pass */
#define PASS 5     /* tokens of a pass: their sums stay in registers */
#define AHEAD 2048 /* bytes that are asked for early: the hardware stops at the end of a page */
#define LANES 16

struct gemv {
    float *y;
    const float *x;
    const struct lf_weight *w;
    size_t ldy, ldx, n; /* n: the first row */
    bool accumulate;
};

/* The numbers of 16 elements in the low 4 bits of 32-bit lanes; what is above them, a permutation
 * does not look at. */
LF_INLINE __m512i codes16(const uint8_t *bytes)
{
    const __m512i shift =
        _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24);
    __m512i eight = _mm512_broadcastd_epi32(_mm_loadu_si32(bytes));
    __m512i both = _mm512_mask_broadcastd_epi32(eight, 0xff00, _mm_loadu_si32(bytes + 4));
    return _mm512_srlv_epi32(both, shift);
}

/* 16 elements of bf16. */
LF_INLINE __m512 bf16_16(const uint16_t *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* `step` elements of every row, whose codes are looked up in a table that is scaled before; bf16
 * has none. */
LF_INLINE void gemv_step(const struct gemv *g, __m512 *sums, size_t k, const __m512 *table,
                         size_t step, const size_t rows, const size_t T, const bool q4)
{
    size_t K = (size_t)g->w->K;
    for (size_t j = 0; j < step; j += LANES) {
        __m512 v[ROWS];
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            size_t e = (g->n + r) * K + k + j;
            if (q4)
                v[r] =
                    _mm512_permutexvar_ps(codes16((const uint8_t *)g->w->data + e / 2), table[r]);
            else
                v[r] = bf16_16((const uint16_t *)g->w->data + e);
        }
#pragma GCC unroll 8
        for (size_t t = 0; t < T; t++) {
            __m512 x = _mm512_loadu_ps(g->x + t * g->ldx + k + j);
#pragma GCC unroll 4
            for (size_t r = 0; r < rows; r++)
                sums[r * T + t] = _mm512_fmadd_ps(v[r], x, sums[r * T + t]);
        }
    }
}

LF_INLINE void gemv_store(const struct gemv *g, const __m512 *sums, const size_t rows,
                          const size_t T)
{
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++)
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            float *y = &g->y[t * g->ldy + r];
            *y = (g->accumulate ? *y : 0) + _mm512_reduce_add_ps(sums[r * T + t]);
        }
}

/* rows x T sums; these and q4 are constants at each call. */
LF_INLINE void gemv_rows(const struct gemv *g, const size_t rows, const size_t T, const bool q4)
{
    size_t K = (size_t)g->w->K, step = !q4 || g->w->block == 32 ? 32 : 64;
    size_t ahead = rows * K > AHEAD ? rows * K : AHEAD; /* elements */
    struct scales s = {0};
    __m512 sums[ROWS * PASS], table[ROWS], code = _mm512_setzero_ps();
    if (q4) {
        s = scales_of(g->w);
        code = _mm512_loadu_ps(g->w->code);
    }
#pragma GCC unroll 32
    for (size_t i = 0; i < rows * T; i++)
        sums[i] = _mm512_setzero_ps();
    for (size_t k = 0; k < K; k += step) {
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            size_t e = (g->n + r) * K + k;
            if (q4)
                table[r] = _mm512_mul_ps(code, _mm512_set1_ps(scale_at(&s, e)));
            __builtin_prefetch((const char *)g->w->data + (q4 ? (e + ahead) / 2 : 2 * (e + ahead)));
        }
        gemv_step(g, sums, k, table, step, rows, T, q4);
    }
    gemv_store(g, sums, rows, T);
}

LF_INLINE void all_rows(struct gemv g, const size_t rows, const size_t T, const bool q4, size_t n1)
{
    for (; g.n + rows <= n1; g.n += rows, g.y += rows)
        gemv_rows(&g, rows, T, q4);
    for (; g.n < n1; g.n++, g.y++)
        gemv_rows(&g, 1, T, q4);
}

/* T <= PASS tokens, as many rows together as leave registers for the weights. */
LF_INLINE void pass(const struct gemv *g, size_t T, const bool q4, size_t n1)
{
    switch (T) {
    case 1:
        return all_rows(*g, 4, 1, q4, n1);
    case 2:
        return all_rows(*g, 4, 2, q4, n1);
    case 3:
        return all_rows(*g, 4, 3, q4, n1);
    case 4:
        return all_rows(*g, 4, 4, q4, n1);
    default:
        return all_rows(*g, 4, 5, q4, n1);
    }
}

bool lf_weight_gemv(float *y, size_t ldy, const struct lf_weight *w, size_t n0, size_t n1,
                    const float *x, size_t ldx, size_t T, bool accumulate)
{
    if (w->kind == LF_WEIGHT_F32 || w->K % (w->kind == LF_WEIGHT_BF16 || w->block == 32 ? 32 : 64))
        return false;
    size_t passes = (T + PASS - 1) / PASS;
    for (size_t i = 0, t = 0; i < passes; i++) {
        size_t end = (i + 1) * T / passes;
        struct gemv g = {y + t * ldy, x + t * ldx, w, ldy, ldx, n0, accumulate};
        if (w->kind == LF_WEIGHT_BF16)
            pass(&g, end - t, false, n1);
        else
            pass(&g, end - t, true, n1);
        t = end;
    }
    return true;
}

#elif defined __AVX2__

#define GEMV_ROWS 4
#define FEW 3        /* tokens that go with several rows together */
#define AHEAD 2048   /* bytes that are asked for early: the hardware stops at the end of a page */
#define GEMV_STEP 64 /* elements that one scale covers at least, but for blocks of 32 */

struct gemv {
    float *y;
    const float *x;
    const struct lf_weight *w;
    size_t ldy, ldx, n; /* n: the first row */
    bool accumulate;
};

LF_INLINE void gemv_store(const struct gemv *g, __m256 *sums, const size_t rows, const size_t T)
{
    for (size_t t = 0; t < T; t++)
        for (size_t r = 0; r < rows; r++) {
            float *y = &g->y[t * g->ldy + r];
            *y = (g->accumulate ? *y : 0) + lf_v8_sum((lf_v8)sums[r * T + t]);
        }
}

/* rows x T sums; both are constants at each call, as is step. The scale multiplies the sum of a
 * block, not each of its weights. */
LF_INLINE void q4_rows(const struct gemv *g, const size_t rows, const size_t T, const size_t step)
{
    size_t K = (size_t)g->w->K;
    struct decoder d = decoder_of(g->w);
    struct scales s = scales_of(g->w);
    __m256 sums[GEMV_ROWS * FEW];
    for (size_t i = 0; i < rows * T; i++)
        sums[i] = _mm256_setzero_ps();
    size_t ahead = rows * K / 2 > AHEAD ? rows * K / 2 : AHEAD;
    const uint8_t *codes[GEMV_ROWS];
    for (size_t r = 0; r < rows; r++)
        codes[r] = (const uint8_t *)g->w->data + (g->n + r) * (K / 2);
    for (size_t k = 0; k < K; k += step) {
        __m256 part[GEMV_ROWS * FEW];
        for (size_t i = 0; i < rows * T; i++)
            part[i] = _mm256_setzero_ps();
#pragma GCC unroll 8
        for (size_t j = 0; j < step; j += Q4_RUN)
#pragma GCC unroll 4
            for (size_t r = 0; r < rows; r++) {
                __m256 v[4];
                decode_run(v, d, codes[r] + j / 2);
#pragma GCC unroll 4
                for (size_t i = 0; i < 4; i++)
                    for (size_t t = 0; t < T; t++)
                        part[r * T + t] = _mm256_fmadd_ps(
                            v[i], _mm256_loadu_ps(g->x + t * g->ldx + k + j + 8 * i),
                            part[r * T + t]);
            }
        for (size_t r = 0; r < rows; r++) {
            __m256 scale = _mm256_set1_ps(scale_at(&s, (g->n + r) * K + k));
            for (size_t t = 0; t < T; t++)
                sums[r * T + t] = _mm256_fmadd_ps(part[r * T + t], scale, sums[r * T + t]);
            __builtin_prefetch(codes[r] + ahead);
            codes[r] += step / 2;
        }
    }
    gemv_store(g, sums, rows, T);
}

#define TILE_K 1024 /* depth of a pass over single rows: its tokens stay in the first cache */

/* One row, columns [k0, k1), T tokens; T is a constant at each call. */
LF_INLINE void q4_row(const struct gemv *g, size_t k0, size_t k1, const size_t T)
{
    size_t K = (size_t)g->w->K, step = g->w->block == Q4_RUN || K % 64 ? Q4_RUN : 64;
    const uint8_t *codes = (const uint8_t *)g->w->data + g->n * (K / 2);
    struct decoder d = decoder_of(g->w);
    struct scales s = scales_of(g->w);
    __m256 sums[LF_GEMV_TOKENS], scale = _mm256_setzero_ps();
    for (size_t t = 0; t < T; t++)
        sums[t] = _mm256_setzero_ps();
    for (size_t k = k0; k < k1; k += Q4_RUN) {
        if (k % step == 0)
            scale = _mm256_set1_ps(scale_at(&s, g->n * K + k));
        __m256 v[4];
        decode_run(v, d, codes + k / 2);
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            v[i] = _mm256_mul_ps(v[i], scale);
#pragma GCC unroll 8
            for (size_t t = 0; t < T; t++)
                sums[t] =
                    _mm256_fmadd_ps(v[i], _mm256_loadu_ps(g->x + t * g->ldx + k + 8 * i), sums[t]);
        }
    }
    for (size_t t = 0; t < T; t++) {
        float *y = &g->y[t * g->ldy];
        *y = (g->accumulate || k0 > 0 ? *y : 0) + lf_v8_sum((lf_v8)sums[t]);
    }
}

LF_INLINE void q4_pass(const struct gemv *g, const size_t T, size_t n1)
{
    size_t K = (size_t)g->w->K;
    for (size_t k = 0; k < K; k += TILE_K) {
        struct gemv row = *g;
        for (; row.n < n1; row.n++, row.y++)
            q4_row(&row, k, K - k < TILE_K ? K : k + TILE_K, T);
    }
}

/* More than FEW tokens. */
static void q4_tokens(const struct gemv *g, size_t T, size_t n1)
{
    switch (T) {
    case 4:
        return q4_pass(g, 4, n1);
    case 5:
        return q4_pass(g, 5, n1);
    case 6:
        return q4_pass(g, 6, n1);
    default:
        return q4_pass(g, 7, n1);
    }
}

LF_INLINE void bf16_rows(const struct gemv *g, const size_t rows, const size_t T)
{
    size_t K = (size_t)g->w->K;
    size_t ahead = rows * K > AHEAD / 2 ? rows * K : AHEAD / 2;
    __m256 sums[GEMV_ROWS * FEW];
    for (size_t i = 0; i < rows * T; i++)
        sums[i] = _mm256_setzero_ps();
    for (size_t k = 0; k < K; k += 8)
        for (size_t r = 0; r < rows; r++) {
            const uint16_t *at = (const uint16_t *)g->w->data + (g->n + r) * K + k;
            if (k % 32 == 0)
                __builtin_prefetch(at + ahead);
            __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at));
            __m256 v = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
            for (size_t t = 0; t < T; t++)
                sums[r * T + t] =
                    _mm256_fmadd_ps(v, _mm256_loadu_ps(g->x + t * g->ldx + k), sums[r * T + t]);
        }
    gemv_store(g, sums, rows, T);
}

LF_INLINE void rows_of(const struct gemv *g, const size_t rows, const size_t T)
{
    if (g->w->kind == LF_WEIGHT_BF16)
        bf16_rows(g, rows, T);
    else if (g->w->block == 32)
        q4_rows(g, rows, T, 32);
    else
        q4_rows(g, rows, T, GEMV_STEP);
}

LF_INLINE void all_rows(struct gemv g, const size_t rows, const size_t T, size_t n1)
{
    for (; g.n + rows <= n1; g.n += rows, g.y += rows)
        rows_of(&g, rows, T);
    for (; g.n < n1; g.n++, g.y++)
        rows_of(&g, 1, T);
}

bool lf_weight_gemv(float *y, size_t ldy, const struct lf_weight *w, size_t n0, size_t n1,
                    const float *x, size_t ldx, size_t T, bool accumulate)
{
    struct gemv g = {y, x, w, ldy, ldx, n0, accumulate};
    if (T > FEW) {
        if (w->kind != LF_WEIGHT_Q4 || w->K % Q4_RUN != 0)
            return false;
        q4_tokens(&g, T, n1);
        return true;
    }
    int step = w->kind == LF_WEIGHT_BF16 ? 8 : w->block == 32 ? 32 : GEMV_STEP;
    if (w->kind == LF_WEIGHT_F32 || w->K % step != 0)
        return false;
    if (T == 1)
        all_rows(g, 4, 1, n1);
    else if (T == 2)
        all_rows(g, 2, 2, n1);
    else
        all_rows(g, 2, 3, n1);
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
