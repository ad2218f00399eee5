/* Learning rates. */
#include "trainer/settings.h"

#include <math.h>

double lf_train_auto_learning_rate(enum lf_loss loss, int C)
{
    double lr = fmin(fmax(2e-4 * pow(4096.0 / C, 0.68), 2e-4), 1e-3);
    return loss == LF_LOSS_SUPERVISED ? lr : lr / 10;
}

int64_t lf_train_warmup_steps(const struct lf_train_settings *s, int64_t steps)
{
    if (s->warmup_steps >= 0)
        return s->warmup_steps;
    return (int64_t)ceil(s->warmup_fraction * (double)steps);
}

/* The factor of the peak at `at` (from 0) of `n`, as schedule_by counts them. */
static double factor_at(const struct lf_train_settings *s, int64_t at, int64_t n, int64_t warmup)
{
    double after = (double)(n > warmup ? n - warmup : 1);
    double left = fmax(0, (double)(n - at) / after);
    if (s->restart_every > 0 && s->schedule == LF_SCHEDULE_COSINE)
        left = 1 - (double)((at - warmup) % s->restart_every) / (double)s->restart_every;
    switch (s->schedule) {
    case LF_SCHEDULE_LINEAR:
        return left;
    case LF_SCHEDULE_COSINE:
        return fmax(0, 0.5 * (1 + cos(M_PI * (1 - left))));
    case LF_SCHEDULE_CONSTANT:
        break;
    }
    return 1;
}

double lf_train_learning_rate(const struct lf_train_settings *s, int64_t step, int64_t steps)
{
    int64_t per_step = s->schedule_by == LF_SCHEDULE_BY_MICRO_BATCHES ? s->accumulation : 1;
    int64_t n = steps * per_step, at = (step + 1) * per_step - 1;
    int64_t warmup = lf_train_warmup_steps(s, n);
    if (at >= warmup)
        return s->learning_rate * factor_at(s, at, n, warmup);
    /* A fraction is for runs of any length: its first step learns, too. */
    bool ahead = s->warmup_steps < 0 && (s->schedule_by == LF_SCHEDULE_BY_STEPS || at == 0);
    return s->learning_rate * (double)(at + ahead) / (double)warmup;
}
