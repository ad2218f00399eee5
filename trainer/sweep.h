/* Sweeps: settings of which some have several values, as trainings beside each other. All are of
 * the same rows, so that their losses on the same evaluation rows can be compared; fused, they
 * share the passes over the base. With "trials" so many combinations are drawn, and successive
 * halving ends the worse half of those that are left at each rung. Pure; any thread. */
#ifndef LF_TRAINER_SWEEP_H
#define LF_TRAINER_SWEEP_H

#include "core/err.h"
#include "trainer/dataset.h"
#include "trainer/settings.h"

#include <jansson.h>

struct lf_sweep {
    int n;
    struct lf_train_settings *settings; /* (n) of one value each; owned */
    json_t **chosen;                    /* (n) {"learning_rate": 0.001}; owned */
    int rungs;                          /* of successive halving; 0: all run to their ends */
};

/* The trainings of settings with s->sweep. The same settings give the same ones, in the same order.
 * LF_E_INVALID: they are too many. Yours, lf_sweep_free. */
enum lf_err lf_sweep_expand(struct lf_sweep *out, const struct lf_train_settings *s,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_sweep_free(struct lf_sweep *w);
/* Those that halve have evaluations at least at each rung. */
enum lf_err lf_sweep_evaluate(struct lf_sweep *w, const struct lf_dataset *train,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* The part of its steps that a training has done at rung `rung` < rungs: the last is half. */
double lf_sweep_rung(const struct lf_sweep *w, int rung);
/* Of so many at a rung, these go on. */
int lf_sweep_survivors(int n);

#endif
