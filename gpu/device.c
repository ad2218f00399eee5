/* Device and stream handles: everything the backends share. */
#include "gpu/device.h"
#include "gpu/backend.h"

#include "core/clock.h"
#include "gpu/memory.h"

#include <stdlib.h>
#include <string.h>

/* What a struct lf_device handle really is. */
struct device {
    struct lf_device pub; /* first: the handle points here */
    const struct lf_backend *backend;
    struct lf_ledger ledger;
};

static const struct lf_backend *const backends[] = {
    &lf_backend_ref,
    &lf_backend_cpu,
#ifdef LF_HAVE_CUDA
    &lf_backend_cuda,
#endif
};

/* A card hides the cost of many sequences behind the weights' traffic; cores do not. Its memory is
 * for this program, the host's is for all. */
#define HOST_TRAITS .seqs = 128, .train_tokens = 4096, .kv_bytes = (size_t)256 << 20
static const struct lf_device_traits traits[] = {
    [LF_DEVICE_AUTO] = {"auto"},
    [LF_DEVICE_CPU] = {"cpu", HOST_TRAITS},
    [LF_DEVICE_REF] = {"ref", HOST_TRAITS},
    [LF_DEVICE_CUDA] = {"cuda", .own_memory = true, .seqs = 256, .train_tokens = 16384,
                        .kv_part = 0.35},
};
#define N_KINDS (sizeof traits / sizeof *traits)

static struct device *inside(struct lf_device *dev)
{
    return (struct device *)dev;
}

static const struct lf_backend *backend_of(const struct lf_stream *s)
{
    return inside(s->dev)->backend;
}

enum lf_err lf_device_kind_parse(enum lf_device_kind *out, const char *word, struct lf_diag *diag)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (strcmp(word, traits[i].word) == 0) {
            *out = (enum lf_device_kind)i;
            return LF_OK;
        }
    return lf_fail(diag, LF_E_INVALID, "no device \"%.32s\": it is one of " LF_DEVICE_WORDS "",
                   word);
}

const char *lf_device_kind_word(enum lf_device_kind kind)
{
    return (size_t)kind < N_KINDS ? traits[kind].word : "such";
}

static const struct lf_backend *find_backend(enum lf_device_kind kind, bool paper)
{
    if (paper)
        return traits[kind].own_memory ? &lf_backend_paper_card : &lf_backend_paper_host;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (backends[i]->kind == kind)
            return backends[i];
    return NULL;
}

int lf_device_count(enum lf_device_kind kind)
{
    const struct lf_backend *backend = find_backend(kind, false);
    return !backend ? 0 : backend->count ? backend->count() : 1;
}

enum lf_err lf_device_open(struct lf_device **out, enum lf_device_kind kind,
                           const struct lf_device_options *options, struct lf_diag *diag)
{
    if (kind == LF_DEVICE_AUTO) {
        if (lf_device_open(out, LF_DEVICE_CUDA, options, NULL) == LF_OK)
            return LF_OK;
        kind = LF_DEVICE_CPU;
    }
    struct lf_device_options defaults = {0};
    if (!options)
        options = &defaults;
    const struct lf_backend *backend = find_backend(kind, options->paper);
    if (!backend)
        return lf_fail(diag, LF_E_UNSUPPORTED, "this build has no %s device",
                       lf_device_kind_word(kind));
    struct device *d = calloc(1, sizeof *d);
    if (!d)
        return lf_no_memory(diag, "a device");
    d->pub = (struct lf_device){.kind = kind,
                                .traits = &traits[kind],
                                .act = backend->act,
                                .paper = options->paper,
                                .ops = backend->ops};
    d->backend = backend;
    enum lf_err rc = backend->open ? backend->open(&d->pub, options, diag) : LF_OK;
    if (rc) {
        free(d);
        return rc;
    }
    lf_ledger_init(&d->ledger, options->memory_bytes);
    *out = &d->pub;
    return LF_OK;
}

void lf_device_free(struct lf_device *dev)
{
    if (!dev)
        return;
    if (inside(dev)->backend->close)
        inside(dev)->backend->close(dev);
    lf_ledger_free(&inside(dev)->ledger);
    free(inside(dev));
}

void lf_device_info(struct lf_device *dev, struct lf_device_info *out)
{
    struct device *d = inside(dev);
    *out = (struct lf_device_info){0};
    d->backend->info(dev, out);
    pthread_mutex_lock(&d->ledger.lock);
    out->memory_used = d->ledger.used;
    out->memory_peak = d->ledger.peak;
    size_t ceiling = d->ledger.ceiling, left = ceiling - d->ledger.used;
    pthread_mutex_unlock(&d->ledger.lock);
    if (ceiling > 0 && out->memory_total > ceiling)
        out->memory_total = ceiling;
    if (ceiling > 0 && out->memory_free > left)
        out->memory_free = left;
}

/* Memory of the device, which counts, or of the host. */
static enum lf_err alloc_of(struct lf_device *dev, void **out, size_t bytes, bool host,
                            struct lf_diag *diag)
{
    struct device *d = inside(dev);
    struct lf_ledger_entry e = {.bytes = host ? 0 : bytes, .host = host};
    enum lf_err rc = lf_ledger_reserve(&d->ledger, e.bytes, diag);
    if (rc)
        return rc;
    rc = (host ? d->backend->alloc_host : d->backend->alloc)(dev, &e.p, bytes, diag);
    if (rc) {
        lf_ledger_cancel(&d->ledger, e.bytes);
        return rc;
    }
    lf_ledger_bind(&d->ledger, &e);
    *out = e.p;
    return LF_OK;
}

enum lf_err lf_device_alloc(struct lf_device *dev, void **out, size_t bytes, struct lf_diag *diag)
{
    if (bytes > 0)
        return alloc_of(dev, out, bytes, false, diag);
    *out = NULL;
    return LF_OK;
}

enum lf_err lf_device_alloc_paged(struct lf_device *dev, void **out, size_t bytes,
                                  struct lf_diag *diag)
{
    enum lf_err rc = lf_device_alloc(dev, out, bytes, diag);
    return rc == LF_E_DEVICE_FULL ? alloc_of(dev, out, bytes, true, diag) : rc;
}

void lf_device_release(struct lf_device *dev, void *p)
{
    struct lf_ledger_entry e;
    if (!p)
        return;
    lf_assert(lf_ledger_drop(&inside(dev)->ledger, p, &e));
    if (e.host)
        inside(dev)->backend->release_host(dev, p);
    else
        inside(dev)->backend->release(dev, p);
}

enum lf_err lf_device_alloc_host(struct lf_device *dev, void **out, size_t bytes,
                                 struct lf_diag *diag)
{
    if (bytes == 0) {
        *out = NULL;
        return LF_OK;
    }
    return inside(dev)->backend->alloc_host(dev, out, bytes, diag);
}

void lf_device_release_host(struct lf_device *dev, void *p)
{
    if (p)
        inside(dev)->backend->release_host(dev, p);
}

enum lf_err lf_stream_new(struct lf_stream **out, struct lf_device *dev, int priority,
                          struct lf_diag *diag)
{
    struct lf_stream *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "a stream");
    s->dev = dev;
    s->ops = dev->ops;
    const struct lf_backend *b = backend_of(s);
    enum lf_err rc = b->stream_open ? b->stream_open(s, priority, diag) : LF_OK;
    if (rc) {
        free(s);
        return rc;
    }
    *out = s;
    return LF_OK;
}

void lf_stream_free(struct lf_stream *s)
{
    if (!s)
        return;
    if (backend_of(s)->stream_close)
        backend_of(s)->stream_close(s);
    free(s);
}

enum lf_err lf_stream_reserve(struct lf_stream *s, size_t bytes, struct lf_diag *diag)
{
    const struct lf_backend *b = backend_of(s);
    return b->stream_reserve ? b->stream_reserve(s, bytes, diag) : LF_OK;
}

enum lf_err lf_stream_wait(struct lf_stream *s, struct lf_diag *diag)
{
    const struct lf_backend *b = backend_of(s);
    return b->stream_wait ? b->stream_wait(s, diag) : LF_OK;
}

void lf_stream_upload(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    if (bytes)
        backend_of(s)->upload(s, dst, src, bytes);
}

void lf_stream_download(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    if (bytes)
        backend_of(s)->download(s, dst, src, bytes);
}

void lf_stream_copy(struct lf_stream *s, void *dst, const void *src, size_t bytes)
{
    if (bytes)
        backend_of(s)->copy(s, dst, src, bytes);
}

void lf_stream_zero(struct lf_stream *s, void *dst, size_t bytes)
{
    if (bytes)
        backend_of(s)->zero(s, dst, bytes);
}

/* ---- Marks ---- */

struct lf_mark {
    struct lf_stream *stream;
    void *impl;
    uint64_t ns; /* when it was set, where the stream is done by then */
};

bool lf_stream_async(const struct lf_stream *s)
{
    return backend_of(s)->mark_new != NULL;
}

enum lf_err lf_mark_new(struct lf_mark **out, struct lf_stream *s, struct lf_diag *diag)
{
    struct lf_mark *m = malloc(sizeof *m);
    if (!m)
        return lf_no_memory(diag, "a mark");
    *m = (struct lf_mark){.stream = s};
    enum lf_err rc = lf_stream_async(s) ? backend_of(s)->mark_new(s, &m->impl, diag) : LF_OK;
    if (rc == LF_OK)
        *out = m;
    else
        free(m);
    return rc;
}

void lf_mark_set(struct lf_mark *m)
{
    if (lf_stream_async(m->stream))
        backend_of(m->stream)->mark_set(m->stream, m->impl);
    else
        m->ns = lf_clock_ns();
}

enum lf_err lf_mark_wait(struct lf_mark *m, struct lf_diag *diag)
{
    return lf_stream_async(m->stream) ? backend_of(m->stream)->mark_wait(m->stream, m->impl, diag)
                                      : LF_OK;
}

void lf_stream_follow(struct lf_stream *s, const struct lf_mark *m)
{
    if (lf_stream_async(s))
        backend_of(s)->mark_follow(s, m->impl);
}

double lf_mark_seconds(const struct lf_mark *from, const struct lf_mark *to)
{
    return lf_stream_async(from->stream)
               ? backend_of(from->stream)->mark_seconds(from->stream, from->impl, to->impl)
               : (double)(to->ns - from->ns) / 1e9;
}

void lf_mark_free(struct lf_mark *m)
{
    if (!m)
        return;
    if (lf_stream_async(m->stream))
        backend_of(m->stream)->mark_free(m->stream, m->impl);
    free(m);
}

/* ---- Recorded work ---- */

struct lf_graph {
    struct lf_stream *stream;
    void *impl;
};

bool lf_stream_records(const struct lf_stream *s)
{
    return backend_of(s)->record_begin != NULL;
}

enum lf_err lf_stream_record_begin(struct lf_stream *s, struct lf_diag *diag)
{
    if (!lf_stream_records(s))
        return lf_fail(diag, LF_E_UNSUPPORTED, "a %s device does not record work",
                       backend_of(s)->name);
    return backend_of(s)->record_begin(s, diag);
}

enum lf_err lf_stream_record_end(struct lf_stream *s, struct lf_graph **out, struct lf_diag *diag)
{
    void *impl;
    enum lf_err rc = backend_of(s)->record_end(s, &impl, diag);
    if (rc)
        return rc;
    struct lf_graph *g = malloc(sizeof *g);
    if (!g) {
        backend_of(s)->graph_free(s, impl);
        return lf_no_memory(diag, "recorded work");
    }
    *g = (struct lf_graph){s, impl};
    *out = g;
    return LF_OK;
}

void lf_graph_launch(struct lf_graph *g)
{
    backend_of(g->stream)->graph_launch(g->stream, g->impl);
}

void lf_graph_free(struct lf_graph *g)
{
    if (!g)
        return;
    backend_of(g->stream)->graph_free(g->stream, g->impl);
    free(g);
}
