/* Variables: where they are bound and found. */
#include "text/chat/run.h"

#include <stdio.h>

struct binding {
    struct binding *next;
    struct lf_str name;
    struct lf_jv value;
};

struct lf_jscope {
    struct lf_jscope *parent;
    struct binding *first;
};

void lf_j_push_scope(struct lf_jrun *r, struct lf_jscope *parent)
{
    struct lf_jscope *scope = lf_j_alloc(r, sizeof *scope);
    if (!scope)
        return;
    scope->parent = parent;
    r->scope = scope;
}

static struct binding *find(const struct lf_jscope *scope, struct lf_str name)
{
    struct binding *b = scope->first;
    while (b && !lf_str_same(b->name, name))
        b = b->next;
    return b;
}

void lf_j_bind(struct lf_jrun *r, struct lf_str name, struct lf_jv v)
{
    if (r->rc != LF_OK)
        return;
    struct binding *b = find(r->scope, name);
    if (!b) {
        b = lf_j_alloc(r, sizeof *b);
        if (!b)
            return;
        *b = (struct binding){.next = r->scope->first, .name = name};
        r->scope->first = b;
    }
    b->value = v;
}

struct lf_jv lf_j_lookup(struct lf_jrun *r, struct lf_str name)
{
    static const char form[] = "'%.*s' is undefined";
    const struct binding *b = NULL;
    for (const struct lf_jscope *s = r->scope; s && !b; s = s->parent)
        b = find(s, name);
    if (b)
        return b->value;
    const struct lf_jv *global = lf_jdict_find(r, r->globals, lf_jv_str(name));
    const struct lf_jdef *function = r->names->function(name);
    if (global)
        return *global;
    if (function)
        return (struct lf_jv){.type = LF_J_FUNCTION, .function = function};
    char *why = lf_j_alloc(r, name.n + sizeof form);
    if (why)
        snprintf(why, name.n + sizeof form, form, (int)name.n, name.s);
    return lf_jv_undefined(why);
}

static void assign_attribute(struct lf_jrun *r, const struct lf_jnode *target, struct lf_jv v)
{
    struct lf_jv space = lf_j_lookup(r, target->name);
    if (space.type != LF_J_NAMESPACE)
        lf_j_fail(r, LF_E_INVALID, "cannot assign attribute on non-namespace object");
    else if (target->value.s.n > 0 && target->value.s.s[0] == '_')
        lf_j_fail(r, LF_E_INVALID, "a namespace's attribute may not start with '_'");
    else
        lf_jdict_put(r, space.dict, target->value, v);
}

void lf_j_assign(struct lf_jrun *r, const struct lf_jnode *target, struct lf_jv v)
{
    if (r->rc != LF_OK)
        return;
    if (target->kind == LF_JN_NAME) {
        lf_j_bind(r, target->name, v);
        return;
    }
    if (target->kind == LF_JN_NSREF) {
        assign_attribute(r, target, v);
        return;
    }
    const struct lf_jlist *items = lf_jv_items(r, v);
    if (items->n != target->v.n)
        lf_j_fail(r, LF_E_INVALID, "%zu values for %zu names", items->n, target->v.n);
    for (size_t i = 0; r->rc == LF_OK && i < target->v.n; i++)
        lf_j_assign(r, target->v.v[i], items->v[i]);
}
