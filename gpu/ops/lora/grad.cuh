/* What the kernels of LoRA's gradients share (cuda_grad.cu, cuda_grad_hopper.cu): which gradient a
 * block makes, the rows that it goes through, and the way of its sums to the gradients. A block
 * owns `wide` columns of dy or x by RANKS of u or du. Private to gpu/ops/lora/. */
#ifndef LF_GPU_OPS_LORA_GRAD_CUH
#define LF_GPU_OPS_LORA_GRAD_CUH

#include "gpu/ops/lora/lora.cuh"

#define WARPS 8
#define ROWS 64
#define RANKS 64
#define SUM_LINE LORA_SUM_LINE

struct grad_args {
    const struct lf_lora_site *sites;
    const bf16 *x, *dy, *u, *du;
    int n_sites, n, K, ldx, lddy;
    int site[LF_GROUP_MAX], col[LF_GROUP_MAX], N[LF_GROUP_MAX];
    bool vec_x, vec_dy, vec_u;
    int chunk, parts; /* steps of a block; blocks of a gradient's tile */
    float *partials;
    int *counters;
};

/* One block's gradient: columns from c0 on of wide (T, ld) against columns [first, first +
 * ranks) of narrow (T, n * rank_max). */
struct grad_job {
    const bf16 *wide, *narrow;
    int p, c0, width, ld; /* p: of db, and of da with dropout */
    int slot, first, ranks;
    bool is_a, vec;
};

/* Which gradient and which columns: all tiles of db of each projection, then those of da. */
template <bool drops, int wide>
LF_DEVICE bool find_job(struct grad_job &j, const struct grad_args &a, int rank_max)
{
    int tile = blockIdx.x, last = a.n + (drops ? a.n : 1);
    for (int i = 0; i < last; i++) {
        j.is_a = i >= a.n;
        j.p = i % a.n;
        j.width = j.is_a ? a.K : a.N[j.p];
        int tiles = (j.width + wide - 1) / wide, of = drops || !j.is_a ? 1 : a.n;
        if (tile >= tiles) {
            tile -= tiles;
            continue;
        }
        j.c0 = tile * wide;
        j.wide = j.is_a ? a.x : a.dy + a.col[j.p];
        j.ld = j.is_a ? a.ldx : a.lddy;
        j.narrow = j.is_a ? a.du : a.u;
        j.vec = j.is_a ? a.vec_x : a.vec_dy;
        int rank0 = blockIdx.y / a.parts * RANKS;
        j.first = j.p * rank_max + rank0;
        j.ranks = min(RANKS, of * rank_max - rank0);
        return j.ranks > 0;
    }
    return false;
}

/* True for the first segment that trains this slot: its blocks do all of them. */
LF_DEVICE bool leads(const struct lora_batch &b, int seg)
{
    if (!b.segs[seg].trains || b.segs[seg].start >= b.segs[seg].end)
        return false;
    for (int i = 0; i < seg; i++)
        if (b.segs[i].trains && b.segs[i].slot == b.segs[seg].slot &&
            b.segs[i].start < b.segs[i].end)
            return false;
    return true;
}

/* A place in the rows of a slot. */
struct cursor {
    int seg, row, end; /* row >= end: there are no more */
};

LF_DEVICE void find_rows(struct cursor &c, const struct lora_batch &b, int slot)
{
    while (c.row >= c.end && ++c.seg < b.n_segs) {
        const struct lf_lora_seg seg = b.segs[c.seg];
        if (seg.trains && seg.slot == slot)
            c.row = seg.start, c.end = seg.end;
    }
}

/* Moves on by so many steps. */
LF_DEVICE void skip_steps(struct cursor &c, const struct lora_batch &b, int slot, int steps)
{
    for (find_rows(c, b, slot); steps > 0 && c.row < c.end; find_rows(c, b, slot)) {
        int here = min(steps, (c.end - c.row + ROWS - 1) / ROWS);
        c.row += here * ROWS;
        steps -= here;
    }
}

/* Adds the sums to the gradients. */
template <int wide>
LF_DEVICE void put_gradient(const float *sum, const struct grad_args &a, const struct grad_job &j,
                            int rank_max)
{
    int cols = min(wide, j.width - j.c0);
    for (int i = threadIdx.x; i < j.ranks * cols; i += WARPS * 32) {
        int column = j.is_a ? i / cols : i % j.ranks, c = j.is_a ? i % cols : i / j.ranks;
        int p = (j.first + column) / rank_max, r = (j.first + column) % rank_max;
        const struct lf_lora_site &site = a.sites[(size_t)j.slot * a.n_sites + a.site[p]];
        float v = sum[c * SUM_LINE + column];
        if (r >= site.trained)
            continue;
        if (j.is_a)
            site.da[(size_t)r * j.width + j.c0 + c] += v;
        else
            site.db[(size_t)(j.c0 + c) * site.rank + r] += site.scale * v;
    }
}

/* The sums of all parts of this block's tile; false in all but the last of their blocks. */
template <int wide, int cols> LF_DEVICE bool join_parts(float *sum, const struct grad_args &a)
{
    int part = blockIdx.y % a.parts, groups = gridDim.y / a.parts;
    size_t tile = ((size_t)blockIdx.z * groups + blockIdx.y / a.parts) * gridDim.x + blockIdx.x;
    return lora_join_parts<WARPS * 32, wide * 64, cols>(
        sum, a.partials + tile * a.parts * wide * 64, a.counters + tile, part, a.parts, wide);
}

/* Host: the grid, and rows in parts; at_once: blocks a multiprocessor. */
static inline dim3 grad_divide(struct lf_stream *s, struct grad_args *g,
                               const struct lf_ragged *batch, bool drops, int wide, int at_once)
{
    int tiles = lf_div_up(g->K, wide) * (drops ? g->n : 1), steps = lf_div_up(batch->T, ROWS);
    for (int p = 0; p < g->n; p++)
        tiles += lf_div_up(g->N[p], wide);
    dim3 grid(tiles, lf_div_up(batch->rank_max * (drops ? 1 : g->n), RANKS), batch->n_segs);
    steps += batch->n_segs > 1 ? batch->n_segs : 0; /* each may end with a step that is not full */
    g->chunk = lora_chunk(s, (int64_t)grid.x * grid.y * grid.z, &steps, 1, at_once, wide * 64);
    g->parts = lf_div_up(steps, g->chunk);
    g->partials = lf_cuda_of(s)->partials;
    g->counters = lf_cuda_of(s)->counters;
    grid.y *= g->parts;
    return grid;
}

/* Without dropout. False where the copy engine does not fit. */
bool lf_cuda_lora_grads_hopper(struct lf_stream *s, struct grad_args *g, const struct lf_ragged *b);

#endif
