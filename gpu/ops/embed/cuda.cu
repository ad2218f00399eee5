/* Token embedding on CUDA: a block copies one token's row, eight elements a thread. */
#include "gpu/cuda/kernel.cuh"

template <typename E>
static __global__ void __launch_bounds__(256)
    embed_kernel(bf16 *y, const int32_t *ids, const int32_t *drawn, const E *table, int C,
                 float scale, bool vec)
{
    grid_wait();
    size_t t = blockIdx.x;
    int id = ids[t];
    const E *row = table + (size_t)(id < 0 ? drawn[-1 - id] : id) * C;
    for (int c = threadIdx.x * 8; c < C; c += 256 * 8) {
        float v[8];
        load8(v, row + c, C - c, vec);
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] *= scale;
        store8(y + t * C + c, v, C - c, vec);
    }
}

void lf_cuda_embed(struct lf_stream *s, const struct lf_embed_args *a)
{
    bool vec = lf_eights(a->y, a->C, a->C) && lf_eights(a->e->data, a->C, a->C);
    if (a->e->kind == LF_WEIGHT_BF16)
        lf_launch<embed_kernel<bf16>>(s, dim3(a->T), 256, 0, (bf16 *)a->y, a->ids, a->drawn,
                                      (const bf16 *)a->e->data, a->C, a->scale, vec);
    else
        lf_launch<embed_kernel<float>>(s, dim3(a->T), 256, 0, (bf16 *)a->y, a->ids, a->drawn,
                                       (const float *)a->e->data, a->C, a->scale, vec);
}
