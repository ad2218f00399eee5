/* Evaluating: expressions give values. */
#include "text/chat/jinja.h"

#include <math.h>
#include <string.h>

/* --- arithmetic, as Python's --- */

static enum lf_err no_operator(struct lf_jrun *r, const char *op, struct lf_jv a, struct lf_jv b)
{
    if (a.type == LF_J_UNDEFINED || b.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, a.type == LF_J_UNDEFINED ? a : b);
    return lf_j_fail(r, LF_E_INVALID, "unsupported operand types for %s: '%s' and '%s'", op,
                     lf_jv_type_name(a), lf_jv_type_name(b));
}

static enum lf_err int_result(struct lf_jrun *r, bool overflow, int64_t value, struct lf_jv *out)
{
    if (overflow)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "an integer over 64 bits");
    *out = lf_jv_int(value);
    return LF_OK;
}

static enum lf_err int_power(struct lf_jrun *r, int64_t base, int64_t exponent, struct lf_jv *out)
{
    int64_t value = 1;
    bool overflow = false;
    while (exponent > 0 && !overflow) {
        if (exponent & 1)
            overflow = __builtin_mul_overflow(value, base, &value);
        exponent >>= 1;
        if (exponent > 0 && !overflow)
            overflow = __builtin_mul_overflow(base, base, &base);
    }
    return int_result(r, overflow, value, out);
}

/* // and %, rounded towards minus infinity. */
static enum lf_err int_divide(struct lf_jrun *r, enum lf_jop op, int64_t a, int64_t b,
                              struct lf_jv *out)
{
    if (b == 0)
        return lf_j_fail(r, LF_E_INVALID, "division by zero");
    if (b == -1) /* INT64_MIN / -1 traps */
        return op == LF_JO_MOD ? int_result(r, false, 0, out)
                               : int_result(r, a == INT64_MIN, a == INT64_MIN ? 0 : -a, out);
    int64_t q = a / b, m = a % b;
    if (m != 0 && (m < 0) != (b < 0)) {
        m += b;
        q--;
    }
    return int_result(r, false, op == LF_JO_MOD ? m : q, out);
}

static enum lf_err int_operation(struct lf_jrun *r, enum lf_jop op, int64_t a, int64_t b,
                                 struct lf_jv *out)
{
    int64_t value = 0;
    bool overflow = false;
    switch (op) {
    case LF_JO_ADD:
        overflow = __builtin_add_overflow(a, b, &value);
        break;
    case LF_JO_SUB:
        overflow = __builtin_sub_overflow(a, b, &value);
        break;
    case LF_JO_MUL:
        overflow = __builtin_mul_overflow(a, b, &value);
        break;
    case LF_JO_POW:
        return int_power(r, a, b, out);
    default:
        return int_divide(r, op, a, b, out);
    }
    return int_result(r, overflow, value, out);
}

/* CPython's float_divmod. */
static void float_divmod(double a, double b, double *quotient, double *rest)
{
    double mod = fmod(a, b), div = (a - mod) / b;
    if (mod != 0) {
        if ((b < 0) != (mod < 0)) {
            mod += b;
            div -= 1;
        }
    } else {
        mod = copysign(0, b);
    }
    *quotient = floor(div);
    if (div - *quotient > 0.5)
        *quotient += 1;
    if (div == 0)
        *quotient = copysign(0, a / b);
    *rest = mod;
}

static enum lf_err float_operation(struct lf_jrun *r, enum lf_jop op, double a, double b,
                                   struct lf_jv *out)
{
    double quotient, rest;
    if ((op == LF_JO_DIV || op == LF_JO_FLOORDIV || op == LF_JO_MOD) && b == 0)
        return lf_j_fail(r, LF_E_INVALID, "division by zero");
    switch (op) {
    case LF_JO_ADD:
        *out = lf_jv_float(a + b);
        return LF_OK;
    case LF_JO_SUB:
        *out = lf_jv_float(a - b);
        return LF_OK;
    case LF_JO_MUL:
        *out = lf_jv_float(a * b);
        return LF_OK;
    case LF_JO_DIV:
        *out = lf_jv_float(a / b);
        return LF_OK;
    case LF_JO_POW:
        if ((a == 0 && b < 0) || (a < 0 && b != floor(b)))
            return lf_j_fail(r, LF_E_INVALID, "this power is not a real number");
        *out = lf_jv_float(pow(a, b));
        return isinf(out->d) && !isinf(a) && !isinf(b)
                   ? lf_j_fail(r, LF_E_INVALID, "a number too large")
                   : LF_OK;
    default:
        float_divmod(a, b, &quotient, &rest);
        *out = lf_jv_float(op == LF_JO_MOD ? rest : quotient);
        return LF_OK;
    }
}

/* --- texts and lists --- */

/* Markup escapes what is added to it. */
static enum lf_err add_part(struct lf_jrun *r, struct lf_buf *b, struct lf_jv s, bool markup)
{
    if (markup && !s.special)
        lf_j_escape(b, s.s);
    else
        lf_buf_append(b, s.s.s, s.s.n);
    return lf_j_spend(r, s.s.n);
}

static enum lf_err add_strings(struct lf_jrun *r, struct lf_jv a, struct lf_jv b, struct lf_jv *out)
{
    bool markup = a.special || b.special;
    struct lf_buf text;
    if (!markup) {
        char *s = lf_j_alloc(r, a.s.n + b.s.n + 1);
        if (!s)
            return LF_E_NO_MEMORY;
        memcpy(s, a.s.s, a.s.n);
        memcpy(s + a.s.n, b.s.s, b.s.n);
        *out = lf_jv_str(s, a.s.n + b.s.n);
        return lf_j_spend(r, out->s.n);
    }
    lf_buf_init(&text, LF_J_MEMORY_MAX);
    enum lf_err rc = add_part(r, &text, a, markup);
    if (rc == LF_OK)
        rc = add_part(r, &text, b, markup);
    if (rc == LF_OK)
        rc = lf_jv_take(r, &text, out);
    else
        lf_buf_free(&text);
    out->special = markup;
    return rc;
}

static enum lf_err add_lists(struct lf_jrun *r, struct lf_jv a, struct lf_jv b, struct lf_jv *out)
{
    struct lf_jlist *list;
    enum lf_err rc = lf_jlist_new(r, a.list->n + b.list->n, &list);
    if (rc != LF_OK)
        return rc;
    if (a.list->n)
        memcpy(list->v, a.list->v, a.list->n * sizeof list->v[0]);
    if (b.list->n)
        memcpy(list->v + a.list->n, b.list->v, b.list->n * sizeof list->v[0]);
    return lf_jlist_done(r, list, a.type, out);
}

static enum lf_err repeat(struct lf_jrun *r, struct lf_jv v, int64_t times, struct lf_jv *out)
{
    size_t n = times > 0 ? (size_t)times : 0;
    bool string = v.type == LF_J_STRING;
    size_t each = string ? v.s.n : v.list->n * sizeof(struct lf_jv);
    if (each > 0 && n > LF_J_MEMORY_MAX / each)
        return lf_j_fail(r, LF_E_TOO_BIG, "a repeated value is over the limit");
    if (string) {
        char *s = lf_j_alloc(r, n * each + 1);
        if (!s)
            return LF_E_NO_MEMORY;
        for (size_t i = 0; each > 0 && i < n; i++)
            memcpy(s + i * each, v.s.s, each);
        *out = lf_jv_str(s, n * each);
        out->special = v.special;
        return lf_j_spend(r, n * each);
    }
    struct lf_jlist *list;
    enum lf_err rc = lf_jlist_new(r, n * v.list->n, &list);
    for (size_t i = 0; rc == LF_OK && i < list->n; i++)
        list->v[i] = v.list->v[i % v.list->n];
    return rc == LF_OK ? lf_jlist_done(r, list, v.type, out) : rc;
}

static bool is_sequence(struct lf_jv v)
{
    return v.type == LF_J_STRING || v.type == LF_J_LIST || v.type == LF_J_TUPLE;
}

enum lf_err lf_j_binary(struct lf_jrun *r, enum lf_jop op, struct lf_jv a, struct lf_jv b,
                        struct lf_jv *out)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (op == LF_JO_MOD && a.type == LF_J_STRING) {
        if (a.special)
            return lf_j_fail(r, LF_E_UNSUPPORTED, "%% on markup is not supported");
        return lf_j_percent(r, a.s, b, out);
    }
    if (lf_jv_is_number(a) && lf_jv_is_number(b)) {
        bool ints = lf_jv_is_int(a) && lf_jv_is_int(b) && op != LF_JO_DIV;
        if (ints && !(op == LF_JO_POW && lf_jv_to_int(b) < 0))
            return int_operation(r, op, lf_jv_to_int(a), lf_jv_to_int(b), out);
        return float_operation(r, op, lf_jv_to_double(a), lf_jv_to_double(b), out);
    }
    if (op == LF_JO_ADD && a.type == b.type && a.type == LF_J_STRING)
        return add_strings(r, a, b, out);
    if (op == LF_JO_ADD && a.type == b.type && is_sequence(a))
        return add_lists(r, a, b, out);
    if (op == LF_JO_MUL && is_sequence(a) && lf_jv_is_int(b))
        return repeat(r, a, lf_jv_to_int(b), out);
    if (op == LF_JO_MUL && is_sequence(b) && lf_jv_is_int(a))
        return repeat(r, b, lf_jv_to_int(a), out);
    return no_operator(r, names[op], a, b);
}

static enum lf_err unary(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv v;
    enum lf_err rc = lf_j_eval(r, node->a, &v);
    if (rc != LF_OK)
        return rc;
    if (v.type == LF_J_FLOAT)
        *out = lf_jv_float(node->op == LF_JO_SUB ? -v.d : v.d);
    else if (lf_jv_is_int(v))
        return node->op == LF_JO_SUB ? int_operation(r, LF_JO_SUB, 0, lf_jv_to_int(v), out)
                                     : int_result(r, false, lf_jv_to_int(v), out);
    else
        return no_operator(r, node->op == LF_JO_SUB ? "unary -" : "unary +", v, lf_jv_none());
    return LF_OK;
}

/* --- calls, filters, tests --- */

static enum lf_err spread(struct lf_jrun *r, const struct lf_jnode *star, struct lf_jv *v,
                          size_t *n, const struct lf_jlist **out)
{
    enum lf_err rc = lf_j_eval(r, star, v);
    if (rc == LF_OK)
        rc = lf_jv_items(r, *v, out);
    if (rc == LF_OK)
        *n += (*out)->n;
    return rc;
}

static enum lf_err keywords(struct lf_jrun *r, const struct lf_jargs *args, struct lf_jcall *out)
{
    struct lf_jv map = {.type = LF_J_NONE};
    enum lf_err rc = args->star_star ? lf_j_eval(r, args->star_star, &map) : LF_OK;
    if (rc == LF_OK && args->star_star && map.type != LF_J_DICT)
        rc = lf_j_fail(r, LF_E_INVALID, "** needs a mapping, not '%s'", lf_jv_type_name(map));
    if (rc != LF_OK)
        return rc;
    size_t extra = args->star_star ? map.dict->n : 0;
    struct lf_jkeyword *kw = lf_j_alloc(r, (args->n_named + extra + 1) * sizeof *kw);
    if (!kw)
        return LF_E_NO_MEMORY;
    for (size_t i = 0; i < args->n_named && rc == LF_OK; i++) {
        kw[i].name = args->names[i];
        rc = lf_j_eval(r, args->values[i], &kw[i].value);
    }
    for (size_t i = 0; i < extra && rc == LF_OK; i++) {
        if (map.dict->v[i].key.type != LF_J_STRING)
            return lf_j_fail(r, LF_E_INVALID, "keywords must be strings");
        kw[args->n_named + i] = (struct lf_jkeyword){map.dict->v[i].key.s, map.dict->v[i].value};
    }
    out->kw = kw;
    out->n_kw = args->n_named + extra;
    return rc;
}

enum lf_err lf_j_eval_args(struct lf_jrun *r, const struct lf_jargs *args, struct lf_jcall *out)
{
    *out = (struct lf_jcall){0};
    if (!args)
        return LF_OK;
    size_t n = args->n;
    struct lf_jv star;
    const struct lf_jlist *more = NULL;
    struct lf_jv *v = lf_j_alloc(r, (args->n + 1) * sizeof *v);
    enum lf_err rc = v ? LF_OK : LF_E_NO_MEMORY;
    for (size_t i = 0; i < args->n && rc == LF_OK; i++)
        rc = lf_j_eval(r, args->v[i], &v[i]);
    if (rc == LF_OK && args->star)
        rc = spread(r, args->star, &star, &n, &more);
    if (rc == LF_OK && more && more->n > 0) {
        struct lf_jv *all = lf_j_alloc(r, n * sizeof *all);
        if (!all)
            return LF_E_NO_MEMORY;
        memcpy(all, v, args->n * sizeof *v);
        memcpy(all + args->n, more->v, more->n * sizeof *v);
        v = all;
    }
    out->v = v;
    out->n = n;
    if (rc == LF_OK && (args->n_named > 0 || args->star_star))
        rc = keywords(r, args, out);
    return rc;
}

enum lf_err lf_j_call(struct lf_jrun *r, struct lf_jv callee, const struct lf_jcall *c,
                      struct lf_jv *out)
{
    switch (callee.type) {
    case LF_J_MACRO:
        return lf_j_call_macro(r, callee.macro, c, NULL, out);
    case LF_J_FUNCTION:
        if (!callee.function->call)
            return lf_j_fail(r, LF_E_UNSUPPORTED, "function '%s' is not supported",
                             callee.function->name);
        return callee.function->call(r, c, out);
    case LF_J_METHOD:
        if (!callee.method->def->call)
            return lf_j_fail(r, LF_E_UNSUPPORTED, "method '%s' of '%s' is not supported",
                             callee.method->def->name, lf_jv_type_name(callee.method->self));
        return callee.method->def->call(r, callee.method->self, c, out);
    case LF_J_JOINER:
        *out = callee.cycler->at++ ? callee.cycler->separator : lf_jv_str("", 0);
        return LF_OK;
    case LF_J_UNDEFINED:
        return lf_j_fail_undefined(r, callee);
    default:
        return lf_j_fail(r, LF_E_INVALID, "'%s' object is not callable", lf_jv_type_name(callee));
    }
}

static enum lf_err eval_call(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv callee;
    struct lf_jcall c;
    enum lf_err rc = lf_j_eval(r, node->a, &callee);
    if (rc == LF_OK)
        rc = lf_j_eval_args(r, node->args, &c);
    return rc == LF_OK ? lf_j_call(r, callee, &c, out) : rc;
}

static enum lf_err apply_filter(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv v,
                                struct lf_jv *out)
{
    struct lf_jcall c;
    if (!node->filter)
        return lf_j_fail(r, LF_E_INVALID, "no filter named '%.*s'", (int)node->name.n,
                         node->name.s);
    enum lf_err rc = lf_j_eval_args(r, node->args, &c);
    return rc == LF_OK ? node->filter->apply(r, v, &c, out) : rc;
}

enum lf_err lf_j_eval_filters(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv v,
                              struct lf_jv *out)
{
    enum lf_err rc = LF_OK;
    if (++r->depth > LF_J_DEPTH_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "the template is nested or recurses too deep");
    if (node->a)
        rc = lf_j_eval_filters(r, node->a, v, &v);
    r->depth--;
    return rc == LF_OK ? apply_filter(r, node, v, out) : rc;
}

static enum lf_err eval_filter(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv v;
    enum lf_err rc = lf_j_eval(r, node->a, &v);
    return rc == LF_OK ? apply_filter(r, node, v, out) : rc;
}

static enum lf_err eval_test(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv v;
    struct lf_jcall c;
    bool passes = false;
    enum lf_err rc = lf_j_eval(r, node->a, &v);
    if (rc == LF_OK && !node->test)
        rc = lf_j_fail(r, LF_E_INVALID, "no test named '%.*s'", (int)node->name.n, node->name.s);
    if (rc == LF_OK)
        rc = lf_j_eval_args(r, node->args, &c);
    if (rc == LF_OK)
        rc = node->test->apply(r, v, &c, &passes);
    *out = lf_jv_bool(passes);
    return rc;
}

/* --- the other expressions --- */

static enum lf_err eval_list(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jlist *list;
    enum lf_err rc = lf_jlist_new(r, node->n, &list);
    for (size_t i = 0; i < node->n && rc == LF_OK; i++)
        rc = lf_j_eval(r, node->v[i], &list->v[i]);
    if (rc != LF_OK)
        return rc;
    return lf_jlist_done(r, list, node->kind == LF_JN_LIST ? LF_J_LIST : LF_J_TUPLE, out);
}

static enum lf_err eval_dict(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jdict *d = NULL;
    enum lf_err rc = lf_jdict_new(r, node->n / 2, &d);
    for (size_t i = 0; i < node->n && rc == LF_OK; i += 2) {
        struct lf_jv key, value;
        rc = lf_j_eval(r, node->v[i], &key);
        if (rc == LF_OK)
            rc = lf_j_eval(r, node->v[i + 1], &value);
        if (rc == LF_OK && !lf_jv_hashable(key))
            rc = lf_j_fail(r, LF_E_INVALID, "unhashable type: '%s'", lf_jv_type_name(key));
        if (rc == LF_OK)
            rc = lf_jdict_put(r, d, key, value);
    }
    *out = (struct lf_jv){.type = LF_J_DICT, .dict = d};
    return rc;
}

static enum lf_err eval_getitem(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv v, key[3] = {{.type = LF_J_NONE}, {.type = LF_J_NONE}, {.type = LF_J_NONE}};
    enum lf_err rc = lf_j_eval(r, node->a, &v);
    if (node->b->kind != LF_JN_SLICE) {
        if (rc == LF_OK)
            rc = lf_j_eval(r, node->b, &key[0]);
        return rc == LF_OK ? lf_jv_getitem(r, v, key[0], out) : rc;
    }
    for (size_t i = 0; i < 3 && rc == LF_OK; i++)
        if (node->b->v[i])
            rc = lf_j_eval(r, node->b->v[i], &key[i]);
    return rc == LF_OK ? lf_jv_slice(r, v, key, out) : rc;
}

static enum lf_err compare(struct lf_jrun *r, enum lf_jop op, struct lf_jv a, struct lf_jv b,
                           bool *out)
{
    int order = 0;
    enum lf_err rc = LF_OK;
    if (op == LF_JO_EQ || op == LF_JO_NE) {
        *out = lf_jv_equal(a, b) == (op == LF_JO_EQ);
        return LF_OK;
    }
    if (op == LF_JO_IN || op == LF_JO_NOT_IN) {
        rc = lf_jv_contains(r, b, a, out);
        *out = *out == (op == LF_JO_IN);
        return rc;
    }
    rc = lf_jv_compare(r, a, b, &order);
    *out = op == LF_JO_LT   ? order < 0
           : op == LF_JO_LE ? order <= 0
           : op == LF_JO_GT ? order > 0
                            : order >= 0;
    return rc;
}

static enum lf_err eval_compare(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv left, right;
    bool holds = true;
    enum lf_err rc = lf_j_eval(r, node->a, &left);
    for (size_t i = 0; i < node->n && rc == LF_OK && holds; i++) {
        rc = lf_j_eval(r, node->v[i], &right);
        if (rc == LF_OK)
            rc = compare(r, node->ops[i], left, right, &holds);
        left = right;
    }
    *out = lf_jv_bool(holds);
    return rc;
}

static enum lf_err eval_concat(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_buf b;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < node->n && rc == LF_OK; i++) {
        struct lf_jv v;
        rc = lf_j_eval(r, node->v[i], &v);
        if (rc == LF_OK)
            rc = lf_jv_print(r, &b, v);
    }
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}

/* and, or: the operand that decided. */
static enum lf_err eval_logic(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    enum lf_err rc = lf_j_eval(r, node->a, out);
    if (rc == LF_OK && lf_jv_truth(*out) == (node->kind == LF_JN_AND))
        rc = lf_j_eval(r, node->b, out);
    return rc;
}

static enum lf_err eval_condition(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv test;
    enum lf_err rc = lf_j_eval(r, node->a, &test);
    if (rc != LF_OK)
        return rc;
    if (lf_jv_truth(test))
        return lf_j_eval(r, node->b, out);
    if (node->c)
        return lf_j_eval(r, node->c, out);
    *out = lf_jv_undefined("an inline if was false and has no else");
    return LF_OK;
}

static enum lf_err eval_pair(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv a, b;
    enum lf_err rc = lf_j_eval(r, node->a, &a);
    if (rc == LF_OK)
        rc = lf_j_eval(r, node->b, &b);
    return rc == LF_OK ? lf_j_binary(r, node->op, a, b, out) : rc;
}

static enum lf_err eval_not(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv v;
    enum lf_err rc = lf_j_eval(r, node->a, &v);
    if (rc == LF_OK)
        *out = lf_jv_bool(!lf_jv_truth(v));
    return rc;
}

static enum lf_err eval_getattr(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    struct lf_jv v;
    enum lf_err rc = lf_j_eval(r, node->a, &v);
    return rc == LF_OK ? lf_jv_getattr(r, v, node->name, out) : rc;
}

static enum lf_err eval_one(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    switch (node->kind) {
    case LF_JN_CONST:
        *out = node->value;
        return LF_OK;
    case LF_JN_NAME:
        return lf_j_lookup(r, node->name, out);
    case LF_JN_TUPLE:
    case LF_JN_LIST:
        return eval_list(r, node, out);
    case LF_JN_DICT:
        return eval_dict(r, node, out);
    case LF_JN_GETATTR:
        return eval_getattr(r, node, out);
    case LF_JN_GETITEM:
        return eval_getitem(r, node, out);
    case LF_JN_CALL:
        return eval_call(r, node, out);
    case LF_JN_FILTER:
        return eval_filter(r, node, out);
    case LF_JN_TEST:
        return eval_test(r, node, out);
    case LF_JN_NOT:
        return eval_not(r, node, out);
    case LF_JN_UNARY:
        return unary(r, node, out);
    case LF_JN_AND:
    case LF_JN_OR:
        return eval_logic(r, node, out);
    case LF_JN_BINARY:
        return eval_pair(r, node, out);
    case LF_JN_CONCAT:
        return eval_concat(r, node, out);
    case LF_JN_COMPARE:
        return eval_compare(r, node, out);
    case LF_JN_COND:
        return eval_condition(r, node, out);
    default:
        return lf_j_fail(r, LF_E_INVALID, "not an expression");
    }
}

enum lf_err lf_j_eval(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv *out)
{
    if (++r->depth > LF_J_DEPTH_MAX)
        return lf_j_fail(r, LF_E_TOO_BIG, "the template is nested or recurses too deep");
    enum lf_err rc = lf_j_spend(r, 0);
    if (rc == LF_OK)
        rc = eval_one(r, node, out);
    r->depth--;
    return rc;
}
