/* A base and an adapter as one set of weights. A row is widened, and what the adapter adds to it is
 * summed by itself before it is added, as a product of matrices would be. */
#include "model/merged_base.h"

#include "core/pool.h"
#include "gpu/weight.h"
#include "model/bnb.h"

#include <stdlib.h>
#include <string.h>

struct lf_merged_inside {
    struct lf_tensors *ts;
    struct lf_adapter *adapter; /* or NULL */
    struct lf_pool *pool;
    /* The 4-bit matrix that was read last: its scales stand in `scales`, where they are aligned. */
    const struct lf_merged_tensor *q4_of;
    struct lf_weight q4;
    float *scales;
};

/* ---- Opening --------------------------------------------------------------------------------- */

static bool is_float(const struct lf_tensor *t)
{
    return t->dtype == LF_F32 || t->dtype == LF_BF16 || t->dtype == LF_F16;
}

static enum lf_err load_adapter(struct lf_merged_base *m, const char *dir, struct lf_diag *diag)
{
    enum lf_err rc = lf_adapter_load(&m->inside->adapter, &m->config, dir, diag);
    if (rc == LF_OK)
        m->rank = m->inside->adapter->shape.rank_max;
    return rc;
}

/* By site, the tensor of its weight. */
static enum lf_err mark_sites(struct lf_merged_base *m, int *site_of, bool *is_q4,
                              struct lf_diag *diag)
{
    const struct lf_tensors *ts = m->inside->ts;
    const struct lf_config *c = &m->config;
    for (int i = 0; i < lf_config_sites(c); i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        char site[LF_SITE_NAME_MAX], name[LF_BNB_NAME_MAX];
        struct lf_weight w;
        bool q4;
        lf_adapter_site_name(site, c, i);
        snprintf(name, sizeof name, "%s.weight", site);
        const struct lf_tensor *t = lf_tensors_find(ts, name);
        if (!t)
            return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is missing", name);
        enum lf_err rc = lf_bnb_read(&q4, &w, ts, name, p->N, p->K, diag);
        if (rc != LF_OK)
            return rc;
        if (!q4 && !is_float(t))
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "tensor \"%s\" is neither floating-point nor 4-bit of bitsandbytes",
                           name);
        if (!q4 && (t->n_dims != 2 || t->dims[0] != p->N || t->dims[1] != p->K))
            return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is not (%d, %d)", name, p->N, p->K);
        site_of[t - lf_tensors_at(ts, 0)] = i;
        is_q4[t - lf_tensors_at(ts, 0)] = q4;
    }
    return LF_OK;
}

static void shape_of(struct lf_merged_tensor *out, const struct lf_config *c)
{
    const struct lf_tensor *t = out->stored;
    out->numbers = t->bytes > 0 && (out->q4 || is_float(t));
    if (out->site >= 0) {
        out->rows = c->proj[out->site % c->n_proj].N;
        out->cols = c->proj[out->site % c->n_proj].K;
        return;
    }
    out->rows = 1;
    for (int d = 0; d + 1 < t->n_dims; d++)
        out->rows *= t->dims[d];
    out->cols = t->n_dims ? t->dims[t->n_dims - 1] : 1;
}

static enum lf_err list_tensors(struct lf_merged_base *m, struct lf_diag *diag)
{
    const struct lf_tensors *ts = m->inside->ts;
    size_t n = lf_tensors_count(ts);
    int *site_of = malloc((n + 1) * sizeof *site_of);
    bool *is_q4 = calloc(n + 1, sizeof *is_q4);
    m->tensors = calloc(n + 1, sizeof *m->tensors);
    enum lf_err rc = LF_OK;
    if (!site_of || !is_q4 || !m->tensors)
        rc = lf_no_memory(diag, "the tensors' names");
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        site_of[i] = -1;
    rc = rc ?: mark_sites(m, site_of, is_q4, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        struct lf_merged_tensor t = {
            .stored = lf_tensors_at(ts, i), .site = site_of[i], .q4 = is_q4[i]};
        if (lf_bnb_is_part(ts, t.stored->name))
            continue;
        shape_of(&t, &m->config);
        m->tensors[m->n++] = t;
    }
    free(site_of);
    free(is_q4);
    return rc;
}

enum lf_err lf_merged_open(struct lf_merged_base *out, const char *base, const char *adapter,
                           struct lf_diag *diag)
{
    *out = (struct lf_merged_base){.inside = calloc(1, sizeof *out->inside)};
    if (!out->inside)
        return lf_no_memory(diag, "a base");
    enum lf_err rc = lf_config_load(&out->config, base, diag);
    rc = rc ?: lf_tensors_open_checkpoint(&out->inside->ts, base, diag);
    rc = rc ?: list_tensors(out, diag);
    if (rc == LF_OK && adapter)
        rc = load_adapter(out, adapter, diag);
    return rc ?: lf_pool_new(&out->inside->pool, 0, diag);
}

void lf_merged_close(struct lf_merged_base *m)
{
    if (m->inside) {
        lf_pool_free(m->inside->pool);
        lf_adapter_free(m->inside->adapter);
        lf_tensors_free(m->inside->ts);
        free(m->inside->scales);
    }
    free(m->inside);
    free(m->tensors);
    *m = (struct lf_merged_base){0};
}

/* ---- 4-bit ----------------------------------------------------------------------------------- */

/* Moves n floats of the file to *at, where they are aligned. */
static void take_floats(const float **p, float **at, size_t n)
{
    memcpy(*at, *p, n * sizeof **at);
    *p = *at;
    *at += n;
}

static enum lf_err open_q4(struct lf_merged_inside *in, const struct lf_merged_tensor *t,
                           struct lf_diag *diag)
{
    struct lf_weight w;
    bool found;
    if (in->q4_of == t)
        return LF_OK;
    in->q4_of = NULL;
    enum lf_err rc =
        lf_bnb_read(&found, &w, in->ts, t->stored->name, (int)t->rows, (int)t->cols, diag);
    if (rc != LF_OK)
        return rc;
    lf_assert(found);
    free(in->scales);
    in->scales = malloc((16 + (w.absmax ? lf_bnb_blocks(&w) : 256 + lf_bnb_blocks2(&w))) *
                        sizeof *in->scales);
    if (!in->scales)
        return lf_no_memory(diag, "tensor \"%s\"", t->stored->name);
    float *at = in->scales;
    take_floats(&w.code, &at, 16);
    if (w.absmax) {
        take_floats(&w.absmax, &at, lf_bnb_blocks(&w));
    } else {
        take_floats(&w.absmax_code, &at, 256);
        take_floats(&w.absmax2, &at, lf_bnb_blocks2(&w));
    }
    in->q4 = w;
    in->q4_of = t;
    return LF_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

struct reading {
    const struct lf_merged_base *m;
    const struct lf_merged_tensor *t;
    int64_t row;
    float *out;
};

static void widen(const struct reading *r, int64_t row, float *out)
{
    const struct lf_tensor *t = r->t->stored;
    size_t K = (size_t)r->t->cols;
    if (r->t->q4)
        lf_weight_row(out, &r->m->inside->q4, (int)row);
    else
        lf_to_f32(out, (const char *)t->data + (size_t)row * K * lf_dtype_bytes(t->dtype), t->dtype,
                  K);
}

static void merge_row(const struct reading *r, int64_t row, float *out)
{
    const struct lf_adapter *a = r->m->inside->adapter;
    const int site = r->t->site;
    const size_t K = (size_t)r->t->cols;
    if (!a || site < 0 || a->shape.rank[site] == 0)
        return;
    lf_adapter_add_row(out, a, site, row, K);
    if (!a->shape.dora)
        return;
    const float by = (float)lf_dora_factor(out, K, a->params[a->shape.m_off[site] + (size_t)row]);
    for (size_t k = 0; k < K; k++)
        out[k] *= by;
}

static void read_rows(void *arg, size_t begin, size_t end, int worker)
{
    const struct reading *r = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        float *out = r->out + i * (size_t)r->t->cols;
        widen(r, r->row + (int64_t)i, out);
        merge_row(r, r->row + (int64_t)i, out);
    }
}

enum lf_err lf_merged_rows(struct lf_merged_base *m, const struct lf_merged_tensor *t, int64_t row,
                           int64_t n, float *out, struct lf_diag *diag)
{
    struct reading r = {.m = m, .t = t, .row = row, .out = out};
    lf_assert(t->numbers && row >= 0 && row + n <= t->rows);
    enum lf_err rc = t->q4 ? open_q4(m->inside, t, diag) : LF_OK;
    if (rc == LF_OK)
        lf_pool_run(m->inside->pool, (size_t)n, 1, read_rows, &r);
    return rc;
}
