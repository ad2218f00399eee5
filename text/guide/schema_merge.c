/* Two schemas as one that accepts what both do, member by member. What cannot be said by one member
 * is refused, but for annotations. And what is asked of a schema as it is. */
#include "core/json.h"
#include "text/guide/schema.h"

#include <math.h>
#include <string.h>

enum how { LARGER, SMALLER, UNION, COMMON, TYPES, MEMBERS, BOTH, EITHER, PRODUCT, MULTIPLE, NONE };

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
    {"contains", NONE},
    {"const", NONE},
    {"format", NONE},
    {"prefixItems", NONE},
    {"minContains", NONE},
    {"maxContains", NONE},
    {"unevaluatedItems", NONE},
    {"unevaluatedProperties", EITHER},
    {"oneOf", NONE},
    {"if", NONE},
    {"then", NONE},
    {"else", NONE},
    {"not", NONE},
    {"$ref", NONE},
    {"dependencies", NONE},
    {"dependentRequired", NONE},
    {"dependentSchemas", NONE},
    {"propertyNames", BOTH},
    {"patternProperties", MEMBERS},
    {"pattern", UNION},
    {LF_SCHEMA_EXCEPT, UNION},
    {LF_SCHEMA_EXCEPT_PATTERN, UNION},
    {"anyOf", PRODUCT},
    {"multipleOf", MULTIPLE},
    {"uniqueItems", EITHER},
};

/* ---- Of one ---------------------------------------------------------------------------------- */

bool lf_schema_is_nothing(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    return json_is_array(type) && json_array_size(type) == 0;
}

bool lf_schema_same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

json_t *lf_schema_constants(const json_t *schema)
{
    json_t *c = json_object_get(schema, "const"), *e = json_object_get(schema, "enum");
    return c ? json_pack("[O]", c) : json_is_array(e) ? json_incref(e) : NULL;
}

bool lf_schema_requires(const json_t *schema, const char *key)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)) ?: "", key) == 0)
            return true;
    return false;
}

json_t *lf_schema_without(const json_t *schema, const char *key)
{
    json_t *out = lf_json_copy(schema);
    json_object_del(out, key);
    return out;
}

/* ---- Of two ---------------------------------------------------------------------------------- */

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
    json_auto_t *x = as_list(a), *y = as_list(b);
    json_t *out = lf_json_copy(x);
    for (size_t i = 0; i < json_array_size(y); i++)
        if (!contains(out, json_array_get(y, i)))
            json_array_append(out, json_array_get(y, i));
    return out;
}

json_t *lf_schema_all_of(json_t *a, json_t *b)
{
    if (json_is_false(a) || json_is_false(b))
        return json_false();
    if (json_equal(a, b) || json_is_true(b))
        return json_incref(a);
    return json_is_true(a) ? json_incref(b) : json_pack("{s:[O, O]}", "allOf", a, b);
}

/* One of the first and one of the second. */
static json_t *product(const json_t *a, const json_t *b)
{
    size_t n = json_array_size(a), m = json_array_size(b);
    if (n * m > LF_GUIDE_BRANCHES_MAX)
        return NULL;
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++)
            json_array_append_new(out,
                                  lf_schema_all_of(json_array_get(a, i), json_array_get(b, k)));
    return out;
}

/* What both divide. */
static json_t *multiple(const json_t *a, const json_t *b)
{
    double x = json_number_value(a), y = json_number_value(b);
    if (x < 1 || y < 1 || x > INT32_MAX || y > INT32_MAX || x != floor(x) || y != floor(y))
        return NULL;
    json_int_t p = (json_int_t)x, q = (json_int_t)y;
    while (q) {
        json_int_t r = p % q;
        p = q;
        q = r;
    }
    return json_integer((json_int_t)x / p * (json_int_t)y);
}

static json_t *members_of(const json_t *a, const json_t *b)
{
    json_t *out = lf_json_copy(a), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)b, key, v) {
        json_t *there = json_object_get(out, key);
        json_object_set_new(out, key, there ? lf_schema_all_of(there, v) : json_incref(v));
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
        return json_is_array(a) || json_is_array(b) ? NULL : lf_schema_all_of(a, b);
    case EITHER:
        return json_boolean(json_is_true(a) || json_is_true(b));
    case PRODUCT:
        return product(a, b);
    case MULTIPLE:
        return multiple(a, b);
    case NONE:
        return NULL;
    }
    return NULL;
}

/* Members that only b knows are additional ones to a. False: patterns tell what is, and it is not
 * known of which members. */
static bool close(json_t *out, const json_t *a, const json_t *b)
{
    json_t *additional = json_object_get(a, "additionalProperties"), *v;
    bool known = true;
    json_t *ours = json_object_get(a, "properties"), *theirs = json_object_get(b, "properties");
    const char *key;
    if (!additional || json_is_true(additional))
        return true;
    json_t *properties = lf_json_copy(json_object_get(out, "properties")); /* it may be b's */
    json_object_foreach(json_object_get(b, "patternProperties"), key, v)
        known = known && json_object_get(json_object_get(a, "patternProperties"), key);
    json_object_foreach(theirs, key, v) {
        if (json_object_get(ours, key))
            continue;
        known = known && !json_object_get(a, "patternProperties");
        json_object_set_new(properties, key, lf_schema_all_of(v, additional));
    }
    json_object_set_new(out, "properties", properties ?: json_object());
    return known;
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
    json_t *v = json_object_get(a, "const"), *w = json_object_get(b, "const");
    const char *key;
    if (v && w && !lf_schema_same(v, w))
        return json_pack("{s:[]}", "type");
    if (begins_alone(a, b) || begins_alone(b, a)) {
        lf_fail(
            diag, LF_E_UNSUPPORTED,
            "the schema: \"items\" of one of several schemas and \"prefixItems\" of another are "
            "not done");
        return NULL;
    }
    /* Those of `a` are of all that it says, in b too; b does not know what a says. */
    if (json_object_get(b, "unevaluatedProperties") || json_object_get(b, "unevaluatedItems")) {
        lf_fail(
            diag, LF_E_UNSUPPORTED, "the schema: \"%s\" within one of several schemas is not done",
            json_object_get(b, "unevaluatedItems") ? "unevaluatedItems" : "unevaluatedProperties");
        return NULL;
    }
    json_object_foreach((json_t *)(uintptr_t)b, key, v) {
        json_t *there = json_object_get(out, key), *made = there ? json_incref(there) : NULL;
        if (!there || json_equal(there, v)) {
            json_object_set(out, key, v);
            json_decref(made);
            continue;
        }
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            if (strcmp(key, members[i].name) == 0) { /* others say nothing of what is valid */
                json_decref(made);
                made = one_of(members[i].how, there, v);
            }
        if (!made) {
            lf_fail(diag, LF_E_UNSUPPORTED, "the schema: two \"%.60s\" at once are not done", key);
            return NULL;
        }
        json_object_set_new(out, key, made);
    }
    if (!close(out, a, b) || !close(out, b, a)) {
        lf_fail(diag, LF_E_UNSUPPORTED,
                "the schema: \"additionalProperties\" of one of several schemas is not done where "
                "one has \"patternProperties\" that the other has not");
        return NULL;
    }
    return json_incref(out);
}
