/* Dense products on one thread. */
#include "gpu/cpu/gemm.h"

#include "core/num.h"

#define ROWS 6        /* of C in registers: 6 x 2 vectors of sums, 2 of B, 1 of A */
#define ROW_BLOCK 96  /* rows of A that stay in the second cache while the panels pass */
#define DEPTH 512     /* of K at a time: a panel of 32 KiB */
#define EDGE_DEPTH 64 /* of K at a time, where the last columns of an unpacked B are packed */

struct tile {
    float *C;
    size_t ldc;
    struct lf_mat A;
    const float *B; /* 16 columns, from the right k on */
    size_t ldb, K;
    float alpha;
    bool accumulate;
    bool as_dots; /* in the order of lf_gemm_dots */
};

LF_INLINE void finish(float *c, lf_v8 sum, float alpha, bool accumulate)
{
    lf_v8 before = accumulate ? lf_v8_load(c) : (lf_v8){0};
    lf_v8_store(c, lf_v8_multiply_add(sum, alpha, before));
}

LF_INLINE void finish_one(float *c, float sum, float alpha, bool accumulate)
{
    *c = lf_multiply_add(sum, alpha, accumulate ? *c : 0);
}

/* Sums over every `step`-th k from the first on, of m rows by a panel, one after another. */
LF_INLINE void panel_sums(lf_v8 left[ROWS], lf_v8 right[ROWS], const struct tile *t, size_t first,
                          const size_t step, const size_t m)
{
    ptrdiff_t rs = t->A.rs, cs = t->A.cs;
    const float *a = t->A.p + (ptrdiff_t)first * cs, *b = t->B + first * t->ldb;
    for (size_t i = 0; i < m; i++)
        left[i] = right[i] = (lf_v8){0};
    for (size_t k = first; k < t->K; k += step, a += (ptrdiff_t)step * cs, b += step * t->ldb) {
        lf_v8 b0 = lf_v8_load(b), b1 = lf_v8_load(b + 8);
#pragma GCC unroll 6
        for (size_t i = 0; i < m; i++) {
            float x = a[(ptrdiff_t)i * rs];
            left[i] += b0 * x;
            right[i] += b1 * x;
        }
    }
}

/* The sums of the lanes of lf_gemm_dots, added as lf_v8_sum adds them: part[i] holds 2^i of them.
 */
LF_INLINE void lane_sums(lf_v8 left[ROWS], lf_v8 right[ROWS], const struct tile *t, const size_t m)
{
    static const uint8_t lane[8] = {0, 2, 1, 3, 4, 6, 5, 7};
    lf_v8 part[3][2][ROWS];
    for (size_t n = 0; n < 8; n++) {
        size_t level = 0;
        panel_sums(left, right, t, lane[n], 8, m);
        for (; n >> level & 1; level++)
#pragma GCC unroll 6
            for (size_t i = 0; i < m; i++) {
                left[i] += part[level][0][i];
                right[i] += part[level][1][i];
            }
#pragma GCC unroll 6
        for (size_t i = 0; level < 3 && i < m; i++) {
            part[level][0][i] = left[i];
            part[level][1][i] = right[i];
        }
    }
}

/* m rows, a whole panel; m is a constant at each call. */
LF_INLINE void tile_rows(const struct tile *t, const size_t m)
{
    lf_v8 left[ROWS], right[ROWS];
    if (t->as_dots)
        lane_sums(left, right, t, m);
    else
        panel_sums(left, right, t, 0, 1, m);
#pragma GCC unroll 6
    for (size_t i = 0; i < m; i++) {
        finish(t->C + i * t->ldc, left[i], t->alpha, t->accumulate);
        finish(t->C + i * t->ldc + 8, right[i], t->alpha, t->accumulate);
    }
}

static void tile_any(const struct tile *t, size_t m)
{
    switch (m) {
    case 1:
        tile_rows(t, 1);
        break;
    case 2:
        tile_rows(t, 2);
        break;
    case 3:
        tile_rows(t, 3);
        break;
    case 4:
        tile_rows(t, 4);
        break;
    case 5:
        tile_rows(t, 5);
        break;
    default:
        tile_rows(t, 6);
    }
}

/* The last panel may be narrower: its sums go by way of a buffer. */
static void tile_narrow(const struct tile *t, size_t m, size_t n)
{
    float wide[ROWS * LF_PANEL];
    struct tile all = *t;
    all.C = wide;
    all.ldc = LF_PANEL;
    all.alpha = 1;
    all.accumulate = false;
    tile_any(&all, m);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            finish_one(&t->C[i * t->ldc + j], wide[i * LF_PANEL + j], t->alpha, t->accumulate);
}

/* Rows [i0, i1) of 16 columns, or the n < 16 that are left; t->C and t->A are row 0's. The tiles
 * are nearly equal: one row alone costs as much as three. */
static void tile_column(const struct tile *t, size_t i0, size_t i1, size_t n)
{
    size_t tiles = (i1 - i0 + ROWS - 1) / ROWS;
    for (size_t at = 0, i = i0; at < tiles; at++) {
        struct tile row = *t;
        size_t m = (i1 - i + tiles - at - 1) / (tiles - at);
        row.C += i * t->ldc;
        row.A.p += (ptrdiff_t)i * t->A.rs;
        if (n >= LF_PANEL)
            tile_any(&row, m);
        else
            tile_narrow(&row, m, n);
        i += m;
    }
}

/* panel_step: floats from one group of 16 columns of B to the next. */
static void gemm_blocks(const struct tile *all, size_t panel_step, size_t M, size_t N)
{
    for (size_t i0 = 0; i0 < M; i0 += ROW_BLOCK) {
        size_t i1 = lf_min(i0 + ROW_BLOCK, M);
        for (size_t k0 = 0; k0 < all->K; k0 += DEPTH) {
            struct tile t = *all;
            t.K = lf_min(DEPTH, all->K - k0);
            t.A.p += (ptrdiff_t)k0 * t.A.cs;
            t.accumulate = all->accumulate || k0 > 0;
            for (size_t j = 0; j < N; j += LF_PANEL) {
                t.B = all->B + j / LF_PANEL * panel_step + k0 * all->ldb;
                t.C = all->C + j;
                tile_column(&t, i0, i1, N - j);
            }
        }
    }
}

void lf_gemm(float *C, size_t ldc, struct lf_mat A, const float *B, size_t M, size_t N, size_t K,
             float alpha, bool accumulate)
{
    struct tile t = {C, ldc, A, B, LF_PANEL, K, alpha, accumulate, false};
    gemm_blocks(&t, K * LF_PANEL, M, N);
}

void lf_gemm_as_dots(float *C, size_t ldc, struct lf_mat A, const float *B, size_t M, size_t N,
                     size_t K, float alpha, bool accumulate)
{
    for (size_t i = 0; i < M; i += ROW_BLOCK)
        for (size_t j = 0; j < N; j += LF_PANEL) {
            struct tile t = {C + j, ldc, A, B + j * K, LF_PANEL, K, alpha, accumulate, true};
            tile_column(&t, i, lf_min(i + ROW_BLOCK, M), N - j);
        }
}

/* The last n < 16 columns of an unpacked B, which may not be read past their end. */
static void gemm_edge(const struct tile *all, size_t M, size_t n)
{
    float packed[EDGE_DEPTH * LF_PANEL];
    for (size_t k = 0; k < all->K; k += EDGE_DEPTH) {
        struct tile t = *all;
        t.K = lf_min(EDGE_DEPTH, all->K - k);
        t.A.p += (ptrdiff_t)k * t.A.cs;
        t.accumulate = all->accumulate || k > 0;
        t.B = packed;
        t.ldb = LF_PANEL;
        lf_pack_rows(packed, all->B + k * all->ldb, all->ldb, t.K, n);
        tile_column(&t, 0, M, n);
    }
}

void lf_gemm_rows(float *C, size_t ldc, struct lf_mat A, const float *B, size_t ldb, size_t M,
                  size_t N, size_t K, float alpha, bool accumulate)
{
    struct tile t = {C, ldc, A, B, ldb, K, alpha, accumulate, false};
    size_t whole = N / LF_PANEL * LF_PANEL;
    gemm_blocks(&t, LF_PANEL, M, whole);
    if (whole == N)
        return;
    t.B += whole;
    t.C += whole;
    gemm_edge(&t, M, N - whole);
}

void lf_pack_rows(float *dst, const float *src, size_t ld, size_t K, size_t N)
{
    for (size_t j = 0; j < N; j += LF_PANEL) {
        size_t n = N - j < LF_PANEL ? N - j : LF_PANEL;
        for (size_t k = 0; k < K; k++, dst += LF_PANEL) {
            memcpy(dst, src + k * ld + j, n * sizeof *dst);
            memset(dst + n, 0, (LF_PANEL - n) * sizeof *dst);
        }
    }
}

/* Eight rows of eight, transposed: columns of src become rows of dst. */
LF_INLINE void transpose8(float *dst, size_t ldd, const float *src, size_t lds)
{
#define MIX __builtin_shufflevector
    lf_v8 r[8], s[8];
    for (size_t i = 0; i < 8; i++)
        r[i] = lf_v8_load(src + i * lds);
    for (size_t i = 0; i < 8; i += 2) {
        s[i] = MIX(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        s[i + 1] = MIX(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (size_t i = 0; i < 8; i += 4)
        for (size_t h = 0; h < 2; h++) {
            r[i + 2 * h] = MIX(s[i + h], s[i + 2 + h], 0, 1, 8, 9, 4, 5, 12, 13);
            r[i + 2 * h + 1] = MIX(s[i + h], s[i + 2 + h], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (size_t i = 0; i < 4; i++) {
        lf_v8_store(dst + i * ldd, MIX(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
        lf_v8_store(dst + (i + 4) * ldd, MIX(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
    }
}

void lf_pack_columns(float *dst, const float *src, size_t ld, size_t K, size_t N)
{
    for (size_t j = 0; j < N; j += LF_PANEL, dst += K * LF_PANEL) {
        size_t n = N - j < LF_PANEL ? N - j : LF_PANEL, k = 0;
        const float *rows = src + j * ld;
        for (; n == LF_PANEL && k + 8 <= K; k += 8) {
            transpose8(dst + k * LF_PANEL, LF_PANEL, rows + k, ld);
            transpose8(dst + k * LF_PANEL + 8, LF_PANEL, rows + 8 * ld + k, ld);
        }
        for (; k < K; k++)
            for (size_t i = 0; i < LF_PANEL; i++)
                dst[k * LF_PANEL + i] = i < n ? rows[i * ld + k] : 0;
    }
}

/* ---- Rows by rows ---- */

typedef float lf_v4 __attribute__((vector_size(16)));

/* Of four vectors: the sums of their low halves, and of their high halves. */
LF_INLINE lf_v8 half_sums(const lf_v8 *v)
{
    lf_v8 a[2];
    for (size_t i = 0; i < 2; i++)
        a[i] = MIX(v[2 * i], v[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13) +
               MIX(v[2 * i], v[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    return MIX(a[0], a[1], 0, 1, 8, 9, 4, 5, 12, 13) + MIX(a[0], a[1], 2, 3, 10, 11, 6, 7, 14, 15);
}

LF_INLINE lf_v8 sums8(const lf_v8 *v)
{
    lf_v8 a = half_sums(v), b = half_sums(v + 4);
    return MIX(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + MIX(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
}

LF_INLINE lf_v4 sums4(const lf_v8 *v)
{
    lf_v8 a = half_sums(v);
    return MIX(a, a, 0, 1, 2, 3) + MIX(a, a, 4, 5, 6, 7);
}

struct dots {
    float *C;
    const float *A, *B;
    size_t ldc, lda, ldb, K;
    float alpha;
    bool accumulate;
};

/* m rows of A by n rows of B; both are constants at each call, m * n <= 12. */
LF_INLINE void dots_block(const struct dots *d, const size_t m, const size_t n)
{
    lf_v8 sum[12];
    size_t k = 0;
    for (size_t i = 0; i < m * n; i++)
        sum[i] = (lf_v8){0};
    for (; k + 8 <= d->K; k += 8) {
        lf_v8 a[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < m; i++)
            a[i] = lf_v8_load(d->A + i * d->lda + k);
#pragma GCC unroll 8
        for (size_t j = 0; j < n; j++) {
            lf_v8 b = lf_v8_load(d->B + j * d->ldb + k);
#pragma GCC unroll 4
            for (size_t i = 0; i < m; i++)
                sum[i * n + j] += a[i] * b;
        }
    }
    for (size_t j = 0; k < d->K && j < n; j++) {
        lf_v8 b = lf_v8_load_part(d->B + j * d->ldb + k, d->K - k);
        for (size_t i = 0; i < m; i++)
            sum[i * n + j] += lf_v8_load_part(d->A + i * d->lda + k, d->K - k) * b;
    }
    if (m == 1 && n == 8) {
        finish(d->C, sums8(sum), d->alpha, d->accumulate);
        return;
    }
    for (size_t i = m * n; i < 12; i++)
        sum[i] = (lf_v8){0};
    for (size_t q = 0; q < m * n; q += 4) {
        lf_v4 four = sums4(sum + q);
        for (size_t i = q; i < q + 4 && i < m * n; i++)
            finish_one(&d->C[i / n * d->ldc + i % n], four[i - q], d->alpha, d->accumulate);
    }
}

/* All N rows of B, n at a time, then one at a time. */
LF_INLINE void dots_rows(struct dots d, const size_t m, const size_t n, size_t N)
{
    size_t j = 0;
    for (; j + n <= N; j += n, d.C += n, d.B += n * d.ldb)
        dots_block(&d, m, n);
    for (; j < N; j++, d.C++, d.B += d.ldb)
        dots_block(&d, m, 1);
}

void lf_gemm_dots(float *C, size_t ldc, const float *A, size_t lda, const float *B, size_t ldb,
                  size_t M, size_t N, size_t K, float alpha, bool accumulate)
{
    struct dots d = {C, A, B, ldc, lda, ldb, K, alpha, accumulate};
    for (; M >= 4; M -= 4, d.A += 4 * lda, d.C += 4 * ldc)
        dots_rows(d, 4, 3, N);
    if (M == 3)
        dots_rows(d, 3, 4, N);
    else if (M == 2)
        dots_rows(d, 2, 4, N);
    else if (M == 1)
        dots_rows(d, 1, 8, N);
}
