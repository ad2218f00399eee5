/* What came of each training of a sweep: as JSON, from which it is read back, as CSV, and as a
 * picture of all curves. Pure but for reading curves from a log; any thread. */
#ifndef LF_TRAINER_SWEEP_TABLE_H
#define LF_TRAINER_SWEEP_TABLE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/progress.h"
#include "trainer/curve.h"
#include "trainer/sweep.h"

#include <jansson.h>

struct lf_sweep_row {
    const json_t *chosen;    /* {"learning_rate": 0.001}; borrowed */
    bool last;               /* it keeps its last weights, not the best */
    enum lf_job_state state; /* QUEUED: to be trained; CANCELLED: it was of the worse half */
    struct lf_progress progress;
    struct lf_curve curve; /* owned: lf_curve_free */
    char reason[LF_DIAG_MAX];
};
/* Of its weights: the lowest of its evaluations, or the last one; NaN: it has none. */
double lf_sweep_row_loss(const struct lf_sweep_row *r);

struct lf_sweep_table {
    struct lf_sweep_row *row; /* (n) */
    int n;
    int best; /* of those that are done; -1: none yet */
    int rung; /* of successive halving, that is decided next */
};
/* How far all of them are, and a phrase of it: "; sweep of 8: 3 done, ...". */
void lf_sweep_table_sum(const struct lf_sweep_table *t, struct lf_progress *sum, char *note,
                        size_t size);
/* Successive halving: the next row that is not among the best at a rung that all have reached,
 * which is CANCELLED now and is to be ended; -1: none is now. Rows are compared by their first
 * evaluations from the rung on, so that who is further has nothing of it; of equals the first one
 * is better. */
int lf_sweep_table_ends(struct lf_sweep_table *t, const struct lf_sweep *w);
/* Where all that went on have failed: the best of those that were ended is QUEUED, and is to be
 * trained anew. False: some go on, or none was ended. */
bool lf_sweep_table_revive(struct lf_sweep_table *t);
enum lf_err lf_sweep_table_json(struct lf_buf *out, const struct lf_sweep_table *t) LF_MUST_CHECK;
enum lf_err lf_sweep_table_csv(struct lf_buf *out, const struct lf_sweep_table *t) LF_MUST_CHECK;
enum lf_err lf_sweep_table_svg(struct lf_buf *out, const struct lf_sweep_table *t,
                               const char *title) LF_MUST_CHECK;
/* Into a table whose rows are chosen: what lf_sweep_table_json wrote. Those that failed are to be
 * trained again. Steps' losses are the log's, of that job. */
enum lf_err lf_sweep_table_read(struct lf_sweep_table *t, const char *path, const char *log,
                                uint64_t job, struct lf_diag *diag) LF_MUST_CHECK;

#endif
