/* Rows for the norms: a group of `width` threads owns a row and keeps it in registers (eight
 * elements a thread, up to `runs` times), so that it is read once. Private to gpu/ops/. */
#ifndef LF_GPU_OPS_NORM_ROW_CUH
#define LF_GPU_OPS_NORM_ROW_CUH

#include "gpu/cuda/kernel.cuh"

/* A group's share of a row: run r of thread i holds elements (r * width + i) * 8 .. + 8. */
template <int width, int runs> struct share {
    float v[runs][8];
};

/* The same as it lies in memory. */
template <int width, int runs> struct words {
    uint4 v[runs];
};

template <int width> LF_DEVICE float group_sum(float x)
{
    return width == 32 ? warp_sum(x) : block_sum<width>(x);
}

/* Several sums at once. */
template <int width, int n> LF_DEVICE void group_sums(float (&x)[n])
{
    __shared__ float part[n][32];
#pragma unroll
    for (int i = 0; i < n; i++)
        x[i] = warp_sum(x[i]);
    if (width == 32)
        return;
    __syncthreads();
    if (threadIdx.x % 32 == 0)
#pragma unroll
        for (int i = 0; i < n; i++)
            part[i][threadIdx.x / 32] = x[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < n; i++) {
        x[i] = 0.0f;
#pragma unroll
        for (int w = 0; w < width / 32; w++)
            x[i] += part[i][w];
    }
}

template <int width> LF_DEVICE int rank_in_group()
{
    return threadIdx.x % width;
}

template <typename E, int width, int runs>
LF_DEVICE void load_row(struct share<width, runs> &x, const E *row, int C, bool vec)
{
#pragma unroll
    for (int r = 0; r < runs; r++) {
        int c = (r * width + rank_in_group<width>()) * 8;
        if (c < C)
            load8(x.v[r], row + c, C - c, vec);
        else
            for (int i = 0; i < 8; i++)
                x.v[r][i] = 0.0f;
    }
}

template <int width, int runs>
LF_DEVICE void load_words(struct words<width, runs> &x, const bf16 *row, int C, bool vec)
{
#pragma unroll
    for (int r = 0; r < runs; r++) {
        int c = (r * width + rank_in_group<width>()) * 8;
        x.v[r] = c < C ? words8(row + c, C - c, vec) : make_uint4(0, 0, 0, 0);
    }
}

template <int width, int runs>
LF_DEVICE void store_row(bf16 *row, const struct share<width, runs> &x, int C, bool vec)
{
#pragma unroll
    for (int r = 0; r < runs; r++) {
        int c = (r * width + rank_in_group<width>()) * 8;
        if (c < C)
            store8(row + c, x.v[r], C - c, vec);
    }
}

template <int width, int runs> LF_DEVICE float mean_of(const struct share<width, runs> &x, int C)
{
    float sum = 0.0f;
#pragma unroll
    for (int r = 0; r < runs; r++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            sum += x.v[r][i];
    return group_sum<width>(sum) / C;
}

/* Mean of (x - mean)^2 over the C elements that are there. */
template <int width, int runs>
LF_DEVICE float square_mean_of(const struct share<width, runs> &x, float mean, int C)
{
    float sum = 0.0f;
#pragma unroll
    for (int r = 0; r < runs; r++)
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float d = x.v[r][i] - mean;
            bool there = (r * width + rank_in_group<width>()) * 8 + i < C;
            sum += there ? d * d : 0.0f;
        }
    return group_sum<width>(sum) / C;
}

/* A row of a norm: token and group. */
struct norm_place {
    size_t t, h;
};

LF_DEVICE struct norm_place norm_place_of(int64_t row, int H)
{
    if (H > 1) /* the division of few rows costs as much as their norm */
        return {(size_t)(row / H), (size_t)(row % H)};
    return {(size_t)row, 0};
}

/* x, the row at `at`, through the norm, w being its weights. */
template <int width, int runs>
LF_DEVICE void norm_share(const struct lf_norm_args &a, const struct norm_place &at,
                          struct share<width, runs> &x, const struct share<width, runs> &w,
                          bool vec, bool vec_w)
{
    struct share<width, runs> b;
    float mean = a.layer_norm ? mean_of(x, a.C) : 0.0f;
    float rstd = rsqrtf(square_mean_of(x, mean, a.C) + a.eps);
#pragma unroll
    for (int r = 0; r < runs; r++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            x.v[r][i] = (x.v[r][i] - mean) * rstd * w.v[r][i];
    if (a.b) {
        load_row(b, a.b, a.C, vec_w);
#pragma unroll
        for (int r = 0; r < runs; r++)
#pragma unroll
            for (int i = 0; i < 8; i++)
                x.v[r][i] += b.v[r][i];
    }
    store_row((bf16 *)a.y + at.t * a.ldy + at.h * a.C, x, a.C, vec);
}

/* Row `row` from memory through the norm. */
template <int width, int runs>
LF_DEVICE void norm_row(const struct lf_norm_args &a, int64_t row,
                        const struct share<width, runs> &w, bool vec, bool vec_w)
{
    const struct norm_place at = norm_place_of(row, a.H);
    struct share<width, runs> x;
    load_row(x, (const bf16 *)a.x + at.t * a.ldx + at.h * a.C, a.C, vec);
    norm_share(a, at, x, w, vec, vec_w);
}

#endif
