/* DoRA's norms, and what follows from them. */
#include "gpu/backend.h"

#include <math.h>

static double norm_of(const struct lf_dora_args *a, int n)
{
    const float *b = a->b + (size_t)n * a->R;
    double cross = 0, product = 0;
    for (int r = 0; r < a->R; r++) {
        double sum = 0;
        for (int q = 0; q < a->R; q++)
            sum += (double)a->aa[(size_t)r * a->R + q] * b[q];
        cross += (double)a->aw[(size_t)r * a->N + n] * b[r];
        product += sum * b[r];
    }
    return sqrt(fmax(a->row_sq[n] + a->scale * (2 * cross + a->scale * product), 0));
}

void lf_ref_dora(struct lf_stream *s, const struct lf_dora_args *a)
{
    (void)s;
    for (int n = 0; n < a->N; n++) {
        double norm = norm_of(a, n), g = norm > 0 ? a->m[n] / norm : 1;
        a->norm[n] = (float)norm;
        ((float *)a->gain)[n] = (float)(g - 1);
        for (int r = 0; r < a->R; r++)
            ((float *)a->served)[(size_t)n * a->R + r] = (float)(g * a->b[(size_t)n * a->R + r]);
    }
}

void lf_ref_dora_grads(struct lf_stream *s, const struct lf_dora_args *a)
{
    (void)s;
    for (int n = 0; n < a->N; n++) {
        double norm = a->norm[n], g = norm > 0 ? a->m[n] / norm : 1, sum = a->dm[n];
        for (int r = 0; r < a->R; r++) {
            size_t i = (size_t)n * a->R + r;
            sum += (double)a->b[i] * a->db[i];
            a->db[i] = (float)(g * a->db[i]);
        }
        a->dm[n] = (float)(norm > 0 ? sum / norm : 0);
    }
}
