/* DoRA's gain on CUDA: a block has one row, eight columns a thread; for the gradient 32 columns,
 * whose rows eight warps share out. Memory is the bound. */
#include "gpu/cuda/kernel.cuh"

#define WARPS 8

struct gains { /* of a site, by slot */
    const struct lf_lora_site *sites;
    int n_sites;
    const struct lf_seq *seqs;
    const int32_t *seq;
};

LF_DEVICE const bf16 *gain_of(const struct gains &g, size_t t)
{
    int slot = g.seqs[g.seq[t]].slot;
    return slot < 0 ? NULL : (const bf16 *)g.sites[(size_t)slot * g.n_sites].gain;
}

static __global__ void __launch_bounds__(256)
    gain_kernel(bf16 *y, int ldy, const bf16 *z, int N, int begin, struct gains gains, bool vec)
{
    grid_wait();
    size_t i = blockIdx.x, t = begin + i;
    const bf16 *gain = gain_of(gains, t);
    if (!gain)
        return;
    for (int n = threadIdx.x * 8; n < N; n += 256 * 8) {
        float v[8], g[8], product[8];
        load8(v, y + t * ldy + n, N - n, vec);
        load8(g, gain + n, N - n, vec);
        load8(product, z + i * N + n, N - n, vec);
#pragma unroll
        for (int e = 0; e < 8; e++)
            v[e] = fmaf(g[e], product[e], v[e]);
        store8(y + t * ldy + n, v, N - n, vec);
    }
}

static __global__ void __launch_bounds__(256)
    gain_bwd_kernel(bf16 *z, const bf16 *dy, int ldy, int N, int begin, struct gains gains,
                    bool vec)
{
    grid_wait();
    size_t i = blockIdx.x, t = begin + i;
    const bf16 *gain = gain_of(gains, t);
    for (int n = threadIdx.x * 8; n < N; n += 256 * 8) {
        float v[8] = {0}, g[8] = {0};
        if (gain) {
            load8(v, dy + t * ldy + n, N - n, vec);
            load8(g, gain + n, N - n, vec);
        }
#pragma unroll
        for (int e = 0; e < 8; e++)
            v[e] *= g[e];
        store8(z + i * N + n, v, N - n, vec);
    }
}

static __global__ void __launch_bounds__(32 * WARPS)
    gain_grads_kernel(const bf16 *dy, int ldy, const bf16 *z, int N, int begin, int end,
                      const struct lf_lora_site *sites, int n_sites, const struct lf_lora_seg *segs,
                      int n_segs)
{
    __shared__ float sums[WARPS][32];
    grid_wait();
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n = blockIdx.x * 32 + lane;
    for (int s = 0; s < n_segs; s++) {
        const struct lf_lora_seg seg = segs[s];
        float *dgain = sites[(size_t)seg.slot * n_sites].dgain;
        int from = max(seg.start, begin), to = min(seg.end, end);
        if (!dgain || !seg.trains || from >= to)
            continue;
        float sum = 0;
        for (int t = from + warp; n < N && t < to; t += WARPS)
            sum =
                fmaf(to_f32(dy[(size_t)t * ldy + n]), to_f32(z[(size_t)(t - begin) * N + n]), sum);
        sums[warp][lane] = sum;
        __syncthreads();
        for (int w = 1; warp == 0 && w < WARPS; w++)
            sum += sums[w][lane];
        if (warp == 0 && n < N)
            dgain[n] += sum;
        __syncthreads();
    }
}

static struct gains gains_from(const struct lf_gain_args *a)
{
    return {a->sites + a->site, a->n_sites, a->batch->seqs, a->batch->seq};
}

static bool is_vec(const struct lf_gain_args *a)
{
    return lf_eights(a->y, a->ldy, a->N) && lf_eights(a->z, a->N, a->N);
}

void lf_cuda_gain(struct lf_stream *s, const struct lf_gain_args *a)
{
    lf_launch<gain_kernel>(s, dim3(a->end - a->begin), 256, 0, (bf16 *)a->y, a->ldy,
                           (const bf16 *)a->z, a->N, a->begin, gains_from(a), is_vec(a));
}

void lf_cuda_gain_bwd(struct lf_stream *s, const struct lf_gain_args *a)
{
    lf_launch<gain_bwd_kernel>(s, dim3(a->end - a->begin), 256, 0, (bf16 *)a->z, (const bf16 *)a->y,
                               a->ldy, a->N, a->begin, gains_from(a), is_vec(a));
}

void lf_cuda_gain_grads(struct lf_stream *s, const struct lf_gain_args *a)
{
    lf_launch<gain_grads_kernel>(s, dim3(lf_div_up(a->N, 32)), 32 * WARPS, 0, (const bf16 *)a->y,
                                 a->ldy, (const bf16 *)a->z, a->N, a->begin, a->end,
                                 a->sites + a->site, a->n_sites, a->batch->segs, a->batch->n_segs);
}
