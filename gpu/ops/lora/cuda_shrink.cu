/* u = x A^T for 9 to a few hundred tokens, each perhaps with its own adapter: the time is that of
 * reading A once for every tile of rows that share it.
 *
 * A block makes up to eight ranks of one projection for a tile of rows. Its warps share K, a step
 * of 64 each in turn: lane (g, c) reads k 16c .. 16c+15 of rank g and of row g, which is mma's
 * order with k permuted, alike on both sides. Eight steps of A are under way in registers before
 * the kernel may look at x, so memory is busy while the kernel before ends.
 *
 * A norm before it goes along: further blocks make its rows, and those of A take x times the norm's
 * weights, in shared memory, and the sums of squares of x. */
#include "gpu/ops/lora/lora.cuh"
#include "gpu/ops/norm/row.cuh"

#define WARPS 8
#define THREADS (WARPS * 32)
#define ROWS 32       /* of a tile */
#define RANKS 8       /* that a block makes, at most */
#define STEP 64       /* k */
#define HALF 4        /* steps of A that come together; two halves are under way */
#define SITES_AHEAD 4 /* whose entry L2 is asked for, for the maps that follow */
#define NORM_ROWS 8   /* rows that are normed together */
#define NORM_RUNS (LORA_NORM_MAX / (THREADS * 8))

static_assert(LORA_NORM_MAX == 2 * HALF * WARPS * STEP, "what is under way is a whole normed row");

struct shrink_args {
    struct lf_lora_args a;
    struct lora_batch b;
    struct lf_norm_args norm;
    int ranks, tiles; /* ranks of a block; tiles that there may be */
    bool vec;         /* x may be read in eights */
    bool ahead;       /* L2 keeps B until y is made */
};

/* What a block makes. */
struct shrink_work {
    struct row_tile rows;
    int p, rank0, ranks;
    const bf16 *A; /* its first rank */
    bool vec;      /* A and x may be read in eights */
};

struct shrink_smem {
    float sums[WARPS][16][RANKS];
    float squares[NORM_ROWS][WARPS];
};

/* The batch and its adapters were there before any kernel of the run began, so they may be looked
 * up, and A read, before grid_wait. The blocks of the first ranks come first and ask L2 for all of
 * an adapter: so all of A is under way at once, and B while the product is made. */
LF_DEVICE struct shrink_work work_of(const struct shrink_args &s, int block)
{
    int pairs = s.tiles * s.a.n, part = small_div(block, pairs), of_part = block - part * pairs;
    int tile = small_div(of_part, s.a.n);
    struct shrink_work w = {};
    w.p = of_part - tile * s.a.n;
    w.rank0 = part * s.ranks;
    w.rows = find_row_tile(s.b.segs, s.b.n_segs, ROWS, tile, false);
    if (w.rows.seg < 0)
        return w;
    int number = s.a.site[w.p];
    const struct lf_lora_site &site =
        s.a.sites[(size_t)s.b.segs[w.rows.seg].slot * s.a.n_sites + number];
    if (threadIdx.x == 32 && number + SITES_AHEAD < s.a.n_sites)
        prefetch_line(&site + SITES_AHEAD);
    w.ranks = min(s.ranks, site.rank - w.rank0);
    w.vec = s.vec && whole_words(site.a, s.a.K);
    w.A = (const bf16 *)site.a + (size_t)w.rank0 * s.a.K;
    if (part == 0 && threadIdx.x == 0 && w.ranks > 0) {
        lora_prefetch(site.a, site.rank * s.a.K);
        if (s.ahead)
            lora_prefetch(site.b, site.rank * s.a.N[w.p]);
    }
    return w;
}

/* The k at which this lane's part of step `step` of its warp begins. */
LF_DEVICE int k_of(int step)
{
    return (step * WARPS + (int)threadIdx.x / 32) * STEP + threadIdx.x % 4 * 16;
}

/* Asks for steps [step, step + HALF) of A; keeps what is there past the last. Lanes past the last
 * rank have it too: their columns of the product are dropped. There is no branch between the loads,
 * each of which would be waited for. */
LF_DEVICE void load_ranks(uint4 (&to)[HALF][2], const struct shrink_work &w, int K, int step)
{
    const bf16 *A = w.A + (size_t)min((int)threadIdx.x % 32 / 4, w.ranks - 1) * K;
    if (step * WARPS * STEP >= K)
        return;
#pragma unroll
    for (int j = 0; j < HALF; j++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int k = k_of(step + j) + 8 * h;
            to[j][h] = load_once(lora_words(A, k, K));
        }
}

/* acc += rows g and g + 8 of x, sixteen k of each, times those of A. */
LF_DEVICE void add_step(float (&acc)[4], const uint4 (&lo)[2], const uint4 (&hi)[2],
                        const uint4 (&w)[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const uint32_t first[4] = {lo[h].x, hi[h].x, lo[h].y, hi[h].y};
        const uint32_t second[4] = {lo[h].z, hi[h].z, lo[h].w, hi[h].w};
        mma(acc, first, w[h].x, w[h].y);
        mma(acc, second, w[h].z, w[h].w);
    }
}

/* A half of A times this lane's rows of x; without `tall` there are no rows from 8 on. */
template <bool tall>
LF_DEVICE void add_half(float (&acc)[4], const bf16 *row, const bf16 *row8, int K,
                        const uint4 (&w)[HALF][2], int step)
{
    uint4 lo[HALF][2], hi[HALF][2] = {};
#pragma unroll
    for (int j = 0; j < HALF; j++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int k = min(k_of(step + j) + 8 * h, K - 8);
            lo[j][h] = *(const uint4 *)(row + k);
            if (tall)
                hi[j][h] = *(const uint4 *)(row8 + k);
        }
#pragma unroll
    for (int j = 0; j < HALF; j++)
        add_step(acc, lo[j], hi[j], w[j]);
}

/* Adds the warps' sums in order and writes them for `n` rows from `row` of the
 * tile on. */
LF_DEVICE void put_ranks(struct shrink_smem &m, const float (&acc)[4], const struct shrink_args &s,
                         const struct shrink_work &w, int row, int n, bool normed)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, i = threadIdx.x / RANKS;
    int r = threadIdx.x % RANKS;
    *(float2 *)&m.sums[warp][lane / 4][lane % 4 * 2] = make_float2(acc[0], acc[1]);
    *(float2 *)&m.sums[warp][lane / 4 + 8][lane % 4 * 2] = make_float2(acc[2], acc[3]);
    __syncthreads();
    if (i < n && r < w.ranks) {
        float sum = 0.0f, squares = 0.0f;
#pragma unroll
        for (int k = 0; k < WARPS; k++)
            sum += m.sums[k][i][r];
#pragma unroll
        for (int k = 0; normed && k < WARPS; k++)
            squares += m.squares[i][k];
        if (normed)
            sum *= rsqrtf(squares / s.a.K + s.norm.eps);
        size_t t = w.rows.row + row + i;
        ((bf16 *)s.a.u)[(t * s.a.n + w.p) * s.b.rank_max + w.rank0 + r] = __float2bfloat16_rn(sum);
    }
    __syncthreads(); /* before the sums of further rows */
}

/* The u of up to sixteen rows of the tile from `row` on; on entry the first two halves of A are
 * under way. */
template <bool tall>
LF_DEVICE void shrink_rows(struct shrink_smem &m, uint4 (&A)[2][HALF][2],
                           const struct shrink_args &s, const struct shrink_work &w, int row)
{
    int steps = (s.a.K + WARPS * STEP - 1) / (WARPS * STEP), n = min(16, w.rows.n - row);
    int g = threadIdx.x % 32 / 4;
    const bf16 *x = (const bf16 *)s.a.x + (size_t)(w.rows.row + row) * s.a.ldx;
    const bf16 *x0 = x + (size_t)min(g, n - 1) * s.a.ldx;
    const bf16 *x8 = x + (size_t)min(g + 8, n - 1) * s.a.ldx;
    float acc[4] = {};
    for (int step = 0; step < steps; step += 2 * HALF) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int at = step + i * HALF;
            if (at < steps)
                add_half<tall>(acc, x0, x8, s.a.K, A[i], at);
            load_ranks(A[i], w, s.a.K, at + 2 * HALF);
        }
    }
    put_ranks(m, acc, s, w, row, n, false);
}

LF_DEVICE void shrink_tile(struct shrink_smem &m, uint4 (&A)[2][HALF][2],
                           const struct shrink_args &s, const struct shrink_work &w)
{
    for (int row = 0; row < w.rows.n; row += 16) {
        if (row > 0 && s.a.K > 2 * HALF * WARPS * STEP)
#pragma unroll
            for (int i = 0; i < 2; i++)
                load_ranks(A[i], w, s.a.K, i * HALF);
        if (w.rows.n - row > 8)
            shrink_rows<true>(m, A, s, w, row);
        else
            shrink_rows<false>(m, A, s, w, row);
    }
}

/* Of rows that do not lie in whole words: a warp a dot product. */
template <bool normed>
LF_DEVICE void shrink_apart(const struct shrink_args &s, const struct shrink_work &w)
{
    const bf16 *from = (const bf16 *)(normed ? s.norm.x : s.a.x);
    for (int i = threadIdx.x / 32; i < w.rows.n * w.ranks; i += WARPS) {
        int r = i % w.ranks;
        size_t t = w.rows.row + i / w.ranks;
        float u =
            lora_dot_apart(w.A + (size_t)r * s.a.K, from + t * (normed ? s.norm.ldx : s.a.ldx),
                           normed ? s.norm.w : NULL, s.a.K, s.norm.eps);
        if (threadIdx.x % 32 == 0)
            ((bf16 *)s.a.u)[(t * s.a.n + w.p) * s.b.rank_max + w.rank0 + r] =
                __float2bfloat16_rn(u);
    }
}

/* ---- With a norm ----------------------------------------------------------------------------- */

/* A row in shared memory: 16 bytes more than K, so that eight threads never meet in a bank. */
LF_DEVICE bf16 *normed_row(bf16 *rows, int row, int K)
{
    return rows + row * (K + 8);
}

/* Rows of x times the norm's weights into shared memory, a thread sixteen k of each; and the sums
 * of the squares of x. */
LF_DEVICE void stage_rows(bf16 *rows, struct shrink_smem &m, const struct shrink_args &s, int t,
                          int n, const float (&weight)[2][8])
{
    int k = threadIdx.x * 16, K = s.a.K;
#pragma unroll 2
    for (int i = 0; i < n; i++) {
        float squares = 0.0f;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float x[8];
            if (k + 8 * h >= K)
                continue;
            load8(x, (const bf16 *)s.norm.x + (size_t)(t + i) * s.norm.ldx + k + 8 * h, 8, true);
#pragma unroll
            for (int e = 0; e < 8; e++) {
                squares += x[e] * x[e];
                x[e] *= weight[h][e];
            }
            store8(normed_row(rows, i, K) + k + 8 * h, x, 8, true);
        }
        squares = warp_sum(squares);
        if (threadIdx.x % 32 == 0)
            m.squares[i][threadIdx.x / 32] = squares;
    }
    __syncthreads();
}

LF_DEVICE void shrink_normed(struct shrink_smem &m, bf16 *rows, const uint4 (&A)[2][HALF][2],
                             const struct shrink_args &s, const struct shrink_work &w,
                             const float (&weight)[2][8])
{
    int K = s.a.K, g = threadIdx.x % 32 / 4;
    for (int row = 0; row < w.rows.n; row += NORM_ROWS) {
        int n = min(NORM_ROWS, w.rows.n - row);
        float acc[4] = {};
        stage_rows(rows, m, s, w.rows.row + row, n, weight);
        const bf16 *x = normed_row(rows, min(g, n - 1), K);
        add_half<false>(acc, x, x, K, A[0], 0);
        add_half<false>(acc, x, x, K, A[1], HALF);
        put_ranks(m, acc, s, w, row, n, true);
    }
}

LF_DEVICE void load_weights(float (&weight)[2][8], const struct lf_norm_args &n)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int k = threadIdx.x * 16 + 8 * h;
        if (k < n.C)
            load8(weight[h], n.w + k, 8, true);
    }
}

/* Blocks: the norm's rows, T of them; then (tile, p, ranks). */
template <bool normed>
static __global__ void __launch_bounds__(THREADS, 2)
    shrink_kernel(const __grid_constant__ struct shrink_args s)
{
    __shared__ struct shrink_smem m;
    int block = blockIdx.x;
    if (normed && block < s.norm.T) {
        struct share<THREADS, NORM_RUNS> w;
        load_row(w, s.norm.w, s.norm.C, true);
        grid_wait();
        norm_row(s.norm, block, w, true, true);
        return;
    }
    struct shrink_work w = work_of(s, block - (normed ? s.norm.T : 0));
    uint4 A[2][HALF][2] = {};
    float weight[2][8];
    if (w.ranks > 0 && w.vec) {
        load_ranks(A[0], w, s.a.K, 0);
        load_ranks(A[1], w, s.a.K, HALF);
        if (normed)
            load_weights(weight, s.norm);
    }
    grid_wait();
    if (w.ranks <= 0)
        return;
    if (!w.vec)
        shrink_apart<normed>(s, w);
    else if (normed)
        shrink_normed(m, (bf16 *)dynamic_smem(), A, s, w, weight);
    else
        shrink_tile(m, A, s, w);
}

void lf_cuda_lora_few_u(struct lf_stream *s, const struct lf_lora_args *a,
                        const struct lf_norm_args *norm)
{
    struct shrink_args g = {*a, lora_batch_of(a->batch), {}, RANKS, 0, false, false};
    g.tiles = lf_row_tiles_max(a->batch, ROWS);
    g.vec = lf_eights(a->x, a->ldx, a->K);
    g.ahead = lora_keeps_b(a);
    while (g.ranks > 2 &&
           g.tiles * a->n * lf_div_up(g.b.rank_max, g.ranks) < 2 * lf_cuda_of(s)->dev->units)
        g.ranks /= 2;
    int blocks = g.tiles * a->n * lf_div_up(g.b.rank_max, g.ranks);
    if (norm) {
        g.norm = *norm;
        lf_launch<shrink_kernel<true>>(s, dim3(norm->T + blocks), THREADS,
                                       NORM_ROWS * (a->K + 8) * sizeof(bf16), g);
    } else {
        lf_launch<shrink_kernel<false>>(s, dim3(blocks), THREADS, 0, g);
    }
}
