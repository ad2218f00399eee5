/* What operations request of the daemon: addresses, and calls of the usual shape (a short body, a
 * short answer, half a minute). */
#ifndef LF_FS_REQUEST_H
#define LF_FS_REQUEST_H

#include "fs/limits.h"
#include "fs/wait.h"

#define LF_REQUEST_TIMEOUT_S 30
#define LF_HTTP_PRECONDITION_FAILED 412

/* "/v1/adapters/<name>/files/<rel><query>" of a place. */
enum lf_err lf_url_file(char out[LF_URL_MAX], const struct lf_place *p,
                        const char *query) LF_MUST_CHECK;
enum lf_err lf_url_node(char out[LF_URL_MAX], const struct lf_node *n,
                        const char *query) LF_MUST_CHECK;
/* "/v1/adapters/<name><tail>". */
enum lf_err lf_url_adapter(char out[LF_URL_MAX], const char *name, const char *tail) LF_MUST_CHECK;

/* Calls that go on with `step`, as after lf_op_call. media_type and body (n bytes, copied) NULL:
 * none. What changes something waits for a daemon that is gone; what looks does not. */
void lf_op_request(struct lf_op *op, const char *method, const char *url, const char *media_type,
                   const void *body, size_t n, lf_op_step step);
/* The same at lf_url_adapter. */
void lf_op_request_adapter(struct lf_op *op, const char *method, const char *name, const char *tail,
                           const char *media_type, const void *body, size_t n, lf_op_step step);
/* Tells the daemon of a name that cannot be in the directory, so that it says why (`error`); steps
 * with its answer, an error. */
void lf_op_request_stray(struct lf_op *op, const struct lf_place *dir, const char *name,
                         lf_op_step step);
/* Has `target`, the text of a link, become the version that the adapter serves. */
void lf_op_request_rollback(struct lf_op *op, const char *adapter, const char *target,
                            lf_op_step step);

#endif
