/* The names of a job's states, and a job that has not begun. */
#include "core/progress.h"

#include <math.h>

const char *lf_job_state_name(enum lf_job_state s)
{
    static const char *const names[] = {"queued", "running", "paused",
                                        "done",   "failed",  "cancelled"};
    return names[s];
}

bool lf_job_state_open(enum lf_job_state s)
{
    return s <= LF_JOB_PAUSED;
}

static struct lf_rewards no_rewards(void)
{
    return (struct lf_rewards){(double)NAN, (double)NAN, (double)NAN, (double)NAN};
}

struct lf_progress lf_progress_none(void)
{
    return (struct lf_progress){.loss = (double)NAN,
                                .eval_loss = (double)NAN,
                                .rewards = no_rewards(),
                                .eval_rewards = no_rewards(),
                                .tokens_per_second = (double)NAN,
                                .eta_seconds = (double)NAN};
}
