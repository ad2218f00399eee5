/* Strings as Python has them: by code points, with Unicode's white space and letter cases. */
#include "text/chat/jinja.h"

#include "core/utf8.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

size_t lf_j_length(struct lf_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.s[i] & 0xc0) != 0x80;
    return n;
}

size_t lf_j_offset(struct lf_str s, size_t chars)
{
    size_t i = 0;
    for (; i < s.n && chars > 0; chars--) {
        i++;
        while (i < s.n && ((unsigned char)s.s[i] & 0xc0) == 0x80)
            i++;
    }
    return i;
}

bool lf_j_is_space(uint32_t c)
{
    return (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= ' ') || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* --- stripping and lines --- */

static bool in_set(const struct lf_str *chars, const char *c, size_t n)
{
    if (!chars) {
        size_t len;
        return lf_j_is_space(lf_utf8_get(c, &len));
    }
    return memmem(chars->s, chars->n, c, n) != NULL;
}

struct lf_str lf_j_strip(struct lf_str s, const struct lf_str *chars, bool left, bool right)
{
    size_t len;
    while (left && s.n > 0) {
        lf_utf8_get(s.s, &len);
        if (!in_set(chars, s.s, len))
            break;
        s.s += len;
        s.n -= len;
    }
    while (right && s.n > 0) {
        size_t i = s.n - 1;
        while (i > 0 && ((unsigned char)s.s[i] & 0xc0) == 0x80)
            i--;
        if (!in_set(chars, s.s + i, s.n - i))
            break;
        s.n = i;
    }
    return s;
}

static bool ends_line(uint32_t c)
{
    return (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

size_t lf_j_line_end(struct lf_str s, size_t from, size_t *next)
{
    for (size_t i = from, len; i < s.n; i += len) {
        uint32_t c = lf_utf8_get(s.s + i, &len);
        if (!ends_line(c))
            continue;
        bool crlf = c == '\r' && i + 1 < s.n && s.s[i + 1] == '\n';
        *next = i + len + crlf;
        return i;
    }
    *next = s.n;
    return s.n;
}

/* --- case --- */

static bool is_cased(uint32_t c)
{
    return utf8proc_isupper((utf8proc_int32_t)c) || utf8proc_islower((utf8proc_int32_t)c) ||
           utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LT;
}

/* Characters that the rule of the final sigma looks past. */
static bool is_case_ignorable(uint32_t c)
{
    static const uint16_t others[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,
                                      0x5f4,  0x2018, 0x2019, 0x2024, 0x2027, 0xfe13,
                                      0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (c == others[i])
            return true;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_LM ||
           category == UTF8PROC_CATEGORY_SK;
}

/* Whether the sigma at s[at..at+2) ends a word: a letter before it, none after. */
static bool is_final_sigma(struct lf_str s, size_t at)
{
    bool before = false;
    size_t len;
    for (size_t i = at; i > 0;) {
        do {
            i--;
        } while (i > 0 && ((unsigned char)s.s[i] & 0xc0) == 0x80);
        uint32_t c = lf_utf8_get(s.s + i, &len);
        if (is_case_ignorable(c))
            continue;
        before = is_cased(c);
        break;
    }
    for (size_t i = at + 2; before && i < s.n; i += len) {
        uint32_t c = lf_utf8_get(s.s + i, &len);
        if (!is_case_ignorable(c))
            return !is_cased(c);
    }
    return before;
}

static void put(struct lf_buf *out, uint32_t c)
{
    char utf8[4];
    lf_buf_append(out, utf8, lf_utf8_put(utf8, c));
}

static void put_lower(struct lf_buf *out, struct lf_str s, size_t at, uint32_t c)
{
    if (c == 0x130) {
        lf_buf_puts(out, "i\xcc\x87");
        return;
    }
    if (c == 0x3a3)
        put(out, is_final_sigma(s, at) ? 0x3c2 : 0x3c3);
    else
        put(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
}

static void put_upper(struct lf_buf *out, uint32_t c, bool title)
{
    for (size_t i = 0; c >= 0x80 && i < lf_j_n_special_cases; i++) {
        const struct lf_jspecial_case *special = &lf_j_special_cases[i];
        if (special->c != c)
            continue;
        const uint16_t *as = title ? special->title : special->upper;
        for (size_t k = 0; k < 3 && as[k]; k++)
            put(out, as[k]);
        return;
    }
    put(out, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)c)
                              : utf8proc_toupper((utf8proc_int32_t)c)));
}

void lf_j_change_case(struct lf_buf *out, struct lf_str s, enum lf_jcase how)
{
    bool after_cased = false;
    for (size_t i = 0, len; i < s.n; i += len) {
        uint32_t c = lf_utf8_get(s.s + i, &len);
        bool starts = how == LF_J_CAPITALIZE ? i == 0 : how == LF_J_TITLE && !after_cased;
        if (how == LF_J_UPPER || starts)
            put_upper(out, c, how != LF_J_UPPER);
        else
            put_lower(out, s, i, c);
        after_cased = is_cased(c);
    }
}

bool lf_j_is_case(struct lf_str s, enum lf_jcase which)
{
    bool cased = false;
    for (size_t i = 0, len; i < s.n; i += len) {
        utf8proc_int32_t c = (utf8proc_int32_t)lf_utf8_get(s.s + i, &len);
        bool upper = utf8proc_isupper(c), lower = utf8proc_islower(c);
        if (utf8proc_category(c) == UTF8PROC_CATEGORY_LT || (which == LF_J_LOWER ? upper : lower))
            return false;
        cased |= upper || lower;
    }
    return cased;
}

bool lf_j_is_printable(uint32_t c)
{
    if (c < 0x80)
        return c >= ' ' && c < 0x7f;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return false;
    default:
        return true;
    }
}

void lf_j_escape(struct lf_buf *out, struct lf_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const char *as = s.s[i] == '&'    ? "&amp;"
                         : s.s[i] == '<'  ? "&lt;"
                         : s.s[i] == '>'  ? "&gt;"
                         : s.s[i] == '\'' ? "&#39;"
                         : s.s[i] == '"'  ? "&#34;"
                                          : NULL;
        if (as)
            lf_buf_puts(out, as);
        else
            lf_buf_putc(out, s.s[i]);
    }
}

/* --- "..." % values --- */

/* One conversion of a format: what stands between % and its letter. */
struct conversion {
    bool left, plus, space, zero;
    int width, precision; /* -1: none */
    char letter;
};

static int read_number(struct lf_str s, size_t *i)
{
    int n = -1;
    for (; *i < s.n && s.s[*i] >= '0' && s.s[*i] <= '9'; (*i)++)
        n = n > 1000 ? n : (n < 0 ? 0 : n) * 10 + (s.s[*i] - '0');
    return n;
}

static struct conversion read_conversion(struct lf_str s, size_t *i)
{
    struct conversion c = {.precision = -1};
    for (; *i < s.n && strchr("-+ 0", s.s[*i]) && s.s[*i]; (*i)++) {
        c.left |= s.s[*i] == '-';
        c.plus |= s.s[*i] == '+';
        c.space |= s.s[*i] == ' ';
        c.zero |= s.s[*i] == '0';
    }
    c.width = read_number(s, i);
    if (*i < s.n && s.s[*i] == '.') {
        (*i)++;
        c.precision = read_number(s, i);
        c.precision = c.precision < 0 ? 0 : c.precision;
    }
    c.letter = *i < s.n ? s.s[(*i)++] : '\0';
    return c;
}

/* A printf format of our own making: flags, width, precision, letter. */
static void printf_format(char out[16], const struct conversion *c, const char *letter)
{
    snprintf(out, 16, "%%%s%s%s%s*.*%s", c->left ? "-" : "", c->plus ? "+" : "",
             c->space ? " " : "", c->zero && !c->left ? "0" : "", letter);
}

static enum lf_err convert_number(struct lf_jrun *r, struct lf_buf *out, const struct conversion *c,
                                  struct lf_jv v)
{
    char format[16], text[1400];
    int width = c->width < 0 ? 0 : c->width;
    if (!lf_jv_is_number(v))
        return lf_j_fail(r, LF_E_INVALID, "%%%c format: a number is required, not %s", c->letter,
                         lf_jv_type_name(v));
    if (width > 1000 || c->precision > 300)
        return lf_j_fail(r, LF_E_UNSUPPORTED, "a format this wide is not supported");
    if (strchr("diu", c->letter)) {
        double d = lf_jv_to_double(v);
        if (v.type == LF_J_FLOAT && !(d > -9e18 && d < 9e18))
            return lf_j_fail(r, LF_E_UNSUPPORTED, "an integer over 64 bits");
        long long i = v.type == LF_J_FLOAT ? (long long)d : (long long)lf_jv_to_int(v);
        printf_format(format, c, "lld");
        snprintf(text, sizeof text, format, width, c->precision, i);
    } else {
        char letter[2] = {c->letter, '\0'};
        printf_format(format, c, letter);
        snprintf(text, sizeof text, format, width, c->precision < 0 ? 6 : c->precision,
                 lf_jv_to_double(v));
    }
    return lf_buf_puts(out, text);
}

static enum lf_err convert_text(struct lf_jrun *r, struct lf_buf *out, const struct conversion *c,
                                struct lf_jv v)
{
    struct lf_buf b;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    enum lf_err rc = c->letter == 's' ? lf_jv_print(r, &b, v) : lf_jv_repr(r, &b, v);
    if (rc == LF_OK) {
        struct lf_str s = {b.len ? b.data : "", b.len};
        if (c->precision >= 0)
            s.n = lf_j_offset(s, (size_t)c->precision);
        size_t have = lf_j_length(s);
        size_t pad = c->width > 0 && (size_t)c->width > have ? (size_t)c->width - have : 0;
        lf_buf_printf(out, "%*s", c->left ? 0 : (int)pad, "");
        lf_buf_append(out, s.s, s.n);
        lf_buf_printf(out, "%*s", c->left ? (int)pad : 0, "");
    }
    lf_buf_free(&b);
    return rc;
}

enum lf_err lf_j_percent(struct lf_jrun *r, struct lf_str format, struct lf_jv values,
                         struct lf_jv *out)
{
    struct lf_buf b;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    bool tuple = values.type == LF_J_TUPLE;
    size_t used = 0, n = tuple ? values.list->n : 1;
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < format.n && rc == LF_OK;) {
        if (format.s[i] != '%') {
            lf_buf_putc(&b, format.s[i++]);
            continue;
        }
        i++;
        struct conversion c = read_conversion(format, &i);
        if (c.letter == '%') {
            lf_buf_putc(&b, '%');
            continue;
        }
        if (!c.letter || !strchr("srdiufFeEgG", c.letter))
            rc = lf_j_fail(r, LF_E_UNSUPPORTED, "this %% format is not supported");
        else if (used == n)
            rc = lf_j_fail(r, LF_E_INVALID, "not enough arguments for format string");
        else if (c.letter == 's' || c.letter == 'r')
            rc = convert_text(r, &b, &c, tuple ? values.list->v[used++] : (used++, values));
        else
            rc = convert_number(r, &b, &c, tuple ? values.list->v[used++] : (used++, values));
    }
    /* A mapping may be passed to a format that uses nothing of it. */
    if (rc == LF_OK && used < n && values.type != LF_J_DICT && values.type != LF_J_LIST)
        rc = lf_j_fail(r, LF_E_INVALID, "not all arguments converted during string formatting");
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}
