/* The fused batch: who takes part, what came back, and which steps are complete. */
#include "trainer/job.h"

#include <math.h>
#include <stdlib.h>

/* ---- Life ------------------------------------------------------------------------------------ */

enum lf_err lf_trainer_new(struct lf_trainer **out, struct lf_exec *x, struct lf_stream *stream,
                           struct lf_model *m, struct lf_slots *slots, int tokens_max,
                           struct lf_diag *diag)
{
    const struct lf_exec_limits *limits = lf_exec_limits(x);
    if (limits->train_tokens_max < 1)
        return lf_fail(diag, LF_E_INVALID, "this exec has no room for training");
    struct lf_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return lf_no_memory(diag, "a trainer");
    t->x = x;
    t->stream = stream;
    t->m = m;
    t->slots = slots;
    t->tokens_max = limits->train_tokens_max;
    if (tokens_max > 0 && tokens_max < t->tokens_max)
        t->tokens_max = tokens_max;
    t->seqs_max = limits->seqs_max;
    size_t n = (size_t)t->seqs_max;
    t->batch = calloc(n, sizeof *t->batch);
    t->results = calloc(n, sizeof *t->results);
    t->pieces = calloc(n, sizeof *t->pieces);
    t->sumsq = calloc(LF_JOBS_FUSED_MAX, sizeof *t->sumsq);
    enum lf_err rc = LF_OK;
    void *d_sumsq = NULL;
    if (!t->batch || !t->results || !t->pieces || !t->sumsq)
        rc = lf_no_memory(diag, "a trainer");
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
    free(t->batch);
    free(t->results);
    free(t->pieces);
    free(t->sumsq);
    lf_device_release(t->stream->dev, t->d_sumsq);
    free(t);
}

/* ---- Forming --------------------------------------------------------------------------------- */

/* It runs and has rows for a batch. */
static bool ready(const struct lf_job *j)
{
    if (j->now.state != LF_JOB_RUNNING)
        return false;
    if (j->evaluation.running)
        return j->evaluation.next < lf_dataset_rows(j->eval);
    return j->sums.next < j->plan.n;
}

/* Puts one row into the batch; false where it does not fit any more. A row that is alone fits. */
static bool put(struct lf_trainer *t, int budget, const struct lf_piece *piece,
                const struct lf_batch_seq *seq)
{
    if (t->n > 0 && (t->n == t->seqs_max || t->n_tokens + seq->n > budget))
        return false;
    t->batch[t->n] = *seq;
    t->pieces[t->n++] = *piece;
    t->n_tokens += seq->n;
    return true;
}

/* NEFTune's, of a row of n tokens. */
static float noise_of(const struct lf_job *j, int n)
{
    return (float)(j->s.neftune_alpha / sqrt((double)n * j->t->m->config.C));
}

static bool put_train(struct lf_trainer *t, int budget, struct lf_job *j, int i)
{
    struct lf_row row;
    lf_dataset_row(j->train, j->plan.rows[i], &row);
    return put(t, budget, &(struct lf_piece){.job = j, .index = i, .n = row.n},
               &(struct lf_batch_seq){.ids = row.ids,
                                      .n = row.n,
                                      .slot = j->slot,
                                      .labels = row.labels,
                                      .loss_weight = j->plan.weight[lf_plan_micro(&j->plan, i)],
                                      .trains = true,
                                      .drop_p = (float)j->s.dropout,
                                      .noise = noise_of(j, row.n),
                                      .drop_key = lf_plan_drop_key(&j->plan, i)});
}

static bool put_eval(struct lf_trainer *t, int budget, struct lf_job *j, int64_t i)
{
    struct lf_row row;
    lf_dataset_row(j->eval, i, &row);
    return put(
        t, budget, &(struct lf_piece){.job = j, .eval = true, .index = i, .n = row.n},
        &(struct lf_batch_seq){.ids = row.ids, .n = row.n, .slot = j->slot, .labels = row.labels});
}

/* Rows of one job: to the end of its micro-batch, or as many evaluation rows. False: the batch is
 * full. */
static bool take_turn(struct lf_trainer *t, int budget, struct lf_job *j)
{
    if (j->evaluation.running) {
        int64_t n = lf_dataset_rows(j->eval);
        for (int k = 0; k < j->s.batch_size && j->evaluation.next < n; k++) {
            if (!put_eval(t, budget, j, j->evaluation.next))
                return false;
            j->evaluation.next++;
        }
        return true;
    }
    for (bool ends = false; !ends; j->sums.next++) {
        if (!put_train(t, budget, j, j->sums.next))
            return false;
        ends = lf_plan_ends_micro(&j->plan, j->sums.next);
    }
    return true;
}

/* Goes round the jobs, a micro-batch each, until the batch is full or nobody has rows. The first
 * that was ready and got nothing begins the next batch; where all got some, the next one does. */
static void form(struct lf_trainer *t, int budget)
{
    t->n = t->n_tokens = 0;
    bool full = false, got[LF_JOBS_FUSED_MAX] = {false};
    for (bool any = true; any && !full;) {
        any = false;
        for (int k = 0; k < t->n_jobs; k++) {
            int i = (t->turn + k) % t->n_jobs, before = t->n;
            if (!ready(t->jobs[i]))
                continue;
            full = !take_turn(t, budget, t->jobs[i]) || full;
            any = any || t->n > before;
            got[i] = got[i] || t->n > before;
        }
    }
    int first = t->turn;
    for (int k = 0; k < t->n_jobs; k++) {
        t->turn = (first + k) % t->n_jobs;
        if (ready(t->jobs[t->turn]) && !got[t->turn])
            return;
    }
    t->turn = t->n_jobs > 0 ? (first + 1) % t->n_jobs : 0;
}

/* ---- What came back -------------------------------------------------------------------------- */

static void credit_eval(struct lf_job *j, const struct lf_batch_result *r)
{
    j->evaluation.sum += r->loss_sum;
    j->evaluation.n += r->n_supervised;
}

static void end_micro(struct lf_job *j, int i)
{
    struct lf_job_sums *s = &j->sums;
    double mean = s->micro / (double)s->micro_n;
    if (j->s.loss_normalization == LF_LOSS_TOKENS)
        s->step += s->micro;
    else
        s->step += mean / j->plan.n_micros;
    s->step_n += s->micro_n;
    s->micro = 0;
    s->micro_n = 0;
    lf_job_report(j, &(struct lf_train_event){.kind = LF_TRAIN_MICRO,
                                              .micro = lf_plan_micro(&j->plan, i) + 1,
                                              .micro_loss = mean});
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
        if (t->pieces[i].job != j || t->pieces[i].eval)
            continue;
        if (isfinite(t->results[i].loss_sum)) {
            finite++;
        } else if (bad++ < LF_FAULT_LINES) {
            lf_dataset_row(j->train, j->plan.rows[t->pieces[i].index], &row);
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
    if (p->eval)
        lf_dataset_row(j->eval, p->index, &row);
    else
        lf_dataset_row(j->train, j->plan.rows[p->index], &row);
    lf_fail(&why, LF_E_INVALID,
            "the loss is not finite at step %lld (%srow of line %lld); a lower learning_rate may "
            "help",
            (long long)j->now.step + !p->eval, p->eval ? "evaluation " : "", (long long)row.line);
    lf_job_end(j, LF_JOB_FAILED, &why);
}

static void credit(struct lf_job *j, const struct lf_piece *p, const struct lf_batch_result *r)
{
    if (j->now.state != LF_JOB_RUNNING)
        return;
    if (!isfinite(r->loss_sum)) {
        fail_loss(j, p);
        return;
    }
    if (p->eval) {
        credit_eval(j, r);
        return;
    }
    j->sums.micro += r->loss_sum;
    j->sums.micro_n += r->n_supervised;
    j->sums.tokens += p->n;
    if (lf_plan_ends_micro(&j->plan, (int)p->index))
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
        if (j->evaluation.running && j->evaluation.next == lf_dataset_rows(j->eval))
            rc = lf_job_eval_done(j, diag);
        else if (!j->evaluation.running && j->sums.next == j->plan.n)
            jobs[n++] = j;
    }
    if (rc == LF_OK && n > 0)
        rc = lf_trainer_update(t, jobs, n, norms, diag);
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
    form(t, budget > 0 && budget < t->tokens_max ? budget : t->tokens_max);
    if (t->n > 0)
        rc = lf_exec_run(t->x, t->batch, t->n, t->results, diag);
    for (int i = 0; i < t->n && rc == LF_OK; i++)
        credit(t->pieces[i].job, &t->pieces[i], &t->results[i]);
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
