/* Decoding weights, and multiplying by them while they are being decoded. */
#include "gpu/cpu/weights.h"
#include "gpu/weight.h"

/* ---- Rows to memory ---- */

static void bf16_row(float *dst, const uint16_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)src[i] << 16;
        memcpy(&dst[i], &bits, sizeof bits);
    }
}

/* The scales of a Q4 weight: lf_q4_scale with its divisions, by powers of two, as shifts. */
struct scales {
    const float *absmax, *code, *absmax2;
    const uint8_t *q;
    int shift, shift2; /* elements a scale, scales a nested one */
    float offset;
};

LF_INLINE struct scales scales_of(const struct lf_weight *w)
{
    return (struct scales){w->absmax, w->absmax_code, w->absmax2, w->absmax_q,
                           __builtin_ctz((unsigned)w->block),
                           w->absmax ? 0 : __builtin_ctz((unsigned)w->block2), w->offset};
}

/* The scale of element e. */
LF_INLINE float scale_at(const struct scales *s, size_t e)
{
    size_t i = e >> s->shift;
    return s->absmax ? s->absmax[i] : s->code[s->q[i]] * s->absmax2[i >> s->shift2] + s->offset;
}

#ifdef __AVX2__

/* The code table in two registers, and how to bring the nibble of each lane into place. */
struct decoder {
    __m256 low, high; /* codes 0-7, 8-15 */
    __m256i right;    /* shift that puts the nibble at bit 0 */
};

LF_INLINE struct decoder decoder_of(const struct lf_weight *w)
{
    return (struct decoder){_mm256_loadu_ps(w->code), _mm256_loadu_ps(w->code + 8),
                            _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24)};
}

/* The codes of 8 elements from 4 bytes. The permutation looks at 3 bits of an index; the fourth
 * bit, shifted up to the sign, chooses between the halves of the table. */
LF_INLINE __m256 decode8(struct decoder d, const uint8_t *bytes)
{
    int32_t four;
    memcpy(&four, bytes, sizeof four);
    __m256i index = _mm256_srlv_epi32(_mm256_set1_epi32(four), d.right);
    __m256 low = _mm256_permutevar8x32_ps(d.low, index);
    __m256 high = _mm256_permutevar8x32_ps(d.high, index);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

/* Elements [e, e + n) of the flattened matrix; e and n are multiples of 8. */
static void q4_run(float *dst, const struct lf_weight *w, size_t e, size_t n)
{
    struct decoder d = decoder_of(w);
    struct scales s = scales_of(w);
    const uint8_t *codes = (const uint8_t *)w->data + e / 2;
    size_t block = (size_t)w->block;
    for (size_t i = 0; i < n;) {
        __m256 scale = _mm256_set1_ps(scale_at(&s, e + i));
        size_t end = i + (block - ((e + i) & (block - 1)));
        for (end = end < n ? end : n; i < end; i += 8)
            _mm256_storeu_ps(dst + i, _mm256_mul_ps(decode8(d, codes + i / 2), scale));
    }
}

#else

static void q4_run(float *dst, const struct lf_weight *w, size_t e, size_t n)
{
    struct scales s = scales_of(w);
    const uint8_t *codes = (const uint8_t *)w->data + e / 2;
    size_t block = (size_t)w->block;
    for (size_t i = 0; i < n;) {
        float scale = scale_at(&s, e + i);
        size_t end = i + (block - ((e + i) & (block - 1)));
        for (end = end < n ? end : n; i < end; i += 2) {
            dst[i] = w->code[codes[i / 2] >> 4] * scale;
            dst[i + 1] = w->code[codes[i / 2] & 15] * scale;
        }
    }
}

#endif

static void decode_row(float *dst, const struct lf_weight *w, size_t n, size_t k0, size_t k1)
{
    size_t e = n * (size_t)w->K + k0;
    if (w->kind == LF_WEIGHT_BF16)
        bf16_row(dst, (const uint16_t *)w->data + e, k1 - k0);
    else if (e % 8 == 0 && (k1 - k0) % 8 == 0)
        q4_run(dst, w, e, k1 - k0);
    else
        for (size_t k = k0; k < k1; k++)
            dst[k - k0] = lf_weight_at(w, (int)n, (int)k);
}

struct lf_weight_rows lf_weight_view(const struct lf_weight *w, size_t n0, size_t n1, size_t k0,
                                     size_t k1, float *buffer)
{
    size_t K = (size_t)w->K;
    if (w->kind == LF_WEIGHT_F32)
        return (struct lf_weight_rows){(const float *)w->data + n0 * K + k0, K};
    for (size_t n = n0; n < n1; n++)
        decode_row(buffer + (n - n0) * (k1 - k0), w, n, k0, k1);
    return (struct lf_weight_rows){buffer, k1 - k0};
}

/* ---- Products with a few tokens ---- */

#ifdef __AVX2__

#define GEMV_ROWS 4
#define GEMV_STEP 64  /* elements that one scale covers at least, but for blocks of 32 */

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
    __m256 sums[GEMV_ROWS * LF_GEMV_TOKENS];
    for (size_t i = 0; i < rows * T; i++)
        sums[i] = _mm256_setzero_ps();
    for (size_t k = 0; k < K; k += step) {
        __m256 part[GEMV_ROWS * LF_GEMV_TOKENS];
        for (size_t i = 0; i < rows * T; i++)
            part[i] = _mm256_setzero_ps();
#pragma GCC unroll 8
        for (size_t j = 0; j < step; j += 8) {
            __m256 x[LF_GEMV_TOKENS];
            for (size_t t = 0; t < T; t++)
                x[t] = _mm256_loadu_ps(g->x + t * g->ldx + k + j);
#pragma GCC unroll 4
            for (size_t r = 0; r < rows; r++) {
                const uint8_t *codes = g->w->data;
                __m256 v = decode8(d, codes + ((g->n + r) * K + k + j) / 2);
                for (size_t t = 0; t < T; t++)
                    part[r * T + t] = _mm256_fmadd_ps(v, x[t], part[r * T + t]);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            __m256 scale = _mm256_set1_ps(scale_at(&s, (g->n + r) * K + k));
            for (size_t t = 0; t < T; t++)
                sums[r * T + t] = _mm256_fmadd_ps(part[r * T + t], scale, sums[r * T + t]);
        }
    }
    gemv_store(g, sums, rows, T);
}

LF_INLINE void bf16_rows(const struct gemv *g, const size_t rows, const size_t T)
{
    size_t K = (size_t)g->w->K;
    __m256 sums[GEMV_ROWS * LF_GEMV_TOKENS];
    for (size_t i = 0; i < rows * T; i++)
        sums[i] = _mm256_setzero_ps();
    for (size_t k = 0; k < K; k += 8)
        for (size_t r = 0; r < rows; r++) {
            const uint16_t *at = (const uint16_t *)g->w->data + (g->n + r) * K + k;
            __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at));
            __m256 v = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
            for (size_t t = 0; t < T; t++)
                sums[r * T + t] = _mm256_fmadd_ps(v, _mm256_loadu_ps(g->x + t * g->ldx + k),
                                                  sums[r * T + t]);
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
    int step = w->kind == LF_WEIGHT_BF16 ? 8 : w->block == 32 ? 32 : GEMV_STEP;
    if (w->kind == LF_WEIGHT_F32 || w->K % step != 0)
        return false;
    struct gemv g = {y, x, w, ldy, ldx, n0, accumulate};
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
