/* Summaries, correlations, and least squares by modified Gram-Schmidt. */
#include "land/stats.h"

#include "core/num.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPENDENT 1e-9 /* share of a column's norm below which it adds nothing new */

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
        qsort(sorted, n, sizeof *sorted, lf_order_double);
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

struct lf_interval lf_stat_correlation_interval(double r, size_t n)
{
    if (n < 4 || isnan(r))
        return (struct lf_interval){NAN, NAN};
    double z = atanh(fmin(fmax(r, -1 + 1e-15), 1 - 1e-15)), wide = 1.959964 / sqrt((double)n - 3);
    return (struct lf_interval){tanh(z - wide), tanh(z + wide)};
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

/* Memory of one solve: q (k columns of n), r (k, k), c (k), y (n), scaling (k). */
struct solver {
    double *q, *r, *c, *y;
    struct scaling *sc; /* all of it in one allocation, from here on */
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
    s->sc = calloc(k * sizeof *s->sc + (n * k + k * k + k + n + 1) * sizeof(double), 1);
    s->q = (double *)(s->sc + k);
    s->r = s->q + n * k;
    s->c = s->r + k * k;
    s->y = s->c + k;
    return s->sc ? LF_OK : LF_E_NO_MEMORY;
}

/* How well the rows are described by a fit to all of them, or each by the fit to the others. The
 * last fit stays in coef. */
static void measure_fit(double *rmse, double *r2, double *coef, struct solver *s, struct design *d,
                        bool leave_one_out)
{
    double errors = 0, around_mean = 0;
    for (size_t i = 0; i < d->n; i++) {
        d->without = leave_one_out ? i : d->n;
        if (i == 0 || leave_one_out)
            solve(coef, s, d);
        double e = d->y[i] - predict(coef, s, d->x + i * d->k, d->k);
        errors += e * e;
        around_mean += (d->y[i] - s->mean_y) * (d->y[i] - s->mean_y);
    }
    *rmse = sqrt(errors / (double)d->n);
    *r2 = around_mean > 0 ? 1 - errors / around_mean : NAN;
}

enum lf_err lf_stat_fit(struct lf_fit *out, const double *x, const double *y, size_t n, size_t k,
                        struct lf_diag *diag)
{
    struct solver s;
    struct design d = {.x = x, .y = y, .n = n, .k = k};
    lf_assert(k <= LF_FIT_FEATURES);
    if (n < 3)
        return lf_fail(diag, LF_E_INVALID, "a linear model needs at least 3 rows, not %zu", n);
    if (solver_init(&s, n, k) != LF_OK)
        return lf_no_memory(diag, "a linear model of %zu rows", n);
    *out = (struct lf_fit){.k = k};
    measure_fit(&out->rmse_loo, &out->r2_loo, out->coef, &s, &d, true);
    measure_fit(&out->rmse, &out->r2, out->coef, &s, &d, false);
    free(s.sc);
    return LF_OK;
}
