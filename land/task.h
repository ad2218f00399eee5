/* Tasks of a study: what a task is (a file of share/tasks, or the study's own metadata.yaml), and
 * its publisher's files made into rows that train and score. docs/land.md has the file's format.
 *
 *     struct lf_task *t;
 *     struct lf_task_rows made;
 *     lf_task_open(&t, "viggo", diag);
 *     lf_task_prepare(t, "downloads/viggo", "work/viggo", &(struct lf_task_options){0}, &made,
 *                     diag);
 *     -> work/viggo/train.jsonl   {"prompt", "completion"} a line: an adapter's dataset.jsonl
 *        work/viggo/test.jsonl    the same, and what the metric needs besides: its eval.jsonl
 *        work/viggo/config.json   metric, max_tokens and stop: its config.json, to be added to
 *        work/viggo/task.json     `made`, and the task's name, title, category and metric
 *
 * Host data, one thread a task. */
#ifndef LF_LAND_TASK_H
#define LF_LAND_TASK_H

#include "core/err.h"
#include "core/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* How near rows are to those that the task's name promises; a result must say so. */
enum lf_fidelity {
    LF_FIDELITY_UNKNOWN,     /* not stated */
    LF_FIDELITY_EXACT,       /* the publisher's rows and splits */
    LF_FIDELITY_NEAR,        /* the same corpus in another edition, or with rows missing */
    LF_FIDELITY_OTHER_SPLIT, /* the same data, but a part or another split of it */
    LF_FIDELITY_STAND_IN     /* other data in its place */
};
/* "unknown", "exact", "near", "other split", "stand-in". */
const char *lf_fidelity_name(enum lf_fidelity f);

/* A task's definition. Strings are its own, never NULL ("" where nothing is said). */
struct lf_task {
    char name[LF_NAME_MAX + 1];
    const char *title;    /* a phrase: "Sentence from video game data" */
    const char *category; /* "Classic NLP", "Coding", "Knowledge", "Reasoning", "Math", or own */
    const char *metric;   /* a name of score/metrics.h */
    const char *source;   /* whose data: "ViGGO (Juraska et al., 2019)" */
    const char *get;      /* how a user gets it */
    const char *licence;
    int shots; /* examples in front of a prompt: the first rows, which are then not trained on */
    int max_tokens; /* of a completion */
    const char *stop[LF_STOPS_MAX];
    int n_stop;
    /* Rows that the study names; 0: none, or not known. */
    int64_t study_train, study_validation, study_test;
    const char *evaluated; /* the split the study scored: "test", "validation" */
    json_t *file;          /* the definition as read; owned */
};

/* By name from the installed tasks (share/tasks), or by path where `what` has a '/' or ends in
 * .json or .yaml. LF_E_NOT_FOUND names the nearest task; LF_E_INVALID the file and the member. */
enum lf_err lf_task_open(struct lf_task **out, const char *what,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_task_close(struct lf_task *t);

/* All installed tasks, by name. Free with lf_task_list_free. */
enum lf_err lf_task_list(struct lf_task ***out, int *n, struct lf_diag *diag) LF_MUST_CHECK;
void lf_task_list_free(struct lf_task **list, int n);

/* Zero-initialised: the task's own ways. */
struct lf_task_options {
    int64_t train_max, test_max; /* rows kept, the first of them; 0: all */
    bool has_shots;              /* `shots` instead of the task's */
    int shots;
    /* Where the files give rows to train on alone, or to score alone: this share of them, in
     * percent, is scored and the rest trained on, and fidelity becomes LF_FIDELITY_OTHER_SPLIT.
     * 0: refused. */
    int test_percent;
};

/* What was made. */
struct lf_task_rows {
    int64_t train, test;             /* rows written */
    int64_t train_found, test_found; /* in the files, before what follows and the two maxima */
    int64_t left_out;                /* without an answer */
    int64_t leaked; /* rows to train on that were left out: their prompt is a test's */
    int shots;
    enum lf_fidelity fidelity;
    char fidelity_text[256]; /* in words: "stand-in: SICK 2014 three-way NLI" */
    char source[256];        /* whose data it was */
    char licence[256];
    bool prepared; /* the files had prompts and completions already */
};

/* Reads the task's files below `data` (or below data/<name>, where that is there) and writes the
 * four files of the head into `out`, which is made; what is there already is replaced, whole.
 * Prepared rows, a train.jsonl and a test.jsonl of {"prompt", "completion"}, are taken as they are,
 * with the fidelity that a task.json or a SOURCE.md beside them states. LF_E_NOT_FOUND: a file is
 * missing, and the reason says which and where one gets it. LF_E_INVALID: the reason names file
 * and line. Nothing is left behind on an error. */
enum lf_err lf_task_prepare(const struct lf_task *t, const char *data, const char *out,
                            const struct lf_task_options *o, struct lf_task_rows *made,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Reads task.json of a folder that lf_task_prepare wrote. */
enum lf_err lf_task_dir_read(struct lf_task_rows *out, const char *dir,
                             struct lf_diag *diag) LF_MUST_CHECK;

#endif
