/* LoRA's gradients: db += scale dy^T u and da += du^T drop(x), for every projection of a group and
 * every adapter in one launch. A block owns 64 columns (of dy or x) by 64 ranks of one gradient and
 * goes through all rows of its adapter, in all segments, in order: no two blocks add to one
 * element, so results repeat. 64 rows a step go through shared memory; four pairs of warps take 16
 * columns each, and a pair shares the rows. Memory-bound: dy and x once. */
#include "gpu/ops/lora/lora.cuh"

#define WARPS 8
#define ROWS 64
#define COLS 64
#define RANKS 64
#define TILE_ROW 72 /* elements of a row in shared memory: 64, and 8 against bank conflicts */
#define SUM_ROW 68

struct grad_args {
    const struct lf_lora_site *sites;
    const bf16 *x, *dy, *u, *du;
    int n_sites, n, K, ldx, lddy;
    int site[LF_GROUP_MAX], col[LF_GROUP_MAX], N[LF_GROUP_MAX];
    bool vec_x, vec_dy;
};

/* One block's gradient: columns [c0, c0 + COLS) of wide (T, ld) against ranks of narrow. */
struct grad_job {
    const bf16 *wide, *narrow;
    int p, c0, width, ld;
    int slot, rank, rank0;
    bool is_a, vec;
};

struct grad_smem {
    union {
        struct {
            bf16 wide[ROWS * TILE_ROW], narrow[ROWS * TILE_ROW];
        } in;
        float sum[COLS * SUM_ROW];
    };
};

/* Which gradient and which columns: all tiles of db of each projection, then those of da. */
LF_DEVICE bool find_job(struct grad_job &j, const struct grad_args &a, int tile)
{
    for (int i = 0; i < 2 * a.n; i++) {
        j.is_a = i >= a.n;
        j.p = i % a.n;
        j.width = j.is_a ? a.K : a.N[j.p];
        int tiles = (j.width + COLS - 1) / COLS;
        if (tile < tiles) {
            j.c0 = tile * COLS;
            j.wide = j.is_a ? a.x : a.dy + a.col[j.p];
            j.ld = j.is_a ? a.ldx : a.lddy;
            j.narrow = j.is_a ? a.du : a.u;
            j.vec = j.is_a ? a.vec_x : a.vec_dy;
            return true;
        }
        tile -= tiles;
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

/* This thread's part of a step, on its way from memory: two runs of eight of each tile. */
struct in_flight {
    uint4 wide[2], narrow[2];
};

template <bool drops>
LF_DEVICE void fetch(struct in_flight &f, const struct grad_args &a, const struct lora_batch &b,
                     const struct grad_job &j, int row, int end)
{
    int ld = a.n * b.rank_max;
    const bf16 *narrow = j.narrow + (size_t)j.p * b.rank_max + j.rank0;
    bool vec = whole_words(narrow, ld);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int run = i * WARPS * 32 + threadIdx.x;
        int t = row + run / (COLS / 8), c = run % (COLS / 8) * 8;
        f.wide[i] = f.narrow[i] = make_uint4(0, 0, 0, 0);
        if (t < end && j.c0 + c < j.width) {
            f.wide[i] = words8(j.wide + (size_t)t * j.ld + j.c0 + c, j.width - j.c0 - c, j.vec);
            if (drops && j.is_a)
                f.wide[i] = drop_words(
                    f.wide[i], drop_of(b.seqs, b.seq, b.pos, t, j.width, a.site[j.p]), j.c0 + c);
        }
        if (t < end && j.rank0 + c < j.rank)
            f.narrow[i] = words8(narrow + (size_t)t * ld + c, j.rank - j.rank0 - c, vec);
    }
}

LF_DEVICE void put_step(struct grad_smem &s, const struct in_flight &f)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int run = i * WARPS * 32 + threadIdx.x;
        int at = run / (COLS / 8) * TILE_ROW + run % (COLS / 8) * 8;
        *(uint4 *)(s.in.wide + at) = f.wide[i];
        *(uint4 *)(s.in.narrow + at) = f.narrow[i];
    }
}

/* acc += (16 columns) x (ranks) over this warp's 32 rows of the step. */
LF_DEVICE void add_step(float (&acc)[8][4], const struct grad_smem &s, int ranks)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, col = warp % 4 * 16;
#pragma unroll
    for (int k = 0; k < 2; k++) {
        int row = warp / 4 * 32 + k * 16;
        uint32_t a[4];
        ldmatrix_trans(a, s.in.wide + (row + lane / 16 * 8 + lane % 8) * TILE_ROW + col +
                              lane / 8 % 2 * 8);
#pragma unroll
        for (int t = 0; t < 8; t += 2)
            if (t * 8 < ranks) {
                uint32_t b[4];
                ldmatrix_trans(b, s.in.narrow + (row + lane % 16) * TILE_ROW + (t + lane / 16) * 8);
                mma(acc[t], a, b[0], b[1]);
                mma(acc[t + 1], a, b[2], b[3]);
            }
    }
}

/* Joins the two halves of the rows and adds to the gradient. */
LF_DEVICE void put_gradient(struct grad_smem &s, const float (&acc)[8][4],
                            const struct lf_lora_site &site, const struct grad_job &j)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *at = s.sum + (warp % 4 * 16 + lane / 4) * SUM_ROW + lane % 4 * 2;
    for (int turn = 0; turn < 2; turn++) {
        __syncthreads();
        if (warp / 4 == turn)
#pragma unroll
            for (int t = 0; t < 8; t++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float *to = at + e / 2 * 8 * SUM_ROW + t * 8 + e % 2;
                    *to = turn ? *to + acc[t][e] : acc[t][e];
                }
    }
    __syncthreads();
    int ranks = min(RANKS, j.rank - j.rank0), cols = min(COLS, j.width - j.c0);
    for (int i = threadIdx.x; i < ranks * cols; i += WARPS * 32) {
        int r = j.is_a ? i / cols : i % ranks, c = j.is_a ? i % cols : i / ranks;
        float v = s.sum[c * SUM_ROW + r];
        if (j.is_a)
            site.da[(size_t)(j.rank0 + r) * j.width + j.c0 + c] += v;
        else
            site.db[(size_t)(j.c0 + c) * j.rank + j.rank0 + r] += site.scale * v;
    }
}

/* Grid: column tiles of all gradients, ranks, segments. */
template <bool drops>
static __global__ void __launch_bounds__(WARPS * 32)
    grad_kernel(const __grid_constant__ struct grad_args a, const struct lora_batch b)
{
    __shared__ __align__(16) struct grad_smem s;
    grid_wait();
    struct grad_job j;
    if (!leads(b, blockIdx.z) || !find_job(j, a, blockIdx.x))
        return;
    j.slot = b.segs[blockIdx.z].slot;
    const struct lf_lora_site site = a.sites[(size_t)j.slot * a.n_sites + a.site[j.p]];
    j.rank = site.rank;
    j.rank0 = blockIdx.y * RANKS;
    if (j.rank0 >= j.rank)
        return;
    float acc[8][4] = {};
    for (int g = blockIdx.z; g < b.n_segs; g++) {
        const struct lf_lora_seg seg = b.segs[g];
        if (!seg.trains || seg.slot != j.slot)
            continue;
        struct in_flight f;
        fetch<drops>(f, a, b, j, seg.start, seg.end);
        for (int row = seg.start; row < seg.end; row += ROWS) {
            __syncthreads();
            put_step(s, f);
            __syncthreads();
            fetch<drops>(f, a, b, j, row + ROWS, seg.end);
            add_step(acc, s, j.rank - j.rank0);
        }
    }
    put_gradient(s, acc, site, j);
}

void lf_cuda_lora_grads(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    struct grad_args g = {};
    int tiles = 0;
    g.sites = a->sites;
    g.x = (const bf16 *)a->x, g.dy = (const bf16 *)a->dy;
    g.u = (const bf16 *)a->u, g.du = (const bf16 *)a->du;
    g.n_sites = a->n_sites, g.n = a->n, g.K = a->K, g.ldx = a->ldx, g.lddy = a->lddy;
    g.vec_x = lf_eights(a->x, a->ldx, a->K);
    g.vec_dy = lf_eights(a->dy, a->lddy, 8);
    for (int p = 0; p < a->n; p++) {
        g.site[p] = a->site[p];
        g.col[p] = a->col[p];
        g.N[p] = a->N[p];
        g.vec_dy = g.vec_dy && a->col[p] % 8 == 0;
        tiles += lf_div_up(a->N[p], COLS) + lf_div_up(a->K, COLS);
    }
    struct lora_batch b = lora_batch_of(a->batch);
    dim3 grid(tiles, lf_div_up(b.rank_max, RANKS), b.n_segs);
    if (lora_drops(a->batch))
        lf_launch<grad_kernel<true>>(s, grid, WARPS * 32, 0, g, b);
    else
        lf_launch<grad_kernel<false>>(s, grid, WARPS * 32, 0, g, b);
}
