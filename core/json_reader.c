/* The pull reader for JSON. */
#include "core/json_reader.h"

#include "core/json.h"
#include "core/num.h"
#include "core/utf8.h"

#include <string.h>

void lf_json_reader_init(struct lf_json_reader *r, const char *s, size_t n, struct lf_diag *diag)
{
    *r = (struct lf_json_reader){.s = s, .n = n, .diag = diag, .text.max = n + 1};
}

void lf_json_reader_free(struct lf_json_reader *r)
{
    lf_buf_free(&r->text);
}

enum lf_err lf_json_reader_fail(struct lf_json_reader *r, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < r->i && i < r->n; i++) {
        column++;
        if (r->s[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return lf_fail(r->diag, LF_E_INVALID, "line %zu column %zu: %s", line, column, what);
}

char lf_json_reader_peek(struct lf_json_reader *r)
{
    while (r->i < r->n &&
           (r->s[r->i] == ' ' || r->s[r->i] == '\n' || r->s[r->i] == '\r' || r->s[r->i] == '\t'))
        r->i++;
    return r->i < r->n ? r->s[r->i] : '\0';
}

enum lf_err lf_json_reader_expect(struct lf_json_reader *r, char c)
{
    if (lf_json_reader_peek(r) != c) {
        char what[] = "expected ' '";
        what[10] = c;
        return lf_json_reader_fail(r, what);
    }
    r->i++;
    return LF_OK;
}

enum lf_err lf_json_reader_more(struct lf_json_reader *r, char close, size_t count, bool *more)
{
    char c = lf_json_reader_peek(r);
    *more = c != close;
    if (!*more) {
        r->i++;
        return LF_OK;
    }
    return count > 0 ? lf_json_reader_expect(r, ',') : LF_OK;
}

static int hex4(const char *s)
{
    int value = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = lf_hex_digit(s[i]);
        if (digit < 0)
            return -1;
        value = 16 * value + digit;
    }
    return value;
}

/* \uXXXX, a surrogate pair as one; r->i is after the u. */
static enum lf_err unescape_unicode(struct lf_json_reader *r)
{
    int hi = r->n - r->i >= 4 ? hex4(r->s + r->i) : -1;
    uint32_t c = (uint32_t)hi;
    if (hi < 0 || (hi >= 0xdc00 && hi < 0xe000))
        return lf_json_reader_fail(r, "a bad \\u escape");
    r->i += 4;
    if (hi >= 0xd800 && hi < 0xdc00) {
        bool pair = r->n - r->i >= 6 && r->s[r->i] == '\\' && r->s[r->i + 1] == 'u';
        int lo = pair ? hex4(r->s + r->i + 2) : -1;
        if (lo < 0xdc00 || lo > 0xdfff)
            return lf_json_reader_fail(r, "half of a surrogate pair");
        c = 0x10000u + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00);
        r->i += 6;
    }
    char utf8[4];
    lf_buf_append(&r->text, utf8, lf_utf8_put(utf8, c));
    return LF_OK;
}

static enum lf_err unescape(struct lf_json_reader *r)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char c = r->i < r->n ? r->s[r->i++] : '\0';
    if (c == 'u')
        return unescape_unicode(r);
    const char *at = c ? strchr(names, c) : NULL;
    if (!at)
        return lf_json_reader_fail(r, "a bad escape");
    lf_buf_putc(&r->text, values[at - names]);
    return LF_OK;
}

/* Up to a quote, a backslash or a control character. */
static size_t plain_run(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] != '"' && s[i] != '\\' && (unsigned char)s[i] >= 0x20)
        i++;
    return i;
}

enum lf_err lf_json_reader_string(struct lf_json_reader *r, struct lf_str *out)
{
    enum lf_err rc = lf_json_reader_expect(r, '"');
    bool escapes = false;
    lf_buf_reset(&r->text);
    while (rc == LF_OK) {
        const char *run = r->s + r->i;
        size_t n = plain_run(run, r->n - r->i);
        r->i += n;
        if (r->i == r->n || (unsigned char)r->s[r->i] < 0x20)
            return lf_json_reader_fail(r, "a string without end");
        bool last = r->s[r->i++] == '"';
        if (last && !escapes) {
            *out = (struct lf_str){run, n};
        } else {
            lf_buf_append(&r->text, run, n);
            *out = (struct lf_str){lf_buf_str(&r->text), r->text.len};
        }
        if (last)
            break;
        escapes = true;
        rc = unescape(r);
    }
    if (rc == LF_OK && r->text.rc != LF_OK)
        rc = lf_fail(r->diag, r->text.rc, "no memory for a string");
    if (rc == LF_OK && lf_utf8_valid(out->s, out->n) < out->n)
        rc = lf_json_reader_fail(r, "a string that is not UTF-8");
    return rc;
}

enum lf_err lf_json_reader_key(struct lf_json_reader *r, struct lf_str *out)
{
    return lf_json_reader_string(r, out) ?: lf_json_reader_expect(r, ':');
}

enum lf_err lf_json_reader_uint(struct lf_json_reader *r, uint32_t *out)
{
    char c = lf_json_reader_peek(r);
    size_t start = r->i;
    uint32_t value = 0;
    for (; r->i < r->n && r->s[r->i] >= '0' && r->s[r->i] <= '9' && r->i - start < 9; r->i++)
        value = 10 * value + (uint32_t)(r->s[r->i] - '0');
    char after = r->i < r->n ? r->s[r->i] : '\0';
    bool ends = !strchr(".eE0123456789+-", after) || after == '\0';
    if (r->i == start || !ends || (c == '0' && r->i - start > 1))
        return lf_json_reader_fail(r, "expected a token id");
    *out = value;
    return LF_OK;
}

/* Passes over a string without looking at its escapes; r->i is at its quote. */
static enum lf_err skip_string(struct lf_json_reader *r)
{
    for (r->i++; r->i < r->n; r->i++) {
        if (r->s[r->i] == '\\')
            r->i++;
        else if (r->s[r->i] == '"')
            break;
    }
    if (r->i >= r->n) {
        r->i = r->n;
        return lf_json_reader_fail(r, "a string without end");
    }
    r->i++;
    return LF_OK;
}

enum lf_err lf_json_reader_skip(struct lf_json_reader *r, struct lf_str *out)
{
    char c = lf_json_reader_peek(r);
    size_t start = r->i, depth = 0;
    do {
        if (r->i >= r->n || (depth == 0 && (c == ',' || c == ']' || c == '}' || c == ':')))
            return lf_json_reader_fail(r, "expected a value");
        if (c == '"') {
            enum lf_err rc = skip_string(r);
            if (rc != LF_OK)
                return rc;
        } else if (c == '{' || c == '[') {
            depth++;
            r->i++;
        } else if (c == '}' || c == ']') {
            depth--;
            r->i++;
        } else if (depth > 0) {
            r->i++;
        } else { /* a number or a word */
            while (r->i < r->n && !strchr(",]} \n\r\t", r->s[r->i]))
                r->i++;
        }
        c = r->i < r->n ? r->s[r->i] : '\0';
    } while (depth > 0);
    *out = (struct lf_str){r->s + start, r->i - start};
    return LF_OK;
}

enum lf_err lf_json_reader_end(struct lf_json_reader *r)
{
    lf_json_reader_peek(r);
    return r->i == r->n ? LF_OK : lf_json_reader_fail(r, "trailing bytes");
}

enum lf_err lf_json_reader_member(struct lf_str *out, const char *s, size_t n, const char *key,
                                  struct lf_diag *diag)
{
    struct lf_json_reader r;
    struct lf_str found = {0}, name, value;
    lf_json_reader_init(&r, s, n, diag);
    enum lf_err rc = lf_json_reader_expect(&r, '{');
    for (size_t count = 0; rc == LF_OK; count++) {
        bool more;
        rc = lf_json_reader_more(&r, '}', count, &more);
        if (rc != LF_OK || !more)
            break;
        rc = lf_json_reader_key(&r, &name);
        bool is = rc == LF_OK && lf_str_is(name, key);
        rc = rc ?: lf_json_reader_skip(&r, &value);
        if (rc == LF_OK && is)
            found = value;
    }
    rc = rc ?: lf_json_reader_end(&r);
    lf_json_reader_free(&r);
    if (rc == LF_OK)
        *out = found;
    return rc;
}

enum lf_err lf_json_reader_value(json_t **out, struct lf_str text, const char *key,
                                 struct lf_diag *diag)
{
    struct lf_str range = {0};
    *out = NULL;
    enum lf_err rc = text.n > 0 ? lf_json_reader_member(&range, text.s, text.n, key, diag) : LF_OK;
    if (rc == LF_OK && range.n > 0)
        rc = lf_json_parse(out, range.s, range.n, diag);
    if (rc == LF_OK && json_is_null(*out))
        *out = NULL;
    return rc;
}
