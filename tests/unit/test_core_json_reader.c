/* LIBS: lf_core */
/* The pull reader: values come as they are written, bad ones are refused with their place. */
#include "core/json_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is(struct lf_str s, const char *want)
{
    return s.n == strlen(want) && memcmp(s.s, want, s.n) == 0;
}

/* The text lies in a block of its own length, so that ASan sees a look past it. */
struct text {
    char *s;
    struct lf_json_reader r;
    struct lf_diag diag;
};

static void open_text(struct text *t, const char *s)
{
    size_t n = strlen(s);
    *t = (struct text){.s = malloc(n ? n : 1)};
    memcpy(t->s, s, n);
    lf_json_reader_init(&t->r, t->s, n, &t->diag);
}

static void close_text(struct text *t)
{
    lf_json_reader_free(&t->r);
    free(t->s);
}

static void an_object_is_read_member_by_member(void **state)
{
    (void)state;
    struct text t;
    struct lf_str key, value;
    bool more;
    static const char *const keys[] = {"a", "b", "c\n"};
    static const char *const values[] = {"12", "{\"x\":[1,\"}\"]}", "-1e30"};
    open_text(&t, " {\"a\" : 12,\t\"b\":{\"x\":[1,\"}\"]} , \"c\\n\":-1e30}\n");
    assert_int_equal(lf_json_reader_expect(&t.r, '{'), LF_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(lf_json_reader_more(&t.r, '}', i, &more), LF_OK);
        assert_true(more);
        assert_int_equal(lf_json_reader_key(&t.r, &key), LF_OK);
        assert_true(is(key, keys[i]));
        assert_int_equal(lf_json_reader_skip(&t.r, &value), LF_OK);
        assert_true(is(value, values[i]));
    }
    assert_int_equal(lf_json_reader_more(&t.r, '}', 3, &more), LF_OK);
    assert_false(more);
    assert_int_equal(lf_json_reader_end(&t.r), LF_OK);
    close_text(&t);
}

static void strings_are_read_with_their_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value;
    } good[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"a\\u00e4b\"", "a\xc3\xa4"
                          "b"},
        {"\"\\u20AC\"", "\xe2\x82\xac"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80"},
        {"  \"x\"", "x"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct text t;
        struct lf_str s;
        open_text(&t, good[i].text);
        assert_int_equal(lf_json_reader_string(&t.r, &s), LF_OK);
        assert_true(is(s, good[i].value));
        assert_int_equal(lf_json_reader_end(&t.r), LF_OK);
        close_text(&t);
    }
}

static void bad_strings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "expected '\"'"},
        {"x", "expected '\"'"},
        {"\"", "without end"},
        {"\"abc", "without end"},
        {"\"a\nb\"", "without end"},
        {"\"a\\", "a bad escape"},
        {"\"a\\x\"", "a bad escape"},
        {"\"\\u12\"", "\\u escape"},
        {"\"\\u12g4\"", "\\u escape"},
        {"\"\\u", "\\u escape"},
        {"\"\\udc00\"", "\\u escape"}, /* the second half first */
        {"\"\\ud800\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"\\ud800\\ud800\"", "surrogate"},
        {"\"\\ud800\\", "surrogate"},
        {"\"\xff\"", "UTF-8"},
        {"\"a\\n\xc3\"", "UTF-8"},
        {"\"\xed\xa0\x80\"", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct text t;
        struct lf_str s;
        open_text(&t, bad[i].text);
        assert_int_equal(lf_json_reader_string(&t.r, &s), LF_E_INVALID);
        assert_non_null(strstr(t.diag.text, bad[i].why));
        close_text(&t);
    }
}

static void token_ids_are_plain_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long value; /* -1: refused */
    } cases[] = {
        {"0", 0},
        {"7 ", 7},
        {"128000,", 128000},
        {"999999999", 999999999},
        {"9999999999", -1},
        {"-1", -1},
        {"+1", -1},
        {"01", -1},
        {"1.5", -1},
        {"1e3", -1},
        {"", -1},
        {"\"1\"", -1},
        {"null", -1},
        {"1-", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text t;
        uint32_t v = 77;
        open_text(&t, cases[i].text);
        enum lf_err rc = lf_json_reader_uint(&t.r, &v);
        assert_int_equal(rc, cases[i].value < 0 ? LF_E_INVALID : LF_OK);
        assert_int_equal(v, cases[i].value < 0 ? 77 : cases[i].value);
        close_text(&t);
    }
}

static void values_without_end_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      ",",    "]",       "}",        ":",
                                      "[",     "[1,2", "{\"a\":", "{\"a\":1", "\"a",
                                      "\"a\\", "[\"]", "{\"}\"",  "[[]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct text t;
        struct lf_str s;
        open_text(&t, bad[i]);
        assert_int_equal(lf_json_reader_skip(&t.r, &s), LF_E_INVALID);
        close_text(&t);
    }
}

/* A hundred thousand brackets: no stack is used up. */
static void depth_costs_nothing(void **state)
{
    (void)state;
    static char deep[200001];
    struct lf_json_reader r;
    struct lf_str s;
    struct lf_diag diag;
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    lf_json_reader_init(&r, deep, 200000, &diag);
    assert_int_equal(lf_json_reader_skip(&r, &s), LF_OK);
    assert_int_equal(s.n, 200000);
    lf_json_reader_free(&r);
    lf_json_reader_init(&r, deep, 199999, &diag);
    assert_int_equal(lf_json_reader_skip(&r, &s), LF_E_INVALID);
    lf_json_reader_free(&r);
}

static void a_member_is_found_by_its_name(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,{\"b\":2}],\"b\":\"x\",\"a\":3}";
    struct lf_str s;
    struct lf_diag diag = {""};
    assert_int_equal(lf_json_reader_member(&s, text, sizeof text - 1, "b", &diag), LF_OK);
    assert_true(is(s, "\"x\""));
    assert_int_equal(lf_json_reader_member(&s, text, sizeof text - 1, "a", &diag), LF_OK);
    assert_true(is(s, "3")); /* the last one, as every reader of JSON */
    assert_int_equal(lf_json_reader_member(&s, text, sizeof text - 1, "c", &diag), LF_OK);
    assert_int_equal(s.n, 0);
    for (size_t n = 0; n < sizeof text - 1; n++) /* cut anywhere */
        assert_int_equal(lf_json_reader_member(&s, text, n, "b", &diag), LF_E_INVALID);
    assert_int_equal(lf_json_reader_member(&s, "[]", 2, "b", &diag), LF_E_INVALID);
    assert_int_equal(lf_json_reader_member(&s, "{} x", 4, "b", &diag), LF_E_INVALID);
}

static void a_failure_says_its_line_and_column(void **state)
{
    (void)state;
    struct text t;
    struct lf_str s;
    open_text(&t, "{\n  \"a\": \"\\q\"}");
    assert_int_equal(lf_json_reader_expect(&t.r, '{'), LF_OK);
    assert_int_equal(lf_json_reader_key(&t.r, &s), LF_OK);
    assert_int_equal(lf_json_reader_string(&t.r, &s), LF_E_INVALID);
    assert_string_equal(t.diag.text, "line 2 column 11: a bad escape");
    close_text(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_read_member_by_member),
        cmocka_unit_test(strings_are_read_with_their_escapes),
        cmocka_unit_test(bad_strings_are_refused),
        cmocka_unit_test(token_ids_are_plain_integers),
        cmocka_unit_test(values_without_end_are_refused),
        cmocka_unit_test(depth_costs_nothing),
        cmocka_unit_test(a_member_is_found_by_its_name),
        cmocka_unit_test(a_failure_says_its_line_and_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
