/* Truncated singular value decomposition. Vectors are rows, so that they are contiguous. */
#include "model/svd.h"

#include "core/rng.h"
#include "gpu/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXTRA 8     /* vectors beside twice the rank: what is next in size takes longest to leave */
#define GROWTH 1e-7 /* of the sum of squares: an iteration that brings less is the last */
#define SWEEPS 60   /* of Jacobi at most; ten are usual */
#define LANES 8
#define ALIGNED 1e-12 /* cosine of two columns that are orthogonal */

/* A subspace of q dimensions while it turns towards the first singular vectors. */
struct subspace {
    struct lf_stream *stream;
    struct lf_weight w;
    int q;
    float *left, *right; /* (q, N), (q, K) */
    double *r;           /* (q, q): right before it was made orthonormal is r times what it is */
};

/* left = right W^T, or right = left W. */
static void multiply(const struct subspace *x, bool to_left)
{
    if (to_left)
        x->stream->ops->linear(x->stream, &(struct lf_linear_args){.y = x->left,
                                                                   .x = x->right,
                                                                   .w = {&x->w},
                                                                   .n = 1,
                                                                   .T = x->q,
                                                                   .ldy = x->w.N,
                                                                   .ldx = x->w.K});
    else
        x->stream->ops->linear_bwd(x->stream, &(struct lf_linear_bwd_args){.dx = x->right,
                                                                           .dy = x->left,
                                                                           .w = {&x->w},
                                                                           .n = 1,
                                                                           .T = x->q,
                                                                           .lddx = x->w.K,
                                                                           .lddy = x->w.N});
}

/* In several sums, which need not wait for each other. */
static double dot(const float *a, const float *b, size_t n)
{
    double sum[LANES] = {0}, total = 0;
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sum[lane] += (double)a[i + lane] * b[i + lane];
    for (size_t i = whole; i < n; i++)
        total += (double)a[i] * b[i];
    for (size_t lane = 0; lane < LANES; lane++)
        total += sum[lane];
    return total;
}

/* Gram-Schmidt, each row against those above it twice. r (q, q), lower triangular, or NULL. A row
 * that the others span becomes 0. Answers the sum of squares that there was. */
static double orthonormalize(float *x, size_t n, int q, double *r)
{
    double squares = 0;
    for (int i = 0; i < q; i++) {
        float *row = x + (size_t)i * n;
        double was = dot(row, row, n);
        squares += was;
        for (int again = 0; again < 2; again++)
            for (int k = 0; k < i; k++) {
                const float *above = x + (size_t)k * n;
                double part = dot(row, above, n);
                for (size_t j = 0; j < n; j++)
                    row[j] = (float)(row[j] - part * above[j]);
                if (r)
                    r[i * q + k] += part;
            }
        double norm = sqrt(dot(row, row, n));
        bool spanned = norm <= 1e-6 * sqrt(was);
        for (size_t j = 0; j < n; j++)
            row[j] = spanned ? 0 : (float)(row[j] / norm);
        if (r)
            r[i * q + i] = spanned ? 0 : norm;
    }
    return squares;
}

static void turn(struct subspace *x, int iterations)
{
    size_t N = (size_t)x->w.N, K = (size_t)x->w.K;
    double was = 0;
    multiply(x, true);
    orthonormalize(x->left, N, x->q, NULL);
    for (int i = 0; i < (iterations ? iterations : LF_SVD_ITERATIONS_MAX); i++) {
        multiply(x, false);
        double now = orthonormalize(x->right, K, x->q, NULL);
        multiply(x, true);
        orthonormalize(x->left, N, x->q, NULL);
        if (!iterations && now - was <= GROWTH * now)
            break;
        was = now;
    }
    multiply(x, false);
    orthonormalize(x->right, K, x->q, x->r);
}

/* ---- What is left: a small square matrix ----------------------------------------------------- */

/* One-sided Jacobi: turns rows of a (q, q) against each other until they are orthogonal, and t, an
 * orthogonal matrix, along. */
static void jacobi(double *a, double *t, int q)
{
    bool turned = true;
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
        turned = false;
        for (int i = 0; i < q; i++)
            for (int j = i + 1; j < q; j++) {
                double *x = a + i * q, *y = a + j * q, xx = 0, yy = 0, xy = 0;
                for (int k = 0; k < q; k++) {
                    xx += x[k] * x[k];
                    yy += y[k] * y[k];
                    xy += x[k] * y[k];
                }
                if (fabs(xy) <= ALIGNED * sqrt(xx * yy))
                    continue;
                turned = true;
                double zeta = (yy - xx) / (2 * xy);
                double tangent = copysign(1, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
                double c = 1 / sqrt(1 + tangent * tangent), s = c * tangent;
                double *tx = t + i * q, *ty = t + j * q;
                for (int k = 0; k < q; k++) {
                    double was = x[k], t_was = tx[k];
                    x[k] = c * was - s * y[k];
                    y[k] = s * was + c * y[k];
                    tx[k] = c * t_was - s * ty[k];
                    ty[k] = s * t_was + c * ty[k];
                }
            }
    }
}

static double length(const double *x, int q)
{
    double squares = 0;
    for (int k = 0; k < q; k++)
        squares += x[k] * x[k];
    return sqrt(squares);
}

/* out (n) = the sum of rows of x by the weights w (q) times `by`. */
static void combine(float *out, const double *w, double by, const float *x, size_t n, int q)
{
    for (size_t j = 0; j < n; j++) {
        double sum = 0;
        for (int k = 0; k < q; k++)
            sum += w[k] * x[(size_t)k * n + j];
        out[j] = (float)(by * sum);
    }
}

/* W is left^T r right. With the rows of r turned by t until they are orthogonal, s_i times unit
 * vectors d_i: W = sum of s_i (t_i left)^T (d_i right). */
static void take(struct lf_svd *out, const struct subspace *x, double *t, int *order)
{
    int q = x->q;
    double *size = t + (size_t)q * (size_t)q;
    memset(t, 0, (size_t)q * (size_t)q * sizeof *t);
    for (int i = 0; i < q; i++)
        t[i * q + i] = 1;
    jacobi(x->r, t, q);
    for (int i = 0; i < q; i++) {
        int at = i;
        size[i] = length(x->r + i * q, q);
        while (at > 0 && size[order[at - 1]] < size[i]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    for (int i = 0; i < out->rank; i++) {
        int from = order[i];
        size_t N = (size_t)x->w.N, K = (size_t)x->w.K;
        out->s[i] = size[from];
        combine(out->u + (size_t)i * N, t + from * q, 1, x->left, N, q);
        combine(out->v + (size_t)i * K, x->r + from * q, size[from] > 0 ? 1 / size[from] : 0,
                x->right, K, q);
    }
}

/* ---- Outside --------------------------------------------------------------------------------- */

void lf_svd_free(struct lf_svd *d)
{
    free(d->s);
    free(d->u);
    free(d->v);
    *d = (struct lf_svd){0};
}

static void random_start(const struct subspace *x, uint64_t seed)
{
    size_t n = (size_t)x->q * (size_t)x->w.K;
    for (size_t i = 0; i < n; i++)
        x->right[i] = 2 * lf_rng_unit(lf_rng_u32(seed, i, 0)) - 1;
}

enum lf_err lf_svd_first(struct lf_svd *out, struct lf_stream *stream, const float *w, int N, int K,
                         int rank, int iterations, uint64_t seed, struct lf_diag *diag)
{
    int least = N < K ? N : K, q = 2 * rank + EXTRA < least ? 2 * rank + EXTRA : least;
    struct subspace x = {.stream = stream,
                         .w = {.kind = LF_WEIGHT_F32, .N = N, .K = K, .data = w},
                         .q = q,
                         .left = calloc((size_t)q * (size_t)N, sizeof(float)),
                         .right = calloc((size_t)q * (size_t)K, sizeof(float)),
                         .r = calloc((size_t)q * (size_t)q, sizeof(double))};
    struct lf_svd d = {.rank = rank,
                       .s = calloc((size_t)rank, sizeof(double)),
                       .u = calloc((size_t)rank * (size_t)N, sizeof(float)),
                       .v = calloc((size_t)rank * (size_t)K, sizeof(float))};
    double *turned = malloc(((size_t)q + 1) * (size_t)q * sizeof *turned);
    int *order = calloc((size_t)q, sizeof *order);
    lf_assert(rank >= 1 && rank <= least && lf_device_on_host(stream->dev));
    enum lf_err rc = LF_OK;
    if (!x.left || !x.right || !x.r || !d.s || !d.u || !d.v || !turned || !order)
        rc = lf_no_memory(diag, "a decomposition of (%d, %d)", N, K);
    if (rc == LF_OK) {
        random_start(&x, seed);
        turn(&x, iterations);
        take(&d, &x, turned, order);
        *out = d;
    } else {
        lf_svd_free(&d);
    }
    free(x.left);
    free(x.right);
    free(x.r);
    free(turned);
    free(order);
    return rc;
}
