/* Spans, as OTLP has them in JSON: numbers of 64 bits are texts, ids hex. */
#include "trace/trace.h"

#include "core/clock.h"
#include "trace/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND_SERVER 2
#define STATUS_ERROR 2

static json_t *text_of_number(uint64_t n)
{
    return json_sprintf("%llu", (unsigned long long)n);
}

json_t *lf_span_new(const struct lf_trace_place *p, uint64_t start_ns)
{
    uint64_t now_ns = (uint64_t)lf_clock_unix_ms() * LF_NS_PER_MS;
    json_t *span = json_pack("{s:s, s:s, s:i, s:o, s:[]}", "traceId", p->trace_id, "spanId",
                             p->span_id, "kind", KIND_SERVER, "startTimeUnixNano",
                             text_of_number(now_ns - (lf_clock_ns() - start_ns)), "attributes");
    if (span && p->parent_id[0])
        json_object_set_new(span, "parentSpanId", json_string(p->parent_id));
    if (span && p->state[0]) /* not UTF-8: it is not passed on */
        json_object_set_new(span, "traceState", json_string(p->state));
    return span;
}

void lf_span_close(json_t *span)
{
    uint64_t now_ns = (uint64_t)lf_clock_unix_ms() * LF_NS_PER_MS;
    json_object_set_new(span, "endTimeUnixNano", text_of_number(now_ns));
}

/* {"stringValue": ...} of an attribute, or NULL. */
static json_t *value_of(const json_t *attributes, const char *key)
{
    size_t i;
    json_t *a;
    json_array_foreach(attributes, i, a) {
        const char *name = json_string_value(json_object_get(a, "key"));
        if (name && strcmp(name, key) == 0)
            return json_object_get(a, "value");
    }
    return NULL;
}

void lf_attribute_set(json_t *attributes, const char *key, const char *type, json_t *value)
{
    json_array_append_new(attributes,
                          json_pack("{s:s, s:{s:o}}", "key", key, "value", type, value));
}

static void set(json_t *span, const char *key, const char *type, json_t *value)
{
    lf_attribute_set(json_object_get(span, "attributes"), key, type, value);
}

void lf_span_text(json_t *span, const char *key, const char *value)
{
    if (span && value)
        set(span, key, "stringValue", json_string(value));
}

void lf_span_int(json_t *span, const char *key, int64_t value)
{
    if (span)
        set(span, key, "intValue", json_sprintf("%lld", (long long)value));
}

void lf_span_real(json_t *span, const char *key, double value)
{
    if (span)
        set(span, key, "doubleValue", json_real(value));
}

void lf_span_add(json_t *span, const char *key, int64_t value)
{
    json_t *there = value_of(json_object_get(span, "attributes"), key);
    const char *text = json_string_value(json_object_get(there, "intValue"));
    if (text)
        json_object_set_new(there, "intValue",
                            json_sprintf("%lld", strtoll(text, NULL, 10) + (long long)value));
    else
        lf_span_int(span, key, value);
}

void lf_span_push(json_t *span, const char *key, const char *value)
{
    json_t *list =
        json_object_get(value_of(json_object_get(span, "attributes"), key), "arrayValue");
    json_t *one = json_pack("{s:s}", "stringValue", value);
    if (list)
        json_array_append_new(json_object_get(list, "values"), one);
    else if (span)
        set(span, key, "arrayValue", json_pack("{s:[o]}", "values", one));
    else
        json_decref(one);
}

bool lf_span_has(const json_t *span, const char *key)
{
    return value_of(json_object_get(span, "attributes"), key) != NULL;
}

void lf_span_name(json_t *span, const char *name)
{
    json_object_set_new(span, "name", json_string(name));
}

void lf_span_fail(json_t *span, const char *why)
{
    json_object_set_new(span, "status",
                        json_pack("{s:i, s:s}", "code", STATUS_ERROR, "message", why));
}
