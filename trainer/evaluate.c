/* Evaluation by generation. */
#include "trainer/evaluate.h"

#include "core/clock.h"

#include <stdlib.h>

/* ---- Any rows, any completions --------------------------------------------------------------- */

static enum lf_err get_row(struct lf_evaluation *e, int64_t row, struct lf_eval_row *out,
                           struct lf_diag *diag)
{
    *out = (struct lf_eval_row){.row = row, .max_tokens = e->o->max_tokens, .completion = ""};
    return e->rows->get(e->rows->arg, row, out, diag);
}

static enum lf_err score_row(struct lf_evaluation *e, struct lf_eval_row *r, struct lf_diag *diag)
{
    const struct lf_answer a = {r->completion, r->reference, r->columns};
    enum lf_err rc = LF_OK;
    if (r->ending != LF_ENDING_NONE)
        rc = lf_metric_score(&r->score, e->o->metric, &a, diag);
    if (rc == LF_OK && e->confusion)
        rc = lf_confusion_add(e->confusion, &a, &r->score, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "row %lld", (long long)r->row + 1);
    e->sum += r->score;
    lf_row_scores_set(&e->report.row_scores, (size_t)r->row, r->score);
    e->report.rows++;
    e->report.tokens += r->n_tokens;
    e->report.unended += r->ending == LF_ENDING_LENGTH;
    e->report.unfit += r->ending == LF_ENDING_NONE;
    e->report.unread += !lf_metric_reads(e->o->metric, r->reference);
    if (e->o->row)
        e->o->row(e->o->row_arg, r);
    return LF_OK;
}

enum lf_err lf_evaluation_next(struct lf_evaluation *e, struct lf_eval_row *out,
                               struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && e->next < e->n) {
        rc = get_row(e, e->next, out, diag);
        if (rc != LF_OK)
            break;
        e->next++;
        if (out->max_tokens > 0)
            return LF_OK;
        rc = score_row(e, out, diag);
    }
    out->row = -1;
    return rc;
}

void lf_evaluation_writer(const struct lf_evaluation *e, struct lf_writer *w,
                          const struct lf_tokenizer *t)
{
    lf_writer_init(w, t, (const char *const *)e->o->stop, e->o->n_stop);
    lf_writer_skip_leading(w);
}

enum lf_err lf_evaluation_done(struct lf_evaluation *e, int64_t row, const struct lf_writer *w,
                               struct lf_diag *diag)
{
    struct lf_eval_row r;
    enum lf_err rc = get_row(e, row, &r, diag);
    if (rc == LF_OK && w) {
        lf_assert(w->ending != LF_ENDING_NONE);
        r.completion = lf_buf_str(&w->text);
        r.n_tokens = w->n_tokens;
        r.ending = w->ending;
    }
    return rc ?: score_row(e, &r, diag);
}

/* Which classes there are decides what an answer is: all references come first. */
static enum lf_err classes_begin(struct lf_evaluation *e, struct lf_diag *diag)
{
    enum lf_err rc = lf_confusion_new(&e->confusion, e->o->metric, diag);
    for (int64_t row = 0; row < e->n && rc == LF_OK; row++) {
        struct lf_eval_row r;
        rc = get_row(e, row, &r, diag);
        rc = rc ?: lf_confusion_class(e->confusion, r.reference, diag);
    }
    return rc;
}

enum lf_err lf_evaluate(const struct lf_eval_rows *rows, const struct lf_eval_options *o,
                        lf_complete_fn complete, void *arg, struct lf_eval_report *out,
                        struct lf_diag *diag)
{
    uint64_t start_ns = lf_clock_ns();
    struct lf_evaluation e = {.rows = rows, .o = o, .n = rows->n};
    if (o->rows_max > 0 && o->rows_max < e.n)
        e.n = o->rows_max;
    *out = (struct lf_eval_report){0};
    enum lf_err rc = lf_metric_ready(o->metric, diag);
    if (rc == LF_OK && lf_row_scores_new(&e.report.row_scores, (size_t)e.n) != LF_OK)
        rc = lf_no_memory(diag, "an evaluation");
    if (rc == LF_OK && lf_metric_labels(o->metric))
        rc = classes_begin(&e, diag);
    rc = rc ?: complete(arg, &e, diag);
    if (rc == LF_OK && lf_score_interval(&e.report.interval, &e.report.row_scores) != LF_OK)
        rc = lf_no_memory(diag, "an evaluation");
    if (rc == LF_OK) {
        *out = e.report;
        out->score = out->rows > 0 ? e.sum / (double)out->rows : 0;
        out->seconds = (double)(lf_clock_ns() - start_ns) * 1e-9;
        out->confusion = e.confusion ? lf_confusion_json(e.confusion) : NULL;
    } else {
        lf_eval_report_free(&e.report);
    }
    lf_confusion_free(e.confusion);
    return rc;
}

void lf_eval_report_free(struct lf_eval_report *r)
{
    json_decref(r->confusion);
    lf_row_scores_free(&r->row_scores);
    *r = (struct lf_eval_report){0};
}

/* ---- A data set's rows ----------------------------------------------------------------------- */

/* The completion as its labels say. */
static enum lf_err decode_reference(struct lf_eval_dataset *e, int64_t row, struct lf_diag *diag)
{
    struct lf_row r;
    lf_ids_auto ids = {0};
    const int32_t *prompt;
    enum lf_err rc = LF_OK;
    lf_dataset_row(e->d, row, &r);
    for (int k = lf_dataset_prompt(e->d, row, &prompt) - 1; k >= 0 && k < r.n_chosen && rc == LF_OK;
         k++)
        if (r.labels[k] >= 0)
            rc = lf_ids_push(&ids, r.labels[k]);
    lf_buf_reset(&e->reference);
    rc = rc ?: lf_tokenizer_decode(e->tokenizer, &e->reference, ids.ids, ids.n, true);
    return rc == LF_OK ? rc : lf_no_memory(diag, "an evaluation");
}

static enum lf_err dataset_row(void *arg, int64_t row, struct lf_eval_row *out,
                               struct lf_diag *diag)
{
    struct lf_eval_dataset *e = arg;
    enum lf_err rc = LF_OK;
    out->n_ids = lf_dataset_prompt(e->d, row, &out->ids);
    int room = out->n_ids > 0 ? e->context_max - out->n_ids : 0;
    room = room > 0 ? room : 0;
    out->max_tokens = room < out->max_tokens ? room : out->max_tokens;
    out->columns = lf_dataset_columns(e->d, row);
    out->reference = lf_dataset_completion(e->d, row);
    if (!out->reference) {
        rc = decode_reference(e, row, diag);
        out->reference = lf_buf_str(&e->reference);
    }
    return rc;
}

enum lf_err lf_eval_dataset_init(struct lf_eval_dataset *e, const struct lf_dataset *d,
                                 const struct lf_tokenizer *t, int context_max,
                                 struct lf_diag *diag)
{
    *e = (struct lf_eval_dataset){.rows = {lf_dataset_rows(d), dataset_row, e},
                                  .d = d,
                                  .tokenizer = t,
                                  .context_max = context_max};
    return t ? LF_OK
             : lf_fail(diag, LF_E_INVALID, "the base has no tokenizer: completions have no text");
}

void lf_eval_dataset_free(struct lf_eval_dataset *e)
{
    lf_buf_free(&e->reference);
}

/* ---- Completions made here ------------------------------------------------------------------- */

/* A sequence and what it says. */
struct live {
    int64_t row; /* -1: free */
    uint64_t id; /* lf_gen's */
    struct lf_writer out;
};

struct here {
    struct lf_gen *g;
    int slot, n; /* seqs_max */
    const struct lf_tokenizer *tokenizer;
    struct live *live;           /* (n) */
    struct lf_gen_token *tokens; /* (n) of a step */
    int n_live;
};

static void leave(struct here *h, struct live *l)
{
    lf_gen_remove(h->g, l->id);
    lf_writer_free(&l->out);
    l->row = -1;
    h->n_live--;
}

/* Sequences for the next rows, as many as may be live. */
static enum lf_err refill(struct here *h, struct lf_evaluation *e, struct lf_diag *diag)
{
    struct lf_eval_row r;
    for (int i = 0; i < h->n; i++) {
        struct live *l = &h->live[i];
        if (l->row >= 0)
            continue;
        enum lf_err rc = lf_evaluation_next(e, &r, diag);
        if (rc != LF_OK || r.row < 0)
            return rc;
        const struct lf_gen_request request = {.ids = r.ids,
                                               .n = r.n_ids,
                                               .slot = h->slot,
                                               .sample = lf_sample_greedy(),
                                               .max_tokens = r.max_tokens,
                                               .user = l};
        rc = lf_gen_add(h->g, &request, &l->id, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "row %lld", (long long)r.row + 1);
        lf_evaluation_writer(e, &l->out, h->tokenizer);
        l->row = r.row;
        h->n_live++;
    }
    return LF_OK;
}

static enum lf_err take(struct here *h, struct lf_evaluation *e, const struct lf_gen_token *t,
                        struct lf_diag *diag)
{
    struct live *l = t->user;
    bool eos = t->finish == LF_FINISH_EOS;
    enum lf_err rc = eos ? LF_OK : lf_writer_token(&l->out, t->token);
    if (rc == LF_OK && t->finish != LF_FINISH_NONE)
        rc = lf_writer_end(&l->out, eos ? LF_ENDING_EOS : LF_ENDING_LENGTH);
    if (rc != LF_OK)
        return lf_no_memory(diag, "an evaluation");
    if (l->out.ending != LF_ENDING_NONE) {
        rc = lf_evaluation_done(e, l->row, &l->out, diag);
        leave(h, l);
    }
    return rc;
}

static enum lf_err complete_here(void *arg, struct lf_evaluation *e, struct lf_diag *diag)
{
    struct here *h = arg;
    enum lf_err rc = refill(h, e, diag);
    while (rc == LF_OK && h->n_live > 0) {
        int n = 0;
        rc = lf_gen_step(h->g, 0, h->tokens, &n, diag);
        for (int i = 0; i < n && rc == LF_OK; i++)
            rc = take(h, e, &h->tokens[i], diag);
        rc = rc ?: refill(h, e, diag);
    }
    for (int i = 0; i < h->n; i++)
        if (h->live[i].row >= 0)
            leave(h, &h->live[i]);
    return rc;
}

enum lf_err lf_evaluate_here(struct lf_gen *g, int slot, const struct lf_model *m,
                             const struct lf_dataset *d, const struct lf_eval_options *o,
                             struct lf_eval_report *out, struct lf_diag *diag)
{
    struct here h = {.g = g, .slot = slot, .n = lf_gen_seqs_max(g), .tokenizer = m->tokenizer};
    struct lf_eval_dataset rows;
    enum lf_err rc = lf_eval_dataset_init(&rows, d, m->tokenizer, lf_gen_context_max(g), diag);
    h.live = malloc((size_t)h.n * sizeof *h.live);
    h.tokens = malloc((size_t)h.n * sizeof *h.tokens);
    if (rc == LF_OK && (!h.live || !h.tokens))
        rc = lf_no_memory(diag, "an evaluation");
    for (int i = 0; i < h.n && h.live; i++)
        h.live[i].row = -1;
    rc = rc ?: lf_evaluate(&rows.rows, o, complete_here, &h, out, diag);
    lf_eval_dataset_free(&rows);
    free(h.live);
    free(h.tokens);
    return rc;
}
