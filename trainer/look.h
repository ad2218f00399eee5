/* Rows before anything is trained on them: what is learnt of each, and which are wrong. What
 * `lorafs rows` and the daemon's page show is made here. Pure; any thread. */
#ifndef LF_TRAINER_LOOK_H
#define LF_TRAINER_LOOK_H

#include "core/buf.h"
#include "core/err.h"
#include "trainer/dataset.h"

#include <jansson.h>
#include <stdbool.h>

/* A run of ids that are learnt, or of ids that are not, as text: ids as numbers where the model has
 * no tokenizer. */
struct lf_row_piece {
    struct lf_buf text;
    bool learnt;
};
/* The text of ids, in place of what is there. */
enum lf_err lf_row_piece_text(struct lf_row_piece *p, const struct lf_model *m, const int32_t *ids,
                              int n, struct lf_diag *diag) LF_MUST_CHECK;

typedef enum lf_err (*lf_row_piece_fn)(void *arg, const struct lf_row_piece *p);
/* Calls fn with each piece of a row's text, from its first id to its last label. */
enum lf_err lf_row_each_piece(const struct lf_row *row, const struct lf_model *m,
                              lf_row_piece_fn fn, void *arg, struct lf_diag *diag) LF_MUST_CHECK;
/* [{"text", "learnt"}, ...]; bytes that are no UTF-8 are replaced. Yours. */
enum lf_err lf_row_pieces(json_t **out, const struct lf_row *row, const struct lf_model *m,
                          struct lf_diag *diag) LF_MUST_CHECK;

/* A file's rows, each of which is read, wrong or not, as far as the file can be read on:
 *
 *   {"unit": "line", "rows", "tokens", "supervised_tokens", "lost_rows", "cut_prompts",
 *    "cut_completions", "form",
 *    "n_faults", "faults": [{"place": 17, "reason"}, ...],
 *    "sample": [{"place", "kind", "tokens", "learnt", "pieces"}, ...]}
 *
 * sample: the first rows that are right, so many; with a loss of preferences "kind" says which text
 * of a row it is: "chosen", "rejected", "wanted", "unwanted". Of faults the first
 * LF_LOOK_FAULTS_MAX are listed. A file without a row is no failure. limits: or NULL; go_on is
 * asked with each row. Yours.
 */
enum lf_err lf_rows_look(json_t **out, const char *path, const struct lf_model *m,
                         const struct lf_train_settings *s, int64_t sample,
                         const struct lf_dataset_limits *limits,
                         struct lf_diag *diag) LF_MUST_CHECK;

#endif
