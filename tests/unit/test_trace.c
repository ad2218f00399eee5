/* LIBS: lf_trace lf_core */
/* Places in traces, spans, and what becomes of them without a collector. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/clock.h"
#include "trace/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static struct lf_trace_place enter(const char *parent, const char *state, bool begins)
{
    struct lf_trace_place p;
    memset(&p, 'x', sizeof p);
    lf_trace_enter(&p, parent, state, begins);
    return p;
}

static void test_a_request_goes_on_with_its_clients_trace(void **state)
{
    char out[LF_TRACE_PARENT_BYTES];
    (void)state;
    struct lf_trace_place p = enter("00-" TRACE "-" SPAN "-01", "a=1,b=2", false);
    assert_string_equal(p.trace_id, TRACE);
    assert_string_equal(p.parent_id, SPAN);
    assert_string_equal(p.state, "a=1,b=2");
    assert_true(p.sampled);
    assert_int_equal(strlen(p.span_id), LF_SPAN_ID_DIGITS);
    assert_string_not_equal(p.span_id, SPAN);
    lf_trace_format(&p, out);
    assert_memory_equal(out, "00-" TRACE "-", 36);
    assert_memory_equal(out + 36, p.span_id, LF_SPAN_ID_DIGITS);
    assert_string_equal(out + 52, "-01");

    assert_false(enter("00-" TRACE "-" SPAN "-00", NULL, true).sampled);
    assert_true(enter("00-" TRACE "-" SPAN "-03", NULL, true).sampled);
    assert_string_equal(enter("42-" TRACE "-" SPAN "-01-more", NULL, false).trace_id, TRACE);
}

static void test_without_one_it_begins_a_trace_where_there_is_a_tracer(void **state)
{
    (void)state;
    struct lf_trace_place p = enter(NULL, "a=1", false), q = enter(NULL, NULL, true);
    assert_string_equal(p.trace_id, "");
    assert_string_equal(p.state, ""); /* of no parent */
    assert_false(p.sampled);
    assert_int_equal(strlen(q.trace_id), LF_TRACE_ID_DIGITS);
    assert_string_equal(q.parent_id, "");
    assert_true(q.sampled);
}

static void test_what_is_no_traceparent_is_not_taken(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "ff-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-01-more",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-0g",
        "42-" TRACE "-" SPAN "-01more",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-" TRACE "0-" SPAN "-1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(enter(bad[i], NULL, false).trace_id, "");
    char *much = malloc(LF_TRACE_STATE_MAX + 2);
    memset(much, 'a', LF_TRACE_STATE_MAX + 1);
    much[LF_TRACE_STATE_MAX + 1] = '\0';
    assert_string_equal(enter("00-" TRACE "-" SPAN "-01", much, false).state, "");
    free(much);
}

static void test_attributes_are_otlps(void **state)
{
    (void)state;
    struct lf_trace_place p = enter("00-" TRACE "-" SPAN "-01", "a=1", false);
    json_t *span = lf_span_new(&p, lf_clock_ns());
    lf_span_name(span, "GET /x");
    lf_span_text(span, "t", "v");
    lf_span_text(span, "left out", NULL);
    lf_span_int(span, "i", -5);
    lf_span_real(span, "r", 0.5);
    lf_span_add(span, "sum", 2);
    lf_span_add(span, "sum", 40);
    lf_span_push(span, "list", "a");
    lf_span_push(span, "list", "b");
    lf_span_fail(span, "why");
    assert_true(lf_span_has(span, "sum"));
    assert_false(lf_span_has(span, "left out"));
    char *text = json_dumps(json_object_get(span, "attributes"), JSON_COMPACT);
    assert_string_equal(text, "[{\"key\":\"t\",\"value\":{\"stringValue\":\"v\"}},"
                              "{\"key\":\"i\",\"value\":{\"intValue\":\"-5\"}},"
                              "{\"key\":\"r\",\"value\":{\"doubleValue\":0.5}},"
                              "{\"key\":\"sum\",\"value\":{\"intValue\":\"42\"}},"
                              "{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":"
                              "[{\"stringValue\":\"a\"},{\"stringValue\":\"b\"}]}}}]");
    free(text);
    assert_string_equal(json_string_value(json_object_get(span, "parentSpanId")), SPAN);
    assert_string_equal(json_string_value(json_object_get(span, "traceState")), "a=1");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(span, "status"), "code")),
                     2);
    json_decref(span);

    lf_span_text(NULL, "t", "v"); /* nobody wants to know */
    lf_span_add(NULL, "sum", 1);
    lf_span_push(NULL, "list", "a");
    lf_span_name(NULL, "x");
    lf_span_fail(NULL, "x");
    assert_false(lf_span_has(NULL, "sum"));
}

static void test_spans_that_nobody_takes_are_counted(void **state)
{
    struct lf_tracer *t = NULL;
    struct lf_diag diag;
    uint64_t sent, dropped;
    (void)state;
    setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000", 1);
    assert_int_equal(lf_tracer_start(&t, "http://127.0.0.1:1/", "1", &diag), LF_OK);
    struct lf_trace_place p = enter(NULL, NULL, true);
    const int more = 100;
    for (int i = 0; i < 2 * LF_TRACE_QUEUE_MAX + more; i++)
        lf_tracer_end(t, lf_span_new(&p, lf_clock_ns()));
    lf_tracer_counts(t, &sent, &dropped);
    assert_int_equal(sent, 0);
    /* What the thread has taken out, a batch, has made room for as many. */
    assert_true(dropped >= LF_TRACE_QUEUE_MAX / 2);
    lf_tracer_stop(t);
    unsetenv("OTEL_BSP_SCHEDULE_DELAY");
    lf_tracer_counts(NULL, &sent, &dropped);
    assert_int_equal(dropped, 0);
}

static void test_a_wrong_setting_is_refused(void **state)
{
    static const struct {
        const char *name, *value;
    } wrong[] = {
        {"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector"},
        {"OTEL_BSP_SCHEDULE_DELAY", "soon"},
        {"OTEL_EXPORTER_OTLP_HEADERS", "authorization"},
        {"OTEL_RESOURCE_ATTRIBUTES", "=x"},
    };
    struct lf_tracer *t = NULL;
    struct lf_diag diag;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv(wrong[i].name, wrong[i].value, 1);
        assert_int_equal(lf_tracer_start(&t, i < 2 ? NULL : "http://127.0.0.1:1", "1", &diag),
                         LF_E_INVALID);
        assert_non_null(strstr(diag.text, i < 2 ? wrong[i].value : wrong[i].name));
        assert_null(t);
        unsetenv(wrong[i].name);
    }
    assert_int_equal(lf_tracer_start(&t, NULL, "1", &diag), LF_OK);
    assert_null(t);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", 1);
    setenv("OTEL_SDK_DISABLED", "true", 1);
    assert_int_equal(lf_tracer_start(&t, NULL, "1", &diag), LF_OK);
    assert_null(t);
    unsetenv("OTEL_SDK_DISABLED");
    unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_goes_on_with_its_clients_trace),
        cmocka_unit_test(test_without_one_it_begins_a_trace_where_there_is_a_tracer),
        cmocka_unit_test(test_what_is_no_traceparent_is_not_taken),
        cmocka_unit_test(test_attributes_are_otlps),
        cmocka_unit_test(test_spans_that_nobody_takes_are_counted),
        cmocka_unit_test(test_a_wrong_setting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
