/* Request ids, places in traces, and the access log. */
#include "daemon/http/access.h"

#include "core/clock.h"
#include "core/log.h"
#include "daemon/state.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ID_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-"

static bool id_ok(const char *id)
{
    size_t n = strspn(id, ID_BYTES);
    return n > 0 && n <= LF_REQUEST_ID_MAX && !id[n];
}

/* Another one for each request, also after a restart: the time, and a count. */
static void make_id(char out[LF_REQUEST_ID_MAX + 1])
{
    static atomic_uint_fast64_t count;
    snprintf(out, LF_REQUEST_ID_MAX + 1, "%llx-%llx", (unsigned long long)lf_clock_unix_ms(),
             (unsigned long long)atomic_fetch_add(&count, 1));
}

static void begin_span(struct lf_http *q)
{
    char place[LF_TRACE_PARENT_BYTES];
    bool traces = q->daemon->tracer != NULL;
    lf_trace_enter(&q->place, lf_http_header(q, "traceparent"), lf_http_header(q, "tracestate"),
                   traces);
    if (!traces)
        return;
    lf_trace_format(&q->place, place);
    lf_http_set(q, "traceresponse", "%s", place);
    if (q->place.sampled)
        q->span = lf_span_new(&q->place, q->start_ns);
}

void lf_access_begin(struct lf_http *q, const char *method, const char *path)
{
    const char *given = lf_http_header(q, "X-Request-Id");
    snprintf(q->method, sizeof q->method, "%s", method);
    snprintf(q->path, sizeof q->path, "%s", path);
    if (given && id_ok(given))
        snprintf(q->id, sizeof q->id, "%s", given);
    else
        make_id(q->id);
    lf_http_set(q, "X-Request-Id", "%s", q->id);
    begin_span(q);
}

/* By OpenTelemetry's conventions for HTTP; what has generated has its own name already. */
static void end_span(struct lf_http *q, bool polled)
{
    char name[sizeof q->method + LF_HTTP_PARAM_BYTES], status[16];
    const char *route = q->route ? q->route->path : NULL;
    if (!q->span || (polled && !q->place.parent_id[0])) {
        json_decref(q->span);
        q->span = NULL;
        return;
    }
    if (!json_object_get(q->span, "name")) {
        snprintf(name, sizeof name, "%s%s%s", q->method, route ? " " : "", route ? route : "");
        lf_span_name(q->span, name);
    }
    lf_span_text(q->span, "http.request.method", q->method);
    lf_span_text(q->span, "http.route", route);
    lf_span_text(q->span, "url.path", q->path);
    lf_span_text(q->span, "lorafs.request_id", q->id);
    lf_span_int(q->span, "http.response.status_code", (int64_t)q->status);
    snprintf(status, sizeof status, "%u", q->status);
    if (q->status == 0 || q->status >= 500) {
        lf_span_text(q->span, "error.type", q->status ? status : "cancelled");
        lf_span_fail(q->span, q->status ? "the daemon failed" : "the client is gone");
    }
    lf_tracer_end(q->daemon->tracer, q->span);
    q->span = NULL;
}

void lf_access_end(struct lf_http *q)
{
    char status[16], ms[32];
    bool polled = q->route && q->route->polled && q->status < 400;
    end_span(q, polled);
    snprintf(status, sizeof status, "%u", q->status);
    snprintf(ms, sizeof ms, "%.1f", (double)(lf_clock_ns() - q->start_ns) / 1e6);
    const struct lf_log_field fields[] = {
        {"status", status, true},
        {"ms", ms, true},
        {"request_id", q->id, false},
        {"trace_id", q->place.trace_id[0] ? q->place.trace_id : NULL, false},
    };
    lf_log_fields(polled ? LF_LOG_DEBUG : LF_LOG_INFO, "http", fields,
                  sizeof fields / sizeof *fields, "%s %s", q->method, q->path);
}
