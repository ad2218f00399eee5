/* LoRA for few tokens, each perhaps with its own adapter: two launches for a whole group of
 * projections, whatever the adapters. The time is that of reading A and B of each segment's
 * adapter once for every four of its rows. */
#include "gpu/ops/lora/lora.cuh"

#define SHRINK_THREADS 128
#define EXPAND_THREADS 128
#define TOGETHER 4 /* rows of a segment that share one reading of the adapter */

/* The dot products of row r of A with up to TOGETHER rows of x, over this thread's part of K. */
LF_DEVICE void dots(float (&sum)[TOGETHER], const struct lf_lora_args &a,
                    const struct lora_batch &b, const bf16 *A, int t, int rows, int site, bool vec)
{
    for (int k = threadIdx.x * 8; k < a.K; k += SHRINK_THREADS * 8) {
        float w[8];
        load8(w, A + k, a.K - k, vec && whole_words(A, a.K));
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            if (i >= rows)
                continue;
            float x[8];
            load8(x, (const bf16 *)a.x + (size_t)(t + i) * a.ldx + k, a.K - k, vec);
            drop8(x, drop_of(b.seqs, b.seq, b.pos, t + i, a.K, site), k);
#pragma unroll
            for (int e = 0; e < 8; e++)
                sum[i] += x[e] * w[e];
        }
    }
}

/* Grid: (p, r) pairs, segments. The batch and its adapters were there before any kernel of the run
 * began, so they may be looked up before grid_wait. */
static __global__ void __launch_bounds__(SHRINK_THREADS)
    shrink_kernel(const __grid_constant__ struct lf_lora_args a, const struct lora_batch b,
                  bool vec)
{
    int p = blockIdx.x / b.rank_max, r = blockIdx.x % b.rank_max;
    const struct lf_lora_seg seg = b.segs[blockIdx.y];
    const struct lf_lora_site *site = &a.sites[(size_t)seg.slot * a.n_sites + a.site[p]];
    bool there = seg.start < seg.end && r < site->rank;
    const bf16 *A = there ? (const bf16 *)site->a + (size_t)r * a.K : NULL;
    if (there && threadIdx.x == 0 && whole_words(A, a.K))
        prefetch_l2(A, a.K * sizeof(bf16));
    grid_wait();
    if (!there)
        return;
    for (int t = seg.start; t < seg.end; t += TOGETHER) {
        float sum[TOGETHER] = {};
        int rows = min(TOGETHER, seg.end - t);
        dots(sum, a, b, A, t, rows, a.site[p], vec);
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            if (i >= rows) /* the whole block alike */
                continue;
            float u = block_sum<SHRINK_THREADS>(sum[i]);
            if (threadIdx.x == 0)
                ((bf16 *)a.u)[((size_t)(t + i) * a.n + p) * b.rank_max + r] =
                    __float2bfloat16_rn(u);
        }
    }
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
                ((const bf16 *)a.u)[((size_t)(t + i / site.rank) * a.n + p) * b.rank_max +
                                    i % site.rank]);
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

void lf_cuda_lora_decode_u(struct lf_stream *s, const struct lf_lora_args *a)
{
    struct lora_batch b = lora_batch_of(a->batch);
    lf_launch<shrink_kernel>(s, dim3(a->n * b.rank_max, b.n_segs), SHRINK_THREADS, 0, *a, b,
                             lf_eights(a->x, a->ldx, a->K));
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
