/* What the environment offers by name: range, namespace, raise_exception... */
#include "text/chat/names.h"
#include "text/limits.h"

#include <string.h>
#include <time.h>

#define FUNCTION(name) \
    static struct lf_jv name(struct lf_jrun *r, struct lf_jv self, const struct lf_jbound *a)

FUNCTION(raise_exception)
{
    (void)self;
    struct lf_jv why = lf_jv_to_string(r, a->v[0]);
    return r->rc != LF_OK
               ? why
               : lf_j_fail(r, LF_E_INVALID, "the template says: %.*s", (int)why.s.n, why.s.s);
}

FUNCTION(strftime_now)
{
    (void)self;
    char text[1024], format[256];
    struct lf_str s = a->v[0].s;
    time_t now = time(NULL);
    struct tm tm;
    if (s.n >= sizeof format || memmem(s.s, s.n, "%f", 2))
        return lf_j_fail(r, LF_E_UNSUPPORTED, "this strftime_now() format is not supported");
    if (!localtime_r(&now, &tm))
        return lf_j_fail(r, LF_E_IO, "no local time");
    memcpy(format, s.s, s.n);
    format[s.n] = '\0';
    size_t n = strftime(text, sizeof text, format, &tm);
    return lf_jv_copy(r, (struct lf_str){text, n});
}

FUNCTION(range)
{
    (void)self;
    int64_t v[3] = {lf_jv_to_int(a->v[0]), a->given[1] ? lf_jv_to_int(a->v[1]) : 0,
                    a->given[2] ? lf_jv_to_int(a->v[2]) : 1};
    if (!a->given[1]) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (v[2] == 0)
        return lf_j_fail(r, LF_E_INVALID, "range() step must not be zero");
    bool up = v[2] > 0;
    uint64_t span = up ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
    uint64_t n = (up ? v[1] > v[0] : v[1] < v[0])
                     ? (span - 1) / (up ? (uint64_t)v[2] : -(uint64_t)v[2]) + 1
                     : 0;
    if (n > LF_J_RANGE_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "range() of more than %d items", LF_J_RANGE_MAX);
    struct lf_jlist *list = lf_jlist_new(r, (size_t)n);
    for (size_t i = 0; i < n && r->rc == LF_OK; i++)
        lf_jlist_add(r, list, lf_jv_int(v[0] + (int64_t)i * v[2]));
    return lf_jv_list(LF_J_RANGE, list);
}

/* dict(mapping, **more) and namespace(mapping, **more) */
FUNCTION(dict)
{
    (void)self;
    const struct lf_jcall *c = a->raw;
    struct lf_jdict *d = lf_jdict_new(r, c->n_kw);
    if (c->n > 1 || (c->n == 1 && c->v[0].type != LF_J_DICT))
        return lf_j_fail(r, LF_E_UNSUPPORTED, "a dict of anything but a dict is not supported");
    for (size_t i = 0; c->n == 1 && i < c->v[0].dict->n; i++)
        lf_jdict_put(r, d, c->v[0].dict->v[i].key, c->v[0].dict->v[i].value);
    for (size_t i = 0; i < c->n_kw; i++)
        lf_jdict_put(r, d, c->kw[i].key, c->kw[i].value);
    for (size_t i = 0; a->how == LF_J_NAMESPACE && i < d->n; i++)
        if (d->v[i].key.type == LF_J_STRING && d->v[i].key.s.n > 0 && d->v[i].key.s.s[0] == '_')
            lf_j_fail(r, LF_E_INVALID, "a namespace's attribute may not start with '_'");
    return (struct lf_jv){.type = (enum lf_jtype)a->how, .dict = d};
}

const struct lf_jdef lf_j_functions[] = {
    {"raise_exception", "message", raise_exception},
    {"strftime_now", "format:s", strftime_now},
    {"range", "start:i stop?:i step?:i", range},
    {"dict", NULL, dict, LF_J_DICT},
    {"namespace", NULL, dict, LF_J_NAMESPACE},
    {"joiner"}, /* refused */
    {"cycler"},
    {"lipsum"},
    {NULL},
};
