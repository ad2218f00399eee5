/* Preferences between a batch's forward and its backward: what its losses say of rows, and what
 * their tokens weigh in the gradient. */
#include "core/lock.h"
#include "trainer/job.h"

#include <math.h>

static struct lf_preference *known_of(const struct lf_piece *p)
{
    return &p->job->known[p->index % p->job->n_known];
}

/* The completion's log-probability in this role. */
static void note(const struct lf_piece *p, const struct lf_batch_losses *l)
{
    struct lf_preference *k = known_of(p);
    double sum = 0;
    for (int i = p->n_before; i < l->n; i++)
        sum -= l->loss[i];
    k->logp[p->role] = sum;
    k->n[p->role] = l->n - p->n_before;
}

/* How far the adapter is from the base: the mean over the row's group. */
static double distance(const struct lf_piece *p)
{
    const struct lf_job *j = p->job;
    struct lf_row_group g = lf_job_group(j, p->eval, p->index);
    double sum = 0;
    for (int64_t i = g.first; i < g.first + g.n; i++) {
        const struct lf_preference *k = &j->known[i % j->n_known];
        sum += k->logp[LF_TEXT_MIXED] - k->logp[LF_TEXT_BASE_MIXED];
    }
    return fmax(sum / g.n, 0);
}

/* A gradient of `slope` over the completion's log-probability: a token's loss is minus its part of
 * that. With orpo the tokens of the chosen text have their share in the mean loss, too. */
static void weigh_text(const struct lf_piece *p, const struct lf_batch_losses *l, double slope)
{
    bool plain = p->job->s.loss == LF_LOSS_ORPO && p->role == LF_TEXT_CHOSEN;
    for (int i = 0; i < l->n; i++)
        l->weight[i] = (plain ? l->weight[i] : 0) - (i < p->n_before ? 0 : (float)slope);
}

/* Of a chosen row, which the other text of its pair stands behind. */
static void weigh_row(struct lf_piece *p, const struct lf_batch_losses *of)
{
    const struct lf_job *j = p->job;
    struct lf_preference *k = known_of(p);
    struct lf_row row;
    lf_job_row(j, p->eval, p->index, &row);
    k->unwanted = row.unwanted;
    k->z = j->s.loss == LF_LOSS_KTO ? distance(p) : 0;
    p->outcome = lf_preference_loss(&j->s, k);
    if (p->eval)
        return;
    double weight = j->plan.row_weight[lf_plan_micro(&j->plan, (int)p->index)];
    int n = row.n_chosen < row.n ? 2 : 1;
    for (int i = 0; i < n; i++)
        weigh_text(&p[i], &of[i], weight * p->outcome.slope[i]);
}

/* A row's group may be on several devices, and what is run ahead for it. */
static void wait_for_others(struct lf_trainer *t)
{
    lf_lock_auto held = lf_lock(&t->weigh_lock);
    while (t->weighing > 0)
        pthread_cond_wait(&t->weigh_all, &t->weigh_lock);
}

void lf_portion_weigh(void *portion, const struct lf_batch_losses *of)
{
    struct lf_portion *p = portion;
    struct lf_piece *pieces = p->t->pieces;
    for (int i = 0; i < p->n; i++)
        if (pieces[p->at[i]].job->known)
            note(&pieces[p->at[i]], &of[i]);
    lf_portion_noted(p);
    wait_for_others(p->t);
    for (int i = 0; i < p->n; i++)
        if (pieces[p->at[i]].job->known && pieces[p->at[i]].role == LF_TEXT_CHOSEN)
            weigh_row(&pieces[p->at[i]], &of[i]);
}
