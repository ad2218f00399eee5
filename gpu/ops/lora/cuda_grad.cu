/* LoRA's gradients: db += scale dy^T u and da += du^T drop(x), for every projection of a group and
 * every adapter in one launch. A block owns 64 columns of dy or x by 64 of u or du and goes through
 * the rows of its adapter, in all segments, in order, or through a part of them: the last block of
 * the parts adds their sums in order, so results repeat. The projections share x, and so the blocks
 * of da (with dropout each has its own mask, and its own blocks).
 *
 * 64 rows a step go through shared memory, four steps under way; four pairs of warps take 16
 * columns each, and a pair shares the rows. Memory-bound: dy and x once.
 */
#include "gpu/ops/lora/grad.cuh"

#define COLS 64
#define STAGES 4
#define LINE 72 /* elements of a row in shared memory: 64, and 8 against bank conflicts */

struct grad_stage {
    bf16 wide[ROWS * LINE], narrow[ROWS * LINE];
};

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

/* Grid: column tiles of all gradients, ranks by parts, segments. */
template <bool drops>
static __global__ void __launch_bounds__(WARPS * 32, drops ? 2 : 3)
    grad_kernel(const __grid_constant__ struct grad_args a, const struct lora_batch b)
{
    __shared__ struct drop drop[drops ? 2 * ROWS : 1];
    grid_wait();
    struct grad_job j;
    if (!leads(b, blockIdx.z) || !find_job<drops, COLS>(j, a, b.rank_max))
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
    lora_join_halves(sum, acc);
    if (a.parts == 1 || join_parts<COLS, RANKS>(sum, a))
        put_gradient<COLS>(sum, a, j, b.rank_max);
}

template <bool drops>
static void launch(struct lf_stream *s, struct grad_args *g, const struct lf_ragged *b)
{
    dim3 grid = grad_divide(s, g, b, drops, COLS, 3);
    lf_launch<grad_kernel<drops>>(s, grid, WARPS * 32, STAGES * sizeof(grad_stage), *g,
                                  lora_batch_of(b));
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
        launch<true>(s, &g, a->batch);
    else if (!lf_cuda_lora_grads_hopper(s, &g, a->batch))
        launch<false>(s, &g, a->batch);
}
