/* Attention on CUDA: which sequences go which way. The kernels decide for each sequence alike
 * (few_rows); here a launch is left out where no sequence of the batch needs it. */
#include "gpu/ops/attn/hopper.cuh"

static void attend(struct lf_stream *s, const struct lf_attn_args *a, bool fresh)
{
    const struct lf_ragged *b = a->batch;
    int group = a->H / a->Hkv;
    bool many = !few_rows(b->n_max, group), few = !many;
    for (int i = 0; !few && i < b->S; i++)
        few = few_rows(b->h_seqs[i].n, group);
    if (many && !lf_cuda_attn_prefill_hopper(s, a, fresh))
        lf_cuda_attn_prefill(s, a);
    if (few)
        lf_cuda_attn_decode(s, a);
}

void lf_cuda_attn(struct lf_stream *s, const struct lf_attn_args *a)
{
    attend(s, a, false);
}

void lf_cuda_attn_cached(struct lf_stream *s, const struct lf_rope_args *r,
                         const struct lf_kv_write_args *w, const struct lf_attn_args *a)
{
    if (lf_cuda_attn_step(s, r, w, a))
        return;
    lf_cuda_rope_kv_write(s, r, w);
    attend(s, a, true);
}
