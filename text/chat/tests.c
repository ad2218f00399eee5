/* Tests: what may stand after `is`. */
#include "text/chat/jinja.h"

#include <string.h>

#define TEST(name) \
    static enum lf_err name(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c, bool *out)

static enum lf_err none_given(struct lf_jrun *r, const struct lf_jcall *c)
{
    return c->n + c->n_kw > 0 ? lf_j_fail(r, LF_E_INVALID, "this test takes no argument") : LF_OK;
}

static enum lf_err one_given(struct lf_jrun *r, const struct lf_jcall *c)
{
    return c->n != 1 || c->n_kw > 0 ? lf_j_fail(r, LF_E_INVALID, "this test takes one argument")
                                    : LF_OK;
}

/* Tests of what a value is. */
#define KIND(name, condition)    \
    TEST(name)                   \
    {                            \
        *out = (condition);      \
        return none_given(r, c); \
    }

KIND(t_defined, v.type != LF_J_UNDEFINED)
KIND(t_undefined, v.type == LF_J_UNDEFINED)
KIND(t_none, v.type == LF_J_NONE)
KIND(t_boolean, v.type == LF_J_BOOL)
KIND(t_true, v.type == LF_J_BOOL && v.b)
KIND(t_false, v.type == LF_J_BOOL && !v.b)
KIND(t_integer, v.type == LF_J_INT)
KIND(t_float, v.type == LF_J_FLOAT)
KIND(t_number, lf_jv_is_number(v))
KIND(t_string, v.type == LF_J_STRING)
KIND(t_mapping, v.type == LF_J_DICT)
KIND(t_iterable, lf_jv_iterable(v))
KIND(t_escaped, v.type == LF_J_STRING && v.special)
/* What has a length and items by index; an undefined value has both, as far as Python can tell. */
KIND(t_sequence, v.type == LF_J_UNDEFINED || v.type == LF_J_STRING || v.type == LF_J_LIST ||
                     v.type == LF_J_TUPLE || v.type == LF_J_DICT || v.type == LF_J_RANGE)
KIND(t_callable, v.type == LF_J_UNDEFINED || v.type == LF_J_MACRO || v.type == LF_J_FUNCTION ||
                     v.type == LF_J_METHOD || v.type == LF_J_JOINER || v.type == LF_J_LOOP)

/* --- numbers and letters --- */

static enum lf_err divisible(struct lf_jrun *r, struct lf_jv v, struct lf_jv by, int64_t rest,
                             bool *out)
{
    struct lf_jv left;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (!lf_jv_is_number(v))
        return lf_j_fail(r, LF_E_INVALID, "a number is needed, not '%s'", lf_jv_type_name(v));
    enum lf_err rc = lf_j_binary(r, LF_JO_MOD, v, by, &left);
    *out = rc == LF_OK && lf_jv_equal(left, lf_jv_int(rest));
    return rc;
}

TEST(t_odd)
{
    enum lf_err rc = none_given(r, c);
    return rc == LF_OK ? divisible(r, v, lf_jv_int(2), 1, out) : rc;
}

TEST(t_even)
{
    enum lf_err rc = none_given(r, c);
    return rc == LF_OK ? divisible(r, v, lf_jv_int(2), 0, out) : rc;
}

TEST(t_divisibleby)
{
    enum lf_err rc = one_given(r, c);
    return rc == LF_OK ? divisible(r, v, c->v[0], 0, out) : rc;
}

static enum lf_err is_case(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c,
                           enum lf_jcase which, bool *out)
{
    struct lf_jv s;
    enum lf_err rc = none_given(r, c);
    if (rc == LF_OK)
        rc = lf_jv_to_string(r, v, &s);
    if (rc == LF_OK)
        *out = lf_j_is_case(s.s, which);
    return rc;
}

TEST(t_lower)
{
    return is_case(r, v, c, LF_J_LOWER, out);
}

TEST(t_upper)
{
    return is_case(r, v, c, LF_J_UPPER, out);
}

/* --- comparisons --- */

TEST(t_eq)
{
    enum lf_err rc = one_given(r, c);
    if (rc == LF_OK)
        *out = lf_jv_equal(v, c->v[0]);
    return rc;
}

TEST(t_ne)
{
    enum lf_err rc = t_eq(r, v, c, out);
    *out = !*out;
    return rc;
}

/* Whether the order of v and the argument is one of two signs. */
static enum lf_err ordered(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c, int sign,
                           bool or_equal, bool *out)
{
    int order = 0;
    enum lf_err rc = one_given(r, c);
    if (rc == LF_OK)
        rc = lf_jv_compare(r, v, c->v[0], &order);
    *out = order == 0 ? or_equal : (order > 0) == (sign > 0);
    return rc;
}

TEST(t_gt)
{
    return ordered(r, v, c, 1, false, out);
}

TEST(t_ge)
{
    return ordered(r, v, c, 1, true, out);
}

TEST(t_lt)
{
    return ordered(r, v, c, -1, false, out);
}

TEST(t_le)
{
    return ordered(r, v, c, -1, true, out);
}

TEST(t_in)
{
    enum lf_err rc = one_given(r, c);
    return rc == LF_OK ? lf_jv_contains(r, c->v[0], v, out) : rc;
}

/* Identity, which is plain for None and booleans; Python's other objects depend on its memory. */
TEST(t_sameas)
{
    enum lf_err rc = one_given(r, c);
    if (rc != LF_OK)
        return rc;
    struct lf_jv other = c->v[0];
    bool plain = other.type == LF_J_NONE || other.type == LF_J_BOOL || v.type == LF_J_NONE ||
                 v.type == LF_J_BOOL;
    if (!plain && v.type == other.type)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "sameas of two '%s' is not supported",
                         lf_jv_type_name(v));
    *out = v.type == other.type && lf_jv_equal(v, other);
    return LF_OK;
}

/* --- names of filters and tests --- */

static enum lf_err a_name(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c)
{
    if (!lf_jv_hashable(v))
        return lf_j_fail(r, LF_E_INVALID, "unhashable type: '%s'", lf_jv_type_name(v));
    return none_given(r, c);
}

TEST(t_filter)
{
    *out = v.type == LF_J_STRING && lf_j_filter(v.s);
    return a_name(r, v, c);
}

TEST(t_test)
{
    *out = v.type == LF_J_STRING && lf_j_test(v.s);
    return a_name(r, v, c);
}

const struct lf_jtest_def *lf_j_test(struct lf_str name)
{
    static const struct lf_jtest_def all[] = {
        {"odd", t_odd},
        {"even", t_even},
        {"divisibleby", t_divisibleby},
        {"defined", t_defined},
        {"undefined", t_undefined},
        {"filter", t_filter},
        {"test", t_test},
        {"none", t_none},
        {"boolean", t_boolean},
        {"false", t_false},
        {"true", t_true},
        {"integer", t_integer},
        {"float", t_float},
        {"lower", t_lower},
        {"upper", t_upper},
        {"string", t_string},
        {"mapping", t_mapping},
        {"number", t_number},
        {"sequence", t_sequence},
        {"iterable", t_iterable},
        {"callable", t_callable},
        {"sameas", t_sameas},
        {"escaped", t_escaped},
        {"in", t_in},
        {"==", t_eq},
        {"eq", t_eq},
        {"equalto", t_eq},
        {"!=", t_ne},
        {"ne", t_ne},
        {">", t_gt},
        {"gt", t_gt},
        {"greaterthan", t_gt},
        {"ge", t_ge},
        {">=", t_ge},
        {"<", t_lt},
        {"lt", t_lt},
        {"lessthan", t_lt},
        {"<=", t_le},
        {"le", t_le},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strlen(all[i].name) == name.n && memcmp(all[i].name, name.s, name.n) == 0)
            return &all[i];
    return NULL;
}
