/* RMSNorm and LayerNorm over rows of C, forward and backward to the input. */
#include "gpu/backend.h"

#include <math.h>

struct moments {
    double mean, rstd;
};

static struct moments row_moments(const float *x, int C, bool layer_norm, double eps)
{
    struct moments m = {0};
    for (int c = 0; layer_norm && c < C; c++)
        m.mean += x[c] / (double)C;
    double var = 0;
    for (int c = 0; c < C; c++)
        var += (x[c] - m.mean) * (x[c] - m.mean) / C;
    m.rstd = 1 / sqrt(var + eps);
    return m;
}

void lf_ref_norm(struct lf_stream *s, const struct lf_norm_args *a)
{
    (void)s;
    for (int t = 0; t < a->T; t++)
        for (int h = 0; h < a->H; h++) {
            const float *x = (const float *)a->x + (size_t)t * a->ldx + (size_t)h * a->C;
            float *y = (float *)a->y + (size_t)t * a->ldy + (size_t)h * a->C;
            struct moments m = row_moments(x, a->C, a->layer_norm, a->eps);
            for (int c = 0; c < a->C; c++)
                y[c] = (float)((x[c] - m.mean) * m.rstd * a->w[c] + (a->b ? a->b[c] : 0));
        }
}

/* With xhat = (x - mean) rstd and g = w dy: dx = rstd (g - mean(g) - xhat mean(g xhat)); RMSNorm
 * has no mean to subtract. */
static void row_bwd(float *dx, float *y, const float *dy, const float *x,
                    const struct lf_norm_bwd_args *a)
{
    struct moments m = row_moments(x, a->C, a->layer_norm, a->eps);
    double g_mean = 0, gx_mean = 0;
    for (int c = 0; c < a->C; c++) {
        double g = (double)a->w[c] * dy[c];
        g_mean += a->layer_norm ? g / a->C : 0;
        gx_mean += g * (x[c] - m.mean) * m.rstd / a->C;
    }
    for (int c = 0; c < a->C; c++) {
        double xhat = (x[c] - m.mean) * m.rstd;
        double d = m.rstd * ((double)a->w[c] * dy[c] - g_mean - xhat * gx_mean);
        if (y)
            y[c] = (float)(xhat * a->w[c] + (a->b ? a->b[c] : 0));
        dx[c] = (float)(a->accumulate ? dx[c] + d : d);
    }
}

void lf_ref_norm_bwd(struct lf_stream *s, const struct lf_norm_bwd_args *a)
{
    (void)s;
    for (int t = 0; t < a->T; t++)
        for (int h = 0; h < a->H; h++) {
            size_t column = (size_t)h * a->C, at = (size_t)t * a->ldy + column;
            row_bwd((float *)a->dx + (size_t)t * a->lddx + column, a->y ? (float *)a->y + at : NULL,
                    (const float *)a->dy + at, (const float *)a->x + (size_t)t * a->ldx + column,
                    a);
        }
}
