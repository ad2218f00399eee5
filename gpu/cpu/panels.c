/* Decoding weights to the panels that lf_gemm reads.
 *
 * Sixteen 4-bit rows are transposed while they are codes (gpu/cpu/q4_words.h), then the code table
 * is looked up for all rows at once. */
#include "gpu/cpu/gemm.h"
#include "gpu/cpu/q4.h"
#include "gpu/cpu/q4_words.h"
#include "gpu/cpu/weights.h"

#include "core/num.h"

#if defined __AVX2__ && !defined __AVX512F__ /* which multiplies them as they are */

#define LANES WORD_ROWS

/* The eight elements of a word, of eight rows each. */
LF_INLINE void decode_word(float *dst, words w, const struct decoder *d, const float *scales)
{
    const __m256i by_byte = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
                                             0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m256 scale = _mm256_loadu_ps(scales);
    w = _mm256_shuffle_epi8(w, by_byte);
#pragma GCC unroll 2
    for (size_t low = 0; low < 2; low++) {
        __m256 v[4];
        __m256i nibbles = low ? w : _mm256_srli_epi16(w, 4);
        decode_nibbles(v, d, _mm256_and_si256(nibbles, _mm256_set1_epi8(15)));
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_ps(dst + (2 * i + low) * LF_PANEL, _mm256_mul_ps(v[i], scale));
    }
}

/* Rows [n, n + LANES), which are whole runs from k0 to k1. */
static void q4_panel(float *dst, const struct lf_weight *w, size_t n, size_t k0, size_t k1)
{
    size_t K = (size_t)w->K, e = n * K, step = lf_min((size_t)w->block, 64);
    const uint8_t *codes = (const uint8_t *)w->data;
    struct scales s = scales_of(w);
    float scales[LANES];
    const struct decoder decoder = decoder_of(w);
    for (size_t k = k0; k < k1; k += Q4_RUN, dst += Q4_RUN * LF_PANEL) {
        if (k == k0 || k % step == 0)
            for (size_t r = 0; r < LANES; r++)
                scales[r] = scale_at(&s, e + r * K + k);
        words run[WORDS];
        words_of(run, codes + (e + k) / 2, K / 2);
#pragma GCC unroll 4
        for (size_t i = 0; i < WORDS; i++)
            decode_word(dst + 8 * i * LF_PANEL, run[i], &decoder, scales);
    }
}

static bool in_runs(const struct lf_weight *w, size_t k0, size_t k1)
{
    return lf_q4_fits(w) && (k0 | k1) % Q4_RUN == 0;
}

#else

#define LANES LF_PANEL

static void q4_panel(float *dst, const struct lf_weight *w, size_t n, size_t k0, size_t k1)
{
    (void)dst, (void)w, (void)n, (void)k0, (void)k1;
}

static bool in_runs(const struct lf_weight *w, size_t k0, size_t k1)
{
    (void)w, (void)k0, (void)k1;
    return false;
}

#endif

void lf_weight_panel(float *dst, const struct lf_weight *w, size_t n0, size_t n1, size_t k0,
                     size_t k1, float *buffer)
{
    if (n1 - n0 == LF_PANEL && in_runs(w, k0, k1)) {
        for (size_t r = 0; r < LF_PANEL; r += LANES)
            q4_panel(dst + r, w, n0 + r, k0, k1);
        return;
    }
    struct lf_weight_rows rows = lf_weight_view(w, n0, n1, k0, k1, buffer);
    lf_pack_columns(dst, rows.p, rows.ld, k1 - k0, n1 - n0);
}
