/* The study's matrix: bases x tasks, each cell scored before and after training; its averages, wins
 * and files. Host data, one thread. */
#ifndef LF_LAND_TABLE_H
#define LF_LAND_TABLE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "land/limits.h"
#include "land/trust.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_land_cell {
    bool there;
    char metric[32];
    double base_score, tuned_score; /* NaN: not known */
    struct lf_land_trust trust;
    int64_t rows, tokens; /* evaluated; trained on */
    double seconds;
};

/* One that is there, without scores. */
struct lf_land_cell lf_land_cell_unknown(void);

struct lf_land_table {
    int n_bases, n_tasks;
    char base[LF_LAND_BASES_MAX][LF_NAME_MAX + 1];
    char task[LF_LAND_TASKS_MAX][LF_NAME_MAX + 1];
    struct lf_land_cell *cells; /* (LF_LAND_TASKS_MAX, LF_LAND_BASES_MAX); owned */
};

enum lf_err lf_land_table_init(struct lf_land_table *t) LF_MUST_CHECK;
void lf_land_table_free(struct lf_land_table *t);
/* The cell, its base and task added where they are new; NULL when the table is full. Borrowed. */
struct lf_land_cell *lf_land_table_put(struct lf_land_table *t, const char *base, const char *task);
/* NULL where there is none. */
const struct lf_land_cell *lf_land_table_get(const struct lf_land_table *t, int base, int task);
int lf_land_table_base(const struct lf_land_table *t, const char *name); /* -1: none */
int lf_land_table_task(const struct lf_land_table *t, const char *name);

/* results.csv: base,task,metric,base_score,tuned_score,rows,tokens,seconds,base_low,base_high,
 * tuned_low,tuned_high,lift_low,lift_high,majority,collapsed under a line that names them. Scores
 * in [0, 1]; what is not known is empty, so that a cell that failed is a row without scores. */
enum lf_err lf_land_table_print(const struct lf_land_table *t, struct lf_buf *out) LF_MUST_CHECK;
/* published.csv (share/land): task,model,tuned,lift; GPT rows have no lift and become columns whose
 * tuned_score is their score and whose base_score is unknown. */
enum lf_err lf_land_table_parse_published(struct lf_land_table *t, const char *csv, size_t n,
                                          struct lf_diag *diag) LF_MUST_CHECK;

/* Averages over a base's cells (task = -1), over a task's (base = -1) or over all (both -1), these
 * two without the columns that were not trained; cells without a base score count for `tuned`
 * alone. NaN where there is none. */
struct lf_land_mean {
    double base, tuned, lift;
    double clipped_lift; /* negative lifts counted as 0, as the paper's text does */
    int cells, positive; /* with both scores; of these, with lift > 0 */
};
void lf_land_table_mean(struct lf_land_mean *out, const struct lf_land_table *t, int base,
                        int task);
/* Tasks on which base's tuned score is above that of `other` (a column of the same table, scored
 * by its tuned_score), equal to it, below it. */
struct lf_land_wins {
    int above, equal, below;
};
/* The base with the task's best tuned score (lowest index among equals), or -1; columns without any
 * base score (GPT) are passed over. */
int lf_land_table_best(const struct lf_land_table *t, int task);
/* Columns that were trained here: at least one cell has a base score. */
bool lf_land_table_trained(const struct lf_land_table *t, int base);

#endif
