/* What the environment offers by name: range, namespace, raise_exception... and how arguments are
 * bound to parameters. */
#include "text/chat/jinja.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum lf_err lf_j_bind_args(struct lf_jrun *r, const char *what, const struct lf_jcall *c,
                           const char *const *params, size_t n_required, struct lf_jbound *out)
{
    size_t n = 0;
    *out = (struct lf_jbound){0};
    while (params[n])
        n++;
    if (c->n > n)
        return lf_j_fail(r, LF_E_INVALID, "%s takes at most %zu arguments", what, n);
    for (size_t i = 0; i < c->n; i++) {
        out->v[i] = c->v[i];
        out->given[i] = true;
    }
    for (size_t k = 0; k < c->n_kw; k++) {
        struct lf_str name = c->kw[k].name;
        size_t i = 0;
        while (i < n && !(strlen(params[i]) == name.n && memcmp(params[i], name.s, name.n) == 0))
            i++;
        if (i == n || out->given[i])
            return lf_j_fail(r, LF_E_INVALID, "%s got an unexpected argument '%.*s'", what,
                             (int)name.n, name.s);
        out->v[i] = c->kw[k].value;
        out->given[i] = true;
    }
    for (size_t i = 0; i < n_required; i++)
        if (!out->given[i])
            return lf_j_fail(r, LF_E_INVALID, "%s misses its argument '%s'", what, params[i]);
    return LF_OK;
}

/* --- raise_exception, strftime_now --- */

static enum lf_err raise_exception(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out)
{
    static const char *const params[] = {"message", NULL};
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "raise_exception()", c, params, 1, &a);
    if (rc == LF_OK)
        rc = lf_jv_to_string(r, a.v[0], out);
    if (rc != LF_OK)
        return rc;
    return lf_j_fail(r, LF_E_INVALID, "the template says: %.*s", (int)out->s.n, out->s.s);
}

static enum lf_err strftime_now(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out)
{
    static const char *const params[] = {"format", NULL};
    struct lf_jbound a;
    char text[1024], format[256];
    enum lf_err rc = lf_j_bind_args(r, "strftime_now()", c, params, 1, &a);
    if (rc != LF_OK)
        return rc;
    if (a.v[0].type != LF_J_STRING)
        return lf_j_fail(r, LF_E_INVALID, "strftime_now() needs a string");
    if (a.v[0].s.n >= sizeof format || memmem(a.v[0].s.s, a.v[0].s.n, "%f", 2))
        return lf_j_fail(r, LF_E_UNSUPPORTED, "this strftime_now() format is not supported");
    memcpy(format, a.v[0].s.s, a.v[0].s.n);
    format[a.v[0].s.n] = '\0';
    time_t now = time(NULL);
    struct tm tm;
    if (!localtime_r(&now, &tm))
        return lf_j_fail(r, LF_E_IO, "no local time");
    size_t n = strftime(text, sizeof text, format, &tm);
    return lf_jv_copy(r, text, n, out);
}

/* --- range --- */

static enum lf_err range_bounds(struct lf_jrun *r, const struct lf_jcall *c, int64_t v[3])
{
    if (c->n_kw > 0 || c->n < 1 || c->n > 3)
        return lf_j_fail(r, LF_E_INVALID, "range() takes 1 to 3 arguments");
    for (size_t i = 0; i < c->n; i++) {
        if (c->v[i].type == LF_J_UNDEFINED)
            return lf_j_fail_undefined(r, c->v[i]);
        if (!lf_jv_is_int(c->v[i]))
            return lf_j_fail(r, LF_E_INVALID, "'%s' object is not an integer",
                             lf_jv_type_name(c->v[i]));
        v[i] = lf_jv_to_int(c->v[i]);
    }
    if (c->n == 1) {
        v[1] = v[0];
        v[0] = 0;
    }
    return v[2] == 0 ? lf_j_fail(r, LF_E_INVALID, "range() step must not be zero") : LF_OK;
}

static enum lf_err range(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out)
{
    int64_t v[3] = {0, 0, 1};
    enum lf_err rc = range_bounds(r, c, v);
    if (rc != LF_OK)
        return rc;
    bool up = v[2] > 0;
    uint64_t span = 0, n = 0;
    if (up ? v[1] > v[0] : v[1] < v[0]) {
        span = up ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
        uint64_t step = up ? (uint64_t)v[2] : -(uint64_t)v[2];
        n = (span - 1) / step + 1;
    }
    if (n > LF_J_RANGE_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "range() of more than %d items", LF_J_RANGE_MAX);
    struct lf_jrange *made = lf_j_alloc(r, sizeof *made);
    if (!made)
        return LF_E_NO_MEMORY;
    *made = (struct lf_jrange){v[0], v[1], v[2], (size_t)n};
    *out = (struct lf_jv){.type = LF_J_RANGE, .range = made};
    return LF_OK;
}

/* --- dict and namespace --- */

static enum lf_err put_pair(struct lf_jrun *r, struct lf_jdict *d, struct lf_jv pair)
{
    const struct lf_jlist *items;
    enum lf_err rc = lf_jv_items(r, pair, &items);
    if (rc == LF_OK && items->n != 2)
        rc = lf_j_fail(r, LF_E_INVALID, "a dict is made of pairs");
    if (rc == LF_OK && !lf_jv_hashable(items->v[0]))
        rc = lf_j_fail(r, LF_E_INVALID, "unhashable type: '%s'", lf_jv_type_name(items->v[0]));
    return rc == LF_OK ? lf_jdict_put(r, d, items->v[0], items->v[1]) : rc;
}

/* dict(mapping or pairs, **more) */
static enum lf_err make_dict(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jdict **out)
{
    const struct lf_jlist *pairs;
    struct lf_jdict *d = NULL;
    enum lf_err rc = lf_jdict_new(r, c->n_kw, &d);
    if (rc == LF_OK && c->n > 1)
        rc = lf_j_fail(r, LF_E_INVALID, "dict() takes at most one argument");
    if (rc == LF_OK && c->n == 1 && c->v[0].type == LF_J_DICT) {
        for (size_t i = 0; i < c->v[0].dict->n && rc == LF_OK; i++)
            rc = lf_jdict_put(r, d, c->v[0].dict->v[i].key, c->v[0].dict->v[i].value);
    } else if (rc == LF_OK && c->n == 1) {
        rc = lf_jv_items(r, c->v[0], &pairs);
        for (size_t i = 0; rc == LF_OK && i < pairs->n; i++)
            rc = put_pair(r, d, pairs->v[i]);
    }
    for (size_t i = 0; i < c->n_kw && rc == LF_OK; i++)
        rc = lf_jdict_put(r, d, lf_jv_str(c->kw[i].name.s, c->kw[i].name.n), c->kw[i].value);
    *out = d;
    return rc;
}

static enum lf_err dict(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out)
{
    struct lf_jdict *d = NULL;
    enum lf_err rc = make_dict(r, c, &d);
    *out = (struct lf_jv){.type = LF_J_DICT, .dict = d};
    return rc;
}

static enum lf_err namespace(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out) {
    struct lf_jdict *d = NULL; enum lf_err rc = make_dict(r, c, &d);
    for (size_t i = 0; rc == LF_OK && i < d->n; i++) if (d->v[i].key.type == LF_J_STRING &&
                                                         d->v[i].key.s.n > 0 &&
                                                         d->v[i].key.s.s[0] == '_')
        rc = lf_j_fail(r, LF_E_INVALID, "a namespace's attribute may not start with '_'");
    *out = (struct lf_jv){.type = LF_J_NAMESPACE, .dict = d};
    return rc;
}

/* --- joiner and cycler --- */

static enum lf_err list_of(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jlist **out)
{
    struct lf_jv done;
    enum lf_err rc = lf_jlist_new(r, c->n, out);
    for (size_t i = 0; rc == LF_OK && i < c->n; i++)
        (*out)->v[i] = c->v[i];
    return rc == LF_OK ? lf_jlist_done(r, *out, LF_J_TUPLE, &done) : rc;
}

static enum lf_err joiner(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out)
{
    static const char *const params[] = {"sep", NULL};
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "joiner()", c, params, 0, &a);
    struct lf_jcycler *made = rc == LF_OK ? lf_j_alloc(r, sizeof *made) : NULL;
    if (!made)
        return rc == LF_OK ? LF_E_NO_MEMORY : rc;
    made->separator = a.given[0] ? a.v[0] : lf_jv_str(", ", 2);
    *out = (struct lf_jv){.type = LF_J_JOINER, .cycler = made};
    return LF_OK;
}

static enum lf_err cycler(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out)
{
    struct lf_jlist *items;
    if (c->n == 0 || c->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "cycler() needs items");
    enum lf_err rc = list_of(r, c, &items);
    struct lf_jcycler *made = rc == LF_OK ? lf_j_alloc(r, sizeof *made) : NULL;
    if (!made)
        return rc == LF_OK ? LF_E_NO_MEMORY : rc;
    made->items = items;
    *out = (struct lf_jv){.type = LF_J_CYCLER, .cycler = made};
    return LF_OK;
}

const struct lf_jfunction *lf_j_function(struct lf_str name)
{
    static const struct lf_jfunction all[] = {
        {"raise_exception", raise_exception},
        {"strftime_now", strftime_now},
        {"range", range},
        {"dict", dict},
        {"namespace", namespace},
        {"joiner", joiner},
        {"cycler", cycler},
        {"lipsum", NULL},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strlen(all[i].name) == name.n && memcmp(all[i].name, name.s, name.n) == 0)
            return &all[i];
    return NULL;
}

/* --- loop.cycle and loop.changed --- */

static enum lf_err loop_cycle(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                              struct lf_jv *out)
{
    if (c->n == 0 || c->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "no items for cycling given");
    *out = c->v[self.loop->index0 % c->n];
    return LF_OK;
}

static enum lf_err loop_changed(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                struct lf_jv *out)
{
    struct lf_jlist *now;
    struct lf_jloop *loop = self.loop;
    enum lf_err rc = list_of(r, c, &now);
    if (rc != LF_OK)
        return rc;
    struct lf_jv a = {.type = LF_J_TUPLE, .list = now};
    struct lf_jv b = {.type = LF_J_TUPLE, .list = loop->changed};
    bool changed = !loop->changed || !lf_jv_equal(a, b);
    loop->changed = now;
    *out = lf_jv_bool(changed);
    return LF_OK;
}

enum lf_err lf_j_loop_method(struct lf_jrun *r, struct lf_jloop *loop, bool changed,
                             struct lf_jv *out)
{
    static const struct lf_jmethod_def cycle_def = {"cycle", loop_cycle};
    static const struct lf_jmethod_def changed_def = {"changed", loop_changed};
    struct lf_jmethod *m = lf_j_alloc(r, sizeof *m);
    if (!m)
        return LF_E_NO_MEMORY;
    m->self = (struct lf_jv){.type = LF_J_LOOP, .loop = loop};
    m->def = changed ? &changed_def : &cycle_def;
    *out = (struct lf_jv){.type = LF_J_METHOD, .method = m};
    return LF_OK;
}
