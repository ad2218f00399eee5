/* Where an optimizer's moments are. */
#include "model/moments.h"

#include "gpu/dynamic.h"

#define LEAST ((size_t)4096) /* elements of a tensor with moments of 8 bits: bitsandbytes' */

static size_t blocks_of(size_t n)
{
    return (n + LF_DYNAMIC_BLOCK - 1) / LF_DYNAMIC_BLOCK;
}

static size_t tensor_bytes(size_t n)
{
    return n < LEAST ? 2 * n * sizeof(float)
                     : 2 * blocks_of(n) * (sizeof(float) + LF_DYNAMIC_BLOCK);
}

size_t lf_moments8_place(struct lf_adam_args *a, char *at)
{
    size_t blocks = blocks_of(a->n);
    float *floats = (float *)(void *)at;
    if (a->n < LEAST) {
        a->m = floats;
        a->v = floats + a->n;
        return tensor_bytes(a->n);
    }
    a->m = a->v = NULL;
    a->m8.scales = floats;
    a->v8.scales = floats + blocks;
    a->m8.codes = (uint8_t *)(floats + 2 * blocks);
    a->v8.codes = a->m8.codes + blocks * LF_DYNAMIC_BLOCK;
    return tensor_bytes(a->n);
}

size_t lf_moments_bytes(const struct lf_adapter_shape *s, const struct lf_config *c,
                        bool eight_bits)
{
    size_t bytes = 0;
    if (!eight_bits)
        return 2 * s->n_params * sizeof(float);
    for (int i = 0; i < s->n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        size_t rank = (size_t)s->rank[i];
        bytes += tensor_bytes(rank * (size_t)p->K) + tensor_bytes(rank * (size_t)p->N);
        bytes += s->dora && rank > 0 ? tensor_bytes((size_t)p->N) : 0;
    }
    return bytes;
}
