/* The body of an HTTP request that its Content-Encoding says is packed, unpacked as it comes. What
 * it unpacks to has the ceiling that the bare body would have: the taker's. One thread. */
#ifndef LF_CONTAINER_UNPACK_H
#define LF_CONTAINER_UNPACK_H

#include "core/err.h"

#include <stddef.h>

struct lf_unpack;

/* *out is NULL for a body that is not packed (coding NULL, "identity"); gzip and deflate are known,
 * others LF_E_UNSUPPORTED. Yours, lf_unpack_free. */
enum lf_err lf_unpack_new(struct lf_unpack **out, const char *coding,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_unpack_free(struct lf_unpack *u);
/* Gives what n bytes of the body unpack to to `take`, piece by piece; its error is the answer.
 * LF_E_INVALID for bytes that are not what they were said to be. */
typedef enum lf_err (*lf_unpack_take)(void *arg, const char *data, size_t n, struct lf_diag *diag);
enum lf_err lf_unpack_write(struct lf_unpack *u, const char *data, size_t n, lf_unpack_take take,
                            void *arg, struct lf_diag *diag) LF_MUST_CHECK;
/* The body is over; LF_E_INVALID where it broke off. */
enum lf_err lf_unpack_end(const struct lf_unpack *u, struct lf_diag *diag) LF_MUST_CHECK;

#endif
