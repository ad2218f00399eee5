/* Streams: `generate`, `chat`, `progress` and their like, whose bytes come when they come.
 *
 * A read is answered as soon as there is a byte, and by nothing (the end) when the daemon has ended
 * the stream. Nothing starts before the first read, or poll.
 *
 * `generate` opened read-only answers the adapter's stored `prompt`; without one the daemon
 * refuses, a read fails with ENODATA and `error` says why, so that a walk over the tree (grep -r, a
 * backup) starts no generation where no person has asked for it. Opened read-write it is a
 * conversation: what is written is the prompt (one newline at its end is not part of it), reads
 * answer it up to their end, the next write starts the next turn; a read without a write answers
 * the stored prompt.
 *
 * `chat` is a conversation, too, and remembers it: each turn is asked with the messages and answers
 * before it, as the adapter was trained to be asked (trainer/ask.h). Where nothing was written
 * there is nothing to read.
 *
 * A generation ends with its handle. It also ends when a read was interrupted and the reader then
 * closes, or does not read again within STREAM_RETURN_MS: Ctrl-C stops it at once, a signal with a
 * handler (Python restarts such a read) does not.
 */
#ifndef LF_FS_FEED_H
#define LF_FS_FEED_H

#include "core/buf.h"
#include "fs/fs.h"

/* Of a GENERATE or PROGRESS node. NULL: out of memory. */
struct lf_feed *lf_feed_new(struct lf_fs *fs, struct lf_node *n);
/* Ends what is going on. No operation waits for it any more: the kernel has released the handle. */
void lf_feed_free(struct lf_feed *s);
/* A READ. */
struct lf_feed_read {
    struct lf_op op;
    struct lf_feed *feed;
    size_t size;
    bool nonblocking;
};
/* Replies now or later: buf, err. */
void lf_feed_read(struct lf_feed_read *r);
/* A piece of the prompt. */
enum lf_err lf_feed_write(struct lf_feed *s, const void *data, size_t n) LF_MUST_CHECK;
/* One of the handle's descriptors is closed. */
void lf_feed_flush(struct lf_feed *s);
/* The poll(2) events that are there; ph (may be NULL) is woken when there are more. Takes ph. */
unsigned lf_feed_poll(struct lf_feed *s, struct fuse_pollhandle *ph);

#endif
