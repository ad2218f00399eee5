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

/* The scale of element e. */
LF_INLINE float scale_at(const struct scales *s, size_t e)
{
    size_t i = e >> s->shift;
    return s->absmax ? s->absmax[i] : s->code[s->q[i]] * s->absmax2[i >> s->shift2] + s->offset;
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

/* The codes of Q4_RUN elements, by looking the bytes of the floats up one by one and putting them
 * together. A half of a register deals with every other four elements, so that the results come
 * out in order. Tried and slower by half: the table in two registers of floats, permuted by 32-bit
 * lanes and blended (two permutations for 8 elements, each of two operations on Zen 3). */
LF_INLINE void decode_run(__m256 out[4], struct decoder d, const uint8_t *bytes)
{
    const __m256i twice = _mm256_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13, 2, 2,
                                           3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15);
    __m256i two = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
    two = _mm256_shuffle_epi8(two, twice);
    __m256i nibble =
        _mm256_blendv_epi8(_mm256_srli_epi16(two, 4), two, _mm256_set1_epi16((short)0xff00));
    nibble = _mm256_and_si256(nibble, _mm256_set1_epi8(15));
    __m256i b0 = _mm256_shuffle_epi8(d.byte[0], nibble);
    __m256i b1 = _mm256_shuffle_epi8(d.byte[1], nibble);
    __m256i b2 = _mm256_shuffle_epi8(d.byte[2], nibble);
    __m256i b3 = _mm256_shuffle_epi8(d.byte[3], nibble);
    __m256i low0 = _mm256_unpacklo_epi8(b0, b1), low1 = _mm256_unpackhi_epi8(b0, b1);
    __m256i high0 = _mm256_unpacklo_epi8(b2, b3), high1 = _mm256_unpackhi_epi8(b2, b3);
    out[0] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low0, high0));
    out[1] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low0, high0));
    out[2] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low1, high1));
    out[3] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low1, high1));
}

/* Elements [e, e + n) of the flattened matrix; e and n are multiples of Q4_RUN, as blocks are. */
static void q4_run(float *dst, const struct lf_weight *w, size_t e, size_t n)
{
    struct decoder d = decoder_of(w);
    struct scales s = scales_of(w);
    const uint8_t *codes = (const uint8_t *)w->data + e / 2;
    size_t block = (size_t)w->block;
    for (size_t i = 0; i < n;) {
        __m256 scale = _mm256_set1_ps(scale_at(&s, e + i));
        size_t end = i + (block - ((e + i) & (block - 1)));
        for (end = end < n ? end : n; i < end; i += Q4_RUN) {
            __m256 v[4];
            decode_run(v, d, codes + i / 2);
            for (size_t j = 0; j < 4; j++)
                _mm256_storeu_ps(dst + i + 8 * j, _mm256_mul_ps(v[j], scale));
        }
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
    else if (e % Q4_RUN == 0 && (k1 - k0) % Q4_RUN == 0)
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
    __m256 sums[GEMV_ROWS * LF_GEMV_TOKENS];
    for (size_t i = 0; i < rows * T; i++)
        sums[i] = _mm256_setzero_ps();
    size_t ahead = rows * K / 2 > AHEAD ? rows * K / 2 : AHEAD;
    const uint8_t *codes[GEMV_ROWS];
    for (size_t r = 0; r < rows; r++)
        codes[r] = (const uint8_t *)g->w->data + (g->n + r) * (K / 2);
    for (size_t k = 0; k < K; k += step) {
        __m256 part[GEMV_ROWS * LF_GEMV_TOKENS];
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

LF_INLINE void bf16_rows(const struct gemv *g, const size_t rows, const size_t T)
{
    size_t K = (size_t)g->w->K;
    size_t ahead = rows * K > AHEAD / 2 ? rows * K : AHEAD / 2;
    __m256 sums[GEMV_ROWS * LF_GEMV_TOKENS];
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
