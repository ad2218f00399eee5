/* Drafts: files on their way to the daemon.
 *
 * A draft is there while a file is open for writing, and holds its bytes in a stage once something
 * needs them there: O_TRUNC and create start empty, the first write into an existing file fetches
 * it first (so O_APPEND and edits in place work, and `touch` fetches nothing).
 *
 * It is dirty when bytes were written, or the size was set, since it was last sent. Tools differ in
 * when they flush, so:
 *   FLUSH, not dirty    nothing (shells flush before the first write); the last verdict again
 *   FLUSH, inherited    nothing: in `(a; b) > f` a's end flushes half a file
 *   FSYNC, dirty        as a FLUSH
 *   FLUSH, dirty        sent and checked: close() fails (EINVAL) where it is refused. A
 * dataset.jsonl is to train: that is durable before close() returns. The daemon waits with it, for
 * more may be written through the same handle last RELEASE        tells the daemon that nothing
 * more comes; dirty still (a mapping's late write): sent RENAME onto it      sent, checked and
 * trained in the rename, which fails where it is refused A file that only O_TRUNC has emptied is
 * sent empty at the last RELEASE when it means something empty (prompt, template, config.json). A
 * refused draft is dropped: the daemon's file is the file. A file of which a write failed (ENOSPC)
 * is sent nowhere: its close fails, too. A killed writer closes like any other, but the kernel
 * wants its FLUSH back (LF_E_INTERRUPTED): what it wrote is dropped. Where that is not so, the
 * check refuses a data set that is cut off mid-line.
 *
 * Who opens the file for reading alone has the daemon's bytes meanwhile, old or new, of one version
 * to the end of the handle (struct lf_handle, steady); of a file that was not there before, those
 * that are here.
 *
 * A file that is large, and is written from one end to the other, is sent while it is written
 * (fs/outgoing.h); its close has the daemon take it in.
 *
 * A LOCAL file is a draft that is never sent and stays until it is removed.
 */
#ifndef LF_FS_DRAFT_H
#define LF_FS_DRAFT_H

#include "fs/fs.h"

struct lf_draft {
    struct lf_stage *bytes;    /* NULL: not here yet, the daemon's are the file's */
    struct lf_stage *incoming; /* being fetched */
    struct lf_outgoing *out;   /* parts of `bytes` that were sent; or NULL */
    uint64_t changes;          /* counts writes and settings of the size */
    uint64_t sent;             /* `changes` of what the daemon saw last */
    uint64_t trained;          /* `changes` of what training was started with */
    enum lf_err verdict;       /* what the daemon said of `sent` */
    enum lf_err broken;        /* how a write failed: what is here is not what was written, and goes
                                  nowhere until the file is emptied */
    bool made;                 /* it was not there before */
    bool emptied;              /* by O_TRUNC, and nothing was written since */
    bool busy;                 /* being fetched or sent */
    unsigned writers;          /* handles open for writing */
    unsigned uses;             /* operations inside lf_draft_load and lf_draft_send */
    struct lf_op_list waiters; /* for the end of busy */
    int64_t mtime_ms;
    mode_t mode; /* LOCAL: permission bits */
};

/* The node's draft, made if need be; NULL: out of memory. Borrowed. */
struct lf_draft *lf_draft_get(struct lf_node *n);
/* Drops a draft that no one needs: no writers, nothing under way, not LOCAL. */
void lf_draft_settle(struct lf_node *n);
void lf_draft_free(struct lf_draft *d);
/* The draft's bytes, or NULL where the file's bytes are the daemon's. Borrowed. */
struct lf_stage *lf_draft_bytes(const struct lf_node *n);

/* Empty from now on: O_TRUNC and create. Nothing is dirty yet. */
enum lf_err lf_draft_empty(struct lf_fs *fs, struct lf_node *n) LF_MUST_CHECK;
/* With the bytes here. */
enum lf_err lf_draft_write(struct lf_node *n, const void *data, size_t n_bytes,
                           uint64_t off) LF_MUST_CHECK;
enum lf_err lf_draft_truncate(struct lf_node *n, uint64_t bytes) LF_MUST_CHECK;
/* Something is written to the node, and will be for a while: the daemon is told, now and then, so
 * that a training waits for it. */
void lf_draft_tell(struct lf_fs *fs, struct lf_node *n);
/* After a write: what is here of a large file is sent ahead of its close. */
void lf_draft_ahead(struct lf_fs *fs, struct lf_node *n);
bool lf_draft_is_dirty(const struct lf_node *n);

/* An operation that moves the bytes of its node's draft. */
struct lf_transfer {
    struct lf_op op;
    lf_op_step then;    /* what goes on afterwards */
    struct lf_place to; /* where it is sent to */
    uint64_t changes;   /* of the draft, as they are sent */
    bool train;         /* sending it starts training */
    bool held;          /* more may come: the training waits for that */
};
/* Goes on with `then` when the bytes of the node's draft are here. */
void lf_draft_load(struct lf_transfer *t, lf_op_step then);
/* Sends the node's draft as the file at `to`, and goes on with `then` and the verdict. */
void lf_draft_send(struct lf_transfer *t, const struct lf_place *to, bool train, lf_op_step then);
/* The same as the file that the node is, with training where that follows; counts among the
 * adapter's commits. */
void lf_draft_commit(struct lf_transfer *t, lf_op_step then);
/* A handle that wrote is gone: the rules of the last RELEASE, without anyone to reply to. */
void lf_draft_writer_gone(struct lf_fs *fs, struct lf_node *n);

#endif
