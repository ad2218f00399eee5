/* Adapters of one base trained in this process, fused into one batch: each gives what it gives
 * alone. One thread. */
#ifndef LF_TOOLS_TRAIN_HERE_H
#define LF_TOOLS_TRAIN_HERE_H

#include "tools/train_list.h"

/* Those of the list that have no result yet; as many at a time as the device has room for. Each is
 * printed as it ends. Of --dataset alone a failure is this call's; of several it is that adapter's:
 * printed, counted in *failed, and tried again by the next run. LF_E_INTERRUPTED leaves checkpoints
 * where there is a place for them. */
enum lf_err lf_train_here(const struct lf_train_flags *o, const struct lf_train_list *l,
                          int *failed, struct lf_diag *diag) LF_MUST_CHECK;

#endif
