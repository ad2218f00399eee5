/* A training that goes wrong is called so while it runs: its loss has become that of guessing, its
 * gradient is 0, or its loss climbs. Each is said once. Pure. Private to trainer/ but for
 * lf_loss_is_guess. */
#ifndef LF_TRAINER_WATCH_H
#define LF_TRAINER_WATCH_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

/* The loss is as good as that of who guesses among V ids, or worse. */
bool lf_loss_is_guess(double loss, int V);

/* Losses of some steps in a row. */
struct lf_watch_block {
    int64_t n, last; /* steps; the last one */
    double sum, squares;
};

struct lf_watch {
    int V;
    int64_t block_steps;               /* a twentieth of the run, at least 5 */
    struct lf_watch_block now, lowest; /* by its mean, of those before */
    int64_t guesses;                   /* steps in a row whose loss is a guess */
    bool knew;                         /* a step's was not */
    bool said_guess, said_zero, said_climb;
};

void lf_watch_init(struct lf_watch *w, int V, int64_t steps);
/* After step `step` (from 1). True: there is something to say, which is in *why. */
bool lf_watch_see(struct lf_watch *w, int64_t step, double loss, double grad_norm,
                  struct lf_diag *why);

#endif
