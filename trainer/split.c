/* A batch and a step on all devices of a job. */
#include "gpu/sum.h"
#include "trainer/job.h"

#include <math.h>

static struct lf_slot *slot_of(const struct lf_replica *r)
{
    return &r->portion.slots->slot[r->slot];
}

/* ---- The batch ------------------------------------------------------------------------------- */

/* Forward and backward of what is in it. */
static enum lf_err run(struct lf_portion *p, struct lf_diag *diag)
{
    struct lf_trainer *t = p->t;
    if (p->n == 0)
        return LF_OK;
    enum lf_err rc = lf_exec_run_weighed(p->x, p->batch, p->n, t->weighs ? lf_portion_weigh : NULL,
                                         p, p->results, diag);
    lf_portion_noted(p);
    for (int i = 0; i < p->n && rc == LF_OK; i++)
        t->pieces[p->at[i]].result = p->results[i];
    return rc;
}

/* A slot's gradients, to the host. */
static void give(struct lf_stream *stream, const struct lf_slot *slot, float *grads)
{
    lf_stream_download(stream, grads, slot->grad, slot->shape.n_params * sizeof *grads);
}

static enum lf_err run_there(struct lf_replica *r, struct lf_diag *diag)
{
    enum lf_err rc = run(&r->portion, diag);
    if (rc != LF_OK || !lf_job_step_full(r->job))
        return rc;
    give(r->portion.stream, slot_of(r), r->grads);
    return lf_stream_wait(r->portion.stream, diag);
}

static void expect_notes(struct lf_job *j)
{
    for (int k = 0; k < j->n_replicas; k++) {
        struct lf_portion *p = &j->replica[k]->portion;
        p->noted = p->n == 0;
        j->t->weighing += p->n > 0;
    }
}

/* A step's last batch is of all, also of one that has no rows of it: it gives its gradients. */
static void ask_to_run(struct lf_job *j)
{
    for (int k = 0; k < j->n_replicas; k++)
        if (j->replica[k]->portion.n > 0 || lf_job_step_full(j))
            lf_replica_ask(j->replica[k], run_there);
}

enum lf_err lf_trainer_run(struct lf_trainer *t, struct lf_diag *diag)
{
    bool gave = false;
    t->own.noted = t->own.n == 0;
    t->weighing = t->own.n > 0;
    for (int i = 0; i < t->n_jobs; i++)
        expect_notes(t->jobs[i]);
    for (int i = 0; i < t->n_jobs; i++)
        ask_to_run(t->jobs[i]);
    enum lf_err rc = run(&t->own, diag);
    for (int i = 0; i < t->n_jobs && rc == LF_OK; i++) {
        struct lf_job *j = t->jobs[i];
        if (j->n_replicas == 0 || !lf_job_step_full(j))
            continue;
        give(t->own.stream, &t->own.slots->slot[j->slot], j->grads);
        gave = true;
    }
    if (rc == LF_OK && gave)
        rc = lf_stream_wait(t->own.stream, diag);
    for (int i = 0; i < t->n_jobs; i++)
        t->jobs[i]->step_broken = !lf_job_answers(t->jobs[i]);
    return rc;
}

/* ---- The step -------------------------------------------------------------------------------- */

static void ask_all(struct lf_job *j, lf_replica_work work)
{
    for (int k = 0; k < j->n_replicas; k++)
        lf_replica_ask(j->replica[k], work);
}

/* All devices' gradients into this one's, which is that of `me`; NULL: the job's own. */
static void sum(const struct lf_job *j, const struct lf_replica *me, struct lf_stream *stream,
                const struct lf_slot *slot)
{
    struct lf_sum_args a = {.y = slot->grad, .n = slot->shape.n_params};
    a.x[a.n_x++] = me ? j->grads : slot->grad;
    for (int k = 0; k < j->n_replicas; k++)
        a.x[a.n_x++] = j->replica[k] == me ? slot->grad : j->replica[k]->grads;
    lf_stream_sum(stream, &a);
}

/* Waits: the gradients that it read may change then. */
static enum lf_err sum_there(struct lf_replica *r, struct lf_diag *diag)
{
    sum(r->job, r, r->portion.stream, slot_of(r));
    return lf_stream_wait(r->portion.stream, diag);
}

static enum lf_err update_there(struct lf_replica *r, struct lf_diag *diag)
{
    (void)diag;
    lf_stream_upload(r->portion.stream, r->d_sumsq, &r->job->sumsq, sizeof r->job->sumsq);
    lf_exec_dora_grads(r->portion.x, r->slot);
    lf_job_adam(r->job, r->portion.stream, slot_of(r), r->d_sumsq);
    lf_exec_dora(r->portion.x, r->slot);
    return LF_OK;
}

/* Who leaves here is not needed any more: its gradients are with the others. */
enum lf_err lf_trainer_update_all(struct lf_trainer *t, struct lf_job *const *jobs, int n,
                                  double *norms, struct lf_diag *diag)
{
    for (int i = 0; i < n; i++) {
        if (jobs[i]->n_replicas == 0)
            continue;
        ask_all(jobs[i], sum_there);
        sum(jobs[i], NULL, t->own.stream, &t->own.slots->slot[jobs[i]->slot]);
        lf_job_answers(jobs[i]);
    }
    enum lf_err rc = lf_trainer_update(t, jobs, n, norms, diag);
    for (int i = 0; i < n && rc == LF_OK; i++) {
        if (!isfinite(norms[i]))
            continue;
        ask_all(jobs[i], update_there);
        lf_job_answers(jobs[i]);
    }
    return rc;
}

/* ---- A broken step --------------------------------------------------------------------------- */

static void clear(struct lf_stream *stream, const struct lf_slot *slot)
{
    lf_stream_zero(stream, slot->grad, slot->shape.n_params * sizeof *slot->grad);
}

static enum lf_err clear_there(struct lf_replica *r, struct lf_diag *diag)
{
    (void)diag;
    clear(r->portion.stream, slot_of(r));
    return LF_OK;
}

void lf_job_mend(struct lf_job *j)
{
    if (!j->step_broken || j->now.state != LF_JOB_RUNNING)
        return;
    clear(j->t->own.stream, &j->t->own.slots->slot[j->slot]);
    do
        ask_all(j, clear_there);
    while (!lf_job_answers(j));
    j->step_broken = false;
    j->sums = (struct lf_job_sums){0};
    j->evaluation = (struct lf_job_eval){.running = j->evaluation.running};
}
