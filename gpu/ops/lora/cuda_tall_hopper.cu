/* LoRA's long contractions (cuda_tall.cu) on Hopper: the copy engine brings x or dy, 256 bytes of a
 * row together, and the threads bring A or B, which lie in L2. Two halves of the warps take a panel
 * of 64 k each. */
#include "gpu/cuda/tensor_map.cuh"
#include "gpu/cuda/warpgroup.cuh"
#include "gpu/ops/lora/tall.cuh"

#define STEP 128    /* k of a step: two panels */
#define SMEM 106496 /* bytes of a block's stages: two blocks a multiprocessor */
#define W_LINE                                                                         \
    136 /* elements of a row of A in shared memory: STEP, and 8 against bank conflicts \
         */

template <bool backward, int pairs> struct stage {
    bf16 x[2 * ROWS * 64];
    bf16 w[backward ? STEP * (16 * pairs + 8) : 16 * pairs * W_LINE];
    unsigned char unused[(WGMMA_ALIGN - sizeof(w) % WGMMA_ALIGN) % WGMMA_ALIGN];
};

/* What of A or B this thread brings each step: `pairs` runs of eight, from base + k * stride; `at`
 * + k is before the end where they are there. */
template <int pairs> struct feed {
    const bf16 *base[pairs];
    int to[pairs], at[pairs], width[pairs];
    bool vec;
};
#define NOWHERE (1 << 30)

/* Rows of A as they lie: columns of u by k. */
template <int pairs>
LF_DEVICE void find_a(struct feed<pairs> &f, const struct tall_args &a, const struct tall_tile &t,
                      const struct lf_lora_site *site, int rank_max)
{
    int K = a.length[t.p], c = threadIdx.x % (STEP / 8) * 8;
    f.vec = true;
    for (int p = 0; p < a.n; p++)
        f.vec = f.vec && (uintptr_t)site[p].a % 16 == 0;
#pragma unroll
    for (int i = 0; i < pairs; i++) {
        int row = i * 16 + threadIdx.x / (STEP / 8), p;
        int r = rank_of(&p, t.first + min(row, t.cols - 1), rank_max);
        bool there = row < t.cols && r < site[p].rank;
        f.base[i] = (const bf16 *)site[p].a + (there ? (size_t)r * K + c : (size_t)0);
        f.to[i] = row * W_LINE + c;
        f.at[i] = there ? c : NOWHERE;
        f.width[i] = 8;
    }
}

/* Rows of B as they lie: k by ranks. */
template <int pairs>
LF_DEVICE void find_b(struct feed<pairs> &f, const struct tall_tile &t,
                      const struct lf_lora_site &site, int rank0)
{
    f.vec = whole_words(site.b, site.rank);
#pragma unroll
    for (int i = 0; i < pairs; i++) {
        int run = i * WARPS * 32 + threadIdx.x, row = run / (2 * pairs);
        int c = run % (2 * pairs) * 8, left = site.rank - rank0 - c;
        f.base[i] = (const bf16 *)site.b + (left > 0 ? (size_t)row * site.rank + rank0 + c : 0);
        f.to[i] = row * (16 * pairs + 8) + c;
        f.at[i] = left > 0 ? row : NOWHERE;
        f.width[i] = min(left, 8);
    }
}

template <int pairs>
LF_DEVICE void bring_w(bf16 *w, const struct feed<pairs> &f, int k, int stride, int end)
{
#pragma unroll
    for (int i = 0; i < pairs; i++) {
        const bf16 *from = f.base[i] + (size_t)k * stride;
        bool there = f.at[i] + k < end;
        if (f.vec)
            copy_async(w + f.to[i], there ? from : f.base[i], there);
        else
            *(uint4 *)(w + f.to[i]) =
                there ? words8(from, f.width[i], false) : make_uint4(0, 0, 0, 0);
    }
}

template <bool backward, int pairs>
LF_DEVICE void add_step(float (&acc)[8][4], const struct stage<backward, pairs> &s)
{
    const int line = backward ? 16 * pairs + 8 : W_LINE;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, k = warp / 4 * 64;
    const bf16 *panel = s.x + warp / 4 * ROWS * 64;
    const bf16 *w = backward ? s.w + (k + lane % 16) * line + lane / 16 * 8
                             : s.w + (lane / 16 * 8 + lane % 8) * line + k + lane / 8 % 2 * 8;
#pragma unroll
    for (int h = 0; h < 4; h++) {
        uint32_t f[4];
        ldmatrix(f, lora_panel_at(panel, warp % 4 * 16 + lane % 16, h * 2 + lane / 16));
        lora_mma<backward, pairs>(acc, f, w + h * 16 * (backward ? line : 1), line);
    }
}

/* The loop over the tile's k. */
template <bool backward, int pairs>
LF_DEVICE void contract(float (&acc)[8][4], struct stage<backward, pairs> *stage, uint64_t *full,
                        const CUtensorMap &map, const struct tall_args &a,
                        const struct tall_tile &t, const struct feed<pairs> &f, int stride)
{
    enum { n = SMEM / sizeof *stage };
    int steps = (t.end - t.k + STEP - 1) / STEP, brought = 0;
    auto bring = [&] {
        int k = t.k + brought * STEP, at = brought % n;
        if (brought < steps) {
            if (threadIdx.x == 0) {
                barrier_expect(&full[at], sizeof stage->x);
                for (int i = 0; i < 2; i++)
                    copy_box(stage[at].x + i * ROWS * 64, &map, a.col[t.p] + k + i * 64, t.rows.row,
                             0, &full[at]);
            }
            bring_w<pairs>(stage[at].w, f, k, stride, t.end);
        }
        copy_async_commit();
        brought++;
    };
    for (int i = 0; i < n - 1; i++)
        bring();
    for (int i = 0; i < steps; i++) {
        copy_async_wait<n - 2>();
        barrier_wait(&full[i % n], i / n);
        __syncthreads();
        bring();
        add_step<backward, pairs>(acc, stage[i % n]);
    }
    copy_async_wait<0>();
}

/* Grid: row tiles, parts of each projection's contraction, columns of u. */
template <bool backward, int pairs>
static __global__ void __launch_bounds__(WARPS * 32)
    tall_kernel(const __grid_constant__ struct tall_args a, const struct lora_batch b,
                const __grid_constant__ CUtensorMap map)
{
    __shared__ struct lf_lora_site site[LF_GROUP_MAX];
    enum { n = SMEM / sizeof(struct stage<backward, pairs>) };
    __shared__ uint64_t full[n];
    unsigned char *memory = wgmma_aligned(dynamic_smem());
    struct tall_tile t;
    if (threadIdx.x == 0)
        for (int i = 0; i < n; i++)
            barrier_begin(&full[i], 1);
    fence_for_wgmma();
    grid_wait();
    if (!find_tile<STEP>(t, a, b))
        return;
    int slot = b.segs[t.rows.seg].slot;
    if (threadIdx.x < a.n)
        site[threadIdx.x] = a.sites[(size_t)slot * a.n_sites + a.site[threadIdx.x]];
    __syncthreads();
    if (a.each && site[t.p].rank == 0)
        t.end = t.k;
    struct feed<pairs> f;
    if (backward)
        find_b<pairs>(f, t, site[t.p], t.first - t.p * b.rank_max);
    else
        find_a<pairs>(f, a, t, site, b.rank_max);
    float acc[8][4] = {};
    contract<backward, pairs>(acc, (struct stage<backward, pairs> *)memory, full, map, a, t, f,
                              backward ? site[t.p].rank : 1);
    float *sum = (float *)memory;
    lora_join_halves(sum, acc);
    if (a.part[t.p + 1] - a.part[t.p] == 1 || join_parts<16 * pairs>(sum, a, t))
        put_ranks<backward>(sum, a, t, site, slot, b.rank_max);
}

template <bool backward, int pairs>
static void launch(struct lf_stream *s, struct tall_args *t, const struct lora_batch &b, dim3 grid,
                   const CUtensorMap &map)
{
    size_t bytes = SMEM + WGMMA_ALIGN;
    tall_divide(s, t, &grid, STEP, 2);
    lf_launch<tall_kernel<backward, pairs>>(s, grid, WARPS * 32, bytes, *t, b, map);
}

template <bool backward>
static void launch_by_columns(struct lf_stream *s, struct tall_args *t, const struct lora_batch &b,
                              dim3 grid, int cols, const CUtensorMap &map)
{
    if (cols <= 16)
        launch<backward, 1>(s, t, b, grid, map);
    else if (cols <= 32)
        launch<backward, 2>(s, t, b, grid, map);
    else if (cols <= 48)
        launch<backward, 3>(s, t, b, grid, map);
    else
        launch<backward, 4>(s, t, b, grid, map);
}

bool lf_cuda_lora_tall_hopper(struct lf_stream *s, struct tall_args *t,
                              const struct lf_ragged *batch, bool backward)
{
    struct lora_batch b = lora_batch_of(batch);
    CUtensorMap map;
    int end = 0;
    for (int p = 0; p < t->n; p++) {
        end = end > t->col[p] + t->length[p] ? end : t->col[p] + t->length[p];
        if (t->length[p] % STEP || t->col[p] % 8)
            return false;
    }
    if (!lora_boxes(s, t->x, t->ld))
        return false;
    struct lf_boxes boxes = {t->x,
                             {(uint64_t)end, (uint64_t)batch->T, 1},
                             {(uint64_t)t->ld, (uint64_t)t->ld},
                             {64, ROWS, 1}};
    lf_cuda_tensor_map(lf_cuda_of(s)->dev, &map, &boxes);
    t->each = backward;
    int cols = t->each ? b.rank_max : t->n * b.rank_max;
    dim3 grid(lf_row_tiles_max(batch, ROWS), 1, lf_div_up(cols, COLS));
    if (backward)
        launch_by_columns<true>(s, t, b, grid, cols, map);
    else
        launch_by_columns<false>(s, t, b, grid, cols, map);
    return true;
}
