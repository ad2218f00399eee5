/* Parts of a text. */
#include "score/spans.h"

#include "core/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct lf_span lf_span_trim(struct lf_span t, const char *set)
{
    while (t.n > 0 && lf_is_in(t.s[0], set)) {
        t.s++;
        t.n--;
    }
    while (t.n > 0 && lf_is_in(t.s[t.n - 1], set))
        t.n--;
    return t;
}

bool lf_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return c == 0x85 || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL ||
           k == UTF8PROC_CATEGORY_ZP;
}

/* Bytes of the white space at the end of t, or 0. */
static size_t space_before_end(struct lf_span t)
{
    size_t n = 1;
    while (n < t.n && n < 4 && ((unsigned char)t.s[t.n - n] & 0xc0) == 0x80)
        n++;
    const char *at = t.s + t.n - n;
    size_t len = lf_utf8_len(at, n);
    return len == n && lf_is_space(lf_utf8_get(at, &len)) ? n : 0;
}

struct lf_span lf_span_whole(const char *text)
{
    struct lf_span t = {text, strlen(text)};
    for (size_t n = 1; t.n > 0 && n > 0;) {
        n = lf_utf8_len(t.s, t.n);
        n = n > 0 && lf_is_space(lf_utf8_get(t.s, &n)) ? n : 0;
        t.s += n;
        t.n -= n;
    }
    for (size_t n = 1; t.n > 0 && n > 0; t.n -= n)
        n = space_before_end(t);
    return t;
}

bool lf_span_number(struct lf_span t, double *x)
{
    char text[64], *end;
    if (t.n == 0 || t.n >= sizeof text || !lf_is_in(t.s[0], "+-.0123456789") ||
        memchr(t.s, 'x', t.n) || memchr(t.s, 'X', t.n))
        return false;
    memcpy(text, t.s, t.n);
    text[t.n] = '\0';
    *x = strtod(text, &end);
    return *end == '\0' && isfinite(*x);
}

/* The next code point in lower case; bytes that are not UTF-8 come as 0x110000 and more, each byte
 * as itself. */
static uint32_t take_lower(struct lf_span *t)
{
    size_t n = lf_utf8_len(t->s, t->n);
    uint32_t c = n ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)lf_utf8_get(t->s, &n))
                   : 0x110000u + (unsigned char)t->s[0];
    n = n ? n : 1;
    t->s += n;
    t->n -= n;
    return c;
}

bool lf_span_same(struct lf_span a, struct lf_span b)
{
    while (a.n > 0 && b.n > 0)
        if (take_lower(&a) != take_lower(&b))
            return false;
    return a.n == b.n;
}

enum lf_err lf_span_lower(struct lf_buf *out, struct lf_span t)
{
    while (t.n > 0) {
        char utf8[4];
        uint32_t c = take_lower(&t);
        lf_buf_append(out, utf8, lf_utf8_put(utf8, c < 0x110000 ? c : 0xfffd));
    }
    return out->rc;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

struct lf_span lf_first_number(const char *text)
{
    const char *s = text + strcspn(text, "0123456789"), *at = s;
    for (int i = 0; i < 3 && digit(*at); i++)
        at++;
    while (at > s && *at == ',' && digit(at[1]) && digit(at[2]) && digit(at[3]))
        at += 4;
    if (at > s && *at == '.' && digit(at[1]))
        for (at++; digit(*at);)
            at++;
    return (struct lf_span){s, (size_t)(at - s)};
}
