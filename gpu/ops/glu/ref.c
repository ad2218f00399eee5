/* The MLP's activation, gated or plain, forward and backward. */
#include "gpu/backend.h"

#include <math.h>

#define SQRT_2_OVER_PI 0.79788456080286535588
#define GELU_CUBIC 0.044715

struct curve {
    double y, dy; /* act(x) and its derivative */
};

static struct curve curve_at(enum lf_act_kind act, double x)
{
    if (act == LF_ACT_SILU) {
        double sig = 1 / (1 + exp(-x));
        return (struct curve){x * sig, sig * (1 + x * (1 - sig))};
    }
    if (act == LF_ACT_GELU_TANH) {
        double th = tanh(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
        double slope = SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x);
        return (struct curve){0.5 * x * (1 + th), 0.5 * (1 + th) + 0.5 * x * (1 - th * th) * slope};
    }
    double cdf = 0.5 * erfc(-x * M_SQRT1_2);
    double pdf = 0.5 * M_2_SQRTPI * M_SQRT1_2 * exp(-0.5 * x * x);
    return (struct curve){x * cdf, cdf + x * pdf};
}

void lf_ref_glu(struct lf_stream *s, const struct lf_glu_args *a)
{
    (void)s;
    for (int t = 0; t < a->T; t++) {
        const float *x = (const float *)a->x + (size_t)t * a->ldx;
        float *y = (float *)a->y + (size_t)t * a->ldy;
        for (int f = 0; f < a->F; f++)
            y[f] = (float)(curve_at(a->act, x[f]).y * (a->gated ? x[a->F + f] : 1));
    }
}

void lf_ref_glu_bwd(struct lf_stream *s, const struct lf_glu_bwd_args *a)
{
    (void)s;
    for (int t = 0; t < a->T; t++) {
        const float *x = (const float *)a->x + (size_t)t * a->ldx;
        const float *dy = (const float *)a->dy + (size_t)t * a->ldy;
        float *dx = (float *)a->dx + (size_t)t * a->ldx;
        float *y = a->y ? (float *)a->y + (size_t)t * a->ldy : NULL;
        for (int f = 0; f < a->F; f++) {
            struct curve c = curve_at(a->act, x[f]);
            double up = a->gated ? x[a->F + f] : 1, d = dy[f];
            if (y)
                y[f] = (float)(c.y * up);
            dx[f] = (float)(d * c.dy * up);
            if (a->gated)
                dx[a->F + f] = (float)(d * c.y);
        }
    }
}
