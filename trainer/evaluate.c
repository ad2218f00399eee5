/* Evaluation by generation. */
#include "trainer/evaluate.h"

#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

struct evaluation {
    const struct lf_model *m;
    const struct lf_dataset *d;
    const struct lf_eval_options *o;
    struct lf_eval_sums sums;
    size_t *rows; /* of the dataset, for each request */
    struct lf_buf completion, reference;
    struct lf_ids ids;
    enum lf_err rc; /* a row's trouble, and why */
    struct lf_diag why;
};

bool lf_eval_cut(struct lf_buf *text, char *const *stop, int n_stop)
{
    size_t from = text->data ? strspn(text->data, " \t\r\n\f\v") : 0, cut = text->len;
    for (int i = 0; i < n_stop && text->data; i++) {
        const char *met = strstr(text->data + from, stop[i]);
        if (met && (size_t)(met - text->data) < cut)
            cut = (size_t)(met - text->data);
    }
    if (cut == text->len)
        return false;
    text->len = cut;
    text->data[cut] = '\0';
    return true;
}

/* ---- Sums ------------------------------------------------------------------------------------ */

enum lf_err lf_eval_begin(struct lf_eval_sums *s, const struct lf_metric *m, struct lf_diag *diag)
{
    *s = (struct lf_eval_sums){.metric = m, .start_ns = lf_clock_ns()};
    enum lf_err rc = lf_metric_ready(m, diag);
    return rc == LF_OK && lf_metric_labels(m) ? lf_confusion_new(&s->confusion, m, diag) : rc;
}

enum lf_err lf_eval_add(struct lf_eval_sums *s, struct lf_eval_row *r, const json_t *columns,
                        struct lf_diag *diag)
{
    const struct lf_answer a = {r->completion, r->reference, columns};
    enum lf_err rc = LF_OK;
    r->score = 0;
    if (r->finish != LF_FINISH_NONE)
        rc = lf_metric_score(&r->score, s->metric, &a, diag);
    if (rc == LF_OK && s->confusion)
        rc = lf_confusion_add(s->confusion, &a, r->score, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "row %lld", (long long)r->row + 1);
    s->sum += r->score;
    s->report.rows++;
    s->report.tokens += r->n_tokens;
    s->report.unended += r->finish == LF_FINISH_LENGTH;
    s->report.unfit += r->finish == LF_FINISH_NONE;
    return LF_OK;
}

void lf_eval_end(struct lf_eval_sums *s, struct lf_eval_report *out)
{
    if (out) {
        *out = s->report;
        out->score = s->report.rows > 0 ? s->sum / (double)s->report.rows : 0;
        out->seconds = (double)(lf_clock_ns() - s->start_ns) * 1e-9;
        out->confusion = s->confusion ? lf_confusion_json(s->confusion) : NULL;
    }
    lf_confusion_free(s->confusion);
    s->confusion = NULL;
}

/* ---- By generation --------------------------------------------------------------------------- */

static void no_memory(struct evaluation *e)
{
    e->rc = lf_fail(&e->why, LF_E_NO_MEMORY, "no memory for an evaluation");
}

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
    bool ok = true;
    for (int k = lf_dataset_prompt(e->d, i, &prompt) - 1; k >= 0 && k < row.n; k++)
        if (row.labels[k] >= 0 && ok)
            ok = lf_ids_push(&e->ids, row.labels[k]) == LF_OK;
    if (!ok ||
        lf_tokenizer_decode(e->m->tokenizer, &e->reference, e->ids.ids, e->ids.n, true) != LF_OK)
        no_memory(e);
    return e->reference.data ? e->reference.data : "";
}

/* The completion's text, up to a stop string. True: it has one. */
static bool decode(struct evaluation *e, const int32_t *ids, int n)
{
    lf_buf_reset(&e->completion);
    if (n > 0 &&
        lf_tokenizer_decode(e->m->tokenizer, &e->completion, ids, (size_t)n, true) != LF_OK)
        no_memory(e);
    return lf_eval_cut(&e->completion, e->o->stop, e->o->n_stop);
}

static void score_row(struct evaluation *e, int64_t i, const int32_t *ids, int n,
                      enum lf_finish finish)
{
    if (e->rc != LF_OK)
        return;
    decode(e, ids, n);
    struct lf_eval_row r = {.row = i,
                            .completion = e->completion.data ? e->completion.data : "",
                            .reference = reference_of(e, i),
                            .n_tokens = n,
                            .finish = finish};
    if (e->rc == LF_OK)
        e->rc = lf_eval_add(&e->sums, &r, lf_dataset_columns(e->d, i), &e->why);
    if (e->rc == LF_OK && e->o->row)
        e->o->row(e->o->row_arg, &r);
}

static void done(void *arg, size_t i, const int32_t *ids, int n, enum lf_finish finish)
{
    struct evaluation *e = arg;
    score_row(e, (int64_t)e->rows[i], ids, n, finish);
}

static bool enough(void *arg, size_t i, const int32_t *ids, int n)
{
    struct evaluation *e = arg;
    (void)i;
    return e->rc != LF_OK || decode(e, ids, n);
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
    int64_t n_rows = lf_dataset_rows(d);
    if (o->rows_max > 0 && o->rows_max < n_rows)
        n_rows = o->rows_max;
    lf_buf_init(&e.completion, 0);
    lf_buf_init(&e.reference, 0);
    e.rows = malloc((size_t)n_rows * sizeof *e.rows);
    struct lf_gen_request *requests = malloc((size_t)n_rows * sizeof *requests);
    enum lf_err rc = lf_eval_begin(&e.sums, o->metric, diag);
    if (rc == LF_OK && (!e.rows || !requests))
        rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for an evaluation");
    if (rc == LF_OK) {
        size_t n = make_requests(&e, requests, n_rows, lf_gen_context_max(g));
        rc = lf_gen_all(g, requests, n, o->n_stop > 0 ? enough : NULL, done, &e, diag);
    }
    if (rc == LF_OK && e.rc != LF_OK)
        rc = lf_fail(diag, e.rc, "%s", e.why.text);
    lf_eval_end(&e.sums, rc == LF_OK ? out : NULL);
    free(e.rows);
    free(requests);
    lf_buf_free(&e.completion);
    lf_buf_free(&e.reference);
    lf_ids_free(&e.ids);
    return rc;
}
