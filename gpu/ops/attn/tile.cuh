/* Attention on CUDA: tiles of rows in shared memory and their fragments, scores and masks. Private
 * to gpu/ops/attn/.
 *
 * Kernels are compiled for head widths DP of 32, 64, 96, 128 and 256; a head of D <= DP dims has
 * zeros after it. A row in shared memory is DP elements and 8 more, so that the eight rows of a
 * matrix that ldmatrix reads never meet in a bank. Scores are kept in units of log2.
 */
#ifndef LF_GPU_OPS_ATTN_TILE_CUH
#define LF_GPU_OPS_ATTN_TILE_CUH

#include "gpu/ops/attn/pages.cuh"

#include <limits.h>

#define NO_SCORE -3.0e38f

template <int DP> struct tile {
    static const int ld = DP + 8; /* elements */
};

/* Where rows of one head lie: in the batch, or in pages. */
struct head_rows {
    const bf16 *rows; /* row 0 of the sequence, this head; NULL: in pages */
    const bf16 *pages;
    const int32_t *list;
    int ld, Hkv, head, D;
};

LF_DEVICE const bf16 *head_row(const struct head_rows &h, int j)
{
    if (h.rows)
        return h.rows + (size_t)j * h.ld;
    return h.pages + page_row(h.list, j, h.Hkv, h.head) * h.D;
}

/* Rows [first, first + n) into shared memory, zeros where j >= limit or past D; by threads
 * [0, threads) of the caller's numbering. With vec in the background (commit and wait). */
template <int DP>
LF_DEVICE void load_rows(bf16 *to, const struct head_rows &h, int first, int n, int limit, bool vec,
                         int thread, int threads)
{
    for (int i = thread; i < n * (DP / 8); i += threads) {
        int row = i / (DP / 8), d = i % (DP / 8) * 8;
        bool there = first + row < limit && d < h.D;
        const bf16 *from = head_row(h, there ? first + row : 0) + (there ? d : 0);
        bf16 *at = to + row * tile<DP>::ld + d;
        if (vec)
            copy_async(at, from, there);
        else
            *(uint4 *)at = there ? words8(from, h.D - d, false) : make_uint4(0, 0, 0, 0);
    }
}

/* A: 16 rows from `row`, dims 16 k .. 16 k + 16. */
template <int DP> LF_DEVICE void fragment_a(uint32_t (&a)[4], const bf16 *t, int row, int k)
{
    int lane = threadIdx.x % 32;
    ldmatrix(a, t + (row + lane % 16) * tile<DP>::ld + k * 16 + lane / 16 * 8);
}

/* B, rows as columns (q k^T): rows row .. row + 16; words 0, 1 are of the first eight. */
template <int DP> LF_DEVICE void fragment_b(uint32_t (&b)[4], const bf16 *t, int row, int k)
{
    int lane = threadIdx.x % 32;
    ldmatrix(b, t + (row + lane / 16 * 8 + lane % 8) * tile<DP>::ld + k * 16 + lane / 8 % 2 * 8);
}

/* B, rows contracted (p v): rows row .. row + 16, dims d .. d + 16; words 0, 1 are of the first
 * eight dims. */
template <int DP> LF_DEVICE void fragment_bt(uint32_t (&b)[4], const bf16 *t, int row, int d)
{
    int lane = threadIdx.x % 32;
    ldmatrix_trans(b, t + (row + lane % 16) * tile<DP>::ld + d + lane / 16 * 8);
}

/* The A fragment of sums that lie as D: columns 16 k .. 16 k + 16. */
template <int n> LF_DEVICE void fragment_of_sums(uint32_t (&a)[4], const float (&s)[n][4], int k)
{
    a[0] = pack2(s[2 * k][0], s[2 * k][1]);
    a[1] = pack2(s[2 * k][2], s[2 * k][3]);
    a[2] = pack2(s[2 * k + 1][0], s[2 * k + 1][1]);
    a[3] = pack2(s[2 * k + 1][2], s[2 * k + 1][3]);
}

/* s[n tiles] = (16 rows of a from `row`) x (8 n rows of b)^T over DP dims. */
template <int DP, int n>
LF_DEVICE void products(float (&s)[n][4], const bf16 *a, int row, const bf16 *b)
{
#pragma unroll
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s[i][e] = 0.0f;
#pragma unroll
    for (int k = 0; k < DP / 16; k++) {
        uint32_t fa[4];
        fragment_a<DP>(fa, a, row, k);
#pragma unroll
        for (int i = 0; i < n; i += 2) {
            uint32_t fb[4];
            fragment_b<DP>(fb, b, i * 8, k);
            mma(s[i], fa, fb[0], fb[1]);
            mma(s[i + 1], fa, fb[2], fb[3]);
        }
    }
}

/* acc[m tiles of dims] += p (16 x 8 n, as sums) x (8 n rows of v, dims from d on). */
template <int DP, int n, int m>
LF_DEVICE void add_products(float (&acc)[m][4], const float (&p)[n][4], const bf16 *v, int d)
{
#pragma unroll
    for (int k = 0; k < n / 2; k++) {
        uint32_t a[4];
        fragment_of_sums(a, p, k);
#pragma unroll
        for (int i = 0; i < m; i += 2) {
            uint32_t b[4];
            fragment_bt<DP>(b, v, k * 16, d + i * 8);
            mma(acc[i], a, b[0], b[1]);
            mma(acc[i + 1], a, b[2], b[3]);
        }
    }
}

/* How products become scores. */
struct scoring {
    float scale;     /* q.k to scores; in units of log2 when there is no cap */
    float cap;       /* softcap in units of log2; 0: none */
    unsigned window; /* keys that a query sees */
};

static inline struct scoring scoring_of(float scale, float softcap, int window)
{
    unsigned keys = window > 0 ? (unsigned)window : INT_MAX;
    if (softcap > 0.0f)
        return {scale / softcap, softcap * LOG2E, keys};
    return {scale * LOG2E, 0.0f, keys};
}

/* The score of a product, and its slope (1 without a cap). */
LF_DEVICE float score_of(const struct scoring &s, float product, float *slope)
{
    float x = product * s.scale;
    if (s.cap <= 0.0f) {
        *slope = 1.0f;
        return x;
    }
    float th = tanh_fast(x);
    *slope = 1.0f - th * th;
    return s.cap * th;
}

LF_DEVICE bool sees(const struct scoring &s, int query, int key)
{
    return (unsigned)(query - key) < s.window;
}

/* Running softmax of a lane's two rows (lane / 4 and 8 more) of sixteen, and weighted sums. */
template <int DP> struct running {
    float max[2], sum[2];
    float o[DP / 8][4];
};

/* Products (16 x 8 n, of keys from `key` on) to probabilities against the running maximum, and what
 * was summed before to the same. query: positions of the two rows; keys end at `limit`. */
template <int DP, int n>
LF_DEVICE void soften(struct running<DP> &r, float (&s)[n][4], const struct scoring &how,
                      const int (&query)[2], int key, int limit)
{
    float max[2] = {r.max[0], r.max[1]}, unused;
    if (how.cap > 0.0f) {
#pragma unroll
        for (int i = 0; i < n; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s[i][e] = score_of(how, s[i][e], &unused);
    } else {
#pragma unroll
        for (int i = 0; i < n; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s[i][e] *= how.scale;
    }
#pragma unroll
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int j = key + i * 8 + threadIdx.x % 4 * 2 + e % 2;
            bool seen = j < limit && sees(how, query[e / 2], j);
            s[i][e] = seen ? s[i][e] : NO_SCORE;
            max[e / 2] = fmaxf(max[e / 2], s[i][e]);
        }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        max[h] = fmaxf(max[h], __shfl_xor_sync(0xffffffffu, max[h], 1));
        max[h] = fmaxf(max[h], __shfl_xor_sync(0xffffffffu, max[h], 2));
        float shrink = exp2_fast(r.max[h] - max[h]);
        r.max[h] = max[h];
        r.sum[h] *= shrink;
#pragma unroll
        for (int d = 0; d < DP / 8; d++) {
            r.o[d][2 * h] *= shrink;
            r.o[d][2 * h + 1] *= shrink;
        }
    }
#pragma unroll
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            s[i][e] = s[i][e] > NO_SCORE ? exp2_fast(s[i][e] - max[e / 2]) : 0.0f;
            r.sum[e / 2] += s[i][e];
        }
}

/* A row's total over the four lanes that share it. */
LF_DEVICE float row_total(float sum)
{
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    return sum + __shfl_xor_sync(0xffffffffu, sum, 2);
}

/* ---- Which kernel takes a sequence ----------------------------------------------------------- */

#define FEW_ROWS LF_ATTN_FEW /* query rows of one kv head that one mma holds */

/* Few enough tokens that all query heads of a kv head fit into one tile (decoding). */
static __host__ __device__ inline bool few_rows(int n, int group)
{
    return n * group <= FEW_ROWS;
}

void lf_cuda_attn_prefill(struct lf_stream *s, const struct lf_attn_args *a);
void lf_cuda_attn_decode(struct lf_stream *s, const struct lf_attn_args *a);
/* rope, kv_write and attn in one kernel, of the batch's sequences of few tokens; of batches that it
 * takes. */
bool lf_cuda_attn_takes_step(const struct lf_rope_args *r, const struct lf_attn_args *a);
void lf_cuda_attn_step(struct lf_stream *s, const struct lf_rope_args *r,
                       const struct lf_kv_write_args *w, const struct lf_attn_args *a);

/* Host: calls launch<DP> for the width of the heads. */
#define LF_FOR_HEAD_WIDTH(D, launch, ...) \
    do {                                  \
        if ((D) <= 32)                    \
            launch<32>(__VA_ARGS__);      \
        else if ((D) <= 64)               \
            launch<64>(__VA_ARGS__);      \
        else if ((D) <= 96)               \
            launch<96>(__VA_ARGS__);      \
        else if ((D) <= 128)              \
            launch<128>(__VA_ARGS__);     \
        else                              \
            launch<256>(__VA_ARGS__);     \
    } while (0)

#endif
