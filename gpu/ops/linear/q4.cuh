/* 4-bit weights as the CUDA kernels want them. Private to gpu/ops/linear/.
 *
 * lf_cuda_prepare_weight reorders the codes and scales of a weight (N, K) in place, once at load.
 * A panel is 16 rows; a tile is 64 columns of a panel (one scale a row), 512 bytes: the k
 * 16c .. 16c+15 of rows g and g+8 are sixteen bytes, unit 4g + (c ^ g/2), of which word j has
 *
 *   byte 0: row g,   k 16c+2j, +1     byte 1: row g+8, k 16c+2j, +1
 *   byte 2: row g,   k 16c+2j+8, +9   byte 3: row g+8, k 16c+2j+8, +9     (k counted in the tile)
 *
 * A lane 4g + c that takes its own sixteen bytes has A fragments of four mma m16n8k16 with k
 * permuted: word j goes with words j and j + 4 of k 16c .. 16c+15 of token g, 32 bytes in a row. A
 * lane that takes word c of row g's units 0 .. 3 instead has those of the tile with k in its
 * natural order; the units of eight rows are in other banks each. Panels follow one another, and
 * the tiles of a panel do, so a panel is one contiguous run of 8 K bytes. K is a multiple of 256,
 * four tiles, whose scales lie together as (8 g, 4 tiles, rows g and g+8): a lane reads its rows'
 * at once.
 *
 * Decoding: a byte holds two codes, so a table of 256 words of two bf16 does both at once. It lies
 * in shared memory 32 times, one copy a bank: the word of byte b for lane l is at 256 b + 4 l,
 * which one byte permutation computes. Between the copies, at 256 b + 128 + 4 l, lies the table of
 * the nested scales. The 64-element sums are scaled in fp32 after they are accumulated.
 */
#ifndef LF_GPU_OPS_LINEAR_Q4_CUH
#define LF_GPU_OPS_LINEAR_Q4_CUH

#include "gpu/cuda/kernel.cuh"

#define Q4_BLOCK 64
#define Q4_PANEL 16 /* rows */
#define Q4_RUN 4    /* tiles whose scales lie together */
#define Q4_TABLE_BYTES 65536
#define Q4_TABLE_THREADS 256

/* A prepared weight within a group. */
struct q4_matrix {
    const uint4 *codes;
    const uint8_t *absmax_q; /* nested; else NULL */
    const float *absmax;     /* not nested; else NULL */
    const float *absmax2;    /* in the natural order of blocks, row by row */
    const float *bias;
    float offset;
    int shift2; /* log2 block2 */
    int N, col;
    int panel; /* its first panel within the group */
};

struct q4_group {
    struct q4_matrix m[LF_GROUP_MAX];
    const float *code, *map; /* 16 codes; 256 nested scales or NULL */
    int n, panels;
    int K, tiles; /* tiles in a panel: K / 64 */
};

/* Fills the table; 256 threads. No barrier. */
LF_DEVICE void q4_table_fill(unsigned char *table, const float *code, const float *map)
{
    int b = threadIdx.x;
    uint32_t pair = pack2(code[b >> 4], code[b & 15]);
    uint32_t scale = map ? __float_as_uint(map[b]) : 0;
    uint4 *row = (uint4 *)(table + b * 256);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int at = (i + b) % 8; /* turned by row: eight threads never meet in a bank */
        row[at] = make_uint4(pair, pair, pair, pair);
        row[8 + at] = make_uint4(scale, scale, scale, scale);
    }
}

/* Byte `i` of a word as an offset into the table; lane4 = 4 * lane. */
template <int i> LF_DEVICE uint32_t q4_at(uint32_t word, uint32_t lane4)
{
    return __byte_perm(word, lane4, 0x5504 | i << 4);
}

/* The A fragment of one word. */
LF_DEVICE void q4_fragment(uint32_t (&a)[4], const unsigned char *table, uint32_t word,
                           uint32_t lane4)
{
    a[0] = *(const uint32_t *)(table + q4_at<0>(word, lane4));
    a[1] = *(const uint32_t *)(table + q4_at<1>(word, lane4));
    a[2] = *(const uint32_t *)(table + q4_at<2>(word, lane4));
    a[3] = *(const uint32_t *)(table + q4_at<3>(word, lane4));
}

LF_DEVICE uint32_t q4_word(const uint4 &v, int j)
{
    return j == 0 ? v.x : j == 1 ? v.y : j == 2 ? v.z : v.w;
}

/* Which matrix of the group a panel is in. */
LF_DEVICE int q4_matrix_of(const struct q4_group &g, int panel)
{
    int p = 0;
    while (p + 1 < g.n && panel >= g.m[p + 1].panel)
        p++;
    return p;
}

/* Which unit of a tile is a lane's own. */
LF_DEVICE int q4_unit(int lane)
{
    return lane ^ lane >> 3;
}

/* One lane's view of a panel: rows r = lane / 4 and r + 8. */
struct q4_panel {
    const uint4 *codes; /* of tile 0; the next tile's are 32 further on */
    const uint8_t *absmax_q;
    const float *absmax, *absmax2;
    float offset;
    int block; /* number of row r's first block in its matrix */
    int shift2;
};

LF_DEVICE struct q4_panel q4_panel_at(const struct q4_group &g, int panel)
{
    const struct q4_matrix &m = g.m[q4_matrix_of(g, panel)];
    int local = panel - m.panel, lane = threadIdx.x % 32;
    size_t scales = (size_t)local * g.tiles * Q4_PANEL;
    struct q4_panel p;
    p.codes = m.codes + (size_t)local * g.tiles * 32 + q4_unit(lane);
    p.absmax_q = m.absmax_q + scales;
    p.absmax = m.absmax + scales;
    p.absmax2 = m.absmax2;
    p.offset = m.offset;
    p.block = (local * Q4_PANEL + lane / 4) * g.tiles;
    p.shift2 = m.shift2;
    return p;
}

/* The panel after `p`, in the same matrix. */
LF_DEVICE struct q4_panel q4_panel_below(struct q4_panel p, int tiles)
{
    p.codes += tiles * 32;
    p.absmax_q += tiles * Q4_PANEL;
    p.absmax += tiles * Q4_PANEL;
    p.block += tiles * Q4_PANEL;
    return p;
}

/* The scales of rows r and r+8 for the tiles of one run. */
template <bool nested> struct q4_scales;

template <> struct q4_scales<true> {
    uint32_t bytes[2]; /* two tiles a word: r, r+8, r, r+8 */
    float absmax2[2];  /* of row r and of r+8 */
};

template <> struct q4_scales<false> {
    float2 value[Q4_RUN];
};

/* Those of the run that starts at tile `tile`. A row is whole runs, so no nested block ends within
 * one. */
LF_DEVICE void q4_fetch_scales(struct q4_scales<true> &s, const struct q4_panel &p, int tiles,
                               int tile)
{
    int r = threadIdx.x % 32 / 4, i = p.block + tile;
    uint2 bytes = __ldg((const uint2 *)(p.absmax_q + tile * Q4_PANEL + r * 2 * Q4_RUN));
    s.bytes[0] = bytes.x;
    s.bytes[1] = bytes.y;
    s.absmax2[0] = __ldg(&p.absmax2[i >> p.shift2]);
    s.absmax2[1] = __ldg(&p.absmax2[(i + 8 * tiles) >> p.shift2]);
}

LF_DEVICE void q4_fetch_scales(struct q4_scales<false> &s, const struct q4_panel &p, int tiles,
                               int tile)
{
    int r = threadIdx.x % 32 / 4;
    const float4 *from = (const float4 *)(p.absmax + tile * Q4_PANEL + r * 2 * Q4_RUN);
    (void)tiles;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float4 v = __ldg(&from[i]);
        s.value[2 * i] = make_float2(v.x, v.y);
        s.value[2 * i + 1] = make_float2(v.z, v.w);
    }
}

/* Asks L2 for the scales of runs [begin, end), which come too late from memory otherwise. */
template <bool nested>
LF_DEVICE void q4_prefetch_scales(const struct q4_panel &p, int begin, int end)
{
    const int run = Q4_RUN * Q4_PANEL; /* scales of one */
    if (nested)
        prefetch_line(&p.absmax2[(p.block + begin * Q4_RUN) >> p.shift2]);
    if (threadIdx.x % 32 != 0)
        return;
    if (nested)
        prefetch_l2(p.absmax_q + begin * run, (end - begin) * run);
    else
        prefetch_l2(p.absmax + begin * run, (end - begin) * run * sizeof(float));
}

/* Tile i of the run. */
template <int i>
LF_DEVICE float2 q4_scale(const struct q4_scales<true> &s, const struct q4_panel &p,
                          const unsigned char *table, uint32_t lane4)
{
    const unsigned char *map = table + 128;
    float lo = *(const float *)(map + q4_at<i % 2 * 2>(s.bytes[i / 2], lane4));
    float hi = *(const float *)(map + q4_at<i % 2 * 2 + 1>(s.bytes[i / 2], lane4));
    return make_float2(fmaf(lo, s.absmax2[0], p.offset), fmaf(hi, s.absmax2[1], p.offset));
}

template <int i>
LF_DEVICE float2 q4_scale(const struct q4_scales<false> &s, const struct q4_panel &p,
                          const unsigned char *table, uint32_t lane4)
{
    (void)p, (void)table, (void)lane4;
    return s.value[i];
}

/* ---- Launchers (host) ------------------------------------------------------------------------ */

/* What a prepared weight keeps on the host (lf_weight.prepared): its tables, so that weights that
 * share them can go together. */
struct q4_tables {
    float code[16];
    float map[256]; /* zeros when not nested */
};

static inline struct q4_matrix q4_matrix_from(const struct lf_weight *w)
{
    struct q4_matrix m = {};
    m.codes = (const uint4 *)w->data;
    m.absmax_q = w->absmax_q;
    m.absmax = w->absmax;
    m.absmax2 = w->absmax2;
    m.bias = w->bias;
    m.offset = w->offset;
    while (!w->absmax && 1 << m.shift2 < w->block2)
        m.shift2++;
    m.N = w->N;
    return m;
}

/* Adapters. sites NULL: none. Rows add their share, and u is there; wgmma makes u beside. */
struct q4_lora {
    const struct lf_lora_site *sites;
    const struct lf_lora_seg *segs;
    bf16 *u; /* (T, n, rank_max) */
    int n_sites, n_segs, rank_max;
    int site[LF_GROUP_MAX];
    bool keeps_b; /* L2 keeps B until y is made */
};

/* act(first matrix) * second matrix instead of both. y NULL: none. For wgmma only. */
struct q4_glu {
    bf16 *y; /* (T, N) */
    enum lf_act_kind act;
};

struct q4_call {
    struct q4_group group;
    struct q4_lora lora;
    struct q4_glu glu;
    const bf16 *x;
    void *y;
    int T, ldx, ldy;
    bool accumulate, y_f32, nested;
};

/* T <= 8 tokens: each weight byte is read once, by the memory's speed. */
void lf_cuda_q4_rows(struct lf_stream *s, const struct q4_call *c);
/* Up to a few hundred tokens, in tiles of 32; every N is a multiple of 32. */
void lf_cuda_q4_tiles(struct lf_stream *s, const struct q4_call *c);
/* lf_cuda_q4_wgmma makes u for such a call. */
bool lf_cuda_q4_makes_u(const struct lf_stream *s, const struct q4_call *c,
                        const struct lf_lora_args *lora);
/* T of any size by wgmma, in tiles of up to 256, for any N; builds for sm_90a, on Hopper. */
void lf_cuda_q4_wgmma(struct lf_stream *s, const struct q4_call *c);
/* Rows [row, row + n) of any weight as row-major bf16 (n, ld); prepared weights: multiples of 16.
 */
void lf_cuda_dequantize(struct lf_stream *s, bf16 *out, int ld, const struct lf_weight *w, int row,
                        int n);
/* Any T, over weights as bf16, with adapters (lora, or NULL). plus: as in struct lf_map_args. */
void lf_cuda_linear_dense(struct lf_stream *s, const struct lf_linear_args *a,
                          const struct lf_lora_args *lora, const void *plus);
/* T <= 8 tokens over bf16 weights. */
void lf_cuda_bf16_rows(struct lf_stream *s, const struct lf_linear_args *a);

/* The adapters of a block's tokens, in shared memory. rank 0: none; scale is 0 then. */
template <int tokens> struct q4_adapters {
    const bf16 *b[LF_GROUP_MAX][tokens]; /* (N, rank) */
    float scale[LF_GROUP_MAX][tokens];
    int rank[LF_GROUP_MAX][tokens];
};

/* Looks them up, for tokens from `token` on; before grid_wait. No barrier after. */
template <int tokens>
LF_DEVICE void q4_find_adapters(struct q4_adapters<tokens> &a, const struct q4_call &c, int token)
{
    const struct q4_lora &l = c.lora;
    for (int i = threadIdx.x; i < c.group.n * tokens; i += blockDim.x) {
        int p = i / tokens, t = i % tokens, seg = 0;
        while (seg < l.n_segs && l.segs[seg].end <= token + t)
            seg++;
        a.rank[p][t] = 0;
        a.scale[p][t] = 0.0f; /* finite: it is multiplied by the nothing that rank 0 adds up to */
        if (seg >= l.n_segs || l.segs[seg].start > token + t)
            continue;
        const struct lf_lora_site &site = l.sites[(size_t)l.segs[seg].slot * l.n_sites + l.site[p]];
        a.b[p][t] = (const bf16 *)site.b;
        a.scale[p][t] = site.scale;
        a.rank[p][t] = site.rank;
    }
}

/* What the adapter of the block's token t multiplies for matrix p, from column n on: rows of B, and
 * u of row `token` of x. */
struct q4_factors {
    const bf16 *b, *u;
    float scale;
    int rank;
    bool vec; /* both may be read in eights */
};

template <int tokens>
LF_DEVICE struct q4_factors q4_factors_of(const struct q4_adapters<tokens> &a,
                                          const struct q4_call &c, int t, int token, int p, int n)
{
    struct q4_factors f;
    f.rank = a.rank[p][t];
    f.scale = a.scale[p][t];
    f.b = a.b[p][t] + (size_t)n * f.rank;
    f.u = c.lora.u + ((size_t)token * c.group.n + p) * c.lora.rank_max;
    f.vec = f.rank % 8 == 0 && c.lora.rank_max % 8 == 0 && (uintptr_t)f.b % 16 == 0;
    return f;
}

/* Rows row .. row + rows of a panel for row `token` of x: their sums get the bias. The place of the
 * first in y. */
template <int rows>
LF_DEVICE size_t q4_complete(float (&sum)[rows], const struct q4_call &c, int panel, int row,
                             int token)
{
    const struct q4_matrix &m = c.group.m[q4_matrix_of(c.group, panel)];
    int n = (panel - m.panel) * Q4_PANEL + row;
    if (m.bias)
#pragma unroll
        for (int i = 0; i < rows; i++)
            sum[i] += m.bias[n + i];
    return (size_t)token * c.ldy + m.col + n;
}

/* An output element, complete, into y. */
LF_DEVICE void put_output(void *y, size_t i, float v, bool accumulate, bool y_f32)
{
    if (y_f32)
        ((float *)y)[i] = accumulate ? ((float *)y)[i] + v : v;
    else
        ((bf16 *)y)[i] = __float2bfloat16_rn(accumulate ? to_f32(((bf16 *)y)[i]) + v : v);
}

#endif
