/* DoRA's norms on CUDA, once a step: an output a thread. */
#include "gpu/cuda/kernel.cuh"

static __global__ void __launch_bounds__(256) dora_kernel(struct lf_dora_args a)
{
    grid_wait();
    int n = blockIdx.x * 256 + threadIdx.x, R = a.R;
    if (n >= a.N)
        return;
    const float *b = a.b + (size_t)n * R;
    double cross = 0, product = 0;
    for (int r = 0; r < R; r++) {
        float sum = 0;
        for (int q = 0; q < R; q++)
            sum = fmaf(a.aa[r * R + q], b[q], sum);
        cross += (double)a.aw[(size_t)r * a.N + n] * b[r];
        product += (double)sum * b[r];
    }
    double norm = sqrt(fmax(a.row_sq[n] + a.scale * (2 * cross + a.scale * product), 0.0));
    double g = norm > 0 ? a.m[n] / norm : 1;
    a.norm[n] = (float)norm;
    ((bf16 *)a.gain)[n] = __float2bfloat16_rn((float)(g - 1));
    for (int r = 0; r < R; r++)
        ((bf16 *)a.served)[(size_t)n * R + r] = __float2bfloat16_rn((float)(g * b[r]));
}

static __global__ void __launch_bounds__(256) dora_grads_kernel(struct lf_dora_args a)
{
    grid_wait();
    int n = blockIdx.x * 256 + threadIdx.x, R = a.R;
    if (n >= a.N)
        return;
    float norm = a.norm[n], g = norm > 0 ? a.m[n] / norm : 1, sum = a.dm[n];
    const float *b = a.b + (size_t)n * R;
    float *db = a.db + (size_t)n * R;
    for (int r = 0; r < R; r++) {
        sum = fmaf(b[r], db[r], sum);
        db[r] *= g;
    }
    a.dm[n] = norm > 0 ? sum / norm : 0;
}

void lf_cuda_dora(struct lf_stream *s, const struct lf_dora_args *a)
{
    lf_launch<dora_kernel>(s, dim3(lf_div_up(a->N, 256)), 256, 0, *a);
}

void lf_cuda_dora_grads(struct lf_stream *s, const struct lf_dora_args *a)
{
    lf_launch<dora_grads_kernel>(s, dim3(lf_div_up(a->N, 256)), 256, 0, *a);
}
