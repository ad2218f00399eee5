/* Whose turn it is to come onto the device: keys and adapters take turns. The k-th waiting
 * generation of a key for an adapter stands where its live ones and k are as many as the others',
 * so that a flood of one's requests leaves the next of another as near as it would be alone. Those
 * of another priority have turns before, or after, all of these. */
#include "daemon/engine/inside.h"

#include "core/grow.h"
#include "core/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A power of two well above those that can be live or waiting at once. */
#define COUNTS (4 * (LF_QUEUE_MAX + LF_SEQS_MAX))
static_assert((COUNTS & (COUNTS - 1)) == 0, "a mask is made of it");
#define COUNTS_MOST (COUNTS / 2) /* those beyond share the last one's turns */

enum lf_err lf_turns_open(struct lf_turns *t, struct lf_diag *diag)
{
    t->counts = calloc(COUNTS, sizeof *t->counts);
    return t->counts ? LF_OK : lf_no_memory(diag, "the engine's tables");
}

void lf_turns_close(struct lf_turns *t)
{
    free(t->counts);
    free(t->order);
    *t = (struct lf_turns){0};
}

static struct lf_turn_count *count_of(struct lf_turns *t, const struct lf_generation *g)
{
    uint64_t id = g->pick.id, at = (id + g->key * 0x9e3779b1u) * 0x9e3779b97f4a7c15u >> 32;
    for (;; at++) {
        struct lf_turn_count *c = &t->counts[at & (COUNTS - 1)];
        if (c->id == id + 1 && c->key == g->key)
            return c;
        if (c->id != 0)
            continue;
        if (t->n_counts == COUNTS_MOST)
            return &t->rest;
        c->id = id + 1;
        c->key = g->key;
        t->n_counts++;
        return c;
    }
}

static int compare(const void *a, const void *b)
{
    const struct lf_turn *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return x->turn != y->turn ? (x->turn < y->turn ? -1 : 1) : x->i - y->i;
}

enum lf_err lf_turns_take(struct lf_turns *t, struct lf_generation *const *live, int n_live,
                          struct lf_generation *const *waiting, int n_waiting)
{
    bool mixed = false;
    enum lf_err rc = lf_grow(&t->order, &t->cap, (size_t)n_waiting, sizeof *t->order);
    if (rc != LF_OK)
        return rc;
    memset(t->counts, 0, COUNTS * sizeof *t->counts);
    t->rest = (struct lf_turn_count){0};
    t->n_counts = 0;
    for (int i = 0; i < n_live; i++)
        count_of(t, live[i])->n++;
    for (int i = 0; i < n_waiting; i++) {
        t->order[i] = (struct lf_turn){.priority = waiting[i]->priority, .i = i};
        mixed |= waiting[i]->priority != waiting[0]->priority;
    }
    if (mixed) /* the first of a priority has its key's first turn, whoever came before it */
        qsort(t->order, (size_t)n_waiting, sizeof *t->order, compare);
    for (int k = 0; k < n_waiting; k++)
        t->order[k].turn = count_of(t, waiting[t->order[k].i])->n++;
    qsort(t->order, (size_t)n_waiting, sizeof *t->order, compare);
    return LF_OK;
}
