/* The residual stream's sum. */
#include "gpu/backend.h"

void lf_ref_add(struct lf_stream *s, const struct lf_add_args *a)
{
    (void)s;
    float *y = a->y;
    const float *x = a->x;
    for (size_t i = 0; i < a->n; i++)
        y[i] += x[i];
}
