/* Linear maps of up to 8 tokens (decoding): the time is that of reading the weights once.
 *
 * A block of 8 warps makes 16 (or 32) rows of the output at a time for all tokens; each warp takes
 * an eighth of K, and the eight sums meet in shared memory. Blocks are as many as run at once, and
 * each goes through its panels. Codes are fetched a run of four tiles ahead into registers and two
 * panels ahead into L2, the first of them before the kernel may look at its inputs: while the
 * kernels before it finish, the memory is kept busy.
 *
 * Floor: 0.516 bytes a weight. Shared memory is read 20 times (128 bytes) for 1024 weights.
 */
#include "gpu/ops/linear/q4.cuh"

#define WARPS 8
#define AHEAD 2 /* panels asked into L2 ahead of use */

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

/* What a warp holds of MT panels: the codes and scales of one run of tiles. */
template <int MT, bool nested> struct run {
    uint4 code[MT][Q4_RUN];
    struct q4_scales<nested> scale[MT];
};

/* Tile i of the run into acc; then its codes make room for those of tile i of the run at `ahead`,
 * when there is more. */
template <int i, int MT, bool nested>
LF_DEVICE void step_tile(float (&acc)[MT][4], struct run<MT, nested> &r, const struct q4_panel &p,
                         const uint4 *x, int tile, const uint4 *ahead, bool more, int tiles,
                         const unsigned char *table)
{
    uint32_t b[8], lane4 = threadIdx.x % 32 * 4;
    load_tokens(b, x, tile + i);
#pragma unroll
    for (int k = 0; k < MT; k++) {
        add_tile(acc[k], r.code[k][i], q4_scale<i>(r.scale[k], p, table, lane4), b, table, lane4);
        if (more)
            r.code[k][i] = load_once(ahead + (k * tiles + i) * 32);
    }
}

/* The runs [begin, end) of the MT panels from p on, into acc. On entry r holds the first; on
 * leaving, the first run of the panels at `next`, when there is more. */
template <int MT, bool nested>
LF_DEVICE void add_panels(float (&acc)[MT][4], struct run<MT, nested> &r, const struct q4_panel &p,
                          const struct q4_panel &next, bool more, const uint4 *x, int tiles,
                          int begin, int end, const unsigned char *table)
{
    for (int i = begin; i < end; i++) {
        bool last = i + 1 == end, fetch = !last || more;
        int tile = i * Q4_RUN, then = (last ? begin : i + 1) * Q4_RUN;
        struct q4_panel from = last ? next : p;
        const uint4 *ahead = from.codes + then * 32;
        struct q4_scales<nested> scale[MT];
#pragma unroll
        for (int k = 0; k < MT; k++) {
            if (fetch)
                q4_fetch_scales(scale[k], from, tiles, then);
            from = q4_panel_below(from, tiles);
        }
        step_tile<0>(acc, r, p, x, tile, ahead, fetch, tiles, table);
        step_tile<1>(acc, r, p, x, tile, ahead, fetch, tiles, table);
        step_tile<2>(acc, r, p, x, tile, ahead, fetch, tiles, table);
        step_tile<3>(acc, r, p, x, tile, ahead, fetch, tiles, table);
#pragma unroll
        for (int k = 0; k < MT; k++)
            r.scale[k] = scale[k];
    }
}

/* Asks L2 for the codes of MT panels; one thread. */
template <int MT> LF_DEVICE void prefetch_panels(const struct q4_group &g, int panel)
{
    if (panel >= g.panels)
        return;
    const struct q4_matrix &m = g.m[q4_matrix_of(g, panel)];
    prefetch_l2(m.codes + (size_t)(panel - m.panel) * g.tiles * 32, MT * g.tiles * 512);
}

/* Adds the warps' sums and writes the rows of the MT panels from `panel` on. */
template <int MT>
LF_DEVICE void finish_panels(const struct q4_call &c, const float *part, int panel)
{
    const struct q4_matrix &m = c.group.m[q4_matrix_of(c.group, panel)];
    for (int i = threadIdx.x; i < MT * Q4_PANEL * c.T; i += WARPS * 32) {
        int row = i % (MT * Q4_PANEL), token = i / (MT * Q4_PANEL), in = row % Q4_PANEL;
        int at = row / Q4_PANEL * 128 + (in % 8 * 4 + token / 2) * 4 + in / 8 * 2 + token % 2;
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++)
            sum += part[w * MT * 128 + at];
        int n = (panel - m.panel) * Q4_PANEL + row;
        sum += m.bias ? m.bias[n] : 0.0f;
        put_output(c.y, (size_t)token * c.ldy + m.col + n, sum, c.accumulate, c.y_f32);
    }
}

template <int MT, bool nested>
static __global__ void __launch_bounds__(WARPS * 32, MT == 1 ? 3 : 2)
    q4_rows_kernel(const __grid_constant__ struct q4_call c)
{
    unsigned char *table = dynamic_smem();
    float *part = (float *)(table + Q4_TABLE_BYTES);
    const struct q4_group &g = c.group;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, half = 0, runs = g.tiles / Q4_RUN;
    int begin = warp * runs / WARPS, end = (warp + 1) * runs / WARPS;
    int step = gridDim.x * MT, panel = blockIdx.x * MT;
    if (threadIdx.x == 0)
        for (int i = 0; i <= AHEAD; i++)
            prefetch_panels<MT>(g, panel + i * step);
    struct q4_panel p = q4_panel_at(g, panel), next = p;
    struct run<MT, nested> r;
#pragma unroll
    for (int k = 0; k < MT && begin < end; k++) {
        q4_fetch_scales(r.scale[k], next, g.tiles, begin * Q4_RUN);
#pragma unroll
        for (int i = 0; i < Q4_RUN; i++)
            r.code[k][i] = load_once(next.codes + (begin * Q4_RUN + i) * 32);
        next = q4_panel_below(next, g.tiles);
    }
    q4_table_fill(table, g.code, g.map);
    __syncthreads();
    grid_wait();
    const uint4 *x = tokens_at(c);
    for (; panel < g.panels; panel += step, half ^= 1) {
        float acc[MT][4] = {};
        bool more = panel + step < g.panels;
        if (threadIdx.x == 0)
            prefetch_panels<MT>(g, panel + (AHEAD + 1) * step);
        if (more)
            next = q4_panel_at(g, panel + step);
        add_panels(acc, r, p, next, more, x, g.tiles, begin, end, table);
        float *mine = part + half * WARPS * MT * 128;
#pragma unroll
        for (int k = 0; k < MT; k++)
            ((float4 *)mine)[(warp * MT + k) * 32 + lane] =
                make_float4(acc[k][0], acc[k][1], acc[k][2], acc[k][3]);
        __syncthreads(); /* and who reads the other half of `part` has passed the barrier before */
        finish_panels<MT>(c, mine, panel);
        p = next;
    }
}

/* Blocks that run at once, so that panels divide among them with the least rest. */
static int blocks_for(int units, int panels, int most)
{
    int best = 0;
    double best_share = 0;
    for (int each = 2; each <= most; each++) {
        int slots = each * units;
        double share = (double)panels / ((double)lf_div_up(panels, slots) * slots);
        if (share > best_share) {
            best_share = share;
            best = slots;
        }
    }
    return best < panels ? best : panels;
}

template <int MT, bool nested> static void launch(struct lf_stream *s, const struct q4_call *c)
{
    size_t smem = Q4_TABLE_BYTES + 2 * WARPS * MT * 128 * sizeof(float);
    int blocks = blocks_for(lf_cuda_of(s)->dev->units, c->group.panels / MT, MT == 1 ? 3 : 2);
    lf_launch<q4_rows_kernel<MT, nested>>(s, dim3(blocks), WARPS * 32, smem, *c);
}

/* Two panels at a time read the tokens half as often: where they do not stay in L1. */
static bool wants_pairs(const struct q4_call *c)
{
    if ((size_t)c->T * c->group.K * sizeof(bf16) < 96 << 10)
        return false;
    for (int p = 0; p < c->group.n; p++)
        if (c->group.m[p].N % (2 * Q4_PANEL) != 0)
            return false;
    return true;
}

void lf_cuda_q4_rows(struct lf_stream *s, const struct q4_call *c)
{
    bool pairs = wants_pairs(c);
    if (c->nested && pairs)
        launch<2, true>(s, c);
    else if (c->nested)
        launch<1, true>(s, c);
    else if (pairs)
        launch<2, false>(s, c);
    else
        launch<1, false>(s, c);
}
