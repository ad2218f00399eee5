/* Adapters in host memory: where each site's A and B lie in the flat run. */
#include "model/adapter.h"

#include "model/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_ALIGN 8 /* floats: 16 bytes of a bf16 copy, one vector load */
#define PIECE 1024  /* columns of a row that are summed at once */

static size_t run_align(size_t n)
{
    return (n + RUN_ALIGN - 1) / RUN_ALIGN * RUN_ALIGN;
}

void lf_adapter_shape_lay(struct lf_adapter_shape *s, const struct lf_config *c)
{
    size_t at = 0;
    s->rank_max = 0;
    for (int i = 0; i < s->n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        s->a_off[i] = at;
        at += run_align((size_t)s->rank[i] * (size_t)p->K);
        s->b_off[i] = at;
        at += run_align((size_t)s->rank[i] * (size_t)p->N);
        s->m_off[i] = at;
        at += s->dora && s->rank[i] > 0 ? run_align((size_t)p->N) : 0;
        if (s->rank[i] > s->rank_max)
            s->rank_max = s->rank[i];
    }
    s->n_params = at;
}

size_t lf_shape_outputs(const struct lf_adapter_shape *s, const struct lf_config *c)
{
    size_t n = 0;
    for (int i = 0; i < s->n_sites; i++)
        n += s->rank[i] > 0 ? (size_t)c->proj[i % c->n_proj].N : 0;
    return n;
}

static enum lf_err shape_alloc(struct lf_adapter_shape *s, int n_sites)
{
    size_t n = (size_t)n_sites;
    *s = (struct lf_adapter_shape){.n_sites = n_sites};
    s->rank = calloc(n, sizeof *s->rank);
    s->scale = calloc(n, sizeof *s->scale);
    s->a_off = calloc(n, sizeof *s->a_off);
    s->b_off = calloc(n, sizeof *s->b_off);
    s->m_off = calloc(n, sizeof *s->m_off);
    if (s->rank && s->scale && s->a_off && s->b_off && s->m_off)
        return LF_OK;
    lf_adapter_shape_free(s);
    return LF_E_NO_MEMORY;
}

enum lf_err lf_adapter_shape_copy(struct lf_adapter_shape *out, const struct lf_adapter_shape *s)
{
    struct lf_adapter_shape t;
    enum lf_err rc = shape_alloc(&t, s->n_sites);
    if (rc != LF_OK)
        return rc;
    size_t n = (size_t)s->n_sites;
    memcpy(t.rank, s->rank, n * sizeof *t.rank);
    memcpy(t.scale, s->scale, n * sizeof *t.scale);
    memcpy(t.a_off, s->a_off, n * sizeof *t.a_off);
    memcpy(t.b_off, s->b_off, n * sizeof *t.b_off);
    memcpy(t.m_off, s->m_off, n * sizeof *t.m_off);
    t.n_params = s->n_params;
    t.rank_max = s->rank_max;
    t.half_trains = s->half_trains;
    t.dora = s->dora;
    *out = t;
    return LF_OK;
}

void lf_adapter_shape_free(struct lf_adapter_shape *s)
{
    free(s->rank);
    free(s->scale);
    free(s->a_off);
    free(s->b_off);
    free(s->m_off);
    *s = (struct lf_adapter_shape){0};
}

void lf_adapter_site_name(char out[LF_SITE_NAME_MAX], const struct lf_config *c, int site)
{
    snprintf(out, LF_SITE_NAME_MAX, "model.layers.%d.%s", site / c->n_proj,
             c->proj[site % c->n_proj].module);
}

bool lf_site_is_named(const char *site, const char *name, size_t n)
{
    size_t k = strlen(site);
    return n > 0 && n <= k && memcmp(site + k - n, name, n) == 0 &&
           (n == k || site[k - n - 1] == '.');
}

enum lf_err lf_adapter_alloc(struct lf_adapter **out, const struct lf_config *c,
                             struct lf_diag *diag)
{
    struct lf_adapter *a = calloc(1, sizeof *a);
    if (!a || shape_alloc(&a->shape, lf_config_sites(c)) != LF_OK) {
        free(a);
        return lf_no_memory(diag, "an adapter");
    }
    *out = a;
    return LF_OK;
}

enum lf_err lf_adapter_shape_params(void **out, struct lf_adapter_shape *s,
                                    const struct lf_config *c, enum lf_dtype type,
                                    struct lf_diag *diag)
{
    lf_adapter_shape_lay(s, c);
    if (s->n_params == 0)
        return lf_fail(diag, LF_E_INVALID, "the adapter targets nothing of this base");
    *out = calloc(s->n_params, lf_dtype_bytes(type));
    return *out ? LF_OK : lf_no_memory(diag, "an adapter of %zu parameters", s->n_params);
}

void lf_adapter_free(struct lf_adapter *a)
{
    if (!a)
        return;
    lf_adapter_shape_free(&a->shape);
    free(a->params);
    free(a->row_sq);
    free(a);
}

enum lf_err lf_adapter_copy(struct lf_adapter **out, const struct lf_adapter *a,
                            struct lf_diag *diag)
{
    struct lf_adapter *b = malloc(sizeof *b);
    size_t bytes = a->shape.n_params * sizeof *a->params;
    enum lf_err rc = LF_E_NO_MEMORY;
    if (b) {
        *b = *a;
        b->shape = (struct lf_adapter_shape){0};
        b->row_sq = NULL;
        b->params = malloc(bytes);
        if (b->params)
            rc = lf_adapter_shape_copy(&b->shape, &a->shape);
    }
    if (rc != LF_OK) {
        lf_adapter_free(b);
        return lf_fail(diag, rc, "no memory for an adapter of %zu bytes", bytes);
    }
    memcpy(b->params, a->params, bytes);
    *out = b;
    return LF_OK;
}

void lf_adapter_add_row(float *w, const struct lf_adapter *a, int site, int64_t n, size_t K)
{
    const size_t R = (size_t)a->shape.rank[site];
    const float *A = a->params + a->shape.a_off[site];
    const float *B = a->params + a->shape.b_off[site] + (size_t)n * R;
    for (size_t from = 0; from < K; from += PIECE) {
        float sum[PIECE] = {0};
        size_t piece = K - from < PIECE ? K - from : PIECE;
        for (size_t i = 0; i < R; i++)
            for (size_t k = 0; k < piece; k++)
                sum[k] += B[i] * A[i * K + from + k];
        for (size_t k = 0; k < piece; k++)
            w[from + k] += a->shape.scale[site] * sum[k];
    }
}

double lf_dora_factor(const float *w, size_t K, float m)
{
    double sum = 0;
    for (size_t k = 0; k < K; k++)
        sum += (double)w[k] * (double)w[k];
    return sum > 0 ? (double)m / sqrt(sum) : 1;
}

float lf_lora_scale(double alpha, int rank, bool rslora)
{
    return (float)(alpha / (rslora ? sqrt((double)rank) : rank));
}
