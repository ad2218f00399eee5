/* What the report says of features and scores: their correlations, and linear models that foretell
 * a task's scores from its text. Private to land. */
#ifndef LF_LAND_ANALYSIS_H
#define LF_LAND_ANALYSIS_H

#include "land/report.h"
#include "land/stats.h"

/* Of a task, over the trained bases. */
enum lf_land_target {
    LF_LAND_BEST_TUNED,
    LF_LAND_MEAN_TUNED,
    LF_LAND_BEST_BASE,
    LF_LAND_MEAN_BASE,
    LF_LAND_MEAN_LIFT,
    LF_LAND_BEST_LIFT,
    LF_LAND_TARGETS
};
const char *lf_land_target_name(enum lf_land_target t);

#define LF_LAND_VARIABLES (LF_LAND_FEATURES + LF_LAND_TARGETS)
/* Features of a linear model: few, since a study has 31 tasks at most. */
#define LF_LAND_MODEL_FEATURES 4

struct lf_land_analysis {
    int n;     /* tasks with features and scores */
    double *x; /* (LF_LAND_VARIABLES, n): features, then targets; owned */
    int *task; /* (n) which; owned */
    double correlation[LF_LAND_VARIABLES * LF_LAND_VARIABLES];
    int n_models;                         /* 0 when there are too few tasks */
    struct lf_fit model[LF_LAND_TARGETS]; /* of the first n_models targets */
};

extern const enum lf_land_feature lf_land_model_features[LF_LAND_MODEL_FEATURES];

enum lf_err lf_land_analysis_init(struct lf_land_analysis *a, const struct lf_land_report *r,
                                  struct lf_diag *diag) LF_MUST_CHECK;
void lf_land_analysis_free(struct lf_land_analysis *a);

#endif
