/* HTTP: a request as a handler sees it, and the ways to answer it.
 *
 * libmicrohttpd runs a small thread for each connection, so a handler may block: it parses, asks
 * the other rooms, replies once. A handler that returns an error has not replied; the server then
 * answers with the status and body that the error has in docs/http.md. One thread at a time uses a
 * request.
 */
#ifndef LF_DAEMON_HTTP_H
#define LF_DAEMON_HTTP_H

#include "core/buf.h"
#include "core/err.h"
#include "core/file.h"
#include "daemon/limits.h"
#include "keys/keys.h"
#include "trace/trace.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_daemon;
struct lf_http;
struct lf_connection;
struct MHD_Connection;

enum lf_http_method { LF_HTTP_GET, LF_HTTP_POST, LF_HTTP_PUT, LF_HTTP_DELETE };

/* Where a body goes that is not kept in memory. All on the request's thread. */
struct lf_http_sink {
    /* Before the first byte; may set q->sinking. bytes: how many there will be; -1: unknown. An
     * error is the answer, without the handler. */
    enum lf_err (*begin)(struct lf_http *q, int64_t bytes, struct lf_diag *diag);
    enum lf_err (*write)(struct lf_http *q, const void *data, size_t n, struct lf_diag *diag);
    /* Once, after the handler or when the request broke off; q->sinking is NULL where begin did not
     * set it. */
    void (*end)(struct lf_http *q);
};

typedef enum lf_err lf_http_fn(struct lf_http *q, struct lf_diag *diag);

struct lf_route {
    enum lf_http_method method;
    enum lf_role role; /* that asking it takes. OPEN: answered while the daemon stops, too */
    const char *path;  /* "/v1/adapters/{name}/files/{path*}": a name is one part of the path,
                          the one with the star is all that follows */
    lf_http_fn *run;
    size_t body_max; /* bytes of q->body; 0 without a sink: the body is read and thrown away */
    const struct lf_http_sink *sink; /* takes the body; or NULL */
    bool file;                       /* a refused body is 422 */
    bool polled; /* asked again and again: a line of the log at debug level only */
};

#define LF_HTTP_PARAM_BYTES 512

/* A body that is made while it is sent. fill blocks until it appends at least a byte or sets *end;
 * it looks at lf_http_gone ten times a second. An error cuts the connection. close is called once,
 * when the client has it all or is gone. */
struct lf_http_stream {
    enum lf_err (*fill)(void *arg, struct lf_http *q, struct lf_buf *out, bool *end);
    void (*close)(void *arg);
    void *arg;
};

struct lf_http {
    struct lf_daemon *daemon;
    const struct lf_route *route;
    char param[LF_HTTP_PARAMS_MAX][LF_HTTP_PARAM_BYTES]; /* decoded, in the path's order */
    struct lf_buf body;
    void *sinking; /* the sink's own */
    uint64_t start_ns;
    bool head;                      /* HEAD: as GET, the body is not sent */
    bool preflight;                 /* a browser asks whether a page may ask; it has no route */
    char id[LF_REQUEST_ID_MAX + 1]; /* X-Request-Id */
    char method[16], path[256];     /* cut, for the log */
    struct lf_trace_place place;    /* in a trace, of the client's or of our own */
    json_t *span;                   /* what the handler says of it; NULL: nobody wants to know */
    /* The server's */
    struct MHD_Connection *conn; /* NULL: asked from inside (lf_http_ask) */
    const atomic_bool *unwanted; /* then: nobody waits for the answer any more */
    struct lf_key *key;          /* who asks; NULL: someone who needs none, or nobody is known */
    bool admitted;               /* with a role that suffices */
    bool unmatched;              /* what If-Match or If-None-Match wants is not so: 412 */
    bool entered;                /* its limits count this request */
    int retry_seconds;           /* Retry-After; 0: a second */
    struct lf_connection *connection;
    int fd;               /* the connection's socket, borrowed */
    uint64_t taken;       /* of the host memory for requests */
    uint64_t taken_max;   /* the most that it was */
    uint64_t reply_size;  /* bytes of the answer's body; 0: not known */
    uint64_t deadline_ns; /* of the whole answer; UINT64_MAX: none */
    bool unframed;        /* where its body ends is not known: it is not read */
    enum lf_err early;    /* decided before the body was read */
    struct lf_diag early_diag;
    struct lf_unpack *unpack; /* of a packed body; else NULL */
    bool interim;             /* the client may be sent 1xx answers: HTTP/1.1 */
    bool packed;              /* by TLS: the socket's bytes are not the request's */
    unsigned status;          /* replied with; 0: not yet */
    int queued;               /* what MHD_queue_response said */
    struct {
        const char *name; /* static */
        char value[128];
    } header[LF_HTTP_HEADERS_MAX];
    int n_headers;
    struct lf_http_stream stream;
    struct lf_buf pending; /* filled and not sent yet, from `sent` on */
    size_t sent;
    bool ended;
};

/* ---- The request ----------------------------------------------------------------------------- */

/* A query parameter; NULL where it is missing, "" where it has no value. Borrowed. */
const char *lf_http_query(struct lf_http *q, const char *name);
/* "1", "true" or no value at all. */
bool lf_http_query_flag(struct lf_http *q, const char *name);
enum lf_err lf_http_query_int(struct lf_http *q, const char *name, int64_t lo, int64_t hi,
                              int64_t *out, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_http_query_real(struct lf_http *q, const char *name, double lo, double hi,
                               double *out, struct lf_diag *diag) LF_MUST_CHECK;
/* Refuses query parameters whose name is not in `known` (NULL-terminated). */
enum lf_err lf_http_query_only(struct lf_http *q, const char *const *known,
                               struct lf_diag *diag) LF_MUST_CHECK;
const char *lf_http_header(struct lf_http *q, const char *name);
/* The body as a JSON object; an empty body is {}. Yours (json_decref). */
enum lf_err lf_http_json(struct lf_http *q, json_t **out, struct lf_diag *diag) LF_MUST_CHECK;
/* The same for getters; other members than the known ones are refused. */
struct lf_json_in lf_http_json_in(struct lf_http *q, json_t **out, const char *const *known,
                                  struct lf_diag *diag);
/* The client has closed its connection; one that has closed its sending half alone still listens.
 */
bool lf_http_gone(struct lf_http *q);
/* Whether the answer is still wanted; asked ten times a second while one waits or works.
 * LF_E_CANCELLED: the client is gone; LF_E_TIMED_OUT: it has taken longer than a request may. */
enum lf_err lf_http_wanted(struct lf_http *q, struct lf_diag *diag) LF_MUST_CHECK;

/* Whether who asks may ask for this adapter, or base; LF_E_DENIED (403). */
enum lf_err lf_http_may(struct lf_http *q, const char *adapter, struct lf_diag *diag) LF_MUST_CHECK;
/* Bytes of the host memory for requests, before they are allocated; given back with the request at
 * the latest. what: "the body needs". LF_E_TOO_BIG (413): never so many; LF_E_OVERLOADED (429): not
 * now. */
enum lf_err lf_http_take(struct lf_http *q, uint64_t bytes, const char *what,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* Waits a while for them, as long as the client does. */
enum lf_err lf_http_take_soon(struct lf_http *q, uint64_t bytes, const char *what,
                              struct lf_diag *diag) LF_MUST_CHECK;
void lf_http_give(struct lf_http *q, uint64_t bytes);

/* ---- The reply ------------------------------------------------------------------------------- */

/* A header of the reply to come. name is static; the value is cut at 127 bytes. */
void lf_http_set(struct lf_http *q, const char *name, const char *fmt, ...) LF_PRINTF(3, 4);
/* Sends body's bytes and leaves it empty. */
void lf_http_reply(struct lf_http *q, unsigned status, const char *media_type, struct lf_buf *body);
void lf_http_reply_empty(struct lf_http *q, unsigned status);
/* Takes j (json_decref). NULL: memory was out. */
void lf_http_reply_json(struct lf_http *q, unsigned status, json_t *j);
void lf_http_reply_error(struct lf_http *q, enum lf_err rc, const struct lf_diag *diag);
/* A file's bytes, or the part that the request's Range asks for; with its ETag, which If-Match,
 * If-None-Match and If-Range are held against (412, 304, the whole file). Takes fd. */
void lf_http_reply_file(struct lf_http *q, int fd, const char *media_type);
/* 200 with a body of unknown length. */
void lf_http_reply_stream(struct lf_http *q, const char *media_type,
                          const struct lf_http_stream *stream);

/* The status of an error: total, so that a new code must choose. `file`: its route's flag. */
unsigned lf_http_status(enum lf_err rc, bool file);

/* ---- From inside ----------------------------------------------------------------------------- */

/* Asks a route as if who has the key (borrowed; NULL: who needs none) had sent it `body`, which is
 * taken: its generations are in the background, and nothing is logged. The answer's status, its
 * body in `answer`; 0 where *unwanted came true, or deadline_ns (of lf_clock_ns) came, meanwhile.
 * For routes without a sink whose answer is no stream. The caller's thread, which waits. */
unsigned lf_http_ask(struct lf_daemon *d, const struct lf_route *route, struct lf_key *key,
                     struct lf_buf *body, const atomic_bool *unwanted, uint64_t deadline_ns,
                     struct lf_buf *answer);

/* ---- Pieces, tested alone -------------------------------------------------------------------- */

/* The route of a path, its parameters in `param`. NULL: LF_E_NOT_FOUND in *rc, or LF_E_UNSUPPORTED
 * where the path has other methods only. */
const struct lf_route *lf_route_find(const struct lf_route *routes, size_t n,
                                     enum lf_http_method method, const char *path,
                                     char param[LF_HTTP_PARAMS_MAX][LF_HTTP_PARAM_BYTES],
                                     enum lf_err *rc);
enum lf_range {
    LF_RANGE_WHOLE, /* no range, several, or one that is not understood: the whole file is sent */
    LF_RANGE_PART,  /* [*first, *first + *n) */
    LF_RANGE_NONE   /* nothing of the file is in it: 416 */
};
/* Whether all who read the request's head find its end at the same byte; LF_E_INVALID. */
enum lf_err lf_http_framing(struct lf_http *q, const char *version,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* A Range header's value (NULL: none) over a file of `bytes`. */
enum lf_range lf_range_parse(const char *value, uint64_t bytes, uint64_t *first, uint64_t *n);
/* Whether a list of entity tags ("*": any; NULL: none) has this one, an LF_FILE_TAG. */
bool lf_tag_listed(const char *value, const char *tag);
/* The tag of a list of one, as lf_file_tag wrote it; false: it is none. */
bool lf_tag_only(const char *value, char tag[LF_FILE_TAG]);
/* Whether a Host header names this machine in a way that no foreign name server can: an address,
 * a name without a dot (localhost, a container's), or the machine's own. Else a page's own name was
 * made to mean this machine. */
bool lf_http_host_ok(const char *host);
/* Whether a page of this Origin may send requests: one of this machine, or of the daemon itself,
 * which the request calls `host` (NULL: no Host), or one of `allowed`: "https://a.example,...", "*"
 * for all; or NULL. */
bool lf_http_origin_ok(const char *origin, const char *host, const char *allowed);
/* "127.0.0.1:8080", "[::1]:1", "localhost": reached from this machine alone. */
bool lf_http_is_loopback(const char *host);

#endif
