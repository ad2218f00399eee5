/* Evaluation: greedy completions of rows' prompts, scored against the rows' references. What is
 * asked, cut, scored and summed is here; how completions are got is a callback: in this process
 * (lf_evaluate_here), by the daemon's engine, by a daemon over HTTP. One thread. */
#ifndef LF_TRAINER_EVALUATE_H
#define LF_TRAINER_EVALUATE_H

#include "core/err.h"
#include "model/generate.h"
#include "score/confusion.h"
#include "score/interval.h"
#include "score/metrics.h"
#include "text/writer.h"
#include "trainer/dataset.h"

#include <stdint.h>

/* A row. Pointers are borrowed during the call that hands it over. */
struct lf_eval_row {
    int64_t row;
    /* What is asked: a prompt's ids, or as a daemon takes it, a text or messages. */
    const int32_t *ids; /* (n_ids) */
    int n_ids;
    const json_t *ask;
    int max_tokens; /* of the completion; 0: the prompt leaves no room */
    /* What it is held against. */
    const char *reference;
    const json_t *columns; /* other members of the row, or NULL */
    /* What came of it. */
    const char *completion;
    double score;
    int n_tokens;          /* generated */
    enum lf_ending ending; /* NONE: its prompt did not fit, it scores 0 */
};
typedef void (*lf_eval_row_fn)(void *arg, const struct lf_eval_row *r);

/* Where rows come from. get fills the row's question and reference; max_tokens comes in as the
 * options' and may be lowered. */
struct lf_eval_rows {
    int64_t n;
    enum lf_err (*get)(void *arg, int64_t row, struct lf_eval_row *out, struct lf_diag *diag);
    void *arg;
};

struct lf_eval_options {
    const struct lf_metric *metric;
    int max_tokens;    /* of a completion */
    char *const *stop; /* (n_stop) strings that end it, from the first that is not white space */
    int n_stop;
    int64_t rows_max;   /* the first of them; 0: all */
    lf_eval_row_fn row; /* as they end, in any order; or NULL */
    void *row_arg;
};

struct lf_eval_report {
    double score;                /* mean over the rows */
    struct lf_interval interval; /* of the score */
    struct lf_row_scores row_scores;
    int64_t rows;
    int64_t tokens;  /* generated */
    int64_t unended; /* completions that max_tokens cut off */
    int64_t unfit;   /* prompts that did not fit */
    int64_t unread;  /* references in which the metric finds nothing: they score 0 */
    double seconds;
    json_t *confusion; /* where answers are labels (score/confusion.h), or NULL */
};
void lf_eval_report_free(struct lf_eval_report *r);

/* One under way, as its callback sees it. */
struct lf_evaluation {
    const struct lf_eval_rows *rows;
    const struct lf_eval_options *o;
    int64_t n, next;                /* rows to score; the next to ask for */
    struct lf_confusion *confusion; /* or NULL */
    double sum;
    struct lf_eval_report report;
};
/* Gets the completions of all rows: asks lf_evaluation_next until there are no more, with as many
 * under way as it likes, and ends each with lf_evaluation_done, in any order. */
typedef enum lf_err (*lf_complete_fn)(void *arg, struct lf_evaluation *e, struct lf_diag *diag);

/* LF_E_UNSUPPORTED where the metric is not ready here (lf_metric_ready). *out is yours,
 * lf_eval_report_free; empty after a failure. */
enum lf_err lf_evaluate(const struct lf_eval_rows *rows, const struct lf_eval_options *o,
                        lf_complete_fn complete, void *arg, struct lf_eval_report *out,
                        struct lf_diag *diag) LF_MUST_CHECK;

/* For the callback. The next row to complete; out->row is -1 when there are no more. Rows without
 * room are scored on the way. */
enum lf_err lf_evaluation_next(struct lf_evaluation *e, struct lf_eval_row *out,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* A writer for a completion: with the stop strings, as they count here. t may be NULL: texts come
 * in whole (lf_writer_text). */
void lf_evaluation_writer(const struct lf_evaluation *e, struct lf_writer *w,
                          const struct lf_tokenizer *t);
/* The row's completion is what the writer has, which has ended; NULL: its prompt did not fit. */
enum lf_err lf_evaluation_done(struct lf_evaluation *e, int64_t row, const struct lf_writer *w,
                               struct lf_diag *diag) LF_MUST_CHECK;

/* A data set's rows, as loaded with keep_text (else references are decoded from their ids). */
struct lf_eval_dataset {
    struct lf_eval_rows rows;
    const struct lf_dataset *d;
    const struct lf_tokenizer *tokenizer;
    int context_max; /* prompt and completion */
    struct lf_buf reference;
};
/* All are borrowed until lf_eval_dataset_free. LF_E_INVALID without a tokenizer: completions have
 * no text then. */
enum lf_err lf_eval_dataset_init(struct lf_eval_dataset *e, const struct lf_dataset *d,
                                 const struct lf_tokenizer *t, int context_max,
                                 struct lf_diag *diag) LF_MUST_CHECK;
void lf_eval_dataset_free(struct lf_eval_dataset *e);

/* With an adapter's slot, or -1 for the base. g has no live sequence. */
enum lf_err lf_evaluate_here(struct lf_gen *g, int slot, const struct lf_model *m,
                             const struct lf_dataset *d, const struct lf_eval_options *o,
                             struct lf_eval_report *out, struct lf_diag *diag) LF_MUST_CHECK;

#endif
