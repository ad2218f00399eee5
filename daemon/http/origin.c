/* Who sent a request that carries no key: a browser sends them for any page that it shows. What its
 * headers say decides, since a page can forge neither of the two. */
#include "daemon/http/http.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HEX "0123456789abcdefABCDEF"

/* "NAME", "NAME:PORT", "[ADDR]:PORT" without the port and the brackets; nothing that is no name and
 * no address. */
static bool host_name(const char *host, char out[256])
{
    const char *close = *host == '[' ? strchr(host, ']') : NULL;
    const char *from = close ? host + 1 : host;
    size_t n = close ? (size_t)(close - from) : strcspn(host, ":");
    const char *port = close ? close + 1 : host + n;
    if (n == 0 || n >= 256 || strspn(from, close ? HEX ":." : LETTERS "0123456789._-") < n ||
        (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1))))
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && strcasecmp(name + n - k, end) == 0;
}

static bool is_loopback(const char *name)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(name, "localhost") == 0 || ends_in(name, ".localhost"))
        return true;
    if (inet_pton(AF_INET, name, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* A name without a dot is one of this network's: no name server of the world answers for it. */
static bool is_plain(const char *name)
{
    return !strchr(name, '.') && !strchr(name, ':');
}

bool lf_http_is_loopback(const char *host)
{
    char name[256];
    return host_name(host, name) && is_loopback(name);
}

bool lf_http_host_ok(const char *host)
{
    char name[256], own[256] = "";
    struct in_addr v4;
    struct in6_addr v6;
    if (!host_name(host, name))
        return false;
    if (is_plain(name) || is_loopback(name) || inet_pton(AF_INET, name, &v4) == 1 ||
        inet_pton(AF_INET6, name, &v6) == 1)
        return true;
    return gethostname(own, sizeof own - 1) == 0 && *own && strcasecmp(name, own) == 0;
}

/* "a,b,c" has the word, or is "*". */
static bool list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    while (list && *list) {
        size_t n = strcspn(list, ",");
        if ((n == len && strncasecmp(list, word, n) == 0) || (n == 1 && *list == '*'))
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

bool lf_http_origin_ok(const char *origin, const char *host, const char *allowed)
{
    char name[256];
    if (list_has(allowed, origin))
        return true;
    const char *after = strstr(origin, "://");
    if (!after || (strncmp(origin, "http://", 7) != 0 && strncmp(origin, "https://", 8) != 0))
        return false;
    after += 3;
    return host_name(after, name) && (is_loopback(name) || (host && strcasecmp(after, host) == 0));
}
