/* Picking rows out of a matrix and putting them back, on CUDA: a block a row of y. */
#include "gpu/cuda/kernel.cuh"

LF_DEVICE void copy_row(bf16 *y, const bf16 *x, int C, bool vec)
{
    for (int c = threadIdx.x * 8; c < C; c += 256 * 8) {
        float v[8] = {0.0f};
        if (x)
            load8(v, x + c, C - c, vec);
        store8(y + c, v, C - c, vec);
    }
}

static __global__ void __launch_bounds__(256)
    gather_kernel(bf16 *y, const bf16 *x, const int32_t *rows, int C, int ldy, bool vec)
{
    grid_wait();
    size_t m = blockIdx.x;
    copy_row(y + m * ldy, x + (size_t)rows[m] * C, C, vec);
}

static __global__ void __launch_bounds__(256)
    scatter_kernel(bf16 *y, const bf16 *x, const int32_t *rows, int M, int C, int ldy, bool vec)
{
    grid_wait();
    int t = blockIdx.x, low = 0, high = M; /* the first row >= t is in [low, high] */
    while (low < high) {
        int middle = (low + high) / 2;
        if (rows[middle] < t)
            low = middle + 1;
        else
            high = middle;
    }
    bool there = low < M && rows[low] == t;
    copy_row(y + (size_t)t * ldy, there ? x + (size_t)low * C : NULL, C, vec);
}

void lf_cuda_gather(struct lf_stream *s, const struct lf_rows_args *a)
{
    bool vec = lf_eights(a->y, a->ldy, a->C) && lf_eights(a->x, a->C, a->C);
    lf_launch<gather_kernel>(s, dim3(a->M), 256, 0, (bf16 *)a->y, (const bf16 *)a->x, a->rows, a->C,
                             a->ldy, vec);
}

void lf_cuda_scatter(struct lf_stream *s, const struct lf_rows_args *a)
{
    bool vec = lf_eights(a->y, a->ldy, a->C) && lf_eights(a->x, a->C, a->C);
    lf_launch<scatter_kernel>(s, dim3(a->T), 256, 0, (bf16 *)a->y, (const bf16 *)a->x, a->rows,
                              a->M, a->C, a->ldy, vec);
}
