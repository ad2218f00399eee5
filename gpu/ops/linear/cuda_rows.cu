/* Linear maps of up to 8 tokens (decoding): the time is that of reading the weights once.
 *
 * A warp makes a panel (16 rows of the output, all tokens) or an equal part of one along K, as many
 * parts as it takes to give every multiprocessor enough warps; the parts of a panel are neighbours
 * in a block and meet in shared memory. A warp has a run of tiles (2 KiB of codes) on its way into
 * registers, and the tokens of the next two tiles. The first are asked for before the kernel may
 * look at its inputs: the memory is kept busy while small kernels finish.
 *
 * Floor: 0.516 bytes a weight. Shared memory is read 22 times (128 bytes) for 1024 weights. With
 * all weights in L2 the time is the same: what bounds it is the work of a run between its loads.
 * Lost: asking codes into L2 ahead (1% of a step), the tokens in shared memory (1%), one block of
 * sixteen warps (3%), panels cut into as many parts as there are warps (6%). */
#include "gpu/ops/linear/q4.cuh"

#define TOKENS 8
#define WARPS 8
#define BLOCKS 2 /* a multiprocessor */

struct rows_args {
    struct q4_call c;
    int split; /* warps a panel */
};

/* This lane's activations of tile 0: 32 bytes of token lane / 4; NULL past the last token. */
LF_DEVICE const uint4 *tokens_at(const struct q4_call &c)
{
    int token = (int)threadIdx.x % 32 / 4;
    return token < c.T ? (const uint4 *)(c.x + (size_t)token * c.ldx + threadIdx.x % 4 * 16) : NULL;
}

/* The activations of a tile as B fragments: words 2j, 2j+1 are those of the j-th mma. */
struct tokens {
    uint4 lo, hi;
};

/* Past the last token b stays as it is, since its column of the product is dropped: reading
 * something all the same would cost L1, which is the narrowest here. */
LF_DEVICE void load_tokens(struct tokens &b, const uint4 *x, int tile)
{
    if (x)
        b = {x[tile * 8], x[tile * 8 + 1]};
}

/* acc += scale * codes * tokens for one tile. */
LF_DEVICE void add_tile(float (&acc)[4], const uint4 &code, float2 scale, const struct tokens &b,
                        const unsigned char *table, uint32_t lane4)
{
    const uint32_t word[8] = {b.lo.x, b.lo.y, b.lo.z, b.lo.w, b.hi.x, b.hi.y, b.hi.z, b.hi.w};
    float d[4] = {};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint32_t a[4];
        q4_fragment(a, table, q4_word(code, j), lane4);
        mma(d, a, word[2 * j], word[2 * j + 1]);
    }
    acc[0] += scale.x * d[0];
    acc[1] += scale.x * d[1];
    acc[2] += scale.y * d[2];
    acc[3] += scale.y * d[3];
}

/* A warp's part of a panel: runs [begin, end), or nothing. */
struct part {
    struct q4_panel panel;
    int begin, end;
};

/* What is under way: the codes of a run, its scales, the tokens of its first two tiles. */
template <bool nested> struct stream {
    uint4 code[Q4_RUN];
    struct q4_scales<nested> scale;
    struct tokens x[2];
};

/* Asks for the codes and scales of a part's first run, and for the other scales into L2. */
template <bool nested>
LF_DEVICE void start(struct stream<nested> &k, const struct part &p, int tiles)
{
    if (p.begin >= p.end)
        return;
#pragma unroll
    for (int i = 0; i < Q4_RUN; i++)
        k.code[i] = load_once(p.panel.codes + (p.begin * Q4_RUN + i) * 32);
    q4_fetch_scales(k.scale, p.panel, tiles, p.begin * Q4_RUN);
    q4_prefetch_scales<nested>(p.panel, p.begin, p.end);
}

/* A run into acc; its place is taken by run `ahead` of panel `next`, when there is `more`. */
template <bool nested>
LF_DEVICE void add_run(float (&acc)[4], struct stream<nested> &k, const struct q4_panel &p,
                       const uint4 *x, int run, const struct q4_panel &next, int ahead, bool more,
                       int tiles, const unsigned char *table)
{
    uint32_t lane4 = threadIdx.x % 32 * 4;
    const float2 scale[Q4_RUN] = {
        q4_scale<0>(k.scale, p, table, lane4), q4_scale<1>(k.scale, p, table, lane4),
        q4_scale<2>(k.scale, p, table, lane4), q4_scale<3>(k.scale, p, table, lane4)};
    if (more)
        q4_fetch_scales(k.scale, next, tiles, ahead * Q4_RUN);
#pragma unroll
    for (int i = 0; i < Q4_RUN; i++) {
        add_tile(acc, k.code[i], scale[i], k.x[i % 2], table, lane4);
        load_tokens(k.x[i % 2], x, i + 2 < Q4_RUN ? run * Q4_RUN + i + 2
                                                  : ahead * Q4_RUN + i + 2 - Q4_RUN);
        if (more)
            k.code[i] = load_once(next.codes + (ahead * Q4_RUN + i) * 32);
    }
}

/* A part into acc. On entry k holds its first run; on leaving, the first run of `next`. */
template <bool nested>
LF_DEVICE void add_part(float (&acc)[4], struct stream<nested> &k, const struct part &p,
                        const struct part &next, const uint4 *x, int tiles,
                        const unsigned char *table)
{
    for (int run = p.begin; run + 1 < p.end; run++)
        add_run(acc, k, p.panel, x, run, p.panel, run + 1, true, tiles, table);
    if (p.begin < p.end)
        add_run(acc, k, p.panel, x, p.end - 1, next.panel, next.begin, next.begin < next.end,
                tiles, table);
}

/* This warp's part in pass `pass`: panels go round the blocks, so that all have alike. */
LF_DEVICE struct part part_at(const struct rows_args &a, int pass)
{
    const struct q4_group &g = a.c.group;
    int warp = threadIdx.x / 32, runs = g.tiles / Q4_RUN;
    int panel = (pass * (WARPS / a.split) + warp / a.split) * gridDim.x + blockIdx.x;
    struct part p;
    p.begin = p.end = 0;
    if (panel >= g.panels)
        return p;
    p.panel = q4_panel_at(g, panel);
    p.begin = warp % a.split * runs / a.split;
    p.end = (warp % a.split + 1) * runs / a.split;
    return p;
}

/* Writes what the pass has made. `sums`: shared, (WARPS, 128). */
LF_DEVICE void finish(const struct rows_args &a, const struct q4_adapters<TOKENS> &adapters,
                      const float (&acc)[4], float *sums, int pass)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, panels = WARPS / a.split;
    int panel = (pass * panels + warp / a.split) * gridDim.x + blockIdx.x;
    if (a.split == 1) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int row = lane / 4 + e / 2 * 8, token = lane % 4 * 2 + e % 2;
            float sum[1] = {acc[e]};
            if (panel < a.c.group.panels && token < a.c.T)
                q4_put(sum, a.c, adapters, panel, row, token, token);
        }
        return;
    }
    __syncthreads(); /* the pass before has been read */
    ((float4 *)sums)[threadIdx.x] = make_float4(acc[0], acc[1], acc[2], acc[3]);
    __syncthreads();
    for (int i = threadIdx.x; i < panels * Q4_PANEL * a.c.T; i += WARPS * 32) {
        int row = i % Q4_PANEL, which = i / Q4_PANEL % panels, token = i / Q4_PANEL / panels;
        int at = (row % 8 * 4 + token / 2) * 4 + row / 8 * 2 + token % 2;
        float sum[1] = {};
        for (int w = 0; w < a.split; w++)
            sum[0] += sums[(which * a.split + w) * 128 + at];
        panel = (pass * panels + which) * gridDim.x + blockIdx.x;
        if (panel < a.c.group.panels)
            q4_put(sum, a.c, adapters, panel, row, token, token);
    }
}

template <bool nested>
static __global__ void __launch_bounds__(WARPS * 32, BLOCKS)
    q4_rows_kernel(const __grid_constant__ struct rows_args a)
{
    __shared__ struct q4_adapters<TOKENS> adapters;
    unsigned char *table = dynamic_smem();
    float *sums = (float *)(table + Q4_TABLE_BYTES);
    const struct q4_group &g = a.c.group;
    struct part p = part_at(a, 0);
    struct stream<nested> k;
    start(k, p, g.tiles);
    q4_table_fill(table, g.code, g.map);
    if (a.c.lora.sites)
        q4_find_adapters(adapters, a.c, 0);
    __syncthreads();
    grid_wait();
    const uint4 *x = tokens_at(a.c);
    for (int i = 0; i < 2; i++) {
        k.x[i] = {};
        load_tokens(k.x[i], x, p.begin * Q4_RUN + i);
    }
    int slots = WARPS / a.split * gridDim.x, passes = (g.panels + slots - 1) / slots;
    for (int pass = 0; pass < passes; pass++) {
        struct part next = part_at(a, pass + 1);
        float acc[4] = {};
        add_part(acc, k, p, next, x, g.tiles, table);
        finish(a, adapters, acc, sums, pass);
        p = next;
    }
}

template <bool nested> static void launch(struct lf_stream *s, const struct q4_call *c)
{
    struct rows_args a = {*c, 1};
    int units = lf_cuda_of(s)->dev->units, runs = c->group.tiles / Q4_RUN;
    while (a.split < WARPS && a.split < runs && c->group.panels * a.split < 10 * units)
        a.split *= 2;
    int blocks = BLOCKS * units < c->group.panels ? BLOCKS * units : c->group.panels;
    size_t smem = Q4_TABLE_BYTES + WARPS * 128 * sizeof(float);
    lf_launch<q4_rows_kernel<nested>>(s, dim3(blocks), WARPS * 32, smem, a);
}

void lf_cuda_q4_rows(struct lf_stream *s, const struct q4_call *c)
{
    if (c->nested)
        launch<true>(s, c);
    else
        launch<false>(s, c);
}
