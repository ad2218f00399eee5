/* Fine-tuning jobs as OpenAI has them. The connection's thread. */
#ifndef LF_DAEMON_API_TUNING_H
#define LF_DAEMON_API_TUNING_H

#include "daemon/api/documents.h"

/* tuning_events.c: replies with a page of the job's lines of its adapter's log, the latest first.
 * job: as of lf_jobs_json. */
enum lf_err lf_tuning_events(struct lf_http *q, const json_t *job, const struct lf_page *page,
                             struct lf_diag *diag) LF_MUST_CHECK;

#endif
