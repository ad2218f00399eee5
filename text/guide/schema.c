/* JSON schemas into GBNF: a rule for each subschema, and for each place in the order of an object's
 * members. */
#include "core/json.h"
#include "core/num.h"
#include "text/guide/inside.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH 64 /* of schemas in schemas, references that lead on among them */

struct schemas {
    struct lf_buf *out;
    const json_t *root;
    json_t *refs;  /* "#/..." to the number of its rule */
    json_t *alive; /* schemas made on the way */
    int n_rules, depth;
    enum lf_err rc;
    struct lf_diag *diag;
};

static int rule_of(struct schemas *m, const json_t *schema);

static void fail(struct schemas *m, enum lf_err rc, const char *what)
{
    if (m->rc == LF_OK)
        m->rc = lf_fail(m->diag, rc, "the schema: %s", what);
}

static int next_rule(struct schemas *m)
{
    if (m->n_rules >= LF_GUIDE_SCHEMAS_MAX)
        fail(m, LF_E_TOO_BIG, "it has too many parts");
    return m->n_rules++;
}

/* Its own until all is done. */
static json_t *keep(struct schemas *m, json_t *made)
{
    if (!made) {
        m->rc = m->rc ?: LF_E_UNSUPPORTED; /* whoever made none has said why */
        return NULL;
    }
    json_array_append_new(m->alive, made);
    return made;
}

/* ---- What is not done ------------------------------------------------------------------------ */

static const char *const refused[] = {"not",
                                      "if",
                                      "then",
                                      "else",
                                      "patternProperties",
                                      "contains",
                                      "minContains",
                                      "propertyNames",
                                      "dependencies",
                                      "dependentRequired",
                                      "dependentSchemas",
                                      "unevaluatedItems",
                                      "$dynamicRef",
                                      "$recursiveRef",
                                      NULL};

static void check_members(struct schemas *m, const json_t *schema)
{
    char what[96];
    for (size_t i = 0; refused[i]; i++) {
        const json_t *v = json_object_get(schema, refused[i]);
        if (!v || (json_is_object(v) && json_object_size(v) == 0 && refused[i][0] != 'n'))
            continue;
        snprintf(what, sizeof what, "\"%s\" is not done", refused[i]);
        fail(m, LF_E_UNSUPPORTED, what);
    }
    if (json_is_true(json_object_get(schema, "uniqueItems")))
        fail(m, LF_E_UNSUPPORTED, "\"uniqueItems\" is not done");
    const json_t *u = json_object_get(schema, "unevaluatedProperties");
    if (u && !json_is_boolean(u))
        fail(m, LF_E_UNSUPPORTED, "\"unevaluatedProperties\" is not done");
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

static const json_t *resolve(struct schemas *m, const char *ref)
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
        fail(m, LF_E_UNSUPPORTED, what);
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

static json_t *without(const json_t *schema, const char *key)
{
    json_t *out = lf_json_copy(schema);
    json_object_del(out, key);
    return out;
}

/* The rule of what a reference leads to; it may lead to itself. */
static int rule_of_ref(struct schemas *m, const char *ref)
{
    const json_t *known = json_object_get(m->refs, ref);
    const json_t *to = resolve(m, ref);
    if (known)
        return (int)json_integer_value(known);
    int rule = next_rule(m);
    json_object_set_new(m->refs, ref, json_integer(rule));
    int at = to ? rule_of(m, to) : 0;
    lf_buf_printf(m->out, "r%d ::= r%d\n", rule, at);
    return rule;
}

/* ---- Several schemas ------------------------------------------------------------------------- */

/* A schema with allOf and $ref worked in, as far as what it leads to has no more of them. */
static const json_t *flat(struct schemas *m, const json_t *schema)
{
    static const json_t *const any = NULL;
    if (m->depth++ > DEPTH)
        fail(m, LF_E_TOO_BIG, "it is nested too deeply, or refers to itself in an \"allOf\"");
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const json_t *all = json_object_get(schema, "allOf"), *out = schema;
    if (m->rc == LF_OK && json_is_true(schema))
        out = keep(m, json_object());
    else if (m->rc == LF_OK && !json_is_object(schema))
        fail(m, LF_E_UNSUPPORTED, "nothing fits one of its parts");
    else if (m->rc == LF_OK && ref) {
        const json_t *to = resolve(m, ref), *rest = keep(m, without(schema, "$ref"));
        to = m->rc == LF_OK ? flat(m, to) : any;
        out = m->rc == LF_OK ? flat(m, keep(m, lf_schema_both(rest, to, m->diag))) : any;
    } else if (m->rc == LF_OK && json_is_array(all)) {
        out = keep(m, without(schema, "allOf"));
        for (size_t i = 0; i < json_array_size(all) && m->rc == LF_OK; i++) {
            const json_t *part = flat(m, json_array_get(all, i));
            if (m->rc == LF_OK)
                out = keep(m, lf_schema_both(out, part, m->diag));
        }
        out = m->rc == LF_OK ? flat(m, out) : any;
    }
    m->depth--;
    return m->rc == LF_OK ? out : NULL;
}

/* The types that a schema names; 0: none. */
static unsigned types_of(const json_t *schema);

/* Some member that both require has other constants in each. */
static bool told_apart(const json_t *a, const json_t *b)
{
    json_t *x = json_object_get(a, "properties"), *y = json_object_get(b, "properties"), *v;
    const char *key;
    json_object_foreach(x, key, v) {
        const json_t *p = json_object_get(v, "const"),
                     *q = json_object_get(json_object_get(y, key), "const");
        bool both = p && q && !json_equal(p, q);
        for (int side = 0; both && side < 2; side++) {
            const json_t *list = json_object_get(side ? a : b, "required");
            bool there = false;
            for (size_t i = 0; i < json_array_size(list); i++)
                there = there || strcmp(json_string_value(json_array_get(list, i)) ?: "", key) == 0;
            both = there;
        }
        if (both)
            return true;
    }
    return false;
}

static json_t *constants(const json_t *schema)
{
    json_t *c = json_object_get(schema, "const"), *e = json_object_get(schema, "enum");
    return c ? json_pack("[O]", c) : json_is_array(e) ? json_incref(e) : NULL;
}

/* No value fits both. */
static bool apart(const json_t *a, const json_t *b)
{
    unsigned x = types_of(a), y = types_of(b);
    json_auto_t *p = constants(a), *q = constants(b);
    if (p && q) {
        for (size_t i = 0; i < json_array_size(p); i++)
            for (size_t k = 0; k < json_array_size(q); k++)
                if (json_equal(json_array_get(p, i), json_array_get(q, k)))
                    return false;
        return true;
    }
    return (x && y && !(x & y)) || told_apart(a, b);
}

static void put_branches(struct schemas *m, struct lf_buf *text, const json_t *schema,
                         const char *word)
{
    const json_t *list = json_object_get(schema, word), *rest = keep(m, without(schema, word));
    bool alone = stands_alone(schema, word), one = strcmp(word, "oneOf") == 0;
    const json_t **part = calloc(json_array_size(list) + 1, sizeof *part);
    if (!part || json_array_size(list) == 0)
        fail(m, part ? LF_E_INVALID : LF_E_NO_MEMORY, "an \"anyOf\" or \"oneOf\" is empty");
    for (size_t i = 0; i < json_array_size(list) && m->rc == LF_OK; i++) {
        part[i] = json_array_get(list, i);
        if (!alone || one)
            part[i] = flat(m, part[i]);
        for (size_t k = 0; k < i && one && m->rc == LF_OK; k++)
            if (!apart(part[i], part[k]))
                fail(
                    m, LF_E_UNSUPPORTED,
                    "a \"oneOf\" whose parts may fit at once (\"anyOf\" may be meant) is not done");
        if (m->rc == LF_OK && !alone)
            part[i] = keep(m, lf_schema_both(rest, part[i], m->diag));
        if (m->rc == LF_OK)
            lf_buf_printf(text, "%sr%d", i ? " | " : "", rule_of(m, part[i]));
    }
    free(part);
}

/* ---- Constants ------------------------------------------------------------------------------- */

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
    json_auto_t *list = constants(schema);
    unsigned values = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        values |= type_of_value(json_array_get(list, i));
    return values ? values : bits & NUMBER ? bits | INTEGER : bits;
}

/* What else is said of a constant would have to be looked at; its type is. */
static void put_constants(struct schemas *m, struct lf_buf *text, const json_t *schema,
                          const json_t *list)
{
    static const char *const others[] = {"properties", "required", "items",   "minLength",
                                         "maxLength",  "pattern",  "minimum", "maximum",
                                         "minItems",   "maxItems", NULL};
    json_auto_t *bare = lf_json_copy(schema);
    bool any = false;
    json_object_del(bare, "const");
    json_object_del(bare, "enum");
    unsigned types = types_of(bare);
    for (size_t i = 0; others[i]; i++)
        if (json_object_get(schema, others[i]))
            fail(m, LF_E_UNSUPPORTED, "\"enum\" or \"const\" beside other rules is not done");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *v = json_array_get(list, i);
        lf_buf_auto value = {0};
        if (types && !(types & type_of_value(v)))
            continue;
        if (lf_json_put(&value, json_incref(v), JSON_ENCODE_ANY | JSON_COMPACT) != LF_OK)
            fail(m, LF_E_NO_MEMORY, "no memory");
        lf_buf_puts(text, any ? " | " : "");
        lf_gbnf_literal(text, lf_buf_str(&value), value.len);
        any = true;
    }
    if (!any)
        fail(m, LF_E_UNSUPPORTED, "an \"enum\" has no value that fits");
}

/* ---- Arrays ---------------------------------------------------------------------------------- */

static int64_t count_of(struct schemas *m, const json_t *schema, const char *key, int64_t otherwise)
{
    const json_t *v = json_object_get(schema, key);
    if (!v)
        return otherwise;
    double d = json_number_value(v);
    if (!json_is_number(v) || d < 0 || d > LF_GUIDE_TIMES_MAX)
        fail(m, LF_E_UNSUPPORTED, "a count of items or members is none, or too large");
    return m->rc == LF_OK ? (int64_t)d : otherwise;
}

/* Entries behind those that have their own schemas: from lo to hi, the first with a comma or not.
 */
static void put_rest(struct lf_buf *text, int rule, int64_t lo, int64_t hi, bool comma)
{
    if (hi == 0)
        return;
    if (!comma) {
        lf_buf_printf(text, "(r%d ", rule);
        put_rest(text, rule, lo > 0 ? lo - 1 : 0, hi < 0 ? -1 : hi - 1, true);
        lf_buf_puts(text, lo == 0 ? ")? " : ") ");
    } else if (hi < 0) {
        lf_buf_printf(text, "(\",\" json-ws r%d){%d,} ", rule, (int)lo);
    } else {
        lf_buf_printf(text, "(\",\" json-ws r%d){%d,%d} ", rule, (int)lo, (int)hi);
    }
}

static void put_array(struct schemas *m, struct lf_buf *text, const json_t *schema)
{
    const json_t *items = json_object_get(schema, "items"), *first;
    first = json_is_array(items) ? items : json_object_get(schema, "prefixItems");
    if (json_is_array(items)) /* before 2020 */
        items = json_object_get(schema, "additionalItems");
    int64_t lo = count_of(m, schema, "minItems", 0), hi = count_of(m, schema, "maxItems", -1);
    int64_t n = (int64_t)json_array_size(first);
    bool more = !json_is_false(items) && (items || n == 0 || lo > n);
    n = hi >= 0 && hi < n ? hi : n;
    if (!more)
        hi = n;
    if (m->rc == LF_OK && hi >= 0 && lo > hi)
        fail(m, LF_E_INVALID, "an array has more items than it may have");
    lf_buf_puts(text, "\"[\" json-ws ");
    int depth = 0;
    for (int64_t i = 0; i < n && m->rc == LF_OK; i++) {
        if (i >= lo) {
            lf_buf_puts(text, "(");
            depth++;
        }
        lf_buf_printf(text, "%sr%d ", i ? "\",\" json-ws " : "",
                      rule_of(m, json_array_get(first, (size_t)i)));
    }
    if (more && m->rc == LF_OK)
        put_rest(text,
                 items && !json_is_true(items) ? rule_of(m, items)
                                               : rule_of(m, keep(m, json_object())),
                 lo > n ? lo - n : 0, hi < 0 ? -1 : hi - n, n > 0);
    while (depth-- > 0)
        lf_buf_puts(text, ")? ");
    lf_buf_puts(text, "json-ws \"]\"");
}

/* ---- Objects --------------------------------------------------------------------------------- */

static bool is_required(const json_t *schema, const char *key)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)) ?: "", key) == 0)
            return true;
    return false;
}

static void put_key(struct lf_buf *text, const char *key)
{
    json_auto_t *s = json_string(key);
    lf_buf_auto quoted = {0};
    lf_json_put(&quoted, json_incref(s), JSON_ENCODE_ANY);
    lf_gbnf_literal(text, lf_buf_str(&quoted), quoted.len);
    lf_buf_puts(text, " json-ws \":\" json-ws ");
}

/* Keys that no other member has, without escapes: by what they begin with. at: the bytes that all
 * in the list (sorted, n) have had. */
static void put_other_keys(struct lf_buf *text, const char *const *keys, size_t n, size_t at)
{
    static const char plain[] = "\\\"\\\\\\x00-\\x1f";
    size_t begin = keys[0][at] == 0, i;
    lf_buf_puts(text, begin ? "(" : "(\"\" | ");
    lf_buf_printf(text, "[^%s", plain);
    for (i = begin; i < n; i++)
        if (i == begin || keys[i][at] != keys[i - 1][at])
            lf_buf_printf(text, "\\x%02x", (unsigned char)keys[i][at]);
    lf_buf_printf(text, "] [^%s]*", plain);
    for (i = begin; i < n;) {
        size_t end = i;
        while (end < n && keys[end][at] == keys[i][at])
            end++;
        lf_buf_printf(text, " | \"\\x%02x\" ", (unsigned char)keys[i][at]);
        put_other_keys(text, keys + i, end - i, at + 1);
        i = end;
    }
    lf_buf_putc(text, ')');
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The rule of a member that "properties" does not know. Only keys of ASCII are told apart. */
static int rule_of_others(struct schemas *m, const json_t *properties, const json_t *schema)
{
    lf_buf_auto text = {0};
    size_t n = 0;
    const char **keys = calloc(json_object_size(properties) + 1, sizeof *keys), *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)properties, key, v) {
        for (const char *p = key; *p && keys; p++)
            if ((unsigned char)*p >= 0x80 || (unsigned char)*p < 0x20 || *p == '"' || *p == '\\')
                fail(m, LF_E_UNSUPPORTED,
                     "\"additionalProperties\" beside names that are not of plain ASCII is not "
                     "done");
        if (keys)
            keys[n++] = key;
    }
    int value = rule_of(m, schema), rule = next_rule(m);
    if (keys && n > 0) {
        qsort(keys, n, sizeof *keys, compare_keys);
        lf_buf_puts(&text, "\"\\\"\" ");
        put_other_keys(&text, keys, n, 0);
        lf_buf_puts(&text, " \"\\\"\"");
    } else {
        lf_buf_puts(&text, "json-string");
    }
    if (!keys || text.rc != LF_OK)
        fail(m, LF_E_NO_MEMORY, "no memory");
    lf_buf_printf(m->out, "r%d ::= %s json-ws \":\" json-ws r%d\n", rule, lf_buf_str(&text), value);
    free(keys);
    return rule;
}

/* How many members an object may have; most -1: any number. */
struct size {
    int64_t least, most;
};

/* The end of an object's members: `first` where none has come, others (a rule, or -1) where they
 * may come: as many as `size` says where they are all that may come. */
static int rule_of_end(struct schemas *m, int others, bool first, struct size size)
{
    int rule = next_rule(m);
    lf_buf_printf(m->out, "r%d ::= ", rule);
    if (others >= 0 && first && size.most != 0) {
        lf_buf_putc(m->out, '(');
        put_rest(m->out, others, size.least > 0 ? size.least : 1, size.most, false);
        lf_buf_puts(m->out, size.least > 0 ? "json-ws)" : "json-ws)?");
    } else if (others >= 0 && !first) {
        lf_buf_printf(m->out, "(\",\" json-ws r%d)* json-ws", others);
    } else {
        lf_buf_puts(m->out, first ? "" : "json-ws");
    }
    lf_buf_puts(m->out, " \"}\"\n");
    return rule;
}

/* What of its additional members are answered: those that the schema speaks of, or all where it
 * knows none by name. NULL: none. */
static const json_t *others_of(struct schemas *m, const json_t *schema)
{
    const json_t *a = json_object_get(schema, "additionalProperties");
    const json_t *u = json_object_get(schema, "unevaluatedProperties");
    if (json_is_false(a) || json_is_false(u))
        return NULL;
    if (!a && json_object_size(json_object_get(schema, "properties")) > 0)
        return NULL;
    return a && !json_is_true(a) ? a : keep(m, json_object());
}

/* Members that are required and not known by name are as the additional ones. */
static json_t *properties_of(struct schemas *m, const json_t *schema, const json_t *others)
{
    json_t *known = json_object_get(schema, "properties");
    const json_t *list = json_object_get(schema, "required");
    json_t *out = keep(m, known ? lf_json_copy(known) : json_object());
    const json_t *a = json_object_get(schema, "additionalProperties");
    for (size_t i = 0; i < json_array_size(list) && m->rc == LF_OK; i++) {
        const char *key = json_string_value(json_array_get(list, i));
        if (!key || json_object_get(out, key))
            continue;
        if (json_is_false(a))
            fail(m, LF_E_UNSUPPORTED, "it requires a member that it does not allow");
        json_object_set(out, key, others ? (json_t *)(uintptr_t)others : keep(m, json_object()));
    }
    return out;
}

/* Members are counted where all of them are additional ones; else the size follows from which are
 * known and required, or is not done. */
static struct size size_of(struct schemas *m, const json_t *schema, const json_t *properties,
                           const json_t *others)
{
    struct size size = {count_of(m, schema, "minProperties", 0),
                        count_of(m, schema, "maxProperties", -1)};
    int64_t known = (int64_t)json_object_size(properties), required = 0;
    const char *key;
    json_t *v;
    if (size.most >= 0 && size.least > size.most)
        fail(m, LF_E_INVALID, "an object has more members than it may have");
    if (others && known == 0)
        return size;
    json_object_foreach((json_t *)(uintptr_t)properties, key, v)
        required += is_required(schema, key);
    if (size.least > required)
        fail(m, LF_E_UNSUPPORTED, "\"minProperties\" over what is required is not done");
    if (size.most >= 0 && (others || known > size.most))
        fail(m, LF_E_UNSUPPORTED, "\"maxProperties\" below what it names is not done");
    return (struct size){0, -1};
}

/* From the last member to the first: what follows where none has come yet, and where one has. */
static void put_object(struct schemas *m, struct lf_buf *text, const json_t *schema)
{
    const json_t *more = others_of(m, schema);
    json_t *properties = properties_of(m, schema, more), *v;
    const char *key;
    size_t n = 0;
    const struct size size = size_of(m, schema, properties, more);
    const char **keys = calloc(json_object_size(properties) + 1, sizeof *keys);
    if (!keys)
        fail(m, LF_E_NO_MEMORY, "no memory");
    json_object_foreach(properties, key, v)
        if (keys && !(json_is_false(v) && !is_required(schema, key)))
            keys[n++] = key;
    int others = more && m->rc == LF_OK ? rule_of_others(m, properties, more) : -1;
    int later = rule_of_end(m, others, false, size), first = rule_of_end(m, others, true, size);
    while (n-- > 0 && m->rc == LF_OK) {
        lf_buf_auto member = {0};
        int value = rule_of(m, json_object_get(properties, keys[n]));
        int at = next_rule(m), then = later, skip = first;
        bool required = is_required(schema, keys[n]);
        put_key(&member, keys[n]);
        lf_buf_printf(m->out, "r%d ::= %sr%d r%d\n", at, lf_buf_str(&member), value, then);
        later = next_rule(m);
        lf_buf_printf(m->out, "r%d ::= \",\" json-ws r%d", later, at);
        lf_buf_printf(m->out, required ? "\n" : " | r%d\n", then);
        first = next_rule(m);
        lf_buf_printf(m->out, "r%d ::= r%d", first, at);
        lf_buf_printf(m->out, required ? "\n" : " | r%d\n", skip);
        if (member.rc != LF_OK)
            fail(m, LF_E_NO_MEMORY, "no memory");
    }
    free(keys);
    lf_buf_printf(text, "\"{\" json-ws r%d", first);
}

/* ---- A schema -------------------------------------------------------------------------------- */

/* What it says of which type; without a type, that is meant. */
static unsigned types_meant(const json_t *schema)
{
    static const struct {
        const char *key;
        unsigned bits;
    } about[] = {{"properties", OBJECT},
                 {"required", OBJECT},
                 {"additionalProperties", OBJECT},
                 {"minProperties", OBJECT},
                 {"maxProperties", OBJECT},
                 {"unevaluatedProperties", OBJECT},
                 {"items", ARRAY},
                 {"prefixItems", ARRAY},
                 {"minItems", ARRAY},
                 {"maxItems", ARRAY},
                 {"minLength", STRING},
                 {"maxLength", STRING},
                 {"pattern", STRING},
                 {"format", STRING},
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

static void put_type(struct schemas *m, struct lf_buf *text, const json_t *schema, unsigned type)
{
    if (type == OBJECT)
        put_object(m, text, schema);
    else if (type == ARRAY)
        put_array(m, text, schema);
    else if (type == STRING)
        m->rc = m->rc ?: lf_schema_string(text, schema, m->diag);
    else if (type == NUMBER || type == INTEGER)
        m->rc = m->rc ?: lf_schema_number(text, schema, type == INTEGER, m->diag);
    else
        lf_buf_puts(text, type == BOOLEAN ? "(\"true\" | \"false\")" : "\"null\"");
}

static void put_types(struct schemas *m, struct lf_buf *text, const json_t *schema)
{
    unsigned types = types_meant(schema);
    bool any = false;
    if (json_object_get(schema, "type") && types == 0)
        fail(m, LF_E_UNSUPPORTED, "a \"type\" is not known, or fits nothing");
    if (types & NUMBER)
        types &= ~(unsigned)INTEGER;
    if (types == 0)
        lf_buf_puts(text, "json");
    for (unsigned bit = OBJECT; bit <= NIL && m->rc == LF_OK; bit *= 2) {
        if (!(types & bit))
            continue;
        lf_buf_puts(text, any ? " | " : "");
        put_type(m, text, schema, bit);
        any = true;
    }
}

static void put_schema(struct schemas *m, struct lf_buf *text, const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    if (ref && stands_alone(schema, "$ref")) {
        lf_buf_printf(text, "r%d", rule_of_ref(m, ref));
        return;
    }
    schema = flat(m, schema);
    if (m->rc != LF_OK)
        return;
    check_members(m, schema);
    json_auto_t *list = constants(schema);
    if (json_object_get(schema, "oneOf") || json_object_get(schema, "anyOf"))
        put_branches(m, text, schema, json_object_get(schema, "oneOf") ? "oneOf" : "anyOf");
    else if (list)
        put_constants(m, text, schema, list);
    else
        put_types(m, text, schema);
}

static int rule_of(struct schemas *m, const json_t *schema)
{
    lf_buf_auto text = {0};
    int rule = next_rule(m);
    if (m->rc != LF_OK)
        return 0;
    if (++m->depth > DEPTH)
        fail(m, LF_E_TOO_BIG, "it is nested too deeply");
    if (m->rc == LF_OK)
        put_schema(m, &text, schema);
    m->depth--;
    lf_buf_printf(m->out, "r%d ::= %s\n", rule, lf_buf_str(&text));
    if (text.rc != LF_OK || m->out->rc != LF_OK)
        fail(m, LF_E_NO_MEMORY, "no memory for its grammar");
    return rule;
}

enum lf_err lf_grammar_of_schema(struct lf_buf *out, const json_t *schema, const char *name,
                                 struct lf_diag *diag)
{
    struct schemas m = {.out = out, .root = schema, .diag = diag};
    if (!json_is_object(schema) && !json_is_true(schema))
        return lf_fail(diag, LF_E_INVALID, "a schema must be an object");
    m.refs = json_object();
    m.alive = json_array();
    if (!m.refs || !m.alive)
        m.rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for a schema");
    int root = m.rc == LF_OK ? rule_of(&m, schema) : 0;
    lf_buf_printf(out, "%s ::= r%d\n", name, root);
    lf_json_rules(out);
    json_decref(m.refs);
    json_decref(m.alive);
    if (m.rc == LF_OK && out->rc != LF_OK)
        return lf_fail(diag, out->rc, "no memory for a schema");
    return m.rc;
}
