/* LIBS: lf_core */
/* UTF-8: what is well-formed and what is not, and that every code point goes there and back. */
#include "core/err.h"
#include "core/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_code_point_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char b[4];
        size_t n = lf_utf8_put(b, cp), len;
        size_t want = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
        assert_int_equal(n, want);
        if (cp >= 0xd800 && cp < 0xe000) { /* halves of surrogate pairs are none */
            assert_int_equal(lf_utf8_len(b, n), 0);
            continue;
        }
        assert_int_equal(lf_utf8_len(b, n), n);
        assert_int_equal(lf_utf8_get(b, &len), cp);
        assert_int_equal(len, n);
        for (size_t cut = 1; cut < n; cut++)
            assert_int_equal(lf_utf8_len(b, cut), 0);
    }
}

static void bad_sequences_are_refused_and_replaced_by_their_longest_part(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t part; /* of them one U+FFFD stands for */
    } bad[] = {
        {"\x80", 1}, /* a tail without a head */
        {"\xbf", 1},
        {"\xc0\x80", 1}, /* NUL in two bytes */
        {"\xc1\xbf", 1},
        {"\xc2", 1},         /* cut short */
        {"\xc2\x41", 1},     /* no tail */
        {"\xe0\x80\x80", 1}, /* overlong */
        {"\xe0\x9f\xbf", 1},
        {"\xe2\x82", 2}, /* cut short */
        {"\xe2\x82\x41", 2},
        {"\xed\xa0\x80", 1},     /* a surrogate */
        {"\xf0\x80\x80\x80", 1}, /* overlong */
        {"\xf0\x8f\xbf\xbf", 1},
        {"\xf0\x9f\x98", 3}, /* cut short */
        {"\xf0\x9f\x98\x41", 3},
        {"\xf4\x90\x80\x80", 1}, /* over U+10FFFF */
        {"\xf5\x80\x80\x80", 1},
        {"\xff", 1},
        {"\xfe\x80", 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n = strlen(bad[i].bytes);
        assert_int_equal(lf_utf8_len(bad[i].bytes, n), 0);
        assert_int_equal(lf_utf8_part(bad[i].bytes, n), bad[i].part);
        assert_int_equal(lf_utf8_valid(bad[i].bytes, n), 0);
    }
}

/* The fast way over eight plain bytes at a time must stop where the slow one does. */
static void the_longest_good_beginning_is_found_wherever_it_ends(void **state)
{
    (void)state;
    char text[40];
    for (size_t at = 0; at < sizeof text; at++)
        for (size_t n = at; n <= sizeof text; n++) {
            memset(text, 'a', sizeof text);
            if (at < n)
                text[at] = (char)0xff;
            assert_int_equal(lf_utf8_valid(text, n), at < n ? at : n);
        }
    for (size_t at = 0; at + 3 <= sizeof text; at++)
        for (size_t n = 0; n <= sizeof text; n++) {
            memset(text, 'a', sizeof text);
            memcpy(text + at, "\xe2\x82\xac", 3);
            assert_int_equal(lf_utf8_valid(text, n), n > at && n < at + 3 ? at : n);
        }
    assert_int_equal(lf_utf8_valid("", 0), 0);
}

static void what_is_shown_has_no_control_characters(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"plain, \xc3\xa9 and \xe2\x82\xac", "plain, \xc3\xa9 and \xe2\x82\xac"},
        {"\x1b]0;title\x07", "\\x1b]0;title\\x07"},
        {"a\nready v9\r\tb", "a\\nready v9\\r\\tb"},
        {"\x7f\xc2\x9b"
         "31m",
         "\\x7f\\x9b31m"}, /* DEL; CSI as one character */
        {"\xe2\x80\xae"
         "gpj",
         "\\u202egpj"}, /* right to left */
        {"a\xe2\x80\xa8"
         "b",
         "a\\u2028b"},                           /* a line separator */
        {"caf\xe9 au lait", "caf\\xe9 au lait"}, /* Latin-1 */
        {"\x9b"
         "2J",
         "\\x9b2J"},              /* CSI as one byte */
        {"cut \xe2\x82", "cut "}, /* the end of a character is missing */
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text, *shown = cases[i].shown;
        assert_int_equal(lf_utf8_printable(out, sizeof out, text, strlen(text)), strlen(shown));
        assert_string_equal(out, shown);
        assert_int_equal(lf_utf8_printable(out, sizeof out, shown, strlen(shown)), strlen(shown));
        assert_string_equal(out, shown); /* once is enough */
    }
    assert_int_equal(lf_utf8_printable(out, 5, "abc\x1b", 4),
                     3); /* an escape is whole or not there */
    assert_int_equal(lf_utf8_printable(out, 5, "ab\xe2\x82\xac", 5), 2);
    assert_int_equal(lf_utf8_printable(out, 1, "abc", 3), 0);
}

static void a_reason_quotes_no_control_characters(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    char nasty[2 * LF_DIAG_MAX];
    lf_fail(&diag, LF_E_INVALID, "unknown key \"%s\"", "x\nready v9\x1b[2J");
    assert_string_equal(diag.text, "unknown key \"x\\nready v9\\x1b[2J\"");
    lf_fail_within(&diag, LF_E_INVALID, "line\n%d", 1);
    assert_string_equal(diag.text, "line\\n1: unknown key \"x\\nready v9\\x1b[2J\"");
    lf_fail_errno(&diag, ENOENT, "a\x07");
    assert_string_equal(diag.text, "a\\x07: No such file or directory");
    memset(nasty, '\x1b', sizeof nasty - 1);
    nasty[sizeof nasty - 1] = '\0';
    lf_fail(&diag, LF_E_INVALID, "%s", nasty);
    assert_int_equal(strlen(diag.text), (LF_DIAG_MAX - 1) / 4 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_goes_there_and_back),
        cmocka_unit_test(bad_sequences_are_refused_and_replaced_by_their_longest_part),
        cmocka_unit_test(the_longest_good_beginning_is_found_wherever_it_ends),
        cmocka_unit_test(what_is_shown_has_no_control_characters),
        cmocka_unit_test(a_reason_quotes_no_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
