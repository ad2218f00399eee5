/* The parts around the products of cuda_tiles.cu: which rows, tokens and part of K a block has,
 * and how the parts meet. Private to gpu/ops/linear/.
 *
 * A block makes `rows` rows, a panel a warp, for a tile of tokens over a part of K. Parts of K are
 * added by the last block that finishes, in order. Blocks over the same weights and other tokens
 * are neighbours, so that memory is read once and L2 the other times. */
#ifndef LF_GPU_OPS_LINEAR_TILES_CUH
#define LF_GPU_OPS_LINEAR_TILES_CUH

#include "gpu/ops/linear/q4.cuh"

/* Floats of a token's sums in shared memory: four more than rows, so that tokens start in other
 * banks. */
template <int rows> struct tile_out {
    static const int ld = rows + 4;
};

struct tiles_args {
    struct q4_call c;
    int splits, runs; /* parts of K; runs of tiles in each */
    float *partials;
    int *counters;
};

/* Where a block works. */
struct work {
    int panel; /* its first */
    int token, tokens;
    int begin, end; /* runs of tiles */
};

/* Grid: tiles of tokens, blocks of rows, parts of K. */
LF_DEVICE struct work work_of(const struct tiles_args &a, int rows, int tokens)
{
    struct work w;
    w.panel = blockIdx.y * (rows / Q4_PANEL);
    w.token = blockIdx.x * tokens;
    w.tokens = min(tokens, a.c.T - w.token);
    w.begin = blockIdx.z * a.runs;
    w.end = min(w.begin + a.runs, a.c.group.tiles / Q4_RUN);
    return w;
}

/* A block's sums, by number: token * rows / 4 + four rows. */
template <int rows> struct block_sums {
    const float *out;   /* in shared memory, (tokens, tile_out<rows>::ld); or NULL and */
    const float4 *part; /* those of the first part of K, the other parts `stride` further on each */
    size_t stride;
    int splits;
};

template <int rows> LF_DEVICE float4 sums_at(const struct block_sums<rows> &s, int i)
{
    const int fours = rows / 4;
    if (s.out)
        return *(const float4 *)(s.out + i / fours * tile_out<rows>::ld + i % fours * 4);
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 4
    for (int p = 0; p < s.splits; p++) {
        float4 v = __ldcg(&s.part[p * s.stride + i]);
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
    }
    return sum;
}

template <int rows>
LF_DEVICE void put_block(const struct tiles_args &a, const struct work &w,
                         const struct block_sums<rows> &s)
{
    const int fours = rows / 4;
    const struct q4_call &c = a.c;
    for (int i = threadIdx.x; i < w.tokens * fours; i += blockDim.x) {
        int token = i / fours, row = i % fours * 4, panel = w.panel + row / Q4_PANEL;
        if (panel >= c.group.panels)
            continue;
        float4 v = sums_at(s, i);
        float sum[4] = {v.x, v.y, v.z, v.w};
        size_t at = q4_complete(sum, c, panel, row % Q4_PANEL, w.token + token);
#pragma unroll
        for (int e = 0; e < 4; e++)
            put_output(c.y, at + e, sum[e], c.accumulate, c.y_f32);
    }
}

/* Writes the block's sums, `out` (tokens, tile_out<rows>::ld) in shared memory. */
template <int rows, int tokens>
LF_DEVICE void finish(const struct tiles_args &a, const struct work &w, float *out)
{
    const int fours = rows / 4;
    int block = blockIdx.y * gridDim.x + blockIdx.x; /* same rows and tokens in every part */
    if (a.splits == 1) {
        put_block(a, w, block_sums<rows>{out, NULL, 0, 1});
        return;
    }
    size_t stride = (size_t)gridDim.x * gridDim.y * tokens * fours;
    float4 *part = (float4 *)a.partials + (size_t)block * tokens * fours;
    for (int i = threadIdx.x; i < w.tokens * fours; i += blockDim.x)
        part[blockIdx.z * stride + i] =
            *(const float4 *)(out + i / fours * tile_out<rows>::ld + i % fours * 4);
    if (last_to_arrive(&a.counters[block], a.splits))
        put_block(a, w, block_sums<rows>{NULL, part, stride, a.splits});
}

/* Host: cuts K so that about `blocks` blocks a multiprocessor run; `unit`: runs that go together.
 */
static inline dim3 tiles_grid(struct lf_stream *s, struct tiles_args *a, const struct q4_call *c,
                              int rows, int tokens, int unit, int blocks)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    int columns = lf_div_up(c->T, tokens), across = lf_div_up(c->group.panels, rows / Q4_PANEL);
    int runs = c->group.tiles / Q4_RUN;
    size_t bytes = (size_t)columns * across * tokens * rows * sizeof(float);
    int most = (int)(LF_CUDA_PARTIALS / bytes);
    int splits = blocks * cs->dev->units / (columns * across);
    splits = splits < most ? splits : most;
    if ((int64_t)columns * across > LF_CUDA_COUNTERS || splits < 1)
        splits = 1;
    *a = {*c, 1, 0, cs->partials, cs->counters};
    a->runs = lf_div_up(lf_div_up(runs, splits), unit) * unit;
    a->splits = lf_div_up(runs, a->runs);
    return dim3(columns, across, a->splits);
}

#endif
