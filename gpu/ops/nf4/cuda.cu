/* Weights to NF4 on CUDA: a warp takes a block, a lane two neighbours of it, which share a byte.
 * Meant for weights that come over the bus: far faster than they do. */
#include "gpu/cuda/kernel.cuh"
#include "gpu/nf4.h"

#include <cuda_fp16.h>

#define NF4_WARPS 8 /* blocks that a thread block quantises */

static_assert(LF_NF4_BLOCK == 64, "a warp's lanes take two values each");

struct nf4_thresholds {
    float t[15];
};

static __device__ float2 nf4_pair(const float *x)
{
    return *(const float2 *)x;
}
static __device__ float2 nf4_pair(const bf16 *x)
{
    return __bfloat1622float2(*(const __nv_bfloat162 *)x);
}
static __device__ float2 nf4_pair(const __half *x)
{
    return __half22float2(*(const __half2 *)x);
}

static __device__ unsigned nf4_code(float v, const struct nf4_thresholds &thresholds)
{
    unsigned code = 0;
#pragma unroll
    for (int i = 0; i < 15; i++)
        code += v > thresholds.t[i];
    return code;
}

template <typename X>
static __global__ void __launch_bounds__(32 * NF4_WARPS)
    nf4_kernel(uint8_t *codes, float *absmax, const X *x, size_t n,
               const __grid_constant__ struct nf4_thresholds thresholds)
{
    grid_wait();
    size_t block = (size_t)blockIdx.x * NF4_WARPS + threadIdx.x / 32;
    size_t i = block * LF_NF4_BLOCK + threadIdx.x % 32 * 2;
    float2 v = i < n ? nf4_pair(x + i) : make_float2(0.0f, 0.0f);
    float most = fmaxf(fabsf(v.x), fabsf(v.y));
#pragma unroll
    for (int lane = 16; lane > 0; lane /= 2)
        most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, lane));
    float inverse = 1.0f / most;
    unsigned high = LF_NF4_ZERO, low = LF_NF4_ZERO;
    if (isfinite(inverse)) {
        high = nf4_code(v.x * inverse, thresholds);
        low = nf4_code(v.y * inverse, thresholds);
    }
    if (i < n)
        codes[i / 2] = (uint8_t)(high << 4 | low);
    if (threadIdx.x % 32 == 0 && i < n)
        absmax[block] = most;
}

void lf_cuda_nf4(struct lf_stream *s, const struct lf_nf4_args *a)
{
    struct nf4_thresholds thresholds;
    for (int i = 0; i < 15; i++)
        thresholds.t[i] = lf_nf4_thresholds[i];
    dim3 grid((unsigned)((a->n + NF4_WARPS * LF_NF4_BLOCK - 1) / (NF4_WARPS * LF_NF4_BLOCK)));
    if (a->dtype == LF_F32)
        lf_launch<nf4_kernel<float>>(s, grid, 32 * NF4_WARPS, 0, a->codes, a->absmax,
                                     (const float *)a->x, a->n, thresholds);
    else if (a->dtype == LF_BF16)
        lf_launch<nf4_kernel<bf16>>(s, grid, 32 * NF4_WARPS, 0, a->codes, a->absmax,
                                    (const bf16 *)a->x, a->n, thresholds);
    else
        lf_launch<nf4_kernel<__half>>(s, grid, 32 * NF4_WARPS, 0, a->codes, a->absmax,
                                      (const __half *)a->x, a->n, thresholds);
}
