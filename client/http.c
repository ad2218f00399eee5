/* The HTTP client: curl's multi interface behind one epoll descriptor. */
#include "client/inside.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HTTP_EVENTS 64 /* sockets served in one turn */

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
    return lf_call_carrier(h, diag);
}

enum lf_err lf_client_new(struct lf_client **out, const char *target, const char *api_key,
                          const char *cacert, struct lf_diag *diag)
{
    struct lf_client *h = calloc(1, sizeof *h);
    if (!h)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    LIST_INIT(&h->calls);
    LIST_INIT(&h->waiting);
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

static void call_forget(struct lf_client_call *c)
{
    lf_call_stop(c);
    lf_call_free(c);
}

static void forget_all(struct lf_client_calls *calls)
{
    while (!LIST_EMPTY(calls))
        call_forget(LIST_FIRST(calls));
}

void lf_client_free(struct lf_client *h)
{
    if (!h)
        return;
    forget_all(&h->calls);
    forget_all(&h->waiting);
    curl_multi_cleanup(h->multi);
    if (h->epoll >= 0)
        close(h->epoll);
    free(h->root);
    free(h->socket);
    free(h->authorization);
    free(h->cacert);
    free(h);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

enum lf_err lf_client_start(struct lf_client_call **out, struct lf_client *h,
                            const struct lf_client_spec *spec, struct lf_diag *diag)
{
    struct lf_client_call *c;
    bool waits = false;
    enum lf_err rc = lf_alive_start(h, spec, &waits, diag) ?: lf_call_new(&c, h, spec, diag);
    if (rc != LF_OK)
        return rc;
    if (waits) {
        lf_alive_wait(c);
    } else if (lf_call_go(c) != LF_OK) {
        lf_call_free(c);
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    }
    *out = c;
    return LF_OK;
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

static void call_end(struct lf_client_call *c, CURLcode code)
{
    struct lf_diag diag = {""};
    struct lf_client_result r;
    bool seen = lf_call_was_seen(c, code);
    lf_call_result(&r, c, code, &diag);
    if (r.status > 0 && !r.lost)
        lf_alive_heard(c->client);
    lf_call_stop(c);
    if (r.lost && lf_alive_lost(c, seen, &diag))
        return;
    c->spec.on_done(c->spec.arg, &r);
    lf_call_free(c);
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
        lf_alive_pulse(h);
}
