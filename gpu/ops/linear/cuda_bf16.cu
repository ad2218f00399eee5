/* Linear maps of up to 8 tokens over bf16 weights (the head, while decoding): the weights go from
 * memory into the tensor cores' fragments as they lie, sixteen bytes a load.
 *
 * A warp makes 16 rows over an eighth of K; eight warps of a block meet in shared memory. In a
 * step of 64 k, lane (g, c) reads k 16c .. 16c+15 of rows g and g+8 and of token g: mma's order
 * with k permuted alike on both sides. Floor: two bytes a weight.
 */
#include "gpu/ops/linear/q4.cuh"

#define WARPS 8
#define STEP 64

struct bf16_args {
    const bf16 *w[LF_GROUP_MAX];
    const float *bias[LF_GROUP_MAX];
    int N[LF_GROUP_MAX], col[LF_GROUP_MAX], panel[LF_GROUP_MAX];
    const bf16 *x;
    void *y;
    int n, K, T, ldx, ldy;
    bool accumulate, y_f32;
};

/* 16 elements from k on, zeros where the row or K ends. */
LF_DEVICE void load16(uint4 (&v)[2], const bf16 *row, int k, int K, bool there)
{
    v[0] = v[1] = make_uint4(0, 0, 0, 0);
    if (there && k < K)
        v[0] = load_once((const uint4 *)(row + k));
    if (there && k + 8 < K)
        v[1] = load_once((const uint4 *)(row + k) + 1);
}

LF_DEVICE void load16_cached(uint4 (&v)[2], const bf16 *row, int k, int K, bool there)
{
    v[0] = v[1] = make_uint4(0, 0, 0, 0);
    if (there && k < K)
        v[0] = ((const uint4 *)(row + k))[0];
    if (there && k + 8 < K)
        v[1] = ((const uint4 *)(row + k))[1];
}

LF_DEVICE void add_step(float (&d)[4], const uint4 (&lo)[2], const uint4 (&hi)[2],
                        const uint4 (&x)[2])
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        uint32_t a[4] = {lo[i].x, hi[i].x, lo[i].y, hi[i].y};
        mma(d, a, x[i].x, x[i].y);
        uint32_t b[4] = {lo[i].z, hi[i].z, lo[i].w, hi[i].w};
        mma(d, b, x[i].z, x[i].w);
    }
}

static __global__ void __launch_bounds__(WARPS * 32, 2)
    bf16_rows_kernel(const __grid_constant__ struct bf16_args a)
{
    __shared__ float part[WARPS][32][4];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, p = 0;
    while (p + 1 < a.n && (int)blockIdx.x >= a.panel[p + 1])
        p++;
    int first = (blockIdx.x - a.panel[p]) * 16, row = first + lane / 4, c = lane % 4 * 16;
    const bf16 *lo = a.w[p] + (size_t)row * a.K, *hi = lo + (size_t)8 * a.K;
    const bf16 *x = a.x + (size_t)(lane / 4) * a.ldx;
    int steps = (a.K + STEP - 1) / STEP;
    int begin = warp * steps / WARPS, end = (warp + 1) * steps / WARPS;
    grid_wait();
    float d[4] = {};
#pragma unroll 4
    for (int s = begin; s < end; s++) {
        uint4 wl[2], wh[2], xs[2];
        load16(wl, lo, s * STEP + c, a.K, row < a.N[p]);
        load16(wh, hi, s * STEP + c, a.K, row + 8 < a.N[p]);
        load16_cached(xs, x, s * STEP + c, a.K, lane / 4 < a.T);
        add_step(d, wl, wh, xs);
    }
    *(float4 *)part[warp][lane] = make_float4(d[0], d[1], d[2], d[3]);
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * a.T; i += WARPS * 32) {
        int in = i % 16, token = i / 16, n = first + in;
        float sum = 0.0f;
        for (int w = 0; w < WARPS; w++)
            sum += part[w][in % 8 * 4 + token / 2][in / 8 * 2 + token % 2];
        if (n < a.N[p]) {
            sum += a.bias[p] ? a.bias[p][n] : 0.0f;
            put_output(a.y, (size_t)token * a.ldy + a.col[p] + n, sum, a.accumulate, a.y_f32);
        }
    }
}

void lf_cuda_bf16_rows(struct lf_stream *s, const struct lf_linear_args *a)
{
    struct bf16_args b = {};
    int panels = 0;
    for (int p = 0; p < a->n; p++) {
        b.w[p] = (const bf16 *)a->w[p]->data;
        b.bias[p] = a->w[p]->bias;
        b.N[p] = a->w[p]->N;
        b.col[p] = a->col[p];
        b.panel[p] = panels;
        panels += lf_div_up(a->w[p]->N, 16);
    }
    b.x = (const bf16 *)a->x;
    b.y = a->y;
    b.n = a->n, b.K = a->w[0]->K, b.T = a->T, b.ldx = a->ldx, b.ldy = a->ldy;
    b.accumulate = a->accumulate, b.y_f32 = a->y_f32;
    lf_launch<bf16_rows_kernel>(s, dim3(panels), WARPS * 32, 0, b);
}
