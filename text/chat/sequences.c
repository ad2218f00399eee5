/* Filters on sequences. Those that are generators in jinja2 do their work at once here, and keep an
 * error back until somebody takes the item that met it. */
#include "text/chat/names.h"
#include "text/limits.h"

#include <string.h>

#define FILTER(name) \
    static struct lf_jv name(struct lf_jrun *r, struct lf_jv v, const struct lf_jbound *a)

/* --- a generator's result under way --- */

struct yield {
    struct lf_jlist *items;
    struct lf_diag *diag, own;
};

static void yield_begin(struct yield *y, struct lf_jrun *r)
{
    *y = (struct yield){.items = lf_jlist_new(r, 0), .diag = r->diag};
    r->diag = &y->own;
}

/* An error of the template waits for its item; one of ours (a limit, a missing part) does not. */
static struct lf_jv yield_end(struct yield *y, struct lf_jrun *r)
{
    const char *text = strstr(y->own.text, ": "), *why = NULL;
    r->diag = y->diag;
    if (r->rc == LF_E_INVALID) {
        r->rc = LF_OK;
        text = text ? text + 2 : y->own.text;
        why = lf_jv_copy(r, (struct lf_str){text, strlen(text)}).s.s;
    } else if (r->rc != LF_OK) {
        lf_fail(r->diag, r->rc, "%s", y->own.text);
    }
    return lf_jiterator_new(r, y->items, why);
}

/* --- attributes: "a.b.0" --- */

/* One step of a path: an index where it is all digits. */
static struct lf_jv path_step(struct lf_str s)
{
    int64_t i = 0;
    bool digits = s.n > 0 && s.n < 10;
    for (size_t k = 0; k < s.n && digits; k++) {
        digits = s.s[k] >= '0' && s.s[k] <= '9';
        i = 10 * i + (s.s[k] - '0');
    }
    return digits ? lf_jv_int(i) : lf_jv_str(s);
}

/* Follows a path from v; where something is undefined, `instead` if it is there. */
static struct lf_jv follow(struct lf_jrun *r, struct lf_jv v, struct lf_jv path,
                           const struct lf_jv *instead)
{
    struct lf_str rest = path.s;
    if (path.type == LF_J_NONE || path.type == LF_J_UNDEFINED)
        return v;
    for (bool more = true; more && r->rc == LF_OK;) {
        bool string = path.type == LF_J_STRING;
        const char *dot = string ? memchr(rest.s, '.', rest.n) : NULL;
        struct lf_str step = {rest.s, dot ? (size_t)(dot - rest.s) : rest.n};
        v = lf_jv_getitem(r, v, string ? path_step(step) : path);
        if (v.type == LF_J_UNDEFINED && instead)
            v = *instead;
        more = dot != NULL;
        if (more)
            rest = (struct lf_str){dot + 1, rest.n - step.n - 1};
    }
    return v;
}

/* What an item is ordered by. */
static struct lf_jv key_of(struct lf_jrun *r, struct lf_jv v, struct lf_jv path,
                           struct lf_jv case_sensitive)
{
    v = follow(r, v, path, NULL);
    return v.type == LF_J_STRING && !lf_jv_truth(case_sensitive)
               ? lf_j_change_case(r, v, LF_J_LOWER)
               : v;
}

/* --- simple ones --- */

FILTER(length)
{
    (void)a;
    return lf_jv_int((int64_t)lf_jv_length(r, v));
}

FILTER(first)
{
    (void)a;
    struct lf_jiterator all = {0}, *it = v.type == LF_J_ITERATOR ? v.iterator : &all;
    if (it == &all)
        all.items = lf_jv_items(r, v);
    if (it->at < it->items->n)
        return it->items->v[it->at++];
    return it->why ? lf_j_fail(r, LF_E_INVALID, "%s", it->why)
                   : lf_jv_undefined("no first item, sequence was empty");
}

FILTER(last)
{
    (void)a;
    if (v.type == LF_J_ITERATOR)
        return lf_j_fail(r, LF_E_INVALID, "'generator' object is not reversible");
    const struct lf_jlist *items = lf_jv_items(r, v);
    return items->n ? items->v[items->n - 1] : lf_jv_undefined("no last item, sequence was empty");
}

FILTER(list)
{
    (void)a;
    return lf_jv_list(LF_J_LIST, lf_jv_items(r, v));
}

/* A string backwards; an iterator over anything else, a list of an iterator's items. */
FILTER(reverse)
{
    (void)a;
    static const struct lf_jv backwards[3] = {
        {.type = LF_J_NONE}, {.type = LF_J_NONE}, {.type = LF_J_INT, .i = -1}};
    if (v.type == LF_J_STRING)
        return lf_jv_slice(r, v, backwards);
    struct lf_jv out = lf_jv_slice(r, lf_jv_list(LF_J_LIST, lf_jv_items(r, v)), backwards);
    return v.type == LF_J_ITERATOR || r->rc != LF_OK ? out : lf_jiterator_new(r, out.list, NULL);
}

FILTER(items)
{
    (void)a;
    struct yield y;
    yield_begin(&y, r);
    const struct lf_jlist *pairs = &r->no_list;
    if (v.type == LF_J_DICT)
        pairs = lf_jdict_view(r, v.dict, LF_J_ITEMS).list;
    else if (v.type != LF_J_UNDEFINED)
        lf_j_fail(r, LF_E_INVALID, "can only get item pairs from a mapping");
    for (size_t i = 0; i < pairs->n; i++)
        lf_jlist_add(r, y.items, pairs->v[i]);
    return yield_end(&y, r);
}

FILTER(join)
{
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    const struct lf_jlist *parts = lf_jv_items(r, v);
    for (size_t i = 0; i < parts->n && r->rc == LF_OK; i++) {
        if (i > 0)
            lf_jv_print(r, &b, a->v[0]);
        lf_jv_print(r, &b, follow(r, parts->v[i], a->v[1], NULL));
    }
    return lf_jv_take(r, &b);
}

/* --- map, select, reject --- */

/* The arguments behind the first n. */
static struct lf_jcall rest_of(const struct lf_jcall *c, size_t n)
{
    return n < c->n ? (struct lf_jcall){c->v + n, c->n - n, c->kw, c->n_kw}
                    : (struct lf_jcall){.kw = c->kw, .n_kw = c->n_kw};
}

/* The filter or test whose name is an argument. */
static const struct lf_jdef *named(struct lf_jrun *r, const char *kind,
                                   const struct lf_jdef *(*find)(struct lf_str),
                                   const struct lf_jcall *c, size_t at)
{
    bool string = c->n > at && c->v[at].type == LF_J_STRING;
    const struct lf_jdef *def = string ? find(c->v[at].s) : NULL;
    if (!string)
        lf_j_fail(r, LF_E_INVALID, "the name of a %s is missing", kind);
    else if (!def)
        lf_j_fail(r, LF_E_INVALID, "no %s named '%.*s'", kind, (int)c->v[at].s.n, c->v[at].s.s);
    return def;
}

FILTER(map)
{
    const struct lf_jcall *c = a->raw;
    const struct lf_jv *path = lf_j_keyword(c, (struct lf_str){"attribute", 9});
    const struct lf_jv *instead = lf_j_keyword(c, (struct lf_str){"default", 7});
    bool by_attribute = c->n == 0 && path;
    struct yield y;
    yield_begin(&y, r);
    const struct lf_jlist *from = lf_jv_truth(v) ? lf_jv_items(r, v) : &r->no_list;
    if (from->n > 0 && by_attribute && c->n_kw > (instead ? 2 : 1))
        lf_j_fail(r, LF_E_INVALID, "map was given an argument it does not take");
    const struct lf_jdef *filter =
        from->n > 0 && !by_attribute ? named(r, "filter", r->names->filter, c, 0) : NULL;
    struct lf_jcall rest = rest_of(c, 1);
    for (size_t i = 0; i < from->n && r->rc == LF_OK; i++) {
        struct lf_jv item = by_attribute ? follow(r, from->v[i], *path, instead)
                                         : lf_j_apply(r, "filter", filter, from->v[i], &rest);
        if (r->rc == LF_OK)
            lf_jlist_add(r, y.items, item);
    }
    return yield_end(&y, r);
}

enum { SELECT = 0, REJECT = 1, BY_ATTRIBUTE = 2 };

FILTER(choose)
{
    const struct lf_jcall *c = a->raw;
    size_t at = a->how & BY_ATTRIBUTE ? 1 : 0;
    struct yield y;
    yield_begin(&y, r);
    const struct lf_jlist *from = lf_jv_truth(v) ? lf_jv_items(r, v) : &r->no_list;
    if (from->n > 0 && c->n < at)
        lf_j_fail(r, LF_E_INVALID, "missing parameter for attribute name");
    const struct lf_jdef *test =
        from->n > 0 && c->n > at ? named(r, "test", r->names->test, c, at) : NULL;
    struct lf_jcall rest = rest_of(c, at + 1);
    for (size_t i = 0; i < from->n && r->rc == LF_OK; i++) {
        struct lf_jv item = at ? follow(r, from->v[i], c->v[0], NULL) : from->v[i];
        if (test && r->rc == LF_OK)
            item = lf_j_apply(r, "test", test, item, &rest);
        if (r->rc == LF_OK && lf_jv_truth(item) != (a->how & REJECT))
            lf_jlist_add(r, y.items, from->v[i]);
    }
    return yield_end(&y, r);
}

/* --- sorting and choosing --- */

static struct lf_jv sorted(struct lf_jrun *r, struct lf_jpair *v, size_t n, bool reverse)
{
    struct lf_jlist *out = lf_jlist_new(r, n);
    lf_jpairs_sort(r, v, n, reverse);
    for (size_t i = 0; i < n && r->rc == LF_OK; i++)
        lf_jlist_add(r, out, v[i].value);
    return lf_jv_list(LF_J_LIST, out);
}

FILTER(sort)
{
    const struct lf_jlist *from = lf_jv_items(r, v);
    if (a->v[2].type == LF_J_STRING && memchr(a->v[2].s.s, ',', a->v[2].s.n))
        lf_j_fail(r, LF_E_UNSUPPORTED, "sort by several attributes is not supported");
    struct lf_jpair *pairs = lf_j_alloc(r, (from->n + 1) * sizeof *pairs);
    for (size_t i = 0; i < from->n && r->rc == LF_OK; i++) {
        struct lf_jlist *key = lf_jlist_new(r, 1); /* as in jinja2: two undefined ones are equal */
        lf_jlist_add(r, key, key_of(r, from->v[i], a->v[2], a->v[1]));
        pairs[i] = (struct lf_jpair){lf_jv_list(LF_J_LIST, key), from->v[i]};
    }
    return r->rc == LF_OK ? sorted(r, pairs, from->n, lf_jv_truth(a->v[0])) : lf_jv_undefined(NULL);
}

FILTER(dictsort)
{
    static const struct lf_str key = {"key", 3}, value = {"value", 5};
    bool by_value = a->given[1] && lf_jv_equal(r, a->v[1], lf_jv_str(value));
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (v.type != LF_J_DICT)
        return lf_j_fail(r, LF_E_INVALID, "dictsort needs a mapping");
    if (a->given[1] && !by_value && !lf_jv_equal(r, a->v[1], lf_jv_str(key)))
        return lf_j_fail(r, LF_E_INVALID, "dictsort can only sort by \"key\" or \"value\"");
    const struct lf_jlist *all = lf_jdict_view(r, v.dict, LF_J_ITEMS).list;
    struct lf_jpair *pairs = lf_j_alloc(r, (all->n + 1) * sizeof *pairs);
    for (size_t i = 0; i < all->n && r->rc == LF_OK; i++)
        pairs[i] = (struct lf_jpair){key_of(r, all->v[i].list->v[by_value], lf_jv_none(), a->v[0]),
                                     all->v[i]};
    return r->rc == LF_OK ? sorted(r, pairs, all->n, lf_jv_truth(a->v[2])) : lf_jv_undefined(NULL);
}

FILTER(unique)
{
    struct yield y;
    yield_begin(&y, r);
    struct lf_jdict *seen = lf_jdict_new(r, 0);
    const struct lf_jlist *from = lf_jv_items(r, v);
    for (size_t i = 0; i < from->n && r->rc == LF_OK; i++) {
        struct lf_jv key = key_of(r, from->v[i], a->v[1], a->v[0]);
        if (r->rc != LF_OK || !lf_jv_hashable(r, key) || lf_jdict_find(r, seen, key))
            continue;
        lf_jlist_add(r, y.items, from->v[i]);
        lf_jdict_put(r, seen, key, lf_jv_none());
    }
    return yield_end(&y, r);
}

/* min and max: the first of the least. */
FILTER(extreme)
{
    const struct lf_jlist *from = lf_jv_items(r, v);
    struct lf_jv best = lf_jv_none();
    struct lf_jv out = lf_jv_undefined("no aggregated item, sequence was empty");
    for (size_t i = 0; i < from->n && r->rc == LF_OK; i++) {
        struct lf_jv key = key_of(r, from->v[i], a->v[1], a->v[0]);
        if (i > 0 && !lf_j_holds(r, (enum lf_jop)a->how, key, best))
            continue;
        best = key;
        out = from->v[i];
    }
    return out;
}

FILTER(sum)
{
    const struct lf_jlist *from = lf_jv_items(r, v);
    struct lf_jv out = a->given[1] ? a->v[1] : lf_jv_int(0);
    if (out.type == LF_J_STRING)
        lf_j_fail(r, LF_E_INVALID, "sum cannot sum strings");
    for (size_t i = 0; i < from->n && r->rc == LF_OK; i++)
        out = lf_j_binary(r, LF_JO_ADD, out, follow(r, from->v[i], a->v[0], NULL));
    return out;
}

const struct lf_jdef lf_j_sequence_filters[] = {
    {"count", "", length},
    {"dictsort", "case_sensitive? by? reverse?", dictsort},
    {"first", "", first},
    {"items", "", items},
    {"join", "d? attribute?", join},
    {"last", "", last},
    {"length", "", length},
    {"list", "", list},
    {"map", NULL, map},
    {"max", "case_sensitive? attribute?", extreme, LF_JO_GT},
    {"min", "case_sensitive? attribute?", extreme, LF_JO_LT},
    {"reject", NULL, choose, REJECT},
    {"rejectattr", NULL, choose, REJECT | BY_ATTRIBUTE},
    {"reverse", "", reverse},
    {"select", NULL, choose, SELECT},
    {"selectattr", NULL, choose, SELECT | BY_ATTRIBUTE},
    {"sort", "reverse? case_sensitive? attribute?", sort},
    {"sum", "attribute? start?", sum},
    {"unique", "case_sensitive? attribute?", unique},
    {NULL},
};
