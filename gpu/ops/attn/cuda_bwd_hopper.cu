/* Attention backward on Hopper (hopper.cuh): dk and dv, then dq, each by one kernel of the same
 * shape. The scores are made in both from q, k and the forward's log-sum-exp: seven products for
 * the five that one kernel would need, but no element has two owners, nothing is kept between
 * them, and a sum over blocks in a fixed order is not waited for.
 *
 * A block owns 128 rows of a head, 64 for each computing warpgroup: keys (k, v, for dk and dv) or
 * queries (q and dO, for dq). Of the others 64 rows at a time pass by: the queries of all query
 * heads of the kv head, or the keys. A warpgroup's scores s and dp are (64 owned) x (64 passing);
 * they are fragments of the products that follow, since the owned rows are those of the result:
 *
 *   p = exp(s - lse),  ds = p (dp - delta),  dv += p dO,  dk += ds q,  or  dq += ds k
 */
#include "gpu/ops/attn/hopper.cuh"

#define ROWS 64 /* that pass by at a time */
#define STAGES 4

struct bwd_args {
    CUtensorMap q, d_o, k, v; /* boxes of ROWS rows */
    struct lf_attn_bwd_args a;
    struct scoring scoring;
    struct tile_list list;
    int items;
    int *counter;
};

/* What a block works on: rows [own, own + n_own) of a sequence, and what passes by: for each of
 * `heads` query heads from `head` on, `steps` times 64 rows from `first` on. */
struct item {
    int start, n; /* the sequence's rows of the batch; n 0: there is no more */
    int own, n_own;
    int head, heads;
    int first, steps;
};

template <int DP> struct stage {
    unsigned char x[ROWS * DP * 2], y[ROWS * DP * 2]; /* q and dO, or k and v */
    float lse[ROWS], delta[ROWS];                     /* of queries that pass by */
    unsigned char gap[WGMMA_ALIGN - 2 * ROWS * sizeof(float)];
};

template <int DP> struct shared {
    unsigned char x[BLOCK * DP * 2], y[BLOCK * DP * 2]; /* k and v, or q and dO */
    struct stage<DP> stage[STAGES];
    uint64_t own_full, own_empty, full[STAGES], empty[STAGES], item_full, item_empty;
    struct item item;
};

/* ---- The carrier ----------------------------------------------------------------------------- */

template <bool keys> LF_DEVICE struct item item_at(const struct bwd_args &p, int number)
{
    if (number >= p.items)
        return {};
    int heads = keys ? p.a.Hkv : p.a.H, window = p.a.window;
    struct tile_at at = find_tile(p.list, number / heads);
    const struct lf_seq seq = p.list.seqs[at.seq];
    struct item w;
    int head = number % heads, end;
    w.start = seq.start;
    w.n = seq.n;
    w.own = at.tile * BLOCK;
    w.n_own = min(BLOCK, seq.n - w.own);
    w.heads = keys ? p.a.H / p.a.Hkv : 1;
    w.head = head * w.heads;
    if (keys) {
        w.first = w.own;
        end = window > 0 ? min(seq.n, w.own + w.n_own - 1 + window) : seq.n;
    } else {
        w.first = window > 0 ? max(0, w.own - window + 1) / ROWS * ROWS : 0;
        end = w.own + w.n_own;
    }
    w.steps = (end - w.first + ROWS - 1) / ROWS;
    return w;
}

LF_DEVICE struct head_rows rows_of(const void *x, const struct item &w, int ld, int head, int D)
{
    return {(const bf16 *)x + (size_t)w.start * ld + (size_t)head * D, NULL, NULL, ld, 0, head, D};
}

/* Four bytes of global memory into shared memory, or zeros. */
LF_DEVICE void copy_async4(void *to, const void *from, bool valid)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    int bytes = valid ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(bytes)
                 : "memory");
}

/* Of queries from `first` on; those past the sequence are zeros like their rows. */
template <int DP>
LF_DEVICE void carry_stats(struct stage<DP> &to, const struct bwd_args &p, const struct item &w,
                           int head, int first)
{
    int i = threadIdx.x % ROWS, query = min(first + i, w.n - 1);
    size_t at = (size_t)(w.start + query) * p.a.H + head;
    if (threadIdx.x % WARPGROUP < ROWS)
        copy_async4(&to.lse[i], p.a.lse + at, first + i < w.n);
    else
        copy_async4(&to.delta[i], p.a.delta + at, first + i < w.n);
}

/* Rows of one head, twice: q and dO, or k and v. */
struct two_rows {
    struct head_rows x, y;
    const CUtensorMap &x_map, &y_map;
};

/* Rows [first, first + rows) of both into tiles. stats: copies besides count for the barrier. */
template <int DP, int rows>
LF_DEVICE void carry_two(unsigned char *x, unsigned char *y, uint64_t *full,
                         const struct two_rows &from, const struct item &w, int first, int limit,
                         bool stats)
{
    bool whole = first + rows <= limit;
    if (!whole) {
        carry_flat<DP, rows>(x, from.x, first, limit);
        carry_flat<DP, rows>(y, from.y, first, limit);
    }
    if (!whole || threadIdx.x % WARPGROUP >= 32) {
        tile_carried(full, !whole || stats);
        return;
    }
    if (stats)
        barrier_arrive_copied(full);
    __syncwarp();
    if (threadIdx.x % 32 == 0) {
        barrier_expect(full, 2 * rows * DP * 2);
        carry_boxes<DP, rows, ROWS>(x, from.x_map, from.x.head, w.start + first, full);
        carry_boxes<DP, rows, ROWS>(y, from.y_map, from.y.head, w.start + first, full);
    }
}

LF_DEVICE struct two_rows queries_of(const struct bwd_args &p, const struct item &w, int head)
{
    const struct lf_attn_bwd_args &a = p.a;
    return {rows_of(a.q, w, a.ldq, head, a.D), rows_of(a.d_o, w, a.ldo, head, a.D), p.q, p.d_o};
}

LF_DEVICE struct two_rows keys_of(const struct bwd_args &p, const struct item &w)
{
    const struct lf_attn_bwd_args &a = p.a;
    int hk = w.head / (a.H / a.Hkv);
    return {rows_of(a.k, w, a.ldkv, hk, a.D), rows_of(a.v, w, a.ldkv, hk, a.D), p.k, p.v};
}

template <int DP, bool keys>
LF_DEVICE void carry_item(struct shared<DP> &m, const struct bwd_args &p, const struct item &w,
                          int nth, int *turn)
{
    barrier_wait(&m.own_empty, nth - 1);
    carry_two<DP, BLOCK>(m.x, m.y, &m.own_full, keys ? keys_of(p, w) : queries_of(p, w, w.head), w,
                         w.own, w.own + w.n_own, false);
    for (int head = w.head; head < w.head + w.heads; head++) {
        const struct two_rows from = keys ? queries_of(p, w, head) : keys_of(p, w);
        for (int i = 0; i < w.steps; i++, ++*turn) {
            struct stage<DP> &to = m.stage[*turn % STAGES];
            int first = w.first + i * ROWS;
            barrier_wait(&m.empty[*turn % STAGES], *turn / STAGES - 1);
            if (keys)
                carry_stats<DP>(to, p, w, head, first);
            carry_two<DP, ROWS>(to.x, to.y, &m.full[*turn % STAGES], from, w, first, w.n, keys);
        }
    }
}

/* ---- Computing ------------------------------------------------------------------------------- */

/* 64 queries from q on and 64 keys from k on. */
struct square {
    int q, k;
};

template <bool keys> LF_DEVICE struct square square_of(int own, int passing)
{
    if (keys)
        return {passing, own};
    return {own, passing};
}

LF_DEVICE bool any_seen(const struct square &at, const struct scoring &how)
{
    return at.k <= at.q + 63 && at.q - at.k - 63 < (int)how.window;
}

LF_DEVICE bool all_seen(const struct square &at, const struct scoring &how)
{
    return at.k + 63 <= at.q && at.q + 63 - at.k < (int)how.window;
}

/* lse (in units of log2) and delta of the queries that a lane meets: its columns' when keys are
 * owned, else its two rows'. */
template <bool keys> struct stats {
    float lse[keys ? 16 : 2], delta[keys ? 16 : 2];
};

/* Which of them is score i's. */
template <bool keys> LF_DEVICE constexpr int stat_of(int i)
{
    return keys ? i / 4 * 2 + i % 2 : i % 4 / 2;
}

/* A lane's columns of a stage. */
LF_DEVICE void load_columns(float (&to)[16], const float (&from)[ROWS])
{
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float2 v = ((const float2 *)from)[i * 4 + threadIdx.x % 4];
        to[2 * i] = v.x;
        to[2 * i + 1] = v.y;
    }
}

/* Products s become probabilities. at: positions of this lane's first element. */
template <bool keys>
LF_DEVICE void soften(float (&s)[32], const struct stats<keys> &t, const struct scoring &how,
                      bool masked, const struct square &at)
{
    int apart = at.q - at.k;
#pragma unroll
    for (int i = 0; i < 32; i++)
        s[i] = exp2_fast(fmaf(s[i], how.scale, -t.lse[stat_of<keys>(i)]));
    if (masked) {
#pragma unroll
        for (int i = 0; i < 32; i++) {
            int row = i % 4 / 2 * 8, column = i / 4 * 8 + i % 2;
            int between = apart + (keys ? column - row : row - column);
            s[i] = (unsigned)between < how.window ? s[i] : 0.0f;
        }
    }
}

/* ds from probabilities in bf16 (kept so, their registers suffice) and dp. */
LF_DEVICE void score_gradients(uint32_t (&ds)[4][4], const uint32_t (&probs)[4][4],
                               const float (&dp)[32], const struct stats<true> &t)
{
#pragma unroll
    for (int i = 0; i < 16; i++) {
        uint32_t p = probs[i / 4][i % 4];
        ds[i / 4][i % 4] =
            pack2(low_half(p) * (dp[2 * i] - t.delta[stat_of<true>(2 * i)]),
                  high_half(p) * (dp[2 * i + 1] - t.delta[stat_of<true>(2 * i + 1)]));
    }
}

LF_DEVICE void score_gradients(uint32_t (&ds)[4][4], const float (&p)[32], const float (&dp)[32],
                               const struct stats<false> &t)
{
#pragma unroll
    for (int i = 0; i < 16; i++)
        ds[i / 4][i % 4] =
            pack2(p[2 * i] * (dp[2 * i] - t.delta[stat_of<false>(2 * i)]),
                  p[2 * i + 1] * (dp[2 * i + 1] - t.delta[stat_of<false>(2 * i + 1)]));
}

/* The steps of an item as a warpgroup meets them. */
template <int DP, bool keys> struct walk {
    struct shared<DP> &m;
    const struct scoring &how;
    int own;               /* its first row */
    bool owns;             /* it has rows */
    int first, end;        /* rows that pass by, for each head: [first, end) in 64s */
    uint32_t x, y, staged; /* names of its owned rows and of stage 0 */
    int turn, last;        /* steps of the block before and with this item */
};

/* One of them. */
struct step {
    int turn; /* its number among the block's */
    int row;  /* the first that passes by */
};

template <int DP, bool keys>
LF_DEVICE struct square square_at(const struct walk<DP, keys> &k, const struct step &s)
{
    return square_of<keys>(k.own, s.row);
}

/* The next step in which the warpgroup sees anything, once its stage is full; those without are
 * given back. turn is k.last when there is none. */
template <int DP, bool keys>
LF_DEVICE void next_seen(const struct walk<DP, keys> &k, struct step &s)
{
    for (;;) {
        s.turn++;
        s.row = s.row + ROWS < k.end ? s.row + ROWS : k.first;
        if (s.turn == k.last)
            return;
        barrier_wait(&k.m.full[s.turn % STAGES], s.turn / STAGES);
        if (k.owns && any_seen(square_at(k, s), k.how))
            return;
        barrier_arrive(&k.m.empty[s.turn % STAGES]);
    }
}

/* Names of a stage's x and y. */
template <int DP, bool keys> LF_DEVICE uint32_t x_of(const struct walk<DP, keys> &k, int turn)
{
    return k.staged + turn % STAGES * (uint32_t)(sizeof(struct stage<DP>) / 16);
}

template <int DP, bool keys> LF_DEVICE uint32_t y_of(const struct walk<DP, keys> &k, int turn)
{
    return x_of(k, turn) + ROWS * DP * 2 / 16;
}

template <int DP, bool keys>
LF_DEVICE void put_item(const struct bwd_args &p, const struct item &w, const float (&dx)[DP / 2],
                        const float (&dv)[keys ? DP / 2 : 1], int row)
{
    const struct lf_attn_bwd_args &a = p.a;
    const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
    size_t t = w.start + w.own;
    if constexpr (keys) {
        int hk = w.head / (a.H / a.Hkv);
        put_rows((bf16 *)a.dk + t * a.lddkv + (size_t)hk * a.D, a.lddkv, dx, scale, row, w.n_own,
                 a.D);
        put_rows((bf16 *)a.dv + t * a.lddkv + (size_t)hk * a.D, a.lddkv, dv, one, row, w.n_own,
                 a.D);
    } else {
        put_rows((bf16 *)a.dq + t * a.lddq + (size_t)w.head * a.D, a.lddq, dx, scale, row, w.n_own,
                 a.D);
    }
}

/* A lane's two rows when queries are owned. */
LF_DEVICE void load_stats(struct stats<false> &t, const struct bwd_args &p, const struct item &w,
                          int row)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int query = w.own + min(row + 8 * h, w.n_own - 1);
        size_t at = (size_t)(w.start + query) * p.a.H + w.head;
        t.lse[h] = p.a.lse[at] * LOG2E;
        t.delta[h] = p.a.delta[at];
    }
}

/* What a warpgroup holds in registers: the result's sums, and of the step at hand the products and
 * the fragments that they become. */
template <int DP, bool keys> struct sums {
    uint32_t qx[keys ? 1 : DP / 16][4];
    float dx[DP / 2], dv[keys ? DP / 2 : 1];
    float s[32], dp[32];
    uint32_t probs[4][4], ds[4][4];
};

/* Positions of a lane's first score in a step. */
template <int DP, bool keys>
LF_DEVICE struct square lane_at(const struct walk<DP, keys> &k, const struct step &s)
{
    int lane = threadIdx.x % 32, row = threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
    struct square at = square_at(k, s);
    at.q += keys ? lane % 4 * 2 : row;
    at.k += keys ? row : lane % 4 * 2;
    return at;
}

/* Puts s and dp of a step under way, as two groups. */
template <int DP, bool keys>
LF_DEVICE void begin_step(struct sums<DP, keys> &r, const struct walk<DP, keys> &k, int turn)
{
    if constexpr (keys)
        tile_products<DP>(r.s, k.x, BLOCK, x_of(k, turn), ROWS);
    else
        tile_products<DP>(r.s, r.qx, x_of(k, turn), ROWS);
    wgmma_end();
    tile_products<DP>(r.dp, k.y, BLOCK, y_of(k, turn), ROWS);
    wgmma_end();
}

/* A step of a block that owns keys, from the first product to the last sum. */
template <int DP>
LF_DEVICE void do_step(struct sums<DP, true> &r, struct stats<true> &t,
                       const struct walk<DP, true> &k, const struct step &s)
{
    bool masked = !all_seen(square_at(k, s), k.how);
    const struct stage<DP> &from = k.m.stage[s.turn % STAGES];
    fence_for_wgmma();
    wgmma_begin();
    begin_step(r, k, s.turn);
    load_columns(t.lse, from.lse);
#pragma unroll
    for (int i = 0; i < 16; i++)
        t.lse[i] *= LOG2E;
    wgmma_wait_for<1>();
    wgmma_made(r.s);
    soften(r.s, t, k.how, masked, lane_at(k, s));
    fragments_of(r.probs, r.s);
    wgmma_begin();
    add_tile_products(r.dv, r.probs, y_of(k, s.turn));
    wgmma_end();
    load_columns(t.delta, from.delta);
    wgmma_wait_for<1>();
    wgmma_made(r.dp);
    score_gradients(r.ds, r.probs, r.dp, t);
    wgmma_begin();
    add_tile_products(r.dx, r.ds, x_of(k, s.turn));
    wgmma_end();
    wgmma_wait_for<0>();
    wgmma_made(r.dv);
    wgmma_made(r.dx);
    barrier_arrive(&k.m.empty[s.turn % STAGES]);
}

template <int DP>
LF_DEVICE void walk_steps(struct sums<DP, true> &r, struct stats<true> &t,
                          const struct walk<DP, true> &k)
{
    struct step s = {k.turn - 1, k.first - ROWS};
    for (next_seen(k, s); s.turn < k.last; next_seen(k, s))
        do_step(r, t, k, s);
}

/* The products of a step, which are under way, become ds. */
template <int DP>
LF_DEVICE void finish_step(struct sums<DP, false> &r, const struct stats<false> &t,
                           const struct walk<DP, false> &k, const struct step &s)
{
    bool masked = !all_seen(square_at(k, s), k.how);
    wgmma_wait_for<1>();
    wgmma_made(r.s);
    soften(r.s, t, k.how, masked, lane_at(k, s));
    wgmma_wait_for<0>();
    wgmma_made(r.dp);
    score_gradients(r.ds, r.s, r.dp, t);
}

/* A block that owns queries has registers for more: each step's products are put under way
 * together with the sums of the step before. */
template <int DP>
LF_DEVICE void walk_steps(struct sums<DP, false> &r, const struct stats<false> &t,
                          const struct walk<DP, false> &k)
{
    struct step s = {k.turn - 1, k.first - ROWS};
    next_seen(k, s);
    if (s.turn == k.last)
        return;
    fence_for_wgmma();
    wgmma_begin();
    begin_step(r, k, s.turn);
    finish_step(r, t, k, s);
    for (;;) {
        int before = s.turn;
        next_seen(k, s);
        if (s.turn == k.last) {
            s.turn = before;
            break;
        }
        fence_for_wgmma();
        wgmma_begin();
        add_tile_products(r.dx, r.ds, x_of(k, before));
        begin_step(r, k, s.turn);
        finish_step(r, t, k, s);
        barrier_arrive(&k.m.empty[before % STAGES]);
    }
    wgmma_begin();
    add_tile_products(r.dx, r.ds, x_of(k, s.turn));
    wgmma_end();
    wgmma_wait_for<0>();
    wgmma_made(r.dx);
    barrier_arrive(&k.m.empty[s.turn % STAGES]);
}

template <int DP, bool keys>
LF_DEVICE void gradients(struct shared<DP> &m, const struct bwd_args &p, const struct item &w,
                         int number, int turn)
{
    int thread = threadIdx.x % WARPGROUP, group = computing_group();
    int row = group * 64 + thread / 32 * 16 + thread % 32 / 4;
    struct walk<DP, keys> k = {
        m, p.scoring, w.own + group * 64, group * 64 < w.n_own, w.first, w.first + w.steps *ROWS,
            tile_name(m.x) + group * 512, tile_name(m.y) + group * 512,
            tile_name(m.stage[0].x), turn, turn + w.heads *w.steps
    };
    struct sums<DP, keys> r;
    struct stats<keys> t;
#pragma unroll
    for (int i = 0; i < DP / 2; i++)
        r.dx[i] = r.dv[keys ? i : 0] = 0.0f;
    if constexpr (!keys)
        load_stats(t, p, w, row);
    barrier_wait(&m.own_full, number);
    if constexpr (!keys) {
        load_fragments<DP>(r.qx, m.x, BLOCK, group * 64);
    }
    walk_steps(r, t, k);
    tile_done(&m.own_empty);
    put_item<DP, keys>(p, w, r.dx, r.dv, row);
}

template <int DP, bool keys>
static __global__ void __launch_bounds__(THREADS, 1)
    bwd_kernel(const __grid_constant__ struct bwd_args p)
{
    struct shared<DP> &m = *(struct shared<DP> *)wgmma_aligned(dynamic_smem());
    int turn = 0;
    auto begin = [&] {
        barrier_begin(&m.own_full, CARRYING_WARPS);
        barrier_begin(&m.own_empty, COMPUTING_WARPS);
        for (int i = 0; i < STAGES; i++) {
            barrier_begin(&m.full[i], CARRYING_WARPS);
            barrier_begin(&m.empty[i], COMPUTING_WARPS * 32);
        }
    };
    auto carry = [&] {
        carry_items(
            m, p.counter, p.items, [&](int number) { return item_at<keys>(p, number); },
            [&](const struct item &w, int nth) { carry_item<DP, keys>(m, p, w, nth, &turn); });
    };
    run_block(m, begin, carry, [&] {
        compute_items(m, [&](const struct item &w, int nth) {
            gradients<DP, keys>(m, p, w, nth, turn);
            turn += w.heads * w.steps;
        });
    });
}

/* ---- Launchers ------------------------------------------------------------------------------- */

template <int DP, bool keys> static void launch(struct lf_stream *s, struct bwd_args p)
{
    int units = lf_cuda_of(s)->dev->units;
    p.list.keys = keys;
    p.items *= keys ? p.a.Hkv : p.a.H;
    lf_launch<bwd_kernel<DP, keys>>(s, dim3(p.items < units ? p.items : units), THREADS,
                                    sizeof(struct shared<DP>) + WGMMA_ALIGN, p);
}

template <int DP> static void launch_both(struct lf_stream *s, const struct bwd_args *p)
{
    launch<DP, true>(s, *p);
    launch<DP, false>(s, *p);
}

bool lf_cuda_attn_bwd_hopper(struct lf_stream *s, const struct lf_attn_bwd_args *a)
{
    struct lf_cuda *dev = lf_cuda_of(s)->dev;
    int T = a->batch->T;
    struct bwd_args p = {};
    p.a = *a;
    p.scoring = scoring_of(a->scale, a->softcap, a->window);
    p.counter = lf_cuda_of(s)->counters;
    if (!on_hopper(s, a->D) || a->softcap > 0 || !lf_eights(a->q, a->ldq, 8) ||
        !lf_eights(a->k, a->ldkv, 8) || !lf_eights(a->v, a->ldkv, 8) ||
        !lf_eights(a->d_o, a->ldo, 8) || !lf_eights(a->dq, a->lddq, 8) ||
        !lf_eights(a->dk, a->lddkv, 8) || !lf_eights(a->dv, a->lddkv, 8))
        return false;
    map_rows(dev, &p.q, a->q, T, a->H, a->D, a->ldq, ROWS);
    map_rows(dev, &p.d_o, a->d_o, T, a->H, a->D, a->ldo, ROWS);
    map_rows(dev, &p.k, a->k, T, a->Hkv, a->D, a->ldkv, ROWS);
    map_rows(dev, &p.v, a->v, T, a->Hkv, a->D, a->ldkv, ROWS);
    p.items = count_tiles(&p.list, a->batch);
    if (a->D <= 64)
        launch_both<64>(s, &p);
    else
        launch_both<128>(s, &p);
    return true;
}
