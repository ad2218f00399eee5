/* Arrays: items by their place, those behind them, and what has to be among them. */
#include "text/guide/schema.h"

void lf_schema_rest(struct lf_buf *text, int rule, int64_t lo, int64_t hi, bool comma)
{
    if (hi == 0)
        return;
    if (!comma) {
        lf_buf_printf(text, "(r%d ", rule);
        lf_schema_rest(text, rule, lo > 0 ? lo - 1 : 0, hi < 0 ? -1 : hi - 1, true);
        lf_buf_puts(text, lo == 0 ? ")? " : ") ");
    } else if (hi < 0) {
        lf_buf_printf(text, "(\",\" json-ws r%d){%d,} ", rule, (int)lo);
    } else {
        lf_buf_printf(text, "(\",\" json-ws r%d){%d,%d} ", rule, (int)lo, (int)hi);
    }
}

struct item_counts {
    int64_t lo, hi; /* hi -1: any number */
};

static int64_t cap(struct item_counts s)
{
    return s.hi >= 0 ? s.hi : s.lo > 1 ? s.lo : 1;
}

/* A rule for each number of items so far and of those among them that are wanted. */
static void put_containing(struct lf_schemas *m, struct lf_buf *text, const json_t *schema,
                           struct item_counts all)
{
    struct item_counts some = {lf_schemas_count(m, schema, "minContains", 1),
                               lf_schemas_count(m, schema, "maxContains", -1)};
    json_t *items = json_object_get(schema, "items") ?: json_true(), *c;
    c = json_object_get(schema, "contains");
    const json_t *other = items, *not = some.hi >= 0 ? lf_schema_not(m, c) : NULL;
    int64_t wide = cap(some) + 1, high = cap(all) + 1;
    if (some.hi >= 0 && !not )
        lf_schemas_fail(m, LF_E_UNSUPPORTED,
                        "\"maxContains\" of what \"contains\" says is not done");
    if (wide * high > LF_GUIDE_COUNTS_MAX)
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "\"contains\" beside such counts is not done");
    if (m->rc != LF_OK)
        return;
    if (not )
        other = lf_schemas_keep(m, lf_schema_all_of(items, (json_t *)(uintptr_t) not ));
    int wanted = lf_schemas_rule(m, lf_schemas_keep(m, lf_schema_all_of(items, c)));
    int others = lf_schemas_rule(m, other), first = m->n_rules;
    for (int64_t i = 0; i < wide * high; i++)
        lf_schemas_next_rule(m);
    for (int64_t i = 0; i < high && m->rc == LF_OK; i++)
        for (int64_t k = 0; k < wide; k++) {
            int64_t more = i + 1 < high ? i + 1 : all.hi < 0 ? i : -1;
            int64_t found = k + 1 < wide ? k + 1 : some.hi < 0 ? k : -1;
            const char *comma = i > 0 ? "\",\" json-ws " : "";
            bool ends = i >= all.lo && k >= some.lo;
            lf_buf_printf(m->out, "r%d ::= %s", first + (int)(i * wide + k),
                          ends ? "json-ws \"]\"" : LF_GBNF_NOTHING);
            if (more >= 0 && found >= 0)
                lf_buf_printf(m->out, " | %sr%d r%d", comma, wanted,
                              first + (int)(more * wide + found));
            if (more >= 0)
                lf_buf_printf(m->out, " | %sr%d r%d", comma, others,
                              first + (int)(more * wide + k));
            lf_buf_putc(m->out, '\n');
        }
    lf_buf_printf(text, "\"[\" json-ws r%d", first);
}

/* The values that items may have where those are few; new, NULL: they are not. */
static json_t *few_values(struct lf_schemas *m, const json_t *items)
{
    const json_t *flat = lf_schemas_flat(m, items ?: json_true());
    json_t *list = m->rc == LF_OK ? lf_schema_constants(flat) : NULL, *out = json_array();
    const char *type = json_string_value(json_object_get(flat, "type")) ?: "";
    if (!list && type[0] == 'b')
        list = json_pack("[b, b]", 0, 1);
    if (!list && type[0] == 'n' && type[2] == 'l')
        list = json_pack("[n]");
    for (size_t i = 0; i < json_array_size(list); i++) {
        bool there = false;
        for (size_t k = 0; k < json_array_size(out); k++)
            there = there || lf_schema_same(json_array_get(out, k), json_array_get(list, i));
        if (!there)
            json_array_append(out, json_array_get(list, i));
    }
    if (!list || json_array_size(out) > LF_GUIDE_UNIQUE_MAX) {
        json_decref(out);
        out = NULL;
    }
    json_decref(list);
    return out;
}

/* A rule for each set of values that have come. */
static void put_unique(struct lf_schemas *m, struct lf_buf *text, const json_t *schema,
                       struct item_counts all)
{
    const json_t *items = json_object_get(schema, "items");
    json_auto_t *list = few_values(m, items);
    int n = (int)json_array_size(list), rule[LF_GUIDE_UNIQUE_MAX], first;
    if (!list)
        lf_schemas_fail(m, LF_E_UNSUPPORTED,
                        "\"uniqueItems\" is not done but for items of a few constants");
    for (int i = 0; i < n && m->rc == LF_OK; i++) {
        json_t *one = json_pack("{s:O}", "const", json_array_get(list, (size_t)i));
        json_t *schema_of_one =
            lf_schema_all_of(json_is_object(items) ? (json_t *)(uintptr_t)items : json_true(), one);
        json_decref(one);
        rule[i] = lf_schemas_rule(m, lf_schemas_keep(m, schema_of_one));
    }
    first = m->n_rules;
    for (int i = 0; i < 1 << n; i++)
        lf_schemas_next_rule(m);
    for (int set = 0; set < 1 << n && m->rc == LF_OK; set++) {
        int count = __builtin_popcount((unsigned)set);
        lf_buf_printf(m->out, "r%d ::= %s", first + set,
                      count >= all.lo ? "json-ws \"]\"" : LF_GBNF_NOTHING);
        for (int i = 0; i < n && (all.hi < 0 || count < all.hi); i++)
            if (!(set >> i & 1))
                lf_buf_printf(m->out, " | %sr%d r%d", set ? "\",\" json-ws " : "", rule[i],
                              first + (set | 1 << i));
        lf_buf_putc(m->out, '\n');
    }
    lf_buf_printf(text, "\"[\" json-ws r%d", first);
}

/* Each item by its own schema, then more of one. */
static void put_items(struct lf_schemas *m, struct lf_buf *text, const json_t *first,
                      const json_t *items, struct item_counts all, bool more)
{
    int64_t n = (int64_t)json_array_size(first);
    int depth = 0;
    n = all.hi >= 0 && all.hi < n ? all.hi : n;
    lf_buf_puts(text, "\"[\" json-ws ");
    for (int64_t i = 0; i < n && m->rc == LF_OK; i++) {
        if (i >= all.lo) {
            lf_buf_puts(text, "(");
            depth++;
        }
        lf_buf_printf(text, "%sr%d ", i ? "\",\" json-ws " : "",
                      lf_schemas_rule(m, json_array_get(first, (size_t)i)));
    }
    if (more && m->rc == LF_OK)
        lf_schema_rest(text, lf_schemas_rule(m, items ?: json_true()), all.lo > n ? all.lo - n : 0,
                       all.hi < 0 ? -1 : all.hi - n, n > 0);
    while (depth-- > 0)
        lf_buf_puts(text, ")? ");
    lf_buf_puts(text, "json-ws \"]\"");
}

void lf_schema_array(struct lf_schemas *m, struct lf_buf *text, const json_t *schema)
{
    const json_t *items = json_object_get(schema, "items"), *first;
    first = json_is_array(items) ? items : json_object_get(schema, "prefixItems");
    if (json_is_array(items)) /* before 2020 */
        items = json_object_get(schema, "additionalItems");
    if (!items && json_is_false(json_object_get(schema, "unevaluatedItems")))
        items = json_object_get(schema, "unevaluatedItems");
    struct item_counts all = {lf_schemas_count(m, schema, "minItems", 0),
                              lf_schemas_count(m, schema, "maxItems", -1)};
    int64_t n = (int64_t)json_array_size(first);
    bool more = !json_is_false(items) && (items || n == 0 || all.lo > n);
    if (!more && (all.hi < 0 || all.hi > n))
        all.hi = n;
    bool contains =
        json_object_get(schema, "contains") && lf_schemas_count(m, schema, "minContains", 1) > 0;
    contains =
        contains || (json_object_get(schema, "contains") && json_object_get(schema, "maxContains"));
    bool unique =
        json_is_true(json_object_get(schema, "uniqueItems")) && !(all.hi >= 0 && all.hi <= 1);
    if ((contains || unique) && (first || contains == unique))
        lf_schemas_fail(m, LF_E_UNSUPPORTED,
                        "\"contains\" and \"uniqueItems\" beside each other, or beside "
                        "\"prefixItems\", are not done");
    if (m->rc != LF_OK)
        return;
    if (all.hi >= 0 && all.lo > all.hi)
        lf_buf_puts(text, LF_GBNF_NOTHING);
    else if (contains)
        put_containing(m, text, schema, all);
    else if (unique)
        put_unique(m, text, schema, all);
    else
        put_items(m, text, first, items, all, more);
}
