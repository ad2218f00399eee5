/* The server on libmicrohttpd: one daemon of theirs for each listening socket, which is given the
 * connections that are accepted (connections.h), and a thread for each of them. libmicrohttpd calls
 * in three steps: its head (route, key and size are decided, but an error is kept back so that a
 * small body can be read and thrown away, else the client would see a reset instead of the answer),
 * its body piece by piece, its end (the handler runs). */
#include "daemon/http/server.h"

#include "container/unpack.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/http/access.h"
#include "daemon/http/admit.h"
#include "daemon/http/audit.h"
#include "daemon/http/connections.h"
#include "daemon/http/listen.h"
#include "daemon/http/tls.h"
#include "daemon/limits.h"
#include "daemon/state.h"

#include <limits.h>
#include <malloc.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREAD_STACK_BYTES (1u << 20) /* a handler's paths, diags and a template's recursion */
#define CONNECTION_MEMORY_BYTES (64u << 10) /* head of a request and libmicrohttpd's buffers */
#define IDLE_SECONDS 60u                    /* between requests, and between pieces of a body */
#define PATH_BYTES 4096u                    /* longer ones are cut, and no route's */
#define TLS_PRIORITIES "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"
#define TRIM_BYTES (16u << 20)
#define SWALLOW_BYTES (64u << 20) /* of a refused body that is read all the same */

struct server_part {
    int fd; /* listens */
    struct MHD_Daemon *mhd;
};

/* With a certificate that has been replaced: until its last connection is closed. */
struct retired {
    struct retired *next;
    struct MHD_Daemon *mhd;
};

struct lf_http_server {
    struct lf_daemon *d;
    const struct lf_route *routes;
    size_t n_routes;
    struct server_part listener[LF_LISTENER_N];
    struct retired *retired;
    char unix_path[LF_PATH_MAX];
};

static const struct {
    const char *name;
    enum lf_http_method method;
    bool head;
} methods[] = {
    {"GET", LF_HTTP_GET, false}, {"HEAD", LF_HTTP_GET, true},       {"POST", LF_HTTP_POST, false},
    {"PUT", LF_HTTP_PUT, false}, {"DELETE", LF_HTTP_DELETE, false},
};

static const char *const method_names[] = {"GET", "POST", "PUT", "DELETE"};

/* ---- The head -------------------------------------------------------------------------------- */

/* "GET, PUT": the methods that the path has. */
static void allow(const struct lf_http_server *s, struct lf_http *q, const char *path)
{
    char list[64] = "";
    enum lf_err rc;
    for (int m = LF_HTTP_GET; m <= LF_HTTP_DELETE; m++) {
        char param[LF_HTTP_PARAMS_MAX][LF_HTTP_PARAM_BYTES];
        if (!lf_route_find(s->routes, s->n_routes, (enum lf_http_method)m, path, param, &rc))
            continue;
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, n ? ", %s" : "%s", method_names[m]);
    }
    lf_http_set(q, "Allow", "%s", list);
}

static enum lf_err route(const struct lf_http_server *s, struct lf_http *q, const char *path,
                         const char *word)
{
    enum lf_err rc = LF_E_UNSUPPORTED;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].name, word) != 0)
            continue;
        q->head = methods[i].head;
        q->route = lf_route_find(s->routes, s->n_routes, methods[i].method, path, q->param, &rc);
    }
    if (rc == LF_E_NOT_FOUND)
        return lf_fail(&q->early_diag, rc, "there is nothing at %.200s", path);
    if (rc == LF_E_UNSUPPORTED) {
        allow(s, q, path);
        return lf_fail(&q->early_diag, rc, "%.16s is not a method of this path", word);
    }
    return rc;
}

/* What lets a page that may ask read the answer (CORS). q->preflight: the browser only asks whether
 * it may; it does not send the key along. */
static void greet_page(struct lf_http *q, const char *method)
{
    const char *origin = lf_http_header(q, "Origin");
    lf_http_set(q, "Vary", "Origin");
    if (!origin || strlen(origin) >= sizeof q->header[0].value ||
        !lf_http_origin_ok(origin, lf_http_header(q, "Host"), q->daemon->options.cors))
        return;
    lf_http_set(q, "Access-Control-Allow-Origin", "%s", origin);
    lf_http_set(q, "Access-Control-Expose-Headers", "*");
    q->preflight = strcmp(method, "OPTIONS") == 0 &&
                   lf_http_header(q, "Access-Control-Request-Method") != NULL;
}

static void reply_preflight(struct lf_http *q)
{
    lf_http_set(q, "Access-Control-Allow-Methods", "GET, POST, PUT, DELETE");
    lf_http_set(q, "Access-Control-Allow-Headers", "*, Authorization");
    lf_http_set(q, "Access-Control-Max-Age", "600");
    if (lf_http_header(q, "Access-Control-Request-Private-Network"))
        lf_http_set(q, "Access-Control-Allow-Private-Network", "true");
    lf_http_reply_empty(q, MHD_HTTP_NO_CONTENT);
}

/* -1: unknown (chunked). */
static int64_t content_length(struct lf_http *q)
{
    const char *v = lf_http_header(q, "Content-Length");
    return v ? strtoll(v, NULL, 10) : -1;
}

static enum lf_err begin_body(struct lf_http *q)
{
    const struct lf_route *r = q->route;
    int64_t n = content_length(q);
    enum lf_err rc =
        lf_unpack_new(&q->unpack, lf_http_header(q, "Content-Encoding"), &q->early_diag);
    if (rc != LF_OK)
        return rc;
    if (r->sink)
        return r->sink->begin(q, q->unpack ? -1 : n, &q->early_diag);
    if (r->body_max == 0)
        return LF_OK;
    lf_buf_init(&q->body, r->body_max);
    if (n > (int64_t)r->body_max)
        return lf_fail(&q->early_diag, LF_E_TOO_BIG, "the body is over %zu bytes", r->body_max);
    return LF_OK;
}

/* The path of a request's target: "http://host/path" is /path, and slashes in a row, which clients
 * make of a base address that ends in one, are one; but "//" is no name for "/". */
static void clean_path(char *out, size_t size, const char *target)
{
    const char *p = target, *scheme = strstr(target, "://");
    size_t n = 0;
    if (*target != '/' && scheme)
        p = strchrnul(scheme + 3, '/');
    bool slashes = strspn(p, "/") == strlen(p);
    if (*target != '/' && slashes)
        p = "/";
    for (; *p && n + 1 < size; p++)
        if (slashes || *p != '/' || n == 0 || out[n - 1] != '/')
            out[n++] = *p;
    out[n] = '\0';
}

static struct lf_http *begin(const struct lf_http_server *s, struct MHD_Connection *conn,
                             const char *target, const char *method, const char *version)
{
    char path[PATH_BYTES];

    struct lf_connection *c =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct lf_http *q = c ? calloc(1, sizeof *q) : NULL;
    if (!q)
        return NULL;
    q->connection = c;
    q->daemon = s->d;
    q->conn = conn;
    q->fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    lf_connection_enter(q->connection, LF_CONNECTION_BODY);
    q->start_ns = lf_clock_ns();
    q->deadline_ns = s->d->options.request_seconds
                         ? q->start_ns + (uint64_t)s->d->options.request_seconds * LF_NS_PER_S
                         : UINT64_MAX;
    atomic_fetch_add(&s->d->active, 1);
    q->packed = s->d->options.tls_cert && lf_connection_listener(c) == LF_LISTENER_TCP;
    q->interim = !q->packed && strcmp(version, MHD_HTTP_VERSION_1_1) == 0;
    clean_path(path, sizeof path, target);
    lf_access_begin(q, method, path);
    if (lf_connection_is_over(q->connection)) {
        lf_http_set(q, "Connection", "close");
        q->early = lf_fail(&q->early_diag, LF_E_OVERLOADED, "there are too many connections");
        return q;
    }
    q->early = lf_http_framing(q, version, &q->early_diag);
    if (q->early != LF_OK) {
        lf_http_set(q, "Connection", "close");
        q->unframed = true;
        return q;
    }
    greet_page(q, method);
    if (q->preflight)
        return q;
    q->early = route(s, q, path, method);
    if (q->early == LF_OK)
        q->early = lf_admit(q, &q->early_diag);
    if (q->early == LF_OK && atomic_load(&s->d->stopping) && q->route->role != LF_ROLE_OPEN)
        q->early = lf_fail(&q->early_diag, LF_E_DEVICE_LOST, "the daemon is stopping");
    if (q->early == LF_OK)
        q->early = begin_body(q);
    return q;
}

/* ---- Body and end ---------------------------------------------------------------------------- */

/* Bytes of the body as it is meant. */
static enum lf_err take_bare(void *arg, const char *data, size_t n, struct lf_diag *diag)
{
    struct lf_http *q = arg;
    if (q->route->sink)
        return q->route->sink->write(q, data, n, diag);
    enum lf_err rc = LF_OK;
    if (q->body.cap > q->taken) /* it doubles */
        rc = lf_http_take(q, q->body.cap, "the body needs", diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_buf_append(&q->body, data, n);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "the body is over %zu bytes", q->route->body_max);
}

/* False: too much of a body that is refused anyway. */
static bool take_body(struct lf_http *q, const char *data, size_t n)
{
    lf_connection_moved(q->connection, n);
    if (q->early == LF_OK && q->route && (q->route->sink || q->route->body_max > 0)) {
        q->early = q->unpack ? lf_unpack_write(q->unpack, data, n, take_bare, q, &q->early_diag)
                             : take_bare(q, data, n, &q->early_diag);
        return true;
    }
    q->sent += n; /* not sending yet: counts what is thrown away */
    return q->sent <= SWALLOW_BYTES;
}

static void answer(struct lf_http *q)
{
    struct lf_diag diag = {""};
    q->sent = 0;
    if (q->early == LF_OK && q->unpack)
        q->early = lf_unpack_end(q->unpack, &q->early_diag);
    if (q->early != LF_OK) {
        lf_http_reply_error(q, q->early, &q->early_diag);
        return;
    }
    if (q->preflight) {
        reply_preflight(q);
        return;
    }
    /* Waiting for an answer is no idleness of the client's. */
    MHD_set_connection_option(q->conn, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    enum lf_err rc = q->route->run(q, &diag);
    if (rc != LF_OK)
        lf_http_reply_error(q, rc, &diag);
    if (!q->stream.fill)
        MHD_set_connection_option(q->conn, MHD_CONNECTION_OPTION_TIMEOUT, IDLE_SECONDS);
}

static void finish(struct lf_http *q)
{
    lf_connection_enter(q->connection, LF_CONNECTION_RUNS);
    answer(q);
    lf_connection_enter(q->connection, LF_CONNECTION_SENDS);
    lf_connection_moved(q->connection, q->reply_size);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **state)
{
    const struct lf_http_server *s = arg;
    struct lf_http *q = *state;
    if (!q) {
        *state = q = begin(s, conn, path, method, version);
        if (!q)
            return MHD_NO;
        if (q->early == LF_OK || (!q->unframed && content_length(q) <= (int64_t)SWALLOW_BYTES))
            return MHD_YES;
        finish(q);
        return (enum MHD_Result)q->queued;
    }
    if (*data_size > 0) {
        bool goes_on = take_body(q, data, *data_size);
        *data_size = 0;
        return goes_on ? MHD_YES : MHD_NO;
    }
    finish(q);
    return (enum MHD_Result)q->queued;
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode how)
{
    const struct lf_http_server *s = arg;
    struct lf_http *q = *state;
    (void)conn;
    (void)how;
    if (!q)
        return;
    lf_connection_enter(q->connection, LF_CONNECTION_RUNS);
    if (q->stream.close)
        q->stream.close(q->stream.arg);
    lf_counters_request(&s->d->counters, q->route ? (size_t)(q->route - s->routes) : s->n_routes,
                        q->status);
    lf_access_end(q);
    lf_audit_request(s->d->audit, q);
    if (q->route && q->route->sink)
        q->route->sink->end(q);
    lf_unpack_free(q->unpack);
    lf_buf_free(&q->body);
    lf_buf_free(&q->pending);
    lf_connection_enter(q->connection, LF_CONNECTION_HEAD);
    lf_admit_leave(q);
    lf_http_give(q, q->taken);
    if (q->taken_max >= TRIM_BYTES)
        malloc_trim(0); /* what one request took is not kept for the next */
    free(q);
    *state = NULL;
    atomic_fetch_sub(&s->d->active, 1);
}

/* ---- Start and stop -------------------------------------------------------------------------- */

/* A peer that vanished without a word is noticed within a minute. Not for unix sockets, where the
 * calls fail and nothing is lost. */
static void on_connection(void *arg, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    const struct lf_http_server *s = arg;
    if (what != MHD_CONNECTION_NOTIFY_STARTED) {
        lf_connection_free(*context);
        return;
    }
    int fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    *context = lf_connection_of(s->d->connections, fd);
    int on = 1, idle = 20, every = 10, times = 4;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* "%00" is left as it is: the text would end there, and be another's name. */
static size_t on_unescape(void *arg, struct MHD_Connection *conn, char *text)
{
    (void)arg;
    (void)conn;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

static void on_log(void *arg, const char *fmt, va_list ap)
{
    (void)arg;
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    lf_log(LF_LOG_DEBUG, "http", "%s", text);
}

/* An accepted socket; libmicrohttpd looks at the address for limits of its own alone. */
static bool take(void *mhd, int fd)
{
    static const struct sockaddr none = {.sa_family = AF_UNIX};
    return MHD_add_connection(mhd, fd, &none, sizeof none) == MHD_YES;
}

/* tls: NULL for plain HTTP. */
static enum lf_err mhd_start(struct MHD_Daemon **out, struct lf_http_server *s,
                             const struct lf_tls_files *tls, struct lf_diag *diag)
{
    unsigned flags = MHD_USE_NO_LISTEN_SOCKET | MHD_USE_INTERNAL_POLLING_THREAD |
                     MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC |
                     MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0);
    const struct MHD_OptionItem files[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, tls ? tls->cert.data : NULL},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? tls->key.data : NULL},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    *out = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        s, MHD_OPTION_CONNECTION_LIMIT, UINT_MAX - 1 /* ours */, MHD_OPTION_CONNECTION_TIMEOUT,
        IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_ARRAY, tls ? files : none,
        MHD_OPTION_END);
    if (*out)
        return LF_OK;
    return tls ? lf_fail(diag, LF_E_INVALID, "%s and %s are no certificate with its key",
                         s->d->options.tls_cert, s->d->options.tls_key)
               : lf_fail(diag, LF_E_IO, "the HTTP server does not start");
}

/* Over TCP with the certificate, where there is one. */
static enum lf_err mhd_new(struct MHD_Daemon **out, struct lf_http_server *s, enum lf_listener kind,
                           struct lf_diag *diag)
{
    struct lf_tls_files tls;
    if (kind != LF_LISTENER_TCP || !s->d->options.tls_cert)
        return mhd_start(out, s, NULL, diag);
    enum lf_err rc = lf_tls_files_read(&tls, &s->d->options, diag);
    rc = rc ?: mhd_start(out, s, &tls, diag);
    lf_tls_files_free(&tls);
    return rc;
}

static enum lf_err listener_start(struct lf_http_server *s, enum lf_listener kind, int fd,
                                  struct lf_diag *diag)
{
    struct server_part *l = &s->listener[kind];
    l->fd = fd;
    enum lf_err rc = mhd_new(&l->mhd, s, kind, diag);
    if (rc == LF_OK)
        lf_connections_listen(s->d->connections, kind, fd, take, l->mhd);
    return rc;
}

/* Those whose last connection is closed. */
static void retired_stop(struct lf_http_server *s, bool all)
{
    struct retired **at = &s->retired;
    while (*at) {
        struct retired *r = *at;
        if (!all &&
            MHD_get_daemon_info(r->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections > 0) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        MHD_stop_daemon(r->mhd);
        free(r);
    }
}

enum lf_err lf_http_server_reload(struct lf_http_server *s, struct lf_diag *diag)
{
    struct server_part *l = &s->listener[LF_LISTENER_TCP];
    struct MHD_Daemon *mhd = NULL;
    if (!l->mhd || !s->d->options.tls_cert)
        return LF_OK;
    retired_stop(s, false);
    struct retired *r = calloc(1, sizeof *r);
    enum lf_err rc =
        r ? mhd_new(&mhd, s, LF_LISTENER_TCP, diag) : lf_no_memory(diag, "another certificate");
    if (rc != LF_OK) {
        free(r);
        return rc;
    }
    lf_connections_retake(s->d->connections, LF_LISTENER_TCP, mhd);
    *r = (struct retired){s->retired, l->mhd};
    s->retired = r;
    l->mhd = mhd;
    return LF_OK;
}

/* Whoever reaches a daemon without keys may do everything. */
static enum lf_err check_reach(struct lf_daemon *d, const char *bound, struct lf_diag *diag)
{
    if (d->options.insecure || lf_http_is_loopback(bound) || lf_keys_wanted(d->keys))
        return LF_OK;
    return lf_fail(diag, LF_E_DENIED,
                   "%s is reached from other machines, and there are no keys: make one (lorafs key "
                   "add), or say --insecure",
                   bound);
}

static enum lf_err listen_all(struct lf_http_server *s, struct lf_daemon_address *at,
                              struct lf_diag *diag)
{
    const struct lf_daemon_options *o = &s->d->options;
    int fd = -1;
    enum lf_err rc = LF_OK;
    if (o->socket_path)
        snprintf(s->unix_path, sizeof s->unix_path, "%s", o->socket_path);
    else
        snprintf(s->unix_path, sizeof s->unix_path, "%s/lorafsd.sock", o->data_dir);
    if (!o->no_tcp) {
        rc = lf_listen_tcp(&fd, o->listen, at->tcp, sizeof at->tcp, diag);
        rc = rc ?: check_reach(s->d, at->tcp, diag);
        rc = rc ?: listener_start(s, LF_LISTENER_TCP, fd, diag);
    }
    rc = rc ?: lf_listen_unix(&fd, s->unix_path, diag);
    if (rc == LF_OK) {
        memcpy(at->unix_path, s->unix_path, sizeof at->unix_path);
        rc = listener_start(s, LF_LISTENER_UNIX, fd, diag);
    } else {
        s->unix_path[0] = '\0'; /* not ours to remove */
    }
    return rc;
}

enum lf_err lf_http_server_start(struct lf_http_server **out, struct lf_daemon *d,
                                 const struct lf_route *routes, size_t n,
                                 struct lf_daemon_address *at, struct lf_diag *diag)
{
    struct lf_http_server *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "the HTTP server");
    s->d = d;
    s->routes = routes;
    s->n_routes = n;
    for (int i = 0; i < LF_LISTENER_N; i++)
        s->listener[i].fd = -1;
    *at = (struct lf_daemon_address){""};
    enum lf_err rc = lf_connections_new(&d->connections, diag) ?: listen_all(s, at, diag);
    rc = rc ?: lf_connections_start(d->connections, diag);
    if (rc == LF_OK)
        *out = s;
    else
        lf_http_server_stop(s);
    return rc;
}

void lf_http_server_quiesce(struct lf_http_server *s)
{
    lf_connections_quiesce(s->d->connections);
}

void lf_http_server_stop(struct lf_http_server *s)
{
    if (!s)
        return;
    if (s->d->connections)
        lf_connections_quiesce(s->d->connections);
    for (int i = 0; i < LF_LISTENER_N; i++)
        if (s->listener[i].mhd)
            MHD_stop_daemon(s->listener[i].mhd);
    retired_stop(s, true);
    lf_connections_free(s->d->connections);
    s->d->connections = NULL;
    for (int i = 0; i < LF_LISTENER_N; i++)
        if (s->listener[i].fd >= 0)
            close(s->listener[i].fd);
    if (s->unix_path[0])
        unlink(s->unix_path);
    free(s);
}
