/* Two schemas as one that accepts what both do, member by member. What cannot be said by one member
 * is refused, but for annotations. */
#include "core/json.h"
#include "text/guide/inside.h"

#include <string.h>

enum how { LARGER, SMALLER, UNION, COMMON, TYPES, MEMBERS, BOTH, EITHER, ASIDE };

static const struct {
    const char *name;
    enum how how;
} members[] = {
    {"minimum", LARGER},
    {"exclusiveMinimum", LARGER},
    {"minLength", LARGER},
    {"minItems", LARGER},
    {"minProperties", LARGER},
    {"maximum", SMALLER},
    {"maxLength", SMALLER},
    {"exclusiveMaximum", SMALLER},
    {"maxItems", SMALLER},
    {"maxProperties", SMALLER},
    {"required", UNION},
    {"type", TYPES},
    {"enum", COMMON},
    {"properties", MEMBERS},
    {"items", BOTH},
    {"additionalProperties", BOTH},
    {"uniqueItems", EITHER},
    {"title", ASIDE},
    {"description", ASIDE},
    {"default", ASIDE},
    {"examples", ASIDE},
    {"example", ASIDE},
    {"$comment", ASIDE},
    {"$id", ASIDE},
    {"id", ASIDE},
    {"$schema", ASIDE},
    {"$anchor", ASIDE},
    {"$defs", ASIDE},
    {"definitions", ASIDE},
    {"deprecated", ASIDE},
    {"readOnly", ASIDE},
    {"writeOnly", ASIDE},
    {"nullable", ASIDE},
};

static bool contains(const json_t *list, const json_t *v)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), v))
            return true;
    return false;
}

/* A list; of a single value, one of it. */
static json_t *as_list(const json_t *v)
{
    json_t *one = (json_t *)(uintptr_t)v;
    return json_is_array(v) ? json_incref(one) : json_pack("[O]", one);
}

/* "integer" is a "number". */
static bool type_contains(const json_t *list, const json_t *v)
{
    const char *s = json_string_value(v);
    json_auto_t *number = json_string("number");
    return contains(list, v) || (s && strcmp(s, "integer") == 0 && contains(list, number));
}

static json_t *common(const json_t *a, const json_t *b, bool types)
{
    json_auto_t *x = as_list(a), *y = as_list(b);
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(x); i++) {
        json_t *v = json_array_get(x, i);
        if (types ? type_contains(y, v) : contains(y, v))
            json_array_append(out, v);
    }
    for (size_t i = 0; types && i < json_array_size(y); i++) {
        json_t *v = json_array_get(y, i);
        if (!contains(out, v) && type_contains(x, v))
            json_array_append(out, v);
    }
    return out;
}

static json_t *joined(const json_t *a, const json_t *b)
{
    json_t *out = json_is_array(a) ? lf_json_copy(a) : json_array();
    for (size_t i = 0; i < json_array_size(b); i++)
        if (!contains(out, json_array_get(b, i)))
            json_array_append(out, json_array_get(b, i));
    return out;
}

/* allOf, for what is worked out when it is met. */
static json_t *all_of(json_t *a, json_t *b)
{
    return json_equal(a, b) ? json_incref(a) : json_pack("{s:[O, O]}", "allOf", a, b);
}

static json_t *members_of(const json_t *a, const json_t *b)
{
    json_t *out = lf_json_copy(a), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)b, key, v) {
        json_t *there = json_object_get(out, key);
        json_object_set_new(out, key, there ? all_of(there, v) : json_incref(v));
    }
    return out;
}

static json_t *one_of(enum how how, json_t *a, json_t *b)
{
    double x = json_number_value(a), y = json_number_value(b);
    switch (how) {
    case LARGER:
        return json_is_number(a) && json_is_number(b) ? json_incref(x > y ? a : b) : NULL;
    case SMALLER:
        return json_is_number(a) && json_is_number(b) ? json_incref(x < y ? a : b) : NULL;
    case UNION:
        return joined(a, b);
    case COMMON:
    case TYPES:
        return common(a, b, how == TYPES);
    case MEMBERS:
        return json_is_object(a) && json_is_object(b) ? members_of(a, b) : NULL;
    case BOTH:
        return json_is_array(a) || json_is_array(b)   ? NULL
               : json_is_true(a)                      ? json_incref(b)
               : json_is_true(b)                      ? json_incref(a)
               : json_is_false(a) || json_is_false(b) ? json_false()
                                                      : all_of(a, b);
    case EITHER:
        return json_boolean(json_is_true(a) || json_is_true(b));
    case ASIDE:
        return json_incref(a);
    }
    return NULL;
}

/* Other members' additional ones are what the first schema says of them, and the other way round:
 * where only one closes, or says what they are, the members of the other belong to it too. */
static bool closes_alone(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "additionalProperties");
    const json_t *y = json_object_get(b, "additionalProperties");
    const char *key;
    json_t *v;
    if (!x || json_is_true(x) || (y && json_equal(x, y) && !json_is_object(x)))
        return false;
    json_object_foreach(json_object_get(b, "properties"), key, v)
        if (!json_object_get(json_object_get(a, "properties"), key))
            return true;
    return false;
}

/* Likewise "items", which begin behind the "prefixItems" of their own schema. */
static bool begins_alone(const json_t *a, const json_t *b)
{
    const json_t *items = json_object_get(a, "items");
    return items && !json_is_true(items) && !json_object_get(a, "prefixItems") &&
           json_object_get(b, "prefixItems");
}

json_t *lf_schema_both(const json_t *a, const json_t *b, struct lf_diag *diag)
{
    json_auto_t *out = lf_json_copy(a);
    const char *key;
    json_t *v;
    if (closes_alone(a, b) || closes_alone(b, a)) {
        lf_fail(diag, LF_E_UNSUPPORTED,
                "the schema: \"additionalProperties\" of one of several schemas that do not know "
                "the same members is not done");
        return NULL;
    }
    if (begins_alone(a, b) || begins_alone(b, a)) {
        lf_fail(
            diag, LF_E_UNSUPPORTED,
            "the schema: \"items\" of one of several schemas and \"prefixItems\" of another are "
            "not done");
        return NULL;
    }
    /* Those of `a` are of all that it says, in b too; b does not know what a says. */
    if (json_object_get(b, "unevaluatedProperties")) {
        lf_fail(diag, LF_E_UNSUPPORTED,
                "the schema: \"unevaluatedProperties\" within one of several schemas is not done");
        return NULL;
    }
    json_object_foreach((json_t *)(uintptr_t)b, key, v) {
        json_t *there = json_object_get(out, key), *made = NULL;
        if (!there || json_equal(there, v)) {
            json_object_set(out, key, v);
            continue;
        }
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            if (strcmp(key, members[i].name) == 0)
                made = one_of(members[i].how, there, v);
        if (!made) {
            lf_fail(diag, LF_E_UNSUPPORTED, "the schema: two \"%.60s\" at once are not done", key);
            return NULL;
        }
        json_object_set_new(out, key, made);
    }
    return json_incref(out);
}
