/* Devices on paper: memory is counted, and nothing is there. What sizes its memory on one finds the
 * same room, in the same order, as on the device itself, so that a plan is made by the code that
 * will have to keep it. */
#include "gpu/host.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PAPER_ALIGN ((uintptr_t)256)

/* The next pointer of each device: one that no memory has, since the ledger goes by pointers. */
struct paper {
    atomic_uintptr_t next;
};

static enum lf_err paper_open(struct lf_device *dev, const struct lf_device_options *options,
                              struct lf_diag *diag)
{
    (void)options;
    struct paper *p = malloc(sizeof *p);
    if (!p)
        return lf_no_memory(diag, "a device");
    atomic_init(&p->next, PAPER_ALIGN);
    dev->impl = p;
    return LF_OK;
}

static void paper_close(struct lf_device *dev)
{
    free(dev->impl);
}

/* The ceiling is what there is. */
static void paper_info(struct lf_device *dev, struct lf_device_info *out)
{
    snprintf(out->name, sizeof out->name, "%s (on paper)", dev->traits->word);
    out->memory_total = out->memory_free = SIZE_MAX;
}

static enum lf_err paper_alloc(struct lf_device *dev, void **out, size_t bytes,
                               struct lf_diag *diag)
{
    (void)diag;
    struct paper *p = dev->impl;
    uintptr_t size = (bytes + PAPER_ALIGN - 1) / PAPER_ALIGN * PAPER_ALIGN;
    *out = (void *)atomic_fetch_add(&p->next, size); /* NOLINT: nothing reads there */
    return LF_OK;
}

static void paper_release(struct lf_device *dev, void *p)
{
    (void)dev;
    (void)p;
}

static void paper_copy(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    (void)s;
    (void)dst;
    (void)src;
    (void)bytes;
}

static void paper_zero(struct lf_stream *s, void *dst, size_t bytes)
{
    paper_copy(s, dst, NULL, bytes);
}

/* A card's stream has scratch memory of its own, the largest that was asked for. */
struct paper_scratch {
    void *p;
    size_t bytes;
};

static enum lf_err scratch_open(struct lf_stream *s, int priority, struct lf_diag *diag)
{
    (void)priority;
    s->impl = calloc(1, sizeof(struct paper_scratch));
    return s->impl ? LF_OK : lf_no_memory(diag, "a stream");
}

static void scratch_close(struct lf_stream *s)
{
    struct paper_scratch *scratch = s->impl;
    lf_device_release(s->dev, scratch->p);
    free(scratch);
}

static enum lf_err scratch_reserve(struct lf_stream *s, size_t bytes, struct lf_diag *diag)
{
    struct paper_scratch *scratch = s->impl;
    void *p;
    if (bytes <= scratch->bytes)
        return LF_OK;
    enum lf_err rc = lf_device_alloc(s->dev, &p, bytes, diag);
    if (rc != LF_OK)
        return rc;
    lf_device_release(s->dev, scratch->p);
    *scratch = (struct paper_scratch){p, bytes};
    return LF_OK;
}

static size_t card_scratch_bytes(const struct lf_device *dev, int T, int N, int K)
{
    (void)dev;
    (void)T;
    return lf_card_scratch_bytes(N, K);
}

static void card_copy_weights(struct lf_stream *s, void *out, int ld,
                              const struct lf_weight *const *w, int n)
{
    (void)s;
    (void)out;
    (void)ld;
    (void)w;
    (void)n;
}

static void card_map_bwd(struct lf_stream *s, const struct lf_map_bwd_args *a)
{
    (void)s;
    (void)a;
}

/* Of the operations those alone whose being there decides about memory. */
static const struct lf_ops card_ops = {.linear_scratch_bytes = card_scratch_bytes,
                                       .copy_weights = card_copy_weights,
                                       .map_bwd = card_map_bwd};
static const struct lf_ops host_ops = {.linear_scratch_bytes = lf_host_linear_scratch_bytes};

#define PAPER_BACKEND                                                                       \
    .open = paper_open, .close = paper_close, .info = paper_info, .alloc = paper_alloc,     \
    .release = paper_release, .alloc_host = lf_host_alloc, .release_host = lf_host_release, \
    .upload = paper_copy, .download = paper_copy, .copy = paper_copy, .zero = paper_zero

const struct lf_backend lf_backend_paper_host = {
    .kind = LF_DEVICE_CPU, .name = "cpu", .act = LF_F32, .ops = &host_ops, PAPER_BACKEND};
const struct lf_backend lf_backend_paper_card = {.kind = LF_DEVICE_CUDA,
                                                 .name = "cuda",
                                                 .act = LF_BF16,
                                                 .ops = &card_ops,
                                                 .stream_open = scratch_open,
                                                 .stream_close = scratch_close,
                                                 .stream_reserve = scratch_reserve,
                                                 PAPER_BACKEND};
