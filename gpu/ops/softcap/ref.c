/* The soft ceiling on logits (Gemma 2). */
#include "gpu/backend.h"

#include <math.h>

void lf_ref_softcap(struct lf_stream *s, const struct lf_softcap_args *a)
{
    (void)s;
    for (size_t i = 0; i < a->n; i++)
        a->logits[i] = (float)(a->softcap * tanh((double)a->logits[i] / a->softcap));
}
