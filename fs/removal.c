/* Removals: hidden names, sent late. */
#include "fs/removal.h"

#include "core/clock.h"
#include "core/log.h"
#include "fs/request.h"
#include "fs/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMOVAL_GRACE_MS 1000
#define LISTED_MS 5000 /* from the listing of all that goes to the version that is served */

static void on_timer(void *arg)
{
    lf_removal_run(arg, false);
}

void lf_removal_init(struct lf_fs *fs)
{
    LIST_INIT(&fs->removing);
    fs->removal_timer = (struct lf_timer){.fn = on_timer, .arg = fs};
}

static struct lf_hidden *find(struct lf_node *adapter, const char *rel)
{
    struct lf_hidden *h;
    LIST_FOREACH(h, &adapter->hidden, link)
    if (strcmp(h->rel, rel) == 0)
        return h;
    return NULL;
}

bool lf_removal_hides(struct lf_node *dir, const struct lf_place *place)
{
    struct lf_node *adapter = lf_node_adapter(dir);
    return adapter && place->rel[0] && find(adapter, place->rel);
}

/* Drops one; with the last, the adapter leaves the list. */
static void drop(struct lf_fs *fs, struct lf_node *adapter, struct lf_hidden *h)
{
    LIST_REMOVE(h, link);
    free(h);
    if (!LIST_EMPTY(&adapter->hidden))
        return;
    LIST_REMOVE(adapter, removing);
    lf_node_release(&fs->nodes, adapter);
}

enum lf_err lf_removal_add(struct lf_fs *fs, struct lf_node *adapter, const struct lf_place *place)
{
    if (!find(adapter, place->rel)) {
        struct lf_hidden *h = calloc(1, sizeof *h);
        if (!h)
            return LF_E_NO_MEMORY;
        memcpy(h->rel, place->rel, sizeof h->rel);
        h->remove = lf_space_removable(place);
        if (LIST_EMPTY(&adapter->hidden)) {
            lf_node_hold(adapter);
            LIST_INSERT_HEAD(&fs->removing, adapter, removing);
        }
        LIST_INSERT_HEAD(&adapter->hidden, h, link);
    }
    adapter->hidden_until_ns = lf_clock_ns() + (uint64_t)REMOVAL_GRACE_MS * LF_NS_PER_MS;
    if (!fs->removal_timer.due_ns)
        lf_timer_set(&fs->timers, &fs->removal_timer, REMOVAL_GRACE_MS);
    return LF_OK;
}

void lf_removal_undo(struct lf_fs *fs, struct lf_node *adapter, const struct lf_place *place)
{
    struct lf_hidden *h = adapter ? find(adapter, place->rel) : NULL;
    if (h)
        drop(fs, adapter, h);
}

void lf_removal_forget(struct lf_fs *fs, struct lf_node *adapter)
{
    lf_node_hold(adapter);
    while (!LIST_EMPTY(&adapter->hidden))
        drop(fs, adapter, LIST_FIRST(&adapter->hidden));
    lf_node_release(&fs->nodes, adapter);
}

/* ---- Sending --------------------------------------------------------------------------------- */

struct removing {
    struct lf_op op;
    struct lf_place place;
};

static void removed(struct lf_op *op, enum lf_err rc)
{
    const struct lf_place *p = &((struct removing *)op)->place;
    if (rc != LF_OK && rc != LF_E_NOT_FOUND)
        lf_log(LF_LOG_WARN, "fs", "%s/%s is not removed: %s", p->owner, p->rel,
               op->answer && op->answer->diag ? op->answer->diag->text : lf_err_name(rc));
    lf_removal_undo(op->fs, op->node, p);
    lf_snapshot_changed(&op->fs->snapshot, rc);
    lf_op_end(op);
}

/* Hidden until the daemon has answered. */
static void send_removal(struct lf_fs *fs, struct lf_node *adapter, struct lf_hidden *h)
{
    char url[LF_URL_MAX];
    struct removing *r = lf_op_new_detached(&fs->waits, adapter, sizeof *r);
    if (!r)
        return; /* tried again with the next removal */
    h->sending = true;
    lf_node_place(adapter, &r->place);
    memcpy(r->place.rel, h->rel, sizeof h->rel);
    lf_op_commits(&r->op, adapter);
    if (lf_url_file(url, &r->place, "") == LF_OK)
        lf_op_request(&r->op, "DELETE", url, NULL, NULL, 0, removed);
    else
        lf_op_end(&r->op);
}

/* Of one adapter whose grace is over. Names on their way to the daemon stay hidden until it has
 * answered. */
static void run_adapter(struct lf_fs *fs, struct lf_node *adapter)
{
    struct lf_hidden *h, *next;
    lf_node_hold(adapter);
    for (h = LIST_FIRST(&adapter->hidden); h; h = next) {
        next = LIST_NEXT(h, link);
        if (h->remove && !h->sending)
            send_removal(fs, adapter, h);
        else if (!h->remove)
            drop(fs, adapter, h);
    }
    lf_node_release(&fs->nodes, adapter);
}

void lf_removal_run(struct lf_fs *fs, bool everything)
{
    uint64_t now = lf_clock_ns(), soonest = UINT64_MAX;
    struct lf_node *adapter, *next;
    for (adapter = LIST_FIRST(&fs->removing); adapter; adapter = next) {
        next = LIST_NEXT(adapter, removing);
        if (everything || adapter->hidden_until_ns <= now)
            run_adapter(fs, adapter);
        else if (adapter->hidden_until_ns < soonest)
            soonest = adapter->hidden_until_ns;
    }
    if (soonest != UINT64_MAX)
        lf_timer_set(&fs->timers, &fs->removal_timer,
                     (unsigned)((soonest - now) / LF_NS_PER_MS) + 1);
}

/* ---- What rmdir may remove ------------------------------------------------------------------- */

static bool hidden_rel(struct lf_node *adapter, const char *rel)
{
    return find(adapter, rel) != NULL;
}

struct emptiness {
    struct lf_node *adapter;
    const struct lf_place *dir;
};

/* A name of adapter/, versions/ or versions/<n>/ that was not removed. */
static enum lf_err check_name(void *arg, const char *name)
{
    const struct emptiness *e = arg;
    char rel[2 * LF_REL_MAX];
    snprintf(rel, sizeof rel, "%s/%s", e->dir->rel, name);
    return hidden_rel(e->adapter, rel) ? LF_OK : LF_E_NOT_EMPTY;
}

static bool has_locals(const struct lf_node *adapter, const struct lf_node *dir)
{
    const struct lf_node *n;
    LIST_FOREACH(n, &adapter->locals, local)
    if (n->parent == dir)
        return true;
    return false;
}

/* Of an adapter: what a person would miss. Its settings and what the daemon makes do not count. */
static enum lf_err check_adapter(struct lf_node *adapter, const struct lf_tree_adapter *a)
{
    for (size_t i = 0; i < LF_FILE_N; i++)
        if (lf_files[i].check == LF_CHECK_ROWS && lf_tree_file(a, lf_files[i].name) &&
            !hidden_rel(adapter, lf_files[i].name))
            return LF_E_NOT_EMPTY;
    if (a->n_versions > 0 && !hidden_rel(adapter, "versions"))
        return LF_E_NOT_EMPTY;
    return LIST_EMPTY(&adapter->locals) ? LF_OK : LF_E_NOT_EMPTY;
}

static bool is_served(const struct lf_tree_adapter *a, const struct lf_place *p)
{
    return p->kind == LF_KIND_VERSION && a->current > 0 &&
           lf_space_number(p->rel + strlen(LF_FILE_VERSIONS_DIR)) == a->current;
}

/* Whether all of the adapter seems to go. */
static bool goes_whole(const struct lf_node *adapter, pid_t process)
{
    const struct lf_hidden *h;
    LIST_FOREACH(h, &adapter->hidden, link)
    if (strncmp(h->rel, LF_FILE_VERSIONS_DIR, strlen(LF_FILE_VERSIONS_DIR)) != 0)
        return true;
    return process > 0 && process == adapter->lister &&
           lf_clock_ns() - adapter->listed_ns < (uint64_t)LISTED_MS * LF_NS_PER_MS;
}

/* The names below it are there again. */
static void undo_below(struct lf_fs *fs, struct lf_node *adapter, const char *rel)
{
    struct lf_hidden *h, *next;
    size_t n = strlen(rel);
    for (h = LIST_FIRST(&adapter->hidden); h; h = next) {
        next = LIST_NEXT(h, link);
        if (strncmp(h->rel, rel, n) == 0 && h->rel[n] == '/')
            drop(fs, adapter, h);
    }
}

enum lf_err lf_removal_check(struct lf_fs *fs, struct lf_node *dir, pid_t process)
{
    struct lf_view v = lf_snapshot_view(&fs->snapshot);
    struct lf_place place;
    struct lf_node *adapter = lf_node_adapter(dir);
    lf_node_place(dir, &place);
    if (dir->kind == LF_KIND_LOCAL_DIR)
        return has_locals(adapter, dir) ? LF_E_NOT_EMPTY : LF_OK;
    const struct lf_tree_adapter *a = lf_tree_adapter(v.tree, place.owner);
    if (!a)
        return LF_E_NOT_FOUND;
    if (dir == adapter)
        return check_adapter(adapter, a);
    struct emptiness e = {adapter, &place};
    enum lf_err rc =
        has_locals(adapter, dir) ? LF_E_NOT_EMPTY : lf_space_list(&v, &place, check_name, &e);
    if (rc == LF_OK && is_served(a, &place) && !goes_whole(adapter, process)) {
        undo_below(fs, adapter, place.rel);
        rc = LF_E_BUSY;
    }
    return rc;
}
