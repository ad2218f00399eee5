/* Sums of arrays on CUDA: four elements a thread. All but one of the arrays are in host memory, and
 * the bus bounds it. */
#include "gpu/cuda/kernel.cuh"
#include "gpu/sum.h"

static __global__ void __launch_bounds__(256)
    sum_kernel(const __grid_constant__ struct lf_sum_args a, bool vec)
{
    grid_wait();
    size_t i = ((size_t)blockIdx.x * 256 + threadIdx.x) * 4;
    if (vec && i + 4 <= a.n) {
        float4 sum = *(const float4 *)(a.x[0] + i);
        for (int k = 1; k < a.n_x; k++) {
            float4 x = *(const float4 *)(a.x[k] + i);
            sum = make_float4(sum.x + x.x, sum.y + x.y, sum.z + x.z, sum.w + x.w);
        }
        *(float4 *)(a.y + i) = sum;
        return;
    }
    for (size_t stop = i + 4 < a.n ? i + 4 : a.n; i < stop; i++) {
        float sum = a.x[0][i];
        for (int k = 1; k < a.n_x; k++)
            sum += a.x[k][i];
        a.y[i] = sum;
    }
}

void lf_cuda_sum(struct lf_stream *s, const struct lf_sum_args *a)
{
    bool vec = (uintptr_t)a->y % sizeof(float4) == 0;
    for (int k = 0; k < a->n_x; k++)
        vec = vec && (uintptr_t)a->x[k] % sizeof(float4) == 0;
    lf_launch<sum_kernel>(s, dim3(lf_div_up((int64_t)a->n, 1024)), 256, 0, *a, vec);
}
