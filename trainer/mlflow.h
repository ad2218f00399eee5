/* Runs as MLflow's file store keeps them (mlruns/EXPERIMENT/RUN/...), for `mlflow ui` and its
 * clients: metrics with time and step, parameters, and how a run ended. A run is known by its
 * experiment's and its own name and its start: the same again takes its place. One thread. */
#ifndef LF_TRAINER_MLFLOW_H
#define LF_TRAINER_MLFLOW_H

#include "core/err.h"

#include <stdint.h>

struct lf_mlflow;
enum lf_mlflow_status { /* MLflow's numbers */
                        LF_MLFLOW_RUNNING = 1,
                        LF_MLFLOW_FINISHED = 3,
                        LF_MLFLOW_FAILED = 4,
                        LF_MLFLOW_KILLED = 5
};

/* store: the directory that --backend-store-uri names; it is made, and the experiment in it. Times
 * are in seconds of the epoch. Yours, lf_mlflow_close. */
enum lf_err lf_mlflow_open(struct lf_mlflow **out, const char *store, const char *experiment,
                           const char *run, double time, struct lf_diag *diag) LF_MUST_CHECK;
/* key: letters, digits, '_', '-', '.'. */
enum lf_err lf_mlflow_param(struct lf_mlflow *m, const char *key, const char *value,
                            struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_mlflow_metric(struct lf_mlflow *m, double time, int64_t step, const char *key,
                             double value, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_mlflow_end(struct lf_mlflow *m, double time, enum lf_mlflow_status status,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_mlflow_close(struct lf_mlflow *m);

#endif
