/* Linear maps of many tokens, and all backward maps: dense products on cuBLASLt, one a group.
 *
 * The weights as bf16 are the caller's copies (copy_weights), or are made in the stream's scratch
 * memory before each product; bf16 ones stay where they are. With scratch for a whole group its
 * weights form one matrix; with less, rows go in parts.
 */
#include "gpu/ops/linear/q4.cuh"

static __global__ void __launch_bounds__(256)
    bias_kernel(void *y, const float *bias, int N, int ldy, bool y_f32)
{
    grid_wait();
    size_t row = (size_t)blockIdx.x * ldy;
    for (int n = blockIdx.y * 256 + threadIdx.x; n < N; n += gridDim.y * 256)
        put_output(y, row + n, bias[n], true, y_f32);
}

static void *column(void *y, int col, bool f32)
{
    return f32 ? (void *)((float *)y + col) : (void *)((bf16 *)y + col);
}

static void add_bias(struct lf_stream *s, const struct lf_linear_args *a)
{
    for (int p = 0; p < a->n; p++)
        if (a->w[p]->bias)
            lf_launch<bias_kernel>(s, dim3(a->T, lf_div_up(a->w[p]->N, 1024)), 256, 0,
                                   column(a->y, a->col[p], a->y_f32), a->w[p]->bias, a->w[p]->N,
                                   a->ldy, a->y_f32);
}

/* A group on its way through the products: the next row is `row` of weight p, `made` of all. */
struct walk {
    const struct lf_weight *const *w;
    const int *col;
    const bf16 *copy;
    int n, ldcopy;
    int p, row, made;
};

/* A stretch of consecutive columns whose weights lie one after another as bf16: rows [row, row + N)
 * of weight p, or several whole weights. */
struct stretch {
    const bf16 *w;
    int N, col, ld;
};

/* How many rows of K go into the scratch memory; whole panels. */
static int rows_that_fit(const struct lf_stream *s, int K)
{
    size_t rows = lf_cuda_of(s)->scratch_bytes / ((size_t)K * sizeof(bf16)) / Q4_PANEL * Q4_PANEL;
    return rows < 1 << 30 ? (int)rows : 1 << 30;
}

/* The next weights that lie side by side in the copy. */
static bool copied_stretch(struct stretch *out, struct walk *k)
{
    *out = {k->copy + (size_t)k->made * k->ldcopy, 0, k->col[k->p], k->ldcopy};
    while (k->p < k->n && k->col[k->p] == out->col + out->N)
        out->N += k->w[k->p++]->N;
    k->made += out->N;
    return true;
}

/* The next stretch of a group; moves the walk on. False at the end. */
static bool next_stretch(struct lf_stream *s, struct stretch *out, struct walk *k)
{
    if (k->p >= k->n)
        return false;
    if (k->copy)
        return copied_stretch(out, k);
    const struct lf_weight *first = k->w[k->p];
    if (first->kind == LF_WEIGHT_BF16) {
        *out = {(const bf16 *)first->data, first->N, k->col[k->p], first->K};
        k->p++;
        return true;
    }
    bf16 *scratch = (bf16 *)lf_cuda_of(s)->scratch;
    int room = rows_that_fit(s, first->K);
    *out = {scratch, 0, k->col[k->p] + k->row, first->K};
    while (k->p < k->n && room > 0 && k->w[k->p]->kind != LF_WEIGHT_BF16 &&
           k->col[k->p] + k->row == out->col + out->N) {
        int left = k->w[k->p]->N - k->row, rows = left < room ? left : room;
        lf_cuda_dequantize(s, scratch + (size_t)out->N * first->K, first->K, k->w[k->p], k->row,
                           rows);
        out->N += rows;
        room -= rows;
        k->row += rows;
        if (k->row < k->w[k->p]->N)
            break;
        k->row = 0;
        k->p++;
    }
    return out->N > 0;
}

void lf_cuda_linear_dense(struct lf_stream *s, const struct lf_linear_args *a)
{
    struct walk k = {a->w, a->col, (const bf16 *)a->copy, a->n, a->ldcopy, 0, 0, 0};
    struct stretch t;
    struct lf_gemm g = {};
    g.x = (const bf16 *)a->x;
    g.T = a->T, g.K = a->w[0]->K;
    g.ldy = a->ldy, g.ldx = a->ldx;
    g.accumulate = a->accumulate, g.y_f32 = a->y_f32;
    while (next_stretch(s, &t, &k)) {
        g.w = t.w;
        g.N = t.N, g.ldw = t.ld;
        g.y = column(a->y, t.col, a->y_f32);
        lf_cuda_gemm(s, &g);
    }
    add_bias(s, a);
}

void lf_cuda_linear_bwd(struct lf_stream *s, const struct lf_linear_bwd_args *a)
{
    struct walk k = {a->w, a->col, (const bf16 *)a->copy, a->n, a->ldcopy, 0, 0, 0};
    struct stretch t;
    struct lf_gemm g = {};
    g.y = a->dx;
    g.T = a->T, g.N = a->w[0]->K;
    g.ldy = a->lddx, g.ldx = a->lddy;
    g.trans = true;
    g.accumulate = a->accumulate;
    while (next_stretch(s, &t, &k)) {
        g.w = t.w;
        g.K = t.N, g.ldw = t.ld;
        g.x = (const bf16 *)a->dy + t.col;
        lf_cuda_gemm(s, &g);
        g.accumulate = true;
    }
}

void lf_cuda_copy_weights(struct lf_stream *s, void *out, int ld, const struct lf_weight *const *w,
                          int n)
{
    bf16 *to = (bf16 *)out;
    for (int p = 0; p < n; p++) {
        lf_cuda_dequantize(s, to, ld, w[p], 0, w[p]->N);
        to += (size_t)w[p]->N * ld;
    }
}

/* A weight of (N, K) as bf16. For a group whose products shall be one, N is their sum. */
size_t lf_cuda_linear_scratch_bytes(const struct lf_device *dev, int T, int N, int K)
{
    (void)dev;
    (void)T;
    return (size_t)N * K * sizeof(bf16);
}
