/* Admission. */
#include "daemon/http/admit.h"

#include "core/clock.h"
#include "daemon/http/connections.h"
#include "daemon/state.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* What follows "Bearer" in an Authorization header; NULL: another scheme, or none. A scheme's name
 * has no case (RFC 9110, 11.1). */
static const char *bearer(const char *value)
{
    size_t n = strlen("Bearer");
    if (!value || strncasecmp(value, "Bearer", n) != 0 || value[n] != ' ')
        return NULL;
    return value + n + strspn(value + n, " ");
}

/* Without a key, a web page must not reach the daemon through the browser of someone on this
 * machine. */
static enum lf_err check_sender(struct lf_http *q, struct lf_diag *diag)
{
    const char *host = lf_http_header(q, "Host"), *origin = lf_http_header(q, "Origin");
    if (host && !lf_http_host_ok(host))
        return lf_fail(diag, LF_E_DENIED,
                       "\"%.128s\" is not a name of this machine; a daemon that others reach by "
                       "name wants an API key",
                       host);
    if (origin && !lf_http_origin_ok(origin, host, q->daemon->options.cors))
        return lf_fail(diag, LF_E_DENIED,
                       "a page of %.128s may not use this daemon (--cors allows it)", origin);
    return LF_OK;
}

/* Who is at the other end of a unix socket; -1: it is none. */
static int64_t peer(const struct lf_http *q)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (lf_connection_listener(q->connection) != LF_LISTENER_UNIX ||
        getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
        return -1;
    return (int64_t)who.uid;
}

/* Who may read the daemon's memory and files needs no key. */
static bool is_own(int64_t uid)
{
    return uid == 0 || uid == (int64_t)geteuid();
}

static enum lf_err admit_key(struct lf_http *q, struct lf_diag *diag)
{
    const char *given = bearer(lf_http_header(q, "Authorization"));
    q->key = given ? lf_keys_find(q->daemon->keys, given, strlen(given)) : NULL;
    if (!q->key)
        return lf_fail(diag, LF_E_DENIED, "this daemon wants its API key");
    q->admitted = true;
    if (lf_key_role(q->key) < q->route->role)
        return lf_fail(diag, LF_E_DENIED, "the key \"%s\" is for %s; this takes %s",
                       lf_key_name(q->key), lf_role_name(lf_key_role(q->key)),
                       lf_role_name(q->route->role));
    return LF_OK;
}

/* The adapter that the path names. */
static enum lf_err check_grant(struct lf_http *q, struct lf_diag *diag)
{
    static const char of_adapter[] = "/v1/adapters/{name}";
    bool names_one = strncmp(q->route->path, of_adapter, strlen(of_adapter)) == 0;
    return names_one ? lf_http_may(q, q->param[0], diag) : LF_OK;
}

enum lf_err lf_admit(struct lf_http *q, struct lf_diag *diag)
{
    int64_t uid = peer(q);
    if (q->route->role == LF_ROLE_OPEN || is_own(uid))
        return LF_OK;
    if (!lf_keys_wanted(q->daemon->keys))
        return uid < 0 ? check_sender(q, diag)
                       : lf_fail(diag, LF_E_DENIED,
                                 "user %lld is not the daemon's own: it wants an API key",
                                 (long long)uid);
    enum lf_err rc = admit_key(q, diag) ?: check_grant(q, diag);
    rc = rc ?: lf_key_enter(q->key, lf_clock_ns(), &q->retry_seconds, diag);
    q->entered = rc == LF_OK;
    return rc;
}

void lf_admit_leave(struct lf_http *q)
{
    if (q->entered)
        lf_key_leave(q->key);
    lf_key_release(q->key);
    q->key = NULL;
}

enum lf_err lf_http_may(struct lf_http *q, const char *adapter, struct lf_diag *diag)
{
    if (lf_key_may(q->key, adapter))
        return LF_OK;
    return lf_fail(diag, LF_E_DENIED, "the key \"%s\" is not for %.64s", lf_key_name(q->key),
                   adapter);
}

const char *lf_admit_who(struct lf_http *q, char out[LF_NAME_MAX + 8])
{
    int64_t uid = peer(q);
    if (q->key)
        snprintf(out, LF_NAME_MAX + 8, "key:%s", lf_key_name(q->key));
    else if (uid >= 0)
        snprintf(out, LF_NAME_MAX + 8, "uid:%lld", (long long)uid);
    else
        snprintf(out, LF_NAME_MAX + 8, "anyone");
    return out;
}
