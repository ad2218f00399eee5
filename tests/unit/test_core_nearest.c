/* LIBS: lf_core */
/* "Did you mean": near words are found, far ones are not. */
#include "core/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const words[] = {"learning_rate",
                                    "rank",
                                    "alpha",
                                    "dropout",
                                    "epochs",
                                    "eval_steps",
                                    "a_word_that_is_far_longer_than_is_looked_at",
                                    NULL};

static void a_mistyped_word_is_answered_with_the_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *meant; /* NULL: none is near */
    } cases[] = {
        {"rank", "rank"},
        {"rnk", "rank"},
        {"ranks", "rank"},
        {"alhpa", "alpha"}, /* two letters changed places */
        {"learningrate", "learning_rate"},
        {"learning-rate", "learning_rate"},
        {"epoch", "epochs"},
        {"eval", "eval_steps"}, /* its beginning */
        {"l", "learning_rate"},
        {"dropuot", "dropout"},
        {"temperature", NULL},
        {"xyz", NULL},
        {"", NULL},
        {"RANK", NULL},
        {"learning_rate_of_the_first_hundred_steps", NULL}, /* too long to be looked up */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = lf_nearest_word(cases[i].typed, words);
        if (cases[i].meant) {
            assert_non_null(got);
            assert_string_equal(got, cases[i].meant);
        } else {
            assert_null(got);
        }
    }
}

static void an_empty_list_has_no_nearest(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    assert_null(lf_nearest_word("rank", none));
}

static void of_two_that_are_equally_near_the_first_is_meant(void **state)
{
    (void)state;
    static const char *const both[] = {"bat", "cat", NULL};
    assert_string_equal(lf_nearest_word("rat", both), "bat");
}

static void words_of_the_longest_length_fit(void **state)
{
    (void)state;
    static const char *const longest[] = {"abcdefghijklmnopqrstuvwxyz012345", NULL};
    assert_string_equal(lf_nearest_word("Abcdefghijklmnopqrstuvwxyz012345", longest), longest[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistyped_word_is_answered_with_the_nearest),
        cmocka_unit_test(an_empty_list_has_no_nearest),
        cmocka_unit_test(of_two_that_are_equally_near_the_first_is_meant),
        cmocka_unit_test(words_of_the_longest_length_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
