/* Host memory as device memory. */
#include "gpu/host.h"

#include "core/budget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOST_ALIGN 256
#define HUGE_PAGE ((size_t)2 << 20)

enum lf_err lf_host_alloc(struct lf_device *dev, void **out, size_t bytes, struct lf_diag *diag)
{
    (void)dev;
    size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : HOST_ALIGN;
    size_t rounded = (bytes + align - 1) / align * align;
    void *p = rounded >= bytes ? aligned_alloc(align, rounded) : NULL;
    if (!p)
        return lf_no_memory(diag, "%zu bytes", bytes);
    if (align == HUGE_PAGE) /* scattered KV pages read a third faster; refusal costs nothing */
        madvise(p, rounded, MADV_HUGEPAGE);
    *out = p;
    return LF_OK;
}

void lf_host_release(struct lf_device *dev, void *p)
{
    (void)dev;
    free(p);
}

void lf_host_copy(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    (void)s;
    memcpy(dst, src, bytes);
}

void lf_host_zero(struct lf_stream *s, void *dst, size_t bytes)
{
    (void)s;
    memset(dst, 0, bytes);
}

/* The kernel's own estimate of what can be had without swapping; 0 where it does not say. */
static size_t available_bytes(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f)
        return 0;
    char line[128];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            break;
    fclose(f);
    return (size_t)kib * 1024;
}

void lf_host_memory(struct lf_device_info *out)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t all = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0, free = available_bytes();
    uint64_t limit = lf_memory_limit(); /* of a container */
    out->memory_total = limit < all ? (size_t)limit : all;
    out->memory_free = free < out->memory_total ? free : out->memory_total;
}

size_t lf_host_linear_scratch_bytes(const struct lf_device *dev, int T, int N, int K)
{
    (void)dev;
    (void)T;
    (void)N;
    (void)K;
    return 0;
}
