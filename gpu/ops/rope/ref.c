/* Rotary position embedding, halves apart. */
#include "gpu/backend.h"

static void rotate(float *x, const float *cos_, const float *sin_, int half, bool inverse)
{
    for (int i = 0; i < half; i++) {
        double c = cos_[i], s = inverse ? -sin_[i] : sin_[i];
        double x1 = x[i], x2 = x[i + half];
        x[i] = (float)(x1 * c - x2 * s);
        x[i + half] = (float)(x2 * c + x1 * s);
    }
}

void lf_ref_rope(struct lf_stream *s, const struct lf_rope_args *a)
{
    (void)s;
    int half = a->rot / 2;
    for (int t = 0; t < a->T; t++) {
        size_t row = (size_t)a->pos[t] * half;
        for (int h = 0; h < a->H; h++)
            rotate((float *)a->x + (size_t)t * a->ldx + (size_t)h * a->D, a->cos_ + row,
                   a->sin_ + row, half, a->inverse);
    }
}
