/* LoRA on CUDA: which kernels run. */
#include "gpu/ops/lora/lora.cuh"

#define DECODE_MAX 32 /* tokens; up to here a token's own dot products beat tiles of rows */

void lf_cuda_lora_u(struct lf_stream *s, const struct lf_lora_args *a,
                    const struct lf_norm_args *norm)
{
    bool few = a->batch->T <= DECODE_MAX;
    if (norm && !(few && lf_cuda_lora_decode_norms(a, norm))) {
        lf_cuda_norm(s, norm);
        norm = NULL;
    }
    if (few)
        lf_cuda_lora_decode_u(s, a, norm);
    else
        lf_cuda_lora_shrink(s, a, NULL);
}

void lf_cuda_lora(struct lf_stream *s, const struct lf_lora_args *a)
{
    if (a->batch->n_segs == 0 || a->batch->rank_max == 0)
        return;
    lf_cuda_lora_u(s, a, NULL);
    if (a->batch->T <= DECODE_MAX)
        lf_cuda_lora_decode_y(s, a);
    else
        lf_cuda_lora_expand(s, a);
}

void lf_cuda_lora_bwd(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    if (a->batch->n_segs == 0 || a->batch->rank_max == 0)
        return;
    lf_cuda_lora_du(s, a, NULL, 0);
    if (a->x)
        lf_cuda_lora_grads(s, a);
    if (a->dx)
        lf_cuda_lora_dx(s, a);
}
