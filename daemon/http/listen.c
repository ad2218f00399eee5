/* Listening sockets: TCP by name, and the unix socket that only its owner may open. */
#include "daemon/http/listen.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

/* "ADDR:PORT", "[ADDR]:PORT", ":PORT" (all addresses), "PORT" (this machine alone). */
static enum lf_err address_split(const char *text, char host[256], char port[32],
                                 struct lf_diag *diag)
{
    const char *colon = strrchr(text, ':');
    const char *digits = colon ? colon + 1 : text;
    const char *from = text;
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        from++;
        n -= 2;
    }
    if (n >= 256 || strlen(digits) >= 32 || !*digits || digits[strspn(digits, "0123456789")])
        return lf_fail(diag, LF_E_INVALID, "\"%s\" is no ADDR:PORT", text);
    memcpy(host, from, n);
    host[n] = '\0';
    if (!colon)
        snprintf(host, 256, "127.0.0.1");
    snprintf(port, 32, "%s", digits);
    return LF_OK;
}

static int socket_listening(const struct addrinfo *a)
{
    int on = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int bad = errno;
    if (fd >= 0)
        close(fd);
    errno = bad;
    return -1;
}

static void bound_name(int fd, char *out, size_t cap)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char host[128], port[16];
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0 ||
        getnameinfo((struct sockaddr *)&at, n, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(out, cap, "?");
    else
        snprintf(out, cap, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

enum lf_err lf_listen_tcp(int *out, const char *address, char *bound, size_t cap,
                          struct lf_diag *diag)
{
    char host[256], port[32];
    enum lf_err rc = address_split(address, host, port, diag);
    if (rc != LF_OK)
        return rc;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(*host ? host : NULL, port, &hints, &list);
    if (code != 0)
        return lf_fail(diag, LF_E_INVALID, "%s: %s", address, gai_strerror(code));
    int fd = -1;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = socket_listening(a);
    int bad = errno;
    freeaddrinfo(list);
    if (fd < 0)
        return bad == EADDRINUSE ? lf_fail(diag, LF_E_BUSY, "%s is in use", address)
                                 : lf_fail_errno(diag, bad, "%s", address);
    bound_name(fd, bound, cap);
    *out = fd;
    return LF_OK;
}

/* A socket file that nobody listens on is left over from a killed daemon. */
static enum lf_err stale_remove(const struct sockaddr_un *at, struct lf_diag *diag)
{
    struct stat st;
    if (lstat(at->sun_path, &st) != 0)
        return LF_OK;
    if (!S_ISSOCK(st.st_mode))
        return lf_fail(diag, LF_E_EXISTS, "%s is there and is no socket", at->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;
    if (fd >= 0)
        close(fd);
    if (answers)
        return lf_fail(diag, LF_E_BUSY, "%s: another process listens there", at->sun_path);
    if (unlink(at->sun_path) != 0)
        return lf_fail_errno(diag, errno, "%s", at->sun_path);
    return LF_OK;
}

enum lf_err lf_listen_unix(int *out, const char *path, struct lf_diag *diag)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path)
        return lf_fail(diag, LF_E_INVALID, "%s: longer than a socket's path may be (%zu bytes)",
                       path, sizeof at.sun_path - 1);
    memcpy(at.sun_path, path, strlen(path) + 1);
    enum lf_err rc = stale_remove(&at, diag);
    if (rc != LF_OK)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    /* Mode before listen: nobody can connect in between. */
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || chmod(path, 0600) != 0 ||
        listen(fd, BACKLOG) != 0) {
        rc = lf_fail_errno(diag, errno, "%s", path);
        close(fd);
        return rc;
    }
    *out = fd;
    return LF_OK;
}
