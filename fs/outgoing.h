/* A large file on its way to the daemon, in parts: bytes are sent as soon as there are enough of
 * them, also while the file is still written, and what the daemon has when the line is cut is gone
 * on with. It is taken in by one last call, which names the digest of all that was sent: whole,
 * once, and as it was here.
 *
 * Knows neither drafts nor the kernel. One thread.
 */
#ifndef LF_FS_OUTGOING_H
#define LF_FS_OUTGOING_H

#include "fs/limits.h"
#include "fs/stage.h"
#include "fs/wait.h"

struct lf_outgoing;

/* Of an adapter; `bytes` stay the caller's. NULL: out of memory. */
struct lf_outgoing *lf_outgoing_new(struct lf_client *client, const char *adapter,
                                    struct lf_stage *bytes);
/* Ends what is under way. No operation waits for it. NULL is fine. */
void lf_outgoing_free(struct lf_outgoing *o);
bool lf_outgoing_is_for(const struct lf_outgoing *o, const char *adapter);
/* Bytes from `off` on are about to change. False: some of them were sent; unless it is being
 * finished, it is of no use any more. */
bool lf_outgoing_change(struct lf_outgoing *o, uint64_t off);
/* More was written: sends it, where that is worth a call. */
void lf_outgoing_more(struct lf_outgoing *o);
/* Sends the rest and has the daemon take all of it in by a PUT of `url`, which has a query; the
 * operation waits for that, and goes on with `step`. Interrupted, it is to be freed. */
void lf_outgoing_finish(struct lf_outgoing *o, const char *url, struct lf_op *op, lf_op_step step);
/* Why it was not taken; "". */
const char *lf_outgoing_why(const struct lf_outgoing *o);

#endif
