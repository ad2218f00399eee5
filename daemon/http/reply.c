/* Replies: whole bodies, files, streams, errors. */
#include "daemon/http/http.h"

#include "core/json.h"
#include "core/log.h"
#include "daemon/http/connections.h"
#include "daemon/limits.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A stream's piece: what one call of the reader may hand to the socket. */
#define STREAM_BLOCK_BYTES (32u << 10)

void lf_http_set(struct lf_http *q, const char *name, const char *fmt, ...)
{
    lf_assert(q->n_headers < LF_HTTP_HEADERS_MAX);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(q->header[q->n_headers].value, sizeof q->header[0].value, fmt, ap);
    va_end(ap);
    q->header[q->n_headers++].name = name;
}

/* Queues a response with the headers set so far, and lets go of it. NULL: memory was out, the
 * connection is closed. */
static void send_response(struct lf_http *q, unsigned status, const char *media_type,
                          struct MHD_Response *m)
{
    q->status = status;
    q->queued = MHD_NO;
    if (!m)
        return;
    if (media_type)
        MHD_add_response_header(m, "Content-Type", media_type);
    for (int i = 0; i < q->n_headers; i++)
        MHD_add_response_header(m, q->header[i].name, q->header[i].value);
    q->queued = MHD_queue_response(q->conn, status, m);
    MHD_destroy_response(m);
}

void lf_http_reply(struct lf_http *q, unsigned status, const char *media_type, struct lf_buf *body)
{
    if (!q->conn) {
        q->status = body->rc == LF_OK ? status : MHD_HTTP_SERVICE_UNAVAILABLE;
        q->pending = *body;
        *body = (struct lf_buf){0};
        return;
    }
    size_t n = 0;
    char *bytes = body->rc == LF_OK ? lf_buf_take(body, &n) : NULL;
    struct MHD_Response *m = NULL;
    q->reply_size = n;
    if (bytes)
        m = MHD_create_response_from_buffer(n, bytes, MHD_RESPMEM_MUST_FREE);
    if (bytes && !m)
        free(bytes);
    send_response(q, status, media_type, m);
}

void lf_http_reply_empty(struct lf_http *q, unsigned status)
{
    send_response(q, status, NULL, MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT));
}

void lf_http_reply_json(struct lf_http *q, unsigned status, json_t *j)
{
    lf_buf_auto b = {0};
    lf_json_put(&b, j, JSON_COMPACT);
    lf_buf_putc(&b, '\n');
    lf_http_reply(q, status, "application/json", &b);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

unsigned lf_http_status(enum lf_err rc, bool file)
{
    switch (rc) {
    case LF_OK:
        return MHD_HTTP_OK;
    case LF_E_INVALID:
    case LF_E_UNSUPPORTED:
    case LF_E_BASE_DIFFERS:
    case LF_E_NO_PROMPT:
        return file ? 422 : MHD_HTTP_BAD_REQUEST;
    case LF_E_DAMAGED:
        return file ? 422 : MHD_HTTP_INTERNAL_SERVER_ERROR;
    case LF_E_NOT_FOUND:
        return MHD_HTTP_NOT_FOUND;
    case LF_E_EXISTS:
    case LF_E_NOT_EMPTY:
    case LF_E_BUSY:
    case LF_E_FAILED:
        return MHD_HTTP_CONFLICT;
    case LF_E_OVERLOADED:
    case LF_E_DEVICE_FULL:
        return MHD_HTTP_TOO_MANY_REQUESTS;
    case LF_E_DEVICE_LOST:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case LF_E_DENIED:
        return MHD_HTTP_UNAUTHORIZED;
    case LF_E_READ_ONLY:
        return MHD_HTTP_FORBIDDEN;
    case LF_E_TOO_BIG:
        return 413; /* its macro was renamed between releases */
    case LF_E_CANCELLED:
    case LF_E_INTERRUPTED:
        return 499; /* the client is gone: nginx' number, for the counters */
    case LF_E_TIMED_OUT:
        return MHD_HTTP_GATEWAY_TIMEOUT;
    case LF_E_NO_SPACE:
        return MHD_HTTP_INSUFFICIENT_STORAGE;
    case LF_E_NO_MEMORY:
    case LF_E_IO:
    case LF_E_UNREACHABLE:
        break;
    }
    return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

/* OpenAI's word and LoRAX' word for a status. */
static const char *openai_type(unsigned status)
{
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        return "rate_limit_error";
    if (status == MHD_HTTP_UNAUTHORIZED)
        return "authentication_error";
    if (status == MHD_HTTP_FORBIDDEN)
        return "permission_error";
    return status < 500 ? "invalid_request_error" : "server_error";
}

static const char *lorax_type(unsigned status)
{
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        return "overloaded";
    return status < 500 ? "validation" : "generation";
}

static void reply_error_as(struct lf_http *q, unsigned status, const char *code,
                           const char *message)
{
    if (status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE)
        lf_http_set(q, "Retry-After", "%d", q->retry_seconds > 0 ? q->retry_seconds : 1);
    if (status == MHD_HTTP_UNAUTHORIZED)
        lf_http_set(q, "WWW-Authenticate", "Bearer");
    if (status >= 500 && status != MHD_HTTP_SERVICE_UNAVAILABLE)
        lf_log(LF_LOG_WARN, "http", "%s: %u %s", q->route ? q->route->path : "?", status, message);
    lf_buf_auto b = {0};
    lf_buf_puts(&b, "{\"error\":{\"message\":");
    lf_buf_json(&b, message, strlen(message));
    lf_buf_printf(&b, ",\"type\":\"%s\",\"code\":\"%s\"},\"error_type\":\"%s\"}\n",
                  openai_type(status), code, lorax_type(status));
    lf_http_reply(q, status, "application/json", &b);
}

void lf_http_reply_error(struct lf_http *q, enum lf_err rc, const struct lf_diag *diag)
{
    const char *message = diag && diag->text[0] ? diag->text : lf_err_name(rc);
    if (q->connection && lf_connection_is_over(q->connection))
        reply_error_as(q, MHD_HTTP_SERVICE_UNAVAILABLE, lf_err_name(rc), message);
    else if (rc == LF_E_DENIED && q->admitted)
        reply_error_as(q, MHD_HTTP_FORBIDDEN, lf_err_name(rc), message);
    else if (rc == LF_E_FAILED && q->unmatched)
        reply_error_as(q, MHD_HTTP_PRECONDITION_FAILED, lf_err_name(rc), message);
    else if (!q->route && rc == LF_E_UNSUPPORTED)
        reply_error_as(q, MHD_HTTP_METHOD_NOT_ALLOWED, lf_err_name(rc), message);
    else
        reply_error_as(q, lf_http_status(rc, q->route && q->route->file), lf_err_name(rc), message);
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Whether the request is answered already: its client has these bytes (304), or wants others (412).
 * If-Match goes first. */
static bool is_settled(struct lf_http *q, const char *tag)
{
    const char *match = lf_http_header(q, "If-Match");
    if (match && !lf_tag_listed(match, tag))
        reply_error_as(q, MHD_HTTP_PRECONDITION_FAILED, lf_err_name(LF_E_FAILED),
                       "the file is another one by now");
    else if (lf_tag_listed(lf_http_header(q, "If-None-Match"), tag))
        lf_http_reply_empty(q, MHD_HTTP_NOT_MODIFIED);
    else
        return false;
    return true;
}

/* The range that is to be sent of a file of `bytes`. */
static enum lf_range range_of(struct lf_http *q, const char *tag, uint64_t bytes, uint64_t *first,
                              uint64_t *n)
{
    const char *same = lf_http_header(q, "If-Range");
    const char *range = same && !lf_tag_listed(same, tag) ? NULL : lf_http_header(q, "Range");
    *first = 0;
    *n = bytes;
    return lf_range_parse(range, bytes, first, n);
}

void lf_http_reply_file(struct lf_http *q, int fd, const char *media_type)
{
    struct stat st;
    char tag[LF_FILE_TAG];
    if (fstat(fd, &st) != 0) {
        struct lf_diag diag;
        enum lf_err rc = lf_fail_errno(&diag, errno, "fstat");
        close(fd);
        lf_http_reply_error(q, rc, &diag);
        return;
    }
    lf_file_tag(tag, &st);
    lf_http_set(q, "ETag", "\"%s\"", tag);
    if (is_settled(q, tag)) {
        close(fd);
        return;
    }
    uint64_t first, n, bytes = (uint64_t)st.st_size;
    enum lf_range range = range_of(q, tag, bytes, &first, &n);
    lf_http_set(q, "Accept-Ranges", "bytes");
    if (range == LF_RANGE_NONE) {
        close(fd);
        lf_http_set(q, "Content-Range", "bytes */%llu", (unsigned long long)bytes);
        reply_error_as(q, MHD_HTTP_RANGE_NOT_SATISFIABLE, lf_err_name(LF_E_INVALID),
                       "the range is outside the file");
        return;
    }
    if (range == LF_RANGE_PART)
        lf_http_set(q, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)first,
                    (unsigned long long)(first + n - 1), (unsigned long long)bytes);
    q->reply_size = n;
    struct MHD_Response *m = MHD_create_response_from_fd_at_offset64(n, fd, first);
    if (!m)
        close(fd);
    send_response(q, range == LF_RANGE_PART ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, media_type,
                  m);
}

/* ---- Streams --------------------------------------------------------------------------------- */

/* libmicrohttpd asks for the next bytes; this thread is the connection's own, so it may wait. */
static ssize_t stream_read(void *arg, uint64_t pos, char *out, size_t max)
{
    (void)pos;
    struct lf_http *q = arg;
    struct lf_buf *b = &q->pending;
    lf_connection_enter(q->connection, LF_CONNECTION_RUNS);
    while (q->sent == b->len) {
        lf_buf_reset(b);
        q->sent = 0;
        if (q->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (q->stream.fill(q->stream.arg, q, b, &q->ended) != LF_OK || b->rc != LF_OK)
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = b->len - q->sent < max ? b->len - q->sent : max;
    memcpy(out, b->data + q->sent, n);
    q->sent += n;
    lf_connection_enter(q->connection, LF_CONNECTION_SENDS);
    return (ssize_t)n;
}

void lf_http_reply_stream(struct lf_http *q, const char *media_type,
                          const struct lf_http_stream *stream)
{
    q->stream = *stream;
    /* Waiting for a token, or for a reader, is no idleness. */
    MHD_set_connection_option(q->conn, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    lf_http_set(q, "Cache-Control", "no-cache");
    lf_http_set(q, "X-Accel-Buffering", "no");
    send_response(q, MHD_HTTP_OK, media_type,
                  MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                    stream_read, q, NULL));
}
