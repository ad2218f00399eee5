/* Cross entropy and its gradient on CUDA: a block a row. The row is read once for its maximum and
 * sum together (each thread keeps a running maximum and rescales), and once more, from L2, for the
 * gradient. */
#include "gpu/cuda/kernel.cuh"

#define CE_THREADS 512

/* sum of 2^(x - max), with x in units of log2. */
struct log_sum {
    float max, sum;
};

LF_DEVICE void take(struct log_sum *l, float x)
{
    float max = fmaxf(l->max, x);
    l->sum = l->sum * exp2_fast(l->max - max) + exp2_fast(x - max);
    l->max = max;
}

/* The row's largest LOG2E * x, and log2 of the sum of 2^(LOG2E * x - max): apart, since the loss of
 * a sure token is lost beside a large maximum. */
struct row_log {
    float max, sum;
};

LF_DEVICE struct row_log row_log_of(const float *x, int V, bool vec)
{
    struct log_sum l = {-3.0e38f, 0.0f};
    for (int v = threadIdx.x * 8; v < V; v += CE_THREADS * 8) {
        float e[8];
        load8(e, x + v, V - v, vec);
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (v + i < V)
                take(&l, __fmul_rn(e[i], LOG2E));
    }
    float max = block_max<CE_THREADS>(l.max);
    return {max, log2f(block_sum<CE_THREADS>(l.sum * exp2_fast(l.max - max)))};
}

static __global__ void __launch_bounds__(CE_THREADS)
    cross_entropy_kernel(struct lf_cross_entropy_args a, bool vec)
{
    grid_wait();
    size_t m = blockIdx.x;
    const float *x = a.logits + m * a.V;
    bf16 *d = (bf16 *)a.dlogits + m * a.V;
    int label = a.labels[m];
    struct row_log row = {};
    if (label >= 0)
        row = row_log_of(x, a.V, vec);
    if (threadIdx.x == 0)
        a.loss[m] = label >= 0 ? LN2 * (row.max - __fmul_rn(x[label], LOG2E) + row.sum) : 0.0f;
    if (!a.dlogits)
        return;
    float lse = row.max + row.sum, weight = label >= 0 ? a.weight[m] : 0.0f;
    float inverse_cap = a.softcap > 0.0f ? 1.0f / a.softcap : 0.0f;
    for (int v = threadIdx.x * 8; v < a.V; v += CE_THREADS * 8) {
        float e[8];
        load8(e, x + v, a.V - v, vec);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float capped = e[i] * inverse_cap;
            float p = exp2_fast(e[i] * LOG2E - lse) - (v + i == label ? 1.0f : 0.0f);
            e[i] = label >= 0 ? weight * p * (1.0f - capped * capped) : 0.0f;
        }
        store8(d + v, e, a.V - v, vec);
    }
}

void lf_cuda_cross_entropy(struct lf_stream *s, const struct lf_cross_entropy_args *a)
{
    bool vec = lf_eights(a->logits, a->V, a->V) && lf_eights(a->dlogits, a->V, a->V);
    lf_launch<cross_entropy_kernel>(s, dim3(a->M), CE_THREADS, 0, *a, vec);
}
