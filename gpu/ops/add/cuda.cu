/* The residual stream's sum on CUDA: eight elements a thread. */
#include "gpu/cuda/kernel.cuh"

static __global__ void __launch_bounds__(256) add_kernel(bf16 *y, const bf16 *x, size_t n, bool vec)
{
    grid_wait();
    size_t i = ((size_t)blockIdx.x * 256 + threadIdx.x) * 8;
    if (i >= n)
        return;
    int left = n - i < 8 ? (int)(n - i) : 8;
    float a[8], b[8];
    load8(a, y + i, left, vec && left == 8);
    load8(b, x + i, left, vec && left == 8);
#pragma unroll
    for (int e = 0; e < 8; e++)
        a[e] += b[e];
    store8(y + i, a, left, vec && left == 8);
}

void lf_cuda_add(struct lf_stream *s, const struct lf_add_args *a)
{
    bool vec = lf_eights(a->y, 8, 8) && lf_eights(a->x, 8, 8);
    lf_launch<add_kernel>(s, dim3(lf_div_up((int64_t)a->n, 2048)), 256, 0, (bf16 *)a->y,
                          (const bf16 *)a->x, a->n, vec);
}
