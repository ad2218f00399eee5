/* Adapters of one base trained by an array job of Slurm: an element, a card of its own, for each
 * group of them, which it trains as `lorafs train` does here. In --out:
 *
 *     .slurm/K/train.sh   what element K runs; may be run by hand
 *     .slurm/K.log        what it printed
 *     .slurm/lock         held by who follows the job
 *
 * and the adapters' folders (tools/train_list.h), by which it is followed. One thread. */
#ifndef LF_TOOLS_TRAIN_SLURM_H
#define LF_TOOLS_TRAIN_SLURM_H

#include "tools/train_list.h"

/* Until all have ended; each is printed when it has, those that failed are counted. base: absolute;
 * u: the command's options, of which the elements get theirs. LF_E_BUSY: another one follows the
 * same. After LF_E_INTERRUPTED the job goes on, and who asks again follows it. */
enum lf_err lf_train_slurm(const struct lf_train_flags *o, const struct lf_train_list *l,
                           const char *base, const struct lf_usage *u, int *failed,
                           struct lf_diag *diag) LF_MUST_CHECK;

#endif
