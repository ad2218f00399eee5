/* Operators, as Python's. */
#include "text/chat/value.h"
#include "text/limits.h"

#include <math.h>
#include <string.h>

static struct lf_jv no_operator(struct lf_jrun *r, const char *op, struct lf_jv a, struct lf_jv b)
{
    if (a.type == LF_J_UNDEFINED || b.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, a.type == LF_J_UNDEFINED ? a : b);
    return lf_j_fail(r, LF_E_INVALID, "unsupported operand types for %s: '%s' and '%s'", op,
                     lf_jv_type_name(a), lf_jv_type_name(b));
}

/* --- numbers --- */

static bool int_power(int64_t base, int64_t exponent, int64_t *value)
{
    bool overflow = false;
    for (*value = 1; exponent > 0 && !overflow; exponent >>= 1) {
        if (exponent & 1)
            overflow = __builtin_mul_overflow(*value, base, value);
        if (exponent > 1 && !overflow)
            overflow = __builtin_mul_overflow(base, base, &base);
    }
    return overflow;
}

/* // and %, rounded towards minus infinity; true: overflow. */
static bool int_divide(enum lf_jop op, int64_t a, int64_t b, int64_t *value)
{
    *value = 0;
    if (b == -1) /* INT64_MIN / -1 traps */
        return op == LF_JO_FLOORDIV && __builtin_sub_overflow(0, a, value);
    bool up = a % b != 0 && (a % b < 0) != (b < 0);
    *value = op == LF_JO_MOD ? a % b + (up ? b : 0) : a / b - up;
    return false;
}

static struct lf_jv int_operation(struct lf_jrun *r, enum lf_jop op, int64_t a, int64_t b)
{
    int64_t value = 0;
    bool overflow = false;
    if ((op == LF_JO_FLOORDIV || op == LF_JO_MOD) && b == 0)
        return lf_j_fail(r, LF_E_INVALID, "division by zero");
    if (op == LF_JO_ADD)
        overflow = __builtin_add_overflow(a, b, &value);
    else if (op == LF_JO_SUB)
        overflow = __builtin_sub_overflow(a, b, &value);
    else if (op == LF_JO_MUL)
        overflow = __builtin_mul_overflow(a, b, &value);
    else if (op == LF_JO_POW)
        overflow = int_power(a, b, &value);
    else
        overflow = int_divide(op, a, b, &value);
    return overflow ? lf_j_fail(r, LF_E_UNSUPPORTED, "an integer over 64 bits") : lf_jv_int(value);
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

static struct lf_jv float_power(struct lf_jrun *r, double a, double b)
{
    double c = pow(a, b);
    if ((a == 0 && b < 0) || (a < 0 && b != floor(b)))
        return lf_j_fail(r, LF_E_INVALID, "this power is not a real number");
    if (isinf(c) && !isinf(a) && !isinf(b))
        return lf_j_fail(r, LF_E_INVALID, "a number too large");
    return lf_jv_float(c);
}

static struct lf_jv float_operation(struct lf_jrun *r, enum lf_jop op, double a, double b)
{
    double quotient, rest;
    if ((op == LF_JO_DIV || op == LF_JO_FLOORDIV || op == LF_JO_MOD) && b == 0)
        return lf_j_fail(r, LF_E_INVALID, "division by zero");
    switch (op) {
    case LF_JO_ADD:
        return lf_jv_float(a + b);
    case LF_JO_SUB:
        return lf_jv_float(a - b);
    case LF_JO_MUL:
        return lf_jv_float(a * b);
    case LF_JO_DIV:
        return lf_jv_float(a / b);
    case LF_JO_POW:
        return float_power(r, a, b);
    default:
        float_divmod(a, b, &quotient, &rest);
        return lf_jv_float(op == LF_JO_MOD ? rest : quotient);
    }
}

/* --- texts and lists --- */

static void add_part(struct lf_buf *out, struct lf_jv s, bool markup)
{
    if (markup && !s.markup)
        lf_j_escape(out, s.s);
    else
        lf_buf_append(out, s.s.s, s.s.n);
}

/* Markup escapes what is added to it. */
static struct lf_jv add_strings(struct lf_jrun *r, struct lf_jv a, struct lf_jv b)
{
    bool markup = a.markup || b.markup;
    struct lf_buf text = {.max = LF_J_MEMORY_MAX};
    add_part(&text, a, markup);
    add_part(&text, b, markup);
    struct lf_jv out = lf_jv_take(r, &text);
    out.markup = markup;
    return out;
}

static struct lf_jv add_lists(struct lf_jrun *r, struct lf_jv a, struct lf_jv b)
{
    struct lf_jlist *list = lf_jlist_new(r, a.list->n + b.list->n);
    for (size_t i = 0; i < a.list->n + b.list->n && r->rc == LF_OK; i++)
        lf_jlist_add(r, list, i < a.list->n ? a.list->v[i] : b.list->v[i - a.list->n]);
    return lf_jv_list(a.type, list);
}

static struct lf_jv repeat(struct lf_jrun *r, struct lf_jv v, int64_t times)
{
    size_t n = times > 0 ? (size_t)times : 0;
    bool string = v.type == LF_J_STRING;
    size_t each = string ? v.s.n : v.list->n * sizeof v;
    if (each > 0 && n > LF_J_MEMORY_MAX / each)
        return lf_j_fail(r, LF_E_TOO_BIG, "a repeated value is over the limit");
    if (string) {
        struct lf_buf b = {.max = LF_J_MEMORY_MAX};
        for (size_t i = 0; each > 0 && i < n; i++)
            lf_buf_append(&b, v.s.s, each);
        struct lf_jv out = lf_jv_take(r, &b);
        out.markup = v.markup;
        return out;
    }
    struct lf_jlist *list = lf_jlist_new(r, n * v.list->n);
    for (size_t i = 0; i < n * v.list->n && r->rc == LF_OK; i++)
        lf_jlist_add(r, list, v.list->v[i % v.list->n]);
    return lf_jv_list(v.type, list);
}

static bool is_sequence(struct lf_jv v)
{
    return v.type == LF_J_STRING || v.type == LF_J_LIST || v.type == LF_J_TUPLE;
}

struct lf_jv lf_j_binary(struct lf_jrun *r, enum lf_jop op, struct lf_jv a, struct lf_jv b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (r->rc != LF_OK)
        return lf_jv_undefined(NULL);
    if (op == LF_JO_MOD && a.type == LF_J_STRING)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "%% of a string is not supported");
    if (lf_jv_is_number(a) && lf_jv_is_number(b)) {
        bool ints = lf_jv_is_int(a) && lf_jv_is_int(b) && op != LF_JO_DIV;
        if (ints && !(op == LF_JO_POW && lf_jv_to_int(b) < 0))
            return int_operation(r, op, lf_jv_to_int(a), lf_jv_to_int(b));
        return float_operation(r, op, lf_jv_to_double(a), lf_jv_to_double(b));
    }
    if (op == LF_JO_ADD && a.type == b.type && is_sequence(a))
        return a.type == LF_J_STRING ? add_strings(r, a, b) : add_lists(r, a, b);
    if (op == LF_JO_MUL && is_sequence(a) && lf_jv_is_int(b))
        return repeat(r, a, lf_jv_to_int(b));
    if (op == LF_JO_MUL && is_sequence(b) && lf_jv_is_int(a))
        return repeat(r, b, lf_jv_to_int(a));
    return no_operator(r, names[op], a, b);
}

bool lf_j_holds(struct lf_jrun *r, enum lf_jop op, struct lf_jv a, struct lf_jv b)
{
    if (op == LF_JO_EQ || op == LF_JO_NE)
        return lf_jv_equal(r, a, b) == (op == LF_JO_EQ);
    if (op == LF_JO_IN || op == LF_JO_NOT_IN)
        return lf_jv_contains(r, b, a) == (op == LF_JO_IN);
    int order = lf_jv_compare(r, a, b);
    return op == LF_JO_LT   ? order < 0
           : op == LF_JO_LE ? order <= 0
           : op == LF_JO_GT ? order > 0
                            : order >= 0;
}

struct lf_jv lf_j_negative(struct lf_jrun *r, struct lf_jv v)
{
    if (v.type == LF_J_FLOAT)
        return lf_jv_float(-v.d);
    return lf_jv_is_int(v) ? int_operation(r, LF_JO_SUB, 0, lf_jv_to_int(v))
                           : no_operator(r, "unary -", v, lf_jv_none());
}
