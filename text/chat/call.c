/* How arguments come to parameters. */
#include "text/chat/value.h"

#include <string.h>

/* Whether an argument is of its parameter's kind. */
static void check_kind(struct lf_jrun *r, const char *name, char kind, struct lf_jbound *a,
                       size_t i)
{
    struct lf_jv v = a->v[i];
    if (kind == 'S' && v.type == LF_J_NONE)
        a->given[i] = false;
    else if (kind && v.type == LF_J_UNDEFINED)
        lf_j_fail_undefined(r, v);
    else if (kind && (kind == 'i' ? !lf_jv_is_int(v) : v.type != LF_J_STRING))
        lf_j_fail(r, LF_E_INVALID, "%s needs %s, not '%s'", name,
                  kind == 'i' ? "an integer" : "a string", lf_jv_type_name(v));
}

static void bind(struct lf_jrun *r, const struct lf_jdef *def, const struct lf_jcall *c,
                 struct lf_jbound *a)
{
    size_t n = 0, by_name = 0;
    for (const char *p = def->params; *p; n++) {
        struct lf_str name = {p, strcspn(p, "?: ")};
        const struct lf_jv *named = lf_j_keyword(c, name);
        p += name.n;
        bool optional = *p == '?';
        p += optional;
        char kind = *p == ':' ? p[1] : '\0';
        p += kind ? 2 : 0;
        p += *p == ' ';
        by_name += n >= c->n && named;
        a->given[n] = n < c->n || named;
        if (a->given[n])
            a->v[n] = n < c->n ? c->v[n] : *named;
        else if (!optional)
            lf_j_fail(r, LF_E_INVALID, "%s misses its argument '%.*s'", def->name, (int)name.n,
                      name.s);
        if (a->given[n])
            check_kind(r, def->name, kind, a, n);
    }
    if (c->n > n || by_name < c->n_kw)
        lf_j_fail(r, LF_E_INVALID, "%s was given an argument it does not take", def->name);
}

struct lf_jv lf_j_apply(struct lf_jrun *r, const char *kind, const struct lf_jdef *def,
                        struct lf_jv self, const struct lf_jcall *c)
{
    struct lf_jbound a = {.how = def->how, .raw = c};
    if (!def->call)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "%s '%s' is not supported", kind, def->name);
    if (def->params)
        bind(r, def, c, &a);
    return r->rc == LF_OK ? def->call(r, self, &a) : lf_jv_undefined(NULL);
}
