/* Running: statements write text. */
#include "text/chat/run.h"
#include "text/limits.h"

/* --- text into a value --- */

/* Runs a body in a scope of its own, in which `bind` (or NULL) binds first; what it writes. */
struct capture {
    const struct lf_jnodes *body;
    struct lf_jscope *parent;
    void (*bind)(struct lf_jrun *r, const void *arg);
    const void *arg;
};

static struct lf_jv capture(struct lf_jrun *r, const struct capture *c)
{
    struct lf_jscope *scope = r->scope;
    struct lf_buf *before = r->out, b = {.max = LF_J_MEMORY_MAX};
    lf_j_push_scope(r, c->parent);
    if (c->bind && r->rc == LF_OK)
        c->bind(r, c->arg);
    r->out = &b;
    lf_j_run(r, c->body);
    r->out = before;
    r->scope = scope;
    return lf_jv_take(r, &b);
}

/* --- macros --- */

struct macro_call {
    const struct lf_jnode *node;
    const struct lf_jcall *c;
    const struct lf_jv *caller;
};

/* Binds the parameters: by position, by name, by default (which may use those before). */
static void bind_macro(struct lf_jrun *r, const void *arg)
{
    const struct macro_call *m = arg;
    const struct lf_jnode *node = m->node;
    size_t first_default = node->v.n - node->defaults.n, by_name = 0;
    bool has_caller = false;
    for (size_t i = 0; i < node->v.n && r->rc == LF_OK; i++) {
        struct lf_str name = node->v.v[i]->name;
        const struct lf_jv *named = i < m->c->n ? NULL : lf_j_keyword(m->c, name);
        struct lf_jv v = lf_jv_undefined("a parameter of the macro was not provided");
        by_name += named != NULL;
        has_caller |= lf_str_is(name, "caller");
        if (i < m->c->n)
            v = m->c->v[i];
        else if (named)
            v = *named;
        else if (i >= first_default)
            v = lf_j_eval(r, node->defaults.v[i - first_default]);
        lf_j_bind(r, name, v);
    }
    if (by_name < m->c->n_kw)
        lf_j_fail(r, LF_E_INVALID, "macro '%.*s' was given an argument it does not take",
                  (int)node->name.n, node->name.s);
    if (m->c->n > node->v.n)
        lf_j_fail(r, LF_E_INVALID, "macro '%.*s' takes not more than %zu arguments",
                  (int)node->name.n, node->name.s, node->v.n);
    if (m->caller && !node->has_caller)
        lf_j_fail(r, LF_E_INVALID, "macro '%.*s' has no use for a caller", (int)node->name.n,
                  node->name.s);
    if (node->has_caller && !has_caller)
        lf_j_bind(r, (struct lf_str){"caller", 6},
                  m->caller ? *m->caller : lf_jv_undefined("no caller defined"));
}

struct lf_jv lf_j_call_macro(struct lf_jrun *r, const struct lf_jmacro *m, const struct lf_jcall *c,
                             const struct lf_jv *caller)
{
    struct macro_call call = {m->node, c, caller};
    return capture(r, &(struct capture){&m->node->body, m->scope, bind_macro, &call});
}

static struct lf_jv macro_value(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jmacro *m = lf_j_alloc(r, sizeof *m);
    if (!m)
        return lf_jv_undefined(NULL);
    *m = (struct lf_jmacro){.node = node, .scope = r->scope};
    return (struct lf_jv){.type = LF_J_MACRO, .macro = m};
}

/* --- loops --- */

static bool passes(struct lf_jrun *r, const struct lf_jloop *loop, struct lf_jv item)
{
    struct lf_jscope *scope = r->scope;
    lf_j_push_scope(r, loop->outer);
    lf_j_assign(r, loop->node->a, item);
    struct lf_jv v = lf_j_eval(r, loop->node->c);
    r->scope = scope;
    return r->rc == LF_OK && lf_jv_truth(v);
}

static void run_for(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jscope *outer = r->scope;
    struct lf_jloop *loop = lf_j_alloc(r, sizeof *loop);
    struct lf_jv items = lf_j_eval(r, node->b);
    bool went_through = false; /* as in jinja2, a body that was left early does not count */
    if (!loop || r->rc != LF_OK)
        return;
    *loop = (struct lf_jloop){.items = lf_jv_items(r, items),
                              .passes = node->c ? passes : NULL,
                              .node = node,
                              .outer = outer};
    while (r->rc == LF_OK && r->flow != LF_J_BREAK && lf_jloop_next(r, loop)) {
        r->flow = LF_J_NEXT;
        lf_j_push_scope(r, outer);
        lf_j_bind(r, (struct lf_str){"loop", 4}, (struct lf_jv){.type = LF_J_LOOP, .loop = loop});
        lf_j_assign(r, node->a, loop->current);
        lf_j_run(r, &node->body);
        went_through |= r->flow == LF_J_NEXT;
        r->scope = outer;
    }
    r->flow = LF_J_NEXT;
    if (!went_through && node->orelse.n > 0) {
        lf_j_push_scope(r, outer);
        lf_j_run(r, &node->orelse);
    }
    r->scope = outer;
}

/* --- statements --- */

/* An if, and the ifs that are all of its else. */
static void run_if(struct lf_jrun *r, const struct lf_jnode *node)
{
    for (;;) {
        r->line = node->line;
        bool holds = lf_jv_truth(lf_j_eval(r, node->a));
        bool more = !holds && node->orelse.n == 1 && node->orelse.v[0]->kind == LF_JN_IF;
        if (r->rc != LF_OK)
            return;
        if (!more) {
            lf_j_run(r, holds ? &node->body : &node->orelse);
            return;
        }
        node = node->orelse.v[0];
    }
}

/* A body with filters over it: what is to be set or written, unless it was left by a break. */
static bool filtered(struct lf_jrun *r, const struct lf_jnode *node, const struct lf_jnode *filters,
                     struct lf_jv *out)
{
    *out = capture(r, &(struct capture){.body = &node->body, .parent = r->scope});
    if (r->rc != LF_OK || r->flow != LF_J_NEXT)
        return false;
    if (filters)
        *out = lf_j_eval_filters(r, filters, *out);
    return r->rc == LF_OK;
}

static void run_call_block(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv callee = lf_j_eval(r, node->a->a);
    struct lf_jcall c = lf_j_eval_args(r, node->a->args);
    struct lf_jv caller = macro_value(r, node->b);
    if (callee.type != LF_J_MACRO)
        lf_j_fail(r, LF_E_UNSUPPORTED, "a call block of a '%s' is not supported",
                  lf_jv_type_name(callee));
    if (r->rc == LF_OK)
        lf_jv_print(r, r->out, lf_j_call_macro(r, callee.macro, &c, &caller));
}

/* A body in a scope of its own, into which a `with` binds. */
static void run_scoped(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jscope *outer = r->scope;
    lf_j_push_scope(r, outer);
    struct lf_jscope *inner = r->scope;
    for (size_t i = 0; i < node->v.n && r->rc == LF_OK; i++) {
        r->scope = outer;
        struct lf_jv v = lf_j_eval(r, node->defaults.v[i]);
        r->scope = inner;
        lf_j_assign(r, node->v.v[i], v);
    }
    lf_j_run(r, &node->body);
    r->scope = outer;
}

static void run_one(struct lf_jrun *r, const struct lf_jnode *node)
{
    struct lf_jv v;
    switch (node->kind) {
    case LF_JN_TEXT:
        lf_jv_print(r, r->out, lf_jv_str(node->name));
        break;
    case LF_JN_PRINT:
        lf_jv_print(r, r->out, lf_j_eval(r, node->a));
        break;
    case LF_JN_IF:
        run_if(r, node);
        break;
    case LF_JN_FOR:
        run_for(r, node);
        break;
    case LF_JN_SET:
        lf_j_assign(r, node->a, lf_j_eval(r, node->b));
        break;
    case LF_JN_SET_BLOCK:
        if (filtered(r, node, node->b, &v))
            lf_j_assign(r, node->a, v);
        break;
    case LF_JN_MACRO:
        lf_j_bind(r, node->name, macro_value(r, node));
        break;
    case LF_JN_CALL_BLOCK:
        run_call_block(r, node);
        break;
    case LF_JN_FILTER_BLOCK:
        if (filtered(r, node, node->a, &v))
            lf_jv_print(r, r->out, v);
        break;
    case LF_JN_SCOPE:
        run_scoped(r, node);
        break;
    default:
        r->flow = node->kind == LF_JN_BREAK ? LF_J_BREAK : LF_J_CONTINUE;
    }
}

void lf_j_run(struct lf_jrun *r, const struct lf_jnodes *body)
{
    if (!lf_j_enter(r))
        return;
    for (size_t i = 0; i < body->n && r->rc == LF_OK && r->flow == LF_J_NEXT; i++) {
        r->line = body->v[i]->line;
        lf_j_spend(r, 0);
        run_one(r, body->v[i]);
    }
    r->depth--;
}
