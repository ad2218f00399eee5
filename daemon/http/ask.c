/* Requests from inside: no connection, the same handlers. */
#include "daemon/http/http.h"

#include "core/clock.h"

#include <microhttpd.h>
#include <stdlib.h>

unsigned lf_http_ask(struct lf_daemon *d, const struct lf_route *route, struct lf_key *key,
                     struct lf_buf *body, const atomic_bool *unwanted, uint64_t deadline_ns,
                     struct lf_buf *answer)
{
    struct lf_diag diag = {""};
    struct lf_http *q = calloc(1, sizeof *q);
    if (!q)
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    *q = (struct lf_http){.daemon = d,
                          .route = route,
                          .key = key,
                          .admitted = true,
                          .fd = -1,
                          .start_ns = lf_clock_ns(),
                          .deadline_ns = deadline_ns,
                          .unwanted = unwanted,
                          .body = *body};
    *body = (struct lf_buf){0};
    enum lf_err rc = route->run(q, &diag);
    if (rc != LF_OK)
        lf_http_reply_error(q, rc, &diag);
    bool dropped = rc == LF_E_CANCELLED || (rc == LF_E_TIMED_OUT && lf_clock_ns() > deadline_ns);
    unsigned status = dropped ? 0 : q->status;
    *answer = q->pending;
    lf_buf_free(&q->body);
    lf_http_give(q, q->taken);
    free(q);
    return status;
}
