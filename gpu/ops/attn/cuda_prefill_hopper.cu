/* Attention forward over many tokens on Hopper (hopper.cuh; after Shah and others, FlashAttention
 * 3): scores never leave the registers, and both products go to wgmma.
 *
 * A block has 128 query rows of a head and goes through the keys 128 at a time, the latest first.
 * Each computing warpgroup owns 64 of the rows, as fragments. It puts the scores of the next keys
 * and the weighted sums of these under way together and makes probabilities while they run; the two
 * warpgroups take turns at that, so that the one's exponentials fall into the other's products
 * (without turns 4% slower). Work: 4 D flops for each pair of query and key; bound by the tensor
 * cores.
 */
#include "gpu/ops/attn/hopper.cuh"

#define KEYS 128
#define STAGES 2

/* Boxes of 128 keys of the batch, and of a page. */
struct key_maps {
    CUtensorMap k, v, k_pages, v_pages;
};

struct prefill_args {
    struct key_maps maps;
    struct lf_attn_args a;
    struct kv_pages at;
    struct scoring scoring;
    struct tile_list list;
    int items;
    int *counter;
    bool fresh; /* see lf_cuda_attn_prefill_hopper */
};

/* What a block works on: one tile and head. */
struct item {
    int t, n;  /* batch rows [t, t + n); 0: there is no more */
    int query; /* position of row t in its sequence */
    int head;
    int start;       /* the sequence's first row */
    int pages;       /* where its list of pages starts; -1: keys are in the batch */
    int first, last; /* tiles of keys, both with */
};

template <int DP> struct shared {
    unsigned char q[BLOCK * DP * 2];
    unsigned char k[STAGES][KEYS * DP * 2], v[STAGES][KEYS * DP * 2];
    uint64_t q_full, q_empty, k_full[STAGES], k_empty[STAGES], v_full[STAGES], v_empty[STAGES];
    uint64_t item_full, item_empty;
    struct item item;
};

/* ---- The carrier ----------------------------------------------------------------------------- */

LF_DEVICE struct item item_at(const struct prefill_args &p, int number)
{
    if (number >= p.items)
        return {};
    struct tile_at at = find_tile(p.list, number / p.a.H);
    const struct lf_seq seq = p.list.seqs[at.seq];
    bool cached = seq.page_off >= 0;
    struct item w;
    w.t = seq.start + at.tile * BLOCK;
    w.n = min(BLOCK, seq.n - at.tile * BLOCK);
    w.query = (cached ? seq.past : 0) + at.tile * BLOCK;
    w.head = number % p.a.H;
    w.start = seq.start;
    w.pages = cached && (seq.past > 0 || !p.fresh) ? seq.page_off : -1;
    w.first = p.a.window > 0 ? max(0, w.query - p.a.window + 1) / KEYS : 0;
    w.last = (w.query + w.n - 1) / KEYS;
    return w;
}

LF_DEVICE struct head_rows key_rows(const struct prefill_args &p, const struct item &w,
                                    const void *rows, const void *pages)
{
    const struct lf_attn_args &a = p.a;
    int hk = w.head / (a.H / a.Hkv);
    const bf16 *first = (const bf16 *)rows + (size_t)w.start * a.ldkv + (size_t)hk * a.D;
    return {w.pages >= 0 ? NULL : first,
            (const bf16 *)pages,
            p.at.pages + max(w.pages, 0),
            a.ldkv,
            a.Hkv,
            hk,
            a.D};
}

/* A tile of keys or values. Whole ones are asked for by one lane. */
template <int DP>
LF_DEVICE void carry_keys(unsigned char *to, uint64_t *full, const struct head_rows &h,
                          const struct item &w, const CUtensorMap &flat, const CUtensorMap &paged,
                          int first, int limit)
{
    if (first + KEYS > limit) {
        if (h.rows)
            carry_flat<DP, KEYS>(to, h, first, limit);
        else
            carry_paged<DP, KEYS>(to, h, first, limit);
        tile_carried(full, true);
    } else if (threadIdx.x % WARPGROUP >= 32) {
        tile_carried(full, false);
    } else if (h.rows) {
        if (threadIdx.x % 32 == 0) {
            barrier_expect(full, KEYS * DP * 2);
            carry_boxes<DP, KEYS, KEYS>(to, flat, h.head, w.start + first, full);
        }
    } else {
        const int n = KEYS / LF_KV_PAGE_TOKENS * (DP / 64); /* boxes, a lane each */
        int lane = threadIdx.x % 32, page = lane / (DP / 64), panel = lane % (DP / 64);
        if (lane == 0)
            barrier_expect(full, KEYS * DP * 2);
        __syncwarp();
        if (lane < n)
            copy_box(to + panel * KEYS * 128 + page * LF_KV_PAGE_TOKENS * 128, &paged, panel * 64,
                     0, h.list[first / LF_KV_PAGE_TOKENS + page] * h.Hkv + h.head, full);
    }
}

/* Everything an item reads. turn: tiles of keys that were carried before. */
template <int DP>
LF_DEVICE void carry_item(struct shared<DP> &m, const struct prefill_args &p, const struct item &w,
                          int number, int *turn)
{
    const struct lf_attn_args &a = p.a;
    struct head_rows q = {(const bf16 *)a.q + (size_t)w.t * a.ldq + (size_t)w.head * a.D,
                          NULL,
                          NULL,
                          a.ldq,
                          a.H,
                          w.head,
                          a.D};
    struct head_rows k = key_rows(p, w, a.k, a.k_pages), v = key_rows(p, w, a.v, a.v_pages);
    int limit = w.query + w.n;
    barrier_wait(&m.q_empty, number - 1);
    carry_flat<DP, BLOCK>(m.q, q, 0, w.n);
    tile_carried(&m.q_full, true);
    for (int tile = w.last; tile >= w.first; tile--, ++*turn) {
        int stage = *turn % STAGES, round = *turn / STAGES;
        barrier_wait(&m.k_empty[stage], round - 1);
        carry_keys<DP>(m.k[stage], &m.k_full[stage], k, w, p.maps.k, p.maps.k_pages, tile * KEYS,
                       limit);
        barrier_wait(&m.v_empty[stage], round - 1);
        carry_keys<DP>(m.v[stage], &m.v_full[stage], v, w, p.maps.v, p.maps.v_pages, tile * KEYS,
                       limit);
    }
}

/* ---- Computing ------------------------------------------------------------------------------- */

/* Running softmax of a lane's two rows, in scores before scale. */
struct rows_so_far {
    float max[2], sum[2];
};

/* Scores that a row does not see become -inf. query: this lane's first row; key: the tile's first.
 */
LF_DEVICE void mask(float (&s)[KEYS / 2], const struct scoring &how, int query, int key)
{
    int apart = query - key - threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < KEYS / 2; i++) {
        int key_of = i / 4 * 8 + i % 2, row = i % 4 / 2 * 8;
        s[i] = (unsigned)(apart + row - key_of) < how.window ? s[i] : -INFINITY;
    }
}

/* How far (in log2) scores may pass the maximum that probabilities are taken against before that
 * moves and what was summed is made smaller: sums stay below 2^8 times the keys. */
#define SLACK 8.0f

/* Products to probabilities; true when what was summed before has to be multiplied by shrink: most
 * times the maximum stays. */
template <bool capped>
LF_DEVICE bool soften(struct rows_so_far &r, float (&s)[KEYS / 2], float (&shrink)[2],
                      const struct scoring &how, bool masked, int query, int key)
{
    float scale = capped ? 1.0f : how.scale, unused;
    if (capped) {
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++)
            s[i] = score_of(how, s[i], &unused);
    }
    if (masked)
        mask(s, how, query, key);
    float max[2] = {-INFINITY, -INFINITY}, below[2];
#pragma unroll
    for (int i = 0; i < KEYS / 2; i++)
        max[i % 4 / 2] = fmaxf(max[i % 4 / 2], s[i]);
    bool moves = false;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        max[h] = fmaxf(max[h], __shfl_xor_sync(0xffffffffu, max[h], 1));
        max[h] = fmaxf(max[h], __shfl_xor_sync(0xffffffffu, max[h], 2));
        bool mine = max[h] * scale > r.max[h] * scale + SLACK;
        max[h] = mine ? max[h] : r.max[h];
        moves |= mine;
        below[h] = max[h] == -INFINITY ? 0.0f : max[h] * scale; /* a row that saw none yet */
        shrink[h] = mine ? exp2_fast(r.max[h] * scale - below[h]) : 1.0f;
        r.max[h] = max[h];
        r.sum[h] *= shrink[h];
    }
#pragma unroll
    for (int i = 0; i < KEYS / 2; i++) {
        int h = i % 4 / 2;
        s[i] = exp2_fast(fmaf(s[i], scale, -below[h]));
        r.sum[h] += s[i];
    }
    return __any_sync(0xffffffffu, moves);
}

template <int DP>
LF_DEVICE void put_item(const struct prefill_args &p, const struct item &w,
                        const struct rows_so_far &r, const float (&o)[DP / 2], int row, bool capped)
{
    const struct lf_attn_args &a = p.a;
    float inverse[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float sum = row_total(r.sum[h]), scale = capped ? 1.0f : p.scoring.scale;
        inverse[h] = __fdividef(1.0f, sum);
        if (a.lse && threadIdx.x % 4 == 0 && row + 8 * h < w.n)
            a.lse[(size_t)(w.t + row + 8 * h) * a.H + w.head] =
                (r.max[h] * scale + __log2f(sum)) * LN2;
    }
    put_rows((bf16 *)a.o + (size_t)w.t * a.ldo + (size_t)w.head * a.D, a.ldo, o, inverse, row, w.n,
             a.D);
}

/* One of the two warpgroups that take turns. */
struct turn_taking {
    int mine, other;
};

template <int DP, bool capped>
LF_DEVICE void attend(struct shared<DP> &m, const struct prefill_args &p, const struct item &w,
                      int number, int *turn, const struct turn_taking &turns)
{
    int thread = threadIdx.x % WARPGROUP, group = computing_group();
    int row = group * 64 + thread / 32 * 16 + thread % 32 / 4, query = w.query + row;
    int first = w.query + group * 64, last = first + 63; /* this warpgroup's queries */
    uint32_t k = tile_name(m.k), v = tile_name(m.v), q[DP / 16][4];
    const uint32_t tile_size = sizeof m.k[0] / 16;
    struct rows_so_far r = {{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
    float s[KEYS / 2], o[DP / 2] = {}, shrink[2];
    uint32_t probs[KEYS / 16][4];
    barrier_wait(&m.q_full, number);
    load_fragments<DP>(q, m.q, BLOCK, group * 64);
    tile_done(&m.q_empty);
    for (int tile = w.last; tile >= w.first; tile--, ++*turn) {
        int stage = *turn % STAGES, before = (*turn - 1) % STAGES;
        bool masked =
            tile * KEYS + KEYS - 1 > first || (unsigned)(last - tile * KEYS) >= p.scoring.window;
        barrier_wait(&m.k_full[stage], *turn / STAGES);
        fence_for_wgmma();
        pair_wait(turns.mine);
        wgmma_begin();
        tile_products<DP>(s, q, k + stage * tile_size, KEYS);
        wgmma_end();
        if (tile < w.last) {
            wgmma_begin();
            add_tile_products(o, probs, v + before * tile_size);
            wgmma_end();
            pair_arrive(turns.other);
            wgmma_wait_for<1>();
        } else {
            pair_arrive(turns.other);
            wgmma_wait_for<0>();
        }
        wgmma_made(s);
        tile_done(&m.k_empty[stage]);
        bool moved = soften<capped>(r, s, shrink, p.scoring, masked, query, tile * KEYS);
        /* Needs all exponentials, or they would be put off until the sums that are under way have
         * come: nothing is added to the turn. */
        barrier_wait(&m.v_full[stage], *turn / STAGES + (r.sum[0] + r.sum[1] < 0.0f));
        wgmma_wait_for<0>();
        wgmma_made(o);
        if (tile < w.last)
            tile_done(&m.v_empty[before]);
        if (moved) {
#pragma unroll
            for (int i = 0; i < DP / 2; i++)
                o[i] *= shrink[i % 4 / 2];
        }
        fragments_of(probs, s);
    }
    int stage = (*turn - 1) % STAGES;
    fence_for_wgmma();
    wgmma_begin();
    add_tile_products(o, probs, v + stage * tile_size);
    wgmma_end();
    wgmma_wait_for<0>();
    wgmma_made(o);
    tile_done(&m.v_empty[stage]);
    put_item<DP>(p, w, r, o, row, capped);
}

/* An item of which a warpgroup has no rows: it gives back what passes by. */
template <int DP>
LF_DEVICE void let_pass(struct shared<DP> &m, const struct item &w, int number, int *turn,
                        const struct turn_taking &turns)
{
    barrier_wait(&m.q_full, number);
    tile_done(&m.q_empty);
    for (int tile = w.last; tile >= w.first; tile--, ++*turn) {
        int stage = *turn % STAGES, round = *turn / STAGES;
        pair_wait(turns.mine);
        pair_arrive(turns.other);
        barrier_wait(&m.k_full[stage], round);
        tile_done(&m.k_empty[stage]);
        barrier_wait(&m.v_full[stage], round);
        tile_done(&m.v_empty[stage]);
    }
}

template <int DP, bool capped>
LF_DEVICE void compute(struct shared<DP> &m, const struct prefill_args &p)
{
    int group = computing_group(), turn = 0;
    struct turn_taking turns = {1 + group, 2 - group};
    if (group == 1)
        pair_arrive(turns.other); /* the first warpgroup begins */
    compute_items(m, [&](const struct item &w, int nth) {
        if (group * 64 < w.n)
            attend<DP, capped>(m, p, w, nth, &turn, turns);
        else
            let_pass<DP>(m, w, nth, &turn, turns);
    });
}

template <int DP, bool capped>
static __global__ void __launch_bounds__(THREADS, 1)
    prefill_kernel(const __grid_constant__ struct prefill_args p)
{
    struct shared<DP> &m = *(struct shared<DP> *)wgmma_aligned(dynamic_smem());
    int turn = 0;
    auto begin = [&] {
        barrier_begin(&m.q_full, CARRYING_WARPS);
        barrier_begin(&m.q_empty, COMPUTING_WARPS);
        for (int i = 0; i < STAGES; i++) {
            barrier_begin(&m.k_full[i], CARRYING_WARPS);
            barrier_begin(&m.v_full[i], CARRYING_WARPS);
            barrier_begin(&m.k_empty[i], COMPUTING_WARPS);
            barrier_begin(&m.v_empty[i], COMPUTING_WARPS);
        }
    };
    auto carry = [&] {
        carry_items(
            m, p.counter, p.items, [&](int number) { return item_at(p, number); },
            [&](const struct item &w, int nth) { carry_item<DP>(m, p, w, nth, &turn); });
    };
    run_block(m, begin, carry, [&] { compute<DP, capped>(m, p); });
}

template <int DP, bool capped> static void launch(struct lf_stream *s, const struct prefill_args *p)
{
    int blocks = p->items < lf_cuda_of(s)->dev->units ? p->items : lf_cuda_of(s)->dev->units;
    lf_launch<prefill_kernel<DP, capped>>(s, dim3(blocks), THREADS,
                                          sizeof(struct shared<DP>) + WGMMA_ALIGN, *p);
}

/* Pages have no end that is known here; the lists name those that there are. */
static void map_keys(struct lf_stream *s, struct key_maps *m, const struct lf_attn_args *a,
                     bool fresh)
{
    const struct lf_ragged *b = a->batch;
    struct lf_cuda *dev = lf_cuda_of(s)->dev;
    const uint64_t D = (uint64_t)a->D, page = LF_KV_PAGE_TOKENS;
    struct lf_boxes paged = {
        a->k_pages, {D, page, 1u << 31}, {D, page * D}, {64, LF_KV_PAGE_TOKENS, 1}};
    if (fresh || b->T > b->T_cached) {
        map_rows(dev, &m->k, a->k, b->T, a->Hkv, a->D, a->ldkv, KEYS);
        map_rows(dev, &m->v, a->v, b->T, a->Hkv, a->D, a->ldkv, KEYS);
    }
    if (b->n_cached > 0) {
        lf_cuda_tensor_map(dev, &m->k_pages, &paged);
        paged.base = a->v_pages;
        lf_cuda_tensor_map(dev, &m->v_pages, &paged);
    }
}

bool lf_cuda_attn_prefill_hopper(struct lf_stream *s, const struct lf_attn_args *a, bool fresh)
{
    struct prefill_args p = {};
    p.a = *a;
    p.at = kv_pages_of(a->batch);
    p.scoring = scoring_of(a->scale, a->softcap, a->window);
    p.counter = lf_cuda_of(s)->counters_beside;
    if (!on_hopper(s, a->D) || !lf_eights(a->q, a->ldq, a->D) || !lf_eights(a->k, a->ldkv, 8) ||
        !lf_eights(a->v, a->ldkv, 8) || !lf_eights(a->k_pages, 8, 8) ||
        !lf_eights(a->v_pages, 8, 8) || !lf_eights(a->o, a->ldo, 8))
        return false;
    p.fresh = fresh;
    map_keys(s, &p.maps, a, fresh);
    p.list.few = FEW_ROWS / (a->H / a->Hkv);
    p.list.cached = true;
    p.items = count_tiles(&p.list, a->batch) * a->H;
    if (a->D <= 64 && a->softcap > 0)
        launch<64, true>(s, &p);
    else if (a->D <= 64)
        launch<64, false>(s, &p);
    else if (a->softcap > 0)
        launch<128, true>(s, &p);
    else
        launch<128, false>(s, &p);
    return true;
}
