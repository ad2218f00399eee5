/* Handles: what is open. */
#ifndef LF_FS_HANDLE_H
#define LF_FS_HANDLE_H

#include "core/buf.h"
#include "fs/ahead.h"
#include "fs/feed.h"
#include "fs/limits.h"

struct lf_handle {
    LIST_ENTRY(lf_handle) link;
    struct lf_node *node; /* held */
    bool writes;          /* counts among its draft's writers */
    bool steady;        /* reads the daemon's bytes of one version, whatever is written meanwhile */
    pid_t opener;       /* the process that opened it; 0: not known */
    struct lf_buf text; /* TEXT and its like: the answer; CTL: the unfinished line;
                           a directory: its names, each ending in NUL */
    struct lf_feed *feed;   /* PROGRESS, GENERATE */
    struct lf_ahead *ahead; /* steady, REMOTE: from the first read on */
};

/* NULL: out of memory. */
struct lf_handle *lf_handle_new(struct lf_fs *fs, struct lf_node *n);
/* The kernel has released it (NULL is fine): what it wrote goes where it must. */
void lf_handle_free(struct lf_fs *fs, struct lf_handle *h);
/* At the end of everything: memory alone. */
void lf_handle_discard(struct lf_handle *h);

#endif
