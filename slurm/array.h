/* An array job followed until all its elements are done: what is open and runs no more, whoever
 * ended it (a lost node, a time limit, scancel), is submitted again. What follows it may end as
 * well, and be started again: it finds what runs by its name. One thread. */
#ifndef LF_SLURM_ARRAY_H
#define LF_SLURM_ARRAY_H

#include "slurm/slurm.h"

/* What the elements are; an error of any ends all. */
struct lf_slurm_work {
    /* Before element k is submitted: what it reads, where it is not there; what failed of it in a
     * run before is forgotten. */
    enum lf_err (*prepare)(void *arg, int k, struct lf_diag *diag);
    /* What has come of it by now. ended: it runs no more, and this run has submitted it: what
     * failed has failed. *open: something of it is still to come; as it was where nothing is known.
     * *progress: a number that grows with what it gets done, which is not to be lost. */
    enum lf_err (*take)(void *arg, int k, bool ended, bool *open, double *progress,
                        struct lf_diag *diag);
    /* It ended again and again and nothing came of it. */
    enum lf_err (*give_up)(void *arg, int k, const char *reason, struct lf_diag *diag);
    /* Several times a second: what else there is to do. */
    enum lf_err (*look)(void *arg, struct lf_diag *diag);
    void *arg;
};

/* command: of every element, as lf_slurm_submit takes it. open (n): which elements have something
 * to do; all false at the end. */
enum lf_err lf_slurm_run(const struct lf_slurm *s, const char *command, bool *open, int n,
                         const struct lf_slurm_work *w, struct lf_diag *diag) LF_MUST_CHECK;

#endif
