/* Linear maps of 9 to 512 tokens over 4-bit weights on Hopper: the weights are the register operand
 * of wgmma, the tokens its shared one. A weight is decoded and scaled once for up to 256 tokens.
 *
 * A block is alone on its multiprocessor. Its consumers are two or four warpgroups of 64 rows, a
 * warp a panel, over the same tile of tokens. Two more warps keep them supplied through rings in
 * shared memory: codes by bulk copies, a run (256 k) a stage; tokens by the tensor copy engine, a
 * tile (64 k) a stage. Codes and scales are constants: they are under way before the kernel before
 * this one has ended.
 *
 * Scaling: the table gives two codes as bf16 for a byte; scale * code is rounded to bf16 once, with
 * the scale as the sum of two bf16. A lane makes the two scales of a run that its quad shares out.
 * While a group of products is made, the next is decoded.
 *
 * Work is the runs of all tiles (rows x tokens) in one line, cut into parts, one a block. Sums of a
 * part go to memory as they lie in the registers; when all parts of a tile are there, each of its
 * blocks adds and writes its share, parts in order. A tile of one part goes straight into y.
 *
 * For 1024 weights a warp issues about 85 instructions (20 for codes and scales, 16 to look up, 32
 * to scale) and reads shared memory 24 times (128 bytes); N tokens take N / 2 cycles of the tensor
 * cores and N / 4 of shared memory.
 */
#include "gpu/cuda/tensor_map.cuh"
#include "gpu/cuda/warpgroup.cuh"
#include "gpu/ops/glu/curve.cuh"
#include "gpu/ops/linear/beside.cuh"

#define BESIDE_MIN 9             /* tokens from which u is made beside, */
#define BESIDE_MAX 64            /* up to which (128: 8% slower) */
#define SUPPLY_WARPS 4           /* two work: registers are moved by the warpgroup */
#define RUN_BYTES (Q4_RUN * 512) /* codes of a panel */

static_assert(BESIDE_MAX <= BESIDE_TILES, "a tile has a row at the least");

template <int N> struct shape {
    static const int groups = N <= 128 ? 4 : 2; /* warpgroups that consume */
    static const int panels = 4 * groups;
    static const int consumers = 128 * groups;
    static const int give = 32, take = groups == 4 ? 112 : 232; /* registers */
    static const int threads = consumers + 32 * SUPPLY_WARPS;
    static const int steps =
        N > 96 && N <= 128 ? 2 : 4;         /* of sixteen k, decoded and multiplied together */
    static const int token_bytes = N * 128; /* of a tile */
    static const int token_stages = N <= 128 ? 4 : 3;
    static const int code_bytes = panels * RUN_BYTES; /* of a run */
    static const int code_stages = N <= 64 ? 3 : 2;
    static const size_t smem =
        Q4_TABLE_BYTES + WGMMA_ALIGN + token_stages * token_bytes + code_stages * code_bytes;
};

struct wgmma_args {
    struct q4_call c;
    int columns, tiles; /* tiles of tokens; all tiles */
    int runs;           /* in a tile */
    int splits;         /* equal parts of every tile; 0: the line of all units in equal parts */
    int share, rest;    /* units of a block; the first `rest` blocks have one more */
    struct beside beside;
    float4 *parts; /* two for each block: of its first tile, of any other */
    int *counters; /* a tile each */
};

/* A tile's part that a block makes. */
struct segment {
    int tile, begin, end; /* runs */
    int panel, token, tokens;
};

/* ---- Work ------------------------------------------------------------------------------------ */

/* The first unit (run of a tile) of a block. */
LF_DEVICE int first_unit(const struct wgmma_args &a, int block)
{
    if (a.splits) {
        int tile = block / a.splits;
        return tile * a.runs + a.runs * (block - tile * a.splits) / a.splits;
    }
    return block * a.share + min(block, a.rest);
}

/* The block that has a unit. */
LF_DEVICE int block_of(const struct wgmma_args &a, int unit)
{
    if (a.splits) {
        int tile = unit / a.runs;
        return tile * a.splits + ((unit - tile * a.runs + 1) * a.splits - 1) / a.runs;
    }
    int larger = (a.share + 1) * a.rest; /* units of the blocks that have one more */
    return unit < larger ? unit / (a.share + 1) : a.rest + (unit - larger) / a.share;
}

template <int N, bool glu>
LF_DEVICE struct segment segment_at(const struct wgmma_args &a, int unit, int end)
{
    struct segment s;
    s.tile = unit / a.runs;
    s.begin = unit - s.tile * a.runs;
    s.end = min(a.runs, s.begin + end - unit);
    int row = s.tile / a.columns, column = s.tile - row * a.columns;
    s.panel = row * (shape<N>::panels / (glu ? 2 : 1));
    s.token = column * N;
    s.tokens = min(N, a.c.T - s.token);
    return s;
}

/* The k-th panel of a segment; may be past the last. With an activation the first half are gate's
 * and the second half those of up that belong to them. */
template <int N, bool glu>
LF_DEVICE int panel_of(const struct q4_call &c, const struct segment &s, int k)
{
    if (!glu)
        return s.panel + k;
    int half = c.group.panels / 2, pair = s.panel + k % (shape<N>::panels / 2);
    return pair < half ? pair + k / (shape<N>::panels / 2) * half : c.group.panels;
}

/* ---- The rings ------------------------------------------------------------------------------- */

template <int N> struct rings {
    uint64_t codes_full[shape<N>::code_stages], codes_empty[shape<N>::code_stages];
    uint64_t tokens_full[shape<N>::token_stages], tokens_empty[shape<N>::token_stages];
};

/* Where the rings' stages are, and the table before them. */
template <int N> struct stages {
    unsigned char *table, *tokens, *codes;
};

template <int N> LF_DEVICE struct stages<N> stages_of() {
    struct stages<N> m;
    m.table = dynamic_smem(); /* first, so that its address is a constant */
    m.tokens = wgmma_aligned(m.table + Q4_TABLE_BYTES);
    m.codes = m.tokens + shape<N>::token_stages * shape<N>::token_bytes;
    return m;
}

/* A place in a ring of n stages: the stage and the parity of its round. */
template <int n>
struct place {
    int stage = 0;
    uint32_t parity = 0;
    __device__ __forceinline__ void next()
    {
        stage++;
        if (stage == n)
            stage = 0, parity ^= 1;
    }
};

template <int N> LF_DEVICE void rings_init(struct rings<N> &r)
{
    for (int i = 0; i < shape<N>::code_stages; i++) {
        barrier_begin(&r.codes_full[i], 1);
        barrier_begin(&r.codes_empty[i], shape<N>::panels);
    }
    for (int i = 0; i < shape<N>::token_stages; i++) {
        barrier_begin(&r.tokens_full[i], 1);
        barrier_begin(&r.tokens_empty[i], shape<N>::panels);
    }
    fence_for_wgmma();
}

#define BEGIN_BARRIER 1
#define CONSUMERS_BARRIER 2

/* The table and the rings' barriers are there. */
template <int N> LF_DEVICE void begin_together()
{
    threads_wait(BEGIN_BARRIER, shape<N>::threads);
}

template <int N> LF_DEVICE void consumers_meet()
{
    threads_wait(CONSUMERS_BARRIER, shape<N>::consumers);
}

/* ---- Supply ---------------------------------------------------------------------------------- */

/* One warp: a lane a panel. */
template <int N, bool glu>
LF_DEVICE void supply_codes(const struct wgmma_args &a, struct rings<N> &r,
                            const struct stages<N> &in)
{
    const struct q4_group &g = a.c.group;
    int lane = threadIdx.x % 32, end = first_unit(a, blockIdx.x + 1);
    struct place<shape<N>::code_stages> at;
    for (int unit = first_unit(a, blockIdx.x); unit < end;) {
        struct segment s = segment_at<N, glu>(a, unit, end);
        int panel = min(panel_of<N, glu>(a.c, s, lane), g.panels - 1);
        const struct q4_matrix &m = g.m[q4_matrix_of(g, panel)];
        const uint4 *codes = m.codes + (size_t)(panel - m.panel) * g.tiles * 32;
        for (int run = s.begin; run < s.end; run++, at.next()) {
            barrier_wait(&r.codes_empty[at.stage], at.parity ^ 1);
            if (lane == 0)
                barrier_expect(&r.codes_full[at.stage], shape<N>::code_bytes);
            __syncwarp();
            if (lane < shape<N>::panels)
                copy_bulk(in.codes + at.stage * shape<N>::code_bytes + lane * RUN_BYTES,
                          codes + run * Q4_RUN * 32, RUN_BYTES, &r.codes_full[at.stage]);
        }
        unit += s.end - s.begin;
    }
}

/* One lane. */
template <int N, bool glu>
LF_DEVICE void supply_tokens(const struct wgmma_args &a, struct rings<N> &r,
                             const struct stages<N> &in, const CUtensorMap &x)
{
    int end = first_unit(a, blockIdx.x + 1);
    struct place<shape<N>::token_stages> at;
    for (int unit = first_unit(a, blockIdx.x); unit < end;) {
        struct segment s = segment_at<N, glu>(a, unit, end);
        for (int tile = s.begin * Q4_RUN; tile < s.end * Q4_RUN; tile++, at.next()) {
            barrier_wait(&r.tokens_empty[at.stage], at.parity ^ 1);
            barrier_expect(&r.tokens_full[at.stage], shape<N>::token_bytes);
            copy_box(in.tokens + at.stage * shape<N>::token_bytes, &x, tile * Q4_BLOCK, s.token, 0,
                     &r.tokens_full[at.stage]);
        }
        unit += s.end - s.begin;
    }
}

/* ---- Products -------------------------------------------------------------------------------- */

/* ---- Scales ---- */

/* The scales of this lane's rows g and g + 8 for tile c of a run, as they lie in memory. */
template <bool nested> struct raw_scales;

template <> struct raw_scales<true> {
    uint32_t bytes;
    float absmax2[2];
};

template <> struct raw_scales<false> {
    float2 value;
};

LF_DEVICE void load_scales(struct raw_scales<true> &v, const struct q4_panel &p, int tiles, int run)
{
    int i = p.block + run * Q4_RUN;
    v.bytes = __ldg((const uint16_t *)(p.absmax_q + run * Q4_RUN * Q4_PANEL) + threadIdx.x % 32);
    v.absmax2[0] = __ldg(&p.absmax2[i >> p.shift2]);
    v.absmax2[1] = __ldg(&p.absmax2[(i + 8 * tiles) >> p.shift2]);
}

LF_DEVICE void load_scales(struct raw_scales<false> &v, const struct q4_panel &p, int tiles,
                           int run)
{
    (void)tiles;
    v.value = __ldg((const float2 *)(p.absmax + run * Q4_RUN * Q4_PANEL) + threadIdx.x % 32);
}

/* A scale as the sum of two bf16, to 2^-17: the larger in the high half. */
LF_DEVICE uint32_t split_scale(float scale)
{
    float rest = scale - __uint_as_float(pack2(0.0f, scale));
    return pack2(rest, scale);
}

LF_DEVICE uint2 scales_of(const struct raw_scales<true> &v, const struct q4_panel &p,
                          const unsigned char *table)
{
    const unsigned char *map = table + 128;
    uint32_t lane4 = threadIdx.x % 32 * 4;
    float lo = *(const float *)(map + q4_at<0>(v.bytes, lane4));
    float hi = *(const float *)(map + q4_at<1>(v.bytes, lane4));
    return make_uint2(split_scale(__fadd_rn(__fmul_rn(lo, v.absmax2[0]), p.offset)),
                      split_scale(__fadd_rn(__fmul_rn(hi, v.absmax2[1]), p.offset)));
}

LF_DEVICE uint2 scales_of(const struct raw_scales<false> &v, const struct q4_panel &p,
                          const unsigned char *table)
{
    (void)p, (void)table;
    return make_uint2(split_scale(v.value.x), split_scale(v.value.y));
}

/* The scales of rows g and g + 8 for one tile, each half twice: larger, smaller. */
LF_DEVICE uint4 tile_scales(uint2 v, int tile)
{
    int from = threadIdx.x % 32 / 4 * 4 + tile;
    uint32_t x = __shfl_sync(0xffffffffu, v.x, from), y = __shfl_sync(0xffffffffu, v.y, from);
    return make_uint4(__byte_perm(x, 0, 0x3232), __byte_perm(x, 0, 0x1010),
                      __byte_perm(y, 0, 0x3232), __byte_perm(y, 0, 0x1010));
}

/* ---- Products ---- */

LF_DEVICE uint32_t scaled(uint32_t codes, uint32_t hi, uint32_t lo)
{
    return fma2(codes, hi, fma2(codes, lo, 0x80008000u));
}

/* Sixteen k of a panel's tile as the A fragment, from word c of a unit of row g. */
LF_DEVICE void decode(uint32_t (&f)[4], const unsigned char *table, uint32_t word,
                      const uint4 &scale)
{
    q4_fragment(f, table, word, threadIdx.x % 32 * 4);
    f[0] = scaled(f[0], scale.x, scale.y);
    f[1] = scaled(f[1], scale.z, scale.w);
    f[2] = scaled(f[2], scale.x, scale.y);
    f[3] = scaled(f[3], scale.z, scale.w);
}

/* This warp's view of the rings. */
template <int N> struct consumer {
    struct place<shape<N>::code_stages> codes;
    struct place<shape<N>::token_stages> tokens;
    int last;       /* the stage of tokens that is being multiplied; -1: none */
    int code_at[4]; /* in a stage: word c of row g's unit j of tile 0 */
};

template <int N> LF_DEVICE struct consumer<N> consumer_of() {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    struct consumer<N> k;
    k.last = -1;
#pragma unroll
    for (int j = 0; j < 4; j++)
        k.code_at[j] = warp * RUN_BYTES + lane / 4 * 64 + (lane / 8 ^ j) * 16 + lane % 4 * 4;
    return k;
}

/* acc += tile i of the run whose codes are at `codes`. */
template <int i, int N>
LF_DEVICE void add_tile(float (&acc)[N / 2], struct consumer<N> &k, struct rings<N> &r,
                        const struct stages<N> &in, uint64_t tokens, const unsigned char *codes,
                        uint2 scales)
{
    const int steps = shape<N>::steps;
    const uint4 scale = tile_scales(scales, i);
    uint64_t at = tokens + k.tokens.stage * (shape<N>::token_bytes / 16);
#pragma unroll
    for (int j = 0; j < 4; j += steps) {
        uint32_t f[steps][4];
#pragma unroll
        for (int e = 0; e < steps; e++)
            decode(f[e], in.table, *(const uint32_t *)(codes + k.code_at[j + e] + i * 512), scale);
        if (j == 0)
            barrier_wait(&r.tokens_full[k.tokens.stage], k.tokens.parity);
        wgmma_begin();
#pragma unroll
        for (int e = 0; e < steps; e++)
            wgmma(acc, f[e], at + 2 * (j + e), 1);
        wgmma_end();
        wgmma_wait_for<1>();
        if (j == 0 && k.last >= 0 && threadIdx.x % 32 == 0)
            barrier_arrive(&r.tokens_empty[k.last]);
    }
    k.last = k.tokens.stage;
    k.tokens.next();
}

/* acc = the products of a segment, of whose rows this warp has a panel. */
template <int N, bool nested>
LF_DEVICE void add_segment(float (&acc)[N / 2], struct consumer<N> &k, struct rings<N> &r,
                           const struct stages<N> &in, const struct segment &s,
                           const struct q4_panel &panel, int tiles)
{
    const uint64_t tokens = wgmma_tile(in.tokens);
    struct raw_scales<nested> raw;
    load_scales(raw, panel, tiles, s.begin);
    q4_prefetch_scales<nested>(panel, s.begin, s.end);
#pragma unroll
    for (int e = 0; e < N / 2; e++)
        acc[e] = 0.0f;
    for (int run = s.begin; run < s.end; run++) {
        const unsigned char *codes = in.codes + k.codes.stage * shape<N>::code_bytes;
        uint2 scales = scales_of(raw, panel, in.table);
        if (run + 1 < s.end)
            load_scales(raw, panel, tiles, run + 1);
        barrier_wait(&r.codes_full[k.codes.stage], k.codes.parity);
        add_tile<0, N>(acc, k, r, in, tokens, codes, scales);
        add_tile<1, N>(acc, k, r, in, tokens, codes, scales);
        add_tile<2, N>(acc, k, r, in, tokens, codes, scales);
        add_tile<3, N>(acc, k, r, in, tokens, codes, scales);
        __syncwarp();
        if (threadIdx.x % 32 == 0)
            barrier_arrive(&r.codes_empty[k.codes.stage]);
        k.codes.next();
    }
    wgmma_wait_for<0>();
    wgmma_made(acc);
    if (threadIdx.x % 32 == 0)
        barrier_arrive(&r.tokens_empty[k.last]);
    k.last = -1;
}

/* ---- Sums ------------------------------------------------------------------------------------ */

/* float4 number t * consumers + thread of a part: of tokens 8t + 2c, +1 of rows g, then of row g+8,
 * of the thread's panel. */
template <int N> LF_DEVICE void put_part(float4 *part, const float (&acc)[N / 2])
{
#pragma unroll
    for (int t = 0; t < N / 8; t++)
        __stcg(&part[t * shape<N>::consumers + threadIdx.x],
               make_float4(acc[4 * t], acc[4 * t + 1], acc[4 * t + 2], acc[4 * t + 3]));
}

/* A tile's parts: those of blocks [first, first + n), as float4. */
struct tile_parts {
    const float4 *begin; /* of the first; */
    const float4 *rest;  /* of the second, the others `stride` further on each */
    int stride, first, n;
};

template <int N> LF_DEVICE struct tile_parts parts_of(const struct wgmma_args &a, int tile)
{
    struct tile_parts p;
    p.stride = 2 * (N / 8) * shape<N>::consumers;
    p.first = block_of(a, tile * a.runs);
    p.n = block_of(a, (tile + 1) * a.runs - 1) - p.first + 1;
    bool later = first_unit(a, p.first) < tile * a.runs; /* the block began with another tile */
    p.begin = a.parts + (size_t)p.first * p.stride + (later ? p.stride / 2 : 0);
    p.rest = a.parts + (size_t)(p.first + 1) * p.stride;
    return p;
}

/* The sums over a tile's parts of their float4 number at[e]. */
template <int n>
LF_DEVICE void add_parts(float4 (&sum)[n], const struct tile_parts &p, const int (&at)[n])
{
#pragma unroll
    for (int e = 0; e < n; e++)
        sum[e] = __ldcg(&p.begin[at[e]]);
#pragma unroll 2
    for (int k = 0; k < p.n - 1; k++) {
        float4 v[n];
#pragma unroll
        for (int e = 0; e < n; e++)
            v[e] = __ldcg(&p.rest[(size_t)k * p.stride + at[e]]);
#pragma unroll
        for (int e = 0; e < n; e++)
            sum[e].x += v[e].x, sum[e].y += v[e].y, sum[e].z += v[e].z, sum[e].w += v[e].w;
    }
}

/* Sums of eight tokens as a warp has them, 32 float4, in shared memory. Of an odd warp's the rows
 * are swapped in pairs, so that what two warps' are read by together lies in other banks. */
#define SUMS_BYTES 512

LF_DEVICE void store_sums(unsigned char *to, float4 v, int odd)
{
    *(float4 *)(to + (threadIdx.x % 32 * 16 ^ odd << 6)) = v;
}

/* This lane's eight rows of them: see rows_at. */
LF_DEVICE void load_rows(float (&x)[8], const unsigned char *from, int odd)
{
#pragma unroll
    for (int i = 0; i < 8; i++)
        x[i] = *(const float *)(from + threadIdx.x % 16 * 4 + (i << 6 ^ odd << 6));
}

/* Eight rows of one token. */
struct rows {
    int panel, row, token; /* of the group; of the panel; of x */
    bool there;
};

/* Those that a lane writes of tokens 8t and on and the k-th panel of a segment; with an activation
 * gate's. */
template <bool glu>
LF_DEVICE struct rows rows_at(const struct q4_call &c, const struct segment &s, int t, int k)
{
    int lane = threadIdx.x % 16, token = t * 8 + lane / 4 * 2 + lane % 2;
    struct rows o = {s.panel + k, lane / 2 % 2 * 8, s.token + token, false};
    o.there = o.panel < c.group.panels / (glu ? 2 : 1) && token < s.tokens;
    return o;
}

LF_DEVICE size_t output_at(const struct q4_call &c, const struct rows &o)
{
    const struct q4_matrix &m = c.group.m[q4_matrix_of(c.group, o.panel)];
    return (size_t)o.token * c.ldy + m.col + (o.panel - m.panel) * Q4_PANEL + o.row;
}

LF_DEVICE bool aligned16(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* What y holds, where it is added to. */
LF_DEVICE void load_output(float (&old)[8], const struct q4_call &c, const struct rows &o)
{
#pragma unroll
    for (int i = 0; i < 8; i++)
        old[i] = 0.0f;
    if (!c.accumulate || !o.there)
        return;
    size_t at = output_at(c, o);
    if (c.y_f32)
        load8(old, (const float *)c.y + at, 8, aligned16((const float *)c.y + at));
    else
        load8(old, (const bf16 *)c.y + at, 8, aligned16((const bf16 *)c.y + at));
}

LF_DEVICE void add_bias(float (&x)[8], const struct q4_group &g, int panel, int row)
{
    const struct q4_matrix &m = g.m[q4_matrix_of(g, panel)];
    if (m.bias)
#pragma unroll
        for (int i = 0; i < 8; i++)
            x[i] += m.bias[(panel - m.panel) * Q4_PANEL + row + i];
}

LF_DEVICE void put_plain(float (&x)[8], const float (&old)[8], const struct q4_call &c,
                         const struct rows &o)
{
    if (!o.there)
        return;
    add_bias(x, c.group, o.panel, o.row);
#pragma unroll
    for (int i = 0; i < 8; i++)
        x[i] += old[i];
    size_t at = output_at(c, o);
    if (!c.y_f32)
        store8((bf16 *)c.y + at, x, 8, aligned16((bf16 *)c.y + at));
    else
#pragma unroll
        for (int i = 0; i < 8; i++)
            ((float *)c.y)[at + i] = x[i];
}

template <enum lf_act_kind act> LF_DEVICE void activate(float (&x)[8], const float (&up)[8])
{
#pragma unroll
    for (int i = 0; i < 8; i++)
        x[i] = curve_at<act>(x[i]).y * up[i];
}

LF_DEVICE void put_glu(float (&x)[8], float (&up)[8], const struct q4_call &c, const struct rows &o)
{
    if (!o.there)
        return;
    add_bias(x, c.group, o.panel, o.row);
    add_bias(up, c.group, o.panel + c.group.panels / 2, o.row);
    if (c.glu.act == LF_ACT_SILU)
        activate<LF_ACT_SILU>(x, up);
    else if (c.glu.act == LF_ACT_GELU_TANH)
        activate<LF_ACT_GELU_TANH>(x, up);
    else
        activate<LF_ACT_GELU_ERF>(x, up);
    bf16 *y = c.glu.y + (size_t)o.token * c.group.m[0].N + o.panel * Q4_PANEL + o.row;
    store8(y, x, 8, aligned16(y));
}

/* This block's share of a tile's sums into y: a warp adds the parts of two of them at a time, and
 * sixteen lanes write each. `room`: shared memory of four sums a warp. */
template <int N, bool glu>
LF_DEVICE void put_share(const struct wgmma_args &a, const struct segment &s,
                         const struct tile_parts &p, unsigned char *room)
{
    const int panels = shape<N>::panels, across = glu ? panels / 2 : panels;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, half = lane / 16;
    int all = (s.tokens + 7) / 8 * across, each = (all + p.n - 1) / p.n;
    int begin = min(all, each * ((int)blockIdx.x - p.first)), end = min(all, begin + each);
    unsigned char *mine = room + warp * 4 * SUMS_BYTES;
#pragma unroll 1
    for (int u = begin + warp * 2; u < end; u += panels * 2) {
        float4 sum[glu ? 4 : 2];
        float x[8], more[8]; /* more: up's, or what y holds */
        int at[glu ? 4 : 2], w = u + half;
        struct rows o = rows_at<glu>(a.c, s, w / across, w % across);
        o.there = o.there && w < end;
        if (!glu)
            load_output(more, a.c, o);
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int v = min(u + e, end - 1);
            at[e] = (v / across * panels + v % across) * 32 + lane;
            if (glu)
                at[2 + e] = at[e] + across * 32;
        }
        add_parts(sum, p, at);
        __syncwarp();
#pragma unroll
        for (int e = 0; e < (glu ? 4 : 2); e++)
            store_sums(mine + e * SUMS_BYTES, sum[e], e % 2);
        __syncwarp();
        load_rows(x, mine + half * SUMS_BYTES, half);
        if (glu)
            load_rows(more, mine + (2 + half) * SUMS_BYTES, half);
        if (glu)
            put_glu(x, more, a.c, o);
        else
            put_plain(x, more, a.c, o);
    }
}

/* Sums of `n` times eight tokens from 8 first on, of all warps, from shared memory into y. */
template <int N, bool glu>
LF_DEVICE void put_stored(const struct wgmma_args &a, const struct segment &s,
                          const unsigned char *sums, int first, int n)
{
    const int panels = shape<N>::panels, across = glu ? panels / 2 : panels;
    int warp = threadIdx.x / 32, half = threadIdx.x % 32 / 16;
#pragma unroll 1
    for (int u = warp * 2 + half; u < n * across; u += panels * 2) {
        float x[8], more[8];
        int t = u / across, k = u % across;
        struct rows o = rows_at<glu>(a.c, s, first + t, k);
        const unsigned char *from = sums + (t * panels + k) * SUMS_BYTES;
        load_rows(x, from, k % 2);
        if (glu) {
            load_rows(more, from + across * SUMS_BYTES, k % 2);
            put_glu(x, more, a.c, o);
        } else {
            load_output(more, a.c, o);
            put_plain(x, more, a.c, o);
        }
    }
}

/* A tile of one part into y, through shared memory, where the table was; it is made again. */
template <int N, bool glu>
LF_DEVICE void put_whole(const float (&acc)[N / 2], const struct wgmma_args &a,
                         const struct segment &s, unsigned char *table)
{
    const int panels = shape<N>::panels;
    const int rounds = (N / 8 * panels * SUMS_BYTES + Q4_TABLE_BYTES - 1) / Q4_TABLE_BYTES;
    const int n = N / 8 / rounds;
    static_assert(n * rounds == N / 8, "rounds are alike");
    int warp = threadIdx.x / 32;
#pragma unroll
    for (int round = 0; round < rounds; round++) {
        consumers_meet<N>();
#pragma unroll
        for (int t = 0; t < n; t++) {
            const float *v = &acc[4 * (round * n + t)];
            store_sums(table + (t * panels + warp) * SUMS_BYTES,
                       make_float4(v[0], v[1], v[2], v[3]), warp % 2);
        }
        consumers_meet<N>();
        put_stored<N, glu>(a, s, table, round * n, min(n, (s.tokens + 7) / 8 - round * n));
    }
    consumers_meet<N>();
    if (threadIdx.x < Q4_TABLE_THREADS)
        q4_table_fill(table, a.c.group.code, a.c.group.map);
    consumers_meet<N>();
}

LF_DEVICE int load_acquire(const int *p)
{
    int v;
    asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}

/* A block's part is in memory. */
template <int N> LF_DEVICE void arrive(int *counter)
{
    consumers_meet<N>();
    if (threadIdx.x == 0)
        add_in_order(counter, 1);
}

/* Until all n parts of a tile are there, which blocks of lower numbers or those beside this one
 * make. */
template <int N> LF_DEVICE void await(const int *counter, int n)
{
    if (threadIdx.x == 0)
        while ((load_acquire(counter) & 0xffff) < n)
            ;
    consumers_meet<N>();
}

/* This block has read the parts: the last leaves the counter zero. */
template <int N> LF_DEVICE void leave(int *counter, int n)
{
    consumers_meet<N>();
    if (threadIdx.x == 0 && atomicAdd(counter, 0x10000) >> 16 == n - 1)
        *counter = 0;
}

/* A tile that this block shares with others; the table is of no more use. */
template <int N, bool glu>
LF_DEVICE void finish(const struct wgmma_args &a, const struct segment &s, unsigned char *table)
{
    const struct tile_parts p = parts_of<N>(a, s.tile);
    await<N>(&a.counters[s.tile], p.n);
    put_share<N, glu>(a, s, p, table);
    leave<N>(&a.counters[s.tile], p.n);
}

template <int N, bool nested, bool glu>
LF_DEVICE void consume(const struct wgmma_args &a, struct rings<N> &r, const struct stages<N> &in)
{
    int begin = first_unit(a, blockIdx.x), end = first_unit(a, blockIdx.x + 1);
    struct consumer<N> k = consumer_of<N>();
    for (int unit = begin; unit < end;) {
        struct segment s = segment_at<N, glu>(a, unit, end);
        float acc[N / 2];
        int panel = min(panel_of<N, glu>(a.c, s, threadIdx.x / 32), a.c.group.panels - 1);
        int slot = blockIdx.x * 2 + (unit == begin ? 0 : 1);
        add_segment<N, nested>(acc, k, r, in, s, q4_panel_at(a.c.group, panel), a.c.group.tiles);
        if (unit == begin)
            grid_wait(); /* what a segment reads itself is constant, but for the tokens */
        if (s.end - s.begin == a.runs) {
            put_whole<N, glu>(acc, a, s, in.table);
        } else {
            put_part<N>(a.parts + (size_t)slot * (N / 8) * shape<N>::consumers, acc);
            arrive<N>(&a.counters[s.tile]);
        }
        unit += s.end - s.begin;
    }
    for (int unit = begin; unit < end;) {
        struct segment s = segment_at<N, glu>(a, unit, end);
        if (s.end - s.begin < a.runs)
            finish<N, glu>(a, s, in.table);
        unit += s.end - s.begin;
    }
}

/* ---- The kernel ------------------------------------------------------------------------------ */

template <int N, bool nested, bool glu, bool beside>
static __global__ void __launch_bounds__(shape<N>::threads, 1)
    q4_wgmma_kernel(const __grid_constant__ struct wgmma_args a,
                    const __grid_constant__ CUtensorMap x)
{
    __shared__ struct rings<N> r;
    const struct stages<N> in = stages_of<N>();
    int warp = threadIdx.x / 32 - shape<N>::panels;
    if (beside && (int)blockIdx.x >= a.beside.first) {
        beside_block(a.c, a.beside);
    } else if (warp >= 0) {
        registers_give<shape<N>::give>();
        if (warp == 0) {
            if (threadIdx.x % 32 == 0)
                rings_init(r);
            __syncwarp();
            threads_arrive(BEGIN_BARRIER, shape<N>::threads);
            supply_codes<N, glu>(a, r, in);
        } else {
            begin_together<N>();
            grid_wait();
            if (threadIdx.x % 32 == 0 && warp == 1)
                supply_tokens<N, glu>(a, r, in, x);
        }
    } else {
        registers_take<shape<N>::take>();
        if (threadIdx.x < Q4_TABLE_THREADS)
            q4_table_fill(in.table, a.c.group.code, a.c.group.map);
        begin_together<N>();
        consume<N, nested, glu>(a, r, in);
    }
}

/* ---- Host ------------------------------------------------------------------------------------ */

/* Boxes of N tokens by 64 k of x. */
static void map_tokens(struct lf_cuda *dev, CUtensorMap *map, const struct q4_call *c, int N)
{
    struct lf_boxes b = {c->x,
                         {(uint64_t)c->group.K, (uint64_t)c->T, 1},
                         {(uint64_t)c->ldx, (uint64_t)c->ldx * c->T},
                         {Q4_BLOCK, (uint32_t)N, 1}};
    lf_cuda_tensor_map(dev, map, &b);
}

/* Cuts the work for at most `most` blocks; how many there are. Equal parts of every tile, or the
 * line of all units in equal parts: the way whose longest block has fewer units, where each tile
 * that a block shares with others counts as two more. */
static int cut(struct wgmma_args *a, int most)
{
    const int sharing = 2;
    int units = a->tiles * a->runs, blocks = most < units ? most : units;
    int splits = most / a->tiles < a->runs ? most / a->tiles : a->runs;
    int line = lf_div_up(units, blocks) + 2 * sharing;
    if (splits > 0 && lf_div_up(a->runs, splits) + (splits > 1 ? sharing : 0) <= line) {
        a->splits = splits;
        return a->tiles * splits;
    }
    a->share = units / blocks;
    a->rest = units % blocks;
    return blocks;
}

/* Which blocks make u: as many as leave the longer of both the shortest, in ns. A run takes what
 * shared memory and the tensor cores take for it; what stands around runs, and around reading A, is
 * alike on both sides. */
static int cut_beside(struct wgmma_args *a, int units, int most, int N)
{
    const struct q4_call *c = &a->c;
    const struct q4_lora *l = &c->lora;
    const int of_run = N <= 32 ? 1650 : N <= 64 ? 1900 : 2700; /* ns */
    const int rate = 35; /* bytes a ns that a multiprocessor reads */
    int rows = l->n_segs < c->T ? l->n_segs : c->T, best = 0;
    double bytes = (double)rows * c->group.n * l->rank_max * c->group.K * sizeof(bf16), least = 0;
    for (int blocks = units - 2; blocks >= units / 2; blocks--) {
        struct wgmma_args b = *a;
        int used = cut(&b, blocks < most ? blocks : most);
        int longest = b.splits ? lf_div_up(b.runs, b.splits) : b.share + (b.rest > 0);
        double product = (double)longest * of_run, reads = bytes / (rate * (units - used));
        double time = product > reads ? product : reads;
        if (best == 0 || time < least) {
            least = time;
            best = blocks;
        }
    }
    int blocks = cut(a, best < most ? best : most);
    int ranks = beside_tiles(c->T, l->n_segs) * c->group.n * l->rank_max;
    a->beside.first = blocks;
    a->beside.blocks = lf_div_up(ranks, BESIDE_WARPS);
    if (a->beside.blocks > units - blocks)
        a->beside.blocks = units - blocks;
    return blocks + a->beside.blocks;
}

template <int N, bool nested, bool glu, bool beside>
static void launch(struct lf_stream *s, const struct q4_call *c)
{
    static_assert(!beside || shape<N>::threads == BESIDE_THREADS, "a block of u is as large");
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    CUtensorMap x;
    struct wgmma_args a = {};
    a.c = *c;
    a.columns = lf_div_up(c->T, N);
    a.tiles = a.columns * lf_div_up(c->group.panels, shape<N>::panels);
    a.runs = c->group.tiles / Q4_RUN;
    a.parts = (float4 *)cs->partials;
    a.counters = cs->counters;
    int most = (int)(LF_CUDA_PARTIALS / (2 * sizeof(float4) * (N / 8) * shape<N>::consumers));
    int units = cs->dev->units, smem = shape<N>::smem;
    if (beside && smem < (int)sizeof(struct beside_smem))
        smem = sizeof(struct beside_smem);
    int blocks = beside ? cut_beside(&a, units, most, N) : cut(&a, units < most ? units : most);
    map_tokens(cs->dev, &x, c, N);
    lf_launch<q4_wgmma_kernel<N, nested, glu, beside>>(s, dim3(blocks), shape<N>::threads, smem, a,
                                                       x);
}

template <int N, bool nested> static void launch_for(struct lf_stream *s, const struct q4_call *c)
{
    const bool makes_u = nested && N >= BESIDE_MIN && N <= BESIDE_MAX;
    if (c->glu.y)
        launch<N, nested, true, false>(s, c);
    else if (makes_u && c->lora.sites)
        launch<N, nested, false, makes_u>(s, c);
    else
        launch<N, nested, false, false>(s, c);
}

bool lf_cuda_q4_makes_u(const struct lf_stream *s, const struct q4_call *c,
                        const struct lf_lora_args *lora)
{
    return c->nested && c->T >= BESIDE_MIN && c->T <= BESIDE_MAX && !lora_drops(lora->batch) &&
           lora->x == c->x && lora->ldx == c->ldx && lf_cuda_of(s)->dev->units > 8;
}

/* Weights that are not doubly quantised are rare, so they get fewer kernels. */
void lf_cuda_q4_wgmma(struct lf_stream *s, const struct q4_call *c)
{
    if (!c->nested && c->T <= 32)
        launch_for<32, false>(s, c);
    else if (!c->nested)
        launch_for<128, false>(s, c);
    else if (c->T <= 16)
        launch_for<16, true>(s, c);
    else if (c->T <= 32)
        launch_for<32, true>(s, c);
    else if (c->T <= 48)
        launch_for<48, true>(s, c);
    else if (c->T <= 64)
        launch_for<64, true>(s, c);
    else if (c->T <= 80)
        launch_for<80, true>(s, c);
    else if (c->T <= 96)
        launch_for<96, true>(s, c);
    else if (c->T <= 112)
        launch_for<112, true>(s, c);
    else if (c->T <= 128)
        launch_for<128, true>(s, c);
    else if (c->T <= 192 || (c->T > 256 && c->T <= 384))
        launch_for<192, true>(s, c);
    else
        launch_for<256, true>(s, c);
}
