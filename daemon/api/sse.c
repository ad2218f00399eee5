/* Server-sent events of one or several completions: each token goes out as it comes. After a pause
 * a comment is sent, so that proxies keep the connection open. */
#include "daemon/api/sse.h"

#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_MS 1000 /* an error within it becomes the reply's status */
#define TURN_MS 20    /* waiting on one of several completions */
#define PING_NS 10000000000ull

static void sse_free(void *arg)
{
    struct lf_sse *s = arg;
    lf_completions_free(s->list, s->n);
    s->dialect->free(s->state);
    free(s);
}

static void put_error(struct lf_buf *out, enum lf_err rc, const struct lf_diag *diag)
{
    lf_buf_puts(out, "data: {\"error\":{\"message\":");
    lf_buf_json(out, diag->text, strlen(diag->text));
    lf_buf_printf(out,
                  ",\"type\":\"server_error\",\"code\":\"%s\"},\"error_type\":"
                  "\"generation\"}\n\n",
                  lf_err_name(rc));
}

/* Everything that completion i has ready. */
static enum lf_err turn(struct lf_sse *s, struct lf_http *q, struct lf_buf *out, int i,
                        int timeout_ms, struct lf_diag *diag)
{
    struct lf_completion *c = &s->list[i];
    bool ready, stepped;
    enum lf_err rc = lf_completion_await(c, q, timeout_ms, &ready, diag);
    if (rc != LF_OK || !ready)
        return rc;
    do {
        rc = lf_completion_step(c, &stepped, diag);
        if (rc == LF_OK && (stepped || c->out.ending != LF_ENDING_NONE))
            s->dialect->event(s, out, i, stepped);
    } while (rc == LF_OK && c->out.ending == LF_ENDING_NONE && c->at < c->n_ahead);
    return rc;
}

static enum lf_err sse_fill(void *arg, struct lf_http *q, struct lf_buf *out, bool *end)
{
    struct lf_sse *s = arg;
    struct lf_diag diag = {""};
    enum lf_err rc = LF_OK;
    int open = 1;
    while (rc == LF_OK && open > 0 && out->len == 0) {
        open = 0;
        for (int i = 0; i < s->n && rc == LF_OK; i++) {
            if (s->list[i].out.ending != LF_ENDING_NONE)
                continue;
            rc = turn(s, q, out, i, s->n == 1 ? 1000 : TURN_MS / s->n + 1, &diag);
            open += s->list[i].out.ending == LF_ENDING_NONE;
        }
        if (out->len == 0 && lf_clock_ns() - s->spoke_ns > PING_NS)
            lf_buf_puts(out, ": waiting\n\n");
    }
    s->spoke_ns = lf_clock_ns();
    if (rc == LF_E_CANCELLED)
        return rc;
    if (rc != LF_OK)
        put_error(out, rc, &diag);
    else if (open == 0)
        s->dialect->end(s, out);
    *end = rc != LF_OK || open == 0;
    return LF_OK;
}

enum lf_err lf_sse_reply(struct lf_http *q, const struct lf_sse_dialect *dialect, void *state,
                         struct lf_completion *list, int n, struct lf_diag *diag)
{
    bool ready;
    enum lf_err rc = LF_OK;
    struct lf_sse *s = malloc(sizeof *s);
    if (!s) {
        rc = lf_no_memory(diag, "a stream");
        lf_completions_free(list, n);
        dialect->free(state);
        return rc;
    }
    *s = (struct lf_sse){dialect, state, list, n, lf_clock_ns()};
    rc = lf_completion_await(&list[0], q, FIRST_MS, &ready, diag);
    if (rc != LF_OK) {
        sse_free(s);
        return rc;
    }
    lf_http_reply_stream(q, "text/event-stream; charset=utf-8",
                         &(struct lf_http_stream){sse_fill, sse_free, s});
    return LF_OK;
}
