/* The cpu backend: a pool of threads, and kernels for the instruction set that is there. */
#include "gpu/cpu/run.h"

#include "core/lock.h"
#include "gpu/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LF_HAVE_X86_SETS
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define XFEATURE_XTILEDATA 18
#endif

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
    lf_lock_auto held = lf_lock(&cpu->lock);
    lf_pool_run(cpu->pool, n, grain, run_part, &job);
}

#ifdef LF_HAVE_X86_SETS

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

/* A process asks before it uses tiles: they are eight kilobytes more that a switch of threads
 * saves. */
static bool has_amx(void)
{
    return has_vnni() && __builtin_cpu_supports("amx-int8") &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

#endif

static bool always(void)
{
    return true;
}

/* The best first. */
static const struct {
    const char *isa, *label;
    bool (*there)(void);
    const struct lf_ops *ops;
    bool tiles;
} sets[] = {
#ifdef LF_HAVE_X86_SETS
    {"amx", "AVX-512 with AMX", has_amx, &lf_cpu_vnni_ops, true},
    {"vnni", "AVX-512 with VNNI", has_vnni, &lf_cpu_vnni_ops, false},
    {"avx512", "AVX-512", has_avx512, &lf_cpu_avx512_ops, false},
    {"avx2", "AVX2", has_avx2, &lf_cpu_avx2_ops, false},
#endif
    {"base", "base instructions", always, &lf_cpu_base_ops, false},
};

bool lf_cpu_use(struct lf_device *dev, const char *isa)
{
    struct lf_cpu *cpu = dev->impl;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if ((!isa || strcmp(isa, sets[i].isa) == 0) && sets[i].there()) {
            dev->ops = sets[i].ops;
            cpu->isa = sets[i].label;
            cpu->tiles = sets[i].tiles;
            return true;
        }
    return false;
}

static const int bits_of[] = {[LF_CPU_INT16] = 16, [LF_CPU_INT8] = 8, [LF_CPU_FP32] = 0};

static enum lf_err cpu_open(struct lf_device *dev, const struct lf_device_options *options,
                            struct lf_diag *diag)
{
    struct lf_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu)
        return lf_no_memory(diag, "a device");
    enum lf_err rc = lf_pool_new(&cpu->pool, options->threads, diag);
    if (rc)
        goto out;
    cpu->threads = lf_pool_threads(cpu->pool);
    cpu->bits = bits_of[options->cpu_products];
    cpu->scratch = aligned_alloc(4096, (size_t)cpu->threads * LF_CPU_SCRATCH);
    if (!cpu->scratch) {
        rc = lf_no_memory(diag, "the scratch of %d threads", cpu->threads);
        goto out;
    }
    pthread_mutex_init(&cpu->lock, NULL);
    dev->impl = cpu;
    lf_cpu_use(dev, NULL);
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
    .ops = &lf_cpu_base_ops,
    .open = cpu_open,
    .close = cpu_close,
    .info = cpu_info,
    LF_HOST_BACKEND,
};
