/* Rows of preferences, taken apart into ordinary rows of one completion each. Private to trainer/.
 *
 *   {"prompt", "chosen", "rejected"}    texts, or lists of messages; the prompt may be made by a
 *                                       template or of the columns that form.c knows
 *   {"chosen", "rejected"}              the prompt is what they begin with alike: whole messages,
 * of texts whole words. So it is too where they are messages and "prompt" is a text, which repeats
 * what they say
 *   {"input", "preferred_output",       OpenAI's: the prompt is the input's messages
 *    "non_preferred_output"}
 *   {"prompt_ids", "chosen_ids",        ready-made ids, as TRL has tokenised rows
 *    "rejected_ids"}
 *   {"prompt", "completion", "label"}   kto's: label says whether the completion is wanted. The
 * forms above are two such rows; of ids it is "completion_ids" */
#ifndef LF_TRAINER_PAIR_H
#define LF_TRAINER_PAIR_H

#include "core/err.h"
#include "trainer/settings.h"

#include <jansson.h>
#include <stdbool.h>

struct lf_pair {
    json_t *row[2];             /* (n) the chosen, the rejected one; owned */
    int n;                      /* 1: of kto's labels */
    bool unwanted;              /* then: the label is false */
    struct lf_train_settings s; /* by which these are read; borrows what it was made of */
};

/* A row of one of these forms. Free with lf_pair_free, also after a failure. */
enum lf_err lf_pair_split(struct lf_pair *out, const json_t *row, const struct lf_train_settings *s,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_pair_free(struct lf_pair *p);
/* Whether its k-th row has a completion that is to become less likely. */
static inline bool lf_pair_is_unwanted(const struct lf_pair *p, int k)
{
    return p->n == 1 ? p->unwanted : k == 1;
}

#endif
