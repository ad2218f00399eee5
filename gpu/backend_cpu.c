/* The cpu backend: a pool of threads, vector kernels, OpenBLAS for the large dense products. */
#include "gpu/cpu.h"
#include "gpu/host.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

static const struct lf_ops cpu_ops = {
    .linear_scratch_bytes = lf_host_linear_scratch_bytes,
    .embed = lf_ref_embed,
    .norm = lf_ref_norm,
    .norm_bwd = lf_ref_norm_bwd,
    .linear = lf_ref_linear,
    .linear_bwd = lf_ref_linear_bwd,
    .lora = lf_ref_lora,
    .lora_bwd = lf_ref_lora_bwd,
    .rope = lf_ref_rope,
    .kv_write = lf_ref_kv_write,
    .attn = lf_ref_attn,
    .attn_bwd = lf_ref_attn_bwd,
    .glu = lf_ref_glu,
    .glu_bwd = lf_ref_glu_bwd,
    .add = lf_ref_add,
    .gather = lf_ref_gather,
    .scatter = lf_ref_scatter,
    .softcap = lf_ref_softcap,
    .cross_entropy = lf_ref_cross_entropy,
    .sample = lf_ref_sample,
    .sumsq = lf_ref_sumsq,
    .adam = lf_ref_adam,
};

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

static bool has_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
#else
    return false;
#endif
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
        rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for the scratch of %d threads",
                     cpu->threads);
        goto out;
    }
    cpu->avx2 = has_avx2();
    openblas_set_num_threads(1); /* the pool's workers call it side by side */
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
    snprintf(out->name, sizeof out->name, "cpu (%d thread%s%s)", cpu->threads,
             cpu->threads == 1 ? "" : "s", cpu->avx2 ? ", AVX2" : "");
    out->units = cpu->threads;
    lf_host_memory(out);
}

const struct lf_backend lf_backend_cpu = {
    .kind = LF_DEVICE_CPU,
    .name = "cpu",
    .act = LF_F32,
    .ops = &cpu_ops,
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
