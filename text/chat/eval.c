/* Evaluating: expressions give values. */
#include "text/chat/run.h"
#include "text/limits.h"

#include <string.h>

/* --- calls, filters, tests --- */

struct lf_jcall lf_j_eval_args(struct lf_jrun *r, const struct lf_jargs *args)
{
    if (!args)
        return (struct lf_jcall){0};
    struct lf_jv *v = lf_j_alloc(r, (args->v.n + 1) * sizeof *v);
    struct lf_jpair *kw = lf_j_alloc(r, (args->keys.n + 1) * sizeof *kw);
    for (size_t i = 0; i < args->v.n && r->rc == LF_OK; i++)
        v[i] = lf_j_eval(r, args->v.v[i]);
    for (size_t i = 0; i < args->keys.n && r->rc == LF_OK; i++)
        kw[i] = (struct lf_jpair){args->keys.v[i]->value, lf_j_eval(r, args->values.v[i])};
    return (struct lf_jcall){v, args->v.n, kw, args->keys.n};
}

static struct lf_jv call_value(struct lf_jrun *r, struct lf_jv callee, const struct lf_jcall *c)
{
    const struct lf_jmethod *m = callee.method;
    switch (callee.type) {
    case LF_J_MACRO:
        return lf_j_call_macro(r, callee.macro, c, NULL);
    case LF_J_FUNCTION:
        return lf_j_apply(r, "function", callee.function, callee, c);
    case LF_J_METHOD:
        if (!m->def->call)
            return lf_j_fail(r, LF_E_UNSUPPORTED, "method '%s' of '%s' is not supported",
                             m->def->name, lf_jv_type_name(m->self));
        return lf_j_apply(r, "method", m->def, m->self, c);
    case LF_J_UNDEFINED:
        return lf_j_fail_undefined(r, callee);
    default:
        return lf_j_fail(r, LF_E_INVALID, "'%s' object is not callable", lf_jv_type_name(callee));
    }
}

static struct lf_jv eval_call(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv callee = lf_j_eval(r, node->a);
    struct lf_jcall c = lf_j_eval_args(r, node->args);
    return r->rc == LF_OK ? call_value(r, callee, &c) : callee;
}

/* A filter or test on v. */
static struct lf_jv apply(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv v)
{
    const char *kind = node->kind == LF_JN_FILTER ? "filter" : "test";
    if (!node->def)
        return lf_j_fail(r, LF_E_INVALID, "no %s named '%.*s'", kind, (int)node->name.n,
                         node->name.s);
    struct lf_jcall c = lf_j_eval_args(r, node->args);
    return r->rc == LF_OK ? lf_j_apply(r, kind, node->def, v, &c) : v;
}

struct lf_jv lf_j_eval_filters(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv v)
{
    if (!lf_j_enter(r))
        return v;
    if (node->a)
        v = lf_j_eval_filters(r, node->a, v);
    v = r->rc == LF_OK ? apply(r, node, v) : v;
    r->depth--;
    return v;
}

/* --- the other expressions --- */

static struct lf_jv eval_list(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jlist *list = lf_jlist_new(r, node->v.n);
    for (size_t i = 0; i < node->v.n && r->rc == LF_OK; i++)
        lf_jlist_add(r, list, lf_j_eval(r, node->v.v[i]));
    return lf_jv_list(node->kind == LF_JN_LIST ? LF_J_LIST : LF_J_TUPLE, list);
}

static struct lf_jv eval_dict(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jdict *d = lf_jdict_new(r, node->v.n / 2);
    for (size_t i = 0; i < node->v.n && r->rc == LF_OK; i += 2) {
        struct lf_jv key = lf_j_eval(r, node->v.v[i]), value = lf_j_eval(r, node->v.v[i + 1]);
        if (r->rc == LF_OK && lf_jv_hashable(r, key))
            lf_jdict_put(r, d, key, value);
    }
    return (struct lf_jv){.type = LF_J_DICT, .dict = d};
}

static struct lf_jv eval_getitem(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv v = lf_j_eval(r, node->a), bounds[3];
    if (node->b->kind != LF_JN_SLICE) {
        struct lf_jv key = lf_j_eval(r, node->b);
        return r->rc == LF_OK ? lf_jv_getitem(r, v, key) : v;
    }
    for (size_t i = 0; i < 3; i++)
        bounds[i] = node->b->v.v[i] ? lf_j_eval(r, node->b->v.v[i]) : lf_jv_none();
    return r->rc == LF_OK ? lf_jv_slice(r, v, bounds) : v;
}

static struct lf_jv eval_compare(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv left = lf_j_eval(r, node->a);
    bool holds = true;
    for (size_t i = 0; i < node->v.n && r->rc == LF_OK && holds; i++) {
        struct lf_jv right = lf_j_eval(r, node->v.v[i]->a);
        holds = r->rc == LF_OK && lf_j_holds(r, node->v.v[i]->op, left, right);
        left = right;
    }
    return lf_jv_bool(holds);
}

static struct lf_jv eval_concat(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    for (size_t i = 0; i < node->v.n && r->rc == LF_OK; i++)
        lf_jv_print(r, &b, lf_j_eval(r, node->v.v[i]));
    return lf_jv_take(r, &b);
}

static struct lf_jv eval_condition(struct lf_jrun *r, const struct lf_jnode *node)
{
    if (lf_jv_truth(lf_j_eval(r, node->a)))
        return lf_j_eval(r, node->b);
    return node->c ? lf_j_eval(r, node->c)
                   : lf_jv_undefined("an inline if was false and has no else");
}

static struct lf_jv eval_binary(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv a = lf_j_eval(r, node->a), b = lf_j_eval(r, node->b);
    return lf_j_binary(r, node->op, a, b);
}

/* Those that begin with their operand a. */
static struct lf_jv eval_of(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv a = lf_j_eval(r, node->a);
    if (r->rc != LF_OK)
        return a;
    switch (node->kind) {
    case LF_JN_GETATTR:
        return lf_jv_getattr(r, a, node->name);
    case LF_JN_FILTER:
    case LF_JN_TEST:
        return apply(r, node, a);
    case LF_JN_NOT:
        return lf_jv_bool(!lf_jv_truth(a));
    case LF_JN_MINUS:
        return lf_j_negative(r, a);
    case LF_JN_AND:
    case LF_JN_OR:
        return lf_jv_truth(a) == (node->kind == LF_JN_AND) ? lf_j_eval(r, node->b) : a;
    default:
        return lf_j_fail(r, LF_E_INVALID, "not an expression");
    }
}

static struct lf_jv eval_one(struct lf_jrun *r, const struct lf_jnode *node)
{
    switch (node->kind) {
    case LF_JN_CONST:
        return node->value;
    case LF_JN_NAME:
        return lf_j_lookup(r, node->name);
    case LF_JN_TUPLE:
    case LF_JN_LIST:
        return eval_list(r, node);
    case LF_JN_DICT:
        return eval_dict(r, node);
    case LF_JN_GETITEM:
        return eval_getitem(r, node);
    case LF_JN_CALL:
        return eval_call(r, node);
    case LF_JN_BINARY:
        return eval_binary(r, node);
    case LF_JN_CONCAT:
        return eval_concat(r, node);
    case LF_JN_COMPARE:
        return eval_compare(r, node);
    case LF_JN_COND:
        return eval_condition(r, node);
    default:
        return eval_of(r, node);
    }
}

struct lf_jv lf_j_eval(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv v = lf_jv_undefined(NULL);
    if (!lf_j_enter(r))
        return v;
    lf_j_spend(r, 0);
    if (r->rc == LF_OK)
        v = eval_one(r, node);
    r->depth--;
    return r->rc == LF_OK ? v : lf_jv_undefined(NULL);
}
