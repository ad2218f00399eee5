/* Values: what they are like (true, equal, ordered) and how they are written (str, repr, JSON). */
#include "text/chat/jinja.h"

#include "core/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lf_jv_type_name(struct lf_jv v)
{
    switch (v.type) {
    case LF_J_UNDEFINED:
        return "Undefined";
    case LF_J_NONE:
        return "NoneType";
    case LF_J_BOOL:
        return "bool";
    case LF_J_INT:
        return "int";
    case LF_J_FLOAT:
        return "float";
    case LF_J_STRING:
        return v.special ? "Markup" : "str";
    case LF_J_LIST:
        return "list";
    case LF_J_TUPLE:
        return "tuple";
    case LF_J_DICT:
        return "dict";
    case LF_J_VIEW:
        return v.view->kind == LF_J_KEYS     ? "dict_keys"
               : v.view->kind == LF_J_VALUES ? "dict_values"
                                             : "dict_items";
    case LF_J_RANGE:
        return "range";
    case LF_J_ITERATOR:
        return "generator";
    case LF_J_NAMESPACE:
        return "Namespace";
    case LF_J_LOOP:
        return "LoopContext";
    case LF_J_MACRO:
        return "Macro";
    case LF_J_FUNCTION:
        return "function";
    case LF_J_METHOD:
        return "method";
    case LF_J_JOINER:
        return "Joiner";
    case LF_J_CYCLER:
        return "Cycler";
    }
    return "object";
}

/* --- truth, equality, order --- */

bool lf_jv_truth(struct lf_jv v)
{
    switch (v.type) {
    case LF_J_UNDEFINED:
    case LF_J_NONE:
        return false;
    case LF_J_BOOL:
        return v.b;
    case LF_J_INT:
        return v.i != 0;
    case LF_J_FLOAT:
        return v.d != 0;
    case LF_J_STRING:
        return v.s.n > 0;
    case LF_J_LIST:
    case LF_J_TUPLE:
        return v.list->n > 0;
    case LF_J_DICT:
        return v.dict->n > 0;
    case LF_J_VIEW:
        return v.view->dict->n > 0;
    case LF_J_RANGE:
        return v.range->n > 0;
    default:
        return true;
    }
}

/* An int and a double, exactly, as Python compares them: < 0, 0, > 0. NaN is the caller's. */
static int compare_int_double(int64_t i, double d)
{
    if (d >= 9223372036854775808.0)
        return -1;
    if (d < -9223372036854775808.0)
        return 1;
    int64_t whole = (int64_t)d;
    if (i != whole)
        return i < whole ? -1 : 1;
    double rest = d - (double)whole;
    return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

/* false: one of them is NaN. */
static bool compare_numbers(struct lf_jv a, struct lf_jv b, int *out)
{
    if (lf_jv_is_int(a) && lf_jv_is_int(b)) {
        int64_t x = lf_jv_to_int(a), y = lf_jv_to_int(b);
        *out = (x > y) - (x < y);
        return true;
    }
    if ((a.type == LF_J_FLOAT && isnan(a.d)) || (b.type == LF_J_FLOAT && isnan(b.d)))
        return false;
    if (a.type == LF_J_FLOAT && b.type == LF_J_FLOAT)
        *out = (a.d > b.d) - (a.d < b.d);
    else if (a.type == LF_J_FLOAT)
        *out = -compare_int_double(lf_jv_to_int(b), a.d);
    else
        *out = compare_int_double(lf_jv_to_int(a), b.d);
    return true;
}

static bool equal_lists(const struct lf_jlist *a, const struct lf_jlist *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!lf_jv_equal(a->v[i], b->v[i]))
            return false;
    return true;
}

static bool equal_dicts(const struct lf_jdict *a, const struct lf_jdict *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct lf_jv *other = lf_jdict_find(b, a->v[i].key);
        if (!other || !lf_jv_equal(a->v[i].value, *other))
            return false;
    }
    return true;
}

static bool equal_ranges(const struct lf_jrange *a, const struct lf_jrange *b)
{
    return a->n == b->n && (a->n == 0 || a->start == b->start) && (a->n < 2 || a->step == b->step);
}

bool lf_jv_equal(struct lf_jv a, struct lf_jv b)
{
    int order;
    if (lf_jv_is_number(a) && lf_jv_is_number(b))
        return compare_numbers(a, b, &order) && order == 0;
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case LF_J_UNDEFINED:
    case LF_J_NONE:
        return true;
    case LF_J_STRING:
        return a.s.n == b.s.n && memcmp(a.s.s, b.s.s, a.s.n) == 0;
    case LF_J_LIST:
    case LF_J_TUPLE:
        return equal_lists(a.list, b.list);
    case LF_J_DICT:
        return equal_dicts(a.dict, b.dict);
    case LF_J_RANGE:
        return equal_ranges(a.range, b.range);
    case LF_J_METHOD:
        return a.method->def == b.method->def && lf_jv_equal(a.method->self, b.method->self);
    default:
        return a.list == b.list; /* the same object */
    }
}

static enum lf_err compare_lists(struct lf_jrun *r, const struct lf_jlist *a,
                                 const struct lf_jlist *b, int *out)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!lf_jv_equal(a->v[i], b->v[i]))
            return lf_jv_compare(r, a->v[i], b->v[i], out);
    *out = (a->n > b->n) - (a->n < b->n);
    return LF_OK;
}

enum lf_err lf_jv_compare(struct lf_jrun *r, struct lf_jv a, struct lf_jv b, int *out)
{
    if (a.type == LF_J_UNDEFINED || b.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, a.type == LF_J_UNDEFINED ? a : b);
    if (lf_jv_is_number(a) && lf_jv_is_number(b)) {
        if (!compare_numbers(a, b, out))
            return lf_j_fail(r, LF_E_UNSUPPORTED, "the order of nan is not supported");
        return LF_OK;
    }
    if (a.type == LF_J_STRING && b.type == LF_J_STRING) {
        int c = memcmp(a.s.s, b.s.s, a.s.n < b.s.n ? a.s.n : b.s.n);
        *out = c ? c : (a.s.n > b.s.n) - (a.s.n < b.s.n);
        return LF_OK;
    }
    if (a.type == b.type && (a.type == LF_J_LIST || a.type == LF_J_TUPLE))
        return compare_lists(r, a.list, b.list, out);
    return lf_j_fail(r, LF_E_INVALID, "'%s' and '%s' have no order", lf_jv_type_name(a),
                     lf_jv_type_name(b));
}

bool lf_jv_hashable(struct lf_jv v)
{
    if (v.type == LF_J_TUPLE)
        for (size_t i = 0; i < v.list->n; i++)
            if (!lf_jv_hashable(v.list->v[i]))
                return false;
    return v.type != LF_J_LIST && v.type != LF_J_DICT && v.type != LF_J_VIEW;
}

enum lf_err lf_jv_length(struct lf_jrun *r, struct lf_jv v, size_t *out)
{
    switch (v.type) {
    case LF_J_UNDEFINED:
        *out = 0;
        return LF_OK;
    case LF_J_STRING:
        *out = lf_j_length(v.s);
        return lf_j_spend(r, v.s.n);
    case LF_J_LIST:
    case LF_J_TUPLE:
        *out = v.list->n;
        return LF_OK;
    case LF_J_DICT:
        *out = v.dict->n;
        return LF_OK;
    case LF_J_VIEW:
        *out = v.view->dict->n;
        return LF_OK;
    case LF_J_RANGE:
        *out = v.range->n;
        return LF_OK;
    default:
        return lf_j_fail(r, LF_E_INVALID, "object of type '%s' has no length", lf_jv_type_name(v));
    }
}

/* --- str and repr --- */

/* The shortest digits that read back as d, placed as Python places them. */
void lf_j_print_float(struct lf_buf *out, double d)
{
    char digits[40];
    int precision = 0;
    if (isnan(d) || isinf(d)) {
        lf_buf_puts(out, isnan(d) ? "nan" : d > 0 ? "inf" : "-inf");
        return;
    }
    do {
        snprintf(digits, sizeof digits, "%.*e", precision, d);
    } while (strtod(digits, NULL) != d && ++precision < 17);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        int places = precision - exponent;
        lf_buf_printf(out, "%.*f", places > 1 ? places : 1, d);
        return;
    }
    *strchr(digits, 'e') = '\0';
    lf_buf_printf(out, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
}

static void repr_string(struct lf_buf *out, struct lf_str s)
{
    bool single = memchr(s.s, '\'', s.n) != NULL, twice = memchr(s.s, '"', s.n) != NULL;
    char quote = single && !twice ? '"' : '\'';
    lf_buf_putc(out, quote);
    for (size_t i = 0, len; i < s.n; i += len) {
        uint32_t c = lf_utf8_get(s.s + i, &len);
        if (c == (unsigned char)quote || c == '\\')
            lf_buf_printf(out, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            lf_buf_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (lf_j_is_printable(c))
            lf_buf_append(out, s.s + i, len);
        else
            lf_buf_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    }
    lf_buf_putc(out, quote);
}

static enum lf_err repr_list(struct lf_jrun *r, struct lf_buf *out, const struct lf_jlist *list,
                             const char *open, const char *close)
{
    enum lf_err rc = lf_buf_puts(out, open);
    for (size_t i = 0; i < list->n && rc == LF_OK; i++) {
        lf_buf_puts(out, i ? ", " : "");
        rc = lf_jv_repr(r, out, list->v[i]);
    }
    lf_buf_puts(out, list->n == 1 && strcmp(open, "(") == 0 ? "," : "");
    lf_buf_puts(out, close);
    return rc;
}

static enum lf_err repr_dict(struct lf_jrun *r, struct lf_buf *out, const struct lf_jdict *d)
{
    enum lf_err rc = lf_buf_puts(out, "{");
    for (size_t i = 0; i < d->n && rc == LF_OK; i++) {
        lf_buf_puts(out, i ? ", " : "");
        rc = lf_jv_repr(r, out, d->v[i].key);
        lf_buf_puts(out, ": ");
        if (rc == LF_OK)
            rc = lf_jv_repr(r, out, d->v[i].value);
    }
    lf_buf_puts(out, "}");
    return rc;
}

static enum lf_err repr_view(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v)
{
    const struct lf_jlist *items;
    enum lf_err rc = lf_jv_items(r, v, &items);
    if (rc != LF_OK)
        return rc;
    lf_buf_puts(out, lf_jv_type_name(v));
    return repr_list(r, out, items, "([", "])");
}

static enum lf_err repr_range(struct lf_buf *out, const struct lf_jrange *range)
{
    lf_buf_printf(out, "range(%lld, %lld", (long long)range->start, (long long)range->stop);
    if (range->step != 1)
        lf_buf_printf(out, ", %lld", (long long)range->step);
    return lf_buf_putc(out, ')');
}

static enum lf_err repr_inner(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v)
{
    switch (v.type) {
    case LF_J_UNDEFINED:
        return lf_buf_puts(out, "Undefined");
    case LF_J_NONE:
        return lf_buf_puts(out, "None");
    case LF_J_BOOL:
        return lf_buf_puts(out, v.b ? "True" : "False");
    case LF_J_INT:
        return lf_buf_printf(out, "%lld", (long long)v.i);
    case LF_J_FLOAT:
        lf_j_print_float(out, v.d);
        return out->rc;
    case LF_J_STRING:
        lf_buf_puts(out, v.special ? "Markup(" : "");
        repr_string(out, v.s);
        return lf_buf_puts(out, v.special ? ")" : "");
    case LF_J_LIST:
        return repr_list(r, out, v.list, "[", "]");
    case LF_J_TUPLE:
        return repr_list(r, out, v.list, "(", ")");
    case LF_J_DICT:
        return repr_dict(r, out, v.dict);
    case LF_J_VIEW:
        return repr_view(r, out, v);
    case LF_J_RANGE:
        return repr_range(out, v.range);
    default:
        return lf_j_fail(r, LF_E_UNSUPPORTED, "printing a '%s' is not supported",
                         lf_jv_type_name(v));
    }
}

enum lf_err lf_jv_repr(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v)
{
    size_t before = out->len;
    enum lf_err rc = lf_j_spend(r, 0);
    if (rc == LF_OK)
        rc = repr_inner(r, out, v);
    if (rc == LF_OK && out->rc != LF_OK)
        rc = lf_j_fail(r, out->rc, "the text is over the limit");
    return rc == LF_OK ? lf_j_spend(r, out->len - before) : rc;
}

enum lf_err lf_jv_print(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v)
{
    if (v.type == LF_J_UNDEFINED)
        return LF_OK;
    if (v.type != LF_J_STRING)
        return lf_jv_repr(r, out, v);
    if (lf_buf_append(out, v.s.s, v.s.n) != LF_OK)
        return lf_j_fail(r, out->rc, "the text is over the limit");
    return lf_j_spend(r, v.s.n);
}

enum lf_err lf_jv_copy(struct lf_jrun *r, const char *s, size_t n, struct lf_jv *out)
{
    char *p = lf_j_alloc(r, n + 1);
    if (!p)
        return LF_E_NO_MEMORY;
    if (n)
        memcpy(p, s, n);
    *out = lf_jv_str(p, n);
    return lf_j_spend(r, n);
}

enum lf_err lf_jv_take(struct lf_jrun *r, struct lf_buf *b, struct lf_jv *out)
{
    enum lf_err rc = b->rc;
    if (rc != LF_OK)
        rc = lf_j_fail(r, rc, "a text is over the limit");
    else
        rc = lf_jv_copy(r, b->data, b->len, out);
    lf_buf_free(b);
    return rc;
}

enum lf_err lf_jv_to_string(struct lf_jrun *r, struct lf_jv v, struct lf_jv *out)
{
    if (v.type == LF_J_STRING) {
        *out = v;
        return LF_OK;
    }
    struct lf_buf b;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    enum lf_err rc = lf_jv_print(r, &b, v);
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}
