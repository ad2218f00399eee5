/* The products of LoRA whose contraction is long: u = drop(x) A^T over K, and du = scale dy B over
 * N. A block makes 64 rows by up to 64 columns of u: forward, the ranks of all projections, since
 * they share x (with dropout each has its own mask, and its own blocks); backward, one
 * projection's.
 *
 * 64 k a step go through shared memory, four steps under way; four pairs of warps take 16 rows
 * each, and a pair shares the k. Where the rows are few the contraction is cut in parts, whose sums
 * the last of their blocks adds in order. Memory-bound: x or dy once.
 */
#include "gpu/ops/lora/tall.cuh"

#define STEP 64
#define STAGES 4
#define LINE 72 /* elements of a row in shared memory: 64, and 8 against bank conflicts */

struct tall_stage {
    bf16 x[ROWS * LINE];
    bf16 w[COLS * LINE]; /* forward: columns of u by k; backward: k by columns */
};

/* A run of eight that this thread brings each step: from base + k * stride while `at` + k is before
 * the tile's end. Worked out once: addresses would cost more than the copies. */
struct run {
    const bf16 *base;
    int to;    /* in the tile, or -1: none */
    int at;    /* NOWHERE: zeros */
    int width; /* elements that are there; 8 where the end decides */
};
#define NOWHERE (1 << 30)
#define RUNS (ROWS * STEP / 8 / (WARPS * 32)) /* of a thread in a tile, at most */

/* Element by element, where addresses do not line up. */
LF_DEVICE void bring_slowly(bf16 *tile, const struct run &r, int k, int stride, int end)
{
    int left = end - k - r.at;
    if (r.to >= 0)
        *(uint4 *)(tile + r.to) = left > 0
                                      ? words8(r.base + (size_t)k * stride,
                                               stride == 1 ? min(left, r.width) : r.width, false)
                                      : make_uint4(0, 0, 0, 0);
}

LF_DEVICE void find_x_runs(struct run (&x)[RUNS], const struct tall_args &a,
                           const struct tall_tile &t)
{
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        int run = i * WARPS * 32 + threadIdx.x, row = run / 8, c = run % 8 * 8;
        bool there = row < t.rows.n;
        x[i] = {a.x + (size_t)(t.rows.row + (there ? row : 0)) * a.ld + a.col[t.p] + c,
                row * LINE + c, there ? c : NOWHERE, 8};
    }
}

/* Rows of A as they lie: columns of u by k. True: in whole words. */
LF_DEVICE bool find_a_runs(struct run (&w)[RUNS], const struct tall_args &a,
                           const struct tall_tile &t, const struct lf_lora_site *site, int rank_max)
{
    int K = a.length[t.p];
    bool vec = K % 8 == 0;
    for (int p = 0; p < a.n; p++)
        vec = vec && (uintptr_t)site[p].a % 16 == 0;
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        int run = i * WARPS * 32 + threadIdx.x, c = run % 8 * 8, p;
        int r = rank_of(&p, t.first + min(run / 8, t.cols - 1), rank_max);
        bool there = r < site[p].rank;
        w[i] = {(const bf16 *)site[p].a + (there ? (size_t)r * K + c : (size_t)0),
                run / 8 < t.cols ? run / 8 * LINE + c : -1, there ? c : NOWHERE, 8};
    }
    return vec;
}

/* Rows of B as they lie: k by ranks. True: in whole words. */
LF_DEVICE bool find_b_runs(struct run (&w)[RUNS], const struct tall_tile &t,
                           const struct lf_lora_site &site, int rank0)
{
    int runs = (t.cols + 7) / 8;
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        int run = i * WARPS * 32 + threadIdx.x, row = small_div(run, runs);
        int c = (run - row * runs) * 8, left = site.rank - rank0 - c;
        bool there = left > 0;
        w[i] = {(const bf16 *)site.b + (there ? (size_t)row * site.rank + rank0 + c : (size_t)0),
                row < STEP ? row * LINE + c : -1, there ? row : NOWHERE, min(left, 8)};
    }
    return whole_words(site.b, site.rank);
}

/* The masks of the runs that this thread brought. */
LF_DEVICE void drop_x(struct tall_stage &s, const struct tall_tile &t, const struct drop *drop,
                      int k)
{
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        int run = i * WARPS * 32 + threadIdx.x, row = run / 8, c = run % 8 * 8;
        uint4 *at = (uint4 *)(s.x + row * LINE + c);
        if (row < t.rows.n && k + c < t.end && drop[row].p > 0.0f)
            *at = drop_words(*at, drop[row], k + c);
    }
}

/* pairs: of eight columns of u. */
template <bool backward, int pairs>
LF_DEVICE void add_step(float (&acc)[8][4], const struct tall_stage &s)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int k = warp / 4 * 32;
    const bf16 *x = s.x + (warp % 4 * 16 + lane % 16) * LINE + k + lane / 16 * 8;
    const bf16 *w = backward ? s.w + (k + lane % 16) * LINE + lane / 16 * 8
                             : s.w + (lane / 16 * 8 + lane % 8) * LINE + k + lane / 8 % 2 * 8;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint32_t f[4];
        ldmatrix(f, x + h * 16);
        lora_mma<backward, pairs>(acc, f, w + h * 16 * (backward ? LINE : 1), LINE);
    }
}

/* The loop over the tile's k. vec: all of it in whole words. */
template <bool backward, bool drops, bool vec, int pairs>
LF_DEVICE void contract(float (&acc)[8][4], const struct tall_tile &t, struct run (&x)[RUNS],
                        struct run (&w)[RUNS], int stride, const struct drop *drop)
{
    struct tall_stage *stage = (struct tall_stage *)dynamic_smem();
    uint32_t to_x[RUNS], to_w[RUNS];
    int ahead = t.k;
#pragma unroll
    for (int i = 0; i < RUNS; i++) {
        to_x[i] = shared_at(stage->x + x[i].to);
        to_w[i] = shared_at(stage->w + w[i].to);
        x[i].base += ahead;
        w[i].base += (size_t)ahead * stride;
    }
    auto bring = [&](int at) {
#pragma unroll
        for (int i = 0; i < RUNS && ahead < t.end; i++)
            if (vec) {
                copy_async(to_x[i] + at * (int)sizeof *stage, x[i].base, x[i].at + ahead < t.end);
                if (w[i].to >= 0)
                    copy_async(to_w[i] + at * (int)sizeof *stage, w[i].base,
                               w[i].at + ahead < t.end);
                x[i].base += STEP;
                w[i].base += STEP * stride;
            } else {
                bring_slowly(stage[at].x, x[i], ahead - t.k, 1, t.end - t.k);
                bring_slowly(stage[at].w, w[i], ahead - t.k, stride, t.end - t.k);
            }
        ahead += STEP;
        copy_async_commit();
    };
    for (int step = 0; step < STAGES - 1; step++)
        bring(step);
    int at = 0;
    for (int k = t.k; k < t.end; k += STEP) {
        copy_async_wait<STAGES - 2>();
        if (drops)
            drop_x(stage[at], t, drop, k);
        __syncthreads();
        bring((at + STAGES - 1) % STAGES);
        add_step<backward, pairs>(acc, stage[at]);
        at = (at + 1) % STAGES;
    }
    copy_async_wait<0>();
}

/* Grid: row tiles, parts of each projection's contraction, columns of u. */
template <bool backward, bool drops>
static __global__ void __launch_bounds__(WARPS * 32, drops ? 2 : 3)
    tall_kernel(const __grid_constant__ struct tall_args a, const struct lora_batch b)
{
    __shared__ struct lf_lora_site site[LF_GROUP_MAX];
    __shared__ struct drop drop[drops ? ROWS : 1];
    grid_wait();
    struct tall_tile t;
    if (!find_tile<STEP>(t, a, b))
        return;
    int slot = b.segs[t.rows.seg].slot;
    if (threadIdx.x < a.n)
        site[threadIdx.x] = a.sites[(size_t)slot * a.n_sites + a.site[threadIdx.x]];
    if (drops && threadIdx.x < t.rows.n)
        drop[threadIdx.x] =
            drop_of(b.seqs, b.seq, b.pos, t.rows.row + threadIdx.x, a.length[t.p], a.site[t.p]);
    __syncthreads();
    if (a.each && site[t.p].rank == 0)
        t.end = t.k;
    struct run x[RUNS], w[RUNS];
    find_x_runs(x, a, t);
    bool vec = backward ? find_b_runs(w, t, site[t.p], t.first - t.p * b.rank_max)
                        : find_a_runs(w, a, t, site, b.rank_max);
    int stride = backward ? site[t.p].rank : 1;
    float acc[8][4] = {};
    int pairs = (t.cols + 15) / 16;
    if (!vec || !a.vec)
        contract<backward, drops, false, 4>(acc, t, x, w, stride, drop);
    else if (pairs == 1)
        contract<backward, drops, true, 1>(acc, t, x, w, stride, drop);
    else if (pairs == 2)
        contract<backward, drops, true, 2>(acc, t, x, w, stride, drop);
    else
        contract<backward, drops, true, 4>(acc, t, x, w, stride, drop);
    float *sum = (float *)dynamic_smem();
    lora_join_halves(sum, acc);
    if (a.part[t.p + 1] - a.part[t.p] == 1 || join_parts<COLS>(sum, a, t))
        put_ranks<backward>(sum, a, t, site, slot, b.rank_max);
}

template <bool backward, bool drops>
static void launch(struct lf_stream *s, struct tall_args *t, const struct lf_ragged *batch)
{
    struct lora_batch b = lora_batch_of(batch);
    t->each = backward || drops;
    int cols = t->each ? b.rank_max : t->n * b.rank_max;
    dim3 grid(lf_row_tiles_max(batch, ROWS), 1, lf_div_up(cols, COLS));
    tall_divide(s, t, &grid, STEP, 3);
    lf_launch<tall_kernel<backward, drops>>(s, grid, WARPS * 32, STAGES * sizeof(tall_stage), *t,
                                            b);
}

void lf_cuda_lora_shrink(struct lf_stream *s, const struct lf_lora_args *a,
                         const struct lora_join *j)
{
    struct tall_args t = {};
    t.sites = a->sites;
    t.out = (bf16 *)a->u;
    t.x = (const bf16 *)a->x;
    t.n_sites = a->n_sites, t.n = a->n, t.ld = a->ldx;
    if (j)
        t.tail = (bf16 *)a->x + a->K, t.j = *j;
    t.vec = lf_eights(a->x, a->ldx, a->K);
    for (int p = 0; p < a->n; p++) {
        t.site[p] = a->site[p];
        t.length[p] = a->K;
    }
    if (lora_drops(a->batch))
        launch<false, true>(s, &t, a->batch);
    else if (!lf_cuda_lora_tall_hopper(s, &t, a->batch, false))
        launch<false, false>(s, &t, a->batch);
}

void lf_cuda_lora_du(struct lf_stream *s, const struct lf_lora_bwd_args *a,
                     const struct lora_join *j, int N)
{
    struct tall_args t = {};
    t.sites = a->sites;
    t.out = (bf16 *)a->du;
    t.x = (const bf16 *)a->dy;
    t.n_sites = a->n_sites, t.n = a->n, t.ld = a->lddy;
    if (j)
        t.tail = (bf16 *)a->dy + N, t.j = *j;
    t.training = true;
    t.vec = lf_eights(a->dy, a->lddy, 8);
    for (int p = 0; p < a->n; p++) {
        t.site[p] = a->site[p];
        t.col[p] = a->col[p];
        t.length[p] = a->N[p];
        t.vec = t.vec && a->col[p] % 8 == 0 && a->N[p] % 8 == 0;
    }
    if (!lf_cuda_lora_tall_hopper(s, &t, a->batch, true))
        launch<true, false>(s, &t, a->batch);
}
