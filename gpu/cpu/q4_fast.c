/* Rows of 4-bit weights times tokens, in integers of 16 bits or of 8: `bits`, a constant wherever
 * it is used, as the functions that take it are inlined.
 *
 * Few tokens are multiplied while a row's codes come out of their bytes, in the order in which they
 * do; for more, rows become panels of integers, each row a lane. Tiles multiply those of 8 bits
 * where the machine has them (q4_tiles.h).
 *
 * 8 bits: x86 multiplies unsigned by signed ones, so codes have `zero` added to them, and a sum
 * begins with what takes that off again. Without VNNI two neighbours' products are added in 16 bits
 * with saturation: a token's scale is chosen so that they fit. Neighbours are elements 0 and 2, 1
 * and 3 of four, whichever way the row is multiplied.
 *
 * Both ways add the blocks' sums, scaled, in one order, so that a token's results are those that it
 * has alone: four blocks one after the other, by multiply-adds; the sum of two such fours joins the
 * result. */
#include "gpu/cpu/q4_fast.h"

#include "core/num.h"
#include "gpu/cpu/q4.h"
#include "gpu/cpu/q4_ints.h"
#include "gpu/cpu/q4_scales.h"
#include "gpu/cpu/q4_tiles.h"
#include "gpu/cpu/q4_words.h"

#include <float.h>
#include <math.h>

#ifdef __AVX2__

#define FEW_DEPTH 16384 /* columns of them at a time */
#define SCALES 1024     /* of rows that follow each other: of ROWS at the least */
#define PANEL_BITS 8192 /* of a panel's row: the panel is of 32 KiB, 16 with AVX2 */
#define DEPTH(bits) ((size_t)PANEL_BITS / (bits)) /* columns of more tokens */
#define BLOCK LF_FAST_BLOCK
#define RUN (RUN_BLOCKS * BLOCK)
#define ROWS 4        /* whose sums are in registers together */
#define AHEAD 4096    /* elements asked for early: the hardware stops at the end of a page */
#define TILES_FROM 12 /* tokens: fewer are faster in registers */
#define NEAR 2        /* into the second cache: the first one holds the tokens */

/* Integers of codes are at most CODE_MAX, a block's integers of a token sum up to TOKEN_SUM at most
 * (each is rounded by half): no sum of products is over 2^31 - 1. With 8 bits two neighbours'
 * integers sum up to TOKEN_PAIR: no sum of two products is over 2^15 - 1. */
#define CODE_MAX 6336
#define TOKEN_MAX 32767
#define TOKEN_SUM 338900
#define CODE_MAX_8 123
#define TOKEN_MAX_8 127
#define TOKEN_PAIR 132
_Static_assert(DEPTH(8) <= RUN && RUN_BLOCKS * BLOCK == RUN, "a panel is no deeper than a run");
_Static_assert(DEPTH(16) % (2 * FOUR * BLOCK) == 0, "panels end where two fours do");
_Static_assert((TOKEN_SUM + BLOCK / 2) * (int64_t)CODE_MAX <= INT32_MAX, "sums fit");
_Static_assert((TOKEN_PAIR + 1) * 2 * CODE_MAX_8 <= INT16_MAX, "sums of two fit");

#define PANEL (2 * LANES) /* rows of one */
#define GROUP (8 * LANES) /* elements of a row whose codes fill a register */
#define RUN_GROUPS (RUN / GROUP)

/* ---- Codes ---- */

/* A code table in integers; code i is about (number[i] - zero) / step. */
struct numbers {
    int16_t number[16], zero;
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

/* NF4's codes are nearest to whole numbers at 6,283 and, in 8 bits, at 123.26 among the steps that
 * leave the tokens enough; FP4's are whole at multiples of 192, and nearly so at 120. Other tables
 * take what is better. */
static struct numbers numbers_of(const float *code, int bits, int zero)
{
    const float nf4 = bits == 8 ? 123.26F : 6283, fp4 = bits == 8 ? 120 : CODE_MAX;
    struct numbers n = {.zero = (int16_t)zero};
    float most = FLT_MIN;
    for (int i = 0; i < 16; i++)
        most = fmaxf(most, fabsf(code[i]));
    n.step = nf4 / most;
    if (misfit(code, fp4 / most) < misfit(code, n.step))
        n.step = fp4 / most;
    for (int i = 0; i < 16; i++)
        n.number[i] = (int16_t)(lrintf(code[i] * n.step) + n.zero);
    return n;
}

/* ---- Tokens ---- */

/* Where tokens lie in the scratch: their integers, `depth` a token; then for each of its `blocks`,
 * the last of which may be behind the end, a scale, and what a sum of products begins with. */
struct packed {
    char *numbers;
    float *scales;
    int32_t *starts;
    size_t depth, blocks;
};

static struct packed packed_in(void *scratch, size_t T, size_t depth, int bits)
{
    struct packed p = {.numbers = scratch, .depth = (depth + GROUP - 1) / GROUP * GROUP};
    p.blocks = (depth + RUN - 1) / RUN * RUN_BLOCKS;
    p.scales = (float *)(p.numbers + T * p.depth * (size_t)bits / 8);
    p.starts = (int32_t *)(p.scales + T * p.blocks);
    return p;
}

/* Which element is the i-th of a group, in 16 bits, in the order in which codes come out of a row
 * ...
 */
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

LF_INLINE float largest(lf_v8 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* The scale with which a block's numbers fit; not finite where x is not. */
LF_INLINE float block_scale(const float *x, const int bits)
{
    lf_v8 sum = {0}, most = {0}, pair = {0};
    for (size_t i = 0; i < BLOCK; i += 8) {
        __m256 v = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), _mm256_loadu_ps(x + i));
        sum += (lf_v8)v;
        most = (lf_v8)_mm256_max_ps((__m256)most, v);
        pair = (lf_v8)_mm256_max_ps((__m256)pair, _mm256_add_ps(v, _mm256_permute_ps(v, 0x4e)));
    }
    float all = lf_v8_sum(sum);
    float by_sum = bits == 8 ? largest(pair) / TOKEN_PAIR : all / TOKEN_SUM;
    float by_most = largest(most) / (bits == 8 ? TOKEN_MAX_8 : TOKEN_MAX);
    float scale = by_most > by_sum ? by_most : by_sum;
    return all - all == 0 ? scale : all; /* maxima lose what is not a number */
}

/* A block's numbers, in the order of the elements; their scale. What is too small to matter, and
 * whose inverse would not be finite, is 0. */
LF_INLINE float round_block(int16_t *numbers, const float *x, const int bits)
{
    float scale = block_scale(x, bits), inverse = scale < 1e-30F ? 0 : 1 / scale;
    __m256 factor = _mm256_set1_ps(inverse);
    for (size_t i = 0; i < BLOCK; i += 16) {
        __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), factor));
        __m256i ab = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
        _mm256_storeu_si256((__m256i *)(numbers + i), ab);
    }
    return scale;
}

LF_INLINE int32_t sum_of_block(const int16_t *numbers)
{
    int32_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += numbers[i];
    return sum;
}

/* Whether T tokens' columns are multiplied by rows as they are. */
static bool are_few(size_t T, size_t depth, int bits)
{
    return T <= FEW_OF(bits) && depth % ROW_UNIT == 0;
}

size_t lf_fast_depth(size_t T, size_t left, int bits)
{
    if (T <= FEW_OF(bits) && left >= ROW_UNIT)
        return lf_min(left / ROW_UNIT * ROW_UNIT, FEW_DEPTH);
    return lf_min(left, DEPTH(bits));
}

/* Numbers of 8 bits: of each `unit` (a group for rows, a block for panels), the codes' high halves
 * first, which are every other element. */
LF_INLINE void order_bytes(int8_t *out, const int16_t *plain, const size_t unit)
{
    for (size_t i = 0; i < GROUP; i += unit)
        for (size_t j = 0; j < unit / 2; j++) {
            out[i + j] = (int8_t)plain[i + 2 * j];
            out[i + unit / 2 + j] = (int8_t)plain[i + 2 * j + 1];
        }
}

LF_INLINE void pack(void *scratch, const float *x, size_t ldx, size_t T, size_t k0, size_t k1,
                    const int bits)
{
    struct packed p = packed_in(scratch, T, k1 - k0, bits);
    const bool few = are_few(T, k1 - k0, bits);
    uint8_t order[GROUP];
    for (size_t i = 0; i < GROUP; i++)
        order[i] = (uint8_t)(few ? element_in_row(i) : element_in_panel(i));
    memset(p.scales, 0, T * p.blocks * (sizeof *p.scales + sizeof *p.starts));
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < p.depth; k += GROUP) {
            int16_t plain[GROUP] = {0};
            char *out = p.numbers + (t * p.depth + k) * (size_t)bits / 8;
            for (size_t i = 0; i < GROUP && k0 + k + i < k1; i += BLOCK) {
                size_t b = (k + i) / BLOCK;
                size_t block = t * p.blocks + (few ? place_of(b) : b);
                p.scales[block] = round_block(plain + i, x + t * ldx + k0 + k + i, bits);
                p.starts[block] = bits == 8 ? -CODE_MAX_8 * sum_of_block(plain + i) : 0;
            }
            if (bits == 8 && few)
                order_bytes((int8_t *)out, plain, GROUP);
            else if (bits == 8)
                order_bytes((int8_t *)out, plain, BLOCK);
            else
                for (size_t i = 0; i < GROUP; i++)
                    memcpy(out + 2 * i, &plain[order[i]], sizeof plain[0]);
        }
}

void lf_fast_pack(void *scratch, const float *x, size_t ldx, size_t T, size_t k0, size_t k1,
                  int bits)
{
    if (bits == 8)
        pack(scratch, x, ldx, T, k0, k1, 8);
    else
        pack(scratch, x, ldx, T, k0, k1, 16);
}

/* ---- Few tokens ---- */

/* A row group of a call: `n` the first row. */
struct fast_rows {
    const struct lf_q4_dots *a;
    struct packed x;
    const struct scale_source *scales;
    size_t row_scales; /* numbers from a row's to the next one's */
    const struct numbers *codes;
    float *y;
    size_t n;
};

/* The first bytes of the numbers, or their second ones. */
LF_INLINE __m128i bytes_of(const struct numbers *n, const int which)
{
    const __m128i apart = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m128i a = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)n->number), apart);
    __m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(n->number + 8)), apart);
    return which ? _mm_unpackhi_epi64(a, b) : _mm_unpacklo_epi64(a, b);
}

#ifdef __AVX512F__

struct table {
    __m512i numbers;
};

LF_INLINE struct table table_of(const struct numbers *n, const int bits)
{
    if (bits == 8)
        return (struct table){_mm512_broadcast_i32x4(bytes_of(n, 0))};
    /* Indices are the low five bits of a word: the fifth belongs to another code. */
    return (struct table){_mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)n->number))};
}

/* The numbers of a step: code `step` of every word, or of every byte the high and the low one. */
LF_INLINE void row_numbers(ivec out[AT_ONCE], const struct table *t, ivec codes, const size_t step,
                           const int bits)
{
    if (bits == 8)
        out[0] = BYTES_OF(t->numbers, NIBBLES(step ? codes : SHIFT(codes, 4)));
    else
        out[0] =
            _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, (unsigned)(4 * step)), t->numbers);
}

LF_INLINE ivec sums_of_four(ivec a, ivec b, ivec c, ivec d);

/* Of a run's groups, each two blocks side by side: sums of the blocks, in their places. */
LF_INLINE void block_totals(ivec out[1], const ivec group[RUN_GROUPS])
{
    ivec a = sums_of_four(group[0], group[2], group[4], group[6]);
    ivec b = sums_of_four(group[1], group[3], group[5], group[7]);
    out[0] = ADD_INTS(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

/* The n-th blocks of a run's fours. */
#define NTH(v, n) _mm512_extractf32x4_ps((v)[0], n)

#else

struct table {
    __m256i byte[2];
};

LF_INLINE struct table table_of(const struct numbers *n, const int bits)
{
    struct table t = {{_mm256_broadcastsi128_si256(bytes_of(n, 0))}};
    if (bits == 16)
        t.byte[1] = _mm256_broadcastsi128_si256(bytes_of(n, 1));
    return t;
}

/* The numbers of a step: the high codes of the bytes, or the low ones. */
LF_INLINE void row_numbers(ivec out[AT_ONCE], const struct table *t, ivec codes, const size_t step,
                           const int bits)
{
    ivec nibble = NIBBLES(step ? codes : SHIFT(codes, 4)), first = BYTES_OF(t->byte[0], nibble);
    if (bits == 8) {
        out[0] = first;
        return;
    }
    ivec second = BYTES_OF(t->byte[1], nibble);
    out[0] = _mm256_unpacklo_epi8(first, second);
    out[1] = _mm256_unpackhi_epi8(first, second);
}

LF_INLINE ivec sums_of_four(ivec a, ivec b, ivec c, ivec d);

/* Of a run's groups, each one block: sums of the blocks, in their places. */
LF_INLINE void block_totals(ivec out[2], const ivec group[RUN_GROUPS])
{
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++, group += 2) {
        ivec a = sums_of_four(group[0], group[4], group[8], group[12]);
        ivec b = sums_of_four(group[1], group[5], group[9], group[13]);
        out[i] =
            ADD_INTS(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    }
}

#define NTH(v, n) _mm256_extractf128_ps((v)[(n) / 2], (n) % 2)

#endif

/* Of each, by halves of 256 bits or quarters of 512: the sums of their parts, side by side. */
LF_INLINE ivec sums_of_four(ivec a, ivec b, ivec c, ivec d)
{
    ivec ab = ADD_INTS(UNPACK_INTS(lo, 32, a, b), UNPACK_INTS(hi, 32, a, b));
    ivec cd = ADD_INTS(UNPACK_INTS(lo, 32, c, d), UNPACK_INTS(hi, 32, c, d));
    return ADD_INTS(UNPACK_INTS(lo, 64, ab, cd), UNPACK_INTS(hi, 64, ab, cd));
}

/* Registers of numbers that one of codes gives, and that a step of those leaves. */
#define NUMBERS(bits) ((size_t)(bits) / 4)
#define STEP(bits) ((bits) == 8 ? 1 : AT_ONCE)

/* A run's blocks are added to a result. */
LF_INLINE float add_fours(float sum, const vec blocks[RUN_BLOCKS / LANES], const float *scales)
{
    __m128 fours = _mm_mul_ps(NTH(blocks, 0), _mm_loadu_ps(scales));
    fours = _mm_fmadd_ps(NTH(blocks, 1), _mm_loadu_ps(scales + FOUR), fours);
    fours = _mm_fmadd_ps(NTH(blocks, 2), _mm_loadu_ps(scales + 2 * FOUR), fours);
    fours = _mm_fmadd_ps(NTH(blocks, 3), _mm_loadu_ps(scales + 3 * FOUR), fours);
    __m128 two = _mm_add_ps(fours, _mm_movehdup_ps(fours));
    sum += _mm_cvtss_f32(two);
    return sum + _mm_cvtss_f32(_mm_movehl_ps(two, two));
}

/* The sums of a run's blocks, scaled, are added to the results of R rows by T tokens. */
LF_INLINE void add_blocks(float *sums, ivec parts[][RUN_GROUPS], const struct fast_rows *g,
                          const float *scales, size_t k, size_t left, const size_t R,
                          const size_t T, const int bits)
{
#pragma GCC unroll 4
    for (size_t r = 0; r < R; r++) {
        vec row[RUN_BLOCKS / LANES];
        run_scales(row, scales + r * g->row_scales, left / BLOCK);
#pragma GCC unroll 8
        for (size_t t = 0; t < T; t++) {
            size_t at = t * g->x.blocks + k / BLOCK;
            ivec total[RUN_BLOCKS / LANES];
            vec blocks[RUN_BLOCKS / LANES];
            block_totals(total, parts[r * T + t]);
#pragma GCC unroll 2
            for (size_t i = 0; i < RUN_BLOCKS / LANES; i++) {
                if (bits == 8)
                    total[i] = ADD_INTS(total[i], INTS(g->x.starts + at + i * LANES));
                blocks[i] = MUL(FLOATS(total[i]), row[i]);
            }
            sums[r * T + t] = add_fours(sums[r * T + t], blocks, g->x.scales + at);
        }
    }
}

/* The sums of the products of a group of R rows, or of its first half, where that is all there is.
 * R and T are constants at each call. */
LF_INLINE void add_group(ivec parts[][RUN_GROUPS], const uint8_t *const rows[ROWS],
                         const char *const tokens[FEW], const struct table *table, size_t group,
                         size_t ahead, const bool half, const size_t R, const size_t T,
                         const int bits)
{
    const size_t step = STEP(bits), at = group * GROUP;
    ivec codes[ROWS], part[ROWS * FEW];
#pragma GCC unroll 4
    for (size_t r = 0; r < R; r++) {
        __builtin_prefetch(rows[r] + at / 2 + ahead, 0, NEAR);
        codes[r] = half ? HALF_INTS(rows[r] + at / 2) : INTS(rows[r] + at / 2);
    }
#pragma GCC unroll 16
    for (size_t j = 0; j < R * T; j++)
        part[j] = (ivec){0};
#pragma GCC unroll 4
    for (size_t j = 0; j < NUMBERS(bits); j += step) /* rows alternate: sums wait */
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++) {
            ivec v[AT_ONCE];
            row_numbers(v, table, codes[r], j / step, bits);
#pragma GCC unroll 2
            for (size_t h = 0; h < step; h++)
#pragma GCC unroll 8
                for (size_t t = 0; t < T; t++) {
                    ivec token = INTS(tokens[t] + at * (size_t)bits / 8 + (j + h) * sizeof(ivec));
                    part[r * T + t] = DOT(bits, part[r * T + t], v[h], token);
                }
        }
#pragma GCC unroll 16
    for (size_t j = 0; j < R * T; j++)
        parts[j][group] = part[j];
}

/* A run of R rows from element e on, or the `left` columns there are of it, columns k on of the
 * packed tokens. */
LF_INLINE void add_run(float *sums, const struct fast_rows *g, const struct table *table,
                       const float *scales, size_t e, size_t k, size_t left, const size_t R,
                       const size_t T, const int bits)
{
    size_t K = (size_t)g->a->w->K;
    const size_t ahead = (ROWS * K > AHEAD ? ROWS * K : AHEAD) / 2;
    ivec parts[ROWS * FEW][RUN_GROUPS];
    const uint8_t *rows[ROWS];
    const char *tokens[FEW];
#pragma GCC unroll 4
    for (size_t r = 0; r < R; r++)
        rows[r] = (const uint8_t *)g->a->w->data + (e + r * K) / 2;
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++)
        tokens[t] = g->x.numbers + (t * g->x.depth + k) * (size_t)bits / 8;
    size_t groups = lf_min(left, RUN) / GROUP, i = 0;
    for (; i < groups; i++)
        add_group(parts, rows, tokens, table, i, ahead, false, R, T, bits);
    if (left < RUN) {
        if (left % GROUP)
            add_group(parts, rows, tokens, table, i++, ahead, true, R, T, bits);
        for (; i < RUN_GROUPS; i++)
            for (size_t j = 0; j < R * T; j++)
                parts[j][i] = (ivec){0};
    }
    add_blocks(sums, parts, g, scales, k, left, R, T, bits);
}

/* R rows from g->n on, and their scales. */
LF_INLINE void dots_rows(const struct fast_rows *g, const struct table *table, const float *scales,
                         const size_t R, const size_t T, const int bits)
{
    const struct lf_q4_dots *a = g->a;
    size_t e = g->n * (size_t)a->w->K + a->k0, depth = a->k1 - a->k0;
    float sums[ROWS * FEW];
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++)
            sums[r * T + t] = a->accumulate ? g->y[t * a->ldy + r] : 0;
    for (size_t k = 0; k < depth; k += RUN)
        add_run(sums, g, table, scales + k / BLOCK, e + k, k, depth - k, R, T, bits);
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++)
#pragma GCC unroll 4
        for (size_t r = 0; r < R; r++)
            g->y[t * a->ldy + r] = sums[r * T + t];
}

/* Scales of the next rows. Not inlined: each of its callers is compiled many times. */
static __attribute__((noinline)) void fetch_scales(float *out, const struct fast_rows *g,
                                                   size_t rows)
{
    const struct lf_q4_dots *a = g->a;
    size_t K = (size_t)a->w->K;
    fill_rows(out, g->scales, (g->n * K + a->k0) / BLOCK, (a->k1 - a->k0) / BLOCK, rows, K / BLOCK);
}

/* Rows up to n1, R at a time, whose scales are fetched for as many as there is room for. */
LF_INLINE void dots_to(struct fast_rows *g, size_t n1, const size_t R, const size_t T,
                       const int bits)
{
    const struct table table = table_of(g->codes, bits);
    float scales[SCALES + CHUNK];
    size_t most = SCALES / g->row_scales / R * R;
    while (n1 - g->n >= R) {
        size_t rows = lf_min((n1 - g->n) / R * R, most);
        fetch_scales(scales, g, rows);
        for (size_t r = 0; r < rows; r += R, g->n += R, g->y += R)
            dots_rows(g, &table, scales + r * g->row_scales, R, T, bits);
    }
}

LF_INLINE void dots_of(struct fast_rows g, const size_t T, const int bits)
{
    dots_to(&g, g.a->n1, TOGETHER(T, bits), T, bits);
    if (TOGETHER(T, bits) > 1)
        dots_to(&g, g.a->n1, 1, T, bits);
}

LF_INLINE void few_tokens(const struct fast_rows *g, const int bits)
{
    switch (g->a->T) {
    case 1:
        return dots_of(*g, 1, bits);
    case 2:
        return dots_of(*g, 2, bits);
    case 3:
        return dots_of(*g, 3, bits);
#if FEW > 4
    case 5:
        return dots_of(*g, 5, bits);
#endif
    default:
        return dots_of(*g, 4, bits);
    }
}

/* ---- Many tokens ---- */

/* A panel: the numbers of PANEL rows, two or four elements of each a lane, and their blocks'
 * scales.
 */
struct panel {
    ivec numbers[PANEL_BITS / 32][2];
    float scales[DEPTH(8) / BLOCK][PANEL];
};

/* The eight elements of word w of a row, of WORD_ROWS rows each, in their half of a panel. */
LF_INLINE void word_numbers(ivec *half, size_t w, words codes, const struct table *t,
                            const int bits)
{
    const size_t step = STEP(bits);
#ifndef __AVX512F__
    const __m256i by_pair = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                             0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    if (bits == 16)
        codes = _mm256_shuffle_epi8(codes, by_pair);
#endif
#pragma GCC unroll 4
    for (size_t j = 0; j < NUMBERS(bits); j += step) {
        ivec v[AT_ONCE];
        row_numbers(v, t, codes, j / step, bits);
#pragma GCC unroll 2
        for (size_t h = 0; h < step; h++) {
            size_t lane = bits == 8 ? w / 8 * 16 + j * 8 + w % 8 : 4 * w + j + h;
            half[2 * lane] = v[h];
        }
    }
}

/* WORD_ROWS rows, `stride` bytes apart, of n elements: the half of a panel. */
LF_INLINE void half_panel(ivec *half, const uint8_t *codes, size_t stride, size_t n,
                          const struct table *t, const int bits)
{
    for (size_t w = 0; w < n / 8; w += WORDS) {
        words run[WORDS];
        words_of(run, codes + 4 * w, stride);
#pragma GCC unroll 4
        for (size_t i = 0; i < WORDS; i++)
            word_numbers(half, w + i, run[i], t, bits);
    }
}

/* Rows from n on, m <= PANEL of them, of g's columns [k0, k1). */
LF_INLINE void decode_panel(struct panel *p, const struct fast_rows *g, size_t n, size_t m,
                            const int bits)
{
    const struct lf_q4_dots *a = g->a;
    const struct table table = table_of(g->codes, bits);
    size_t K = (size_t)a->w->K, depth = a->k1 - a->k0;
    const uint8_t *data = (const uint8_t *)a->w->data;
    for (size_t r = 0; r < m; r++) {
        float scales[DEPTH(8) / BLOCK + CHUNK];
        fill_scales(scales, g->scales, ((n + r) * K + a->k0) / BLOCK, depth / BLOCK);
        for (size_t b = 0; b < depth / BLOCK; b++)
            p->scales[b][r] = scales[b];
    }
    for (size_t half = 0; half < 2 && half * WORD_ROWS < m; half++) {
        size_t row = half * WORD_ROWS, rows = lf_min(WORD_ROWS, m - row);
        const uint8_t *codes = data + ((n + row) * K + a->k0) / 2;
        uint8_t copy[WORD_ROWS][DEPTH(8) / 2];
        if (rows == WORD_ROWS) {
            half_panel(&p->numbers[0][half], codes, K / 2, depth, &table, bits);
            continue;
        }
        for (size_t r = 0; r < WORD_ROWS; r++)
            memcpy(copy[r], codes + lf_min(r, rows - 1) * K / 2, depth / 2);
        half_panel(&p->numbers[0][half], copy[0], sizeof copy[0], depth, &table, bits);
    }
}

/* A block's sums of M tokens and a panel's rows. */
LF_INLINE void block_sums(isum part[TILE][2], const struct fast_rows *g, const struct panel *p,
                          size_t t, size_t b, const size_t M, const int bits)
{
    const size_t lanes = (size_t)bits * BLOCK / 32;
    size_t stride = g->x.depth * (size_t)bits / 8;
    const char *x = g->x.numbers + t * stride + b * lanes * 4;
    const ivec(*numbers)[2] = &p->numbers[b * lanes];
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++)
        part[i][0] = part[i][1] =
            bits == 8 ? (isum)PAIR(g->x.starts[(t + i) * g->x.blocks + b]) : (isum){0};
    for (size_t k = 0; k < lanes; k++)
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++) {
            int32_t lane;
            memcpy(&lane, x + i * stride + 4 * k, sizeof lane);
            part[i][0] = (isum)DOT(bits, (ivec)part[i][0], numbers[k][0], PAIR(lane));
            part[i][1] = (isum)DOT(bits, (ivec)part[i][1], numbers[k][1], PAIR(lane));
        }
}

/* Up to four blocks, from b on, of M tokens and a panel's rows, scaled and added. */
LF_INLINE void four_blocks(vec sums[TILE][2], const struct fast_rows *g, const struct panel *p,
                           size_t t, size_t b, size_t end, const size_t M, const int bits)
{
    isum part[TILE][2];
#pragma GCC unroll 8
    for (size_t i = 0; i < M; i++)
        sums[i][0] = sums[i][1] = (vec){0};
    for (; b < end; b++) {
        block_sums(part, g, p, t, b, M, bits);
        vec left = LOAD(p->scales[b]), right = LOAD(&p->scales[b][LANES]);
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++) {
            vec scale = SET1(g->x.scales[(t + i) * g->x.blocks + b]);
            sums[i][0] = FMADD(MUL(FLOATS(part[i][0]), left), scale, sums[i][0]);
            sums[i][1] = FMADD(MUL(FLOATS(part[i][1]), right), scale, sums[i][1]);
        }
    }
}

LF_INLINE void copy_row(float *to, const float *from, size_t m)
{
    if (m == PANEL) {
        STORE(to, LOAD(from));
        STORE(to + LANES, LOAD(from + LANES));
    } else {
        memcpy(to, from, m * sizeof *to);
    }
}

/* M tokens from t on times m rows of a panel; M is a constant at each call. */
LF_INLINE void tile_of(const struct fast_rows *g, const struct panel *p, size_t t, size_t m,
                       const size_t M, const int bits)
{
    const struct lf_q4_dots *a = g->a;
    size_t blocks = (a->k1 - a->k0) / BLOCK;
    vec all[TILE][2], fours[TILE][2], first[TILE][2] = {{{0}}};
    float *y = g->y + t * a->ldy;
    memset(all, 0, sizeof all);
    for (size_t i = 0; a->accumulate && i < M; i++)
        copy_row((float *)all[i], y + i * a->ldy, m);
    for (size_t b = 0; b < blocks; b += FOUR) {
        four_blocks(fours, g, p, t, b, lf_min(b + FOUR, blocks), M, bits);
        bool second = b / FOUR % 2 || b + FOUR >= blocks;
#pragma GCC unroll 8
        for (size_t i = 0; i < M; i++)
#pragma GCC unroll 2
            for (size_t h = 0; h < 2; h++) {
                first[i][h] += fours[i][h];
                if (second) {
                    all[i][h] += first[i][h];
                    first[i][h] = (vec){0};
                }
            }
    }
    for (size_t i = 0; i < M; i++)
        copy_row(y + i * a->ldy, (const float *)all[i], m);
}

LF_INLINE void tile(const struct fast_rows *g, const struct panel *p, size_t t, size_t m, size_t M,
                    const int bits)
{
    switch (M) {
    case 1:
        return tile_of(g, p, t, m, 1, bits);
    case 2:
        return tile_of(g, p, t, m, 2, bits);
    case 3:
        return tile_of(g, p, t, m, 3, bits);
#if TILE > 4
    case 5:
        return tile_of(g, p, t, m, 5, bits);
    case 6:
        return tile_of(g, p, t, m, 6, bits);
#endif
    default:
        return tile_of(g, p, t, m, 4, bits);
    }
}

/* Tiles of tokens are nearly equal: one token alone costs as much as two. */
LF_INLINE void many_tokens(struct fast_rows *g, struct panel *p, const int bits)
{
    size_t T = g->a->T, tiles = (T + TILE - 1) / TILE;
    for (; g->n < g->a->n1; g->n += PANEL, g->y += PANEL) {
        size_t m = lf_min(PANEL, g->a->n1 - g->n);
        decode_panel(p, g, g->n, m, bits);
        for (size_t i = 0; i < tiles; i++)
            tile(g, p, i * T / tiles, m, (i + 1) * T / tiles - i * T / tiles, bits);
    }
}

#ifdef __AVX512VNNI__

_Static_assert(PANEL == LF_TILES_ROWS && BLOCK == 64, "a panel is as q4_tiles.h has it");

/* The same by tiles. */
static void many_by_tiles(struct fast_rows *g, struct panel *p)
{
    const struct lf_q4_dots *a = g->a;
    float out[LF_FAST_TOKENS][PANEL];
    struct lf_tiles tiles = {.tokens = (const int8_t *)g->x.numbers,
                             .token_scales = g->x.scales,
                             .numbers = (const int8_t *)p->numbers,
                             .scales = p->scales,
                             .out = out,
                             .T = a->T,
                             .blocks = (a->k1 - a->k0) / BLOCK,
                             .stride = g->x.depth,
                             .scale_stride = g->x.blocks};
    lf_tiles_begin(a->T);
    for (; g->n < a->n1; g->n += PANEL, g->y += PANEL) {
        size_t m = lf_min(PANEL, a->n1 - g->n);
        decode_panel(p, g, g->n, m, 8);
        if (!a->accumulate)
            memset(out, 0, a->T * sizeof *out);
        for (size_t t = 0; a->accumulate && t < a->T; t++)
            copy_row(out[t], g->y + t * a->ldy, m);
        lf_tiles_multiply(&tiles);
        for (size_t t = 0; t < a->T; t++)
            copy_row(g->y + t * a->ldy, out[t], m);
    }
    lf_tiles_end();
}

#endif

static bool by_tiles(size_t T, struct lf_fast_form form)
{
    return form.tiles && form.bits == 8 && T >= TILES_FROM;
}

LF_INLINE void products(struct fast_rows *g, struct panel *p, const int bits)
{
    if (are_few(g->a->T, g->a->k1 - g->a->k0, bits))
        few_tokens(g, bits);
    else
        many_tokens(g, p, bits);
}

void lf_fast_products(const struct lf_q4_dots *a, void *scratch, struct lf_fast_form form)
{
    bool tiles = by_tiles(a->T, form);
    struct numbers codes =
        numbers_of(a->w->code, form.bits, form.bits == 8 && !tiles ? CODE_MAX_8 : 0);
    struct scale_source scales;
    struct fast_rows g = {.a = a,
                          .x = packed_in(scratch, a->T, a->k1 - a->k0, form.bits),
                          .scales = &scales,
                          .row_scales = ROW_SCALES((a->k1 - a->k0) / BLOCK),
                          .codes = &codes,
                          .y = a->y,
                          .n = a->n0};
    struct panel *p = (void *)((char *)scratch + LF_FAST_SCRATCH - sizeof *p);
    scale_source_init(&scales, a->w, codes.step);
#ifdef __AVX512VNNI__
    if (tiles) {
        many_by_tiles(&g, p);
        return;
    }
#endif
    if (form.bits == 8)
        products(&g, p, 8);
    else
        products(&g, p, 16);
}

#else

size_t lf_fast_depth(size_t T, size_t left, int bits)
{
    (void)T, (void)bits;
    return left;
}

void lf_fast_pack(void *scratch, const float *x, size_t ldx, size_t T, size_t k0, size_t k1,
                  int bits)
{
    (void)scratch, (void)x, (void)ldx, (void)T, (void)k0, (void)k1, (void)bits;
}

void lf_fast_products(const struct lf_q4_dots *a, void *scratch, struct lf_fast_form form)
{
    (void)a, (void)scratch, (void)form;
}

#endif
