/* Server-sent events over completions: the stream's turning, shared by the dialects that write the
 * events. The connection's thread. */
#ifndef LF_DAEMON_API_SSE_H
#define LF_DAEMON_API_SSE_H

#include "daemon/api/completion.h"

struct lf_sse;

/* How a dialect writes. Each appends whole events ("data: ...\n\n") or nothing. */
struct lf_sse_dialect {
    /* One token of completion i was stepped over (stepped), or it ended without one. */
    void (*event)(struct lf_sse *s, struct lf_buf *out, int i, bool stepped);
    /* All ended: usage, [DONE]... */
    void (*end)(struct lf_sse *s, struct lf_buf *out);
    void (*free)(void *state);
};

struct lf_sse {
    const struct lf_sse_dialect *dialect;
    void *state;                /* the dialect's, freed with the stream */
    struct lf_completion *list; /* (n) freed with the stream */
    int n;
    uint64_t spoke_ns;
};

/* Replies with a stream of these completions (taken, with the state). The first token's coming is
 * awaited for a moment, so that an error before it still has its status. On failure nothing is
 * replied and all is freed. */
enum lf_err lf_sse_reply(struct lf_http *q, const struct lf_sse_dialect *dialect, void *state,
                         struct lf_completion *list, int n, struct lf_diag *diag) LF_MUST_CHECK;

#endif
