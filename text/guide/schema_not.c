/* What is not valid under a schema, and the conditions that depend on it: as alternatives of
 * schemas that say what is. */
#include "core/json.h"
#include "text/guide/schema.h"

#include <string.h>

/* ---- Not ------------------------------------------------------------------------------------- */

static json_t *of_type(const char *type, const char *key, json_t *value)
{
    return json_pack("{s:s, s:o}", "type", type, key, value);
}

/* Values of other types. An integer is a number, and not all numbers are integers: those that are
 * not are left out. */
static json_t *other_types(const json_t *type)
{
    static const char *const all[] = {"object", "array",   "string", "integer",
                                      "number", "boolean", "null"};
    json_auto_t *list =
        json_is_array(type) ? json_incref((json_t *)(uintptr_t)type) : json_pack("[O]", type);
    json_t *out = json_array();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool named = false;
        for (size_t k = 0; k < json_array_size(list); k++) {
            const char *s = json_string_value(json_array_get(list, k)) ?: "";
            bool number = strcmp(s, "number") == 0 || strcmp(s, "integer") == 0;
            named = named || strcmp(s, all[i]) == 0 || (number && (i == 3 || i == 4));
        }
        if (!named)
            json_array_append_new(out, json_string(all[i]));
    }
    return json_pack("{s:o}", "type", out);
}

/* A count is below one that it has to be, or above. */
static void add_counts(json_t *out, const json_t *schema)
{
    static const struct {
        const char *key, *other, *type;
        int by;
    } counts[] = {{"minLength", "maxLength", "string", -1},
                  {"maxLength", "minLength", "string", 1},
                  {"minItems", "maxItems", "array", -1},
                  {"maxItems", "minItems", "array", 1},
                  {"minProperties", "maxProperties", "object", -1},
                  {"maxProperties", "minProperties", "object", 1}};
    static const char *const bounds[][2] = {{"minimum", "exclusiveMaximum"},
                                            {"maximum", "exclusiveMinimum"},
                                            {"exclusiveMinimum", "maximum"},
                                            {"exclusiveMaximum", "minimum"}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const json_t *v = json_object_get(schema, counts[i].key);
        json_int_t n = (json_int_t)json_number_value(v) + counts[i].by;
        if (json_is_number(v) && n >= 0)
            json_array_append_new(out, of_type(counts[i].type, counts[i].other, json_integer(n)));
    }
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        json_t *v = json_object_get(schema, bounds[i][0]);
        const char *draft4 = i == 0 ? "exclusiveMinimum" : "exclusiveMaximum";
        if (json_is_number(v) && !(i < 2 && json_is_true(json_object_get(schema, draft4))))
            json_array_append_new(out, of_type("number", bounds[i][1], json_incref(v)));
    }
}

/* A member is missing, or is there and is not valid. */
static void add_members(struct lf_schemas *m, json_t *out, const json_t *schema)
{
    const json_t *required = json_object_get(schema, "required");
    json_t *properties = json_object_get(schema, "properties"), *v;
    const char *key;
    for (size_t i = 0; i < json_array_size(required); i++)
        if ((key = json_string_value(json_array_get(required, i))))
            json_array_append_new(out, of_type("object", "properties", json_pack("{s:b}", key, 0)));
    json_object_foreach(properties, key, v) {
        const json_t *other = lf_schema_not(m, v);
        if (other && !lf_schema_is_nothing(other))
            json_array_append_new(out, json_pack("{s:s, s:[s], s:{s:O}}", "type", "object",
                                                 "required", key, "properties", key, other));
    }
}

/* Nothing of a list is; NULL: of one that is not known. */
static json_t *none_of(struct lf_schemas *m, const json_t *list)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *other = lf_schema_not(m, json_array_get(list, i));
        if (!other) {
            json_decref(all);
            return NULL;
        }
        json_array_append(all, (json_t *)(uintptr_t)other);
    }
    return json_pack("{s:o}", "allOf", all);
}

static void add_parts(struct lf_schemas *m, json_t *out, const json_t *schema)
{
    static const char *const any[] = {"anyOf", "oneOf"};
    const json_t *all = json_object_get(schema, "allOf"), *items = json_object_get(schema, "items");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *other = lf_schema_not(m, json_array_get(all, i));
        if (other)
            json_array_append(out, (json_t *)(uintptr_t)other);
    }
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        const json_t *list = json_object_get(schema, any[i]);
        json_t *none = list ? none_of(m, list) : NULL;
        if (none)
            json_array_append_new(out, none);
    }
    if (json_object_get(schema, "not"))
        json_array_append(out, json_object_get(schema, "not"));
    const json_t *other = items && !json_is_array(items) && !json_object_get(schema, "prefixItems")
                              ? lf_schema_not(m, items)
                              : NULL;
    if (other && !lf_schema_is_nothing(other))
        json_array_append_new(
            out, of_type("array", "contains", json_incref((json_t *)(uintptr_t)other)));
}

/* Alternatives; each is of values that one of the schema's members does not accept. */
static json_t *alternatives(struct lf_schemas *m, const json_t *schema)
{
    json_t *out = json_array(), *type = json_object_get(schema, "type");
    json_auto_t *constants = lf_schema_constants(schema);
    json_t *pattern = json_object_get(schema, "pattern");
    if (type)
        json_array_append_new(out, other_types(type));
    if (constants)
        json_array_append_new(out, json_pack("{s:O}", LF_SCHEMA_EXCEPT, constants));
    if (json_is_string(pattern))
        json_array_append_new(
            out, of_type("string", LF_SCHEMA_EXCEPT_PATTERN, json_pack("[O]", pattern)));
    add_counts(out, schema);
    add_members(m, out, schema);
    add_parts(m, out, schema);
    return out;
}

const json_t *lf_schema_not(struct lf_schemas *m, const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    if (json_is_boolean(schema) || (json_is_object(schema) && json_object_size(schema) == 0))
        return lf_schemas_keep(m,
                               json_is_false(schema) ? json_object() : json_pack("{s:[]}", "type"));
    if (m->depth++ > LF_GUIDE_SCHEMAS_DEEP)
        lf_schemas_fail(m, LF_E_TOO_BIG, "a \"not\" is nested too deeply");
    const json_t *to = ref && m->rc == LF_OK ? lf_schemas_resolve(m, ref) : schema, *out = NULL;
    if (m->rc == LF_OK && ref) {
        out = lf_schema_not(m, to);
    } else if (m->rc == LF_OK) {
        json_t *list = alternatives(m, to);
        size_t n = json_array_size(list);
        if (n > LF_GUIDE_BRANCHES_MAX)
            lf_schemas_fail(m, LF_E_UNSUPPORTED, "a \"not\" of so many members is not done");
        else if (n == 1)
            out = lf_schemas_keep(m, json_incref(json_array_get(list, 0)));
        else if (n > 1)
            out = lf_schemas_keep(m, json_pack("{s:O}", "anyOf", list));
        json_decref(list);
    }
    m->depth--;
    return m->rc == LF_OK ? out : NULL;
}

/* ---- Conditions ------------------------------------------------------------------------------ */

/* Member `key` is not there, or what it brings with it holds. */
static json_t *unless(const char *key, json_t *brings)
{
    json_auto_t *need =
        json_is_array(brings) ? json_pack("{s:O}", "required", brings) : json_incref(brings);
    return json_pack("{s:[{s:{s:b}}, {s:[{s:[s]}, O]}]}", "anyOf", "properties", key, 0, "allOf",
                     "required", key, need);
}

static json_t *of_dependencies(const json_t *dependencies)
{
    json_t *all = json_array(), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)dependencies, key, v) {
        json_auto_t *list = json_is_string(v) ? json_pack("[O]", v) : json_incref(v);
        json_array_append_new(all, unless(key, list));
    }
    return json_pack("{s:o}", "allOf", all);
}

static json_t *of_if(struct lf_schemas *m, const json_t *schema)
{
    json_t *cond = json_object_get(schema, "if"), *then = json_object_get(schema, "then");
    json_t *otherwise = json_object_get(schema, "else");
    json_auto_t *yes = json_true();
    if (!cond || (!then && !otherwise))
        return json_object();
    const json_t *not = lf_schema_not(m, cond);
    if (!not ) {
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "\"if\" this is not so is not done");
        return NULL;
    }
    return json_pack("{s:[{s:[O, O]}, {s:[O, O]}]}", "anyOf", "allOf", cond, then ?: yes, "allOf",
                     not, otherwise ?: yes);
}

static json_t *of_condition(struct lf_schemas *m, const json_t *schema, const char *word)
{
    const json_t *v = json_object_get(schema, word);
    if (strcmp(word, "if") == 0)
        return of_if(m, schema);
    if (strcmp(word, "not") != 0)
        return of_dependencies(v);
    const json_t *other = lf_schema_not(m, v);
    if (!other)
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "\"not\" of what it says is not done");
    return other ? json_incref((json_t *)(uintptr_t)other) : NULL;
}

const json_t *lf_schema_condition(struct lf_schemas *m, const json_t *schema)
{
    static const char *const words[] = {"not", "if", "dependencies", "dependentRequired",
                                        "dependentSchemas"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!json_object_get(schema, words[i]))
            continue;
        json_t *made = lf_schemas_keep(m, of_condition(m, schema, words[i]));
        json_t *rest = lf_schemas_keep(m, lf_schema_without(schema, words[i]));
        if (i == 1 && m->rc == LF_OK) {
            json_object_del(rest, "then");
            json_object_del(rest, "else");
        }
        if (m->rc == LF_OK)
            json_object_set_new(rest, LF_SCHEMA_CONDITIONAL, json_true());
        const json_t *flat = m->rc == LF_OK ? lf_schemas_flat(m, made) : NULL;
        return flat ? lf_schemas_keep(m, lf_schema_both(rest, flat, m->diag)) : NULL;
    }
    return schema;
}
