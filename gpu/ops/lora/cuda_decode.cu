/* LoRA for few tokens, each perhaps with its own adapter: two launches for a whole group of
 * projections, whatever the adapters. The time is that of reading A and B of each segment's
 * adapter once for every four of its rows. */
#include "gpu/ops/lora/lora.cuh"
#include "gpu/ops/norm/row.cuh"

#define SHRINK_THREADS 256
#define NORM_RUNS 2 /* a norm's row has up to so many eights a thread */
#define EXPAND_THREADS 128
#define TOGETHER 4 /* rows of a segment that share one reading of the adapter */

struct shrink_args {
    struct lf_lora_args a;
    struct lora_batch b;
    struct lf_norm_args norm; /* for SHRINK_NORM */
    bool vec;                 /* x (and a norm's weights) may be read in eights */
};

/* What x is: as it lies, with dropout, or to be normed (with a norm that
 * lf_cuda_lora_decode_norms takes). */
enum shrink_kind { SHRINK, SHRINK_DROP, SHRINK_NORM };

/* The dot products of row r of A with up to TOGETHER rows of x, over this thread's part of K; with
 * a norm, those of its weights times x, and the sums of the squares of x. */
template <enum shrink_kind kind>
LF_DEVICE void dots(float (&sum)[TOGETHER], float (&squares)[TOGETHER], const struct shrink_args &s,
                    const bf16 *A, int t, int rows, int site)
{
    const bool norm = kind == SHRINK_NORM;
    const struct lf_lora_args &a = s.a;
    const bf16 *from = (const bf16 *)(norm ? s.norm.x : a.x);
    int ld = norm ? s.norm.ldx : a.ldx;
    bool vec = s.vec && whole_words(A, a.K);
#pragma unroll(kind == SHRINK_DROP ? 1 : 2)
    for (int k = threadIdx.x * 8; k < a.K; k += SHRINK_THREADS * 8) {
        float w[8], scale[8];
        load8(w, A + k, a.K - k, vec);
        if (norm) {
            load8(scale, s.norm.w + k, a.K - k, true);
#pragma unroll
            for (int e = 0; e < 8; e++)
                w[e] *= scale[e];
        }
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            if (i >= rows)
                continue;
            float x[8];
            load8(x, from + (size_t)(t + i) * ld + k, a.K - k, norm || s.vec);
            if (kind == SHRINK_DROP)
                drop8(x, drop_of(s.b.seqs, s.b.seq, s.b.pos, t + i, a.K, site), k);
#pragma unroll
            for (int e = 0; e < 8; e++) {
                sum[i] += x[e] * w[e];
                squares[i] += norm ? x[e] * x[e] : 0.0f;
            }
        }
    }
}

/* Row r of u's share of projection p, for the rows of segment `at`. The batch and its adapters were
 * there before any kernel of the run began, so they may be looked up before grid_wait. */
template <enum shrink_kind kind>
LF_DEVICE void shrink(const struct shrink_args &s, int p, int r, int at)
{
    const bool norm = kind == SHRINK_NORM;
    const struct lf_lora_args &a = s.a;
    const struct lf_lora_seg seg = s.b.segs[at];
    const struct lf_lora_site *site = &a.sites[(size_t)seg.slot * a.n_sites + a.site[p]];
    bool there = seg.start < seg.end && r < site->rank;
    const bf16 *A = there ? (const bf16 *)site->a + (size_t)r * a.K : NULL;
    if (there && threadIdx.x == 0 && whole_words(A, a.K))
        prefetch_l2(A, a.K * sizeof(bf16));
    grid_wait();
    if (!there)
        return;
    for (int t = seg.start; t < seg.end; t += TOGETHER) {
        float sum[TOGETHER] = {}, squares[TOGETHER] = {};
        int rows = min(TOGETHER, seg.end - t);
        dots<kind>(sum, squares, s, A, t, rows, a.site[p]);
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            if (i >= rows) /* the whole block alike */
                continue;
            float u = block_sum<SHRINK_THREADS>(sum[i]);
            if (norm)
                u *= rsqrtf(block_sum<SHRINK_THREADS>(squares[i]) / a.K + s.norm.eps);
            if (threadIdx.x == 0)
                ((bf16 *)a.u)[((size_t)(t + i) * a.n + p) * s.b.rank_max + r] =
                    __float2bfloat16_rn(u);
        }
    }
}

/* Blocks: with a norm, its rows, T of them; then (segment, p, r). */
template <enum shrink_kind kind>
static __global__ void __launch_bounds__(SHRINK_THREADS, 4)
    shrink_kernel(const __grid_constant__ struct shrink_args s)
{
    const bool norm = kind == SHRINK_NORM;
    int block = blockIdx.x;
    if (norm && block < s.norm.T) {
        struct share<SHRINK_THREADS, NORM_RUNS> w;
        load_row(w, s.norm.w, s.norm.C, true);
        grid_wait();
        norm_row(s.norm, block, w, true, true);
        return;
    }
    block -= norm ? s.norm.T : 0;
    int of_p = small_div(block, s.b.rank_max), segment = small_div(of_p, s.a.n);
    shrink<kind>(s, of_p - segment * s.a.n, block - of_p * s.b.rank_max, segment);
}

/* Grid: columns, projections, segments. A thread makes one column for all rows of the segment. */
static __global__ void __launch_bounds__(EXPAND_THREADS)
    expand_kernel(const __grid_constant__ struct lf_lora_args a, const struct lora_batch b)
{
    __shared__ float u[TOGETHER][LF_RANK_MAX];
    grid_wait();
    int p = blockIdx.y, n = blockIdx.x * EXPAND_THREADS + threadIdx.x;
    const struct lf_lora_seg seg = b.segs[blockIdx.z];
    if (seg.start >= seg.end || (int)blockIdx.x * EXPAND_THREADS >= a.N[p])
        return;
    const struct lf_lora_site site = a.sites[(size_t)seg.slot * a.n_sites + a.site[p]];
    const bf16 *B = (const bf16 *)site.b + (size_t)n * site.rank;
    bool vec = whole_words(site.b, site.rank);
    for (int t = seg.start; t < seg.end; t += TOGETHER) {
        int rows = min(TOGETHER, seg.end - t);
        __syncthreads();
        for (int i = threadIdx.x; i < rows * site.rank; i += EXPAND_THREADS)
            u[i / site.rank][i % site.rank] = to_f32(
                ((const bf16 *)
                     a.u)[((size_t)(t + i / site.rank) * a.n + p) * b.rank_max + i % site.rank]);
        __syncthreads();
        float sum[TOGETHER] = {};
        for (int r = 0; n < a.N[p] && r < site.rank; r += 8) {
            float w[8];
            load8(w, B + r, site.rank - r, vec);
#pragma unroll
            for (int i = 0; i < TOGETHER; i++)
#pragma unroll
                for (int e = 0; e < 8; e++)
                    sum[i] += r + e < site.rank ? w[e] * u[i][r + e] : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            if (n >= a.N[p] || i >= rows)
                continue;
            bf16 *y = (bf16 *)a.y + (size_t)(t + i) * a.ldy + a.col[p] + n;
            *y = __float2bfloat16_rn(to_f32(*y) + site.scale * sum[i]);
        }
    }
}

bool lf_cuda_lora_decode_norms(const struct lf_lora_args *a, const struct lf_norm_args *n)
{
    return !n->layer_norm && !n->b && n->H == 1 && n->C == a->K && n->y == a->x &&
           n->C <= NORM_RUNS * SHRINK_THREADS * 8 && lf_eights(n->x, n->ldx, n->C) &&
           lf_eights(n->y, n->ldy, n->C) && lf_eights(n->w, n->C, n->C) && !lora_drops(a->batch);
}

void lf_cuda_lora_decode_u(struct lf_stream *s, const struct lf_lora_args *a,
                           const struct lf_norm_args *norm)
{
    struct shrink_args g = {*a, lora_batch_of(a->batch), {}, lf_eights(a->x, a->ldx, a->K)};
    int blocks = g.b.n_segs * a->n * g.b.rank_max;
    if (norm) {
        g.norm = *norm;
        lf_launch<shrink_kernel<SHRINK_NORM>>(s, dim3(norm->T + blocks), SHRINK_THREADS, 0, g);
    } else if (lora_drops(a->batch)) {
        lf_launch<shrink_kernel<SHRINK_DROP>>(s, dim3(blocks), SHRINK_THREADS, 0, g);
    } else {
        lf_launch<shrink_kernel<SHRINK>>(s, dim3(blocks), SHRINK_THREADS, 0, g);
    }
}

void lf_cuda_lora_decode_y(struct lf_stream *s, const struct lf_lora_args *a)
{
    struct lora_batch b = lora_batch_of(a->batch);
    int widest = 0;
    for (int p = 0; p < a->n; p++)
        widest = widest > a->N[p] ? widest : a->N[p];
    lf_launch<expand_kernel>(s, dim3(lf_div_up(widest, EXPAND_THREADS), a->n, b.n_segs),
                             EXPAND_THREADS, 0, *a, b);
}
