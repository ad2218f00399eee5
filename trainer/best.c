/* Which evaluation was the best. */
#include "trainer/best.h"

#define EVALUATIONS 10
#define SHARE 0.1 /* of the time, for evaluations that nobody asked for */
#define COST 0.5

int64_t lf_best_every(const struct lf_plan *p, const struct lf_dataset *eval)
{
    struct lf_dataset_report train, held;
    if (p->s->eval_every > 0)
        return p->s->eval_every;
    lf_dataset_report(p->d, &train);
    lf_dataset_report(eval, &held);
    double trained = (double)p->n_rows * (double)train.tokens / (double)train.rows;
    double n = SHARE * trained / (COST * (double)held.tokens);
    int64_t times = n < EVALUATIONS ? (int64_t)n : EVALUATIONS;
    return times > 1 ? (p->steps + times - 1) / times : 0;
}

bool lf_best_see(struct lf_best *b, int64_t step, double loss)
{
    if (b->seen > 0 && step <= b->seen)
        return false;
    b->seen = step;
    if (b->step > 0 && !(loss < b->loss)) {
        b->misses++;
        return false;
    }
    b->misses = 0;
    b->step = step;
    b->loss = loss;
    return true;
}
