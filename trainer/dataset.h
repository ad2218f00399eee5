/* Datasets: JSON lines to token rows whose completions alone carry loss.
 *
 * A row is {"prompt", "completion"}; or any columns with a template for the prompt and a
 * "completion"; or {"messages": [...]} through the checkpoint's chat template (the assistant's
 * turns carry loss); or {"input_ids", "labels"} ready made (-100: no loss). The end-of-text token
 * follows every completion and is learnt. Host data; immutable after load.
 */
#ifndef LF_TRAINER_DATASET_H
#define LF_TRAINER_DATASET_H

#include "core/err.h"
#include "model/model.h"
#include "trainer/settings.h"

#include <stdint.h>

/* One row. ids (n); labels (n): labels[i] is the token to predict after ids[i], or -1. */
struct lf_row {
    const int32_t *ids, *labels;
    int n;
    int n_supervised;
    int64_t line;            /* in the file, from 1 */
};

struct lf_dataset_report {
    int64_t lines, rows;     /* rows are the usable ones */
    int64_t tokens, supervised_tokens;
    int64_t cut_prompts;     /* prompts shortened to fit max_length */
    int64_t cut_completions; /* completions shortened */
    int64_t lost;            /* rows left out: empty completion, or nothing of it fits */
    int64_t lost_lines[8];   /* the first of them, by line */
    int n_max;               /* the longest row, tokens */
    char sha256[65];         /* of the file's bytes */
};

struct lf_dataset;

/* Parses and tokenises. The first bad line is LF_E_INVALID: "line 17: ...". A dataset with no
 * usable row is refused, saying why rows were lost. Yours, free with lf_dataset_free. */
enum lf_err lf_dataset_load(struct lf_dataset **out, const char *path, const struct lf_model *m,
                            const struct lf_train_settings *s, struct lf_diag *diag) LF_MUST_CHECK;
void lf_dataset_free(struct lf_dataset *d);
int64_t lf_dataset_rows(const struct lf_dataset *d);
void lf_dataset_row(const struct lf_dataset *d, int64_t i, struct lf_row *out);
void lf_dataset_report(const struct lf_dataset *d, struct lf_dataset_report *out);
/* The row's prompt and completion as text, for evaluation by generation; NULL for ready-made ids.
 * Borrowed. */
const char *lf_dataset_prompt(const struct lf_dataset *d, int64_t i);
const char *lf_dataset_completion(const struct lf_dataset *d, int64_t i);

/* The cheap check of FLUSH: every line parses and has what a row needs; no tokenizer. A last line
 * without '\n' that does not parse is named as cut off. Reads at most LF_DATASET_BYTES_MAX. */
enum lf_err lf_dataset_check(const char *path, const struct lf_train_settings *s,
                             struct lf_diag *diag) LF_MUST_CHECK;

/* A prompt template: {column} is replaced by the row's column, {{ and }} are braces. Unknown columns
 * are LF_E_INVALID, listing the row's. `row` is an object; numbers and booleans print as JSON. */
struct lf_buf;
enum lf_err lf_template_render(struct lf_buf *out, const char *template_, const json_t *row,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* {column} names are well formed, braces are balanced. */
enum lf_err lf_template_check(const char *template_, struct lf_diag *diag) LF_MUST_CHECK;

/* The token ids a prompt is generated from: what training put before the completion. */
enum lf_err lf_prompt_encode(struct lf_ids *out, const struct lf_model *m, const char *prompt,
                             size_t n, struct lf_diag *diag) LF_MUST_CHECK;

#endif
