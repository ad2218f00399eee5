/* The head: final norm and logits of chosen rows, their loss and its gradient, sampling. Logits
 * are made rows_max rows at a time and never all at once. */
#include "model/exec_inside.h"

#include <stdlib.h>

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

enum lf_err lf_exec_sample(struct lf_exec *x, const int *which, int n,
                           const struct lf_sample_params *params, const int32_t *history,
                           int n_history, int32_t *ids, float *logprobs, struct lf_diag *diag)
{
    const void *d_rows, *d_params;
    enum lf_err rc = check_sampling(x, which, n, params, n_history, diag);
    if (rc == LF_OK)
        rc = upload_history(x, history, n_history, diag);
    if (rc != LF_OK)
        return rc;
    x->meta_bytes = 0;
    int32_t *rows = lf_exec_carve(x, (size_t)n * sizeof *rows, &d_rows);
    struct lf_sample_params *h_params = lf_exec_carve(x, (size_t)n * sizeof *params, &d_params);
    for (int i = 0; i < n; i++) {
        int s = x->plan.place[which[i]];
        rows[i] = x->plan.start[s] + x->plan.n[s] - 1;
        h_params[i] = params[i];
    }
    lf_stream_upload(x->stream, x->meta, x->h_meta, x->meta_bytes);
    for (int at = 0; at < n; at += x->limits.rows_max) {
        int M = n - at < x->limits.rows_max ? n - at : x->limits.rows_max;
        select_rows(x, (const int32_t *)d_rows + at, M);
        head_logits(x, x->work.rows_n, M);
        struct lf_sample_args a = {.ids = x->work.ids + at,
                                   .logprob = logprobs ? x->work.logprob + at : NULL,
                                   .logits = x->work.logits,
                                   .params = (const struct lf_sample_params *)d_params + at,
                                   .h_params = h_params + at,
                                   .history = x->history,
                                   .M = M,
                                   .V = x->model->config.V};
        x->ops->sample(x->stream, &a);
    }
    lf_stream_download(x->stream, ids, x->work.ids, (size_t)n * sizeof *ids);
    if (logprobs)
        lf_stream_download(x->stream, logprobs, x->work.logprob, (size_t)n * sizeof *logprobs);
    return lf_stream_wait(x->stream, diag);
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
