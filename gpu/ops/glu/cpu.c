/* The MLP's activation on the cpu. */
#include "gpu/backend.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/vmath.h"

#define SQRT_2_OVER_PI 0.79788456080286536f
#define GELU_CUBIC 0.044715f
#define COST 8 /* of an element, in simple operations */

struct curve {
    float y, dy; /* act(x) and its derivative */
};

LF_INLINE struct curve silu(float x)
{
    float sig = 1 / (1 + lf_exp(-x));
    return (struct curve){x * sig, sig * (1 + x * (1 - sig))};
}

/* (1 + tanh u) / 2 is the logistic function of 2u, which loses nothing where it is small. */
LF_INLINE struct curve gelu_tanh(float x)
{
    float u2 = 2 * SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x);
    float slope = 2 * SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x);
    float half = 1 / (1 + lf_exp(-u2));
    return (struct curve){x * half, half + x * half * (1 - half) * slope};
}

LF_INLINE struct curve gelu_erf(float x)
{
    float gauss = lf_exp(-0.5f * x * x), cdf = lf_normal_cdf(x);
    return (struct curve){x * cdf, cdf + x * gauss * 0.39894228040143268f};
}

LF_INLINE struct curve curve_at(enum lf_act_kind act, float x)
{
    return act == LF_ACT_SILU ? silu(x) : act == LF_ACT_GELU_TANH ? gelu_tanh(x) : gelu_erf(x);
}

/* act and gated are constants at each call. */
LF_INLINE void forward_row(float *y, const float *x, const float *up, enum lf_act_kind act, int F)
{
    if (up)
#pragma omp simd
        for (int f = 0; f < F; f++)
            y[f] = curve_at(act, x[f]).y * up[f];
    else
#pragma omp simd
        for (int f = 0; f < F; f++)
            y[f] = curve_at(act, x[f]).y;
}

/* y, where it is wanted, may be dy. */
LF_INLINE void backward_row(float *dx, float *y, const float *dy, const float *x,
                            enum lf_act_kind act, bool gated, int F)
{
#pragma omp simd
    for (int f = 0; f < F; f++) {
        struct curve c = curve_at(act, x[f]);
        float up = gated ? x[F + f] : 1, d = dy[f];
        dx[f] = d * c.dy * up;
        if (gated)
            dx[F + f] = d * c.y;
        if (y)
            y[f] = c.y * up;
    }
}

static void forward(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_glu_args *a = args;
    size_t F = (size_t)a->F, ldx = (size_t)a->ldx, ldy = (size_t)a->ldy;
    (void)scratch;
    for (size_t t = begin; t < end; t++) {
        const float *x = (const float *)a->x + t * ldx, *up = a->gated ? x + F : NULL;
        float *y = (float *)a->y + t * ldy;
        if (a->act == LF_ACT_SILU)
            forward_row(y, x, up, LF_ACT_SILU, a->F);
        else if (a->act == LF_ACT_GELU_TANH)
            forward_row(y, x, up, LF_ACT_GELU_TANH, a->F);
        else
            forward_row(y, x, up, LF_ACT_GELU_ERF, a->F);
    }
}

void LF_ISA(glu)(struct lf_stream *s, const struct lf_glu_args *a)
{
    lf_cpu_run(s, (size_t)a->T, lf_cpu_grain(COST * (size_t)a->F), forward, a);
}

static void backward(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_glu_bwd_args *a = args;
    size_t ldx = (size_t)a->ldx, ldy = (size_t)a->ldy;
    (void)scratch;
    for (size_t t = begin; t < end; t++) {
        const float *x = (const float *)a->x + t * ldx, *dy = (const float *)a->dy + t * ldy;
        float *dx = (float *)a->dx + t * ldx, *y = a->y ? (float *)a->y + t * ldy : NULL;
        if (a->act == LF_ACT_SILU)
            backward_row(dx, y, dy, x, LF_ACT_SILU, a->gated, a->F);
        else if (a->act == LF_ACT_GELU_TANH)
            backward_row(dx, y, dy, x, LF_ACT_GELU_TANH, a->gated, a->F);
        else
            backward_row(dx, y, dy, x, LF_ACT_GELU_ERF, a->gated, a->F);
    }
}

void LF_ISA(glu_bwd)(struct lf_stream *s, const struct lf_glu_bwd_args *a)
{
    lf_cpu_run(s, (size_t)a->T, lf_cpu_grain(COST * (size_t)a->F), backward, a);
}
