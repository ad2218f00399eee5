/* What a task's texts look like, in numbers: the study's complexity heuristics. */
#ifndef LF_LAND_FEATURES_H
#define LF_LAND_FEATURES_H

#include "core/err.h"
#include "text/tokenizer.h"
#include "land/report.h"

#include <stddef.h>

struct lf_land_row {
    const char *prompt, *completion; /* borrowed */
};

/* Fills out (LF_LAND_FEATURES) from n rows: lengths in tokens of `tok`; ROUGE-L of completion and
 * prompt; compressibility = bytes of prompt and completion deflated (zlib, level 9) over bytes.
 * Lengths count all rows; the two costly ones at most LF_LAND_FEATURE_ROWS, evenly spread. `total`
 * is the number of training rows there are (n may be a part of them). */
#define LF_LAND_FEATURE_ROWS 1000
enum lf_err lf_land_features(double *out, const struct lf_tokenizer *tok,
                             const struct lf_land_row *rows, size_t n, size_t total,
                             struct lf_diag *diag) LF_MUST_CHECK;

#endif
