/* Streams of the CUDA device: their scratch memory, the copies, marks, and recorded graphs.
 *
 * Uploads go through a ring of pinned memory in two halves: the caller's bytes are copied into one
 * half while the card reads the other, so the source may be reused at once and no upload waits
 * for work that is already on the stream (unless the ring is full of it).
 */
#include "gpu/cuda/stream.cuh"

#include <new>
#include <string.h>

#define RING_HALF ((size_t)8 << 20)
#define SCRATCH_MIN ((size_t)32 << 20) /* lets every linear map go, if in more parts */

struct lf_upload_ring {
    unsigned char *bytes; /* 2 x RING_HALF, pinned */
    cudaEvent_t done[2];  /* the last copy out of each half */
    int half;
    size_t used; /* of this half */
};

bool lf_cuda_enter(struct lf_cuda *dev)
{
    static thread_local int current = -1;
    if (dev->fault.load(std::memory_order_relaxed) != cudaSuccess)
        return false;
    if (current != dev->index) {
        lf_cuda_note(dev, cudaSetDevice(dev->index));
        current = dev->index;
    }
    return true;
}

void lf_cuda_note(struct lf_cuda *dev, cudaError_t error)
{
    int none = cudaSuccess;
    if (error != cudaSuccess)
        dev->fault.compare_exchange_strong(none, error);
}

void lf_cuda_prepare_kernel(struct lf_cuda *dev, const void *kernel)
{
    cudaFuncAttributes own;
    cudaError_t error = cudaFuncGetAttributes(&own, kernel);
    if (error == cudaSuccess)
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     dev->smem_block - (int)own.sharedSizeBytes);
    lf_cuda_note(dev, error);
}

enum lf_err lf_cuda_lost(struct lf_cuda *dev, struct lf_diag *diag)
{
    cudaError_t error = (cudaError_t)dev->fault.load();
    return lf_fail(diag, LF_E_DEVICE_LOST, "card %d: %s (%s)", dev->index,
                   cudaGetErrorString(error), cudaGetErrorName(error));
}

/* ---- Opening and closing --------------------------------------------------------------------- */

/* The stream's fixed memory in one allocation: counters (zeroed), partial sums, workspace. */
static enum lf_err fixed_memory(struct lf_device *dev, struct lf_cuda_stream *cs,
                                struct lf_diag *diag)
{
    size_t counters = (LF_CUDA_COUNTERS + LF_CUDA_COUNTERS_BESIDE) * sizeof(int);
    counters = (counters + 255) / 256 * 256;
    size_t bytes = counters + LF_CUDA_PARTIALS + LF_CUDA_WORKSPACE;
    void *p;
    enum lf_err rc = lf_device_alloc(dev, &p, bytes, diag);
    if (rc)
        return rc;
    cs->counters = (int *)p;
    cs->counters_beside = cs->counters + LF_CUDA_COUNTERS;
    cs->partials = (float *)((char *)p + counters);
    cs->workspace = (char *)p + counters + LF_CUDA_PARTIALS;
    lf_cuda_note(cs->dev, cudaMemsetAsync(p, 0, counters, cs->stream));
    return LF_OK;
}

static struct lf_upload_ring *ring_new(void)
{
    struct lf_upload_ring *r = new (std::nothrow) lf_upload_ring();
    if (!r)
        return NULL;
    bool ok = cudaHostAlloc((void **)&r->bytes, 2 * RING_HALF, cudaHostAllocDefault) == 0;
    for (int i = 0; ok && i < 2; i++)
        ok = cudaEventCreateWithFlags(&r->done[i], cudaEventDisableTiming) == cudaSuccess;
    if (ok)
        return r;
    cudaGetLastError();
    if (r->done[0])
        cudaEventDestroy(r->done[0]);
    cudaFreeHost(r->bytes);
    delete r;
    return NULL;
}

static void ring_free(struct lf_upload_ring *r)
{
    if (!r)
        return;
    cudaEventDestroy(r->done[0]);
    cudaEventDestroy(r->done[1]);
    cudaFreeHost(r->bytes);
    delete r;
}

void lf_cuda_stream_close(struct lf_stream *s)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (!cs)
        return;
    cudaSetDevice(cs->dev->index);
    if (cs->stream)
        cudaStreamSynchronize(cs->stream);
    lf_cuda_gemm_plans_free(cs->plans);
    ring_free(cs->ring);
    lf_device_release(s->dev, cs->counters);
    lf_device_release(s->dev, cs->scratch);
    if (cs->beside)
        cudaStreamDestroy(cs->beside);
    if (cs->stream)
        cudaStreamDestroy(cs->stream);
    if (cs->fork)
        cudaEventDestroy(cs->fork);
    if (cs->join)
        cudaEventDestroy(cs->join);
    delete cs;
    s->impl = NULL;
}

/* The stream itself; what runs beside it has one of its own. */
static enum lf_err streams(struct lf_cuda_stream *cs, int priority, struct lf_diag *diag)
{
    int least = 0, greatest = 0;
    cudaDeviceGetStreamPriorityRange(&least, &greatest);
    int level = priority > 0 ? greatest : least;
    cudaError_t error = cudaStreamCreateWithPriority(&cs->stream, cudaStreamNonBlocking, level);
    if (error == cudaSuccess && priority != LF_STREAM_COPIES) {
        error = cudaStreamCreateWithPriority(&cs->beside, cudaStreamNonBlocking, level);
        if (error == cudaSuccess)
            error = cudaEventCreateWithFlags(&cs->fork, cudaEventDisableTiming);
        if (error == cudaSuccess)
            error = cudaEventCreateWithFlags(&cs->join, cudaEventDisableTiming);
    }
    if (error == cudaSuccess)
        return LF_OK;
    cudaGetLastError(); /* no fault of the device */
    return lf_fail(diag, LF_E_DEVICE_FULL, "no stream on card %d: %s", cs->dev->index,
                   cudaGetErrorString(error));
}

enum lf_err lf_cuda_stream_open(struct lf_stream *s, int priority, struct lf_diag *diag)
{
    struct lf_cuda *dev = (struct lf_cuda *)s->dev->impl;
    if (!lf_cuda_enter(dev))
        return lf_cuda_lost(dev, diag);
    struct lf_cuda_stream *cs = new (std::nothrow) lf_cuda_stream();
    if (!cs)
        return lf_no_memory(diag, "a stream");
    cs->dev = dev;
    s->impl = cs;
    enum lf_err rc = streams(cs, priority, diag);
    if (!rc && !(cs->ring = ring_new()))
        rc = lf_fail(diag, LF_E_NO_MEMORY, "no pinned memory for uploads");
    if (!rc && priority != LF_STREAM_COPIES)
        rc = fixed_memory(s->dev, cs, diag);
    if (!rc && priority != LF_STREAM_COPIES)
        rc = lf_cuda_stream_reserve(s, SCRATCH_MIN, diag);
    if (rc)
        lf_cuda_stream_close(s);
    return rc;
}

enum lf_err lf_cuda_stream_reserve(struct lf_stream *s, size_t bytes, struct lf_diag *diag)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (bytes <= cs->scratch_bytes)
        return LF_OK;
    enum lf_err rc = lf_cuda_stream_wait(s, diag); /* the old scratch may be in use */
    if (rc)
        return rc;
    void *p;
    rc = lf_device_alloc(s->dev, &p, bytes, diag);
    if (rc)
        return rc;
    lf_device_release(s->dev, cs->scratch);
    cs->scratch = p;
    cs->scratch_bytes = bytes;
    return LF_OK;
}

enum lf_err lf_cuda_stream_wait(struct lf_stream *s, struct lf_diag *diag)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    cs->unpacked = NULL;
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaStreamSynchronize(cs->stream));
    return lf_cuda_enter(cs->dev) ? LF_OK : lf_cuda_lost(cs->dev, diag);
}

/* ---- Copies: what lf_device_alloc_paged gave may be on either side --------------------------- */

/* Room for up to `bytes` in the ring; *got says how much. Waits for a half's last reader. */
static unsigned char *ring_take(struct lf_cuda_stream *cs, size_t bytes, size_t *got)
{
    struct lf_upload_ring *r = cs->ring;
    if (RING_HALF - r->used < 256) {
        lf_cuda_note(cs->dev, cudaEventRecord(r->done[r->half], cs->stream));
        r->half = 1 - r->half;
        r->used = 0;
        lf_cuda_note(cs->dev, cudaEventSynchronize(r->done[r->half]));
    }
    size_t room = RING_HALF - r->used;
    *got = bytes < room ? bytes : room;
    unsigned char *p = r->bytes + r->half * RING_HALF + r->used;
    r->used += (*got + 255) / 256 * 256;
    r->used = r->used < RING_HALF ? r->used : RING_HALF;
    return p;
}

void lf_cuda_upload(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    cs->unpacked = NULL;
    lf_assert(!cs->recording); /* a recorded copy would read the ring again at each launch */
    while (bytes > 0 && lf_cuda_enter(cs->dev)) {
        size_t n;
        unsigned char *staged = ring_take(cs, bytes, &n);
        memcpy(staged, src, n);
        lf_cuda_note(cs->dev, cudaMemcpyAsync(dst, staged, n, cudaMemcpyDefault, cs->stream));
        dst = (char *)dst + n;
        src = (const char *)src + n;
        bytes -= n;
    }
}

void lf_cuda_download(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, cs->stream));
}

void lf_cuda_copy(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, cs->stream));
}

void lf_cuda_zero(struct lf_stream *s, void *dst, size_t bytes)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaMemsetAsync(dst, 0, bytes, cs->stream));
}

/* ---- Marks ----------------------------------------------------------------------------------- */

enum lf_err lf_cuda_mark_new(struct lf_stream *s, void **out, struct lf_diag *diag)
{
    struct lf_cuda *dev = lf_cuda_of(s)->dev;
    cudaEvent_t event = NULL;
    if (lf_cuda_enter(dev))
        lf_cuda_note(dev, cudaEventCreate(&event));
    if (!lf_cuda_enter(dev))
        return lf_cuda_lost(dev, diag);
    *out = event;
    return LF_OK;
}

void lf_cuda_mark_set(struct lf_stream *s, void *mark)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaEventRecord((cudaEvent_t)mark, cs->stream));
}

enum lf_err lf_cuda_mark_wait(struct lf_stream *s, void *mark, struct lf_diag *diag)
{
    struct lf_cuda *dev = lf_cuda_of(s)->dev;
    if (lf_cuda_enter(dev))
        lf_cuda_note(dev, cudaEventSynchronize((cudaEvent_t)mark));
    return lf_cuda_enter(dev) ? LF_OK : lf_cuda_lost(dev, diag);
}

void lf_cuda_mark_follow(struct lf_stream *s, void *mark)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaStreamWaitEvent(cs->stream, (cudaEvent_t)mark, 0));
}

double lf_cuda_mark_seconds(struct lf_stream *s, void *from, void *to)
{
    struct lf_cuda *dev = lf_cuda_of(s)->dev;
    float ms = 0;
    if (lf_cuda_enter(dev))
        lf_cuda_note(dev, cudaEventElapsedTime(&ms, (cudaEvent_t)from, (cudaEvent_t)to));
    return ms / 1e3;
}

void lf_cuda_mark_free(struct lf_stream *s, void *mark)
{
    if (lf_cuda_enter(lf_cuda_of(s)->dev))
        cudaEventDestroy((cudaEvent_t)mark);
}

/* ---- Beside ---------------------------------------------------------------------------------- */

static void change_sides(struct lf_cuda_stream *cs)
{
    cudaStream_t other = cs->beside;
    cs->beside = cs->stream;
    cs->stream = other;
}

void lf_cuda_fork(struct lf_stream *s)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev)) {
        lf_cuda_note(cs->dev, cudaEventRecord(cs->fork, cs->stream));
        lf_cuda_note(cs->dev, cudaStreamWaitEvent(cs->beside, cs->fork, 0));
    }
    change_sides(cs);
}

void lf_cuda_back(struct lf_stream *s)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaEventRecord(cs->join, cs->stream));
    change_sides(cs);
}

void lf_cuda_join(struct lf_stream *s)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaStreamWaitEvent(cs->stream, cs->join, 0));
}

/* ---- Recorded graphs ------------------------------------------------------------------------- */

enum lf_err lf_cuda_record_begin(struct lf_stream *s, struct lf_diag *diag)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    cs->unpacked = NULL;
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaStreamBeginCapture(cs->stream, cudaStreamCaptureModeRelaxed));
    if (!lf_cuda_enter(cs->dev))
        return lf_cuda_lost(cs->dev, diag);
    cs->recording = true;
    return LF_OK;
}

enum lf_err lf_cuda_record_end(struct lf_stream *s, void **out, struct lf_diag *diag)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cs->recording = false;
    cs->unpacked = NULL;
    cudaError_t error = cudaStreamEndCapture(cs->stream, &graph);
    if (error == cudaSuccess && lf_cuda_enter(cs->dev))
        error = cudaGraphInstantiate(&exec, graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    lf_cuda_note(cs->dev, error);
    if (!lf_cuda_enter(cs->dev))
        return lf_cuda_lost(cs->dev, diag);
    *out = exec;
    return LF_OK;
}

void lf_cuda_graph_launch(struct lf_stream *s, void *graph)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    cs->unpacked = NULL;
    if (lf_cuda_enter(cs->dev))
        lf_cuda_note(cs->dev, cudaGraphLaunch((cudaGraphExec_t)graph, cs->stream));
}

void lf_cuda_graph_free(struct lf_stream *s, void *graph)
{
    if (lf_cuda_enter(lf_cuda_of(s)->dev)) /* after a fault there is nothing left to destroy */
        cudaGraphExecDestroy((cudaGraphExec_t)graph);
}
