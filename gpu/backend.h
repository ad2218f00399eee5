/* What a filling of the device room provides. Private to gpu/: rooms above see device.h and ops.h.
 *
 * device.c keeps what all backends share: the handles, the ledger of device memory (ceiling, used,
 * peak) and the choice of a backend; everything below this table is the backend's own. A backend
 * is one `const struct lf_backend` and one `const struct lf_ops`; its functions are named
 * lf_<backend>_<op>, one file an op: gpu/ops/<op>/{ref.c,cpu.c,cuda.cu}. `open` may choose another
 * table of operations than the backend's (the cpu's depends on the machine).
 *
 * In the common subset of C17 and C++17.
 */
#ifndef LF_GPU_BACKEND_H
#define LF_GPU_BACKEND_H

#include "gpu/device.h"
#include "gpu/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* count, open, close and what is of streams alone may be NULL: there is nothing to do. */
struct lf_backend {
    enum lf_device_kind kind;
    const char *name; /* the word lf_device_kind_parse knows */
    enum lf_dtype act;
    const struct lf_ops *ops;

    int (*count)(void); /* of them; NULL: one */
    /* kind, act and ops of dev are set; open sets dev->impl. options is never NULL. LF_E_NOT_FOUND
     * where the machine has no such device. */
    enum lf_err (*open)(struct lf_device *dev, const struct lf_device_options *options,
                        struct lf_diag *diag);
    void (*close)(struct lf_device *dev);
    /* Fills name, memory_total, memory_free, compute_* and units; device.c fills the others. */
    void (*info)(struct lf_device *dev, struct lf_device_info *out);

    /* bytes > 0; 256-byte aligned; any thread. LF_E_DEVICE_FULL or LF_E_NO_MEMORY. p is never
     * NULL in release. */
    enum lf_err (*alloc)(struct lf_device *dev, void **out, size_t bytes, struct lf_diag *diag);
    void (*release)(struct lf_device *dev, void *p);
    enum lf_err (*alloc_host)(struct lf_device *dev, void **out, size_t bytes,
                              struct lf_diag *diag);
    void (*release_host)(struct lf_device *dev, void *p);

    /* dev and ops of s are set; stream_open sets s->impl. */
    enum lf_err (*stream_open)(struct lf_stream *s, int priority, struct lf_diag *diag);
    void (*stream_close)(struct lf_stream *s);
    enum lf_err (*stream_reserve)(struct lf_stream *s, size_t bytes, struct lf_diag *diag);
    enum lf_err (*stream_wait)(struct lf_stream *s, struct lf_diag *diag);
    /* bytes > 0. */
    void (*upload)(struct lf_stream *s, void *dst, const void *src, size_t bytes);
    void (*download)(struct lf_stream *s, void *dst, const void *src, size_t bytes);
    void (*copy)(struct lf_stream *s, void *dst, const void *src, size_t bytes);
    void (*zero)(struct lf_stream *s, void *dst, size_t bytes);

    /* Marks (optional together; NULL: work is done when it was put on the stream). */
    enum lf_err (*mark_new)(struct lf_stream *s, void **out, struct lf_diag *diag);
    void (*mark_set)(struct lf_stream *s, void *mark);
    enum lf_err (*mark_wait)(struct lf_stream *s, void *mark, struct lf_diag *diag);
    void (*mark_follow)(struct lf_stream *s, void *mark); /* the mark is another stream's */
    double (*mark_seconds)(struct lf_stream *s, void *from, void *to);
    void (*mark_free)(struct lf_stream *s, void *mark);

    /* Recorded work (optional together; NULL: not supported). *out is the backend's own. */
    enum lf_err (*record_begin)(struct lf_stream *s, struct lf_diag *diag);
    enum lf_err (*record_end)(struct lf_stream *s, void **out, struct lf_diag *diag);
    void (*graph_launch)(struct lf_stream *s, void *graph);
    void (*graph_free)(struct lf_stream *s, void *graph);
};

extern const struct lf_backend lf_backend_ref;
extern const struct lf_backend lf_backend_cpu;
#ifdef LF_HAVE_CUDA
extern const struct lf_backend lf_backend_cuda; /* gpu/cuda/ */
#endif

/* On paper (gpu/paper.c): a device of the host's memory, and a card. */
extern const struct lf_backend lf_backend_paper_host, lf_backend_paper_card;

/* Scratch of a card's stream for a linear map: a weight of (N, K) as bf16. For a group whose
 * products shall be one, N is their sum. */
static inline size_t lf_card_scratch_bytes(int N, int K)
{
    return (size_t)N * (size_t)K * 2;
}

/* The operations of one backend. */
#define LF_DECLARE_OP(b, op, args) \
    void lf_##b##_##op(struct lf_stream *s, const struct lf_##args##_args *a);
#define LF_DECLARE_OPS(b)                                                           \
    LF_EACH_OP(LF_DECLARE_OP, b)                                                    \
    LF_EACH_COPY(LF_DECLARE_OP, b)                                                  \
    void lf_##b##_sumsq(struct lf_stream *s, const struct lf_sumsq_args *a, int n); \
    void lf_##b##_adam(struct lf_stream *s, const struct lf_adam_args *a, int n)
/* Their rows of its table; the copies are c's. */
#define LF_OP_ROW(b, op, args) .op = lf_##b##_##op,
#define LF_OP_ROWS(b, c)     \
    LF_EACH_OP(LF_OP_ROW, b) \
    LF_EACH_COPY(LF_OP_ROW, c) LF_OP_ROW(b, sumsq, ) LF_OP_ROW(b, adam, )

LF_DECLARE_OPS(ref);
LF_DECLARE_OPS(cuda);
/* The cpu backend's, once for each instruction set (gpu/cpu/isa.h). */
LF_DECLARE_OPS(cpu_base);
extern const struct lf_ops lf_cpu_base_ops;
#ifdef LF_HAVE_X86_SETS
LF_DECLARE_OPS(cpu_avx2);
LF_DECLARE_OPS(cpu_avx512);
LF_DECLARE_OPS(cpu_vnni);
extern const struct lf_ops lf_cpu_avx2_ops, lf_cpu_avx512_ops, lf_cpu_vnni_ops;
#endif
/* From now on a cpu device has the operations of the set called isa ("amx", "vnni", "avx512",
 * "avx2", "base"; NULL: the best that this machine runs). False, and nothing changes, where the
 * machine does not run it. Streams made before keep theirs. */
bool lf_cpu_use(struct lf_device *dev, const char *isa);

#ifdef __cplusplus
}
#endif
#endif
