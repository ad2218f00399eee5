/* Attention of a few new tokens (decoding): the time is that of reading the keys and values once,
 * and with few sequences that of one such reading, start to end.
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
#define ALONE_KEYS 256 /* up to so many are one part: less than joining parts costs */
#define PARTS_MAX 64

struct decode_args {
    struct lf_attn_args a;
    struct kv_pages at;
    struct scoring scoring;
    int group, parts;
    bool vec;
    float *partials; /* (S, Hkv, parts): sums (FEW_ROWS, DP), maxima, totals (FEW_ROWS) */
    int *counters;   /* (S, Hkv) */
};

/* Narrow heads: four warps. Wide ones need the shared memory of two. */
template <int DP> struct shape {
    static const int warps = DP > 128 ? 2 : 4, threads = warps * 32;
    static const int stage = 2 * KEYS * tile<DP>::ld; /* keys and values, elements */
    static const int smem = (FEW_ROWS * tile<DP>::ld + warps * 2 * stage) * sizeof(bf16);
    static const int part = FEW_ROWS * (DP + 2); /* floats of a part */
};

/* A block's share of a sequence. */
struct share {
    int rows;         /* query rows; row = token * group + head within the group */
    int query;        /* position of the first new token */
    int begin, end;   /* keys, begin a multiple of KEYS */
    int start, hk;    /* first batch row, kv head */
    const int32_t *list; /* pages, or NULL */
};

LF_DEVICE struct share share_of(const struct decode_args &p, const struct lf_seq &seq)
{
    bool cached = seq.page_off >= 0;
    struct share s;
    s.rows = seq.n * p.group;
    s.query = cached ? seq.past : 0;
    s.start = seq.start;
    s.hk = blockIdx.y;
    s.list = cached ? p.at.pages + seq.page_off : NULL;
    int limit = s.query + seq.n;
    int low = p.a.window > 0 ? max(0, s.query - p.a.window + 1) / KEYS * KEYS : 0;
    int pages = (limit - low + KEYS - 1) / KEYS, each = (pages + p.parts - 1) / p.parts * KEYS;
    s.begin = low + blockIdx.x * each;
    s.end = min(s.begin + each, limit);
    return s;
}

/* Where the query rows of a share come from and go to: offsets into q, o and lse, and positions. In
 * shared memory, so that nobody divides by the group later. */
struct row_places {
    size_t q[FEW_ROWS], o[FEW_ROWS], lse[FEW_ROWS];
    int query[FEW_ROWS];
};

LF_DEVICE void find_places(struct row_places &r, const struct decode_args &p, const struct share &s)
{
    int row = threadIdx.x;
    if (row < FEW_ROWS) {
        size_t t = s.start + row / p.group, h = s.hk * p.group + row % p.group;
        r.q[row] = t * p.a.ldq + h * p.a.D;
        r.o[row] = t * p.a.ldo + h * p.a.D;
        r.lse[row] = t * p.a.H + h;
        r.query[row] = s.query + row / p.group;
    }
}

/* The query rows of a kv head: token i, head h of the group at row i * group + h. */
template <int DP>
LF_DEVICE void load_queries(bf16 *to, const struct decode_args &p, const struct row_places &r,
                            int rows)
{
#pragma unroll
    for (int i = threadIdx.x; i < FEW_ROWS * (DP / 8); i += shape<DP>::threads) {
        int row = i / (DP / 8), d = i % (DP / 8) * 8;
        uint4 v = make_uint4(0, 0, 0, 0);
        if (row < rows && d < p.a.D)
            v = words8((const bf16 *)p.a.q + r.q[row] + d, p.a.D - d, p.vec);
        *(uint4 *)(to + row * tile<DP>::ld + d) = v;
    }
}

/* load_sixteen of rows that do not lie in whole words. */
template <int DP>
static __device__ __noinline__ void load_sixteen_apart(bf16 *to, const bf16 *from, int ld, int n,
                                                       int D)
{
    for (int i = threadIdx.x % 32; i < KEYS * (DP / 8); i += 32) {
        int row = i / (DP / 8), d = i % (DP / 8) * 8;
        *(uint4 *)(to + row * tile<DP>::ld + d) =
            row < n && d < D ? words8(from + row * ld + d, D - d, false) : make_uint4(0, 0, 0, 0);
    }
}

/* Sixteen rows in a row from `from` on into shared memory; rows at or past n are zeros. `wide`
 * lanes are side by side in a row. */
template <int DP>
LF_DEVICE void load_sixteen(bf16 *to, const bf16 *from, int ld, int n, int D, bool vec)
{
    const int wide = DP / 8 & -(DP / 8), tall = 32 / wide;
    int row = threadIdx.x % 32 / wide, d = threadIdx.x % wide * 8;
    if (!vec) {
        load_sixteen_apart<DP>(to, from, ld, n, D);
        return;
    }
    const bf16 *at = from + row * ld + d;
    to += row * tile<DP>::ld + d;
#pragma unroll
    for (int i = 0; i < KEYS / tall; i++)
#pragma unroll
        for (int e = 0; e < DP; e += wide * 8) {
            bool there = row + i * tall < n && d + e < D;
            copy_async(to + i * tall * tile<DP>::ld + e, there ? at + i * tall * ld + e : from,
                       there);
        }
}

/* Asks for the page that starts at `key`, when the share has it. */
template <int DP>
LF_DEVICE void load_page(bf16 *stage, const struct decode_args &p, const struct share &s, int key)
{
    if (key < s.end) {
        size_t at = s.list ? page_row(s.list, key, p.a.Hkv, s.hk) * p.a.D
                           : (size_t)(s.start + key) * p.a.ldkv + (size_t)s.hk * p.a.D;
        int ld = s.list ? p.a.D : p.a.ldkv;
        const bf16 *k = (const bf16 *)(s.list ? p.a.k_pages : p.a.k) + at;
        const bf16 *v = (const bf16 *)(s.list ? p.a.v_pages : p.a.v) + at;
        load_sixteen<DP>(stage, k, ld, s.end - key, p.a.D, p.vec);
        load_sixteen<DP>(stage + KEYS * tile<DP>::ld, v, ld, s.end - key, p.a.D, p.vec);
    }
    copy_async_commit();
}

/* Asks L2 for this warp's further pages of past tokens. */
template <int DP>
LF_DEVICE void prefetch_pages(const struct decode_args &p, const struct share &s, int first)
{
    int key = first + (threadIdx.x % 32 + 1) * shape<DP>::warps * KEYS;
    if (key + KEYS > s.query || key >= s.end || p.a.D % 8 != 0)
        return;
    size_t at = page_row(s.list, key, p.a.Hkv, s.hk) * p.a.D;
    prefetch_l2((const bf16 *)p.a.k_pages + at, KEYS * p.a.D * sizeof(bf16));
    prefetch_l2((const bf16 *)p.a.v_pages + at, KEYS * p.a.D * sizeof(bf16));
}

/* This warp's keys: every warps-th page of the share. The first is asked for already. */
template <int DP>
LF_DEVICE void attend(struct running<DP> &r, const struct decode_args &p, const struct share &s,
                      const struct row_places &places, const bf16 *q, bf16 *ring)
{
    const int step = shape<DP>::warps * KEYS;
    int key = s.begin + threadIdx.x / 32 * KEYS, row = threadIdx.x % 32 / 4;
    const int query[2] = {places.query[row], places.query[row + 8]};
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

/* Running softmaxes that are to be joined: sums (n, FEW_ROWS, DP), maxima and totals
 * (n, FEW_ROWS), each part a step after the one before; in shared or global memory. */
struct parts {
    const float *sums, *max, *total;
    int n, sums_step, stats_step;
};

/* What joining a row takes; in shared memory. */
struct joint {
    float weight[PARTS_MAX][FEW_ROWS]; /* 2^(maximum of the part - maximum) */
    float max[FEW_ROWS], total[FEW_ROWS];
};

/* Works out the weights: a warp a row, a lane two parts. Ends with a barrier. */
template <int warps>
LF_DEVICE void weigh(struct joint &j, const struct parts &p, int rows)
{
    int lane = threadIdx.x % 32;
    for (int row = threadIdx.x / 32; row < rows; row += warps) {
        float max[2], total[2], sum = 0.0f;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int at = (lane + 32 * i) * p.stats_step + row;
            bool there = lane + 32 * i < p.n;
            max[i] = there ? p.max[at] : NO_SCORE;
            total[i] = there ? p.total[at] : 0.0f;
        }
        float most = warp_max(fmaxf(max[0], max[1]));
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float weight = exp2_fast(max[i] - most);
            sum += weight * total[i];
            if (lane + 32 * i < p.n)
                j.weight[lane + 32 * i][row] = weight;
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            j.max[row] = most;
            j.total[row] = sum;
        }
    }
    __syncthreads();
}

/* Two dims of a row. */
template <int DP>
LF_DEVICE float2 join(const struct joint &j, const struct parts &p, int row, int d)
{
    float2 sum = make_float2(0.0f, 0.0f);
    const float *from = p.sums + row * DP + d;
#pragma unroll 8
    for (int i = 0; i < p.n; i++) {
        float2 v = *(const float2 *)(from + i * p.sums_step);
        sum.x += j.weight[i][row] * v.x;
        sum.y += j.weight[i][row] * v.y;
    }
    return sum;
}

LF_DEVICE void put_output(const struct decode_args &p, const struct row_places &to,
                          const struct joint &j, int row, int d, float2 sum)
{
    float inverse = __fdividef(1.0f, j.total[row]);
    bf16 *o = (bf16 *)p.a.o + to.o[row] + d;
    if (d < p.a.D)
        o[0] = __float2bfloat16_rn(sum.x * inverse);
    if (d + 1 < p.a.D)
        o[1] = __float2bfloat16_rn(sum.y * inverse);
    if (d == 0 && p.a.lse)
        p.a.lse[to.lse[row]] = (j.max[row] + __log2f(j.total[row])) * LN2;
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
    return {smem, max, total, warps, FEW_ROWS * DP, FEW_ROWS};
}

/* Joins the blocks' parts, as the last of them. */
template <int DP>
LF_DEVICE void finish(struct joint &j, const struct decode_args &p, const struct row_places &to,
                      int rows, const float *all)
{
    struct parts blocks = {all, all + FEW_ROWS * DP, all + FEW_ROWS * (DP + 1), p.parts,
                           shape<DP>::part, shape<DP>::part};
    weigh<shape<DP>::warps>(j, blocks, rows);
    for (int i = threadIdx.x; i < rows * (DP / 2); i += shape<DP>::threads) {
        int row = i / (DP / 2), d = i % (DP / 2) * 2;
        put_output(p, to, j, row, d, join<DP>(j, blocks, row, d));
    }
}

/* Grid: parts, kv heads, sequences. What the batch is (seqs, pages) was uploaded before any kernel
 * of the run began, and pages of past tokens alone were written by earlier runs: both may be read
 * before grid_wait. */
template <int DP>
static __global__ void __launch_bounds__(shape<DP>::threads)
    decode_kernel(const __grid_constant__ struct decode_args p)
{
    __shared__ struct joint joint;
    __shared__ struct row_places places;
    bf16 *q = (bf16 *)dynamic_smem(), *ring = q + FEW_ROWS * tile<DP>::ld;
    bf16 *mine = ring + threadIdx.x / 32 * 2 * shape<DP>::stage;
    const struct lf_seq seq = p.at.seqs[blockIdx.z];
    if (seq.n <= 0 || !few_rows(seq.n, p.group)) {
        grid_wait();
        return;
    }
    struct share s = share_of(p, seq);
    find_places(places, p, s);
    int first = s.begin + threadIdx.x / 32 * KEYS;
    bool past = s.list && first + KEYS <= s.query;
    if (past) {
        load_page<DP>(mine, p, s, first);
        prefetch_pages<DP>(p, s, first);
    }
    __syncthreads();
    grid_wait();
    if (!past)
        load_page<DP>(mine, p, s, first);
    load_queries<DP>(q, p, places, s.rows);
    __syncthreads();
    struct running<DP> r = {{NO_SCORE, NO_SCORE}, {}, {}};
    attend<DP>(r, p, s, places, q, mine);
    struct parts warps = put_warp<DP>((float *)ring, r);
    weigh<shape<DP>::warps>(joint, warps, s.rows);
    int pair = blockIdx.z * p.a.Hkv + blockIdx.y;
    float *all = p.partials + (size_t)pair * p.parts * shape<DP>::part;
    float *part = all + blockIdx.x * shape<DP>::part;
    for (int i = threadIdx.x; i < s.rows * (DP / 2); i += shape<DP>::threads) {
        int row = i / (DP / 2), d = i % (DP / 2) * 2;
        float2 sum = join<DP>(joint, warps, row, d);
        if (p.parts == 1)
            put_output(p, places, joint, row, d, sum);
        else
            *(float2 *)(part + row * DP + d) = sum;
    }
    if (p.parts == 1)
        return;
    if ((int)threadIdx.x < s.rows) {
        part[FEW_ROWS * DP + threadIdx.x] = joint.max[threadIdx.x];
        part[FEW_ROWS * (DP + 1) + threadIdx.x] = joint.total[threadIdx.x];
    }
    if (last_to_arrive(&p.counters[pair], p.parts))
        finish<DP>(joint, p, places, s.rows, all);
}

/* Parts for each sequence: enough blocks to fill the card, none with very few keys. */
static int parts_for(const struct lf_stream *s, const struct lf_attn_args *a, size_t part_bytes)
{
    int64_t pairs = (int64_t)a->batch->S * a->Hkv, keys = a->batch->kv_max;
    if (a->window > 0 && keys > a->window + 2 * KEYS)
        keys = a->window + 2 * KEYS;
    if (keys <= ALONE_KEYS)
        return 1;
    int64_t parts = 3 * lf_cuda_of(s)->dev->units / pairs, most = lf_div_up(keys, PART_KEYS_MIN);
    parts = parts < most ? parts : most;
    most = (int64_t)(LF_CUDA_PARTIALS / part_bytes) / pairs;
    parts = parts < most ? parts : most;
    parts = parts < PARTS_MAX ? parts : PARTS_MAX;
    return parts > 1 && pairs <= LF_CUDA_COUNTERS ? (int)parts : 1;
}

template <int DP> static void launch(struct lf_stream *s, struct decode_args *p)
{
    p->parts = parts_for(s, &p->a, shape<DP>::part * sizeof(float));
    dim3 grid(p->parts, p->a.Hkv, p->a.batch->S);
    lf_launch<decode_kernel<DP>>(s, grid, shape<DP>::threads, shape<DP>::smem, *p);
}

void lf_cuda_attn_decode(struct lf_stream *s, const struct lf_attn_args *a)
{
    struct decode_args p = {*a, kv_pages_of(a->batch), scoring_of(a->scale, a->softcap, a->window),
                            a->H / a->Hkv, 1, false, lf_cuda_of(s)->partials,
                            lf_cuda_of(s)->counters};
    p.vec = lf_eights(a->q, a->ldq, a->D) && lf_eights(a->k, a->ldkv, a->D) &&
            lf_eights(a->v, a->ldkv, a->D) && lf_eights(a->k_pages, 8, 8) &&
            lf_eights(a->v_pages, 8, 8);
    LF_FOR_HEAD_WIDTH(a->D, launch, s, &p);
}
