/* How sure a score is. A score is the mean of its rows' scores; other rows would have given another
 * one. The interval is that of the percentile bootstrap (Efron 1979): rows are drawn again, with
 * replacement, LF_BOOTSTRAPS times, and it reaches from the 2.5th to the 97.5th percentile of the
 * means. The numbers drawn are the same each time, so the same rows give the same interval.
 *
 * Rows' scores are kept as bytes, 255 times the score, so that they can go into a report as two
 * hexadecimal digits a row and a later score of the same rows can be set beside them, row by row:
 * a lift's interval is that of the rows' differences. Host data, any thread. */
#ifndef LF_SCORE_INTERVAL_H
#define LF_SCORE_INTERVAL_H

#include "core/buf.h"
#include "core/err.h"
#include "score/limits.h"

#include <stddef.h>
#include <stdint.h>

struct lf_row_scores {
    uint8_t *v; /* (n) in the rows' order; owned */
    size_t n;   /* 0: there are none, or more than LF_ROW_SCORES_MAX */
};
void lf_row_scores_free(struct lf_row_scores *s);
/* n rows that all score 0. */
enum lf_err lf_row_scores_new(struct lf_row_scores *out, size_t n) LF_MUST_CHECK;
/* score in [0, 1]; nothing happens where row is not one of them. */
void lf_row_scores_set(struct lf_row_scores *s, size_t row, double score);
/* Two hexadecimal digits a row, and back: LF_E_INVALID where hex is not that. */
enum lf_err lf_row_scores_print(const struct lf_row_scores *s, struct lf_buf *out) LF_MUST_CHECK;
enum lf_err lf_row_scores_parse(struct lf_row_scores *out, const char *hex) LF_MUST_CHECK;

/* 95%. NaN where it is not known. */
struct lf_interval {
    double low, high;
};
/* Of the mean. NaN without rows. LF_E_NO_MEMORY. */
enum lf_err lf_score_interval(struct lf_interval *out, const struct lf_row_scores *s) LF_MUST_CHECK;
/* Of the mean of after - before, of the same rows; NaN where their numbers differ. */
enum lf_err lf_lift_interval(struct lf_interval *out, const struct lf_row_scores *after,
                             const struct lf_row_scores *before) LF_MUST_CHECK;

#endif
