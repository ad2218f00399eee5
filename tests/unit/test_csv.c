/* LIBS: lf_land lf_core */
/* Delimited text: what the tasks' publishers ship. */
#include "container/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Reads everything; fields joined by '|', records by '/'. */
static enum lf_err read_all(char *out, size_t cap, const char *text, char delimiter, bool quotes,
                            struct lf_diag *diag)
{
    struct lf_csv c;
    lf_csv_init(&c, text, strlen(text), delimiter, quotes);
    out[0] = '\0';
    bool more = true;
    enum lf_err rc;
    while ((rc = lf_csv_next(&c, &more, diag)) == LF_OK && more) {
        for (size_t i = 0; i < c.n_fields; i++) {
            strncat(out, lf_csv_field(&c, i), cap - strlen(out) - 1);
            strncat(out, i + 1 < c.n_fields ? "|" : "/", cap - strlen(out) - 1);
        }
    }
    lf_csv_free(&c);
    return rc;
}

static void reads_quotes_and_line_breaks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a,b\n1,2\n", "a|b/1|2/"},
        {"a,b\r\n1,2", "a|b/1|2/"},
        {"\xef\xbb\xbf"
         "a\n",
         "a/"},
        {"\"x, y\",\"he said \"\"no\"\"\"\n", "x, y|he said \"no\"/"},
        {"\"two\nlines\",2\n3,4\n", "two\nlines|2/3|4/"},
        {",,\n", "||/"},
        {"\n\na\n\n\nb\n", "a/b/"},
        {"", ""},
        {"it\"s,ok\n", "it\"s|ok/"},
    };
    char got[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_all(got, sizeof got, cases[i].text, ',', true, NULL), LF_OK);
        assert_string_equal(got, cases[i].want);
    }
    assert_int_equal(read_all(got, sizeof got, "a\t\"b\nc\td\n", '\t', false, NULL), LF_OK);
    assert_string_equal(got, "a|\"b/c|d/");
}

static void refuses_bad_quotes_and_names_the_line(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    char got[256];
    assert_int_equal(read_all(got, sizeof got, "a\nb\n\"open\nnever", ',', true, &diag),
                     LF_E_INVALID);
    assert_non_null(strstr(diag.text, "line 3"));
    assert_int_equal(read_all(got, sizeof got, "a\n\"x\"y\n", ',', true, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "line 2"));
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    struct lf_buf b;
    lf_buf_init(&b, 0);
    assert_int_equal(lf_csv_put(&b, "plain"), LF_OK);
    assert_int_equal(lf_buf_putc(&b, ','), LF_OK);
    assert_int_equal(lf_csv_put(&b, "a \"b\", c\nd"), LF_OK);
    char got[256];
    assert_int_equal(read_all(got, sizeof got, b.data, ',', true, NULL), LF_OK);
    assert_string_equal(got, "plain|a \"b\", c\nd/");
    lf_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_quotes_and_line_breaks),
        cmocka_unit_test(refuses_bad_quotes_and_names_the_line),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
