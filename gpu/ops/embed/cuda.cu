/* Token embedding on CUDA: a block copies one token's row, eight elements a thread. */
#include "gpu/cuda/kernel.cuh"
#include "gpu/ops/embed/noise.h"

template <typename E>
static __global__ void __launch_bounds__(256)
    embed_kernel(bf16 *y, const int32_t *ids, const int32_t *drawn, const E *table, int C,
                 float scale, bool vec, const struct lf_seq *seqs, const int32_t *seq,
                 const int32_t *pos)
{
    grid_wait();
    size_t t = blockIdx.x;
    int id = ids[t];
    const E *row = table + (size_t)(id < 0 ? drawn[-1 - id] : id) * C;
    const struct lf_seq *noisy = seqs && seqs[seq[t]].noise != 0 ? &seqs[seq[t]] : NULL;
    for (int c = threadIdx.x * 8; c < C; c += 256 * 8) {
        float v[8];
        load8(v, row + c, C - c, vec);
        for (int i = 0; noisy && i < 8; i++)
            v[i] += lf_embed_noise(noisy, pos[t], C, c + i);
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] *= scale;
        store8(y + t * C + c, v, C - c, vec);
    }
}

void lf_cuda_embed(struct lf_stream *s, const struct lf_embed_args *a)
{
    bool vec = lf_eights(a->y, a->C, a->C) && lf_eights(a->e->data, a->C, a->C);
    const struct lf_seq *seqs = a->batch ? a->batch->seqs : NULL;
    const int32_t *seq = a->batch ? a->batch->seq : NULL, *pos = a->batch ? a->batch->pos : NULL;
    if (a->e->kind == LF_WEIGHT_BF16)
        lf_launch<embed_kernel<bf16>>(s, dim3(a->T), 256, 0, (bf16 *)a->y, a->ids, a->drawn,
                                      (const bf16 *)a->e->data, a->C, a->scale, vec, seqs, seq,
                                      pos);
    else
        lf_launch<embed_kernel<float>>(s, dim3(a->T), 256, 0, (bf16 *)a->y, a->ids, a->drawn,
                                       (const float *)a->e->data, a->C, a->scale, vec, seqs, seq,
                                       pos);
}
