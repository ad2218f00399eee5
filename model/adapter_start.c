/* An adapter's start from its base's weights, one site after another. */
#include "model/adapter_start.h"

#include "gpu/weight.h"
#include "model/bnb.h"
#include "model/merged_base.h"
#include "model/svd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lf_err lf_adapter_start_parse(struct lf_adapter_start *out, const char *word,
                                   struct lf_diag *diag)
{
    int end = 0;
    *out = (struct lf_adapter_start){LF_START_USUAL, 0};
    if (!*word || strcmp(word, "true") == 0)
        return LF_OK;
    out->kind = strcmp(word, "loftq") == 0 ? LF_START_LOFTQ : LF_START_PISSA;
    if (out->kind == LF_START_LOFTQ || strcmp(word, "pissa") == 0)
        return LF_OK;
    if (sscanf(word, "pissa_niter_%2d%n", &out->iterations, &end) == 1 && !word[end] &&
        out->iterations >= 1 && out->iterations <= LF_SVD_ITERATIONS_MAX)
        return LF_OK;
    return lf_fail(diag, LF_E_INVALID,
                   "an adapter starts as \"pissa\", \"pissa_niter_N\" with N from 1 to %d, or "
                   "\"loftq\", not as \"%.40s\"",
                   LF_SVD_ITERATIONS_MAX, word);
}

/* What is needed for each site. */
struct starting {
    struct lf_adapter *a;
    const struct lf_model *m;
    const struct lf_adapter_start *spec;
    uint64_t seed;
    struct lf_merged_base base; /* the checkpoint, as numbers */
    struct lf_device *dev;      /* the host's */
    struct lf_stream *stream;
    struct lf_bnb_quantizer *quantizer;
    float *w; /* the weight */
};

static const struct lf_merged_tensor *tensor_of(const struct starting *x, int site)
{
    for (size_t i = 0; i < x->base.n; i++)
        if (x->base.tensors[i].site == site)
            return &x->base.tensors[i];
    return NULL;
}

/* w less what the device has of it. */
static enum lf_err subtract_quantized(struct starting *x, const struct lf_merged_tensor *t,
                                      struct lf_diag *diag)
{
    struct lf_weight q;
    int n_proj = x->m->config.n_proj;
    const struct lf_weight *there = &x->m->layers[t->site / n_proj].w[t->site % n_proj];
    if (t->q4 || there->kind != LF_WEIGHT_Q4)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"loftq\" starts from what is lost where weights are quantised as they are "
                       "loaded, and \"%s\" is %s",
                       t->stored->name,
                       t->q4 ? "stored in 4 bits: it needs the checkpoint in full precision"
                             : "not quantised");
    enum lf_err rc = lf_bnb_quantize(x->quantizer, &q, t->stored, (int)t->rows, (int)t->cols, diag);
    for (int n = 0; n < t->rows && rc == LF_OK; n++)
        for (int k = 0; k < t->cols; k++)
            x->w[(int64_t)n * t->cols + k] -= lf_weight_at(&q, n, k);
    return rc;
}

/* A and B of a site, whose product times the scale is the first ones' of w. */
static void put(const struct starting *x, int site, const struct lf_svd *d, int N, int K)
{
    const struct lf_adapter_shape *shape = &x->a->shape;
    float *a = x->a->params + shape->a_off[site], *b = x->a->params + shape->b_off[site];
    int R = shape->rank[site];
    for (int r = 0; r < R; r++) {
        int i = r % d->rank;
        float by = (float)sqrt(d->s[i] / (double)shape->scale[site]);
        float sign = r < d->rank ? 1 : -1; /* the half that takes the start off again */
        for (int k = 0; k < K; k++)
            a[(size_t)r * (size_t)K + (size_t)k] = by * d->v[(size_t)i * (size_t)K + (size_t)k];
        for (int n = 0; n < N; n++)
            b[(size_t)n * (size_t)R + (size_t)r] =
                sign * by * d->u[(size_t)i * (size_t)N + (size_t)n];
    }
}

static enum lf_err start_site(struct starting *x, int site, struct lf_diag *diag)
{
    const struct lf_adapter_shape *shape = &x->a->shape;
    const struct lf_merged_tensor *t = tensor_of(x, site);
    struct lf_svd d;
    int rank = shape->half_trains ? shape->rank[site] / 2 : shape->rank[site];
    int N = (int)t->rows, K = (int)t->cols, least = N < K ? N : K;
    if (rank > least)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" has %d singular vectors, and the rank is %d",
                       t->stored->name, least, rank);
    if (!(shape->scale[site] > 0))
        return lf_fail(diag, LF_E_INVALID, "alpha is not over 0");
    free(x->w);
    x->w = malloc((size_t)N * (size_t)K * sizeof *x->w);
    if (!x->w)
        return lf_no_memory(diag, "\"%s\" as numbers", t->stored->name);
    enum lf_err rc = lf_merged_rows(&x->base, t, 0, N, x->w, diag);
    if (rc == LF_OK && x->spec->kind == LF_START_LOFTQ)
        rc = subtract_quantized(x, t, diag);
    rc = rc ?: lf_svd_first(&d, x->stream, x->w, N, K, rank, x->spec->iterations, x->seed, diag);
    if (rc != LF_OK)
        return rc;
    put(x, site, &d, N, K);
    lf_svd_free(&d);
    return LF_OK;
}

enum lf_err lf_adapter_start_set(struct lf_adapter *a, const struct lf_model *m,
                                 const struct lf_adapter_start *spec, uint64_t seed,
                                 struct lf_diag *diag)
{
    struct starting x = {.a = a, .m = m, .spec = spec, .seed = seed};
    if (spec->kind == LF_START_USUAL)
        return LF_OK;
    if (!m->dir)
        return lf_fail(diag, LF_E_UNSUPPORTED, "a base of random weights has no such start");
    enum lf_err rc = lf_merged_open(&x.base, m->dir, NULL, diag);
    rc = rc ?: lf_device_open(&x.dev, LF_DEVICE_CPU, NULL, diag);
    rc = rc ?: lf_stream_new(&x.stream, x.dev, 0, diag);
    rc = rc ?: lf_bnb_quantizer_new(&x.quantizer, x.stream, diag);
    for (int site = 0; site < a->shape.n_sites && rc == LF_OK; site++)
        if (a->shape.rank[site] > 0)
            rc = start_site(&x, site, diag);
    lf_bnb_quantizer_free(x.quantizer);
    if (x.stream)
        lf_stream_free(x.stream);
    if (x.dev)
        lf_device_free(x.dev);
    lf_merged_close(&x.base);
    free(x.w);
    return rc;
}
