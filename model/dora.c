/* DoRA's factors, from the rows of the weights that an adapter is beside. */
#include "model/dora.h"

#include "model/site_weights.h"

#include <math.h>
#include <stdlib.h>

/* One site: w becomes W + scale * B A. */
struct magnifying {
    struct lf_adapter *a;
    int site, K;
    float *w; /* (N, K) */
};

static void serve_rows(void *arg, size_t begin, size_t end, int worker)
{
    const struct magnifying *x = arg;
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

static enum lf_err serve_site(struct lf_site_weights *base, struct lf_adapter *a, int site,
                              struct lf_diag *diag)
{
    const struct lf_proj *p = &base->m->config.proj[site % base->m->config.n_proj];
    struct magnifying x = {.a = a, .site = site, .K = p->K};
    x.w = malloc((size_t)p->N * (size_t)p->K * sizeof *x.w);
    if (!x.w)
        return lf_no_memory(diag, "a weight of %d rows as numbers", p->N);
    enum lf_err rc = lf_site_weights_served(base, site, x.w, diag);
    if (rc == LF_OK)
        lf_pool_run(base->pool, (size_t)p->N, 1, serve_rows, &x);
    free(x.w);
    return rc;
}

enum lf_err lf_dora_serve(struct lf_adapter *a, const struct lf_model *m, struct lf_diag *diag)
{
    struct lf_site_weights base;
    if (!a->shape.dora)
        return LF_OK;
    enum lf_err rc = lf_site_weights_open(&base, m, false, diag);
    for (int site = 0; site < a->shape.n_sites && rc == LF_OK; site++)
        if (a->shape.rank[site] > 0)
            rc = serve_site(&base, a, site, diag);
    lf_site_weights_close(&base);
    for (size_t i = 0; i < a->shape.n_params && rc == LF_OK; i++)
        if (!isfinite(a->params[i]))
            rc = lf_fail(diag, LF_E_DAMAGED,
                         "the adapter's magnitudes are too large for the rows that they scale");
    a->served = rc == LF_OK;
    return rc;
}
