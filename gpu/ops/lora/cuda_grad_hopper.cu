/* LoRA's gradients (cuda_grad.cu) on Hopper: the copy engine brings dy or x, 256 columns of 64 rows
 * a step, and the threads bring u or du. A warp takes 32 columns. */
#include "gpu/cuda/tensor_map.cuh"
#include "gpu/cuda/warpgroup.cuh"
#include "gpu/ops/lora/grad.cuh"

#define COLS 256
#define PANELS (COLS / 64)
#define STAGES 3

template <int pairs> struct stage {
    bf16 wide[PANELS * ROWS * 64];
    bf16 narrow[ROWS * (16 * pairs + 8)];
    unsigned char unused[(WGMMA_ALIGN - sizeof(narrow) % WGMMA_ALIGN) % WGMMA_ALIGN];
};

struct maps {
    CUtensorMap x, dy;
};

/* Rows from `left` on, another adapter's: zeros. */
LF_DEVICE void clear_rows(bf16 *wide, int left)
{
    for (int i = threadIdx.x; i < PANELS * ROWS * 8; i += WARPS * 32)
        if (i / 8 % ROWS >= left)
            *(uint4 *)(wide + i * 8) = make_uint4(0, 0, 0, 0);
    fence_for_wgmma(); /* the copy engine writes there next */
}

/* acc += (32 columns) x (pairs of eight ranks) over the step's rows. */
template <int pairs>
LF_DEVICE void add_step(float (&acc)[2][2 * pairs][4], const struct stage<pairs> &s)
{
    const int line = 16 * pairs + 8;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const bf16 *panel = s.wide + warp / 2 * ROWS * 64;
    const bf16 *narrow = s.narrow + lane % 16 * line + lane / 16 * 8;
#pragma unroll
    for (int h = 0; h < ROWS / 16; h++) {
        uint32_t f[2][4], g[pairs][4];
#pragma unroll
        for (int m = 0; m < 2; m++)
            ldmatrix_trans(f[m], lora_panel_at(panel, h * 16 + lane / 16 * 8 + lane % 8,
                                               warp % 2 * 4 + m * 2 + lane / 8 % 2));
#pragma unroll
        for (int t = 0; t < pairs; t++)
            ldmatrix_trans(g[t], narrow + h * 16 * line + t * 16);
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int t = 0; t < pairs; t++) {
                mma(acc[m][2 * t], f[m], g[t][0], g[t][1]);
                mma(acc[m][2 * t + 1], f[m], g[t][2], g[t][3]);
            }
    }
}

/* The loop over the adapter's rows. */
template <int pairs>
LF_DEVICE void contract(float (&acc)[2][2 * pairs][4], struct stage<pairs> *stage, uint64_t *full,
                        const struct maps &maps, const struct grad_args &a,
                        const struct lora_batch &b, const struct grad_job &j)
{
    struct cursor ahead = {(int)blockIdx.z - 1, 0, 0};
    int ld = a.n * b.rank_max, brought = 0;
    skip_steps(ahead, b, j.slot, (int)blockIdx.y % a.parts * a.chunk);
    struct cursor at = ahead;
    const CUtensorMap &map = j.is_a ? maps.x : maps.dy;
    int col = j.c0 + (j.is_a ? 0 : a.col[j.p]);
    auto bring = [&] {
        find_rows(ahead, b, j.slot);
        int to = brought % STAGES, left = brought < a.chunk ? ahead.end - ahead.row : 0;
        if (left > 0 && threadIdx.x == 0) {
            barrier_expect(&full[to], sizeof stage->wide);
            for (int i = 0; i < PANELS; i++)
                copy_box(stage[to].wide + i * ROWS * 64, &map, col + i * 64, ahead.row, 0,
                         &full[to]);
        }
        for (int i = threadIdx.x; i < ROWS * 2 * pairs && left > 0; i += WARPS * 32) {
            int row = i / (2 * pairs), c = i % (2 * pairs) * 8;
            bool there = row < left && c < j.ranks;
            const bf16 *from =
                j.narrow + (there ? (size_t)(ahead.row + row) * ld + j.first + c : (size_t)0);
            copy_async(stage[to].narrow + row * (16 * pairs + 8) + c, from, there);
        }
        copy_async_commit();
        ahead.row += ROWS;
        brought++;
    };
    for (int i = 0; i < STAGES - 1; i++)
        bring();
    for (int step = 0; step < a.chunk && at.row < at.end; step++) {
        copy_async_wait<STAGES - 2>();
        barrier_wait(&full[step % STAGES], step / STAGES);
        if (at.end - at.row < ROWS)
            clear_rows(stage[step % STAGES].wide, at.end - at.row);
        __syncthreads();
        bring();
        add_step<pairs>(acc, stage[step % STAGES]);
        at.row += ROWS;
        find_rows(at, b, j.slot);
    }
    copy_async_wait<0>();
    __syncthreads();
}

template <int pairs> LF_DEVICE void put_sums(float *sum, const float (&acc)[2][2 * pairs][4])
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *at = sum + (warp * 32 + lane / 4) * SUM_LINE + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int t = 0; t < 2 * pairs; t++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                at[(m * 16 + e / 2 * 8) * SUM_LINE + t * 8 + e % 2] = acc[m][t][e];
    __syncthreads();
}

/* A gradient from its first row to its last sum; pairs: of eight columns of u or du that it needs.
 */
template <int pairs>
LF_DEVICE void make_gradient(unsigned char *memory, uint64_t *full, const struct maps &maps,
                             const struct grad_args &a, const struct lora_batch &b,
                             const struct grad_job &j)
{
    float acc[2][2 * pairs][4] = {};
    contract<pairs>(acc, (struct stage<pairs> *)memory, full, maps, a, b, j);
    float *sum = (float *)memory;
    put_sums<pairs>(sum, acc);
    if (a.parts == 1 || join_parts<COLS, 16 * pairs>(sum, a))
        put_gradient<COLS>(sum, a, j, b.rank_max);
}

/* Grid: column tiles of all gradients, ranks by parts, segments. */
static __global__ void __launch_bounds__(WARPS * 32, 2)
    grad_kernel(const __grid_constant__ struct grad_args a, const struct lora_batch b,
                const __grid_constant__ struct maps maps)
{
    __shared__ uint64_t full[STAGES];
    unsigned char *memory = wgmma_aligned(dynamic_smem());
    if (threadIdx.x == 0)
        for (int i = 0; i < STAGES; i++)
            barrier_begin(&full[i], 1);
    fence_for_wgmma();
    grid_wait();
    __syncthreads();
    struct grad_job j;
    if (!leads(b, blockIdx.z) || !find_job<false, COLS>(j, a, b.rank_max))
        return;
    j.slot = b.segs[blockIdx.z].slot;
    if (!j.is_a && a.sites[(size_t)j.slot * a.n_sites + a.site[j.p]].rank == 0)
        return;
    if (j.ranks <= 16)
        make_gradient<1>(memory, full, maps, a, b, j);
    else if (j.ranks <= 32)
        make_gradient<2>(memory, full, maps, a, b, j);
    else if (j.ranks <= 48)
        make_gradient<3>(memory, full, maps, a, b, j);
    else
        make_gradient<4>(memory, full, maps, a, b, j);
}

/* Bytes of shared memory for gradients against so many columns of u or du. */
static size_t memory_for(int cols)
{
    size_t of[] = {sizeof(struct stage<1>), sizeof(struct stage<2>), sizeof(struct stage<3>),
                   sizeof(struct stage<4>)};
    return STAGES * of[cols > 64 ? 3 : (cols - 1) / 16] + WGMMA_ALIGN;
}

#define UNIT_SMEM (227 << 10) /* of a multiprocessor; a block takes 1 KB more than it asks for */

bool lf_cuda_lora_grads_hopper(struct lf_stream *s, struct grad_args *g, const struct lf_ragged *b)
{
    struct maps maps;
    int end = 0;
    for (int p = 0; p < g->n; p++)
        end = end > g->col[p] + g->N[p] ? end : g->col[p] + g->N[p];
    if (!g->vec_u || !g->vec_x || !g->vec_dy || !lora_boxes(s, g->x, g->ldx) ||
        !lora_boxes(s, g->dy, g->lddy))
        return false;
    struct lf_boxes boxes = {g->x,
                             {(uint64_t)g->K, (uint64_t)b->T, 1},
                             {(uint64_t)g->ldx, (uint64_t)g->ldx},
                             {64, ROWS, 1}};
    lf_cuda_tensor_map(lf_cuda_of(s)->dev, &maps.x, &boxes);
    boxes = {g->dy,
             {(uint64_t)end, (uint64_t)b->T, 1},
             {(uint64_t)g->lddy, (uint64_t)g->lddy},
             {64, ROWS, 1}};
    lf_cuda_tensor_map(lf_cuda_of(s)->dev, &maps.dy, &boxes);
    size_t bytes = memory_for(g->n * b->rank_max);
    dim3 grid = grad_divide(s, g, b, false, COLS, 2 * (bytes + 1024) <= UNIT_SMEM ? 2 : 1);
    lf_launch<grad_kernel>(s, grid, WARPS * 32, bytes, *g, lora_batch_of(b), maps);
    return true;
}
