/* 4-bit weights on CUDA: put into the kernels' order at load, and taken apart into bf16 for dense
 * products over many tokens. */
#include "gpu/ops/linear/q4.cuh"

#include <new>

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
    lf_cuda_of(s)->unpacked = NULL;
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
        return lf_no_memory(diag, "a weight");
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
#define PAIRS (256 * 16)
/* A warp's 16 rows of 256 columns on their way out, bytes of a row: no rows meet in a bank. */
#define STAGE_LINE (Q4_RUN * Q4_BLOCK * 2 + 16)

struct unpack_tables {
    float2 pairs[PAIRS];
    float map[256]; /* of nested scales */
};

static constexpr size_t unpack_smem(int warps)
{
    return sizeof(struct unpack_tables) + (size_t)warps * Q4_PANEL * STAGE_LINE;
}

LF_DEVICE void fill_tables(struct unpack_tables &t, const float *code, const float *map)
{
    for (int i = threadIdx.x; i < PAIRS; i += blockDim.x)
        t.pairs[i] = make_float2(code[i / 16 >> 4], code[i / 16 & 15]);
    for (int i = threadIdx.x; map && i < 256; i += blockDim.x)
        t.map[i] = map[i];
}

/* What a lane reads of a run, the four tiles of a panel whose scales lie together: codes of rows g
 * and g + 8, and their scales. */
template <bool nested> struct q4_run {
    uint4 codes[Q4_RUN];
    struct q4_scales<nested> scales;
};

template <bool nested>
LF_DEVICE void load_run(struct q4_run<nested> &r, const struct q4_matrix &m, int panel, int tile,
                        int tiles)
{
    int lane = threadIdx.x % 32;
    size_t first = (size_t)panel * tiles;
    struct q4_panel p = {};
    p.absmax_q = m.absmax_q + first * Q4_PANEL;
    p.absmax = m.absmax + first * Q4_PANEL;
    p.absmax2 = m.absmax2;
    p.block = (panel * Q4_PANEL + lane / 4) * tiles;
    p.shift2 = m.shift2;
#pragma unroll
    for (int t = 0; t < Q4_RUN; t++)
        r.codes[t] = load_once(m.codes + (first + tile + t) * 32 + q4_unit(lane));
    q4_fetch_scales(r.scales, p, tiles, tile);
}

/* Of row g (h 0) or g + 8 in tile t of the run. */
LF_DEVICE float scale_of(const struct q4_scales<true> &s, int t, int h, float offset,
                         const struct unpack_tables &tables)
{
    float v = tables.map[s.bytes[t / 2] >> (t % 2 * 16 + h * 8) & 255];
    return __fadd_rn(__fmul_rn(v, s.absmax2[h]), offset);
}

LF_DEVICE float scale_of(const struct q4_scales<false> &s, int t, int h, float offset,
                         const struct unpack_tables &tables)
{
    (void)offset, (void)tables;
    return h ? s.value[t].y : s.value[t].x;
}

/* Sixteen columns of row g or g + 8 into the stage. */
LF_DEVICE void stage_columns(unsigned char *to, const uint4 &codes, int h, float scale,
                             const struct unpack_tables &tables)
{
    uint32_t w[8];
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            uint32_t byte = q4_word(codes, j) >> (16 * e + 8 * h) & 255;
            float2 v = tables.pairs[byte * 16 + threadIdx.x % 16];
            w[4 * e + j] = pack2(v.x * scale, v.y * scale);
        }
    ((uint4 *)to)[0] = make_uint4(w[0], w[1], w[2], w[3]);
    ((uint4 *)to)[1] = make_uint4(w[4], w[5], w[6], w[7]);
}

/* Prepared weights: a warp makes 16 rows of 256 columns at a time and writes each row's 512 bytes
 * at once; the next ones' codes and scales are on their way meanwhile. Memory's writes bound it
 * (3.4 of 4.3 TB/s). Lost: rows written from registers, 32 bytes of eight rows at a time (2.2 TB/s,
 * whatever is under way); by the copy engine (3.3). */
template <bool nested, int warps>
static __global__ void __launch_bounds__(warps * 32)
    dequantize_kernel(bf16 *out, int ld, const __grid_constant__ struct q4_matrix m,
                      const float *code, const float *map, int panel, int panels, int tiles)
{
    struct unpack_tables &tables = *(struct unpack_tables *)dynamic_smem();
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, runs = tiles / Q4_RUN;
    unsigned char *stage =
        dynamic_smem() + sizeof(struct unpack_tables) + warp * Q4_PANEL * STAGE_LINE;
    fill_tables(tables, code, nested ? map : NULL);
    __syncthreads();
    grid_wait();
    int step = gridDim.x * warps, i = blockIdx.x * warps + warp;
    if (i >= panels * runs)
        return;
    struct q4_run<nested> next;
    load_run(next, m, panel + i / runs, i % runs * Q4_RUN, tiles);
    for (; i < panels * runs; i += step) {
        const struct q4_run<nested> r = next;
        bf16 *to = out + (size_t)(i / runs * Q4_PANEL) * ld + i % runs * (Q4_RUN * Q4_BLOCK);
        if (i + step < panels * runs)
            load_run(next, m, panel + (i + step) / runs, (i + step) % runs * Q4_RUN, tiles);
#pragma unroll
        for (int t = 0; t < Q4_RUN; t++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                stage_columns(stage + (lane / 4 + 8 * h) * STAGE_LINE + t * 128 + lane % 4 * 32,
                              r.codes[t], h, scale_of(r.scales, t, h, m.offset, tables), tables);
        __syncwarp();
#pragma unroll
        for (int row = 0; row < Q4_PANEL; row++)
            *(uint4 *)(to + (size_t)row * ld + lane * 8) =
                *(const uint4 *)(stage + row * STAGE_LINE + lane * 16);
        __syncwarp();
    }
}

template <bool nested, int warps>
static void launch_dequantize(struct lf_stream *s, bf16 *out, int ld, const struct lf_weight *w,
                              int row, int n)
{
    const struct lf_cuda *dev = lf_cuda_of(s)->dev;
    int tiles = w->K / Q4_BLOCK, panels = n / Q4_PANEL, most = 16 / warps * dev->units;
    int blocks = lf_div_up((int64_t)panels * (tiles / Q4_RUN), warps);
    lf_launch<dequantize_kernel<nested, warps>>(
        s, dim3(blocks < most ? blocks : most), warps * 32, unpack_smem(warps), out, ld,
        q4_matrix_from(w), w->code, w->absmax_code, row / Q4_PANEL, panels, tiles);
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
    bool wide = lf_cuda_of(s)->dev->smem_block >= (int)unpack_smem(8);
    if (w->absmax)
        wide ? launch_dequantize<false, 8>(s, out, ld, w, row, n)
             : launch_dequantize<false, 4>(s, out, ld, w, row, n);
    else
        wide ? launch_dequantize<true, 8>(s, out, ld, w, row, n)
             : launch_dequantize<true, 4>(s, out, ld, w, row, n);
}
