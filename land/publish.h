/* The report of a study's folder: its cells, its tasks' notes and the published table brought
 * together for land/report.h. Host data, one thread. */
#ifndef LF_LAND_PUBLISH_H
#define LF_LAND_PUBLISH_H

#include "land/grid.h"
#include "land/report.h"

struct lf_publication {
    struct lf_land_report report; /* points into what follows */
    struct lf_grid grid;          /* of a study's folder; empty for the published table */
    struct lf_land_table results, published;
    struct lf_land_task_note *notes; /* (results.n_tasks) */
    double (*features)[LF_LAND_FEATURES];
    json_t **tasks; /* task.json of each, or NULL */
    struct lf_land_failure *failures;
    char how[512];
};

/* Of DIR as it is now: what is not finished is left out. LF_E_NOT_FOUND: no study, or not a cell of
 * it has ended. Yours, lf_publication_close, also after a failure. */
enum lf_err lf_publication_open(struct lf_publication *p, const char *dir,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* Of the published table itself. */
enum lf_err lf_publication_open_published(struct lf_publication *p,
                                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_publication_close(struct lf_publication *p);

/* Averages by base and by category, wins over the published GPT columns, and the cells that failed
 * or are to be read with care, for a terminal. */
enum lf_err lf_publication_text(const struct lf_publication *p, struct lf_buf *out) LF_MUST_CHECK;

#endif
