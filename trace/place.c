/* W3C Trace Context: traceparent and tracestate. */
#include "trace/trace.h"

#include "core/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define HEX "0123456789abcdef"
#define PARENT_LENGTH (LF_TRACE_PARENT_BYTES - 1) /* VERSION-TRACE ID-SPAN ID-FLAGS */

/* n digits of an id, which is not all zeros, at `at`; then what follows. */
static bool take_id(char *out, const char *at, size_t n)
{
    if (strspn(at, HEX) != n || strspn(at, "0") >= n)
        return false;
    memcpy(out, at, n);
    out[n] = '\0';
    return true;
}

/* Later versions may have more behind a dash, which is not ours to read. */
static bool parse(struct lf_trace_place *p, const char *v)
{
    size_t n = strlen(v);
    if (n < PARENT_LENGTH || strspn(v, HEX) != 2 || strncmp(v, "ff", 2) == 0)
        return false;
    if (n > PARENT_LENGTH && (strncmp(v, "00", 2) == 0 || v[PARENT_LENGTH] != '-'))
        return false;
    const char *trace = v + 3, *span = trace + LF_TRACE_ID_DIGITS + 1;
    const char *flags = span + LF_SPAN_ID_DIGITS + 1;
    if (v[2] != '-' || span[-1] != '-' || flags[-1] != '-' || strspn(flags, HEX) != 2)
        return false;
    p->sampled = (strchr(HEX, flags[1]) - HEX) & 1;
    return take_id(p->trace_id, trace, LF_TRACE_ID_DIGITS) &&
           take_id(p->parent_id, span, LF_SPAN_ID_DIGITS);
}

/* An id that is not all zeros. */
static void draw(char *out, size_t n_digits)
{
    unsigned char b[LF_TRACE_ID_DIGITS / 2];
    uint64_t ns = lf_clock_ns();
    if (getrandom(b, n_digits / 2, GRND_NONBLOCK) != (ssize_t)(n_digits / 2))
        for (size_t i = 0; i < n_digits / 2; i++)
            b[i] = (unsigned char)(ns >> 8 * (i % sizeof ns));
    b[0] |= 1;
    for (size_t i = 0; i < n_digits / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", b[i]);
}

void lf_trace_enter(struct lf_trace_place *out, const char *traceparent, const char *tracestate,
                    bool begins)
{
    struct lf_trace_place p = {""};
    if (traceparent && parse(&p, traceparent)) {
        if (tracestate && strlen(tracestate) <= LF_TRACE_STATE_MAX)
            snprintf(p.state, sizeof p.state, "%s", tracestate);
    } else {
        p = (struct lf_trace_place){.sampled = begins};
        if (begins)
            draw(p.trace_id, LF_TRACE_ID_DIGITS);
    }
    if (p.trace_id[0])
        draw(p.span_id, LF_SPAN_ID_DIGITS);
    *out = p;
}

void lf_trace_format(const struct lf_trace_place *p, char out[LF_TRACE_PARENT_BYTES])
{
    snprintf(out, LF_TRACE_PARENT_BYTES, "00-%s-%s-%02x", p->trace_id, p->span_id, p->sampled);
}
