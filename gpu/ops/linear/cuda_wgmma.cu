/* Linear maps of 9 to a few hundred tokens over 4-bit weights on Hopper: the weights are the
 * register operand of wgmma, decoded by the table, and the tokens its shared one. A weight is
 * decoded once for up to 32 tokens.
 *
 * A block is alone on its multiprocessor, so that the table and the tokens are there once for all
 * of its four warpgroups; a warpgroup has 64 rows, a warp one panel. Codes come into shared memory
 * by asynchronous copies, two runs ahead, each lane copying what it reads itself. Tokens pass
 * through shared memory a run (256 k) at a time, the next under way in registers: lane (n, c) of a
 * warp reads k 16c .. 16c+15 of token n of a tile, and word j of them goes to chunk j of the
 * token's row, which is the order of k that the codes have (q4.cuh). Each tile's products are
 * scaled in fp32; the next tile is decoded while they are made.
 *
 * Shared memory is read or written 32 times (128 bytes) for 1024 weights and 32 tokens. Lost: codes
 * straight into registers, a run ahead. The compiler puts off such loads to the end of the run
 * before, and the fence of the next run waits for them (twice the time). Asking codes into L2
 * before their copies (6% of a step). */
#include "gpu/ops/linear/tiles.cuh"

#define WARPS 16
#define ROWS (WARPS * Q4_PANEL)
#define CODE_STAGES 3
#define RUN_BYTES (Q4_RUN * 512) /* codes of a panel */

/* How the warps carry tokens: eight tokens of one tile each. */
template <int tokens> struct shape {
    static const int stage = Q4_RUN * tokens * 128; /* bytes */
    static const int jobs = Q4_RUN * tokens / 8;    /* warps that carry */
};

/* Tokens on their way: this lane's place in both memories, and its words of a run. */
struct carried {
    const uint4 *from; /* of the block's first run; NULL: this warp carries nothing */
    uint32_t to;       /* in a stage; chunk j is at to ^ 16 j */
    uint4 v[2];
};

/* Past the last token any will do: its column of the product is dropped. */
template <int tokens>
LF_DEVICE void carry(struct carried &x, const struct q4_call &c, const struct work &w)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, tile = warp / (tokens / 8);
    int token = warp % (tokens / 8) * 8 + lane / 4, row = w.token + min(token, w.tokens - 1);
    x.from = (const uint4 *)(c.x + (size_t)row * c.ldx + w.begin * Q4_RUN * Q4_BLOCK +
                             tile * Q4_BLOCK + lane % 4 * 16);
    x.to = (tile * tokens + token) * 128 + (token % 8 << 4) + lane % 4 * 4;
    if (warp >= shape<tokens>::jobs)
        x.from = NULL;
}

/* The words of run number `run` of the block, when it has it. */
LF_DEVICE void fetch_tokens(struct carried &x, const struct work &w, int run)
{
    if (!x.from || w.begin + run >= w.end)
        return;
    const uint4 *from = x.from + run * Q4_RUN * (Q4_BLOCK / 8);
    x.v[0] = from[0];
    x.v[1] = from[1];
}

/* Into a stage: (tiles, tokens, 128 bytes), swizzled as wgmma reads it. */
LF_DEVICE void store_tokens(unsigned char *stage, const struct carried &x)
{
    if (x.from) {
        const uint32_t word[8] = {x.v[0].x, x.v[0].y, x.v[0].z, x.v[0].w,
                                  x.v[1].x, x.v[1].y, x.v[1].z, x.v[1].w};
#pragma unroll
        for (int j = 0; j < 8; j++)
            *(uint32_t *)(stage + (x.to ^ j << 4)) = word[j];
    }
    fence_for_wgmma();
}

/* A warp's panel: where its codes are, its scales, and two tiles as A fragments: one is made while
 * the other is multiplied. */
template <bool nested> struct stream {
    struct q4_panel panel;
    unsigned char *ring; /* this lane's sixteen bytes of tile 0 of stage 0 */
    struct q4_scales<nested> scale;
    uint32_t a[2][4][4];
};

/* Asks for the codes of a run, as one group of copies (of none past the last run). */
template <bool nested>
LF_DEVICE void fetch_codes(const struct stream<nested> &k, const struct work &w, int run)
{
    unsigned char *to = k.ring + (run - w.begin) % CODE_STAGES * RUN_BYTES;
    if (run < w.end) {
#pragma unroll
        for (int i = 0; i < Q4_RUN; i++)
            copy_async(to + i * 512, k.panel.codes + (run * Q4_RUN + i) * 32, true);
    }
    copy_async_commit();
}

/* Tile i of `run`, whose codes have come, becomes fragments. */
template <int i, bool nested>
LF_DEVICE void decode(struct stream<nested> &k, const unsigned char *table, const struct work &w,
                      int run)
{
    const uint4 code =
        *(const uint4 *)(k.ring + (run - w.begin) % CODE_STAGES * RUN_BYTES + i * 512);
#pragma unroll
    for (int j = 0; j < 4; j++)
        q4_fragment(k.a[i % 2][j], table, q4_word(code, j), threadIdx.x % 32 * 4);
}

/* acc += the products of tile i of `run`, which are fragments; the tile after it becomes fragments
 * meanwhile. */
template <int i, int n, bool nested>
LF_DEVICE void add_tile(float (&acc)[n], float (&d)[n], struct stream<nested> &k, float2 scale,
                        uint64_t tokens, const unsigned char *table, const struct work &w, int run)
{
    int next = i + 1 < Q4_RUN ? run : run + 1;
    wgmma_begin();
#pragma unroll
    for (int j = 0; j < 4; j++)
        wgmma(d, k.a[i % 2][j], tokens, j);
    wgmma_end();
    if (next < w.end)
        decode<(i + 1) % Q4_RUN>(k, table, w, next);
    wgmma_wait(d);
#pragma unroll
    for (int e = 0; e < n; e++)
        acc[e] += (e % 4 < 2 ? scale.x : scale.y) * d[e];
}

/* acc += the products of `run`; `stage`: its tokens, as wgmma names them. */
template <int tokens, bool nested>
LF_DEVICE void add_run(float (&acc)[tokens / 2], float (&d)[tokens / 2], struct stream<nested> &k,
                       uint64_t stage, const unsigned char *table, int tiles, const struct work &w,
                       int run)
{
    uint32_t lane4 = threadIdx.x % 32 * 4;
    const float2 scale[Q4_RUN] = {
        q4_scale<0>(k.scale, k.panel, table, lane4), q4_scale<1>(k.scale, k.panel, table, lane4),
        q4_scale<2>(k.scale, k.panel, table, lane4), q4_scale<3>(k.scale, k.panel, table, lane4)};
    if (run + 1 < w.end)
        q4_fetch_scales(k.scale, k.panel, tiles, (run + 1) * Q4_RUN);
    add_tile<0>(acc, d, k, scale[0], stage, table, w, run);
    add_tile<1>(acc, d, k, scale[1], stage + tokens * 8, table, w, run);
    add_tile<2>(acc, d, k, scale[2], stage + 2 * tokens * 8, table, w, run);
    add_tile<3>(acc, d, k, scale[3], stage + 3 * tokens * 8, table, w, run);
}

/* On entry the codes of the first two runs are under way. */
template <int tokens, bool nested>
LF_DEVICE void add_runs(float (&acc)[tokens / 2], struct stream<nested> &k, unsigned char *ring,
                        const unsigned char *table, const struct tiles_args &a,
                        const struct work &w)
{
    const uint64_t at = wgmma_tile(ring);
    const int bytes = shape<tokens>::stage;
    struct carried x;
    float d[tokens / 2] = {};
    carry<tokens>(x, a.c, w);
    fetch_tokens(x, w, 0);
    store_tokens(ring, x);
    fetch_tokens(x, w, 1);
    copy_async_wait<1>();
    decode<0>(k, table, w, w.begin);
    for (int run = w.begin; run < w.end; run++) {
        int stage = run - w.begin;
        __syncthreads(); /* this stage is stored by all, and the one before read by all */
        store_tokens(ring + (stage + 1) % 2 * bytes, x);
        fetch_tokens(x, w, stage + 2);
        fetch_codes(k, w, run + 2);
        copy_async_wait<1>(); /* the next run's codes are there */
        add_run<tokens>(acc, d, k, at + stage % 2 * (bytes / 16), table, a.c.group.tiles, w, run);
    }
}

/* This warp's sums into out (tokens, tile_out<ROWS>::ld). */
template <int tokens> LF_DEVICE void put_warp(float *out, const float (&acc)[tokens / 2])
{
    const int ld = tile_out<ROWS>::ld;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *at = out + lane % 4 * 2 * ld + warp * Q4_PANEL + lane / 4;
    __syncthreads(); /* `out` lies where the table was */
#pragma unroll
    for (int t = 0; t < tokens / 8; t++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            at[(t * 8 + e % 2) * ld + e / 2 * 8] = acc[t * 4 + e];
    __syncthreads();
}

template <int tokens, bool nested, bool glu>
static __global__ void __launch_bounds__(WARPS * 32, 1)
    q4_wgmma_kernel(const __grid_constant__ struct tiles_args a)
{
    __shared__ struct q4_adapters<tokens> adapters;
    unsigned char *table = dynamic_smem(); /* first, so that its address is a constant */
    unsigned char *ring = wgmma_aligned(table + Q4_TABLE_BYTES);
    unsigned char *codes = ring + 2 * shape<tokens>::stage;
    const struct q4_group &g = a.c.group;
    struct work w = work_of<glu>(a, ROWS, tokens);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    struct stream<nested> k;
    k.panel = q4_panel_at(g, min(panel_of<glu>(a.c, w, warp, WARPS), g.panels - 1));
    k.ring = codes + warp * CODE_STAGES * RUN_BYTES + lane * 16;
    fetch_codes(k, w, w.begin);
    fetch_codes(k, w, w.begin + 1);
    q4_fetch_scales(k.scale, k.panel, g.tiles, w.begin * Q4_RUN);
    q4_prefetch_scales<nested>(k.panel, w.begin, w.end);
    if (threadIdx.x < Q4_TABLE_THREADS)
        q4_table_fill(table, g.code, g.map);
    if (a.c.lora.sites)
        q4_find_adapters(adapters, a.c, w.token);
    __syncthreads();
    if (a.c.lora.sites && lane < w.tokens && lane % a.splits == (int)blockIdx.z)
        q4_prefetch_adapter(adapters, a.c, panel_of<glu>(a.c, w, warp, WARPS), lane);
    grid_wait();
    float acc[tokens / 2] = {};
    add_runs<tokens, nested>(acc, k, ring, table, a, w);
    put_warp<tokens>((float *)table, acc);
    finish<ROWS, glu>(a, adapters, w, (float *)table);
}

template <int tokens, bool nested, bool glu>
static void launch(struct lf_stream *s, const struct q4_call *c)
{
    struct tiles_args a;
    dim3 grid = tiles_grid(s, &a, c, ROWS, tokens, 1, 1);
    size_t smem =
        Q4_TABLE_BYTES + WGMMA_ALIGN + 2 * shape<tokens>::stage + WARPS * CODE_STAGES * RUN_BYTES;
    lf_launch<q4_wgmma_kernel<tokens, nested, glu>>(s, grid, WARPS * 32, smem, a);
}

template <bool glu> static void launch_for(struct lf_stream *s, const struct q4_call *c)
{
    if (c->nested && c->T <= 16)
        launch<16, true, glu>(s, c);
    else if (c->nested)
        launch<32, true, glu>(s, c);
    else
        launch<32, false, glu>(s, c);
}

void lf_cuda_q4_wgmma(struct lf_stream *s, const struct q4_call *c)
{
    if (c->glu.y)
        launch_for<true>(s, c);
    else
        launch_for<false>(s, c);
}
