/* DoRA's factors, from the rows of the weights that an adapter is beside. */
#include "model/dora.h"

#include "model/site_weights.h"

#include <math.h>
#include <stdlib.h>

/* One site. */
struct rows_of {
    struct lf_adapter *a;
    int site, K;
    float *w;      /* (N, K) W; serving it becomes W + scale * B A */
    float *row_sq; /* (N) its rows' */
    bool fresh;
};

static void serve_rows(void *arg, size_t begin, size_t end, int worker)
{
    const struct rows_of *x = arg;
    const struct lf_adapter_shape *s = &x->a->shape;
    size_t R = (size_t)s->rank[x->site], K = (size_t)x->K;
    (void)worker;
    for (size_t n = begin; n < end; n++) {
        float *w = x->w + n * K, *m = x->a->params + s->m_off[x->site] + n;
        float *b = x->a->params + s->b_off[x->site] + n * R;
        lf_adapter_add_row(w, x->a, x->site, (int64_t)n, K);
        double g = lf_dora_factor(w, K, *m);
        *m = (float)(g - 1);
        for (size_t r = 0; r < R; r++)
            b[r] = (float)(g * (double)b[r]);
    }
}

static void measure_rows(void *arg, size_t begin, size_t end, int worker)
{
    const struct rows_of *x = arg;
    float *m = x->a->params + x->a->shape.m_off[x->site];
    size_t K = (size_t)x->K;
    (void)worker;
    for (size_t n = begin; n < end; n++) {
        double sum = 0;
        for (size_t k = 0; k < K; k++)
            sum += (double)x->w[n * K + k] * (double)x->w[n * K + k];
        x->row_sq[n] = (float)sum;
        if (x->fresh)
            m[n] = (float)sqrt(sum);
    }
}

static enum lf_err at_site(struct lf_site_weights *base, struct rows_of *x, lf_pool_fn fn,
                           struct lf_diag *diag)
{
    const struct lf_proj *p = &base->m->config.proj[x->site % base->m->config.n_proj];
    x->K = p->K;
    x->w = malloc((size_t)p->N * (size_t)p->K * sizeof *x->w);
    if (!x->w)
        return lf_no_memory(diag, "a weight of %d rows as numbers", p->N);
    enum lf_err rc = lf_site_weights_served(base, x->site, x->w, diag);
    if (rc == LF_OK)
        lf_pool_run(base->pool, (size_t)p->N, 1, fn, x);
    if (x->row_sq)
        x->row_sq += p->N;
    free(x->w);
    return rc;
}

static enum lf_err at_sites(const struct lf_model *m, struct rows_of *x, lf_pool_fn fn,
                            struct lf_diag *diag)
{
    struct lf_site_weights base;
    enum lf_err rc = lf_site_weights_open(&base, m, false, diag);
    for (x->site = 0; x->site < x->a->shape.n_sites && rc == LF_OK; x->site++)
        if (x->a->shape.rank[x->site] > 0)
            rc = at_site(&base, x, fn, diag);
    lf_site_weights_close(&base);
    return rc;
}

enum lf_err lf_dora_serve(struct lf_adapter *a, const struct lf_model *m, struct lf_diag *diag)
{
    struct rows_of x = {.a = a};
    if (!a->shape.dora)
        return LF_OK;
    enum lf_err rc = at_sites(m, &x, serve_rows, diag);
    for (size_t i = 0; i < a->shape.n_params && rc == LF_OK; i++)
        if (!isfinite(a->params[i]))
            rc = lf_fail(diag, LF_E_DAMAGED,
                         "the adapter's magnitudes are too large for the rows that they scale");
    a->served = rc == LF_OK;
    return rc;
}

enum lf_err lf_dora_measure(struct lf_adapter *a, const struct lf_model *m, bool fresh,
                            struct lf_diag *diag)
{
    if (!a->shape.dora)
        return LF_OK;
    a->row_sq = malloc(lf_shape_outputs(&a->shape, &m->config) * sizeof *a->row_sq);
    struct rows_of x = {.a = a, .row_sq = a->row_sq, .fresh = fresh};
    return a->row_sq ? at_sites(m, &x, measure_rows, diag) : lf_no_memory(diag, "norms");
}
