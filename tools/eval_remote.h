/* Evaluation by a daemon: it completes a data set's prompts, they are scored here. One thread. */
#ifndef LF_TOOLS_EVAL_REMOTE_H
#define LF_TOOLS_EVAL_REMOTE_H

#include "client/remote.h"
#include "trainer/evaluate.h"
#include "trainer/settings.h"

/* The settings of a daemon's adapter: its config.json over the defaults (the defaults where it has
 * none, and of the base, NULL). Yours, lf_train_settings_free. */
enum lf_err lf_eval_remote_settings(struct lf_train_settings *out, struct lf_remote *c,
                                    const char *adapter, struct lf_diag *diag) LF_MUST_CHECK;

/* Rows of the JSON lines file, as for training, but for ready-made ids; "messages" go up to the
 * last one, which is the reference. adapter NULL: the daemon's base. s has the
 * template; *n_rows is set before the first row ends. */
enum lf_err lf_eval_remote(struct lf_remote *c, const char *adapter, const char *dataset,
                           const struct lf_train_settings *s, const struct lf_eval_options *o,
                           int64_t *n_rows, struct lf_eval_report *out,
                           struct lf_diag *diag) LF_MUST_CHECK;

#endif
