/* The statistics of the study's analysis. Pure functions over doubles, any thread. */
#ifndef LF_LAND_STATS_H
#define LF_LAND_STATS_H

#include "core/err.h"
#include "score/interval.h"

#include <stddef.h>

struct lf_summary {
    double mean;
    double sigma; /* population standard deviation */
    double p95;   /* linear interpolation between order statistics, as numpy.percentile */
    size_t n;
};

/* n = 0 gives NaN throughout. LF_E_NO_MEMORY when the sort's copy finds none. */
enum lf_err lf_stat_summary(struct lf_summary *out, const double *x, size_t n) LF_MUST_CHECK;
/* Pearson's correlation over the pairs in which neither is NaN; NaN for fewer than two such pairs
 * or a constant side. */
double lf_stat_correlation(const double *x, const double *y, size_t n);
/* The 95% interval of a correlation r over n pairs, by Fisher's z; NaN for fewer than four. */
struct lf_interval lf_stat_correlation_interval(double r, size_t n);

/* Least squares y ~ mean + sum_j coef[j] x[.][j], features standardised first so that the
 * coefficients compare. x: (n, k) row-major. Leave-one-out: each row is predicted by the fit to the
 * others; r2 = 1 - sum (y - yhat)^2 / sum (y - mean of the others)^2, so a model that knows no more
 * than the mean scores 0. A feature that is constant or a combination of earlier ones gets
 * coefficient 0. */
#define LF_FIT_FEATURES 8 /* at most */
struct lf_fit {
    double coef[LF_FIT_FEATURES]; /* (k) on standardised features */
    double r2, rmse;              /* of the fit itself */
    double r2_loo, rmse_loo;
    size_t k;
};
enum lf_err lf_stat_fit(struct lf_fit *out, const double *x, const double *y, size_t n, size_t k,
                        struct lf_diag *diag) LF_MUST_CHECK;

#endif
