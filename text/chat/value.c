/* Values: what they are like (true, equal, ordered) and how str() and repr() write them. */
#include "text/chat/value.h"

#include "core/utf8.h"
#include "text/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lf_jv_type_name(struct lf_jv v)
{
    static const char *const names[] = {
        [LF_J_UNDEFINED] = "Undefined", [LF_J_NONE] = "NoneType",
        [LF_J_BOOL] = "bool",           [LF_J_INT] = "int",
        [LF_J_FLOAT] = "float",         [LF_J_STRING] = "str",
        [LF_J_LIST] = "list",           [LF_J_TUPLE] = "tuple",
        [LF_J_RANGE] = "range",         [LF_J_KEYS] = "dict_keys",
        [LF_J_VALUES] = "dict_values",  [LF_J_ITEMS] = "dict_items",
        [LF_J_DICT] = "dict",           [LF_J_ITERATOR] = "generator",
        [LF_J_NAMESPACE] = "Namespace", [LF_J_LOOP] = "LoopContext",
        [LF_J_MACRO] = "Macro",         [LF_J_FUNCTION] = "function",
        [LF_J_METHOD] = "method",
    };
    return v.type == LF_J_STRING && v.markup ? "Markup" : names[v.type];
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
    case LF_J_DICT:
        return v.dict->n > 0;
    default:
        return !lf_jv_is_list(v) || v.list->n > 0;
    }
}

/* Exactly, as Python compares them: a long double holds an int64. NaN is the caller's. */
static int compare_numbers(struct lf_jv a, struct lf_jv b)
{
    long double x = a.type == LF_J_FLOAT ? a.d : (long double)lf_jv_to_int(a);
    long double y = b.type == LF_J_FLOAT ? b.d : (long double)lf_jv_to_int(b);
    return (x > y) - (x < y);
}

static bool is_nan(struct lf_jv v)
{
    return v.type == LF_J_FLOAT && isnan(v.d);
}

static bool equal_lists(struct lf_jrun *r, const struct lf_jlist *a, const struct lf_jlist *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; i < a->n && equal; i++)
        equal = lf_jv_equal(r, a->v[i], b->v[i]);
    return equal;
}

const struct lf_jv *lf_jdict_find(struct lf_jrun *r, const struct lf_jdict *d, struct lf_jv key)
{
    for (size_t i = 0; i < d->n; i++)
        if (lf_jv_equal(r, d->v[i].key, key))
            return &d->v[i].value;
    return NULL;
}

static bool equal_dicts(struct lf_jrun *r, const struct lf_jdict *a, const struct lf_jdict *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; i < a->n && equal; i++) {
        const struct lf_jv *other = lf_jdict_find(r, b, a->v[i].key);
        equal = other && lf_jv_equal(r, a->v[i].value, *other);
    }
    return equal;
}

bool lf_jv_equal(struct lf_jrun *r, struct lf_jv a, struct lf_jv b)
{
    lf_j_spend(r, a.type == LF_J_STRING && b.type == LF_J_STRING && a.s.n == b.s.n ? a.s.n : 0);
    if (r->rc)
        return false;
    if (lf_jv_is_number(a) && lf_jv_is_number(b))
        return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) == 0;
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case LF_J_UNDEFINED:
    case LF_J_NONE:
        return true;
    case LF_J_STRING:
        return lf_str_same(a.s, b.s);
    case LF_J_LIST:
    case LF_J_TUPLE:
    case LF_J_RANGE:
        return equal_lists(r, a.list, b.list);
    case LF_J_DICT:
        return equal_dicts(r, a.dict, b.dict);
    case LF_J_METHOD:
        return a.method->def == b.method->def && lf_jv_equal(r, a.method->self, b.method->self);
    default:
        return a.list == b.list; /* the same object */
    }
}

int lf_jv_compare(struct lf_jrun *r, struct lf_jv a, struct lf_jv b)
{
    lf_j_spend(r, 0);
    if (a.type == LF_J_UNDEFINED || b.type == LF_J_UNDEFINED) {
        lf_j_fail_undefined(r, a.type == LF_J_UNDEFINED ? a : b);
        return 0;
    }
    if (is_nan(a) || is_nan(b))
        lf_j_fail(r, LF_E_UNSUPPORTED, "the order of nan is not supported");
    if (lf_jv_is_number(a) && lf_jv_is_number(b))
        return compare_numbers(a, b);
    if (a.type == LF_J_STRING && b.type == LF_J_STRING) {
        size_t n = a.s.n < b.s.n ? a.s.n : b.s.n;
        lf_j_spend(r, n);
        int c = r->rc == LF_OK ? memcmp(a.s.s, b.s.s, n) : 0;
        return c ? c : (a.s.n > b.s.n) - (a.s.n < b.s.n);
    }
    if (a.type != b.type || (a.type != LF_J_LIST && a.type != LF_J_TUPLE)) {
        lf_j_fail(r, LF_E_INVALID, "'%s' and '%s' have no order", lf_jv_type_name(a),
                  lf_jv_type_name(b));
        return 0;
    }
    for (size_t i = 0; i < a.list->n && i < b.list->n && r->rc == LF_OK; i++)
        if (!lf_jv_equal(r, a.list->v[i], b.list->v[i]))
            return lf_jv_compare(r, a.list->v[i], b.list->v[i]);
    return (a.list->n > b.list->n) - (a.list->n < b.list->n);
}

bool lf_jv_hashable(struct lf_jrun *r, struct lf_jv v)
{
    lf_j_spend(r, 0);
    bool good = v.type < LF_J_LIST || v.type > LF_J_DICT || v.type == LF_J_TUPLE;
    for (size_t i = 0; v.type == LF_J_TUPLE && i < v.list->n && good && r->rc == LF_OK; i++)
        good = lf_jv_hashable(r, v.list->v[i]);
    if (!good)
        lf_j_fail(r, LF_E_INVALID, "unhashable type: '%s'", lf_jv_type_name(v));
    return good;
}

size_t lf_jv_length(struct lf_jrun *r, struct lf_jv v)
{
    if (lf_jv_is_list(v))
        return v.list->n;
    if (v.type == LF_J_DICT)
        return v.dict->n;
    if (v.type == LF_J_STRING) {
        lf_j_spend(r, v.s.n);
        return lf_j_length(v.s);
    }
    if (v.type != LF_J_UNDEFINED)
        lf_j_fail(r, LF_E_INVALID, "object of type '%s' has no length", lf_jv_type_name(v));
    return 0;
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

static void repr(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v);

static void repr_list(struct lf_jrun *r, struct lf_buf *out, const struct lf_jlist *list,
                      const char *open, const char *close)
{
    lf_buf_puts(out, open);
    for (size_t i = 0; i < list->n && r->rc == LF_OK; i++) {
        lf_buf_puts(out, i ? ", " : "");
        repr(r, out, list->v[i]);
    }
    lf_buf_puts(out, list->n == 1 && strcmp(open, "(") == 0 ? "," : "");
    lf_buf_puts(out, close);
}

static void repr_dict(struct lf_jrun *r, struct lf_buf *out, const struct lf_jdict *d)
{
    lf_buf_putc(out, '{');
    for (size_t i = 0; i < d->n && r->rc == LF_OK; i++) {
        lf_buf_puts(out, i ? ", " : "");
        repr(r, out, d->v[i].key);
        lf_buf_puts(out, ": ");
        repr(r, out, d->v[i].value);
    }
    lf_buf_putc(out, '}');
}

static void repr_inner(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v)
{
    switch (v.type) {
    case LF_J_UNDEFINED:
    case LF_J_NONE:
        lf_buf_puts(out, v.type == LF_J_NONE ? "None" : "Undefined");
        return;
    case LF_J_BOOL:
        lf_buf_puts(out, v.b ? "True" : "False");
        return;
    case LF_J_INT:
        lf_buf_printf(out, "%lld", (long long)v.i);
        return;
    case LF_J_FLOAT:
        lf_j_print_float(out, v.d);
        return;
    case LF_J_STRING:
        lf_buf_puts(out, v.markup ? "Markup(" : "");
        repr_string(out, v.s);
        lf_buf_puts(out, v.markup ? ")" : "");
        return;
    case LF_J_LIST:
    case LF_J_TUPLE:
        repr_list(r, out, v.list, v.type == LF_J_LIST ? "[" : "(", v.type == LF_J_LIST ? "]" : ")");
        return;
    case LF_J_KEYS:
    case LF_J_VALUES:
    case LF_J_ITEMS:
        lf_buf_puts(out, lf_jv_type_name(v));
        repr_list(r, out, v.list, "([", "])");
        return;
    case LF_J_DICT:
        repr_dict(r, out, v.dict);
        return;
    default:
        lf_j_fail(r, LF_E_UNSUPPORTED, "printing a '%s' is not supported", lf_jv_type_name(v));
    }
}

static void repr(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v)
{
    size_t before = out->len;
    repr_inner(r, out, v);
    if (out->rc != LF_OK)
        lf_j_fail(r, out->rc, "the text is over the limit");
    lf_j_spend(r, out->len - before);
}

void lf_jv_print(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v)
{
    if (r->rc != LF_OK || v.type == LF_J_UNDEFINED)
        return;
    if (v.type != LF_J_STRING) {
        repr(r, out, v);
        return;
    }
    if (lf_buf_append(out, v.s.s, v.s.n) != LF_OK)
        lf_j_fail(r, out->rc, "the text is over the limit");
    lf_j_spend(r, v.s.n);
}

struct lf_jv lf_jv_to_string(struct lf_jrun *r, struct lf_jv v)
{
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    if (v.type == LF_J_STRING)
        return v;
    lf_jv_print(r, &b, v);
    return lf_jv_take(r, &b);
}
