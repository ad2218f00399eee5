/* The CUDA backend: opening a card, its memory, and the table of operations. */
#include "gpu/cuda/cuda.cuh"
#include "gpu/cuda/stream.cuh"

#include <new>
#include <stdio.h>

static std::atomic<unsigned> lives;

static int cuda_count(void)
{
    int cards = 0;
    if (cudaGetDeviceCount(&cards) == cudaSuccess)
        return cards;
    cudaGetLastError();
    return 0;
}

/* Asked for, it says whether this build has code for a card. */
static __global__ void nothing()
{
}

static enum lf_err cuda_open(struct lf_device *dev, const struct lf_device_options *options,
                             struct lf_diag *diag)
{
    int cards = 0;
    cudaError_t error = cudaGetDeviceCount(&cards);
    if (error != cudaSuccess || options->index < 0 || options->index >= cards) {
        cudaGetLastError();
        /* Where no driver is there at all this is what the runtime says. */
        if (error == cudaErrorInsufficientDriver)
            return lf_fail(diag, LF_E_NOT_FOUND,
                           "no CUDA card %d: NVIDIA's driver is missing, or too old for CUDA %d.%d",
                           options->index, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
        return lf_fail(diag, LF_E_NOT_FOUND, "no CUDA card %d: %s", options->index,
                       error != cudaSuccess ? cudaGetErrorString(error) : "too few cards");
    }
    cudaDeviceProp p;
    if (cudaGetDeviceProperties(&p, options->index) != cudaSuccess || p.major < 8)
        return lf_fail(diag, LF_E_NOT_FOUND,
                       "card %d cannot be used: compute capability 8.0 or "
                       "later is needed",
                       options->index);
    struct lf_cuda *c = new (std::nothrow) lf_cuda();
    if (!c)
        return lf_no_memory(diag, "a device");
    c->index = options->index;
    c->life = ++lives;
    c->units = p.multiProcessorCount;
    c->cc = 10 * p.major + p.minor;
    c->smem_block = (int)p.sharedMemPerBlockOptin;
    error = cudaSetDevice(c->index);
    cudaFuncAttributes unused;
    if (error == cudaSuccess && cudaFuncGetAttributes(&unused, nothing) != cudaSuccess) {
        cudaGetLastError();
        delete c;
        return lf_fail(diag, LF_E_NOT_FOUND,
                       "card %d cannot be used: this build has no code for compute capability "
                       "%d.%d (LF_CUDA_ARCHS)",
                       options->index, p.major, p.minor);
    }
    cublasStatus_t status = error ? CUBLAS_STATUS_NOT_INITIALIZED : cublasLtCreate(&c->lt);
    if (status != CUBLAS_STATUS_SUCCESS) {
        cudaGetLastError();
        delete c;
        return lf_fail(diag, LF_E_NOT_FOUND, "card %d does not start: %s", options->index,
                       error ? cudaGetErrorString(error) : cublasLtGetStatusName(status));
    }
    dev->impl = c;
    return LF_OK;
}

static void cuda_close(struct lf_device *dev)
{
    struct lf_cuda *c = (struct lf_cuda *)dev->impl;
    cublasLtDestroy(c->lt);
    cudaGetLastError();
    delete c;
}

static void cuda_info(struct lf_device *dev, struct lf_device_info *out)
{
    struct lf_cuda *c = (struct lf_cuda *)dev->impl;
    cudaDeviceProp p;
    out->units = c->units;
    out->compute_major = c->cc / 10;
    out->compute_minor = c->cc % 10;
    if (!lf_cuda_enter(c))
        return;
    if (cudaGetDeviceProperties(&p, c->index) == cudaSuccess)
        snprintf(out->name, sizeof out->name, "%.127s", p.name);
    lf_cuda_note(c, cudaMemGetInfo(&out->memory_free, &out->memory_total));
}

static enum lf_err cuda_alloc(struct lf_device *dev, void **out, size_t bytes, struct lf_diag *diag)
{
    struct lf_cuda *c = (struct lf_cuda *)dev->impl;
    if (!lf_cuda_enter(c))
        return lf_cuda_lost(c, diag);
    cudaError_t error = cudaMalloc(out, bytes);
    if (error == cudaSuccess)
        return LF_OK;
    if (error != cudaErrorMemoryAllocation) {
        lf_cuda_note(c, error);
        return lf_cuda_lost(c, diag);
    }
    cudaGetLastError();
    size_t unused = 0, total = 0;
    cudaMemGetInfo(&unused, &total);
    return lf_fail(diag, LF_E_DEVICE_FULL, "no device memory for %zu bytes: %zu of %zu are free",
                   bytes, unused, total);
}

static void cuda_release(struct lf_device *dev, void *p)
{
    struct lf_cuda *c = (struct lf_cuda *)dev->impl;
    if (lf_cuda_enter(c))
        lf_cuda_note(c, cudaFree(p));
}

static enum lf_err cuda_alloc_host(struct lf_device *dev, void **out, size_t bytes,
                                   struct lf_diag *diag)
{
    struct lf_cuda *c = (struct lf_cuda *)dev->impl;
    if (!lf_cuda_enter(c))
        return lf_cuda_lost(c, diag);
    if (cudaHostAlloc(out, bytes, cudaHostAllocPortable) == cudaSuccess)
        return LF_OK;
    cudaGetLastError();
    *out = NULL;
    return lf_fail(diag, LF_E_NO_MEMORY, "no pinned memory for %zu bytes", bytes);
}

static void cuda_release_host(struct lf_device *dev, void *p)
{
    (void)dev;
    cudaFreeHost(p);
}

static const struct lf_ops cuda_ops = {.prepare_weight = lf_cuda_prepare_weight,
                                       .release_weight = lf_cuda_release_weight,
                                       .linear_scratch_bytes = lf_cuda_linear_scratch_bytes,
                                       .copy_weights = lf_cuda_copy_weights,
                                       .map = lf_cuda_map,
                                       .map_bwd = lf_cuda_map_bwd,
                                       .attn_cached = lf_cuda_attn_cached,
                                       LF_OP_ROWS(cuda, cuda)};

extern "C" const struct lf_backend lf_backend_cuda = {
    .kind = LF_DEVICE_CUDA,
    .name = "cuda",
    .act = LF_BF16,
    .ops = &cuda_ops,
    .count = cuda_count,
    .open = cuda_open,
    .close = cuda_close,
    .info = cuda_info,
    .alloc = cuda_alloc,
    .release = cuda_release,
    .alloc_host = cuda_alloc_host,
    .release_host = cuda_release_host,
    .stream_open = lf_cuda_stream_open,
    .stream_close = lf_cuda_stream_close,
    .stream_reserve = lf_cuda_stream_reserve,
    .stream_wait = lf_cuda_stream_wait,
    .upload = lf_cuda_upload,
    .download = lf_cuda_download,
    .copy = lf_cuda_copy,
    .zero = lf_cuda_zero,
    .mark_new = lf_cuda_mark_new,
    .mark_set = lf_cuda_mark_set,
    .mark_wait = lf_cuda_mark_wait,
    .mark_follow = lf_cuda_mark_follow,
    .mark_seconds = lf_cuda_mark_seconds,
    .mark_free = lf_cuda_mark_free,
    .record_begin = lf_cuda_record_begin,
    .record_end = lf_cuda_record_end,
    .graph_launch = lf_cuda_graph_launch,
    .graph_free = lf_cuda_graph_free,
};
