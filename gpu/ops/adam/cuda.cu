/* Adam and AdamW on CUDA: every parameter of a step in one launch (128 runs a launch).
 * Memory-bound: 16 bytes read and 18 written a parameter, or with moments of 8 bits 10 and 12; of
 * these a block of threads has a block of values at a time. */
#include "gpu/cuda/kernel.cuh"
#include "gpu/dynamic.h"

#define ADAM_RUNS 128 /* runs a launch; their table travels as a kernel argument */

static_assert(LF_DYNAMIC_BLOCK == 256, "a thread has one value of a block");

/* A run as the kernel wants it: corrections worked out in double on the host. */
struct adam_run {
    float *p, *m, *v, *g;
    struct lf_moment8 m8, v8;
    bf16 *copy;
    const float *sumsq;
    size_t n;
    float grad_scale, max_norm, beta1, beta2, eps;
    float decay;  /* p is multiplied by this (decoupled) */
    float couple; /* this much of p joins the gradient */
    float rate;   /* lr / (1 - beta1^step) */
    float root;   /* 1 / sqrt(1 - beta2^step) */
};

struct adam_table {
    struct adam_run run[ADAM_RUNS];
    float map[2][256]; /* of first and second moments of 8 bits */
};

static __device__ float moment8_at(const struct lf_moment8 &x, const float *map, size_t i)
{
    return map[x.codes[i]] * x.scales[i / LF_DYNAMIC_BLOCK];
}

/* All threads, with a block's values; those of i >= n have none. */
static __device__ void moment8_store(const struct lf_moment8 &x, const float *map, size_t i,
                                     size_t n, float value)
{
    float most = block_max<LF_DYNAMIC_BLOCK>(i < n ? fabsf(value) : 0.0f);
    if (i < n)
        x.codes[i] = lf_dynamic_code(map, most > 0.0f ? value / most : 0.0f);
    if (threadIdx.x == 0)
        x.scales[i / LF_DYNAMIC_BLOCK] = most;
}

static __global__ void __launch_bounds__(256)
    adam_kernel(const __grid_constant__ struct adam_table table)
{
    grid_wait();
    const struct adam_run &a = table.run[blockIdx.y];
    float scale = a.grad_scale;
    if (a.sumsq)
        scale *= fminf(1.0f, a.max_norm / (sqrtf(*a.sumsq) * a.grad_scale + 1e-6f));
    bool eight = !a.m;
    __shared__ float map[2][256];
    if (eight)
        for (int k = 0; k < 2; k++)
            map[k][threadIdx.x] = table.map[k][threadIdx.x];
    __syncthreads();
    for (size_t at = (size_t)blockIdx.x * 256; at < a.n; at += (size_t)gridDim.x * 256) {
        size_t i = at + threadIdx.x;
        float m = 0.0f, v = 0.0f;
        if (i < a.n) {
            float p = a.p[i], g = a.g[i] * scale + a.couple * p;
            m = eight ? moment8_at(a.m8, map[0], i) : a.m[i];
            v = eight ? moment8_at(a.v8, map[1], i) : a.v[i];
            m = a.beta1 * m + (1.0f - a.beta1) * g;
            v = a.beta2 * v + (1.0f - a.beta2) * g * g;
            p = p * a.decay - a.rate * m / (sqrtf(v) * a.root + a.eps);
            a.p[i] = p;
            a.g[i] = 0.0f;
            if (a.copy)
                a.copy[i] = __float2bfloat16_rn(p);
        }
        if (eight) { /* each store's largest magnitude waits for all: they have read the scales */
            moment8_store(a.m8, map[0], i, a.n, m);
            moment8_store(a.v8, map[1], i, a.n, v);
        } else if (i < a.n) {
            a.m[i] = m;
            a.v[i] = v;
        }
    }
}

static struct adam_run adam_run_of(const struct lf_adam_args *a)
{
    struct adam_run r = {};
    r.p = a->p, r.m = a->m, r.v = a->v, r.g = a->g;
    r.m8 = a->m8, r.v8 = a->v8;
    r.copy = (bf16 *)a->copy;
    r.sumsq = a->sumsq;
    r.n = a->n;
    r.grad_scale = a->grad_scale, r.max_norm = a->max_norm;
    r.beta1 = a->beta1, r.beta2 = a->beta2, r.eps = a->eps;
    r.decay = a->decoupled ? (float)(1.0 - (double)a->lr * a->weight_decay) : 1.0f;
    r.couple = a->decoupled ? 0.0f : a->weight_decay;
    r.rate = (float)(a->lr / (1.0 - pow(a->beta1, a->step)));
    r.root = (float)(1.0 / sqrt(1.0 - pow(a->beta2, a->step)));
    return r;
}

void lf_cuda_adam(struct lf_stream *s, const struct lf_adam_args *a, int n)
{
    for (int from = 0; from < n; from += ADAM_RUNS) {
        struct adam_table table = {};
        memcpy(table.map[0], lf_dynamic_map, sizeof table.map[0]);
        memcpy(table.map[1], lf_dynamic_map_unsigned, sizeof table.map[1]);
        int runs = n - from < ADAM_RUNS ? n - from : ADAM_RUNS;
        size_t longest = 1;
        for (int i = 0; i < runs; i++) {
            table.run[i] = adam_run_of(&a[from + i]);
            longest = longest > a[from + i].n ? longest : a[from + i].n;
        }
        size_t blocks = (longest + 1023) / 1024;
        lf_launch<adam_kernel>(s, dim3(blocks < 4096 ? (unsigned)blocks : 4096, runs), 256, 0,
                               table);
    }
}
