/* The optimizer step of several jobs at once. */
#include "model/moments.h"
#include "trainer/job.h"

#include <math.h>

#define RUNS_APART 64
#define RUNS_OF_SITE 3

static struct lf_adam_args adam_args(const struct lf_job *j, const struct lf_slot *slot,
                                     const float *d_sumsq)
{
    const struct lf_train_settings *s = &j->s;
    float *moments = slot->moments; /* those of 8 bits are found tensor by tensor */
    return (struct lf_adam_args){.p = slot->master,
                                 .m = slot->moments8 ? NULL : moments,
                                 .v = slot->moments8 ? NULL : moments + slot->shape.n_params,
                                 .g = slot->grad,
                                 .copy = slot->copy == (void *)slot->master ? NULL : slot->copy,
                                 .sumsq = s->max_grad_norm > 0 ? d_sumsq : NULL,
                                 .n = slot->shape.n_params,
                                 .grad_scale = 1,
                                 .max_norm = (float)s->max_grad_norm,
                                 .lr = (float)lf_job_rate(j),
                                 .beta1 = 0.9f,
                                 .beta2 = (float)s->adam_beta2,
                                 .eps = 1e-8f,
                                 .weight_decay = (float)s->weight_decay,
                                 .decoupled = s->optimizer != LF_OPTIMIZER_ADAM,
                                 .step = (int)(j->now.step + 1)};
}

/* The part of a run from `off` on, at a rate of its own. */
static struct lf_adam_args part_of(enum lf_dtype act, const struct lf_adam_args *whole, size_t off,
                                   size_t n, double rate)
{
    struct lf_adam_args a = *whole;
    a.p += off;
    a.g += off;
    if (a.m) {
        a.m += off;
        a.v += off;
    }
    if (a.copy)
        a.copy = (char *)a.copy + off * lf_dtype_bytes(act);
    a.n = n;
    a.lr = (float)(a.lr * rate);
    return a;
}

static bool goes_apart(const struct lf_job *j, const struct lf_slot *slot)
{
    return j->s.lora_plus != 1 || slot->moments8;
}

/* LoRA+, and moments of 8 bits: A, B and DoRA's magnitudes of each site apart. As in PEFT
 * magnitudes go at B's rate. */
static void update_apart(const struct lf_job *j, struct lf_stream *stream,
                         const struct lf_slot *slot, const struct lf_adam_args *whole)
{
    struct lf_adam_args runs[RUNS_APART];
    const struct lf_config *c = &j->t->m->config;
    const struct lf_adapter_shape *shape = &slot->shape;
    enum lf_dtype act = stream->dev->act;
    char *moments = slot->moments;
    int n = 0;
    for (int i = 0; i < shape->n_sites; i++) {
        size_t rank = (size_t)shape->rank[i], K = (size_t)c->proj[i % c->n_proj].K;
        size_t N = (size_t)c->proj[i % c->n_proj].N;
        if (rank == 0)
            continue;
        if (n + RUNS_OF_SITE > RUNS_APART) {
            stream->ops->adam(stream, runs, n);
            n = 0;
        }
        int first = n;
        runs[n++] = part_of(act, whole, shape->a_off[i], rank * K, 1);
        runs[n++] = part_of(act, whole, shape->b_off[i], N * rank, j->s.lora_plus);
        if (shape->dora)
            runs[n++] = part_of(act, whole, shape->m_off[i], N, j->s.lora_plus);
        for (int k = first; slot->moments8 && k < n; k++)
            moments += lf_moments8_place(&runs[k], moments);
    }
    stream->ops->adam(stream, runs, n);
}

void lf_job_adam(const struct lf_job *j, struct lf_stream *stream, const struct lf_slot *slot,
                 const float *d_sumsq)
{
    struct lf_adam_args run = adam_args(j, slot, d_sumsq);
    if (goes_apart(j, slot))
        update_apart(j, stream, slot, &run);
    else
        stream->ops->adam(stream, &run, 1);
}

enum lf_err lf_trainer_update(struct lf_trainer *t, struct lf_job *const *jobs, int n,
                              double *norms, struct lf_diag *diag)
{
    struct lf_sumsq_args squares[LF_JOBS_FUSED_MAX];
    struct lf_adam_args runs[LF_JOBS_FUSED_MAX];
    struct lf_stream *stream = t->own.stream;
    for (int i = 0; i < n; i++) {
        const struct lf_slot *slot = &t->own.slots->slot[jobs[i]->slot];
        lf_exec_dora_grads(t->own.x, jobs[i]->slot);
        squares[i] = (struct lf_sumsq_args){t->d_sumsq + i, slot->grad, slot->shape.n_params};
    }
    stream->ops->sumsq(stream, squares, n);
    lf_stream_download(stream, t->sumsq, t->d_sumsq, (size_t)n * sizeof *t->sumsq);
    enum lf_err rc = lf_stream_wait(stream, diag);
    if (rc != LF_OK)
        return rc;
    int n_runs = 0;
    for (int i = 0; i < n; i++) {
        jobs[i]->sumsq = t->sumsq[i];
        norms[i] = sqrt(t->sumsq[i]);
        if (!isfinite(norms[i]))
            continue;
        const struct lf_slot *slot = &t->own.slots->slot[jobs[i]->slot];
        runs[n_runs] = adam_args(jobs[i], slot, t->d_sumsq + i);
        if (goes_apart(jobs[i], slot))
            update_apart(jobs[i], stream, slot, &runs[n_runs]);
        else
            n_runs++;
    }
    if (n_runs > 0)
        stream->ops->adam(stream, runs, n_runs);
    for (int i = 0; i < n; i++)
        lf_exec_dora(t->own.x, jobs[i]->slot);
    return LF_OK;
}
