/* Ceilings that trace/ alone knows. */
#ifndef LF_TRACE_LIMITS_H
#define LF_TRACE_LIMITS_H

#define LF_TRACE_STATE_MAX 512        /* bytes of tracestate that W3C wants everybody to pass on */
#define LF_TRACE_QUEUE_MAX 2048       /* spans that wait; OpenTelemetry's default */
#define LF_TRACE_DELAY_MAX_MS 3600000 /* that one waits for others */
#define LF_TRACE_BODY_MAX                                                                   \
    (64u << 20)                 /* bytes of a batch: attributes are short, errors may quote \
                                 */
#define LF_TRACE_PAIRS_MAX 4096 /* bytes of a list in the environment */

#endif
