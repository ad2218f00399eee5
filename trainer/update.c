/* The optimizer step of several jobs at once. */
#include "trainer/job.h"

#include <math.h>

static struct lf_adam_args adam_args(const struct lf_trainer *t, const struct lf_job *j, int i)
{
    const struct lf_slot *slot = &t->slots->slot[j->slot];
    const struct lf_train_settings *s = &j->s;
    return (struct lf_adam_args){.p = slot->master,
                                 .m = slot->m,
                                 .v = slot->v,
                                 .g = slot->grad,
                                 .copy = slot->copy == (void *)slot->master ? NULL : slot->copy,
                                 .sumsq = s->max_grad_norm > 0 ? t->d_sumsq + i : NULL,
                                 .n = slot->shape.n_params,
                                 .grad_scale = 1,
                                 .max_norm = (float)s->max_grad_norm,
                                 .lr = (float)lf_job_rate(j),
                                 .beta1 = 0.9f,
                                 .beta2 = (float)s->adam_beta2,
                                 .eps = 1e-8f,
                                 .weight_decay = (float)s->weight_decay,
                                 .decoupled = s->optimizer == LF_OPTIMIZER_ADAMW,
                                 .step = (int)(j->now.step + 1)};
}

enum lf_err lf_trainer_update(struct lf_trainer *t, struct lf_job *const *jobs, int n,
                              double *norms, struct lf_diag *diag)
{
    struct lf_sumsq_args squares[LF_JOBS_FUSED_MAX];
    struct lf_adam_args runs[LF_JOBS_FUSED_MAX];
    for (int i = 0; i < n; i++) {
        const struct lf_slot *slot = &t->slots->slot[jobs[i]->slot];
        squares[i] = (struct lf_sumsq_args){t->d_sumsq + i, slot->grad, slot->shape.n_params};
    }
    t->stream->ops->sumsq(t->stream, squares, n);
    lf_stream_download(t->stream, t->sumsq, t->d_sumsq, (size_t)n * sizeof *t->sumsq);
    enum lf_err rc = lf_stream_wait(t->stream, diag);
    if (rc != LF_OK)
        return rc;
    int n_runs = 0;
    for (int i = 0; i < n; i++) {
        norms[i] = sqrt(t->sumsq[i]);
        if (isfinite(norms[i]))
            runs[n_runs++] = adam_args(t, jobs[i], i);
    }
    if (n_runs > 0)
        t->stream->ops->adam(t->stream, runs, n_runs);
    return LF_OK;
}
