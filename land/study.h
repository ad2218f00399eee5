/* A study: bases x tasks x variants of the settings, as its JSON file says.
 *
 *     {"name": "small", "title": "Three small bases, twelve tasks",
 *      "bases": ["bases/llama-14m-nf4", {"base": "bases/phi-15m-nf4", "settings": {...}}],
 *      "data": "tasks",
 *      "tasks": ["viggo", {"task": "dbpedia", "rows": 2000, "settings": {"epochs": 1}}],
 *      "settings": {"rank": 16, "epochs": 3},
 *      "variants": [{"name": "r8", "settings": {"rank": 8}}, {"name": "r64", ...}],
 *      "rows": 3000, "eval_rows": 200, "fused": 64,
 *      "daemon": {"device": "auto", "train_tokens": 16384}, "together": false}
 *
 * Paths are relative to the file, or to folders that the caller names instead: then a base is the
 * folder of its last part there. `bases` and `tasks` are needed, all else has a default. Settings
 * are an adapter's config.json (trainer/settings.h); what a cell trains with is, each over the one
 * before: the task's own, the study's, the base's, the task's in this file, the variant's.
 *
 * A variant makes another column of each base: "llama-14m-nf4.r8". Host data, one thread. */
#ifndef LF_LAND_STUDY_H
#define LF_LAND_STUDY_H

#include "core/err.h"
#include "core/limits.h"
#include "land/limits.h"
#include "land/table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_study_base {
    char name[LF_NAME_MAX + 1]; /* the directory's last part: what its daemon calls it */
    char dir[LF_PATH_MAX];
    const json_t *settings; /* NULL: none */
};

struct lf_study_task {
    char name[LF_NAME_MAX + 1];
    char definition[LF_PATH_MAX]; /* for lf_task_open: a name, or a path */
    char data[LF_PATH_MAX];       /* where its files are: this folder, or its folder <name> */
    int64_t rows, eval_rows;      /* kept of the rows to train on, to score; 0: all */
    int64_t shots;                /* -1: the task's own */
    int64_t test_percent;         /* as of struct lf_task_options */
    const json_t *settings;
};

struct lf_study_variant {
    char name[LF_NAME_MAX + 1]; /* "": the only one, and its columns are the bases themselves */
    const json_t *settings;
};

struct lf_study {
    char name[LF_NAME_MAX + 1];
    const char *title;
    int n_bases, n_tasks, n_variants;
    struct lf_study_base *bases;
    struct lf_study_task *tasks;
    struct lf_study_variant variants[LF_LAND_VARIANTS_MAX];
    const json_t *settings; /* of all cells; NULL: none */
    int64_t fused;          /* trainings of a base at a time */
    const json_t *daemon;   /* its options by name, "train_tokens"; NULL: none */
    bool together;          /* one daemon has all bases, else each its own, one after another */
    json_t *file;           /* what all the borrowed values are part of */
};

/* Where bases and data are, instead of where the file says; NULL: as it says. */
struct lf_study_places {
    const char *bases, *data;
};

/* LF_E_INVALID names the member, and the cell where settings do not go together. Yours,
 * lf_study_close. */
enum lf_err lf_study_open(struct lf_study *out, const char *path,
                          const struct lf_study_places *places, struct lf_diag *diag) LF_MUST_CHECK;
void lf_study_close(struct lf_study *s);

/* The column of a base and a variant: "base" or "base.variant". */
void lf_study_column(char out[LF_NAME_MAX + 1], const struct lf_study *s, int base, int variant);
/* What a cell trains with; `own`: the task's settings, NULL for none. A layer's "steps" takes an
 * earlier one's "epochs" back, and so on for members that exclude each other. A new object
 * (json_decref), NULL when memory is out. */
json_t *lf_study_settings(const struct lf_study *s, const json_t *own, int base, int task,
                          int variant);

#endif
