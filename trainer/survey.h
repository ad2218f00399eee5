/* What is remarkable about a data set, before anything is trained on it: how long its rows are,
 * which are there twice, whether eval rows are among them or have answers that it does not teach,
 * how its answers are spread. What
 * `lorafs rows`, `lorafs train`, an adapter's `status` and its metrics.json say of it is made here.
 * Pure; any thread. */
#ifndef LF_TRAINER_SURVEY_H
#define LF_TRAINER_SURVEY_H

#include "core/err.h"
#include "trainer/dataset.h"
#include "trainer/limits.h"

#include <jansson.h>
#include <stdint.h>

/* An answer is what a row learns last: a label, where a data set has few of them. */
struct lf_survey_answer {
    int64_t row, n; /* the first that has it; rows that have */
};

struct lf_survey {
    struct lf_dataset_report report;
    int median, p90, p99; /* ids of a row; report.n_max is the longest */
    int64_t duplicates;   /* rows that are another's again, ids and what is learnt */
    int64_t duplicate[2]; /* places of the first such pair */
    int64_t leaks;        /* eval rows that are rows here, too */
    int64_t leak[2];      /* of the first: its place, and that of the row here */
    char eval_sha256[65]; /* of the eval rows' file; "": there was none */
    struct lf_survey_answer answers[LF_SURVEY_ANSWERS_MAX]; /* by how many rows have them */
    int n_answers;        /* 0: they are no labels; most rows have one of their own */
    int64_t unknown;      /* eval rows whose answer is a label that no row here has */
    int64_t unknown_line; /* of the first */
    int64_t unwanted;     /* rows whose completion is not wanted, of kto */
};

/* eval may be NULL, and so may limits, whose go_on is asked. Takes 32 MB at the most. */
enum lf_err lf_survey_make(struct lf_survey *out, const struct lf_dataset *d,
                           const struct lf_dataset *eval, const struct lf_dataset_limits *limits,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* What a person should know, a sentence each: a list of strings, yours; empty where nothing is.
 * NULL: no memory. */
json_t *lf_survey_warnings(const struct lf_survey *s);
/* Such a list in one line, parted by "; ". "" where there are none. */
enum lf_err lf_survey_line(struct lf_buf *out, const json_t *warnings) LF_MUST_CHECK;
/* For metrics.json: rows, how many were held out of them, tokens, lengths, what was cut and lost,
 * duplicates, leaks, warnings, sha256 and, where there were eval rows, eval_sha256. */
json_t *lf_survey_json(const struct lf_survey *s);

#endif
