/* A request's body that is a form with files (multipart/form-data, RFC 7578), taken apart as it
 * comes: nothing of it is kept. The request's thread. */
#ifndef LF_DAEMON_HTTP_MULTIPART_H
#define LF_DAEMON_HTTP_MULTIPART_H

#include "daemon/http/http.h"

struct lf_multipart;

/* A piece of a form's field. */
struct lf_part {
    const char *field, *filename; /* NULL: it is no file */
    bool first;                   /* nothing of it came before; an empty piece may repeat it */
    const void *data;             /* (n) */
    size_t n;
};
/* Its error is the answer. */
typedef enum lf_err (*lf_multipart_fn)(void *arg, const struct lf_part *part, struct lf_diag *diag);

/* LF_E_INVALID where the Content-Type is another. Yours, lf_multipart_free (also NULL). */
enum lf_err lf_multipart_new(struct lf_multipart **out, struct lf_http *q, lf_multipart_fn take,
                             void *arg, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_multipart_write(struct lf_multipart *m, const void *data, size_t n,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* The body is over: LF_E_INVALID where it broke off. */
enum lf_err lf_multipart_end(struct lf_multipart *m, struct lf_diag *diag) LF_MUST_CHECK;
void lf_multipart_free(struct lf_multipart *m);

#endif
