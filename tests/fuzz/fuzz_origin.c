/* LIBS: lf_daemon */
/* Any Origin and Host: a page that is let in is one of this machine, of the daemon itself or of the
 * list, and a Host that is taken has no characters but those of names and addresses. The input is
 * the Origin, the Host and the list, a newline after each of the first two. */
#include "daemon/http/http.h"
#include "tests/fuzz/lines.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_page(const char *origin, const char *host)
{
    if (!lf_http_origin_ok(origin, host, NULL))
        return;
    size_t scheme = strncmp(origin, "https://", 8) == 0 ? 8 : 7;
    lf_assert(strncmp(origin, "http", 4) == 0 && strlen(origin) > scheme);
    lf_assert(!strpbrk(origin + scheme, "/@?#%\\ \t\r\n"));
    lf_assert(strcasecmp(origin + scheme, host) == 0 || lf_http_is_loopback(origin + scheme));
    lf_assert(lf_http_origin_ok(origin, host, "https://elsewhere.example"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *origin = take_line(&data, &n), *host = take_line(&data, &n);
    char *allowed = strndup((const char *)data, n);
    lf_assert(allowed);
    check_page(origin, host);
    lf_assert(lf_http_origin_ok(origin, host, "*"));
    if (!lf_http_origin_ok(origin, NULL, allowed))
        lf_assert(!lf_http_origin_ok(origin, NULL, NULL));
    if (lf_http_host_ok(host))
        lf_assert(*host && !strpbrk(host, "/@?#%\\ \t\r\n"));
    if (lf_http_is_loopback(host))
        lf_assert(lf_http_host_ok(host));
    free(origin);
    free(host);
    free(allowed);
    return 0;
}
