/* Handles: made, released, thrown away. */
#include "fs/handle.h"

#include "fs/draft.h"

#include <stdlib.h>

struct lf_handle *lf_handle_new(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_handle *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->node = lf_node_hold(n);
    LIST_INSERT_HEAD(&fs->handles, h, link);
    return h;
}

void lf_handle_discard(struct lf_handle *h)
{
    LIST_REMOVE(h, link);
    lf_feed_free(h->feed);
    lf_ahead_free(h->ahead);
    lf_buf_free(&h->text);
    free(h);
}

void lf_handle_free(struct lf_fs *fs, struct lf_handle *h)
{
    if (!h)
        return;
    struct lf_node *n = h->node;
    bool wrote = h->writes;
    lf_handle_discard(h);
    if (wrote)
        lf_draft_writer_gone(fs, n);
    lf_node_release(&fs->nodes, n);
}
