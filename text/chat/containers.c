/* Containers: made, searched, iterated, indexed, sliced; and values out of jansson's. */
#include "text/chat/jinja.h"

#include "core/utf8.h"

#include <stdio.h>
#include <string.h>

/* --- lists --- */

enum lf_err lf_jlist_new(struct lf_jrun *r, size_t n, struct lf_jlist **out)
{
    struct lf_jlist *list = NULL;
    enum lf_err rc = lf_j_spend(r, n * sizeof(struct lf_jv));
    if (rc != LF_OK)
        return rc;
    if (n < LF_J_MEMORY_MAX / sizeof(struct lf_jv))
        list = lf_j_alloc(r, sizeof *list + n * sizeof list->v[0]);
    else
        rc = lf_j_fail(r, LF_E_TOO_BIG, "a list of %zu items is over the limit", n);
    if (!list)
        return rc == LF_OK ? LF_E_NO_MEMORY : rc;
    list->n = n;
    *out = list;
    return LF_OK;
}

static unsigned depth_of(struct lf_jv v)
{
    if (v.type == LF_J_LIST || v.type == LF_J_TUPLE)
        return v.list->depth;
    return v.type == LF_J_DICT ? v.dict->depth : 0;
}

static enum lf_err check_depth(struct lf_jrun *r, unsigned depth)
{
    if (depth > LF_J_VALUE_DEPTH_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "lists are nested deeper than %d", LF_J_VALUE_DEPTH_MAX);
    return LF_OK;
}

enum lf_err lf_jlist_done(struct lf_jrun *r, struct lf_jlist *list, enum lf_jtype type,
                          struct lf_jv *out)
{
    list->depth = 1;
    for (size_t i = 0; i < list->n; i++)
        if (depth_of(list->v[i]) >= list->depth)
            list->depth = depth_of(list->v[i]) + 1;
    *out = (struct lf_jv){.type = type, .list = list};
    return check_depth(r, list->depth);
}

enum lf_err lf_jtuple2(struct lf_jrun *r, struct lf_jv a, struct lf_jv b, struct lf_jv *out)
{
    struct lf_jlist *list;
    enum lf_err rc = lf_jlist_new(r, 2, &list);
    if (rc != LF_OK)
        return rc;
    list->v[0] = a;
    list->v[1] = b;
    return lf_jlist_done(r, list, LF_J_TUPLE, out);
}

/* --- dicts: an array of pairs; chat messages and schemas have a handful of keys --- */

enum lf_err lf_jdict_new(struct lf_jrun *r, size_t cap, struct lf_jdict **out)
{
    struct lf_jdict *d = lf_j_alloc(r, sizeof *d);
    if (!d)
        return LF_E_NO_MEMORY;
    d->depth = 1;
    if (cap > 0) {
        d->v = lf_j_alloc(r, cap * sizeof *d->v);
        if (!d->v)
            return LF_E_NO_MEMORY;
        d->cap = cap;
    }
    *out = d;
    return lf_j_spend(r, cap);
}

const struct lf_jv *lf_jdict_find(const struct lf_jdict *d, struct lf_jv key)
{
    for (size_t i = 0; i < d->n; i++)
        if (lf_jv_equal(d->v[i].key, key))
            return &d->v[i].value;
    return NULL;
}

const struct lf_jv *lf_jdict_find_str(const struct lf_jdict *d, struct lf_str key)
{
    for (size_t i = 0; i < d->n; i++) {
        struct lf_jv have = d->v[i].key;
        if (have.type == LF_J_STRING && have.s.n == key.n && memcmp(have.s.s, key.s, key.n) == 0)
            return &d->v[i].value;
    }
    return NULL;
}

enum lf_err lf_jdict_put(struct lf_jrun *r, struct lf_jdict *d, struct lf_jv key,
                         struct lf_jv value)
{
    enum lf_err rc = lf_j_spend(r, d->n);
    if (rc != LF_OK)
        return rc;
    if (depth_of(value) >= d->depth)
        d->depth = depth_of(value) + 1;
    struct lf_jv *have = (struct lf_jv *)(uintptr_t)lf_jdict_find(d, key);
    if (have) {
        *have = value;
        return check_depth(r, d->depth);
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 4;
        struct lf_jpair *more = lf_j_alloc(r, cap * sizeof *more);
        if (!more)
            return LF_E_NO_MEMORY;
        if (d->n)
            memcpy(more, d->v, d->n * sizeof *more);
        d->v = more;
        d->cap = cap;
    }
    d->v[d->n++] = (struct lf_jpair){key, value};
    return check_depth(r, d->depth);
}

/* --- iterating --- */

struct lf_jv lf_jrange_at(const struct lf_jrange *range, size_t i)
{
    return lf_jv_int(range->start + (int64_t)i * range->step);
}

enum lf_err lf_jiterator_new(struct lf_jrun *r, const struct lf_jlist *items, const char *why,
                             struct lf_jv *out)
{
    struct lf_jiterator *it = lf_j_alloc(r, sizeof *it);
    if (!it)
        return LF_E_NO_MEMORY;
    *it = (struct lf_jiterator){.items = items, .why = why};
    *out = (struct lf_jv){.type = LF_J_ITERATOR, .iterator = it};
    return LF_OK;
}

static void chars_of(struct lf_str s, struct lf_jlist *list)
{
    size_t n = 0;
    for (size_t i = 0, len; i < s.n; i += len) {
        lf_utf8_get(s.s + i, &len);
        list->v[n++] = lf_jv_str(s.s + i, len);
    }
}

static enum lf_err pairs_of(struct lf_jrun *r, const struct lf_jdict *d, enum lf_jview_kind kind,
                            struct lf_jlist *list)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < d->n && rc == LF_OK; i++) {
        if (kind == LF_J_ITEMS)
            rc = lf_jtuple2(r, d->v[i].key, d->v[i].value, &list->v[i]);
        else
            list->v[i] = kind == LF_J_KEYS ? d->v[i].key : d->v[i].value;
    }
    return rc;
}

static enum lf_err rest_of(struct lf_jrun *r, struct lf_jiterator *it, struct lf_jlist *list)
{
    if (list->n)
        memcpy(list->v, it->items->v + it->at, list->n * sizeof list->v[0]);
    it->at = it->items->n;
    return it->why ? lf_j_fail(r, LF_E_INVALID, "%s", it->why) : LF_OK;
}

static enum lf_err fill(struct lf_jrun *r, struct lf_jv v, struct lf_jlist *list)
{
    switch (v.type) {
    case LF_J_STRING:
        chars_of(v.s, list);
        return LF_OK;
    case LF_J_DICT:
        return pairs_of(r, v.dict, LF_J_KEYS, list);
    case LF_J_VIEW:
        return pairs_of(r, v.view->dict, v.view->kind, list);
    case LF_J_RANGE:
        for (size_t i = 0; i < list->n; i++)
            list->v[i] = lf_jrange_at(v.range, i);
        return LF_OK;
    default:
        return rest_of(r, v.iterator, list);
    }
}

bool lf_jv_iterable(struct lf_jv v)
{
    switch (v.type) {
    case LF_J_UNDEFINED:
    case LF_J_STRING:
    case LF_J_LIST:
    case LF_J_TUPLE:
    case LF_J_DICT:
    case LF_J_VIEW:
    case LF_J_RANGE:
    case LF_J_ITERATOR:
    case LF_J_LOOP:
        return true;
    default:
        return false;
    }
}

enum lf_err lf_jv_items(struct lf_jrun *r, struct lf_jv v, const struct lf_jlist **out)
{
    size_t n = 0;
    struct lf_jlist *list;
    if (v.type == LF_J_LIST || v.type == LF_J_TUPLE) {
        *out = v.list;
        return LF_OK;
    }
    if (!lf_jv_iterable(v) || v.type == LF_J_LOOP)
        return lf_j_fail(r, LF_E_INVALID, "'%s' object is not iterable", lf_jv_type_name(v));
    enum lf_err rc = LF_OK;
    if (v.type == LF_J_ITERATOR)
        n = v.iterator->items->n - v.iterator->at;
    else
        rc = lf_jv_length(r, v, &n);
    if (rc == LF_OK)
        rc = lf_jlist_new(r, n, &list);
    if (rc == LF_OK && v.type != LF_J_UNDEFINED)
        rc = fill(r, v, list);
    struct lf_jv done; /* sets the depth; what is refused here was too deep before */
    if (rc == LF_OK)
        rc = lf_jlist_done(r, list, LF_J_LIST, &done);
    if (rc == LF_OK)
        *out = list;
    return rc;
}

enum lf_err lf_jv_contains(struct lf_jrun *r, struct lf_jv v, struct lf_jv needle, bool *out)
{
    const struct lf_jlist *items;
    if (v.type == LF_J_STRING) {
        if (needle.type != LF_J_STRING)
            return lf_j_fail(r, LF_E_INVALID, "'in <string>' requires string, not %s",
                             lf_jv_type_name(needle));
        *out = needle.s.n == 0 || memmem(v.s.s, v.s.n, needle.s.s, needle.s.n) != NULL;
        return lf_j_spend(r, v.s.n);
    }
    if (v.type == LF_J_DICT || (v.type == LF_J_VIEW && v.view->kind == LF_J_KEYS)) {
        const struct lf_jdict *d = v.type == LF_J_DICT ? v.dict : v.view->dict;
        if (!lf_jv_hashable(needle))
            return lf_j_fail(r, LF_E_INVALID, "unhashable type: '%s'", lf_jv_type_name(needle));
        *out = lf_jdict_find(d, needle) != NULL;
        return lf_j_spend(r, d->n);
    }
    enum lf_err rc = lf_jv_items(r, v, &items);
    if (rc != LF_OK)
        return rc;
    *out = false;
    for (size_t i = 0; i < items->n && !*out; i++)
        *out = lf_jv_equal(items->v[i], needle);
    return lf_j_spend(r, items->n);
}

/* --- v[key], v.name, v[a:b:c] --- */

static enum lf_err missing(struct lf_jrun *r, struct lf_jv v, struct lf_str name, struct lf_jv *out)
{
    static const char form[] = "'%s object' has no attribute '%.*s'";
    size_t n = sizeof form + strlen(lf_jv_type_name(v)) + name.n;
    char *why = lf_j_alloc(r, n);
    if (!why)
        return LF_E_NO_MEMORY;
    snprintf(why, n, form, lf_jv_type_name(v), (int)name.n, name.s);
    *out = lf_jv_undefined(why);
    return LF_OK;
}

/* A real attribute, as Python's getattr. */
static enum lf_err attribute(struct lf_jrun *r, struct lf_jv v, struct lf_str name, bool *found,
                             struct lf_jv *out)
{
    bool dunder =
        name.n > 4 && memcmp(name.s, "__", 2) == 0 && memcmp(name.s + name.n - 2, "__", 2) == 0;
    *found = true;
    if (dunder || lf_j_is_hidden(v, name)) {
        *out = lf_jv_undefined("access to an unsafe attribute");
        return LF_OK;
    }
    if (v.type == LF_J_NAMESPACE) {
        const struct lf_jv *have = lf_jdict_find_str(v.dict, name);
        *found = have != NULL;
        if (have)
            *out = *have;
        return LF_OK;
    }
    if (v.type == LF_J_LOOP)
        return lf_j_loop_attr(r, v.loop, name, found, out);
    if (v.type == LF_J_CYCLER && name.n == 7 && memcmp(name.s, "current", 7) == 0) {
        *out = v.cycler->items->v[v.cycler->at];
        return LF_OK;
    }
    if (v.type == LF_J_TUPLE && v.special && name.n == 7 && memcmp(name.s, "grouper", 7) == 0) {
        *out = v.list->v[0];
        return LF_OK;
    }
    if (v.type == LF_J_TUPLE && v.special && name.n == 4 && memcmp(name.s, "list", 4) == 0) {
        *out = v.list->v[1];
        return LF_OK;
    }
    const struct lf_jmethod_def *def = lf_j_method(v, name);
    *found = def != NULL;
    if (!def)
        return LF_OK;
    struct lf_jmethod *m = lf_j_alloc(r, sizeof *m);
    if (!m)
        return LF_E_NO_MEMORY;
    *m = (struct lf_jmethod){.self = v, .def = def};
    *out = (struct lf_jv){.type = LF_J_METHOD, .method = m};
    return LF_OK;
}

enum lf_err lf_jv_getattr(struct lf_jrun *r, struct lf_jv v, struct lf_str name, struct lf_jv *out)
{
    bool found;
    enum lf_err rc = attribute(r, v, name, &found, out);
    if (rc != LF_OK || found)
        return rc;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (v.type == LF_J_DICT) {
        const struct lf_jv *have = lf_jdict_find_str(v.dict, name);
        if (have) {
            *out = *have;
            return lf_j_spend(r, v.dict->n);
        }
    }
    return missing(r, v, name, out);
}

/* One item by its index, counted from the end when negative; *found false: out of range. */
static enum lf_err item_at(struct lf_jrun *r, struct lf_jv v, int64_t i, bool *found,
                           struct lf_jv *out)
{
    size_t n;
    enum lf_err rc = lf_jv_length(r, v, &n);
    if (rc != LF_OK)
        return rc;
    if (i < 0)
        i += (int64_t)n;
    *found = i >= 0 && (uint64_t)i < n;
    if (!*found)
        return LF_OK;
    if (v.type == LF_J_STRING) {
        size_t start = lf_j_offset(v.s, (size_t)i), len;
        lf_utf8_get(v.s.s + start, &len);
        *out = lf_jv_str(v.s.s + start, len);
        out->special = v.special;
        return LF_OK;
    }
    *out = v.type == LF_J_RANGE ? lf_jrange_at(v.range, (size_t)i) : v.list->v[i];
    return LF_OK;
}

enum lf_err lf_jv_getitem(struct lf_jrun *r, struct lf_jv v, struct lf_jv key, struct lf_jv *out)
{
    bool found = false;
    enum lf_err rc = LF_OK;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (v.type == LF_J_DICT && lf_jv_hashable(key)) {
        const struct lf_jv *have = lf_jdict_find(v.dict, key);
        if (have) {
            *out = *have;
            return lf_j_spend(r, v.dict->n);
        }
    } else if (lf_jv_is_int(key) && (v.type == LF_J_LIST || v.type == LF_J_TUPLE ||
                                     v.type == LF_J_STRING || v.type == LF_J_RANGE)) {
        rc = item_at(r, v, lf_jv_to_int(key), &found, out);
    }
    if (rc == LF_OK && !found && key.type == LF_J_STRING)
        rc = attribute(r, v, key.s, &found, out);
    if (rc != LF_OK || found)
        return rc;
    if (key.type == LF_J_STRING)
        return missing(r, v, key.s, out);
    *out = lf_jv_undefined("the object has no such element");
    return LF_OK;
}

/* Python's slice.indices: start, and how many, of n items. */
static enum lf_err slice_bounds(struct lf_jrun *r, const struct lf_jv bounds[3], size_t n,
                                int64_t *start, int64_t *step, size_t *count)
{
    int64_t v[3] = {0, 0, 1}, len = (int64_t)n;
    for (size_t i = 0; i < 3; i++) {
        if (bounds[i].type == LF_J_NONE)
            continue;
        if (!lf_jv_is_int(bounds[i]))
            return lf_j_fail(r, LF_E_INVALID, "slice indices must be integers or None");
        v[i] = lf_jv_to_int(bounds[i]);
    }
    if (v[2] == 0)
        return lf_j_fail(r, LF_E_INVALID, "slice step cannot be zero");
    int64_t lo = v[2] < 0 ? -1 : 0, hi = v[2] < 0 ? len - 1 : len;
    for (size_t i = 0; i < 2; i++) {
        if (bounds[i].type == LF_J_NONE)
            v[i] = (i == 0) == (v[2] > 0) ? lo : hi;
        else if (v[i] < 0)
            v[i] = v[i] + len < lo ? lo : v[i] + len;
        else if (v[i] > hi)
            v[i] = hi;
    }
    *start = v[0];
    *step = v[2];
    *count = 0;
    if (v[2] > 0 && v[1] > v[0])
        *count = (size_t)((v[1] - v[0] - 1) / v[2] + 1);
    if (v[2] < 0 && v[0] > v[1])
        *count = (size_t)((v[0] - v[1] - 1) / (v[2] == INT64_MIN ? INT64_MAX : -v[2]) + 1);
    return LF_OK;
}

static enum lf_err slice_string(struct lf_jrun *r, struct lf_jv v, int64_t start, int64_t step,
                                size_t count, struct lf_jv *out)
{
    if (step == 1 || count <= 1) {
        size_t from = lf_j_offset(v.s, (size_t)start);
        struct lf_str rest = {v.s.s + from, v.s.n - from};
        *out = lf_jv_str(rest.s, lf_j_offset(rest, count));
        out->special = v.special;
        return lf_j_spend(r, v.s.n);
    }
    const struct lf_jlist *chars;
    struct lf_buf b;
    enum lf_err rc = lf_jv_items(r, v, &chars);
    if (rc != LF_OK)
        return rc;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    for (size_t i = 0; i < count; i++) {
        struct lf_str c = chars->v[start + (int64_t)i * step].s;
        lf_buf_append(&b, c.s, c.n);
    }
    rc = lf_jv_take(r, &b, out);
    out->special = v.special;
    return rc;
}

enum lf_err lf_jv_slice(struct lf_jrun *r, struct lf_jv v, const struct lf_jv bounds[3],
                        struct lf_jv *out)
{
    size_t n, count = 0;
    int64_t start = 0, step = 1;
    const struct lf_jlist *from;
    struct lf_jlist *list;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (v.type == LF_J_RANGE)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "a slice of a range is not supported");
    if (v.type != LF_J_LIST && v.type != LF_J_TUPLE && v.type != LF_J_STRING)
        return lf_j_fail(r, LF_E_INVALID, "'%s' object cannot be sliced", lf_jv_type_name(v));
    enum lf_err rc = lf_jv_length(r, v, &n);
    if (rc == LF_OK)
        rc = slice_bounds(r, bounds, n, &start, &step, &count);
    if (rc == LF_OK && v.type == LF_J_STRING)
        return slice_string(r, v, start, step, count, out);
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &from);
    if (rc == LF_OK)
        rc = lf_jlist_new(r, count, &list);
    for (size_t i = 0; rc == LF_OK && i < count; i++)
        list->v[i] = from->v[start + (int64_t)i * step];
    return rc == LF_OK ? lf_jlist_done(r, list, v.type, out) : rc;
}

/* --- from jansson --- */

static enum lf_err from_array(struct lf_jrun *r, const json_t *j, struct lf_jv *out)
{
    struct lf_jlist *list;
    enum lf_err rc = lf_jlist_new(r, json_array_size(j), &list);
    for (size_t i = 0; rc == LF_OK && i < list->n; i++)
        rc = lf_jv_from_json(r, json_array_get(j, i), &list->v[i]);
    return rc == LF_OK ? lf_jlist_done(r, list, LF_J_LIST, out) : rc;
}

static enum lf_err from_object(struct lf_jrun *r, const json_t *j, struct lf_jv *out)
{
    struct lf_jdict *d = NULL;
    json_t *mutable = (json_t *)(uintptr_t)j;
    enum lf_err rc = lf_jdict_new(r, json_object_size(j), &d);
    for (void *it = json_object_iter(mutable); it && rc == LF_OK;
         it = json_object_iter_next(mutable, it)) {
        struct lf_jpair *pair = &d->v[d->n];
        const char *key = json_object_iter_key(it);
        /* Keys differ: no search is needed. */
        pair->key = lf_jv_str(key, json_object_iter_key_len(it));
        rc = lf_jv_from_json(r, json_object_iter_value(it), &pair->value);
        if (rc == LF_OK && depth_of(pair->value) >= d->depth)
            d->depth = depth_of(pair->value) + 1;
        d->n++;
    }
    *out = (struct lf_jv){.type = LF_J_DICT, .dict = d};
    return rc == LF_OK ? check_depth(r, d->depth) : rc;
}

enum lf_err lf_jv_from_json(struct lf_jrun *r, const json_t *j, struct lf_jv *out)
{
    enum lf_err rc = LF_OK;
    if (++r->depth > LF_J_VALUE_DEPTH_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "JSON is nested deeper than %d", LF_J_VALUE_DEPTH_MAX);
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        rc = from_object(r, j, out);
        break;
    case JSON_ARRAY:
        rc = from_array(r, j, out);
        break;
    case JSON_STRING:
        *out = lf_jv_str(json_string_value(j), json_string_length(j));
        break;
    case JSON_INTEGER:
        *out = lf_jv_int((int64_t)json_integer_value(j));
        break;
    case JSON_REAL:
        *out = lf_jv_float(json_real_value(j));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = lf_jv_bool(json_is_true(j));
        break;
    case JSON_NULL:
        *out = lf_jv_none();
        break;
    }
    r->depth--;
    return rc;
}
