/* Attention on Hopper: what its forward and backward kernels share. Private to gpu/ops/attn/.
 *
 * A block is one warpgroup that carries and two that compute. It owns BLOCK rows of one sequence
 * and head at a time, 64 for each computing warpgroup, while tiles of other rows pass through
 * stages of shared memory. Blocks stay: each draws its next item of work from a counter, so that
 * the carrier fetches the next item's rows while this one's results are written. Which block has
 * an item changes nothing in its result.
 *
 * Tiles lie in shared memory as warpgroup.cuh says, a head's D dims filled up with zeros to DP (64
 * or 128). Whole ones come as boxes of a tensor map, those at a sequence's end by 16-byte copies:
 * rows of other sequences have to be zeros (0 times a neighbour's NaN is NaN). Tried and slower:
 * all tiles by 16-byte copies (forward of 1 x 8192: 1,034 us instead of 863).
 */
#ifndef LF_GPU_OPS_ATTN_HOPPER_CUH
#define LF_GPU_OPS_ATTN_HOPPER_CUH

#include "gpu/cuda/tensor_map.cuh"
#include "gpu/cuda/warpgroup.cuh"
#include "gpu/ops/attn/tile.cuh"

#define BLOCK 128 /* rows that a block owns */
#define THREADS (3 * WARPGROUP)
/* Together what the block starts with: 3 x 168. */
#define CARRIER_REGISTERS 56
#define COMPUTING_REGISTERS 224
#define COMPUTING_WARPS 8
#define CARRYING_WARPS 4

/* ---- The list of items ----------------------------------------------------------------------- */

/* Sequences cut into tiles of BLOCK rows, the ones with the most work first. A tile's work grows
 * with its level: how many tiles are before it in its sequence, with what is cached; backwards
 * when the rows are keys, which later queries see. */
struct tile_list {
    const struct lf_seq *seqs;
    int S, levels; /* levels are below this */
    int few;       /* sequences of at most so many rows are left out */
    bool cached;   /* cached sequences are in, too */
    bool keys;
};

struct tile_at {
    int seq, tile;
};

/* A sequence's tiles have levels [first, first + n). */
struct tile_levels {
    int first, n;
};

static __host__ __device__ inline struct tile_levels levels_of(const struct tile_list &l,
                                                               const struct lf_seq &s)
{
    bool paged = s.page_off >= 0;
    int n = s.n <= l.few || (paged && !l.cached) ? 0 : (s.n + BLOCK - 1) / BLOCK;
    return {paged && l.cached ? s.past / BLOCK : 0, n};
}

/* Host: how many tiles there are. Sets levels. */
static inline int count_tiles(struct tile_list *l, const struct lf_ragged *b)
{
    int n = 0;
    l->seqs = b->seqs;
    l->S = b->S;
    l->levels = 0;
    for (int i = 0; i < b->S; i++) {
        struct tile_levels t = levels_of(*l, b->h_seqs[i]);
        n += t.n;
        l->levels = t.n > 0 && t.first + t.n > l->levels ? t.first + t.n : l->levels;
    }
    return n;
}

/* Tiles of at least this level; a whole warp. */
LF_DEVICE int tiles_from(const struct tile_list &l, int level)
{
    int sum = 0;
#pragma unroll 8 /* beside hundreds of sequences that decode, all of them are asked for at once */
    for (int i = threadIdx.x % 32; i < l.S; i += 32) {
        struct tile_levels t = levels_of(l, l.seqs[i]);
        sum += max(0, min(t.n, t.first + t.n - level));
    }
    return __reduce_add_sync(0xffffffffu, sum);
}

/* Tile number `rank` of the list; a whole warp calls it, and every lane gets the same answer. */
LF_DEVICE struct tile_at find_tile(const struct tile_list &l, int rank)
{
    int level = 0, above = l.levels; /* the tile is of a level in [level, above) */
    while (above - level > 1) {
        int middle = (level + above) / 2;
        if (tiles_from(l, middle) > rank)
            level = middle;
        else
            above = middle;
    }
    rank -= level + 1 < l.levels ? tiles_from(l, level + 1) : 0;
    int lane = threadIdx.x % 32, each = (l.S + 31) / 32, mine = 0, at = 0, tile = 0;
#pragma unroll 8
    for (int i = lane * each; i < min((lane + 1) * each, l.S); i++) {
        struct tile_levels t = levels_of(l, l.seqs[i]);
        mine += level >= t.first && level < t.first + t.n;
    }
    int before = warp_upto(mine) - mine;
    bool here = rank >= before && rank < before + mine;
    for (int i = lane * each, left = here ? rank - before : -1; left >= 0; i++) {
        struct tile_levels t = levels_of(l, l.seqs[i]);
        if (level < t.first || level >= t.first + t.n || left-- > 0)
            continue;
        at = i;
        tile = l.keys ? t.first + t.n - 1 - level : level - t.first;
    }
    int finder = __ffs(__ballot_sync(0xffffffffu, here)) - 1;
    return {__shfl_sync(0xffffffffu, at, finder), __shfl_sync(0xffffffffu, tile, finder)};
}

/* Draws the number of a block's next item, for lane 0 alone: the answer is a microsecond away, and
 * what does not need it goes on. counter: two of the stream's. */
LF_DEVICE int draw_item(int *counter)
{
    return threadIdx.x % 32 == 0 ? (int)gridDim.x + atomicAdd(&counter[0], 1) : 0;
}

/* What was drawn, for the whole warp; the last block that gets none clears the counters. */
LF_DEVICE int drawn_item(int *counter, int drawn, int items)
{
    if (threadIdx.x % 32 == 0 && drawn >= items)
        if (atomicAdd(&counter[1], 1) == (int)gridDim.x - 1)
            counter[0] = counter[1] = 0;
    return __shfl_sync(0xffffffffu, drawn, 0);
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

/* Rows [first, first + rows) of a head into a tile, zeros from `limit` on and past D; all of the
 * carrying warpgroup. One warp of it is on each scheduler, so that every instruction here is some
 * five clocks of a tile's time. (Tried and slower: head_row for every copy, twenty instructions
 * each: the others waited for the carrier; forward of 4 x 2048: 439 us instead of 303.) */
template <int DP, int rows>
LF_DEVICE void carry_flat(unsigned char *to, const struct head_rows &h, int first, int limit)
{
    const int chunks = DP / 8, step = WARPGROUP / chunks;
    int row = threadIdx.x % WARPGROUP / chunks, chunk = threadIdx.x % chunks;
    int left = chunk * 8 < h.D ? limit - first - row : 0;
    const bf16 *from = h.rows + (size_t)(first + row) * h.ld + chunk * 8;
    to += chunk / 8 * rows * 128 + row * 128 + (chunk % 8 ^ row % 8) * 16;
#pragma unroll
    for (int i = 0; i < rows / step; i++) {
        copy_async(to + i * step * 128, from, i * step < left);
        from += step * h.ld;
    }
}

/* The same of pages; first is a multiple of a page. */
template <int DP, int rows>
LF_DEVICE void carry_paged(unsigned char *to, const struct head_rows &h, int first, int limit)
{
    const int chunks = DP / 8, step = WARPGROUP / chunks, n = rows / LF_KV_PAGE_TOKENS;
    int row = threadIdx.x % WARPGROUP / chunks, chunk = threadIdx.x % chunks;
    int left = chunk * 8 < h.D ? limit - first - row : 0;
    const bf16 *from = h.pages + ((size_t)h.head * LF_KV_PAGE_TOKENS + row) * h.D + chunk * 8;
    int page[n], begin = first / LF_KV_PAGE_TOKENS, last = (limit - 1) / LF_KV_PAGE_TOKENS;
    to += chunk / 8 * rows * 128 + row * 128 + (chunk % 8 ^ row % 8) * 16;
#pragma unroll
    for (int i = 0; i < n; i++)
        page[i] = h.list[min(begin + i, last)];
#pragma unroll
    for (int i = 0; i < rows / step; i++) {
        const bf16 *in =
            from + (size_t)page[i * step / LF_KV_PAGE_TOKENS] * (h.Hkv * LF_KV_PAGE_TOKENS * h.D);
        copy_async(to + i * step * 128, in + i * step % LF_KV_PAGE_TOKENS * h.D, i * step < left);
    }
}

/* Rows [row, row + rows) of a head as boxes of `high` rows of a map (dims, heads, rows); one lane,
 * after barrier_expect. */
template <int DP, int rows, int high>
LF_DEVICE void carry_boxes(unsigned char *to, const CUtensorMap &map, int head, int row,
                           uint64_t *full)
{
#pragma unroll
    for (int panel = 0; panel < DP / 64; panel++)
#pragma unroll
        for (int i = 0; i < rows; i += high)
            copy_box(to + (panel * rows + i) * 128, &map, panel * 64, head, row + i, full);
}

/* What this carrying warp brings to a tile is under way; the tile's barrier counts CARRYING_WARPS.
 * copied: by copy_async. */
LF_DEVICE void tile_carried(uint64_t *full, bool copied)
{
    if (copied)
        barrier_arrive_copied(full);
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        barrier_arrive(full);
}

/* This warp has read what the barrier stands for, with instructions of the whole warp. What threads
 * read each for itself is answered by each thread: racecheck then sees the order. */
LF_DEVICE void tile_done(uint64_t *empty)
{
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        barrier_arrive(empty);
}

/* The carrying warpgroup's work. m: the block's shared memory with `item`, item_full and
 * item_empty; find(number) makes an item, whose n is 0 when there is none, and carry_one(item, nth)
 * puts all that it reads under way. The first warp finds, as soon as all of the item before is
 * under way; all others of the block read what it found. What the batch is was uploaded before any
 * kernel of the run began, so that the first item is found while the kernel before still runs. */
template <typename M, typename Find, typename Carry>
LF_DEVICE void carry_items(M &m, int *counter, int items, Find find, Carry carry_one)
{
    int drawn = blockIdx.x;
    for (int nth = 0;; nth++) {
        decltype(m.item) w;
        if (threadIdx.x % WARPGROUP < 32) {
            w = find(drawn_item(counter, drawn, items));
            if (nth == 0)
                grid_wait();
            barrier_wait(&m.item_empty, nth - 1);
            if (threadIdx.x % 32 == 0) {
                m.item = w;
                barrier_arrive(&m.item_full);
            }
            if (w.n)
                drawn = draw_item(counter);
        } else {
            if (nth == 0)
                grid_wait();
            barrier_wait(&m.item_full, nth);
            w = m.item;
            barrier_arrive(&m.item_empty);
        }
        if (!w.n)
            break;
        carry_one(w, nth);
    }
    copy_async_commit();
    copy_async_wait<0>();
}

/* A computing warpgroup's work: each(item, nth) for all items that the carrier finds. */
template <typename M, typename Each> LF_DEVICE void compute_items(M &m, Each each)
{
    for (int nth = 0;; nth++) {
        barrier_wait(&m.item_full, nth);
        auto w = m.item;
        barrier_arrive(&m.item_empty);
        if (!w.n)
            return;
        each(w, nth);
    }
}

/* All of a block: begin() in one thread starts the tiles' barriers, then carry() is the carrying
 * warpgroup's work and compute() that of the others. */
template <typename M, typename Begin, typename Carry, typename Compute>
LF_DEVICE void run_block(M &m, Begin begin, Carry carry, Compute compute)
{
    if (threadIdx.x == 0) {
        begin();
        barrier_begin(&m.item_full, 1);
        barrier_begin(&m.item_empty, COMPUTING_WARPS * 32 + WARPGROUP - 32);
        fence_for_wgmma();
    }
    __syncthreads();
    if (threadIdx.x < WARPGROUP) {
        registers_give<CARRIER_REGISTERS>();
        carry();
    } else {
        registers_take<COMPUTING_REGISTERS>();
        grid_wait();
        compute();
    }
}

/* d = (64 rows from a on) x (the rows of b)^T over DP dims; a_rows, b_rows: of a panel. */
template <int DP, int n>
LF_DEVICE void tile_products(float (&d)[n], uint32_t a, int a_rows, uint32_t b, int b_rows)
{
#pragma unroll
    for (int k = 0; k < DP / 16; k++)
        wgmma(d, a + k / 4 * a_rows * 8 + k % 4 * 2, b + k / 4 * b_rows * 8 + k % 4 * 2, k > 0);
}

/* 64 rows of a tile from `row` on (of `rows` a panel) as fragments; each warp its sixteen. */
template <int DP>
LF_DEVICE void load_fragments(uint32_t (&a)[DP / 16][4], const unsigned char *tile, int rows,
                              int row)
{
    int lane = threadIdx.x % 32;
    row += threadIdx.x % WARPGROUP / 32 * 16 + lane % 16;
#pragma unroll
    for (int k = 0; k < DP / 16; k++) {
        int chunk = 2 * k + lane / 16;
        ldmatrix(a[k], tile + chunk / 8 * rows * 128 + row * 128 + (chunk % 8 ^ row % 8) * 16);
    }
}

/* tile_products with a as fragments. */
template <int DP, int n>
LF_DEVICE void tile_products(float (&d)[n], const uint32_t (&a)[DP / 16][4], uint32_t b, int b_rows)
{
#pragma unroll
    for (int k = 0; k < DP / 16; k++)
        wgmma(d, a[k], b + k / 4 * b_rows * 8 + k % 4 * 2, k > 0);
}

/* d += p (64 x 16 n, as fragments) x (the 16 n rows of b). */
template <int m, int n>
LF_DEVICE void add_tile_products(float (&d)[m], const uint32_t (&p)[n][4], uint32_t b)
{
#pragma unroll
    for (int k = 0; k < n; k++)
        wgmma_bt(d, p[k], b + k * 128, 16 * n);
}

/* Sums that lie as D, as A fragments. */
template <int n> LF_DEVICE void fragments_of(uint32_t (&p)[n][4], const float (&s)[8 * n])
{
#pragma unroll
    for (int i = 0; i < 4 * n; i++)
        p[i / 4][i % 4] = pack2(s[2 * i], s[2 * i + 1]);
}

/* Which of the two computing warpgroups this is; the same register for a whole warp. */
LF_DEVICE int computing_group()
{
    return __shfl_sync(0xffffffffu, (int)threadIdx.x / WARPGROUP - 1, 0);
}

/* ---- Rows out -------------------------------------------------------------------------------- */

/* Words w of four lanes in a row: lane c gets word c of each of them. */
LF_DEVICE void turn_quad(uint32_t (&w)[4])
{
    int c = threadIdx.x % 4;
    bool odd = c & 1, high = c & 2;
    uint32_t x = __shfl_xor_sync(0xffffffffu, odd ? w[0] : w[1], 1);
    uint32_t y = __shfl_xor_sync(0xffffffffu, odd ? w[2] : w[3], 1);
    uint32_t a[2] = {odd ? x : w[0], odd ? w[1] : x}; /* words 0 or 1 of lanes c and c ^ 1 */
    uint32_t b[2] = {odd ? y : w[2], odd ? w[3] : y}; /* words 2 or 3 */
    x = __shfl_xor_sync(0xffffffffu, high ? a[0] : b[0], 2);
    y = __shfl_xor_sync(0xffffffffu, high ? a[1] : b[1], 2);
    w[0] = high ? x : a[0];
    w[1] = high ? y : a[1];
    w[2] = high ? b[0] : x;
    w[3] = high ? b[1] : y;
}

/* A warpgroup's 64 rows of sums, times scale[h], to rows `row` (and 8 more, h = 1) of out; rows
 * from n on and dims from D on are left alone. row: of this lane. */
template <int m>
LF_DEVICE void put_rows(bf16 *out, int ld, const float (&d)[m], const float (&scale)[2], int row,
                        int n, int D)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        bf16 *at = out + (size_t)(row + 8 * h) * ld;
#pragma unroll
        for (int i = 0; i < m / 4; i += 4) {
            uint32_t w[4];
#pragma unroll
            for (int j = 0; j < 4; j++)
                w[j] =
                    pack2(d[(i + j) * 4 + 2 * h] * scale[h], d[(i + j) * 4 + 2 * h + 1] * scale[h]);
            turn_quad(w);
            int dim = (i + threadIdx.x % 4) * 8;
            if (row + 8 * h < n && dim < D)
                *(uint4 *)(at + dim) = make_uint4(w[0], w[1], w[2], w[3]);
        }
    }
}

/* ---- When these kernels apply ---------------------------------------------------------------- */

/* Host: the card has warpgroup products, and heads are as the kernels want them. */
static inline bool on_hopper(struct lf_stream *s, int D)
{
#ifdef LF_HAVE_SM90A
    return lf_cuda_of(s)->dev->cc == 90 && D > 32 && D <= 128 && D % 8 == 0;
#else
    (void)s;
    (void)D;
    return false;
#endif
}

/* Host: the map of x (T, ld), heads of D dims, in boxes of `high` rows. */
static inline void map_rows(struct lf_cuda *dev, CUtensorMap *map, const void *x, int T, int heads,
                            int D, int ld, int high)
{
    struct lf_boxes b = {x,
                         {(uint64_t)D, (uint64_t)heads, (uint64_t)T},
                         {(uint64_t)D, (uint64_t)ld},
                         {64, 1, (uint32_t)high}};
    lf_cuda_tensor_map(dev, map, &b);
}

/* False when they do not take the batch. fresh: the new keys and values of cached sequences stand
 * in k and v as they do in the pages, so that a sequence without a past is read from there, in
 * larger boxes. bwd: what follows delta. */
bool lf_cuda_attn_prefill_hopper(struct lf_stream *s, const struct lf_attn_args *a, bool fresh);
bool lf_cuda_attn_bwd_hopper(struct lf_stream *s, const struct lf_attn_bwd_args *a);

#endif
