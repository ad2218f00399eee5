/* What the cpu backend's operations stand on: threads, scratch memory, the instruction set.
 * Private to gpu/.
 *
 * One operation at a time runs on a cpu device, whatever stream it came from: lf_cpu_run holds
 * the device's lock. Inside it each worker has LF_CPU_SCRATCH bytes of its own.
 */
#ifndef LF_GPU_CPU_RUN_H
#define LF_GPU_CPU_RUN_H

#include "core/pool.h"
#include "gpu/backend.h"

#include <pthread.h>

#define LF_CPU_SCRATCH ((size_t)4 << 20) /* a worker's; stays in L2 and L3 */

struct lf_cpu {
    struct lf_pool *pool;
    pthread_mutex_t lock;
    char *scratch; /* threads x LF_CPU_SCRATCH */
    int threads;
    int bits;        /* of integers in products, where the caller allows them; 0: fp32 */
    bool tiles;      /* AMX's multiply integers (gpu/cpu/q4_tiles.h) */
    const char *isa; /* the instruction set of the kernels in use, for people */
};

static inline struct lf_cpu *lf_cpu_of(const struct lf_stream *s)
{
    return (struct lf_cpu *)s->dev->impl;
}

/* A loop over [0, n) of which each part [begin, end) runs on one worker. */
typedef void (*lf_cpu_fn)(const void *args, size_t begin, size_t end, void *scratch);

/* Runs fn over [0, n) on all threads, in parts that are multiples of grain; n <= grain stays on
 * this thread. */
void lf_cpu_run(struct lf_stream *s, size_t n, size_t grain, lf_cpu_fn fn, const void *args);

#define LF_CPU_SHARE 16384 /* simple operations worth waking a thread for: a few microseconds */

/* The grain for loops whose iterations do `work` simple operations each. */
static inline size_t lf_cpu_grain(size_t work)
{
    return work ? (LF_CPU_SHARE + work - 1) / work : LF_CPU_SHARE;
}

#endif
