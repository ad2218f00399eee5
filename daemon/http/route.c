/* From a path to its route. */
#include "daemon/http/http.h"
#include "daemon/limits.h"

#include <string.h>

static bool param_set(char *out, const char *text, size_t n)
{
    if (n == 0 || n >= LF_HTTP_PARAM_BYTES)
        return false;
    memcpy(out, text, n);
    out[n] = '\0';
    return true;
}

/* `pattern` against `path`, part by part. */
static bool matches(const char *pattern, const char *path,
                    char param[LF_HTTP_PARAMS_MAX][LF_HTTP_PARAM_BYTES])
{
    int n = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        const char *close = strchr(pattern, '}');
        size_t len = close[-1] == '*' ? strlen(path) : strcspn(path, "/");
        if (n == LF_HTTP_PARAMS_MAX || !param_set(param[n++], path, len))
            return false;
        path += len;
        pattern = close + 1;
    }
    return *path == '\0';
}

const struct lf_route *lf_route_find(const struct lf_route *routes, size_t n,
                                     enum lf_http_method method, const char *path,
                                     char param[LF_HTTP_PARAMS_MAX][LF_HTTP_PARAM_BYTES],
                                     enum lf_err *rc)
{
    *rc = LF_E_NOT_FOUND;
    for (size_t i = 0; i < n; i++) {
        if (!matches(routes[i].path, path, param))
            continue;
        if (routes[i].method == method) {
            *rc = LF_OK;
            return &routes[i];
        }
        *rc = LF_E_UNSUPPORTED;
    }
    return NULL;
}
