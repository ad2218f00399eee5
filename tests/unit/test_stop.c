/* LIBS: lf_text */
/* Stop strings over streamed text: whatever the pieces, the same text comes out. */
#include "text/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Runs `text` through in pieces of `step` bytes. Returns s.met; the text is in out. */
static int run(struct lf_buf *out, const char *text, size_t step, const char *const *stops, int n)
{
    struct lf_stop s;
    lf_stop_init(&s, stops, n);
    lf_buf_reset(out);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i += step)
        assert_int_equal(lf_stop_push(&s, out, text + i, len - i < step ? len - i : step), LF_OK);
    assert_int_equal(lf_stop_finish(&s, out), LF_OK);
    int met = s.met;
    lf_stop_free(&s);
    return met;
}

static void ends_before_the_earliest_string(void **state)
{
    (void)state;
    static const struct {
        const char *text, *stops[3], *want;
        int n, met;
    } cases[] = {
        {"hello\n\nworld", {"\n\n"}, "hello", 1, 0},
        {"hello\nworld", {"\n\n"}, "hello\nworld", 1, -1},
        {"aaab", {"aab"}, "a", 1, 0},
        {"one two three", {"three", "two"}, "one ", 2, 1},
        {"one two", {"two", "o two"}, "one ", 2, 0},
        {"abcabd", {"abd", "abcx"}, "abc", 2, 0},
        {"tail ab", {"abc"}, "tail ab", 1, -1},
        {"STOP", {"STOP"}, "", 1, 0},
        {"", {"x"}, "", 1, -1},
        {"free text", {NULL}, "free text", 0, -1},
    };
    struct lf_buf out;
    lf_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step <= 13; step++) {
            int met = run(&out, cases[i].text, step, cases[i].stops, cases[i].n);
            assert_int_equal(met, cases[i].met);
            assert_string_equal(lf_buf_str(&out), cases[i].want);
        }
    lf_buf_free(&out);
}

static void holds_back_no_more_than_it_must(void **state)
{
    (void)state;
    const char *const stops[] = {"###"};
    struct lf_stop s;
    struct lf_buf out;
    lf_buf_init(&out, 0);
    lf_stop_init(&s, stops, 1);
    assert_int_equal(lf_stop_push(&s, &out, "text ##", 7), LF_OK);
    assert_string_equal(out.data, "text ");
    assert_int_equal(lf_stop_push(&s, &out, " more", 5), LF_OK);
    assert_string_equal(out.data, "text ## more");
    lf_stop_free(&s);
    lf_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_before_the_earliest_string),
        cmocka_unit_test(holds_back_no_more_than_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
