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

/* With xhat = (x - mean) rstd and g = w dy: dx = rstd (g - mean(g) - xhat mean(g xhat)). Rows stay
 * in registers as they came, two elements a word, so that more of them are under way. */
template <int width, int runs>
static __global__ void __launch_bounds__(width < 256 ? 256 : width, runs == 1 ? 3 : 1)
    norm_bwd_kernel(struct lf_norm_bwd_args a, bool vec, bool vec_w)
{
    struct words<width, runs> x, dy, before;
    struct share<width, runs> w;
    load_row(w, a.w, a.C, vec_w);
    grid_wait();
    int64_t row = group_row<width>((int64_t)a.T * a.H);
    if (row < 0)
        return;
    size_t t = row, h = 0;
    if (a.H > 1)
        t = row / a.H, h = row % a.H;
    bf16 *dx = (bf16 *)a.dx + t * a.lddx + h * a.C;
    size_t at = t * a.ldy + h * a.C;
    load_words(x, (const bf16 *)a.x + t * a.ldx + h * a.C, a.C, vec);
    load_words(dy, (const bf16 *)a.dy + at, a.C, vec);
    if (a.accumulate)
        load_words(before, dx, a.C, vec);
    float mean = 0.0f;
    if (a.layer_norm) {
        struct share<width, runs> v;
        for (int r = 0; r < runs; r++)
            floats8(v.v[r], x.v[r]);
        mean = mean_of(v, a.C);
    }
    float sums[3] = {0.0f, 0.0f, 0.0f}; /* of (x - mean)^2, g (x - mean), g */
#pragma unroll
    for (int r = 0; r < runs; r++) {
        float xs[8], g[8];
        floats8(xs, x.v[r]);
        floats8(g, dy.v[r]);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            bool there = (r * width + rank_in_group<width>()) * 8 + i < a.C;
            float d = there ? xs[i] - mean : 0.0f, gw = g[i] * w.v[r][i];
            sums[0] += d * d;
            sums[1] += gw * d;
            sums[2] += gw;
        }
    }
    group_sums<width>(sums);
    float rstd = rsqrtf(sums[0] / a.C + a.eps), g_mean = a.layer_norm ? sums[2] / a.C : 0.0f;
    float slope = sums[1] / a.C * rstd * rstd;
#pragma unroll
    for (int r = 0; r < runs; r++) {
        float xs[8], g[8], d[8], b[8];
        int c = (r * width + rank_in_group<width>()) * 8;
        if (c >= a.C)
            continue;
        floats8(xs, x.v[r]);
        floats8(g, dy.v[r]);
        floats8(d, before.v[r]);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float v = rstd * (g[i] * w.v[r][i] - g_mean - (xs[i] - mean) * slope);
            d[i] = a.accumulate ? d[i] + v : v;
        }
        store8(dx + c, d, a.C - c, vec);
        if (!a.y)
            continue;
        if (a.b)
            load8(b, a.b + c, a.C - c, vec_w);
#pragma unroll
        for (int i = 0; i < 8; i++)
            xs[i] = (xs[i] - mean) * rstd * w.v[r][i] + (a.b ? b[i] : 0.0f);
        store8((bf16 *)a.y + at + c, xs, a.C - c, vec);
    }
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
               lf_eights(a->dx, a->lddx, a->C) && lf_eights(a->y, a->ldy, a->C);
    bool vec_w = lf_eights(a->w, a->C, a->C) && lf_eights(a->b, a->C, a->C);
    if (a->C <= 256)
        lf_launch<norm_bwd_kernel<32, 1>>(s, norm_grid(rows, 32), 256, 0, *a, vec, vec_w);
    else if (a->C <= 4096)
        lf_launch<norm_bwd_kernel<512, 1>>(s, norm_grid(rows, 512), 512, 0, *a, vec, vec_w);
    else
        lf_launch<norm_bwd_kernel<512, 4>>(s, norm_grid(rows, 512), 512, 0, *a, vec, vec_w);
}
