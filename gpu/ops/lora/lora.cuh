/* LoRA on CUDA: what its kernels share. Private to gpu/ops/lora/.
 *
 *   few tokens (decoding)   cuda_decode.cu: a block a dot product, then a thread an output
 *   u = drop(x) A^T         cuda_tall.cu: contraction over K; also du = scale dy B, over N
 *   y += scale u B^T        cuda_wide.cu: contraction over the rank; also dx += drop'(du A)
 *   da, db                  cuda_grad.cu: contraction over the rows of a segment
 *
 * All work on tiles of rows that lie in one segment; a tile finds its segment on the card, so that
 * launch sizes depend only on T and n_segs, and a recorded graph serves other segments as well.
 */
#ifndef LF_GPU_OPS_LORA_CUH
#define LF_GPU_OPS_LORA_CUH

#include "gpu/cuda/kernel.cuh"

/* The arrays of a struct lf_ragged that LoRA needs. */
struct lora_batch {
    const struct lf_lora_seg *segs;
    const struct lf_seq *seqs;
    const int32_t *seq, *pos;
    int n_segs, rank_max;
};

static inline struct lora_batch lora_batch_of(const struct lf_ragged *b)
{
    return {b->segs, b->seqs, b->seq, b->pos, b->n_segs, b->rank_max};
}

/* Host: some row of the batch has dropout. */
static inline bool lora_drops(const struct lf_ragged *b)
{
    for (int i = 0; i < b->S; i++)
        if (b->h_seqs[i].drop_p > 0.0f)
            return true;
    return false;
}

/* Rows of `width` elements at p may be read sixteen bytes at a time. */
LF_DEVICE bool whole_words(const void *p, int width)
{
    return (uintptr_t)p % 16 == 0 && width % 8 == 0;
}

/* The words with a mask applied to elements k .. k+8. */
LF_DEVICE uint4 drop_words(uint4 w, const struct drop &d, int k)
{
    float v[8];
    uint32_t u[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = low_half(u[i]);
        v[2 * i + 1] = high_half(u[i]);
    }
    drop8(v, d, k);
    return make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7]));
}

/* u alone, by the way that suits the batch's size. norm: what makes x, which is made too; NULL: x
 * is there. */
void lf_cuda_lora_u(struct lf_stream *s, const struct lf_lora_args *a,
                    const struct lf_norm_args *norm);
void lf_cuda_lora_decode_u(struct lf_stream *s, const struct lf_lora_args *a,
                           const struct lf_norm_args *norm);
/* lf_cuda_lora_decode_u takes this norm. */
bool lf_cuda_lora_decode_norms(const struct lf_lora_args *a, const struct lf_norm_args *n);
void lf_cuda_lora_decode_y(struct lf_stream *s, const struct lf_lora_args *a);
void lf_cuda_lora_shrink(struct lf_stream *s, const struct lf_lora_args *a);
void lf_cuda_lora_expand(struct lf_stream *s, const struct lf_lora_args *a);
void lf_cuda_lora_du(struct lf_stream *s, const struct lf_lora_bwd_args *a);
void lf_cuda_lora_dx(struct lf_stream *s, const struct lf_lora_bwd_args *a);
void lf_cuda_lora_grads(struct lf_stream *s, const struct lf_lora_bwd_args *a);

#endif
