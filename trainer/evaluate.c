/* Evaluation by generation. */
#include "trainer/evaluate.h"

#include "core/clock.h"

#include <math.h>
#include <stdlib.h>

struct evaluation {
    const struct lf_model *m;
    const struct lf_dataset *d;
    const struct lf_eval_options *o;
    struct lf_eval_report report;
    double sum;
    size_t *rows;          /* of the dataset, for each request */
    struct lf_buf completion, reference;
    struct lf_ids ids;
    enum lf_err rc;        /* a row's trouble */
};

/* The completion as the dataset has it, or as its ids say. */
static const char *reference_of(struct evaluation *e, int64_t i)
{
    const char *text = lf_dataset_completion(e->d, i);
    if (text)
        return text;
    struct lf_row row;
    const int32_t *prompt;
    lf_dataset_row(e->d, i, &row);
    e->ids.n = 0;
    lf_buf_reset(&e->reference);
    for (int k = lf_dataset_prompt(e->d, i, &prompt) - 1; k >= 0 && k < row.n; k++)
        if (row.labels[k] >= 0 && e->rc == LF_OK)
            e->rc = lf_ids_push(&e->ids, row.labels[k]);
    if (e->rc == LF_OK)
        e->rc = lf_tokenizer_decode(e->m->tokenizer, &e->reference, e->ids.ids, e->ids.n, true);
    return e->reference.data ? e->reference.data : "";
}

static void score_row(struct evaluation *e, int64_t i, const int32_t *ids, int n,
                      enum lf_finish finish)
{
    lf_buf_reset(&e->completion);
    if (e->rc == LF_OK && n > 0)
        e->rc = lf_tokenizer_decode(e->m->tokenizer, &e->completion, ids, (size_t)n, true);
    struct lf_eval_row r = {.row = i,
                            .completion = e->completion.data ? e->completion.data : "",
                            .reference = reference_of(e, i),
                            .n_tokens = n,
                            .finish = finish};
    if (e->rc != LF_OK)
        return;
    r.score = finish == LF_FINISH_NONE ? 0 : e->o->metric(r.completion, r.reference);
    if (isnan(r.score)) {
        e->rc = LF_E_NO_MEMORY;
        return;
    }
    e->sum += r.score;
    e->report.rows++;
    e->report.tokens += n;
    e->report.unended += finish == LF_FINISH_LENGTH;
    e->report.unfit += finish == LF_FINISH_NONE;
    if (e->o->row)
        e->o->row(e->o->row_arg, &r);
}

static void done(void *arg, size_t i, const int32_t *ids, int n, enum lf_finish finish)
{
    struct evaluation *e = arg;
    score_row(e, (int64_t)e->rows[i], ids, n, finish);
}

/* A request for each prompt that leaves room for a token; the others are scored at once. */
static size_t make_requests(struct evaluation *e, struct lf_gen_request *requests, int64_t n_rows,
                            int context_max)
{
    size_t n = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        const int32_t *prompt;
        int n_prompt = lf_dataset_prompt(e->d, i, &prompt), room = context_max - n_prompt;
        if (n_prompt < 1 || room < 1) {
            score_row(e, i, NULL, 0, LF_FINISH_NONE);
            continue;
        }
        e->rows[n] = (size_t)i;
        requests[n++] = (struct lf_gen_request){
            .ids = prompt,
            .n = n_prompt,
            .slot = e->o->slot,
            .sample = lf_sample_greedy(),
            .max_tokens = room < e->o->max_tokens ? room : e->o->max_tokens};
    }
    return n;
}

enum lf_err lf_evaluate(struct lf_gen *g, const struct lf_model *m, const struct lf_dataset *d,
                        const struct lf_eval_options *o, struct lf_eval_report *out,
                        struct lf_diag *diag)
{
    struct evaluation e = {.m = m, .d = d, .o = o};
    if (!m->tokenizer)
        return lf_fail(diag, LF_E_INVALID, "the base has no tokenizer: completions have no text");
    uint64_t start_ns = lf_clock_ns();
    int64_t n_rows = lf_dataset_rows(d);
    if (o->rows_max > 0 && o->rows_max < n_rows)
        n_rows = o->rows_max;
    lf_buf_init(&e.completion, 0);
    lf_buf_init(&e.reference, 0);
    e.rows = malloc((size_t)n_rows * sizeof *e.rows);
    struct lf_gen_request *requests = malloc((size_t)n_rows * sizeof *requests);
    enum lf_err rc = LF_OK;
    if (!e.rows || !requests)
        e.rc = LF_E_NO_MEMORY;
    if (e.rc == LF_OK) {
        size_t n = make_requests(&e, requests, n_rows, lf_gen_context_max(g));
        rc = lf_gen_all(g, requests, n, done, &e, diag);
    }
    if (rc == LF_OK && e.rc != LF_OK)
        rc = lf_fail(diag, e.rc, "no memory for an evaluation");
    free(e.rows);
    free(requests);
    lf_buf_free(&e.completion);
    lf_buf_free(&e.reference);
    lf_ids_free(&e.ids);
    if (rc != LF_OK)
        return rc;
    e.report.score = e.sum / (double)e.report.rows;
    e.report.seconds = (double)(lf_clock_ns() - start_ns) * 1e-9;
    *out = e.report;
    return LF_OK;
}
