/* RMSNorm and LayerNorm on CUDA: 256 threads hold 256 / width rows of narrow groups, and wide
 * groups are a block. */
#include "gpu/ops/norm/row.cuh"

/* The row of this group, or -1 past the last. */
template <int width> LF_DEVICE int64_t group_row(int64_t rows)
{
    int groups = blockDim.x / width;
    int64_t row = (int64_t)blockIdx.x * groups + threadIdx.x / width;
    return row < rows ? row : -1;
}

/* The weights are there before the rows are. */
template <int width, int runs>
static __global__ void __launch_bounds__(width < 256 ? 256 : width)
    norm_kernel(struct lf_norm_args a, bool vec, bool vec_w)
{
    struct share<width, runs> w;
    load_row(w, a.w, a.C, vec_w);
    grid_wait();
    int64_t row = group_row<width>((int64_t)a.T * a.H);
    if (row >= 0) /* a whole group alike: narrow groups are warps, wide ones blocks */
        norm_row(a, row, w, vec, vec_w);
}

/* With xhat = (x - mean) rstd and g = w dy: dx = rstd (g - mean(g) - xhat mean(g xhat)). */
template <int width, int runs>
static __global__ void __launch_bounds__(width < 256 ? 256 : width)
    norm_bwd_kernel(struct lf_norm_bwd_args a, bool vec, bool vec_w)
{
    grid_wait();
    int64_t row = group_row<width>((int64_t)a.T * a.H);
    if (row < 0)
        return;
    size_t t = row / a.H, h = row % a.H;
    struct share<width, runs> x, g, w;
    load_row(x, (const bf16 *)a.x + t * a.ldx + h * a.C, a.C, vec);
    load_row(g, (const bf16 *)a.dy + t * a.ldy + h * a.C, a.C, vec);
    load_row(w, a.w, a.C, vec_w);
    float rstd = a.rstd[row], mean = a.layer_norm ? a.mean[row] : 0.0f, gx = 0.0f;
#pragma unroll
    for (int r = 0; r < runs; r++)
#pragma unroll
        for (int i = 0; i < 8; i++) {
            x.v[r][i] = (x.v[r][i] - mean) * rstd;
            g.v[r][i] *= w.v[r][i];
            gx += g.v[r][i] * x.v[r][i];
        }
    float g_mean = a.layer_norm ? mean_of(g, a.C) : 0.0f;
    float gx_mean = group_sum<width>(gx) / a.C;
    bf16 *dx = (bf16 *)a.dx + t * a.lddx + h * a.C;
    if (a.accumulate)
        load_row(w, dx, a.C, vec);
#pragma unroll
    for (int r = 0; r < runs; r++)
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float d = rstd * (g.v[r][i] - g_mean - x.v[r][i] * gx_mean);
            g.v[r][i] = a.accumulate ? w.v[r][i] + d : d;
        }
    store_row(dx, g, a.C, vec);
}

/* Grid for rows of groups of `width` threads. */
static dim3 norm_grid(int64_t rows, int width)
{
    return dim3(lf_div_up(rows, width < 256 ? 256 / width : 1));
}

void lf_cuda_norm(struct lf_stream *s, const struct lf_norm_args *a)
{
    int64_t rows = (int64_t)a->T * a->H;
    bool vec = lf_eights(a->x, a->ldx, a->C) && lf_eights(a->y, a->ldy, a->C);
    bool vec_w = lf_eights(a->w, a->C, a->C) && (!a->b || lf_eights(a->b, a->C, a->C));
    if (a->C <= 256)
        lf_launch<norm_kernel<32, 1>>(s, norm_grid(rows, 32), 256, 0, *a, vec, vec_w);
    else if (a->C <= 4096)
        lf_launch<norm_kernel<512, 1>>(s, norm_grid(rows, 512), 512, 0, *a, vec, vec_w);
    else
        lf_launch<norm_kernel<512, 4>>(s, norm_grid(rows, 512), 512, 0, *a, vec, vec_w);
}

void lf_cuda_norm_bwd(struct lf_stream *s, const struct lf_norm_bwd_args *a)
{
    int64_t rows = (int64_t)a->T * a->H;
    bool vec = lf_eights(a->x, a->ldx, a->C) && lf_eights(a->dy, a->ldy, a->C) &&
               lf_eights(a->dx, a->lddx, a->C);
    bool vec_w = lf_eights(a->w, a->C, a->C);
    if (a->C <= 256)
        lf_launch<norm_bwd_kernel<32, 1>>(s, norm_grid(rows, 32), 256, 0, *a, vec, vec_w);
    else if (a->C <= 4096)
        lf_launch<norm_bwd_kernel<512, 1>>(s, norm_grid(rows, 512), 512, 0, *a, vec, vec_w);
    else
        lf_launch<norm_bwd_kernel<512, 4>>(s, norm_grid(rows, 512), 512, 0, *a, vec, vec_w);
}
