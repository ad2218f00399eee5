/* What a handler may ask of its request. */
#include "daemon/http/http.h"

#include "core/budget.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/nearest.h"
#include "daemon/state.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define ROOM_SECONDS 30u /* that an upload, all there, waits for room to be checked in */
#define LOOK_MS 100

/* libmicrohttpd tells a missing argument from one without a value only by walking them. */
struct seek {
    const char *name;
    const char *value;
};

static enum MHD_Result seek_argument(void *arg, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    (void)kind;
    struct seek *s = arg;
    if (strcmp(key, s->name) != 0)
        return MHD_YES;
    s->value = value ? value : "";
    return MHD_NO;
}

const char *lf_http_query(struct lf_http *q, const char *name)
{
    struct seek s = {name, NULL};
    MHD_get_connection_values(q->conn, MHD_GET_ARGUMENT_KIND, seek_argument, &s);
    return s.value;
}

/* Python's clients write True. */
static bool is_yes(const char *v)
{
    return !*v || strcmp(v, "1") == 0 || strcasecmp(v, "true") == 0;
}

static bool is_no(const char *v)
{
    return strcmp(v, "0") == 0 || strcasecmp(v, "false") == 0;
}

/* The parameters that are read by lf_http_query_flag. */
static bool is_flag(const char *name)
{
    static const char *const flags[] = {"train",   "quiet",  "held", "follow",    "redraw",
                                        "writing", "closed", "chat", "ignore_eos"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(name, flags[i]) == 0)
            return true;
    return false;
}

bool lf_http_query_flag(struct lf_http *q, const char *name)
{
    const char *v = lf_http_query(q, name);
    return v && is_yes(v);
}

enum lf_err lf_http_query_real(struct lf_http *q, const char *name, double lo, double hi,
                               double *out, struct lf_diag *diag)
{
    const char *v = lf_http_query(q, name);
    if (!v)
        return LF_OK;
    char *end;
    double x = strtod(v, &end);
    if (end == v || *end || !(x >= lo && x <= hi))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a number between %g and %g", name, lo,
                       hi);
    *out = x;
    return LF_OK;
}

enum lf_err lf_http_query_int(struct lf_http *q, const char *name, int64_t lo, int64_t hi,
                              int64_t *out, struct lf_diag *diag)
{
    const char *v = lf_http_query(q, name);
    if (!v)
        return LF_OK;
    char *end;
    errno = 0;
    long long x = strtoll(v, &end, 10);
    if (end == v || *end || errno == ERANGE || x < lo || x > hi)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be an integer between %lld and %lld", name,
                       (long long)lo, (long long)hi);
    *out = x;
    return LF_OK;
}

struct only {
    const char *const *known;
    char stranger[LF_HTTP_PARAM_BYTES]; /* "": none yet */
    char unclear[LF_HTTP_PARAM_BYTES];  /* a flag that is neither true nor false */
};

static enum MHD_Result only_argument(void *arg, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    (void)kind;
    struct only *o = arg;
    const char *v = value ? value : "";
    const char *const *k = o->known;
    while (*k && strcmp(*k, key) != 0)
        k++;
    if (!*k)
        snprintf(o->stranger, sizeof o->stranger, "%s", key);
    else if (is_flag(key) && !is_yes(v) && !is_no(v))
        snprintf(o->unclear, sizeof o->unclear, "%s", key);
    return *k ? MHD_YES : MHD_NO;
}

enum lf_err lf_http_query_only(struct lf_http *q, const char *const *known, struct lf_diag *diag)
{
    struct only o = {known, "", ""};
    MHD_get_connection_values(q->conn, MHD_GET_ARGUMENT_KIND, only_argument, &o);
    if (!o.stranger[0] && o.unclear[0])
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be true or false", o.unclear);
    return o.stranger[0] ? lf_fail_unknown(diag, "parameter", o.stranger, known) : LF_OK;
}

const char *lf_http_header(struct lf_http *q, const char *name)
{
    return MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, name);
}

enum lf_err lf_http_json(struct lf_http *q, json_t **out, struct lf_diag *diag)
{
    json_t *j = NULL;
    enum lf_err rc = LF_OK;
    if (q->body.len == 0)
        j = json_object();
    else
        rc = lf_http_take(q, lf_json_tree_bytes(q->body.data, q->body.len),
                          "the body's values need", diag);
    if (rc != LF_OK)
        return rc;
    if (!j)
        rc = lf_json_parse(&j, q->body.data, q->body.len, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "the body is not JSON");
    if (!json_is_object(j)) {
        json_decref(j);
        return lf_fail(diag, LF_E_INVALID, "the body must be a JSON object");
    }
    *out = j;
    return LF_OK;
}

struct lf_json_in lf_http_json_in(struct lf_http *q, json_t **out, const char *const *known,
                                  struct lf_diag *diag)
{
    enum lf_err rc = lf_http_json(q, out, diag) ?: lf_json_only(*out, known, diag);
    return (struct lf_json_in){.obj = *out, .diag = diag, .rc = rc};
}

/* A client that closed its connection and one that closed its sending half look the same over TCP
 * until they are sent something: the first answers that nobody is there. Until an answer has begun
 * that something is an interim one, which every client passes over (RFC 9110, 15.2.1). Later it is
 * the answer itself, or within two minutes a keep-alive packet (server.c, on_connection). */
static void probe(struct lf_http *q)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (q->interim && q->status == 0)
        (void)!send(q->fd, interim, sizeof interim - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    q->interim = false; /* once is enough */
}

bool lf_http_gone(struct lf_http *q)
{
    struct pollfd p = {q->fd, POLLRDHUP, 0};
    if (poll(&p, 1, 0) <= 0)
        return false;
    if (p.revents & POLLRDHUP)
        probe(q);
    if (q->packed && (p.revents & POLLRDHUP)) /* nobody closes half of a TLS connection */
        return true;
    return (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

enum lf_err lf_http_wanted(struct lf_http *q, struct lf_diag *diag)
{
    if (q->unwanted ? atomic_load(q->unwanted) : lf_http_gone(q))
        return lf_fail(diag, LF_E_CANCELLED, "the client went away");
    if (lf_clock_ns() > q->deadline_ns)
        return lf_fail(diag, LF_E_TIMED_OUT, "no answer within %d s (--request-timeout)",
                       q->daemon->options.request_seconds);
    return LF_OK;
}

enum lf_err lf_http_take(struct lf_http *q, uint64_t bytes, const char *what, struct lf_diag *diag)
{
    enum lf_err rc = lf_budget_take(q->daemon->request_memory, bytes, q->taken, what, diag);
    if (rc == LF_OK)
        q->taken += bytes;
    q->taken_max = q->taken > q->taken_max ? q->taken : q->taken_max;
    return rc;
}

enum lf_err lf_http_take_soon(struct lf_http *q, uint64_t bytes, const char *what,
                              struct lf_diag *diag)
{
    uint64_t end = lf_clock_ns() + ROOM_SECONDS * LF_NS_PER_S;
    enum lf_err rc;
    while ((rc = lf_http_take(q, bytes, what, diag)) == LF_E_OVERLOADED && lf_clock_ns() < end) {
        enum lf_err gone = lf_http_wanted(q, diag);
        if (gone != LF_OK)
            return gone;
        poll(NULL, 0, LOOK_MS);
    }
    return rc;
}

void lf_http_give(struct lf_http *q, uint64_t bytes)
{
    lf_budget_give(q->daemon->request_memory, bytes);
    q->taken -= bytes;
}
