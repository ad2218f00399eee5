/* Attention forward over many tokens (Dao's flash attention): scores never leave the registers.
 * Where cuda_prefill_hopper.cu does not take the batch: older cards, heads of up to 32 and above
 * 128 dims.
 *
 * A block takes 64 rows of the batch, whatever sequences they are of, and one head; for each
 * sequence it goes through the keys 32 at a time, the next 32 under way while it works. Four warps
 * own 16 query rows each. Blocks with the most keys start first. Work: 4 D flops for each pair of
 * query and key; bound by the tensor cores from a few hundred keys on.
 */
#include "gpu/ops/attn/tile.cuh"

#define WARPS 4
#define ROWS 64
#define KEYS 32

struct prefill_args {
    struct lf_attn_args a;
    struct kv_pages at;
    struct scoring scoring;
    int T;
    bool vec, pairs;
};

/* The rows of one sequence within the block. */
struct span {
    int t, n;  /* batch rows [t, t + n) */
    int query; /* position of row t in its sequence */
    struct head_rows q, k, v;
};

LF_DEVICE struct span span_at(const struct prefill_args &p, const struct lf_seq &seq, int t,
                              int end)
{
    const struct lf_attn_args &a = p.a;
    int h = blockIdx.y, hk = h / (a.H / a.Hkv);
    bool cached = seq.page_off >= 0;
    struct span s;
    s.t = t;
    s.n = min(end, seq.start + seq.n) - t;
    s.query = (cached ? seq.past : 0) + t - seq.start;
    s.q = {(const bf16 *)a.q + (size_t)t * a.ldq + (size_t)h * a.D, NULL, NULL, a.ldq, a.H, h, a.D};
    size_t first = (size_t)seq.start * a.ldkv + (size_t)hk * a.D;
    const int32_t *list = p.at.pages + seq.page_off;
    s.k = {cached ? NULL : (const bf16 *)a.k + first,
           (const bf16 *)a.k_pages,
           list,
           a.ldkv,
           a.Hkv,
           hk,
           a.D};
    s.v = {cached ? NULL : (const bf16 *)a.v + first,
           (const bf16 *)a.v_pages,
           list,
           a.ldkv,
           a.Hkv,
           hk,
           a.D};
    return s;
}

template <int DP>
LF_DEVICE void put_rows(struct running<DP> &r, const struct prefill_args &p, const struct span &s)
{
    int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4, D = p.a.D;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float sum = row_total(r.sum[h]);
        int i = row + 8 * h;
        if (i >= s.n)
            continue;
        float inverse = __fdividef(1.0f, sum);
        bf16 *o = (bf16 *)p.a.o + (size_t)(s.t + i) * p.a.ldo + (size_t)blockIdx.y * D;
#pragma unroll
        for (int d = 0; d < DP / 8; d++) {
            int at = d * 8 + lane % 4 * 2;
            float x = r.o[d][2 * h] * inverse, y = r.o[d][2 * h + 1] * inverse;
            if (p.pairs && at < D)
                *(uint32_t *)(o + at) = pack2(x, y);
            else if (at < D) {
                o[at] = __float2bfloat16_rn(x);
                if (at + 1 < D)
                    o[at + 1] = __float2bfloat16_rn(y);
            }
        }
        if (p.a.lse && lane % 4 == 0)
            p.a.lse[(size_t)(s.t + i) * p.a.H + blockIdx.y] = (r.max[h] + __log2f(sum)) * LN2;
    }
}

/* Shared memory: q, then two stages of k and v. */
template <int DP>
LF_DEVICE void load_keys(bf16 *stage, const struct prefill_args &p, const struct span &s, int key,
                         int limit)
{
    load_rows<DP>(stage, s.k, key, KEYS, limit, p.vec, threadIdx.x, WARPS * 32);
    load_rows<DP>(stage + KEYS * tile<DP>::ld, s.v, key, KEYS, limit, p.vec, threadIdx.x,
                  WARPS * 32);
}

template <int DP>
LF_DEVICE void attend(const struct prefill_args &p, const struct span &s, bf16 *smem)
{
    const int stage = 2 * KEYS * tile<DP>::ld;
    bf16 *q = smem, *ring = smem + ROWS * tile<DP>::ld;
    int window = p.a.window, limit = s.query + s.n, warp = threadIdx.x / 32;
    int key = window > 0 ? max(0, s.query - window + 1) / KEYS * KEYS : 0;
    int first = s.query + warp * 16, query[2] = {first + (int)threadIdx.x % 32 / 4, 0};
    query[1] = query[0] + 8;
    struct running<DP> r = {
        {NO_SCORE, NO_SCORE}, {},
        {
        }
    };
    load_rows<DP>(q, s.q, 0, ROWS, s.n, p.vec, threadIdx.x, WARPS * 32);
    load_keys<DP>(ring, p, s, key, limit);
    copy_async_commit();
    for (int i = 0; key < limit; key += KEYS, i++) {
        copy_async_wait<0>();
        __syncthreads(); /* this stage is there, and the other one read by all */
        if (key + KEYS < limit)
            load_keys<DP>(ring + (i + 1) % 2 * stage, p, s, key + KEYS, limit);
        copy_async_commit();
        const bf16 *k = ring + i % 2 * stage, *v = k + KEYS * tile<DP>::ld;
        if (warp * 16 >= s.n || key > first + 15)
            continue; /* a whole warp; nothing here for its rows */
        float scores[KEYS / 8][4];
        products<DP>(scores, q, warp * 16, k);
        soften<DP>(r, scores, p.scoring, query, key, limit);
        add_products<DP>(r.o, scores, v, 0);
    }
    put_rows<DP>(r, p, s);
}

template <int DP>
static __global__ void __launch_bounds__(WARPS * 32)
    prefill_kernel(const __grid_constant__ struct prefill_args p)
{
    grid_wait();
    int t = (gridDim.x - 1 - blockIdx.x) * ROWS, end = min(t + ROWS, p.T);
    while (t < end) {
        const struct lf_seq seq = p.at.seqs[p.at.seq[t]];
        struct span s = span_at(p, seq, t, end);
        if (!few_rows(seq.n, p.a.H / p.a.Hkv)) {
            __syncthreads(); /* the sequence before is done with shared memory */
            attend<DP>(p, s, (bf16 *)dynamic_smem());
        }
        t += s.n;
    }
}

template <int DP> static void launch(struct lf_stream *s, const struct prefill_args *p)
{
    size_t smem = (ROWS + 4 * KEYS) * tile<DP>::ld * sizeof(bf16);
    lf_launch<prefill_kernel<DP>>(s, dim3(lf_div_up(p->T, ROWS), p->a.H), WARPS * 32, smem, *p);
}

void lf_cuda_attn_prefill(struct lf_stream *s, const struct lf_attn_args *a)
{
    struct prefill_args p = {*a,
                             kv_pages_of(a->batch),
                             scoring_of(a->scale, a->softcap, a->window),
                             a->batch->T,
                             false,
                             false};
    p.vec = lf_eights(a->q, a->ldq, a->D) && lf_eights(a->k, a->ldkv, a->D) &&
            lf_eights(a->v, a->ldkv, a->D) && lf_eights(a->k_pages, 8, 8) &&
            lf_eights(a->v_pages, 8, 8);
    p.pairs = (uintptr_t)a->o % 4 == 0 && a->ldo % 2 == 0 && a->D % 2 == 0;
    LF_FOR_HEAD_WIDTH(a->D, launch, s, &p);
}
