/* Objects: a rule for each place in the order of the members that a schema knows by name, for each
 * number of members that came before it as far as that matters; then those that it does not know,
 * by the patterns that their names match. */
#include "core/json.h"
#include "text/guide/schema.h"

#include <stdlib.h>
#include <string.h>

static bool is_none(const json_t *schema)
{
    return json_is_false(schema) || lf_schema_is_nothing(schema);
}

/* What of its additional members is answered: those that the schema speaks of, or all where it
 * knows none by name. NULL: none. */
static const json_t *others_of(const json_t *schema)
{
    const json_t *a = json_object_get(schema, "additionalProperties");
    const json_t *u = json_object_get(schema, "unevaluatedProperties");
    const char *key;
    json_t *v;
    if (a)
        return is_none(a) ? NULL : a;
    if (json_is_false(u) || json_object_size(json_object_get(schema, "patternProperties")) > 0)
        return NULL;
    json_object_foreach(json_object_get(schema, "properties"), key, v)
        if (!is_none(v))
            return NULL;
    return json_true();
}

bool lf_schema_may_have(const json_t *schema, const char *key)
{
    const json_t *known = json_object_get(json_object_get(schema, "properties"), key);
    if (known)
        return !is_none(known);
    return lf_schema_requires(schema, key) || others_of(schema) ||
           json_object_get(schema, "patternProperties");
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Names that match the same patterns: what their members have to be, and which they are. */
struct cell {
    struct lf_language *names;
    json_t *schema; /* NULL: of none */
};
struct cells {
    struct cell of[LF_GUIDE_BRANCHES_MAX];
    int n;
};

static void cells_free(struct cells *c)
{
    for (int i = 0; i < c->n; i++) {
        lf_language_free(c->of[i].names);
        json_decref(c->of[i].schema);
    }
    c->n = 0;
}

/* Parts each by whether its names match. */
static void cells_part(struct lf_schemas *m, struct cells *c, const struct lf_language *pattern,
                       json_t *schema)
{
    int n = c->n;
    for (int i = 0; i < n && m->rc == LF_OK; i++) {
        struct cell *old = &c->of[i];
        struct lf_language *in = lf_language_both(lf_language_copy(old->names, m->diag),
                                                  lf_language_copy(pattern, m->diag), m->diag);
        old->names = lf_language_without(old->names, lf_language_copy(pattern, m->diag), m->diag);
        lf_schemas_spend(m, lf_language_states(in) + lf_language_states(old->names));
        if (!in || !old->names) {
            m->rc = LF_E_UNSUPPORTED;
            lf_language_free(in);
        } else if (lf_language_empty(in)) {
            lf_language_free(in);
        } else if (c->n == LF_GUIDE_BRANCHES_MAX) {
            lf_language_free(in);
            lf_schemas_fail(m, LF_E_UNSUPPORTED, "so many \"patternProperties\" are not done");
        } else {
            json_t *made =
                old->schema ? lf_schema_all_of(old->schema, schema) : json_incref(schema);
            c->of[c->n++] = (struct cell){in, made};
        }
    }
}

/* All that the names of its members may be, but for those in `known`; NULL: failed. */
static struct lf_language *unknown_names(struct lf_schemas *m, const json_t *schema,
                                         const json_t *known)
{
    const json_t *names = json_object_get(schema, "propertyNames");
    json_auto_t *list = json_array();
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)known, key, v)
        json_array_append_new(list, json_string(key));
    struct lf_language *l = lf_schema_other_strings(list, m->diag);
    if (names && l) {
        const json_t *flat = lf_schemas_flat(m, names);
        struct lf_language *allowed = flat ? lf_schema_strings(m, flat) : NULL;
        l = lf_language_both(l, allowed, m->diag);
    }
    if (!l)
        m->rc = m->rc ?: LF_E_UNSUPPORTED;
    return l;
}

/* The members that are known get what the patterns say of their names; `names` may forbid them. */
static void judge_known(json_t *known, const struct lf_language *pattern, json_t *schema)
{
    const char *key;
    json_t *v;
    void *next;
    json_object_foreach_safe(known, next, key, v)
        if (lf_language_has(pattern, key, strlen(key)) == (schema != NULL))
            json_object_set_new(known, key, schema ? lf_schema_all_of(v, schema) : json_false());
}

/* The rule of a member with one of these names. */
static int rule_of_cell(struct lf_schemas *m, const struct lf_language *names, const json_t *schema)
{
    lf_buf_auto text = {0};
    int value = lf_schemas_rule(m, schema), rule = lf_schemas_next_rule(m);
    if (!names)
        lf_buf_puts(&text, "json-string");
    else if (lf_language_write(names, true, m->out, &text) != LF_OK)
        lf_schemas_fail(m, LF_E_NO_MEMORY, "no memory");
    lf_buf_printf(m->out,
                  names ? "r%d ::= \"\\\"\" %s \"\\\"\" json-ws \":\" json-ws r%d\n"
                        : "r%d ::= %s json-ws \":\" json-ws r%d\n",
                  rule, lf_buf_str(&text), value);
    return rule;
}

/* The rule of a member that the schema does not know by name; -1: there may be none. What patterns
 * say of those that it does is worked into `known`. */
static int rule_of_others(struct lf_schemas *m, const json_t *schema, json_t *known)
{
    const json_t *more = others_of(schema), *names = json_object_get(schema, "propertyNames");
    json_t *patterns = json_object_get(schema, "patternProperties"), *v;
    const char *key;
    bool special = json_object_size(patterns) > 0 || names;
    if (!special && !more)
        return -1;
    if (!special && json_object_size(known) == 0)
        return rule_of_cell(m, NULL, more);
    struct cells c = {.n = 0};
    struct lf_language *all = unknown_names(m, schema, known);
    if (all)
        c.of[c.n++] = (struct cell){all, NULL};
    const json_t *flat = names && m->rc == LF_OK ? lf_schemas_flat(m, names) : NULL;
    struct lf_language *allowed = flat ? lf_schema_strings(m, flat) : NULL;
    json_object_foreach(patterns, key, v) {
        struct lf_language *l = m->rc ? NULL : lf_schema_matches(key, strlen(key), m->diag);
        if (!l) {
            m->rc = m->rc ?: LF_E_UNSUPPORTED;
            break;
        }
        judge_known(known, l, v);
        cells_part(m, &c, l, v);
        lf_language_free(l);
    }
    if (allowed)
        judge_known(known, allowed, NULL);
    lf_language_free(allowed);
    int rules[LF_GUIDE_BRANCHES_MAX], n = 0;
    for (int i = 0; i < c.n && m->rc == LF_OK; i++) {
        const json_t *value = c.of[i].schema ?: more;
        if (value && !is_none(value) && !lf_language_empty(c.of[i].names))
            rules[n++] = rule_of_cell(m, c.of[i].names, value);
    }
    cells_free(&c);
    int rule = n > 0 && m->rc == LF_OK ? lf_schemas_next_rule(m) : -1;
    if (rule >= 0)
        lf_buf_printf(m->out, "r%d ::= ", rule);
    for (int i = 0; i < n && rule >= 0; i++)
        lf_buf_printf(m->out, i + 1 < n ? "r%d | " : "r%d\n", rules[i]);
    return rule;
}

/* Members that are required and not known by name are as the additional ones. */
static json_t *known_of(struct lf_schemas *m, const json_t *schema)
{
    json_t *known = json_object_get(schema, "properties");
    const json_t *list = json_object_get(schema, "required");
    const json_t *a = json_object_get(schema, "additionalProperties");
    json_t *patterns = json_object_get(schema, "patternProperties"), *v;
    json_t *out = lf_schemas_keep(m, json_is_object(known) ? lf_json_copy(known) : json_object());
    for (size_t i = 0; i < json_array_size(list) && m->rc == LF_OK; i++) {
        const char *key = json_string_value(json_array_get(list, i)), *pattern;
        bool matches = false;
        if (!key || json_object_get(out, key))
            continue;
        json_object_foreach(patterns, pattern, v) {
            struct lf_language *l = lf_schema_matches(pattern, strlen(pattern), m->diag);
            if (!l)
                m->rc = LF_E_UNSUPPORTED;
            matches = matches || (l && lf_language_has(l, key, strlen(key)));
            lf_language_free(l);
        }
        json_object_set_new(out, key,
                            a && !matches ? json_incref((json_t *)(uintptr_t)a) : json_true());
    }
    return out;
}

/* ---- Members in their order ------------------------------------------------------------------ */

/* How many members an object may have; most -1: any number. */
struct member_counts {
    int64_t least, most;
};

/* The end of an object's members after `came` of them, and as many others as there have to be. Of
 * others it is not known that their names differ, so no two of them are needed. */
static int rule_of_end(struct lf_schemas *m, int others, int64_t came, struct member_counts size)
{
    int rule = lf_schemas_next_rule(m);
    int64_t lo = size.least > came ? size.least - came : 0;
    int64_t hi = size.most < 0 ? -1 : size.most - came;
    lf_buf_printf(m->out, "r%d ::= ", rule);
    if (lo > (others >= 0)) {
        lf_buf_puts(m->out, LF_GBNF_NOTHING "\n");
        return rule;
    }
    if (others >= 0 && hi != 0 && came == 0) {
        lf_buf_putc(m->out, '(');
        lf_schema_rest(m->out, others, 1, hi, false);
        lf_buf_puts(m->out, lo > 0 ? "json-ws)" : "json-ws)?");
    } else {
        if (others >= 0)
            lf_schema_rest(m->out, others, lo, hi, true);
        lf_buf_puts(m->out, came > 0 ? "json-ws" : "");
    }
    lf_buf_puts(m->out, " \"}\"\n");
    return rule;
}

static struct member_counts size_of(struct lf_schemas *m, const json_t *schema, size_t n,
                                    int others)
{
    struct member_counts size = {lf_schemas_count(m, schema, "minProperties", 0),
                                 lf_schemas_count(m, schema, "maxProperties", -1)};
    if (size.most >= (int64_t)n && others < 0)
        size.most = -1;
    if (size.least > (int64_t)n + (others >= 0) && others >= 0)
        lf_schemas_fail(m, LF_E_UNSUPPORTED,
                        "\"minProperties\" over the members that have names, and one, is not done");
    return size;
}

/* What follows from member `key` on, for each number of members before it: in `next` what follows
 * behind it, and then from it on. */
static void put_member(struct lf_schemas *m, const json_t *schema, const char *key,
                       const json_t *value, int *next, int64_t cap, bool full)
{
    lf_buf_auto member = {0};
    int rule = lf_schemas_rule(m, value);
    bool required = lf_schema_requires(schema, key);
    int *with = malloc((size_t)(cap + 1) * sizeof *with); /* the member, as the so manieth */
    lf_schema_text(&member, key, strlen(key));
    if (!with || member.rc != LF_OK)
        lf_schemas_fail(m, LF_E_NO_MEMORY, "no memory");
    for (int64_t c = 1; c <= cap && m->rc == LF_OK; c++) {
        with[c] = lf_schemas_next_rule(m);
        lf_buf_printf(m->out, "r%d ::= %s json-ws \":\" json-ws r%d r%d\n", with[c],
                      lf_buf_str(&member), rule, next[c]);
    }
    for (int64_t c = 0; c <= cap && m->rc == LF_OK; c++) {
        int at = lf_schemas_next_rule(m);
        bool may = c < cap || !full;
        lf_buf_printf(m->out, "r%d ::= ", at);
        if (may)
            lf_buf_printf(m->out, c ? "\",\" json-ws r%d" : "r%d", with[c < cap ? c + 1 : cap]);
        if (!required)
            lf_buf_printf(m->out, may ? " | r%d" : "r%d", next[c]);
        lf_buf_puts(m->out, may || !required ? "\n" : LF_GBNF_NOTHING "\n");
        next[c] = at;
    }
    free(with);
}

/* From the last member to the first. */
void lf_schema_object(struct lf_schemas *m, struct lf_buf *text, const json_t *schema)
{
    json_t *known = known_of(m, schema), *v;
    const char *key;
    size_t n = 0;
    int others = m->rc == LF_OK ? rule_of_others(m, schema, known) : -1;
    const char **keys = calloc(json_object_size(known) + 1, sizeof *keys);
    json_object_foreach(known, key, v) {
        if (is_none(v) && lf_schema_requires(schema, key)) {
            lf_buf_puts(text, LF_GBNF_NOTHING);
            free(keys);
            return;
        }
        if (keys && !is_none(v))
            keys[n++] = key;
    }
    struct member_counts size = size_of(m, schema, n, others);
    int64_t cap = size.most >= 0 ? size.most : size.least > 1 ? size.least : 1;
    if (cap * (int64_t)(n + 1) > LF_GUIDE_COUNTS_MAX && cap > 1)
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "such a number of members is not done");
    int *next = m->rc == LF_OK ? malloc((size_t)(cap + 1) * sizeof *next) : NULL;
    if (!keys || !next)
        lf_schemas_fail(m, LF_E_NO_MEMORY, "no memory");
    for (int64_t c = 0; c <= cap && m->rc == LF_OK; c++)
        next[c] = rule_of_end(m, others, c, size);
    while (n-- > 0 && m->rc == LF_OK)
        put_member(m, schema, keys[n], json_object_get(known, keys[n]), next, cap, size.most >= 0);
    if (m->rc == LF_OK)
        lf_buf_printf(text, "\"{\" json-ws r%d", next[0]);
    free(keys);
    free(next);
}
