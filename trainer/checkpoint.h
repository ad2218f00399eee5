/* Checkpoints: all a job needs to go on as if it had never stopped, in one safetensors file that is
 * there wholly or not at all. Written beside the training, on a thread of its own.
 * Private to trainer/. */
#ifndef LF_TRAINER_CHECKPOINT_H
#define LF_TRAINER_CHECKPOINT_H

#include "core/err.h"
#include "core/file.h"
#include "trainer/best.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_checkpoint {
    char digest[LF_SHA256_HEX]; /* of settings, dataset, base and start: whose it is */
    int64_t step, tokens;
    double seconds;
    double loss_sum, loss_weight; /* of the smoothed loss */
    size_t n;                     /* parameters */
    size_t moments_bytes;         /* of the optimizer's moments (model/moments.h) */
    bool moments8;                /* which are of 8 bits */
    float *data;                  /* (n) parameters, then the moments; owned */
    struct lf_best best;          /* as of then; its params (n), or NULL; owned */
};
void lf_checkpoint_free(struct lf_checkpoint *c); /* what it owns */

/* The moments. */
static inline void *lf_checkpoint_moments(const struct lf_checkpoint *c)
{
    return c->data + c->n;
}
/* Into c, of which digest, n and what is said of the moments are set. LF_E_NOT_FOUND where there is
 * none; LF_E_INVALID where it is another job's; LF_E_DAMAGED. Yours, lf_checkpoint_free. */
enum lf_err lf_checkpoint_read(struct lf_checkpoint *c, const char *dir,
                               struct lf_diag *diag) LF_MUST_CHECK;

/* One write under way. Zero-initialised: none. */
struct lf_checkpoint_writer {
    bool busy; /* a thread is there and not joined */
    pthread_t thread;
    atomic_bool finished;
    struct lf_checkpoint c;
    const char *dir; /* borrowed */
    enum lf_err rc;  /* of the last write, once it is over */
    struct lf_diag diag;
};

/* Takes what c owns, also on failure. Nothing may be under way. */
enum lf_err lf_checkpoint_start(struct lf_checkpoint_writer *w, const struct lf_checkpoint *c,
                                const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* True once for each write, when it is over: see w->rc, w->diag and w->c.step. `wait` waits
 * for one that is under way. */
bool lf_checkpoint_over(struct lf_checkpoint_writer *w, bool wait);

#endif
