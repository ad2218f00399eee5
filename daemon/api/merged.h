/* Requests that several adapters answer together. */
#ifndef LF_DAEMON_API_MERGED_H
#define LF_DAEMON_API_MERGED_H

#include "daemon/api/completion.h"

/* What a request asks: `name` as of lf_served_model_find, unless its object (a body, or LoRAX'
 * parameters) has "merged_adapters": then their mixture, which goes by all their names, and `name`
 * may be their base's. LF_E_INVALID for what cannot be merged; what differs between the adapters
 * themselves the generation says. lf_request_free lets go of it. */
enum lf_err lf_served_model_asked(struct lf_http *q, const json_t *request, const char *name,
                                  struct lf_served_model *out, struct lf_diag *diag) LF_MUST_CHECK;

#endif
