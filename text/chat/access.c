/* Parts of values: v.name, v[key], v[start:stop:step]. */
#include "text/chat/value.h"

#include "core/utf8.h"
#include "text/limits.h"

#include <stdio.h>
#include <string.h>

static struct lf_jv missing(struct lf_jrun *r, struct lf_jv v, struct lf_str name)
{
    static const char form[] = "'%s object' has no attribute '%.*s'";
    size_t n = sizeof form + strlen(lf_jv_type_name(v)) + name.n;
    char *why = lf_j_alloc(r, n);
    if (why)
        snprintf(why, n, form, lf_jv_type_name(v), (int)name.n, name.s);
    return lf_jv_undefined(why);
}

/* A real attribute, as Python's getattr; false: there is none. */
static bool attribute(struct lf_jrun *r, struct lf_jv v, struct lf_str name, struct lf_jv *out)
{
    bool dunder =
        name.n > 4 && memcmp(name.s, "__", 2) == 0 && memcmp(name.s + name.n - 2, "__", 2) == 0;
    const struct lf_jdef *def = r->names->method(v.type, name);
    if (dunder || (def && !def->call && def->how == LF_J_UNSAFE)) {
        *out = lf_jv_undefined("access to an unsafe attribute");
        return true;
    }
    if (v.type == LF_J_LOOP)
        return lf_jloop_attr(r, v.loop, name, out);
    if (v.type == LF_J_NAMESPACE) {
        const struct lf_jv *have = lf_jdict_find(r, v.dict, lf_jv_str(name));
        if (have)
            *out = *have;
        return have != NULL;
    }
    struct lf_jmethod *m = def ? lf_j_alloc(r, sizeof *m) : NULL;
    if (!m)
        return false;
    *m = (struct lf_jmethod){.self = v, .def = def};
    *out = (struct lf_jv){.type = LF_J_METHOD, .method = m};
    return true;
}

struct lf_jv lf_jv_getattr(struct lf_jrun *r, struct lf_jv v, struct lf_str name)
{
    struct lf_jv out;
    if (attribute(r, v, name, &out))
        return out;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    const struct lf_jv *have =
        v.type == LF_J_DICT ? lf_jdict_find(r, v.dict, lf_jv_str(name)) : NULL;
    if (v.type == LF_J_DICT)
        lf_j_spend(r, v.dict->n);
    return have ? *have : missing(r, v, name);
}

/* One item by its index, counted from the end when negative; false: out of range. */
static bool item_at(struct lf_jrun *r, struct lf_jv v, int64_t i, struct lf_jv *out)
{
    size_t n = lf_jv_length(r, v), len;
    if (i < 0)
        i += (int64_t)n;
    if (i < 0 || (uint64_t)i >= n)
        return false;
    if (v.type == LF_J_STRING) {
        const char *c = v.s.s + lf_j_offset(v.s, (size_t)i);
        lf_utf8_get(c, &len);
        *out = lf_jv_str((struct lf_str){c, len});
        out->markup = v.markup;
    } else {
        *out = v.list->v[i];
    }
    return true;
}

struct lf_jv lf_jv_getitem(struct lf_jrun *r, struct lf_jv v, struct lf_jv key)
{
    struct lf_jv out;
    bool indexed = v.type >= LF_J_STRING && v.type <= LF_J_RANGE;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (v.type == LF_J_DICT) {
        const struct lf_jv *have = lf_jdict_find(r, v.dict, key);
        lf_j_spend(r, v.dict->n);
        if (have)
            return *have;
    } else if (indexed && lf_jv_is_int(key) && item_at(r, v, lf_jv_to_int(key), &out)) {
        return out;
    }
    if (key.type == LF_J_STRING)
        return attribute(r, v, key.s, &out) ? out : missing(r, v, key.s);
    return lf_jv_undefined("the object has no such element");
}

/* Python's slice.indices: start, step, and how many, of n items. */
static size_t slice_bounds(struct lf_jrun *r, const struct lf_jv bounds[3], size_t n,
                           int64_t *start, int64_t *step)
{
    int64_t v[3] = {0, 0, 1}, len = (int64_t)n;
    for (size_t i = 0; i < 3; i++) {
        if (bounds[i].type != LF_J_NONE && !lf_jv_is_int(bounds[i]))
            lf_j_fail(r, LF_E_INVALID, "slice indices must be integers or None");
        else if (bounds[i].type != LF_J_NONE)
            v[i] = lf_jv_to_int(bounds[i]);
    }
    if (v[2] == 0 || v[2] == INT64_MIN)
        lf_j_fail(r, LF_E_INVALID, "such a step of a slice");
    if (r->rc != LF_OK)
        return 0;
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
    if (v[2] > 0)
        return v[1] > v[0] ? (size_t)((v[1] - v[0] - 1) / v[2] + 1) : 0;
    return v[0] > v[1] ? (size_t)((v[0] - v[1] - 1) / -v[2] + 1) : 0;
}

/* Every step-th character. */
static struct lf_jv slice_chars(struct lf_jrun *r, struct lf_str s, int64_t start, int64_t step,
                                size_t count)
{
    const struct lf_jlist *chars = lf_jv_items(r, lf_jv_str(s));
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    for (size_t i = 0; i < count && r->rc == LF_OK; i++) {
        struct lf_str c = chars->v[start + (int64_t)i * step].s;
        lf_buf_append(&b, c.s, c.n);
    }
    return lf_jv_take(r, &b);
}

struct lf_jv lf_jv_slice(struct lf_jrun *r, struct lf_jv v, const struct lf_jv bounds[3])
{
    int64_t start = 0, step = 1;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (v.type == LF_J_RANGE)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "a slice of a range is not supported");
    if (v.type != LF_J_LIST && v.type != LF_J_TUPLE && v.type != LF_J_STRING)
        return lf_j_fail(r, LF_E_INVALID, "'%s' object cannot be sliced", lf_jv_type_name(v));
    size_t count = slice_bounds(r, bounds, lf_jv_length(r, v), &start, &step);
    if (v.type == LF_J_STRING) {
        size_t from = step == 1 ? lf_j_offset(v.s, (size_t)start) : 0;
        struct lf_str rest = {v.s.s + from, v.s.n - from};
        struct lf_jv out = step == 1 ? lf_jv_str((struct lf_str){rest.s, lf_j_offset(rest, count)})
                                     : slice_chars(r, v.s, start, step, count);
        out.markup = v.markup;
        return out;
    }
    struct lf_jlist *list = lf_jlist_new(r, count);
    for (size_t i = 0; i < count && r->rc == LF_OK; i++)
        lf_jlist_add(r, list, v.list->v[start + (int64_t)i * step]);
    return lf_jv_list(v.type, list);
}
