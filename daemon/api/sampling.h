/* The sampling parameters that every route takes, each with its range: one table, which
 * openapi.json is held against. Any thread. */
#ifndef LF_DAEMON_API_SAMPLING_H
#define LF_DAEMON_API_SAMPLING_H

#include "daemon/api/completion.h"

struct lf_sampling_param {
    const char *key;
    size_t at; /* in struct lf_sample_params: a float, or top_k */
    double lo, hi;
};
extern const struct lf_sampling_param lf_sampling_params[]; /* ends with a NULL key */

/* Reads them and "seed" into a->sample and a->seed, from an object, or where body is NULL from the
 * query. What is missing stays as it is; top_k of -1 and 0 is off, as elsewhere. */
enum lf_err lf_request_sampling(struct lf_request *a, const json_t *body, struct lf_http *q,
                                struct lf_diag *diag) LF_MUST_CHECK;

#endif
