/* GBNF into rules of expressions. */
#include "core/grow.h"
#include "core/num.h"
#include "core/utf8.h"
#include "text/guide/inside.h"

#include <stdlib.h>
#include <string.h>

struct gbnf {
    struct lf_rules *r;
    const char *begin, *at, *end;
    int depth; /* of groups */
    enum lf_err rc;
    struct lf_diag *diag;
};

/* ---- Characters ------------------------------------------------------------------------------ */

static int32_t fail(struct gbnf *x, const char *why)
{
    int line = 1;
    if (x->rc != LF_OK)
        return LF_NONE;
    for (const char *p = x->begin; p < x->at; p++)
        line += *p == '\n';
    x->rc = lf_fail(x->diag, LF_E_INVALID, "the grammar's line %d: %s", line, why);
    return LF_NONE;
}

static bool is(const struct gbnf *x, char c)
{
    return x->at < x->end && *x->at == c;
}

static bool take(struct gbnf *x, char c)
{
    bool there = is(x, c);
    x->at += there;
    return there;
}

/* Spaces and comments; with `lines`, new lines too. */
static void space(struct gbnf *x, bool lines)
{
    while (x->at < x->end) {
        if (*x->at == '#')
            while (x->at < x->end && *x->at != '\n')
                x->at++;
        else if (*x->at == ' ' || *x->at == '\t' || (lines && (*x->at == '\n' || *x->at == '\r')))
            x->at++;
        else
            break;
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static struct lf_str name(struct gbnf *x)
{
    struct lf_str s = {x->at, 0};
    while (x->at < x->end && is_name(*x->at))
        x->at++;
    s.n = (size_t)(x->at - s.s);
    return s;
}

static uint32_t hex(struct gbnf *x, int digits)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++, x->at++) {
        int d = x->at < x->end ? lf_hex_digit(*x->at) : -1;
        if (d < 0) {
            fail(x, "a hexadecimal digit is missing");
            return 0;
        }
        v = v << 4 | (uint32_t)d;
    }
    if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        fail(x, "an escape is no character");
    return v;
}

static uint32_t escape(struct gbnf *x)
{
    char c = x->at < x->end ? *x->at++ : 0;
    switch (c) {
    case 'x':
        return hex(x, 2);
    case 'u':
        return hex(x, 4);
    case 'U':
        return hex(x, 8);
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    default:
        if (c <= ' ' || is_name(c))
            fail(x, "an unknown escape");
        return (uint32_t)(unsigned char)c;
    }
}

/* A character of a literal or a class. */
static uint32_t character(struct gbnf *x)
{
    size_t len = lf_utf8_len(x->at, (size_t)(x->end - x->at));
    if (len == 0) {
        fail(x, "it is no UTF-8");
        return 0;
    }
    if (take(x, '\\'))
        return escape(x);
    uint32_t c = lf_utf8_get(x->at, &len);
    x->at += len;
    return c;
}

/* ---- Expressions ----------------------------------------------------------------------------- */

static int32_t add(struct gbnf *x, enum lf_expr_kind kind, int32_t child)
{
    struct lf_rules *r = x->r;
    if (x->rc == LF_OK && r->n_expr >= LF_GUIDE_NODES_MAX)
        return fail(x, "it is too long");
    if (x->rc == LF_OK && lf_grow(&r->expr, &r->cap_expr, r->n_expr + 1, sizeof *r->expr) != LF_OK)
        x->rc = lf_fail(x->diag, LF_E_NO_MEMORY, "no memory for a grammar");
    if (x->rc != LF_OK)
        return LF_NONE;
    r->expr[r->n_expr] = (struct lf_expr){.kind = kind, .child = child, .before = LF_NONE};
    return (int32_t)r->n_expr++;
}

static void add_range(struct gbnf *x, uint32_t lo, uint32_t hi)
{
    struct lf_rules *r = x->r;
    if (x->rc == LF_OK &&
        lf_grow(&r->range, &r->cap_range, r->n_range + 1, sizeof *r->range) != LF_OK)
        x->rc = lf_fail(x->diag, LF_E_NO_MEMORY, "no memory for a grammar");
    if (x->rc == LF_OK && lo <= hi)
        r->range[r->n_range++] = (struct lf_points){lo, hi};
}

/* Puts `child` behind those of `list`. */
static void append(struct gbnf *x, int32_t list, int32_t child)
{
    if (x->rc != LF_OK)
        return;
    x->r->expr[child].before = x->r->expr[list].child;
    x->r->expr[list].child = child;
}

/* The ranges from `first` on as a class. */
static int32_t class_of(struct gbnf *x, size_t first, bool negated)
{
    struct lf_rules *r = x->r;
    if (x->rc == LF_OK &&
        lf_grow(&r->range, &r->cap_range, r->n_range + 1, sizeof *r->range) != LF_OK)
        x->rc = lf_fail(x->diag, LF_E_NO_MEMORY, "no memory for a grammar");
    int32_t e = add(x, LF_EXPR_CLASS, LF_NONE);
    if (x->rc == LF_OK)
        r->n_range = first + lf_ranges_settle(r->range + first, r->n_range - first, negated);
    if (x->rc == LF_OK) {
        x->r->expr[e].lo = (int32_t)first;
        x->r->expr[e].hi = (int32_t)x->r->n_range;
    }
    return e;
}

static int32_t brackets(struct gbnf *x)
{
    size_t first = x->r->n_range;
    bool negated = take(x, '^');
    while (x->rc == LF_OK && !is(x, ']')) {
        if (x->at == x->end)
            return fail(x, "a class has no end");
        uint32_t lo = character(x), hi = lo;
        if (is(x, '-') && x->at + 1 < x->end && x->at[1] != ']') {
            x->at++;
            hi = character(x);
        }
        if (hi < lo)
            fail(x, "a range runs backwards");
        add_range(x, lo, hi);
    }
    x->at++;
    return class_of(x, first, negated);
}

static int32_t literal(struct gbnf *x)
{
    int32_t all = add(x, LF_EXPR_ALL, LF_NONE);
    while (x->rc == LF_OK && !is(x, '"')) {
        if (x->at == x->end || *x->at == '\n')
            return fail(x, "a literal has no end");
        size_t first = x->r->n_range;
        uint32_t c = character(x);
        add_range(x, c, c);
        append(x, all, class_of(x, first, false));
    }
    x->at++;
    return all;
}

/* The rule of a name, declared where it was not. */
static int32_t rule_of(struct gbnf *x, struct lf_str s)
{
    struct lf_rules *r = x->r;
    int32_t i = lf_tok_table_find(&r->by_name, r->name, s);
    if (i >= 0)
        return i;
    if (r->n_rules == r->rules_max)
        return fail(x, "there are too many rules");
    r->name[r->n_rules] = s;
    r->rule[r->n_rules] = (struct lf_rule){.expr = LF_NONE, .start = LF_NONE};
    lf_tok_table_put(&r->by_name, r->name, (uint32_t)r->n_rules);
    return (int32_t)r->n_rules++;
}

static int32_t alternatives(struct gbnf *x, bool group);

static int32_t group(struct gbnf *x)
{
    if (++x->depth > LF_GUIDE_GROUPS_MAX)
        return fail(x, "groups are nested too deeply");
    space(x, true);
    int32_t e = alternatives(x, true);
    space(x, true);
    if (x->rc == LF_OK && !take(x, ')'))
        return fail(x, "a group has no end");
    x->depth--;
    return e;
}

static int32_t number(struct gbnf *x)
{
    int32_t v = 0, digits = 0;
    for (; x->at < x->end && *x->at >= '0' && *x->at <= '9'; x->at++, digits++) {
        v = v * 10 + (*x->at - '0');
        if (v > LF_GUIDE_TIMES_MAX)
            return fail(x, "it is repeated too often");
    }
    return digits > 0 ? v : LF_NONE;
}

/* "m}", "m,}", "m,n}" or ",n}" */
static void braces(struct gbnf *x, int32_t *lo, int32_t *hi)
{
    space(x, false);
    *lo = *hi = number(x);
    space(x, false);
    if (take(x, ',')) {
        space(x, false);
        *hi = number(x);
        space(x, false);
        *lo = *lo == LF_NONE ? 0 : *lo;
    }
    if (x->rc == LF_OK && (!take(x, '}') || *lo == LF_NONE))
        fail(x, "{...} is no number of times");
    if (x->rc == LF_OK && *hi != LF_NONE && *hi < *lo)
        fail(x, "{...} runs backwards");
}

static int32_t times(struct gbnf *x, int32_t e)
{
    for (;;) {
        int32_t lo = 0, hi = LF_NONE;
        space(x, x->depth > 0);
        if (take(x, '?'))
            hi = 1;
        else if (take(x, '+'))
            lo = 1;
        else if (take(x, '{'))
            braces(x, &lo, &hi);
        else if (!take(x, '*'))
            return e;
        e = add(x, LF_EXPR_TIMES, e);
        if (x->rc != LF_OK)
            return LF_NONE;
        x->r->expr[e].lo = lo;
        x->r->expr[e].hi = hi;
    }
}

/* What stands by itself, with its times; LF_NONE without a failure: nothing does. */
static int32_t item(struct gbnf *x)
{
    int32_t e = LF_NONE;
    if (take(x, '"')) {
        e = literal(x);
    } else if (take(x, '[')) {
        e = brackets(x);
    } else if (take(x, '(')) {
        e = group(x);
    } else if (take(x, '.')) {
        e = class_of(x, x->r->n_range, true);
    } else if (x->at < x->end && is_name(*x->at)) {
        int32_t rule = rule_of(x, name(x));
        e = add(x, LF_EXPR_RULE, rule);
    } else {
        return LF_NONE;
    }
    return x->rc == LF_OK ? times(x, e) : LF_NONE;
}

static int32_t sequence(struct gbnf *x, bool group)
{
    int32_t all = add(x, LF_EXPR_ALL, LF_NONE);
    while (x->rc == LF_OK) {
        space(x, group);
        int32_t e = item(x);
        if (e == LF_NONE)
            break;
        append(x, all, e);
    }
    return all;
}

static int32_t alternatives(struct gbnf *x, bool group)
{
    int32_t first = sequence(x, group);
    if (!is(x, '|') || x->rc != LF_OK)
        return first;
    int32_t any = add(x, LF_EXPR_ANY, LF_NONE);
    append(x, any, first);
    while (x->rc == LF_OK && take(x, '|')) {
        space(x, true);
        append(x, any, sequence(x, group));
    }
    return any;
}

static void rule(struct gbnf *x)
{
    struct lf_str s = name(x);
    if (s.n == 0) {
        fail(x, "a rule's name is missing");
        return;
    }
    int32_t i = rule_of(x, s);
    space(x, false);
    if (x->end - x->at < 3 || memcmp(x->at, "::=", 3) != 0)
        fail(x, "\"::=\" is missing");
    if (x->rc == LF_OK && x->r->rule[i].expr != LF_NONE)
        fail(x, "a rule is there twice");
    if (x->rc != LF_OK)
        return;
    x->at += 3;
    space(x, true);
    x->r->rule[i].expr = alternatives(x, false);
    if (x->rc == LF_OK && x->at < x->end && *x->at != '\n' && *x->at != '\r')
        fail(x, "a rule does not end here");
}

enum lf_err lf_rules_parse(struct lf_rules *r, const char *text, size_t n, struct lf_diag *diag)
{
    struct gbnf x = {.r = r, .begin = text, .at = text, .end = text + n, .diag = diag};
    *r =
        (struct lf_rules){.rules_max = n < 4 * LF_GUIDE_RULES_MAX ? n / 2 + 1 : LF_GUIDE_RULES_MAX};
    if (n > LF_GUIDE_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "a grammar of %zu bytes: at most %d", n,
                       LF_GUIDE_BYTES_MAX);
    r->rule = calloc(r->rules_max, sizeof *r->rule);
    r->name = calloc(r->rules_max, sizeof *r->name);
    if (!r->rule || !r->name)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a grammar");
    x.rc = lf_tok_table_init(&r->by_name, r->rules_max, diag);
    for (space(&x, true); x.rc == LF_OK && x.at < x.end; space(&x, true))
        rule(&x);
    for (size_t i = 0; i < r->n_rules && x.rc == LF_OK; i++)
        if (r->rule[i].expr == LF_NONE)
            x.rc = lf_fail(diag, LF_E_INVALID, "the grammar has no rule \"%.*s\"",
                           (int)lf_min_int((int)r->name[i].n, 64), r->name[i].s);
    return x.rc;
}

void lf_rules_free(struct lf_rules *r)
{
    free(r->expr);
    free(r->range);
    free(r->rule);
    free(r->name);
    free(r->by_name.slots);
    *r = (struct lf_rules){0};
}
