/* Summaries, correlations, and least squares by modified Gram-Schmidt. */
#include "land/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPENDENT 1e-9 /* share of a column's norm below which it adds nothing new */

static int double_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return n ? sum / (double)n : NAN;
}

enum lf_err lf_stat_summary(struct lf_summary *out, const double *x, size_t n)
{
    struct lf_summary s = {.mean = NAN, .sigma = NAN, .p95 = NAN, .n = n};
    if (n > 0) {
        double *sorted = malloc(n * sizeof *sorted);
        if (!sorted)
            return LF_E_NO_MEMORY;
        memcpy(sorted, x, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, double_order);
        double at = 0.95 * (double)(n - 1);
        size_t lo = (size_t)at, hi = lo + 1 < n ? lo + 1 : lo;
        s.p95 = sorted[lo] + (at - (double)lo) * (sorted[hi] - sorted[lo]);
        s.mean = mean_of(x, n);
        double squares = 0;
        for (size_t i = 0; i < n; i++)
            squares += (x[i] - s.mean) * (x[i] - s.mean);
        s.sigma = sqrt(squares / (double)n);
        free(sorted);
    }
    *out = s;
    return LF_OK;
}

double lf_stat_correlation(const double *x, const double *y, size_t n)
{
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    size_t pairs = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i]) && !isnan(y[i])) {
            mx += x[i];
            my += y[i];
            pairs++;
        }
    if (pairs < 2)
        return NAN;
    mx /= (double)pairs;
    my /= (double)pairs;
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i]) && !isnan(y[i])) {
            xx += (x[i] - mx) * (x[i] - mx);
            yy += (y[i] - my) * (y[i] - my);
            xy += (x[i] - mx) * (y[i] - my);
        }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

/* ---- Least squares ----------------------------------------------------------------------------
 */

/* Rows of a problem, one of which may be left out. */
struct design {
    const double *x, *y;
    size_t n, k;
    size_t without; /* row left out; n: none */
};

struct scaling {
    double mean, sigma;
};

static double dot(const double *a, const double *b, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

/* Column j of the kept rows, standardised; returns the number of rows. A constant column is 0. */
static size_t design_column(double *out, struct scaling *sc, const struct design *d, size_t j)
{
    size_t m = 0;
    for (size_t i = 0; i < d->n; i++)
        if (i != d->without)
            out[m++] = d->x[i * d->k + j];
    sc->mean = mean_of(out, m);
    double squares = 0;
    for (size_t i = 0; i < m; i++) {
        out[i] -= sc->mean;
        squares += out[i] * out[i];
    }
    sc->sigma = m ? sqrt(squares / (double)m) : 0;
    for (size_t i = 0; i < m; i++)
        out[i] = sc->sigma > 0 ? out[i] / sc->sigma : 0;
    return m;
}

/* Memory of one solve: q (k columns of n), r (k, k), c (k), residual (n), scaling (k). */
struct solver {
    double *q, *r, *c, *y;
    struct scaling *sc;
    double mean_y;
};

/* Back substitution over the columns that were kept (r's diagonal > 0). */
static void solve_back(double *coef, const struct solver *s, size_t k)
{
    for (size_t j = k; j-- > 0;) {
        coef[j] = 0;
        if (s->r[j * k + j] <= 0)
            continue;
        double v = s->c[j];
        for (size_t l = j + 1; l < k; l++)
            v -= s->r[j * k + l] * coef[l];
        coef[j] = v / s->r[j * k + j];
    }
}

static void solve(double *coef, struct solver *s, const struct design *d)
{
    size_t n = d->n, k = d->k, m = 0;
    for (size_t i = 0; i < n; i++)
        if (i != d->without)
            s->y[m++] = d->y[i];
    s->mean_y = mean_of(s->y, m);
    for (size_t i = 0; i < m; i++)
        s->y[i] -= s->mean_y;
    for (size_t j = 0; j < k; j++) {
        double *qj = s->q + j * n;
        design_column(qj, &s->sc[j], d, j);
        double before = sqrt(dot(qj, qj, m));
        for (size_t l = 0; l < j; l++) {
            const double *ql = s->q + l * n;
            double p = dot(ql, qj, m);
            s->r[l * k + j] = p;
            for (size_t i = 0; i < m; i++)
                qj[i] -= p * ql[i];
        }
        double after = sqrt(dot(qj, qj, m));
        s->r[j * k + j] = after > DEPENDENT * before && before > 0 ? after : 0;
        for (size_t i = 0; i < m; i++)
            qj[i] = s->r[j * k + j] > 0 ? qj[i] / after : 0;
        s->c[j] = dot(qj, s->y, m);
    }
    solve_back(coef, s, k);
}

static double predict(const double *coef, const struct solver *s, const double *row, size_t k)
{
    double v = s->mean_y;
    for (size_t j = 0; j < k; j++)
        if (s->sc[j].sigma > 0)
            v += coef[j] * (row[j] - s->sc[j].mean) / s->sc[j].sigma;
    return v;
}

static enum lf_err solver_init(struct solver *s, size_t n, size_t k)
{
    s->q = calloc(n * k + 1, sizeof *s->q);
    s->r = calloc(k * k + 1, sizeof *s->r);
    s->c = calloc(k + 1, sizeof *s->c);
    s->y = calloc(n + 1, sizeof *s->y);
    s->sc = calloc(k + 1, sizeof *s->sc);
    return s->q && s->r && s->c && s->y && s->sc ? LF_OK : LF_E_NO_MEMORY;
}

static void solver_free(struct solver *s)
{
    free(s->q);
    free(s->r);
    free(s->c);
    free(s->y);
    free(s->sc);
}

/* Leave-one-out predictions and their scores. coef is scratch (k). */
static void fit_leave_one_out(struct lf_fit *f, struct solver *s, struct design *d, double *coef)
{
    double errors = 0, around_mean = 0;
    for (size_t i = 0; i < d->n; i++) {
        d->without = i;
        solve(coef, s, d);
        f->predicted[i] = predict(coef, s, d->x + i * d->k, d->k);
        errors += (d->y[i] - f->predicted[i]) * (d->y[i] - f->predicted[i]);
        around_mean += (d->y[i] - s->mean_y) * (d->y[i] - s->mean_y);
    }
    f->rmse_loo = sqrt(errors / (double)d->n);
    f->r2_loo = around_mean > 0 ? 1 - errors / around_mean : NAN;
}

/* The fit to all rows: coefficients and how well they describe those rows. */
static void fit_all(struct lf_fit *f, struct solver *s, struct design *d)
{
    double errors = 0, around_mean = 0;
    d->without = d->n;
    solve(f->coef, s, d);
    f->intercept = s->mean_y;
    for (size_t i = 0; i < d->n; i++) {
        double e = d->y[i] - predict(f->coef, s, d->x + i * d->k, d->k);
        errors += e * e;
        around_mean += (d->y[i] - s->mean_y) * (d->y[i] - s->mean_y);
    }
    f->rmse = sqrt(errors / (double)d->n);
    f->r2 = around_mean > 0 ? 1 - errors / around_mean : NAN;
}

enum lf_err lf_stat_fit(struct lf_fit *out, const double *x, const double *y, size_t n, size_t k,
                        struct lf_diag *diag)
{
    if (n < 3)
        return lf_fail(diag, LF_E_INVALID, "a linear model needs at least 3 rows, not %zu", n);
    struct lf_fit f = {.n = n, .k = k};
    struct solver s = {0};
    struct design d = {.x = x, .y = y, .n = n, .k = k};
    f.coef = calloc(k + 1, sizeof *f.coef);
    f.predicted = calloc(n, sizeof *f.predicted);
    enum lf_err rc = f.coef && f.predicted ? solver_init(&s, n, k) : LF_E_NO_MEMORY;
    if (rc == LF_OK) {
        fit_leave_one_out(&f, &s, &d, f.coef);
        fit_all(&f, &s, &d);
        *out = f;
        f = (struct lf_fit){0};
    } else {
        lf_fail(diag, rc, "no memory for a linear model of %zu rows", n);
    }
    solver_free(&s);
    lf_stat_fit_free(&f);
    return rc;
}

void lf_stat_fit_free(struct lf_fit *f)
{
    free(f->coef);
    free(f->predicted);
    *f = (struct lf_fit){0};
}
