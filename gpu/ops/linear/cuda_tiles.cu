/* Linear maps of 9 to a few hundred tokens over 4-bit weights, by warps (cards before Hopper):
 * codes go from memory through the table straight into mma's fragments, and each weight is decoded
 * once for 32 tokens. Four warps have two panels each, and four more do the same panels for every
 * other run of tiles. Tokens come through shared memory, in stages of two tiles (one for each half
 * of the warps). */
#include "gpu/ops/linear/tiles.cuh"

#define ROWS 128
#define WARPS 8
#define STAGES 4
#define ROW_BYTES 272 /* two tiles of a token and 16: eight threads never meet in a bank */

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
            mma(d, a[k][0], lo.x, hi.x);
            mma(d, a[k][1], lo.y, hi.y);
            mma(d, a[k][2], lo.z, hi.z);
            mma(d, a[k][3], lo.w, hi.w);
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
                        float *to = out + (t * 8 + 2 * c + e % 2) * tile_out<ROWS>::ld + row;
                        *to = turn ? acc[k][t][e] : *to + acc[k][t][e];
                    }
    }
    __syncthreads();
}

template <int NT, bool nested>
static __global__ void __launch_bounds__(WARPS * 32, 2)
    q4_tiles_kernel(const __grid_constant__ struct tiles_args a)
{
    unsigned char *table = dynamic_smem(), *ring = table + Q4_TABLE_BYTES;
    const struct q4_group &g = a.c.group;
    int warp = threadIdx.x / 32, group = warp % 4, half = warp / 4;
    struct work w = work_of(a, ROWS, NT * 8);
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
    finish<ROWS, NT * 8>(a, w, (float *)ring);
}

template <int NT, bool nested> static void launch(struct lf_stream *s, const struct q4_call *c)
{
    struct tiles_args a;
    dim3 grid = tiles_grid(s, &a, c, ROWS, NT * 8, 2, 2);
    size_t smem = Q4_TABLE_BYTES + STAGES * NT * 8 * ROW_BYTES;
    lf_launch<q4_tiles_kernel<NT, nested>>(s, grid, WARPS * 32, smem, a);
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
