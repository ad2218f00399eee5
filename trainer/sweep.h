/* Sweeps: settings of which some have several values, as trainings beside each other. All are of
 * the same rows, so that their losses on the same evaluation rows can be compared; fused, they
 * share the passes over the base. With "trials" so many combinations are drawn.
 *
 * Successive halving: after up to three rungs, the last at "halving" of a training's steps, each
 * other at half of the next, the better part of those that are left goes on: of 8 trainings 4, 2
 * and 1. Each costs its tokens, so that 8 with "halving" 1/4 cost 8/16 + 4/16 + 2/8 + 3/4 = 1.75
 * of one, and not 8. Pure; any thread. */
#ifndef LF_TRAINER_SWEEP_H
#define LF_TRAINER_SWEEP_H

#include "core/err.h"
#include "trainer/dataset.h"
#include "trainer/settings.h"
#include "trainer/trainer.h"

#include <jansson.h>

struct lf_sweep {
    int n;
    struct lf_train_settings *settings; /* (n) of one value each; owned */
    json_t **chosen;                    /* (n) {"learning_rate": 0.001}; owned */
    int rungs;                          /* of successive halving; 0: all run to their ends */
    double last;                        /* the last rung, a part of the steps */
    struct lf_eval_steps *rung;         /* (n) steps of each training's rungs; owned */
};

/* The trainings of settings with s->sweep. The same settings give the same ones, in the same order.
 * LF_E_INVALID: they are too many. Yours, lf_sweep_free. */
enum lf_err lf_sweep_expand(struct lf_sweep *out, const struct lf_train_settings *s,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_sweep_free(struct lf_sweep *w);
/* With these rows: the steps of the rungs, after which each training is to be evaluated. None is
 * before the warm-up is over, nor before the eighth step. */
enum lf_err lf_sweep_place_rungs(struct lf_sweep *w, const struct lf_dataset *train,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* So many go on after rung `rung` < rungs. */
int lf_sweep_survivors(const struct lf_sweep *w, int rung);

#endif
