/* JSON's numbers as a schema has them: their digits are compared with those of its bounds, so that
 * what is answered is within them as it is written, and as it is read. */
#include "text/guide/schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 20     /* in front of a point, and behind it: those of 64 bits */
#define DOUBLE 15     /* digits that every double tells apart */
#define MULTIPLE 4000 /* a state for each remainder */

#define WHOLE "(\"0\" | [1-9] [0-9]{0,19})"
#define REST "(\".\" [0-9]{1,20})?" /* behind the point, any */

/* A number's size as it is written: no zeros in front, nor behind the point at the end. */
struct decimal {
    bool negative;
    char whole[DIGITS + 2], part[DIGITS + 2];
    bool more; /* digits behind those */
    bool far;  /* more in front of the point than are answered */
};

static double value(const json_t *v)
{
    return json_is_string(v) ? strtod(json_string_value(v), NULL) : json_number_value(v);
}

/* Integers that 64 bits do not hold are read as strings of their digits. */
static bool is_number(const json_t *v)
{
    const char *s = json_string_value(v) ?: "", *digits = s + (s[0] == '-');
    return json_is_number(v) ||
           (strlen(digits) >= DIGITS - 1 && strspn(digits, "0123456789") == strlen(digits));
}

static struct decimal decimal(const json_t *v)
{
    struct decimal d = {.whole = "0"};
    char text[64];
    if (json_is_string(v)) {
        const char *s = json_string_value(v);
        d.negative = s[0] == '-';
        d.far = strlen(s + d.negative) > DIGITS;
        if (!d.far)
            snprintf(d.whole, sizeof d.whole, "%s", s + d.negative);
        return d;
    }
    if (json_is_integer(v)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
        d.negative = text[0] == '-';
        snprintf(d.whole, sizeof d.whole, "%s", text + d.negative);
        return d;
    }
    int digits = 1, exponent = 0, n = 0;
    do
        snprintf(text, sizeof text, "%.*e", digits - 1, json_real_value(v));
    while (strtod(text, NULL) != json_real_value(v) && ++digits < 18);
    d.negative = text[0] == '-';
    sscanf(strchr(text, 'e') + 1, "%d", &exponent);
    char all[32] = "";
    for (const char *p = text; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            all[n++] = *p;
    while (n > 0 && all[n - 1] == '0')
        n--;
    d.far = n > 0 && exponent >= DIGITS;
    int whole = 0, part = 0;
    for (int place = exponent, i = 0; n > 0 && !d.far; place--, i++) {
        char c = i < n ? all[i] : '0';
        if (i >= n && place < 0)
            break;
        if (place >= 0) {
            d.whole[whole++] = c;
        } else {
            for (; i == 0 && part < DIGITS && part < -1 - place; part++)
                d.part[part] = '0';
            if (part < DIGITS)
                d.part[part++] = c;
            else
                d.more = true;
        }
    }
    return d;
}

static void digit_above(struct lf_buf *out, char c)
{
    lf_buf_printf(out, c < '9' ? "[%c-9]" : LF_GBNF_NOTHING, c + 1);
}

static void digit_below(struct lf_buf *out, char c, char least)
{
    if (c > least)
        lf_buf_printf(out, "[%c-%c]", least, c - 1);
    else
        lf_buf_puts(out, LF_GBNF_NOTHING);
}

/* Numbers without a sign over d, or d too. */
static void at_least(struct lf_buf *out, const struct decimal *d, bool itself)
{
    int n = (int)strlen(d->whole), m = (int)strlen(d->part);
    bool zero = d->whole[0] == '0';
    lf_buf_printf(out, "([1-9] [0-9]{%d,} " REST, zero ? 0 : n);
    for (int i = 0; i < n && !zero; i++) {
        lf_buf_printf(out, " | \"%.*s\" ", i, d->whole);
        digit_above(out, d->whole[i]);
        lf_buf_printf(out, " [0-9]{%d} " REST, n - i - 1);
    }
    for (int i = 0; i < m; i++) {
        lf_buf_printf(out, " | \"%s.%.*s\" ", d->whole, i, d->part);
        digit_above(out, d->part[i]);
        lf_buf_puts(out, " [0-9]*");
    }
    bool equal = itself && !d->more;
    if (m > 0)
        lf_buf_printf(out, " | \"%s.%s\" %s)", d->whole, d->part,
                      equal ? "[0-9]*" : "[0-9]* [1-9] [0-9]*");
    else
        lf_buf_printf(out, " | \"%s\" %s)", d->whole, equal ? REST : "\".\" [0-9]* [1-9] [0-9]*");
}

/* Those below d, or d too. */
static void at_most(struct lf_buf *out, const struct decimal *d, bool itself)
{
    int n = (int)strlen(d->whole), m = (int)strlen(d->part);
    lf_buf_puts(out, "(" LF_GBNF_NOTHING);
    if (n > 1)
        lf_buf_printf(out, " | (\"0\" | [1-9] [0-9]{0,%d}) " REST, n - 2);
    for (int i = 0; i < n; i++) {
        lf_buf_printf(out, " | \"%.*s\" ", i, d->whole);
        digit_below(out, d->whole[i], i == 0 && n > 1 ? '1' : '0');
        lf_buf_printf(out, " [0-9]{%d} " REST, n - i - 1);
    }
    if (m > 0 || d->more)
        lf_buf_printf(out, " | \"%s\"", d->whole);
    for (int i = 0; i < m; i++) {
        if (i > 0)
            lf_buf_printf(out, " | \"%s.%.*s\"", d->whole, i, d->part);
        lf_buf_printf(out, " | \"%s.%.*s\" ", d->whole, i, d->part);
        digit_below(out, d->part[i], '0');
        lf_buf_puts(out, " [0-9]*");
    }
    if (m > 0 && (itself || d->more))
        lf_buf_printf(out, " | \"%s.%s\" \"0\"*", d->whole, d->part);
    else if (m == 0 && (itself || d->more))
        lf_buf_printf(out, " | \"%s\" (\".\" \"0\"+)?", d->whole);
    lf_buf_putc(out, ')');
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

struct bound {
    const json_t *at; /* NULL: there is none */
    bool itself;
};

static enum lf_err bound(const json_t *schema, const char *key, bool excludes, bool upper,
                         struct bound *b, struct lf_diag *diag)
{
    const json_t *v = json_object_get(schema, key);
    if (!v || (excludes && json_is_boolean(v))) /* draft 4's, which goes with minimum */
        return LF_OK;
    if (!is_number(v))
        return lf_fail(diag, LF_E_INVALID, "the schema's \"%s\" is no number", key);
    if (!b->at || (upper ? value(v) < value(b->at) : value(v) > value(b->at)))
        *b = (struct bound){v, !excludes};
    else if (value(v) == value(b->at))
        b->itself = b->itself && !excludes;
    return LF_OK;
}

static enum lf_err bounds_of(struct bound *lo, struct bound *hi, const json_t *schema,
                             struct lf_diag *diag)
{
    *lo = *hi = (struct bound){NULL, true};
    enum lf_err rc = bound(schema, "minimum", false, false, lo, diag);
    rc = rc ?: bound(schema, "maximum", false, true, hi, diag);
    lo->itself = !json_is_true(json_object_get(schema, "exclusiveMinimum"));
    hi->itself = !json_is_true(json_object_get(schema, "exclusiveMaximum"));
    rc = rc ?: bound(schema, "exclusiveMinimum", true, false, lo, diag);
    return rc ?: bound(schema, "exclusiveMaximum", true, true, hi, diag);
}

/* What is asked of a number. */
struct wish {
    const json_t *except; /* constants, or NULL */
    int64_t multiple;     /* 1: of none */
    bool whole;           /* no digits behind the point */
    int digits;           /* there, at the most */
};

static enum lf_err wish_of(struct wish *w, const json_t *schema, bool whole, struct bound lo,
                           struct bound hi, struct lf_diag *diag)
{
    const json_t *m = json_object_get(schema, "multipleOf");
    double d = value(m);
    *w = (struct wish){.except = json_object_get(schema, LF_SCHEMA_EXCEPT),
                       .multiple = 1,
                       .whole = whole,
                       .digits = DIGITS};
    if (m && (!json_is_number(m) || d <= 0))
        return lf_fail(diag, LF_E_INVALID, "the schema's \"multipleOf\" is no number over 0");
    if (m && (d != floor(d) || d > MULTIPLE))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "the schema: a \"multipleOf\" that is no whole number up to %d is not done",
                       MULTIPLE);
    w->multiple = m ? (int64_t)d : 1;
    w->whole = whole || m;
    /* A bound that is out is told from what is nearest to it by a double, too. */
    for (int side = 0; side < 2; side++) {
        struct bound b = side ? hi : lo;
        if (!b.at || b.itself)
            continue;
        int left = DOUBLE - 1 - (int)strlen(decimal(b.at).whole);
        w->digits = left < w->digits ? left : w->digits;
    }
    w->whole = w->whole || w->digits < 1;
    return LF_OK;
}

/* All numbers without a sign that are asked for, but for bounds. */
static struct lf_language *all(const struct wish *w, bool negative, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    struct lf_language *l;
    lf_buf_puts(&text, WHOLE);
    if (!w->whole)
        lf_buf_printf(&text, " (\".\" [0-9]{1,%d})?", w->digits);
    l = w->multiple > 1 ? lf_language_multiples((int)w->multiple, DIGITS, diag)
                        : lf_language_of(lf_buf_str(&text), diag);
    for (size_t i = 0; i < json_array_size(w->except) && l; i++) {
        const json_t *v = json_array_get(w->except, i);
        struct decimal d = decimal(v);
        if (!json_is_number(v) || d.far || d.more || (d.negative != negative && value(v) != 0))
            continue;
        lf_buf_reset(&text);
        if (d.part[0])
            lf_buf_printf(&text, "\"%s.%s\" \"0\"*", d.whole, d.part);
        else
            lf_buf_printf(&text, "\"%s\" (\".\" \"0\"+)?", d.whole);
        l = lf_language_without(l, lf_language_of(lf_buf_str(&text), diag), diag);
    }
    return l;
}

/* Numbers with a sign, or without: their sizes are from lo to hi, either may be NULL. */
static enum lf_err side(struct lf_buf *rules, struct lf_buf *out, const struct wish *w,
                        bool negative, const struct bound *lo, const struct bound *hi,
                        struct lf_diag *diag)
{
    struct lf_language *l = all(w, negative, diag);
    struct decimal least = {.whole = "0"}, most = least;
    if (lo)
        least = decimal(lo->at);
    if (hi)
        most = decimal(hi->at);
    if (l && (lo || negative)) { /* -0 is none */
        lf_buf_auto text = {0};
        if (least.far)
            lf_buf_puts(&text, LF_GBNF_NOTHING);
        else
            at_least(&text, &least, lo && lo->itself);
        l = lf_language_both(l, lf_language_of(lf_buf_str(&text), diag), diag);
    }
    if (l && hi && !most.far) {
        lf_buf_auto text = {0};
        at_most(&text, &most, hi->itself);
        l = lf_language_both(l, lf_language_of(lf_buf_str(&text), diag), diag);
    }
    enum lf_err rc = l ? lf_language_write(l, false, rules, out) : LF_E_UNSUPPORTED;
    lf_language_free(l);
    return rc;
}

/* Exponents do not change on which side of 0 a number is. */
static void put_exponents(struct lf_buf *out, const struct bound *lo, const struct bound *hi)
{
    static const char size[] = WHOLE " " REST " ([eE] [-+]? [0-9]{1,2})?",
                      over[] =
                          "([1-9] [0-9]{0,19} " REST " | \"0.\" \"0\"{0,19} [1-9] [0-9]{0,19}) "
                          "([eE] [-+]? [0-9]{1,2})?";
    if (lo->at)
        lf_buf_puts(out, lo->itself ? size : over);
    else
        lf_buf_printf(out, "\"-\" %s%s", over, hi->itself ? " | \"0\" (\".\" \"0\"{1,20})?" : "");
}

enum lf_err lf_schema_number(struct lf_schemas *m, struct lf_buf *out, const json_t *schema,
                             bool whole)
{
    struct bound lo, hi;
    struct wish w;
    enum lf_err rc = bounds_of(&lo, &hi, schema, m->diag);
    rc = rc ?: wish_of(&w, schema, whole, lo, hi, m->diag);
    if (rc != LF_OK)
        return rc;
    bool plain = w.whole == whole && json_array_size(w.except) == 0 && w.multiple == 1;
    if (plain && !lo.at && !hi.at) {
        lf_buf_puts(out, whole ? "json-integer" : "json-number");
        return LF_OK;
    }
    lf_buf_putc(out, '(');
    if (plain && !whole && (!lo.at || !hi.at) && value(lo.at ?: hi.at) == 0) {
        put_exponents(out, &lo, &hi);
    } else {
        bool above = !hi.at || value(hi.at) >= 0, below = !lo.at || value(lo.at) < 0;
        const struct bound *none = NULL;
        if (above)
            rc = side(m->out, out, &w, false, lo.at && value(lo.at) >= 0 ? &lo : none,
                      hi.at ? &hi : none, m->diag);
        lf_buf_puts(out, above && below ? " | \"-\" " : below ? "\"-\" " : "");
        if (below)
            rc = rc
                     ?: side(m->out, out, &w, true, hi.at && value(hi.at) < 0 ? &hi : none,
                             lo.at ? &lo : none, m->diag);
        lf_buf_puts(out, above || below ? "" : LF_GBNF_NOTHING);
    }
    lf_buf_putc(out, ')');
    return rc;
}
