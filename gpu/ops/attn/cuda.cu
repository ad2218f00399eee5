/* Attention on CUDA: which sequences go which way. The kernels decide for each sequence alike
 * (few_rows); here a launch is left out where no sequence of the batch needs it. */
#include "gpu/ops/attn/hopper.cuh"

/* Of the batch's sequences, some have few tokens; some have many. */
struct kinds {
    bool few, many;
};

static struct kinds kinds_of(const struct lf_attn_args *a)
{
    const struct lf_ragged *b = a->batch;
    int group = a->H / a->Hkv;
    struct kinds k = {few_rows(b->n_max, group), !few_rows(b->n_max, group)};
    for (int i = 0; !k.few && i < b->S; i++)
        k.few = few_rows(b->h_seqs[i].n, group);
    return k;
}

static void attend_many(struct lf_stream *s, const struct lf_attn_args *a, bool fresh)
{
    if (!lf_cuda_attn_prefill_hopper(s, a, fresh))
        lf_cuda_attn_prefill(s, a);
}

static void attend(struct lf_stream *s, const struct lf_attn_args *a, bool fresh)
{
    struct kinds k = kinds_of(a);
    if (k.many)
        attend_many(s, a, fresh);
    if (k.few)
        lf_cuda_attn_decode(s, a);
}

void lf_cuda_attn(struct lf_stream *s, const struct lf_attn_args *a)
{
    attend(s, a, false);
}

/* Sequences that decode go as in a batch of them alone, and prompts beside them. */
void lf_cuda_attn_cached(struct lf_stream *s, const struct lf_rope_args *r,
                         const struct lf_kv_write_args *w, const struct lf_attn_args *a)
{
    struct kinds k = kinds_of(a);
    if (!k.few || !lf_cuda_attn_takes_step(r, a)) {
        lf_cuda_rope_kv_write(s, r, w, 0);
        attend(s, a, true);
        return;
    }
    if (k.many) {
        lf_cuda_fork(s);
        lf_cuda_rope_kv_write(s, r, w, FEW_ROWS / (a->H / a->Hkv));
        attend_many(s, a, true);
        lf_cuda_back(s);
    }
    lf_cuda_attn_step(s, r, w, a);
    if (k.many)
        lf_cuda_join(s);
}
