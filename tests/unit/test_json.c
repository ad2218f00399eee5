/* LIBS: lf_core */
/* JSON from outside: members are read strictly, and who reads many hears of the first mistake. */
#include "core/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static json_t *parsed(const char *text)
{
    json_t *j = NULL;
    struct lf_diag diag = {""};
    assert_int_equal(lf_json_parse(&j, text, strlen(text), &diag), LF_OK);
    return j;
}

static void members_are_read_and_missing_ones_are_as_said(void **state)
{
    (void)state;
    static const char *const words[] = {"red", "green", NULL};
    json_t *j = parsed("{\"i\":3,\"b\":true,\"s\":\"x\",\"r\":2,\"w\":\"green\",\"o\":{},\"l\":[1],"
                       "\"n\":null,\"big\":9007199254740993}");
    struct lf_diag diag = {""};
    struct lf_json_in in = lf_json_in(j, &diag);
    assert_int_equal(lf_json_int(&in, "i", 0, 1, 3), 3);
    assert_int_equal(lf_json_int(&in, "missing", 7, 0, 1), 7);
    assert_int_equal(lf_json_int(&in, "n", 8, 0, 1), 8);
    assert_true(lf_json_int64(&in, "big", 0, 0, INT64_MAX) == 9007199254740993);
    assert_true(lf_json_bool(&in, "b", false));
    assert_true(lf_json_real(&in, "r", 0, 0, 9) == 2);
    assert_string_equal(lf_json_str(&in, "s", ""), "x");
    assert_int_equal(lf_json_word(&in, "w", 0, words), 1);
    assert_non_null(lf_json_object(&in, "o"));
    assert_null(lf_json_object(&in, "n"));
    assert_int_equal(json_array_size(lf_json_list(&in, "l", 1, 1)), 1);
    assert_null(lf_json_list(&in, "missing", 0, 1));
    assert_int_equal(in.rc, LF_OK);
    json_decref(j);
}

static void the_first_failure_sticks(void **state)
{
    (void)state;
    json_t *j = parsed("{\"a\":9,\"b\":\"no\",\"c\":true}");
    struct lf_diag diag = {""};
    struct lf_json_in in = lf_json_in(j, &diag);
    assert_int_equal(lf_json_int(&in, "a", 1, 0, 5), 1);
    assert_false(lf_json_bool(&in, "b", false));
    assert_false(lf_json_bool(&in, "c", false)); /* fine by itself, and not read any more */
    assert_int_equal(in.rc, LF_E_INVALID);
    assert_string_equal(diag.text, "\"a\" is 9; it must be between 0 and 5");
    json_decref(j);
}

static void each_getter_names_what_is_wrong(void **state)
{
    (void)state;
    static const char *const words[] = {"red", "green", NULL};
    json_t *j = parsed("{\"w\":\"blue\",\"o\":[],\"l\":[1,2]}");
    for (int i = 0; i < 5; i++) {
        static const char *const want[] = {
            "\"w\" is \"blue\"; it must be one of: red, green", "\"o\" must be an object",
            "\"l\" must be a list of 0 to 1", "\"needed\" must be a list of 1 to 2",
            "\"needed\" is missing"};
        struct lf_diag diag = {""};
        struct lf_json_in in = lf_json_in(j, &diag);
        if (i == 0)
            assert_int_equal(lf_json_word(&in, "w", 1, words), 1);
        else if (i == 1)
            assert_null(lf_json_object(&in, "o"));
        else if (i == 2)
            assert_null(lf_json_list(&in, "l", 0, 1));
        else if (i == 3)
            assert_null(lf_json_list(&in, "needed", 1, 2));
        else
            assert_null(lf_json_need_str(&in, "needed"));
        assert_int_equal(in.rc, LF_E_INVALID);
        assert_string_equal(diag.text, want[i]);
    }
    json_decref(j);
}

static void an_unknown_key_is_answered_with_the_nearest(void **state)
{
    (void)state;
    static const char *const known[] = {"rank", "alpha", NULL};
    json_t *typo = parsed("{\"alpa\":1}"), *other = parsed("{\"temperature\":1}");
    struct lf_diag diag = {""};
    assert_int_equal(lf_json_only(typo, known, &diag), LF_E_INVALID);
    assert_string_equal(diag.text, "unknown key \"alpa\"; did you mean \"alpha\"?");
    assert_int_equal(lf_json_only(other, known, &diag), LF_E_INVALID);
    assert_string_equal(diag.text, "unknown key \"temperature\"");
    json_decref(typo);
    json_decref(other);
}

static void integers_of_any_size_are_kept_as_they_are_written(void **state)
{
    (void)state;
    json_t *j = parsed("\xef\xbb\xbf{\"id\": 123456789012345678901234567890, \"s\": "
                       "\"18446744073709551616 \\\" 1\", \"l\": [-9223372036854775809, "
                       "-9223372036854775808, 9223372036854775807, 9223372036854775808, 1e3, "
                       "12345678901234567890.5, 12345678901234567890e2], \"u\": "
                       "18446744073709551615}");
    assert_string_equal(lf_json_text_of(j, "id"), "123456789012345678901234567890");
    assert_string_equal(lf_json_text_of(j, "s"), "18446744073709551616 \" 1");
    const json_t *l = json_object_get(j, "l");
    assert_string_equal(json_string_value(json_array_get(l, 0)), "-9223372036854775809");
    assert_true(json_integer_value(json_array_get(l, 1)) == INT64_MIN);
    assert_true(json_integer_value(json_array_get(l, 2)) == INT64_MAX);
    assert_string_equal(json_string_value(json_array_get(l, 3)), "9223372036854775808");
    assert_true(json_real_value(json_array_get(l, 4)) == 1000);
    assert_true(json_real_value(json_array_get(l, 5)) == 12345678901234567890.5);
    assert_true(json_real_value(json_array_get(l, 6)) == 12345678901234567890e2);
    struct lf_diag diag = {""};
    struct lf_json_in in = lf_json_in(j, &diag);
    assert_true((uint64_t)lf_json_bits(&in, "u", 0) == UINT64_MAX);
    assert_true(lf_json_real(&in, "u", 0, 0, 1e30) == 18446744073709551615.0);
    assert_int_equal(in.rc, LF_OK);
    assert_true(lf_json_bits(&in, "id", 7) == 7);
    assert_int_equal(in.rc, LF_E_INVALID);
    assert_string_equal(diag.text, "\"id\" is 123456789012345678901234567890; it must be between 0 "
                                   "and 18446744073709551615");
    in = lf_json_in(j, &diag);
    assert_int_equal(lf_json_int(&in, "u", 7, 0, 9), 7);
    assert_string_equal(diag.text, "\"u\" is 18446744073709551615; it must be between 0 and 9");
    json_decref(j);
    /* A file of another kind is called what it is. */
    assert_int_equal(lf_json_parse(&j, "\xff\xfe{\0}\0", 6, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "UTF-16"));
    /* What is wrong otherwise stays wrong. */
    static const char *const bad[] = {"[99999999999999999999, 01]", "[99999999999999999999 9]",
                                      "[99999999999999999999",      "[\"99999999999999999999]",
                                      "[-99999999999999999999-1]",  "[1e999]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lf_json_parse(&j, bad[i], strlen(bad[i]), &diag), LF_E_INVALID);
}

static void a_number_without_a_fraction_is_an_integer(void **state)
{
    (void)state;
    json_t *j =
        parsed("{\"a\": 8.0, \"b\": 1e3, \"c\": -0.0, \"d\": 8.5, \"e\": 1e30, \"f\": 1.5e19, "
               "\"g\": -1e19, \"h\": -9223372036854775808.0}");
    struct lf_diag diag = {""};
    struct lf_json_in in = lf_json_in(j, &diag);
    assert_int_equal(lf_json_int(&in, "a", 0, 0, 9), 8);
    assert_true(lf_json_int64(&in, "b", 0, 0, INT64_MAX) == 1000);
    assert_int_equal(lf_json_int(&in, "c", 7, 0, 9), 0);
    assert_true(lf_json_int64(&in, "h", 0, INT64_MIN, 0) == INT64_MIN);
    assert_true(lf_json_bits(&in, "a", 0) == 8);
    assert_true((uint64_t)lf_json_bits(&in, "f", 0) == 15000000000000000000u);
    assert_int_equal(in.rc, LF_OK);
    assert_int_equal(lf_json_int(&in, "d", 7, 0, 9), 7);
    assert_string_equal(diag.text, "\"d\" must be an integer, not a number");
    in = lf_json_in(j, &diag);
    assert_int_equal(lf_json_int(&in, "e", 7, 0, 9), 7);
    assert_string_equal(diag.text, "\"e\" is 1e+30; it must be between 0 and 9");
    in = lf_json_in(j, &diag);
    assert_true(lf_json_bits(&in, "g", 7) == 7);
    assert_string_equal(diag.text,
                        "\"g\" is -1e+19; it must be between 0 and 18446744073709551615");
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_any_size_are_kept_as_they_are_written),
        cmocka_unit_test(a_number_without_a_fraction_is_an_integer),
        cmocka_unit_test(members_are_read_and_missing_ones_are_as_said),
        cmocka_unit_test(the_first_failure_sticks),
        cmocka_unit_test(each_getter_names_what_is_wrong),
        cmocka_unit_test(an_unknown_key_is_answered_with_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
