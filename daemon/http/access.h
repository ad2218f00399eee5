/* What is known of a request beside its answer: its id, which the client may give and gets back
 * (X-Request-Id), its place in a trace (traceparent, traceresponse) and span, and its line in the
 * daemon's log. */
#ifndef LF_DAEMON_HTTP_ACCESS_H
#define LF_DAEMON_HTTP_ACCESS_H

#include "daemon/http/http.h"

/* At the request's head: keeps the method and the path, and sets X-Request-Id, the client's own
 * where it has 1 to LF_REQUEST_ID_MAX bytes of [A-Za-z0-9._:-]. Begins a span where the daemon has
 * a tracer. */
void lf_access_begin(struct lf_http *q, const char *method, const char *path);
/* When the client has its answer or is gone. What is asked again and again by mounts and monitors
 * is a line at debug level, all else at info; it has a span only where the client asks for one. */
void lf_access_end(struct lf_http *q);

#endif
