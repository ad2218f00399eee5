/* Where a request ends. libmicrohttpd takes one of several lengths and answers what follows as
 * another request; a proxy before it may take the other, and what one client sends becomes a
 * request of the next. So only what every party reads alike is let in. */
#include "daemon/http/http.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>

struct framing {
    int lengths, codings, hosts;
    bool bad;
};

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct framing *f = arg;
    (void)kind;
    if (strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        f->lengths++;
        f->bad |= !value || !*value || value[strspn(value, "0123456789")] != '\0';
    } else if (strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        f->codings++;
        f->bad |= !value || strcasecmp(value, "chunked") != 0;
    } else if (strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0) {
        f->hosts++;
    }
    return MHD_YES;
}

enum lf_err lf_http_framing(struct lf_http *q, const char *version, struct lf_diag *diag)
{
    struct framing f = {0};
    MHD_get_connection_values(q->conn, MHD_HEADER_KIND, look, &f);
    bool old = strcmp(version, MHD_HTTP_VERSION_1_1) != 0;
    if (!f.bad && f.lengths + f.codings <= 1 && f.hosts <= 1 && !(old && f.codings > 0))
        return LF_OK;
    return lf_fail(diag, LF_E_INVALID,
                   "the request does not say where it ends, or whom it asks, in one way");
}
