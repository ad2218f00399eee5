/* LoRA's gradients: db += scale dy^T u and da += du^T drop(x), for every projection of a group and
 * every adapter in one launch. A block owns 64 columns of dy or x by 64 of u or du and goes through
 * the rows of its adapter, in all segments, in order, or through a part of them: the last block of
 * the parts adds their sums in order, so results repeat. The projections share x, and so the blocks
 * of da (with dropout each has its own mask, and its own blocks).
 *
 * 64 rows a step go through shared memory, four steps under way; four pairs of warps take 16
 * columns each, and a pair shares the rows. Memory-bound: dy and x once.
 */
#include "gpu/ops/lora/lora.cuh"

#define WARPS 8
#define ROWS 64
#define COLS 64
#define RANKS 64
#define STAGES 4
#define LINE 72 /* elements of a row in shared memory: 64, and 8 against bank conflicts */
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

/* One block's gradient: columns [c0, c0 + COLS) of wide (T, ld) against columns [first, first +
 * ranks) of narrow (T, n * rank_max). */
struct grad_job {
    const bf16 *wide, *narrow;
    int p, c0, width, ld; /* p: of db, and of da with dropout */
    int slot, first, ranks;
    bool is_a, vec;
};

struct grad_stage {
    bf16 wide[ROWS * LINE], narrow[ROWS * LINE];
};

/* Which gradient and which columns: all tiles of db of each projection, then those of da. */
template <bool drops>
LF_DEVICE bool find_job(struct grad_job &j, const struct grad_args &a, int rank_max)
{
    int tile = blockIdx.x, last = a.n + (drops ? a.n : 1);
    for (int i = 0; i < last; i++) {
        j.is_a = i >= a.n;
        j.p = i % a.n;
        j.width = j.is_a ? a.K : a.N[j.p];
        int tiles = (j.width + COLS - 1) / COLS, of = drops || !j.is_a ? 1 : a.n;
        if (tile >= tiles) {
            tile -= tiles;
            continue;
        }
        j.c0 = tile * COLS;
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

/* A run of eight that this thread brings each step: `row` of the step, from base + first row * ld.
 * Worked out once: addresses would cost more than the copies. */
struct run {
    const bf16 *base;
    int to, row; /* to -1: none; row NOWHERE: zeros */
    int width;   /* elements that are there */
};
#define NOWHERE (1 << 30)
#define RUNS (ROWS * COLS / 8 / (WARPS * 32)) /* of a thread in a tile, at most */

/* Columns [0, width) from base on, of tiles of `runs` runs a row. */
LF_DEVICE void find_runs(struct run (&r)[RUNS], const bf16 *base, int ld, int width, int runs)
{
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        int run = i * WARPS * 32 + threadIdx.x, row = small_div(run, runs);
        int c = (run - row * runs) * 8;
        bool there = c < width;
        r[i] = {base + (there ? (size_t)row * ld + c : (size_t)0), row < ROWS ? row * LINE + c : -1,
                there ? row : NOWHERE, min(8, width - c)};
    }
}

/* Element by element, where addresses do not line up. */
LF_DEVICE void bring_slowly(bf16 *tile, const struct run &r, const bf16 *from, int left)
{
    if (r.to >= 0)
        *(uint4 *)(tile + r.to) =
            r.row < left ? words8(from, r.width, false) : make_uint4(0, 0, 0, 0);
}

/* What the masks of a step's rows are drawn from. */
LF_DEVICE void find_drops(struct drop *drop, const struct grad_args &a, const struct lora_batch &b,
                          const struct grad_job &j, const struct cursor &at)
{
    int row = at.row + threadIdx.x;
    if (threadIdx.x < ROWS && row < at.end)
        drop[threadIdx.x] = drop_of(b.seqs, b.seq, b.pos, row, j.width, a.site[j.p]);
}

/* The masks of the runs that this thread brought. */
LF_DEVICE void drop_wide(struct grad_stage &s, const struct drop *drop, const struct grad_job &j,
                         const struct cursor &at)
{
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        int run = i * WARPS * 32 + threadIdx.x, row = run / 8, c = run % 8 * 8;
        uint4 *words = (uint4 *)(s.wide + row * LINE + c);
        if (at.row + row < at.end && j.c0 + c < j.width)
            *words = drop_words(*words, drop[row], j.c0 + c);
    }
}

/* acc += (16 columns) x (pairs of eight ranks) over this warp's 32 rows of the step. */
template <int pairs> LF_DEVICE void add_step(float (&acc)[8][4], const struct grad_stage &s)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = warp / 4 * 32;
    const bf16 *wide =
        s.wide + (row + lane / 16 * 8 + lane % 8) * LINE + warp % 4 * 16 + lane / 8 % 2 * 8;
    const bf16 *narrow = s.narrow + (row + lane % 16) * LINE + lane / 16 * 8;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint32_t f[4], g[pairs][4];
        ldmatrix_trans(f, wide + h * 16 * LINE);
#pragma unroll
        for (int t = 0; t < pairs; t++)
            ldmatrix_trans(g[t], narrow + h * 16 * LINE + t * 16);
#pragma unroll
        for (int t = 0; t < pairs; t++) {
            mma(acc[2 * t], f, g[t][0], g[t][1]);
            mma(acc[2 * t + 1], f, g[t][2], g[t][3]);
        }
    }
}

/* Joins the two halves of the rows, columns by ranks. */
LF_DEVICE void join_halves(float *sum, const float (&acc)[8][4])
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *at = sum + (warp % 4 * 16 + lane / 4) * SUM_LINE + lane % 4 * 2;
    for (int turn = 0; turn < 2; turn++) {
        __syncthreads();
        if (warp / 4 == turn)
#pragma unroll
            for (int t = 0; t < 8; t++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float *to = at + e / 2 * 8 * SUM_LINE + t * 8 + e % 2;
                    *to = turn ? *to + acc[t][e] : acc[t][e];
                }
    }
    __syncthreads();
}

/* Adds the sums to the gradients. */
LF_DEVICE void put_gradient(const float *sum, const struct grad_args &a, const struct grad_job &j,
                            int rank_max)
{
    int cols = min(COLS, j.width - j.c0);
    for (int i = threadIdx.x; i < j.ranks * cols; i += WARPS * 32) {
        int column = j.is_a ? i / cols : i % j.ranks, c = j.is_a ? i % cols : i / j.ranks;
        int p = (j.first + column) / rank_max, r = (j.first + column) % rank_max;
        const struct lf_lora_site &site = a.sites[(size_t)j.slot * a.n_sites + a.site[p]];
        float v = sum[c * SUM_LINE + column];
        if (r >= site.rank)
            continue;
        if (j.is_a)
            site.da[(size_t)r * j.width + j.c0 + c] += v;
        else
            site.db[(size_t)(j.c0 + c) * site.rank + r] += site.scale * v;
    }
}

/* The loop over the adapter's rows. vec: all of them in whole words. drop: of this step's rows, and
 * of the next one's. */
template <bool drops, bool vec, int pairs>
LF_DEVICE void contract(float (&acc)[8][4], const struct grad_args &a, const struct lora_batch &b,
                        const struct grad_job &j, struct drop *drop)
{
    struct grad_stage *stage = (struct grad_stage *)dynamic_smem();
    struct cursor ahead = {(int)blockIdx.z - 1, 0, 0};
    int ld = a.n * b.rank_max, brought = 0;
    skip_steps(ahead, b, j.slot, (int)blockIdx.y % a.parts * a.chunk);
    struct cursor at = ahead;
    struct run wide[RUNS], narrow[RUNS];
    find_runs(wide, j.wide + j.c0, j.ld, j.width - j.c0, COLS / 8);
    find_runs(narrow, j.narrow + j.first, ld, j.ranks, (j.ranks + 7) / 8);
    uint32_t to_wide[RUNS], to_narrow[RUNS];
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        to_wide[i] = shared_at(stage->wide + wide[i].to);
        to_narrow[i] = shared_at(stage->narrow + narrow[i].to);
    }
    auto bring = [&](int to) {
        find_rows(ahead, b, j.slot);
        int left = brought++ < a.chunk ? ahead.end - ahead.row : 0;
#pragma unroll
        for (int i = 0; i < RUNS && left > 0; i++) {
            const bf16 *w = wide[i].base + (size_t)ahead.row * j.ld;
            const bf16 *n = narrow[i].base + (size_t)ahead.row * ld;
            if (vec) {
                copy_async(to_wide[i] + to * (int)sizeof *stage, w, wide[i].row < left);
                if (narrow[i].to >= 0)
                    copy_async(to_narrow[i] + to * (int)sizeof *stage, n, narrow[i].row < left);
            } else {
                bring_slowly(stage[to].wide, wide[i], w, left);
                bring_slowly(stage[to].narrow, narrow[i], n, left);
            }
        }
        ahead.row += ROWS;
        copy_async_commit();
    };
    for (int i = 0; i < STAGES - 1; i++)
        bring(i);
    int from = 0;
    if (drops && j.is_a) {
        find_drops(drop, a, b, j, at);
        __syncthreads();
    }
    for (int step = 0; step < a.chunk && at.row < at.end; step++) {
        struct cursor next = at;
        next.row += ROWS;
        find_rows(next, b, j.slot);
        copy_async_wait<STAGES - 2>();
        if (drops && j.is_a) {
            drop_wide(stage[from], drop + from % 2 * ROWS, j, at);
            find_drops(drop + (from + 1) % 2 * ROWS, a, b, j, next);
        }
        __syncthreads();
        bring((from + STAGES - 1) % STAGES);
        add_step<pairs>(acc, stage[from]);
        from = (from + 1) % STAGES;
        at = next;
    }
    copy_async_wait<0>();
}

/* The sums of all parts of this block's tile; false in all but the last of their blocks. */
LF_DEVICE bool join_parts(float *sum, const struct grad_args &a)
{
    int part = blockIdx.y % a.parts, groups = gridDim.y / a.parts;
    size_t tile = ((size_t)blockIdx.z * groups + blockIdx.y / a.parts) * gridDim.x + blockIdx.x;
    return lora_join_parts<WARPS * 32>(sum, a.partials + tile * a.parts * LORA_SUMS,
                                       a.counters + tile, part, a.parts, COLS);
}

/* Grid: column tiles of all gradients, ranks by parts, segments. */
template <bool drops>
static __global__ void __launch_bounds__(WARPS * 32, drops ? 2 : 3)
    grad_kernel(const __grid_constant__ struct grad_args a, const struct lora_batch b)
{
    __shared__ struct drop drop[drops ? 2 * ROWS : 1];
    grid_wait();
    struct grad_job j;
    if (!leads(b, blockIdx.z) || !find_job<drops>(j, a, b.rank_max))
        return;
    j.slot = b.segs[blockIdx.z].slot;
    if ((drops || !j.is_a) && a.sites[(size_t)j.slot * a.n_sites + a.site[j.p]].rank == 0)
        return;
    float acc[8][4] = {};
    int pairs = (j.ranks + 15) / 16;
    if (!j.vec || !a.vec_u)
        contract<drops, false, 4>(acc, a, b, j, drop);
    else if (pairs == 1)
        contract<drops, true, 1>(acc, a, b, j, drop);
    else if (pairs == 2)
        contract<drops, true, 2>(acc, a, b, j, drop);
    else
        contract<drops, true, 4>(acc, a, b, j, drop);
    float *sum = (float *)dynamic_smem();
    join_halves(sum, acc);
    if (a.parts == 1 || join_parts(sum, a))
        put_gradient(sum, a, j, b.rank_max);
}

template <bool drops>
static void launch(struct lf_stream *s, struct grad_args *g, const struct lora_batch &b, int T)
{
    int tiles = lf_div_up(g->K, COLS) * (drops ? g->n : 1), steps = lf_div_up(T, ROWS);
    for (int p = 0; p < g->n; p++)
        tiles += lf_div_up(g->N[p], COLS);
    dim3 grid(tiles, lf_div_up(b.rank_max * (drops ? 1 : g->n), RANKS), b.n_segs);
    steps += b.n_segs > 1 ? b.n_segs : 0; /* each may end with a step that is not full */
    g->chunk = lora_chunk(s, (int64_t)grid.x * grid.y * grid.z, &steps, 1);
    g->parts = lf_div_up(steps, g->chunk);
    g->partials = lf_cuda_of(s)->partials;
    g->counters = lf_cuda_of(s)->counters;
    grid.y *= g->parts;
    lf_launch<grad_kernel<drops>>(s, grid, WARPS * 32, STAGES * sizeof(grad_stage), *g, b);
}

void lf_cuda_lora_grads(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    struct grad_args g = {};
    struct lora_batch b = lora_batch_of(a->batch);
    if (b.n_segs == 0 || b.rank_max == 0)
        return;
    g.sites = a->sites;
    g.x = (const bf16 *)a->x, g.dy = (const bf16 *)a->dy;
    g.u = (const bf16 *)a->u, g.du = (const bf16 *)a->du;
    g.n_sites = a->n_sites, g.n = a->n, g.K = a->K, g.ldx = a->ldx, g.lddy = a->lddy;
    g.vec_x = lf_eights(a->x, a->ldx, a->K);
    g.vec_dy = lf_eights(a->dy, a->lddy, 8);
    g.vec_u = lf_eights(a->u, b.rank_max, b.rank_max) && lf_eights(a->du, b.rank_max, b.rank_max);
    for (int p = 0; p < a->n; p++) {
        g.site[p] = a->site[p];
        g.col[p] = a->col[p];
        g.N[p] = a->N[p];
        g.vec_dy = g.vec_dy && a->col[p] % 8 == 0 && a->N[p] % 8 == 0;
    }
    if (lora_drops(a->batch))
        launch<true>(s, &g, b, a->batch->T);
    else
        launch<false>(s, &g, b, a->batch->T);
}
