/* Languages: sets of texts that an automaton without memory tells apart, over code points, so that
 * what two forms have in common, and what one has that the other has not, can be said as a grammar.
 *
 * Of an expression first a net of ranges and branches is made, and of that an automaton whose
 * states are the sets of places that the net may be in; an edge that is not there leads nowhere. */
#include "core/grow.h"
#include "core/num.h"
#include "core/utf8.h"
#include "text/guide/inside.h"

#include <stdlib.h>
#include <string.h>

struct edge {
    uint32_t lo, hi;
    int32_t to;
};
struct state {
    size_t first, n; /* edges, by lo */
    bool whole;
};
struct lf_language {
    struct state *state; /* the first one begins */
    struct edge *edge;
    size_t n, cap, n_edges, cap_edges;
    enum lf_err rc;
};

void lf_language_free(struct lf_language *l)
{
    if (!l)
        return;
    free(l->state);
    free(l->edge);
    free(l);
}

static void spoil(struct lf_language *l, enum lf_err rc)
{
    l->rc = l->rc ?: rc;
}

/* Behind the last state's edges. */
static void add_edge(struct lf_language *l, uint32_t lo, uint32_t hi, int32_t to)
{
    struct state *s = &l->state[l->n - 1];
    if (s->n > 0 && l->edge[l->n_edges - 1].hi + 1 == lo && l->edge[l->n_edges - 1].to == to) {
        l->edge[l->n_edges - 1].hi = hi;
        return;
    }
    if (l->n_edges >= LF_GUIDE_EDGES_MAX)
        spoil(l, LF_E_TOO_BIG);
    if (lf_grow(&l->edge, &l->cap_edges, l->n_edges + 1, sizeof *l->edge) != LF_OK)
        spoil(l, LF_E_NO_MEMORY);
    if (l->rc != LF_OK)
        return;
    l->edge[l->n_edges++] = (struct edge){lo, hi, to};
    s->n++;
}

/* States are made in the order in which they are met: the next one gets its edges now. */
static bool begin_state(struct lf_language *l, bool whole)
{
    if (lf_grow(&l->state, &l->cap, l->n + 1, sizeof *l->state) != LF_OK)
        spoil(l, LF_E_NO_MEMORY);
    if (l->rc == LF_OK)
        l->state[l->n++] = (struct state){.first = l->n_edges, .whole = whole};
    return l->rc == LF_OK;
}

/* ---- Keys of states -------------------------------------------------------------------------- */

/* Lists of numbers, each with the state that it stands for. */
struct keys {
    int32_t *item; /* all of them */
    size_t n_items, cap_items;
    size_t *off; /* (n + 1) */
    size_t n, cap;
    uint32_t *slot; /* (LF_GUIDE_STATES_MAX * 2) state + 1 */
};

static bool keys_open(struct keys *k)
{
    *k = (struct keys){.slot = calloc(2 * LF_GUIDE_STATES_MAX, sizeof *k->slot)};
    return k->slot && lf_grow(&k->off, &k->cap, 1, sizeof *k->off) == LF_OK &&
           (k->off[0] = 0, true);
}

static void keys_close(struct keys *k)
{
    free(k->item);
    free(k->off);
    free(k->slot);
}

/* The state of a list; -1: there is none any more. */
static int32_t keys_find(struct keys *k, const int32_t *list, size_t n, struct lf_language *l)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint32_t)list[i]) * 0xff51afd7ed558ccdu, h ^= h >> 32;
    size_t at = h & (2 * LF_GUIDE_STATES_MAX - 1);
    for (; k->slot[at]; at = (at + 1) & (2 * LF_GUIDE_STATES_MAX - 1)) {
        size_t s = k->slot[at] - 1;
        if (k->off[s + 1] - k->off[s] == n &&
            (n == 0 || memcmp(k->item + k->off[s], list, n * sizeof *list) == 0))
            return (int32_t)s;
    }
    if (k->n == LF_GUIDE_STATES_MAX)
        spoil(l, LF_E_TOO_BIG);
    if (lf_grow(&k->item, &k->cap_items, k->n_items + n, sizeof *k->item) != LF_OK ||
        lf_grow(&k->off, &k->cap, k->n + 2, sizeof *k->off) != LF_OK)
        spoil(l, LF_E_NO_MEMORY);
    if (l->rc != LF_OK)
        return -1;
    if (n > 0)
        memcpy(k->item + k->n_items, list, n * sizeof *list);
    k->n_items += n;
    k->off[++k->n] = k->n_items;
    k->slot[at] = (uint32_t)k->n;
    return (int32_t)k->n - 1;
}

/* ---- Of an expression ------------------------------------------------------------------------ */

#define END 0 /* of a net: its first place */
#define BRANCH UINT32_MAX

struct net_place {
    uint32_t lo, hi; /* lo BRANCH: to both */
    int32_t next, other;
};
struct net {
    const struct lf_rules *r;
    struct net_place *place;
    size_t n, cap;
    struct lf_language *l;
    uint32_t *met; /* (n) by stamp */
    uint32_t stamp;
    int32_t *list; /* places of the state that is being made */
    size_t n_list, cap_list;
    int32_t *stack;
    size_t n_stack, cap_stack;
    uint32_t *cut;
    size_t n_cut, cap_cut;
};

static int32_t place(struct net *x, struct net_place p)
{
    if (x->n >= LF_GUIDE_NODES_MAX)
        spoil(x->l, LF_E_TOO_BIG);
    if (lf_grow(&x->place, &x->cap, x->n + 1, sizeof *x->place) != LF_OK)
        spoil(x->l, LF_E_NO_MEMORY);
    if (x->l->rc != LF_OK)
        return LF_NONE;
    x->place[x->n] = p;
    return (int32_t)x->n++;
}

static int32_t points(void *x, struct lf_points p, int32_t next)
{
    return place(x, (struct net_place){p.lo, p.hi, next, LF_NONE});
}

/* There are no rules in what is asked for here. */
static int32_t call(void *x, int32_t rule, int32_t next)
{
    (void)rule;
    (void)next;
    spoil(((struct net *)x)->l, LF_E_INVALID);
    return LF_NONE;
}

static int32_t either(void *x, int32_t a, int32_t b)
{
    return a == LF_NONE ? b : b == LF_NONE ? a : place(x, (struct net_place){BRANCH, 0, a, b});
}

static int32_t loop(void *x, int32_t next)
{
    return place(x, (struct net_place){BRANCH, 0, next, next});
}

static void loop_to(void *x, int32_t at, int32_t to)
{
    ((struct net *)x)->place[at].other = to;
}

/* The place that leads through the expression to the end. */
static int32_t lay(struct net *x, int32_t at)
{
    const struct lf_laying y = {.r = x->r,
                                .arg = x,
                                .rc = &x->l->rc,
                                .points = points,
                                .call = call,
                                .either = either,
                                .loop = loop,
                                .loop_to = loop_to};
    return lf_expr_lay(&y, at, END);
}

static void push(struct net *x, int32_t at)
{
    if (at == LF_NONE || x->met[at] == x->stamp)
        return;
    x->met[at] = x->stamp;
    if (lf_grow(&x->stack, &x->cap_stack, x->n_stack + 1, sizeof *x->stack) != LF_OK)
        spoil(x->l, LF_E_NO_MEMORY);
    else
        x->stack[x->n_stack++] = at;
}

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static int by_cut(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* What was pushed, with all that takes no code point, in order. */
static void close_list(struct net *x)
{
    x->n_list = 0;
    while (x->n_stack > 0 && x->l->rc == LF_OK) {
        int32_t at = x->stack[--x->n_stack];
        const struct net_place *p = &x->place[at];
        if (at != END && p->lo == BRANCH) {
            push(x, p->next);
            push(x, p->other);
        } else if (lf_grow(&x->list, &x->cap_list, x->n_list + 1, sizeof *x->list) != LF_OK) {
            spoil(x->l, LF_E_NO_MEMORY);
        } else {
            x->list[x->n_list++] = at;
        }
    }
    if (x->n_list > 1)
        qsort(x->list, x->n_list, sizeof *x->list, by_number);
}

static void add_cut(struct net *x, uint32_t c)
{
    if (lf_grow(&x->cut, &x->cap_cut, x->n_cut + 1, sizeof *x->cut) != LF_OK)
        spoil(x->l, LF_E_NO_MEMORY);
    else
        x->cut[x->n_cut++] = c;
}

/* The edges of a state: between the places where a range begins or ends all are alike. */
static void add_edges(struct net *x, struct keys *k, size_t s)
{
    x->n_cut = 0;
    for (size_t i = k->off[s]; i < k->off[s + 1]; i++) {
        const struct net_place *p = &x->place[k->item[i]];
        if (k->item[i] == END)
            continue;
        add_cut(x, p->lo);
        add_cut(x, p->hi + 1);
    }
    if (x->n_cut > 1)
        qsort(x->cut, x->n_cut, sizeof *x->cut, by_cut);
    for (size_t c = 0; c + 1 < x->n_cut && x->l->rc == LF_OK; c++) {
        if (x->cut[c] == x->cut[c + 1])
            continue;
        x->stamp++;
        for (size_t i = k->off[s]; i < k->off[s + 1]; i++) {
            const struct net_place *p = &x->place[k->item[i]];
            if (k->item[i] != END && p->lo <= x->cut[c] && x->cut[c] <= p->hi)
                push(x, p->next);
        }
        close_list(x);
        if (x->n_list == 0 || x->l->rc != LF_OK)
            continue;
        int32_t to = keys_find(k, x->list, x->n_list, x->l);
        if (to >= 0)
            add_edge(x->l, x->cut[c], x->cut[c + 1] - 1, to);
    }
}

static void walk_net(struct net *x, int32_t start)
{
    struct keys k;
    x->met = calloc(x->n, sizeof *x->met);
    if (!keys_open(&k) || !x->met)
        spoil(x->l, LF_E_NO_MEMORY);
    x->stamp = 1;
    if (x->l->rc == LF_OK)
        push(x, start);
    close_list(x);
    if (x->l->rc == LF_OK)
        keys_find(&k, x->list, x->n_list, x->l);
    for (size_t s = 0; s < k.n && x->l->rc == LF_OK; s++)
        if (begin_state(x->l, k.off[s] < k.off[s + 1] && k.item[k.off[s]] == END))
            add_edges(x, &k, s);
    keys_close(&k);
}

/* What is made, or nothing. */
static struct lf_language *given(struct lf_language *l, struct lf_diag *diag)
{
    if (l && l->rc == LF_OK)
        return l;
    if (l && l->rc == LF_E_TOO_BIG)
        lf_fail(diag, LF_E_UNSUPPORTED,
                "the schema: what it says of a string, number or name together is too large to be "
                "done");
    else if (!l || l->rc == LF_E_NO_MEMORY)
        lf_fail(diag, LF_E_NO_MEMORY, "no memory for a schema");
    lf_language_free(l);
    return NULL;
}

struct lf_language *lf_language_of(const char *expression, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    struct lf_rules rules = {0};
    struct net x = {.r = &rules, .l = calloc(1, sizeof *x.l)};
    if (!x.l)
        return given(NULL, diag);
    lf_buf_printf(&text, "root ::= %s\n", expression);
    x.l->rc = text.rc ?: lf_rules_parse(&rules, lf_buf_str(&text), text.len, diag);
    place(&x, (struct net_place){0}); /* END */
    int32_t start = x.l->rc == LF_OK ? lay(&x, rules.rule[0].expr) : LF_NONE;
    if (x.l->rc == LF_OK)
        walk_net(&x, start);
    lf_rules_free(&rules);
    free(x.place);
    free(x.met);
    free(x.list);
    free(x.stack);
    free(x.cut);
    return given(x.l, diag);
}

struct lf_language *lf_language_multiples(int of, int digits, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    struct lf_language *l = calloc(1, sizeof *l);
    if (!l)
        return given(NULL, diag);
    /* The beginning, 0 alone, and a state for each remainder. */
    if (begin_state(l, false)) {
        add_edge(l, '0', '0', 1);
        for (int c = 1; c < 10; c++)
            add_edge(l, '0' + (uint32_t)c, '0' + (uint32_t)c, 2 + c % of);
    }
    begin_state(l, true);
    for (int rest = 0; rest < of && begin_state(l, rest == 0); rest++)
        for (int c = 0; c < 10; c++)
            add_edge(l, '0' + (uint32_t)c, '0' + (uint32_t)c, 2 + (10 * rest + c) % of);
    lf_buf_printf(&text, "[0-9]{1,%d}", digits);
    return lf_language_both(given(l, diag), lf_language_of(lf_buf_str(&text), diag), diag);
}

/* ---- Of two ---------------------------------------------------------------------------------- */

static const struct edge *edges(const struct lf_language *l, int32_t s, size_t *n)
{
    *n = s < 0 ? 0 : l->state[s].n;
    return *n > 0 ? l->edge + l->state[s].first : NULL;
}

/* a's edges, cut where those of b begin and end. Where b has none it is nowhere, -1. */
static void pair_edges(struct lf_language *out, struct keys *k, const struct lf_language *a,
                       const struct lf_language *b, const int32_t *pair, bool without)
{
    size_t n, m, j = 0;
    const struct edge *x = edges(a, pair[0], &n), *y = edges(b, pair[1], &m);
    for (size_t i = 0; i < n && out->rc == LF_OK; i++) {
        uint32_t lo = x[i].lo;
        while (lo <= x[i].hi && out->rc == LF_OK) {
            while (j < m && y[j].hi < lo)
                j++;
            bool in = j < m && y[j].lo <= lo;
            uint32_t hi = in ? y[j].hi : j < m && y[j].lo - 1 < x[i].hi ? y[j].lo - 1 : x[i].hi;
            hi = hi < x[i].hi ? hi : x[i].hi;
            int32_t to[2] = {x[i].to, in ? y[j].to : -1};
            if (in || without)
                add_edge(out, lo, hi, keys_find(k, to, 2, out));
            lo = hi + 1;
        }
    }
}

static struct lf_language *of_two(const struct lf_language *a, const struct lf_language *b,
                                  bool without, struct lf_diag *diag)
{
    struct lf_language *out = calloc(1, sizeof *out);
    struct keys k = {0};
    if (!out || !keys_open(&k)) {
        keys_close(&k);
        free(out);
        return given(NULL, diag);
    }
    keys_find(&k, (const int32_t[]){0, 0}, 2, out);
    for (size_t s = 0; s < k.n && out->rc == LF_OK; s++) {
        const int32_t pair[2] = {k.item[2 * s], k.item[2 * s + 1]};
        bool other = pair[1] >= 0 && b->state[pair[1]].whole;
        if (begin_state(out, a->state[pair[0]].whole && other != without))
            pair_edges(out, &k, a, b, pair, without);
    }
    keys_close(&k);
    return given(out, diag);
}

struct lf_language *lf_language_both(struct lf_language *a, struct lf_language *b,
                                     struct lf_diag *diag)
{
    struct lf_language *out = a && b ? of_two(a, b, false, diag) : NULL;
    lf_language_free(a);
    lf_language_free(b);
    return out;
}

struct lf_language *lf_language_without(struct lf_language *a, struct lf_language *b,
                                        struct lf_diag *diag)
{
    struct lf_language *out = a && b ? of_two(a, b, true, diag) : NULL;
    lf_language_free(a);
    lf_language_free(b);
    return out;
}

/* States from which one comes to an end. Yours, NULL: no memory. */
static bool *alive(const struct lf_language *l)
{
    bool *live = calloc(l->n, sizeof *live);
    for (bool changed = live; changed;) {
        changed = false;
        for (size_t s = l->n; s-- > 0;) {
            bool now = live[s] || l->state[s].whole;
            for (size_t i = 0; i < l->state[s].n && !now; i++)
                now = live[l->edge[l->state[s].first + i].to];
            changed = changed || now != live[s];
            live[s] = now;
        }
    }
    return live;
}

/* No text is longer. */
static bool is_within(const struct lf_language *l, int64_t most)
{
    bool *live = alive(l), *now = calloc(l->n, sizeof *now), *next = calloc(l->n, sizeof *next);
    bool any = live && now && next && live[0], within = live && now && next;
    if (any)
        now[0] = true;
    for (int64_t n = 0; n <= most && any; n++) {
        any = false;
        memset(next, 0, l->n * sizeof *next);
        for (size_t s = 0; s < l->n; s++)
            for (size_t i = 0; i < l->state[s].n && now[s]; i++) {
                int32_t to = l->edge[l->state[s].first + i].to;
                next[to] = live[to];
                any = any || live[to];
            }
        bool *was = now;
        now = next;
        next = was;
    }
    free(live);
    free(now);
    free(next);
    return within && !any;
}

struct lf_language *lf_language_sized(struct lf_language *l, int64_t least, int64_t most,
                                      struct lf_diag *diag)
{
    struct lf_language *out = calloc(1, sizeof *out);
    struct keys k = {0};
    if (!l || !out || !keys_open(&k)) {
        keys_close(&k);
        lf_language_free(l);
        free(out);
        return l ? given(NULL, diag) : NULL;
    }
    if (least == 0 && most >= 0 && is_within(l, most)) {
        keys_close(&k);
        free(out);
        return l;
    }
    int64_t room = LF_GUIDE_STATES_MAX / (int64_t)l->n - 1; /* for as many lengths of each state */
    if (most > room)
        most = room > least ? room : least;
    int64_t cap = most >= 0 ? most : least;
    keys_find(&k, (const int32_t[]){0, 0}, 2, out);
    for (size_t s = 0; s < k.n && out->rc == LF_OK; s++) {
        const struct state *at = &l->state[k.item[2 * s]];
        int32_t n = k.item[2 * s + 1];
        if (!begin_state(out, at->whole && n >= least))
            break;
        for (size_t i = at->first; i < at->first + at->n && (n < cap || most < 0); i++) {
            const int32_t to[] = {l->edge[i].to, n < cap ? n + 1 : n};
            add_edge(out, l->edge[i].lo, l->edge[i].hi, keys_find(&k, to, 2, out));
        }
    }
    keys_close(&k);
    lf_language_free(l);
    return given(out, diag);
}

struct lf_language *lf_language_copy(const struct lf_language *l, struct lf_diag *diag)
{
    struct lf_language *out = calloc(1, sizeof *out);
    if (!out || lf_grow(&out->state, &out->cap, l->n, sizeof *l->state) != LF_OK ||
        lf_grow(&out->edge, &out->cap_edges, l->n_edges + 1, sizeof *l->edge) != LF_OK) {
        lf_language_free(out);
        return given(NULL, diag);
    }
    memcpy(out->state, l->state, l->n * sizeof *l->state);
    if (l->n_edges > 0)
        memcpy(out->edge, l->edge, l->n_edges * sizeof *l->edge);
    out->n = l->n;
    out->n_edges = l->n_edges;
    return out;
}

bool lf_language_has(const struct lf_language *l, const char *text, size_t n)
{
    int32_t s = 0;
    for (size_t at = 0; at < n && s >= 0;) {
        size_t len = lf_utf8_len(text + at, n - at);
        uint32_t c = len ? lf_utf8_get(text + at, &len) : 0;
        const struct edge *e = l->edge + l->state[s].first;
        int32_t to = -1;
        for (size_t i = 0; i < l->state[s].n && len; i++)
            if (e[i].lo <= c && c <= e[i].hi)
                to = e[i].to;
        s = to;
        at += len ? len : 1;
    }
    return s >= 0 && l->state[s].whole;
}

/* ---- As a grammar ---------------------------------------------------------------------------- */

bool lf_language_empty(const struct lf_language *l)
{
    bool *live = alive(l), any = !live || live[0];
    free(live);
    return !any;
}

size_t lf_language_states(const struct lf_language *l)
{
    return l ? l->n : 0;
}

/* One rule for a state: for each state that it leads to what does. */
static void write_state(const struct lf_language *l, size_t s, size_t id, bool in_json,
                        const bool *live, bool *done, struct lf_points *set, struct lf_buf *rules)
{
    const struct edge *e = l->edge + l->state[s].first;
    size_t n = l->state[s].n;
    lf_buf_printf(rules, "s%zu-%zu ::=%s", id, s, l->state[s].whole ? " \"\"" : "");
    bool any = l->state[s].whole;
    for (size_t i = 0; i < n; i++) {
        size_t m = 0;
        if (done[e[i].to] || !live[e[i].to])
            continue;
        done[e[i].to] = true;
        for (size_t k = i; k < n; k++)
            if (e[k].to == e[i].to)
                set[m++] = (struct lf_points){e[k].lo, e[k].hi};
        lf_buf_puts(rules, any ? " | " : " ");
        lf_gbnf_set(rules, set, lf_ranges_settle(set, m, false), in_json);
        lf_buf_printf(rules, " s%zu-%d", id, (int)e[i].to);
        any = true;
    }
    for (size_t i = 0; i < n; i++)
        done[e[i].to] = false;
    lf_buf_putc(rules, '\n');
}

enum lf_err lf_language_write(const struct lf_language *l, bool in_json, struct lf_buf *rules,
                              struct lf_buf *text)
{
    size_t id = rules->len, most = 1; /* no two begin at the same place */
    for (size_t s = 0; s < l->n; s++)
        most = l->state[s].n > most ? l->state[s].n : most;
    bool *live = alive(l), *done = calloc(l->n, sizeof *done);
    struct lf_points *set = malloc((most + 1) * sizeof *set);
    enum lf_err rc = live && done && set ? LF_OK : LF_E_NO_MEMORY;
    for (size_t s = 0; s < l->n && rc == LF_OK; s++)
        if (live[s])
            write_state(l, s, id, in_json, live, done, set, rules);
    if (rc == LF_OK && live[0])
        lf_buf_printf(text, "s%zu-0", id);
    else if (rc == LF_OK)
        lf_buf_puts(text, LF_GBNF_NOTHING);
    free(live);
    free(done);
    free(set);
    return rc ?: rules->rc ?: text->rc;
}
