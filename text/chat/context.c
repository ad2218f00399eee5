/* A run's memory, work and failure; names. */
#include "text/chat/value.h"
#include "core/limits.h"
#include "text/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct lf_jv lf_j_fail(struct lf_jrun *r, enum lf_err rc, const char *fmt, ...)
{
    char text[LF_DIAG_MAX - 32];
    va_list ap;
    if (r->rc != LF_OK)
        return lf_jv_undefined(NULL);
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->rc = lf_fail(r->diag, rc, "line %u: %s", r->line, text);
    return lf_jv_undefined(NULL);
}

struct lf_jv lf_j_fail_undefined(struct lf_jrun *r, struct lf_jv v)
{
    return lf_j_fail(r, LF_E_INVALID, "%s", v.s.s ? v.s.s : "an undefined value was used");
}

void *lf_j_alloc(struct lf_jrun *r, size_t n)
{
    if (r->rc != LF_OK)
        return NULL;
    if (n > LF_J_MEMORY_MAX || r->memory + n > LF_J_MEMORY_MAX) {
        lf_j_fail(r, LF_E_TOO_BIG, "the template needs over %u bytes", LF_J_MEMORY_MAX);
        return NULL;
    }
    void *p = lf_arena_alloc(&r->arena, n);
    if (!p)
        lf_j_fail(r, LF_E_NO_MEMORY, "no memory for the template's values");
    r->memory += n;
    return p;
}

void lf_j_spend(struct lf_jrun *r, size_t work)
{
    r->steps += 1 + work / 64;
    if (r->steps > LF_J_STEPS_MAX)
        lf_j_fail(r, LF_E_TOO_BIG, "the template takes more than %d steps", LF_J_STEPS_MAX);
}

bool lf_j_enter(struct lf_jrun *r)
{
    if (++r->depth <= LF_J_DEPTH_MAX)
        return true;
    lf_j_fail(r, LF_E_TOO_BIG, "the template is nested or recurses too deep");
    r->depth--;
    return false;
}

/* --- names --- */

const struct lf_jdef *lf_j_find(const struct lf_jdef *table, struct lf_str name)
{
    for (; table->name; table++)
        if (lf_str_is(name, table->name))
            return table;
    return NULL;
}

const struct lf_jv *lf_j_keyword(const struct lf_jcall *c, struct lf_str name)
{
    for (size_t i = 0; i < c->n_kw; i++)
        if (lf_str_same(c->kw[i].key.s, name))
            return &c->kw[i].value;
    return NULL;
}
