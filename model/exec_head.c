/* The head: final norm and logits of chosen rows, their loss and its gradient, sampling. Logits
 * are made rows_max rows at a time and never all at once. */
#include "model/exec_inside.h"

#include "core/num.h"

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

/* Supervised rows [m0, end), a chunk at a time. */
static void loss_rows(struct lf_exec *x, int m0, int end, bool train)
{
    for (; m0 < end; m0 += x->limits.rows_max)
        loss_chunk(x, m0, lf_min_int(end - m0, x->limits.rows_max), train);
}

/* From the normed rows, which hold their gradients, through the norm to the batch's rows. */
static void norm_rows_bwd(struct lf_exec *x)
{
    const struct lf_model *m = x->model;
    const struct lf_batch_plan *p = &x->plan;
    struct lf_work *w = &x->work;
    size_t eval = (size_t)(p->M - p->M_train), C = (size_t)m->config.C;
    struct lf_norm_bwd_args b = {.dx = lf_at(w->rows_n, eval * C, x->es),
                                 .dy = lf_at(w->rows_n, eval * C, x->es),
                                 .x = lf_at(w->rows_x, eval * C, x->es),
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

void lf_exec_loss(struct lf_exec *x, bool grad)
{
    const struct lf_batch_plan *p = &x->plan;
    int first = p->M - (grad ? p->M_train : 0);
    select_rows(x, x->rows, p->M);
    loss_rows(x, 0, first, false);
    loss_rows(x, first, p->M, true);
    lf_stream_download(x->stream, x->h_loss, x->work.loss, (size_t)p->M * sizeof *x->h_loss);
    if (first < p->M)
        norm_rows_bwd(x);
}

void lf_exec_loss_grad(struct lf_exec *x)
{
    loss_rows(x, x->plan.M - x->plan.M_train, x->plan.M, true);
    norm_rows_bwd(x);
}

/* ---- Drawing --------------------------------------------------------------------------------- */

/* Host to device, into memory that grows as needed. */
static enum lf_err upload(struct lf_exec *x, void **to, size_t *cap, const void *from, size_t bytes,
                          struct lf_diag *diag)
{
    if (bytes > *cap) {
        size_t more = *cap ? *cap : 16384;
        void *grown;
        while (more < bytes)
            more *= 2;
        enum lf_err rc = lf_device_alloc(x->stream->dev, &grown, more, diag);
        if (rc != LF_OK)
            return rc;
        lf_device_release(x->stream->dev, *to);
        *to = grown;
        *cap = more;
    }
    if (bytes > 0)
        lf_stream_upload(x->stream, *to, from, bytes);
    return LF_OK;
}

static bool lies_within(int32_t off, int32_t n, int all)
{
    return off >= 0 && n >= 0 && off <= all - n;
}

static enum lf_err check_tops(int top_n, int top_ld, struct lf_diag *diag)
{
    if (top_n < 0 || top_n > top_ld || top_ld > LF_TOP_LOGPROBS_MAX)
        return lf_fail(diag, LF_E_INVALID, "%d alternatives to list, where %d have room", top_n,
                       lf_min_int(top_ld, LF_TOP_LOGPROBS_MAX));
    return LF_OK;
}

/* The row of the last block's output that is token `at` of sequence s of the batch. */
static int32_t row_of(const struct lf_exec *x, int s, int at)
{
    return x->plan.ends ? s : x->plan.start[s] + at;
}

/* Of a run that kept the last tokens alone. */
static enum lf_err check_kept(const struct lf_exec *x, int s, int at, struct lf_diag *diag)
{
    if (x->plan.ends && at != x->plan.n[s] - 1)
        return lf_fail(diag, LF_E_INVALID, "the last run kept each sequence's last token alone");
    return LF_OK;
}

/* Which of its sequence's new tokens the i-th drawn one follows. */
static int drawn_at(const struct lf_exec *x, const struct lf_exec_wish *w, int i)
{
    return w->at ? w->at[i] : x->plan.n[x->plan.place[w->which[i]]] - 1;
}

static enum lf_err check_wish(const struct lf_exec *x, const struct lf_exec_wish *w,
                              struct lf_diag *diag)
{
    if (w->n < 1 || w->n > x->limits.seqs_max)
        return lf_fail(diag, LF_E_INVALID, "%d tokens to sample: between 1 and %d are possible",
                       w->n, x->limits.seqs_max);
    enum lf_err rc = LF_OK;
    for (int i = 0; i < w->n && rc == LF_OK; i++) {
        const struct lf_sample_params *p = &w->params[i];
        if (w->which[i] < 0 || w->which[i] >= x->plan.S)
            return lf_fail(diag, LF_E_INVALID, "the last run had no sequence %d", w->which[i]);
        int s = x->plan.place[w->which[i]], at = drawn_at(x, w, i);
        if (at < 0 || at >= x->plan.n[s])
            return lf_fail(diag, LF_E_INVALID, "the last run had no token %d of sequence %d", at,
                           w->which[i]);
        if (!lies_within(p->history_off, p->history_n, w->n_history) ||
            !lies_within(p->bias_off, p->bias_n, w->n_bias))
            return lf_fail(diag, LF_E_INVALID,
                           "sequence %d's history or biases are outside of what was given",
                           w->which[i]);
        if (p->mask < 0 || p->mask > w->n_masks)
            return lf_fail(diag, LF_E_INVALID, "sequence %d has no mask %d", w->which[i], p->mask);
        rc = check_tops(p->top_n, w->top_ld, diag) ?: check_kept(x, s, at, diag);
    }
    return rc;
}

enum lf_err lf_exec_draws_open(struct lf_exec *x, struct lf_diag *diag)
{
    size_t n = (size_t)x->limits.seqs_max, tops = n * LF_TOP_LOGPROBS_MAX;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < LF_DRAWS_MAX && rc == LF_OK; i++) {
        struct lf_draw *d = &x->draws[i];
        void *p = NULL;
        rc = lf_mark_new(&d->mark, x->stream, diag);
        rc = rc
                 ?: lf_device_alloc_host(x->stream->dev, &p,
                                         (n + tops) * (sizeof(int32_t) + sizeof(float)), diag);
        d->ids = p;
        d->top_ids = p ? d->ids + n : NULL;
        d->logprobs = p ? (float *)(d->top_ids + tops) : NULL;
        d->top_logprobs = p ? d->logprobs + n : NULL;
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
static void pack_draw(struct lf_exec *x, const struct lf_exec_wish *w, const int32_t **d_rows,
                      struct lf_sample_args *a)
{
    const void *d_r, *d_p;
    size_t n = (size_t)w->n;
    x->meta_bytes = 0;
    int32_t *rows = lf_exec_carve(x, n * sizeof *rows, &d_r);
    struct lf_sample_params *h_params = lf_exec_carve(x, n * sizeof *h_params, &d_p);
    for (int i = 0; i < w->n; i++) {
        int s = x->plan.place[w->which[i]];
        rows[i] = row_of(x, s, drawn_at(x, w, i));
        h_params[i] = w->params[i];
    }
    lf_stream_upload(x->stream, x->meta, x->h_meta, x->meta_bytes);
    *d_rows = d_r;
    a->params = d_p;
    a->h_params = h_params;
}

/* What was drawn for n sequences, to the host, with a mark behind it. */
static void fetch_draw(struct lf_exec *x, int n, int top_ld)
{
    struct lf_draw *d = &x->draws[(x->draw_first + x->n_draws++) % LF_DRAWS_MAX];
    size_t rows = (size_t)n, tops = rows * (size_t)top_ld;
    const struct lf_work *w = &x->work;
    d->n = x->n_drawn = n;
    d->top_ld = top_ld;
    lf_stream_download(x->stream, d->ids, w->ids, rows * sizeof *d->ids);
    lf_stream_download(x->stream, d->logprobs, w->logprob, rows * sizeof *d->logprobs);
    if (tops > 0) {
        lf_stream_download(x->stream, d->top_ids, w->top_ids, tops * sizeof *d->top_ids);
        lf_stream_download(x->stream, d->top_logprobs, w->top_logprob,
                           tops * sizeof *d->top_logprobs);
    }
    lf_mark_set(d->mark);
}

/* The lists that the wish reads, to the device. */
static enum lf_err upload_lists(struct lf_exec *x, const struct lf_exec_wish *w,
                                struct lf_diag *diag)
{
    void *history = x->history, *bias = x->bias, *masks = x->masks;
    size_t n = (size_t)w->n_history * sizeof *w->history, m = (size_t)w->n_bias * sizeof *w->bias;
    enum lf_err rc = upload(x, &history, &x->history_cap, w->history, n, diag);
    x->history = history;
    rc = rc ?: upload(x, &bias, &x->bias_cap, w->bias, m, diag);
    x->bias = bias;
    n = (size_t)w->n_masks * (((size_t)x->model->config.V + 31) / 32) * sizeof *w->masks;
    rc = rc ?: upload(x, &masks, &x->masks_cap, w->masks, n, diag);
    x->masks = masks;
    return rc;
}

enum lf_err lf_exec_draw(struct lf_exec *x, const struct lf_exec_wish *w, struct lf_diag *diag)
{
    lf_assert(x->n_draws < LF_DRAWS_MAX);
    enum lf_err rc = check_wish(x, w, diag) ?: upload_lists(x, w, diag);
    if (rc != LF_OK)
        return rc;
    const int32_t *rows;
    struct lf_sample_args all = {.logits = x->work.logits,
                                 .top_ld = w->top_ld,
                                 .history = x->history,
                                 .bias = x->bias,
                                 .masks = x->masks,
                                 .V = x->model->config.V};
    pack_draw(x, w, &rows, &all);
    for (int at = 0; at < w->n; at += x->limits.rows_max) {
        struct lf_sample_args a = all;
        size_t tops = (size_t)at * (size_t)w->top_ld;
        a.M = lf_min_int(w->n - at, x->limits.rows_max);
        select_rows(x, rows + at, a.M);
        head_logits(x, x->work.rows_n, a.M);
        a.ids = x->work.ids + at;
        a.logprob = x->work.logprob + at;
        a.top_ids = x->work.top_ids + tops;
        a.top_logprob = x->work.top_logprob + tops;
        a.params += at;
        a.h_params += at;
        x->ops->sample(x->stream, &a);
    }
    fetch_draw(x, w->n, w->top_ld);
    return LF_OK;
}

enum lf_err lf_exec_drawn(struct lf_exec *x, const struct lf_exec_tokens *out, struct lf_diag *diag)
{
    lf_assert(x->n_draws > 0);
    struct lf_draw *d = &x->draws[x->draw_first];
    enum lf_err rc = lf_mark_wait(d->mark, diag);
    x->draw_first = (x->draw_first + 1) % LF_DRAWS_MAX;
    x->n_draws--;
    if (rc != LF_OK)
        return rc;
    size_t n = (size_t)d->n, tops = n * (size_t)d->top_ld;
    memcpy(out->ids, d->ids, n * sizeof *out->ids);
    if (out->logprobs)
        memcpy(out->logprobs, d->logprobs, n * sizeof *out->logprobs);
    if (tops > 0) {
        memcpy(out->top_ids, d->top_ids, tops * sizeof *out->top_ids);
        memcpy(out->top_logprobs, d->top_logprobs, tops * sizeof *out->top_logprobs);
    }
    return LF_OK;
}

enum lf_err lf_exec_sample(struct lf_exec *x, const struct lf_exec_wish *wish,
                           const struct lf_exec_tokens *out, struct lf_diag *diag)
{
    lf_assert(x->n_draws == 0);
    return lf_exec_draw(x, wish, diag) ?: lf_exec_drawn(x, out, diag);
}

/* ---- Scores ---------------------------------------------------------------------------------- */

/* M <= rows_max rows, from the at-th of the list on, for whose scores `out` has room. */
static enum lf_err score_chunk(struct lf_exec *x, const struct lf_exec_row *r, int M, int top_n,
                               const struct lf_exec_tokens *out, size_t at, struct lf_diag *diag)
{
    const void *d_rows, *d_next, *d_params;
    size_t n = (size_t)M, tops = n * (size_t)top_n, top_at = at * (size_t)top_n;
    x->meta_bytes = 0;
    int32_t *rows = lf_exec_carve(x, n * sizeof *rows, &d_rows);
    int32_t *next = lf_exec_carve(x, n * sizeof *next, &d_next);
    struct lf_sample_params *params = lf_exec_carve(x, n * sizeof *params, &d_params);
    for (int i = 0; i < M; i++) {
        rows[i] = row_of(x, x->plan.place[r[i].seq], r[i].at);
        next[i] = r[i].next;
        params[i] = (struct lf_sample_params){.top_p = 1, .repetition_penalty = 1, .top_n = top_n};
    }
    lf_stream_upload(x->stream, x->meta, x->h_meta, x->meta_bytes);
    select_rows(x, d_rows, M);
    head_logits(x, x->work.rows_n, M);
    struct lf_sample_args a = {.ids = x->work.scored,
                               .logprob = x->work.logprob,
                               .top_ids = x->work.top_ids,
                               .top_logprob = x->work.top_logprob,
                               .top_ld = top_n,
                               .logits = x->work.logits,
                               .given = d_next,
                               .params = d_params,
                               .h_params = params,
                               .M = M,
                               .V = x->model->config.V};
    x->ops->sample(x->stream, &a);
    lf_stream_download(x->stream, out->logprobs + at, a.logprob, n * sizeof *out->logprobs);
    if (tops > 0) {
        lf_stream_download(x->stream, out->top_ids + top_at, a.top_ids,
                           tops * sizeof *out->top_ids);
        lf_stream_download(x->stream, out->top_logprobs + top_at, a.top_logprob,
                           tops * sizeof *out->top_logprobs);
    }
    return lf_stream_wait(x->stream, diag);
}

enum lf_err lf_exec_score(struct lf_exec *x, const struct lf_exec_row *rows, int n, int top_n,
                          const struct lf_exec_tokens *out, struct lf_diag *diag)
{
    enum lf_err rc = check_tops(top_n, top_n, diag);
    for (int i = 0; i < n && rc == LF_OK; i++) {
        const struct lf_exec_row *r = &rows[i];
        if (r->seq < 0 || r->seq >= x->plan.S || r->at < 0 ||
            r->at >= x->plan.n[x->plan.place[r->seq]] || r->next < 0 ||
            r->next >= x->model->config.V)
            rc = lf_fail(diag, LF_E_INVALID,
                         "the last run had no token %d of sequence %d, or %d "
                         "is no id",
                         r->at, r->seq, r->next);
        rc = rc ?: check_kept(x, x->plan.place[r->seq], r->at, diag);
    }
    for (int at = 0; at < n && rc == LF_OK; at += x->limits.rows_max)
        rc = score_chunk(x, rows + at, lf_min_int(n - at, x->limits.rows_max), top_n, out,
                         (size_t)at, diag);
    return rc;
}

enum lf_err lf_exec_logits(struct lf_exec *x, int which, float *logits, struct lf_diag *diag)
{
    const struct lf_model *m = x->model;
    size_t C = (size_t)m->config.C, V = (size_t)m->config.V;
    if (which < 0 || which >= x->plan.S)
        return lf_fail(diag, LF_E_INVALID, "the last run had no sequence %d", which);
    int s = x->plan.place[which], n = x->plan.ends ? 1 : x->plan.n[s];
    enum lf_err rc = LF_OK;
    for (int at = 0; at < n && rc == LF_OK; at += x->limits.rows_max) {
        int M = n - at < x->limits.rows_max ? n - at : x->limits.rows_max;
        const void *in = lf_at(x->x_last, (size_t)row_of(x, s, at) * C, x->es);
        lf_exec_norm(x, x->work.rows_n, m->config.C, in, m->final_norm, m->final_norm_b, M);
        head_logits(x, x->work.rows_n, M);
        lf_stream_download(x->stream, logits + (size_t)at * V, x->work.logits,
                           (size_t)M * V * sizeof *logits);
        rc = lf_stream_wait(x->stream, diag);
    }
    return rc;
}
