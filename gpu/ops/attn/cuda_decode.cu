/* Attention of a few new tokens (decoding). Bound by memory, which reads every key and value once;
 * with few sequences, by the latency of reading one part of a sequence.
 *
 * All query heads of a kv head, for all new tokens, are the 16 rows of one tile, so a key is read
 * once for all of them. A sequence's keys are cut into parts, one a block, so that few sequences
 * fill the card too, and the blocks of many end at the same time; the warps of a block take sixteen
 * keys (a page) at a time, with two pages in flight, each warp with its own running softmax. The
 * warps' results are joined in shared memory; the last block of a sequence and head to finish joins
 * the parts, in order.
 *
 * In a decoding step this kernel also applies rope to queries and keys and writes the new keys and
 * values into their pages, while past pages are being read: that saves a launch of its own.
 *
 * Floor: 4 D bytes a key. Tried and slower: prefetching a warp's later pages into L2 at the start
 * (at 32 sequences of 4096 keys a fifth of them was evicted before it was read: 203 us, 169
 * without); three pages in flight where each block is alone on its multiprocessor (1%, and half a
 * microsecond more with one sequence).
 */
#include "gpu/ops/attn/tile.cuh"
#include "gpu/ops/rope/turn.cuh"

#define KEYS LF_KV_PAGE_TOKENS
#define STAGES 2 /* pages of a warp in flight */
#define PART_KEYS_MIN 64
#define ALONE_KEYS 256 /* up to so many are one part: less than joining parts costs */
#define PARTS_MAX 64
#define PART_COST 128  /* keys that could be read while a block begins and ends */
#define BLOCKS_MAX 4   /* on a multiprocessor, by registers */
#define SMEM_KEPT 1024 /* bytes of shared memory that the driver keeps for a block */

struct decode_args {
    struct lf_attn_args a;
    struct kv_pages at;
    struct scoring scoring;
    const int32_t *pos; /* a step: rows of the tables that turn each token; NULL: all is turned */
    const float *cos_, *sin_;
    bf16 *k_to, *v_to; /* a step: the pages, for its new keys and values */
    int group, parts;
    bool vec;
    int n_max;       /* tokens of a sequence */
    float *partials; /* (S, Hkv, parts): sums (FEW_ROWS, DP), maxima, totals (FEW_ROWS) */
    int *counters;   /* (S, Hkv) */
};

/* Keys and values of a page in shared memory, elements. */
template <int DP> static const int stage_of = 2 * KEYS *tile<DP>::ld;

/* Narrow heads: four warps; wide ones need the shared memory of two. `alone`, where each block has
 * a multiprocessor to itself: twice as many. */
template <int DP, bool alone> struct shape {
    static const int warps = (DP > 128 ? 2 : 4) * (alone ? 2 : 1), threads = warps * 32;
    static const int part = FEW_ROWS * (DP + 2); /* floats of a part */
};

/* A block's share of a sequence. */
struct share {
    int rows;            /* query rows; row = token * group + head within the group */
    int query;           /* position of the first new token */
    int begin, end;      /* keys, begin a multiple of KEYS */
    int start, hk;       /* first batch row, kv head */
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
    int pages = (limit - low + KEYS - 1) / KEYS;
    int each = small_div(pages + p.parts - 1, p.parts);
    s.begin = low + blockIdx.x * each * KEYS;
    s.end = min(s.begin + each * KEYS, limit);
    return s;
}

/* Where the query rows of a share come from and go to: offsets into q, o and lse, positions, and
 * rows of the tables that turn them. In shared memory, so that nobody divides by the group later.
 */
struct row_places {
    size_t q[FEW_ROWS], o[FEW_ROWS], lse[FEW_ROWS];
    int query[FEW_ROWS], turn[FEW_ROWS];
};

LF_DEVICE void find_places(struct row_places &r, const struct decode_args &p, const struct share &s)
{
    int row = threadIdx.x;
    if (row < FEW_ROWS) {
        int token = small_div(row, p.group);
        size_t t = s.start + token, h = s.hk * p.group + row - token * p.group;
        r.q[row] = t * p.a.ldq + h * p.a.D;
        r.o[row] = t * p.a.ldo + h * p.a.D;
        r.lse[row] = t * p.a.H + h;
        r.query[row] = s.query + token;
        r.turn[row] = p.pos && row < s.rows ? p.pos[t] : 0;
    }
}

/* The query rows of a kv head: token i, head h of the group at row i * group + h. */
template <int DP, int threads>
LF_DEVICE void load_queries(bf16 *to, const struct decode_args &p, const struct row_places &r,
                            int rows)
{
#pragma unroll
    for (int i = threadIdx.x; i < FEW_ROWS * (DP / 8); i += threads) {
        int row = i / (DP / 8), d = i % (DP / 8) * 8;
        uint4 v = make_uint4(0, 0, 0, 0);
        if (row < rows && d < p.a.D)
            v = words8((const bf16 *)p.a.q + r.q[row] + d, p.a.D - d, p.vec);
        *(uint4 *)(to + row * tile<DP>::ld + d) = v;
    }
}

/* A step's new keys and values of a share: those of its tokens [first, first + n), one after
 * another in shared memory, keys before values. */
struct fresh {
    bf16 *at;
    int first, n;
};

LF_DEVICE struct fresh fresh_of(const struct decode_args &p, const struct share &s, bf16 *at)
{
    int from = max(s.begin, s.query), n = p.pos && s.list ? max(s.end - from, 0) : 0;
    return {at, from - s.query, n};
}

/* The key or value of a new token in the batch, and where it lies in its page. */
LF_DEVICE const bf16 *new_row(const struct decode_args &p, const struct share &s, const void *rows,
                              int token)
{
    return (const bf16 *)rows + (size_t)(s.start + token) * p.a.ldkv + s.hk * p.a.D;
}

LF_DEVICE size_t page_of(const struct decode_args &p, const struct share &s, int token)
{
    return page_row(s.list, s.query + token, p.a.Hkv, s.hk) * p.a.D;
}

/* Pairs d .. d + 8 of a row, turned; `row` is at the first. */
LF_DEVICE void turned(uint4 &first, uint4 &second, const struct decode_args &p, const bf16 *row,
                      int position, int d)
{
    int half = p.a.D / 2;
    size_t table = (size_t)position * half + d;
    float u[8], v[8];
    load8(u, row, 8, true);
    load8(v, row + half, 8, true);
    turn8(u, v, p.cos_ + table, p.sin_ + table, 8, true, false);
    store8((bf16 *)&first, u, 8, true);
    store8((bf16 *)&second, v, 8, true);
}

/* A step's query rows, turned, into q; its new keys, turned, and values into fresh and into their
 * pages. q is zero before. */
template <int DP, int threads>
LF_DEVICE void turn_rows(bf16 *q, const struct fresh &f, const struct decode_args &p,
                         const struct share &s, const struct row_places &r)
{
    const int runs = DP / 16, words = DP / 8;
    int half = p.a.D / 2;
#pragma unroll 1
    for (int i = threadIdx.x; i < (s.rows + f.n) * runs; i += threads) {
        int row = i / runs, d = i % runs * 8, new_key = row - s.rows, token = f.first + new_key;
        bool query = row < s.rows;
        const bf16 *from = query ? (const bf16 *)p.a.q + r.q[row] : new_row(p, s, p.a.k, token);
        bf16 *to = query ? q + row * tile<DP>::ld : f.at + new_key * tile<DP>::ld;
        uint4 u, v;
        if (d >= half)
            continue;
        turned(u, v, p, from + d, r.turn[query ? row : token * p.group], d);
        *(uint4 *)(to + d) = u;
        *(uint4 *)(to + d + half) = v;
        if (!query) {
            to = p.k_to + page_of(p, s, token);
            *(uint4 *)(to + d) = u;
            *(uint4 *)(to + d + half) = v;
        }
    }
#pragma unroll 1
    for (int i = threads - 1 - threadIdx.x; i < f.n * words; i += threads) {
        int new_key = i / words, d = i % words * 8, token = f.first + new_key;
        if (d >= p.a.D)
            continue;
        uint4 word = *(const uint4 *)(new_row(p, s, p.a.v, token) + d);
        *(uint4 *)(f.at + (f.n + new_key) * tile<DP>::ld + d) = word;
        *(uint4 *)(p.v_to + page_of(p, s, token) + d) = word;
    }
}

/* The new keys and values of the page that starts at `key` into its stage. */
template <int DP>
LF_DEVICE void add_fresh(bf16 *stage, const struct fresh &f, const struct decode_args &p,
                         const struct share &s, int key)
{
    const int words = DP / 8;
    int first = s.query + f.first - key;
#pragma unroll 1
    for (int i = threadIdx.x % 32; i < f.n * words; i += 32) {
        int n = i / words, d = i % words * 8, row = first + n;
        if (row < 0 || row >= KEYS || d >= p.a.D)
            continue;
        bf16 *to = stage + row * tile<DP>::ld + d;
        *(uint4 *)to = *(const uint4 *)(f.at + n * tile<DP>::ld + d);
        *(uint4 *)(to + KEYS * tile<DP>::ld) =
            *(const uint4 *)(f.at + (f.n + n) * tile<DP>::ld + d);
    }
    __syncwarp();
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

/* Asks for the page that starts at `key`, when the share has it; of a step's, for the past keys. */
template <int DP>
LF_DEVICE void load_page(bf16 *stage, const struct decode_args &p, const struct share &s, int key)
{
    if (key < s.end) {
        int n = (p.pos && s.list ? min(s.end, s.query) : s.end) - key;
        size_t at = s.list ? page_row(s.list, key, p.a.Hkv, s.hk) * p.a.D
                           : (size_t)(s.start + key) * p.a.ldkv + (size_t)s.hk * p.a.D;
        int ld = s.list ? p.a.D : p.a.ldkv;
        const bf16 *k = (const bf16 *)(s.list ? p.a.k_pages : p.a.k) + at;
        const bf16 *v = (const bf16 *)(s.list ? p.a.v_pages : p.a.v) + at;
        load_sixteen<DP>(stage, k, ld, n, p.a.D, p.vec);
        load_sixteen<DP>(stage + KEYS * tile<DP>::ld, v, ld, n, p.a.D, p.vec);
    }
    copy_async_commit();
}

/* A warp's pages of a share: the warps of a block take its pages in turn. */
struct pages_of_warp {
    int first, step; /* in keys: the first page, and from each page to the next */
    bf16 *ring;      /* its stages */
};

/* The page that starts at `key` may be read before grid_wait: it is of past tokens, or only its
 * past tokens are asked for. */
LF_DEVICE bool is_past(const struct decode_args &p, const struct share &s, int key)
{
    return s.list && (p.pos || key + KEYS <= s.query);
}

/* Asks for the warp's first pages, those that are past or the others. */
template <int DP>
LF_DEVICE void load_first(const struct decode_args &p, const struct share &s,
                          const struct pages_of_warp &w, bool past)
{
#pragma unroll 1
    for (int i = 0; i < STAGES; i++)
        if (is_past(p, s, w.first + i * w.step) == past)
            load_page<DP>(w.ring + i * stage_of<DP>, p, s, w.first + i * w.step);
}

/* This warp's keys. The first pages are asked for already. */
template <int DP>
LF_DEVICE void attend(struct running<DP> &r, const struct decode_args &p, const struct share &s,
                      const struct row_places &places, const bf16 *q, const struct pages_of_warp &w,
                      const struct fresh &f)
{
    int row = threadIdx.x % 32 / 4;
    const int query[2] = {places.query[row], places.query[row + 8]};
    for (int key = w.first, stage = 0; key < s.end; key += w.step) {
        bf16 *k = w.ring + stage * stage_of<DP>;
        copy_async_wait<STAGES - 1>();
        __syncwarp();
        if (f.n > 0 && key + KEYS > s.query)
            add_fresh<DP>(k, f, p, s, key);
        float scores[2][4];
        products<DP>(scores, q, 0, k);
        soften<DP>(r, scores, p.scoring, query, key, s.end);
        add_products<DP>(r.o, scores, k + KEYS * tile<DP>::ld, 0);
        __syncwarp(); /* before the page is overwritten */
        load_page<DP>(k, p, s, key + STAGES * w.step);
        stage = stage + 1 < STAGES ? stage + 1 : 0;
    }
    copy_async_wait<0>();
}

/* Running softmaxes that are to be joined: sums (n, FEW_ROWS, DP), maxima and totals
 * (n, FEW_ROWS), each part a step after the one before; in shared or global memory. */
struct parts {
    const float *sums, *max, *total;
    int n, sums_step, stats_step;
};

/* Two dims of a row, with the maximum and total that belong to them. */
struct joined {
    float2 sum;
    float max, total;
};

template <int DP> LF_DEVICE struct joined join(const struct parts &p, int row, int d)
{
    struct joined j = {make_float2(0.0f, 0.0f), NO_SCORE, 0.0f};
#pragma unroll 8
    for (int i = 0; i < p.n; i++)
        j.max = fmaxf(j.max, p.max[i * p.stats_step + row]);
#pragma unroll 8
    for (int i = 0; i < p.n; i++) {
        float weight = exp2_fast(p.max[i * p.stats_step + row] - j.max);
        float2 v = *(const float2 *)(p.sums + i * p.sums_step + row * DP + d);
        j.total += weight * p.total[i * p.stats_step + row];
        j.sum.x += weight * v.x;
        j.sum.y += weight * v.y;
    }
    return j;
}

LF_DEVICE void put_output(const struct decode_args &p, const struct row_places &to,
                          const struct joined &j, int row, int d)
{
    float inverse = __fdividef(1.0f, j.total);
    bf16 *o = (bf16 *)p.a.o + to.o[row] + d;
    if (d < p.a.D)
        o[0] = __float2bfloat16_rn(j.sum.x * inverse);
    if (d + 1 < p.a.D)
        o[1] = __float2bfloat16_rn(j.sum.y * inverse);
    if (d == 0 && p.a.lse)
        p.a.lse[to.lse[row]] = (j.max + __log2f(j.total)) * LN2;
}

/* The warps' softmaxes in shared memory: sums (warps, FEW_ROWS, DP), then maxima, then totals. */
template <int DP, int warps>
LF_DEVICE struct parts put_warp(float *smem, const struct running<DP> &r, int rows)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *max = smem + warps * FEW_ROWS * DP, *total = max + warps * FEW_ROWS;
    __syncthreads(); /* the pages that were here are read */
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int row = lane / 4 + 8 * h;
        float sum = row_total(r.sum[h]);
        if (row >= rows)
            continue;
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

/* What each part of a row counts, and what they all add up to. In shared memory. */
struct part_weights {
    float of[FEW_ROWS][PARTS_MAX];
    float max[FEW_ROWS], total[FEW_ROWS];
};

/* Finds them, a warp a row; ends with a barrier. */
template <int DP, int threads>
LF_DEVICE void weigh(struct part_weights &w, const float *all, int parts, int rows)
{
    const int part = FEW_ROWS * (DP + 2), each = PARTS_MAX / 32;
    for (int row = threadIdx.x / 32; row < rows; row += threads / 32) {
        float max[each], most = NO_SCORE, total = 0.0f;
#pragma unroll
        for (int k = 0; k < each; k++) {
            int i = k * 32 + threadIdx.x % 32;
            max[k] = i < parts ? __ldcg(all + i * part + FEW_ROWS * DP + row) : NO_SCORE;
            most = fmaxf(most, max[k]);
        }
        most = warp_max(most);
#pragma unroll
        for (int k = 0; k < each; k++) {
            int i = k * 32 + threadIdx.x % 32;
            float weight = exp2_fast(max[k] - most);
            w.of[row][i] = weight;
            if (i < parts)
                total += weight * __ldcg(all + i * part + FEW_ROWS * (DP + 1) + row);
        }
        w.max[row] = most;
        w.total[row] = warp_sum(total);
    }
    __syncthreads();
}

/* Joins the blocks' parts, as the last of them; a thread four dims. */
template <int DP, int threads>
LF_DEVICE void finish(struct part_weights &w, const struct decode_args &p,
                      const struct row_places &to, int rows, const float *all)
{
    const int part = FEW_ROWS * (DP + 2);
    weigh<DP, threads>(w, all, p.parts, rows);
    for (int i = threadIdx.x; i < rows * (DP / 4); i += threads) {
        int row = i / (DP / 4), d = i % (DP / 4) * 4;
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 8
        for (int k = 0; k < p.parts; k++) {
            float4 v = __ldcg((const float4 *)(all + k * part + row * DP + d));
            float weight = w.of[row][k];
            sum.x += weight * v.x, sum.y += weight * v.y;
            sum.z += weight * v.z, sum.w += weight * v.w;
        }
        put_output(p, to, {make_float2(sum.x, sum.y), w.max[row], w.total[row]}, row, d);
        put_output(p, to, {make_float2(sum.z, sum.w), w.max[row], w.total[row]}, row, d + 2);
    }
}

/* Grid: parts, kv heads, sequences. What the batch is (seqs, pages, positions) was uploaded before
 * any kernel of the run began, and what pages hold of past tokens was written by earlier runs: both
 * may be read before grid_wait. */
template <int DP, bool alone>
static __global__ void __launch_bounds__(shape<DP, alone>::threads)
    decode_kernel(const __grid_constant__ struct decode_args p)
{
    typedef struct shape<DP, alone> shape;
    __shared__ struct row_places places;
    bf16 *q = (bf16 *)dynamic_smem(), *ring = q + FEW_ROWS * tile<DP>::ld;
    const struct lf_seq seq = p.at.seqs[blockIdx.z];
    if (seq.n <= 0 || !few_rows(seq.n, p.group)) {
        grid_wait();
        return;
    }
    int warp = threadIdx.x / 32;
    struct share s = share_of(p, seq);
    struct fresh f = fresh_of(p, s, ring + shape::warps * STAGES * stage_of<DP>);
    struct pages_of_warp w = {s.begin + warp * KEYS, shape::warps * KEYS,
                              ring + warp * STAGES * stage_of<DP>};
    load_first<DP>(p, s, w, true);
    find_places(places, p, s);
    if (p.pos)
        for (int i = threadIdx.x; i < FEW_ROWS * tile<DP>::ld / 8; i += shape::threads)
            ((uint4 *)q)[i] = make_uint4(0, 0, 0, 0);
    __syncthreads();
    grid_wait();
    if (!p.pos || !s.list)
        load_first<DP>(p, s, w, false);
    if (p.pos)
        turn_rows<DP, shape::threads>(q, f, p, s, places);
    else
        load_queries<DP, shape::threads>(q, p, places, s.rows);
    __syncthreads();
    struct running<DP> r = {
        {NO_SCORE, NO_SCORE}, {},
        {
        }
    };
    attend<DP>(r, p, s, places, q, w, f);
    struct parts warps = put_warp<DP, shape::warps>((float *)ring, r, s.rows);
    int pair = blockIdx.z * p.a.Hkv + blockIdx.y;
    float *all = p.partials + (size_t)pair * p.parts * shape::part;
    float *part = all + blockIdx.x * shape::part;
    for (int i = threadIdx.x; i < s.rows * (DP / 2); i += shape::threads) {
        int row = i / (DP / 2), d = i % (DP / 2) * 2;
        struct joined j = join<DP>(warps, row, d);
        if (p.parts == 1) {
            put_output(p, places, j, row, d);
            continue;
        }
        *(float2 *)(part + row * DP + d) = j.sum;
        if (d == 0) {
            part[FEW_ROWS * DP + row] = j.max;
            part[FEW_ROWS * (DP + 1) + row] = j.total;
        }
    }
    if (p.parts > 1 && last_to_arrive(&p.counters[pair], p.parts))
        finish<DP, shape::threads>(*(struct part_weights *)ring, p, places, s.rows, all);
}

/* Queries, the warps' pages, and a step's new keys and values. */
template <int DP, bool alone> static int smem_bytes(const struct decode_args &p)
{
    typedef struct shape<DP, alone> shape;
    int fresh = p.pos ? p.n_max : 0;
    int rows = FEW_ROWS + 2 * fresh, stages = shape::warps * STAGES;
    return (rows * tile<DP>::ld + stages * stage_of<DP>)*(int)sizeof(bf16);
}

/* Parts for each sequence: those with which the card, which has up to `each` blocks on a
 * multiprocessor, is done first. Blocks that fill no whole round are not spread evenly, so a round
 * takes as long as `each` blocks one after another. */
static int parts_for(const struct lf_stream *s, const struct lf_attn_args *a, int each,
                     size_t part_bytes)
{
    int64_t pairs = (int64_t)a->batch->S * a->Hkv, keys = a->batch->kv_max, least = INT64_MAX;
    int units = lf_cuda_of(s)->dev->units, best = 1;
    if (a->window > 0 && keys > a->window + 2 * KEYS)
        keys = a->window + 2 * KEYS;
    if (keys <= ALONE_KEYS || pairs > LF_CUDA_COUNTERS)
        return 1;
    for (int parts = 1; parts <= PARTS_MAX && keys >= (int64_t)parts * PART_KEYS_MIN; parts++) {
        int64_t blocks = pairs * parts;
        int64_t rounds = blocks <= units ? 1 : each * (int64_t)lf_div_up(blocks, each * units);
        int64_t time = rounds * (keys / parts + PART_COST);
        if (parts > 1 && blocks * (int64_t)part_bytes > (int64_t)LF_CUDA_PARTIALS)
            break;
        if (time < least) {
            least = time;
            best = parts;
        }
    }
    return best;
}

template <int DP, bool alone>
static void launch_shape(struct lf_stream *s, const struct decode_args *p)
{
    dim3 grid(p->parts, p->a.Hkv, p->a.batch->S);
    lf_launch<decode_kernel<DP, alone>>(s, grid, shape<DP, alone>::threads,
                                        smem_bytes<DP, alone>(*p), *p);
}

template <int DP> static void launch(struct lf_stream *s, struct decode_args *p)
{
    const struct lf_cuda *dev = lf_cuda_of(s)->dev;
    int each = (dev->smem_block + SMEM_KEPT) / (smem_bytes<DP, false>(*p) + SMEM_KEPT);
    each = each < BLOCKS_MAX ? each : BLOCKS_MAX;
    p->parts = parts_for(s, &p->a, each, shape<DP, false>::part * sizeof(float));
    bool alone = p->parts * p->a.Hkv * p->a.batch->S <= dev->units &&
                 smem_bytes<DP, true>(*p) <= dev->smem_block;
    if (alone)
        launch_shape<DP, true>(s, p);
    else
        launch_shape<DP, false>(s, p);
}

static bool in_words(const struct lf_attn_args *a)
{
    return lf_eights(a->q, a->ldq, a->D) && lf_eights(a->k, a->ldkv, a->D) &&
           lf_eights(a->v, a->ldkv, a->D) && lf_eights(a->k_pages, 8, 8) &&
           lf_eights(a->v_pages, 8, 8);
}

/* Tokens of a sequence that this kernel takes, at the most. In a recorded step those of later
 * batches count, too: n_max bounds them. */
static int most_tokens(const struct lf_ragged *b, int group)
{
    int most = 0;
    if (few_rows(b->n_max, group))
        return b->n_max;
    for (int i = 0; i < b->S; i++)
        if (few_rows(b->h_seqs[i].n, group) && b->h_seqs[i].n > most)
            most = b->h_seqs[i].n;
    return most;
}

static struct decode_args args_of(struct lf_stream *s, const struct lf_attn_args *a)
{
    struct decode_args p = {};
    p.a = *a;
    p.at = kv_pages_of(a->batch);
    p.scoring = scoring_of(a->scale, a->softcap, a->window);
    p.group = a->H / a->Hkv;
    p.partials = lf_cuda_of(s)->partials;
    p.counters = lf_cuda_of(s)->counters;
    p.n_max = most_tokens(a->batch, p.group);
    p.vec = in_words(a);
    return p;
}

void lf_cuda_attn_decode(struct lf_stream *s, const struct lf_attn_args *a)
{
    struct decode_args p = args_of(s, a);
    LF_FOR_HEAD_WIDTH(a->D, launch, s, &p);
}

bool lf_cuda_attn_takes_step(const struct lf_rope_args *r, const struct lf_attn_args *a)
{
    return in_words(a) && a->batch->T_cached == a->batch->T && r->rot == a->D && a->D % 16 == 0 &&
           lf_eights(r->cos_, 8, 8) && lf_eights(r->sin_, 8, 8);
}

void lf_cuda_attn_step(struct lf_stream *s, const struct lf_rope_args *r,
                       const struct lf_kv_write_args *w, const struct lf_attn_args *a)
{
    struct decode_args p = args_of(s, a);
    p.pos = r->pos;
    p.cos_ = r->cos_;
    p.sin_ = r->sin_;
    p.k_to = (bf16 *)w->k_pages;
    p.v_to = (bf16 *)w->v_pages;
    LF_FOR_HEAD_WIDTH(a->D, launch, s, &p);
}
