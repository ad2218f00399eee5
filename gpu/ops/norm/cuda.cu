/* RMSNorm and LayerNorm on CUDA: 256 threads hold 256 / width rows of narrow groups, and wide
 * groups are a block. */
#include "gpu/ops/norm/row.cuh"

/* The first row of this group; the next ones are row_step further on. */
template <int width> LF_DEVICE int64_t first_row()
{
    return (int64_t)blockIdx.x * (blockDim.x / width) + threadIdx.x / width;
}

template <int width> LF_DEVICE int64_t row_step()
{
    return (int64_t)gridDim.x * (blockDim.x / width);
}

/* Blocks of a wide norm a multiprocessor, which go through all rows: where a thread has one run,
 * the next row is on its way while this one is summed. */
#define FORWARD_BLOCKS 2
#define BACKWARD_BLOCKS 2

/* The weights are there before the rows are. */
template <int width, int runs>
static __global__ void __launch_bounds__(width < 256 ? 256 : width,
                                         width == 512 && runs == 1 ? FORWARD_BLOCKS : 1)
    norm_kernel(struct lf_norm_args a, bool vec, bool vec_w)
{
    struct share<width, runs> w, x;
    struct words<width, runs> next;
    int64_t rows = (int64_t)a.T * a.H, row = first_row<width>();
    load_row(w, a.w, a.C, vec_w);
    grid_wait();
    auto load = [&](int64_t i) {
        const struct norm_place at = norm_place_of(i, a.H);
        load_words(next, (const bf16 *)a.x + at.t * a.ldx + at.h * a.C, a.C, vec);
    };
    if (runs == 1 && row < rows)
        load(row);
    while (row < rows) { /* a whole group alike: narrow groups are warps, wide ones blocks */
        const struct norm_place at = norm_place_of(row, a.H);
        if (runs > 1)
            load(row);
#pragma unroll
        for (int r = 0; r < runs; r++)
            floats8(x.v[r], next.v[r]);
        row += row_step<width>();
        if (runs == 1 && row < rows)
            load(row);
        norm_share(a, at, x, w, vec, vec_w);
    }
}

/* What backward reads of a row, as it lies in memory: two elements a word, so that more of them
 * are under way. */
template <int width, int runs> struct bwd_row {
    struct words<width, runs> x, dy, before;
};

template <int width, int runs>
LF_DEVICE void load_bwd_row(struct bwd_row<width, runs> &k, const struct lf_norm_bwd_args &a,
                            const struct norm_place &at, bool vec)
{
    load_words(k.x, (const bf16 *)a.x + at.t * a.ldx + at.h * a.C, a.C, vec);
    load_words(k.dy, (const bf16 *)a.dy + at.t * a.ldy + at.h * a.C, a.C, vec);
    if (a.accumulate)
        load_words(k.before, (const bf16 *)a.dx + at.t * a.lddx + at.h * a.C, a.C, vec);
}

/* What a row's gradient is made of: dx = rstd g - shift - (x - mean) slope. */
struct bwd_terms {
    float mean, rstd, shift, slope;
};

/* With xhat = (x - mean) rstd and g = w dy: dx = rstd (g - mean(g) - xhat mean(g xhat)). */
template <int width, int runs>
LF_DEVICE struct bwd_terms bwd_terms_of(const struct bwd_row<width, runs> &k,
                                        const struct share<width, runs> &w,
                                        const struct lf_norm_bwd_args &a)
{
    struct bwd_terms m = {};
    if (a.layer_norm) {
        struct share<width, runs> v;
#pragma unroll
        for (int r = 0; r < runs; r++)
            floats8(v.v[r], k.x.v[r]);
        m.mean = mean_of(v, a.C);
    }
    float sums[3] = {0.0f, 0.0f, 0.0f}; /* of (x - mean)^2, g (x - mean), g */
#pragma unroll
    for (int r = 0; r < runs; r++) {
        float xs[8], g[8];
        floats8(xs, k.x.v[r]);
        floats8(g, k.dy.v[r]);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            bool there = (r * width + rank_in_group<width>()) * 8 + i < a.C;
            float d = there ? xs[i] - m.mean : 0.0f, gw = g[i] * w.v[r][i];
            sums[0] += d * d;
            sums[1] += gw * d;
            sums[2] += gw;
        }
    }
    group_sums<width>(sums);
    m.rstd = rsqrtf(sums[0] / a.C + a.eps);
    m.shift = a.layer_norm ? sums[2] / a.C : 0.0f;
    m.slope = sums[1] / a.C * m.rstd * m.rstd;
    return m;
}

template <int width, int runs>
LF_DEVICE void put_bwd_row(const struct bwd_row<width, runs> &k, const struct share<width, runs> &w,
                           const struct bwd_terms &m, const struct lf_norm_bwd_args &a,
                           const struct norm_place &at, bool vec, bool vec_w)
{
    bf16 *dx = (bf16 *)a.dx + at.t * a.lddx + at.h * a.C;
    bf16 *y = a.y ? (bf16 *)a.y + at.t * a.ldy + at.h * a.C : NULL;
#pragma unroll
    for (int r = 0; r < runs; r++) {
        float xs[8], g[8], d[8], b[8];
        int c = (r * width + rank_in_group<width>()) * 8;
        if (c >= a.C)
            continue;
        floats8(xs, k.x.v[r]);
        floats8(g, k.dy.v[r]);
        floats8(d, k.before.v[r]);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float v = m.rstd * (g[i] * w.v[r][i] - m.shift - (xs[i] - m.mean) * m.slope);
            d[i] = a.accumulate ? d[i] + v : v;
        }
        store8(dx + c, d, a.C - c, vec);
        if (!y)
            continue;
        if (a.b)
            load8(b, a.b + c, a.C - c, vec_w);
#pragma unroll
        for (int i = 0; i < 8; i++)
            xs[i] = (xs[i] - m.mean) * m.rstd * w.v[r][i] + (a.b ? b[i] : 0.0f);
        store8(y + c, xs, a.C - c, vec);
    }
}

template <int width, int runs>
static __global__ void __launch_bounds__(width < 256 ? 256 : width,
                                         width == 512 && runs == 1 ? BACKWARD_BLOCKS : 1)
    norm_bwd_kernel(struct lf_norm_bwd_args a, bool vec, bool vec_w)
{
    struct share<width, runs> w;
    struct bwd_row<width, runs> next;
    int64_t rows = (int64_t)a.T * a.H, row = first_row<width>();
    load_row(w, a.w, a.C, vec_w);
    grid_wait();
    if (runs == 1 && row < rows)
        load_bwd_row(next, a, norm_place_of(row, a.H), vec);
    while (row < rows) {
        const struct norm_place at = norm_place_of(row, a.H);
        if (runs > 1)
            load_bwd_row(next, a, at, vec);
        const struct bwd_row<width, runs> k = next;
        row += row_step<width>();
        if (runs == 1 && row < rows)
            load_bwd_row(next, a, norm_place_of(row, a.H), vec);
        put_bwd_row(k, w, bwd_terms_of(k, w, a), a, at, vec, vec_w);
    }
}

/* Grid for rows of groups of `width` threads; wide ones: `blocks` a multiprocessor. */
static dim3 norm_grid(const struct lf_stream *s, int64_t rows, int width, int blocks)
{
    int most = blocks * lf_cuda_of(s)->dev->units;
    if (width < 256)
        return dim3(lf_div_up(rows, 256 / width));
    return dim3(rows < most ? (int)rows : most);
}

void lf_cuda_norm(struct lf_stream *s, const struct lf_norm_args *a)
{
    int64_t rows = (int64_t)a->T * a->H;
    bool vec = lf_eights(a->x, a->ldx, a->C) && lf_eights(a->y, a->ldy, a->C);
    bool vec_w = lf_eights(a->w, a->C, a->C) && (!a->b || lf_eights(a->b, a->C, a->C));
    if (a->C <= 256)
        lf_launch<norm_kernel<32, 1>>(s, norm_grid(s, rows, 32, 1), 256, 0, *a, vec, vec_w);
    else if (a->C <= 4096)
        lf_launch<norm_kernel<512, 1>>(s, norm_grid(s, rows, 512, FORWARD_BLOCKS), 512, 0, *a, vec,
                                       vec_w);
    else
        lf_launch<norm_kernel<512, 4>>(s, norm_grid(s, rows, 512, 1), 512, 0, *a, vec, vec_w);
}

void lf_cuda_norm_bwd(struct lf_stream *s, const struct lf_norm_bwd_args *a)
{
    int64_t rows = (int64_t)a->T * a->H;
    bool vec = lf_eights(a->x, a->ldx, a->C) && lf_eights(a->dy, a->ldy, a->C) &&
               lf_eights(a->dx, a->lddx, a->C) && lf_eights(a->y, a->ldy, a->C);
    bool vec_w = lf_eights(a->w, a->C, a->C) && lf_eights(a->b, a->C, a->C);
    if (a->C <= 256)
        lf_launch<norm_bwd_kernel<32, 1>>(s, norm_grid(s, rows, 32, 1), 256, 0, *a, vec, vec_w);
    else if (a->C <= 4096)
        lf_launch<norm_bwd_kernel<512, 1>>(s, norm_grid(s, rows, 512, BACKWARD_BLOCKS), 512, 0, *a,
                                           vec, vec_w);
    else
        lf_launch<norm_bwd_kernel<512, 4>>(s, norm_grid(s, rows, 512, 1), 512, 0, *a, vec, vec_w);
}
