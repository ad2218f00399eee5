/* DoRA's gain on CUDA: a block has one row, eight columns a thread. Memory is the bound. */
#include "gpu/cuda/kernel.cuh"

static __global__ void __launch_bounds__(256)
    gain_kernel(bf16 *y, int ldy, const bf16 *z, int N, int begin, const struct lf_lora_site *sites,
                int n_sites, const struct lf_seq *seqs, const int32_t *seq, bool vec)
{
    grid_wait();
    size_t i = blockIdx.x, t = begin + i;
    int slot = seqs[seq[t]].slot;
    if (slot < 0)
        return;
    const bf16 *gain = (const bf16 *)sites[(size_t)slot * n_sites].gain;
    if (!gain)
        return;
    for (int n = threadIdx.x * 8; n < N; n += 256 * 8) {
        float v[8], g[8], product[8];
        load8(v, y + t * ldy + n, N - n, vec);
        load8(g, gain + n, N - n, vec);
        load8(product, z + i * N + n, N - n, vec);
#pragma unroll
        for (int e = 0; e < 8; e++)
            v[e] = fmaf(g[e], product[e], v[e]);
        store8(y + t * ldy + n, v, N - n, vec);
    }
}

void lf_cuda_gain(struct lf_stream *s, const struct lf_gain_args *a)
{
    bool vec = lf_eights(a->y, a->ldy, a->N) && lf_eights(a->z, a->N, a->N);
    lf_launch<gain_kernel>(s, dim3(a->end - a->begin), 256, 0, (bf16 *)a->y, a->ldy,
                           (const bf16 *)a->z, a->N, a->begin, a->sites + a->site, a->n_sites,
                           a->batch->seqs, a->batch->seq, vec);
}
