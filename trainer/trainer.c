/* What came of the fused batch, and which steps are complete. */
#include "trainer/job.h"

#include <math.h>
#include <stdlib.h>

/* ---- Life ------------------------------------------------------------------------------------ */

enum lf_err lf_trainer_new(struct lf_trainer **out, struct lf_exec *x, struct lf_stream *stream,
                           struct lf_model *m, struct lf_slots *slots, int tokens_max,
                           struct lf_diag *diag)
{
    struct lf_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return lf_no_memory(diag, "a trainer");
    void *d_sumsq = NULL;
    lf_assert(stream == lf_exec_stream(x));
    pthread_mutex_init(&t->weigh_lock, NULL);
    pthread_cond_init(&t->weigh_all, NULL);
    t->m = m;
    enum lf_err rc = lf_portion_init(&t->own, x, slots, tokens_max, diag);
    t->own.t = t;
    t->sumsq = calloc(LF_JOBS_FUSED_MAX, sizeof *t->sumsq);
    if (rc == LF_OK && !t->sumsq)
        rc = lf_no_memory(diag, "a trainer");
    rc = rc ?: lf_trainer_make_room(t, NULL, diag);
    rc = rc ?: lf_device_alloc(stream->dev, &d_sumsq, LF_JOBS_FUSED_MAX * sizeof(float), diag);
    t->d_sumsq = d_sumsq;
    if (rc == LF_OK)
        *out = t;
    else
        lf_trainer_free(t);
    return rc;
}

void lf_trainer_free(struct lf_trainer *t)
{
    if (!t)
        return;
    while (t->n_jobs > 0)
        lf_job_free(t->jobs[t->n_jobs - 1]);
    lf_portion_deinit(&t->own);
    free(t->pieces);
    free(t->sumsq);
    free(t->mixed);
    lf_device_release(t->own.stream->dev, t->d_sumsq);
    pthread_cond_destroy(&t->weigh_all);
    pthread_mutex_destroy(&t->weigh_lock);
    free(t);
}

/* ---- What came back -------------------------------------------------------------------------- */

static void end_micro(struct lf_job *j, int i)
{
    struct lf_job_sums *s = &j->sums;
    double mean = lf_loss_mean(&s->micro);
    s->means += mean / j->plan.n_micros;
    s->step.tokens += s->micro.tokens;
    s->step.n_tokens += s->micro.n_tokens;
    s->step.rows += s->micro.rows;
    s->step.n_rows += s->micro.n_rows;
    s->micro = (struct lf_loss_sums){0};
    lf_job_report(j, &(struct lf_train_event){.kind = LF_TRAIN_MICRO,
                                              .micro = lf_plan_micro(&j->plan, i) + 1,
                                              .micro_loss = mean});
}

/* The loss of a sequence, and what it says of preferences. */
static bool is_finite(const struct lf_trainer *t, int i)
{
    return isfinite(t->pieces[i].result.loss_sum) && isfinite(t->pieces[i].outcome.loss);
}

/* The rows of the batch whose loss is not finite; none where that goes for all of several: then it
 * is the weights. */
static void find_fault(struct lf_job *j)
{
    const struct lf_trainer *t = j->t;
    int finite = 0, bad = 0;
    struct lf_row row;
    j->fault = (struct lf_train_fault){.not_finite = true};
    for (int i = 0; i < t->n; i++) {
        const struct lf_piece *p = &t->pieces[i];
        if (p->job != j || p->eval || p->role != LF_TEXT_CHOSEN)
            continue;
        if (is_finite(t, i)) {
            finite++;
        } else if (bad++ < LF_FAULT_LINES) {
            lf_job_row(j, false, p->index, &row);
            j->fault.lines[j->fault.n++] = row.line;
        }
    }
    if (finite == 0 && bad > 1)
        j->fault.n = 0;
}

static void fail_loss(struct lf_job *j, const struct lf_piece *p)
{
    struct lf_row row;
    struct lf_diag why;
    find_fault(j);
    lf_job_row(j, p->eval, p->index, &row);
    lf_fail(&why, LF_E_INVALID,
            "the loss is not finite at step %lld (%srow of line %lld); a lower learning_rate may "
            "help",
            (long long)j->now.step + !p->eval, p->eval ? "evaluation " : "", (long long)row.line);
    lf_job_end(j, LF_JOB_FAILED, &why);
}

/* What a row's own sequence adds to the means. */
static void add_loss(struct lf_loss_sums *s, const struct lf_piece *p)
{
    const struct lf_batch_result *r = &p->result;
    enum lf_loss loss = p->job->s.loss;
    bool chosen = p->role == LF_TEXT_CHOSEN;
    if (chosen && (loss == LF_LOSS_SUPERVISED || loss == LF_LOSS_ORPO)) {
        s->tokens += p->weight * r->loss_sum;
        s->n_tokens += p->weight * r->n_supervised;
    }
    if (chosen && loss != LF_LOSS_SUPERVISED) {
        s->rows += p->outcome.loss;
        s->n_rows++;
    }
}

static void add_rewards(struct lf_reward_sums *s, const struct lf_piece *p)
{
    const struct lf_job *j = p->job;
    struct lf_row row;
    if (p->role != LF_TEXT_CHOSEN || j->s.loss == LF_LOSS_SUPERVISED)
        return;
    lf_job_row(j, p->eval, p->index, &row);
    if (!row.unwanted) {
        s->chosen += p->outcome.reward[0];
        s->n_chosen++;
    }
    if (row.unwanted || row.n_chosen < row.n) {
        s->rejected += p->outcome.reward[!row.unwanted];
        s->n_rejected++;
    }
    s->n_rows++;
    s->n_right += p->outcome.right;
}

static void credit(struct lf_trainer *t, int i)
{
    const struct lf_piece *p = &t->pieces[i];
    struct lf_job *j = p->job;
    if (j->now.state != LF_JOB_RUNNING || j->step_broken)
        return;
    if (!is_finite(t, i)) {
        fail_loss(j, p);
        return;
    }
    bool last = p->role == LF_TEXT_CHOSEN; /* of the row's, or with its pair's other text */
    add_loss(p->eval ? &j->evaluation.loss : &j->sums.micro, p);
    add_rewards(p->eval ? &j->evaluation.rewards : &j->sums.rewards, p);
    if (p->eval || p->role > LF_TEXT_REJECTED)
        return;
    j->sums.tokens += p->n;
    if (last && lf_plan_ends_micro(&j->plan, (int)p->index))
        end_micro(j, (int)p->index);
}

/* Steps and evaluations whose rows have all come back. */
static enum lf_err finish(struct lf_trainer *t, struct lf_diag *diag)
{
    struct lf_job *jobs[LF_JOBS_FUSED_MAX];
    double norms[LF_JOBS_FUSED_MAX];
    int n = 0;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < t->n_jobs && rc == LF_OK; i++) {
        struct lf_job *j = t->jobs[i];
        if (j->now.state != LF_JOB_RUNNING)
            continue;
        if (j->evaluation.running && j->evaluation.turn.next == lf_dataset_rows(j->eval))
            rc = lf_job_eval_done(j, diag);
        else if (lf_job_step_full(j))
            jobs[n++] = j;
    }
    if (rc == LF_OK && n > 0)
        rc = lf_trainer_update_all(t, jobs, n, norms, diag);
    for (int i = 0; i < n && rc == LF_OK; i++) {
        if (jobs[i]->now.state != LF_JOB_RUNNING)
            continue;
        if (isfinite(norms[i])) {
            rc = lf_job_step_done(jobs[i], norms[i], diag);
        } else {
            struct lf_diag why;
            jobs[i]->fault = (struct lf_train_fault){.not_finite = true};
            lf_fail(&why, LF_E_INVALID,
                    "the gradient is not finite at step %lld; a lower learning_rate may help",
                    (long long)jobs[i]->now.step + 1);
            lf_job_end(jobs[i], LF_JOB_FAILED, &why);
        }
    }
    return rc;
}

enum lf_err lf_trainer_step(struct lf_trainer *t, int budget, int *active, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < t->n_jobs && rc == LF_OK; i++)
        rc = lf_job_poll(t->jobs[i], diag);
    if (rc != LF_OK)
        return rc;
    lf_trainer_form(t, budget > 0 && budget < t->own.tokens_max ? budget : t->own.tokens_max);
    if (t->n > 0)
        rc = lf_trainer_run(t, diag);
    for (int i = 0; i < t->n && rc == LF_OK; i++)
        credit(t, i);
    for (int i = 0; i < t->n_jobs && rc == LF_OK; i++)
        lf_job_mend(t->jobs[i]);
    if (rc == LF_OK && t->n > 0)
        rc = finish(t, diag);
    *active = 0;
    for (int i = 0; i < t->n_jobs; i++)
        *active += t->jobs[i]->now.state == LF_JOB_RUNNING;
    return rc;
}

int lf_trainer_tokens(const struct lf_trainer *t)
{
    return t->n_tokens;
}
