/* LIBS: lf_core */
/* The pool: every index of a loop is given out once, in parts that depend on n and threads alone.
 */
#include "core/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define N_MAX 5000

struct loop {
    unsigned char seen[N_MAX];
    size_t begin[8], end[8]; /* of each worker's part; end 0: none */
};

static void mark(void *arg, size_t begin, size_t end, int worker)
{
    struct loop *l = arg;
    for (size_t i = begin; i < end; i++)
        l->seen[i]++;
    l->begin[worker] = begin;
    l->end[worker] = end;
}

static struct lf_pool *pool(int threads)
{
    struct lf_pool *p = NULL;
    struct lf_diag diag = {""};
    assert_int_equal(lf_pool_new(&p, threads, &diag), LF_OK);
    return p;
}

static void check(struct lf_pool *p, size_t n, size_t grain)
{
    static struct loop l;
    memset(&l, 0, sizeof l);
    lf_pool_run(p, n, grain, mark, &l);
    for (size_t i = 0; i < N_MAX; i++)
        assert_int_equal(l.seen[i], i < n);
    for (int w = 0; w < 8; w++) {
        if (grain > 0 && l.end[w] > 0 && l.end[w] < n)
            assert_int_equal((l.end[w] - l.begin[w]) % grain, 0);
        assert_true(w < lf_pool_threads(p) || l.end[w] == 0);
    }
}

static void every_index_is_given_out_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 7, 63, 64, 65, 1000, N_MAX};
    static const size_t grains[] = {0, 1, 3, 64, 10000};
    for (int threads = 1; threads <= 5; threads += 2) {
        struct lf_pool *p = pool(threads);
        assert_int_equal(lf_pool_threads(p), threads);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t k = 0; k < sizeof grains / sizeof *grains; k++)
                check(p, sizes[i], grains[k]);
        lf_pool_free(p);
    }
}

static void without_a_pool_the_caller_does_it_all(void **state)
{
    (void)state;
    check(NULL, 100, 7);
    assert_int_equal(lf_pool_threads(NULL), 1);
    lf_pool_free(NULL);
}

static void a_loop_is_cut_the_same_way_each_time(void **state)
{
    (void)state;
    static struct loop first, again;
    struct lf_pool *p = pool(3);
    memset(&first, 0, sizeof first);
    lf_pool_run(p, 1000, 8, mark, &first);
    for (int i = 0; i < 100; i++) {
        memset(&again, 0, sizeof again);
        lf_pool_run(p, 1000, 8, mark, &again);
        assert_memory_equal(first.begin, again.begin, sizeof first.begin);
        assert_memory_equal(first.end, again.end, sizeof first.end);
    }
    lf_pool_free(p);
}

/* What a loop wrote is seen by the next one, whoever runs which part. */
static void next(void *arg, size_t begin, size_t end, int worker)
{
    (void)worker;
    int(*v)[N_MAX] = arg;
    for (size_t i = begin; i < end; i++)
        v[1][i] = v[0][N_MAX - 1 - i] + 1;
}

static void loops_follow_each_other(void **state)
{
    (void)state;
    static int v[2][N_MAX];
    struct lf_pool *p = pool(4);
    for (int round = 0; round < 200; round++) {
        lf_pool_run(p, N_MAX, 1, next, v);
        memcpy(v[0], v[1], sizeof v[0]);
    }
    for (int i = 0; i < N_MAX; i++)
        assert_int_equal(v[0][i], 200);
    lf_pool_free(p);
}

static void no_number_means_one_for_each_core(void **state)
{
    (void)state;
    struct lf_pool *p = pool(0);
    assert_true(lf_pool_threads(p) >= 1);
    lf_pool_free(p); /* never used */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_given_out_once),
        cmocka_unit_test(without_a_pool_the_caller_does_it_all),
        cmocka_unit_test(a_loop_is_cut_the_same_way_each_time),
        cmocka_unit_test(loops_follow_each_other),
        cmocka_unit_test(no_number_means_one_for_each_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
