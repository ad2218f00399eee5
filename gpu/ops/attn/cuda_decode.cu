/* Attention of a few new tokens (decoding): the time is that of reading the keys and values once.
 *
 * All query heads of a kv head, for all new tokens, are the 16 rows of one tile, so a key is read
 * once for all of them. A sequence's keys are cut into parts, one a block, so that few sequences
 * fill the card too; the warps of a block take sixteen keys (a page) at a time, two under way, each
 * with its own running softmax. They meet in shared memory, and the last block of a sequence and
 * head joins the parts, in order.
 */
#include "gpu/ops/attn/tile.cuh"

#define KEYS LF_KV_PAGE_TOKENS
#define PART_KEYS_MIN 64
#define PARTS_MAX 64

struct decode_args {
    struct lf_attn_args a;
    struct kv_pages at;
    struct scoring scoring;
    int parts;
    bool vec;
    float *partials; /* (S, Hkv, parts, FEW_ROWS, D + 2): sums, maximum, total */
    int *counters;   /* (S, Hkv) */
};

/* Narrow heads: four warps. Wide ones need the shared memory of two. */
template <int DP> struct shape {
    static const int warps = DP > 128 ? 2 : 4;
    static const int stage = 2 * KEYS * tile<DP>::ld; /* keys and values, elements */
    static const int smem = (FEW_ROWS * tile<DP>::ld + warps * 2 * stage) * sizeof(bf16);
};

/* A block's share of a sequence. */
struct share {
    int rows, group;  /* query rows; row = token * group + head within the group */
    int query;        /* position of the first new token */
    int begin, end;   /* keys, begin a multiple of KEYS */
    struct head_rows k, v;
};

LF_DEVICE struct share share_of(const struct decode_args &p, const struct lf_seq &seq)
{
    const struct lf_attn_args &a = p.a;
    int hk = blockIdx.y;
    bool cached = seq.page_off >= 0;
    struct share s;
    s.group = a.H / a.Hkv;
    s.rows = seq.n * s.group;
    s.query = cached ? seq.past : 0;
    int limit = s.query + seq.n;
    int low = a.window > 0 ? max(0, s.query - a.window + 1) / KEYS * KEYS : 0;
    int pages = (limit - low + KEYS - 1) / KEYS, each = (pages + p.parts - 1) / p.parts * KEYS;
    s.begin = low + blockIdx.x * each;
    s.end = min(s.begin + each, limit);
    size_t first = (size_t)seq.start * a.ldkv + (size_t)hk * a.D;
    const int32_t *list = p.at.pages + seq.page_off;
    s.k = {cached ? NULL : (const bf16 *)a.k + first, (const bf16 *)a.k_pages, list, a.ldkv, a.Hkv,
           hk, a.D};
    s.v = {cached ? NULL : (const bf16 *)a.v + first, (const bf16 *)a.v_pages, list, a.ldkv, a.Hkv,
           hk, a.D};
    return s;
}

/* The query rows of a kv head: token i, head h of the group at row i * group + h. */
template <int DP>
LF_DEVICE void load_queries(bf16 *to, const struct decode_args &p, const struct lf_seq &seq,
                            const struct share &s)
{
    for (int i = threadIdx.x; i < FEW_ROWS * (DP / 8); i += shape<DP>::warps * 32) {
        int row = i / (DP / 8), d = i % (DP / 8) * 8;
        uint4 v = make_uint4(0, 0, 0, 0);
        if (row < s.rows && d < p.a.D) {
            int t = seq.start + row / s.group, h = blockIdx.y * s.group + row % s.group;
            v = words8((const bf16 *)p.a.q + (size_t)t * p.a.ldq + (size_t)h * p.a.D + d,
                       p.a.D - d, p.vec);
        }
        *(uint4 *)(to + row * tile<DP>::ld + d) = v;
    }
}

template <int DP>
LF_DEVICE void load_page(bf16 *stage, const struct decode_args &p, const struct share &s, int key)
{
    int lane = threadIdx.x % 32;
    if (key < s.end) {
        load_rows<DP>(stage, s.k, key, KEYS, s.end, p.vec, lane, 32);
        load_rows<DP>(stage + KEYS * tile<DP>::ld, s.v, key, KEYS, s.end, p.vec, lane, 32);
    }
    copy_async_commit();
}

/* This warp's keys: every warps-th page of the share. */
template <int DP>
LF_DEVICE void attend(struct running<DP> &r, const struct decode_args &p, const struct share &s,
                      const bf16 *q, bf16 *ring)
{
    const int step = shape<DP>::warps * KEYS;
    int key = s.begin + threadIdx.x / 32 * KEYS, row = threadIdx.x % 32 / 4;
    const int query[2] = {s.query + row / s.group, s.query + (row + 8) / s.group};
    load_page<DP>(ring, p, s, key);
    for (int i = 0; key < s.end; key += step, i++) {
        load_page<DP>(ring + (i + 1) % 2 * shape<DP>::stage, p, s, key + step);
        copy_async_wait<1>();
        __syncwarp();
        const bf16 *k = ring + i % 2 * shape<DP>::stage;
        float scores[2][4];
        products<DP>(scores, q, 0, k);
        soften<DP>(r, scores, p.scoring, query, key, s.end);
        add_products<DP>(r.o, scores, k + KEYS * tile<DP>::ld, 0);
        __syncwarp(); /* before the page is overwritten */
    }
    copy_async_wait<0>();
}

/* A word that another warp or block wrote, in shared or global memory. */
LF_DEVICE float written(const float *p)
{
    return *(const volatile float *)p;
}

/* Running softmaxes that are to be joined, in memory: sums (n, rows, ld), maxima and totals
 * (n, rows), each part a step after the one before. */
struct parts {
    const float *sums, *max, *total;
    int n, ld, sums_step, stats_step;
};

/* What joining a row takes; in shared memory. */
struct joint {
    float weight[PARTS_MAX][FEW_ROWS]; /* 2^(maximum of the part - maximum) */
    float max[FEW_ROWS], total[FEW_ROWS];
};

/* Works out the weights: a warp a row, a lane two parts. Ends with a barrier. */
LF_DEVICE void weigh(struct joint &j, const struct parts &p, int rows, int warps)
{
    int lane = threadIdx.x % 32;
    for (int row = threadIdx.x / 32; row < rows; row += warps) {
        float max[2], total = 0.0f;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int part = lane + 32 * i;
            max[i] = part < p.n ? written(&p.max[part * p.stats_step + row]) : NO_SCORE;
        }
        float most = warp_max(fmaxf(max[0], max[1]));
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int part = lane + 32 * i;
            float weight = exp2_fast(max[i] - most);
            if (part < p.n) {
                total += weight * written(&p.total[part * p.stats_step + row]);
                j.weight[part][row] = weight;
            }
        }
        total = warp_sum(total);
        if (lane == 0) {
            j.max[row] = most;
            j.total[row] = total;
        }
    }
    __syncthreads();
}

LF_DEVICE float join(const struct joint &j, const struct parts &p, int row, int d)
{
    float sum = 0.0f;
#pragma unroll 8
    for (int i = 0; i < p.n; i++)
        sum += j.weight[i][row] * written(&p.sums[(size_t)i * p.sums_step + row * p.ld + d]);
    return sum;
}

LF_DEVICE void put_output(const struct decode_args &p, const struct lf_seq &seq,
                          const struct share &s, const struct joint &j, int row, int d, float sum)
{
    size_t t = seq.start + row / s.group;
    int h = blockIdx.y * s.group + row % s.group;
    ((bf16 *)p.a.o)[t * p.a.ldo + (size_t)h * p.a.D + d] = __float2bfloat16_rn(sum / j.total[row]);
    if (d == 0 && p.a.lse)
        p.a.lse[t * p.a.H + h] = (j.max[row] + __log2f(j.total[row])) * LN2;
}

/* The warps' softmaxes in shared memory: sums (warps, FEW_ROWS, DP), then maxima, then totals. */
template <int DP> LF_DEVICE struct parts put_warp(float *smem, const struct running<DP> &r)
{
    const int warps = shape<DP>::warps;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *max = smem + warps * FEW_ROWS * DP, *total = max + warps * FEW_ROWS;
    __syncthreads(); /* the pages that were here are read */
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int row = lane / 4 + 8 * h;
        float sum = row_total(r.sum[h]);
        max[warp * FEW_ROWS + row] = r.max[h];
        total[warp * FEW_ROWS + row] = sum;
        float *to = smem + (warp * FEW_ROWS + row) * DP + lane % 4 * 2;
#pragma unroll
        for (int d = 0; d < DP / 8; d++)
            *(float2 *)(to + d * 8) = make_float2(r.o[d][2 * h], r.o[d][2 * h + 1]);
    }
    __syncthreads();
    return {smem, max, total, warps, DP, FEW_ROWS * DP, FEW_ROWS};
}

/* Joins the blocks' parts, as the last of them. */
LF_DEVICE void finish(struct joint &j, const struct decode_args &p, const struct lf_seq &seq,
                      const struct share &s, const float *all, int stride, int threads)
{
    int D = p.a.D;
    struct parts blocks = {all, all + FEW_ROWS * D, all + FEW_ROWS * (D + 1), p.parts, D, stride,
                           stride};
    weigh(j, blocks, s.rows, threads / 32);
    for (int i = threadIdx.x; i < s.rows * D; i += threads)
        put_output(p, seq, s, j, i / D, i % D, join(j, blocks, i / D, i % D));
}

/* Grid: parts, kv heads, sequences. */
template <int DP>
static __global__ void __launch_bounds__(shape<DP>::warps * 32)
    decode_kernel(const __grid_constant__ struct decode_args p)
{
    __shared__ struct joint joint;
    const int threads = shape<DP>::warps * 32;
    bf16 *q = (bf16 *)dynamic_smem(), *ring = q + FEW_ROWS * tile<DP>::ld;
    grid_wait();
    const struct lf_seq seq = p.at.seqs[blockIdx.z];
    if (seq.n <= 0 || !few_rows(seq.n, p.a.H / p.a.Hkv))
        return;
    struct share s = share_of(p, seq);
    load_queries<DP>(q, p, seq, s);
    __syncthreads();
    struct running<DP> r = {{NO_SCORE, NO_SCORE}, {}, {}};
    attend<DP>(r, p, s, q, ring + threadIdx.x / 32 * 2 * shape<DP>::stage);
    struct parts warps = put_warp<DP>((float *)ring, r);
    weigh(joint, warps, s.rows, shape<DP>::warps);
    int pair = blockIdx.z * p.a.Hkv + blockIdx.y, D = p.a.D, stride = FEW_ROWS * (D + 2);
    float *all = p.partials + (size_t)pair * p.parts * stride, *mine = all + blockIdx.x * stride;
    for (int i = threadIdx.x; i < s.rows * D; i += threads) {
        int row = i / D, d = i % D;
        float sum = join(joint, warps, row, d);
        if (p.parts == 1) {
            put_output(p, seq, s, joint, row, d, sum);
            continue;
        }
        mine[row * D + d] = sum;
        if (d == 0) {
            mine[FEW_ROWS * D + row] = joint.max[row];
            mine[FEW_ROWS * (D + 1) + row] = joint.total[row];
        }
    }
    if (p.parts > 1 && last_to_arrive(&p.counters[pair], p.parts))
        finish(joint, p, seq, s, all, stride, threads);
}

/* Parts for each sequence: enough blocks to fill the card, none with very few keys. */
static int parts_for(const struct lf_stream *s, const struct lf_attn_args *a)
{
    int64_t pairs = (int64_t)a->batch->S * a->Hkv, keys = a->batch->kv_max;
    size_t bytes = (size_t)pairs * FEW_ROWS * (a->D + 2) * sizeof(float);
    if (a->window > 0 && keys > a->window + 2 * KEYS)
        keys = a->window + 2 * KEYS;
    int64_t parts = lf_div_up(2 * lf_cuda_of(s)->dev->units, pairs), most = keys / PART_KEYS_MIN;
    parts = parts < most ? parts : most;
    most = (int64_t)(LF_CUDA_PARTIALS / bytes);
    parts = parts < most ? parts : most;
    parts = parts < PARTS_MAX ? parts : PARTS_MAX;
    return parts > 1 && pairs <= LF_CUDA_COUNTERS ? (int)parts : 1;
}

template <int DP> static void launch(struct lf_stream *s, const struct decode_args *p)
{
    dim3 grid(p->parts, p->a.Hkv, p->a.batch->S);
    lf_launch<decode_kernel<DP>>(s, grid, shape<DP>::warps * 32, shape<DP>::smem, *p);
}

void lf_cuda_attn_decode(struct lf_stream *s, const struct lf_attn_args *a)
{
    struct decode_args p = {*a, kv_pages_of(a->batch), scoring_of(a->scale, a->softcap, a->window),
                            parts_for(s, a), false, lf_cuda_of(s)->partials,
                            lf_cuda_of(s)->counters};
    p.vec = lf_eights(a->q, a->ldq, a->D) && lf_eights(a->k, a->ldkv, a->D) &&
            lf_eights(a->v, a->ldkv, a->D) && lf_eights(a->k_pages, 8, 8) &&
            lf_eights(a->v_pages, 8, 8);
    LF_FOR_HEAD_WIDTH(a->D, launch, s, &p);
}
