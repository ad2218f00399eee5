/* The HTTP client: curl's multi interface behind one epoll descriptor. */
#include "client/http.h"

#include "client/limits.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#define HTTP_CONNECT_TIMEOUT_S 5
#define HTTP_BUFFER_BYTES (256 << 10) /* curl's, a transfer: datasets are large */
#define HTTP_EVENTS 64                /* sockets served in one turn */
#define PULSES 3                      /* looks at a quiet daemon within the patience with it */
#define PROBE_SECONDS 60

struct lf_client_call {
    LIST_ENTRY(lf_client_call) link;
    struct lf_client *client;
    CURL *easy;
    struct curl_slist *headers;
    struct lf_client_spec spec; /* its text is the caller's, and gone once the call has started */
    uint64_t body_off;
    struct lf_buf reply; /* collected; or the error's JSON of a call with on_data */
    enum lf_err failed;  /* why a callback of ours ended the transfer, or LF_OK */
};

struct lf_client {
    CURLM *multi;
    int epoll;
    uint64_t timer_ns;   /* when curl wants to be called; UINT64_MAX: never */
    char *root;          /* "http://host:port", without a '/' at its end */
    char *socket;        /* path of the unix socket, or NULL */
    char *authorization; /* header line, or NULL */
    char *cacert;        /* absolute path, or NULL */
    LIST_HEAD(, lf_client_call) calls;
    /* Whether the daemon lives */
    int patience_s; /* 0: for ever */
    bool silent;
    uint64_t heard_ns; /* of it, or that nothing was waited for */
    uint64_t pulse_ns; /* when to look again; UINT64_MAX: when there is a call */
    struct lf_client_call *probe;
};

/* ---- Errors ---------------------------------------------------------------------------------- */

static enum lf_err err_from_status(int status)
{
    static const struct {
        int status;
        enum lf_err rc;
    } known[] = {
        {400, LF_E_INVALID},    {401, LF_E_DENIED},    {403, LF_E_READ_ONLY},
        {404, LF_E_NOT_FOUND},  {405, LF_E_READ_ONLY}, {409, LF_E_BUSY},
        {410, LF_E_NOT_FOUND},  {413, LF_E_TOO_BIG},   {422, LF_E_INVALID},
        {429, LF_E_OVERLOADED}, {499, LF_E_CANCELLED}, {503, LF_E_OVERLOADED},
        {504, LF_E_TIMED_OUT},  {507, LF_E_NO_SPACE},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status)
            return known[i].rc;
    return LF_E_IO;
}

/* The error of an answer: the "code" word of its body where there is one, else by its status; the
 * reason is the body's message. LF_OK for 2xx and 304. */
static enum lf_err verdict(int status, const char *body, size_t n, struct lf_diag *diag)
{
    if ((status >= 200 && status < 300) || status == 304)
        return LF_OK;
    enum lf_err rc = err_from_status(status);
    const char *code = NULL, *message = NULL;
    json_auto_t *root = NULL;
    if (lf_json_parse(&root, body, n, NULL) == LF_OK) {
        const json_t *e = json_object_get(root, "error");
        code = json_string_value(json_object_get(e, "code"));
        message = json_string_value(json_object_get(e, "message"));
    }
    if (code && lf_err_from_name(code) != LF_OK)
        rc = lf_err_from_name(code);
    if (message)
        lf_fail(diag, rc, "%s", message);
    else
        lf_fail(diag, rc, "the daemon answered %d", status);
    return rc;
}

static enum lf_err err_from_curl(CURLcode code, struct lf_diag *diag)
{
    enum lf_err rc;
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        rc = LF_E_UNREACHABLE;
        break;
    case CURLE_OPERATION_TIMEDOUT:
        rc = LF_E_TIMED_OUT;
        break;
    case CURLE_OUT_OF_MEMORY:
        rc = LF_E_NO_MEMORY;
        break;
    default:
        rc = LF_E_IO;
    }
    return lf_fail(diag, rc, "the daemon: %s", curl_easy_strerror(code));
}

/* ---- curl's callbacks for one transfer ------------------------------------------------------- */

static long response_code(const struct lf_client_call *c)
{
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static size_t on_reply(char *data, size_t one, size_t n, void *arg)
{
    struct lf_client_call *c = arg;
    n *= one;
    c->client->heard_ns = lf_clock_ns();
    long status = response_code(c);
    if (c->spec.on_data && status >= 200 && status < 300) {
        switch (c->spec.on_data(c->spec.arg, data, n)) {
        case LF_CLIENT_TAKEN:
            return n;
        case LF_CLIENT_PAUSE:
            return CURL_WRITEFUNC_PAUSE;
        case LF_CLIENT_ABORT:
            c->failed = LF_E_NO_SPACE;
            return CURL_WRITEFUNC_ERROR;
        }
    }
    size_t max = status >= 300 ? LF_HTTP_ERROR_BODY_MAX : c->spec.reply_max;
    if (n > max - c->reply.len && status >= 300)
        return n; /* enough of an error was read */
    if (n > max - c->reply.len) {
        c->failed = LF_E_TOO_BIG;
        return CURL_WRITEFUNC_ERROR;
    }
    c->failed = lf_buf_append(&c->reply, data, n);
    return c->failed == LF_OK ? n : CURL_WRITEFUNC_ERROR;
}

static size_t on_send(char *out, size_t one, size_t n, void *arg)
{
    struct lf_client_call *c = arg;
    uint64_t left = c->spec.body_bytes - c->body_off;
    n *= one;
    if (n > left)
        n = (size_t)left;
    if (n == 0)
        return 0;
    ssize_t got = pread(c->spec.body_fd, out, n, (off_t)c->body_off);
    if (got <= 0) { /* 0: the file was cut while it was sent */
        c->failed = LF_E_IO;
        return CURL_READFUNC_ABORT;
    }
    c->body_off += (uint64_t)got;
    return (size_t)got;
}

/* Curl goes back to the start when a kept connection turns out to be dead. */
static int on_seek(void *arg, curl_off_t off, int origin)
{
    struct lf_client_call *c = arg;
    if (origin != SEEK_SET || off < 0 || (uint64_t)off > c->spec.body_bytes)
        return CURL_SEEKFUNC_FAIL;
    c->body_off = (uint64_t)off;
    return CURL_SEEKFUNC_OK;
}

/* ---- curl's callbacks for sockets and time --------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy;
    struct lf_client *h = arg;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(h->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event e = {.data.fd = fd};
    if (what & CURL_POLL_IN)
        e.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        e.events |= EPOLLOUT;
    if (known && epoll_ctl(h->epoll, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    curl_multi_assign(h->multi, fd, h);
    if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &e) != 0 && errno == EEXIST)
        epoll_ctl(h->epoll, EPOLL_CTL_MOD, fd, &e);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct lf_client *h = arg;
    h->timer_ns = timeout_ms < 0 ? UINT64_MAX : lf_clock_ns() + (uint64_t)timeout_ms * LF_NS_PER_MS;
    return 0;
}

/* ---- The client ------------------------------------------------------------------------------ */

/* "gpu1:8080" */
static bool is_host_port(const char *target)
{
    const char *colon = strrchr(target, ':');
    return colon && colon > target && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")];
}

static enum lf_err parse_target(struct lf_client *h, const char *target, struct lf_diag *diag)
{
    const char *root = target, *socket = NULL, *scheme = "";
    if (strncmp(target, "unix:", 5) == 0)
        socket = target + 5;
    else if (strncmp(target, "http://", 7) != 0 && strncmp(target, "https://", 8) != 0) {
        scheme = strchr(target, '/') ? "" : "http://";
        if (*scheme && !is_host_port(target))
            return lf_fail(diag, LF_E_INVALID,
                           "%s: neither http://HOST:PORT nor the path of a socket", target);
        socket = *scheme ? NULL : target;
    }
    if (socket)
        root = "http://lorafs";
    if (asprintf(&h->root, "%s%s", socket ? "" : scheme, root) < 0)
        h->root = NULL;
    if (socket && socket[0] != '/') {
        char *here = getcwd(NULL, 0); /* a mount goes to the background, and there to "/" */
        if (!here || asprintf(&h->socket, "%s/%s", here, socket) < 0)
            h->socket = NULL;
        free(here);
    } else if (socket) {
        h->socket = strdup(socket);
    }
    if (!h->root || (socket && !h->socket))
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    size_t n = strlen(h->root);
    while (n > 0 && h->root[n - 1] == '/')
        h->root[--n] = '\0';
    return LF_OK;
}

static enum lf_err set_up(struct lf_client *h, const char *api_key, struct lf_diag *diag)
{
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll < 0)
        return lf_fail_errno(diag, errno, "epoll");
    if (api_key && asprintf(&h->authorization, "Authorization: Bearer %s", api_key) < 0) {
        h->authorization = NULL;
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    }
    h->multi = curl_multi_init();
    if (!h->multi)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)LF_HTTP_IDLE_MAX);
    return LF_OK;
}

enum lf_err lf_client_new(struct lf_client **out, const char *target, const char *api_key,
                          const char *cacert, struct lf_diag *diag)
{
    struct lf_client *h = calloc(1, sizeof *h);
    if (!h)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    LIST_INIT(&h->calls);
    h->epoll = -1;
    h->timer_ns = h->pulse_ns = UINT64_MAX;
    enum lf_err rc = parse_target(h, target, diag) ?: set_up(h, api_key, diag);
    if (rc == LF_OK && cacert && !(h->cacert = realpath(cacert, NULL))) /* the background is in / */
        rc = lf_fail_errno(diag, errno, "%s", cacert);
    if (rc == LF_OK)
        *out = h;
    else
        lf_client_free(h);
    return rc;
}

static void call_free(struct lf_client_call *c)
{
    if (c->easy) {
        curl_multi_remove_handle(c->client->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    curl_slist_free_all(c->headers);
    lf_buf_free(&c->reply);
    free(c);
}

static void call_forget(struct lf_client_call *c)
{
    LIST_REMOVE(c, link);
    call_free(c);
}

void lf_client_free(struct lf_client *h)
{
    if (!h)
        return;
    while (!LIST_EMPTY(&h->calls))
        call_forget(LIST_FIRST(&h->calls));
    curl_multi_cleanup(h->multi);
    if (h->epoll >= 0)
        close(h->epoll);
    free(h->root);
    free(h->socket);
    free(h->authorization);
    free(h->cacert);
    free(h);
}

/* ---- A call ---------------------------------------------------------------------------------- */

static enum lf_err add_header(struct lf_client_call *c, const char *line)
{
    struct curl_slist *more = curl_slist_append(c->headers, line);
    if (!more)
        return LF_E_NO_MEMORY;
    c->headers = more;
    return LF_OK;
}

static enum lf_err set_headers(struct lf_client_call *c)
{
    char line[128];
    snprintf(line, sizeof line, "Content-Type: %s",
             c->spec.content_type ? c->spec.content_type : "application/octet-stream");
    enum lf_err rc = add_header(c, line);
    if (rc == LF_OK) /* no round trip before an upload: the daemon reads it either way */
        rc = add_header(c, "Expect:");
    if (rc == LF_OK && c->client->authorization)
        rc = add_header(c, c->client->authorization);
    if (rc == LF_OK && c->spec.if_match) {
        snprintf(line, sizeof line, "If-Match: %s", c->spec.if_match);
        rc = add_header(c, line);
    }
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    return rc;
}

static void set_body(struct lf_client_call *c)
{
    CURL *e = c->easy;
    bool put = strcmp(c->spec.method, "PUT") == 0;
    if (put && !c->spec.body) {
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->spec.body_bytes);
        curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(e, CURLOPT_READDATA, c);
        curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(e, CURLOPT_SEEKDATA, c);
        curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)HTTP_BUFFER_BYTES);
    } else if (put || strcmp(c->spec.method, "POST") == 0) {
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->spec.body_bytes);
        curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, c->spec.body_bytes ? c->spec.body : "");
        if (put)
            curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, "PUT");
    } else if (strcmp(c->spec.method, "GET") != 0) {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, c->spec.method);
    }
}

static enum lf_err set_target(struct lf_client_call *c)
{
    CURL *e = c->easy;
    char *url = NULL;
    if (asprintf(&url, "%s%s", c->client->root, c->spec.path) < 0)
        return LF_E_NO_MEMORY;
    CURLcode code = curl_easy_setopt(e, CURLOPT_URL, url);
    free(url);
    if (code != CURLE_OK)
        return LF_E_NO_MEMORY;
    if (c->client->socket)
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, c->client->socket);
    if (c->client->cacert)
        curl_easy_setopt(e, CURLOPT_CAINFO, c->client->cacert);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PROXY, ""); /* the environment's proxies are not for a mount */
    if (c->spec.range_bytes) {
        char range[64];
        snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)c->spec.range_off,
                 (unsigned long long)(c->spec.range_off + c->spec.range_bytes - 1));
        curl_easy_setopt(e, CURLOPT_RANGE, range);
    }
    return LF_OK;
}

static enum lf_err call_prepare(struct lf_client_call *c)
{
    c->easy = curl_easy_init();
    if (!c->easy)
        return LF_E_NO_MEMORY;
    CURL *e = c->easy;
    curl_easy_setopt(e, CURLOPT_PRIVATE, c);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_TIMEOUT_S);
    curl_easy_setopt(e, CURLOPT_TIMEOUT, (long)c->spec.timeout_s);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)HTTP_BUFFER_BYTES);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
    set_body(c);
    return set_target(c) ?: set_headers(c);
}

static enum lf_err call_start(struct lf_client_call **out, struct lf_client *h,
                              const struct lf_client_spec *spec, struct lf_diag *diag)
{
    struct lf_client_call *c = calloc(1, sizeof *c);
    if (!c)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    c->client = h;
    c->spec = *spec;
    lf_buf_init(&c->reply, spec->reply_max + LF_HTTP_ERROR_BODY_MAX);
    enum lf_err rc = call_prepare(c);
    if (rc == LF_OK && curl_multi_add_handle(h->multi, c->easy) != CURLM_OK)
        rc = LF_E_NO_MEMORY;
    if (rc != LF_OK) {
        call_free(c);
        return lf_fail(diag, rc, "out of memory");
    }
    LIST_INSERT_HEAD(&h->calls, c, link);
    *out = c;
    return LF_OK;
}

/* ---- Whether the daemon lives ---------------------------------------------------------------- */

static enum lf_err silence(const struct lf_client *h, struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_TIMED_OUT, "the daemon: nothing heard for %lld s",
                   (long long)((lf_clock_ns() - h->heard_ns) / LF_NS_PER_S));
}

/* That it is there, whatever it says, or that its socket is closed, which new calls will find. */
static void probe_done(void *arg, const struct lf_client_result *r)
{
    struct lf_client *h = arg;
    h->probe = NULL;
    if (r->status > 0)
        h->heard_ns = lf_clock_ns();
    if (h->silent && r->rc != LF_E_TIMED_OUT) {
        h->silent = false;
        lf_log(LF_LOG_INFO, "client", "the daemon %s",
               r->status > 0 ? "answers again" : "has ended");
    }
}

static void probe(struct lf_client *h)
{
    const struct lf_client_spec spec = {.method = "GET",
                                        .path = "/health",
                                        .reply_max = LF_HTTP_ERROR_BODY_MAX,
                                        .timeout_s = PROBE_SECONDS,
                                        .on_done = probe_done,
                                        .arg = h};
    if (!h->probe && call_start(&h->probe, h, &spec, NULL) != LF_OK)
        h->probe = NULL;
}

/* Another call than the probe; NULL: there is none. */
static struct lf_client_call *waiting(const struct lf_client *h)
{
    struct lf_client_call *c = LIST_FIRST(&h->calls);
    return c && c == h->probe ? LIST_NEXT(c, link) : c;
}

static void fall_silent(struct lf_client *h)
{
    struct lf_client_call *c;
    struct lf_diag diag;
    struct lf_client_result r = {.body = "", .diag = &diag};
    h->silent = true;
    r.rc = silence(h, &diag);
    lf_log(LF_LOG_WARN, "client", "%s", diag.text);
    while ((c = waiting(h))) {
        LIST_REMOVE(c, link);
        c->spec.on_done(c->spec.arg, &r);
        call_free(c);
    }
}

static uint64_t pulse_period(const struct lf_client *h)
{
    return (uint64_t)h->patience_s * LF_NS_PER_S / PULSES;
}

static void pulse(struct lf_client *h)
{
    uint64_t now = lf_clock_ns();
    h->pulse_ns = UINT64_MAX;
    if (!h->silent && !waiting(h))
        return;
    if (!h->silent && now - h->heard_ns >= (uint64_t)h->patience_s * LF_NS_PER_S)
        fall_silent(h);
    if (h->silent || now - h->heard_ns >= pulse_period(h))
        probe(h);
    h->pulse_ns = now + (h->silent ? LF_NS_PER_S : pulse_period(h));
}

void lf_client_patience(struct lf_client *h, int seconds)
{
    h->patience_s = seconds;
}

int64_t lf_client_silent_s(const struct lf_client *h)
{
    return h->silent ? (int64_t)((lf_clock_ns() - h->heard_ns) / LF_NS_PER_S) : 0;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

enum lf_err lf_client_start(struct lf_client_call **out, struct lf_client *h,
                            const struct lf_client_spec *spec, struct lf_diag *diag)
{
    if (h->silent)
        return silence(h, diag);
    if (h->patience_s > 0 && h->pulse_ns == UINT64_MAX) {
        h->heard_ns = lf_clock_ns(); /* nothing was waited for until now */
        h->pulse_ns = h->heard_ns + pulse_period(h);
    }
    return call_start(out, h, spec, diag);
}

void lf_client_cancel(struct lf_client_call *c)
{
    if (c)
        call_forget(c);
}

void lf_client_resume(struct lf_client_call *c)
{
    curl_easy_pause(c->easy, CURLPAUSE_CONT);
}

static const char *etag_of(struct lf_client_call *c)
{
    struct curl_header *h;
    return curl_easy_header(c->easy, "ETag", 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value
                                                                                   : NULL;
}

static void call_end(struct lf_client_call *c, CURLcode code)
{
    struct lf_diag diag = {""};
    struct lf_client_result r = {
        .body = lf_buf_str(&c->reply),
        .body_bytes = c->reply.len,
        .etag = etag_of(c),
        .diag = &diag,
    };
    r.status = (int)response_code(c);
    if (c->failed != LF_OK)
        r.rc =
            lf_fail(&diag, c->failed, "the answer could not be kept: %s", lf_err_name(c->failed));
    else if (code != CURLE_OK && !(r.status >= 300 && r.status != 304))
        r.rc = err_from_curl(code, &diag);
    else /* an error's own words, also when the connection broke while we still sent the body */
        r.rc = verdict(r.status, r.body, r.body_bytes, &diag);
    if (r.status > 0)
        c->client->heard_ns = lf_clock_ns();
    LIST_REMOVE(c, link);
    c->spec.on_done(c->spec.arg, &r);
    call_free(c);
}

int lf_client_fd(const struct lf_client *h)
{
    return h->epoll;
}

int lf_client_timeout_ms(const struct lf_client *h)
{
    uint64_t next = h->timer_ns < h->pulse_ns ? h->timer_ns : h->pulse_ns;
    if (next == UINT64_MAX)
        return -1;
    uint64_t now = lf_clock_ns();
    if (now >= next)
        return 0;
    uint64_t ms = (next - now + LF_NS_PER_MS - 1) / LF_NS_PER_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

void lf_client_run(struct lf_client *h)
{
    struct epoll_event events[HTTP_EVENTS];
    int running = 0;
    int n = epoll_wait(h->epoll, events, HTTP_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        int mask = 0;
        if (events[i].events & EPOLLIN)
            mask |= CURL_CSELECT_IN;
        if (events[i].events & EPOLLOUT)
            mask |= CURL_CSELECT_OUT;
        if (events[i].events & (EPOLLERR | EPOLLHUP))
            mask |= CURL_CSELECT_ERR;
        curl_multi_socket_action(h->multi, events[i].data.fd, mask, &running);
    }
    if (lf_clock_ns() >= h->timer_ns) {
        h->timer_ns = UINT64_MAX; /* curl sets the next one inside the call */
        curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    for (;;) {
        int left = 0;
        CURLMsg *m = curl_multi_info_read(h->multi, &left);
        if (!m)
            break;
        if (m->msg != CURLMSG_DONE)
            continue;
        struct lf_client_call *c = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
        call_end(c, m->data.result);
    }
    if (lf_clock_ns() >= h->pulse_ns)
        pulse(h);
}
