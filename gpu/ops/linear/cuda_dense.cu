/* Linear maps of many tokens, and all backward maps: dense products on cuBLASLt, one a group.
 *
 * The weights as bf16 are the caller's copies (copy_weights), or are made in the stream's scratch
 * memory before each product; bf16 ones stay where they are. With scratch for a whole group its
 * weights form one matrix; with less, rows go in parts. Where there is room behind the activations
 * and the weights, adapters are part of the product (struct lora_join).
 */
#include "gpu/ops/linear/q4.cuh"
#include "gpu/ops/lora/lora.cuh"

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
    bf16 *copy;
    int n, ldcopy;
    int p, row, made;
};

/* A stretch of consecutive columns whose weights lie one after another as bf16: rows [row, row + N)
 * of weight p, or several whole weights. */
struct stretch {
    bf16 *w;
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

/* The group's weights one below the other in scratch, rows of ld: they may lie there from the
 * product before, which was forward where this one is backward. */
static void unpack_group(struct lf_stream *s, const struct walk *k, int ld)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    const void *first = k->w[0]->data;
    if (cs->unpacked == first && cs->unpacked_n == k->n && cs->unpacked_ld == ld)
        return;
    for (int p = 0, row = 0; p < k->n; row += k->w[p++]->N)
        lf_cuda_dequantize(s, (bf16 *)cs->scratch + (size_t)row * ld, ld, k->w[p], 0, k->w[p]->N);
    cs->unpacked = first, cs->unpacked_n = k->n, cs->unpacked_ld = ld;
}

/* The whole group as one matrix with `more` columns and rows behind it. False where it is in pieces
 * or there is no memory for that. */
static bool whole_group(struct lf_stream *s, struct stretch *out, const struct walk *k, int more)
{
    int K = k->w[0]->K, N = 0;
    bool scratch = !k->copy;
    for (int p = 0; p < k->n; p++) {
        if (k->col[p] != k->col[0] + N || (scratch && k->w[p]->kind == LF_WEIGHT_BF16))
            return false;
        N += k->w[p]->N;
    }
    *out = {k->copy, N, k->col[0], k->ldcopy};
    if (!scratch)
        return k->ldcopy >= K + more;
    size_t bytes = (size_t)(N + more) * (K + more) * sizeof(bf16);
    if (bytes > lf_cuda_of(s)->scratch_bytes || K % 8)
        return false;
    *out = {(bf16 *)lf_cuda_of(s)->scratch, N, k->col[0], K + more};
    unpack_group(s, k, K + more);
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
        *out = {(bf16 *)first->data, first->N, k->col[k->p], first->K};
        k->p++;
        return true;
    }
    if (k->p == 0 && k->row == 0 && whole_group(s, out, k, 0)) {
        k->p = k->n;
        return true;
    }
    bf16 *scratch = (bf16 *)lf_cuda_of(s)->scratch;
    lf_cuda_of(s)->unpacked = NULL;
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

/* One product with the adapters in it; false where that does not go. */
static bool joined(struct lf_stream *s, const struct lf_linear_args *a,
                   const struct lf_lora_args *lora, const void *plus)
{
    struct walk k = {a->w, a->col, (bf16 *)a->copy, a->n, a->ldcopy, 0, 0, 0};
    int K = a->w[0]->K;
    struct stretch t;
    struct lora_join j;
    if (a->y_f32 || !lf_eights(a->x, a->ldx, K) ||
        !lf_cuda_lora_join(&j, lora->batch, a->n, a->room, false) ||
        !whole_group(s, &t, &k, j.cols))
        return false;
    lf_cuda_lora_join_u(s, lora, &j);
    lf_cuda_lora_join_b(s, lora, &j, t.w + K, t.ld);
    struct lf_gemm g = {};
    g.y = column(a->y, t.col, false), g.plus = plus ? column((void *)plus, t.col, false) : NULL;
    g.x = (const bf16 *)a->x, g.w = t.w;
    g.T = a->T, g.N = t.N, g.K = K + j.cols;
    g.ldy = a->ldy, g.ldx = a->ldx, g.ldw = t.ld;
    g.accumulate = a->accumulate;
    lf_cuda_gemm(s, &g);
    return true;
}

void lf_cuda_linear_dense(struct lf_stream *s, const struct lf_linear_args *a,
                          const struct lf_lora_args *lora, const void *plus)
{
    if (lora && joined(s, a, lora, plus)) {
        add_bias(s, a);
        return;
    }
    struct walk k = {a->w, a->col, (bf16 *)a->copy, a->n, a->ldcopy, 0, 0, 0};
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
        g.plus = plus ? column((void *)plus, t.col, a->y_f32) : NULL;
        lf_cuda_gemm(s, &g);
    }
    add_bias(s, a);
    if (lora)
        lf_cuda_lora(s, lora);
}

/* ---- Backward -------------------------------------------------------------------------------- */

void lf_cuda_linear_bwd(struct lf_stream *s, const struct lf_linear_bwd_args *a)
{
    struct walk k = {a->w, a->col, (bf16 *)a->copy, a->n, a->ldcopy, 0, 0, 0};
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

/* The same backward. Dropout's mask lies between du A and dx: it cannot join. */
static bool joined_bwd(struct lf_stream *s, const struct lf_linear_bwd_args *a,
                       const struct lf_lora_bwd_args *lora)
{
    struct walk k = {a->w, a->col, (bf16 *)a->copy, a->n, a->ldcopy, 0, 0, 0};
    struct stretch t;
    struct lora_join j;
    int N = 0;
    for (int p = 0; p < a->n; p++)
        N += a->w[p]->N;
    if (a->col[0] || lora_drops(lora->batch) || !lf_eights(a->dy, a->lddy, N) ||
        !lf_cuda_lora_join(&j, lora->batch, a->n, a->room, true) || !whole_group(s, &t, &k, j.cols))
        return false;
    lf_cuda_lora_join_du(s, lora, &j, N);
    lf_cuda_lora_join_a(s, lora, &j, t.w + (size_t)N * t.ld, t.ld);
    struct lf_gemm g = {};
    g.y = a->dx;
    g.x = (const bf16 *)a->dy, g.w = t.w;
    g.T = a->T, g.N = a->w[0]->K, g.K = N + j.cols;
    g.ldy = a->lddx, g.ldx = a->lddy, g.ldw = t.ld;
    g.trans = true;
    g.accumulate = a->accumulate;
    lf_cuda_gemm(s, &g);
    return true;
}

void lf_cuda_map_bwd(struct lf_stream *s, const struct lf_map_bwd_args *a)
{
    const struct lf_lora_bwd_args *lora = a->lora;
    if (lora && (lora->batch->n_segs == 0 || lora->batch->rank_max == 0))
        lora = NULL;
    if (a->linear && lora && joined_bwd(s, a->linear, lora)) {
        if (lora->x)
            lf_cuda_lora_grads(s, lora);
        return;
    }
    if (a->linear)
        lf_cuda_linear_bwd(s, a->linear);
    if (lora)
        lf_cuda_lora_bwd(s, lora);
}

/* ---- The weights ----------------------------------------------------------------------------- */

void lf_cuda_copy_weights(struct lf_stream *s, void *out, int ld, const struct lf_weight *const *w,
                          int n)
{
    bf16 *to = (bf16 *)out;
    for (int p = 0; p < n; p++) {
        lf_cuda_dequantize(s, to, ld, w[p], 0, w[p]->N);
        to += (size_t)w[p]->N * ld;
    }
}

size_t lf_cuda_linear_scratch_bytes(const struct lf_device *dev, int T, int N, int K)
{
    (void)dev;
    (void)T;
    return lf_card_scratch_bytes(N, K);
}
