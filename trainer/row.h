/* One dataset row: what form it has, and its ids and targets. Private to trainer/. */
#ifndef LF_TRAINER_ROW_H
#define LF_TRAINER_ROW_H

#include "core/buf.h"
#include "core/err.h"
#include "model/model.h"
#include "trainer/pair.h"
#include "trainer/settings.h"

#include <jansson.h>
#include <stdbool.h>

/* The parsed row has what its form needs. Reasons name the member, not the line. *empty: there is
 * nothing to learn in it. */
enum lf_err lf_row_check(const json_t *row, const struct lf_train_settings *s, bool *empty,
                         struct lf_diag *diag) LF_MUST_CHECK;

/* A row as ids, with targets over their ids: targets[i] is ids[i] where it is learnt (another id
 * only where a ready-made row says so), else -1. Zero-initialised, reused from row to row. */
struct lf_row_ids {
    struct lf_ids ids, targets;
    struct lf_buf completion; /* as text; empty for ready-made ids */
    const char *form;         /* how it is asked for: one of lf_ask's (trainer/ask.h) */
    bool cut_prompt, cut_completion;
    size_t n_prompt;  /* ids before the last run of targets that are the row's own */
    int n_supervised; /* targets after the first id; 0: the row is lost */
    double weight;    /* of its loss beside others'; 0: the row is lost */
};
void lf_row_ids_init(struct lf_row_ids *r);
void lf_row_ids_free(struct lf_row_ids *r);

/* max_length is s->max_length, and what the model has positions for. */
enum lf_err lf_row_encode(struct lf_row_ids *out, const json_t *row, const struct lf_model *m,
                          const struct lf_train_settings *s, struct lf_diag *diag) LF_MUST_CHECK;

/* Both rows of a pair. They keep the same prompt: what the longer one has no room for is cut from
 * either. With orpo all of the chosen row is learnt. */
enum lf_err lf_pair_encode(struct lf_row_ids out[2], const struct lf_pair *p,
                           const struct lf_model *m, struct lf_diag *diag) LF_MUST_CHECK;

#endif
