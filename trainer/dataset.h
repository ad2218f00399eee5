/* Datasets: JSON lines to token rows whose completions alone carry loss.
 *
 * A row is an object, in one of these forms; other members are ignored:
 *   {"prompt": "...", "completion": "..."}      the plain one
 *   {any columns}                               with a template in the settings for the prompt, and
 *                                               one for the completion where that has another name
 *   {"instruction", "input", "output"}, {"question", "answer"} and others of the table in form.c
 *   {"messages": [{"role", "content"}, ...]}    through the checkpoint's chat template ("tools"
 *                                               too); every assistant turn carries loss
 *   {"text": "..."}                             all of it is learnt
 *   {"input_ids": [...], "labels": [...]}       ready made, as Hugging Face has it: labels stand
 *                                               over their ids, -100 carries no loss; without
 *                                               labels all ids carry it
 * With a loss of preferences (config.json's "loss") a row is {"prompt", "chosen", "rejected"}, or
 * what trainer/pair.h has beside that: a pair of texts that begin alike, one behind the other. For
 * kto a pair is two rows, of which the second one is unwanted.
 *
 * A row's "weight" is that of its loss: a step's loss is the mean of its tokens' losses by their
 * rows' weights. Those of weight 0 are left out.
 *
 * The end-of-text token follows every completion and is learnt. Prompt and completion are tokenised
 * apart, so that a prompt has the ids that lf_prompt_encode gives when text is generated from it.
 *
 * A row over max_length loses what carries no loss from the left first (a bos stays), then ids from
 * the right. Rows that have nothing left to learn are left out and named in the report.
 *
 * Rows are on disk (trainer/row_file.h), tokenised and mapped: what memory holds does not grow with
 * them, but for 8 bytes a row. A mapped row that cannot be read any more is a SIGBUS, as a base's
 * weights are. Immutable after load.
 */
#ifndef LF_TRAINER_DATASET_H
#define LF_TRAINER_DATASET_H

#include "core/err.h"
#include "model/model.h"
#include "trainer/settings.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* One row, as the model reads it. labels[i] is the token to predict after ids[i], or -1. Ids after
 * the last label are left out: nothing depends on them. */
struct lf_row {
    const int32_t *ids, *labels; /* (n) */
    int n;
    int n_supervised;
    int n_chosen;  /* of a pair: ids of the chosen text, behind which is the rejected one; else n */
    bool unwanted; /* kto: it is to become less likely */
    double weight; /* of its tokens' losses in every mean: its own, times its class's; not 0 */
    int64_t line;  /* in the file, from 1 */
};
/* Its texts, one after the other: returns how many there are. */
int lf_row_texts(const struct lf_row *r, struct lf_row out[2]);

struct lf_dataset_report {
    int64_t lines, rows; /* rows are the usable ones */
    int64_t tokens, supervised_tokens;
    int64_t cut_prompts;     /* prompts shortened to fit max_length */
    int64_t cut_completions; /* completions shortened: their end is not learnt */
    int64_t lost;            /* rows left out: empty completion, nothing of it fits, or the chosen
                                one is the rejected one */
    int64_t lost_lines[8];   /* the first of them, by line */
    int n_max;               /* the longest row, tokens */
    int positions;           /* the base's, where max_length is more: rows hold no more; else 0 */
    int64_t held_out;        /* usable rows that lf_dataset_hold_out took away */
    char sha256[65];         /* of the file's bytes */
    const char *form;        /* how the first usable row is asked for (trainer/ask.h) */
    int64_t other_forms;     /* rows that would be asked for otherwise */
    int64_t other_line;      /* the first of them */
};

struct lf_budget;
struct lf_dataset;

struct lf_dataset_limits {
    struct lf_budget *budget; /* core/budget.h: what it takes of memory, until lf_dataset_free */
    /* Or NULL. Asked with each row: false is LF_E_CANCELLED. done: how much of the work is done, 0
     * to 1. */
    bool (*go_on)(void *arg, double done);
    void *arg;
    const char *dir;  /* where tokenised rows go; NULL: TMPDIR, else /var/tmp */
    const char *rows; /* with dir: the name of their file there, which stays. One that was made of
                         this very file, with these settings and base, is taken as it is. NULL: they
                         have no name and go with the dataset */
};

/* Parses and tokenises. The first bad line is LF_E_INVALID: "line 17: ...". A dataset with no
 * usable row is refused, saying why rows were lost. keep_text keeps completions and other members,
 * for evaluation by generation: the latter in memory; of pairs the chosen text, and unwanted rows
 * are left out. limits: or NULL. Yours, free with lf_dataset_free. */
enum lf_err lf_dataset_load(struct lf_dataset **out, const char *path, const struct lf_model *m,
                            const struct lf_train_settings *s, bool keep_text,
                            const struct lf_dataset_limits *limits,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_dataset_free(struct lf_dataset *d);
/* Takes about `share` of the rows (0 to 0.5) out of *d for evaluation, chosen by what they hold: a
 * row stays where it is when others come or go, and rows that are equal stay together. At least one
 * goes and one stays, so that in a small set the two extremes may move. *held is NULL where all
 * rows are the same. Both are then yours, in any order. A failure leaves *d as it is. */
enum lf_err lf_dataset_hold_out(struct lf_dataset **d, struct lf_dataset **held, double share,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* The same rows again, for another that frees them. Yours; NULL: no memory. */
struct lf_dataset *lf_dataset_share(struct lf_dataset *d);
int64_t lf_dataset_rows(const struct lf_dataset *d);
void lf_dataset_row(const struct lf_dataset *d, int64_t i, struct lf_row *out);
/* Of what the row holds, ids and labels; the same in every run. */
uint64_t lf_row_hash(const struct lf_row *r);
/* The same of row i. */
uint64_t lf_dataset_hash(const struct lf_dataset *d, int64_t i);
void lf_dataset_report(const struct lf_dataset *d, struct lf_dataset_report *out);
/* Tokens of an optimizer step, on average. */
int64_t lf_dataset_step_tokens(const struct lf_dataset *d, const struct lf_train_settings *s);
/* For evaluation by generation: the ids before the row's last answer (returns their number, at
 * least 1), and the text of that run, NULL for ready-made ids and without keep_text.
 * Borrowed. */
int lf_dataset_prompt(const struct lf_dataset *d, int64_t i, const int32_t **ids);
const char *lf_dataset_completion(const struct lf_dataset *d, int64_t i);
/* With keep_text: the row's members but for the forms' own, an object; NULL where it has none.
 * Borrowed. */
const json_t *lf_dataset_columns(const struct lf_dataset *d, int64_t i);

/* The cheap check of FLUSH: every line parses and has what a row needs; no tokenizer. A last line
 * without '\n' that does not parse is named as cut off. Reads at most LF_DATASET_BYTES_MAX.
 * limits: or NULL. */
enum lf_err lf_dataset_check(const char *path, const struct lf_train_settings *s,
                             const struct lf_dataset_limits *limits,
                             struct lf_diag *diag) LF_MUST_CHECK;

/* Calls fn with each row of a file, but for unwanted ones: `normal`, of a pair the chosen text's,
 * has "messages", "input_ids", or "prompt" and "completion" (trainer/form.h), and the row itself;
 * both are borrowed. What fn answers but LF_OK ends it and is the answer. */
typedef enum lf_err (*lf_row_fn)(void *arg, json_t *normal, json_t *row, struct lf_diag *diag);
enum lf_err lf_dataset_each(const char *path, const struct lf_train_settings *s, lf_row_fn fn,
                            void *arg, struct lf_diag *diag) LF_MUST_CHECK;
/* How the first row of a file is asked for (trainer/ask.h): static storage. */
enum lf_err lf_dataset_form(const char **out, const char *path, const struct lf_train_settings *s,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* A prompt template: {column} is replaced by the row's column, {{ and }} are braces. Unknown
 * columns are LF_E_INVALID, listing the row's. `row` is an object; what is not a string prints as
 * JSON, null as nothing. */
enum lf_err lf_template_render(struct lf_buf *out, const char *template_, const json_t *row,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* The names of the row's members, for a reason: "a, b", or "nothing". Returns out. */
#define LF_MEMBERS_BYTES 256
const char *lf_row_members(char out[LF_MEMBERS_BYTES], const json_t *row);
/* {column} names are well formed, braces are balanced. */
enum lf_err lf_template_check(const char *template_, struct lf_diag *diag) LF_MUST_CHECK;

/* The name of the template's column where it names no other: "{question}?" asks for "question".
 * Else `name` stays as it is. */
void lf_template_only(const char *template_, char *name, size_t size);

/* The token ids a prompt is generated from: what training put before the completion. Special tokens
 * that the post-processor puts before a text are there, those it puts after are not. */
enum lf_err lf_prompt_encode(struct lf_ids *out, const struct lf_model *m, const char *prompt,
                             size_t n, struct lf_diag *diag) LF_MUST_CHECK;

#endif
