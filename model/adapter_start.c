/* An adapter's start from its base's weights, one site after another. */
#include "model/adapter_start.h"

#include "model/site_weights.h"
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
    struct lf_site_weights base;
    float *w, *served; /* the weight; LoftQ's: what the device has of it */
};

/* w less what the device has of it. */
static enum lf_err subtract_served(struct starting *x, const struct lf_merged_tensor *t,
                                   struct lf_diag *diag)
{
    int n_proj = x->m->config.n_proj;
    const struct lf_weight *there = &x->m->layers[t->site / n_proj].w[t->site % n_proj];
    if (t->q4 || there->kind != LF_WEIGHT_Q4)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"loftq\" starts from what is lost where weights are quantised as they are "
                       "loaded, and \"%s\" is %s",
                       t->stored->name,
                       t->q4 ? "stored in 4 bits: it needs the checkpoint in full precision"
                             : "not quantised");
    size_t n = (size_t)t->rows * (size_t)t->cols;
    free(x->served);
    x->served = malloc(n * sizeof *x->served);
    if (!x->served)
        return lf_no_memory(diag, "\"%s\" as numbers", t->stored->name);
    enum lf_err rc = lf_site_weights_served(&x->base, t->site, x->served, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        x->w[i] -= x->served[i];
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
    const struct lf_merged_tensor *t = lf_site_weights_tensor(&x->base, site);
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
    enum lf_err rc = lf_site_weights_stored(&x->base, site, x->w, diag);
    if (rc == LF_OK && x->spec->kind == LF_START_LOFTQ)
        rc = subtract_served(x, t, diag);
    rc = rc
             ?: lf_svd_first(&d, x->base.stream, x->w, N, K, rank, x->spec->iterations, x->seed,
                             diag);
    if (rc != LF_OK)
        return rc;
    put(x, site, &d, N, K);
    lf_svd_free(&d);
    return LF_OK;
}

enum lf_err lf_adapter_start_set(struct lf_adapter *a, const struct lf_model *m,
                                 const struct lf_adapter_start *spec, uint64_t seed,
                                 bool (*go_on)(void *arg, double part), void *arg,
                                 struct lf_diag *diag)
{
    struct starting x = {.a = a, .m = m, .spec = spec, .seed = seed};
    if (spec->kind == LF_START_USUAL)
        return LF_OK;
    enum lf_err rc = lf_site_weights_open(&x.base, m, true, diag);
    for (int site = 0; site < a->shape.n_sites && rc == LF_OK; site++) {
        if (a->shape.rank[site] == 0)
            continue;
        if (go_on && !go_on(arg, (double)site / a->shape.n_sites))
            rc = lf_fail(diag, LF_E_CANCELLED, "cancelled");
        rc = rc ?: start_site(&x, site, diag);
    }
    lf_site_weights_close(&x.base);
    free(x.w);
    free(x.served);
    return rc;
}
