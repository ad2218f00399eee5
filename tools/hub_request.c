/* What every request to a hub shares. */
#include "tools/hub_request.h"

#include <stdlib.h>
#include <string.h>

#define HUB_DEFAULT_ENDPOINT "https://huggingface.co"
#define HUB_STALL_SECONDS 30L

void lf_hub_put_endpoint(struct lf_buf *url, const struct lf_hub_options *o)
{
    const char *e = o->endpoint ? o->endpoint : getenv("HF_ENDPOINT");
    e = e && *e ? e : HUB_DEFAULT_ENDPOINT;
    size_t n = strlen(e);
    while (n > 0 && e[n - 1] == '/')
        n--;
    lf_buf_append(url, e, n);
}

enum lf_err lf_hub_put_escaped(struct lf_buf *url, const char *part)
{
    char *s = curl_easy_escape(NULL, part, 0);
    enum lf_err rc = s ? lf_buf_puts(url, s) : LF_E_NO_MEMORY;
    curl_free(s);
    return rc;
}

static const char *hub_token(const struct lf_hub_options *o)
{
    const char *t = o->token ? o->token : getenv("HF_TOKEN");
    return t && *t ? t : NULL;
}

/* Options that every request shares. The bearer token is curl's own, which drops it when a redirect
 * leaves the host. */
CURL *lf_hub_request(const char *url, const struct lf_hub_options *o, char *why)
{
    CURL *c = curl_easy_init();
    if (!c)
        return NULL;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 8L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "lorafs");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, HUB_STALL_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, HUB_STALL_SECONDS);
    const char *token = hub_token(o);
    if (token) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, token);
    }
    return c;
}

enum lf_err lf_hub_status(long status, const char *what, struct lf_diag *diag)
{
    if (status == 401 || status == 403)
        return lf_fail(diag, LF_E_DENIED,
                       "%s: the hub answers %ld; a gated or private repository needs HF_TOKEN set "
                       "to a token that may read it",
                       what, status);
    if (status == 404)
        return lf_fail(diag, LF_E_NOT_FOUND, "%s: no such repository, revision or file", what);
    return lf_fail(diag, LF_E_IO, "%s: the hub answers %ld", what, status);
}

size_t lf_hub_append_body(char *data, size_t size, size_t n, void *arg)
{
    return lf_buf_append(arg, data, size * n) == LF_OK ? size * n : 0;
}

bool lf_hub_path_ok(const char *s)
{
    return *s && *s != '/' && !strstr(s, "..") && strlen(s) < 256 && !strpbrk(s, "\\\n\r");
}

/* "org/name@rev": every part of safe characters, so that it can stand in a URL as it is. */
bool lf_hub_id_ok(const char *s)
{
    return lf_hub_path_ok(s) && strlen(s) < 200 &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/") ==
               strlen(s);
}

enum lf_err lf_hub_id_check(const char *id, struct lf_diag *diag)
{
    const char *slash = strchr(id, '/');
    if (lf_hub_id_ok(id) && slash && slash != id && slash[1] && !strchr(slash + 1, '/'))
        return LF_OK;
    return lf_fail(diag, LF_E_INVALID, "\"%.100s\" is not org/name", id);
}
