/* Data parallelism: a job that other devices help with. Each helps through a replica: the same base
 * on that device, with the job's adapter, gradients and moments in a slot there.
 *
 * The rows of a batch are divided among the job's own device and its replicas, by tokens and whole
 * (a pair's texts stay together). Once a step's rows are through, the gradients are summed in the
 * order of the devices, so that all have the same bytes, and every device makes the same optimizer
 * step: the copies of the adapter stay equal to the byte. Only gradients and losses travel, through
 * the host's pinned memory. What a job learns is what it learns on one device, up to the order of
 * sums; its plan, dropout, evaluations and checkpoints are the same, and it may be resumed on more
 * devices or fewer.
 *
 * A replica whose device is lost, or that has no more room, leaves the job; a step that it had a
 * part in begins anew on those that are left.
 *
 * Two sides: the job, whose trainer asks; and the lender, whose thread owns the device and does
 * what is asked in lf_replica_turn. */
#ifndef LF_TRAINER_REPLICA_H
#define LF_TRAINER_REPLICA_H

#include "core/err.h"
#include "model/exec.h"

#include <stdbool.h>

struct lf_replica;

struct lf_replica_spec {
    struct lf_exec *x;
    struct lf_model *m; /* of the same digest as the trainer's */
    struct lf_slots *slots;
    int tokens_max;          /* of its portion of a batch; 0: the exec's train_tokens_max */
    void (*wake)(void *arg); /* from the trainer's thread: there is something to do. NULL: the
                                lender's thread is in lf_replica_serve */
    void *arg;
};

/* For two to free: the job that gets it (struct lf_job_spec), and the lender. What the spec names
 * must outlive lf_replica_close. */
enum lf_err lf_replica_new(struct lf_replica **out, const struct lf_replica_spec *spec,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* The lender's thread: does what was asked, if anything was. False: the job has let go of it, and
 * it is to be closed. */
bool lf_replica_turn(struct lf_replica *r);
/* Its portion of a batch has up to so many tokens from here on; 0: as many as it holds. A row that
 * is longer runs alone. Any time, the lender's thread. */
void lf_replica_budget(struct lf_replica *r, int tokens);
/* Turns until then. */
void lf_replica_serve(struct lf_replica *r);
/* The lender has no more to do with it: whatever the job asks from here on fails. What is in its
 * slot is unloaded. On the lender's thread. NULL is nothing. */
void lf_replica_close(struct lf_replica *r);
/* The job's side, where it comes to no job. NULL is nothing. */
void lf_replica_leave(struct lf_replica *r);

#endif
