/* Regular expressions into GBNF, which has the same operators: what is left is characters and their
 * classes, ends, and the names of what is not done. Inside a JSON string a character is what JSON
 * makes of it. */
#include "core/num.h"
#include "core/utf8.h"
#include "text/guide/inside.h"

#include <stdlib.h>
#include <string.h>

#define RANGES 512 /* of a class */
#define DEPTH 50   /* of groups */
#define FAR ((int64_t)1 << 40)

struct regex {
    struct lf_buf *out;
    const char *at, *end;
    bool in_json, found;
    int depth;
    struct lf_points set[RANGES + 1];
    size_t n_set;
    enum lf_err rc;
    struct lf_diag *diag;
};

static void fail(struct regex *x, enum lf_err rc, const char *why)
{
    if (x->rc == LF_OK)
        x->rc = lf_fail(x->diag, rc, "the regular expression: %s", why);
}

static int compare(const void *a, const void *b)
{
    const struct lf_points *x = a, *y = b;
    return x->lo != y->lo ? (x->lo < y->lo ? -1 : 1) : 0;
}

size_t lf_ranges_settle(struct lf_points *r, size_t n, bool negated)
{
    size_t kept = 0, left = 0;
    if (n > 1)
        qsort(r, n, sizeof *r, compare);
    for (size_t i = 0; i < n; i++)
        if (kept > 0 && r[i].lo <= r[kept - 1].hi + 1)
            r[kept - 1].hi = r[i].hi > r[kept - 1].hi ? r[i].hi : r[kept - 1].hi;
        else
            r[kept++] = r[i];
    if (!negated)
        return kept;
    uint32_t from = 0;
    for (size_t i = 0; i < kept; i++) {
        struct lf_points was = r[i];
        if (was.lo > from)
            r[left++] = (struct lf_points){from, was.lo - 1};
        from = was.hi + 1;
    }
    if (from <= 0x10ffff)
        r[left++] = (struct lf_points){from, 0x10ffff};
    return left;
}

/* ---- Sets of characters ---------------------------------------------------------------------- */

static void set_add(struct regex *x, uint32_t lo, uint32_t hi)
{
    if (x->n_set == RANGES)
        fail(x, LF_E_TOO_BIG, "a class has too many ranges");
    else
        x->set[x->n_set++] = (struct lf_points){lo, hi};
}

static const struct lf_points digits[] = {{'0', '9'}},
                              words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct lf_points spaces[] = {{'\t', '\r'},     {0x1c, ' '},      {0x85, 0x85},
                                          {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
                                          {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
                                          {0x3000, 0x3000}, {0xfeff, 0xfeff}};

/* Adds the ranges; negated, what is between them: where others disagree about what is outside of
 * ASCII, only ASCII. */
static void set_named(struct regex *x, const struct lf_points *r, size_t n, bool negated,
                      uint32_t end)
{
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negated)
            set_add(x, r[i].lo, r[i].hi);
        else if (r[i].lo > from)
            set_add(x, from, r[i].lo - 1);
        from = r[i].hi + 1;
    }
    if (negated && from <= end)
        set_add(x, from, end);
}

/* \d and the like; false: it is none. */
static bool set_escape(struct regex *x, char c)
{
    switch (c) {
    case 'd':
    case 'D':
        set_named(x, digits, 1, c == 'D', 0x7f);
        return true;
    case 'w':
    case 'W':
        set_named(x, words, sizeof words / sizeof *words, c == 'W', 0x7f);
        return true;
    case 's': /* of ASCII: what all agree on */
        set_add(x, '\t', '\r');
        set_add(x, ' ', ' ');
        return true;
    case 'S':
        set_named(x, spaces, sizeof spaces / sizeof *spaces, true, 0x10ffff);
        return true;
    }
    return false;
}

static void put_code_point(struct lf_buf *out, uint32_t c)
{
    bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (plain)
        lf_buf_putc(out, (char)c);
    else
        lf_buf_printf(out, c < 0x80 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

static void put_range(struct lf_buf *out, uint32_t lo, uint32_t hi)
{
    if (lo >= 0xd800 && lo < 0xe000) /* no escape says a surrogate */
        lo = 0xe000;
    if (hi >= 0xd800 && hi < 0xe000)
        hi = 0xd7ff;
    if (lo > hi)
        return;
    put_code_point(out, lo);
    if (hi > lo) {
        lf_buf_putc(out, '-');
        put_code_point(out, hi);
    }
}

static bool has(const struct lf_points *r, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (r[i].lo <= c && c <= r[i].hi)
            return true;
    return false;
}

/* What JSON writes for the characters that may not stand for themselves. */
static void put_json_escapes(struct lf_buf *out, const struct lf_points *r, size_t n)
{
    static const char shorts[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (uint32_t c = 0; c < 0x60; c++) {
        const char *s = shorts;
        if ((c >= 0x20 && c != '"' && c != '\\') || !has(r, n, c))
            continue;
        while (*s && (uint32_t)(unsigned char)*s != c)
            s += 2;
        if (*s)
            lf_buf_printf(out, " | \"\\\\%s%c\"", s[1] == '"' || s[1] == '\\' ? "\\" : "", s[1]);
        else
            lf_buf_printf(out, " | \"\\\\u%04x\"", c);
    }
}

/* Whatever has no end is written as what it has not. */
static void put_plain(struct lf_buf *out, const struct lf_points *r, size_t n)
{
    bool endless = n > 0 && r[n - 1].hi == 0x10ffff;
    uint32_t from = 0x20;
    lf_buf_puts(out, endless ? "[^\\x00-\\x1f\\x22\\x5c" : "[");
    for (size_t i = 0; i < n; i++) {
        uint32_t lo = r[i].lo < 0x20 ? 0x20 : r[i].lo, hi = r[i].hi;
        if (hi < lo)
            continue;
        if (endless && lo > from)
            put_range(out, from, lo - 1);
        from = hi + 1;
        for (const char *p = "\"\\"; !endless && *p; p++) {
            if (lo < (uint32_t)*p && hi >= (uint32_t)*p)
                put_range(out, lo, (uint32_t)*p - 1);
            if (hi >= (uint32_t)*p && lo <= (uint32_t)*p)
                lo = (uint32_t)*p + 1;
        }
        if (!endless)
            put_range(out, lo, hi);
    }
    lf_buf_putc(out, ']');
}

void lf_gbnf_set(struct lf_buf *out, const struct lf_points *r, size_t n, bool in_json)
{
    if (!in_json) {
        lf_buf_putc(out, '[');
        for (size_t i = 0; i < n; i++)
            put_range(out, r[i].lo, r[i].hi);
        lf_buf_putc(out, ']');
        return;
    }
    lf_buf_putc(out, '(');
    put_plain(out, r, n);
    put_json_escapes(out, r, n);
    lf_buf_putc(out, ')');
}

/* One character of the set, which is empty again. */
static void put_set(struct regex *x, bool negated)
{
    size_t n = lf_ranges_settle(x->set, x->n_set, negated);
    x->n_set = 0;
    lf_gbnf_set(x->out, x->set, n, x->in_json);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool is(const struct regex *x, char c)
{
    return x->at < x->end && *x->at == c;
}

static bool take(struct regex *x, const char *s)
{
    size_t n = strlen(s);
    bool there = (size_t)(x->end - x->at) >= n && memcmp(x->at, s, n) == 0;
    x->at += there ? n : 0;
    return there;
}

static uint32_t hex(struct regex *x, int n)
{
    uint32_t v = 0;
    for (int i = 0; i < n; i++, x->at++) {
        int d = x->at < x->end ? lf_hex_digit(*x->at) : -1;
        if (d < 0) {
            fail(x, LF_E_INVALID, "a hexadecimal digit is missing");
            return 0;
        }
        v = v << 4 | (uint32_t)d;
    }
    return v;
}

/* The character behind a backslash. */
static uint32_t escaped(struct regex *x)
{
    static const char from[] = "nrtfv0", to[] = "\n\r\t\f\v\0";
    char c = x->at < x->end ? *x->at++ : 0;
    const char *known = c ? strchr(from, c) : NULL;
    if (known)
        return (uint32_t)to[known - from];
    if (c == 'x')
        return hex(x, 2);
    if (c == 'u')
        return hex(x, 4);
    if (c == 0)
        fail(x, LF_E_INVALID, "it ends in a backslash");
    else if (c >= '1' && c <= '9')
        fail(x, LF_E_UNSUPPORTED, "references back are not done");
    else if (c == 'b' || c == 'B')
        fail(x, LF_E_UNSUPPORTED, "word boundaries are not done");
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        fail(x, LF_E_UNSUPPORTED, "one of its escapes is not done");
    return (uint32_t)(unsigned char)c;
}

static uint32_t character(struct regex *x)
{
    size_t len = lf_utf8_len(x->at, (size_t)(x->end - x->at));
    if (len == 0) {
        fail(x, LF_E_INVALID, "it is no UTF-8");
        return 0;
    }
    uint32_t c = lf_utf8_get(x->at, &len);
    x->at += len;
    return c;
}

/* Behind "[". */
static void brackets(struct regex *x)
{
    bool negated = take(x, "^"), first = true;
    for (; x->rc == LF_OK && (first || !is(x, ']')); first = false) {
        if (x->at == x->end) {
            fail(x, LF_E_INVALID, "a class has no end");
            return;
        }
        bool escape = take(x, "\\");
        if (escape && x->at < x->end && set_escape(x, *x->at)) {
            x->at++;
            continue;
        }
        uint32_t lo = escape ? escaped(x) : character(x), hi = lo;
        if (is(x, '-') && x->at + 1 < x->end && x->at[1] != ']') {
            x->at++;
            hi = take(x, "\\") ? escaped(x) : character(x);
        }
        if (hi < lo)
            fail(x, LF_E_INVALID, "a range runs backwards");
        set_add(x, lo, hi);
    }
    if (!take(x, "]")) /* it ended in the midst of something, which is said */
        return;
    put_set(x, negated);
}

/* "{m}", "{m,}" or "{m,n}" is copied, with its numbers; false: it is none. */
static bool braces(struct regex *x, int64_t *lo, int64_t *hi)
{
    char *end;
    const char *close = is(x, '{') ? memchr(x->at, '}', (size_t)(x->end - x->at)) : NULL;
    if (!close || x->at[1] < '0' || x->at[1] > '9')
        return false;
    *lo = *hi = strtol(x->at + 1, &end, 10);
    if (*end == ',') {
        *hi = end + 1 == close ? FAR : strtol(end + 1, &end, 10);
        end = *hi == FAR ? (char *)(uintptr_t)close : end;
    }
    if (end != close)
        return false;
    lf_buf_append(x->out, x->at, (size_t)(close + 1 - x->at));
    x->at = close + 1;
    return true;
}

static int64_t times(int64_t a, int64_t b)
{
    return a == 0 || b == 0 ? 0 : a >= FAR / b ? FAR : a * b;
}

static void quantifier(struct regex *x, struct lf_regex_size *s)
{
    int64_t lo = 1, hi = 1;
    if (take(x, "*")) {
        lf_buf_putc(x->out, '*');
        lo = 0;
        hi = FAR;
    } else if (take(x, "+")) {
        lf_buf_putc(x->out, '+');
        hi = FAR;
    } else if (take(x, "?")) {
        lf_buf_putc(x->out, '?');
        lo = 0;
    } else if (!braces(x, &lo, &hi)) {
        return;
    }
    if (!take(x, "?") && (is(x, '+') || is(x, '*') || is(x, '{'))) /* lazy ones match the same */
        fail(x, LF_E_UNSUPPORTED, "a quantifier of a quantifier is not done");
    s->least = times(s->least, lo);
    s->most = times(s->most, hi);
}

static struct lf_regex_size alternatives(struct regex *x, bool top);

/* Behind "(". */
static struct lf_regex_size group(struct regex *x)
{
    struct lf_regex_size s = {0};
    if (take(x, "?")) {
        bool looks = take(x, "<=") || take(x, "<!");
        if (!looks && (take(x, "P<") || take(x, "<")))
            while (x->at < x->end && *x->at++ != '>')
                continue;
        else if (looks || !take(x, ":"))
            fail(x, LF_E_UNSUPPORTED, "looking around, flags and conditions are not done");
    }
    if (++x->depth > DEPTH)
        fail(x, LF_E_TOO_BIG, "groups are nested too deeply");
    if (x->rc != LF_OK)
        return s;
    lf_buf_putc(x->out, '(');
    s = alternatives(x, false);
    lf_buf_putc(x->out, ')');
    if (!take(x, ")"))
        fail(x, LF_E_INVALID, "a group has no end");
    x->depth--;
    return s;
}

static struct lf_regex_size atom(struct regex *x)
{
    struct lf_regex_size s = {1, 1};
    if (take(x, "(")) {
        s = group(x);
    } else if (take(x, "[")) {
        brackets(x);
    } else if (take(x, ".")) {
        set_add(x, '\n', '\n');
        set_add(x, '\r', '\r');
        set_add(x, 0x2028, 0x2029);
        put_set(x, true);
    } else if (is(x, '*') || is(x, '+') || is(x, '?')) {
        fail(x, LF_E_INVALID, "a quantifier has nothing in front of it");
    } else if (is(x, '^') || is(x, '$')) {
        fail(x, LF_E_UNSUPPORTED, "^ and $ are done at its ends alone");
    } else if (take(x, "\\")) {
        if (x->at < x->end && set_escape(x, *x->at)) {
            x->at++;
        } else {
            uint32_t c = escaped(x);
            set_add(x, c, c);
        }
        put_set(x, false);
    } else {
        uint32_t c = character(x);
        set_add(x, c, c);
        put_set(x, false);
    }
    quantifier(x, &s);
    return s;
}

static void anything(struct regex *x)
{
    put_set(x, true);
    lf_buf_putc(x->out, '*');
}

/* top: of the whole, with its ends. */
static struct lf_regex_size sequence(struct regex *x, bool top)
{
    struct lf_regex_size s = {0, 0};
    bool found = top && x->found, tied = top && take(x, "^"), more = false;
    if (found && !tied)
        anything(x);
    while (x->rc == LF_OK && x->at < x->end && *x->at != '|' && *x->at != ')') {
        if (top && is(x, '$') && (x->at + 1 == x->end || x->at[1] == '|')) {
            x->at++;
            more = true;
            break;
        }
        struct lf_regex_size a = atom(x);
        s.least += a.least;
        s.most = s.most + a.most < FAR ? s.most + a.most : FAR;
        lf_buf_putc(x->out, ' ');
    }
    if (found && !more)
        anything(x);
    if (found && !(more && tied))
        s.most = FAR;
    return s;
}

static struct lf_regex_size alternatives(struct regex *x, bool top)
{
    struct lf_regex_size s = sequence(x, top);
    while (x->rc == LF_OK && take(x, "|")) {
        lf_buf_puts(x->out, "| ");
        struct lf_regex_size a = sequence(x, top);
        s.least = a.least < s.least ? a.least : s.least;
        s.most = a.most > s.most ? a.most : s.most;
    }
    return s;
}

enum lf_err lf_regex_write(struct lf_buf *out, const char *regex, size_t n, enum lf_regex_how how,
                           struct lf_regex_size *size, struct lf_diag *diag)
{
    struct regex x = {.out = out,
                      .at = regex,
                      .end = regex + n,
                      .in_json = how == LF_REGEX_JSON,
                      .found = how != LF_REGEX_WHOLE,
                      .diag = diag};
    if (n > LF_REGEX_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "a regular expression of %zu bytes: at most %u", n,
                       LF_REGEX_BYTES_MAX);
    lf_buf_putc(out, '(');
    *size = alternatives(&x, true);
    lf_buf_putc(out, ')');
    if (x.rc == LF_OK && x.at < x.end)
        fail(&x, LF_E_INVALID, "a group has no beginning");
    if (size->most >= FAR)
        size->most = -1;
    if (x.rc == LF_OK && out->rc != LF_OK)
        return lf_fail(diag, out->rc, "no memory for a regular expression");
    return x.rc;
}

enum lf_err lf_grammar_of_regex(struct lf_buf *out, const char *regex, size_t n,
                                struct lf_diag *diag)
{
    struct lf_regex_size size;
    lf_buf_puts(out, "root ::= ");
    enum lf_err rc = lf_regex_write(out, regex, n, LF_REGEX_WHOLE, &size, diag);
    lf_buf_putc(out, '\n');
    return rc;
}
