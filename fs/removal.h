/* Removals: `rm -r model/<task>` as tools do it, and `rm` of one file.
 *
 * rm -r unlinks every file it has listed and then removes the directory. Were each unlink sent at
 * once, the adapter would arrive in the daemon's trash without its data; were the unlink of
 * `status` refused, rm -r could not work at all. So a removed name is hidden here, in this mount,
 * until REMOVAL_GRACE_MS after the last removal in that adapter:
 *   the directory is removed in time    one DELETE of the adapter, whole, into the trash
 *   else, files that a person owns      a DELETE each (dataset.jsonl, eval.jsonl, config.json,
 *                                       template, prompt; a directory versions/<n>)
 *   else, everything else               is there again (`rm status` does no harm)
 * A name that is created again is no longer hidden, and its removal is not sent.
 *
 * rmdir refuses (ENOTEMPTY) while the adapter has a data set, a trained version or local files that
 * were not removed before. It refuses the version that is served (EBUSY), which goes with its
 * adapter alone: what goes as a whole has lost other names by then, or was just listed by who asks.
 */
#ifndef LF_FS_REMOVAL_H
#define LF_FS_REMOVAL_H

#include "fs/fs.h"

void lf_removal_init(struct lf_fs *fs);
/* Whether the place, a child of dir, was removed here. */
bool lf_removal_hides(struct lf_node *dir, const struct lf_place *place);
/* Hides it. */
enum lf_err lf_removal_add(struct lf_fs *fs, struct lf_node *adapter,
                           const struct lf_place *place) LF_MUST_CHECK;
/* The name is there again. */
void lf_removal_undo(struct lf_fs *fs, struct lf_node *adapter, const struct lf_place *place);
/* The adapter itself is gone. */
void lf_removal_forget(struct lf_fs *fs, struct lf_node *adapter);
/* Sends what is due now, or everything (an unmount). */
void lf_removal_run(struct lf_fs *fs, bool everything);
/* LF_E_NOT_EMPTY or LF_E_BUSY where rmdir must refuse this directory to a process. */
enum lf_err lf_removal_check(struct lf_fs *fs, struct lf_node *dir, pid_t process) LF_MUST_CHECK;

#endif
