/* Tests: what may stand after `is`. */
#include "text/chat/names.h"

#define TEST(name) \
    static struct lf_jv name(struct lf_jrun *r, struct lf_jv v, const struct lf_jbound *a)

#define OF(type) (1u << (type))
#define NUMBERS (OF(LF_J_BOOL) | OF(LF_J_INT) | OF(LF_J_FLOAT))
#define LISTS (OF(LF_J_LIST) | OF(LF_J_TUPLE) | OF(LF_J_RANGE))
#define VIEWS (OF(LF_J_KEYS) | OF(LF_J_VALUES) | OF(LF_J_ITEMS))

/* Whether the type is one of `how`. */
TEST(is_of)
{
    (void)r;
    return lf_jv_bool(a->how & OF(v.type));
}

TEST(is_bool)
{
    (void)r;
    return lf_jv_bool(v.type == LF_J_BOOL && v.b == (bool)a->how);
}

static struct lf_jv divides(struct lf_jrun *r, struct lf_jv v, struct lf_jv by, int64_t rest)
{
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (!lf_jv_is_number(v))
        return lf_j_fail(r, LF_E_INVALID, "a number is needed, not '%s'", lf_jv_type_name(v));
    return lf_jv_bool(lf_jv_equal(r, lf_j_binary(r, LF_JO_MOD, v, by), lf_jv_int(rest)));
}

/* odd and even */
TEST(is_parity)
{
    return divides(r, v, lf_jv_int(2), a->how);
}

TEST(is_divisible)
{
    return divides(r, v, a->v[0], 0);
}

TEST(is_holding)
{
    return lf_jv_bool(lf_j_holds(r, (enum lf_jop)a->how, v, a->v[0]));
}

/* Identity, which is plain for None and booleans; Python's other objects depend on its memory. */
TEST(is_same)
{
    if (v.type == a->v[0].type && v.type != LF_J_NONE && v.type != LF_J_BOOL)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "sameas of two '%s' is not supported",
                         lf_jv_type_name(v));
    return lf_jv_bool(v.type == a->v[0].type && lf_jv_equal(r, v, a->v[0]));
}

/* An undefined value can be iterated, called and has a length, as far as Python can tell. */
const struct lf_jdef lf_j_tests[] = {
    {"defined", "", is_of, ~OF(LF_J_UNDEFINED)},
    {"undefined", "", is_of, OF(LF_J_UNDEFINED)},
    {"none", "", is_of, OF(LF_J_NONE)},
    {"boolean", "", is_of, OF(LF_J_BOOL)},
    {"integer", "", is_of, OF(LF_J_INT)},
    {"float", "", is_of, OF(LF_J_FLOAT)},
    {"number", "", is_of, NUMBERS},
    {"string", "", is_of, OF(LF_J_STRING)},
    {"mapping", "", is_of, OF(LF_J_DICT)},
    {"sequence", "", is_of, LISTS | OF(LF_J_UNDEFINED) | OF(LF_J_STRING) | OF(LF_J_DICT)},
    {"iterable", "", is_of,
     LISTS | VIEWS | OF(LF_J_UNDEFINED) | OF(LF_J_STRING) | OF(LF_J_DICT) | OF(LF_J_ITERATOR) |
         OF(LF_J_LOOP)},
    {"callable", "", is_of,
     OF(LF_J_UNDEFINED) | OF(LF_J_MACRO) | OF(LF_J_FUNCTION) | OF(LF_J_METHOD) | OF(LF_J_LOOP)},
    {"true", "", is_bool, true},
    {"false", "", is_bool, false},
    {"odd", "", is_parity, 1},
    {"even", "", is_parity, 0},
    {"divisibleby", "num", is_divisible},
    {"sameas", "other", is_same},
    {"in", "seq", is_holding, LF_JO_IN},
    {"eq", "other", is_holding, LF_JO_EQ},
    {"equalto", "other", is_holding, LF_JO_EQ},
    {"==", "other", is_holding, LF_JO_EQ},
    {"ne", "other", is_holding, LF_JO_NE},
    {"!=", "other", is_holding, LF_JO_NE},
    {"gt", "other", is_holding, LF_JO_GT},
    {"greaterthan", "other", is_holding, LF_JO_GT},
    {">", "other", is_holding, LF_JO_GT},
    {"ge", "other", is_holding, LF_JO_GE},
    {">=", "other", is_holding, LF_JO_GE},
    {"lt", "other", is_holding, LF_JO_LT},
    {"lessthan", "other", is_holding, LF_JO_LT},
    {"<", "other", is_holding, LF_JO_LT},
    {"le", "other", is_holding, LF_JO_LE},
    {"<=", "other", is_holding, LF_JO_LE},
    {"lower"}, /* refused */
    {"upper"},
    {"escaped"},
    {"filter"},
    {"test"},
    {NULL},
};
