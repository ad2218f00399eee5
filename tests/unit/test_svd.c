/* LIBS: lf_model */
/* Truncated decompositions of matrices whose singular values and vectors are known. */
#include "model/svd.h"

#include "core/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#define N_MAX 120
#define RANK_MAX 20

struct known_matrix {
    int N, K, rank;
    double s[RANK_MAX];
    double u[RANK_MAX][N_MAX], v[RANK_MAX][N_MAX];
    float w[N_MAX * N_MAX];
};

static struct lf_device *dev;
static struct lf_stream *stream;

static int open_device(void **state)
{
    const struct lf_device_options o = {.threads = 2};
    (void)state;
    return lf_device_open(&dev, LF_DEVICE_CPU, &o, NULL) || lf_stream_new(&stream, dev, 0, NULL);
}

static int close_device(void **state)
{
    (void)state;
    lf_stream_free(stream);
    lf_device_free(dev);
    return 0;
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void make_orthonormal(double x[][N_MAX], int rank, int n, uint64_t seed)
{
    for (int i = 0; i < rank; i++) {
        for (int k = 0; k < n; k++)
            x[i][k] = lf_rng_unit(lf_rng_u32(seed, (uint64_t)(i * n + k), 0)) - 0.5;
        for (int again = 0; again < 2; again++)
            for (int j = 0; j < i; j++) {
                double part = dot(x[i], x[j], n);
                for (int k = 0; k < n; k++)
                    x[i][k] -= part * x[j][k];
            }
        double norm = sqrt(dot(x[i], x[i], n));
        for (int k = 0; k < n; k++)
            x[i][k] /= norm;
    }
}

/* Singular values 10, 10 * ratio, 10 * ratio^2 ...; free(). */
static struct known_matrix *known_new(int N, int K, int rank, double ratio)
{
    struct known_matrix *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->N = N;
    w->K = K;
    w->rank = rank;
    make_orthonormal(w->u, rank, N, 1);
    make_orthonormal(w->v, rank, K, 2);
    for (int i = 0; i < rank; i++)
        w->s[i] = i ? w->s[i - 1] * ratio : 10;
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++) {
            double sum = 0;
            for (int i = 0; i < rank; i++)
                sum += w->s[i] * w->u[i][n] * w->v[i][k];
            w->w[n * K + k] = (float)sum;
        }
    return w;
}

static void finds(const struct known_matrix *w, int rank, int iterations, double tolerance)
{
    struct lf_svd d;
    struct lf_diag diag = {""};
    if (lf_svd_first(&d, stream, w->w, w->N, w->K, rank, iterations, 3, &diag))
        fail_msg("%s", diag.text);
    assert_int_equal(d.rank, rank);
    for (int i = 0; i < rank; i++) {
        double want = i < w->rank ? w->s[i] : 0, along_u = 0, along_v = 0;
        if (fabs(d.s[i] - want) > tolerance * w->s[0])
            fail_msg("(%d, %d): value %d is %.9g, not %.9g", w->N, w->K, i, d.s[i], want);
        if (want == 0)
            continue;
        for (int n = 0; n < w->N; n++)
            along_u += (double)d.u[i * w->N + n] * w->u[i][n];
        for (int k = 0; k < w->K; k++)
            along_v += (double)d.v[i * w->K + k] * w->v[i][k];
        assert_true(fabs(fabs(along_u) - 1) < 10 * tolerance);
        assert_true(fabs(along_u - along_v) < 10 * tolerance); /* of one sign */
    }
    lf_svd_free(&d);
}

/* Products in fp32 of sums of some dozens: 1e-6 or so of the largest value. */
static void finds_what_a_matrix_was_made_of(void **state)
{
    static const int sizes[][2] = {{120, 40}, {40, 120}, {64, 64}, {20, 33}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct known_matrix *w = known_new(sizes[i][0], sizes[i][1], RANK_MAX, 0.8);
        finds(w, 1, 0, 1e-5);
        finds(w, 8, 0, 1e-5);
        finds(w, 20, 0, 1e-5);
        finds(w, 8, 4, 1e-5); /* 24 vectors span all there is */
        free(w);
    }
}

static void a_matrix_of_less_rank_has_values_of_0(void **state)
{
    struct known_matrix *w = known_new(50, 60, 3, 0.5);
    (void)state;
    finds(w, 8, 0, 1e-5);
    free(w);
    w = known_new(30, 30, 0, 1);
    finds(w, 2, 0, 1e-5);
    free(w);
}

/* What is not spanned at first comes in by iterations: of 60 values that fall slowly, one. */
static void iterations_bring_the_first_values_in(void **state)
{
    static float w[100 * 100];
    double was = 0;
    (void)state;
    for (int i = 0; i < 100; i++)
        w[i * 100 + i] = (float)pow(0.97, i);
    for (int iterations = 1; iterations <= 16; iterations *= 4) {
        struct lf_svd d;
        struct lf_diag diag = {""};
        assert_int_equal(lf_svd_first(&d, stream, w, 100, 100, 4, iterations, 5, &diag), LF_OK);
        assert_true(d.s[3] > was && d.s[3] <= pow(0.97, 3) + 1e-6);
        was = d.s[3];
        lf_svd_free(&d);
    }
    assert_true(fabs(was - pow(0.97, 3)) < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_matrix_was_made_of),
        cmocka_unit_test(a_matrix_of_less_rank_has_values_of_0),
        cmocka_unit_test(iterations_bring_the_first_values_in),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
