/* The lines of a training's log (trainer/log.h) for the tools that people look at curves with:
 * TensorBoard's event files, MLflow's file store, or both. A log of an adapter holds many
 * trainings; each job, and each trial of a sweep, becomes a run. One thread. */
#ifndef LF_TRAINER_TRACK_H
#define LF_TRAINER_TRACK_H

#include "core/err.h"
#include "trainer/settings.h"

#include <jansson.h>

struct lf_tracker;
struct lf_tracker_spec {
    const char *tensorboard;                  /* a directory of runs; NULL: none */
    const char *mlflow;                       /* a file store; NULL: none */
    const char *name;                         /* of the experiment, and of runs that have no job */
    const struct lf_train_settings *settings; /* MLflow's parameters; NULL: not known */
};

/* The spec is copied, its texts and settings are borrowed. Yours, lf_tracker_close. */
enum lf_err lf_tracker_open(struct lf_tracker **out, const struct lf_tracker_spec *spec,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* A line with its time; of those that are of no training nothing is kept. */
enum lf_err lf_tracker_line(struct lf_tracker *t, const json_t *line,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_tracker_close(struct lf_tracker *t);

#endif
