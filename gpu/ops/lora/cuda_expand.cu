/* y += scale u B^T for up to a few hundred tokens, each perhaps with its own adapter: the time is
 * that of reading B once for every tile of rows that share it. Perhaps through the activation that
 * follows gate and up, for all rows then.
 *
 * A block makes a run of chunks of columns for a tile of eight rows; of a chunk a warp two groups
 * of 32 columns, of one projection or the same columns of gate and of up. Rows of B are those of
 * mma's A operand, so that a lane ends with four columns side by side of two rows. Sixteen ranks of
 * the first chunk are under way in registers before the kernel may look at u and y, those of the
 * next while a chunk is written. */
#include "gpu/ops/glu/curve.cuh"
#include "gpu/ops/lora/lora.cuh"

#define WARPS 8
#define THREADS (WARPS * 32)
#define BLOCKS 3 /* a multiprocessor */
#define ROWS 8   /* of a tile */
#define GROUP 32 /* columns */
#define GROUPS 2 /* of a warp */
#define AHEAD 3  /* chunks of B that L2 is asked for */

struct expand_args {
    struct lf_lora_args a;
    struct lora_batch b;
    struct lf_glu_args glu;
    int run;                /* chunks of a block */
    int runs[LF_GROUP_MAX]; /* runs of the projections up to this one; glu: of the first two at once
                             */
    bool ahead;             /* L2 has not been asked for B */
    bool vec;               /* u and y may be read in fours */
};

/* What one of a warp's groups of columns has of the tile's adapter. */
struct side {
    const bf16 *b; /* this lane's first row of B; rank 0: there is none */
    float scale;
    int rank;
};

/* A block's share. */
struct run {
    struct row_tile t;
    struct side side[GROUPS];
    int p, n, end; /* projection, this lane's first column, and the run's last */
};

/* Tile number `tile` of rows with and without adapters (seg -1 then); n 0: there is none. A whole
 * warp calls it, and every lane gets the same answer. */
LF_DEVICE struct row_tile find_any_tile(const struct lora_batch &b, int T, int tile)
{
    int lane = threadIdx.x % 32;
    for (int base = 0; base <= b.n_segs; base += 32) {
        int i = base + lane, before = 0, start = 0, end = 0; /* no adapter from `before` to start */
        if (i <= b.n_segs) {
            before = i > 0 ? b.segs[i - 1].end : 0;
            start = i < b.n_segs ? b.segs[i].start : T;
            end = i < b.n_segs ? b.segs[i].end : T;
        }
        int bare = (start - before + ROWS - 1) / ROWS,
            mine = bare + (end - start + ROWS - 1) / ROWS;
        int upto = warp_upto(mine);
        unsigned found = __ballot_sync(0xffffffffu, upto > tile);
        if (found) {
            int from = __ffs(found) - 1, at = tile - (upto - mine);
            bool adapter = at >= bare;
            int row = adapter ? start + (at - bare) * ROWS : before + at * ROWS;
            int n = min(ROWS, (adapter ? end : start) - row);
            return {__shfl_sync(0xffffffffu, adapter ? i : -1, from),
                    __shfl_sync(0xffffffffu, row, from), __shfl_sync(0xffffffffu, n, from)};
        }
        tile -= __shfl_sync(0xffffffffu, upto, 31);
    }
    return {-1, 0, 0};
}

template <bool glu> static const int chunk_width = WARPS *GROUP *(glu ? 1 : GROUPS);

/* How far the k-th group is from a lane's first column. */
template <bool glu> LF_DEVICE int apart(int k)
{
    return glu ? 0 : k * GROUP;
}

/* The batch and its adapters were there before any kernel of the run began, so they may be looked
 * up, and B read, before grid_wait. */
template <bool glu> LF_DEVICE struct run run_of(const struct expand_args &e, int tile, int number)
{
    struct run r;
    r.t = glu ? find_any_tile(e.b, e.glu.T, tile)
              : find_row_tile(e.b.segs, e.b.n_segs, ROWS, tile, false);
    r.p = 0;
    while (!glu && number >= e.runs[r.p])
        r.p++;
    number -= r.p > 0 ? e.runs[r.p - 1] : 0;
    int first = number * e.run * chunk_width<glu>;
    r.n = first + threadIdx.x / 32 * (chunk_width<glu> / WARPS) + threadIdx.x % 32 / 4 * 4;
    r.end = min(first + e.run * chunk_width<glu>, e.a.N[r.p]);
    const struct lf_lora_site *sites =
        e.a.sites + (r.t.seg >= 0 ? (size_t)e.b.segs[r.t.seg].slot * e.a.n_sites : 0);
#pragma unroll
    for (int k = 0; k < GROUPS; k++) {
        const struct lf_lora_site &site = sites[e.a.site[glu ? k : r.p]];
        r.side[k].rank = r.t.seg >= 0 ? site.rank : 0;
        r.side[k].scale = r.side[k].rank > 0 ? site.scale : 0.0f; /* finite: it meets a sum of 0 */
        r.side[k].b = (const bf16 *)site.b + (size_t)(r.n + apart<glu>(k)) * site.rank;
    }
    return r;
}

/* Asks L2 for the next n columns of B behind a lane's first chunk. */
template <bool glu> LF_DEVICE void prefetch_columns(const struct run &r, int from, int n)
{
    n = min(n, r.end - r.n - from); /* for thread 0, which asks, r.n is where the chunk begins */
#pragma unroll
    for (int k = 0; k < (glu ? GROUPS : 1); k++)
        lora_prefetch(r.side[k].b + (size_t)from * r.side[k].rank, n * r.side[k].rank);
}

/* Ranks [16 step, + 16) of B, tile i this lane's columns 2 i and 2 i + 1. Lanes past the last rank
 * read others, which meet no u; no branch stands between the loads, each of which would be waited
 * for. */
LF_DEVICE void load_b(uint32_t (&f)[2][4], const bf16 *b, int rank, int step)
{
    int r = step * 16 + threadIdx.x % 4 * 4;
    b += r < rank ? r : 0;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            uint2 v = *(const uint2 *)(b + (2 * i + h) * rank);
            f[i][h] = v.x;
            f[i][2 + h] = v.y;
        }
}

/* The first ranks of B of a run's chunk that is there. */
template <bool glu> LF_DEVICE void start(uint32_t (&b)[GROUPS][2][4], const struct run &r)
{
#pragma unroll
    for (int k = 0; k < GROUPS; k++)
        if (r.side[k].rank > 0 && r.n + apart<glu>(k) < r.end)
            load_b(b[k], r.side[k].b, r.side[k].rank, 0);
}

/* The same ranks of u, of row lane / 4 of the tile. */
LF_DEVICE uint2 load_u(const struct expand_args &e, const struct row_tile &t, int p, int rank,
                       int step)
{
    int i = min((int)threadIdx.x % 32 / 4, t.n - 1), r = step * 16 + threadIdx.x % 4 * 4;
    bool there = r < rank;
    const bf16 *u = (const bf16 *)e.a.u + ((size_t)(t.row + i) * e.a.n + p) * e.b.rank_max;
    uint2 v = *(const uint2 *)(u + (there ? r : 0));
    return there ? v : make_uint2(0, 0);
}

/* A lane's columns of y, of the k-th group and row `row` of the tile. */
template <bool glu>
LF_DEVICE bf16 *y_at(const struct expand_args &e, const struct run &r, int k, int row)
{
    return (bf16 *)e.a.y + (size_t)(r.t.row + row) * e.a.ldy + e.a.col[glu ? k : r.p] + r.n +
           apart<glu>(k);
}

LF_DEVICE uint2 pack4(const float (&v)[4])
{
    return make_uint2(pack2(v[0], v[1]), pack2(v[2], v[3]));
}

/* One row of a chunk: y with the adapters' shares, of which it is the i-th of the lane's two. */
template <bool glu>
LF_DEVICE void put_row(const struct expand_args &e, const struct run &r, int row, int i,
                       const uint2 (&y)[GROUPS], const float (&acc)[GROUPS][2][4])
{
    float v[GROUPS][4];
#pragma unroll
    for (int k = 0; k < GROUPS; k++) {
        v[k][0] = low_half(y[k].x), v[k][1] = high_half(y[k].x);
        v[k][2] = low_half(y[k].y), v[k][3] = high_half(y[k].y);
#pragma unroll
        for (int j = 0; j < 4; j++)
            v[k][j] += r.side[k].scale * acc[k][j / 2][j % 2 * 2 + i];
    }
    if (glu) {
#pragma unroll
        for (int j = 0; j < 4; j++)
            v[0][j] = act_at(e.glu.act, v[0][j]) * v[1][j];
        *(uint2 *)((bf16 *)e.glu.y + (size_t)(r.t.row + row) * e.glu.ldy + r.n) = pack4(v[0]);
    } else {
#pragma unroll
        for (int k = 0; k < GROUPS; k++)
            if (r.n + apart<glu>(k) < r.end)
                *(uint2 *)y_at<glu>(e, r, k, row) = pack4(v[k]);
    }
}

/* The products of a chunk; on entry its first ranks of B are under way, and those of u are there.
 */
template <bool glu>
LF_DEVICE void multiply(float (&acc)[GROUPS][2][4], uint32_t (&b)[GROUPS][2][4],
                        const struct expand_args &e, const struct run &r, const uint2 (&u)[GROUPS])
{
#pragma unroll
    for (int k = 0; k < GROUPS; k++) {
#pragma unroll
        for (int i = 0; i < 2; i++)
            mma(acc[k][i], b[k][i], u[k].x, u[k].y);
        for (int step = 1; step * 16 < r.side[k].rank; step++) {
            uint2 more = load_u(e, r.t, glu ? k : r.p, r.side[k].rank, step);
            int n = r.n + apart<glu>(k);
            load_b(b[k], r.side[k].b - (size_t)(n < r.end ? 0 : n) * r.side[k].rank, r.side[k].rank,
                   step);
#pragma unroll
            for (int i = 0; i < 2; i++)
                mma(acc[k][i], b[k][i], more.x, more.y);
        }
    }
}

/* A run that goes in fours; on entry the first ranks of B of its first chunk are under way. */
template <bool glu>
LF_DEVICE void expand(uint32_t (&b)[GROUPS][2][4], const struct expand_args &e, struct run &r)
{
    const int row = threadIdx.x % 4 * 2;
    uint2 u[GROUPS] = {};
#pragma unroll
    for (int k = 0; k < GROUPS; k++)
        if (r.side[k].rank > 0)
            u[k] = load_u(e, r.t, glu ? k : r.p, r.side[k].rank, 0);
    int warp_n = r.n - threadIdx.x % 32 / 4 * 4;
    for (; warp_n < r.end; warp_n += chunk_width<glu>) {
        float acc[GROUPS][2][4] = {};
        uint2 y[2][GROUPS] = {};
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int k = 0; k < GROUPS; k++)
                if (row + i < r.t.n && r.n + apart<glu>(k) < r.end)
                    y[i][k] = *(const uint2 *)y_at<glu>(e, r, k, row + i);
        multiply<glu>(acc, b, e, r, u);
        struct run next = r;
        next.n += chunk_width<glu>;
#pragma unroll
        for (int k = 0; k < GROUPS; k++)
            next.side[k].b += (size_t)chunk_width<glu> * r.side[k].rank;
        start<glu>(b, next);
        if (e.ahead && threadIdx.x == 0)
            prefetch_columns<glu>(next, (AHEAD - 1) * chunk_width<glu>, chunk_width<glu>);
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (row + i < r.t.n && r.n < r.end)
                put_row<glu>(e, r, row + i, i, y[i], acc);
        r = next;
    }
}

/* y of one row and column with its adapter's share. */
template <bool glu>
LF_DEVICE float share_at(const struct expand_args &e, const struct run &r, int k, int row, int i)
{
    const bf16 *u =
        (const bf16 *)e.a.u + ((size_t)(r.t.row + row) * e.a.n + (glu ? k : r.p)) * e.b.rank_max;
    float sum = 0.0f;
    for (int j = 0; j < r.side[k].rank; j++)
        sum += to_f32(u[j]) * to_f32(r.side[k].b[i * r.side[k].rank + j]);
    return to_f32(y_at<glu>(e, r, k, row)[i]) + r.side[k].scale * sum;
}

/* A run that does not go in fours. */
template <bool glu>
static __device__ __noinline__ void expand_apart(const struct expand_args &e, struct run r)
{
    for (; r.n - (int)threadIdx.x % 32 / 4 * 4 < r.end; r.n += chunk_width<glu>) {
        for (int row = threadIdx.x % 4; row < r.t.n; row += 4)
            for (int i = 0; i < 4; i++) {
                bf16 *y = (bf16 *)e.glu.y + (size_t)(r.t.row + row) * e.glu.ldy + r.n + i;
                if (glu && r.n + i < r.end)
                    *y = __float2bfloat16_rn(act_at(e.glu.act, share_at<glu>(e, r, 0, row, i)) *
                                             share_at<glu>(e, r, 1, row, i));
                for (int k = 0; !glu && k < GROUPS; k++)
                    if (r.n + apart<glu>(k) + i < r.end)
                        y_at<glu>(e, r, k, row)[i] =
                            __float2bfloat16_rn(share_at<glu>(e, r, k, row, i));
            }
        for (int k = 0; k < GROUPS; k++)
            r.side[k].b += (size_t)chunk_width<glu> * r.side[k].rank;
    }
}

/* Grid: tiles; runs of chunks of columns, of all projections. */
template <bool glu>
static __global__ void __launch_bounds__(THREADS, BLOCKS)
    expand_kernel(const __grid_constant__ struct expand_args e)
{
    uint32_t b[GROUPS][2][4] = {};
    struct run r = run_of<glu>(e, blockIdx.x, blockIdx.y);
    bool fours = e.vec; /* all lanes alike */
#pragma unroll
    for (int k = 0; k < GROUPS; k++)
        fours = fours && (r.side[k].rank == 0 ||
                          (r.side[k].rank % 4 == 0 && (uintptr_t)r.side[k].b % 8 == 0));
    if (fours)
        start<glu>(b, r);
    if (e.ahead && threadIdx.x == 0)
        prefetch_columns<glu>(r, chunk_width<glu>, (AHEAD - 1) * chunk_width<glu>);
    grid_wait();
    if (r.t.n <= 0 || (!glu && r.side[0].rank == 0))
        return;
    if (fours)
        expand<glu>(b, e, r);
    else
        expand_apart<glu>(e, r);
}

/* The activation goes into the kernel. */
static bool takes_glu(const struct lf_lora_args *a, const struct lf_glu_args *g)
{
    return g && g->gated && a->n == 2 && a->N[0] == g->F && a->N[1] == g->F && a->y == g->x &&
           a->ldy == g->ldx;
}

/* Rows of a matrix may be read four elements at a time. */
static bool fours(const void *p, int ld, int elements)
{
    return (uintptr_t)p % 8 == 0 && ld % 4 == 0 && elements % 4 == 0;
}

/* The grid: runs as long as lets all blocks be there at once. */
template <bool glu>
static dim3 grid_of(const struct lf_stream *s, struct expand_args *e, const struct lf_ragged *b)
{
    int64_t tiles = lf_row_tiles_max(b, ROWS) + (glu ? b->n_segs + 1 : 0), chunks = 0, runs = 0;
    int n = glu ? 1 : e->a.n;
    tiles = tiles < b->T ? tiles : b->T;
    for (int p = 0; p < n; p++)
        chunks += lf_div_up(e->a.N[p], chunk_width<glu>);
    e->run = lf_div_up(tiles * chunks, BLOCKS * lf_cuda_of(s)->dev->units);
    for (int p = 0; p < n; p++) {
        runs += lf_div_up(e->a.N[p], (int64_t)e->run * chunk_width<glu>);
        e->runs[p] = (int)runs;
    }
    return dim3((int)tiles, (int)runs);
}

void lf_cuda_lora_few_y(struct lf_stream *s, const struct lf_lora_args *a,
                        const struct lf_glu_args *glu)
{
    const struct lf_ragged *b = a->batch;
    struct expand_args e = {*a, lora_batch_of(b), {}, 0, {}, !lora_keeps_b(a), true};
    e.vec = fours(a->u, e.b.rank_max, e.b.rank_max);
    for (int p = 0; p < a->n; p++)
        e.vec = e.vec && fours(a->y, a->ldy, a->N[p]) && a->col[p] % 4 == 0;
    if (takes_glu(a, glu)) {
        e.glu = *glu;
        e.vec = e.vec && fours(glu->y, glu->ldy, glu->F);
        dim3 grid = grid_of<true>(s, &e, b);
        lf_launch<expand_kernel<true>>(s, grid, THREADS, 0, e);
        return;
    }
    dim3 grid = grid_of<false>(s, &e, b);
    lf_launch<expand_kernel<false>>(s, grid, THREADS, 0, e);
    if (glu)
        lf_cuda_glu(s, glu);
}
