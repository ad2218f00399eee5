/* LIBS: lf_gpu lf_core */
/* The NF4 codec: what its rules say, at the edges of a block and of a matrix. That it writes the
 * bytes that bitsandbytes writes is tests/vectors/test_nf4_bitsandbytes.c. */
#include "gpu/nf4.h"

#include "core/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct quantized {
    size_t n, blocks, blocks2;
    uint8_t *codes, *absmax_q;
    float *absmax2, *absmax, *back;
    float offset;
};

static void *must_alloc(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    assert_non_null(p);
    return p;
}

/* The definition of what comes back: code * scale, the scales of scales resolved before. */
static void dequantize(float *y, const uint8_t *codes, const float *absmax, size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        y[i] = lf_nf4_code[codes[i / 2] >> 4] * absmax[i / LF_NF4_BLOCK];
        y[i + 1] = lf_nf4_code[codes[i / 2] & 15] * absmax[i / LF_NF4_BLOCK];
    }
}

/* Quantises n values, and back into `back`. */
static struct quantized quantize(const float *x, size_t n, struct lf_pool *pool)
{
    struct quantized q = {.n = n};
    q.blocks = (n + LF_NF4_BLOCK - 1) / LF_NF4_BLOCK;
    q.blocks2 = (q.blocks + LF_NF4_BLOCK2 - 1) / LF_NF4_BLOCK2;
    q.codes = must_alloc(n / 2, 1);
    q.absmax_q = must_alloc(q.blocks, 1);
    q.absmax2 = must_alloc(q.blocks2, sizeof *q.absmax2);
    q.absmax = must_alloc(q.blocks, sizeof *q.absmax);
    q.back = must_alloc(n, sizeof *q.back);
    for (size_t i = 0; i < n; i += LF_NF4_BLOCK)
        q.absmax[i / LF_NF4_BLOCK] = lf_nf4_quantize_block(
            q.codes + i / 2, x + i, n - i < LF_NF4_BLOCK ? n - i : LF_NF4_BLOCK);
    if (n > 0)
        lf_nf4_quantize_scales(q.absmax_q, q.absmax2, &q.offset, q.absmax, q.blocks, pool);
    for (size_t i = 0; i < q.blocks; i++)
        q.absmax[i] = lf_dynamic_map[q.absmax_q[i]] * q.absmax2[i / LF_NF4_BLOCK2] + q.offset;
    dequantize(q.back, q.codes, q.absmax, n);
    return q;
}

static void quantized_free(struct quantized *q)
{
    free(q->codes);
    free(q->absmax_q);
    free(q->absmax2);
    free(q->absmax);
    free(q->back);
}

static int code_at(const struct quantized *q, size_t i)
{
    return i % 2 ? q->codes[i / 2] & 15 : q->codes[i / 2] >> 4;
}

static void random_values(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (lf_rng_unit(lf_rng_u32(seed, i, 1)) - 0.5f) *
               (0.01f + lf_rng_unit(lf_rng_u32(seed, i / LF_NF4_BLOCK, 2)));
}

static void tables_are_in_order(void **state)
{
    (void)state;
    for (int i = 1; i < 16; i++)
        assert_true(lf_nf4_code[i] > lf_nf4_code[i - 1]);
    for (int i = 1; i < 256; i++)
        assert_true(lf_dynamic_map[i] > lf_dynamic_map[i - 1]);
    assert_true(lf_nf4_code[0] == -1 && lf_nf4_code[7] == 0 && lf_nf4_code[15] == 1);
    assert_true(lf_dynamic_map[127] == 0 && lf_dynamic_map[255] == 1);
    for (int i = 0; i < 127; i++)
        assert_true(lf_dynamic_map[i] == -lf_dynamic_map[254 - i]);
    for (int i = 0; i < 8; i++)
        assert_true(lf_fp4_code[i] == -lf_fp4_code[i + 8]);
}

static void codes_are_the_nearest(void **state)
{
    (void)state;
    float x[LF_NF4_BLOCK] = {1};
    for (int i = 0; i < 15; i++) {
        float middle = (float)(((double)lf_nf4_code[i] + lf_nf4_code[i + 1]) / 2);
        x[1 + 4 * i] = lf_nf4_code[i];
        x[2 + 4 * i] = lf_nf4_code[i + 1];
        x[3 + 4 * i] = nextafterf(nextafterf(middle, 2), 2);
        x[4 + 4 * i] = nextafterf(nextafterf(middle, -2), -2);
    }
    struct quantized q = quantize(x, LF_NF4_BLOCK, NULL);
    assert_int_equal(code_at(&q, 0), 15);
    for (int i = 0; i < 15; i++) {
        assert_int_equal(code_at(&q, (size_t)(1 + 4 * i)), i);
        assert_int_equal(code_at(&q, (size_t)(2 + 4 * i)), i + 1);
        assert_int_equal(code_at(&q, (size_t)(3 + 4 * i)), i + 1);
        assert_int_equal(code_at(&q, (size_t)(4 + 4 * i)), i);
    }
    quantized_free(&q);
}

static void even_elements_are_in_the_high_nibbles(void **state)
{
    (void)state;
    float x[4] = {-1, 1, 0, -1};
    struct quantized q = quantize(x, 4, NULL);
    assert_int_equal(q.codes[0], 0x0F);
    assert_int_equal(q.codes[1], 0x70);
    quantized_free(&q);
}

static void a_block_of_zeros_comes_back_as_zeros(void **state)
{
    (void)state;
    float x[4 * LF_NF4_BLOCK];
    random_values(x, sizeof x / sizeof *x, 3);
    memset(x + LF_NF4_BLOCK, 0, LF_NF4_BLOCK * sizeof *x);
    struct quantized q = quantize(x, sizeof x / sizeof *x, NULL);
    for (size_t i = LF_NF4_BLOCK; i < 2 * LF_NF4_BLOCK; i++)
        assert_true(q.back[i] == 0);
    quantized_free(&q);
    memset(x, 0, sizeof x);
    q = quantize(x, sizeof x / sizeof *x, NULL);
    for (size_t i = 0; i < q.n; i++)
        assert_true(q.back[i] == 0);
    quantized_free(&q);
}

static void ragged_ends_and_tiny_numbers_survive(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 2, 62, 66, 64 * 256, 64 * 256 + 2, 64 * 300 + 30};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        float *x = must_alloc(sizes[s], sizeof *x);
        random_values(x, sizes[s], s);
        struct quantized q = quantize(x, sizes[s], NULL);
        for (size_t i = 0; i < q.n; i++) /* half the widest gap of codes, and the scale's error */
            assert_true(fabsf(q.back[i] - x[i]) <= 0.17f * q.absmax[i / LF_NF4_BLOCK] + 0.01f);
        for (size_t i = 0; i < sizes[s]; i++)
            x[i] *= 1e-39f; /* reciprocals overflow here */
        struct quantized tiny = quantize(x, sizes[s], NULL);
        for (size_t i = 0; i < tiny.n; i++)
            assert_true(isfinite(tiny.back[i]) && fabsf(tiny.back[i]) < 1e-37f);
        quantized_free(&tiny);
        quantized_free(&q);
        free(x);
    }
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    enum { N = 64 * 256 * 5 + 64 * 7 + 10 };
    struct lf_pool *pool;
    struct lf_diag diag;
    assert_int_equal(lf_pool_new(&pool, 3, &diag), LF_OK);
    float *x = must_alloc(N, sizeof *x);
    random_values(x, N, 9);
    struct quantized a = quantize(x, N, NULL), b = quantize(x, N, pool);
    assert_memory_equal(a.codes, b.codes, N / 2);
    assert_memory_equal(a.absmax_q, b.absmax_q, a.blocks);
    assert_memory_equal(a.absmax2, b.absmax2, a.blocks2 * sizeof *a.absmax2);
    assert_true(a.offset == b.offset);
    quantized_free(&a);
    quantized_free(&b);
    free(x);
    lf_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_in_order),
        cmocka_unit_test(codes_are_the_nearest),
        cmocka_unit_test(even_elements_are_in_the_high_nibbles),
        cmocka_unit_test(a_block_of_zeros_comes_back_as_zeros),
        cmocka_unit_test(ragged_ends_and_tiny_numbers_survive),
        cmocka_unit_test(threads_change_no_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
