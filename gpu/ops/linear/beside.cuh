/* u = x A^T of the adapters beside a 4-bit product (cuda_wgmma.cu), which uses a third of what
 * memory gives and need not have all multiprocessors: blocks of its launch that have no part of it
 * read A meanwhile.
 *
 * A unit is a rank of one projection for up to two rows of one adapter, and one warp's. The ranks
 * of all adapters of the call stand in one line, of which each block has an equal part, and its
 * warps take units of that in turn, so that they read the same rows of x together. A block makes a
 * table of the line once, from which warps walk. A warp has a ring of its own in shared memory,
 * into which bulk copies bring A, 4 KiB at a time; it is read as it lies, lane l has k 8 l .. 8 l +
 * 7 of 256. The product of lane (g, c) by itself is on mma's diagonal: column g of row g is the sum
 * of the quad's, so that the eight of them are u for the first row of x, and in rows g + 8 for the
 * second.
 *
 * Tried and slower: pieces of eight ranks by 512 bytes, a copy each, and each unit looked up by the
 * warps that make it (a tenth with 16 to 64 rows); two warps of each block of the product instead
 * (32 and 64 adapters r16 on all linears: 7,583 and 10,155 tok/s, later 6,681 and 9,332, with B in
 * the same kernel 4,590 and 6,170; 7,163 and 10,319 with u before the product); the shares of y by
 * these blocks too, which the product adds (5,932 and 9,191). */
#ifndef LF_GPU_OPS_LINEAR_BESIDE_CUH
#define LF_GPU_OPS_LINEAR_BESIDE_CUH

#include "gpu/cuda/warpgroup.cuh"
#include "gpu/ops/linear/q4.cuh"
#include "gpu/ops/lora/lora.cuh"

#define BESIDE_WARPS 20
#define BESIDE_THREADS (BESIDE_WARPS * 32)
#define BESIDE_ROWS 2   /* of a unit, at most */
#define BESIDE_TILES 64 /* of a call, at most */
#define BESIDE_ENTRIES (BESIDE_TILES * LF_GROUP_MAX)
#define BESIDE_PIECE 4096 /* bytes of A that come together */
#define BESIDE_STAGES 2   /* of a warp's ring */
#define SITES_AHEAD 4     /* whose entry L2 is asked for, for the maps that follow */

static_assert(BESIDE_ENTRIES % 32 == 0 && BESIDE_ENTRIES <= BESIDE_THREADS,
              "a warp adds up the table, whose entries have a thread each");
static_assert(BESIDE_ENTRIES <= 256, "beside_first halves a table of 256");

/* The blocks that make u. */
struct beside {
    int first, blocks; /* the first of them; how many */
};

/* Host: tiles of rows that there may be. */
static inline int beside_tiles(int T, int n_segs)
{
    int tiles = lf_div_up(T, BESIDE_ROWS) + n_segs;
    return tiles < T ? tiles : T;
}

/* A block's shared memory. Entry tile * n + p is projection p of a tile's adapter. */
struct beside_smem {
    alignas(16) unsigned char stages[BESIDE_WARPS][BESIDE_STAGES][BESIDE_PIECE];
    uint64_t full[BESIDE_WARPS][BESIDE_STAGES];
    const bf16 *A[BESIDE_ENTRIES];
    int upto[BESIDE_ENTRIES]; /* ranks of the entries up to this one, which is among them */
    int slot[BESIDE_TILES], row[BESIDE_TILES], rows[BESIDE_TILES];
    int tiles;
};

/* The tiles of all segments, in order. One warp. */
LF_DEVICE void beside_find_tiles(struct beside_smem &m, const struct q4_lora &l)
{
    int lane = threadIdx.x % 32, before = 0;
    for (int base = 0; base < l.n_segs; base += 32) {
        int i = base + lane, start = 0, rows = 0, slot = 0;
        if (i < l.n_segs) {
            start = l.segs[i].start;
            rows = l.segs[i].end - start;
            slot = l.segs[i].slot;
        }
        int tiles = (rows + BESIDE_ROWS - 1) / BESIDE_ROWS, upto = warp_upto(tiles);
        for (int j = 0; j < tiles; j++) {
            int at = before + upto - tiles + j;
            m.slot[at] = slot;
            m.row[at] = start + j * BESIDE_ROWS;
            m.rows[at] = min(BESIDE_ROWS, rows - j * BESIDE_ROWS);
        }
        before += __shfl_sync(0xffffffffu, upto, 31);
    }
    if (lane == 0)
        m.tiles = before;
}

/* Each entry's A and ranks; what comes after it is asked into L2 by one of the blocks. */
LF_DEVICE void beside_find_entry(struct beside_smem &m, const struct q4_call &c, int e, bool asks)
{
    const struct q4_lora &l = c.lora;
    int tile = small_div(e, c.group.n), p = e - tile * c.group.n;
    if (tile >= m.tiles) {
        m.upto[e] = 0;
        return;
    }
    const struct lf_lora_site &site = l.sites[(size_t)m.slot[tile] * l.n_sites + l.site[p]];
    m.A[e] = (const bf16 *)site.a;
    m.upto[e] = site.rank;
    if (asks && l.site[p] + SITES_AHEAD < l.n_sites)
        prefetch_line(&site + SITES_AHEAD);
    if (asks && l.keeps_b)
        lora_prefetch(site.b, site.rank * c.group.m[p].N);
}

/* Ranks of each become ranks up to each. One warp. */
LF_DEVICE void beside_add_up(struct beside_smem &m)
{
    const int each = BESIDE_ENTRIES / 32;
    int lane = threadIdx.x % 32, sum = 0, part[each];
#pragma unroll
    for (int i = 0; i < each; i++)
        part[i] = sum += m.upto[lane * each + i];
    int before = warp_upto(sum) - sum;
#pragma unroll
    for (int i = 0; i < each; i++)
        m.upto[lane * each + i] = before + part[i];
}

/* The table of the call, and the rings. The batch and its adapters were there before any kernel of
 * the run began, so they may be looked up before grid_wait. */
LF_DEVICE void beside_prepare(struct beside_smem &m, const struct q4_call &c,
                              const struct beside &b)
{
    int warp = threadIdx.x / 32;
    if (warp == 0)
        beside_find_tiles(m, c.lora);
    if (threadIdx.x % 32 == 0) {
        for (int i = 0; i < BESIDE_STAGES; i++)
            barrier_begin(&m.full[warp][i], 1);
        fence_for_wgmma();
    }
    __syncthreads();
    if (threadIdx.x < BESIDE_ENTRIES)
        beside_find_entry(m, c, threadIdx.x,
                          (int)threadIdx.x % b.blocks == (int)blockIdx.x - b.first);
    __syncthreads();
    if (warp == 0)
        beside_add_up(m);
    __syncthreads();
}

/* A piece of a unit, in the order in which a warp takes them. */
struct beside_piece {
    int unit, entry, rank, piece;
};

/* The entry that has a unit, from `entry` on. */
LF_DEVICE void beside_walk(struct beside_piece &p, const struct beside_smem &m)
{
    while (m.upto[p.entry] <= p.unit)
        p.entry++;
    p.rank = p.unit - (p.entry > 0 ? m.upto[p.entry - 1] : 0);
    p.piece = 0;
}

/* A unit's A; NULL where it does not lie in whole words. */
LF_DEVICE const bf16 *beside_rank(const struct beside_smem &m, const struct beside_piece &p, int K)
{
    const bf16 *A = m.A[p.entry] + (size_t)p.rank * K;
    return whole_words(A, K) ? A : NULL;
}

/* The first unit of a warp, if it has one: p.unit < end. Half of the table is left at each step. */
LF_DEVICE struct beside_piece beside_first(const struct beside_smem &m, int unit, int end)
{
    struct beside_piece p = {unit, 0, 0, 0};
    if (unit >= end)
        return p;
    for (int step = 128; step > 0; step /= 2)
        if (p.entry + step < BESIDE_ENTRIES && m.upto[p.entry + step - 1] <= unit)
            p.entry += step;
    beside_walk(p, m);
    return p;
}

LF_DEVICE void beside_next(struct beside_piece &p, const struct beside_smem &m, int end, int pieces)
{
    if (++p.piece < pieces)
        return;
    p.unit += BESIDE_WARPS;
    if (p.unit < end)
        beside_walk(p, m);
}

/* Asks for a piece of A; nothing where that does not lie in whole words. */
LF_DEVICE void beside_ask(struct beside_smem &m, const struct beside_piece &p, int stage, int K)
{
    int warp = threadIdx.x / 32, at = p.piece * BESIDE_PIECE;
    const bf16 *A = beside_rank(m, p, K);
    if (threadIdx.x % 32 != 0)
        return;
    uint32_t bytes = A ? min(BESIDE_PIECE, K * (int)sizeof(bf16) - at) : 0;
    barrier_expect(&m.full[warp][stage], bytes);
    if (bytes)
        copy_bulk(m.stages[warp][stage], (const unsigned char *)A + at, bytes,
                  &m.full[warp][stage]);
}

/* acc += a piece, of so many times 512 bytes; x: this lane's part of the first row, and `second`
 * words further on that of the second row; 0: there is none. */
LF_DEVICE void beside_add(float (&acc)[2][4], const unsigned char *stage, const uint4 *x,
                          size_t second, int n)
{
    const uint4 *A = (const uint4 *)stage + threadIdx.x % 32;
    for (int j = 0; j < n; j += 4) {
        uint4 first[4] = {}, other[4] = {};
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (j + i < n) {
                first[i] = x[(j + i) * 32];
                if (second)
                    other[i] = x[second + (j + i) * 32];
            }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (j + i >= n)
                break;
            const uint4 w = A[(j + i) * 32];
            const uint32_t lo[4] = {first[i].x, other[i].x, first[i].y, other[i].y};
            const uint32_t hi[4] = {first[i].z, other[i].z, first[i].w, other[i].w};
            mma(acc[0], lo, w.x, w.y);
            mma(acc[1], hi, w.z, w.w);
        }
    }
}

/* u of a unit that is complete: of row 0 or 1 of its tile. */
LF_DEVICE void beside_put(const struct q4_call &c, const struct beside_smem &m,
                          const struct beside_piece &p, int row, float u)
{
    int tile = small_div(p.entry, c.group.n), of = p.entry - tile * c.group.n;
    size_t at = (size_t)(m.row[tile] + row) * c.group.n + of;
    if (threadIdx.x % 32 == 0 && row < m.rows[tile])
        c.lora.u[at * c.lora.rank_max + p.rank] = __float2bfloat16_rn(u);
}

/* What of mma's sums is on the diagonal: elements of rows g (from 0) or g + 8 (from 2). */
LF_DEVICE float beside_diagonal(const float (&acc)[2][4], int from)
{
    int g = threadIdx.x % 32 / 4;
    float even = acc[0][from] + acc[1][from], odd = acc[0][from + 1] + acc[1][from + 1];
    return warp_sum((int)threadIdx.x % 4 == g / 2 ? (g % 2 ? odd : even) : 0.0f);
}

/* A unit whose A does not lie in whole words. */
LF_DEVICE void beside_apart(const struct q4_call &c, const struct beside_smem &m,
                            const struct beside_piece &p)
{
    int tile = small_div(p.entry, c.group.n), K = c.group.K;
    for (int row = 0; row < m.rows[tile]; row++)
        beside_put(c, m, p, row,
                   lora_dot_apart(m.A[p.entry] + (size_t)p.rank * K,
                                  c.x + (size_t)(m.row[tile] + row) * c.ldx, NULL, K, 0.0f));
}

/* A piece that is there, and u where it is the unit's last. */
LF_DEVICE void beside_take(float (&acc)[2][4], const struct q4_call &c, const struct beside_smem &m,
                           const struct beside_piece &p, const unsigned char *stage, int pieces)
{
    int tile = small_div(p.entry, c.group.n), K = c.group.K, k = p.piece * (BESIDE_PIECE / 2);
    bool last = p.piece == pieces - 1;
    if (!beside_rank(m, p, K)) {
        if (last)
            beside_apart(c, m, p);
        return;
    }
    const bf16 *x = c.x + (size_t)m.row[tile] * c.ldx + k + threadIdx.x % 32 * 8;
    beside_add(acc, stage, (const uint4 *)x, m.rows[tile] > 1 ? c.ldx / 8 : 0,
               min(BESIDE_PIECE / 2, K - k) / 256);
    if (!last)
        return;
    beside_put(c, m, p, 0, beside_diagonal(acc, 0));
    if (m.rows[tile] > 1)
        beside_put(c, m, p, 1, beside_diagonal(acc, 2));
#pragma unroll
    for (int i = 0; i < 8; i++)
        acc[i / 4][i % 4] = 0.0f;
}

/* A block that has no part of the product. K is a multiple of 256. */
LF_DEVICE void beside_block(const struct q4_call &c, const struct beside &b)
{
    struct beside_smem &m = *(struct beside_smem *)dynamic_smem();
    int warp = threadIdx.x / 32, block = (int)blockIdx.x - b.first, K = c.group.K;
    int pieces = (K * (int)sizeof(bf16) + BESIDE_PIECE - 1) / BESIDE_PIECE;
    beside_prepare(m, c, b);
    int units = m.upto[BESIDE_ENTRIES - 1];
    int begin = units * block / b.blocks, end = units * (block + 1) / b.blocks;
    struct beside_piece p = beside_first(m, begin + warp, end), asked = p;
    for (int i = 0; i < BESIDE_STAGES && asked.unit < end; i++) {
        beside_ask(m, asked, i, K);
        beside_next(asked, m, end, pieces);
    }
    grid_wait();
    float acc[2][4] = {};
    for (int stage = 0, parity = 0; p.unit < end; beside_next(p, m, end, pieces)) {
        barrier_wait(&m.full[warp][stage], parity);
        beside_take(acc, c, m, p, m.stages[warp][stage], pieces);
        __syncwarp();
        if (asked.unit < end) {
            beside_ask(m, asked, stage, K);
            beside_next(asked, m, end, pieces);
        }
        if (++stage == BESIDE_STAGES)
            stage = 0, parity ^= 1;
    }
}

#endif
