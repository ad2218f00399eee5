/* The trainer: many LoRA jobs on one base, fused into one ragged batch.
 *
 * Each job has its own rows, order, accumulation, schedule, optimizer and dropout; what they share
 * is the pass over the base weights. A job trained beside others gives what it gives alone (up to
 * fp rounding), and a job resumed from its checkpoint gives the same bytes as one never stopped.
 *
 * What a job trains on: its rows, shuffled for each epoch (settings' seed), epoch after epoch
 * as one run of rows, cut into micro-batches and steps without regard to where an epoch ends. With
 * `epochs` the last step takes what is left, and is averaged over that; with `steps` all are full.
 *
 * One thread (the stream's) calls everything here but lf_job_prepare and lf_job_progress. Knows
 * nothing of HTTP, LMDB, FUSE.
 */
#ifndef LF_TRAINER_TRAINER_H
#define LF_TRAINER_TRAINER_H

#include "core/err.h"
#include "core/progress.h"
#include "model/exec.h"
#include "trainer/dataset.h"
#include "trainer/limits.h"
#include "trainer/replica.h"
#include "trainer/settings.h"

#include <stdint.h>

struct lf_trainer;
struct lf_job;

enum lf_train_event_kind {
    LF_TRAIN_STARTED,    /* it has its place; progress.resumed says from where it goes on */
    LF_TRAIN_STARTING,   /* part of the base's weights is decomposed for its start; made by whoever
                            hears lf_job_spec.starting */
    LF_TRAIN_MICRO,      /* a micro-batch's gradients are in */
    LF_TRAIN_STEP,       /* an optimizer step is done */
    LF_TRAIN_WARNING,    /* something goes wrong: reason (trainer/watch.h) */
    LF_TRAIN_EVAL,       /* evaluation rows were scored: progress.eval_loss, kept */
    LF_TRAIN_CHECKPOINT, /* resumable from `step`; or reason says why it could not be written */
    LF_TRAIN_PAUSED,     /* at a step boundary */
    LF_TRAIN_RESUMED,
    LF_TRAIN_END /* it is done, failed or cancelled: progress.state */
};

struct lf_train_event {
    enum lf_train_event_kind kind;
    struct lf_progress progress; /* as of now */
    int64_t step;                /* progress.step; CHECKPOINT: as of it */
    int micro;                   /* MICRO: of this step, from 1 */
    double part;                 /* STARTING: 0 to 1 */
    double micro_loss;           /* MICRO: mean over its supervised tokens */
    double loss;                 /* STEP: mean over the step, by loss_normalization */
    double grad_norm;            /* STEP: before clipping */
    double learning_rate;        /* STEP: used for it */
    const char *reason;          /* END: why it failed; CHECKPOINT: why not; WARNING; else NULL */
};

/* Called on the trainer's thread, inside lf_trainer_place, lf_trainer_step and lf_job_*. It may
 * call lf_job_*, but not release the job. */
typedef void (*lf_train_event_fn)(void *arg, const struct lf_train_event *e);

/* What a job failed of, for whoever tries it again: a loss or a gradient that was not finite. */
#define LF_FAULT_LINES 8
struct lf_train_fault {
    bool not_finite;
    int n;                         /* lines of the rows that did it; 0: not known, or no row's own:
                                      all of their batch did */
    int64_t lines[LF_FAULT_LINES]; /* (n) as lf_row's */
};

/* Steps after which a job is evaluated besides those that its settings say. */
struct lf_eval_steps {
    int n;
    int64_t step[LF_SWEEP_RUNGS_MAX];
};

struct lf_job_spec {
    const struct lf_train_settings *settings; /* copied */
    struct lf_dataset *train;                 /* taken: freed with the job, also when add fails */
    struct lf_dataset *eval;                  /* taken, or NULL */
    struct lf_eval_steps eval_at;
    const struct lf_adapter *init;      /* where it starts; NULL: fresh, from the settings */
    const char *checkpoint_dir;         /* resumes from what is there, if it is of these settings,
                                           dataset, base and start; NULL: never */
    double checkpoint_seconds;          /* between checkpoints; 0: each step */
    const struct lf_train_fault *fault; /* copied: it is tried again, and runs at half the
                                           settings' rate, with others in the place of those rows;
                                           NULL: not */
    struct lf_replica *const *replicas; /* (n_replicas) other devices that help; taken, each of no
                                           other job; NULL: none */
    int n_replicas;                     /* up to LF_REPLICAS_MAX */
    lf_train_event_fn event;            /* or NULL */
    bool (*starting)(void *arg, double part); /* while the base's weights are decomposed for its
                                                 start (model/adapter_start.h), on the thread that
                                                 prepares it; false: it is cancelled. Or NULL */
    void *event_arg;                          /* of both */
};

/* tokens_max: of a fused batch (at most the exec's train_tokens_max; 0: that). x, stream, m and
 * slots must outlive it. Yours, lf_trainer_free. */
enum lf_err lf_trainer_new(struct lf_trainer **out, struct lf_exec *x, struct lf_stream *stream,
                           struct lf_model *m, struct lf_slots *slots, int tokens_max,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Jobs that run are stopped where they are; their checkpoints stay. */
void lf_trainer_free(struct lf_trainer *t);

/* All of a job that needs no device: the order of its rows, its adapter, its checkpoint. A wide
 * adapter takes half a second, one that starts from a large base's weights minutes, so that who has
 * other work does this on a thread of its own; any thread, while the trainer lives. LF_E_INVALID
 * when the longest row is over tokens_max or the rank over the exec's. Yours: lf_trainer_place, or
 * lf_job_discard. */
enum lf_err lf_job_prepare(struct lf_job **out, struct lf_trainer *t,
                           const struct lf_job_spec *spec, struct lf_diag *diag) LF_MUST_CHECK;
void lf_job_discard(struct lf_job *j);
/* A slot, gradients and moments are taken for it. LF_E_DEVICE_FULL when they do not fit, or
 * LF_JOBS_FUSED_MAX jobs are here: the job is discarded. Then it is borrowed until
 * lf_job_release. */
enum lf_err lf_trainer_place(struct lf_trainer *t, struct lf_job *j,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* Both. */
enum lf_err lf_trainer_add(struct lf_trainer *t, const struct lf_job_spec *spec,
                           struct lf_job **out, struct lf_diag *diag) LF_MUST_CHECK;
/* One fused batch: takes the next rows of every running job in turn until the budget is reached,
 * runs them, and ends the micro-batches, steps and jobs that are complete. budget <= tokens_max
 * (0: tokens_max) keeps a batch short while requests wait; a longer row then runs alone. *active:
 * jobs still running. A job's own trouble ends that job; it fails only for the device: free the
 * trainer then, checkpoints stay. */
enum lf_err lf_trainer_step(struct lf_trainer *t, int budget, int *active,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* Tokens of the batch that the last lf_trainer_step ran. */
int lf_trainer_tokens(const struct lf_trainer *t);

/* Pauses at the next step boundary, with a checkpoint, or goes on. */
void lf_job_pause(struct lf_job *j, bool paused);
/* Ends it as done at the next step boundary, evaluated as after the last step; one that is paused
 * stands at one, unless no step is done yet. */
void lf_job_finish(struct lf_job *j);
/* Ends it now, as cancelled; its checkpoint is removed. */
void lf_job_cancel(struct lf_job *j);
/* Asks for a checkpoint at the next step boundary (shutdown: call, step while
 * lf_job_checkpointing, free). Nothing where the job has no checkpoint_dir, or has ended. */
void lf_job_checkpoint(struct lf_job *j);
/* The job runs, and since lf_job_checkpoint none was written (or could not be). */
bool lf_job_checkpointing(const struct lf_job *j);
/* The adapter as it is now; of a job that is done, as settings.keep says. Borrowed until the next
 * call, or lf_job_release. */
enum lf_err lf_job_adapter(struct lf_job *j, const struct lf_adapter **out,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Frees a job that ended, and its slot. The checkpoint of one that is done is removed: save the
 * adapter before. That of a failed one stays. */
void lf_job_release(struct lf_job *j);

/* Of one that failed. The trainer's thread. */
void lf_job_fault(const struct lf_job *j, struct lf_train_fault *out);
/* why (or NULL): why it failed; else why the last checkpoint was not written, or "". Any thread. */
void lf_job_progress(struct lf_job *j, struct lf_progress *out, struct lf_diag *why);

#endif
