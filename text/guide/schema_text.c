/* JSON's strings and numbers in GBNF, with what a schema says of them. */
#include "core/num.h"
#include "core/utf8.h"
#include "text/guide/inside.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FAR 9999999999999999 /* 16 digits: what doubles hold, about */

#define COPIES 256 /* of a character in a program; beyond, it is called */

/* One character of a string as JSON writes it: no surrogate stands alone. */
#define CHARACTER                                                                                \
    "([^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-ce-fA-CE-F] [0-9a-fA-F]{3}" \
    " | [dD] [0-7] [0-9a-fA-F]{2} | [dD] [89abAB] [0-9a-fA-F]{2} \"\\\\u\" [dD] [c-fC-F] "       \
    "[0-9a-fA-F]{2})))"

void lf_json_rules(struct lf_buf *out)
{
    lf_buf_puts(out,
                "json ::= json-object | json-array | json-string | json-number | \"true\" | "
                "\"false\" | \"null\"\n"
                "json-ws ::= (\" \" | \"\\n\" \"\\n\"? [ \\t]{0,20})?\n"
                "json-member ::= json-string json-ws \":\" json-ws json\n"
                "json-object ::= \"{\" json-ws (json-member (\",\" json-ws json-member)* json-ws)? "
                "\"}\"\n"
                "json-array ::= \"[\" json-ws (json (\",\" json-ws json)* json-ws)? \"]\"\n"
                "json-integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
                "json-number ::= json-integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"
                "json-character ::= " CHARACTER "\n"
                "json-string ::= \"\\\"\" " CHARACTER "* \"\\\"\"\n");
}

void lf_gbnf_literal(struct lf_buf *out, const char *s, size_t n)
{
    lf_buf_putc(out, '"');
    for (size_t i = 0, len; i < n; i += len) {
        unsigned char c = (unsigned char)s[i];
        len = lf_utf8_len(s + i, n - i);
        if (len > 1) {
            lf_buf_append(out, s + i, len);
            continue;
        }
        len = 1;
        if (c < 0x20 || c == 0x7f)
            lf_buf_printf(out, "\\x%02x", c);
        else
            lf_buf_printf(out, "%s%c", c == '"' || c == '\\' ? "\\" : "", c);
    }
    lf_buf_putc(out, '"');
}

enum lf_err lf_grammar_of_choices(struct lf_buf *out, const json_t *list, struct lf_diag *diag)
{
    lf_buf_puts(out, "root ::= ");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        if (!json_is_string(s) || json_string_length(s) == 0)
            return lf_fail(diag, LF_E_INVALID, "a choice is no text, or \"\"");
        lf_buf_puts(out, i ? " | " : "");
        lf_gbnf_literal(out, json_string_value(s), json_string_length(s));
    }
    if (json_array_size(list) == 0)
        return lf_fail(diag, LF_E_INVALID, "there is no choice to choose from");
    return lf_buf_putc(out, '\n') == LF_OK ? LF_OK
                                           : lf_fail(diag, out->rc, "no memory for the choices");
}

/* ---- Strings --------------------------------------------------------------------------------- */

#define DATE                                                                                      \
    "([12] [0-9]{3} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" " \
    "[01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | \"02-\" (\"0\" "  \
    "[1-9] | \"1\" [0-9] | \"2\" [0-8])))"
#define TIME                                                                              \
    "(([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})?" \
    " (\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9]))"
#define BYTE "(\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9] [0-9] | [1-9]? [0-9])"

static const struct {
    const char *name, *text;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE " \"T\" " TIME},
    {"uuid", "[0-9a-f]{8} (\"-\" [0-9a-f]{4}){3} \"-\" [0-9a-f]{12}"},
    {"ipv4", BYTE " (\".\" " BYTE "){3}"},
};

/* A number that counts: 0 or more, `otherwise` where it is not there. */
static enum lf_err count(const json_t *schema, const char *key, int64_t otherwise, int64_t *out,
                         struct lf_diag *diag)
{
    const json_t *v = json_object_get(schema, key);
    *out = otherwise;
    if (!v)
        return LF_OK;
    double d = json_number_value(v);
    if (!json_is_number(v) || d < 0 || d != floor(d))
        return lf_fail(diag, LF_E_INVALID, "the schema's \"%s\" is no whole number", key);
    *out = d > (double)FAR ? FAR : (int64_t)d;
    return LF_OK;
}

static enum lf_err pattern(struct lf_buf *out, const char *text, size_t n, int64_t least,
                           int64_t most, struct lf_diag *diag)
{
    struct lf_regex_size size;
    enum lf_err rc = lf_regex_write(out, text, n, true, &size, diag);
    if (rc == LF_OK && (size.least < least || (most >= 0 && (size.most < 0 || size.most > most))))
        rc = lf_fail(diag, LF_E_UNSUPPORTED,
                     "the schema: a \"pattern\" that does not keep to \"minLength\" and "
                     "\"maxLength\" by itself is not done");
    return rc;
}

enum lf_err lf_schema_string(struct lf_buf *out, const json_t *schema, struct lf_diag *diag)
{
    int64_t least, most;
    const json_t *p = json_object_get(schema, "pattern");
    const char *format = json_string_value(json_object_get(schema, "format"));
    enum lf_err rc = count(schema, "minLength", 0, &least, diag);
    rc = rc ?: count(schema, "maxLength", -1, &most, diag);
    if (rc == LF_OK && most >= 0 && most < least)
        rc = lf_fail(diag, LF_E_INVALID, "the schema's \"maxLength\" is below its \"minLength\"");
    if (rc == LF_OK && (least > LF_GUIDE_TIMES_MAX || most > LF_GUIDE_TIMES_MAX))
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "the schema: lengths over %d are not done",
                     LF_GUIDE_TIMES_MAX);
    if (rc != LF_OK)
        return rc;
    if (json_is_string(p)) {
        lf_buf_puts(out, "\"\\\"\" ");
        rc = pattern(out, json_string_value(p), json_string_length(p), least, most, diag);
        lf_buf_puts(out, " \"\\\"\"");
        return rc;
    }
    for (size_t i = 0; format && least == 0 && most < 0 && i < sizeof formats / sizeof *formats;
         i++)
        if (strcmp(format, formats[i].name) == 0) {
            lf_buf_printf(out, "\"\\\"\" %s \"\\\"\"", formats[i].text);
            return LF_OK;
        }
    const char *one = most > COPIES || least > COPIES ? "json-character" : CHARACTER;
    if (least == 0 && most < 0)
        lf_buf_puts(out, "json-string");
    else if (most < 0)
        lf_buf_printf(out, "\"\\\"\" %s{%d,} \"\\\"\"", one, (int)least);
    else
        lf_buf_printf(out, "\"\\\"\" %s{%d,%d} \"\\\"\"", one, (int)least, (int)most);
    return LF_OK;
}

/* ---- Whole numbers --------------------------------------------------------------------------- */

/* Numbers from a to b, of n digits both. */
static void same_digits(struct lf_buf *out, const char *a, const char *b, size_t n)
{
    static const char nines[] = "9999999999999999", zeros[] = "0000000000000000";
    if (n == 0) {
        lf_buf_puts(out, "\"\"");
        return;
    }
    if (memcmp(a, zeros, n) == 0 && memcmp(b, nines, n) == 0) {
        lf_buf_printf(out, "[0-9]{%zu}", n);
        return;
    }
    if (a[0] == b[0]) {
        lf_buf_printf(out, "\"%c\" ", a[0]);
        same_digits(out, a + 1, b + 1, n - 1);
        return;
    }
    lf_buf_printf(out, "(\"%c\" ", a[0]);
    same_digits(out, a + 1, nines, n - 1);
    if (b[0] - a[0] > 1)
        lf_buf_printf(out, " | [%c-%c] [0-9]{%zu}", a[0] + 1, b[0] - 1, n - 1);
    lf_buf_printf(out, " | \"%c\" ", b[0]);
    same_digits(out, zeros, b + 1, n - 1);
    lf_buf_putc(out, ')');
}

/* Numbers from a to b, 0 <= a <= b <= FAR. */
static void digits(struct lf_buf *out, int64_t a, int64_t b)
{
    char from[24], to[24];
    lf_buf_putc(out, '(');
    for (int64_t low = a;;) {
        int64_t high = 9;
        while (high < low)
            high = high * 10 + 9;
        high = high < b ? high : b;
        int n = snprintf(from, sizeof from, "%lld", (long long)low);
        snprintf(to, sizeof to, "%lld", (long long)high);
        same_digits(out, from, to, (size_t)n);
        if (high == b)
            break;
        lf_buf_puts(out, " | ");
        low = high + 1;
    }
    lf_buf_putc(out, ')');
}

static void between(struct lf_buf *out, bool *any)
{
    lf_buf_puts(out, *any ? " | " : "");
    *any = true;
}

static void integers(struct lf_buf *out, int64_t lo, int64_t hi, bool *any)
{
    if (lo < 0 && lo <= hi) {
        between(out, any);
        lf_buf_puts(out, "\"-\" ");
        digits(out, hi < 0 ? -hi : 1, -lo);
    }
    if (hi >= 0 && lo <= hi) {
        between(out, any);
        digits(out, lo > 0 ? lo : 0, hi);
    }
}

/* Those between whole numbers: from a to b + 1, neither of them. */
static void fractions(struct lf_buf *out, const char *sign, int64_t a, int64_t b, bool *any)
{
    if (a > b)
        return;
    between(out, any);
    lf_buf_puts(out, sign);
    digits(out, a, b);
    lf_buf_puts(out, " \".\" [0-9]{0,14} [1-9] \"0\"{0,3}");
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

struct bounds {
    bool any;          /* there are some */
    double lo, hi;     /* +-FAR where there is none */
    bool above, below; /* lo, hi themselves are out */
};

static enum lf_err bound(const json_t *schema, const char *key, double *limit, bool *out,
                         bool excludes, bool upper, struct bounds *b, struct lf_diag *diag)
{
    const json_t *v = json_object_get(schema, key);
    if (!v || (excludes && json_is_boolean(v))) /* draft 4's, which goes with minimum */
        return LF_OK;
    if (!json_is_number(v))
        return lf_fail(diag, LF_E_INVALID, "the schema's \"%s\" is no number", key);
    double d = json_number_value(v);
    b->any = true;
    bool tighter = upper ? d < *limit : d > *limit;
    if (tighter || (d == *limit && excludes)) {
        *limit = d;
        *out = excludes;
    }
    return LF_OK;
}

static enum lf_err bounds_of(struct bounds *b, const json_t *schema, struct lf_diag *diag)
{
    *b = (struct bounds){.lo = -(double)FAR, .hi = (double)FAR};
    enum lf_err rc = bound(schema, "minimum", &b->lo, &b->above, false, false, b, diag);
    rc = rc ?: bound(schema, "exclusiveMinimum", &b->lo, &b->above, true, false, b, diag);
    rc = rc ?: bound(schema, "maximum", &b->hi, &b->below, false, true, b, diag);
    rc = rc ?: bound(schema, "exclusiveMaximum", &b->hi, &b->below, true, true, b, diag);
    b->above = b->above || json_is_true(json_object_get(schema, "exclusiveMinimum"));
    b->below = b->below || json_is_true(json_object_get(schema, "exclusiveMaximum"));
    return rc;
}

static enum lf_err check_multiple(const json_t *schema, bool whole, struct lf_diag *diag)
{
    const json_t *m = json_object_get(schema, "multipleOf");
    if (!m || (whole && json_number_value(m) == 1))
        return LF_OK;
    return lf_fail(diag, LF_E_UNSUPPORTED, "the schema: \"multipleOf\" is not done");
}

enum lf_err lf_schema_number(struct lf_buf *out, const json_t *schema, bool whole,
                             struct lf_diag *diag)
{
    struct bounds b;
    bool any = false;
    enum lf_err rc = bounds_of(&b, schema, diag) ?: check_multiple(schema, whole, diag);
    if (rc != LF_OK)
        return rc;
    if (!b.any) {
        lf_buf_puts(out, whole ? "json-integer" : "json-number");
        return LF_OK;
    }
    b.lo = fmin(fmax(b.lo, -(double)FAR), (double)FAR);
    b.hi = fmin(fmax(b.hi, -(double)FAR), (double)FAR);
    int64_t lo = (int64_t)ceil(b.lo), hi = (int64_t)floor(b.hi);
    int64_t from = lo + (b.above && (double)lo == b.lo), to = hi - (b.below && (double)hi == b.hi);
    lf_buf_puts(out, from <= to ? "((" : "(");
    integers(out, from, to, &any);
    lf_buf_puts(out, from > to ? "" : whole ? ")" : ") (\".\" \"0\"{1,3})?");
    if (!whole) {
        fractions(out, "", lo > 0 ? lo : 0, hi - 1, &any);
        fractions(out, "\"-\" ", hi < 0 ? -hi : 0, -lo - 1, &any);
    }
    lf_buf_putc(out, ')');
    return any ? LF_OK
               : lf_fail(diag, LF_E_UNSUPPORTED,
                         "the schema: between its bounds %g and %g lies no number of those that "
                         "are done",
                         b.lo, b.hi);
}
