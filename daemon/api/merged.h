/* Requests that several adapters answer together. */
#ifndef LF_DAEMON_API_MERGED_H
#define LF_DAEMON_API_MERGED_H

#include "daemon/api/completion.h"

/* LoRAX' "merged_adapters": what answers is their mixture, by all their names. As of
 * lf_served_model_find, and LF_E_INVALID for what cannot be merged; what differs between the
 * adapters themselves the generation says. lf_request_free lets go of it. */
enum lf_err lf_served_model_merge(struct lf_http *q, const json_t *merged,
                                  struct lf_served_model *out, struct lf_diag *diag) LF_MUST_CHECK;

#endif
