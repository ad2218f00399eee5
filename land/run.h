/* Running a study: its tasks prepared, and everything trained and scored by a daemon, as a user
 * would do it by copying files: settings, rows to score, rows to train on. A daemon has one base,
 * and the next has the next one; or all are in one, "together". All tasks of a base train at once,
 * fused; what a daemon has is never sent twice, so that a run that was killed anywhere goes on
 * where it was. A cell that fails is recorded, and the others go on. */
#ifndef LF_LAND_RUN_H
#define LF_LAND_RUN_H

#include "land/grid.h"
#include "client/remote.h"

#include <signal.h>
#include <stdbool.h>

struct lf_land_order {
    const char *dir;                  /* where everything goes; made */
    const char *device;               /* instead of the study's; NULL: as it says */
    struct lf_remote_options remote;  /* with an url: this daemon, for the bases that it has */
    bool slurm;                       /* train in array jobs of Slurm (land/spread.h) */
    int slurm_tasks;                  /* of a base, in an element; 0: as many as the study fuses */
    const char *const *slurm_options; /* (slurm_n) of sbatch */
    int slurm_n;
    bool quiet;
    const volatile sig_atomic_t *stop; /* set: end soon, with LF_E_INTERRUPTED */
};

/* f: the cells as they ended, also after an error past the first checks; lf_grid_free. Cells that
 * failed are no error. LF_E_BUSY: another run works in the folder. One thread. */
enum lf_err lf_land_run(struct lf_grid *f, const struct lf_study *s, const struct lf_land_order *o,
                        struct lf_diag *diag) LF_MUST_CHECK;

#endif
