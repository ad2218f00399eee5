/* The trainer: many LoRA jobs on one base, fused into one ragged batch.
 *
 * Each job has its own rows, order, accumulation, schedule, optimizer and dropout; what they share
 * is the pass over the base weights. A job trained beside others gives what it gives alone (up to
 * fp rounding), and a job resumed from its checkpoint gives the same bytes as one never stopped.
 *
 * One thread (the stream's) calls everything here but lf_job_progress. Knows nothing of HTTP,
 * LMDB, FUSE.
 */
#ifndef LF_TRAINER_TRAINER_H
#define LF_TRAINER_TRAINER_H

#include "core/err.h"
#include "model/exec.h"
#include "trainer/dataset.h"
#include "trainer/settings.h"

#include <stdint.h>

struct lf_trainer;
struct lf_job;

enum lf_job_state {
    LF_JOB_RUNNING,
    LF_JOB_PAUSED,
    LF_JOB_DONE,
    LF_JOB_FAILED,    /* its reason says why: loss not finite, disk full ... */
    LF_JOB_CANCELLED
};

enum lf_train_event_kind {
    LF_TRAIN_MICRO,      /* a micro-batch's gradients are in */
    LF_TRAIN_STEP,       /* an optimizer step is done */
    LF_TRAIN_EVAL,       /* evaluation rows were scored */
    LF_TRAIN_CHECKPOINT, /* resumable from here */
    LF_TRAIN_END         /* the job left LF_JOB_RUNNING / PAUSED */
};

struct lf_train_event {
    enum lf_train_event_kind kind;
    int64_t step, steps;      /* optimizer steps done, in all */
    double micro_loss;        /* MICRO: mean over its supervised tokens */
    double loss;              /* STEP: mean over the step, by loss_normalization */
    double grad_norm;         /* STEP: before clipping */
    double learning_rate;     /* STEP: used for it */
    double eval_loss;         /* EVAL */
    int64_t tokens;           /* STEP: tokens trained on so far, prompts too */
    double tokens_per_second; /* STEP: of this job, smoothed */
    enum lf_job_state state;  /* END */
    const char *reason;       /* END: why it failed */
};

/* Called on the trainer's thread, inside lf_trainer_step. */
typedef void (*lf_train_event_fn)(void *arg, const struct lf_train_event *e);

struct lf_job_spec {
    const struct lf_train_settings *settings; /* copied */
    struct lf_dataset *train;          /* taken: freed with the job, also when add fails */
    struct lf_dataset *eval;           /* taken, or NULL */
    const struct lf_adapter *init;     /* where it starts; NULL: fresh, from the settings */
    const char *checkpoint_dir;        /* resumes from what is there, if it fits these settings and
                                          this dataset; NULL: never */
    double checkpoint_seconds;         /* between checkpoints; 0: each step */
    lf_train_event_fn event;           /* or NULL */
    void *event_arg;
};

/* tokens_max: of a fused batch (at most the exec's train_tokens_max). Yours, lf_trainer_free. */
enum lf_err lf_trainer_new(struct lf_trainer **out, struct lf_exec *x, struct lf_stream *stream,
                           struct lf_model *m, struct lf_slots *slots, int tokens_max,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Jobs that run are stopped where they are; their checkpoints stay. */
void lf_trainer_free(struct lf_trainer *t);

/* A slot, gradients and moments are taken for it. LF_E_DEVICE_FULL when they do not fit;
 * LF_E_INVALID when the longest row is over tokens_max. *out is borrowed until lf_job_release. */
enum lf_err lf_trainer_add(struct lf_trainer *t, const struct lf_job_spec *spec,
                           struct lf_job **out, struct lf_diag *diag) LF_MUST_CHECK;
/* One fused batch: takes the next rows of every running job in turn until tokens_max is
 * reached, runs them, and ends the micro-batches, steps and jobs that are complete. `budget` <= tokens_max
 * (0: tokens_max) keeps a batch short while requests wait. *active: jobs still running. Fails only for the device; a
 * job's own trouble ends that job. */
enum lf_err lf_trainer_step(struct lf_trainer *t, int budget, int *active, struct lf_diag *diag)
    LF_MUST_CHECK;

void lf_job_pause(struct lf_job *j, bool paused);
/* Ends it now, as cancelled; its checkpoint is removed. */
void lf_job_cancel(struct lf_job *j);
/* Writes a checkpoint at the next step boundary (shutdown: call, step until it came, free). */
enum lf_err lf_job_checkpoint(struct lf_job *j, struct lf_diag *diag) LF_MUST_CHECK;
/* The parameters as they are now. Yours. */
enum lf_err lf_job_adapter(struct lf_job *j, struct lf_adapter **out, struct lf_diag *diag)
    LF_MUST_CHECK;
/* Frees a job that ended, and its slot. */
void lf_job_release(struct lf_job *j);

struct lf_job_progress {
    enum lf_job_state state;
    int64_t step, steps, micro_done;
    int64_t tokens;
    double loss;              /* smoothed */
    double tokens_per_second, seconds, eta_seconds;
    double eval_loss;         /* NaN until there is one */
    char reason[LF_DIAG_MAX];
};
/* Any thread. */
void lf_job_progress(struct lf_job *j, struct lf_job_progress *out);

#endif
