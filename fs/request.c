/* Addresses and the usual calls. */
#include "fs/request.h"

#include "fs/limits.h"
#include "names/ctl.h"

#include <stdio.h>
#include <string.h>

static enum lf_err url_fit(int n)
{
    return n < 0 || n >= LF_URL_MAX ? LF_E_INVALID : LF_OK;
}

enum lf_err lf_url_adapter(char out[LF_URL_MAX], const char *name, const char *tail)
{
    return url_fit(snprintf(out, LF_URL_MAX, "/v1/adapters/%s%s", name, tail));
}

enum lf_err lf_url_file(char out[LF_URL_MAX], const struct lf_place *p, const char *query)
{
    return url_fit(
        snprintf(out, LF_URL_MAX, "/v1/adapters/%s/files/%s%s", p->owner, p->rel, query));
}

enum lf_err lf_url_node(char out[LF_URL_MAX], const struct lf_node *n, const char *query)
{
    struct lf_place place;
    lf_node_place(n, &place);
    return lf_url_file(out, &place, query);
}

void lf_op_request(struct lf_op *op, const char *method, const char *url, const char *media_type,
                   const void *body, size_t n, lf_op_step step)
{
    struct lf_client_spec spec = {.method = method,
                                  .path = url,
                                  .content_type = media_type,
                                  .body = body,
                                  .body_bytes = n,
                                  .reply_max = LF_REQUEST_REPLY_MAX,
                                  .timeout_s = LF_REQUEST_TIMEOUT_S,
                                  .waits = strcmp(method, "GET") != 0};
    lf_op_call(op, &spec, step);
}

void lf_op_request_adapter(struct lf_op *op, const char *method, const char *name, const char *tail,
                           const char *media_type, const void *body, size_t n, lf_op_step step)
{
    char url[LF_URL_MAX];
    enum lf_err rc = lf_url_adapter(url, name, tail);
    if (rc == LF_OK)
        lf_op_request(op, method, url, media_type, body, n, step);
    else
        step(op, rc);
}

void lf_op_request_stray(struct lf_op *op, const struct lf_place *dir, const char *name,
                         lf_op_step step)
{
    char url[LF_URL_MAX];
    int at = snprintf(url, sizeof url, "/v1/adapters/%s/files/%s%s", dir->owner, dir->rel,
                      dir->rel[0] ? "/" : "");
    if (at < 0 || at >= LF_URL_MAX) {
        step(op, LF_E_INVALID);
        return;
    }
    /* What does not fit is left out: the name is for people. */
    for (const char *c = name; *c && at + 4 < LF_URL_MAX; c++)
        at += snprintf(url + at, sizeof url - (size_t)at, "%%%02X", (unsigned char)*c);
    lf_op_request(op, "PUT", url, NULL, NULL, 0, step);
}

void lf_op_request_rollback(struct lf_op *op, const char *adapter, const char *target,
                            lf_op_step step)
{
    char line[128];
    size_t n = strcspn(target, "\n");
    if (n > 0 && target[n - 1] == '/') /* `ln -s 2/ current` */
        n--;
    /* What is no number the daemon refuses, and says so. */
    int k = snprintf(line, sizeof line, "%s %.*s\n", lf_ctl[LF_CTL_ROLLBACK].word,
                     n < 80 ? (int)n : 80, target);
    lf_op_request_adapter(op, "POST", adapter, "/ctl", "text/plain", line, (size_t)k, step);
}
