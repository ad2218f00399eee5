/* LIBS: lf_core */
/* The arena: what it hands out is zeroed, aligned and apart; all dies together. */
#include "core/arena.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct lf_arena a;
    lf_arena_init(&a);
    *state = &a;
    return 0;
}

static int teardown(void **state)
{
    lf_arena_free(*state);
    return 0;
}

static bool zeroed(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void what_is_handed_out_is_zeroed_aligned_and_apart(void **state)
{
    struct lf_arena *a = *state;
    static const size_t sizes[] = {1, 15, 16, 17, 1000, 65536, 65537, 1 << 20, 3};
    unsigned char *p[64 * 9];
    size_t n = 0;
    for (int round = 0; round < 64; round++) {
        size_t bytes = sizes[round % 9];
        p[n] = lf_arena_alloc(a, bytes);
        assert_non_null(p[n]);
        assert_int_equal((uintptr_t)p[n] % 16, 0);
        assert_true(zeroed(p[n], bytes));
        memset(p[n], round + 1, bytes);
        n++;
    }
    for (size_t i = 0; i < n; i++) /* nobody wrote over another's bytes */
        for (size_t k = 0; k < sizes[i % 9]; k++)
            assert_int_equal(p[i][k], i + 1);
}

static void a_size_that_overflows_is_refused(void **state)
{
    assert_null(lf_arena_alloc(*state, SIZE_MAX));
    assert_null(lf_arena_alloc(*state, SIZE_MAX - 8));
    assert_non_null(lf_arena_alloc(*state, 0)); /* and the arena goes on */
}

static void texts_are_copied(void **state)
{
    char given[] = "viggo";
    char *whole = lf_arena_strdup(*state, given);
    char *part = lf_arena_strndup(*state, given, 3);
    char *none = lf_arena_strndup(*state, given, 0);
    memset(given, 'x', 5);
    assert_string_equal(whole, "viggo");
    assert_string_equal(part, "vig");
    assert_string_equal(none, "");
}

static void an_arena_may_be_used_again(void **state)
{
    struct lf_arena *a = *state;
    assert_non_null(lf_arena_alloc(a, 100));
    lf_arena_free(a);
    lf_arena_free(a);
    unsigned char *p = lf_arena_alloc(a, 100);
    assert_non_null(p);
    assert_true(zeroed(p, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_handed_out_is_zeroed_aligned_and_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_size_that_overflows_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_are_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(an_arena_may_be_used_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
