/* LIBS: lf_core */
/* The growable buffer: always ended by a NUL, never over its ceiling, and the first failure sticks.
 */
#include "core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void bytes_are_put_behind_each_other_and_ended(void **state)
{
    (void)state;
    struct lf_buf b;
    lf_buf_init(&b, 0);
    assert_null(b.data);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(lf_buf_putc(&b, 'a'), LF_OK);
        assert_int_equal(b.data[b.len], '\0');
    }
    assert_int_equal(lf_buf_puts(&b, "bc"), LF_OK);
    assert_int_equal(lf_buf_append(&b, "d\0e", 3), LF_OK);
    assert_int_equal(lf_buf_printf(&b, "%d%s", 7, "f"), LF_OK);
    assert_int_equal(lf_buf_append(&b, NULL, 0), LF_OK);
    assert_int_equal(b.len, 1007);
    assert_memory_equal(b.data + 1000, "bcd\0e7f", 8);
    lf_buf_free(&b);
}

static void the_ceiling_holds_and_the_first_failure_sticks(void **state)
{
    (void)state;
    struct lf_buf b;
    lf_buf_init(&b, 5);
    assert_int_equal(lf_buf_puts(&b, "1234"), LF_OK);
    assert_int_equal(lf_buf_puts(&b, "56"), LF_E_TOO_BIG);
    assert_int_equal(lf_buf_putc(&b, '5'), LF_E_TOO_BIG); /* there is room, but too late */
    assert_int_equal(lf_buf_printf(&b, "%d", 5), LF_E_TOO_BIG);
    assert_int_equal(b.rc, LF_E_TOO_BIG);
    assert_string_equal(b.data, "1234");
    lf_buf_reset(&b);
    assert_string_equal(b.data, "");
    assert_int_equal(lf_buf_printf(&b, "%d", 12345), LF_OK); /* up to the ceiling itself */
    assert_int_equal(lf_buf_putc(&b, '6'), LF_E_TOO_BIG);
    lf_buf_free(&b);
    assert_int_equal(lf_buf_append(&b, "", SIZE_MAX), LF_E_TOO_BIG); /* the ceiling outlives */
    lf_buf_free(&b);
}

static void text_is_escaped_for_where_it_goes(void **state)
{
    (void)state;
    static const struct {
        const char *in, *json, *xml;
    } cases[] = {
        {"", "", ""},
        {"plain", "plain", "plain"},
        {"a\"b\\c", "a\\\"b\\\\c", "a&quot;b\\c"},
        {"<a & b>", "<a & b>", "&lt;a &amp; b&gt;"},
        {"\t\n\r\x01", "\\u0009\\u000a\\u000d\\u0001", "\t\n\r\xef\xbf\xbd"},
        {"\xc3\xa4\xf0\x9f\x98\x80", "\xc3\xa4\xf0\x9f\x98\x80", "\xc3\xa4\xf0\x9f\x98\x80"},
        {"\xff", "\\ufffd", "\xef\xbf\xbd"},
        {"a\xc3", "a\\ufffd", "a\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_buf b;
        lf_buf_init(&b, 0);
        lf_buf_puts(&b, "");
        assert_int_equal(lf_buf_json(&b, cases[i].in, strlen(cases[i].in)), LF_OK);
        assert_int_equal(b.data[0], '"');
        assert_int_equal(b.data[b.len - 1], '"');
        b.data[b.len - 1] = '\0';
        assert_string_equal(b.data + 1, cases[i].json);
        lf_buf_reset(&b);
        assert_int_equal(lf_buf_xml(&b, cases[i].in), LF_OK);
        assert_string_equal(b.data, cases[i].xml);
        lf_buf_free(&b);
    }
}

/* Unicode 15, table 3-8, and a sequence that the text ends in. */
static void bytes_that_are_no_text_are_replaced_part_by_part(void **state)
{
    (void)state;
#define FFFD "\xef\xbf\xbd"
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64",
         "a" FFFD FFFD FFFD "b" FFFD "c" FFFD FFFD "d"},
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
        {"x\xf0\x9f\x98", "x" FFFD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_buf b;
        lf_buf_init(&b, 0);
        assert_int_equal(lf_buf_utf8(&b, cases[i].in, strlen(cases[i].in)), LF_OK);
        assert_string_equal(b.data, cases[i].out);
        lf_buf_free(&b);
    }
}

static void the_front_can_be_dropped(void **state)
{
    (void)state;
    struct lf_buf b;
    lf_buf_init(&b, 0);
    lf_buf_drop_front(&b, 3); /* of nothing */
    lf_buf_puts(&b, "abcdef");
    lf_buf_drop_front(&b, 2);
    assert_string_equal(b.data, "cdef");
    lf_buf_drop_front(&b, 0);
    lf_buf_drop_front(&b, 100);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    lf_buf_free(&b);
}

static void the_bytes_can_be_taken(void **state)
{
    (void)state;
    struct lf_buf b;
    size_t n = 9;
    lf_buf_init(&b, 0);
    char *p = lf_buf_take(&b, &n);
    assert_string_equal(p, "");
    assert_int_equal(n, 0);
    free(p);
    lf_buf_puts(&b, "abc");
    p = lf_buf_take(&b, &n);
    assert_string_equal(p, "abc");
    assert_int_equal(n, 3);
    assert_null(b.data);
    free(p);
    assert_int_equal(lf_buf_puts(&b, "again"), LF_OK);
    lf_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_put_behind_each_other_and_ended),
        cmocka_unit_test(the_ceiling_holds_and_the_first_failure_sticks),
        cmocka_unit_test(text_is_escaped_for_where_it_goes),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced_part_by_part),
        cmocka_unit_test(the_front_can_be_dropped),
        cmocka_unit_test(the_bytes_can_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
