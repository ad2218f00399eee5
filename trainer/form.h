/* The forms in which people have rows, made into the three that are trained on: prompt and
 * completion, messages, ready-made ids. Private to trainer/. */
#ifndef LF_TRAINER_FORM_H
#define LF_TRAINER_FORM_H

#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>

/* *out, yours: the row without nulls in what chooses its form, and
 *   ShareGPT's {"conversations": [{"from", "value"}]}           as "messages";
 *   TRL's {"prompt": [messages], "completion": [messages]}      as "messages", the prompt's of
 *                                                               weight 0;
 *   {"text"} without a template                                 as a completion of no prompt;
 *   contents that are lists of text parts                       as text.
 * template_: the dataset's, or NULL. */
enum lf_err lf_row_normal(json_t **out, const json_t *row, const char *template_,
                          struct lf_diag *diag) LF_MUST_CHECK;

/* Of a normal row's message: "weight" 0 or 1, "train" or "training"; an answer of weight 0 is
 * context alone. */
enum lf_err lf_turn_check(const json_t *message, size_t number, struct lf_diag *diag) LF_MUST_CHECK;
bool lf_turn_is_learnt(const json_t *message);

#endif
