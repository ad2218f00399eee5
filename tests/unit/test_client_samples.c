/* LIBS: lf_client */
/* Prometheus' text is read, and looked up; what is none is refused. */
#include "client/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum lf_err parse(struct lf_samples *m, const char *s, size_t n, struct lf_diag *diag)
{
    struct lf_buf text = {0};
    lf_buf_append(&text, s, n);
    enum lf_err rc = lf_samples_parse(m, &text, diag);
    assert_null(text.data); /* taken in any case */
    return rc;
}

static void test_found(void **state)
{
    static const char text[] =
        "# HELP a_total What it is.\n# TYPE a_total counter\n"
        "a_total{adapter=\"x\",outcome=\"ended\"} 3\na_total{adapter=\"x\",outcome=\"failed\"} 1\n"
        "a_total{adapter=\"xy\",outcome=\"ended\"} 8\n\nb 2.5 1700000000000\n"
        "c{le=\"+Inf\"} +Inf\nd{text=\"a } and \\\" in \\\\\"} -1e3";
    struct lf_samples m;
    struct lf_diag diag;
    (void)state;
    assert_int_equal(parse(&m, text, sizeof text - 1, &diag), LF_OK);
    assert_int_equal(m.n, 6);
    assert_true(lf_samples_value(&m, "a_total", NULL) == 12);
    assert_true(lf_samples_value(&m, "a_total", "adapter=\"x\"") == 4);
    assert_true(lf_samples_value(&m, "a_total", "outcome=\"ended\"") == 11);
    assert_true(lf_samples_value(&m, "b", NULL) == 2.5);
    assert_true(lf_samples_value(&m, "c", NULL) > 1e300);
    assert_true(lf_samples_value(&m, "d", "and") == -1000);
    assert_true(lf_samples_value(&m, "e", NULL) == 0);
    lf_samples_free(&m);
    assert_int_equal(parse(&m, "", 0, &diag), LF_OK);
    assert_int_equal(m.n, 0);
    lf_samples_free(&m);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        size_t n;
    } bad[] = {{"a\n", 2},    {"a {\n", 4},  {"a{x=\"}\" 1\n", 10}, {"a one\n", 6},
               {" 1\n", 3},   {"a 1x\n", 5}, {"{x=\"1\"} 1\n", 10}, {"a 1\nb \0 1\n", 10},
               {"a 1\nb{", 6}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_samples m;
        struct lf_diag diag = {""};
        assert_int_equal(parse(&m, bad[i].text, bad[i].n, &diag), LF_E_INVALID);
        assert_non_null(strstr(diag.text, "metrics: "));
        assert_int_equal(m.n, 0);
        assert_null(m.v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
