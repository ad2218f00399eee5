/* Reading ahead: what a handle reads of a file of the daemon's comes in blocks, of which several
 * are asked for at once while it is read from one end to the other, so that a long line is full.
 *
 * All bytes of a handle are of one version of the file: the first answer says of which (its ETag),
 * and what follows is asked for with that (If-Match). Where the daemon has them no more, a read
 * fails with ESTALE. Blocks that were read are let go; how many there may be ahead grows while the
 * reader has to wait for them, to LF_AHEAD_WINDOW_MAX, and of all handles together to
 * LF_AHEAD_BYTES_MAX. A reader that jumps gets what it asks for, and nothing ahead.
 */
#ifndef LF_FS_AHEAD_H
#define LF_FS_AHEAD_H

#include "fs/fs.h"

struct lf_ahead;

/* For reads of a handle of this node (borrowed as long). NULL: out of memory. */
struct lf_ahead *lf_ahead_new(struct lf_fs *fs, const struct lf_node *n);
/* What is under way is cut off. No read waits any more. NULL is fine. */
void lf_ahead_free(struct lf_ahead *a);

/* A READ. */
struct lf_ahead_read {
    struct lf_op op;
    struct lf_ahead *ahead;
    uint64_t off;
    size_t size;
    bool in_order; /* it goes on where the one before ended */
    bool waited;   /* for its bytes */
};
/* Replies now or later: iov, err. */
void lf_ahead_read(struct lf_ahead_read *r);

#endif
