/* The head: final norm and logits of chosen rows, their loss and its gradient, sampling. Logits
 * are made rows_max rows at a time and never all at once. */
#include "model/exec_inside.h"

#include <stdlib.h>
#include <string.h>

/* logits of M <= rows_max normed rows. */
static void head_logits(struct lf_exec *x, const void *normed, int M)
{
    const struct lf_config *c = &x->model->config;
    struct lf_linear_args a = {.y = x->work.logits,
                               .x = normed,
                               .w = {&x->model->head},
                               .n = 1,
                               .T = M,
                               .ldy = c->V,
                               .ldx = c->C,
                               .y_f32 = true};
    x->ops->linear(x->stream, &a);
    if (c->final_softcap > 0) {
        struct lf_softcap_args s = {
            .logits = x->work.logits, .n = (size_t)M * (size_t)c->V, .softcap = c->final_softcap};
        x->ops->softcap(x->stream, &s);
    }
}

/* The chosen rows of the last block's output into rows_x, normed into rows_n. */
static void select_rows(struct lf_exec *x, const int32_t *rows, int M)
{
    const struct lf_model *m = x->model;
    struct lf_rows_args g = {.y = x->work.rows_x,
                             .x = x->x_last,
                             .rows = rows,
                             .M = M,
                             .T = x->plan.T,
                             .C = m->config.C,
                             .ldy = m->config.C};
    x->ops->gather(x->stream, &g);
    lf_exec_norm(x, x->work.rows_n, m->config.C, x->work.rows_x, m->final_norm, m->final_norm_b, M);
}

/* Rows [m0, m0 + M) of the supervised ones. With train, their normed rows are replaced by the
 * gradient there. */
static void loss_chunk(struct lf_exec *x, int m0, int M, bool train)
{
    const struct lf_config *c = &x->model->config;
    struct lf_work *w = &x->work;
    void *normed = lf_at(w->rows_n, (size_t)m0 * (size_t)c->C, x->es);
    head_logits(x, normed, M);
    struct lf_cross_entropy_args e = {.loss = w->loss + m0,
                                      .dlogits = train ? w->dlogits : NULL,
                                      .logits = w->logits,
                                      .labels = x->labels + m0,
                                      .weight = train ? x->weight + m0 : NULL,
                                      .M = M,
                                      .V = c->V,
                                      .softcap = c->final_softcap};
    x->ops->cross_entropy(x->stream, &e);
    if (!train)
        return;
    struct lf_linear_bwd_args b = {.dx = normed,
                                   .dy = w->dlogits,
                                   .w = {&x->model->head},
                                   .n = 1,
                                   .T = M,
                                   .lddx = c->C,
                                   .lddy = c->V};
    x->ops->linear_bwd(x->stream, &b);
}

void lf_exec_loss(struct lf_exec *x)
{
    const struct lf_model *m = x->model;
    const struct lf_batch_plan *p = &x->plan;
    struct lf_work *w = &x->work;
    int eval = p->M - p->M_train, chunk = x->limits.rows_max;
    size_t C = (size_t)m->config.C;
    select_rows(x, x->rows, p->M);
    for (int m0 = 0; m0 < p->M;) {
        bool train = m0 >= eval;
        int end = train ? p->M : eval;
        int M = end - m0 < chunk ? end - m0 : chunk;
        loss_chunk(x, m0, M, train);
        m0 += M;
    }
    lf_stream_download(x->stream, x->h_loss, w->loss, (size_t)p->M * sizeof *x->h_loss);
    if (p->M_train == 0)
        return;
    struct lf_norm_bwd_args b = {.dx = lf_at(w->rows_n, (size_t)eval * C, x->es),
                                 .dy = lf_at(w->rows_n, (size_t)eval * C, x->es),
                                 .x = lf_at(w->rows_x, (size_t)eval * C, x->es),
                                 .w = m->final_norm,
                                 .layer_norm = m->config.layer_norm,
                                 .T = p->M_train,
                                 .H = 1,
                                 .C = m->config.C,
                                 .ldx = m->config.C,
                                 .ldy = m->config.C,
                                 .lddx = m->config.C,
                                 .eps = m->config.norm_eps};
    x->ops->norm_bwd(x->stream, &b);
    struct lf_rows_args s = {.y = w->dx,
                             .x = b.dx,
                             .rows = x->rows_train,
                             .M = p->M_train,
                             .T = p->T_train,
                             .C = m->config.C,
                             .ldy = m->config.C + x->room};
    x->ops->scatter(x->stream, &s);
}

/* ---- Sampling -------------------------------------------------------------------------------- */

static enum lf_err upload_history(struct lf_exec *x, const int32_t *history, int n,
                                  struct lf_diag *diag)
{
    size_t bytes = (size_t)n * sizeof *history;
    if ((size_t)n > x->history_cap) {
        size_t cap = x->history_cap ? x->history_cap : 4096;
        void *grown;
        while (cap < (size_t)n)
            cap *= 2;
        enum lf_err rc = lf_device_alloc(x->stream->dev, &grown, cap * sizeof *history, diag);
        if (rc != LF_OK)
            return rc;
        lf_device_release(x->stream->dev, x->history);
        x->history = grown;
        x->history_cap = cap;
    }
    if (n > 0)
        lf_stream_upload(x->stream, x->history, history, bytes);
    return LF_OK;
}

static enum lf_err check_sampling(const struct lf_exec *x, const int *which, int n,
                                  const struct lf_sample_params *params, int n_history,
                                  struct lf_diag *diag)
{
    if (n < 1 || n > x->plan.S)
        return lf_fail(diag, LF_E_INVALID, "%d sequences to sample: the last run had %d", n,
                       x->plan.S);
    for (int i = 0; i < n; i++) {
        if (which[i] < 0 || which[i] >= x->plan.S)
            return lf_fail(diag, LF_E_INVALID, "the last run had no sequence %d", which[i]);
        if (params[i].history_off < 0 || params[i].history_n < 0 ||
            params[i].history_off > n_history - params[i].history_n)
            return lf_fail(diag, LF_E_INVALID, "sequence %d's history is outside of what was given",
                           which[i]);
    }
    return LF_OK;
}

enum lf_err lf_exec_draws_open(struct lf_exec *x, struct lf_diag *diag)
{
    size_t n = (size_t)x->limits.seqs_max;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < LF_DRAWS_MAX && rc == LF_OK; i++) {
        struct lf_draw *d = &x->draws[i];
        void *p = NULL;
        rc = lf_mark_new(&d->mark, x->stream, diag);
        rc = rc
                 ?: lf_device_alloc_host(x->stream->dev, &p,
                                         n * (sizeof *d->ids + sizeof *d->logprobs), diag);
        d->ids = p;
        d->logprobs = p ? (float *)(d->ids + n) : NULL;
    }
    return rc;
}

void lf_exec_draws_close(struct lf_exec *x)
{
    for (int i = 0; i < LF_DRAWS_MAX; i++) {
        lf_mark_free(x->draws[i].mark);
        lf_device_release_host(x->stream->dev, x->draws[i].ids);
    }
}

/* Uploads the rows whose logits are wanted, and the parameters; *d_rows and a's are set. */
static void pack_draw(struct lf_exec *x, const int *which, int n,
                      const struct lf_sample_params *params, const int32_t **d_rows,
                      struct lf_sample_args *a)
{
    const void *d_r, *d_p;
    x->meta_bytes = 0;
    int32_t *rows = lf_exec_carve(x, (size_t)n * sizeof *rows, &d_r);
    struct lf_sample_params *h_params = lf_exec_carve(x, (size_t)n * sizeof *params, &d_p);
    for (int i = 0; i < n; i++) {
        int s = x->plan.place[which[i]];
        rows[i] = x->plan.start[s] + x->plan.n[s] - 1;
        h_params[i] = params[i];
    }
    lf_stream_upload(x->stream, x->meta, x->h_meta, x->meta_bytes);
    *d_rows = d_r;
    a->params = d_p;
    a->h_params = h_params;
}

enum lf_err lf_exec_draw(struct lf_exec *x, const int *which, int n,
                         const struct lf_sample_params *params, const int32_t *history,
                         int n_history, struct lf_diag *diag)
{
    lf_assert(x->n_draws < LF_DRAWS_MAX);
    enum lf_err rc = check_sampling(x, which, n, params, n_history, diag);
    rc = rc ?: upload_history(x, history, n_history, diag);
    if (rc != LF_OK)
        return rc;
    const int32_t *rows;
    struct lf_sample_args all = {
        .logits = x->work.logits, .history = x->history, .V = x->model->config.V};
    pack_draw(x, which, n, params, &rows, &all);
    for (int at = 0; at < n; at += x->limits.rows_max) {
        struct lf_sample_args a = all;
        a.M = n - at < x->limits.rows_max ? n - at : x->limits.rows_max;
        select_rows(x, rows + at, a.M);
        head_logits(x, x->work.rows_n, a.M);
        a.ids = x->work.ids + at;
        a.logprob = x->work.logprob + at;
        a.params += at;
        a.h_params += at;
        x->ops->sample(x->stream, &a);
    }
    struct lf_draw *d = &x->draws[(x->draw_first + x->n_draws++) % LF_DRAWS_MAX];
    d->n = x->n_drawn = n;
    lf_stream_download(x->stream, d->ids, x->work.ids, (size_t)n * sizeof *d->ids);
    lf_stream_download(x->stream, d->logprobs, x->work.logprob, (size_t)n * sizeof *d->logprobs);
    lf_mark_set(d->mark);
    return LF_OK;
}

enum lf_err lf_exec_drawn(struct lf_exec *x, int32_t *ids, float *logprobs, struct lf_diag *diag)
{
    lf_assert(x->n_draws > 0);
    struct lf_draw *d = &x->draws[x->draw_first];
    enum lf_err rc = lf_mark_wait(d->mark, diag);
    x->draw_first = (x->draw_first + 1) % LF_DRAWS_MAX;
    x->n_draws--;
    if (rc != LF_OK)
        return rc;
    memcpy(ids, d->ids, (size_t)d->n * sizeof *ids);
    if (logprobs)
        memcpy(logprobs, d->logprobs, (size_t)d->n * sizeof *logprobs);
    return LF_OK;
}

enum lf_err lf_exec_sample(struct lf_exec *x, const int *which, int n,
                           const struct lf_sample_params *params, const int32_t *history,
                           int n_history, int32_t *ids, float *logprobs, struct lf_diag *diag)
{
    lf_assert(x->n_draws == 0);
    enum lf_err rc = lf_exec_draw(x, which, n, params, history, n_history, diag);
    return rc ?: lf_exec_drawn(x, ids, logprobs, diag);
}

enum lf_err lf_exec_logits(struct lf_exec *x, int which, float *logits, struct lf_diag *diag)
{
    const struct lf_model *m = x->model;
    size_t C = (size_t)m->config.C, V = (size_t)m->config.V;
    if (which < 0 || which >= x->plan.S)
        return lf_fail(diag, LF_E_INVALID, "the last run had no sequence %d", which);
    int s = x->plan.place[which], n = x->plan.n[s];
    enum lf_err rc = LF_OK;
    for (int at = 0; at < n && rc == LF_OK; at += x->limits.rows_max) {
        int M = n - at < x->limits.rows_max ? n - at : x->limits.rows_max;
        const void *in = lf_at(x->x_last, (size_t)(x->plan.start[s] + at) * C, x->es);
        lf_exec_norm(x, x->work.rows_n, m->config.C, in, m->final_norm, m->final_norm_b, M);
        head_logits(x, x->work.rows_n, M);
        lf_stream_download(x->stream, logits + (size_t)at * V, x->work.logits,
                           (size_t)M * V * sizeof *logits);
        rc = lf_stream_wait(x->stream, diag);
    }
    return rc;
}
