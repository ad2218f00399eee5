/* How far a training is: one struct and one enum, from the trainer over the engine, the job's
 * record and the registry to what a person reads. Plain data. */
#ifndef LF_CORE_PROGRESS_H
#define LF_CORE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* The numbers are those of records on disk. */
enum lf_job_state {
    LF_JOB_QUEUED, /* waits for its rows to be read, or for a place on the device */
    LF_JOB_RUNNING,
    LF_JOB_PAUSED,
    LF_JOB_DONE,
    LF_JOB_FAILED,
    LF_JOB_CANCELLED
};
const char *lf_job_state_name(enum lf_job_state s); /* "queued" ... */
/* Neither done, failed nor cancelled. */
bool lf_job_state_open(enum lf_job_state s);

/* Of a training by preferences: how much likelier than the base the adapter makes completions, each
 * a mean over rows. NaN where there is none. */
struct lf_rewards {
    double chosen, rejected, margin; /* margin: their difference */
    double accuracy;                 /* the part of the rows whose preference is learnt */
};

#define LF_EACH_REWARD(X) X(chosen) X(rejected) X(margin) X(accuracy)

struct lf_progress {
    enum lf_job_state state;
    int64_t step, steps; /* optimizer steps done, and in all; steps 0: not known yet */
    int64_t resumed;     /* the step it was resumed from; 0: from the start */
    int64_t tokens;      /* trained on so far, prompts too */
    double loss;         /* of the steps, smoothed; NaN until there is one */
    double eval_loss;    /* of the last evaluation; NaN until there is one */
    struct lf_rewards rewards, eval_rewards; /* of the last step; of the last evaluation */
    double tokens_per_second;                /* smoothed; NaN, or 0, until there is a step */
    double eta_seconds;                      /* NaN until there is a step since it was resumed */
    double seconds;                          /* trained, over all resumptions */
    int64_t kept; /* the step whose weights are the best so far; 0: the last one's */
};
/* Queued, and nothing known. */
struct lf_progress lf_progress_none(void);

#endif
