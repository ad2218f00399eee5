/* The CUDA device as the files of gpu/cuda and gpu/ops/<op>/cuda.cu see it: what stands behind the
 * handles of device.h, and how an operation puts a kernel on a stream. Private to gpu/.
 *
 * Every kernel is launched by lf_launch and begins with grid_wait() (gpu/cuda/ptx.cuh). From
 * compute capability 9.0 on, a kernel may start while the one before it still runs: what stands
 * before grid_wait() may only touch constants (weights, code tables) and its own shared memory.
 *
 * A fault is sticky: after the first, lf_launch and the copies do nothing, and lf_stream_wait
 * answers LF_E_DEVICE_LOST.
 */
#ifndef LF_GPU_CUDA_CUH
#define LF_GPU_CUDA_CUH

#include "gpu/backend.h"

#include <atomic>
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

typedef __nv_bfloat16 bf16; /* act */

/* Ceilings of the fixed part of a stream's scratch memory. */
#define LF_CUDA_PARTIALS ((size_t)33 << 20) /* bytes; sums of parts of one result */
#define LF_CUDA_COUNTERS 65536              /* arrivals of blocks; zero between kernels */
#define LF_CUDA_COUNTERS_BESIDE 2
#define LF_CUDA_WORKSPACE ((size_t)32 << 20) /* cuBLASLt's; what NVIDIA advises for Hopper */

struct lf_cuda {
    int index;      /* which card */
    int units;      /* multiprocessors */
    int cc;         /* 10 * major + minor */
    int smem_block; /* shared memory that a block can have, bytes */
    cublasLtHandle_t lt;
    unsigned life;          /* another for each open: kernels are prepared for each */
    std::atomic<int> fault; /* the first cudaError_t; sticky */
};

struct lf_upload_ring; /* gpu/cuda/stream.cu */
struct lf_gemm_plans;  /* gpu/cuda/gemm.cu */

struct lf_cuda_stream {
    struct lf_cuda *dev;
    cudaStream_t stream;
    void *scratch; /* grows with lf_stream_reserve: weights under dequantisation */
    size_t scratch_bytes;
    /* The group whose weights, unpacked, lie in scratch: its first one's data, how many, their row
     * stride. NULL: none that is known. Forgotten when the stream is waited for or written to by
     * the host, since weights may be others then, and around recordings. */
    const void *unpacked;
    int unpacked_n, unpacked_ld;
    float *partials;      /* LF_CUDA_PARTIALS */
    int *counters;        /* LF_CUDA_COUNTERS */
    int *counters_beside; /* LF_CUDA_COUNTERS_BESIDE: of kernels that may run beside others */
    void *workspace;      /* LF_CUDA_WORKSPACE */
    struct lf_upload_ring *ring;
    struct lf_gemm_plans *plans;
    bool recording;
    cudaStream_t beside; /* lf_cuda_fork's; all NULL on a stream for copies */
    cudaEvent_t fork, join;
};

static inline struct lf_cuda_stream *lf_cuda_of(const struct lf_stream *s)
{
    return (struct lf_cuda_stream *)s->impl;
}

/* Makes the card current for this thread; false after a fault. */
bool lf_cuda_enter(struct lf_cuda *dev);
/* Keeps the first error. */
void lf_cuda_note(struct lf_cuda *dev, cudaError_t error);
/* Allows a kernel all the shared memory there is; once a kernel and life of a card. (Tried and
 * slower: the same split between shared memory and L1 for all kernels, so that none waits for the
 * split to change: decoding needs its L1.) */
void lf_cuda_prepare_kernel(struct lf_cuda *dev, const void *kernel);

template <auto kernel, typename... A>
void lf_launch(struct lf_stream *s, dim3 grid, int threads, size_t smem, A... args)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (!lf_cuda_enter(cs->dev) || !grid.x || !grid.y || !grid.z)
        return;
    static std::atomic<unsigned> prepared; /* for which life */
    if (prepared.load(std::memory_order_relaxed) != cs->dev->life) {
        lf_cuda_prepare_kernel(cs->dev, (const void *)kernel);
        prepared.store(cs->dev->life, std::memory_order_relaxed);
    }
    cudaLaunchAttribute overlap;
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = smem;
    config.stream = cs->stream;
    config.attrs = &overlap;
    config.numAttrs = cs->dev->cc >= 90 ? 1 : 0;
    lf_cuda_note(cs->dev, cudaLaunchKernelEx(&config, kernel, args...));
}

/* What is launched between fork and back follows all that is on the stream, and runs beside what is
 * launched between back and join; what comes after join follows both. Of the stream's fixed memory,
 * what runs beside has counters_beside alone. */
void lf_cuda_fork(struct lf_stream *s);
void lf_cuda_back(struct lf_stream *s);
void lf_cuda_join(struct lf_stream *s);

static inline int lf_div_up(int64_t a, int64_t b)
{
    return (int)((a + b - 1) / b);
}

/* ---- Dense products (gpu/cuda/gemm.cu) ------------------------------------------------------- */

/* Row-major y (T, N) = x (T, K) w^T, w (N, K) [trans false] or y = x (T, K) w, w (K, N) [trans
 * true]; x and w bf16, y bf16 or fp32; ld* are row strides. */
struct lf_gemm {
    void *y;
    const void *plus; /* what accumulate adds, as y; NULL: y */
    const bf16 *x, *w;
    int T, N, K, ldy, ldx, ldw;
    bool trans, accumulate, y_f32;
};

void lf_cuda_gemm(struct lf_stream *s, const struct lf_gemm *g);
void lf_cuda_gemm_plans_free(struct lf_gemm_plans *plans);

/* ---- 4-bit weights, for the table of operations (gpu/ops/linear/) ---------------------------- */

enum lf_err lf_cuda_prepare_weight(struct lf_stream *s, struct lf_weight *w, struct lf_diag *diag);
void lf_cuda_release_weight(struct lf_device *dev, struct lf_weight *w);
size_t lf_cuda_linear_scratch_bytes(const struct lf_device *dev, int T, int N, int K);
void lf_cuda_copy_weights(struct lf_stream *s, void *out, int ld, const struct lf_weight *const *w,
                          int n);

/* ---- What other backends do not have (gpu/ops.h) --------------------------------------------- */

void lf_cuda_map(struct lf_stream *s, const struct lf_map_args *a);
void lf_cuda_map_bwd(struct lf_stream *s, const struct lf_map_bwd_args *a);
void lf_cuda_attn_cached(struct lf_stream *s, const struct lf_rope_args *r,
                         const struct lf_kv_write_args *w, const struct lf_attn_args *a);
/* Its part where attention does not do it all: rope, then kv_write of what it turned; not of
 * sequences of at most `few` tokens (only where lf_cuda_attn_takes_step; else 0). */
void lf_cuda_rope_kv_write(struct lf_stream *s, const struct lf_rope_args *a,
                           const struct lf_kv_write_args *w, int few);

#endif
