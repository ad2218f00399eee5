/* The products of LoRA whose contraction is the rank: y += scale u B^T, and dx += drop'(du A).
 * A block makes 64 rows by 128 columns: two operand tiles into shared memory, sixteen ranks a step
 * through the tensor cores, and the sums through shared memory again, so that y is read and written
 * sixteen bytes a thread. Memory-bound: y once in, once out. */
#include "gpu/ops/lora/lora.cuh"

#define WARPS 8
#define ROWS 64
#define COLS 128
#define RANKS 64    /* ranks in shared memory at a time */
#define U_ROW 72    /* elements of a row of u or B there: RANKS, and 8 against bank conflicts */
#define A_ROW 136   /* of A: COLS and 8 */
#define OUT_ROW 132 /* floats of a row of sums: COLS and 4 */
#define EACH (ROWS * COLS / 8 / (WARPS * 32)) /* runs of eight that a thread adds to y */

struct wide_args {
    const struct lf_lora_site *sites;
    bf16 *y;       /* (T, ld) */
    const bf16 *u; /* (T, n * rank_max): u or du */
    int n_sites, n, ld;
    int site[LF_GROUP_MAX], col[LF_GROUP_MAX], width[LF_GROUP_MAX];
    bool training, vec;
};

struct wide_smem {
    union {
        struct {
            bf16 u[ROWS * U_ROW];
            bf16 w[COLS * U_ROW > RANKS *A_ROW ? COLS *U_ROW : RANKS *A_ROW];
        } in;
        float out[ROWS * OUT_ROW];
    };
};

/* Ranks [r0, r0 + RANKS) of u for the rows of the tile, zeros elsewhere. */
LF_DEVICE void stage_u(bf16 *to, const bf16 *u, const struct row_tile &rows, int ld, int r0,
                       int rank, bool vec)
{
    for (int i = threadIdx.x; i < ROWS * (RANKS / 8); i += WARPS * 32) {
        int row = i / (RANKS / 8), r = i % (RANKS / 8) * 8, left = rank - r0 - r;
        bool there = row < rows.n && left > 0;
        uint4 v = make_uint4(0, 0, 0, 0);
        if (there)
            v = words8(u + (size_t)(rows.row + row) * ld + r0 + r, left, vec);
        *(uint4 *)(to + row * U_ROW + r) = v;
    }
}

/* Columns [c0, c0 + COLS) of B^T: B (N, R) as it lies, rows n. */
LF_DEVICE void stage_b(bf16 *to, const struct lf_lora_site &site, int c0, int width, int r0)
{
    bool vec = whole_words(site.b, site.rank);
    for (int i = threadIdx.x; i < COLS * (RANKS / 8); i += WARPS * 32) {
        int n = i / (RANKS / 8), r = i % (RANKS / 8) * 8, left = site.rank - r0 - r;
        uint4 v = make_uint4(0, 0, 0, 0);
        if (c0 + n < width && left > 0)
            v = words8((const bf16 *)site.b + (size_t)(c0 + n) * site.rank + r0 + r, left, vec);
        *(uint4 *)(to + n * U_ROW + r) = v;
    }
}

/* Columns [c0, c0 + COLS) of A (R, K) as it lies, rows r. */
LF_DEVICE void stage_a(bf16 *to, const struct lf_lora_site &site, int c0, int width, int r0)
{
    bool vec = whole_words(site.a, width);
    for (int i = threadIdx.x; i < RANKS * (COLS / 8); i += WARPS * 32) {
        int r = i / (COLS / 8), c = i % (COLS / 8) * 8;
        uint4 v = make_uint4(0, 0, 0, 0);
        if (r0 + r < site.rank && c0 + c < width)
            v = words8((const bf16 *)site.a + (size_t)(r0 + r) * width + c0 + c, width - c0 - c,
                       vec);
        *(uint4 *)(to + r * A_ROW + c) = v;
    }
}

/* Sixteen ranks from r on: this warp's 16 rows by 64 columns. */
template <bool backward>
LF_DEVICE void add_ranks(float (&acc)[8][4], const struct wide_smem &s, int r)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int row = warp % 4 * 16, col = warp / 4 * 64;
    uint32_t a[4];
    ldmatrix(a, s.in.u + (row + lane % 16) * U_ROW + r + lane / 16 * 8);
#pragma unroll
    for (int t = 0; t < 8; t += 2) {
        uint32_t b[4]; /* of column tiles t and t + 1 */
        if (backward)
            ldmatrix_trans(b, s.in.w + (r + lane % 16) * A_ROW + col + (t + lane / 16) * 8);
        else
            ldmatrix(b, s.in.w + (col + (t + lane / 16) * 8 + lane % 8) * U_ROW + r +
                            lane / 8 % 2 * 8);
        mma(acc[t], a, b[0], b[1]);
        mma(acc[t + 1], a, b[2], b[3]);
    }
}

LF_DEVICE void put_sums(float *out, const float (&acc)[8][4])
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *at = out + (warp % 4 * 16 + lane / 4) * OUT_ROW + warp / 4 * 64 + lane % 4 * 2;
#pragma unroll
    for (int t = 0; t < 8; t++) {
        *(float2 *)(at + t * 8) = make_float2(acc[t][0], acc[t][1]);
        *(float2 *)(at + t * 8 + 8 * OUT_ROW) = make_float2(acc[t][2], acc[t][3]);
    }
}

/* The product of one projection for the block's tile, left in s.out. False where there is none. */
template <bool backward>
LF_DEVICE bool product(struct wide_smem &s, const struct wide_args &a, const struct lora_batch &b,
                       const struct row_tile &rows, const struct lf_lora_site &site, int p, int c0)
{
    if (site.rank <= 0)
        return false;
    float acc[8][4] = {};
    const bf16 *u = a.u + (size_t)p * b.rank_max;
    int ld = a.n * b.rank_max;
    bool vec = whole_words(u, ld) && b.rank_max % 8 == 0;
    for (int r0 = 0; r0 < site.rank; r0 += RANKS) {
        __syncthreads(); /* who read shared memory before is done */
        stage_u(s.in.u, u, rows, ld, r0, site.rank, vec);
        if (backward)
            stage_a(s.in.w, site, c0, a.width[p], r0);
        else
            stage_b(s.in.w, site, c0, a.width[p], r0);
        __syncthreads();
        for (int r = 0; r < min(RANKS, site.rank - r0); r += 16)
            add_ranks<backward>(acc, s, r);
    }
    __syncthreads();
    put_sums(s.out, acc);
    __syncthreads();
    return true;
}

/* Where run `i` of this thread lies in the tile. */
LF_DEVICE void run_at(int i, int *row, int *col)
{
    int run = i * WARPS * 32 + threadIdx.x;
    *row = run / (COLS / 8);
    *col = run % (COLS / 8) * 8;
}

/* Grid: columns, row tiles; forward: projections. Backward adds all projections into one dx. */
template <bool backward, bool drops>
static __global__ void __launch_bounds__(WARPS * 32)
    wide_kernel(const __grid_constant__ struct wide_args a, const struct lora_batch b)
{
    __shared__ __align__(16) struct wide_smem s;
    int c0 = blockIdx.x * COLS;
    int first = backward ? 0 : blockIdx.z, last = backward ? a.n : first + 1;
    if (c0 >= a.width[first])
        return;
    grid_wait();
    struct row_tile rows = find_row_tile(b.segs, b.n_segs, ROWS, blockIdx.y, a.training);
    if (rows.seg < 0)
        return;
    float sum[EACH][8] = {};
    for (int p = first; p < last; p++) {
        const struct lf_lora_site site =
            a.sites[(size_t)b.segs[rows.seg].slot * a.n_sites + a.site[p]];
        if (!product<backward>(s, a, b, rows, site, p, c0))
            continue;
        float scale = backward ? 1.0f : site.scale;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int row, col;
            run_at(i, &row, &col);
            float v[8];
            load8(v, s.out + row * OUT_ROW + col, 8, true);
            if (drops && row < rows.n && c0 + col < a.width[p])
                drop8(v, drop_of(b.seqs, b.seq, b.pos, rows.row + row, a.width[p], a.site[p]),
                      c0 + col);
#pragma unroll
            for (int e = 0; e < 8; e++)
                sum[i][e] += scale * v[e];
        }
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int row, col, left;
        run_at(i, &row, &col);
        left = a.width[first] - c0 - col;
        if (row >= rows.n || left <= 0)
            continue;
        bf16 *y = a.y + (size_t)(rows.row + row) * a.ld + a.col[first] + c0 + col;
        float v[8];
        load8(v, y, left, a.vec);
#pragma unroll
        for (int e = 0; e < 8; e++)
            v[e] += sum[i][e];
        store8(y, v, left, a.vec);
    }
}

void lf_cuda_lora_expand(struct lf_stream *s, const struct lf_lora_args *a)
{
    struct wide_args w = {};
    int widest = 0;
    w.sites = a->sites;
    w.y = (bf16 *)a->y;
    w.u = (const bf16 *)a->u;
    w.n_sites = a->n_sites, w.n = a->n, w.ld = a->ldy;
    w.vec = lf_eights(a->y, a->ldy, 8);
    for (int p = 0; p < a->n; p++) {
        w.site[p] = a->site[p];
        w.col[p] = a->col[p];
        w.width[p] = a->N[p];
        w.vec = w.vec && a->col[p] % 8 == 0 && a->N[p] % 8 == 0;
        widest = widest > a->N[p] ? widest : a->N[p];
    }
    dim3 grid(lf_div_up(widest, COLS), lf_row_tiles_max(a->batch, ROWS), a->n);
    lf_launch<wide_kernel<false, false>>(s, grid, WARPS * 32, 0, w, lora_batch_of(a->batch));
}

void lf_cuda_lora_dx(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    struct wide_args w = {};
    w.sites = a->sites;
    w.y = (bf16 *)a->dx;
    w.u = (const bf16 *)a->du;
    w.n_sites = a->n_sites, w.n = a->n, w.ld = a->lddx;
    w.training = true;
    w.vec = lf_eights(a->dx, a->lddx, a->K);
    for (int p = 0; p < a->n; p++) {
        w.site[p] = a->site[p];
        w.width[p] = a->K;
    }
    dim3 grid(lf_div_up(a->K, COLS), lf_row_tiles_max(a->batch, ROWS));
    if (lora_drops(a->batch))
        lf_launch<wide_kernel<true, true>>(s, grid, WARPS * 32, 0, w, lora_batch_of(a->batch));
    else
        lf_launch<wide_kernel<true, false>>(s, grid, WARPS * 32, 0, w, lora_batch_of(a->batch));
}
