/* Preference losses: what DPO, ORPO and KTO make of a completion's log-probability, which is the
 * sum over its tokens', under the adapter and under the bare base, and how it ought to change. As
 * in TRL, whose trainers the tests compare with. Pure. Private to trainer/.
 *
 *   dpo   -log s(h), h = beta ((c - c0) - (r - r0)); with label_smoothing e, as DPO's authors have
 *         it, (1 - e) of that and e of -log s(-h). c, r: of the chosen and the rejected completion;
 * c0, r0: the base's orpo  the mean over all tokens of prompt and chosen completion of -log p, and
 * beta times -log s(log odds(c/n) - log odds(r/n)), odds(x) = p / (1 - p) of p = e^x. No base kto
 * 1 - s(beta ((c - c0) - z)) for a wanted completion, 1 - s(beta (z - (c - c0))) for an unwanted
 * one, times its weight. z: how far the adapter is from the base in general, the mean of log-ratios
 * of completions behind prompts that are not theirs, or 0 where that is negative; it has no
 * gradient
 *
 * A completion's reward is beta (c - c0), of orpo beta c/n. */
#ifndef LF_TRAINER_PREFERENCE_H
#define LF_TRAINER_PREFERENCE_H

#include "trainer/settings.h"

#include <stdbool.h>

/* What a sequence of a row is run for. */
enum lf_text_role {
    LF_TEXT_CHOSEN, /* the row itself, of a pair its chosen text; it trains */
    LF_TEXT_REJECTED,
    LF_TEXT_BASE_CHOSEN, /* the same under the bare base */
    LF_TEXT_BASE_REJECTED,
    LF_TEXT_MIXED, /* kto: the row's prompt, and another row's completion */
    LF_TEXT_BASE_MIXED,
    LF_TEXT_ROLES
};

/* The roles that are run before a row's own sequences, and take no gradient; returns how many. */
int lf_texts_ahead(enum lf_loss loss, const enum lf_text_role **roles);

/* What is known of a row. Of roles that its loss does not have there is nothing. */
struct lf_preference {
    double logp[LF_TEXT_ROLES]; /* over the completion's tokens */
    int n[LF_TEXT_ROLES];       /* of those */
    bool unwanted;              /* kto */
    double z;                   /* kto */
};

struct lf_preference_loss {
    double loss;      /* of orpo its odds ratio's part alone */
    double reward[2]; /* of chosen and rejected; kto: the first */
    double slope[2];  /* of the loss over logp[] of those */
    bool right;       /* the rewards are in the right order; kto: on the right side of z */
};
struct lf_preference_loss lf_preference_loss(const struct lf_train_settings *s,
                                             const struct lf_preference *p);

#endif
