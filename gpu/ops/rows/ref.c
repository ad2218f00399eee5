/* Picking rows out of a matrix and putting them back. */
#include "gpu/backend.h"

#include <string.h>

void lf_ref_gather(struct lf_stream *s, const struct lf_rows_args *a)
{
    (void)s;
    size_t C = (size_t)a->C;
    for (int m = 0; m < a->M; m++)
        memcpy((float *)a->y + (size_t)m * a->ldy, (const float *)a->x + (size_t)a->rows[m] * C,
               C * sizeof(float));
}

void lf_ref_scatter(struct lf_stream *s, const struct lf_rows_args *a)
{
    (void)s;
    size_t C = (size_t)a->C;
    int m = 0;
    for (int t = 0; t < a->T; t++) {
        float *y = (float *)a->y + (size_t)t * a->ldy;
        if (m < a->M && a->rows[m] == t)
            memcpy(y, (const float *)a->x + (size_t)m++ * C, C * sizeof(float));
        else
            memset(y, 0, C * sizeof(float));
    }
}
