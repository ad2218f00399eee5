/* Nodes: what the kernel holds by number, and what the mount knows beside the daemon's tree.
 *
 * A node stands for one name in one directory. The kernel's node id is its address; st_ino is a
 * hash of the path, so it is the same after a forget and after a remount. A node lives while the
 * kernel has looked it up or one of ours holds it: an operation, a handle, a child, its adapter's
 * list of local files, a removal under way.
 *
 * A draft is the bytes of a file that was opened for writing: see fs/draft.h. One thread.
 */
#ifndef LF_FS_NODE_H
#define LF_FS_NODE_H

#include "fs/limits.h"
#include "fs/space.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct lf_draft;

/* A name that was removed here and is not looked at for a while: see fs/removal.h. */
struct lf_hidden {
    LIST_ENTRY(lf_hidden) link;
    char rel[LF_REL_MAX];
    bool remove, sending; /* to be removed in the daemon, too; is being sent */
};

struct lf_node {
    LIST_ENTRY(lf_node) all;
    LIST_ENTRY(lf_node) chain; /* in its bucket, while linked */
    uint64_t hash;             /* of (parent, name) */
    struct lf_node *parent;    /* held; NULL: the root */
    char *name;
    enum lf_kind kind;
    bool made; /* a directory that was made here, and that the daemon may not have yet */
    uint64_t
        alias_until_ns; /* WEIGHTS: versions/current is this directory until then; 0: never was */
    bool linked;        /* false: the name is no longer this node's */
    uint64_t lookups;   /* the kernel's */
    unsigned holds;     /* ours: operations, handles, children, locals */
    /* UPLOAD and LOCAL */
    struct lf_draft *draft; /* NULL: the daemon's bytes are the file's */
    /* LOCAL_LINK */
    char *target;
    /* What is LOCAL: in its adapter's list, which holds it, while linked */
    LIST_ENTRY(lf_node) local;
    /* ADAPTER */
    uint64_t told_ns;   /* when the daemon was last told that a file of it is being written */
    pid_t maker;        /* the process that made it; 0: not known */
    pid_t lister;       /* the one that listed it last, */
    uint64_t listed_ns; /* and when */
    LIST_HEAD(, lf_node) locals;
    LIST_HEAD(, lf_hidden) hidden;
    uint64_t hidden_until_ns;     /* when the removals among them are sent */
    LIST_ENTRY(lf_node) removing; /* in the list of adapters with hidden names, while it has some */
    unsigned commits;             /* uploads and removals of this adapter under way */
};

/* LOCAL, LOCAL_LINK or LOCAL_DIR. */
static inline bool lf_node_is_local(const struct lf_node *n)
{
    return n->kind == LF_KIND_LOCAL || n->kind == LF_KIND_LOCAL_LINK ||
           n->kind == LF_KIND_LOCAL_DIR;
}

struct lf_nodes {
    LIST_HEAD(lf_bucket, lf_node) * buckets;
    size_t n_buckets; /* a power of two */
    size_t n_linked;
    LIST_HEAD(, lf_node) all;
    struct lf_node *root;
    void (*draft_free)(struct lf_draft *d); /* set by who gives nodes drafts */
};

enum lf_err lf_nodes_init(struct lf_nodes *t) LF_MUST_CHECK;
/* Frees every node, whatever its counts: the kernel is gone. */
void lf_nodes_deinit(struct lf_nodes *t);

/* The linked node of that name, or NULL. Borrowed. */
struct lf_node *lf_node_find(const struct lf_nodes *t, const struct lf_node *parent,
                             const char *name);
/* That node, made if need be; its kind is set to `kind` (a name can become another thing). NULL:
 * out of memory. Borrowed: hold it, or count a lookup, before the next call. */
struct lf_node *lf_node_get(struct lf_nodes *t, struct lf_node *parent, const char *name,
                            enum lf_kind kind);
/* The name is gone; the node lives on for those who hold it. */
void lf_node_unlink(struct lf_nodes *t, struct lf_node *n);
/* Gives the node another name and kind; a node that has that name is unlinked first. */
enum lf_err lf_node_move(struct lf_nodes *t, struct lf_node *n, struct lf_node *parent,
                         const char *name, enum lf_kind kind) LF_MUST_CHECK;

struct lf_node *lf_node_hold(struct lf_node *n);
void lf_node_release(struct lf_nodes *t, struct lf_node *n); /* NULL is fine */
/* The kernel looked it up once / forgets n lookups. */
void lf_node_looked_up(struct lf_node *n);
void lf_node_forget(struct lf_nodes *t, struct lf_node *n, uint64_t lookups);

/* A new local file, link or directory joins the names of its directory (until lf_node_unlink). */
void lf_node_add_local(struct lf_node *n);
/* The adapter directory is gone: unlinks it and its local files. */
void lf_node_drop_adapter(struct lf_nodes *t, struct lf_node *adapter);

/* The adapter directory that it is, or is below of; NULL outside model/<task>. */
struct lf_node *lf_node_adapter(struct lf_node *n);
/* Where it is now. What is LOCAL has no rel. */
void lf_node_place(const struct lf_node *n, struct lf_place *out);
/* st_ino of it, and of a name in a directory. */
uint64_t lf_node_ino(const struct lf_node *n);
uint64_t lf_node_child_ino(const struct lf_node *parent, const char *name);

#endif
