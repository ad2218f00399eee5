/* Learning rates. */
#include "trainer/settings.h"

#include <math.h>

double lf_train_auto_learning_rate(int C)
{
    double lr = 2e-4 * pow(4096.0 / C, 0.68);
    return fmin(fmax(lr, 2e-4), 1e-3);
}

int64_t lf_train_warmup_steps(const struct lf_train_settings *s, int64_t steps)
{
    if (s->warmup_steps >= 0)
        return s->warmup_steps;
    return (int64_t)ceil(s->warmup_fraction * (double)steps);
}

double lf_train_learning_rate(const struct lf_train_settings *s, int64_t step, int64_t steps)
{
    int64_t warmup = lf_train_warmup_steps(s, steps);
    if (step < warmup) /* a fraction is for runs of any length: its first step learns, too */
        return s->learning_rate * (double)(step + (s->warmup_steps < 0)) / (double)warmup;
    double after = (double)(steps > warmup ? steps - warmup : 1);
    double left = fmax(0, (double)(steps - step) / after);
    if (s->restart_every > 0 && s->schedule == LF_SCHEDULE_COSINE)
        left = 1 - (double)((step - warmup) % s->restart_every) / (double)s->restart_every;
    switch (s->schedule) {
    case LF_SCHEDULE_LINEAR:
        return s->learning_rate * left;
    case LF_SCHEDULE_COSINE:
        return s->learning_rate * fmax(0, 0.5 * (1 + cos(M_PI * (1 - left))));
    case LF_SCHEDULE_CONSTANT:
        break;
    }
    return s->learning_rate;
}
