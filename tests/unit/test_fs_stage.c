/* LIBS: lf_fs lf_core */
/* Staged bytes: written anywhere, cut, and bounded by their pool. */
#include "fs/stage.h"

#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct lf_stage_pool pool;
    struct lf_diag diag;
    *state = &pool;
    return lf_stage_pool_init(&pool, "/tmp", &diag) == LF_OK ? 0 : 1;
}

static int teardown(void **state)
{
    lf_stage_pool_deinit(*state); /* asserts that nothing is left */
    return 0;
}

static void reads_back_what_was_written(void **state)
{
    struct lf_stage *s = NULL;
    char back[8] = {0};
    assert_int_equal(lf_stage_new(&s, *state), LF_OK);
    assert_int_equal(lf_stage_write(s, "world", 5, 3), LF_OK);
    assert_int_equal(lf_stage_write(s, "abc", 3, 0), LF_OK);
    assert_int_equal(lf_stage_bytes(s), 8);
    assert_int_equal(pread(lf_stage_fd(s), back, 8, 0), 8);
    assert_memory_equal(back, "abcworld", 8);
    assert_int_equal(lf_stage_truncate(s, 2), LF_OK);
    assert_int_equal(lf_stage_truncate(s, 4), LF_OK);
    assert_int_equal(pread(lf_stage_fd(s), back, 8, 0), 4);
    assert_memory_equal(back, "ab\0\0", 4);
    lf_stage_free(s);
}

static void refuses_bytes_over_the_pool(void **state)
{
    struct lf_stage_pool *pool = *state;
    struct lf_stage *a = NULL, *b = NULL;
    uint64_t max = pool->bytes_max;
    pool->bytes_max = 100;
    assert_int_equal(lf_stage_new(&a, pool), LF_OK);
    assert_int_equal(lf_stage_new(&b, pool), LF_OK);
    assert_int_equal(lf_stage_truncate(a, 60), LF_OK);
    assert_int_equal(lf_stage_write(b, "x", 1, 39), LF_OK);
    assert_int_equal(lf_stage_write(b, "x", 1, 40), LF_E_NO_SPACE);
    assert_int_equal(lf_stage_bytes(b), 40);
    lf_stage_free(a);
    assert_int_equal(lf_stage_write(b, "x", 1, 40), LF_OK);
    lf_stage_free(b);
    assert_int_equal(pool->bytes, 0);
    pool->bytes_max = max;
}

static void refuses_files_over_the_pool(void **state)
{
    struct lf_stage_pool *pool = *state;
    struct lf_stage *a = NULL, *b = NULL;
    size_t max = pool->files_max;
    pool->files_max = 1;
    assert_int_equal(lf_stage_new(&a, pool), LF_OK);
    assert_int_equal(lf_stage_new(&b, pool), LF_E_NO_SPACE);
    assert_null(b);
    lf_stage_free(a);
    pool->files_max = max;
}

static void refuses_a_file_over_the_ceiling(void **state)
{
    struct lf_stage *s = NULL;
    assert_int_equal(lf_stage_new(&s, *state), LF_OK);
    assert_int_equal(lf_stage_write(s, "x", 1, LF_DATASET_BYTES_MAX), LF_E_TOO_BIG);
    assert_int_equal(lf_stage_write(s, "x", 1, UINT64_MAX), LF_E_TOO_BIG);
    assert_int_equal(lf_stage_truncate(s, UINT64_MAX), LF_E_TOO_BIG);
    assert_int_equal(lf_stage_truncate(s, LF_DATASET_BYTES_MAX), LF_OK); /* sparse */
    lf_stage_free(s);
}

static void says_which_directory_is_missing(void **state)
{
    (void)state;
    struct lf_stage_pool pool;
    struct lf_diag diag = {""};
    assert_int_equal(lf_stage_pool_init(&pool, "/nonexistent/dir", &diag), LF_E_NOT_FOUND);
    assert_non_null(strstr(diag.text, "/nonexistent/dir"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_back_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_bytes_over_the_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_files_over_the_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_a_file_over_the_ceiling, setup, teardown),
        cmocka_unit_test(says_which_directory_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
