/* A study whose cells are trained by an array job of Slurm: an element for each base and group of
 * tasks, a study of its own on a card of its own, all its tasks fused:
 *
 *     DIR/slurm/K/study.json   what element K runs: `lorafs land run`
 *     DIR/slurm/K/out/         its folder (land/grid.h)
 *     DIR/slurm/K.log          what it printed
 *
 * Elements go on where they were, whoever ended them (slurm/array.h). One thread. */
#ifndef LF_LAND_SPREAD_H
#define LF_LAND_SPREAD_H

#include "land/grid.h"
#include "slurm/slurm.h"

/* How a cell that ended is taken in, and what is done between looks; an error ends all. */
struct lf_spread_hooks {
    enum lf_err (*ended)(void *arg, struct lf_cell *c, enum lf_cell_state state, const char *reason,
                         struct lf_diag *diag);
    enum lf_err (*look)(void *arg, struct lf_diag *diag);
    void *arg;
};

/* Until all cells of f, which are prepared (they have keys), have ended. tasks: of an element, at
 * most; device: NULL: as the study says. */
enum lf_err lf_spread_run(struct lf_grid *f, const struct lf_study *s, const char *device,
                          const struct lf_slurm *slurm, int tasks,
                          const struct lf_spread_hooks *hooks, struct lf_diag *diag) LF_MUST_CHECK;

#endif
