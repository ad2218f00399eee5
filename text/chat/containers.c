/* Containers: made, sorted, iterated, searched; and values out of jansson's. */
#include "text/chat/value.h"

#include "core/utf8.h"
#include "text/limits.h"

#include <string.h>

/* --- lists --- */

/* Doubles the room of an array of n; false: failed. */
static bool grow(struct lf_jrun *r, void **v, size_t n, size_t *cap, size_t each)
{
    if (n < *cap)
        return r->rc == LF_OK;
    size_t more = *cap ? 2 * *cap : 4;
    void *p = more < LF_J_MEMORY_MAX / each ? lf_j_alloc(r, more * each) : NULL;
    if (!p) {
        lf_j_fail(r, LF_E_TOO_BIG, "a list of %zu items is over the limit", n);
        return false;
    }
    if (n)
        memcpy(p, *v, n * each);
    *v = p;
    *cap = more;
    return true;
}

struct lf_jlist *lf_jlist_new(struct lf_jrun *r, size_t n)
{
    struct lf_jlist *list = lf_j_alloc(r, sizeof *list);
    if (list && n >= LF_J_MEMORY_MAX / sizeof *list->v)
        lf_j_fail(r, LF_E_TOO_BIG, "a list of %zu items is over the limit", n);
    struct lf_jv *v = list && n > 0 ? lf_j_alloc(r, n * sizeof *v) : NULL;
    lf_j_spend(r, n * sizeof *v);
    if (r->rc != LF_OK)
        return &r->no_list;
    *list = (struct lf_jlist){.v = v, .cap = n, .depth = 1};
    return list;
}

/* Counts the levels of what goes into a list or dict. */
static void deepen(struct lf_jrun *r, unsigned *depth, struct lf_jv v)
{
    unsigned inner = lf_jv_is_list(v) ? v.list->depth : v.type == LF_J_DICT ? v.dict->depth : 0;
    if (inner >= *depth)
        *depth = inner + 1;
    if (*depth > LF_J_VALUE_DEPTH_MAX)
        lf_j_fail(r, LF_E_TOO_BIG, "lists are nested deeper than %d", LF_J_VALUE_DEPTH_MAX);
}

void lf_jlist_add(struct lf_jrun *r, struct lf_jlist *list, struct lf_jv v)
{
    void *items = list->v;
    if (!grow(r, &items, list->n, &list->cap, sizeof v))
        return;
    list->v = items;
    deepen(r, &list->depth, v);
    list->v[list->n++] = v;
}

static struct lf_jv tuple2(struct lf_jrun *r, struct lf_jv a, struct lf_jv b)
{
    struct lf_jlist *list = lf_jlist_new(r, 2);
    lf_jlist_add(r, list, a);
    lf_jlist_add(r, list, b);
    return lf_jv_list(LF_J_TUPLE, list);
}

/* --- dicts: an array of pairs; chat messages and schemas have a handful of keys --- */

struct lf_jdict *lf_jdict_new(struct lf_jrun *r, size_t n)
{
    struct lf_jdict *d = lf_j_alloc(r, sizeof *d);
    struct lf_jpair *v = d && n > 0 ? lf_j_alloc(r, n * sizeof *v) : NULL;
    lf_j_spend(r, n);
    if (r->rc != LF_OK)
        return &r->no_dict;
    *d = (struct lf_jdict){.v = v, .cap = n, .depth = 1};
    return d;
}

/* Adds a key that is not there. */
static void add_pair(struct lf_jrun *r, struct lf_jdict *d, struct lf_jv key, struct lf_jv value)
{
    void *pairs = d->v;
    if (!grow(r, &pairs, d->n, &d->cap, sizeof *d->v))
        return;
    d->v = pairs;
    deepen(r, &d->depth, value);
    d->v[d->n++] = (struct lf_jpair){key, value};
}

void lf_jdict_put(struct lf_jrun *r, struct lf_jdict *d, struct lf_jv key, struct lf_jv value)
{
    size_t i = 0;
    lf_j_spend(r, d->n);
    while (i < d->n && !lf_jv_equal(r, d->v[i].key, key))
        i++;
    if (i == d->n) {
        add_pair(r, d, key, value);
    } else {
        deepen(r, &d->depth, value);
        d->v[i].value = value;
    }
}

struct lf_jv lf_jdict_view(struct lf_jrun *r, const struct lf_jdict *d, enum lf_jtype what)
{
    struct lf_jlist *list = lf_jlist_new(r, d->n);
    for (size_t i = 0; i < d->n && r->rc == LF_OK; i++)
        lf_jlist_add(r, list,
                     what == LF_J_KEYS     ? d->v[i].key
                     : what == LF_J_VALUES ? d->v[i].value
                                           : tuple2(r, d->v[i].key, d->v[i].value));
    return lf_jv_list(what, list);
}

static void merge_sort(struct lf_jrun *r, struct lf_jpair *v, struct lf_jpair *scratch, size_t n,
                       bool reverse)
{
    size_t half = n / 2, a = 0, b = half, to = 0;
    if (n < 2 || r->rc != LF_OK)
        return;
    merge_sort(r, v, scratch, half, reverse);
    merge_sort(r, v + half, scratch, n - half, reverse);
    while (a < half && b < n) {
        int order = lf_jv_compare(r, v[a].key, v[b].key);
        scratch[to++] = (reverse ? order < 0 : order > 0) ? v[b++] : v[a++];
    }
    memcpy(scratch + to, v + a, (half - a) * sizeof *v);
    to += half - a;
    memcpy(scratch + to, v + b, (n - b) * sizeof *v);
    memcpy(v, scratch, n * sizeof *v);
}

void lf_jpairs_sort(struct lf_jrun *r, struct lf_jpair *v, size_t n, bool reverse)
{
    struct lf_jpair *scratch = lf_j_alloc(r, (n + 1) * sizeof *scratch);
    if (scratch)
        merge_sort(r, v, scratch, n, reverse);
}

/* --- iterating --- */

struct lf_jv lf_jiterator_new(struct lf_jrun *r, const struct lf_jlist *items, const char *why)
{
    struct lf_jiterator *it = lf_j_alloc(r, sizeof *it);
    if (!it)
        return lf_jv_undefined(NULL);
    *it = (struct lf_jiterator){.items = items, .why = why};
    return (struct lf_jv){.type = LF_J_ITERATOR, .iterator = it};
}

static const struct lf_jlist *chars_of(struct lf_jrun *r, struct lf_str s)
{
    struct lf_jlist *list = lf_jlist_new(r, lf_j_length(s));
    for (size_t i = 0, len; i < s.n && r->rc == LF_OK; i += len) {
        lf_utf8_get(s.s + i, &len);
        lf_jlist_add(r, list, lf_jv_str((struct lf_str){s.s + i, len}));
    }
    return list;
}

static const struct lf_jlist *rest_of(struct lf_jrun *r, struct lf_jiterator *it)
{
    struct lf_jlist *list = lf_jlist_new(r, it->items->n - it->at);
    while (it->at < it->items->n && r->rc == LF_OK)
        lf_jlist_add(r, list, it->items->v[it->at++]);
    if (it->why)
        lf_j_fail(r, LF_E_INVALID, "%s", it->why);
    return list;
}

const struct lf_jlist *lf_jv_items(struct lf_jrun *r, struct lf_jv v)
{
    if (lf_jv_is_list(v))
        return v.list;
    if (v.type == LF_J_STRING)
        return chars_of(r, v.s);
    if (v.type == LF_J_DICT)
        return lf_jdict_view(r, v.dict, LF_J_KEYS).list;
    if (v.type == LF_J_ITERATOR)
        return rest_of(r, v.iterator);
    if (v.type != LF_J_UNDEFINED)
        lf_j_fail(r, LF_E_INVALID, "'%s' object is not iterable", lf_jv_type_name(v));
    return &r->no_list;
}

bool lf_jv_contains(struct lf_jrun *r, struct lf_jv v, struct lf_jv needle)
{
    if (v.type == LF_J_STRING) {
        if (needle.type != LF_J_STRING)
            lf_j_fail(r, LF_E_INVALID, "'in <string>' requires string, not %s",
                      lf_jv_type_name(needle));
        lf_j_spend(r, v.s.n);
        return r->rc == LF_OK && memmem(v.s.s, v.s.n, needle.s.s, needle.s.n) != NULL;
    }
    if (v.type == LF_J_DICT) {
        lf_j_spend(r, v.dict->n);
        return lf_jv_hashable(r, needle) && lf_jdict_find(r, v.dict, needle);
    }
    const struct lf_jlist *items = lf_jv_items(r, v);
    lf_j_spend(r, items->n);
    for (size_t i = 0; i < items->n; i++)
        if (lf_jv_equal(r, items->v[i], needle))
            return true;
    return false;
}

/* --- from jansson --- */

static struct lf_jv from_array(struct lf_jrun *r, const json_t *j)
{
    size_t n = json_array_size(j);
    struct lf_jlist *list = lf_jlist_new(r, n);
    for (size_t i = 0; i < n && r->rc == LF_OK; i++)
        lf_jlist_add(r, list, lf_jv_from_json(r, json_array_get(j, i)));
    return lf_jv_list(LF_J_LIST, list);
}

static struct lf_jv from_object(struct lf_jrun *r, const json_t *j)
{
    json_t *mutable = (json_t *)(uintptr_t)j;
    struct lf_jdict *d = lf_jdict_new(r, json_object_size(j));
    for (void *it = json_object_iter(mutable); it && r->rc == LF_OK;
         it = json_object_iter_next(mutable, it)) {
        struct lf_str key = {json_object_iter_key(it), json_object_iter_key_len(it)};
        add_pair(r, d, lf_jv_str(key), lf_jv_from_json(r, json_object_iter_value(it)));
    }
    return (struct lf_jv){.type = LF_J_DICT, .dict = d};
}

struct lf_jv lf_jv_from_json(struct lf_jrun *r, const json_t *j)
{
    struct lf_jv out = lf_jv_none();
    if (++r->depth > LF_J_VALUE_DEPTH_MAX)
        lf_j_fail(r, LF_E_TOO_BIG, "JSON is nested deeper than %d", LF_J_VALUE_DEPTH_MAX);
    else if (json_is_object(j))
        out = from_object(r, j);
    else if (json_is_array(j))
        out = from_array(r, j);
    else if (json_is_string(j))
        out = lf_jv_str((struct lf_str){json_string_value(j), json_string_length(j)});
    else if (json_is_integer(j))
        out = lf_jv_int((int64_t)json_integer_value(j));
    else if (json_is_real(j))
        out = lf_jv_float(json_real_value(j));
    else if (json_is_boolean(j))
        out = lf_jv_bool(json_is_true(j));
    r->depth--;
    return out;
}
