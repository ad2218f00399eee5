/* Running: statements write text. */
#include "text/chat/jinja.h"

#include "core/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- errors and limits --- */

enum lf_err lf_j_fail(struct lf_jrun *r, enum lf_err rc, const char *fmt, ...)
{
    char text[LF_DIAG_MAX - 32];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return lf_fail(r->diag, rc, "line %u: %s", r->line, text);
}

enum lf_err lf_j_fail_undefined(struct lf_jrun *r, struct lf_jv v)
{
    return lf_j_fail(r, LF_E_INVALID, "%s", v.s.s ? v.s.s : "an undefined value was used");
}

void *lf_j_alloc(struct lf_jrun *r, size_t n)
{
    if (n > LF_J_MEMORY_MAX || r->memory + n > LF_J_MEMORY_MAX) {
        lf_j_fail(r, LF_E_TOO_BIG, "the template needs over %u bytes", LF_J_MEMORY_MAX);
        r->over_memory = true;
        return NULL;
    }
    void *p = lf_arena_alloc(&r->arena, n);
    if (!p)
        lf_j_fail(r, LF_E_NO_MEMORY, "no memory for the template's values");
    r->memory += n;
    return p;
}

enum lf_err lf_j_spend(struct lf_jrun *r, size_t work)
{
    r->steps += 1 + work / 64;
    if (r->steps > LF_J_STEPS_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "the template takes more than %d steps", LF_J_STEPS_MAX);
    return LF_OK;
}

/* --- scopes --- */

static bool same(struct lf_str a, struct lf_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

enum lf_err lf_j_push_scope(struct lf_jrun *r, struct lf_jscope *parent)
{
    struct lf_jscope *scope = lf_j_alloc(r, sizeof *scope);
    if (!scope)
        return LF_E_NO_MEMORY;
    scope->parent = parent;
    r->scope = scope;
    return LF_OK;
}

enum lf_err lf_j_bind(struct lf_jrun *r, struct lf_str name, struct lf_jv v)
{
    for (struct lf_jbinding *b = r->scope->first; b; b = b->next) {
        if (same(b->name, name)) {
            b->value = v;
            return LF_OK;
        }
    }
    struct lf_jbinding *b = lf_j_alloc(r, sizeof *b);
    if (!b)
        return LF_E_NO_MEMORY;
    *b = (struct lf_jbinding){.next = r->scope->first, .name = name, .value = v};
    r->scope->first = b;
    return LF_OK;
}

enum lf_err lf_j_lookup(struct lf_jrun *r, struct lf_str name, struct lf_jv *out)
{
    for (const struct lf_jscope *s = r->scope; s; s = s->parent) {
        for (const struct lf_jbinding *b = s->first; b; b = b->next) {
            if (same(b->name, name)) {
                *out = b->value;
                return LF_OK;
            }
        }
    }
    const struct lf_jv *global = lf_jdict_find_str(r->globals, name);
    const struct lf_jfunction *function = global ? NULL : lf_j_function(name);
    if (global) {
        *out = *global;
    } else if (function) {
        *out = (struct lf_jv){.type = LF_J_FUNCTION, .function = function};
    } else {
        size_t n = name.n + sizeof "'' is undefined";
        char *why = lf_j_alloc(r, n);
        if (!why)
            return LF_E_NO_MEMORY;
        snprintf(why, n, "'%.*s' is undefined", (int)name.n, name.s);
        *out = lf_jv_undefined(why);
    }
    return LF_OK;
}

/* --- assignment --- */

static enum lf_err assign_attribute(struct lf_jrun *r, const struct lf_jnode *target,
                                    struct lf_jv v)
{
    struct lf_jv space;
    enum lf_err rc = lf_j_lookup(r, target->name, &space);
    if (rc != LF_OK)
        return rc;
    if (space.type != LF_J_NAMESPACE)
        return lf_j_fail(r, LF_E_INVALID, "cannot assign attribute on non-namespace object");
    if (target->value.s.n > 0 && target->value.s.s[0] == '_')
        return lf_j_fail(r, LF_E_INVALID, "a namespace's attribute may not start with '_'");
    return lf_jdict_put(r, space.dict, target->value, v);
}

enum lf_err lf_j_assign(struct lf_jrun *r, const struct lf_jnode *target, struct lf_jv v)
{
    if (target->kind == LF_JN_NAME)
        return lf_j_bind(r, target->name, v);
    if (target->kind == LF_JN_NSREF)
        return assign_attribute(r, target, v);
    const struct lf_jlist *items;
    enum lf_err rc = lf_jv_items(r, v, &items);
    if (rc == LF_OK && items->n != target->n)
        rc = lf_j_fail(r, LF_E_INVALID, "%zu values for %zu names", items->n, target->n);
    for (size_t i = 0; rc == LF_OK && i < target->n; i++)
        rc = lf_j_assign(r, target->v[i], items->v[i]);
    return rc;
}

/* --- text into a value --- */

/* Runs a body in a scope of its own; what it writes is *out. */
static enum lf_err capture(struct lf_jrun *r, const struct lf_jbody *body, struct lf_jscope *parent,
                           struct lf_jv *out)
{
    struct lf_jscope *scope = r->scope;
    struct lf_buf *before = r->out, b;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    r->out = &b;
    enum lf_err rc = lf_j_push_scope(r, parent);
    if (rc == LF_OK)
        rc = lf_j_run(r, body);
    r->out = before;
    r->scope = scope;
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}

/* --- macros --- */

static const struct lf_jv *keyword(const struct lf_jcall *c, struct lf_str name)
{
    for (size_t i = 0; i < c->n_kw; i++)
        if (same(c->kw[i].name, name))
            return &c->kw[i].value;
    return NULL;
}

/* Binds the parameters: by position, by name, by default (which may use those before). */
static enum lf_err bind_parameters(struct lf_jrun *r, const struct lf_jnode *node,
                                   const struct lf_jcall *c, size_t *n_by_name)
{
    enum lf_err rc = LF_OK;
    size_t first_default = node->n - node->n_defaults;
    for (size_t i = 0; i < node->n && rc == LF_OK; i++) {
        struct lf_str name = node->v[i]->name;
        const struct lf_jv *named = i < c->n ? NULL : keyword(c, name);
        struct lf_jv v = lf_jv_undefined("a parameter of the macro was not provided");
        *n_by_name += named != NULL;
        if (i < c->n)
            v = c->v[i];
        else if (named)
            v = *named;
        else if (i >= first_default)
            rc = lf_j_eval(r, node->defaults[i - first_default], &v);
        if (rc == LF_OK)
            rc = lf_j_bind(r, name, v);
    }
    return rc;
}

static bool is_parameter(const struct lf_jnode *node, struct lf_str name)
{
    for (size_t i = 0; i < node->n; i++)
        if (same(node->v[i]->name, name))
            return true;
    return false;
}

/* varargs and kwargs: what no parameter took. */
static enum lf_err bind_rest(struct lf_jrun *r, const struct lf_jnode *node,
                             const struct lf_jcall *c)
{
    struct lf_jlist *list;
    struct lf_jdict *d = NULL;
    struct lf_jv v;
    size_t n = c->n > node->n ? c->n - node->n : 0;
    enum lf_err rc = lf_jlist_new(r, n, &list);
    for (size_t i = 0; rc == LF_OK && i < n; i++)
        list->v[i] = c->v[node->n + i];
    if (rc == LF_OK)
        rc = lf_jlist_done(r, list, LF_J_TUPLE, &v);
    if (rc == LF_OK && node->catches_varargs)
        rc = lf_j_bind(r, (struct lf_str){"varargs", 7}, v);
    if (rc == LF_OK)
        rc = lf_jdict_new(r, c->n_kw, &d);
    for (size_t i = 0; rc == LF_OK && i < c->n_kw; i++)
        if (!is_parameter(node, c->kw[i].name))
            rc = lf_jdict_put(r, d, lf_jv_str(c->kw[i].name.s, c->kw[i].name.n), c->kw[i].value);
    if (rc == LF_OK && node->catches_kwargs)
        rc = lf_j_bind(r, (struct lf_str){"kwargs", 6},
                       (struct lf_jv){.type = LF_J_DICT, .dict = d});
    return rc;
}

static enum lf_err bind_macro(struct lf_jrun *r, const struct lf_jnode *node,
                              const struct lf_jcall *c, const struct lf_jv *caller)
{
    size_t by_name = 0;
    enum lf_err rc = bind_parameters(r, node, c, &by_name);
    if (rc == LF_OK && by_name < c->n_kw && !node->catches_kwargs)
        rc = lf_j_fail(r, LF_E_INVALID, "macro '%.*s' was given an argument it does not take",
                       (int)node->name.n, node->name.s);
    if (rc == LF_OK && c->n > node->n && !node->catches_varargs)
        rc = lf_j_fail(r, LF_E_INVALID, "macro '%.*s' takes not more than %zu arguments",
                       (int)node->name.n, node->name.s, node->n);
    if (rc == LF_OK && caller && !node->has_caller)
        rc = lf_j_fail(r, LF_E_INVALID, "macro '%.*s' has no use for a caller", (int)node->name.n,
                       node->name.s);
    if (rc == LF_OK && (node->catches_kwargs || node->catches_varargs))
        rc = bind_rest(r, node, c);
    if (rc == LF_OK && node->has_caller && !is_parameter(node, (struct lf_str){"caller", 6}))
        rc = lf_j_bind(r, (struct lf_str){"caller", 6},
                       caller ? *caller : lf_jv_undefined("no caller defined"));
    return rc;
}

enum lf_err lf_j_call_macro(struct lf_jrun *r, const struct lf_jmacro *m, const struct lf_jcall *c,
                            const struct lf_jv *caller, struct lf_jv *out)
{
    struct lf_jscope *scope = r->scope;
    struct lf_buf *before = r->out, b;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    enum lf_err rc = lf_j_push_scope(r, m->scope);
    if (rc == LF_OK)
        rc = bind_macro(r, m->node, c, caller);
    r->out = &b;
    if (rc == LF_OK)
        rc = lf_j_run(r, &m->node->body);
    r->out = before;
    r->scope = scope;
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}

static enum lf_err macro_value(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jmacro *m = lf_j_alloc(r, sizeof *m);
    if (!m)
        return LF_E_NO_MEMORY;
    *m = (struct lf_jmacro){.node = node, .scope = r->scope};
    *out = (struct lf_jv){.type = LF_J_MACRO, .macro = m};
    return LF_OK;
}

/* --- loops --- */

/* The next item that passes the test, which jinja2 asks only when the item is needed. */
static enum lf_err loop_fetch(struct lf_jrun *r, struct lf_jloop *loop, bool *found,
                              struct lf_jv *out)
{
    struct lf_jscope *scope = r->scope;
    enum lf_err rc = LF_OK;
    *found = false;
    while (rc == LF_OK && !loop->ended && !*found) {
        struct lf_jiterator *it = loop->iterator;
        size_t *at = it ? &it->at : &loop->next;
        const struct lf_jlist *items = it ? it->items : loop->items;
        if (*at == items->n) {
            loop->ended = true;
            return it && it->why ? lf_j_fail(r, LF_E_INVALID, "%s", it->why) : LF_OK;
        }
        *out = items->v[(*at)++];
        struct lf_jv passes = lf_jv_bool(true);
        if (loop->test) {
            rc = lf_j_push_scope(r, loop->outer);
            if (rc == LF_OK)
                rc = lf_j_assign(r, loop->target, *out);
            if (rc == LF_OK)
                rc = lf_j_eval(r, loop->test, &passes);
            r->scope = scope;
        }
        *found = rc == LF_OK && lf_jv_truth(passes);
    }
    return rc;
}

static enum lf_err loop_peek(struct lf_jrun *r, struct lf_jloop *loop)
{
    if (loop->has_after)
        return LF_OK;
    return loop_fetch(r, loop, &loop->has_after, &loop->after);
}

static enum lf_err loop_next(struct lf_jrun *r, struct lf_jloop *loop, bool *found)
{
    struct lf_jv v;
    enum lf_err rc = loop_peek(r, loop);
    *found = loop->has_after;
    if (rc != LF_OK || !*found)
        return rc;
    v = loop->after;
    loop->has_after = false;
    loop->has_before = loop->started;
    loop->before = loop->current;
    loop->current = v;
    loop->index0 += loop->started;
    loop->started = true;
    return LF_OK;
}

/* How many items in all: those that a test has not seen yet are fetched now. */
static enum lf_err loop_length(struct lf_jrun *r, struct lf_jloop *loop, int64_t *out)
{
    if (!loop->has_length && !loop->test && !loop->iterator) {
        loop->length = loop->items->n;
        loop->has_length = true;
    }
    if (!loop->has_length) {
        struct lf_buf rest;
        lf_buf_init(&rest, LF_J_MEMORY_MAX);
        enum lf_err rc = loop_peek(r, loop);
        bool found = rc == LF_OK && loop->has_after;
        struct lf_jv v = loop->after;
        while (rc == LF_OK && found) {
            lf_buf_append(&rest, &v, sizeof v);
            rc = loop_fetch(r, loop, &found, &v);
        }
        struct lf_jlist *list = NULL;
        if (rc == LF_OK)
            rc = lf_jlist_new(r, rest.len / sizeof v, &list);
        if (rc == LF_OK && rest.rc != LF_OK)
            rc = lf_j_fail(r, rest.rc, "a loop is over the limit");
        if (rc == LF_OK && list->n)
            memcpy(list->v, rest.data, rest.len);
        lf_buf_free(&rest);
        if (rc != LF_OK)
            return rc;
        loop->length = list->n + loop->index0 + loop->started;
        loop->has_length = true;
        loop->items = list; /* the rest, already tested */
        loop->next = 0;
        loop->iterator = NULL;
        loop->test = NULL;
        loop->has_after = false;
        loop->ended = false;
    }
    *out = (int64_t)loop->length;
    return LF_OK;
}

static enum lf_err loop_neighbour(struct lf_jrun *r, struct lf_jloop *loop, bool next,
                                  struct lf_jv *out)
{
    enum lf_err rc = next ? loop_peek(r, loop) : LF_OK;
    if (next)
        *out = loop->has_after ? loop->after : lf_jv_undefined("there is no next item");
    else
        *out = loop->has_before ? loop->before : lf_jv_undefined("there is no previous item");
    return rc;
}

enum lf_err lf_j_loop_attr(struct lf_jrun *r, struct lf_jloop *loop, struct lf_str name,
                           bool *found, struct lf_jv *out)
{
    static const char *const names[] = {"index",  "index0", "revindex", "revindex0", "length",
                                        "first",  "last",   "previtem", "nextitem",  "depth",
                                        "depth0", "cycle",  "changed"};
    size_t which = 0;
    int64_t index = (int64_t)loop->index0, length = 0;
    enum lf_err rc = LF_OK;
    while (which < sizeof names / sizeof names[0] &&
           !same(name, (struct lf_str){names[which], strlen(names[which])}))
        which++;
    *found = which < sizeof names / sizeof names[0];
    if (which >= 2 && which <= 4)
        rc = loop_length(r, loop, &length);
    if (which == 6)
        rc = loop_peek(r, loop);
    if (rc != LF_OK)
        return rc;
    switch (which) {
    case 0:
    case 1:
        *out = lf_jv_int(which == 0 ? index + 1 : index);
        return LF_OK;
    case 2:
    case 3:
        *out = lf_jv_int(which == 2 ? length - index : length - index - 1);
        return LF_OK;
    case 4:
        *out = lf_jv_int(length);
        return LF_OK;
    case 5:
    case 6:
        *out = lf_jv_bool(which == 5 ? index == 0 : !loop->has_after);
        return LF_OK;
    case 7:
    case 8:
        return loop_neighbour(r, loop, which == 8, out);
    case 9:
    case 10:
        *out = lf_jv_int(which == 9); /* loops are not recursive */
        return LF_OK;
    case 11:
    case 12:
        return lf_j_loop_method(r, loop, which == 12, out);
    default:
        return LF_OK;
    }
}

static enum lf_err run_loop(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jloop *loop)
{
    struct lf_jv self = {.type = LF_J_LOOP, .loop = loop};
    bool went_through = false; /* as in jinja2, a body that was left early does not count */
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && r->flow != LF_J_BREAK) {
        bool found;
        r->flow = LF_J_NEXT;
        r->scope = loop->outer;
        rc = loop_next(r, loop, &found);
        if (rc != LF_OK || !found)
            break;
        rc = lf_j_push_scope(r, loop->outer);
        if (rc == LF_OK)
            rc = lf_j_bind(r, (struct lf_str){"loop", 4}, self);
        if (rc == LF_OK)
            rc = lf_j_assign(r, node->a, loop->current);
        if (rc == LF_OK)
            rc = lf_j_run(r, &node->body);
        went_through |= r->flow == LF_J_NEXT;
    }
    r->flow = LF_J_NEXT;
    if (rc == LF_OK && !went_through && node->orelse.n > 0) {
        rc = lf_j_push_scope(r, loop->outer);
        if (rc == LF_OK)
            rc = lf_j_run(r, &node->orelse);
    }
    r->scope = loop->outer;
    return rc;
}

static enum lf_err run_for(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jloop *loop = lf_j_alloc(r, sizeof *loop);
    struct lf_jv v;
    if (!loop)
        return LF_E_NO_MEMORY;
    *loop = (struct lf_jloop){.test = node->c, .target = node->a, .outer = r->scope};
    enum lf_err rc = lf_j_eval(r, node->b, &v);
    if (rc == LF_OK && v.type == LF_J_ITERATOR)
        loop->iterator = v.iterator;
    else if (rc == LF_OK)
        rc = lf_jv_items(r, v, &loop->items);
    return rc == LF_OK ? run_loop(r, node, loop) : rc;
}

/* --- statements --- */

static enum lf_err run_print(struct lf_jrun *r, const struct lf_jnode *node)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < node->n && rc == LF_OK; i++) {
        struct lf_jv v;
        rc = lf_j_eval(r, node->v[i], &v);
        if (rc == LF_OK)
            rc = lf_jv_print(r, r->out, v);
    }
    return rc;
}

/* An if, and the ifs that are all of its else. */
static enum lf_err run_if(struct lf_jrun *r, const struct lf_jnode *node)
{
    for (;;) {
        struct lf_jv v;
        r->line = node->line;
        enum lf_err rc = lf_j_eval(r, node->a, &v);
        if (rc != LF_OK)
            return rc;
        if (lf_jv_truth(v))
            return lf_j_run(r, &node->body);
        if (node->orelse.n != 1 || node->orelse.v[0]->kind != LF_JN_IF)
            return lf_j_run(r, &node->orelse);
        node = node->orelse.v[0];
    }
}

static enum lf_err run_set(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv v;
    enum lf_err rc = LF_OK;
    if (node->kind == LF_JN_SET) {
        rc = lf_j_eval(r, node->b, &v);
    } else {
        rc = capture(r, &node->body, r->scope, &v);
        if (rc != LF_OK || r->flow != LF_J_NEXT)
            return rc;
        if (node->b)
            rc = lf_j_eval_filters(r, node->b, v, &v);
    }
    return rc == LF_OK ? lf_j_assign(r, node->a, v) : rc;
}

static enum lf_err run_call_block(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv callee, caller, v;
    struct lf_jcall c;
    enum lf_err rc = lf_j_eval(r, node->a->a, &callee);
    if (rc == LF_OK)
        rc = lf_j_eval_args(r, node->a->args, &c);
    if (rc == LF_OK)
        rc = macro_value(r, node->b, &caller);
    if (rc == LF_OK && callee.type != LF_J_MACRO)
        rc = lf_j_fail(r, LF_E_UNSUPPORTED, "a call block of a '%s' is not supported",
                       lf_jv_type_name(callee));
    if (rc == LF_OK)
        rc = lf_j_call_macro(r, callee.macro, &c, &caller, &v);
    return rc == LF_OK ? lf_jv_print(r, r->out, v) : rc;
}

static enum lf_err run_filter_block(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv v;
    enum lf_err rc = capture(r, &node->body, r->scope, &v);
    if (rc != LF_OK || r->flow != LF_J_NEXT)
        return rc;
    rc = lf_j_eval_filters(r, node->a, v, &v);
    return rc == LF_OK ? lf_jv_print(r, r->out, v) : rc;
}

/* A body in a scope of its own, into which a `with` binds. */
static enum lf_err run_scoped(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jscope *outer = r->scope;
    struct lf_jscope *inner = NULL;
    enum lf_err rc = lf_j_push_scope(r, outer);
    inner = r->scope;
    for (size_t i = 0; i < node->n && rc == LF_OK; i++) {
        struct lf_jv v;
        r->scope = outer;
        rc = lf_j_eval(r, node->defaults[i], &v);
        r->scope = inner;
        if (rc == LF_OK)
            rc = lf_j_assign(r, node->v[i], v);
    }
    if (rc == LF_OK)
        rc = lf_j_run(r, &node->body);
    r->scope = outer;
    return rc;
}

static enum lf_err run_macro(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv v;
    enum lf_err rc = macro_value(r, node, &v);
    return rc == LF_OK ? lf_j_bind(r, node->name, v) : rc;
}

static enum lf_err run_one(struct lf_jrun *r, const struct lf_jnode *node)
{
    switch (node->kind) {
    case LF_JN_TEXT:
        return lf_jv_print(r, r->out, lf_jv_str(node->name.s, node->name.n));
    case LF_JN_PRINT:
        return run_print(r, node);
    case LF_JN_IF:
        return run_if(r, node);
    case LF_JN_FOR:
        return run_for(r, node);
    case LF_JN_SET:
    case LF_JN_SET_BLOCK:
        return run_set(r, node);
    case LF_JN_MACRO:
        return run_macro(r, node);
    case LF_JN_CALL_BLOCK:
        return run_call_block(r, node);
    case LF_JN_FILTER_BLOCK:
        return run_filter_block(r, node);
    case LF_JN_WITH:
    case LF_JN_SCOPE:
        return run_scoped(r, node);
    case LF_JN_BREAK:
    case LF_JN_CONTINUE:
        r->flow = node->kind == LF_JN_BREAK ? LF_J_BREAK : LF_J_CONTINUE;
        return LF_OK;
    default:
        return lf_j_fail(r, LF_E_INVALID, "not a statement");
    }
}

enum lf_err lf_j_run(struct lf_jrun *r, const struct lf_jbody *body)
{
    enum lf_err rc = LF_OK;
    if (++r->depth > LF_J_DEPTH_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "the template is nested or recurses too deep");
    for (size_t i = 0; i < body->n && rc == LF_OK && r->flow == LF_J_NEXT; i++) {
        r->line = body->v[i]->line;
        rc = lf_j_spend(r, 0);
        if (rc == LF_OK)
            rc = run_one(r, body->v[i]);
    }
    r->depth--;
    return rc;
}
