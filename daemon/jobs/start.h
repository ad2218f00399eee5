/* Where a training starts: the version that "from" of its settings names, frozen among its inputs.
 * Any thread. */
#ifndef LF_DAEMON_JOBS_START_H
#define LF_DAEMON_JOBS_START_H

#include "daemon/registry/registry.h"
#include "model/adapter.h"

#define LF_INPUTS_START "start"       /* in a job's directory: PEFT's files, as links */
#define LF_START_PARENT "parent.json" /* and beside them whose they are */

/* Links the version into dir, where the settings name one; their rank, alpha and rslora become its.
 * LF_E_INVALID: there is no such version, its weights do not fit the base, or the settings ask for
 * another rank or other modules. */
enum lf_err lf_start_freeze(struct lf_registry *r, uint64_t adapter_id, const char *dir,
                            struct lf_train_settings *s, struct lf_diag *diag) LF_MUST_CHECK;
/* *out NULL: it starts fresh. Yours. */
enum lf_err lf_start_load(struct lf_adapter **out, const char *dir, const struct lf_config *c,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* {"adapter", "version", "sha256" of its weights}; NULL: it starts fresh. Yours. */
json_t *lf_start_parent(const char *dir);

#endif
