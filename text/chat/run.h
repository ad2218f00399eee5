/* Running a tree: statements write text (run.c), expressions give values (eval.c). */
#ifndef LF_TEXT_CHAT_RUN_H
#define LF_TEXT_CHAT_RUN_H

#include "text/chat/tree.h"

struct lf_jmacro {
    const struct lf_jnode *node;
    struct lf_jscope *scope; /* where it was defined */
};

/* --- scopes.c --- */

/* A new innermost scope; the caller puts the old one back. */
void lf_j_push_scope(struct lf_jrun *r, struct lf_jscope *parent);
void lf_j_bind(struct lf_jrun *r, struct lf_str name, struct lf_jv v);
struct lf_jv lf_j_lookup(struct lf_jrun *r, struct lf_str name);
/* To a name, a namespace's attribute, or a tuple of them. */
void lf_j_assign(struct lf_jrun *r, const struct lf_jnode *target, struct lf_jv v);

/* --- run.c, eval.c --- */

void lf_j_run(struct lf_jrun *r, const struct lf_jnodes *body);
struct lf_jv lf_j_eval(struct lf_jrun *r, const struct lf_jnode *node);
struct lf_jcall lf_j_eval_args(struct lf_jrun *r, const struct lf_jargs *args);
/* Applies the filters of `node`, whose innermost has no operand, to v. */
struct lf_jv lf_j_eval_filters(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv v);
/* `caller`: the body of a call block, or NULL. */
struct lf_jv lf_j_call_macro(struct lf_jrun *r, const struct lf_jmacro *m, const struct lf_jcall *c,
                             const struct lf_jv *caller);

#endif
