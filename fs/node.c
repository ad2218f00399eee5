/* Nodes: a hash table by (parent, name), and counts. */
#include "fs/node.h"
#include "fs/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_BUCKETS_FIRST 1024
#define ROOT_INO 1

/* ---- Numbers --------------------------------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash_name(uint64_t seed, const char *name)
{
    uint64_t h = seed ^ 14695981039346656037ull;
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211ull;
    return h;
}

uint64_t lf_node_child_ino(const struct lf_node *parent, const char *name)
{
    uint64_t h = hash_name(lf_node_ino(parent), name);
    return h > ROOT_INO ? h : h + 1 + ROOT_INO;
}

uint64_t lf_node_ino(const struct lf_node *n)
{
    return n->parent ? lf_node_child_ino(n->parent, n->name) : ROOT_INO;
}

/* ---- The table ------------------------------------------------------------------------------- */

static struct lf_bucket *bucket_of(const struct lf_nodes *t, uint64_t hash)
{
    return &t->buckets[(hash ^ hash >> 32) & (t->n_buckets - 1)];
}

static struct lf_node *node_new(struct lf_nodes *t, const char *name, enum lf_kind kind)
{
    struct lf_node *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->name = strdup(name);
    if (!n->name) {
        free(n);
        return NULL;
    }
    n->kind = kind;
    LIST_INIT(&n->locals);
    LIST_INIT(&n->hidden);
    LIST_INSERT_HEAD(&t->all, n, all);
    return n;
}

static void node_free(struct lf_nodes *t, struct lf_node *n)
{
    LIST_REMOVE(n, all);
    while (!LIST_EMPTY(&n->hidden)) {
        struct lf_hidden *h = LIST_FIRST(&n->hidden);
        LIST_REMOVE(h, link);
        free(h);
    }
    if (n->draft)
        t->draft_free(n->draft);
    free(n->target);
    free(n->name);
    free(n);
}

enum lf_err lf_nodes_init(struct lf_nodes *t)
{
    *t = (struct lf_nodes){.n_buckets = NODE_BUCKETS_FIRST};
    LIST_INIT(&t->all);
    t->buckets = calloc(t->n_buckets, sizeof *t->buckets);
    t->root = t->buckets ? node_new(t, "", LF_KIND_ROOT) : NULL;
    if (!t->root) {
        free(t->buckets);
        t->buckets = NULL;
        return LF_E_NO_MEMORY;
    }
    t->root->holds = 1;
    return LF_OK;
}

void lf_nodes_deinit(struct lf_nodes *t)
{
    while (!LIST_EMPTY(&t->all))
        node_free(t, LIST_FIRST(&t->all));
    free(t->buckets);
    *t = (struct lf_nodes){0};
}

/* Twice the buckets. Where memory is out the chains grow instead. */
static void table_grow(struct lf_nodes *t)
{
    struct lf_nodes larger = {.n_buckets = t->n_buckets * 2};
    larger.buckets = calloc(larger.n_buckets, sizeof *larger.buckets);
    if (!larger.buckets)
        return;
    for (size_t i = 0; i < t->n_buckets; i++)
        while (!LIST_EMPTY(&t->buckets[i])) {
            struct lf_node *n = LIST_FIRST(&t->buckets[i]);
            LIST_REMOVE(n, chain);
            LIST_INSERT_HEAD(bucket_of(&larger, n->hash), n, chain);
        }
    free(t->buckets);
    t->buckets = larger.buckets;
    t->n_buckets = larger.n_buckets;
}

static void table_insert(struct lf_nodes *t, struct lf_node *n)
{
    if (t->n_linked >= t->n_buckets)
        table_grow(t);
    n->hash = hash_name((uint64_t)(uintptr_t)n->parent, n->name);
    n->linked = true;
    t->n_linked++;
    LIST_INSERT_HEAD(bucket_of(t, n->hash), n, chain);
}

static void table_remove(struct lf_nodes *t, struct lf_node *n)
{
    LIST_REMOVE(n, chain);
    n->linked = false;
    t->n_linked--;
}

struct lf_node *lf_node_find(const struct lf_nodes *t, const struct lf_node *parent,
                             const char *name)
{
    uint64_t hash = hash_name((uint64_t)(uintptr_t)parent, name);
    struct lf_node *n;
    LIST_FOREACH(n, bucket_of(t, hash), chain)
    if (n->parent == parent && strcmp(n->name, name) == 0)
        return n;
    return NULL;
}

struct lf_node *lf_node_get(struct lf_nodes *t, struct lf_node *parent, const char *name,
                            enum lf_kind kind)
{
    struct lf_node *n = lf_node_find(t, parent, name);
    if (n) {
        n->kind = kind;
        return n;
    }
    n = node_new(t, name, kind);
    if (!n)
        return NULL;
    n->parent = lf_node_hold(parent);
    table_insert(t, n);
    return n;
}

/* ---- Counts ---------------------------------------------------------------------------------- */

struct lf_node *lf_node_hold(struct lf_node *n)
{
    n->holds++;
    return n;
}

/* Frees a node that no one needs, then its parent, if that was the last need of it. */
static void node_settle(struct lf_nodes *t, struct lf_node *n)
{
    while (n && n->lookups == 0 && n->holds == 0) {
        struct lf_node *parent = n->parent;
        if (n->linked)
            table_remove(t, n);
        node_free(t, n);
        if (parent)
            parent->holds--;
        n = parent;
    }
}

void lf_node_release(struct lf_nodes *t, struct lf_node *n)
{
    if (!n)
        return;
    lf_assert(n->holds > 0);
    n->holds--;
    node_settle(t, n);
}

void lf_node_looked_up(struct lf_node *n)
{
    n->lookups++;
}

void lf_node_forget(struct lf_nodes *t, struct lf_node *n, uint64_t lookups)
{
    n->lookups -= lookups < n->lookups ? lookups : n->lookups;
    node_settle(t, n);
}

/* ---- Names ----------------------------------------------------------------------------------- */

struct lf_node *lf_node_adapter(struct lf_node *n)
{
    while (n && n->kind != LF_KIND_ADAPTER)
        n = n->parent;
    return n;
}

void lf_node_add_local(struct lf_node *n)
{
    lf_node_hold(n);
    LIST_INSERT_HEAD(&lf_node_adapter(n)->locals, n, local);
}

void lf_node_unlink(struct lf_nodes *t, struct lf_node *n)
{
    if (!n->linked)
        return;
    table_remove(t, n);
    if (lf_node_is_local(n)) {
        LIST_REMOVE(n, local);
        lf_node_release(t, n);
    }
}

void lf_node_drop_adapter(struct lf_nodes *t, struct lf_node *adapter)
{
    lf_node_hold(adapter);
    while (!LIST_EMPTY(&adapter->locals))
        lf_node_unlink(t, LIST_FIRST(&adapter->locals));
    lf_node_unlink(t, adapter);
    lf_node_release(t, adapter);
}

enum lf_err lf_node_move(struct lf_nodes *t, struct lf_node *n, struct lf_node *parent,
                         const char *name, enum lf_kind kind)
{
    char *copy = strdup(name);
    if (!copy)
        return LF_E_NO_MEMORY;
    struct lf_node *there = lf_node_find(t, parent, name);
    struct lf_node *old_parent = n->parent;
    lf_node_hold(n);
    if (there && there != n)
        lf_node_unlink(t, there);
    lf_node_unlink(t, n);
    n->parent = lf_node_hold(parent);
    free(n->name);
    n->name = copy;
    n->kind = kind;
    table_insert(t, n);
    if (lf_node_is_local(n))
        lf_node_add_local(n);
    lf_node_release(t, old_parent);
    lf_node_release(t, n);
    return LF_OK;
}

/* The owner is the name of the node right below base/, jobs/ or model/; rel, the names below it. */
void lf_node_place(const struct lf_node *n, struct lf_place *out)
{
    const struct lf_node *chain[LF_NODE_DEPTH_MAX];
    int depth = 0;
    for (const struct lf_node *at = n; at->parent && depth < LF_NODE_DEPTH_MAX; at = at->parent)
        chain[depth++] = at;
    *out = (struct lf_place){.kind = n->kind};
    if (depth >= 2)
        snprintf(out->owner, sizeof out->owner, "%s", chain[depth - 2]->name);
    if (lf_node_is_local(n))
        return;
    size_t at = 0;
    for (int i = depth - 3; i >= 0; i--) {
        int k =
            snprintf(out->rel + at, sizeof out->rel - at, "%s%s", at ? "/" : "", chain[i]->name);
        at += k < 0 ? 0 : (size_t)k;
        lf_assert(at < sizeof out->rel); /* names of these kinds are at most LF_NAME_MAX long */
    }
    if (n->kind == LF_KIND_UPLOAD && depth == 3 && !lf_file_find(out->rel))
        snprintf(out->rel, sizeof out->rel, LF_FILE_ADAPTER_DIR "%s", n->name);
    else if (n->kind != LF_KIND_CURRENT && depth >= 5)
        lf_space_current(out->rel);
}
