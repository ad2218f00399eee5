/* Expressions laid out as places, from their ends: what comes next is there before what leads to
 * it. */
#include "text/guide/inside.h"

static int32_t lay_times(const struct lf_laying *y, const struct lf_expr *e, int32_t next)
{
    int32_t out = next;
    if (e->hi == LF_NONE) {
        out = y->loop(y->arg, next);
        int32_t once = lf_expr_lay(y, e->child, out);
        if (*y->rc == LF_OK && once != LF_NONE)
            y->loop_to(y->arg, out, once);
    }
    for (int32_t i = e->lo; i < e->hi && *y->rc == LF_OK; i++)
        out = y->either(y->arg, lf_expr_lay(y, e->child, out), next);
    for (int32_t i = 0; i < e->lo && *y->rc == LF_OK; i++)
        out = lf_expr_lay(y, e->child, out);
    return out;
}

int32_t lf_expr_lay(const struct lf_laying *y, int32_t at, int32_t next)
{
    const struct lf_expr *e = &y->r->expr[at];
    int32_t out = LF_NONE;
    if (next == LF_NONE || *y->rc != LF_OK)
        return LF_NONE;
    switch (e->kind) {
    case LF_EXPR_EMPTY:
        return next;
    case LF_EXPR_CLASS:
        for (int32_t i = e->lo; i < e->hi; i++)
            out = y->either(y->arg, y->points(y->arg, y->r->range[i], next), out);
        return out;
    case LF_EXPR_RULE:
        return y->call(y->arg, e->child, next);
    case LF_EXPR_TIMES:
        return lay_times(y, e, next);
    case LF_EXPR_ALL:
        for (int32_t c = e->child; c != LF_NONE; c = y->r->expr[c].before)
            next = lf_expr_lay(y, c, next);
        return next;
    case LF_EXPR_ANY:
        for (int32_t c = e->child; c != LF_NONE; c = y->r->expr[c].before)
            out = y->either(y->arg, lf_expr_lay(y, c, next), out);
        return out;
    }
    return LF_NONE;
}
