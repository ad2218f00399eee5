/* LIBS: lf_gpu lf_core */
/* Products of 4-bit weights in integers (LF_CPU_INT16, LF_CPU_INT8): how far they may be off, what
 * they do with numbers at the limits, and which tokens they leave alone. */
#include "core/rng.h"
#include "gpu/backend.h"
#include "gpu/device.h"
#include "gpu/nf4.h"
#include "gpu/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ROWS 83
#define WIDTH 1344 /* a run of scales, part of one, and part of a group of codes */
#define TOKENS 41
#define BLOCK 64

static const char *isa; /* the instruction set whose turn it is */

/* What gpu/ops.h says of the integers whose turn it is. Errors add up like noise: with 8 bits in
 * the blocks that have one element a hundred times as large, and these make the results, 0.29 of a
 * step of 0.79 for each of 64 elements, 0.018 of that large one. */
static const struct integers {
    const char *name;
    enum lf_cpu_products products;
    double code_error, token_max;
    double of_size; /* of the results, at most */
} kinds[] = {{"16 bits", LF_CPU_INT16, 5.4e-5, 32767, 3e-4},
             {"8 bits", LF_CPU_INT8, 2.9e-3, 127, 2e-2}};
static const struct integers *kind;

struct rig {
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_weight w;
    uint8_t codes[ROWS * WIDTH / 2], absmax_q[ROWS * WIDTH / BLOCK];
    float absmax2[ROWS * WIDTH / BLOCK / 256 + 1];
    float x[TOKENS * WIDTH], y[TOKENS * ROWS];
};

static void open_as(struct rig *r, enum lf_cpu_products products)
{
    struct lf_diag diag;
    struct lf_device_options o = {.threads = 2, .cpu_products = products};
    assert_int_equal(lf_device_open(&r->dev, LF_DEVICE_CPU, &o, &diag), LF_OK);
    assert_true(lf_cpu_use(r->dev, isa));
    assert_int_equal(lf_stream_new(&r->stream, r->dev, 0, &diag), LF_OK);
}

static void close_device(struct rig *r)
{
    lf_stream_free(r->stream);
    lf_device_free(r->dev);
}

static float normal(uint64_t i)
{
    float u = lf_rng_unit(lf_rng_u32(1, i, 0)), v = lf_rng_unit(lf_rng_u32(1, i, 1));
    return sqrtf(-2 * logf(u + 1e-9F)) * cosf(6.2831853F * v);
}

static struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    for (size_t i = 0; i < sizeof r->codes; i++)
        r->codes[i] = (uint8_t)lf_rng_u32(2, i, 0);
    for (size_t i = 0; i < sizeof r->absmax_q; i++)
        r->absmax_q[i] = (uint8_t)lf_rng_u32(3, i, 0);
    for (size_t i = 0; i < sizeof r->absmax2 / sizeof *r->absmax2; i++)
        r->absmax2[i] = 0.01F + 0.001F * (float)i;
    for (size_t i = 0; i < TOKENS * WIDTH;
         i++) /* now and then one that is a hundred times as large */
        r->x[i] = normal(i) * (i % 1000 == 7 ? 100.0F : 1.0F);
    r->w = (struct lf_weight){.kind = LF_WEIGHT_Q4,
                              .N = ROWS,
                              .K = WIDTH,
                              .data = r->codes,
                              .block = BLOCK,
                              .code = lf_nf4_code,
                              .absmax_q = r->absmax_q,
                              .absmax_code = lf_dynamic_map,
                              .absmax2 = r->absmax2,
                              .block2 = 256,
                              .offset = 0.03F};
    open_as(r, kind->products);
    return r;
}

static void rig_free(struct rig *r)
{
    close_device(r);
    free(r);
}

/* Tokens [t, t + n), of which the first n_fast may be in integers. */
static void multiply(struct rig *r, int t, int n, int n_fast)
{
    struct lf_linear_args a = {.y = r->y + t * ROWS,
                               .x = r->x + t * WIDTH,
                               .w = {&r->w},
                               .n = 1,
                               .T = n,
                               .T_fast = n_fast,
                               .ldy = ROWS,
                               .ldx = WIDTH};
    r->stream->ops->linear(r->stream, &a);
}

static double scale_of(const struct lf_weight *w, size_t block)
{
    float product = w->absmax_code[w->absmax_q[block]] * w->absmax2[block / 256];
    return (double)(product + w->offset);
}

/* The scale of a block of a token. */
static double token_scale(const float *x)
{
    double sum = 0, most = 0, pair = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        sum += fabs((double)x[i]);
        most = fmax(most, fabs((double)x[i]));
        pair = fmax(pair, fabs((double)x[i]) + fabs((double)x[i ^ 2]));
    }
    return fmax(most / kind->token_max, kind->products == LF_CPU_INT8 ? pair / 132 : sum / 338900);
}

/* What gpu/ops.h says that an element may be off, and what the sums in fp32 add; *exact: its value.
 */
static double bound(const struct rig *r, int t, int n, double *exact)
{
    double off = 0;
    *exact = 0;
    for (size_t b = 0; b < WIDTH / BLOCK; b++) {
        size_t at = (size_t)n * WIDTH + b * BLOCK;
        double scale = scale_of(&r->w, at / BLOCK), sum = 0, part = 0;
        for (size_t i = 0; i < BLOCK; i++) {
            double x = (double)r->x[(size_t)t * WIDTH + b * BLOCK + i];
            uint8_t byte = r->codes[(at + i) / 2];
            part += x * (double)r->w.code[i % 2 ? byte & 15 : byte >> 4];
            sum += fabs(x);
        }
        double step = token_scale(r->x + (size_t)t * WIDTH + b * BLOCK);
        off += fabs(scale) * (kind->code_error * sum + 32 * step) + 1e-5 * fabs(scale) * sum;
        *exact += scale * part;
    }
    return off;
}

static void check_bound(struct rig *r, int n_tokens)
{
    double off = 0, size = 0;
    memset(r->y, 0xff, sizeof r->y);
    multiply(r, 0, n_tokens, n_tokens);
    for (int t = 0; t < n_tokens; t++)
        for (int n = 0; n < ROWS; n++) {
            double exact, most = bound(r, t, n, &exact), d = (double)r->y[t * ROWS + n] - exact;
            if (!(fabs(d) <= most))
                fail_msg("%d tokens, token %d, row %d: off by %g, %g allowed", n_tokens, t, n, d,
                         most);
            off += d * d;
            size += exact * exact;
        }
    print_message("%d tokens: off by %.2g of their size\n", n_tokens, sqrt(off / size));
    assert_true(sqrt(off / size) < kind->of_size);
}

static void results_are_within_the_bound(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 4, 5, 6, 7, 13, 41};
    struct rig *r = rig_new();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_bound(r, counts[i]);
    rig_free(r);
}

static void scales_that_are_not_nested_and_blocks_of_128(void **state)
{
    (void)state;
    static float absmax[ROWS * WIDTH / BLOCK];
    struct rig *r = rig_new();
    for (size_t i = 0; i < ROWS * WIDTH / BLOCK; i++)
        absmax[i] = (float)scale_of(&r->w, i & ~(size_t)1);
    static float half[ROWS * WIDTH / BLOCK / 2 + 1];
    for (size_t i = 0; i < ROWS * WIDTH / BLOCK; i++)
        half[i / 2] = absmax[i];
    memset(r->y, 0, sizeof r->y);
    r->w.absmax = absmax;
    multiply(r, 0, 9, 9);
    static float want[9 * ROWS];
    memcpy(want, r->y, sizeof want);
    r->w.absmax = half;
    r->w.block = 128;
    multiply(r, 0, 9, 9);
    assert_memory_equal(want, r->y, sizeof want);
    rig_free(r);
}

/* Sums of products that are all as large as they can be: of a block, and of two neighbours. */
static void the_largest_sums_do_not_wrap(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    for (int sign = 0; sign < 2; sign++) {
        memset(r->codes, sign ? 0x00 : 0xff, sizeof r->codes);
        for (size_t i = 0; i < TOKENS * WIDTH; i++)
            r->x[i] = 3;
        check_bound(r, 1);
        check_bound(r, TOKENS);
    }
    rig_free(r);
}

static void what_is_not_finite_stays_so(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    for (int many = 0; many < 2; many++) {
        int n = many ? TOKENS : 2;
        r->x[5] = NAN;
        r->x[WIDTH + 700] = -INFINITY;
        multiply(r, 0, n, n);
        for (int i = 0; i < 2 * ROWS; i++)
            assert_false(isfinite(r->y[i]));
        assert_true(n == 2 || isfinite(r->y[2 * ROWS]));
    }
    memset(r->x, 0, sizeof r->x);
    r->x[1] = 1e-42F;
    multiply(r, 0, 2, 2);
    for (int i = 0; i < 2 * ROWS; i++)
        assert_true(r->y[i] == 0);
    rig_free(r);
}

/* Few tokens are multiplied by rows as they are, more by panels of rows: the same bytes. */
static void a_token_does_not_depend_on_its_company(void **state)
{
    (void)state;
    static float together[TOKENS * ROWS];
    struct rig *r = rig_new();
    multiply(r, 0, TOKENS, TOKENS);
    memcpy(together, r->y, sizeof together);
    for (int t = 0; t < TOKENS; t++)
        multiply(r, t, 1, 1);
    assert_memory_equal(together, r->y, sizeof together);
    rig_free(r);
}

/* Tiles sum up the same integers, and what is made of the sums is the same. */
static void tiles_give_the_bytes_of_registers(void **state)
{
    (void)state;
    static const int counts[] = {7, 16, 17, 31, 33, TOKENS};
    static float want[TOKENS * ROWS];
    if (strcmp(isa, "amx") != 0)
        skip();
    struct rig *r = rig_new();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t size = (size_t)counts[i] * ROWS * sizeof *want;
        assert_true(lf_cpu_use(r->dev, "vnni"));
        multiply(r, 0, counts[i], counts[i]);
        memcpy(want, r->y, size);
        assert_true(lf_cpu_use(r->dev, "amx"));
        memset(r->y, 0xff, size);
        multiply(r, 0, counts[i], counts[i]);
        assert_memory_equal(want, r->y, size);
    }
    rig_free(r);
}

/* Those behind the tokens that may be in integers have the bytes that they have alone, and all have
 * where the device is to be exact. */
static void exact_tokens_stay_exact(void **state)
{
    (void)state;
    static float want[TOKENS * ROWS];
    struct rig *r = rig_new();
    multiply(r, 11, 5, 0);
    memcpy(want, r->y, sizeof want);
    multiply(r, 0, 16, 11);
    assert_memory_equal(want + 11 * ROWS, r->y + 11 * ROWS, (size_t)5 * ROWS * sizeof *want);
    multiply(r, 0, 16, 0);
    memcpy(want, r->y, sizeof want);
    close_device(r);
    open_as(r, LF_CPU_FP32);
    multiply(r, 0, 16, 16);
    assert_memory_equal(want, r->y, sizeof want);
    rig_free(r);
}

static bool is_there(const char *set)
{
    struct lf_diag diag;
    struct lf_device *dev;
    bool there = lf_device_open(&dev, LF_DEVICE_CPU, NULL, &diag) == LF_OK && lf_cpu_use(dev, set);
    lf_device_free(dev);
    return there;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_within_the_bound),
        cmocka_unit_test(scales_that_are_not_nested_and_blocks_of_128),
        cmocka_unit_test(the_largest_sums_do_not_wrap),
        cmocka_unit_test(what_is_not_finite_stays_so),
        cmocka_unit_test(a_token_does_not_depend_on_its_company),
        cmocka_unit_test(tiles_give_the_bytes_of_registers),
        cmocka_unit_test(exact_tokens_stay_exact)};
    static const char *const sets[] = {"amx", "vnni", "avx512", "avx2"};
    int failed = 0;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        isa = sets[i];
        for (size_t j = 0; is_there(isa) && j < sizeof kinds / sizeof *kinds; j++) {
            char name[64];
            kind = &kinds[j];
            snprintf(name, sizeof name, "%s, %s", isa, kind->name);
            failed += cmocka_run_group_tests_name(name, tests, NULL, NULL);
        }
    }
    return failed;
}
