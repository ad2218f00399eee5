/* The cpu backend: a pool of threads, and kernels for the instruction set that is there. */
#include "gpu/cpu/run.h"
#include "gpu/host.h"

#include <stdio.h>
#include <stdlib.h>

struct job {
    lf_cpu_fn fn;
    const void *args;
    char *scratch;
};

static void run_part(void *arg, size_t begin, size_t end, int worker)
{
    const struct job *job = arg;
    job->fn(job->args, begin, end, job->scratch + (size_t)worker * LF_CPU_SCRATCH);
}

void lf_cpu_run(struct lf_stream *s, size_t n, size_t grain, lf_cpu_fn fn, const void *args)
{
    struct lf_cpu *cpu = lf_cpu_of(s);
    struct job job = {fn, args, cpu->scratch};
    pthread_mutex_lock(&cpu->lock);
    lf_pool_run(cpu->pool, n, grain, run_part, &job);
    pthread_mutex_unlock(&cpu->lock);
}

static const struct lf_ops *best_ops(const char **isa)
{
#ifdef LF_HAVE_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        *isa = "AVX2";
        return &lf_cpu_avx2_ops;
    }
#endif
    *isa = "base instructions";
    return &lf_cpu_base_ops;
}

static enum lf_err cpu_open(struct lf_device *dev, const struct lf_device_options *options,
                            struct lf_diag *diag)
{
    struct lf_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a device");
    enum lf_err rc = lf_pool_new(&cpu->pool, options->threads, diag);
    if (rc)
        goto out;
    cpu->threads = lf_pool_threads(cpu->pool);
    cpu->scratch = aligned_alloc(4096, (size_t)cpu->threads * LF_CPU_SCRATCH);
    if (!cpu->scratch) {
        rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for the scratch of %d threads", cpu->threads);
        goto out;
    }
    dev->ops = best_ops(&cpu->isa);
    pthread_mutex_init(&cpu->lock, NULL);
    dev->impl = cpu;
    cpu = NULL;
out:
    if (cpu) {
        lf_pool_free(cpu->pool);
        free(cpu);
    }
    return rc;
}

static void cpu_close(struct lf_device *dev)
{
    struct lf_cpu *cpu = dev->impl;
    lf_pool_free(cpu->pool);
    pthread_mutex_destroy(&cpu->lock);
    free(cpu->scratch);
    free(cpu);
}

static void cpu_info(struct lf_device *dev, struct lf_device_info *out)
{
    const struct lf_cpu *cpu = dev->impl;
    snprintf(out->name, sizeof out->name, "cpu (%d thread%s, %s)", cpu->threads,
             cpu->threads == 1 ? "" : "s", cpu->isa);
    out->units = cpu->threads;
    lf_host_memory(out);
}

const struct lf_backend lf_backend_cpu = {
    .kind = LF_DEVICE_CPU,
    .name = "cpu",
    .act = LF_F32,
    .ops = &lf_cpu_base_ops,
    .open = cpu_open,
    .close = cpu_close,
    .info = cpu_info,
    .alloc = lf_host_alloc,
    .release = lf_host_release,
    .alloc_host = lf_host_alloc,
    .release_host = lf_host_release,
    .stream_open = lf_host_stream_open,
    .stream_close = lf_host_stream_close,
    .stream_reserve = lf_host_stream_reserve,
    .stream_wait = lf_host_stream_wait,
    .upload = lf_host_copy,
    .download = lf_host_copy,
    .copy = lf_host_copy,
    .zero = lf_host_zero,
};
