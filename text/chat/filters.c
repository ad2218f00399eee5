/* Filters on one value: texts, numbers, JSON. Those on sequences are sequences.c. */
#include "text/chat/jinja.h"

#include "core/utf8.h"
#include "text/chat/sequences.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name)                                                                     \
    static enum lf_err name(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c, \
                            struct lf_jv *out)

static const char *const no_params[] = {NULL};

/* --- texts --- */

FILTER(f_string)
{
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "string", c, no_params, 0, &a);
    return rc == LF_OK ? lf_jv_to_string(r, v, out) : rc;
}

FILTER(f_safe)
{
    enum lf_err rc = f_string(r, v, c, out);
    out->special = true;
    return rc;
}

FILTER(f_escape)
{
    struct lf_jv s;
    struct lf_buf b;
    enum lf_err rc = f_string(r, v, c, &s);
    if (rc != LF_OK)
        return rc;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    if (s.special)
        lf_buf_append(&b, s.s.s, s.s.n);
    else
        lf_j_escape(&b, s.s);
    rc = lf_jv_take(r, &b, out);
    out->special = true;
    return rc;
}

static enum lf_err change_case(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c,
                               enum lf_jcase how, struct lf_jv *out)
{
    struct lf_jv s;
    struct lf_buf b;
    enum lf_err rc = f_string(r, v, c, &s);
    if (rc != LF_OK)
        return rc;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    lf_j_change_case(&b, s.s, how);
    rc = lf_jv_take(r, &b, out);
    out->special = s.special;
    return rc;
}

FILTER(f_upper)
{
    return change_case(r, v, c, LF_J_UPPER, out);
}

FILTER(f_lower)
{
    return change_case(r, v, c, LF_J_LOWER, out);
}

FILTER(f_capitalize)
{
    return change_case(r, v, c, LF_J_CAPITALIZE, out);
}

/* What separates words for the title filter: white space and - ( { [ < */
static bool separates(uint32_t c)
{
    return lf_j_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

/* Each word's first letter upper, the others lower: not what str.title does. */
FILTER(f_title)
{
    struct lf_jv s;
    struct lf_buf b;
    enum lf_err rc = f_string(r, v, c, &s);
    if (rc != LF_OK)
        return rc;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    for (size_t i = 0, len; i < s.s.n;) {
        bool separator = separates(lf_utf8_get(s.s.s + i, &len));
        struct lf_str first = {s.s.s + i, len};
        size_t end = i + len, step;
        while (end < s.s.n && separates(lf_utf8_get(s.s.s + end, &step)) == separator)
            end += step;
        lf_j_change_case(&b, first, LF_J_UPPER);
        lf_j_change_case(&b, (struct lf_str){s.s.s + i + len, end - i - len}, LF_J_LOWER);
        i = end;
    }
    rc = lf_jv_take(r, &b, out);
    out->special = s.special;
    return rc;
}

FILTER(f_trim)
{
    static const char *const params[] = {"chars", NULL};
    struct lf_jbound a;
    struct lf_jv s;
    enum lf_err rc = lf_j_bind_args(r, "trim", c, params, 0, &a);
    if (rc == LF_OK)
        rc = lf_jv_to_string(r, v, &s);
    bool given = rc == LF_OK && a.given[0] && a.v[0].type != LF_J_NONE;
    if (rc == LF_OK && given && a.v[0].type != LF_J_STRING)
        rc = lf_j_fail(r, LF_E_INVALID, "trim needs a string");
    if (rc != LF_OK)
        return rc;
    struct lf_str t = lf_j_strip(s.s, given ? &a.v[0].s : NULL, true, true);
    *out = lf_jv_str(t.s, t.n);
    out->special = s.special;
    return lf_j_spend(r, s.s.n);
}

FILTER(f_replace)
{
    static const char *const params[] = {"old", "new", "count", NULL};
    struct lf_jbound a;
    struct lf_jv s, old, new;
    int64_t most = -1;
    enum lf_err rc = lf_j_bind_args(r, "replace", c, params, 2, &a);
    if (rc == LF_OK)
        rc = lf_jv_to_string(r, v, &s);
    if (rc == LF_OK)
        rc = lf_jv_to_string(r, a.v[0], &old);
    if (rc == LF_OK)
        rc = lf_jv_to_string(r, a.v[1], &new);
    if (rc == LF_OK && a.given[2] && a.v[2].type != LF_J_NONE) {
        if (!lf_jv_is_int(a.v[2]))
            return lf_j_fail(r, LF_E_INVALID, "replace needs an integer count");
        most = lf_jv_to_int(a.v[2]);
    }
    return rc == LF_OK ? lf_j_replace(r, s.s, old.s, new.s, most, out) : rc;
}

/* Lines are joined by \n, each but the first (and the empty ones) after the indentation. */
static void indent_lines(struct lf_buf *out, struct lf_str s, struct lf_str by, bool first,
                         bool blank)
{
    size_t next = 0, end;
    for (size_t i = 0, line = 0; i < s.n || line == 0; i = next, line++) {
        end = lf_j_line_end(s, i, &next);
        if (line > 0)
            lf_buf_putc(out, '\n');
        if (line > 0 ? blank || end > i : first)
            lf_buf_append(out, by.s, by.n);
        lf_buf_append(out, s.s + i, end - i);
        if (next == i)
            break;
    }
}

FILTER(f_indent)
{
    static const char *const params[] = {"width", "first", "blank", NULL};
    struct lf_jbound a;
    struct lf_buf b, text;
    char spaces[256];
    enum lf_err rc = lf_j_bind_args(r, "indent", c, params, 0, &a);
    if (rc == LF_OK && v.type == LF_J_UNDEFINED)
        rc = lf_j_fail_undefined(r, v);
    if (rc == LF_OK && v.type != LF_J_STRING)
        rc = lf_j_fail(r, LF_E_INVALID, "indent needs a string, not '%s'", lf_jv_type_name(v));
    if (rc != LF_OK)
        return rc;
    struct lf_jv width = a.given[0] ? a.v[0] : lf_jv_int(4);
    struct lf_str by = {spaces, 0};
    if (width.type == LF_J_STRING)
        by = width.s;
    else if (!lf_jv_is_int(width) || lf_jv_to_int(width) >= (int64_t)sizeof spaces)
        return lf_j_fail(r, LF_E_INVALID, "this width of indent is not supported");
    else if (lf_jv_to_int(width) > 0)
        by.n = (size_t)lf_jv_to_int(width);
    if (by.s == spaces)
        memset(spaces, ' ', by.n);
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    lf_buf_init(&text, LF_J_MEMORY_MAX);
    lf_buf_append(&text, v.s.s, v.s.n);
    lf_buf_putc(&text, '\n');
    indent_lines(&b, (struct lf_str){text.data ? text.data : "", text.len}, by,
                 a.given[1] && lf_jv_truth(a.v[1]), a.given[2] && lf_jv_truth(a.v[2]));
    lf_buf_free(&text);
    rc = lf_jv_take(r, &b, out);
    out->special = v.special;
    return rc;
}

/* "..." % arguments, positional or by name. */
FILTER(f_format)
{
    struct lf_jv s, values;
    struct lf_jlist *list;
    enum lf_err rc = lf_jv_to_string(r, v, &s);
    if (rc == LF_OK && (c->n_kw > 0 || s.special))
        rc = lf_j_fail(r, LF_E_UNSUPPORTED, "format by name, or of markup, is not supported");
    if (rc == LF_OK)
        rc = lf_jlist_new(r, c->n, &list);
    if (rc != LF_OK)
        return rc;
    for (size_t i = 0; i < c->n; i++)
        list->v[i] = c->v[i];
    rc = lf_jlist_done(r, list, LF_J_TUPLE, &values);
    return rc == LF_OK ? lf_j_percent(r, s.s, values, out) : rc;
}

/* --- numbers --- */

/* Python's float(): white space around, underscores between digits, inf and nan. */
static bool parse_float(struct lf_str s, double *out)
{
    char text[128];
    size_t n = 0;
    s = lf_j_strip(s, NULL, true, true);
    for (size_t i = 0; i < s.n; i++) {
        bool digit_before = i > 0 && s.s[i - 1] >= '0' && s.s[i - 1] <= '9';
        bool digit_after = i + 1 < s.n && s.s[i + 1] >= '0' && s.s[i + 1] <= '9';
        if (s.s[i] == '_' && digit_before && digit_after)
            continue;
        if (n == sizeof text - 1 || !strchr("0123456789+-.eEinfatyINFATY", s.s[i]) || !s.s[i])
            return false;
        text[n++] = s.s[i];
    }
    text[n] = '\0';
    char *end;
    *out = strtod(text, &end);
    return n > 0 && *end == '\0';
}

static bool parse_int(struct lf_str s, int64_t *out, bool *too_big)
{
    char text[128];
    size_t n = 0;
    s = lf_j_strip(s, NULL, true, true);
    for (size_t i = 0; i < s.n; i++) {
        bool digit = s.s[i] >= '0' && s.s[i] <= '9';
        bool joins = s.s[i] == '_' && i > 0 && i + 1 < s.n && s.s[i - 1] != '_' && n > 0 &&
                     s.s[i - 1] >= '0' && s.s[i + 1] >= '0' && s.s[i + 1] <= '9';
        if (joins)
            continue;
        if (n == sizeof text - 1 || !(digit || (i == 0 && (s.s[0] == '-' || s.s[0] == '+'))))
            return false;
        text[n++] = s.s[i];
    }
    text[n] = '\0';
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    *too_big = errno == ERANGE;
    return n > 0 && *end == '\0' && text[n - 1] >= '0';
}

static enum lf_err float_to_int(struct lf_jrun *r, double d, struct lf_jv *out)
{
    if (!(d > -9.2e18 && d < 9.2e18))
        return lf_j_fail(r, LF_E_UNSUPPORTED, "an integer over 64 bits");
    *out = lf_jv_int((int64_t)d);
    return LF_OK;
}

FILTER(f_int)
{
    static const char *const params[] = {"default", "base", NULL};
    struct lf_jbound a;
    int64_t i;
    double d;
    bool too_big = false;
    enum lf_err rc = lf_j_bind_args(r, "int", c, params, 0, &a);
    if (rc == LF_OK && a.given[1] && !(a.v[1].type == LF_J_INT && a.v[1].i == 10))
        rc = lf_j_fail(r, LF_E_UNSUPPORTED, "int with another base is not supported");
    if (rc == LF_OK && v.type == LF_J_UNDEFINED)
        rc = lf_j_fail_undefined(r, v);
    if (rc != LF_OK)
        return rc;
    *out = a.given[0] ? a.v[0] : lf_jv_int(0);
    if (lf_jv_is_int(v)) {
        *out = lf_jv_int(lf_jv_to_int(v));
    } else if (v.type == LF_J_FLOAT) {
        return isfinite(v.d) ? float_to_int(r, v.d, out) : LF_OK;
    } else if (v.type == LF_J_STRING && parse_int(v.s, &i, &too_big)) {
        if (too_big)
            return lf_j_fail(r, LF_E_UNSUPPORTED, "an integer over 64 bits");
        *out = lf_jv_int(i);
    } else if (v.type == LF_J_STRING && parse_float(v.s, &d) && isfinite(d)) {
        return float_to_int(r, d, out);
    }
    return LF_OK;
}

FILTER(f_float)
{
    static const char *const params[] = {"default", NULL};
    struct lf_jbound a;
    double d;
    enum lf_err rc = lf_j_bind_args(r, "float", c, params, 0, &a);
    if (rc == LF_OK && v.type == LF_J_UNDEFINED)
        rc = lf_j_fail_undefined(r, v);
    if (rc != LF_OK)
        return rc;
    *out = a.given[0] ? a.v[0] : lf_jv_float(0);
    if (lf_jv_is_number(v))
        *out = lf_jv_float(lf_jv_to_double(v));
    else if (v.type == LF_J_STRING && parse_float(v.s, &d))
        *out = lf_jv_float(d);
    return LF_OK;
}

FILTER(f_abs)
{
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "abs", c, no_params, 0, &a);
    if (rc != LF_OK)
        return rc;
    if (v.type == LF_J_FLOAT)
        *out = lf_jv_float(fabs(v.d));
    else if (lf_jv_is_int(v) && lf_jv_to_int(v) != INT64_MIN)
        *out = lf_jv_int(lf_jv_to_int(v) < 0 ? -lf_jv_to_int(v) : lf_jv_to_int(v));
    else
        return lf_j_fail(r, LF_E_INVALID, "abs of a '%s'", lf_jv_type_name(v));
    return LF_OK;
}

/* round(), ceil or floor at a decimal place. */
FILTER(f_round)
{
    static const char *const params[] = {"precision", "method", NULL};
    struct lf_jbound a;
    char text[400];
    enum lf_err rc = lf_j_bind_args(r, "round", c, params, 0, &a);
    if (rc == LF_OK && !lf_jv_is_number(v))
        rc = lf_j_fail(r, LF_E_INVALID, "round of a '%s'", lf_jv_type_name(v));
    struct lf_jv places = rc == LF_OK && a.given[0] ? a.v[0] : lf_jv_int(0);
    if (rc == LF_OK &&
        (!lf_jv_is_int(places) || lf_jv_to_int(places) < 0 || lf_jv_to_int(places) > 20))
        rc = lf_j_fail(r, LF_E_UNSUPPORTED, "round at such a place is not supported");
    if (rc != LF_OK)
        return rc;
    int n = (int)lf_jv_to_int(places);
    struct lf_jv how = a.given[1] ? a.v[1] : lf_jv_str("common", 6);
    bool common = lf_jv_equal(how, lf_jv_str("common", 6));
    bool ceiling = lf_jv_equal(how, lf_jv_str("ceil", 4));
    if (!common && !ceiling && !lf_jv_equal(how, lf_jv_str("floor", 5)))
        return lf_j_fail(r, LF_E_INVALID, "method must be common, ceil or floor");
    if (common && lf_jv_is_int(v)) {
        *out = lf_jv_int(lf_jv_to_int(v));
        return LF_OK;
    }
    double d = lf_jv_to_double(v), scale = pow(10, n);
    if (!isfinite(d)) {
        *out = v;
        return common ? LF_OK : lf_j_fail(r, LF_E_INVALID, "round of such a number");
    }
    snprintf(text, sizeof text, "%.*f", n, d);
    *out = lf_jv_float(common    ? strtod(text, NULL)
                       : ceiling ? ceil(d * scale) / scale
                                 : floor(d * scale) / scale);
    return LF_OK;
}

/* --- others --- */

FILTER(f_default)
{
    static const char *const params[] = {"default_value", "boolean", NULL};
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "default", c, params, 0, &a);
    if (rc != LF_OK)
        return rc;
    bool falsy = a.given[1] && lf_jv_truth(a.v[1]) && !lf_jv_truth(v);
    *out = v;
    if (v.type == LF_J_UNDEFINED || falsy)
        *out = a.given[0] ? a.v[0] : lf_jv_str("", 0);
    return LF_OK;
}

FILTER(f_attr)
{
    static const char *const params[] = {"name", NULL};
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "attr", c, params, 1, &a);
    if (rc != LF_OK)
        return rc;
    if (v.type != LF_J_NAMESPACE || a.v[0].type != LF_J_STRING)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "attr of a '%s' is not supported",
                         lf_jv_type_name(v));
    return lf_jv_getattr(r, v, a.v[0].s, out);
}

/* indent=4 or indent="  " */
static enum lf_err dumps_indent(struct lf_jrun *r, struct lf_jv v, char spaces[64],
                                struct lf_jdumps *how)
{
    how->has_indent = true;
    if (v.type == LF_J_STRING) {
        how->indent = v.s;
        return LF_OK;
    }
    if (!lf_jv_is_int(v) || lf_jv_to_int(v) > 64)
        return lf_j_fail(r, LF_E_INVALID, "tojson: this indent is not supported");
    size_t n = lf_jv_to_int(v) > 0 ? (size_t)lf_jv_to_int(v) : 0;
    memset(spaces, ' ', n);
    how->indent = (struct lf_str){spaces, n};
    return LF_OK;
}

FILTER(f_tojson)
{
    static const char *const params[] = {"ensure_ascii", "indent", "separators", "sort_keys", NULL};
    struct lf_jbound a;
    struct lf_buf b;
    char spaces[64];
    struct lf_jdumps how = {.item_separator = {", ", 2}, .key_separator = {": ", 2}};
    enum lf_err rc = lf_j_bind_args(r, "tojson", c, params, 0, &a);
    if (rc != LF_OK)
        return rc;
    how.ensure_ascii = a.given[0] && lf_jv_truth(a.v[0]);
    how.sort_keys = a.given[3] && lf_jv_truth(a.v[3]);
    if (a.given[1] && a.v[1].type != LF_J_NONE) {
        how.item_separator.n = 1;
        rc = dumps_indent(r, a.v[1], spaces, &how);
    }
    if (rc == LF_OK && a.given[2] && a.v[2].type != LF_J_NONE) {
        const struct lf_jlist *two;
        rc = lf_jv_items(r, a.v[2], &two);
        if (rc == LF_OK &&
            (two->n != 2 || two->v[0].type != LF_J_STRING || two->v[1].type != LF_J_STRING))
            rc = lf_j_fail(r, LF_E_INVALID, "tojson: separators must be two strings");
        if (rc == LF_OK) {
            how.item_separator = two->v[0].s;
            how.key_separator = two->v[1].s;
        }
    }
    if (rc != LF_OK)
        return rc;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    rc = lf_jv_dumps(r, &b, v, &how);
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}

/* All that jinja2 has; NULL where this has not. */
static const struct lf_jfilter_def filters[] = {
    {"abs", f_abs},
    {"attr", f_attr},
    {"batch", NULL},
    {"capitalize", f_capitalize},
    {"center", NULL},
    {"count", lf_jf_length},
    {"d", f_default},
    {"default", f_default},
    {"dictsort", lf_jf_dictsort},
    {"e", f_escape},
    {"escape", f_escape},
    {"filesizeformat", NULL},
    {"first", lf_jf_first},
    {"float", f_float},
    {"forceescape", NULL},
    {"format", f_format},
    {"groupby", lf_jf_groupby},
    {"indent", f_indent},
    {"int", f_int},
    {"items", lf_jf_items},
    {"join", lf_jf_join},
    {"last", lf_jf_last},
    {"length", lf_jf_length},
    {"list", lf_jf_list},
    {"lower", f_lower},
    {"map", lf_jf_map},
    {"max", lf_jf_max},
    {"min", lf_jf_min},
    {"pprint", NULL},
    {"random", NULL},
    {"reject", lf_jf_reject},
    {"rejectattr", lf_jf_rejectattr},
    {"replace", f_replace},
    {"reverse", lf_jf_reverse},
    {"round", f_round},
    {"safe", f_safe},
    {"select", lf_jf_select},
    {"selectattr", lf_jf_selectattr},
    {"slice", NULL},
    {"sort", lf_jf_sort},
    {"string", f_string},
    {"striptags", NULL},
    {"sum", lf_jf_sum},
    {"title", f_title},
    {"tojson", f_tojson},
    {"trim", f_trim},
    {"truncate", NULL},
    {"unique", lf_jf_unique},
    {"upper", f_upper},
    {"urlencode", NULL},
    {"urlize", NULL},
    {"wordcount", NULL},
    {"wordwrap", NULL},
    {"xmlattr", NULL},
};

const struct lf_jfilter_def *lf_j_filter(struct lf_str name)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (strlen(filters[i].name) == name.n && memcmp(filters[i].name, name.s, name.n) == 0)
            return &filters[i];
    return NULL;
}
