/* New keys and values into their pages, on CUDA: a block a token, sixteen bytes a thread. */
#include "gpu/cuda/kernel.cuh"
#include "gpu/ops/attn/pages.cuh"

static __global__ void __launch_bounds__(256)
    kv_write_kernel(struct lf_kv_write_args a, struct kv_pages pages, bool vec)
{
    grid_wait();
    int t = blockIdx.x, runs = (a.D + 7) / 8;
    const struct lf_seq *seq = &pages.seqs[pages.seq[t]];
    int at = seq->past + t - seq->start;
    if (seq->page_off < 0) /* padding of a recorded step */
        return;
    for (int i = threadIdx.x; i < a.Hkv * runs; i += 256) {
        int h = i / runs, d = i % runs * 8, n = a.D - d;
        size_t from = (size_t)t * a.ldkv + (size_t)h * a.D + d;
        size_t to = page_row(pages.pages + seq->page_off, at, a.Hkv, h) * a.D + d;
        float v[8];
        load8(v, (const bf16 *)a.k + from, n, vec);
        store8((bf16 *)a.k_pages + to, v, n, vec);
        load8(v, (const bf16 *)a.v + from, n, vec);
        store8((bf16 *)a.v_pages + to, v, n, vec);
    }
}

void lf_cuda_kv_write(struct lf_stream *s, const struct lf_kv_write_args *a)
{
    bool vec = lf_eights(a->k, a->ldkv, a->D) && lf_eights(a->v, a->ldkv, a->D) &&
               lf_eights(a->k_pages, 8, 8) && lf_eights(a->v_pages, 8, 8);
    lf_launch<kv_write_kernel>(s, dim3(a->batch->T_cached), 256, 0, *a, kv_pages_of(a->batch), vec);
}
