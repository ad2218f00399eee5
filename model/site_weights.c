/* A base's weights as numbers: out of the device's memory where that is the host's, else out of the
 * checkpoint, and what was quantised out of its cache, or quantised again where there is none. */
#include "model/site_weights.h"

#include "gpu/weight.h"
#include "model/bnb.h"
#include "model/memory.h"

#include <string.h>

enum lf_err lf_site_weights_open(struct lf_site_weights *out, const struct lf_model *m, bool stored,
                                 struct lf_diag *diag)
{
    *out = (struct lf_site_weights){.m = m};
    enum lf_err rc = lf_pool_new(&out->pool, 0, diag);
    if (rc != LF_OK || (!stored && lf_device_on_host(m->dev)))
        return rc;
    if (!m->dir)
        return lf_fail(diag, LF_E_UNSUPPORTED, "a base of random weights has no checkpoint");
    rc = lf_merged_open(&out->base, m->dir, NULL, diag);
    rc = rc ?: lf_device_open(&out->dev, LF_DEVICE_CPU, NULL, diag);
    rc = rc ?: lf_stream_new(&out->stream, out->dev, 0, diag);
    return rc ?: lf_bnb_quantizer_new(&out->quantizer, out->stream, diag);
}

void lf_site_weights_close(struct lf_site_weights *x)
{
    lf_bnb_quantizer_free(x->quantizer);
    if (x->stream)
        lf_stream_free(x->stream);
    if (x->dev)
        lf_device_free(x->dev);
    lf_merged_close(&x->base);
    lf_pool_free(x->pool);
    *x = (struct lf_site_weights){0};
}

const struct lf_merged_tensor *lf_site_weights_tensor(const struct lf_site_weights *x, int site)
{
    for (size_t i = 0; i < x->base.n; i++)
        if (x->base.tensors[i].site == site)
            return &x->base.tensors[i];
    return NULL;
}

enum lf_err lf_site_weights_stored(struct lf_site_weights *x, int site, float *w,
                                   struct lf_diag *diag)
{
    const struct lf_merged_tensor *t = lf_site_weights_tensor(x, site);
    return lf_merged_rows(&x->base, t, 0, t->rows, w, diag);
}

struct widening {
    const struct lf_weight *from;
    float *to;
};

static void widen(void *arg, size_t begin, size_t end, int worker)
{
    const struct widening *x = arg;
    (void)worker;
    for (size_t n = begin; n < end; n++)
        lf_weight_row(x->to + n * (size_t)x->from->K, x->from, (int)n);
}

static void widen_all(struct lf_site_weights *x, const struct lf_weight *from, float *to)
{
    struct widening w = {from, to};
    lf_pool_run(x->pool, (size_t)from->N, 1, widen, &w);
}

enum lf_err lf_site_weights_served(struct lf_site_weights *x, int site, float *w,
                                   struct lf_diag *diag)
{
    const struct lf_config *c = &x->m->config;
    const struct lf_weight *there = &x->m->layers[site / c->n_proj].w[site % c->n_proj];
    if (lf_device_on_host(x->m->dev)) {
        widen_all(x, there, w);
        return LF_OK;
    }
    const struct lf_merged_tensor *t = lf_site_weights_tensor(x, site);
    if (there->kind != LF_WEIGHT_Q4 || t->q4)
        return lf_merged_rows(&x->base, t, 0, t->rows, w, diag);
    struct lf_weight q;
    bool kept = false;
    const int N = (int)t->rows, K = (int)t->cols;
    enum lf_err rc = LF_OK;
    if (x->m->memory->cache)
        rc = lf_bnb_read(&kept, &q, x->m->memory->cache, t->stored->name, N, K, diag);
    if (rc == LF_OK && !kept)
        rc = lf_bnb_quantize(x->quantizer, &q, t->stored, N, K, diag);
    if (rc == LF_OK)
        widen_all(x, &q, w);
    return rc;
}
