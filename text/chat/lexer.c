/* Source to tokens, as jinja2's lexer with trim_blocks and lstrip_blocks: a newline after a block
 * or comment goes, and so does white space before one on its line; "-" inside a tag strips all
 * white space on that side, "+" keeps it. */
#include "text/chat/tree.h"

#include "core/grow.h"
#include "core/utf8.h"
#include "text/limits.h"

#include <stdlib.h>
#include <string.h>

struct lexer {
    struct lf_arena *arena;
    struct lf_diag *diag;
    struct lf_str s;
    size_t i;
    unsigned line;
    size_t counted; /* newlines before this byte are in `line` */
    struct lf_jtoken *v;
    size_t n, cap;
    char open[LF_J_NESTING_MAX]; /* brackets that wait for their other half */
    size_t n_open;
};

static enum lf_err fail(struct lexer *x, const char *what)
{
    return lf_fail(x->diag, LF_E_INVALID, "line %u: %s", x->line, what);
}

static bool at(const struct lexer *x, size_t i, const char *word)
{
    size_t n = strlen(word);
    return i <= x->s.n && x->s.n - i >= n && memcmp(x->s.s + i, word, n) == 0;
}

/* Past white space, which is any of Unicode's. */
static size_t skip_space(const struct lexer *x, size_t i)
{
    size_t len;
    while (i < x->s.n && lf_j_is_space(lf_utf8_get(x->s.s + i, &len)))
        i += len;
    return i;
}

static void count_lines(struct lexer *x)
{
    for (; x->counted < x->i; x->counted++)
        x->line += x->s.s[x->counted] == '\n';
}

static enum lf_err push(struct lexer *x, enum lf_jtoken_type type, struct lf_str text)
{
    if (lf_grow(&x->v, &x->cap, x->n + 1, sizeof *x->v) != LF_OK)
        return lf_no_memory(x->diag, "%zu tokens", x->n);
    x->v[x->n++] = (struct lf_jtoken){.type = type, .line = x->line, .text = text};
    return LF_OK;
}

/* --- text between tags --- */

/* The text before a tag, without what its sign and lstrip_blocks take away. */
static struct lf_str strip_before(const struct lexer *x, size_t start, size_t end, char sign,
                                  bool variable)
{
    struct lf_str text = {x->s.s + start, end - start};
    if (sign == '-')
        return lf_j_strip(text, NULL, false, true);
    if (sign == '+' || variable)
        return text;
    size_t line = text.n;
    while (line > 0 && text.s[line - 1] != '\n')
        line--;
    bool starts = line > 0 || start == 0 || x->s.s[start - 1] == '\n';
    struct lf_str rest = {text.s + line, text.n - line};
    if (starts && lf_j_strip(rest, NULL, true, false).n == 0)
        text.n = line;
    return text;
}

/* The end of a tag at i: `close` with its signs. 0: it does not end here. */
static size_t tag_end(const struct lexer *x, size_t i, const char *close)
{
    bool minus = at(x, i, "-"), plus = at(x, i, "+") && close[0] != '}';
    size_t end = i + (minus || plus);
    if (!at(x, end, close))
        return 0;
    end += 2;
    if (minus)
        return skip_space(x, end);
    if (!plus && close[0] != '}' && at(x, end, "\n"))
        end++;
    return end;
}

static char sign_at(const struct lexer *x, size_t i)
{
    return at(x, i, "-") ? '-' : at(x, i, "+") ? '+' : '\0';
}

static enum lf_err lex_comment(struct lexer *x)
{
    for (size_t i = x->i; i < x->s.n; i++) {
        size_t end = tag_end(x, i, "#}");
        if (end) {
            x->i = end;
            return LF_OK;
        }
    }
    /* jinja2 does not miss the end of what begins where the source ends */
    return x->i == x->s.n ? LF_OK : fail(x, "missing end of comment tag");
}

/* "{% raw %}" at i: the start of what is raw, or 0. */
static size_t raw_begin(const struct lexer *x, size_t i)
{
    i = skip_space(x, i + 2 + (sign_at(x, i + 2) != '\0'));
    if (!at(x, i, "raw"))
        return 0;
    i = skip_space(x, i + 3);
    if (at(x, i, "-%}"))
        return skip_space(x, i + 3);
    return at(x, i, "%}") ? i + 2 : 0;
}

static enum lf_err lex_raw(struct lexer *x)
{
    size_t start = x->i;
    for (size_t i = start; i < x->s.n; i++) {
        if (!at(x, i, "{%"))
            continue;
        char sign = sign_at(x, i + 2);
        size_t word = skip_space(x, i + 2 + (sign != '\0'));
        size_t end = at(x, word, "endraw") ? tag_end(x, skip_space(x, word + 6), "%}") : 0;
        if (!end)
            continue;
        struct lf_str text = strip_before(x, start, i, sign, false);
        x->i = end;
        return text.n ? push(x, LF_JT_TEXT, text) : LF_OK;
    }
    return start == x->s.n ? LF_OK : fail(x, "missing end of raw directive");
}

/* --- inside a tag --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The end of the digits that begin at i. */
static size_t digits_end(const struct lexer *x, size_t i)
{
    while (i < x->s.n && is_digit(x->s.s[i]))
        i++;
    return i;
}

/* 12, 1.5, 1e9. A number after a dot is an index: no float. */
static enum lf_err lex_number(struct lexer *x)
{
    char text[64];
    size_t start = x->i, end = digits_end(x, start);
    bool after_dot = start > 0 && x->s.s[start - 1] == '.', whole = true;
    if (!after_dot && at(x, end, ".") && digits_end(x, end + 1) > end + 1) {
        end = digits_end(x, end + 1);
        whole = false;
    }
    size_t e = end + 1 + (sign_at(x, end + 1) != '\0');
    if (!after_dot && (at(x, end, "e") || at(x, end, "E")) && digits_end(x, e) > e) {
        end = digits_end(x, e);
        whole = false;
    }
    struct lf_str s = {x->s.s + start, end - start};
    bool zeros = whole && s.n > 1 && s.s[0] == '0';
    if (s.n >= sizeof text || zeros || (end < x->s.n && is_word(x->s.s[end])))
        return lf_fail(x->diag, LF_E_UNSUPPORTED, "line %u: this way to write a number", x->line);
    memcpy(text, s.s, s.n);
    text[s.n] = '\0';
    errno = 0;
    struct lf_jv number =
        whole ? lf_jv_int(strtoll(text, NULL, 10)) : lf_jv_float(strtod(text, NULL));
    if (whole && errno == ERANGE)
        return lf_fail(x->diag, LF_E_UNSUPPORTED, "line %u: an integer over 64 bits", x->line);
    enum lf_err rc = push(x, LF_JT_NUMBER, s);
    if (rc == LF_OK)
        x->v[x->n - 1].number = number;
    x->i = end;
    return rc;
}

/* --- strings --- */

/* \\xHH, \\uHHHH, \\UHHHHHHHH; *i is after the letter. */
static bool unescape_number(struct lf_str s, size_t *i, size_t digits, struct lf_buf *out)
{
    char hex[9] = "", utf8[4], *end;
    if (s.n - *i < digits)
        return false;
    memcpy(hex, s.s + *i, digits);
    uint32_t c = (uint32_t)strtoul(hex, &end, 16);
    if (strspn(hex, "0123456789abcdefABCDEF") < digits || c > 0x10ffff ||
        (c >= 0xd800 && c < 0xe000))
        return false;
    *i += digits;
    lf_buf_append(out, utf8, lf_utf8_put(utf8, c));
    return true;
}

/* One escape; *i is after the backslash. */
static bool unescape(struct lf_str s, size_t *i, struct lf_buf *out)
{
    static const char names[] = "\\'\"abfnrtv", values[] = "\\'\"\a\b\f\n\r\t\v";
    char c = s.s[(*i)++];
    const char *name = c ? strchr(names, c) : NULL;
    if (c == 'x' || c == 'u' || c == 'U')
        return unescape_number(s, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    if (is_digit(c) || c == 'N' || (unsigned char)c >= 0x80)
        return false;
    if (name) {
        lf_buf_putc(out, values[name - names]);
    } else if (c != '\n') {
        lf_buf_putc(out, '\\');
        lf_buf_putc(out, c);
    }
    return true;
}

static enum lf_err lex_string(struct lexer *x)
{
    char quote = x->s.s[x->i];
    size_t end = x->i + 1;
    while (end < x->s.n && x->s.s[end] != quote)
        end += x->s.s[end] == '\\' ? 2 : 1;
    if (end >= x->s.n)
        return fail(x, "a string without end");
    struct lf_str raw = {x->s.s + x->i + 1, end - x->i - 1};
    struct lf_buf b = {.max = LF_J_SOURCE_MAX * 4};
    bool good = true;
    for (size_t i = 0; i < raw.n && good;) {
        size_t run = i;
        while (run < raw.n && raw.s[run] != '\\')
            run++;
        lf_buf_append(&b, raw.s + i, run - i);
        i = run;
        if (i < raw.n) {
            i++;
            good = unescape(raw, &i, &b);
        }
    }
    enum lf_err rc = LF_OK;
    char *text = lf_arena_strndup(x->arena, b.len ? b.data : "", b.len);
    if (!good)
        rc = fail(x, "a string with an escape that is not supported");
    else if (!text || b.rc != LF_OK)
        rc = lf_no_memory(x->diag, "a string");
    else
        rc = push(x, LF_JT_STRING, (struct lf_str){text, b.len});
    lf_buf_free(&b);
    x->i = end + 1;
    return rc;
}

/* --- operators --- */

/* Brackets must pair up; while one is open a tag cannot end. */
static enum lf_err balance(struct lexer *x, char c)
{
    static const char opens[3] = {'(', '[', '{'}, closes[3] = {')', ']', '}'};
    for (size_t i = 0; i < 3; i++) {
        if (c == opens[i] && x->n_open == LF_J_NESTING_MAX)
            return fail(x, "brackets are nested too deep");
        if (c == opens[i])
            x->open[x->n_open++] = closes[i];
        else if (c == closes[i] && (x->n_open == 0 || x->open[--x->n_open] != c))
            return lf_fail(x->diag, LF_E_INVALID, "line %u: unexpected '%c'", x->line, c);
    }
    return LF_OK;
}

static enum lf_err lex_operator(struct lexer *x)
{
    static const char *const all[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!at(x, x->i, all[i]))
            continue;
        enum lf_err rc = balance(x, all[i][1] ? '\0' : all[i][0]);
        rc = rc ?: push(x, LF_JT_OPERATOR, (struct lf_str){all[i], strlen(all[i])});
        x->i += strlen(all[i]);
        return rc;
    }
    return lf_fail(x->diag, LF_E_INVALID, "line %u: unexpected character '%.*s'", x->line,
                   (int)lf_utf8_len(x->s.s + x->i, x->s.n - x->i), x->s.s + x->i);
}

/* From after "{{" or "{%" up to its end. */
static enum lf_err lex_tag(struct lexer *x, bool variable)
{
    const char *close = variable ? "}}" : "%}";
    x->n_open = 0;
    for (;;) {
        count_lines(x);
        size_t end = x->n_open == 0 ? tag_end(x, x->i, close) : 0;
        if (end) {
            enum lf_err rc =
                push(x, variable ? LF_JT_VARIABLE_END : LF_JT_BLOCK_END, (struct lf_str){close, 2});
            x->i = end;
            return rc;
        }
        size_t space = skip_space(x, x->i);
        if (space > x->i) {
            x->i = space;
            continue;
        }
        if (x->i >= x->s.n)
            return fail(x, variable ? "missing end of a variable" : "missing end of a block");
        char c = x->s.s[x->i];
        enum lf_err rc;
        if (is_digit(c)) {
            rc = lex_number(x);
        } else if (is_word(c)) {
            size_t start = x->i;
            while (x->i < x->s.n && is_word(x->s.s[x->i]))
                x->i++;
            rc = push(x, LF_JT_NAME, (struct lf_str){x->s.s + start, x->i - start});
        } else {
            rc = c == '"' || c == '\'' ? lex_string(x) : lex_operator(x);
        }
        if (rc != LF_OK)
            return rc;
    }
}

/* The next tag, with the text before it. */
static enum lf_err lex_next(struct lexer *x)
{
    size_t start = x->i, i = start;
    while (i < x->s.n && !at(x, i, "{{") && !at(x, i, "{%") && !at(x, i, "{#"))
        i++;
    count_lines(x);
    if (i == x->s.n) {
        x->i = i;
        return push(x, LF_JT_TEXT, (struct lf_str){x->s.s + start, i - start});
    }
    bool variable = x->s.s[i + 1] == '{';
    char sign = sign_at(x, i + 2);
    size_t raw = x->s.s[i + 1] == '%' ? raw_begin(x, i) : 0;
    struct lf_str text = strip_before(x, start, i, sign, variable);
    enum lf_err rc = text.n ? push(x, LF_JT_TEXT, text) : LF_OK;
    x->i = raw ? raw : i + 2 + (sign != '\0');
    count_lines(x);
    if (rc != LF_OK || raw)
        return rc ?: lex_raw(x);
    if (x->s.s[i + 1] == '#')
        return lex_comment(x);
    rc = push(x, variable ? LF_JT_VARIABLE_BEGIN : LF_JT_BLOCK_BEGIN,
              (struct lf_str){x->s.s + i, 2});
    return rc ?: lex_tag(x, variable);
}

/* Every kind of newline becomes \n, and one at the very end goes. */
static enum lf_err normalize_newlines(struct lexer *x, struct lf_str source)
{
    char *s = lf_arena_alloc(x->arena, source.n + 1);
    if (!s)
        return lf_no_memory(x->diag, "the template");
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++) {
        bool crlf = source.s[i] == '\r' && i + 1 < source.n && source.s[i + 1] == '\n';
        if (!crlf)
            s[n++] = source.s[i] == '\r' ? '\n' : source.s[i];
    }
    if (n > 0 && s[n - 1] == '\n')
        n--;
    x->s = (struct lf_str){s, n};
    return LF_OK;
}

enum lf_err lf_j_lex(struct lf_arena *arena, struct lf_str source, struct lf_jtoken **out,
                     struct lf_diag *diag)
{
    struct lexer x = {.arena = arena, .diag = diag, .line = 1};
    enum lf_err rc = LF_OK;
    if (source.n > LF_J_SOURCE_MAX)
        rc = lf_fail(diag, LF_E_TOO_BIG, "a template of %zu bytes is over the limit", source.n);
    else if (lf_utf8_valid(source.s, source.n) < source.n)
        rc = lf_fail(diag, LF_E_INVALID, "the template is not UTF-8");
    else
        rc = normalize_newlines(&x, source);
    while (rc == LF_OK && x.i < x.s.n)
        rc = lex_next(&x);
    count_lines(&x);
    rc = rc ?: push(&x, LF_JT_END, (struct lf_str){"", 0});
    if (rc == LF_OK)
        *out = x.v;
    else
        free(x.v);
    return rc;
}
