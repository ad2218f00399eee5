/* Devices: where the arithmetic happens.
 *
 * A device is one of three fillings of the same table of operations (gpu/ops.h):
 *   ref   plain loops with double accumulation: the meaning of every operation;
 *   cpu   threads and the best instruction set there is: always there;
 *   cuda  the fast one, where nvcc built it and a card is present.
 * Activations, the KV cache and the compute copies of adapters have the device's `act` dtype:
 * fp32 on ref and cpu, bf16 on cuda. Weights are as gpu/ops.h says; everything else is fp32.
 *
 * Work is put on a stream in order. On ref and cpu it is done when the call returns; on cuda when
 * lf_stream_wait returns. One thread at a time uses a stream; the device's memory calls may be
 * made from any thread. Device faults are sticky: operations after one do nothing, and the next
 * lf_stream_wait answers LF_E_DEVICE_LOST, after which the device can only be closed, and the
 * process cannot open that card again (no reset of CUDA's brings it back); another process can.
 *
 * Knows nothing of models, files or HTTP.
 */
#ifndef LF_GPU_DEVICE_H
#define LF_GPU_DEVICE_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* AUTO is asked for and never is: cuda where this build and this machine have it, else cpu. */
enum lf_device_kind { LF_DEVICE_AUTO, LF_DEVICE_CPU, LF_DEVICE_REF, LF_DEVICE_CUDA };
#define LF_DEVICE_WORDS "auto|cpu|ref|cuda" /* in that order */

enum lf_dtype { LF_F32, LF_BF16, LF_F16, LF_U8, LF_I32, LF_I64 };

struct lf_ops;

/* What those who use a device need to know of its kind. */
struct lf_device_traits {
    const char *word; /* "cuda" */
    bool own_memory;  /* apart from the host's: what is there is copied, and nobody else wants it */
    int seqs;         /* sequences in a serving step that still pay */
    int train_tokens; /* of a training batch where nobody says how many */
    double kv_part;   /* of the memory that is free beside the weights for the KV cache ... */
    size_t kv_bytes;  /* ... or so much of it, where kv_part is 0 */
};

struct lf_device {
    enum lf_device_kind kind;
    const struct lf_device_traits *traits;
    enum lf_dtype act;        /* dtype of activations, KV cache, adapters' compute copies */
    bool paper;               /* lf_device_options' */
    const struct lf_ops *ops; /* gpu/ops.h */
    void *impl;               /* the backend's own */
};

/* Device memory is host memory: what is there can be read and written in place. */
static inline bool lf_device_on_host(const struct lf_device *dev)
{
    return !dev->traits->own_memory;
}

/* An ordered queue of work with its own scratch memory. */
struct lf_stream {
    struct lf_device *dev;
    const struct lf_ops *ops; /* = dev->ops */
    void *impl;
};

/* How a cpu device multiplies 4-bit weights where the caller lets it choose (T_fast of struct
 * lf_linear_args). */
enum lf_cpu_products {
    LF_CPU_INT16, /* in integers of 16 bits, on x86-64 with AVX2; else in fp32 */
    LF_CPU_INT8,  /* of 8 bits, as llama.cpp has them: the fastest */
    LF_CPU_FP32   /* as everything else */
};
#define LF_CPU_PRODUCTS_WORDS "int16|int8|fp32" /* in that order */

struct lf_device_options {
    int threads;         /* cpu: 0 = one a core */
    int index;           /* cuda: which card */
    size_t memory_bytes; /* ceiling for what this device allocates; 0 = all there is. The driver's
                            own part, some 500 MB of a card, comes on top */
    enum lf_cpu_products cpu_products;
    bool paper; /* of a kind that need not be here: memory is counted up to memory_bytes, as on such
                   a device, and nothing is there to be read, written or computed: for plans */
};

struct lf_device_info {
    char name[128];      /* "NVIDIA H200", "cpu (2 threads, AVX2)" */
    size_t memory_total; /* bytes; host memory on ref and cpu; no more than the ceiling */
    size_t memory_free;  /* what lf_device_alloc may still have */
    size_t memory_used;  /* by this program through lf_device_alloc */
    size_t memory_peak;
    int compute_major, compute_minor; /* cuda, else 0 */
    int units;                        /* multiprocessors or threads */
};

/* A word of LF_DEVICE_WORDS. */
enum lf_err lf_device_kind_parse(enum lf_device_kind *out, const char *word,
                                 struct lf_diag *diag) LF_MUST_CHECK;
const char *lf_device_kind_word(enum lf_device_kind kind);
/* How many there are: cards, or 1. */
int lf_device_count(enum lf_device_kind kind);
/* LF_E_UNSUPPORTED where this build has no such device, LF_E_NOT_FOUND where the machine has
 * none. options may be NULL. Yours, free with lf_device_free after all its memory and streams. */
enum lf_err lf_device_open(struct lf_device **out, enum lf_device_kind kind,
                           const struct lf_device_options *options,
                           struct lf_diag *diag) LF_MUST_CHECK;
void lf_device_free(struct lf_device *dev);
void lf_device_info(struct lf_device *dev, struct lf_device_info *out);

/* Device memory, 256-byte aligned, contents undefined. LF_E_DEVICE_FULL past the ceiling. On ref
 * and cpu it is host memory. bytes 0 gives NULL. */
enum lf_err lf_device_alloc(struct lf_device *dev, void **out, size_t bytes,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* For arrays that are used once in a while (optimizer states): device memory, or where that is full
 * host memory that operations reach over the bus, as slow as that is. Released like the other. */
enum lf_err lf_device_alloc_paged(struct lf_device *dev, void **out, size_t bytes,
                                  struct lf_diag *diag) LF_MUST_CHECK;
void lf_device_release(struct lf_device *dev, void *p);
/* Host memory that copies to and from the device fast (pinned on cuda). */
enum lf_err lf_device_alloc_host(struct lf_device *dev, void **out, size_t bytes,
                                 struct lf_diag *diag) LF_MUST_CHECK;
void lf_device_release_host(struct lf_device *dev, void *p);

/* priority 0 is normal, 1 goes first (serving before training); LF_STREAM_COPIES: for copies
 * between host and device and for marks alone, beside another stream's operations. It has no
 * scratch memory. */
#define LF_STREAM_COPIES (-1)
enum lf_err lf_stream_new(struct lf_stream **out, struct lf_device *dev, int priority,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_stream_free(struct lf_stream *s);
/* Scratch for operations on this stream (dequantised weights, split reductions): at least
 * `bytes`, kept until the stream is freed. Called at set-up with lf_linear_scratch_bytes. */
enum lf_err lf_stream_reserve(struct lf_stream *s, size_t bytes,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Until all work put on the stream is done. LF_E_DEVICE_LOST after a device fault. */
enum lf_err lf_stream_wait(struct lf_stream *s, struct lf_diag *diag) LF_MUST_CHECK;

/* Host to device. `src` may be reused when the call returns. */
void lf_stream_upload(struct lf_stream *s, void *dst, const void *src, size_t bytes);
/* Device to host; there after lf_stream_wait, or after the wait for a mark set behind it where dst
 * is lf_device_alloc_host's. */
void lf_stream_download(struct lf_stream *s, void *dst, const void *src, size_t bytes);
/* Either side may be lf_device_alloc_host's; that must stay until the copy is done. */
void lf_stream_copy(struct lf_stream *s, void *dst, const void *src, size_t bytes);
void lf_stream_zero(struct lf_stream *s, void *dst, size_t bytes);

/* ---- Marks ----
 * A place in a stream's work that the host can wait for while what was put behind it goes on. */
struct lf_mark;
/* Work goes on when the call that put it on the stream has returned: cuda; not ref and cpu. */
bool lf_stream_async(const struct lf_stream *s);
/* Yours, free with lf_mark_free before the stream. */
enum lf_err lf_mark_new(struct lf_mark **out, struct lf_stream *s,
                        struct lf_diag *diag) LF_MUST_CHECK;
/* Behind all that is on the stream by now. */
void lf_mark_set(struct lf_mark *m);
/* Until the stream has come to where the mark was set last. LF_E_DEVICE_LOST after a device fault.
 */
enum lf_err lf_mark_wait(struct lf_mark *m, struct lf_diag *diag) LF_MUST_CHECK;
/* What is put on s from here on waits until the mark's stream, another of the same device, has come
 * to where the mark was set last. Returns at once; never set: nothing to wait for. */
void lf_stream_follow(struct lf_stream *s, const struct lf_mark *m);
/* What the stream took from one to the other; after a wait for `to`. Of one stream. */
double lf_mark_seconds(const struct lf_mark *from, const struct lf_mark *to);
void lf_mark_free(struct lf_mark *m);

/* ---- Recorded work ----
 * A run of operations recorded once and launched many times, at little cost to the host (decoding).
 * What a recorded operation was given on the host (pointers, sizes, mirrors) is fixed; what device
 * arrays hold is read at each launch: a batch may change between launches as long as T, S, n_segs,
 * n_max, kv_max and rank_max of the recording bound it. Downloads (into lf_device_alloc_host
 * memory) may be recorded; uploads may not. */
struct lf_graph;
/* This stream's device records: cuda does, ref and cpu do not. */
bool lf_stream_records(const struct lf_stream *s);
/* Work put on s from here on is recorded instead of run. LF_E_UNSUPPORTED on ref and cpu. */
enum lf_err lf_stream_record_begin(struct lf_stream *s, struct lf_diag *diag) LF_MUST_CHECK;
/* Yours, free with lf_graph_free before the stream. */
enum lf_err lf_stream_record_end(struct lf_stream *s, struct lf_graph **out,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* Puts all of it on the stream it was recorded from. */
void lf_graph_launch(struct lf_graph *g);
void lf_graph_free(struct lf_graph *g);

static inline size_t lf_dtype_bytes(enum lf_dtype t)
{
    return t == LF_U8 ? 1 : t == LF_BF16 || t == LF_F16 ? 2 : t == LF_I64 ? 8 : 4;
}

/* bf16 and fp16 as bits, for hosts. Round to nearest even; NaN stays NaN. */
float lf_bf16_to_f32(uint16_t h);
uint16_t lf_f32_to_bf16(float x);
float lf_f16_to_f32(uint16_t h);
uint16_t lf_f32_to_f16(float x);
/* n elements of any floating dtype to fp32 and back, on the host. */
void lf_to_f32(float *dst, const void *src, enum lf_dtype t, size_t n);
void lf_from_f32(void *dst, enum lf_dtype t, const float *src, size_t n);

#ifdef __cplusplus
}
#endif
#endif
