/* Linear maps of 9 to a few hundred tokens over 4-bit weights: codes go from memory through the
 * table straight into the tensor cores' fragments, and each weight is decoded once for 32 tokens.
 *
 * A block makes 128 rows for up to 32 tokens over a part of K: four warps have two panels each, and
 * four more do the same panels for every other run of tiles. Tokens come through shared memory, in
 * stages of two tiles (one for each half of the warps). Parts of K are added by the last block that
 * finishes, in order. Blocks over the same weights and other tokens are neighbours, so that memory
 * is read once and L2 the other times.
 */
#include "gpu/ops/linear/q4.cuh"

#define WARPS 8
#define ROWS 128
#define STAGES 4
#define AHEAD 8 /* runs asked into L2 ahead of use */
#define ROW_BYTES 272 /* two tiles of one token, and 16 more: eight threads never meet in a bank */

struct tiles_args {
    struct q4_call c;
    int splits, runs; /* parts of K; runs of tiles in each, even */
    float *partials;
    int *counters;
};

/* Where a block works. */
struct work {
    int panel;  /* its first */
    int token, tokens;
    int begin, end; /* runs of tiles */
};

/* Tile `i` of stage `s`: half h of the warps takes tile s % 4 of every other run. */
LF_DEVICE int stage_tile(const struct work &w, int s, int h)
{
    return (w.begin + s / Q4_RUN * 2 + h) * Q4_RUN + s % Q4_RUN;
}

/* Asks for the tokens of stage s. */
template <int NT>
LF_DEVICE void load_stage(unsigned char *stage, const struct q4_call &c, const struct work &w,
                          int s)
{
    for (int i = threadIdx.x; i < NT * 8 * 16; i += WARPS * 32) {
        int token = i / 16, part = i % 16, tile = stage_tile(w, s, part / 8);
        bool there = token < w.tokens && tile < w.end * Q4_RUN;
        const bf16 *from = c.x + (size_t)(w.token + token) * c.ldx + tile * Q4_BLOCK + part % 8 * 8;
        copy_async(stage + token * ROW_BYTES + part * 16, there ? from : c.x, there);
    }
}

/* A warp's two panels, which are neighbours in one matrix: codes two tiles ahead, and the scales of
 * this run and the next. */
template <bool nested> struct pair {
    struct q4_panel panel; /* the first */
    uint4 code[2][2];      /* of panel k, tile i % 2 */
    struct q4_scales<nested> scale[2], next[2];
};

LF_DEVICE const uint4 *codes_of(const struct q4_panel &p, int k, int tiles, int tile)
{
    return p.codes + (k * tiles + tile) * 32;
}

template <bool nested>
LF_DEVICE void fetch_scales(struct q4_scales<nested> (&s)[2], struct q4_panel p, int tiles, int run)
{
    q4_fetch_scales(s[0], p, tiles, run * Q4_RUN);
    q4_fetch_scales(s[1], q4_panel_below(p, tiles), tiles, run * Q4_RUN);
}

/* acc += the products of tile i of the run for both panels and all tokens; then the codes make
 * room for those of tile `ahead`, when there is one. */
template <int i, int NT, bool nested>
LF_DEVICE void add_stage(float (&acc)[2][NT][4], struct pair<nested> &p, const unsigned char *stage,
                         const unsigned char *table, int tiles, int ahead, bool more)
{
    int lane = threadIdx.x % 32;
    uint32_t a[2][4][4], lane4 = lane * 4;
    float2 scale[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
#pragma unroll
        for (int j = 0; j < 4; j++)
            q4_fragment(a[k][j], table, q4_word(p.code[k][i % 2], j), lane4);
        scale[k] = q4_scale<i>(p.scale[k], p.panel, table, lane4);
        if (more)
            p.code[k][i % 2] = load_once(codes_of(p.panel, k, tiles, ahead));
    }
    const uint4 *x = (const uint4 *)(stage + lane / 4 * ROW_BYTES + lane % 4 * 32);
#pragma unroll
    for (int t = 0; t < NT; t++) {
        uint4 lo = x[t * 8 * ROW_BYTES / 16], hi = x[t * 8 * ROW_BYTES / 16 + 1];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float d[4] = {};
            mma(d, a[k][0], lo.x, lo.y);
            mma(d, a[k][1], lo.z, lo.w);
            mma(d, a[k][2], hi.x, hi.y);
            mma(d, a[k][3], hi.z, hi.w);
            acc[k][t][0] += scale[k].x * d[0];
            acc[k][t][1] += scale[k].x * d[1];
            acc[k][t][2] += scale[k].y * d[2];
            acc[k][t][3] += scale[k].y * d[3];
        }
    }
}

/* Steps on to stage s: its tokens are there for every warp, and the stage before it is asked for
 * again. Returns where it lies. */
template <int NT>
LF_DEVICE const unsigned char *next_stage(unsigned char *ring, const struct q4_call &c,
                                          const struct work &w, int s, int stages)
{
    const int bytes = NT * 8 * ROW_BYTES;
    copy_async_wait<STAGES - 2>();
    __syncthreads(); /* all have copied their part of stage s and read stage s - 1 */
    if (s + STAGES - 1 < stages)
        load_stage<NT>(ring + (s + STAGES - 1) % STAGES * bytes, c, w, s + STAGES - 1);
    copy_async_commit();
    return ring + s % STAGES * bytes;
}

/* Asks L2 for two runs of the block's panels, from `run` on; thread k for panel k. */
LF_DEVICE void prefetch_runs(const struct q4_group &g, const struct work &w, int run)
{
    int panel = w.panel + threadIdx.x, runs = min(2, w.end - run);
    if (threadIdx.x >= ROWS / Q4_PANEL || panel >= g.panels || runs <= 0)
        return;
    const struct q4_matrix &m = g.m[q4_matrix_of(g, panel)];
    const uint4 *from = m.codes + ((size_t)(panel - m.panel) * g.tiles + run * Q4_RUN) * 32;
    prefetch_l2(from, runs * Q4_RUN * 512);
}

template <int NT, bool nested>
LF_DEVICE void add_runs(float (&acc)[2][NT][4], struct pair<nested> &p, unsigned char *ring,
                        const unsigned char *table, const struct tiles_args &a,
                        const struct work &w, int half)
{
    int stages = (w.end - w.begin + 1) / 2 * Q4_RUN, tiles = a.c.group.tiles;
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < stages)
            load_stage<NT>(ring + s * NT * 8 * ROW_BYTES, a.c, w, s);
        copy_async_commit();
    }
    for (int run = w.begin + half, s = 0; s < stages; run += 2, s += Q4_RUN) {
        bool live = run < w.end, more = run + 2 < w.end;
        int tile = run * Q4_RUN, then = tile + 2 * Q4_RUN;
        const unsigned char *stage;
        prefetch_runs(a.c.group, w, run - half + AHEAD);
        if (more)
            fetch_scales(p.next, p.panel, tiles, run + 2);
        stage = next_stage<NT>(ring, a.c, w, s, stages) + half * 128;
        if (live)
            add_stage<0>(acc, p, stage, table, tiles, tile + 2, true);
        stage = next_stage<NT>(ring, a.c, w, s + 1, stages) + half * 128;
        if (live)
            add_stage<1>(acc, p, stage, table, tiles, tile + 3, true);
        stage = next_stage<NT>(ring, a.c, w, s + 2, stages) + half * 128;
        if (live)
            add_stage<2>(acc, p, stage, table, tiles, then, more);
        stage = next_stage<NT>(ring, a.c, w, s + 3, stages) + half * 128;
        if (live)
            add_stage<3>(acc, p, stage, table, tiles, then + 1, more);
#pragma unroll
        for (int k = 0; k < 2; k++)
            p.scale[k] = p.next[k];
    }
    copy_async_wait<0>();
}

/* Both halves' sums into out (tokens, ROWS + 4), fp32. */
template <int NT>
LF_DEVICE void join_halves(float *out, const float (&acc)[2][NT][4], int group, int half)
{
    int r = threadIdx.x % 32 / 4, c = threadIdx.x % 4;
    for (int turn = 1; turn >= 0; turn--) {
        __syncthreads(); /* `out` lies where the tokens were; then: the other half has written */
        if (half == turn)
#pragma unroll
            for (int k = 0; k < 2; k++)
#pragma unroll
                for (int t = 0; t < NT; t++)
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        int row = (group * 2 + k) * Q4_PANEL + r + e / 2 * 8;
                        float *to = out + (t * 8 + 2 * c + e % 2) * (ROWS + 4) + row;
                        *to = turn ? acc[k][t][e] : *to + acc[k][t][e];
                    }
    }
    __syncthreads();
}

/* Row `row` of the block, token `token`: the sum with its bias into y. */
LF_DEVICE void put_sum(const struct q4_call &c, const struct work &w, int row, int token, float sum)
{
    int panel = w.panel + row / Q4_PANEL;
    if (panel >= c.group.panels)
        return;
    const struct q4_matrix &m = c.group.m[q4_matrix_of(c.group, panel)];
    int n = (panel - m.panel) * Q4_PANEL + row % Q4_PANEL;
    sum += m.bias ? m.bias[n] : 0.0f;
    put_output(c.y, (size_t)(w.token + token) * c.ldy + m.col + n, sum, c.accumulate, c.y_f32);
}

LF_DEVICE void finish(const struct tiles_args &a, const struct work &w, const float *out)
{
    int block = blockIdx.y * gridDim.x + blockIdx.x; /* same rows and tokens in every part */
    int n = w.tokens * ROWS;
    if (a.splits > 1) {
        size_t stride = (size_t)gridDim.x * gridDim.y * 32 * ROWS;
        float *part = a.partials + (size_t)block * 32 * ROWS;
        for (int i = threadIdx.x; i < n; i += WARPS * 32)
            part[blockIdx.z * stride + i] = out[i / ROWS * (ROWS + 4) + i % ROWS];
        if (!last_to_arrive(&a.counters[block], a.splits))
            return;
        for (int i = threadIdx.x; i < n; i += WARPS * 32) {
            float sum = 0.0f;
            for (int p = 0; p < a.splits; p++)
                sum += __ldcg(&part[p * stride + i]);
            put_sum(a.c, w, i % ROWS, i / ROWS, sum);
        }
    } else {
        for (int i = threadIdx.x; i < n; i += WARPS * 32)
            put_sum(a.c, w, i % ROWS, i / ROWS, out[i / ROWS * (ROWS + 4) + i % ROWS]);
    }
}

/* Grid: token tiles, row blocks, parts of K. */
template <int NT, bool nested>
static __global__ void __launch_bounds__(WARPS * 32, 2)
    q4_tiles_kernel(const __grid_constant__ struct tiles_args a)
{
    unsigned char *table = dynamic_smem(), *ring = table + Q4_TABLE_BYTES;
    const struct q4_group &g = a.c.group;
    int warp = threadIdx.x / 32, group = warp % 4, half = warp / 4;
    struct work w;
    w.panel = blockIdx.y * (ROWS / Q4_PANEL);
    w.token = blockIdx.x * NT * 8;
    w.tokens = min(NT * 8, a.c.T - w.token);
    w.begin = blockIdx.z * a.runs;
    w.end = min(w.begin + a.runs, g.tiles / Q4_RUN);
    for (int run = w.begin; run < w.begin + AHEAD; run += 2)
        prefetch_runs(g, w, run);
    struct pair<nested> p;
    p.panel = q4_panel_at(g, min(w.panel + group * 2, g.panels - 2));
    if (w.begin + half < w.end) {
        int tile = (w.begin + half) * Q4_RUN;
        fetch_scales(p.scale, p.panel, g.tiles, w.begin + half);
#pragma unroll
        for (int i = 0; i < 4; i++)
            p.code[i / 2][i % 2] = load_once(codes_of(p.panel, i / 2, g.tiles, tile + i % 2));
    }
    q4_table_fill(table, g.code, g.map);
    grid_wait();
    float acc[2][NT][4] = {};
    add_runs<NT, nested>(acc, p, ring, table, a, w, half);
    join_halves<NT>((float *)ring, acc, group, half);
    finish(a, w, (const float *)ring);
}

template <int NT, bool nested> static void launch(struct lf_stream *s, const struct q4_call *c)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    struct tiles_args a = {*c, 1, 0, cs->partials, cs->counters};
    int tokens = lf_div_up(c->T, NT * 8), rows = lf_div_up(c->group.panels, ROWS / Q4_PANEL);
    int runs = c->group.tiles / Q4_RUN, want = 2 * cs->dev->units;
    size_t bytes = (size_t)tokens * rows * 32 * ROWS * sizeof(float);
    int most = (int)(LF_CUDA_PARTIALS / bytes);
    a.splits = lf_div_up(want, (int64_t)tokens * rows);
    a.splits = a.splits < most ? a.splits : most;
    if ((int64_t)tokens * rows >= LF_CUDA_COUNTERS || a.splits < 1)
        a.splits = 1;
    a.runs = lf_div_up(runs, a.splits);
    a.runs += a.runs % 2;
    a.splits = lf_div_up(runs, a.runs);
    size_t smem = Q4_TABLE_BYTES + STAGES * NT * 8 * ROW_BYTES;
    lf_launch<q4_tiles_kernel<NT, nested>>(s, dim3(tokens, rows, a.splits), WARPS * 32, smem, a);
}

void lf_cuda_q4_tiles(struct lf_stream *s, const struct q4_call *c)
{
    if (c->nested && c->T <= 16)
        launch<2, true>(s, c);
    else if (c->nested)
        launch<4, true>(s, c);
    else if (c->T <= 16)
        launch<2, false>(s, c);
    else
        launch<4, false>(s, c);
}
