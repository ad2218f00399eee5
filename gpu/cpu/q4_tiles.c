/* Products by tiles. Several blocks' sums are stored before the first is scaled, so that a result
 * stays in a register for all of them. */
#include "gpu/cpu/q4_tiles.h"

#ifdef __AVX512VNNI__

#include "core/num.h"

#include <stdbool.h>

#define TILES __attribute__((target("amx-tile,amx-int8")))
#define BLOCK 64 /* elements, a row of a tile */
#define TILE_ROWS 16
#define LANES 16
#define ROWS LF_TILES_ROWS
#define FOUR 4     /* blocks whose sums are stored: 16 KiB; they are added one after the other */
#define TOGETHER 4 /* tokens whose results are in registers, two each */

/* A block's sums, of two tiles of tokens. */
typedef int32_t tile_sums[2][TILE_ROWS][ROWS];
/* Four blocks', scaled. */
typedef float tile_fours[2][TILE_ROWS][ROWS];

/* Tokens are cut into tiles of nearly the same size, an even number of them. */
static size_t tokens_of_tile(size_t T)
{
    size_t tiles = (T + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS) * 2;
    return (T + tiles - 1) / tiles;
}

/* Tiles 0 to 3 are sums, 4 and 5 tokens, 6 and 7 the panel's. */
TILES void lf_tiles_begin(size_t T)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.row_bytes[i] = BLOCK;
        shape.rows[i] = i < 6 ? (uint8_t)tokens_of_tile(T) : TILE_ROWS;
    }
    __asm__ volatile("" : : "r"(&shape) : "memory"); /* gcc takes it to read eight bytes only */
    _tile_loadconfig(&shape);
}

TILES void lf_tiles_end(void)
{
    _tile_release();
}

/* A block's sums of two tiles of tokens, which start at x and `second` bytes behind: four products
 * that do not wait for each other. */
TILES LF_INLINE void block_sums(tile_sums out, const int8_t *x, size_t second, size_t stride,
                                const int8_t *numbers)
{
    const size_t line = ROWS * 4, ld = sizeof out[0][0];
    _tile_loadd(4, x, stride);
    _tile_loadd(6, numbers, line);
    _tile_zero(0);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, numbers + LANES * 4, line);
    _tile_zero(1);
    _tile_dpbssd(1, 4, 7);
    _tile_loadd(5, x + second, stride);
    _tile_zero(2);
    _tile_dpbssd(2, 5, 6);
    _tile_zero(3);
    _tile_dpbssd(3, 5, 7);
    _tile_stored(0, &out[0][0][0], ld);
    _tile_stored(1, &out[0][0][LANES], ld);
    _tile_stored(2, &out[1][0][0], ld);
    _tile_stored(3, &out[1][0][LANES], ld);
}

/* Up to four blocks' sums, from block b on, of M tokens from t on, which have rows from i on in
 * tile `tile`. The first four wait in `first` for the second, and both join the results. */
LF_INLINE void scale_sums(const struct lf_tiles *a, const tile_sums *sums, tile_fours first,
                          size_t b, size_t n, size_t t, size_t tile, size_t i, const size_t M)
{
    bool second = b / FOUR % 2, last = second || b + FOUR >= a->blocks;
    __m512 y[TOGETHER][2];
#pragma GCC unroll 4
    for (size_t m = 0; m < M; m++)
        y[m][0] = y[m][1] = _mm512_setzero_ps();
    for (size_t j = 0; j < n; j++) {
        const float *scales = a->token_scales + t * a->scale_stride + b + j;
#pragma GCC unroll 2
        for (size_t half = 0; half < 2; half++) {
            __m512 row = _mm512_loadu_ps(&a->scales[b + j][half * LANES]);
#pragma GCC unroll 4
            for (size_t m = 0; m < M; m++) {
                __m512i sum = _mm512_load_si512(&sums[j][tile][i + m][half * LANES]);
                y[m][half] =
                    _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), row),
                                    _mm512_set1_ps(scales[m * a->scale_stride]), y[m][half]);
            }
        }
    }
#pragma GCC unroll 4
    for (size_t m = 0; m < M; m++)
#pragma GCC unroll 2
        for (size_t half = 0; half < 2; half++) {
            float *one = &first[tile][i + m][half * LANES], *out = &a->out[t + m][half * LANES];
            if (second)
                y[m][half] = _mm512_add_ps(_mm512_loadu_ps(one), y[m][half]);
            if (last)
                y[m][half] = _mm512_add_ps(_mm512_loadu_ps(out), y[m][half]);
            _mm512_storeu_ps(last ? out : one, y[m][half]);
        }
}

/* Two tiles of M tokens from t on; behind the last token nothing is scaled. */
TILES LF_INLINE void tile_products(const struct lf_tiles *a, size_t t, size_t M)
{
    _Alignas(64) tile_sums sums[FOUR];
    _Alignas(64) tile_fours first;
    for (size_t b = 0; b < a->blocks; b += FOUR) {
        size_t n = lf_min(FOUR, a->blocks - b);
        for (size_t j = 0; j < n; j++)
            block_sums(sums[j], a->tokens + t * a->stride + (b + j) * BLOCK, M * a->stride,
                       a->stride, a->numbers + (b + j) * BLOCK * ROWS);
        for (size_t tile = 0; tile < 2 && t + tile * M < a->T; tile++) {
            size_t from = t + tile * M, end = lf_min(M, a->T - from), i = 0;
            for (; i + TOGETHER <= end; i += TOGETHER)
                scale_sums(a, sums, first, b, n, from + i, tile, i, TOGETHER);
            for (; i < end; i++)
                scale_sums(a, sums, first, b, n, from + i, tile, i, 1);
        }
    }
}

TILES void lf_tiles_multiply(const struct lf_tiles *a)
{
    size_t M = tokens_of_tile(a->T);
    __asm__ volatile("" ::: "memory"); /* loads of tiles do not say what they read */
    for (size_t t = 0; t < a->T; t += 2 * M)
        tile_products(a, t, M);
}

#endif
