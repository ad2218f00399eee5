/* Correlations and linear models over a study's tasks. */
#include "land/analysis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const enum lf_land_feature lf_land_model_features[LF_LAND_MODEL_FEATURES] = {
    LF_LAND_INPUT_MEAN, LF_LAND_OUTPUT_SIGMA, LF_LAND_SIMILARITY_SIGMA, LF_LAND_COMPRESS_MEAN};

const char *lf_land_feature_name(enum lf_land_feature f)
{
    static const char *const names[LF_LAND_FEATURES] = {
        "input length, mean",     "input length, sigma",   "input length, p95",
        "output length, mean",    "output length, sigma",  "output length, p95",
        "example length, mean",   "example length, sigma", "example length, p95",
        "I/O ROUGE-L, mean",      "I/O ROUGE-L, sigma",    "compressibility, mean",
        "compressibility, sigma", "training examples"};
    return names[f];
}

const char *lf_land_target_name(enum lf_land_target t)
{
    static const char *const names[LF_LAND_TARGETS] = {"best tuned score", "mean tuned score",
                                                       "best base score",  "mean base score",
                                                       "mean lift",        "best lift"};
    return names[t];
}

static double larger(double a, double b)
{
    return isnan(a) || b > a ? b : a;
}

/* A task's targets over the trained bases; false where no cell has both scores. */
static bool task_targets(double *out, const struct lf_land_table *t, int task)
{
    double best_tuned = NAN, best_base = NAN, best_lift = NAN, tuned = 0, base = 0;
    int n = 0;
    for (int b = 0; b < t->n_bases; b++) {
        const struct lf_land_cell *c = lf_land_table_get(t, b, task);
        if (!c || isnan(c->tuned_score) || isnan(c->base_score))
            continue;
        best_tuned = larger(best_tuned, c->tuned_score);
        best_base = larger(best_base, c->base_score);
        best_lift = larger(best_lift, c->tuned_score - c->base_score);
        tuned += c->tuned_score;
        base += c->base_score;
        n++;
    }
    if (n == 0)
        return false;
    out[LF_LAND_BEST_TUNED] = best_tuned;
    out[LF_LAND_MEAN_TUNED] = tuned / n;
    out[LF_LAND_BEST_BASE] = best_base;
    out[LF_LAND_MEAN_BASE] = base / n;
    out[LF_LAND_MEAN_LIFT] = (tuned - base) / n;
    out[LF_LAND_BEST_LIFT] = best_lift;
    return true;
}

/* Columns of a->x: tasks in table order that have features and scores. */
static void collect(struct lf_land_analysis *a, const struct lf_land_report *r, int most)
{
    double targets[LF_LAND_TARGETS];
    for (int k = 0; k < r->results->n_tasks; k++) {
        const double *f = r->notes ? r->notes[k].features : NULL;
        if (!f || !task_targets(targets, r->results, k))
            continue;
        for (int i = 0; i < LF_LAND_FEATURES; i++)
            a->x[i * most + a->n] = f[i];
        for (int i = 0; i < LF_LAND_TARGETS; i++)
            a->x[(LF_LAND_FEATURES + i) * most + a->n] = targets[i];
        a->task[a->n++] = k;
    }
    for (int i = 1; i < LF_LAND_VARIABLES; i++)
        memmove(a->x + i * a->n, a->x + i * most, (size_t)a->n * sizeof *a->x);
}

static enum lf_err fit_models(struct lf_land_analysis *a, struct lf_diag *diag)
{
    size_t n = (size_t)a->n, k = LF_LAND_MODEL_FEATURES;
    if (n < k + 3)
        return LF_OK;
    double *x = malloc(n * k * sizeof *x);
    if (!x)
        return lf_no_memory(diag, "the linear models");
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++)
            x[i * k + j] = a->x[(size_t)lf_land_model_features[j] * n + i];
    enum lf_err rc = LF_OK;
    for (int t = 0; t < LF_LAND_TARGETS && rc == LF_OK; t++) {
        rc = lf_stat_fit(&a->model[t], x, a->x + (size_t)(LF_LAND_FEATURES + t) * n, n, k, diag);
        a->n_models += rc == LF_OK;
    }
    free(x);
    return rc;
}

enum lf_err lf_land_analysis_init(struct lf_land_analysis *a, const struct lf_land_report *r,
                                  struct lf_diag *diag)
{
    memset(a, 0, sizeof *a);
    int most = r->results->n_tasks > 0 ? r->results->n_tasks : 1;
    a->x = calloc((size_t)most * LF_LAND_VARIABLES, sizeof *a->x);
    a->task = calloc((size_t)most, sizeof *a->task);
    if (!a->x || !a->task) {
        lf_land_analysis_free(a);
        return lf_no_memory(diag, "the analysis");
    }
    collect(a, r, most);
    for (int i = 0; i < LF_LAND_VARIABLES; i++)
        for (int j = 0; j < LF_LAND_VARIABLES; j++)
            a->correlation[i * LF_LAND_VARIABLES + j] =
                lf_stat_correlation(a->x + i * a->n, a->x + j * a->n, (size_t)a->n);
    enum lf_err rc = fit_models(a, diag);
    if (rc != LF_OK)
        lf_land_analysis_free(a);
    return rc;
}

void lf_land_analysis_free(struct lf_land_analysis *a)
{
    free(a->x);
    free(a->task);
    memset(a, 0, sizeof *a);
}
