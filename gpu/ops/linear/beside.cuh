/* u = x A^T of the adapters beside a 4-bit product (cuda_wgmma.cu), which uses a third of what
 * memory gives and need not have all multiprocessors: blocks of its launch that have no part of it
 * read A meanwhile.
 *
 * Pairs of warps make units in turn: up to eight ranks of one projection for up to two rows of one
 * adapter. A warp has a ring of its own in shared memory and takes every second piece (256 k) of A
 * and of x, which bulk copies bring; lane (g, c) multiplies k 16c .. 16c+15 of rank g and row g,
 * which is mma's order with k permuted, alike on both sides. Sums of both are added in order.
 *
 * Tried and slower: two warps of each block of the product instead (32 and 64 adapters r16 on all
 * linears: 7,583 and 10,155 tok/s, later 6,681 and 9,332, with B in the same kernel 4,590 and
 * 6,170; 7,163 and 10,319 with u before the product): each waits for the chain of loads, sums and
 * meetings that two warps make one after another beside sixteen that are busy. The shares of y by
 * these blocks too, which the product adds (5,932 and 9,191). */
#ifndef LF_GPU_OPS_LINEAR_BESIDE_CUH
#define LF_GPU_OPS_LINEAR_BESIDE_CUH

#include "gpu/cuda/warpgroup.cuh"
#include "gpu/ops/linear/q4.cuh"
#include "gpu/ops/lora/lora.cuh"

#define BESIDE_PAIRS 10  /* of warps, in a block */
#define BESIDE_BARRIER 3 /* of the first pair; one more for each */
#define BESIDE_ROWS 2    /* of a unit */
#define BESIDE_RANKS 8   /* of a unit, at most */
#define BESIDE_K 256     /* of a piece */
#define BESIDE_STAGES 2  /* of a warp's ring */
#define BESIDE_UNITS 32  /* of a pair, a lane each */
/* Bytes of a row of a piece: no rows meet in a bank. */
#define BESIDE_LINE (BESIDE_K * 2 + 16)
#define BESIDE_STAGE ((BESIDE_RANKS + BESIDE_ROWS) * BESIDE_LINE)
#define SITES_AHEAD 4 /* whose entry L2 is asked for, for the maps that follow */

/* The units of a call, and the blocks that make them. */
struct beside {
    int units, parts;  /* of all; of the ranks of an adapter */
    int first, blocks; /* the first of the blocks; how many */
};

/* Host: tiles of rows that there may be. */
static inline int beside_tiles(int T, int n_segs)
{
    int tiles = lf_div_up(T, BESIDE_ROWS) + n_segs;
    return tiles < T ? tiles : T;
}

/* A block's shared memory. */
struct beside_smem {
    alignas(16) unsigned char stages[2 * BESIDE_PAIRS][BESIDE_STAGES][BESIDE_STAGE];
    uint64_t full[2 * BESIDE_PAIRS][BESIDE_STAGES];
    float2 sums[2][2 * BESIDE_PAIRS][32]; /* of a unit and of the next */
};

struct beside_unit {
    const bf16 *A; /* its first rank */
    int row, rows, ranks;
    int at;     /* of u: rank 0 of the first row */
    bool whole; /* A goes in whole words */
};

/* Of all pairs, which one this is; how many units it has. */
LF_DEVICE int beside_pair(const struct beside &b)
{
    return ((int)blockIdx.x - b.first) * BESIDE_PAIRS + threadIdx.x / 64;
}

LF_DEVICE int beside_units(const struct beside &b)
{
    int pairs = b.blocks * BESIDE_PAIRS;
    return small_div(max(0, b.units - beside_pair(b)) + pairs - 1, pairs);
}

/* The i-th lane's is the i-th unit of the pair. The batch and its adapters were there before any
 * kernel of the run began, so they may be looked up before grid_wait. */
LF_DEVICE struct beside_unit beside_find(const struct q4_call &c, const struct beside &b)
{
    const struct q4_lora &l = c.lora;
    int lane = threadIdx.x % 32, part = 0, p = 0, n = beside_units(b);
    struct row_tile t = {-1, 0, 0};
    struct beside_unit u = {};
    for (int i = 0; i < n; i++) {
        int unit = beside_pair(b) + i * b.blocks * BESIDE_PAIRS;
        int of_part = small_div(unit, b.parts), tile = small_div(of_part, c.group.n);
        struct row_tile found = find_row_tile(l.segs, l.n_segs, BESIDE_ROWS, tile, false);
        if (lane == i) {
            t = found;
            part = unit - of_part * b.parts;
            p = of_part - tile * c.group.n;
        }
    }
    if (t.seg < 0)
        return u;
    const struct lf_lora_site &site = l.sites[(size_t)l.segs[t.seg].slot * l.n_sites + l.site[p]];
    if (l.site[p] + SITES_AHEAD < l.n_sites)
        prefetch_line(&site + SITES_AHEAD);
    u.row = t.row;
    u.rows = t.n;
    u.ranks = max(0, min(BESIDE_RANKS, site.rank - part * BESIDE_RANKS));
    u.at = (t.row * c.group.n + p) * l.rank_max + part * BESIDE_RANKS;
    u.A = (const bf16 *)site.a + (size_t)part * BESIDE_RANKS * c.group.K;
    u.whole = whole_words(u.A, c.group.K);
    if (l.keeps_b && part == 0 && threadIdx.x % 64 < 32)
        lora_prefetch(site.b, site.rank * c.group.m[p].N);
    return u;
}

LF_DEVICE struct beside_unit beside_of_lane(const struct beside_unit &u, int lane)
{
    const unsigned all = 0xffffffffu;
    struct beside_unit v;
    v.A = (const bf16 *)__shfl_sync(all, (unsigned long long)u.A, lane);
    v.row = __shfl_sync(all, u.row, lane);
    v.rows = __shfl_sync(all, u.rows, lane);
    v.ranks = __shfl_sync(all, u.ranks, lane);
    v.at = __shfl_sync(all, u.at, lane);
    v.whole = __shfl_sync(all, u.whole, lane);
    return v;
}

/* A piece of a unit, in the order in which a warp takes them. */
struct beside_piece {
    struct beside_unit u;
    int number, piece; /* of the unit in the block; of the unit */
};

LF_DEVICE struct beside_piece beside_begin(int pieces)
{
    struct beside_piece p = {};
    p.number = -1;
    p.piece = pieces;
    return p;
}

/* The next piece of units that go in whole words. False: there is none. */
LF_DEVICE bool beside_next(struct beside_piece &p, const struct beside_unit &mine, int units,
                           int pieces)
{
    p.piece += 2;
    while (p.piece >= pieces) {
        if (p.number + 1 >= units)
            return false;
        p.number++;
        p.u = beside_of_lane(mine, p.number);
        p.piece = p.u.ranks > 0 && p.u.whole ? (int)threadIdx.x / 32 % 2 : pieces;
    }
    return true;
}

/* Asks for a piece: ranks of A, and apart rows of x, which may not be there yet. */
LF_DEVICE void beside_ask_ranks(unsigned char *stage, uint64_t *full, const struct beside_piece &p,
                                int K)
{
    int lane = threadIdx.x % 32;
    if (lane == 0)
        barrier_expect(full, (p.u.ranks + p.u.rows) * BESIDE_K * sizeof(bf16));
    __syncwarp();
    if (lane < p.u.ranks)
        copy_bulk(stage + lane * BESIDE_LINE, p.u.A + (size_t)lane * K + p.piece * BESIDE_K,
                  BESIDE_K * sizeof(bf16), full);
}

LF_DEVICE void beside_ask_rows(unsigned char *stage, uint64_t *full, const struct beside_piece &p,
                               const struct q4_call &c)
{
    int i = (int)threadIdx.x % 32 - BESIDE_RANKS;
    if (i >= 0 && i < p.u.rows)
        copy_bulk(stage + (BESIDE_RANKS + i) * BESIDE_LINE,
                  c.x + (size_t)(p.u.row + i) * c.ldx + p.piece * BESIDE_K, BESIDE_K * sizeof(bf16),
                  full);
}

/* acc += a piece: row g, ranks 2c and 2c + 1. */
LF_DEVICE void beside_add(float (&acc)[4][4], const unsigned char *stage, int rows)
{
    int g = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
    const unsigned char *A = stage + g * BESIDE_LINE + c * 32;
    const unsigned char *x = stage + (BESIDE_RANKS + min(g, rows - 1)) * BESIDE_LINE + c * 32;
#pragma unroll
    for (int step = 0; step < BESIDE_K / 64; step++) {
        const uint4 b0 = ((const uint4 *)(A + step * 128))[0];
        const uint4 b1 = ((const uint4 *)(A + step * 128))[1];
        const uint4 x0 = ((const uint4 *)(x + step * 128))[0];
        const uint4 x1 = ((const uint4 *)(x + step * 128))[1];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const uint32_t a[4] = {q4_word(x0, j), 0, q4_word(x1, j), 0};
            mma(acc[j], a, q4_word(b0, j), q4_word(b1, j));
        }
    }
}

/* u of a unit of which both warps have their sums. */
LF_DEVICE void beside_put(struct beside_smem &m, const float (&acc)[4][4], const struct q4_call &c,
                          const struct beside_unit &u, int buffer)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    m.sums[buffer][warp][lane] = make_float2((acc[0][0] + acc[1][0]) + (acc[2][0] + acc[3][0]),
                                             (acc[0][1] + acc[1][1]) + (acc[2][1] + acc[3][1]));
    threads_wait(BESIDE_BARRIER + warp / 2, 64);
    if (warp % 2 != 0 || lane / 4 >= u.rows)
        return;
    float2 a = m.sums[buffer][warp][lane], b = m.sums[buffer][warp + 1][lane];
    bf16 *to = c.lora.u + u.at + lane / 4 * c.group.n * c.lora.rank_max + lane % 4 * 2;
    if (lane % 4 * 2 < u.ranks)
        to[0] = __float2bfloat16_rn(a.x + b.x);
    if (lane % 4 * 2 + 1 < u.ranks)
        to[1] = __float2bfloat16_rn(a.y + b.y);
}

/* Units whose A does not go in whole words: a warp a dot product. */
LF_DEVICE void beside_apart(const struct q4_call &c, const struct beside_unit &mine, int units)
{
    int K = c.group.K;
    for (int number = 0; number < units; number++) {
        struct beside_unit u = beside_of_lane(mine, number);
        for (int i = threadIdx.x / 32 % 2; !u.whole && i < u.rows * u.ranks; i += 2) {
            int row = i / u.ranks, r = i - row * u.ranks;
            const bf16 *x = c.x + (size_t)(u.row + row) * c.ldx;
            float sum = lora_dot_apart(u.A + (size_t)r * K, x, NULL, K, 0.0f);
            if (threadIdx.x % 32 == 0)
                c.lora.u[u.at + row * c.group.n * c.lora.rank_max + r] = __float2bfloat16_rn(sum);
        }
    }
}

/* The first pieces are asked for, those of x when they may be; the last of them. */
LF_DEVICE struct beside_piece beside_start(unsigned char (*stages)[BESIDE_STAGE], uint64_t *full,
                                           const struct q4_call &c, const struct beside_unit &mine,
                                           int units, int pieces)
{
    struct beside_piece p = beside_begin(pieces), q = p;
    int n = 0;
    for (; n < BESIDE_STAGES && beside_next(p, mine, units, pieces); n++)
        beside_ask_ranks(stages[n], &full[n], p, c.group.K);
    grid_wait();
    for (int i = 0; i < n; i++) {
        beside_next(q, mine, units, pieces);
        beside_ask_rows(stages[i], &full[i], q, c);
    }
    return p;
}

/* A block that has no part of the product. */
LF_DEVICE void beside_block(const struct q4_call &c, const struct beside &b)
{
    struct beside_smem &m = *(struct beside_smem *)dynamic_smem();
    int warp = threadIdx.x / 32, pieces = c.group.K / BESIDE_K, units = beside_units(b);
    int stage = 0, parity = 0, buffer = 0;
    if (threadIdx.x % 32 == 0) {
        for (int i = 0; i < BESIDE_STAGES; i++)
            barrier_begin(&m.full[warp][i], 1);
        fence_for_wgmma();
    }
    __syncwarp();
    struct beside_unit mine = beside_find(c, b);
    struct beside_piece asked = beside_start(m.stages[warp], m.full[warp], c, mine, units, pieces);
    struct beside_piece p = beside_begin(pieces);
    float acc[4][4] = {};
    while (beside_next(p, mine, units, pieces)) {
        unsigned char *here = m.stages[warp][stage];
        barrier_wait(&m.full[warp][stage], parity);
        beside_add(acc, here, p.u.rows);
        __syncwarp();
        if (beside_next(asked, mine, units, pieces)) {
            beside_ask_ranks(here, &m.full[warp][stage], asked, c.group.K);
            beside_ask_rows(here, &m.full[warp][stage], asked, c);
        }
        if (p.piece + 2 >= pieces) {
            beside_put(m, acc, c, p.u, buffer);
            buffer ^= 1;
#pragma unroll
            for (int i = 0; i < 16; i++)
                acc[i / 4][i % 4] = 0.0f;
        }
        if (++stage == BESIDE_STAGES)
            stage = 0, parity ^= 1;
    }
    beside_apart(c, mine, units);
}

#endif
