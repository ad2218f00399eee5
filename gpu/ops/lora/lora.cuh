/* LoRA on CUDA: what its kernels share. Private to gpu/ops/lora/.
 *
 *   u = x A^T, few tokens   cuda_decode.cu (up to LORA_DECODE_MAX), cuda_shrink.cu (LORA_FEW_MAX)
 *   y += scale u B^T        the same: cuda_expand.cu
 *   u = drop(x) A^T         cuda_tall.cu: contraction over K; also du = scale dy B, over N;
 *                           cuda_tall_hopper.cu where the copy engine can bring x
 *   y += scale u B^T        cuda_wide.cu: contraction over the rank; also dx += drop'(du A)
 *   both with the base      cuda_join.cu: as additional columns and rows of a dense product
 *   da, db                  cuda_grad.cu: contraction over the rows of a segment;
 *                           cuda_grad_hopper.cu likewise
 *
 * All work on tiles of rows that lie in one segment; a tile finds its segment on the card, so that
 * launch sizes depend only on T and n_segs, and a recorded graph serves other segments as well.
 */
#ifndef LF_GPU_OPS_LORA_CUH
#define LF_GPU_OPS_LORA_CUH

#include "gpu/cuda/kernel.cuh"

/* The arrays of a struct lf_ragged that LoRA needs. */
struct lora_batch {
    const struct lf_lora_seg *segs;
    const struct lf_seq *seqs;
    const int32_t *seq, *pos;
    int n_segs, rank_max;
};

static inline struct lora_batch lora_batch_of(const struct lf_ragged *b)
{
    return {b->segs, b->seqs, b->seq, b->pos, b->n_segs, b->rank_max};
}

/* Host: some row of the batch has dropout. */
static inline bool lora_drops(const struct lf_ragged *b)
{
    for (int i = 0; i < b->S; i++)
        if (b->h_seqs[i].drop_p > 0.0f)
            return true;
    return false;
}

/* Rows of `width` elements at p may be read sixteen bytes at a time. */
LF_DEVICE bool whole_words(const void *p, int width)
{
    return (uintptr_t)p % 16 == 0 && width % 8 == 0;
}

/* The words with a mask applied to elements k .. k+8. */
LF_DEVICE uint4 drop_words(uint4 w, const struct drop &d, int k)
{
    float v[8];
    uint32_t u[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = low_half(u[i]);
        v[2 * i + 1] = high_half(u[i]);
    }
    drop8(v, d, k);
    return make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7]));
}

/* ---- A contraction in parts ------------------------------------------------------------------ */

#define LORA_SUM_LINE 68 /* floats of a row of a block's 64 x 64 sums in shared memory */
#define LORA_SUMS 4096   /* floats of a part among the stream's partials */

/* acc += 16 rows x pairs of eight columns over 16 of k: f is the rows' fragment, w the thread's
 * first words of the weights, (columns, k) or backward (k, columns), `line` elements a row. */
template <bool backward, int pairs>
LF_DEVICE void lora_mma(float (&acc)[8][4], const uint32_t (&f)[4], const bf16 *w, int line)
{
    uint32_t g[pairs][4];
#pragma unroll
    for (int c = 0; c < pairs; c++)
        if (backward)
            ldmatrix_trans(g[c], w + c * 16);
        else
            ldmatrix(g[c], w + c * 16 * line);
#pragma unroll
    for (int c = 0; c < pairs; c++) {
        mma(acc[2 * c], f, g[c][0], g[c][1]);
        mma(acc[2 * c + 1], f, g[c][2], g[c][3]);
    }
}

/* What four pairs of warps added up, 16 rows a pair and half of the contraction a warp, into a
 * block's sums in shared memory. */
LF_DEVICE void lora_join_halves(float *sum, const float (&acc)[8][4])
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *at = sum + (warp % 4 * 16 + lane / 4) * LORA_SUM_LINE + lane % 4 * 2;
    for (int turn = 0; turn < 2; turn++) {
        __syncthreads();
        if (warp / 4 == turn)
#pragma unroll
            for (int c = 0; c < 8; c++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float *to = at + e / 2 * 8 * LORA_SUM_LINE + c * 8 + e % 2;
                    *to = turn ? *to + acc[c][e] : acc[c][e];
                }
    }
    __syncthreads();
}

/* Adds the parts of a block's sums (rows by cols) in order, into shared memory; `of` are theirs,
 * one after another, of `sums` floats. False in all but the last of their blocks. */
template <int threads, int sums = LORA_SUMS, int cols = 64>
LF_DEVICE bool lora_join_parts(float *sum, float *of, int *counter, int part, int parts, int rows)
{
    const int fours = cols / 4;
    for (int i = threadIdx.x; i < rows * fours; i += threads)
        ((float4 *)(of + part * sums))[i] =
            *(float4 *)(sum + i / fours * LORA_SUM_LINE + i % fours * 4);
    if (!last_to_arrive(counter, parts))
        return false;
    for (int i = threadIdx.x; i < rows * fours; i += threads) {
        float4 total = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 4
        for (int q = 0; q < parts; q++) {
            float4 v = ((const float4 *)(of + q * sums))[i];
            total.x += v.x, total.y += v.y, total.z += v.z, total.w += v.w;
        }
        *(float4 *)(sum + i / fours * LORA_SUM_LINE + i % fours * 4) = total;
    }
    __syncthreads();
    return true;
}

/* Host: how many steps of the contraction a block takes, so that the blocks' rounds over the card
 * (`at_once` a multiprocessor) are as short as can be: for `tiles` blocks of each of n contractions
 * of steps[i], with `sums` floats of a part. A part more costs about four steps: its first rows,
 * and its sums' way through memory. */
static inline int lora_chunk(const struct lf_stream *s, int64_t tiles, const int *steps, int n,
                             int at_once = 3, int sums = LORA_SUMS)
{
    const struct lf_cuda_stream *cs = lf_cuda_of(s);
    int64_t most = (int64_t)(LF_CUDA_PARTIALS / (sums * sizeof(float))), best = INT64_MAX;
    int longest = 1, chunk = 1;
    for (int i = 0; i < n; i++)
        longest = steps[i] > longest ? steps[i] : longest;
    chunk = longest;
    for (int parts = 1; parts <= 32 && parts <= longest; parts++) {
        int each = lf_div_up(longest, parts);
        int64_t blocks = 0;
        for (int i = 0; i < n; i++)
            blocks += tiles * lf_div_up(steps[i], each);
        int64_t rounds = lf_div_up(blocks, at_once * cs->dev->units), time = rounds * (each + 4);
        if (time < best && (parts == 1 || blocks <= most)) {
            best = time;
            chunk = each;
        }
    }
    return chunk;
}

/* ---- Adapters in the base's products --------------------------------------------------------- */

/* Adapters of a batch that join a dense product: y = [x, u] [W, scale B]^T, dx = [dy, du] [W; A].
 * Column (i * n + p) * rank_max + r is rank r of projection p in the batch's i-th slot; other
 * slots' rows have zeros there. */
#define LORA_JOIN_SLOTS 16
struct lora_join {
    int slot[LORA_JOIN_SLOTS];
    int n_slots, n, rank_max;
    int cols;  /* a multiple of 8 */
    bool bare; /* some columns of some rows belong to nobody, and are cleared first */
};

/* False where the batch's adapters do not fit in `room` columns. With training, those that train.
 */
bool lf_cuda_lora_join(struct lora_join *j, const struct lf_ragged *b, int n, int room,
                       bool training);
/* u, and again behind x: columns K .. of its rows. */
void lf_cuda_lora_join_u(struct lf_stream *s, const struct lf_lora_args *a,
                         const struct lora_join *j);
/* scale B behind the columns of w (N of the group, ld). */
void lf_cuda_lora_join_b(struct lf_stream *s, const struct lf_lora_args *a,
                         const struct lora_join *j, bf16 *w, int ld);
/* du, and again behind dy; N: columns of the group. */
void lf_cuda_lora_join_du(struct lf_stream *s, const struct lf_lora_bwd_args *a,
                          const struct lora_join *j, int N);
/* A into rows of ld from `w` on. */
void lf_cuda_lora_join_a(struct lf_stream *s, const struct lf_lora_bwd_args *a,
                         const struct lora_join *j, bf16 *w, int ld);

#define LORA_L2 ((int64_t)16 << 20) /* bytes of adapters that L2 keeps beside all else */

/* Host: L2 keeps B of all the group's adapters from making u until y. */
static inline bool lora_keeps_b(const struct lf_lora_args *a)
{
    int64_t columns = 0;
    for (int p = 0; p < a->n; p++)
        columns += a->N[p];
    return columns * a->batch->rank_max * a->batch->n_segs * (int64_t)sizeof(bf16) <= LORA_L2;
}

/* Asks L2 for n elements at p. One thread does it. */
LF_DEVICE void lora_prefetch(const void *p, int n)
{
    if ((uintptr_t)p % 16 == 0 && n % 8 == 0 && n > 0)
        prefetch_l2(p, n * sizeof(bf16));
}

/* One rank's u of a row that does not lie in whole words; w: the weights of a norm that comes
 * before it, or NULL. A warp calls it. */
static __device__ __noinline__ float lora_dot_apart(const bf16 *A, const bf16 *x, const float *w,
                                                    int K, float eps)
{
    float sum = 0.0f, squares = 0.0f;
    for (int k = threadIdx.x % 32; k < K; k += 32) {
        sum += to_f32(A[k]) * to_f32(x[k]) * (w ? w[k] : 1.0f);
        squares += to_f32(x[k]) * to_f32(x[k]);
    }
    return warp_sum(sum) * (w ? rsqrtf(warp_sum(squares) / K + eps) : 1.0f);
}

/* Eight elements at p + k, or zeros from K on: an address is chosen without a branch, since a
 * load behind a branch would wait for this one. */
static __device__ const uint4 lora_zeros = {0, 0, 0, 0};

LF_DEVICE const uint4 *lora_words(const bf16 *p, int k, int K)
{
    return k < K ? (const uint4 *)(p + k) : &lora_zeros;
}

/* Host: rows of ld elements at p can be brought by Hopper's copy engine, in boxes of 64 columns. */
static inline bool lora_boxes(const struct lf_stream *s, const void *p, int ld)
{
#ifdef LF_HAVE_SM90A
    return lf_cuda_of(s)->dev->cc == 90 && lf_eights(p, ld, 8);
#else
    (void)s, (void)p, (void)ld;
    return false;
#endif
}

/* Where ldmatrix finds eight elements of a row in a panel that the copy engine brought: rows of 64,
 * 128-byte swizzle (gpu/cuda/warpgroup.cuh). eight: which of the row's. */
LF_DEVICE const bf16 *lora_panel_at(const bf16 *panel, int row, int eight)
{
    return panel + row * 64 + (eight ^ row % 8) * 8;
}

#define LORA_DECODE_MAX 8       /* tokens */
#define LORA_DECODE_WIDTH 16384 /* k */
#define LORA_FEW_MAX 512        /* tokens */
#define LORA_NORM_MAX 4096      /* wide rows that are normed on the way to u */

/* u alone, by the way that suits the batch's size. norm: what makes x, which is made too; NULL: x
 * is there. */
void lf_cuda_lora_u(struct lf_stream *s, const struct lf_lora_args *a,
                    const struct lf_norm_args *norm);
/* Then y, and what glu makes of it (NULL: nothing); y is lost then. */
void lf_cuda_lora_y(struct lf_stream *s, const struct lf_lora_args *a,
                    const struct lf_glu_args *glu);
/* Without dropout; norm: one that cuda.cu's norms_here takes, or NULL. */
void lf_cuda_lora_decode_u(struct lf_stream *s, const struct lf_lora_args *a,
                           const struct lf_norm_args *norm);
void lf_cuda_lora_few_u(struct lf_stream *s, const struct lf_lora_args *a,
                        const struct lf_norm_args *norm);
void lf_cuda_lora_few_y(struct lf_stream *s, const struct lf_lora_args *a,
                        const struct lf_glu_args *glu);
/* j: where u goes beside, or NULL. */
void lf_cuda_lora_shrink(struct lf_stream *s, const struct lf_lora_args *a,
                         const struct lora_join *j);
void lf_cuda_lora_expand(struct lf_stream *s, const struct lf_lora_args *a);
void lf_cuda_lora_du(struct lf_stream *s, const struct lf_lora_bwd_args *a,
                     const struct lora_join *j, int N);
void lf_cuda_lora_dx(struct lf_stream *s, const struct lf_lora_bwd_args *a);

#endif
