/* Linear maps of up to 8 tokens (decoding): the time is that of reading the weights once.
 *
 * A warp makes a panel (16 rows of the output, all tokens) or an equal part of one along K, as many
 * parts as it takes to give every multiprocessor enough warps; the parts of a panel are neighbours
 * in a block and are added in shared memory. A warp has a run of tiles (2 KiB of codes) in flight
 * to its registers, and the tokens of the next two tiles. The first codes are loaded before the
 * kernel before it has finished, so that the memory stays busy meanwhile.
 *
 * Floor: 0.516 bytes a weight. Shared memory is read 22 times (128 bytes) for 1024 weights. A map
 * takes as few as 5 us, so instructions before the first tile and after the last matter: no
 * divisions, one copy of the loop, no code for adapters where there are none (together 5% of a
 * step).
 * Tried and slower: the tokens in shared memory (1% of a step), the activation in here (0.5%), one
 * block of sixteen warps (3%), codes through shared memory by asynchronous copies (4%), two panels
 * a warp (8%), panels cut into as many parts as there are warps (6%). */
#include "gpu/ops/linear/q4.cuh"

#define TOKENS 8
#define WARPS 8
#define BLOCKS 2 /* a multiprocessor */

struct rows_args {
    struct q4_call c;
    int split_log; /* of warps a panel */
    int passes;    /* how often a block's warps take up panels */
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
    const uint32_t word[8] = {b.lo.x, b.hi.x, b.lo.y, b.hi.y, b.lo.z, b.hi.z, b.lo.w, b.hi.w};
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
    int column; /* of y, where the panel goes */
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

/* Sums begin with what y holds, since nobody waits for it then. */
LF_DEVICE bool sums_go_on(const struct q4_call &c)
{
    return c.accumulate && !c.y_f32;
}

/* What y holds where a part's panel goes, as sums. */
LF_DEVICE void load_sums(float (&acc)[4], const struct q4_call &c, const struct part &p)
{
    int lane = threadIdx.x % 32, token = lane % 4 * 2;
    const bf16 *y = (const bf16 *)c.y + (size_t)token * c.ldy + p.column + lane / 4;
    bf16 v[4] = {};
#pragma unroll
    for (int e = 0; e < 4; e++)
        if (token + e % 2 < c.T)
            v[e] = y[e % 2 * c.ldy + e / 2 * 8];
#pragma unroll
    for (int e = 0; e < 4; e++)
        acc[e] = to_f32(v[e]);
}

/* A part into acc; k holds its first run and tokens, which are at x. */
template <bool nested>
LF_DEVICE void add_part(float (&acc)[4], struct stream<nested> &k, const struct part &p,
                        const uint4 *x, int tiles, const unsigned char *table)
{
    uint32_t lane4 = threadIdx.x % 32 * 4;
    for (int run = p.begin; run < p.end; run++) {
        bool more = run + 1 < p.end;
        const float2 scale[Q4_RUN] = {q4_scale<0>(k.scale, p.panel, table, lane4),
                                      q4_scale<1>(k.scale, p.panel, table, lane4),
                                      q4_scale<2>(k.scale, p.panel, table, lane4),
                                      q4_scale<3>(k.scale, p.panel, table, lane4)};
        if (more)
            q4_fetch_scales(k.scale, p.panel, tiles, (run + 1) * Q4_RUN);
#pragma unroll
        for (int i = 0; i < Q4_RUN; i++) {
            add_tile(acc, k.code[i], scale[i], k.x[i % 2], table, lane4);
            if (i + 2 < Q4_RUN || more)
                load_tokens(k.x[i % 2], x, run * Q4_RUN + i + 2);
            if (more)
                k.code[i] = load_once(p.panel.codes + ((run + 1) * Q4_RUN + i) * 32);
        }
    }
}

/* The panel that the `place`-th group of warps of a block makes in pass `pass`: panels are
 * dealt out to the blocks in turn, so that no block has more than one more than another. */
LF_DEVICE int panel_at(const struct rows_args &a, int pass, int place)
{
    return (pass * (WARPS >> a.split_log) + place) * gridDim.x + blockIdx.x;
}

/* This warp's part in pass `pass`. */
LF_DEVICE struct part part_at(const struct rows_args &a, int pass)
{
    const struct q4_group &g = a.c.group;
    int warp = threadIdx.x / 32, runs = g.tiles / Q4_RUN, split = 1 << a.split_log;
    int panel = panel_at(a, pass, warp >> a.split_log), nth = warp & (split - 1);
    struct part p;
    p.begin = p.end = 0;
    if (panel >= g.panels)
        return p;
    const struct q4_matrix &m = g.m[q4_matrix_of(g, panel)];
    p.panel = q4_panel_at(g, panel);
    p.column = m.col + (panel - m.panel) * Q4_PANEL;
    p.begin = nth * runs >> a.split_log;
    p.end = (nth + 1) * runs >> a.split_log;
    return p;
}

/* An output element gets its adapter's share. */
LF_DEVICE void add_adapter(float &sum, const struct q4_call &c,
                           const struct q4_adapters<TOKENS> &adapters, int panel, int row,
                           int token)
{
    int p = q4_matrix_of(c.group, panel), n = (panel - c.group.m[p].panel) * Q4_PANEL + row;
    struct q4_factors f = q4_factors_of(adapters, c, token, token, p, n);
    float add = 0.0f;
    for (int r = 0; r < f.rank; r += 8) {
        float u[8], b[8];
        load8(u, f.u + r, f.rank - r, f.vec);
        load8(b, f.b + r, f.rank - r, f.vec);
#pragma unroll
        for (int e = 0; e < 8; e++)
            add += u[e] * b[e];
    }
    sum += f.scale * add;
}

/* Writes what the pass has made; `sums`: shared, (WARPS, 128), of all warps. */
template <bool lora>
LF_DEVICE void finish(const struct rows_args &a, const struct q4_adapters<TOKENS> &adapters,
                      const float *sums, int pass)
{
    int split = 1 << a.split_log, places = WARPS >> a.split_log;
    for (int i = threadIdx.x; i < places * Q4_PANEL * a.c.T; i += WARPS * 32) {
        int row = i % Q4_PANEL, place = i / Q4_PANEL & (places - 1);
        int token = (i / Q4_PANEL << a.split_log) / WARPS, panel = panel_at(a, pass, place);
        int at = (row % 8 * 4 + token / 2) * 4 + row / 8 * 2 + token % 2;
        float sum[1] = {};
        for (int w = 0; w < split; w++)
            sum[0] += sums[((place << a.split_log) + w) * 128 + at];
        if (panel >= a.c.group.panels)
            continue;
        if (lora)
            add_adapter(sum[0], a.c, adapters, panel, row, token);
        size_t to = q4_complete(sum, a.c, panel, row, token);
        put_output(a.c.y, to, sum[0], a.c.accumulate && !sums_go_on(a.c), a.c.y_f32);
    }
}

template <bool nested, bool lora>
static __global__ void __launch_bounds__(WARPS * 32, BLOCKS)
    q4_rows_kernel(const __grid_constant__ struct rows_args a)
{
    __shared__ struct q4_adapters<TOKENS> adapters;
    unsigned char *table = dynamic_smem();
    float *sums = (float *)(table + Q4_TABLE_BYTES);
    const struct q4_group &g = a.c.group;
    struct part p = part_at(a, 0);
    struct stream<nested> k;
    const uint4 *x = tokens_at(a.c);
    k.x[0] = k.x[1] = {};
    start(k, p, g.tiles);
    q4_table_fill(table, g.code, g.map);
    if (lora)
        q4_find_adapters(adapters, a.c, 0);
    __syncthreads();
    grid_wait();
    for (int pass = 0;; pass++) {
        float acc[4] = {};
#pragma unroll
        for (int i = 0; i < 2; i++)
            load_tokens(k.x[i], x, p.begin * Q4_RUN + i);
        if (sums_go_on(a.c) && p.begin == 0 && p.end > 0)
            load_sums(acc, a.c, p);
        add_part(acc, k, p, x, g.tiles, table);
        ((float4 *)sums)[threadIdx.x] = make_float4(acc[0], acc[1], acc[2], acc[3]);
        bool more = pass + 1 < a.passes;
        if (more) {
            p = part_at(a, pass + 1);
            start(k, p, g.tiles);
        }
        __syncthreads();
        finish<lora>(a, adapters, sums, pass);
        if (!more)
            return;
        __syncthreads();
    }
}

template <bool nested, bool lora> static void launch(struct lf_stream *s, const struct q4_call *c)
{
    struct rows_args a = {*c, 0, 0};
    int units = lf_cuda_of(s)->dev->units, runs = c->group.tiles / Q4_RUN, panels = c->group.panels;
    int blocks = BLOCKS * units < panels ? BLOCKS * units : panels;
    while (1 << a.split_log < WARPS && 1 << a.split_log < runs &&
           panels << a.split_log < 10 * units)
        a.split_log++;
    a.passes = lf_div_up(panels, (WARPS >> a.split_log) * blocks);
    size_t smem = Q4_TABLE_BYTES + WARPS * 128 * sizeof(float);
    lf_launch<q4_rows_kernel<nested, lora>>(s, dim3(blocks), WARPS * 32, smem, a);
}

template <bool nested> static void launch_form(struct lf_stream *s, const struct q4_call *c)
{
    if (c->lora.sites)
        launch<nested, true>(s, c);
    else
        launch<nested, false>(s, c);
}

void lf_cuda_q4_rows(struct lf_stream *s, const struct q4_call *c)
{
    if (c->nested)
        launch_form<true>(s, c);
    else
        launch_form<false>(s, c);
}
