/* A job that is a sweep: its trainings, side by side with the engine; the state of each in a file
 * of the job's directory, so that a run that was killed goes on; and the table and the picture of
 * all of them. The recorder's, but for what is said to be with the jobs' lock. */
#ifndef LF_DAEMON_JOBS_SWEEP_H
#define LF_DAEMON_JOBS_SWEEP_H

#include "daemon/jobs/inside.h"
#include "trainer/sweep.h"
#include "trainer/sweep_table.h"

/* One of its trainings. */
struct lf_trial {
    struct lf_open_job *job;
    struct lf_sweep_run *run;
    int index;
    struct lf_training *training; /* with an engine; NULL: not; under the lock */
    bool waits;                   /* it did not fit beside the others: until one of them ends */
    struct lf_job_event end_event;
    struct lf_training_end end;
};

struct lf_sweep_run {
    struct lf_sweep w;
    struct lf_trial *trial;          /* (w.n) */
    struct lf_dataset *train, *eval; /* shared by its trainings */
    struct lf_adapter *init;         /* where they start; NULL: fresh */
    struct lf_training_spec spec;    /* of each, but for its settings, rows and place */
    char dir[LF_PATH_MAX];           /* the job's */
    struct lf_sweep_table table;     /* a row each */
    struct lf_adapter *adapter;      /* of it; NULL: it is on the disk */
    enum lf_err again;               /* LF_OK, or why all of them have to wait */
    char note[96];                   /* for `status`; under the lock */
};

/* Of the job's inputs in dir, with what its last run left there. train, eval and init are taken,
 * also on failure. Yours. */
enum lf_err lf_sweep_run_new(struct lf_sweep_run **out, struct lf_open_job *l,
                             const struct lf_train_settings *s, const struct lf_training_spec *spec,
                             const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
void lf_sweep_run_free(struct lf_sweep_run *run);
/* Gives the engine what is still to be trained. *any: something is. With the lock held. */
enum lf_err lf_sweep_start(struct lf_jobs *j, struct lf_sweep_run *run, bool *any,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* To all of its trainings. With the lock held. */
void lf_sweep_pause(struct lf_sweep_run *run, bool paused);
void lf_sweep_finish(struct lf_sweep_run *run);
void lf_sweep_cancel(struct lf_sweep_run *run);

/* An event of a training: *sum is how far the whole is. */
void lf_sweep_event(struct lf_jobs *j, struct lf_trial *t, const struct lf_train_event *e,
                    struct lf_progress *sum);
/* One has ended. True: all have; *end is how. */
bool lf_sweep_ended(struct lf_jobs *j, struct lf_trial *t, struct lf_training_end *end);
/* How all have ended, as for one training: the best one's adapter and progress. */
void lf_sweep_end(struct lf_jobs *j, struct lf_sweep_run *run, struct lf_training_end *end);
/* sweep.json, sweep.csv and sweep.svg, and the best one's settings, beside the version. */
void lf_sweep_version_write(struct lf_jobs *j, const struct lf_open_job *l);

#endif
