/* Evaluations during a training: how often, which was the best, when it has had enough. A loss over
 * the same rows is compared with itself, so whoever trained longest is not taken for the best.
 * Private to trainer/. */
#ifndef LF_TRAINER_BEST_H
#define LF_TRAINER_BEST_H

#include "core/progress.h"
#include "trainer/plan.h"

struct lf_best {
    float
        *params; /* (n of the adapter) as they were then; NULL: none, or they are not kept; owned */
    int64_t step; /* after which it was made; 0: there was none yet */
    double loss;  /* of it */
    struct lf_rewards rewards;
    int64_t seen; /* the step of the last evaluation; 0: none */
    int misses;   /* evaluations since the best */
};

/* Steps between evaluations, 0: only at the end. Where the settings leave it open: ten in all,
 * fewer where they would take more than a tenth of the time. A pass over evaluation rows is counted
 * as half of one over as many tokens that train. */
int64_t lf_best_every(const struct lf_plan *p, const struct lf_dataset *eval);
/* An evaluation after `step` had this loss. True: it is the best. The same step again, as after a
 * resumption, changes nothing. */
bool lf_best_see(struct lf_best *b, int64_t step, double loss);

#endif
