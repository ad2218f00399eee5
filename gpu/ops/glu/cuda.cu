/* The MLP's activation on CUDA: eight elements a thread, memory-bound. */
#include "gpu/ops/glu/curve.cuh"

template <enum lf_act_kind act>
static __global__ void __launch_bounds__(256) glu_kernel(struct lf_glu_args a, bool vec)
{
    grid_wait();
    size_t t = blockIdx.x;
    int f = (blockIdx.y * 256 + threadIdx.x) * 8, n = a.F - f;
    if (n <= 0)
        return;
    const bf16 *x = (const bf16 *)a.x + t * a.ldx + f;
    float v[8], up[8];
    load8(v, x, n, vec);
    if (a.gated)
        load8(up, x + a.F, n, vec);
#pragma unroll
    for (int i = 0; i < 8; i++)
        v[i] = curve_at<act>(v[i]).y * (a.gated ? up[i] : 1.0f);
    store8((bf16 *)a.y + t * a.ldy + f, v, n, vec);
}

template <enum lf_act_kind act>
static __global__ void __launch_bounds__(256) glu_bwd_kernel(struct lf_glu_bwd_args a, bool vec)
{
    grid_wait();
    size_t t = blockIdx.x;
    int f = (blockIdx.y * 256 + threadIdx.x) * 8, n = a.F - f;
    if (n <= 0)
        return;
    const bf16 *x = (const bf16 *)a.x + t * a.ldx + f;
    bf16 *dx = (bf16 *)a.dx + t * a.ldx + f;
    float v[8], up[8], dy[8], y[8];
    load8(v, x, n, vec);
    load8(dy, (const bf16 *)a.dy + t * a.ldy + f, n, vec);
    if (a.gated)
        load8(up, x + a.F, n, vec);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        struct curve c = curve_at<act>(v[i]);
        float by = a.gated ? up[i] : 1.0f;
        y[i] = c.y * by;
        v[i] = dy[i] * c.dy * by;
        up[i] = dy[i] * c.y;
    }
    if (a.y)
        store8((bf16 *)a.y + t * a.ldy + f, y, n, vec);
    store8(dx, v, n, vec);
    if (a.gated)
        store8(dx + a.F, up, n, vec);
}

template <enum lf_act_kind act> static void glu(struct lf_stream *s, const struct lf_glu_args *a)
{
    bool vec = lf_eights(a->y, a->ldy, a->F) && lf_eights(a->x, a->ldx, a->F);
    lf_launch<glu_kernel<act>>(s, dim3(a->T, lf_div_up(a->F, 2048)), 256, 0, *a, vec);
}

template <enum lf_act_kind act>
static void glu_bwd(struct lf_stream *s, const struct lf_glu_bwd_args *a)
{
    bool vec = lf_eights(a->dx, a->ldx, a->F) && lf_eights(a->x, a->ldx, a->F) &&
               lf_eights(a->dy, a->ldy, a->F) && lf_eights(a->y, a->ldy, a->F);
    lf_launch<glu_bwd_kernel<act>>(s, dim3(a->T, lf_div_up(a->F, 2048)), 256, 0, *a, vec);
}

void lf_cuda_glu(struct lf_stream *s, const struct lf_glu_args *a)
{
    if (a->act == LF_ACT_SILU)
        glu<LF_ACT_SILU>(s, a);
    else if (a->act == LF_ACT_GELU_TANH)
        glu<LF_ACT_GELU_TANH>(s, a);
    else
        glu<LF_ACT_GELU_ERF>(s, a);
}

void lf_cuda_glu_bwd(struct lf_stream *s, const struct lf_glu_bwd_args *a)
{
    if (a->act == LF_ACT_SILU)
        glu_bwd<LF_ACT_SILU>(s, a);
    else if (a->act == LF_ACT_GELU_TANH)
        glu_bwd<LF_ACT_GELU_TANH>(s, a);
    else
        glu_bwd<LF_ACT_GELU_ERF>(s, a);
}
