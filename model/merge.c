/* Several adapters as one. */
#include "model/merge.h"

#include "core/rng.h"
#include "model/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS 65536 /* of the upper, then the lower half of a float's bits */

const char *const lf_merge_words[] = {"linear", "ties", "dare_linear", "dare_ties", NULL};

/* ---- Linear: ranks side by side -------------------------------------------------------------- */

/* A sum of products is another adapter; one of DoRA's weights is none. */
static enum lf_err refuse_dora(const struct lf_merge *m, const struct lf_adapter *const *parts,
                               struct lf_diag *diag)
{
    for (int i = 0; i < m->n; i++)
        if (parts[i]->shape.dora)
            return lf_fail(diag, LF_E_UNSUPPORTED, "adapters with DoRA's magnitudes are not mixed");
    return LF_OK;
}

static enum lf_err stack_ranks(struct lf_adapter *out, const struct lf_merge *m,
                               const struct lf_adapter *const *parts, struct lf_diag *diag)
{
    for (int s = 0; s < out->shape.n_sites; s++) {
        int rank = 0;
        for (int i = 0; i < m->n; i++)
            rank += parts[i]->shape.rank[s];
        if (rank > LF_RANK_MAX)
            return lf_fail(diag, LF_E_TOO_BIG,
                           "the merged adapters' ranks are %d together: at most %d are possible",
                           rank, LF_RANK_MAX);
        out->shape.rank[s] = rank;
        out->shape.scale[s] = rank > 0;
    }
    return LF_OK;
}

/* Rows of A one below the other; columns of B, with what scales them, side by side. */
static void stack_site(struct lf_adapter *out, const struct lf_config *c, const struct lf_merge *m,
                       const struct lf_adapter *const *parts, int s)
{
    const struct lf_proj *p = &c->proj[s % c->n_proj];
    size_t K = (size_t)p->K, N = (size_t)p->N, R = (size_t)out->shape.rank[s], at = 0;
    float *A = out->params + out->shape.a_off[s], *B = out->params + out->shape.b_off[s];
    for (int i = 0; i < m->n; i++) {
        const struct lf_adapter_shape *shape = &parts[i]->shape;
        const float *a = parts[i]->params + shape->a_off[s],
                    *b = parts[i]->params + shape->b_off[s];
        size_t r = (size_t)shape->rank[s];
        float by = (float)(m->weight[i] * (double)shape->scale[s]);
        memcpy(A + at * K, a, r * K * sizeof *a);
        for (size_t n = 0; n < N; n++)
            for (size_t j = 0; j < r; j++)
                B[n * R + at + j] = by * b[n * r + j];
        at += r;
    }
}

/* ---- Factor by factor ------------------------------------------------------------------------ */

static enum lf_err same_ranks(struct lf_adapter *out, const struct lf_merge *m,
                              const struct lf_adapter *const *parts, struct lf_diag *diag)
{
    for (int s = 0; s < out->shape.n_sites; s++)
        for (int i = 0; i < m->n; i++) {
            int rank = parts[i]->shape.rank[s], have = out->shape.rank[s];
            if (rank > 0 && have > 0 && rank != have)
                return lf_fail(diag, LF_E_INVALID,
                               "adapters of ranks %d and %d are merged by \"linear\" alone", have,
                               rank);
            out->shape.rank[s] = rank > 0 ? rank : have;
            out->shape.scale[s] = out->shape.rank[s] > 0;
        }
    return LF_OK;
}

static uint32_t magnitude(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u & 0x7FFFFFFFu; /* in the order of absolute values */
}

/* In which bin, from above, the k-th (from 1) of what was counted is; *k: in that bin. */
static uint32_t bin_of(const uint32_t *count, size_t *k)
{
    uint32_t bin = BINS - 1;
    while (bin > 0 && count[bin] < *k)
        *k -= count[bin--];
    return bin;
}

/* Zeroes all but the k largest by magnitude; of equal ones the first stay. */
static enum lf_err keep_largest(float *x, size_t n, size_t k, struct lf_diag *diag)
{
    uint32_t *count = calloc(BINS, sizeof *count);
    if (!count)
        return lf_no_memory(diag, "a merge");
    size_t left = k;
    uint32_t high = 0, least = UINT32_MAX;
    if (k > 0) {
        for (size_t i = 0; i < n; i++)
            count[magnitude(x[i]) >> 16]++;
        high = bin_of(count, &left);
        memset(count, 0, BINS * sizeof *count);
        for (size_t i = 0; i < n; i++)
            if (magnitude(x[i]) >> 16 == high)
                count[magnitude(x[i]) & 0xFFFF]++;
        least = high << 16 | bin_of(count, &left);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t u = magnitude(x[i]);
        if (u < least || (u == least && left == 0))
            x[i] = 0;
        else if (u == least)
            left--;
    }
    free(count);
    return LF_OK;
}

/* One adapter's factor with what is not kept of it zero. stream: a number of the factor's own. */
static enum lf_err thin(float *x, size_t n, const struct lf_merge *m, int part, uint64_t stream,
                        struct lf_diag *diag)
{
    if (m->density >= 1)
        return LF_OK;
    if (m->strategy == LF_MERGE_TIES)
        return keep_largest(x, n, (size_t)(m->density * (double)n), diag);
    for (size_t i = 0; i < n; i++)
        x[i] = (double)lf_rng_unit(lf_rng_u32(m->seed[part], i, stream)) < m->density
                   ? (float)((double)x[i] / m->density)
                   : 0;
    return LF_OK;
}

/* The mean, weighted, of those (n_parts values, `step` apart) that have the elected sign. */
static float elect(const float *x, size_t step, const double *weight, int n_parts,
                   bool by_frequency)
{
    double votes = 0, sum = 0;
    int n = 0;
    for (int i = 0; i < n_parts; i++) {
        double v = (double)x[(size_t)i * step];
        votes += by_frequency ? (v > 0) - (v < 0) : v;
    }
    for (int i = 0; i < n_parts; i++) {
        double v = (double)x[(size_t)i * step];
        if (votes >= 0 ? v > 0 : v < 0) {
            sum += weight[i] * v;
            n++;
        }
    }
    return (float)(n > 0 ? sum / n : 0);
}

/* x (n_parts, n), thinned; weight (n_parts). */
static void join(float *out, const float *x, size_t n, const double *weight, int n_parts,
                 const struct lf_merge *m)
{
    for (size_t e = 0; e < n; e++) {
        if (m->strategy == LF_MERGE_DARE_LINEAR) {
            double sum = 0;
            for (int i = 0; i < n_parts; i++)
                sum += weight[i] * (double)x[(size_t)i * n + e];
            out[e] = (float)sum;
        } else {
            out[e] = elect(x + e, n, weight, n_parts, m->by_frequency);
        }
    }
}

/* A (which 0) or B (1) of a site, n values. */
static enum lf_err merge_factor(struct lf_adapter *out, const struct lf_merge *m,
                                const struct lf_adapter *const *parts, int s, int which, size_t n,
                                struct lf_diag *diag)
{
    double weight[LF_MERGE_PARTS_MAX];
    int n_parts = 0;
    float *x = malloc((size_t)m->n * n * sizeof *x);
    enum lf_err rc = x ? LF_OK : lf_no_memory(diag, "a merge");
    for (int i = 0; i < m->n && rc == LF_OK; i++) {
        const struct lf_adapter_shape *shape = &parts[i]->shape;
        float *mine = x + (size_t)n_parts * n;
        if (shape->rank[s] == 0)
            continue;
        double w = m->weight[i] * (double)shape->scale[s];
        weight[n_parts++] = sqrt(fabs(w)) * (w < 0 && which == 0 ? -1 : 1);
        memcpy(mine, parts[i]->params + (which ? shape->b_off[s] : shape->a_off[s]), n * sizeof *x);
        rc = thin(mine, n, m, i, 2 * (uint64_t)s + (uint64_t)which, diag);
    }
    if (rc == LF_OK)
        join(out->params + (which ? out->shape.b_off[s] : out->shape.a_off[s]), x, n, weight,
             n_parts, m);
    free(x);
    return rc;
}

/* ---- Together -------------------------------------------------------------------------------- */

static enum lf_err merge_site(struct lf_adapter *out, const struct lf_config *c,
                              const struct lf_merge *m, const struct lf_adapter *const *parts,
                              int s, struct lf_diag *diag)
{
    const struct lf_proj *p = &c->proj[s % c->n_proj];
    size_t rank = (size_t)out->shape.rank[s];
    if (rank == 0)
        return LF_OK;
    if (m->strategy != LF_MERGE_LINEAR)
        return merge_factor(out, m, parts, s, 0, rank * (size_t)p->K, diag)
                   ?: merge_factor(out, m, parts, s, 1, rank * (size_t)p->N, diag);
    stack_site(out, c, m, parts, s);
    return LF_OK;
}

enum lf_err lf_adapters_merge(struct lf_adapter **out, const struct lf_config *c,
                              const struct lf_merge *m, const struct lf_adapter *const *parts,
                              struct lf_diag *diag)
{
    struct lf_adapter *a;
    void *params = NULL;
    lf_assert(m->n >= 1 && m->n <= LF_MERGE_PARTS_MAX);
    enum lf_err rc = refuse_dora(m, parts, diag) ?: lf_adapter_alloc(&a, c, diag);
    if (rc != LF_OK)
        return rc;
    rc = m->strategy == LF_MERGE_LINEAR ? stack_ranks(a, m, parts, diag)
                                        : same_ranks(a, m, parts, diag);
    rc = rc ?: lf_adapter_shape_params(&params, &a->shape, c, LF_F32, diag);
    a->params = params;
    a->rank = a->shape.rank_max;
    a->alpha = a->rank;
    for (int s = 0; s < a->shape.n_sites && rc == LF_OK; s++)
        rc = merge_site(a, c, m, parts, s, diag);
    if (rc == LF_OK)
        *out = a;
    else
        lf_adapter_free(a);
    return rc;
}
