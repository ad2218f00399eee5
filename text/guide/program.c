/* Rules into a program, from their ends: what comes next is there before what leads to it. Rules
 * that no text fits, and all that needs them, are left out, so that whatever a program begins it
 * can end. */
#include "core/grow.h"
#include "core/num.h"
#include "core/utf8.h"
#include "text/guide/inside.h"

#include <stdlib.h>
#include <string.h>

struct emitter {
    struct lf_program *p;
    struct lf_rules *r;
    enum lf_err rc;
    struct lf_diag *diag;
};

/* ---- What rules are good for ----------------------------------------------------------------- */

/* Whether some text fits, or with `empty` whether "" does, as far as it is known of the rules. */
static bool fits(const struct lf_rules *r, int32_t at, bool empty)
{
    const struct lf_expr *e = &r->expr[at];
    bool all = true, any = false;
    switch (e->kind) {
    case LF_EXPR_EMPTY:
        return true;
    case LF_EXPR_CLASS:
        return !empty && e->hi > e->lo;
    case LF_EXPR_RULE:
        return empty ? r->rule[e->child].empty : r->rule[e->child].productive;
    case LF_EXPR_TIMES:
        return e->lo == 0 || fits(r, e->child, empty);
    case LF_EXPR_ALL:
    case LF_EXPR_ANY:
        for (int32_t c = e->child; c != LF_NONE; c = r->expr[c].before) {
            bool f = fits(r, c, empty);
            all = all && f;
            any = any || f;
        }
        return e->kind == LF_EXPR_ALL ? all : any;
    }
    return false;
}

static void judge(struct lf_rules *r)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = r->n_rules; i-- > 0;) { /* rules are mostly used before they are defined */
            struct lf_rule *u = &r->rule[i];
            bool productive = fits(r, u->expr, false), empty = fits(r, u->expr, true);
            changed = changed || productive != u->productive || empty != u->empty;
            u->productive = productive;
            u->empty = empty;
        }
    }
}

/* ---- Left recursion -------------------------------------------------------------------------- */

enum colour { WHITE, GREY, BLACK };

struct visit {
    const struct lf_rules *r;
    uint8_t *colour; /* (n_rules) */
    int32_t met;     /* a rule that begins with itself, or LF_NONE */
    int depth;
};

static bool visit_rule(struct visit *v, int32_t rule);

/* Goes into the rules that an expression may begin with; false: one leads back, or too deep. */
static bool visit_expr(struct visit *v, int32_t at)
{
    const struct lf_expr *e = &v->r->expr[at];
    if (e->kind == LF_EXPR_RULE)
        return visit_rule(v, e->child);
    if (e->kind == LF_EXPR_TIMES)
        return e->hi == 0 || visit_expr(v, e->child);
    if (e->kind == LF_EXPR_ANY)
        for (int32_t c = e->child; c != LF_NONE; c = v->r->expr[c].before)
            if (!visit_expr(v, c))
                return false;
    if (e->kind != LF_EXPR_ALL)
        return true;
    /* A child begins it where all in front of it may be empty: whatever is not after the last one
     * that has such a front is no beginning. */
    int32_t first = LF_NONE; /* the first one that cannot be empty */
    for (int32_t c = e->child; c != LF_NONE; c = v->r->expr[c].before)
        if (!fits(v->r, c, true))
            first = c;
    bool begins = first == LF_NONE;
    for (int32_t c = e->child; c != LF_NONE; c = v->r->expr[c].before) {
        begins = begins || c == first;
        if (begins && !visit_expr(v, c))
            return false;
    }
    return true;
}

static bool visit_rule(struct visit *v, int32_t rule)
{
    if (v->colour[rule] == BLACK)
        return true;
    if (v->colour[rule] == GREY || v->depth == LF_GUIDE_CALLS_MAX) {
        v->met = rule;
        return false;
    }
    v->colour[rule] = GREY;
    v->depth++;
    bool ok = visit_expr(v, v->r->rule[rule].expr);
    v->depth--;
    v->colour[rule] = BLACK;
    return ok;
}

static enum lf_err check_left(const struct lf_rules *r, struct lf_diag *diag)
{
    struct visit v = {.r = r, .met = LF_NONE, .colour = calloc(r->n_rules, 1)};
    if (!v.colour)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a grammar");
    bool ok = true;
    for (size_t i = 0; i < r->n_rules && ok; i++)
        ok = visit_rule(&v, (int32_t)i);
    free(v.colour);
    return ok ? LF_OK
              : lf_fail(diag, LF_E_INVALID,
                        "the grammar's rule \"%.*s\" begins with itself (left recursion), or with "
                        "too many others",
                        lf_min_int((int)r->name[v.met].n, 64), r->name[v.met].s);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static int32_t node(struct emitter *m, struct lf_gnode n)
{
    struct lf_program *p = m->p;
    if (m->rc == LF_OK && p->n >= LF_GUIDE_NODES_MAX)
        m->rc = lf_fail(m->diag, LF_E_TOO_BIG, "the grammar has more than %d places",
                        LF_GUIDE_NODES_MAX);
    if (m->rc == LF_OK && lf_grow(&p->node, &p->cap, p->n + 1, sizeof *p->node) != LF_OK)
        m->rc = lf_fail(m->diag, LF_E_NO_MEMORY, "no memory for a grammar");
    if (m->rc != LF_OK)
        return LF_NONE;
    p->node[p->n] = n;
    return (int32_t)p->n++;
}

static int32_t either(void *arg, int32_t a, int32_t b)
{
    if (a == LF_NONE || a == b)
        return b;
    if (b == LF_NONE)
        return a;
    return node(arg, (struct lf_gnode){.kind = LF_NODE_BRANCH, .next = a, .other = b});
}

static int32_t byte(struct emitter *m, unsigned lo, unsigned hi, int32_t next)
{
    return node(m, (struct lf_gnode){
                       .kind = LF_NODE_BYTE, .lo = (uint8_t)lo, .hi = (uint8_t)hi, .next = next});
}

/* Sequences of as many bytes, from a to b, all between them at each place but the first bytes: cut
 * where they are not. */
static int32_t spans(struct emitter *m, const unsigned char *a, const unsigned char *b, size_t n,
                     int32_t next)
{
    if (n == 1)
        return byte(m, a[0], b[0], next);
    if (a[0] == b[0])
        return byte(m, a[0], a[0], spans(m, a + 1, b + 1, n - 1, next));
    static const unsigned char low[4] = {0x80, 0x80, 0x80, 0x80},
                               high[4] = {0xbf, 0xbf, 0xbf, 0xbf};
    bool from_low = memcmp(a + 1, low, n - 1) == 0, to_high = memcmp(b + 1, high, n - 1) == 0;
    int32_t out = LF_NONE;
    unsigned first = a[0] + !from_low, last = b[0] - !to_high;
    if (!from_low)
        out = either(m, byte(m, a[0], a[0], spans(m, a + 1, high, n - 1, next)), out);
    if (first <= last)
        out = either(m, byte(m, first, last, spans(m, low, high, n - 1, next)), out);
    if (!to_high)
        out = either(m, byte(m, b[0], b[0], spans(m, low, b + 1, n - 1, next)), out);
    return out;
}

/* Code points as UTF-8: those of one length at a time, without surrogates. */
static int32_t code_points(void *m, struct lf_points r, int32_t next)
{
    static const struct lf_points parts[] = {
        {0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, 0x10ffff}};
    int32_t out = LF_NONE;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint32_t lo = r.lo > parts[i].lo ? r.lo : parts[i].lo;
        uint32_t hi = r.hi < parts[i].hi ? r.hi : parts[i].hi;
        char a[4], b[4];
        if (lo > hi)
            continue;
        size_t n = lf_utf8_put(a, lo);
        lf_utf8_put(b, hi);
        out = either(m, spans(m, (unsigned char *)a, (unsigned char *)b, n, next), out);
    }
    return out;
}

static int32_t call(void *arg, int32_t rule, int32_t next)
{
    const struct emitter *m = arg;
    if (!m->r->rule[rule].productive)
        return LF_NONE;
    return node(arg, (struct lf_gnode){.kind = LF_NODE_CALL, .next = next, .other = rule});
}

static int32_t loop(void *arg, int32_t next)
{
    return node(arg, (struct lf_gnode){.kind = LF_NODE_BRANCH, .next = next, .other = next});
}

static void loop_to(void *arg, int32_t at, int32_t to)
{
    const struct emitter *m = arg;
    m->p->node[at].next = to;
}

enum lf_err lf_program_make(struct lf_program *p, struct lf_rules *r, struct lf_diag *diag)
{
    struct emitter m = {.p = p, .r = r, .diag = diag};
    const struct lf_laying layer = {.r = r,
                                    .arg = &m,
                                    .rc = &m.rc,
                                    .points = code_points,
                                    .call = call,
                                    .either = either,
                                    .loop = loop,
                                    .loop_to = loop_to};
    *p = (struct lf_program){0};
    p->root = lf_tok_table_find(&r->by_name, r->name, (struct lf_str){"root", 4});
    if (p->root < 0)
        return lf_fail(diag, LF_E_INVALID, "the grammar has no rule \"root\"");
    judge(r);
    if (!r->rule[p->root].productive)
        return lf_fail(diag, LF_E_INVALID, "no text fits the grammar's \"root\"");
    m.rc = check_left(r, diag);
    p->start = malloc(r->n_rules * sizeof *p->start);
    if (m.rc == LF_OK && !p->start)
        m.rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for a grammar");
    node(&m, (struct lf_gnode){.kind = LF_NODE_RETURN});
    for (size_t i = 0; i < r->n_rules && m.rc == LF_OK; i++)
        p->start[i] = lf_expr_lay(&layer, r->rule[i].expr, LF_NODE_RETURN_AT);
    return m.rc;
}

void lf_program_free(struct lf_program *p)
{
    free(p->node);
    free(p->start);
    *p = (struct lf_program){0};
}
