/* Linear maps of up to 8 tokens (decoding): the time is that of reading the weights once.
 *
 * A warp makes a panel (16 rows of the output, all tokens) or an equal part of one along K, as many
 * parts as it takes to give every multiprocessor enough warps; the parts of a panel are neighbours
 * in a block and meet in shared memory. Each warp keeps eight tiles (4 KiB) of codes on their way
 * into registers, so that a card has 8 MB under way. The first are asked for, and more into L2,
 * before the kernel may look at its inputs: the memory is kept busy while small kernels finish.
 *
 * Floor: 0.516 bytes a weight. Shared memory is read 22 times (128 bytes) for 1024 weights.
 */
#include "gpu/ops/linear/q4.cuh"

#define WARPS 8
#define BLOCKS 2                 /* a multiprocessor */
#define CHUNK 2                  /* runs of tiles under way */
#define TILES (CHUNK * Q4_RUN)
#define AHEAD 4                  /* runs asked into L2 behind them */

struct rows_args {
    struct q4_call c;
    int split; /* warps a panel */
};

/* This lane's activations of tile 0: 32 bytes of token lane / 4, or NULL past the last token. */
LF_DEVICE const uint4 *tokens_at(const struct q4_call &c)
{
    int token = threadIdx.x % 32 / 4;
    if (token >= c.T)
        return NULL;
    return (const uint4 *)(c.x + (size_t)token * c.ldx + threadIdx.x % 4 * 16);
}

/* The activations of a tile as B fragments: words 2j, 2j+1 are those of the j-th mma. */
LF_DEVICE void load_tokens(uint32_t (&b)[8], const uint4 *x, int tile)
{
    uint4 lo = make_uint4(0, 0, 0, 0), hi = lo;
    if (x) {
        lo = x[tile * 8];
        hi = x[tile * 8 + 1];
    }
    b[0] = lo.x, b[1] = lo.y, b[2] = lo.z, b[3] = lo.w;
    b[4] = hi.x, b[5] = hi.y, b[6] = hi.z, b[7] = hi.w;
}

/* acc += scale * codes * tokens for one tile. */
LF_DEVICE void add_tile(float (&acc)[4], const uint4 &code, float2 scale, const uint32_t (&b)[8],
                        const unsigned char *table, uint32_t lane4)
{
    float d[4] = {};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint32_t a[4];
        q4_fragment(a, table, q4_word(code, j), lane4);
        mma(d, a, b[2 * j], b[2 * j + 1]);
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

/* What is under way: the codes and scales of CHUNK runs. */
template <bool nested> struct chunk {
    uint4 code[TILES];
    struct q4_scales<nested> scale[CHUNK];
};

template <bool nested>
LF_DEVICE void start(struct chunk<nested> &k, const struct part &p, int tiles)
{
#pragma unroll
    for (int r = 0; r < CHUNK; r++)
        if (p.begin + r < p.end) {
#pragma unroll
            for (int i = 0; i < Q4_RUN; i++)
                k.code[r * Q4_RUN + i] =
                    load_once(p.panel.codes + ((p.begin + r) * Q4_RUN + i) * 32);
            q4_fetch_scales(k.scale[r], p.panel, tiles, (p.begin + r) * Q4_RUN);
        }
}

/* Run r of the chunk, which starts at tile `tile`, into acc; its place is taken by the run at
 * `ahead`, when there is one. */
template <int r, bool nested>
LF_DEVICE void step_run(float (&acc)[4], struct chunk<nested> &k, const struct q4_panel &p,
                        const uint4 *x, int tile, const struct q4_panel &next, int ahead, bool more,
                        int tiles, const unsigned char *table)
{
    uint32_t b[4][8], lane4 = threadIdx.x % 32 * 4;
    float2 scale[4] = {q4_scale<0>(k.scale[r], p, table, lane4),
                       q4_scale<1>(k.scale[r], p, table, lane4),
                       q4_scale<2>(k.scale[r], p, table, lane4),
                       q4_scale<3>(k.scale[r], p, table, lane4)};
    if (more)
        q4_fetch_scales(k.scale[r], next, tiles, ahead * Q4_RUN);
#pragma unroll
    for (int i = 0; i < Q4_RUN; i++) {
        load_tokens(b[i], x, tile + i);
        add_tile(acc, k.code[r * Q4_RUN + i], scale[i], b[i], table, lane4);
        if (more)
            k.code[r * Q4_RUN + i] = load_once(next.codes + (ahead * Q4_RUN + i) * 32);
    }
}

/* A part into acc. On entry k holds its first chunk; on leaving, the first chunk of `next`. */
template <bool nested>
LF_DEVICE void add_part(float (&acc)[4], struct chunk<nested> &k, const struct part &p,
                        const struct part &next, const uint4 *x, int tiles,
                        const unsigned char *table)
{
    for (int run = p.begin; run < p.end; run += CHUNK) {
        bool last = run + CHUNK >= p.end;
        int ahead = last ? next.begin : run + CHUNK, end = last ? next.end : p.end;
        const struct q4_panel from = last ? next.panel : p.panel;
        step_run<0>(acc, k, p.panel, x, run * Q4_RUN, from, ahead, ahead < end, tiles, table);
        if (run + 1 < p.end)
            step_run<1>(acc, k, p.panel, x, (run + 1) * Q4_RUN, from, ahead + 1, ahead + 1 < end,
                        tiles, table);
        else if (ahead + 1 < end) { /* the second place was free already */
#pragma unroll
            for (int i = 0; i < Q4_RUN; i++)
                k.code[Q4_RUN + i] = load_once(from.codes + ((ahead + 1) * Q4_RUN + i) * 32);
            q4_fetch_scales(k.scale[1], from, tiles, (ahead + 1) * Q4_RUN);
        }
    }
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

/* Element e of a lane's sums as an output: row, token and value, of one panel. */
LF_DEVICE void put(const struct q4_call &c, int panel, int row, int token, float sum)
{
    const struct q4_matrix &m = c.group.m[q4_matrix_of(c.group, panel)];
    int n = (panel - m.panel) * Q4_PANEL + row;
    sum += m.bias ? m.bias[n] : 0.0f;
    put_output(c.y, (size_t)token * c.ldy + m.col + n, sum, c.accumulate, c.y_f32);
}

/* Writes what the pass has made. `sums`: shared, (WARPS, 128). */
LF_DEVICE void finish(const struct rows_args &a, const float (&acc)[4], float *sums, int pass)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, panels = WARPS / a.split;
    int panel = (pass * panels + warp / a.split) * gridDim.x + blockIdx.x;
    if (a.split == 1) {
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (panel < a.c.group.panels && lane % 4 * 2 + e % 2 < a.c.T)
                put(a.c, panel, lane / 4 + e / 2 * 8, lane % 4 * 2 + e % 2, acc[e]);
        return;
    }
    __syncthreads(); /* the pass before has been read */
    ((float4 *)sums)[threadIdx.x] = make_float4(acc[0], acc[1], acc[2], acc[3]);
    __syncthreads();
    for (int i = threadIdx.x; i < panels * Q4_PANEL * a.c.T; i += WARPS * 32) {
        int row = i % Q4_PANEL, which = i / Q4_PANEL % panels, token = i / Q4_PANEL / panels;
        int at = (row % 8 * 4 + token / 2) * 4 + row / 8 * 2 + token % 2;
        float sum = 0.0f;
        for (int w = 0; w < a.split; w++)
            sum += sums[(which * a.split + w) * 128 + at];
        panel = (pass * panels + which) * gridDim.x + blockIdx.x;
        if (panel < a.c.group.panels)
            put(a.c, panel, row, token, sum);
    }
}

template <bool nested>
static __global__ void __launch_bounds__(WARPS * 32, BLOCKS)
    q4_rows_kernel(const __grid_constant__ struct rows_args a)
{
    unsigned char *table = dynamic_smem();
    float *sums = (float *)(table + Q4_TABLE_BYTES);
    const struct q4_group &g = a.c.group;
    struct part p = part_at(a, 0);
    struct chunk<nested> k;
    start(k, p, g.tiles);
    int behind = min(p.end - p.begin - CHUNK, AHEAD);
    if (threadIdx.x % 32 == 0 && behind > 0)
        prefetch_l2(p.panel.codes + (p.begin + CHUNK) * Q4_RUN * 32, behind * Q4_RUN * 512);
    q4_table_fill(table, g.code, g.map);
    __syncthreads();
    grid_wait();
    const uint4 *x = tokens_at(a.c);
    int slots = WARPS / a.split * gridDim.x, passes = (g.panels + slots - 1) / slots;
    for (int pass = 0; pass < passes; pass++) {
        struct part next = part_at(a, pass + 1);
        float acc[4] = {};
        add_part(acc, k, p, next, x, g.tiles, table);
        finish(a, acc, sums, pass);
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
