/* A part of a task's source, ready to make rows of: its files found, its templates parsed, its
 * joined tables read. Private to land. */
#ifndef LF_LAND_COLUMNS_H
#define LF_LAND_COLUMNS_H

#include "core/buf.h"
#include "land/limits.h"
#include "text/chat.h"
#include "land/rows.h"
#include "land/task_file.h"

#include <glob.h>

struct lf_columns {
    struct lf_task_part part;
    struct lf_rows_form form;
    glob_t files; /* paths of the part's files, sorted */
    const char *name[LF_COMPUTE_MAX];
    struct lf_chat *compute[LF_COMPUTE_MAX]; /* Jinja, in the file's order */
    int n_compute;
    struct lf_chat *where; /* NULL: all rows */
    const char *prompt, *completion;
    const json_t *join; /* the file's member, or NULL */
    json_t *joined;     /* key -> row */
    const json_t *keep; /* names of columns that go along, or NULL */
};

/* How many of the patterns have no file below dir. *missing: the first of them. */
int lf_columns_missing(const struct lf_task_part *p, const char *dir, const char **missing);
/* After lf_columns_missing said 0. Close with lf_columns_close, also after a failure. */
enum lf_err lf_columns_open(struct lf_columns *c, const struct lf_task_part *p, const char *dir,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_columns_close(struct lf_columns *c);

/* A row of the files as one to train on or score: {"prompt", "completion"} and what is kept. *out
 * is yours; NULL: the filter leaves it out (*wanted false), or it has no answer. Changes row. */
enum lf_err lf_columns_row(const struct lf_columns *c, json_t *row, json_t **out, bool *wanted,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* All rows of all files, in order. LF_E_CANCELLED as in rows.h. */
enum lf_err lf_columns_read(const struct lf_columns *c, lf_rows_fn fn, void *arg,
                            struct lf_diag *diag) LF_MUST_CHECK;

#endif
