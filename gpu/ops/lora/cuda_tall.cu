/* The products of LoRA whose contraction is long: u = drop(x) A^T over K, and du = scale dy B over
 * N. A block makes 32 rows and 32 ranks of one projection; its eight warps share the contraction
 * and meet in shared memory. Operands go from memory into the tensor cores' fragments as they lie:
 * in a step of 32 k, lane (g, c) reads k 8c .. 8c+7 of its rows, which is mma's order with k
 * permuted, alike on both sides. B lies the other way (its rows are n), so 32 of its rows go
 * through shared memory, in the permuted order. */
#include "gpu/ops/lora/lora.cuh"

#define WARPS 8
#define ROWS 32
#define RANKS 32
#define STEP 32
#define B_ROW 40 /* elements of a row of B in shared memory: 32, and 8 against bank conflicts */

struct tall_args {
    const struct lf_lora_site *sites;
    bf16 *out;     /* (T, n * rank_max) */
    const bf16 *x; /* (T, ld): x or dy */
    int n_sites, n, ld;
    int site[LF_GROUP_MAX], col[LF_GROUP_MAX], length[LF_GROUP_MAX]; /* columns of x to contract */
    bool training, vec;
    bf16 *tail; /* (T, ld) where the result goes again, in j's columns; or NULL */
    struct lora_join j;
};

/* What a warp needs to know of its block's share. */
struct tall_tile {
    struct row_tile rows;
    struct lf_lora_site site;
    int p, rank0, ranks;
};

/* The A fragments of 16 rows from `row` on: both k16 halves of the step. */
template <bool drops>
LF_DEVICE void load_rows(uint32_t (&f)[2][4], const struct tall_args &a, const struct tall_tile &t,
                         const struct drop *drop, int row, int k)
{
    uint4 v[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int i = row + threadIdx.x % 32 / 4 + 8 * h, left = a.length[t.p] - k;
        const bf16 *x = a.x + (size_t)(t.rows.row + i) * a.ld + a.col[t.p] + k;
        v[h] = i < t.rows.n && left > 0 ? words8(x, left, a.vec) : make_uint4(0, 0, 0, 0);
        if (drops && i < t.rows.n && drop[i].p > 0.0f)
            v[h] = drop_words(v[h], drop[i], k);
    }
    f[0][0] = v[0].x, f[0][1] = v[1].x, f[0][2] = v[0].y, f[0][3] = v[1].y;
    f[1][0] = v[0].z, f[1][1] = v[1].z, f[1][2] = v[0].w, f[1][3] = v[1].w;
}

/* The B fragments of 8 ranks from A (R, K). */
LF_DEVICE void load_a(uint32_t (&f)[2][2], const struct tall_tile &t, int K, int tile, int k,
                      bool vec)
{
    int r = t.rank0 + tile * 8 + threadIdx.x % 32 / 4;
    uint4 v = make_uint4(0, 0, 0, 0);
    if (r < t.site.rank && k < K)
        v = words8((const bf16 *)t.site.a + (size_t)r * K + k, K - k, vec);
    f[0][0] = v.x, f[0][1] = v.y, f[1][0] = v.z, f[1][1] = v.w;
}

/* 32 rows of B (N, R) from row n on into shared memory, this warp's, in mma's order of k: row
 * 8c + 4s + 2h + e goes to 16s + 8h + 2c + e. */
LF_DEVICE void stage_b(bf16 *stage, const struct tall_tile &t, int n, int N, bool vec)
{
    int k = threadIdx.x % 32, to = k % 8 / 4 * 16 + k % 4 / 2 * 8 + k / 8 * 2 + k % 2;
    __syncwarp();
    for (int r = 0; r < t.ranks; r += 8) {
        const bf16 *from = (const bf16 *)t.site.b + (size_t)(n + k) * t.site.rank + t.rank0 + r;
        uint4 v = n + k < N ? words8(from, t.site.rank - t.rank0 - r, vec) : make_uint4(0, 0, 0, 0);
        *(uint4 *)(stage + to * B_ROW + r) = v;
    }
    __syncwarp();
}

/* The B fragments of 8 ranks from the stage. */
LF_DEVICE void load_b(uint32_t (&f)[2][2], const bf16 *stage, int tile)
{
    uint32_t v[4];
    ldmatrix_trans(v, stage + threadIdx.x % 32 * B_ROW + tile * 8);
    f[0][0] = v[0], f[0][1] = v[1], f[1][0] = v[2], f[1][1] = v[3];
}

template <bool backward, bool drops>
LF_DEVICE void contract(float (&acc)[2][4][4], const struct tall_args &a, const struct tall_tile &t,
                        const struct drop *drop, bf16 *stage)
{
    int warp = threadIdx.x / 32, length = a.length[t.p];
    int steps = (length + STEP - 1) / STEP, tiles = (t.ranks + 7) / 8;
    int end = (warp + 1) * steps / WARPS;
    bool vec = backward ? whole_words(t.site.b, t.site.rank) : whole_words(t.site.a, length);
#pragma unroll 2
    for (int s = warp * steps / WARPS; s < end; s++) {
        int k = s * STEP + threadIdx.x % 4 * 8;
        uint32_t x[2][2][4];
        load_rows<drops>(x[0], a, t, drop, 0, k);
        load_rows<drops>(x[1], a, t, drop, 16, k);
        if (backward)
            stage_b(stage, t, s * STEP, length, vec);
#pragma unroll
        for (int r = 0; r < 4; r++)
            if (r < tiles) {
                uint32_t w[2][2];
                if (backward)
                    load_b(w, stage, r);
                else
                    load_a(w, t, length, r, k, vec);
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    mma(acc[m][r], x[m][0], w[0][0], w[0][1]);
                    mma(acc[m][r], x[m][1], w[1][0], w[1][1]);
                }
            }
    }
}

/* Where element r of the tile's row 0 goes again. */
LF_DEVICE bf16 *tail_of(const struct tall_args &a, const struct tall_tile &t, int slot)
{
    int i = 0;
    while (i + 1 < a.j.n_slots && a.j.slot[i] != slot)
        i++;
    return a.tail + (size_t)t.rows.row * a.ld + (i * a.n + t.p) * a.j.rank_max + t.rank0;
}

/* Ranks that an adapter lacks are zeros in the product. */
LF_DEVICE void clear_tail(const struct tall_args &a, const struct tall_tile &t, int slot)
{
    int lack = min(RANKS, a.j.rank_max - t.rank0) - max(t.ranks, 0);
    bf16 *to = tail_of(a, t, slot) + max(t.ranks, 0);
    for (int i = threadIdx.x; i < t.rows.n * lack; i += WARPS * 32)
        to[(size_t)(i / lack) * a.ld + i % lack] = __ushort_as_bfloat16(0);
}

/* Adds the warps' sums in order and writes them. */
LF_DEVICE void put_ranks(float *part, const float (&acc)[2][4][4], const struct tall_args &a,
                         const struct tall_tile &t, float scale, int rank_max, bf16 *tail)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    __syncthreads(); /* `part` lies where the stages were */
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int r = 0; r < 4; r++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                part[(warp * ROWS + m * 16 + lane / 4 + e / 2 * 8) * RANKS + r * 8 + lane % 4 * 2 +
                     e % 2] = acc[m][r][e];
    __syncthreads();
    for (int i = threadIdx.x; i < t.rows.n * RANKS; i += WARPS * 32) {
        int row = i / RANKS, r = i % RANKS;
        if (r >= t.ranks)
            continue;
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++)
            sum += part[(w * ROWS + row) * RANKS + r];
        size_t at = ((size_t)(t.rows.row + row) * a.n + t.p) * rank_max + t.rank0 + r;
        a.out[at] = __float2bfloat16_rn(scale * sum);
        if (tail)
            tail[(size_t)row * a.ld + r] = a.out[at];
    }
}

/* Grid: row tiles, projections, ranks. */
template <bool backward, bool drops>
static __global__ void __launch_bounds__(WARPS * 32)
    tall_kernel(const __grid_constant__ struct tall_args a, const struct lora_batch b)
{
    __shared__ __align__(16) float part[WARPS * ROWS * RANKS]; /* 32 KiB; first the stages of B */
    __shared__ struct drop drop[ROWS];
    grid_wait();
    struct tall_tile t;
    t.rows = find_row_tile(b.segs, b.n_segs, ROWS, blockIdx.x, a.training);
    if (t.rows.seg < 0)
        return;
    t.p = blockIdx.y;
    t.rank0 = blockIdx.z * RANKS;
    t.site = a.sites[(size_t)b.segs[t.rows.seg].slot * a.n_sites + a.site[t.p]];
    t.ranks = min(RANKS, t.site.rank - t.rank0);
    int slot = b.segs[t.rows.seg].slot;
    if (a.tail)
        clear_tail(a, t, slot);
    if (t.ranks <= 0)
        return;
    if (drops && threadIdx.x < t.rows.n)
        drop[threadIdx.x] =
            drop_of(b.seqs, b.seq, b.pos, t.rows.row + threadIdx.x, a.length[t.p], a.site[t.p]);
    __syncthreads();
    float acc[2][4][4] = {};
    bf16 *stage = (bf16 *)part + threadIdx.x / 32 * STEP * B_ROW;
    contract<backward, drops>(acc, a, t, drop, stage);
    put_ranks(part, acc, a, t, backward ? t.site.scale : 1.0f, b.rank_max,
              a.tail ? tail_of(a, t, slot) : NULL);
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
    struct lora_batch b = lora_batch_of(a->batch);
    dim3 grid(lf_row_tiles_max(a->batch, ROWS), a->n, lf_div_up(b.rank_max, RANKS));
    if (lora_drops(a->batch))
        lf_launch<tall_kernel<false, true>>(s, grid, WARPS * 32, 0, t, b);
    else
        lf_launch<tall_kernel<false, false>>(s, grid, WARPS * 32, 0, t, b);
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
        t.vec = t.vec && a->col[p] % 8 == 0;
    }
    struct lora_batch b = lora_batch_of(a->batch);
    dim3 grid(lf_row_tiles_max(a->batch, ROWS), a->n, lf_div_up(b.rank_max, RANKS));
    lf_launch<tall_kernel<true, false>>(s, grid, WARPS * 32, 0, t, b);
}
