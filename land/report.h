/* The study's report: one self-contained HTML page (tables, heat maps, bars; no script, no request)
 * over a matrix of results. */
#ifndef LF_LAND_REPORT_H
#define LF_LAND_REPORT_H

#include "core/buf.h"
#include "core/err.h"
#include "land/table.h"

#include <stddef.h>

/* What foretells a task's scores: the study's section 5. Lengths in tokens. */
enum lf_land_feature {
    LF_LAND_INPUT_MEAN,
    LF_LAND_INPUT_SIGMA,
    LF_LAND_INPUT_P95,
    LF_LAND_OUTPUT_MEAN,
    LF_LAND_OUTPUT_SIGMA,
    LF_LAND_OUTPUT_P95,
    LF_LAND_EXAMPLE_MEAN,
    LF_LAND_EXAMPLE_SIGMA,
    LF_LAND_EXAMPLE_P95,
    LF_LAND_SIMILARITY_MEAN,
    LF_LAND_SIMILARITY_SIGMA, /* ROUGE-L of input and output */
    LF_LAND_COMPRESS_MEAN,
    LF_LAND_COMPRESS_SIGMA, /* deflated bytes / bytes of an example */
    LF_LAND_EXAMPLES,       /* rows to train on */
    LF_LAND_FEATURES
};
const char *lf_land_feature_name(enum lf_land_feature f);

struct lf_land_task_note {
    const char *category; /* "Classic NLP", ...; NULL: unknown */
    const char *metric;
    const char *fidelity;   /* "exact", or what the data stands in for; NULL: not said */
    const double *features; /* (LF_LAND_FEATURES), NaN where unknown; NULL: not measured */
    int64_t test_rows;      /* that the task has to score; 0: not known */
};

/* A cell that failed. */
struct lf_land_failure {
    const char *base, *task, *reason;
};

struct lf_land_report {
    const char *title;
    const char *how; /* command, device, date: a line under the title */
    const struct lf_land_table *results;
    const struct lf_land_task_note *notes;  /* (results->n_tasks) */
    const struct lf_land_table *published;  /* the paper's table, marked as such; NULL: left out */
    const struct lf_land_failure *failures; /* (n_failures) */
    int n_failures;
};

/* Why a cell is to be read with care: its lift may be chance, nearly all its answers are one class,
 * it is no better than the most frequent class. "": nothing is known against it. */
void lf_land_doubts(char out[160], const struct lf_land_cell *c);

/* The categories, in the order of their first tasks: that of the first task from *k on which is the
 * first of its category, with *k its number; NULL: there are no more. */
const char *lf_land_category(const struct lf_land_report *r, int *k);
/* The averages of a category, each of its tasks counting once with its mean over the bases; cells
 * are counted. */
void lf_land_category_mean(struct lf_land_mean *out, const struct lf_land_report *r,
                           const char *category);
/* The published columns that results are set beside. */
#define LF_LAND_PEERS 2
extern const char *const lf_land_peers[LF_LAND_PEERS];
/* Tasks whose rows are exactly the published ones, all of which were scored, on which base scored
 * above, equal to, below that column of r->published. */
void lf_land_peer_wins(struct lf_land_wins *out, const struct lf_land_report *r, int base,
                       const char *peer);

enum lf_err lf_land_report_html(struct lf_buf *out, const struct lf_land_report *r,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* The page's first picture alone: scores and lifts, tasks down and bases across. */
enum lf_err lf_land_report_svg(struct lf_buf *out, const struct lf_land_report *r,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Averages, features, their correlations with scores, and the linear models, as CSV. */
enum lf_err lf_land_report_csv(struct lf_buf *out, const struct lf_land_report *r,
                               struct lf_diag *diag) LF_MUST_CHECK;

#endif
