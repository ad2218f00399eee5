/* Calls: curl's transfers, and how they end. */
#include "client/inside.h"

#include "core/clock.h"
#include "core/json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HTTP_CONNECT_TIMEOUT_S 5
#define HTTP_BUFFER_BYTES (256 << 10) /* curl's, a transfer: datasets are large */
#define HTTP_PARTIAL 206
#define HTTP_BAD_GATEWAY 502
#define HTTP_UNAVAILABLE 503
#define HTTP_GATEWAY_TIMEOUT 504

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
 * reason is the body's message. LF_OK for 2xx and 304. *known: it is such a word. */
static enum lf_err verdict(int status, const char *body, size_t n, bool *known,
                           struct lf_diag *diag)
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
    *known = code && lf_err_from_name(code) != LF_OK;
    if (*known)
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

static const char *header_of(const struct lf_client_call *c, const char *name)
{
    struct curl_header *h;
    return curl_easy_header(c->easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

/* Whether the bytes that come are those that were asked for: they follow what is here. */
static bool goes_on(const struct lf_client_call *c, long status)
{
    const char *range = header_of(c, "Content-Range");
    unsigned long long first;
    return status == HTTP_PARTIAL && range && sscanf(range, "bytes %llu-", &first) == 1 &&
           first == c->spec.range_off + c->got;
}

/* A piece of an answer that is not collected. */
static size_t hand_on(struct lf_client_call *c, const char *data, size_t n)
{
    switch (c->spec.on_data(c->spec.arg, data, n)) {
    case LF_CLIENT_TAKEN:
        if (c->got == 0)
            snprintf(c->etag, sizeof c->etag, "%s", header_of(c, "ETag") ?: "");
        c->got += n;
        c->lost_ns = 0; /* it gets on */
        return n;
    case LF_CLIENT_PAUSE:
        return CURL_WRITEFUNC_PAUSE;
    case LF_CLIENT_ABORT:
        break;
    }
    c->failed = LF_E_NO_SPACE;
    return CURL_WRITEFUNC_ERROR;
}

static size_t on_reply(char *data, size_t one, size_t n, void *arg)
{
    struct lf_client_call *c = arg;
    n *= one;
    c->client->heard_ns = lf_clock_ns();
    long status = response_code(c);
    bool good = status >= 200 && status < 300;
    if (good && c->in_part && !goes_on(c, status)) {
        c->failed = LF_E_IO;
        return CURL_WRITEFUNC_ERROR;
    }
    c->in_part = false; /* what follows goes on from there */
    if (good && c->spec.on_data)
        return hand_on(c, data, n);
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
    uint64_t off = c->spec.body_off + c->body_off;
    ssize_t got = pread(c->spec.body_fd, out, n, (off_t)off);
    if (got <= 0) { /* 0: the file was cut while it was sent */
        c->failed = LF_E_IO;
        return CURL_READFUNC_ABORT;
    }
    if (c->spec.on_body)
        c->spec.on_body(c->spec.arg, out, (size_t)got, off);
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

enum lf_err lf_call_carrier(struct lf_client *h, struct lf_diag *diag)
{
    CURLM *multi = curl_multi_init();
    if (!multi)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, h);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)LF_HTTP_IDLE_MAX);
    if (h->multi)
        curl_multi_cleanup(h->multi);
    h->multi = multi;
    h->timer_ns = UINT64_MAX;
    return LF_OK;
}

/* ---- A transfer
 * ---------------------------------------------------------------------------------- */

static enum lf_err add_header(struct lf_client_call *c, const char *line)
{
    struct curl_slist *more = curl_slist_append(c->headers, line);
    if (!more)
        return LF_E_NO_MEMORY;
    c->headers = more;
    return LF_OK;
}

static enum lf_err add_match(struct lf_client_call *c, const char *etag)
{
    char line[LF_HTTP_ETAG_MAX + sizeof "If-Match: "];
    snprintf(line, sizeof line, "If-Match: %s", etag);
    return add_header(c, line);
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
    if (rc == LF_OK && c->spec.if_match)
        rc = add_match(c, c->spec.if_match);
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

/* Of what is not here yet. */
static void set_range(struct lf_client_call *c)
{
    char range[64];
    unsigned long long first = c->spec.range_off + c->got;
    if (c->spec.range_bytes)
        snprintf(range, sizeof range, "%llu-%llu", first,
                 (unsigned long long)(c->spec.range_off + c->spec.range_bytes - 1));
    else
        snprintf(range, sizeof range, "%llu-", first);
    if (first > 0 || c->spec.range_bytes)
        curl_easy_setopt(c->easy, CURLOPT_RANGE, range);
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
    set_range(c);
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

/* ---- A call ---------------------------------------------------------------------------------- */

enum lf_err lf_call_new(struct lf_client_call **out, struct lf_client *h,
                        const struct lf_client_spec *spec, struct lf_diag *diag)
{
    struct lf_client_call *c = calloc(1, sizeof *c);
    if (!c)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    c->client = h;
    c->spec = *spec;
    lf_buf_init(&c->reply, spec->reply_max + LF_HTTP_ERROR_BODY_MAX);
    enum lf_err rc = call_prepare(c);
    if (rc != LF_OK) {
        lf_call_free(c);
        return lf_fail(diag, rc, "out of memory");
    }
    *out = c;
    return LF_OK;
}

void lf_call_free(struct lf_client_call *c)
{
    if (c->easy) {
        curl_multi_remove_handle(c->client->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    curl_slist_free_all(c->headers);
    lf_buf_free(&c->reply);
    free(c);
}

enum lf_err lf_call_go(struct lf_client_call *c)
{
    enum lf_err rc = LF_OK;
    c->body_off = 0;
    c->failed = LF_OK;
    lf_buf_reset(&c->reply);
    c->in_part = c->got > 0 || c->spec.range_bytes > 0;
    if (c->got > 0) {
        set_range(c);
        rc = c->spec.if_match ? LF_OK : add_match(c, c->etag);
        c->spec.if_match = c->etag; /* once */
        curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    }
    if (rc == LF_OK && curl_multi_add_handle(c->client->multi, c->easy) != CURLM_OK)
        rc = LF_E_NO_MEMORY;
    if (rc == LF_OK)
        LIST_INSERT_HEAD(&c->client->calls, c, link);
    return rc;
}

void lf_call_stop(struct lf_client_call *c)
{
    LIST_REMOVE(c, link);
    curl_multi_remove_handle(c->client->multi, c->easy);
}

/* ---- Its end --------------------------------------------------------------------------------- */

bool lf_call_was_seen(const struct lf_client_call *c, CURLcode code)
{
    curl_off_t sending_us = 0;
    curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &sending_us);
    return code == CURLE_OK || sending_us > 0;
}

bool lf_call_repeats(const struct lf_client_call *c, bool seen)
{
    bool is_get = strcmp(c->spec.method, "GET") == 0;
    if (c->got > 0 && !c->etag[0])
        return false; /* what follows may be of another file */
    return !seen || is_get || (strcmp(c->spec.method, "PUT") == 0 && !c->spec.once);
}

/* The connection's failure, or a gateway's that has no daemon: no word of a daemon's. */
static bool is_loss(const struct lf_client_call *c, CURLcode code, int status)
{
    switch (code) {
    case CURLE_OK:
        return status == HTTP_BAD_GATEWAY || status == HTTP_UNAVAILABLE ||
               status == HTTP_GATEWAY_TIMEOUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return true;
    case CURLE_OPERATION_TIMEDOUT: /* of the connection: a call that is long has its own */
        return !lf_call_was_seen(c, code);
    default:
        return false;
    }
}

/* "bytes 0-99/1234", or a star where nothing is in the range. */
static uint64_t file_bytes(const struct lf_client_call *c)
{
    const char *range = header_of(c, "Content-Range"), *slash = range ? strchr(range, '/') : NULL;
    char *end;
    if (!slash || !isdigit((unsigned char)slash[1]))
        return UINT64_MAX;
    unsigned long long n = strtoull(slash + 1, &end, 10);
    return *end ? UINT64_MAX : n;
}

void lf_call_result(struct lf_client_result *r, struct lf_client_call *c, CURLcode code,
                    struct lf_diag *diag)
{
    *r = (struct lf_client_result){
        .status = (int)response_code(c),
        .body = lf_buf_str(&c->reply),
        .body_bytes = c->reply.len,
        .etag = header_of(c, "ETag"),
        .file_bytes = file_bytes(c),
        .diag = diag,
    };
    bool refused = r->status >= 300 && r->status != 304, known = false;
    if (c->failed != LF_OK)
        r->rc = lf_fail(diag, c->failed, "%s: %s",
                        c->body_off < c->spec.body_bytes ? "what is sent could not be read"
                                                         : "the answer could not be kept",
                        lf_err_name(c->failed));
    else if (code != CURLE_OK && !refused)
        r->rc = err_from_curl(code, diag);
    else /* an error's own words, also when the connection broke while we still sent the body */
        r->rc = verdict(r->status, r->body, r->body_bytes, &known, diag);
    r->lost = c->failed == LF_OK && is_loss(c, refused ? CURLE_OK : code, r->status);
    if (known && !(r->rc == LF_E_DEVICE_LOST && c->spec.waits)) /* a daemon that stops says that */
        r->lost = false;
}
