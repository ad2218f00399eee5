/* The turns of who follows an array job. */
#include "slurm/array.h"

#include "core/clock.h"
#include "slurm/limits.h"

#include <stdio.h>
#include <stdlib.h>

#define SQUEUE_NS (2ull * LF_NS_PER_S) /* between questions to Slurm */
#define LOOK_NS (200 * LF_NS_PER_MS)

struct slurm_element {
    int tries;       /* that were submitted since something came of it */
    double progress; /* the most */
    bool submitted;  /* in this run */
};

struct slurm_run {
    const struct lf_slurm *s;
    const char *command;
    const struct lf_slurm_work *w;
    struct slurm_element *elements; /* (n) owned */
    bool *flags;                    /* (n) what Slurm says, then what is submitted; owned */
    bool *open;                     /* (n) the caller's */
    int n;
};

static enum lf_err take(struct slurm_run *x, int k, bool ended, struct lf_diag *diag)
{
    struct slurm_element *e = &x->elements[k];
    double progress = e->progress;
    enum lf_err rc = x->w->take(x->w->arg, k, ended, &x->open[k], &progress, diag);
    if (progress > e->progress) {
        e->progress = progress;
        e->tries = 0;
    }
    return rc;
}

static enum lf_err give_up(struct slurm_run *x, int k, struct lf_diag *diag)
{
    char reason[LF_DIAG_MAX];
    snprintf(reason, sizeof reason, "element %d ended %d times without a result: %.200s/%d.log", k,
             LF_SLURM_TRIES_MAX, x->s->dir, k);
    x->open[k] = false;
    return x->w->give_up(x->w->arg, k, reason, diag);
}

static enum lf_err submit(struct slurm_run *x, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int k = 0; k < x->n && rc == LF_OK; k++)
        if (x->flags[k]) {
            rc = x->w->prepare(x->w->arg, k, diag);
            x->elements[k].submitted = true;
            x->elements[k].tries++;
        }
    return rc ?: lf_slurm_submit(x->s, x->command, x->flags, x->n, diag);
}

/* Takes in what has come; what is open and runs no more is submitted. *any: something is open. */
static enum lf_err turn(struct slurm_run *x, bool *any, struct lf_diag *diag)
{
    bool again = false;
    enum lf_err rc = lf_slurm_live(x->s, x->flags, x->n, diag);
    *any = false;
    for (int k = 0; k < x->n && rc == LF_OK; k++) {
        struct slurm_element *e = &x->elements[k];
        bool live = x->flags[k];
        if (x->open[k])
            rc = take(x, k, !live && e->submitted, diag);
        if (rc == LF_OK && x->open[k] && !live && e->tries == LF_SLURM_TRIES_MAX)
            rc = give_up(x, k, diag);
        x->flags[k] = rc == LF_OK && x->open[k] && !live;
        again = again || x->flags[k];
        *any = *any || x->open[k];
    }
    return rc != LF_OK || !again ? rc : submit(x, diag);
}

enum lf_err lf_slurm_run(const struct lf_slurm *s, const char *command, bool *open, int n,
                         const struct lf_slurm_work *w, struct lf_diag *diag)
{
    struct slurm_run x = {.s = s, .command = command, .w = w, .open = open, .n = n};
    bool any = true;
    x.elements = calloc((size_t)n, sizeof *x.elements);
    x.flags = calloc((size_t)n, sizeof *x.flags);
    enum lf_err rc = x.elements && x.flags ? LF_OK : lf_no_memory(diag, "an array job");
    while (rc == LF_OK && any) {
        rc = turn(&x, &any, diag);
        for (uint64_t end = lf_clock_ns() + SQUEUE_NS; rc == LF_OK && any && lf_clock_ns() < end;
             lf_clock_sleep(LOOK_NS))
            rc = w->look(w->arg, diag);
    }
    free(x.elements);
    free(x.flags);
    return rc;
}
