/* Evaluation: greedy completions of a dataset's prompts, scored against its completions. One
 * thread. */
#ifndef LF_TRAINER_EVALUATE_H
#define LF_TRAINER_EVALUATE_H

#include "core/err.h"
#include "model/generate.h"
#include "score/confusion.h"
#include "trainer/dataset.h"
#include "score/metrics.h"

#include <stdint.h>

/* One row's outcome; pointers are borrowed during the call. */
struct lf_eval_row {
    int64_t row; /* of the dataset */
    const char *completion, *reference;
    double score;
    int n_tokens;          /* generated */
    enum lf_finish finish; /* LF_FINISH_NONE: its prompt did not fit, it scores 0 */
};
typedef void (*lf_eval_row_fn)(void *arg, const struct lf_eval_row *r);

struct lf_eval_options {
    const struct lf_metric *metric;
    int slot;          /* adapter slot, or -1 */
    int max_tokens;    /* of a completion */
    char *const *stop; /* (n_stop) strings that end it: lf_eval_cut */
    int n_stop;
    int64_t rows_max;   /* the first of them; 0: all */
    lf_eval_row_fn row; /* as they end, in any order; or NULL */
    void *row_arg;
};

struct lf_eval_report {
    double score; /* mean over the rows */
    int64_t rows;
    int64_t tokens;  /* generated */
    int64_t unended; /* completions that max_tokens cut off */
    int64_t unfit;   /* prompts that did not fit */
    double seconds;
    json_t *confusion; /* where answers are labels (score/confusion.h), or NULL; yours */
};

/* Cuts a completion at the first of the strings; white space at its start is not searched, since
 * what is scored is the first answer. False: none is in it. */
bool lf_eval_cut(struct lf_buf *text, char *const *stop, int n_stop);

/* An evaluation by whoever makes the completions: begin, add each row's, end. */
struct lf_eval_sums {
    const struct lf_metric *metric;
    struct lf_confusion *confusion; /* or NULL */
    struct lf_eval_report report;
    double sum;
    uint64_t start_ns;
};
/* The metric must be ready here (lf_metric_ready). Free with lf_eval_end, also after a failure. */
enum lf_err lf_eval_begin(struct lf_eval_sums *s, const struct lf_metric *m,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Scores the row (sets r->score; 0 where finish is NONE). columns: of its row, or NULL. */
enum lf_err lf_eval_add(struct lf_eval_sums *s, struct lf_eval_row *r, const json_t *columns,
                        struct lf_diag *diag) LF_MUST_CHECK;
/* out may be NULL. */
void lf_eval_end(struct lf_eval_sums *s, struct lf_eval_report *out);

/* d as loaded with keep_text (else completions are decoded from their ids). g has no live
 * sequence; m has a tokenizer. */
enum lf_err lf_evaluate(struct lf_gen *g, const struct lf_model *m, const struct lf_dataset *d,
                        const struct lf_eval_options *o, struct lf_eval_report *out,
                        struct lf_diag *diag) LF_MUST_CHECK;

#endif
