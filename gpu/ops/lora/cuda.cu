/* LoRA on CUDA: which kernels run. */
#include "gpu/ops/lora/lora.cuh"

/* The norm can go along with u. */
static bool norms_here(const struct lf_lora_args *a, const struct lf_norm_args *n)
{
    return !n->layer_norm && !n->b && n->H == 1 && n->C == a->K && n->y == a->x && n->x != n->y &&
           n->C <= LORA_NORM_MAX && lf_eights(n->x, n->ldx, n->C) &&
           lf_eights(n->y, n->ldy, n->C) && lf_eights(n->w, n->C, n->C);
}

void lf_cuda_lora_u(struct lf_stream *s, const struct lf_lora_args *a,
                    const struct lf_norm_args *norm)
{
    bool few = a->batch->T <= LORA_FEW_MAX && !lora_drops(a->batch);
    if (norm && !(few && norms_here(a, norm))) {
        lf_cuda_norm(s, norm);
        norm = NULL;
    }
    if (!few)
        lf_cuda_lora_shrink(s, a, NULL);
    else if (a->batch->T <= LORA_DECODE_MAX && a->K <= LORA_DECODE_WIDTH &&
             lf_eights(a->x, a->ldx, a->K))
        lf_cuda_lora_decode_u(s, a, norm);
    else
        lf_cuda_lora_few_u(s, a, norm);
}

void lf_cuda_lora_y(struct lf_stream *s, const struct lf_lora_args *a,
                    const struct lf_glu_args *glu)
{
    if (a->batch->T <= LORA_FEW_MAX) {
        lf_cuda_lora_few_y(s, a, glu);
        return;
    }
    lf_cuda_lora_expand(s, a);
    if (glu)
        lf_cuda_glu(s, glu);
}

void lf_cuda_lora(struct lf_stream *s, const struct lf_lora_args *a)
{
    if (a->batch->n_segs == 0 || a->batch->rank_max == 0)
        return;
    lf_cuda_lora_u(s, a, NULL);
    lf_cuda_lora_y(s, a, NULL);
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
