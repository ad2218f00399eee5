/* Scores of a completion against its reference, and what reports draw from them. Pure functions,
 * any thread. */
#ifndef LF_TRAINER_METRICS_H
#define LF_TRAINER_METRICS_H

#include "core/buf.h"
#include "core/err.h"

#include <stddef.h>

/* A metric by name, in [0, 1]; NaN when memory is out. What cannot be read as an answer scores 0.
 *   rouge_1, rouge_2, rouge_l  F1 of unigrams, bigrams, longest common subsequence, over runs of
 *                a-z and 0-9 of the lower-cased text: rouge-score without stemming, to 1e-6
 *   token_f1     SQuAD's: words without case, punctuation and articles, as multisets
 *   exact_match  equal but for white space around it
 *   accuracy     a label: equal but for case, white space and punctuation around it; "the answer
 *                is" before it and words after it do not count; 1 equals 1.0
 *   mae          1 - |d| / 5 of the first number (STS-B); a number over 5 scores 0
 *   gsm8k        the last number is equal: "$1,100." is 1100
 */
typedef double (*lf_metric_fn)(const char *completion, const char *reference);
/* NULL for an unknown name; lf_metric_names lists the known ones, comma separated. */
lf_metric_fn lf_metric_find(const char *name);
const char *lf_metric_names(void);

/* A loss curve as a self-contained SVG: the training loss and its smoothed line over steps, and
 * evaluation points where there are any (n_eval 0: none). Any number of points, drawn as no more
 * than the picture has columns; points that are not finite are left out. */
struct lf_curve_point {
    double step, loss;
};
enum lf_err lf_curve_svg(struct lf_buf *out, const char *title, const struct lf_curve_point *train,
                         size_t n_train, const struct lf_curve_point *eval, size_t n_eval)
    LF_MUST_CHECK;

#endif
