/* Requests to a hub, for the parts of the hub client. One thread. */
#ifndef LF_TOOLS_HUB_REQUEST_H
#define LF_TOOLS_HUB_REQUEST_H

#include "core/buf.h"
#include "tools/hub.h"

#include <curl/curl.h>

/* Appends the endpoint, without a slash at its end. */
void lf_hub_put_endpoint(struct lf_buf *url, const struct lf_hub_options *o);
/* Appends a part of a path, escaped, its slashes too. */
enum lf_err lf_hub_put_escaped(struct lf_buf *url, const char *part) LF_MUST_CHECK;
/* With the token, redirects, and an end to standing still; NULL: no memory. why: CURL_ERROR_SIZE
 * bytes. */
CURL *lf_hub_request(const char *url, const struct lf_hub_options *o, char *why);
/* What an answer's status says of `what`, as an error. */
enum lf_err lf_hub_status(long status, const char *what, struct lf_diag *diag);
/* CURLOPT_WRITEFUNCTION into a struct lf_buf. */
size_t lf_hub_append_body(char *data, size_t size, size_t n, void *arg);
/* A path within a repository; "org/name" or a revision, of characters that may stand in a URL. */
bool lf_hub_path_ok(const char *s);
bool lf_hub_id_ok(const char *s);
/* LF_E_INVALID: a repository's id is not "org/name", both of such characters. */
enum lf_err lf_hub_id_check(const char *id, struct lf_diag *diag) LF_MUST_CHECK;

#endif
