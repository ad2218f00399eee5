/* Distributed tracing: the place of a request in a trace (W3C Trace Context), what it did as a
 * span, and spans on their way to a collector (OTLP over HTTP, as JSON).
 *
 * A span is JSON that one thread fills in; the tracer's own thread sends those that have ended, so
 * that nobody waits for a collector. A span may be NULL: the calls then do nothing. Where memory is
 * out a span loses what did not fit.
 */
#ifndef LF_TRACE_H
#define LF_TRACE_H

#include "core/err.h"
#include "trace/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- Where a request stands ------------------------------------------------------------------ */

#define LF_TRACE_ID_DIGITS 32
#define LF_SPAN_ID_DIGITS 16
#define LF_TRACE_PARENT_BYTES 56 /* with the NUL */

struct lf_trace_place {
    char trace_id[LF_TRACE_ID_DIGITS + 1]; /* hex; "": in no trace */
    char span_id[LF_SPAN_ID_DIGITS + 1];   /* this request's own */
    char parent_id[LF_SPAN_ID_DIGITS + 1]; /* "": it begins the trace */
    bool sampled;                          /* spans of this trace are kept */
    char state[LF_TRACE_STATE_MAX + 1];    /* tracestate, as it came; longer ones are not kept */
};

/* The place of a request with these headers (or NULL). Without a valid traceparent it is in no
 * trace, unless it begins one. */
void lf_trace_enter(struct lf_trace_place *out, const char *traceparent, const char *tracestate,
                    bool begins);
/* The place as a header's value, "00-...": for traceresponse. */
void lf_trace_format(const struct lf_trace_place *p, char out[LF_TRACE_PARENT_BYTES]);

/* ---- What it did ----------------------------------------------------------------------------- */

/* A server's span that began at start_ns (of lf_clock_ns). NULL: memory is out. Yours, until
 * lf_tracer_end. */
json_t *lf_span_new(const struct lf_trace_place *p, uint64_t start_ns);
/* Attributes. A text that is NULL is left out. Keys are not repeated, but for _add and _push. */
void lf_span_text(json_t *span, const char *key, const char *value);
void lf_span_int(json_t *span, const char *key, int64_t value);
void lf_span_real(json_t *span, const char *key, double value);
/* Adds to a number that may be there. */
void lf_span_add(json_t *span, const char *key, int64_t value);
/* Appends to a list of texts that may be there. */
void lf_span_push(json_t *span, const char *key, const char *value);
/* Whether it has the attribute. */
bool lf_span_has(const json_t *span, const char *key);
void lf_span_name(json_t *span, const char *name);
/* It failed. */
void lf_span_fail(json_t *span, const char *why);

/* ---- Where it goes --------------------------------------------------------------------------- */

struct lf_tracer;

/* Sends to a collector: `endpoint` is the address that OTLP's paths are below, or NULL. As
 * OpenTelemetry has it, the environment says the rest, and the endpoint where it is NULL:
 * OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (the whole address), _HEADERS,
 * OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY, OTEL_SDK_DISABLED.
 * *out is NULL where nothing is to be sent. LF_E_INVALID: one of these is wrong. Before other
 * threads use curl. Yours, lf_tracer_stop. */
enum lf_err lf_tracer_start(struct lf_tracer **out, const char *endpoint, const char *version,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Takes a span (or NULL) that has ended now. Where LF_TRACE_QUEUE_MAX wait already it is dropped.
 * Any thread; never waits. */
void lf_tracer_end(struct lf_tracer *t, json_t *span);
/* Spans that a collector has taken, and those that were lost. t: or NULL. */
void lf_tracer_counts(struct lf_tracer *t, uint64_t *sent, uint64_t *dropped);
/* Sends what waits, for five seconds at most. t: or NULL. */
void lf_tracer_stop(struct lf_tracer *t);

#endif
