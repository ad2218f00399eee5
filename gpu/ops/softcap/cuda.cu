/* The soft ceiling on logits on CUDA. */
#include "gpu/cuda/kernel.cuh"

static __global__ void __launch_bounds__(256) softcap_kernel(float *x, size_t n, float cap)
{
    grid_wait();
    size_t i = (size_t)blockIdx.x * 256 + threadIdx.x;
    if (i < n)
        x[i] = cap * tanhf(x[i] / cap);
}

void lf_cuda_softcap(struct lf_stream *s, const struct lf_softcap_args *a)
{
    lf_launch<softcap_kernel>(s, dim3(lf_div_up((int64_t)a->n, 256)), 256, 0, a->logits, a->n,
                              a->softcap);
}
