/* The cells of a study that is run, and its folder on disk:
 *
 *     DIR/status.json          the study and all its cells as of now; what status and report read
 *     DIR/results.csv          a row a cell that ended (land/table.h)
 *     DIR/cells/COLUMN/TASK.json  how a cell ended: scores, settings, the daemon's metrics.json
 *     DIR/tasks/TASK/          rows, config.json and task.json of a task; features.json
 *     DIR/daemons/BASE/        the data of the base's daemon: adapters, checkpoints, its log
 *     DIR/slurm/               land/spread.h
 *     DIR/lock                 held by who works in DIR
 *
 * Each file is replaced whole. Host data, one thread. */
#ifndef LF_LAND_GRID_H
#define LF_LAND_GRID_H

#include "core/file.h"
#include "core/limits.h"
#include "land/limits.h"
#include "land/study.h"
#include "land/table.h"

#include <stdbool.h>
#include <stdint.h>

enum lf_cell_state {
    LF_CELL_WAITING,
    LF_CELL_TRAINING, /* the daemon has it */
    LF_CELL_SCORING,  /* trained, its scores are not known yet */
    LF_CELL_DONE,
    LF_CELL_FAILED /* reason says why */
};

struct lf_cell {
    int base, task, variant; /* of the study */
    char column[LF_NAME_MAX + 1];
    enum lf_cell_state state;
    double progress;            /* TRAINING: part of the steps, in [0, 1] */
    char key[LF_SHA256_HEX];    /* what decides the result; "" until prepared */
    json_t *settings;           /* what it trains with; owned, NULL until prepared */
    json_t *metrics;            /* DONE: the daemon's metrics.json; owned */
    struct lf_land_cell result; /* DONE; FAILED: what is known, NaN else */
    char reason[LF_DIAG_MAX];   /* FAILED */
};

struct lf_grid {
    const struct lf_study *study; /* NULL when it was read back by lf_grid_read */
    char dir[LF_PATH_MAX - 256];  /* leaves room for what is put after it */
    char name[LF_NAME_MAX + 1], title[256], device[128];
    int n_columns, n_tasks;
    char columns[LF_LAND_BASES_MAX][LF_NAME_MAX + 1];
    char (*tasks)[LF_NAME_MAX + 1]; /* (n_tasks); owned */
    struct lf_cell *cells;          /* (n_tasks, n_columns); owned */
    double seconds;                 /* worked so far, over all runs */
    double tokens_per_second;       /* of the trainings that run now */
    bool running;                   /* a process works in dir */
    bool finished;                  /* the last run came to its end */
};

/* The cells of a study, all waiting, in DIR (not made). Yours, lf_grid_free. */
enum lf_err lf_grid_init(struct lf_grid *f, const struct lf_study *s, const char *dir,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_grid_free(struct lf_grid *f);
static inline struct lf_cell *lf_grid_cell(const struct lf_grid *f, int column, int task)
{
    return &f->cells[task * f->n_columns + column];
}

/* DIR as the last run left it, or as the one under way sees it; without keys, settings and
 * metrics. LF_E_NOT_FOUND where DIR is no study's folder. */
enum lf_err lf_grid_read(struct lf_grid *f, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* Writes status.json. */
enum lf_err lf_grid_write(const struct lf_grid *f, struct lf_diag *diag) LF_MUST_CHECK;

/* A cell that ended: its file, and results.csv. */
enum lf_err lf_grid_cell_write(const struct lf_grid *f, const struct lf_cell *c,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Makes the cell what its file says, if it is done and of the cell's key. A file that cannot be
 * read is as none. */
void lf_grid_cell_recall(const struct lf_grid *f, struct lf_cell *c);

/* Cells in a state. */
int lf_grid_count(const struct lf_grid *f, enum lf_cell_state s);
/* Part of the work that is done, in [0, 1]. */
double lf_grid_progress(const struct lf_grid *f);
/* The cells that ended as a table, the failed ones with what is known of them; yours,
 * lf_land_table_free. */
enum lf_err lf_grid_table(const struct lf_grid *f, struct lf_land_table *t,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* The same as JSON, for --json: status.json's document. Yours; NULL when memory is out. */
json_t *lf_grid_json(const struct lf_grid *f);

/* DIR + "/" + a path in it. */
enum lf_err lf_grid_path(char out[LF_PATH_MAX], const struct lf_grid *f, struct lf_diag *diag,
                         const char *fmt, ...) LF_PRINTF(4, 5) LF_MUST_CHECK;

#endif
