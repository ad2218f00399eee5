/* A job and the trainer, as the files of the trainer see them. Private to trainer/. */
#ifndef LF_TRAINER_JOB_H
#define LF_TRAINER_JOB_H

#include "trainer/best.h"
#include "trainer/checkpoint.h"
#include "trainer/plan.h"
#include "trainer/preference.h"
#include "trainer/trainer.h"
#include "trainer/watch.h"

#include <pthread.h>

/* Losses whose mean is being collected: of tokens by their rows' weights, and of rows by
 * preferences. The loss is the sum of the means of those that there are; orpo has both. */
struct lf_loss_sums {
    double tokens, rows, n_tokens;
    int64_t n_rows;
};
static inline double lf_loss_mean(const struct lf_loss_sums *s)
{
    return (s->n_tokens > 0 ? s->tokens / s->n_tokens : 0) +
           (s->n_rows > 0 ? s->rows / (double)s->n_rows : 0);
}

struct lf_reward_sums {
    double chosen, rejected;
    int64_t n_chosen, n_rejected, n_rows, n_right;
};

/* How far rows are put into batches. Those of a micro-batch, or as many evaluation rows, are a
 * group: what is run ahead for any of them comes before the first of them. */
struct lf_row_turn {
    int64_t next;  /* the row that is put next */
    int64_t ahead; /* sequences of its group that are run ahead, and were put */
};

/* The micro-batch and the step that are being collected. */
struct lf_job_sums {
    struct lf_row_turn turn; /* among the rows of the plan's step */
    struct lf_loss_sums micro, step;
    double means; /* of the step's micro-batches that are over: their means' mean so far */
    struct lf_reward_sums rewards;
    int64_t tokens;
};

struct lf_job_eval {
    bool running;
    struct lf_row_turn turn;
    struct lf_loss_sums loss;
    struct lf_reward_sums rewards;
};

/* A device's portion of the fused batch. */
struct lf_portion {
    struct lf_trainer *t; /* whose batch it is of; NULL: nobody's yet */
    struct lf_exec *x;
    struct lf_stream *stream;
    struct lf_slots *slots;
    int tokens_max, seqs_max;
    struct lf_batch_seq *batch;      /* (seqs_max), likewise: */
    struct lf_batch_result *results; /* what came of them */
    int *at;                         /* where in the batch they are: indices of its pieces */
    int n, n_tokens;
    bool noted; /* nobody waits for what its losses say of preferences */
};

struct lf_job {
    struct lf_trainer *t;
    struct lf_train_settings s; /* its learning_rate is a number */
    struct lf_dataset *train, *eval;
    struct lf_adapter *adapter;                  /* host copy, as of the last read */
    int slot;                                    /* -1: none yet */
    struct lf_replica *replica[LF_REPLICAS_MAX]; /* (n_replicas) */
    int n_replicas;
    float *grads;     /* (1 + replicas at the start, n_params) pinned: of a step, from its own
                         device and each replica's; NULL where there are none */
    float sumsq;      /* of the step's gradients */
    bool step_broken; /* a replica left, and its part of the step with it */
    lf_train_event_fn event;
    void *event_arg;

    struct lf_progress now;
    bool begun; /* its first step, or evaluation, was prepared */
    bool pause_wanted, finish_wanted;
    struct lf_diag why; /* FAILED, or the last checkpoint's trouble */
    struct lf_plan plan;
    struct lf_job_sums sums;
    struct lf_job_eval evaluation;
    int64_t eval_every; /* the settings', or what was chosen; 0: only at the end */
    struct lf_eval_steps eval_at;
    struct lf_best best;
    struct lf_watch watch;
    struct lf_preference *known; /* (n_known) of rows whose sequences are under way, row i at i
                                    modulo n_known; NULL where the loss is supervised */
    int64_t n_known;
    struct lf_train_fault tried; /* what it is tried again after */
    struct lf_train_fault fault; /* of which it failed */

    double loss_sum, loss_weight; /* smoothed loss = sum / weight */
    double step_seconds;          /* smoothed */
    uint64_t clock_ns;            /* when the step began; 0: not running */

    char *checkpoint_dir; /* NULL: no checkpoints */
    char digest[LF_SHA256_HEX];
    double checkpoint_seconds;
    bool checkpoint_wanted;
    bool checkpoint_owed;    /* none was written since lf_job_checkpoint */
    uint64_t checkpoint_ns;  /* when the last one was started */
    int64_t checkpoint_step; /* of it; -1: none */
    struct lf_checkpoint_writer writer;
    struct lf_checkpoint
        found; /* until it is placed: where it goes on from; data NULL: its start */

    pthread_mutex_t mutex; /* protects what others may see */
    struct lf_progress seen;
    struct lf_diag seen_why;
};

/* A sequence of the fused batch: whose it is. */
struct lf_piece {
    struct lf_job *job;
    bool eval;
    enum lf_text_role role;
    int64_t index; /* of the plan's step, or of the evaluation rows */
    int n;         /* its tokens */
    struct lf_batch_result result;
    double weight; /* of its row's loss */
    int n_before; /* of its supervised tokens those before the completion, which its log-probability
                     leaves out */
    struct lf_preference_loss outcome; /* of a chosen row, once its batch is run */
};

/* Something for a replica's device, on its lender's thread. */
typedef enum lf_err (*lf_replica_work)(struct lf_replica *r, struct lf_diag *diag);

enum lf_replica_state { LF_REPLICA_IDLE, LF_REPLICA_ASKED, LF_REPLICA_ANSWERED };

struct lf_replica {
    struct lf_portion portion;
    const struct lf_model *m;
    float *d_sumsq; /* device */
    int slot;       /* the job's there; -1: none */
    void (*wake)(void *arg);
    void *arg;
    /* The job's side */
    struct lf_job *job;
    float *grads; /* (n_params) pinned: its gradients, in the job's memory */
    bool pending; /* it was asked, and its answer is not known */

    atomic_int budget;    /* tokens of its portion; 0: tokens_max */
    pthread_mutex_t lock; /* protects what is below */
    pthread_cond_t changed;
    enum lf_replica_state state;
    lf_replica_work work; /* asked for */
    enum lf_err rc;       /* of the answer */
    struct lf_diag why;
    bool let_go; /* by the job */
    bool closed; /* by the lender */
    int refs;
};

struct lf_trainer {
    struct lf_portion own; /* of the device whose thread calls */
    struct lf_model *m;
    struct lf_job *jobs[LF_JOBS_FUSED_MAX];
    int n_jobs;
    int turn; /* job that is asked first for the next batch */
    /* The fused batch, of all devices. */
    struct lf_piece *pieces; /* (pieces_max) */
    int pieces_max;
    int n, n_tokens;
    bool weighs;    /* some job's loss is one of preferences */
    int32_t *mixed; /* (2, mixed_max) ids and labels of prompts with others' completions: of the
                       batch's, and of one of tokens_max that it may have no room for */
    int mixed_max, n_mixed; /* of either, n of them the batch's */
    /* Portions whose losses are not all noted: preferences compare texts of several. */
    pthread_mutex_t weigh_lock;
    pthread_cond_t weigh_all;
    int weighing;
    /* Squares of gradients' norms, (LF_JOBS_FUSED_MAX). */
    float *d_sumsq, *sumsq;
};

/* batch.c: fills the batch with rows of the jobs that run. */
void lf_trainer_form(struct lf_trainer *t, int budget);
/* Row i of the step under way, or of the evaluation rows. */
void lf_job_row(const struct lf_job *j, bool eval, int64_t i, struct lf_row *out);
/* The rows of a group. */
struct lf_row_group {
    int64_t first;
    int n;
};
struct lf_row_group lf_job_group(const struct lf_job *j, bool eval, int64_t i);
/* Room for a batch of the jobs that are here, and of this one. */
enum lf_err lf_trainer_make_room(struct lf_trainer *t, const struct lf_job *j,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* weigh.c, for lf_exec_run_weighed, with a portion: what its losses say of preferences, into
 * pieces' outcomes, and what their tokens' gradients weigh. Waits for the other portions' losses.
 */
void lf_portion_weigh(void *portion, const struct lf_batch_losses *of);

/* portion.c. x, slots and what is in them must outlive it; lf_portion_deinit in any case. */
enum lf_err lf_portion_init(struct lf_portion *p, struct lf_exec *x, struct lf_slots *slots,
                            int tokens_max, struct lf_diag *diag) LF_MUST_CHECK;
void lf_portion_deinit(struct lf_portion *p);
/* Nobody waits any more for what its losses say. */
void lf_portion_noted(struct lf_portion *p);
/* The job's adapter, with the moments of its checkpoint, into a slot. */
enum lf_err lf_portion_load(struct lf_portion *p, int *slot, const struct lf_job *j,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* replica.c: has its lender do this, and waits for that. The answer comes before the next thing;
 * LF_OK where nothing was asked. */
void lf_replica_ask(struct lf_replica *r, lf_replica_work work);
enum lf_err lf_replica_answer(struct lf_replica *r, struct lf_diag *why) LF_MUST_CHECK;

/* job.c: waits for the answers of all of its replicas; those who failed leave the job, and an event
 * says so. True: all are there. */
bool lf_job_answers(struct lf_job *j);
/* All rows of its step are in batches that were formed. */
static inline bool lf_job_step_full(const struct lf_job *j)
{
    return j->now.state == LF_JOB_RUNNING && !j->evaluation.running &&
           j->sums.turn.next == j->plan.n;
}

/* split.c: runs the fused batch, each portion on its device. A job that a replica left meanwhile
 * has a broken step. */
enum lf_err lf_trainer_run(struct lf_trainer *t, struct lf_diag *diag) LF_MUST_CHECK;
/* What a broken step has is forgotten, and it begins anew. */
void lf_job_mend(struct lf_job *j);
/* The optimizer step of these jobs on all of their devices; as lf_trainer_update, which is that of
 * the trainer's own. */
enum lf_err lf_trainer_update_all(struct lf_trainer *t, struct lf_job *const *jobs, int n,
                                  double *norms, struct lf_diag *diag) LF_MUST_CHECK;

/* The optimizer step of these jobs, whose gradients are complete, in one launch. norms: (n) of the
 * gradients before clipping. A job whose norm is not finite is left as it is. */
enum lf_err lf_trainer_update(struct lf_trainer *t, struct lf_job *const *jobs, int n,
                              double *norms, struct lf_diag *diag) LF_MUST_CHECK;

/* The same step of one job in another slot. d_sumsq: the step's, on that device. */
void lf_job_adam(const struct lf_job *j, struct lf_stream *stream, const struct lf_slot *slot,
                 const float *d_sumsq);

/* The learning rate of the step under way. */
double lf_job_rate(const struct lf_job *j);
/* job.c */
void lf_job_report(struct lf_job *j, const struct lf_train_event *e);
/* why: of LF_JOB_FAILED, else NULL. */
void lf_job_end(struct lf_job *j, enum lf_job_state state, const struct lf_diag *why);
/* After an optimizer step: numbers, events, evaluation, checkpoint, the next step or the end. */
enum lf_err lf_job_step_done(struct lf_job *j, double norm, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_job_eval_done(struct lf_job *j, struct lf_diag *diag) LF_MUST_CHECK;
/* Before each batch: begins a job that is new, reports a checkpoint that was written meanwhile. */
enum lf_err lf_job_poll(struct lf_job *j, struct lf_diag *diag) LF_MUST_CHECK;
void lf_job_free(struct lf_job *j);

#endif
