/* JSON schemas into GBNF: a rule for each subschema. */
#include "core/json.h"
#include "core/num.h"
#include "text/guide/schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 256 /* of a schema's text: as long as a state takes, about */

void lf_schemas_fail(struct lf_schemas *m, enum lf_err rc, const char *what)
{
    if (m->rc == LF_OK)
        m->rc = lf_fail(m->diag, rc, "the schema: %s", what);
}

int lf_schemas_next_rule(struct lf_schemas *m)
{
    if (m->n_rules >= LF_GUIDE_SCHEMAS_MAX || m->out->len > LF_GUIDE_BYTES_MAX)
        lf_schemas_fail(m, LF_E_TOO_BIG, "it has too many parts");
    return m->n_rules++;
}

void lf_schemas_spend(struct lf_schemas *m, size_t states)
{
    m->spent += states;
    if (m->spent > LF_GUIDE_SPENT_MAX)
        lf_schemas_fail(m, LF_E_TOO_BIG, "its strings, names and parts are too many together");
}

json_t *lf_schemas_keep(struct lf_schemas *m, json_t *made)
{
    if (!made) {
        m->rc = m->rc ?: LF_E_UNSUPPORTED; /* whoever made none has said why */
        return NULL;
    }
    json_array_append_new(m->alive, made);
    return made;
}

int64_t lf_schemas_count(struct lf_schemas *m, const json_t *schema, const char *key,
                         int64_t otherwise)
{
    const json_t *v = json_object_get(schema, key);
    double d = json_number_value(v);
    if (!v)
        return otherwise;
    if (!json_is_number(v) || d < 0 || d != floor(d))
        lf_schemas_fail(m, LF_E_INVALID, "a count of items, members or characters is none");
    if (d > LF_GUIDE_TIMES_MAX && key[1] == 'i') /* min...; what is at most fewer is, too */
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "counts over 10000 that have to be are not done");
    d = d > LF_GUIDE_TIMES_MAX ? LF_GUIDE_TIMES_MAX : d;
    return m->rc == LF_OK ? (int64_t)d : otherwise;
}

enum { OBJECT = 1, ARRAY = 2, STRING = 4, NUMBER = 8, INTEGER = 16, BOOLEAN = 32, NIL = 64 };

static const struct {
    const char *name;
    unsigned bits;
} type_names[] = {{"object", OBJECT}, {"array", ARRAY},     {"string", STRING},
                  {"number", NUMBER}, {"integer", INTEGER}, {"boolean", BOOLEAN},
                  {"null", NIL}};

static unsigned type_named(const char *s)
{
    for (size_t i = 0; s && i < sizeof type_names / sizeof *type_names; i++)
        if (strcmp(s, type_names[i].name) == 0)
            return type_names[i].bits;
    return 0;
}

/* ---- What is not done ------------------------------------------------------------------------ */

static void check_members(struct lf_schemas *m, const json_t *schema)
{
    static const char *const refused[] = {"$dynamicRef", "$recursiveRef"};
    char what[96];
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        snprintf(what, sizeof what, "\"%s\" is not done", refused[i]);
        if (json_object_get(schema, refused[i]))
            lf_schemas_fail(m, LF_E_UNSUPPORTED, what);
    }
    const json_t *u = json_object_get(schema, "unevaluatedProperties");
    const json_t *items = json_object_get(schema, "unevaluatedItems");
    bool conditional = json_object_get(schema, LF_SCHEMA_CONDITIONAL);
    if ((u || items) && conditional)
        lf_schemas_fail(m, LF_E_UNSUPPORTED,
                        "\"unevaluatedProperties\" or \"unevaluatedItems\" beside \"not\", \"if\" "
                        "or dependencies is not done");
    if (u && !json_is_boolean(u))
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "\"unevaluatedProperties\" is not done");
    if (items && (!json_is_boolean(items) || json_object_get(schema, "contains")))
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "\"unevaluatedItems\" is not done");
}

/* ---- References ------------------------------------------------------------------------------ */

/* One step of a JSON pointer, its ~0, ~1 and %XX undone. */
static void step_text(char *out, size_t cap, const char *s, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n && len + 1 < cap; i++) {
        int hi = s[i] == '%' && i + 2 < n + 0 ? lf_hex_digit(s[i + 1]) : -1;
        if (s[i] == '~' && i + 1 < n && (s[i + 1] == '0' || s[i + 1] == '1')) {
            out[len++] = s[++i] == '0' ? '~' : '/';
        } else if (hi >= 0 && lf_hex_digit(s[i + 2]) >= 0) {
            out[len++] = (char)(hi * 16 + lf_hex_digit(s[i + 2]));
            i += 2;
        } else {
            out[len++] = s[i];
        }
    }
    out[len] = 0;
}

const json_t *lf_schemas_resolve(struct lf_schemas *m, const char *ref)
{
    const json_t *at = m->root;
    char step[256], what[192];
    const char *p = ref[0] == '#' ? ref + 1 : NULL;
    while (p && *p == '/' && at) {
        size_t n = strcspn(++p, "/");
        step_text(step, sizeof step, p, n);
        at = json_is_array(at) ? json_array_get(at, strtoul(step, NULL, 10))
                               : json_object_get(at, step);
        p += n;
    }
    if (!p || *p || !at) {
        snprintf(what, sizeof what, "\"$ref\": \"%.100s\" is not found in it", ref);
        lf_schemas_fail(m, LF_E_UNSUPPORTED, what);
        return NULL;
    }
    return at;
}

/* Everything but "$ref" itself and what validators leave aside. */
static bool stands_alone(const json_t *schema, const char *what)
{
    static const char *const aside[] = {"title",    "description", "default",    "$comment",
                                        "$defs",    "definitions", "$id",        "$schema",
                                        "examples", "nullable",    "deprecated", NULL};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)schema, key, v) {
        bool known = strcmp(key, what) == 0;
        for (size_t i = 0; aside[i]; i++)
            known = known || strcmp(key, aside[i]) == 0;
        if (!known)
            return false;
    }
    return true;
}

/* The rule of what a reference leads to; it may lead to itself. */
static int rule_of_ref(struct lf_schemas *m, const char *ref)
{
    const json_t *known = json_object_get(m->refs, ref);
    const json_t *to = lf_schemas_resolve(m, ref);
    if (known)
        return (int)json_integer_value(known);
    int rule = lf_schemas_next_rule(m);
    json_object_set_new(m->refs, ref, json_integer(rule));
    int at = to ? lf_schemas_rule(m, to) : 0;
    lf_buf_printf(m->out, "r%d ::= r%d\n", rule, at);
    return rule;
}

/* ---- Several schemas ------------------------------------------------------------------------- */

/* The two as one, and what that has for parts. */
static const json_t *joined(struct lf_schemas *m, const json_t *a, const json_t *b)
{
    const json_t *both = m->rc == LF_OK ? lf_schemas_keep(m, lf_schema_both(a, b, m->diag)) : NULL;
    return m->rc == LF_OK ? lf_schemas_flat(m, both) : NULL;
}

const json_t *lf_schemas_flat(struct lf_schemas *m, const json_t *schema)
{
    if (m->depth++ > LF_GUIDE_SCHEMAS_DEEP)
        lf_schemas_fail(m, LF_E_TOO_BIG,
                        "it is nested too deeply, or refers to itself in an \"allOf\"");
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const json_t *all = json_object_get(schema, "allOf"), *out = schema;
    if (m->rc == LF_OK && json_is_boolean(schema)) {
        out =
            lf_schemas_keep(m, json_is_true(schema) ? json_object() : json_pack("{s:[]}", "type"));
    } else if (m->rc == LF_OK && !json_is_object(schema)) {
        lf_schemas_fail(m, LF_E_INVALID, "one of its parts is no schema");
    } else if (m->rc == LF_OK && ref) {
        const json_t *to = lf_schemas_resolve(m, ref);
        const json_t *rest = lf_schemas_keep(m, lf_schema_without(schema, "$ref"));
        to = m->rc == LF_OK ? lf_schemas_flat(m, to) : NULL;
        out = joined(m, rest, to);
    } else if (m->rc == LF_OK && json_is_array(all)) {
        out = lf_schemas_keep(m, lf_schema_without(schema, "allOf"));
        for (size_t i = 0; i < json_array_size(all) && m->rc == LF_OK; i++) {
            const json_t *part = lf_schemas_flat(m, json_array_get(all, i));
            if (m->rc == LF_OK)
                out = lf_schemas_keep(m, lf_schema_both(out, part, m->diag));
        }
        out = m->rc == LF_OK ? lf_schemas_flat(m, out) : NULL;
    } else if (m->rc == LF_OK) {
        out = lf_schema_condition(m, schema);
        if (m->rc == LF_OK && out != schema)
            out = lf_schemas_flat(m, out);
    }
    m->depth--;
    return m->rc == LF_OK ? out : NULL;
}

/* The types that a schema names; 0: none. */
static unsigned types_of(const json_t *schema);

static bool are_apart(const json_t *a, const json_t *b);

/* No object that is answered under a is valid under b: b requires a member that those have not, or
 * forbids one that all of them have, or wants it to be what it is not. */
static bool objects_apart(const json_t *a, const json_t *b)
{
    const json_t *required = json_object_get(b, "required"), *v;
    if (types_of(a) != OBJECT || json_object_get(a, "anyOf") || json_object_get(a, "oneOf"))
        return false;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *key = json_string_value(json_array_get(required, i));
        if (key && !lf_schema_may_have(a, key))
            return true;
    }
    required = json_object_get(a, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *key = json_string_value(json_array_get(required, i));
        v = key ? json_object_get(json_object_get(b, "properties"), key) : NULL;
        bool closed = json_is_false(json_object_get(b, "additionalProperties")) &&
                      !json_object_get(b, "patternProperties");
        if (key && (v ? json_is_false(v) : closed))
            return true;
        if (v && are_apart(json_object_get(json_object_get(a, "properties"), key), v))
            return true;
    }
    return false;
}

/* No value that is answered under a is valid under b. */
static bool are_apart(const json_t *a, const json_t *b)
{
    unsigned x = types_of(a), y = types_of(b);
    json_auto_t *p = lf_schema_constants(a), *q = lf_schema_constants(b);
    bool common = !p || !q;
    for (size_t i = 0; i < json_array_size(p) && !common; i++)
        for (size_t k = 0; k < json_array_size(q); k++)
            common = common || lf_schema_same(json_array_get(p, i), json_array_get(q, k));
    return !common || (x && y && !(x & y)) || lf_schema_is_nothing(a) || objects_apart(a, b);
}

/* How something under `part` is not valid under another schema, but for members that it does not
 * know and would have to get for that; up to `most` ways. */
static json_t *ways_not(struct lf_schemas *m, const json_t *other, const json_t *part, size_t most)
{
    const json_t *not = lf_schema_not(m, other), *list = json_object_get(not, "anyOf");
    const json_t *known = json_object_get(part, "properties");
    json_auto_t *all = list ? json_incref((json_t *)(uintptr_t)list) : json_array();
    json_t *out = json_array();
    if (not &&!list)
        json_array_append(all, (json_t *)(uintptr_t) not );
    for (size_t i = 0; i < json_array_size(all) && json_array_size(out) < most; i++) {
        json_t *way = json_array_get(all, i);
        const json_t *required = json_object_get(way, "required");
        const char *key = json_string_value(json_array_get(required, 0));
        unsigned x = types_of(way), y = types_of(part);
        if ((x && y && !(x & y)) || (key && !json_object_get(known, key)))
            continue;
        json_array_append(out, way);
    }
    return out;
}

/* Part i of a "oneOf", as flat as `part`, so that it is none of the others. */
static const json_t *alone_of(struct lf_schemas *m, const json_t *list, size_t i,
                              const json_t *part)
{
    size_t n = LF_GUIDE_BRANCHES_MAX;
    bool few = json_array_size(list) < 5; /* their ways are multiplied */
    for (size_t k = 0; k < json_array_size(list) && m->rc == LF_OK; k++) {
        const json_t *other = k != i ? lf_schemas_flat(m, json_array_get(list, k)) : NULL;
        if (!other || are_apart(part, other))
            continue;
        json_t *ways = lf_schemas_keep(m, ways_not(m, other, part, few ? n : 1));
        if (json_array_size(ways) == 0)
            lf_schemas_fail(m, LF_E_UNSUPPORTED,
                            "a \"oneOf\" whose parts may fit at once (\"anyOf\" may be meant) is "
                            "not done");
        else
            part = joined(m, part, lf_schemas_keep(m, json_pack("{s:O}", "anyOf", ways)));
    }
    return part;
}

static void put_branches(struct lf_schemas *m, struct lf_buf *text, const json_t *schema,
                         const char *word)
{
    const json_t *list = json_object_get(schema, word);
    const json_t *rest = lf_schemas_keep(m, lf_schema_without(schema, word));
    bool alone = stands_alone(schema, word), one = strcmp(word, "oneOf") == 0, any = false;
    size_t n = json_array_size(list);
    if (n == 0)
        lf_schemas_fail(m, LF_E_INVALID, "an \"anyOf\" or \"oneOf\" is empty");
    for (size_t i = 0; i < n && m->rc == LF_OK; i++) {
        const json_t *part = json_array_get(list, i);
        if (!alone || one)
            part = lf_schemas_flat(m, part);
        if (m->rc == LF_OK && !alone)
            part = joined(m, rest, part);
        if (m->rc == LF_OK && one)
            part = alone_of(m, list, i, part);
        if (m->rc != LF_OK || lf_schema_is_nothing(part))
            continue;
        lf_buf_printf(text, "%sr%d", any ? " | " : "", lf_schemas_rule(m, part));
        any = true;
    }
    if (!any && one)
        lf_schemas_fail(m, LF_E_UNSUPPORTED,
                        "a \"oneOf\" whose parts fit at once (\"anyOf\" may be meant) is not done");
    if (!any)
        lf_buf_puts(text, LF_GBNF_NOTHING);
}

/* ---- Constants ------------------------------------------------------------------------------- */

static unsigned type_of_value(const json_t *v)
{
    return json_is_object(v)    ? OBJECT
           : json_is_array(v)   ? ARRAY
           : json_is_string(v)  ? STRING
           : json_is_integer(v) ? INTEGER | NUMBER
           : json_is_real(v)    ? NUMBER
           : json_is_boolean(v) ? BOOLEAN
                                : NIL;
}

static unsigned types_of(const json_t *schema)
{
    const json_t *t = json_object_get(schema, "type");
    unsigned bits = type_named(json_string_value(t));
    for (size_t i = 0; i < json_array_size(t); i++)
        bits |= type_named(json_string_value(json_array_get(t, i)));
    json_auto_t *list = lf_schema_constants(schema);
    unsigned values = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        values |= type_of_value(json_array_get(list, i));
    return values ? values : bits & NUMBER ? bits | INTEGER : bits;
}

/* What it says of which type; without a type, that is meant. */
static unsigned types_meant(const json_t *schema)
{
    static const struct {
        const char *key;
        unsigned bits;
    } about[] = {{"properties", OBJECT},
                 {"required", OBJECT},
                 {"additionalProperties", OBJECT},
                 {"patternProperties", OBJECT},
                 {"propertyNames", OBJECT},
                 {"minProperties", OBJECT},
                 {"maxProperties", OBJECT},
                 {"unevaluatedProperties", OBJECT},
                 {"items", ARRAY},
                 {"prefixItems", ARRAY},
                 {"unevaluatedItems", ARRAY},
                 {"contains", ARRAY},
                 {"uniqueItems", ARRAY},
                 {"minItems", ARRAY},
                 {"maxItems", ARRAY},
                 {"minLength", STRING},
                 {"maxLength", STRING},
                 {"pattern", STRING},
                 {"format", STRING},
                 {LF_SCHEMA_EXCEPT_PATTERN, STRING},
                 {"minimum", NUMBER},
                 {"maximum", NUMBER},
                 {"multipleOf", NUMBER},
                 {"exclusiveMinimum", NUMBER},
                 {"exclusiveMaximum", NUMBER}};
    unsigned bits = types_of(schema);
    for (size_t i = 0; !json_object_get(schema, "type") && i < sizeof about / sizeof *about; i++)
        if (json_object_get(schema, about[i].key))
            bits |= about[i].bits;
    return bits;
}

/* A grammar of what else is said of constants; NULL: nothing is, or it failed. */
static struct lf_grammar *grammar_of_rest(struct lf_schemas *m, const json_t *schema)
{
    static const char *const kinds[] = {"const", "enum", LF_SCHEMA_EXCEPT, "type"};
    json_auto_t *rest = lf_json_copy(schema), *refs = json_object(), *rules = json_object();
    struct lf_grammar *g = NULL;
    lf_buf_auto text = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        json_object_del(rest, kinds[i]);
    if (types_meant(rest) == 0)
        return NULL;
    if (json_object_get(schema, "type"))
        json_object_set(rest, "type", json_object_get(schema, "type"));
    struct lf_schemas n = {.out = &text,
                           .root = m->root,
                           .refs = refs,
                           .rules = rules,
                           .alive = m->alive,
                           .depth = m->depth,
                           .spent = m->spent,
                           .diag = m->diag};
    int rule = lf_schemas_rule(&n, rest);
    lf_buf_printf(&text, "root ::= r%d | \"\\x00\"\n", rule); /* a text that is no constant */
    lf_json_rules(&text);
    m->spent = n.spent;
    m->rc = m->rc ?: n.rc ?: lf_grammar_new(&g, lf_buf_str(&text), text.len, NULL, m->diag);
    return g;
}

/* The text is one of the grammar's. */
static bool fits(struct lf_schemas *m, struct lf_grammar *g, const struct lf_buf *text)
{
    struct lf_guide *u;
    if (lf_guide_new(&u, g, m->diag) != LF_OK) {
        m->rc = LF_E_NO_MEMORY;
        return false;
    }
    bool whole = lf_guide_bytes(u, text->data, text->len) == LF_OK && lf_guide_whole(u);
    lf_guide_free(u);
    return whole;
}

static bool is_listed(const json_t *list, const json_t *v)
{
    bool there = false;
    for (size_t i = 0; i < json_array_size(list); i++)
        there = there || lf_schema_same(json_array_get(list, i), v);
    return there;
}

static bool is_excepted(const json_t *schema, const json_t *v)
{
    return is_listed(json_object_get(schema, LF_SCHEMA_EXCEPT), v);
}

/* Those that all else allows. */
static void put_constants(struct lf_schemas *m, struct lf_buf *text, const json_t *schema,
                          const json_t *list)
{
    json_auto_t *bare = lf_schema_without(schema, "const");
    const json_t *both = json_object_get(schema, "enum");
    bool any = false;
    json_object_del(bare, "enum");
    unsigned types = types_of(bare);
    struct lf_grammar *rest = m->rc == LF_OK ? grammar_of_rest(m, schema) : NULL;
    for (size_t i = 0; i < json_array_size(list) && m->rc == LF_OK; i++) {
        json_t *v = json_array_get(list, i);
        lf_buf_auto value = {0};
        bool named = !json_is_array(both) || is_listed(both, v);
        if ((json_object_get(bare, "type") && !(types & type_of_value(v))) || !named ||
            is_excepted(schema, v))
            continue;
        if (lf_json_put(&value, json_incref(v), JSON_ENCODE_ANY | JSON_COMPACT) != LF_OK)
            lf_schemas_fail(m, LF_E_NO_MEMORY, "no memory");
        if (rest && !fits(m, rest, &value))
            continue;
        lf_buf_puts(text, any ? " | " : "");
        if (json_is_string(v))
            lf_schema_text(text, json_string_value(v), json_string_length(v));
        else
            lf_gbnf_literal(text, lf_buf_str(&value), value.len);
        any = true;
    }
    lf_grammar_release(rest);
    if (!any)
        lf_buf_puts(text, LF_GBNF_NOTHING);
}

/* ---- A schema -------------------------------------------------------------------------------- */

/* Of booleans and null those that are not excepted. */
static void put_words(struct lf_buf *text, const json_t *schema, unsigned type)
{
    json_auto_t *words = type == NIL ? json_pack("[n]") : json_pack("[b, b]", 1, 0);
    static const char *const names[][2] = {{"\"null\""}, {"\"true\"", "\"false\""}};
    bool any = false;
    lf_buf_putc(text, '(');
    for (size_t i = 0; i < json_array_size(words); i++) {
        if (is_excepted(schema, json_array_get(words, i)))
            continue;
        lf_buf_printf(text, "%s%s", any ? " | " : "", names[type != NIL][i]);
        any = true;
    }
    lf_buf_puts(text, any ? ")" : LF_GBNF_NOTHING ")");
}

static void put_type(struct lf_schemas *m, struct lf_buf *text, const json_t *schema, unsigned type)
{
    const json_t *except = json_object_get(schema, LF_SCHEMA_EXCEPT);
    bool whole = type == INTEGER;
    for (size_t i = 0; i < json_array_size(except); i++) {
        unsigned t = type_of_value(json_array_get(except, i));
        if (t & type & (OBJECT | ARRAY)) { /* none of them, where some are excepted */
            lf_buf_puts(text, LF_GBNF_NOTHING);
            return;
        }
    }
    if (type == OBJECT)
        lf_schema_object(m, text, schema);
    else if (type == ARRAY)
        lf_schema_array(m, text, schema);
    else if (type == STRING)
        m->rc = m->rc ?: lf_schema_string(m, text, schema);
    else if (type == NUMBER || type == INTEGER)
        m->rc = m->rc ?: lf_schema_number(m, text, schema, whole);
    else
        put_words(text, schema, type);
}

static void put_types(struct lf_schemas *m, struct lf_buf *text, const json_t *schema)
{
    unsigned types = types_meant(schema);
    const json_t *type = json_object_get(schema, "type");
    bool any = false, nothing = lf_schema_is_nothing(schema);
    if (type && types == 0 && !nothing)
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "a \"type\" is not known");
    if (types == 0 && !nothing && json_object_get(schema, LF_SCHEMA_EXCEPT))
        types = OBJECT | ARRAY | STRING | NUMBER | BOOLEAN | NIL;
    if (types & NUMBER)
        types &= ~(unsigned)INTEGER;
    if (types == 0)
        lf_buf_puts(text, nothing ? LF_GBNF_NOTHING : "json");
    for (unsigned bit = OBJECT; bit <= NIL && m->rc == LF_OK; bit *= 2) {
        if (!(types & bit))
            continue;
        lf_buf_puts(text, any ? " | " : "");
        put_type(m, text, schema, bit);
        any = true;
    }
}

static void put_schema(struct lf_schemas *m, struct lf_buf *text, const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    if (ref && stands_alone(schema, "$ref")) {
        lf_buf_printf(text, "r%d", rule_of_ref(m, ref));
        return;
    }
    schema = lf_schemas_flat(m, schema);
    if (m->rc != LF_OK)
        return;
    check_members(m, schema);
    json_auto_t *list = lf_schema_constants(schema);
    if (json_object_get(schema, "oneOf") || json_object_get(schema, "anyOf"))
        put_branches(m, text, schema, json_object_get(schema, "oneOf") ? "oneOf" : "anyOf");
    else if (list)
        put_constants(m, text, schema, list);
    else
        put_types(m, text, schema);
}

int lf_schemas_rule(struct lf_schemas *m, const json_t *schema)
{
    lf_buf_auto text = {0}, key = {0};
    if (m->rc == LF_OK && lf_json_put(&key, json_incref((json_t *)(uintptr_t)schema),
                                      JSON_ENCODE_ANY | JSON_COMPACT) != LF_OK)
        lf_schemas_fail(m, LF_E_NO_MEMORY, "no memory for its grammar");
    lf_schemas_spend(m, key.len / KEY_BYTES);
    const json_t *known = m->rc == LF_OK ? json_object_get(m->rules, lf_buf_str(&key)) : NULL;
    if (known)
        return (int)json_integer_value(known);
    int rule = lf_schemas_next_rule(m);
    if (m->rc != LF_OK)
        return 0;
    json_object_set_new(m->rules, lf_buf_str(&key), json_integer(rule));
    if (++m->depth > LF_GUIDE_SCHEMAS_DEEP)
        lf_schemas_fail(m, LF_E_TOO_BIG, "it is nested too deeply");
    if (m->rc == LF_OK)
        put_schema(m, &text, schema);
    m->depth--;
    lf_buf_printf(m->out, "r%d ::= %s\n", rule, lf_buf_str(&text));
    if (text.rc != LF_OK || m->out->rc != LF_OK)
        lf_schemas_fail(m, LF_E_NO_MEMORY, "no memory for its grammar");
    return rule;
}

enum lf_err lf_grammar_of_schema(struct lf_buf *out, const json_t *schema, const char *name,
                                 struct lf_diag *diag)
{
    json_auto_t *refs = json_object(), *rules = json_object(), *alive = json_array();
    struct lf_schemas m = {
        .out = out, .root = schema, .refs = refs, .rules = rules, .alive = alive, .diag = diag};
    if (!json_is_object(schema) && !json_is_true(schema))
        return lf_fail(diag, LF_E_INVALID, "a schema must be an object");
    if (!refs || !rules || !alive)
        m.rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for a schema");
    int root = m.rc == LF_OK ? lf_schemas_rule(&m, schema) : 0;
    lf_buf_printf(out, "%s ::= r%d\n", name, root);
    lf_json_rules(out);
    if (m.rc == LF_OK && out->rc != LF_OK)
        return lf_fail(diag, out->rc, "no memory for a schema");
    return m.rc;
}
