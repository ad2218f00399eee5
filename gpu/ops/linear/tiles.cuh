/* What the two kernels over tiles of tokens share: which rows, tokens and part of K a block has,
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
    int panel;  /* its first */
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

/* Row `row` of the block, token `token`: the sum with its bias and its adapter's share into y. */
template <int tokens>
LF_DEVICE void put_sum(const struct q4_call &c, const struct q4_adapters<tokens> &adapters,
                       const struct work &w, int row, int token, float sum)
{
    int panel = w.panel + row / Q4_PANEL;
    if (panel >= c.group.panels)
        return;
    int p = q4_matrix_of(c.group, panel);
    const struct q4_matrix &m = c.group.m[p];
    int n = (panel - m.panel) * Q4_PANEL + row % Q4_PANEL;
    sum += m.bias ? m.bias[n] : 0.0f;
    if (c.lora.sites)
        sum += q4_lora_at(adapters, c, token, w.token + token, p, n);
    put_output(c.y, (size_t)(w.token + token) * c.ldy + m.col + n, sum, c.accumulate, c.y_f32);
}

/* Four rows from `row` on. */
template <int tokens>
LF_DEVICE void put_sums(const struct q4_call &c, const struct q4_adapters<tokens> &adapters,
                        const struct work &w, int row, int token, float4 sum)
{
    put_sum(c, adapters, w, row, token, sum.x);
    put_sum(c, adapters, w, row + 1, token, sum.y);
    put_sum(c, adapters, w, row + 2, token, sum.z);
    put_sum(c, adapters, w, row + 3, token, sum.w);
}

/* Writes the block's sums, `out` (tokens, tile_out<rows>::ld) in shared memory. */
template <int rows, int tokens>
LF_DEVICE void finish(const struct tiles_args &a, const struct q4_adapters<tokens> &adapters,
                      const struct work &w, const float *out)
{
    const int fours = rows / 4;
    int block = blockIdx.y * gridDim.x + blockIdx.x; /* same rows and tokens in every part */
    int n = w.tokens * fours;
    if (a.splits == 1) {
        for (int i = threadIdx.x; i < n; i += blockDim.x)
            put_sums(a.c, adapters, w, i % fours * 4, i / fours,
                     *(const float4 *)(out + i / fours * tile_out<rows>::ld + i % fours * 4));
        return;
    }
    size_t stride = (size_t)gridDim.x * gridDim.y * tokens * fours;
    float4 *part = (float4 *)a.partials + (size_t)block * tokens * fours;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        part[blockIdx.z * stride + i] =
            *(const float4 *)(out + i / fours * tile_out<rows>::ld + i % fours * 4);
    if (!last_to_arrive(&a.counters[block], a.splits))
        return;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 4
        for (int p = 0; p < a.splits; p++) {
            float4 v = __ldcg(&part[p * stride + i]);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        }
        put_sums(a.c, adapters, w, i % fours * 4, i / fours, sum);
    }
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
