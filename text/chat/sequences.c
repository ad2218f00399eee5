/* Filters on sequences. Those that are generators in jinja2 do their work at once here, and keep an
 * error back until somebody takes the item that met it. */
#include "text/chat/sequences.h"

#include <string.h>

#define FILTER(name) \
    enum lf_err name(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c, struct lf_jv *out)

static const char *const no_params[] = {NULL};

/* --- a generator's result under way --- */

struct yield {
    struct lf_jrun *r;
    struct lf_buf v; /* of struct lf_jv */
    struct lf_diag *diag, own;
};

static void yield_begin(struct yield *y, struct lf_jrun *r)
{
    *y = (struct yield){.r = r, .diag = r->diag};
    lf_buf_init(&y->v, LF_J_MEMORY_MAX);
    r->diag = &y->own;
}

static void yield_item(struct yield *y, struct lf_jv v)
{
    lf_buf_append(&y->v, &v, sizeof v);
}

/* An error of the template waits for its item; one of ours (a limit, a missing part) does not. */
static enum lf_err yield_end(struct yield *y, enum lf_err rc, struct lf_jv *out)
{
    struct lf_jrun *r = y->r;
    struct lf_jlist *list;
    struct lf_jv why = lf_jv_str(NULL, 0), done;
    size_t n = y->v.len / sizeof(struct lf_jv);
    r->diag = y->diag;
    if (rc != LF_OK && rc != LF_E_INVALID) {
        lf_buf_free(&y->v);
        return lf_fail(r->diag, rc, "%s", y->own.text);
    }
    bool failed = rc == LF_E_INVALID;
    if (failed) {
        const char *text = strstr(y->own.text, ": ");
        text = text ? text + 2 : y->own.text;
        rc = lf_jv_copy(r, text, strlen(text) + 1, &why);
    }
    if (rc == LF_OK && y->v.rc != LF_OK)
        rc = lf_j_fail(r, y->v.rc, "a sequence is over the limit");
    if (rc == LF_OK)
        rc = lf_jlist_new(r, n, &list);
    if (rc == LF_OK && n > 0)
        memcpy(list->v, y->v.data, n * sizeof list->v[0]);
    lf_buf_free(&y->v);
    if (rc == LF_OK)
        rc = lf_jlist_done(r, list, LF_J_LIST, &done);
    return rc == LF_OK ? lf_jiterator_new(r, list, failed ? why.s.s : NULL, out) : rc;
}

/* --- attributes: "a.b.0", and "a,b" for sort --- */

/* One step of a path: an index where it is all digits. */
static struct lf_jv path_step(struct lf_str s)
{
    int64_t i = 0;
    bool digits = s.n > 0 && s.n < 10;
    for (size_t k = 0; k < s.n; k++) {
        digits &= s.s[k] >= '0' && s.s[k] <= '9';
        i = digits ? 10 * i + (s.s[k] - '0') : 0;
    }
    return digits ? lf_jv_int(i) : lf_jv_str(s.s, s.n);
}

/* Follows a path from v; where something is undefined, `instead` unless it is NONE. */
static enum lf_err follow(struct lf_jrun *r, struct lf_jv v, struct lf_jv path,
                          struct lf_jv instead, struct lf_jv *out)
{
    enum lf_err rc = LF_OK;
    *out = v;
    if (path.type == LF_J_NONE)
        return LF_OK;
    if (path.type != LF_J_STRING) {
        rc = lf_jv_getitem(r, v, path, out);
        if (rc == LF_OK && out->type == LF_J_UNDEFINED && instead.type != LF_J_NONE)
            *out = instead;
        return rc;
    }
    for (struct lf_str rest = path.s; rc == LF_OK;) {
        const char *dot = memchr(rest.s, '.', rest.n);
        struct lf_str step = {rest.s, dot ? (size_t)(dot - rest.s) : rest.n};
        rc = lf_jv_getitem(r, *out, path_step(step), out);
        if (rc == LF_OK && out->type == LF_J_UNDEFINED && instead.type != LF_J_NONE)
            *out = instead;
        if (!dot)
            break;
        rest.s += step.n + 1;
        rest.n -= step.n + 1;
    }
    return rc;
}

static enum lf_err ignore_case(struct lf_jrun *r, struct lf_jv *v)
{
    struct lf_buf b;
    if (v->type != LF_J_STRING)
        return LF_OK;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    lf_j_change_case(&b, v->s, LF_J_LOWER);
    return lf_jv_take(r, &b, v);
}

static enum lf_err key_of(struct lf_jrun *r, struct lf_jv v, struct lf_jv path,
                          struct lf_jv instead, bool case_sensitive, struct lf_jv *out)
{
    enum lf_err rc = follow(r, v, path, instead, out);
    return rc == LF_OK && !case_sensitive ? ignore_case(r, out) : rc;
}

/* --- simple ones --- */

FILTER(lf_jf_length)
{
    size_t n = 0;
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "length", c, no_params, 0, &a);
    if (rc == LF_OK)
        rc = lf_jv_length(r, v, &n);
    *out = lf_jv_int((int64_t)n);
    return rc;
}

FILTER(lf_jf_first)
{
    struct lf_jbound a;
    const struct lf_jlist *items;
    enum lf_err rc = lf_j_bind_args(r, "first", c, no_params, 0, &a);
    if (rc != LF_OK)
        return rc;
    *out = lf_jv_undefined("no first item, sequence was empty");
    if (v.type == LF_J_ITERATOR) {
        struct lf_jiterator *it = v.iterator;
        if (it->at < it->items->n)
            *out = it->items->v[it->at++];
        else if (it->why)
            return lf_j_fail(r, LF_E_INVALID, "%s", it->why);
        return LF_OK;
    }
    rc = lf_jv_items(r, v, &items);
    if (rc == LF_OK && items->n > 0)
        *out = items->v[0];
    return rc;
}

FILTER(lf_jf_last)
{
    struct lf_jbound a;
    const struct lf_jlist *items;
    enum lf_err rc = lf_j_bind_args(r, "last", c, no_params, 0, &a);
    if (rc == LF_OK && v.type == LF_J_ITERATOR)
        rc = lf_j_fail(r, LF_E_INVALID, "'generator' object is not reversible");
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    if (rc != LF_OK)
        return rc;
    *out = items->n ? items->v[items->n - 1] : lf_jv_undefined("no last item, sequence was empty");
    return LF_OK;
}

static enum lf_err list_copy(struct lf_jrun *r, const struct lf_jlist *items, bool reversed,
                             struct lf_jv *out)
{
    struct lf_jlist *list;
    enum lf_err rc = lf_jlist_new(r, items->n, &list);
    for (size_t i = 0; rc == LF_OK && i < items->n; i++)
        list->v[i] = items->v[reversed ? items->n - 1 - i : i];
    return rc == LF_OK ? lf_jlist_done(r, list, LF_J_LIST, out) : rc;
}

FILTER(lf_jf_list)
{
    struct lf_jbound a;
    const struct lf_jlist *items;
    enum lf_err rc = lf_j_bind_args(r, "list", c, no_params, 0, &a);
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    return rc == LF_OK ? list_copy(r, items, false, out) : rc;
}

/* A string backwards; an iterator over anything else, a list of an iterator's items. */
FILTER(lf_jf_reverse)
{
    struct lf_jbound a;
    const struct lf_jlist *items;
    enum lf_err rc = lf_j_bind_args(r, "reverse", c, no_params, 0, &a);
    if (rc == LF_OK && v.type == LF_J_STRING) {
        const struct lf_jv whole[3] = {lf_jv_none(), lf_jv_none(), lf_jv_int(-1)};
        return lf_jv_slice(r, v, whole, out);
    }
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    if (rc == LF_OK)
        rc = list_copy(r, items, true, out);
    if (rc == LF_OK && v.type != LF_J_ITERATOR)
        rc = lf_jiterator_new(r, out->list, NULL, out);
    return rc;
}

FILTER(lf_jf_items)
{
    struct lf_jbound a;
    struct lf_jview view = {.kind = LF_J_ITEMS};
    const struct lf_jlist *items;
    struct yield y;
    enum lf_err rc = lf_j_bind_args(r, "items", c, no_params, 0, &a);
    if (rc != LF_OK)
        return rc;
    yield_begin(&y, r);
    if (v.type != LF_J_UNDEFINED && v.type != LF_J_DICT)
        rc = lf_j_fail(r, LF_E_INVALID, "can only get item pairs from a mapping");
    if (rc == LF_OK && v.type == LF_J_DICT) {
        view.dict = v.dict;
        rc = lf_jv_items(r, (struct lf_jv){.type = LF_J_VIEW, .view = &view}, &items);
        for (size_t i = 0; rc == LF_OK && i < items->n; i++)
            yield_item(&y, items->v[i]);
    }
    return yield_end(&y, rc, out);
}

FILTER(lf_jf_join)
{
    static const char *const params[] = {"d", "attribute", NULL};
    struct lf_jbound a;
    struct lf_jv between;
    const struct lf_jlist *items;
    struct lf_buf b;
    enum lf_err rc = lf_j_bind_args(r, "join", c, params, 0, &a);
    if (rc == LF_OK)
        rc = lf_jv_to_string(r, a.given[0] ? a.v[0] : lf_jv_str("", 0), &between);
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    if (rc != LF_OK)
        return rc;
    struct lf_jv path = a.given[1] ? a.v[1] : lf_jv_none();
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    for (size_t i = 0; i < items->n && rc == LF_OK; i++) {
        struct lf_jv item;
        if (i > 0)
            rc = lf_jv_print(r, &b, between);
        if (rc == LF_OK)
            rc = follow(r, items->v[i], path, lf_jv_none(), &item);
        if (rc == LF_OK)
            rc = lf_jv_print(r, &b, item);
    }
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}

/* --- map, select, reject --- */

static const struct lf_jv *keyword(const struct lf_jcall *c, const char *name)
{
    for (size_t i = 0; i < c->n_kw; i++)
        if (c->kw[i].name.n == strlen(name) && memcmp(c->kw[i].name.s, name, strlen(name)) == 0)
            return &c->kw[i].value;
    return NULL;
}

/* The arguments behind the first n. */
static struct lf_jcall rest_of(const struct lf_jcall *c, size_t n)
{
    return (struct lf_jcall){c->v + n, c->n - n, c->kw, c->n_kw};
}

static enum lf_err map_by_attribute(struct lf_jrun *r, const struct lf_jlist *items,
                                    const struct lf_jcall *c, struct yield *y)
{
    const struct lf_jv *path = keyword(c, "attribute"), *instead = keyword(c, "default");
    enum lf_err rc = LF_OK;
    if (c->n_kw > (instead ? 2 : 1))
        return lf_j_fail(r, LF_E_INVALID, "map got an unexpected argument");
    for (size_t i = 0; i < items->n && rc == LF_OK; i++) {
        struct lf_jv item;
        rc = follow(r, items->v[i], *path, instead ? *instead : lf_jv_none(), &item);
        if (rc == LF_OK)
            yield_item(y, item);
    }
    return rc;
}

static enum lf_err map_by_filter(struct lf_jrun *r, const struct lf_jlist *items,
                                 const struct lf_jcall *c, struct yield *y)
{
    enum lf_err rc = LF_OK;
    if (c->n == 0 || c->v[0].type != LF_J_STRING)
        return lf_j_fail(r, LF_E_INVALID, "map requires a filter argument");
    const struct lf_jfilter_def *filter = lf_j_filter(c->v[0].s);
    struct lf_jcall rest = rest_of(c, 1);
    if (items->n > 0 && !filter)
        return lf_j_fail(r, LF_E_INVALID, "no filter named '%.*s'", (int)c->v[0].s.n, c->v[0].s.s);
    if (items->n > 0 && !filter->apply)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "filter '%s' is not supported", filter->name);
    for (size_t i = 0; i < items->n && rc == LF_OK; i++) {
        struct lf_jv item;
        rc = filter->apply(r, items->v[i], &rest, &item);
        if (rc == LF_OK)
            yield_item(y, item);
    }
    return rc;
}

FILTER(lf_jf_map)
{
    struct yield y;
    const struct lf_jlist *items;
    enum lf_err rc = LF_OK;
    yield_begin(&y, r);
    if (lf_jv_truth(v)) {
        rc = lf_jv_items(r, v, &items);
        if (rc == LF_OK)
            rc = c->n == 0 && keyword(c, "attribute") ? map_by_attribute(r, items, c, &y)
                                                      : map_by_filter(r, items, c, &y);
    }
    return yield_end(&y, rc, out);
}

/* What select and its kin keep items by. */
struct selection {
    bool by_attribute, reject;
    struct lf_jv path;
    const struct lf_jtest_def *test; /* NULL: truth */
    struct lf_jcall args;
};

static enum lf_err selection_of(struct lf_jrun *r, const struct lf_jcall *c, struct selection *s)
{
    size_t at = s->by_attribute ? 1 : 0;
    if (s->by_attribute && c->n == 0)
        return lf_j_fail(r, LF_E_INVALID, "missing parameter for attribute name");
    if (s->by_attribute)
        s->path = c->v[0];
    if (c->n <= at)
        return LF_OK;
    s->test = c->v[at].type == LF_J_STRING ? lf_j_test(c->v[at].s) : NULL;
    if (!s->test)
        return lf_j_fail(r, LF_E_INVALID, "no such test");
    if (!s->test->apply)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "test '%s' is not supported", s->test->name);
    s->args = rest_of(c, at + 1);
    return LF_OK;
}

static enum lf_err keeps(struct lf_jrun *r, const struct selection *s, struct lf_jv item,
                         bool *keep)
{
    struct lf_jv v = item;
    enum lf_err rc = s->by_attribute ? follow(r, item, s->path, lf_jv_none(), &v) : LF_OK;
    *keep = lf_jv_truth(v);
    if (rc == LF_OK && s->test)
        rc = s->test->apply(r, v, &s->args, keep);
    *keep = *keep != s->reject;
    return rc;
}

static enum lf_err select_items(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c,
                                bool by_attribute, bool reject, struct lf_jv *out)
{
    struct selection s = {.by_attribute = by_attribute, .reject = reject, .path = lf_jv_none()};
    const struct lf_jlist *items;
    struct yield y;
    enum lf_err rc = LF_OK;
    yield_begin(&y, r);
    if (lf_jv_truth(v)) {
        rc = lf_jv_items(r, v, &items);
        if (rc == LF_OK && items->n > 0)
            rc = selection_of(r, c, &s);
        for (size_t i = 0; rc == LF_OK && i < items->n; i++) {
            bool keep = false;
            rc = keeps(r, &s, items->v[i], &keep);
            if (rc == LF_OK && keep)
                yield_item(&y, items->v[i]);
        }
    }
    return yield_end(&y, rc, out);
}

FILTER(lf_jf_select)
{
    return select_items(r, v, c, false, false, out);
}

FILTER(lf_jf_reject)
{
    return select_items(r, v, c, false, true, out);
}

FILTER(lf_jf_selectattr)
{
    return select_items(r, v, c, true, false, out);
}

FILTER(lf_jf_rejectattr)
{
    return select_items(r, v, c, true, true, out);
}

/* --- sorting --- */

struct keyed {
    struct lf_jv key, value;
};

/* Merges the two sorted halves of v[0..n); equal keys keep their order. */
static enum lf_err merge_halves(struct lf_jrun *r, struct keyed *v, struct keyed *scratch,
                                size_t half, size_t n, bool reverse)
{
    size_t a = 0, b = half, to = 0;
    while (a < half && b < n) {
        int order;
        enum lf_err rc = lf_jv_compare(r, v[a].key, v[b].key, &order);
        if (rc == LF_OK)
            rc = lf_j_spend(r, 0);
        if (rc != LF_OK)
            return rc;
        bool right_first = reverse ? order < 0 : order > 0;
        scratch[to++] = right_first ? v[b++] : v[a++];
    }
    memcpy(scratch + to, v + a, (half - a) * sizeof *v);
    to += half - a;
    memcpy(scratch + to, v + b, (n - b) * sizeof *v);
    memcpy(v, scratch, n * sizeof *v);
    return LF_OK;
}

static enum lf_err merge_sort(struct lf_jrun *r, struct keyed *v, struct keyed *scratch, size_t n,
                              bool reverse)
{
    if (n < 2)
        return LF_OK;
    enum lf_err rc = merge_sort(r, v, scratch, n / 2, reverse);
    if (rc == LF_OK)
        rc = merge_sort(r, v + n / 2, scratch, n - n / 2, reverse);
    return rc == LF_OK ? merge_halves(r, v, scratch, n / 2, n, reverse) : rc;
}

/* Room for n pairs and the merging of them. */
static struct keyed *keyed_new(struct lf_jrun *r, size_t n)
{
    return lf_j_alloc(r, (2 * n + 1) * sizeof(struct keyed));
}

static enum lf_err sorted_values(struct lf_jrun *r, struct keyed *v, size_t n, bool reverse,
                                 struct lf_jv *out)
{
    struct lf_jlist *list;
    enum lf_err rc = merge_sort(r, v, v + n, n, reverse);
    if (rc == LF_OK)
        rc = lf_jlist_new(r, n, &list);
    for (size_t i = 0; rc == LF_OK && i < n; i++)
        list->v[i] = v[i].value;
    return rc == LF_OK ? lf_jlist_done(r, list, LF_J_LIST, out) : rc;
}

/* The keys of "a,b" as a list. */
static enum lf_err keys_of(struct lf_jrun *r, struct lf_jv item, struct lf_jv paths,
                           bool case_sensitive, struct lf_jv *out)
{
    struct lf_jlist *list;
    size_t n = 1;
    for (size_t i = 0; paths.type == LF_J_STRING && i < paths.s.n; i++)
        n += paths.s.s[i] == ',';
    enum lf_err rc = lf_jlist_new(r, n, &list);
    struct lf_str rest = paths.type == LF_J_STRING ? paths.s : (struct lf_str){"", 0};
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        const char *comma = memchr(rest.s, ',', rest.n);
        size_t len = comma ? (size_t)(comma - rest.s) : rest.n;
        struct lf_jv path = paths.type == LF_J_STRING ? lf_jv_str(rest.s, len) : paths;
        rc = key_of(r, item, path, lf_jv_none(), case_sensitive, &list->v[i]);
        rest.s += len + (comma != NULL);
        rest.n -= len + (comma != NULL);
    }
    return rc == LF_OK ? lf_jlist_done(r, list, LF_J_LIST, out) : rc;
}

FILTER(lf_jf_sort)
{
    static const char *const params[] = {"reverse", "case_sensitive", "attribute", NULL};
    struct lf_jbound a;
    const struct lf_jlist *items;
    enum lf_err rc = lf_j_bind_args(r, "sort", c, params, 0, &a);
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    if (rc != LF_OK)
        return rc;
    struct keyed *pairs = keyed_new(r, items->n);
    if (!pairs)
        return LF_E_NO_MEMORY;
    for (size_t i = 0; i < items->n && rc == LF_OK; i++) {
        pairs[i].value = items->v[i];
        rc = keys_of(r, items->v[i], a.given[2] ? a.v[2] : lf_jv_none(), lf_jv_truth(a.v[1]),
                     &pairs[i].key);
    }
    return rc == LF_OK ? sorted_values(r, pairs, items->n, lf_jv_truth(a.v[0]), out) : rc;
}

FILTER(lf_jf_dictsort)
{
    static const char *const params[] = {"case_sensitive", "by", "reverse", NULL};
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "dictsort", c, params, 0, &a);
    if (rc == LF_OK && v.type == LF_J_UNDEFINED)
        rc = lf_j_fail_undefined(r, v);
    if (rc == LF_OK && v.type != LF_J_DICT)
        rc = lf_j_fail(r, LF_E_INVALID, "dictsort needs a mapping");
    bool by_value = rc == LF_OK && a.given[1] && lf_jv_equal(a.v[1], lf_jv_str("value", 5));
    if (rc == LF_OK && a.given[1] && !by_value && !lf_jv_equal(a.v[1], lf_jv_str("key", 3)))
        rc = lf_j_fail(r, LF_E_INVALID, "dictsort can only sort by \"key\" or \"value\"");
    if (rc != LF_OK)
        return rc;
    size_t n = v.dict->n;
    struct keyed *pairs = keyed_new(r, n);
    if (!pairs)
        return LF_E_NO_MEMORY;
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        pairs[i].key = by_value ? v.dict->v[i].value : v.dict->v[i].key;
        rc = lf_jtuple2(r, v.dict->v[i].key, v.dict->v[i].value, &pairs[i].value);
        if (rc == LF_OK && !lf_jv_truth(a.v[0]))
            rc = ignore_case(r, &pairs[i].key);
    }
    return rc == LF_OK ? sorted_values(r, pairs, n, lf_jv_truth(a.v[2]), out) : rc;
}

/* --- grouping and choosing --- */

/* The group pairs[from..to) as (grouper, [values]). */
static enum lf_err group(struct lf_jrun *r, const struct keyed *pairs, size_t from, size_t to,
                         struct lf_jv grouper, struct lf_jv *out)
{
    struct lf_jlist *list;
    struct lf_jv values;
    enum lf_err rc = lf_jlist_new(r, to - from, &list);
    for (size_t i = from; rc == LF_OK && i < to; i++)
        list->v[i - from] = pairs[i].value;
    if (rc == LF_OK)
        rc = lf_jlist_done(r, list, LF_J_LIST, &values);
    if (rc == LF_OK)
        rc = lf_jtuple2(r, grouper, values, out);
    out->special = true;
    return rc;
}

FILTER(lf_jf_groupby)
{
    static const char *const params[] = {"attribute", "default", "case_sensitive", NULL};
    struct lf_jbound a;
    const struct lf_jlist *items;
    struct lf_jlist *groups;
    enum lf_err rc = lf_j_bind_args(r, "groupby", c, params, 1, &a);
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    struct keyed *pairs = rc == LF_OK ? keyed_new(r, items->n) : NULL;
    if (!pairs)
        return rc == LF_OK ? LF_E_NO_MEMORY : rc;
    struct lf_jv instead = a.given[1] ? a.v[1] : lf_jv_none();
    bool case_sensitive = lf_jv_truth(a.v[2]);
    for (size_t i = 0; i < items->n && rc == LF_OK; i++) {
        pairs[i].value = items->v[i];
        rc = key_of(r, items->v[i], a.v[0], instead, case_sensitive, &pairs[i].key);
    }
    if (rc == LF_OK)
        rc = merge_sort(r, pairs, pairs + items->n, items->n, false);
    if (rc == LF_OK)
        rc = lf_jlist_new(r, items->n, &groups);
    size_t n = 0;
    for (size_t from = 0, to; rc == LF_OK && from < items->n; from = to) {
        struct lf_jv grouper;
        for (to = from + 1; to < items->n && lf_jv_equal(pairs[from].key, pairs[to].key); to++)
            ;
        rc = key_of(r, pairs[from].value, a.v[0], instead, true, &grouper);
        if (rc == LF_OK)
            rc = group(r, pairs, from, to, grouper, &groups->v[n++]);
    }
    if (rc != LF_OK)
        return rc;
    groups->n = n;
    return lf_jlist_done(r, groups, LF_J_LIST, out);
}

FILTER(lf_jf_unique)
{
    static const char *const params[] = {"case_sensitive", "attribute", NULL};
    struct lf_jbound a;
    const struct lf_jlist *items;
    struct lf_jdict *seen;
    struct yield y;
    enum lf_err rc = lf_j_bind_args(r, "unique", c, params, 0, &a);
    if (rc != LF_OK)
        return rc;
    yield_begin(&y, r);
    rc = lf_jv_items(r, v, &items);
    if (rc == LF_OK)
        rc = lf_jdict_new(r, items->n, &seen);
    for (size_t i = 0; rc == LF_OK && i < items->n; i++) {
        struct lf_jv key;
        rc = key_of(r, items->v[i], a.given[1] ? a.v[1] : lf_jv_none(), lf_jv_none(),
                    lf_jv_truth(a.v[0]), &key);
        if (rc == LF_OK && !lf_jv_hashable(key))
            rc = lf_j_fail(r, LF_E_INVALID, "unhashable type: '%s'", lf_jv_type_name(key));
        if (rc != LF_OK || lf_jdict_find(seen, key))
            continue;
        yield_item(&y, items->v[i]);
        rc = lf_jdict_put(r, seen, key, lf_jv_none());
    }
    return yield_end(&y, rc, out);
}

static enum lf_err extreme(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c, bool max,
                           struct lf_jv *out)
{
    static const char *const params[] = {"case_sensitive", "attribute", NULL};
    struct lf_jbound a;
    const struct lf_jlist *items;
    struct lf_jv best = lf_jv_none();
    enum lf_err rc = lf_j_bind_args(r, max ? "max" : "min", c, params, 0, &a);
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    *out = lf_jv_undefined("no aggregated item, sequence was empty");
    for (size_t i = 0; rc == LF_OK && i < items->n; i++) {
        struct lf_jv key;
        int order = 0;
        rc = key_of(r, items->v[i], a.given[1] ? a.v[1] : lf_jv_none(), lf_jv_none(),
                    lf_jv_truth(a.v[0]), &key);
        if (rc == LF_OK && i > 0)
            rc = lf_jv_compare(r, key, best, &order);
        if (rc == LF_OK && (i == 0 || (max ? order > 0 : order < 0))) {
            best = key;
            *out = items->v[i];
        }
    }
    return rc;
}

FILTER(lf_jf_min)
{
    return extreme(r, v, c, false, out);
}

FILTER(lf_jf_max)
{
    return extreme(r, v, c, true, out);
}

FILTER(lf_jf_sum)
{
    static const char *const params[] = {"attribute", "start", NULL};
    struct lf_jbound a;
    const struct lf_jlist *items;
    enum lf_err rc = lf_j_bind_args(r, "sum", c, params, 0, &a);
    if (rc == LF_OK)
        rc = lf_jv_items(r, v, &items);
    *out = rc == LF_OK && a.given[1] ? a.v[1] : lf_jv_int(0);
    if (rc == LF_OK && out->type == LF_J_STRING)
        rc = lf_j_fail(r, LF_E_INVALID, "sum cannot sum strings");
    for (size_t i = 0; rc == LF_OK && i < items->n; i++) {
        struct lf_jv item;
        rc = follow(r, items->v[i], a.given[0] ? a.v[0] : lf_jv_none(), lf_jv_none(), &item);
        if (rc == LF_OK)
            rc = lf_j_binary(r, LF_JO_ADD, *out, item, out);
    }
    return rc;
}
