/* Attention backward for sequences that attend to their own rows (training), without storing
 * scores: they are made again from q, k and the forward's log-sum-exp. On Hopper what follows delta
 * is cuda_bwd_hopper.cu's where that takes the batch.
 *
 * Three launches: delta = dO.O for each row and head; dk and dv, a block for 64 keys of one kv
 * head, which goes through the queries of all its query heads; dq, a block for 64 queries of one
 * head.
 * No element has two owners, so results repeat; the price is making the scores twice.
 *
 *   ds = p (dp - delta) slope,  dq = scale ds k,  dk = scale ds^T q,  dv = p^T dO
 */
#include "gpu/ops/attn/hopper.cuh"

#define WARPS 4
#define ROWS 64 /* that a block owns */

struct bwd_args {
    struct lf_attn_bwd_args a;
    struct kv_pages at;
    struct scoring scoring;
    float unit;   /* lse to units of log2 */
    int first, T; /* rows [first, T) are of uncached sequences */
    bool vec, vec_o;
};

/* Rows that pass through a block at a time, and stages of them. */
template <int DP> struct passing {
    static const int rows = DP > 128 ? 16 : 32;
    static const int stages = DP > 128 ? 1 : 2;
};

/* ---- delta ----------------------------------------------------------------------------------- */

/* Half a warp a row and head. */
static __global__ void __launch_bounds__(256)
    delta_kernel(const __grid_constant__ struct bwd_args p)
{
    grid_wait();
    int64_t i = (int64_t)blockIdx.x * 16 + threadIdx.x / 16;
    bool there = i < (int64_t)(p.T - p.first) * p.a.H;
    size_t t = p.first + (there ? i : 0) / p.a.H, h = (there ? i : 0) % p.a.H;
    const bf16 *o = (const bf16 *)p.a.o + t * p.a.ldo + h * p.a.D;
    const bf16 *d_o = (const bf16 *)p.a.d_o + t * p.a.ldo + h * p.a.D;
    float sum = 0.0f;
    for (int d = threadIdx.x % 16 * 8; d < p.a.D; d += 128) {
        float x[8], y[8];
        load8(x, o + d, p.a.D - d, p.vec_o);
        load8(y, d_o + d, p.a.D - d, p.vec_o);
#pragma unroll
        for (int e = 0; e < 8; e++)
            sum += x[e] * y[e];
    }
#pragma unroll
    for (int d = 8; d > 0; d /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, d);
    if (there && threadIdx.x % 16 == 0)
        p.a.delta[t * p.a.H + h] = sum;
}

/* ---- Shared by dq and dk, dv ----------------------------------------------------------------- */

LF_DEVICE struct head_rows rows_of(const void *x, int start, int ld, int head, int D)
{
    return {(const bf16 *)x + (size_t)start * ld + (size_t)head * D, NULL, NULL, ld, 0, head, D};
}

/* p and ds from a product q.k and dp. */
LF_DEVICE void gradient_of(float *p, float *ds, const struct scoring &how, float product, float dp,
                           float lse, float delta, bool seen)
{
    float slope, score = score_of(how, product, &slope);
    *p = seen ? exp2_fast(score - lse) : 0.0f;
    *ds = *p * (dp - delta) * slope;
}

/* 16 rows by 8 m dims of sums, times scale, to rows [row, n) of out; dims from d0 on. */
template <int m>
LF_DEVICE void put_sums(bf16 *out, int ld, const float (&acc)[m][4], int row, int n, int d0, int D,
                        float scale)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int i = row + lane / 4 + 8 * h;
        if (i >= n)
            continue;
#pragma unroll
        for (int t = 0; t < m; t++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int d = d0 + t * 8 + lane % 4 * 2 + e;
                if (d < D)
                    out[(size_t)i * ld + d] = __float2bfloat16_rn(scale * acc[t][2 * h + e]);
            }
    }
}

/* ---- dk and dv ------------------------------------------------------------------------------- */

/* lse and delta of the queries of a stage. */
struct query_stats {
    float lse[32], delta[32];
};

template <int DP>
LF_DEVICE void load_queries(bf16 *stage, struct query_stats *stats, const struct bwd_args &p,
                            const struct lf_seq &seq, int h, int query)
{
    const int n = passing<DP>::rows;
    struct head_rows q = rows_of(p.a.q, seq.start, p.a.ldq, h, p.a.D);
    struct head_rows d_o = rows_of(p.a.d_o, seq.start, p.a.ldo, h, p.a.D);
    load_rows<DP>(stage, q, query, n, seq.n, p.vec, threadIdx.x, WARPS * 32);
    load_rows<DP>(stage + n * tile<DP>::ld, d_o, query, n, seq.n, p.vec, threadIdx.x, WARPS * 32);
    int i = query + threadIdx.x;
    if (threadIdx.x < n) {
        size_t at = (size_t)(seq.start + min(i, seq.n - 1)) * p.a.H + h;
        stats->lse[threadIdx.x] = p.a.lse[at] * p.unit;
        stats->delta[threadIdx.x] = p.a.delta[at];
    }
}

/* One stage of queries into the sums of this warp's 16 keys. */
template <int DP, int m>
LF_DEVICE void add_queries(float (&dk)[m][4], float (&dv)[m][4], const struct bwd_args &p,
                           const bf16 *k, const bf16 *v, const bf16 *stage,
                           const struct query_stats &stats, int key, int query, int n, int d0)
{
    const int rows = passing<DP>::rows;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const bf16 *q = stage, *d_o = stage + rows * tile<DP>::ld;
    float s[rows / 8][4], ds[rows / 8][4];
    products<DP>(s, k, warp * 16, q);
    products<DP>(ds, v, warp * 16, d_o);
#pragma unroll
    for (int i = 0; i < rows / 8; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int at = i * 8 + lane % 4 * 2 + e % 2, j = key + warp * 16 + lane / 4 + e / 2 * 8;
            bool seen = query + at < n && sees(p.scoring, query + at, j);
            gradient_of(&s[i][e], &ds[i][e], p.scoring, s[i][e], ds[i][e], stats.lse[at],
                        stats.delta[at], seen);
        }
    add_products<DP>(dv, s, d_o, d0);
    add_products<DP>(dk, ds, q, d0);
}

/* Keys [key, key + n) of a sequence, for one kv head; dims [d0, d0 + 8 m) of the result. */
template <int DP, int m>
LF_DEVICE void key_gradients(const struct bwd_args &p, const struct lf_seq &seq, int key, int n,
                             int hk, int d0, bf16 *smem, struct query_stats *stats)
{
    const int rows = passing<DP>::rows, stages = passing<DP>::stages;
    const int stage = 2 * rows * tile<DP>::ld;
    int group = p.a.H / p.a.Hkv, window = p.a.window;
    int begin = key / rows * rows, end = window > 0 ? min(seq.n, key + n - 1 + window) : seq.n;
    int steps = (end - begin + rows - 1) / rows, all = steps * group;
    bf16 *k = smem, *v = k + ROWS * tile<DP>::ld, *ring = v + ROWS * tile<DP>::ld;
    float dk[m][4] = {}, dv[m][4] = {};
    load_rows<DP>(k, rows_of(p.a.k, seq.start, p.a.ldkv, hk, p.a.D), key, ROWS, key + n, p.vec,
                  threadIdx.x, WARPS * 32);
    load_rows<DP>(v, rows_of(p.a.v, seq.start, p.a.ldkv, hk, p.a.D), key, ROWS, key + n, p.vec,
                  threadIdx.x, WARPS * 32);
    for (int i = 0; i < all; i++) {
        int at = i % stages, query = begin + i % steps * rows;
        if (stages == 1 || i == 0) {
            __syncthreads();
            load_queries<DP>(ring + at * stage, &stats[at], p, seq, hk * group + i / steps, query);
        }
        copy_async_commit();
        copy_async_wait<0>();
        __syncthreads(); /* this stage is there, and the other one read by all */
        if (stages > 1 && i + 1 < all)
            load_queries<DP>(ring + (i + 1) % stages * stage, &stats[(i + 1) % stages], p, seq,
                             hk * group + (i + 1) / steps, begin + (i + 1) % steps * rows);
        if (query + rows > key + (int)threadIdx.x / 32 * 16) /* else all are before the keys */
            add_queries<DP>(dk, dv, p, k, v, ring + at * stage, stats[at], key, query, seq.n, d0);
    }
    bf16 *out_k = (bf16 *)p.a.dk + (size_t)(seq.start + key) * p.a.lddkv + (size_t)hk * p.a.D;
    bf16 *out_v = (bf16 *)p.a.dv + (size_t)(seq.start + key) * p.a.lddkv + (size_t)hk * p.a.D;
    int row = threadIdx.x / 32 * 16;
    put_sums(out_k, p.a.lddkv, dk, row, n, d0, p.a.D, p.a.scale);
    put_sums(out_v, p.a.lddkv, dv, row, n, d0, p.a.D, 1.0f);
}

/* Grid: row tiles, kv heads, stretches of 128 dims. */
template <int DP>
static __global__ void __launch_bounds__(WARPS * 32)
    key_kernel(const __grid_constant__ struct bwd_args p)
{
    const int m = (DP > 128 ? 128 : DP) / 8;
    __shared__ struct query_stats stats[passing<DP>::stages];
    grid_wait();
    int t = p.first + blockIdx.x * ROWS, end = min(t + ROWS, p.T);
    while (t < end) {
        const struct lf_seq seq = p.at.seqs[p.at.seq[t]];
        int n = min(end, seq.start + seq.n) - t;
        __syncthreads(); /* the sequence before is done with shared memory */
        key_gradients<DP, m>(p, seq, t - seq.start, n, blockIdx.y, blockIdx.z * 128,
                             (bf16 *)dynamic_smem(), stats);
        t += n;
    }
}

/* ---- dq -------------------------------------------------------------------------------------- */

template <int DP>
LF_DEVICE void load_keys(bf16 *stage, const struct bwd_args &p, const struct lf_seq &seq, int hk,
                         int key, int limit)
{
    const int n = passing<DP>::rows;
    load_rows<DP>(stage, rows_of(p.a.k, seq.start, p.a.ldkv, hk, p.a.D), key, n, limit, p.vec,
                  threadIdx.x, WARPS * 32);
    load_rows<DP>(stage + n * tile<DP>::ld, rows_of(p.a.v, seq.start, p.a.ldkv, hk, p.a.D), key, n,
                  limit, p.vec, threadIdx.x, WARPS * 32);
}

/* One stage of keys into the sums of this warp's 16 queries; lse and delta are its two rows'. */
template <int DP>
LF_DEVICE void add_keys(float (&dq)[DP / 8][4], const struct bwd_args &p, const bf16 *q,
                        const bf16 *d_o, const bf16 *stage, const float (&lse)[2],
                        const float (&delta)[2], int query, int key, int limit)
{
    const int rows = passing<DP>::rows;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float s[rows / 8][4], ds[rows / 8][4], unused;
    products<DP>(s, q, warp * 16, stage);
    products<DP>(ds, d_o, warp * 16, stage + rows * tile<DP>::ld);
#pragma unroll
    for (int i = 0; i < rows / 8; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int j = key + i * 8 + lane % 4 * 2 + e % 2;
            int at = query + warp * 16 + lane / 4 + e / 2 * 8;
            gradient_of(&unused, &ds[i][e], p.scoring, s[i][e], ds[i][e], lse[e / 2], delta[e / 2],
                        j < limit && sees(p.scoring, at, j));
        }
    add_products<DP>(dq, ds, stage, 0);
}

/* Queries [query, query + n) of a sequence, for one head. */
template <int DP>
LF_DEVICE void query_gradients(const struct bwd_args &p, const struct lf_seq &seq, int query, int n,
                               int h, bf16 *smem)
{
    const int rows = passing<DP>::rows, stages = passing<DP>::stages;
    const int stage = 2 * rows * tile<DP>::ld;
    int hk = h / (p.a.H / p.a.Hkv), window = p.a.window, limit = query + n;
    int warp = threadIdx.x / 32, row = warp * 16 + threadIdx.x % 32 / 4;
    bf16 *q = smem, *d_o = q + ROWS * tile<DP>::ld, *ring = d_o + ROWS * tile<DP>::ld;
    float dq[DP / 8][4] = {}, lse[2], delta[2];
#pragma unroll
    for (int e = 0; e < 2; e++) {
        size_t at = (size_t)(seq.start + query + min(row + 8 * e, n - 1)) * p.a.H + h;
        lse[e] = p.a.lse[at] * p.unit;
        delta[e] = p.a.delta[at];
    }
    load_rows<DP>(q, rows_of(p.a.q, seq.start, p.a.ldq, h, p.a.D), query, ROWS, limit, p.vec,
                  threadIdx.x, WARPS * 32);
    load_rows<DP>(d_o, rows_of(p.a.d_o, seq.start, p.a.ldo, h, p.a.D), query, ROWS, limit, p.vec,
                  threadIdx.x, WARPS * 32);
    int key = window > 0 ? max(0, query - window + 1) / rows * rows : 0;
    for (int i = 0; key < limit; i++, key += rows) {
        int at = i % stages;
        if (stages == 1 || i == 0) {
            __syncthreads();
            load_keys<DP>(ring + at * stage, p, seq, hk, key, limit);
        }
        copy_async_commit();
        copy_async_wait<0>();
        __syncthreads(); /* this stage is there, and the other one read by all */
        if (stages > 1 && key + rows < limit)
            load_keys<DP>(ring + (i + 1) % stages * stage, p, seq, hk, key + rows, limit);
        if (warp * 16 < n && key <= query + warp * 16 + 15) /* some row of the warp sees some */
            add_keys<DP>(dq, p, q, d_o, ring + at * stage, lse, delta, query, key, limit);
    }
    bf16 *out = (bf16 *)p.a.dq + (size_t)(seq.start + query) * p.a.lddq + (size_t)h * p.a.D;
    put_sums(out, p.a.lddq, dq, warp * 16, n, 0, p.a.D, p.a.scale);
}

/* Grid: row tiles, heads. Tiles with the most keys first. */
template <int DP>
static __global__ void __launch_bounds__(WARPS * 32)
    query_kernel(const __grid_constant__ struct bwd_args p)
{
    grid_wait();
    int t = p.first + (gridDim.x - 1 - blockIdx.x) * ROWS, end = min(t + ROWS, p.T);
    while (t < end) {
        const struct lf_seq seq = p.at.seqs[p.at.seq[t]];
        int n = min(end, seq.start + seq.n) - t;
        __syncthreads(); /* the sequence before is done with shared memory */
        query_gradients<DP>(p, seq, t - seq.start, n, blockIdx.y, (bf16 *)dynamic_smem());
        t += n;
    }
}

/* ---- Launchers ------------------------------------------------------------------------------- */

template <int DP> static void launch(struct lf_stream *s, const struct bwd_args *p)
{
    int rows = p->T - p->first, tiles = lf_div_up(rows, ROWS);
    size_t smem =
        (2 * ROWS + 2 * passing<DP>::rows * passing<DP>::stages) * tile<DP>::ld * sizeof(bf16);
    lf_launch<key_kernel<DP>>(s, dim3(tiles, p->a.Hkv, lf_div_up(p->a.D, 128)), WARPS * 32, smem,
                              *p);
    lf_launch<query_kernel<DP>>(s, dim3(tiles, p->a.H), WARPS * 32, smem, *p);
}

void lf_cuda_attn_bwd(struct lf_stream *s, const struct lf_attn_bwd_args *a)
{
    struct bwd_args p = {*a,
                         kv_pages_of(a->batch),
                         scoring_of(a->scale, a->softcap, a->window),
                         LOG2E,
                         a->batch->T_cached,
                         a->batch->T,
                         false,
                         false};
    if (p.first >= p.T)
        return;
    p.vec = lf_eights(a->q, a->ldq, a->D) && lf_eights(a->k, a->ldkv, a->D) &&
            lf_eights(a->v, a->ldkv, a->D) && lf_eights(a->d_o, a->ldo, a->D);
    p.vec_o = lf_eights(a->o, a->ldo, a->D) && lf_eights(a->d_o, a->ldo, a->D);
    lf_launch<delta_kernel>(s, dim3(lf_div_up((int64_t)(p.T - p.first) * a->H, 16)), 256, 0, p);
    if (lf_cuda_attn_bwd_hopper(s, a))
        return;
    LF_FOR_HEAD_WIDTH(a->D, launch, s, &p);
}
