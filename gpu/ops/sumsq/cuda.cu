/* Sums of squares on CUDA, many runs in one launch: parts of 16,384 elements by a block each, and
 * the last block of a run adds the parts up in order. */
#include "gpu/cuda/kernel.cuh"

#define SUMSQ_RUNS 128   /* runs a launch; their table travels as a kernel argument */
#define SUMSQ_PART 16384 /* elements a block adds */
#define SUMSQ_PARTS 4096 /* parts of one run at most; each then grows */

struct sumsq_table {
    struct lf_sumsq_args run[SUMSQ_RUNS];
};

static __global__ void __launch_bounds__(256)
    sumsq_kernel(const __grid_constant__ struct sumsq_table table, float *parts, int *counters)
{
    grid_wait();
    const struct lf_sumsq_args a = table.run[blockIdx.y];
    size_t part = SUMSQ_PART, blocks = (a.n + part - 1) / part;
    if (blocks > gridDim.x) {
        blocks = gridDim.x;
        part = (a.n + blocks - 1) / blocks;
    }
    if (blockIdx.x >= (blocks > 0 ? blocks : 1))
        return;
    size_t begin = blockIdx.x * part, end = begin + part < a.n ? begin + part : a.n;
    float sum = 0.0f;
    for (size_t i = begin + threadIdx.x; i < end; i += 256)
        sum += a.g[i] * a.g[i];
    sum = block_sum<256>(sum);
    float *run = parts + (size_t)blockIdx.y * gridDim.x;
    if (threadIdx.x == 0)
        run[blockIdx.x] = sum;
    if (!last_to_arrive(&counters[blockIdx.y], blocks > 0 ? (int)blocks : 1))
        return;
    double total = 0.0; /* every thread takes every 256th part, then they add up in order */
    for (size_t i = threadIdx.x; i < blocks; i += 256)
        total += __ldcg(&run[i]);
    sum = block_sum<256>((float)total);
    if (threadIdx.x == 0)
        a.out[0] = sum;
}

void lf_cuda_sumsq(struct lf_stream *s, const struct lf_sumsq_args *a, int n)
{
    for (int from = 0; from < n; from += SUMSQ_RUNS) {
        struct sumsq_table table = {};
        int runs = n - from < SUMSQ_RUNS ? n - from : SUMSQ_RUNS;
        size_t longest = 1;
        for (int i = 0; i < runs; i++) {
            table.run[i] = a[from + i];
            longest = longest > a[from + i].n ? longest : a[from + i].n;
        }
        size_t blocks = (longest + SUMSQ_PART - 1) / SUMSQ_PART;
        unsigned parts = blocks < SUMSQ_PARTS ? (unsigned)blocks : SUMSQ_PARTS;
        lf_launch<sumsq_kernel>(s, dim3(parts, runs), 256, 0, table, lf_cuda_of(s)->partials,
                                lf_cuda_of(s)->counters);
    }
}
