/* The forms in which people have rows, made into the three that are trained on: prompt and
 * completion, messages, ready-made ids. Private to trainer/. */
#ifndef LF_TRAINER_FORM_H
#define LF_TRAINER_FORM_H

#include "core/err.h"
#include "trainer/settings.h"

#include <jansson.h>
#include <stdbool.h>

#define LF_NO_LOSS (-100) /* in ready-made labels, as Hugging Face has it */

/* *out, yours: the row under the names that config.json's "columns" gives its members, without
 * nulls in what chooses its form, as
 *   {"messages", "tools"}       what has turns: ShareGPT's "conversations", TRL's "prompt" and
 *                               "completion" as lists (the prompt's of weight 0), a "system" text
 *                               in front of turns without one;
 *   {"prompt", "completion"}    what config.json's "template" and "completion" say, or the columns
 *                               of the table in form.c; {"text"} is a completion of no prompt;
 *   {"input_ids", ...}          as it is.
 * *form: how the row is asked for, one of lf_ask_* (trainer/ask.h). */
enum lf_err lf_row_normal(json_t **out, const char **form, const json_t *row,
                          const struct lf_train_settings *s, struct lf_diag *diag) LF_MUST_CHECK;

/* The prompt of the table's form of that name, of a row that has its question's column; *found
 * false where the table has no such form. */
enum lf_err lf_form_prompt(struct lf_buf *out, const char *form, const json_t *row, bool *found,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* The form of that name, as lf_row_normal says it; NULL: there is none. Static storage. */
const char *lf_form_name(const char *name);
/* The column that a text alone is of, in that form: "instruction"; NULL as above. */
const char *lf_form_column(const char *form);

/* Gives a row's members the names that config.json's "columns" has for them. */
enum lf_err lf_row_columns(json_t *row, const char *columns, struct lf_diag *diag) LF_MUST_CHECK;
/* It has a prompt, or a column of the table that is asked, and may have its answer in "answer". */
bool lf_row_is_asked(const json_t *row);

/* The member is a text, a number or a boolean. */
enum lf_err lf_row_text(const json_t *row, const char *name, struct lf_diag *diag) LF_MUST_CHECK;

/* What a row's loss weighs beside others', 0 or LF_ROW_WEIGHT_MIN to LF_ROW_WEIGHT_MAX: its
 * "weight", a number or the text of one; 1 where it has none, or a template of the settings makes
 * use of that column. */
enum lf_err lf_row_weight(double *out, const json_t *row, const struct lf_train_settings *s,
                          struct lf_diag *diag) LF_MUST_CHECK;

/* Of a normal row's message: "weight" 0 or 1, "train" or "training"; an answer of weight 0 is
 * context alone. */
enum lf_err lf_turn_check(const json_t *message, size_t number, struct lf_diag *diag) LF_MUST_CHECK;
bool lf_turn_is_learnt(const json_t *message);

#endif
