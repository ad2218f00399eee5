/* Pages of the KV cache: who holds them, which can be found again by what they hold, and each
 * layer's place in the one allocation.
 *
 * A page is free, or held by one sequence or several, or idle: kept though nobody holds it. Kept
 * pages hang in a table by their owner, tokens and the kept page before them, and stay where they
 * are until there is no free one and they have been idle longest. A sequence lets go of its pages
 * from the last to the first, and holds all that come before a page that it keeps: so a page never
 * goes before those that follow it in a text. */
#include "core/num.h"
#include "model/exec_inside.h"
#include "model/rope.h"

#include <stdlib.h>
#include <string.h>

#define NONE (-1)

struct kv_page {
    uint64_t owner;
    int32_t refs;
    int32_t before;       /* the page that this one follows, or NONE */
    int32_t next;         /* in its bucket */
    int32_t older, newer; /* among the idle */
    int32_t rope_row;
    bool kept; /* it is in the table */
    int32_t ids[LF_KV_PAGE_TOKENS];
};

struct lf_kv_pool {
    struct kv_page *page; /* (n) */
    int32_t *free;        /* (n) a stack of n_free */
    int32_t *bucket;      /* (mask + 1) */
    uint32_t mask;
    int n, n_free;
    int32_t oldest, newest; /* of the idle */
    int n_idle;
};

enum lf_err lf_exec_kv_open(struct lf_exec *x, struct lf_diag *diag)
{
    int n = x->limits.kv_pages, buckets = 1;
    if (n == 0)
        return LF_OK;
    while (buckets < n)
        buckets *= 2;
    struct lf_kv_pool *p = x->pool = calloc(1, sizeof *p);
    if (!p)
        return lf_no_memory(diag, "%d KV pages", n);
    p->n = p->n_free = n;
    p->mask = (uint32_t)buckets - 1;
    p->oldest = p->newest = NONE;
    p->page = calloc((size_t)n, sizeof *p->page);
    p->free = calloc((size_t)n, sizeof *p->free);
    p->bucket = malloc((size_t)buckets * sizeof *p->bucket);
    if (!p->page || !p->free || !p->bucket)
        return lf_no_memory(diag, "%d KV pages", n);
    for (int i = 0; i < n; i++) /* low numbers are handed out first */
        p->free[i] = n - 1 - i;
    for (int i = 0; i < buckets; i++)
        p->bucket[i] = NONE;
    return LF_OK;
}

void lf_exec_kv_close(struct lf_exec *x)
{
    if (!x->pool)
        return;
    free(x->pool->page);
    free(x->pool->free);
    free(x->pool->bucket);
    free(x->pool);
}

void *lf_exec_kv_layer(const struct lf_exec *x, int l, bool values)
{
    if (!x->kv)
        return NULL;
    size_t i = (size_t)l + (values ? (size_t)x->model->config.L : 0);
    return x->kv + i * x->kv_layer_bytes;
}

/* ---- The table ------------------------------------------------------------------------------- */

static bool same(const struct kv_page *a, const struct kv_page *b)
{
    return a->owner == b->owner && a->before == b->before && a->rope_row == b->rope_row &&
           memcmp(a->ids, b->ids, sizeof a->ids) == 0;
}

static int32_t *bucket_of(const struct lf_kv_pool *p, const struct kv_page *key)
{
    uint64_t h = key->owner ^ (uint64_t)(uint32_t)key->before << 32 ^ (uint32_t)key->rope_row;
    for (int i = 0; i < LF_KV_PAGE_TOKENS; i++)
        h = (h ^ (uint32_t)key->ids[i]) * 0x9e3779b97f4a7c15u;
    return &p->bucket[(uint32_t)(h >> 32) & p->mask];
}

/* What is kept of s's owner behind page `before` with these tokens. */
static struct kv_page key_of(const struct lf_kv_seq *s, int32_t before, const int32_t *ids)
{
    struct kv_page key = {.owner = s->owner, .before = before, .rope_row = s->rope_row};
    memcpy(key.ids, ids, sizeof key.ids);
    return key;
}

static int32_t find(const struct lf_kv_pool *p, const struct kv_page *key)
{
    int32_t i = *bucket_of(p, key);
    while (i != NONE && !same(&p->page[i], key))
        i = p->page[i].next;
    return i;
}

static void take_out(struct lf_kv_pool *p, int32_t i)
{
    int32_t *link = bucket_of(p, &p->page[i]);
    while (*link != i)
        link = &p->page[*link].next;
    *link = p->page[i].next;
    p->page[i].kept = false;
}

/* ---- Holding --------------------------------------------------------------------------------- */

static void idle_push(struct lf_kv_pool *p, int32_t i)
{
    p->page[i].older = p->newest;
    p->page[i].newer = NONE;
    *(p->newest == NONE ? &p->oldest : &p->page[p->newest].newer) = i;
    p->newest = i;
    p->n_idle++;
}

static void idle_pull(struct lf_kv_pool *p, int32_t i)
{
    const struct kv_page *g = &p->page[i];
    *(g->older == NONE ? &p->oldest : &p->page[g->older].newer) = g->newer;
    *(g->newer == NONE ? &p->newest : &p->page[g->newer].older) = g->older;
    p->n_idle--;
}

static void hold(struct lf_kv_pool *p, int32_t i)
{
    if (p->page[i].refs++ == 0)
        idle_pull(p, i);
}

static void let_go(struct lf_kv_pool *p, int32_t i)
{
    lf_assert(p->page[i].refs > 0);
    if (--p->page[i].refs > 0)
        return;
    if (p->page[i].kept)
        idle_push(p, i);
    else
        p->free[p->n_free++] = i;
}

/* A page that is nobody's; there is one. */
static int32_t take(struct lf_kv_pool *p)
{
    if (p->n_free == 0) {
        int32_t i = p->oldest;
        idle_pull(p, i);
        take_out(p, i);
        p->free[p->n_free++] = i;
    }
    int32_t i = p->free[--p->n_free];
    p->page[i].refs = 1;
    return i;
}

static enum lf_err list_grow(struct lf_kv_seq *s, int need)
{
    int cap = s->cap > 0 ? s->cap : 8;
    if (need <= s->cap)
        return LF_OK;
    while (cap < need)
        cap *= 2;
    int32_t *grown = realloc(s->pages, (size_t)cap * sizeof *grown);
    if (!grown)
        return LF_E_NO_MEMORY;
    s->pages = grown;
    s->cap = cap;
    return LF_OK;
}

enum lf_err lf_exec_kv_grow(struct lf_exec *x, struct lf_kv_seq *s, int n_tokens)
{
    int need = (n_tokens + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
    if (need <= s->n_pages)
        return LF_OK;
    if (need - s->n_pages > lf_exec_kv_free_pages(x))
        return LF_E_DEVICE_FULL;
    enum lf_err rc = list_grow(s, need);
    while (rc == LF_OK && s->n_pages < need)
        s->pages[s->n_pages++] = take(x->pool);
    return rc;
}

void lf_exec_kv_release(struct lf_exec *x, struct lf_kv_seq *s)
{
    while (s->n_pages > 0)
        let_go(x->pool, s->pages[--s->n_pages]);
    free(s->pages);
    *s = (struct lf_kv_seq){.owner = s->owner};
}

/* ---- Finding --------------------------------------------------------------------------------- */

void lf_exec_kv_find(struct lf_exec *x, struct lf_kv_seq *s, const int32_t *ids, int n)
{
    struct lf_kv_pool *p = x->pool;
    int32_t at = NONE;
    lf_assert(s->n_pages == 0);
    if (s->owner == 0)
        return;
    s->rope_row = lf_rope_row(&x->model->config, lf_max_int(s->planned, n));
    for (int k = 0; k < (n - 1) / LF_KV_PAGE_TOKENS; k++) {
        struct kv_page key = key_of(s, at, ids + k * LF_KV_PAGE_TOKENS);
        at = find(p, &key);
        if (at == NONE || list_grow(s, k + 1) != LF_OK)
            break;
        hold(p, at);
        s->pages[s->n_pages++] = at;
    }
    s->n_kept = s->n_pages;
    s->n_tokens = s->n_pages * LF_KV_PAGE_TOKENS;
}

/* Page k of s, with these tokens, follows a kept one: into the table, or replaced by the one that
 * is there already and holds the same. */
static void keep(struct lf_kv_pool *p, struct lf_kv_seq *s, int k, const int32_t *ids)
{
    struct kv_page key = key_of(s, k > 0 ? s->pages[k - 1] : NONE, ids);
    int32_t there = find(p, &key), i = s->pages[k];
    if (there != NONE) {
        hold(p, there);
        let_go(p, i);
        s->pages[k] = there;
        return;
    }
    int32_t *bucket = bucket_of(p, &key);
    key.refs = p->page[i].refs;
    key.kept = true;
    key.next = *bucket;
    p->page[i] = key;
    *bucket = i;
}

void lf_exec_kv_keep(struct lf_exec *x, struct lf_kv_seq *s, const int32_t *ids, int n)
{
    struct lf_kv_pool *p = x->pool;
    int full = lf_min_int(s->n_tokens, n) / LF_KV_PAGE_TOKENS;
    while (s->owner != 0 && s->n_kept < full) {
        int k = s->n_kept;
        if (k > 0 && !p->page[s->pages[k - 1]].kept) /* forgotten */
            return;
        keep(p, s, k, ids + k * LF_KV_PAGE_TOKENS);
        s->n_kept++;
    }
}

void lf_exec_kv_forget(struct lf_exec *x, uint64_t owner)
{
    struct lf_kv_pool *p = x->pool;
    for (int32_t i = 0; p && i < p->n; i++) {
        if (!p->page[i].kept || p->page[i].owner != owner)
            continue;
        take_out(p, i);
        if (p->page[i].refs > 0)
            continue;
        idle_pull(p, i);
        p->free[p->n_free++] = i;
    }
}

bool lf_exec_kv_outgrown(const struct lf_exec *x, const struct lf_kv_seq *s, int n_tokens)
{
    return s->n_tokens > 0 && lf_rope_row(&x->model->config, n_tokens) > s->rope_row;
}

int lf_exec_kv_free_pages(const struct lf_exec *x)
{
    return x->pool ? x->pool->n_free + x->pool->n_idle : 0;
}

int lf_exec_kv_idle_pages(const struct lf_exec *x)
{
    return x->pool ? x->pool->n_idle : 0;
}
