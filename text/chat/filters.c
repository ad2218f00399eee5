/* Filters on one value: texts, numbers, JSON. Those on sequences are sequences.c. */
#include "text/chat/names.h"

#include "core/utf8.h"
#include "text/limits.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name) \
    static struct lf_jv name(struct lf_jrun *r, struct lf_jv v, const struct lf_jbound *a)

/* --- texts --- */

FILTER(string)
{
    (void)a;
    return lf_jv_to_string(r, v);
}

FILTER(safe)
{
    (void)a;
    struct lf_jv s = lf_jv_to_string(r, v);
    s.markup = true;
    return s;
}

FILTER(escape)
{
    (void)a;
    struct lf_jv s = lf_jv_to_string(r, v);
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    if (r->rc != LF_OK || s.markup)
        return s;
    lf_j_escape(&b, s.s);
    s = lf_jv_take(r, &b);
    s.markup = true;
    return s;
}

FILTER(change_case)
{
    struct lf_jv s = lf_jv_to_string(r, v);
    return r->rc == LF_OK ? lf_j_change_case(r, s, (enum lf_jcase)a->how) : s;
}

/* What stands between the words of `title`. */
static bool separates(uint32_t c)
{
    return lf_j_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c));
}

/* Each word's first letter upper, the others lower: not what str.title does. */
FILTER(title)
{
    (void)a;
    struct lf_jv s = lf_jv_to_string(r, v);
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    for (size_t i = 0, len; r->rc == LF_OK && i < s.s.n;) {
        bool separator = separates(lf_utf8_get(s.s.s + i, &len));
        size_t end = i + len, step;
        while (end < s.s.n && separates(lf_utf8_get(s.s.s + end, &step)) == separator)
            end += step;
        struct lf_str first = {s.s.s + i, len}, others = {s.s.s + i + len, end - i - len};
        lf_jv_print(r, &b, lf_j_change_case(r, lf_jv_str(first), LF_J_UPPER));
        lf_jv_print(r, &b, lf_j_change_case(r, lf_jv_str(others), LF_J_LOWER));
        i = end;
    }
    struct lf_jv out = lf_jv_take(r, &b);
    out.markup = s.markup;
    return out;
}

FILTER(trim)
{
    struct lf_jv s = lf_jv_to_string(r, v);
    if (r->rc != LF_OK)
        return s;
    s.s = lf_j_strip(s.s, a->given[0] ? &a->v[0].s : NULL, true, true);
    lf_j_spend(r, s.s.n);
    return s;
}

FILTER(replace)
{
    struct lf_jv s = lf_jv_to_string(r, v);
    struct lf_jv old = lf_jv_to_string(r, a->v[0]), new = lf_jv_to_string(r, a->v[1]);
    if (r->rc != LF_OK)
        return s;
    return lf_j_replace(r, s.s, old.s, new.s, a->given[2] ? lf_jv_to_int(a->v[2]) : -1);
}

/* n spaces, or the string that was given. */
static struct lf_str indentation(struct lf_jrun *r, struct lf_jv width, char spaces[64])
{
    if (width.type == LF_J_STRING)
        return width.s;
    if (!lf_jv_is_int(width) || lf_jv_to_int(width) > 64)
        lf_j_fail(r, LF_E_UNSUPPORTED, "this width of indentation is not supported");
    int64_t n = r->rc == LF_OK ? lf_jv_to_int(width) : 0;
    memset(spaces, ' ', 64);
    return (struct lf_str){spaces, n > 0 ? (size_t)n : 0};
}

/* Lines are joined by \n, each but the first (and the empty ones) after the indentation. */
FILTER(indent)
{
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    char spaces[64];
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (v.type != LF_J_STRING)
        return lf_j_fail(r, LF_E_INVALID, "indent needs a string, not '%s'", lf_jv_type_name(v));
    struct lf_str by = indentation(r, a->given[0] ? a->v[0] : lf_jv_int(4), spaces);
    bool first = lf_jv_truth(a->v[1]), blank = lf_jv_truth(a->v[2]);
    for (size_t i = 0, next = 0, line = 0; i <= v.s.n && r->rc == LF_OK; i = next, line++) {
        size_t end = lf_j_line_end(v.s, i, &next);
        if (line > 0)
            lf_buf_putc(&b, '\n');
        if (line > 0 ? blank || end > i : first)
            lf_buf_append(&b, by.s, by.n);
        lf_buf_append(&b, v.s.s + i, end - i);
        if (next == end)
            break;
    }
    struct lf_jv out = lf_jv_take(r, &b);
    out.markup = v.markup;
    return out;
}

/* --- numbers --- */

/* Python's int() and float() of plain decimal text; false: it is none. */
static bool parse_number(struct lf_jrun *r, struct lf_str s, bool whole, struct lf_jv *out)
{
    char text[128], *end;
    s = lf_j_strip(s, NULL, true, true);
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.s, s.n);
    text[s.n] = '\0';
    if (strspn(text, "+-0123456789_.eE") < s.n)
        return false;
    if (strchr(text, '_'))
        lf_j_fail(r, LF_E_UNSUPPORTED, "the number '%s' is not supported", text);
    errno = 0;
    *out = whole ? lf_jv_int(strtoll(text, &end, 10)) : lf_jv_float(strtod(text, &end));
    if (whole && errno == ERANGE)
        lf_j_fail(r, LF_E_UNSUPPORTED, "an integer over 64 bits");
    return *end == '\0';
}

FILTER(to_int)
{
    struct lf_jv n;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (a->given[1] && !lf_jv_equal(r, a->v[1], lf_jv_int(10)))
        return lf_j_fail(r, LF_E_UNSUPPORTED, "int with another base is not supported");
    if (lf_jv_is_int(v))
        return lf_jv_int(lf_jv_to_int(v));
    if (v.type == LF_J_STRING && parse_number(r, v.s, true, &n))
        return n;
    if (v.type == LF_J_STRING && parse_number(r, v.s, false, &n))
        v = n;
    if (v.type != LF_J_FLOAT || !isfinite(v.d))
        return a->given[0] ? a->v[0] : lf_jv_int(0);
    if (!(v.d > -9.2e18 && v.d < 9.2e18))
        return lf_j_fail(r, LF_E_UNSUPPORTED, "an integer over 64 bits");
    return lf_jv_int((int64_t)v.d);
}

FILTER(to_float)
{
    struct lf_jv n;
    if (v.type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, v);
    if (lf_jv_is_number(v))
        return lf_jv_float(lf_jv_to_double(v));
    if (v.type == LF_J_STRING && parse_number(r, v.s, false, &n))
        return n;
    return a->given[0] ? a->v[0] : lf_jv_float(0);
}

FILTER(absolute)
{
    (void)a;
    if (v.type == LF_J_FLOAT)
        return lf_jv_float(fabs(v.d));
    if (!lf_jv_is_int(v))
        return lf_j_fail(r, LF_E_INVALID, "abs of a '%s'", lf_jv_type_name(v));
    return lf_jv_to_int(v) < 0 ? lf_j_negative(r, v) : lf_jv_int(lf_jv_to_int(v));
}

/* --- others --- */

FILTER(default_value)
{
    (void)r;
    if (v.type != LF_J_UNDEFINED && (lf_jv_truth(v) || !lf_jv_truth(a->v[1])))
        return v;
    return a->given[0] ? a->v[0] : lf_jv_str((struct lf_str){"", 0});
}

FILTER(tojson)
{
    char spaces[64];
    bool indents = a->given[1] && a->v[1].type != LF_J_NONE;
    struct lf_jdumps how = {
        .ensure_ascii = lf_jv_truth(a->v[0]),
        .sort_keys = lf_jv_truth(a->v[3]),
        .has_indent = indents,
        .item_separator = {", ", indents ? 1 : 2},
        .key_separator = {": ", 2},
    };
    if (indents)
        how.indent = indentation(r, a->v[1], spaces);
    if (a->given[2] && a->v[2].type != LF_J_NONE) {
        const struct lf_jlist *two = lf_jv_items(r, a->v[2]);
        if (two->n != 2 || two->v[0].type != LF_J_STRING || two->v[1].type != LF_J_STRING)
            return lf_j_fail(r, LF_E_INVALID, "tojson: separators must be two strings");
        how.item_separator = two->v[0].s;
        how.key_separator = two->v[1].s;
    }
    return lf_jv_dumps(r, v, &how);
}

const struct lf_jdef lf_j_value_filters[] = {
    {"abs", "", absolute},
    {"capitalize", "", change_case, LF_J_CAPITALIZE},
    {"d", "default_value? boolean?", default_value},
    {"default", "default_value? boolean?", default_value},
    {"e", "", escape},
    {"escape", "", escape},
    {"float", "default?", to_float},
    {"indent", "width? first? blank?", indent},
    {"int", "default? base?", to_int},
    {"lower", "", change_case, LF_J_LOWER},
    {"replace", "old new count?:i", replace},
    {"safe", "", safe},
    {"string", "", string},
    {"title", "", title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", tojson},
    {"trim", "chars?:S", trim},
    {"upper", "", change_case, LF_J_UPPER},
    {NULL},
};
