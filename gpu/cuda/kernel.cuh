/* What kernels of several operations share: bf16 in eights, sums over warps and blocks, keys of
 * the paged cache, the tiles of a segmented batch. Private to gpu/. */
#ifndef LF_GPU_CUDA_KERNEL_CUH
#define LF_GPU_CUDA_KERNEL_CUH

#include "core/rng.h"
#include "gpu/cuda/cuda.cuh"
#include "gpu/cuda/ptx.cuh"

#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f

/* ---- Numbers --------------------------------------------------------------------------------- */

LF_DEVICE float to_f32(bf16 x)
{
    return __bfloat162float(x);
}

LF_DEVICE float to_f32(float x)
{
    return x;
}

/* Two bf16 in a word, the first in the low half. */
LF_DEVICE uint32_t pack2(float lo, float hi)
{
    __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

LF_DEVICE float low_half(uint32_t u)
{
    return __uint_as_float(u << 16);
}

LF_DEVICE float high_half(uint32_t u)
{
    return __uint_as_float(u & 0xffff0000u);
}

/* tanh to about 1e-6, from the fast exponential. */
LF_DEVICE float tanh_fast(float x)
{
    return 1.0f - __fdividef(2.0f, 1.0f + exp2_fast(2.0f * LOG2E * x));
}

/* n / d for 0 <= n < 2^20, d > 0: a whole division is forty instructions in a row. */
LF_DEVICE int small_div(int n, int d)
{
    return (int)__fdividef((float)n + 0.5f, (float)d);
}

/* ---- Runs of eight --------------------------------------------------------------------------- */

/* Eight bf16 as fp32. */
LF_DEVICE void floats8(float (&v)[8], const uint4 &u)
{
    const uint32_t w[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = low_half(w[i]);
        v[2 * i + 1] = high_half(w[i]);
    }
}

/* p[0..8) as fp32; elements at or past n are 0. One 16-byte load when `vec` (p is 16-byte aligned
 * and n >= 8). */
LF_DEVICE void load8(float (&v)[8], const bf16 *p, int n, bool vec)
{
    if (vec) {
        floats8(v, *(const uint4 *)p);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = i < n ? to_f32(p[i]) : 0.0f;
    }
}

LF_DEVICE void load8(float (&v)[8], const float *p, int n, bool vec)
{
    if (vec) {
        float4 a = ((const float4 *)p)[0], b = ((const float4 *)p)[1];
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
        v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = i < n ? p[i] : 0.0f;
    }
}

LF_DEVICE void store8(bf16 *p, const float (&v)[8], int n, bool vec)
{
    if (vec) {
        *(uint4 *)p =
            make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7]));
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (i < n)
                p[i] = __float2bfloat16_rn(v[i]);
    }
}

/* Eight bf16 from p as four words; elements at or past n are 0. */
LF_DEVICE uint4 words8(const bf16 *p, int n, bool vec)
{
    if (vec && n >= 8)
        return *(const uint4 *)p;
    unsigned short e[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        e[i] = i < n ? __bfloat16_as_ushort(p[i]) : (unsigned short)0;
    return make_uint4(e[0] | (uint32_t)e[1] << 16, e[2] | (uint32_t)e[3] << 16,
                      e[4] | (uint32_t)e[5] << 16, e[6] | (uint32_t)e[7] << 16);
}

/* Host: rows of these strides (in elements) may be read eight at a time. */
static inline bool lf_eights(const void *p, int ld, int elements)
{
    return (uintptr_t)p % 16 == 0 && ld % 8 == 0 && elements % 8 == 0;
}

/* ---- Sums and maxima, always in the same order ----------------------------------------------- */

LF_DEVICE float warp_sum(float x)
{
#pragma unroll
    for (int d = 16; d > 0; d /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, d);
    return x;
}

/* Over the lanes up to this one, which is among them. */
template <typename T> LF_DEVICE T warp_upto(T x)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
        T before = __shfl_up_sync(0xffffffffu, x, d);
        x += lane >= d ? before : 0;
    }
    return x;
}

LF_DEVICE float warp_max(float x)
{
#pragma unroll
    for (int d = 16; d > 0; d /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, d));
    return x;
}

/* Over a block of `threads` (a multiple of 32, at most 1024); every thread gets the result. The
 * leading barrier lets the same shared words serve calls in a row. */
template <int threads> LF_DEVICE float block_sum(float x)
{
    __shared__ float part[32];
    x = warp_sum(x);
    if (threads == 32)
        return x;
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = x;
    __syncthreads();
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < threads / 32; i++)
        total += part[i];
    return total;
}

template <int threads> LF_DEVICE float block_max(float x)
{
    __shared__ float part[32];
    x = warp_max(x);
    if (threads == 32)
        return x;
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = x;
    __syncthreads();
    float max = part[0];
#pragma unroll
    for (int i = 1; i < threads / 32; i++)
        max = fmaxf(max, part[i]);
    return max;
}

/* True in every thread of the last of `n` blocks that arrive at *counter; what the others wrote
 * before is seen. Leaves the counter zero. */
LF_DEVICE bool last_to_arrive(int *counter, int n)
{
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) {
        last = add_in_order(counter, 1) == n - 1;
        if (last)
            *counter = 0;
    }
    __syncthreads();
    return last;
}

/* ---- LoRA segments --------------------------------------------------------------------------- */

struct row_tile {
    int seg;    /* -1: there is none */
    int row, n; /* rows [row, row + n) */
};

/* Tile number `tile` of the segments cut into tiles of `height` rows; with `training`, of those
 * that train. A whole warp calls it, and every lane gets the same answer. */
LF_DEVICE struct row_tile find_row_tile(const struct lf_lora_seg *segs, int n_segs, int height,
                                        int tile, bool training)
{
    int lane = threadIdx.x % 32;
    for (int base = 0; base < n_segs; base += 32) {
        int i = base + lane, start = 0, rows = 0;
        if (i < n_segs && (!training || segs[i].trains)) {
            start = segs[i].start;
            rows = segs[i].end - start;
        }
        int tiles = (rows + height - 1) / height, upto = warp_upto(tiles);
        unsigned found = __ballot_sync(0xffffffffu, upto > tile);
        if (found) {
            int from = __ffs(found) - 1;
            int first = __shfl_sync(0xffffffffu, upto - tiles, from);
            start = __shfl_sync(0xffffffffu, start, from);
            rows = __shfl_sync(0xffffffffu, rows, from);
            int at = (tile - first) * height;
            return {base + from, start + at, min(height, rows - at)};
        }
        tile -= __shfl_sync(0xffffffffu, upto, 31);
    }
    return {-1, 0, 0};
}

/* Tiles that find_row_tile may find, at most. */
static inline int lf_row_tiles_max(const struct lf_ragged *b, int height)
{
    return b->T / height + b->n_segs;
}

/* ---- Dropout --------------------------------------------------------------------------------- */

/* The mask of one row of one site (gpu/ops/lora/drop.h). */
struct drop {
    uint64_t key, first; /* element k is number first + k */
    uint64_t site;
    float p, keep;  /* keep = 1/(1-p) */
    uint32_t below; /* words that drop their element: lf_rng_unit(u) < p, but in whole numbers,
                       since turning words into floats costs as much as drawing them */
};

LF_DEVICE struct drop drop_of(const struct lf_seq *seqs, const int32_t *seq, const int32_t *pos,
                              int t, int K, int site)
{
    const struct lf_seq *s = &seqs[seq[t]];
    struct drop d;
    d.key = s->drop_key;
    d.first = (uint64_t)pos[t] * (uint64_t)K;
    d.site = (uint64_t)site;
    d.p = s->drop_p;
    d.keep = 1.0f / (1.0f - s->drop_p);
    d.below = (uint32_t)ceilf(s->drop_p * 16777216.0f) << 8;
    return d;
}

LF_DEVICE float drop_factor(const struct drop &d, uint32_t u)
{
    return u < d.below ? 0.0f : d.keep;
}

/* Of element i by itself; for rows whose words do not line up. */
static __device__ __noinline__ float drop_one(const struct drop &d, uint64_t i)
{
    return drop_factor(d, lf_rng_u32(d.key, i, d.site));
}

/* Multiplies elements k .. k+8 of a row. Words are drawn four at a time where they line up. */
LF_DEVICE void drop8(float (&v)[8], const struct drop &d, int k)
{
    if (d.p <= 0.0f)
        return;
    uint64_t i = d.first + (uint64_t)k;
    if (i % 4 == 0) {
#pragma unroll
        for (int q = 0; q < 2; q++) {
            struct lf_u32x4 u = lf_rng4(d.key, i / 4 + q, d.site);
#pragma unroll
            for (int e = 0; e < 4; e++)
                v[4 * q + e] *= drop_factor(d, u.v[e]);
        }
    } else {
#pragma unroll
        for (int e = 0; e < 8; e++)
            v[e] *= drop_one(d, i + e);
    }
}

#endif
