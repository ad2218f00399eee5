/* Sums of squares, for the norm that clipping needs. */
#include "gpu/backend.h"

void lf_ref_sumsq(struct lf_stream *s, const struct lf_sumsq_args *a, int n)
{
    (void)s;
    for (int r = 0; r < n; r++) {
        double sum = 0;
        for (size_t i = 0; i < a[r].n; i++)
            sum += (double)a[r].g[i] * a[r].g[i];
        a[r].out[0] = (float)sum;
    }
}
