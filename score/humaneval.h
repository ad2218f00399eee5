/* HumanEval: completions that are programs. Private to score/. */
#ifndef LF_SCORE_HUMANEVAL_H
#define LF_SCORE_HUMANEVAL_H

#include "core/buf.h"

#include <jansson.h>

/* 1 where the program passes its test, else 0. row has "raw_prompt" (the function's head and
 * docstring), "test" (which defines check) and "entry_point" (the function's name). */
enum lf_err lf_humaneval(double *out, const char *completion, const json_t *row,
                         struct lf_diag *diag) LF_MUST_CHECK;

#endif
