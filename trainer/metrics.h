/* Scores of a completion against its reference, and what reports draw from them. Pure functions,
 * any thread. Equal to the reference implementations (rouge-score, scikit-learn) to 1e-6. */
#ifndef LF_TRAINER_METRICS_H
#define LF_TRAINER_METRICS_H

#include "core/buf.h"
#include "core/err.h"

#include <stddef.h>

/* A metric by name: "rouge_1", "rouge_2", "rouge_l" (F1, rouge-score without stemming),
 * "exact_match" (trimmed), "accuracy" (trimmed, case-folded), "token_f1", "mae" (1 - |d|/5),
 * "gsm8k" (last number). In [0, 1]; a malformed completion scores 0. */
typedef double (*lf_metric_fn)(const char *completion, const char *reference);
/* NULL for an unknown name; lf_metric_names lists the known ones, comma separated. */
lf_metric_fn lf_metric_find(const char *name);
const char *lf_metric_names(void);

/* A loss curve as a self-contained SVG: points (step, loss), a smoothed line, eval points. */
struct lf_curve_point {
    double step, loss;
};
enum lf_err lf_curve_svg(struct lf_buf *out, const char *title, const struct lf_curve_point *train,
                         size_t n_train, const struct lf_curve_point *eval, size_t n_eval)
    LF_MUST_CHECK;

#endif
