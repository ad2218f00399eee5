/* What a job trains on, step by step: a pure function of settings, dataset and step number, so that
 * it can be taken up anywhere. Private to trainer/. */
#ifndef LF_TRAINER_PLAN_H
#define LF_TRAINER_PLAN_H

#include "core/err.h"
#include "core/rng.h"
#include "trainer/dataset.h"
#include "trainer/settings.h"

#include <stdint.h>

/* "epochs": "auto": so many passes over the rows, and where that is less than so many steps more,
 * up to the most. 12 rows are learnt by the embedded base in 25 steps, and not in 10. */
#define LF_PLAN_AUTO_EPOCHS 3
#define LF_PLAN_AUTO_STEPS 30
#define LF_PLAN_AUTO_EPOCHS_MOST 25

/* What a key of random numbers is for, so that no two uses of a seed share one. */
enum lf_train_purpose { LF_FOR_ORDER = 0x6f72646572, LF_FOR_DROPOUT = 0x64726f70 };

/* Key number i for a purpose. */
static inline uint64_t lf_train_key(uint64_t seed, enum lf_train_purpose purpose, uint64_t i)
{
    struct lf_u32x4 r = lf_rng4(seed, i, (uint64_t)purpose);
    return (uint64_t)r.v[1] << 32 | r.v[0];
}

struct lf_plan {
    const struct lf_dataset *d;
    const struct lf_train_settings *s;
    int64_t steps, n_rows; /* of the job; rows with their repetitions */
    /* The order of one epoch */
    uint32_t *order; /* (rows of d) */
    int64_t epoch;   /* the one in `order`, or -1 */
    /* The step it stands at */
    int64_t step;
    uint32_t *rows; /* (n) of d, micro-batch after micro-batch */
    int n, n_micros;
    float *weight;     /* (n_micros) of the loss of each supervised token, times its row's weight */
    float *row_weight; /* (n_micros) of each row's, where the loss is one of preferences */
    /* Rows by their lines, (n_skipped), borrowed, in whose place the next one of their epoch comes
     */
    const int64_t *skipped;
    int n_skipped;
};

/* d and s must outlive it. Free with lf_plan_free, also after a failure. */
enum lf_err lf_plan_init(struct lf_plan *p, const struct lf_dataset *d,
                         const struct lf_train_settings *s, struct lf_diag *diag) LF_MUST_CHECK;
void lf_plan_free(struct lf_plan *p);
/* Stands at step `step` < steps. */
void lf_plan_go(struct lf_plan *p, int64_t step);
/* The micro-batch that row i of the step is in, and whether it is its last row. */
static inline int lf_plan_micro(const struct lf_plan *p, int i)
{
    return i / p->s->batch_size;
}
static inline int lf_plan_ends_micro(const struct lf_plan *p, int i)
{
    return (i + 1) % p->s->batch_size == 0 || i + 1 == p->n;
}
/* The dropout key of row i of the step. */
uint64_t lf_plan_drop_key(const struct lf_plan *p, int i);

#endif
