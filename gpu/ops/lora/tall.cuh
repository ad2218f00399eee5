/* What the kernels of LoRA's long contractions share (cuda_tall.cu, cuda_tall_hopper.cu): the
 * block's share, and the way of its sums to u or du. Private to gpu/ops/lora/. */
#ifndef LF_GPU_OPS_LORA_TALL_CUH
#define LF_GPU_OPS_LORA_TALL_CUH

#include "gpu/ops/lora/lora.cuh"

#define WARPS 8
#define ROWS 64
#define COLS 64 /* of u a block */
#define SUM_LINE LORA_SUM_LINE

struct tall_args {
    const struct lf_lora_site *sites;
    bf16 *out;     /* (T, n * rank_max) */
    const bf16 *x; /* (T, ld): x or dy */
    int n_sites, n, ld;
    int site[LF_GROUP_MAX], col[LF_GROUP_MAX], length[LF_GROUP_MAX]; /* columns of x to contract */
    bool training, vec;
    bool each; /* a projection a block; else all together, over the same columns of x */
    int chunk; /* steps of a block */
    int part[LF_GROUP_MAX +
             1]; /* blocks [part[p], part[p + 1]) of the grid's y are projection p's */
    float *partials;
    int *counters;
    bf16 *tail; /* (T, ld) where the result goes again, in j's columns; or NULL */
    struct lora_join j;
};

/* A block's share. */
struct tall_tile {
    struct row_tile rows;
    int p;           /* its projection, or the first of all */
    int first, cols; /* columns of u */
    int k, end;      /* columns of x, from the projection's first */
};

/* Which rank of which projection a column of u is. */
LF_DEVICE int rank_of(int *p, int col, int rank_max)
{
    *p = small_div(col, rank_max);
    return col - *p * rank_max;
}

/* The sums of all parts of the block's tile; false in all but the last of their blocks. */
template <int cols>
LF_DEVICE bool join_parts(float *sum, const struct tall_args &a, const struct tall_tile &t)
{
    size_t row = (size_t)blockIdx.z * gridDim.x + blockIdx.x, p = a.each ? t.p : 0;
    float *of = a.partials + (row * gridDim.y + a.part[p]) * LORA_SUMS;
    return lora_join_parts<WARPS * 32, LORA_SUMS, cols>(
        sum, of, a.counters + row * LF_GROUP_MAX + p, blockIdx.y - a.part[p],
        a.part[p + 1] - a.part[p], t.rows.n);
}

/* Columns that no adapter has are zeros, in u too. */
template <bool backward>
LF_DEVICE void put_ranks(const float *sum, const struct tall_args &a, const struct tall_tile &t,
                         const struct lf_lora_site *site, int slot, int rank_max)
{
    int i = 0, width = a.n * rank_max;
    while (i + 1 < a.j.n_slots && a.j.slot[i] != slot)
        i++;
    for (int at = threadIdx.x; at < t.rows.n * COLS; at += WARPS * 32) {
        int row = at / COLS, c = at % COLS, p;
        if (c >= t.cols)
            continue;
        int r = rank_of(&p, t.first + c, rank_max);
        float scale = backward ? site[p].scale : 1.0f;
        float v = r < site[p].rank ? scale * sum[row * SUM_LINE + c] : 0.0f;
        size_t to = t.rows.row + row;
        a.out[to * width + t.first + c] = __float2bfloat16_rn(v);
        if (a.tail)
            a.tail[to * a.ld + i * width + t.first + c] = __float2bfloat16_rn(v);
    }
}

/* This block's share, of steps of so many columns of x; false where there is none. */
template <int step>
LF_DEVICE bool find_tile(struct tall_tile &t, const struct tall_args &a, const struct lora_batch &b)
{
    t.rows = find_row_tile(b.segs, b.n_segs, ROWS, blockIdx.x, a.training);
    t.p = 0;
    while ((int)blockIdx.y >= a.part[t.p + 1])
        t.p++;
    int rank0 = blockIdx.z * COLS;
    t.first = t.p * b.rank_max + rank0;
    t.cols = min(COLS, (a.each ? b.rank_max : a.n * b.rank_max) - rank0);
    t.k = (blockIdx.y - a.part[t.p]) * a.chunk * step;
    t.end = min(t.k + a.chunk * step, a.length[t.p]);
    return t.rows.seg >= 0;
}

/* Host: the contraction in parts, steps of `step` columns, which make the grid's y; at_once: blocks
 * a multiprocessor. */
static inline void tall_divide(struct lf_stream *s, struct tall_args *t, dim3 *grid, int step,
                               int at_once)
{
    const struct lf_cuda_stream *cs = lf_cuda_of(s);
    int steps[LF_GROUP_MAX], n = t->each ? t->n : 1;
    for (int p = 0; p < n; p++)
        steps[p] = lf_div_up(t->length[p], step);
    t->chunk = lora_chunk(s, (int64_t)grid->x * grid->z, steps, n, at_once);
    for (int p = 0; p < n; p++)
        t->part[p + 1] = t->part[p] + lf_div_up(steps[p], t->chunk);
    t->partials = cs->partials;
    t->counters = cs->counters;
    grid->y = t->part[n];
}

/* Without dropout. False where the copy engine does not fit. */
bool lf_cuda_lora_tall_hopper(struct lf_stream *s, struct tall_args *t, const struct lf_ragged *b,
                              bool backward);

#endif
