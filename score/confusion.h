/* A confusion matrix: of answers that are labels, which was expected and which came. Host data, one
 * thread. */
#ifndef LF_SCORE_CONFUSION_H
#define LF_SCORE_CONFUSION_H

#include "score/limits.h"
#include "score/metrics.h"

#include <jansson.h>

struct lf_confusion;

/* m: one whose answers are labels. Yours, lf_confusion_free. */
enum lf_err lf_confusion_new(struct lf_confusion **out, const struct lf_metric *m,
                             struct lf_diag *diag) LF_MUST_CHECK;
void lf_confusion_free(struct lf_confusion *c);
/* A reference that answers will be held against: its class is known from then on. */
enum lf_err lf_confusion_class(struct lf_confusion *c, const char *reference,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* An answer and what the metric gave for it: 1 counts as its reference's class, all else as the
 * class that the completion names, or as none of them. Where the metric lets words follow a label,
 * and the completion begins with the longer name of another class that is known, that is its
 * answer, and *score becomes 0: "billing dispute" is not "billing" where it is a class. */
enum lf_err lf_confusion_add(struct lf_confusion *c, const struct lf_answer *a, double *score,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* {"labels": ["no", "yes"], "matrix": [[70, 2, 1], [5, 90, 0]], "classes": [{"label", "precision",
 *  "recall", "f1", "support"}, ...], "accuracy", "macro_f1", "weighted_f1"}
 * Classes are those of the references, by name, as the first reference of each spells it. A row of
 * the matrix is an expected class, its columns are the classes and, last, none of them. Precision,
 * recall and F1 are 0 where nothing was named or expected, as in scikit-learn. Yours; NULL without
 * answers, with more than LF_CONFUSION_LABELS_MAX classes, or without memory. */
json_t *lf_confusion_json(const struct lf_confusion *c);

/* Of such JSON: the share of the class that most references have, and which (borrowed, "" where
 * there is none): what it scores to answer that always. */
double lf_confusion_majority(const json_t *confusion, const char **label);
/* Whether at least LF_COLLAPSED_SHARE of the answers are one class, of references that are of
 * several and fewer of that one. */
bool lf_confusion_collapsed(const json_t *confusion);

#endif
