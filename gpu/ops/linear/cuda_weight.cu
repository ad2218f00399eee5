/* 4-bit weights on CUDA: put into the kernels' order at load, and taken apart into bf16 for dense
 * products over many tokens. */
#include "gpu/ops/linear/q4.cuh"

#include <new>
#include <string.h>

/* ---- Reordering ------------------------------------------------------------------------------ */

/* A thread makes one unit of a tile from 8 bytes of row g and 8 of row g + 8. */
static __global__ void __launch_bounds__(256)
    reorder_codes_kernel(uint4 *out, const uint8_t *codes, int K, int64_t n)
{
    grid_wait();
    int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n)
        return;
    int lane = q4_unit(i % 32), tiles = K / Q4_BLOCK;
    int64_t tile = i / 32 % tiles, panel = i / 32 / tiles;
    const uint8_t *row = codes + (panel * Q4_PANEL + lane / 4) * (K / 2) + tile * 32 + lane % 4 * 8;
    uint2 lo = *(const uint2 *)row, hi = *(const uint2 *)(row + (int64_t)8 * (K / 2));
    uint32_t a = __byte_perm(lo.x, hi.x, 0x5140), b = __byte_perm(lo.x, hi.x, 0x7362);
    uint32_t c = __byte_perm(lo.y, hi.y, 0x5140), d = __byte_perm(lo.y, hi.y, 0x7362);
    out[i] = make_uint4(__byte_perm(a, c, 0x5410), __byte_perm(a, c, 0x7632),
                        __byte_perm(b, d, 0x5410), __byte_perm(b, d, 0x7632));
}

/* A thread moves one scale. */
template <typename E>
static __global__ void __launch_bounds__(256)
    reorder_scales_kernel(E *out, const E *scales, int tiles, int64_t n)
{
    grid_wait();
    int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n)
        return;
    int64_t row = i / tiles, tile = i % tiles, in = row % Q4_PANEL;
    int64_t run = row / Q4_PANEL * tiles * Q4_PANEL + tile / Q4_RUN * Q4_RUN * Q4_PANEL;
    out[run + in % 8 * 2 * Q4_RUN + tile % Q4_RUN * 2 + in / 8] = scales[i];
}

static bool can_prepare(const struct lf_weight *w)
{
    return w->kind == LF_WEIGHT_Q4 && w->block == Q4_BLOCK && w->N % Q4_PANEL == 0 &&
           w->K % (Q4_BLOCK * Q4_RUN) == 0 && (uintptr_t)w->data % 16 == 0 &&
           (uintptr_t)w->absmax % 16 == 0 && (uintptr_t)w->absmax_q % 8 == 0 &&
           (w->absmax || (w->block2 >= Q4_RUN && (w->block2 & (w->block2 - 1)) == 0));
}

static void reorder(struct lf_stream *s, const struct lf_weight *w)
{
    int64_t elements = (int64_t)w->N * w->K, tiles = w->K / Q4_BLOCK;
    void *copy = lf_cuda_of(s)->scratch;
    lf_stream_copy(s, copy, w->data, elements / 2);
    lf_launch<reorder_codes_kernel>(s, dim3(lf_div_up(elements / 32, 256)), 256, 0,
                                    (uint4 *)w->data, (const uint8_t *)copy, w->K, elements / 32);
    int64_t scales = elements / Q4_BLOCK;
    if (w->absmax) {
        lf_stream_copy(s, copy, w->absmax, scales * sizeof(float));
        lf_launch<reorder_scales_kernel<float>>(s, dim3(lf_div_up(scales, 256)), 256, 0,
                                                (float *)w->absmax, (const float *)copy, (int)tiles,
                                                scales);
    } else {
        lf_stream_copy(s, copy, w->absmax_q, scales);
        lf_launch<reorder_scales_kernel<uint8_t>>(s, dim3(lf_div_up(scales, 256)), 256, 0,
                                                  (uint8_t *)w->absmax_q, (const uint8_t *)copy,
                                                  (int)tiles, scales);
    }
}

enum lf_err lf_cuda_prepare_weight(struct lf_stream *s, struct lf_weight *w, struct lf_diag *diag)
{
    if (!can_prepare(w) || w->prepared)
        return LF_OK;
    struct q4_tables *t = new (std::nothrow) q4_tables();
    if (!t)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a weight");
    enum lf_err rc = lf_stream_reserve(s, (size_t)w->N * w->K / 2, diag);
    if (!rc) {
        lf_stream_download(s, t->code, w->code, sizeof t->code);
        if (!w->absmax)
            lf_stream_download(s, t->map, w->absmax_code, sizeof t->map);
        reorder(s, w);
        rc = lf_stream_wait(s, diag);
    }
    if (rc) {
        delete t;
        return rc;
    }
    w->prepared = t;
    return LF_OK;
}

void lf_cuda_release_weight(struct lf_device *dev, struct lf_weight *w)
{
    (void)dev;
    delete (struct q4_tables *)w->prepared;
    w->prepared = NULL;
}

/* ---- Taking apart ---------------------------------------------------------------------------- */

/* Two decoded values a byte, fp32, sixteen copies side by side: no lanes of a half warp meet. */
LF_DEVICE void fill_pairs(float2 *pairs, const float *code)
{
    for (int i = threadIdx.x; i < 256 * 16; i += 256)
        pairs[i] = make_float2(code[i / 16 >> 4], code[i / 16 & 15]);
}

/* What a lane reads of a tile of 16 rows and 64 columns: codes of rows g and g + 8, their scales.
 */
struct q4_piece {
    uint4 codes;
    float absmax[2];
};

template <bool nested>
LF_DEVICE struct q4_piece load_piece(const struct q4_matrix &m, const float *map, int panel,
                                     int tile, int tiles)
{
    struct q4_piece p;
    int lane = threadIdx.x % 32, g = lane / 4;
    size_t run = ((size_t)panel * tiles + tile / Q4_RUN * Q4_RUN) * Q4_PANEL;
    p.codes = load_once(m.codes + ((size_t)panel * tiles + tile) * 32 + q4_unit(lane));
#pragma unroll
    for (int h = 0; h < 2; h++) {
        size_t scale = run + g * 2 * Q4_RUN + tile % Q4_RUN * 2 + h;
        int block = (panel * Q4_PANEL + g + 8 * h) * tiles + tile;
        p.absmax[h] =
            nested ? __fadd_rn(__fmul_rn(map[m.absmax_q[scale]], m.absmax2[block >> m.shift2]),
                               m.offset)
                   : m.absmax[scale];
    }
    return p;
}

/* Sixteen columns of one row: 32 bytes, which two lanes write together, so that each store fills
 * whole sectors. */
LF_DEVICE void store_pair(bf16 *row, const uint32_t (&w)[8])
{
    bool odd = threadIdx.x % 2;
    uint32_t other[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        other[i] = __shfl_xor_sync(0xffffffffu, odd ? w[i] : w[4 + i], 1);
    uint4 mine = odd ? make_uint4(w[4], w[5], w[6], w[7]) : make_uint4(w[0], w[1], w[2], w[3]);
    uint4 its = make_uint4(other[0], other[1], other[2], other[3]);
    *(uint4 *)(row + (odd ? -8 : 0)) = odd ? its : mine;
    *(uint4 *)(row + (odd ? 8 : 16)) = odd ? mine : its;
}

/* Prepared weights: a warp writes tiles of 16 rows and 64 columns; the next one's codes and scales
 * are on their way meanwhile. */
template <bool nested>
static __global__ void __launch_bounds__(256)
    dequantize_kernel(bf16 *out, int ld, const __grid_constant__ struct q4_matrix m,
                      const float *code, const float *map, int panel, int panels, int tiles)
{
    float2 *pairs = (float2 *)dynamic_smem();
    fill_pairs(pairs, code);
    __syncthreads();
    grid_wait();
    int lane = threadIdx.x % 32, step = gridDim.x * 8, i = blockIdx.x * 8 + threadIdx.x / 32;
    if (i >= panels * tiles)
        return;
    int local = i / tiles, tile = i % tiles;
    struct q4_piece next = load_piece<nested>(m, map, panel + local, tile, tiles);
    for (; i < panels * tiles; i += step) {
        struct q4_piece p = next;
        bf16 *to =
            out + (size_t)(local * Q4_PANEL + lane / 4) * ld + tile * Q4_BLOCK + lane % 4 * 16;
        if (i + step < panels * tiles) {
            local = (i + step) / tiles, tile = (i + step) % tiles;
            next = load_piece<nested>(m, map, panel + local, tile, tiles);
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            uint32_t w[8];
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    uint32_t byte = q4_word(p.codes, j) >> (16 * e + 8 * h) & 255;
                    float2 v = pairs[byte * 16 + lane % 16];
                    w[4 * e + j] = pack2(v.x * p.absmax[h], v.y * p.absmax[h]);
                }
            store_pair(to + (size_t)(8 * h) * ld, w);
        }
    }
}

/* Weights in their natural order, of any block size: elements [begin, begin + n), whole rows. */
static __global__ void __launch_bounds__(256)
    convert_kernel(bf16 *out, int ld, const struct lf_weight w, int64_t begin, int64_t n)
{
    grid_wait();
    int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n)
        return;
    int64_t e = begin + i;
    out += i / w.K * ld + i % w.K;
    if (w.kind != LF_WEIGHT_Q4) {
        *out = w.kind == LF_WEIGHT_BF16 ? ((const bf16 *)w.data)[e]
                                        : __float2bfloat16_rn(((const float *)w.data)[e]);
        return;
    }
    int64_t block = e / w.block;
    float scale =
        w.absmax
            ? w.absmax[block]
            : __fadd_rn(__fmul_rn(w.absmax_code[w.absmax_q[block]], w.absmax2[block / w.block2]),
                        w.offset);
    int byte = ((const uint8_t *)w.data)[e / 2];
    *out = __float2bfloat16_rn(w.code[e % 2 ? byte & 15 : byte >> 4] * scale);
}

void lf_cuda_dequantize(struct lf_stream *s, bf16 *out, int ld, const struct lf_weight *w, int row,
                        int n)
{
    if (!w->prepared) {
        int64_t elements = (int64_t)n * w->K;
        lf_launch<convert_kernel>(s, dim3(lf_div_up(elements, 256)), 256, 0, out, ld, *w,
                                  (int64_t)row * w->K, elements);
        return;
    }
    struct q4_matrix m = q4_matrix_from(w);
    int tiles = w->K / Q4_BLOCK, panels = n / Q4_PANEL, most = 6 * lf_cuda_of(s)->dev->units;
    dim3 grid(panels * tiles / 8 < most ? lf_div_up((int64_t)panels * tiles, 8) : most);
    if (w->absmax)
        lf_launch<dequantize_kernel<false>>(s, grid, 256, 32768, out, ld, m, w->code,
                                            w->absmax_code, row / Q4_PANEL, panels, tiles);
    else
        lf_launch<dequantize_kernel<true>>(s, grid, 256, 32768, out, ld, m, w->code, w->absmax_code,
                                           row / Q4_PANEL, panels, tiles);
}
