/* Strings as Python has them: by code points, with Unicode's white space and letter cases. */
#include "text/chat/value.h"

#include "core/utf8.h"
#include "text/limits.h"

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

/* --- letters --- */

/* Letters whose other case is several letters, or depends on their place (Greek, ligatures). */
static bool is_odd_letter(uint32_t c, enum lf_jcase how)
{
    if (how == LF_J_LOWER)
        return c == 0x3a3 || c == 0x130;
    return c == 0x149 || c == 0x1f0 || c == 0x390 || c == 0x3b0 || c == 0x587 ||
           (c >= 0x1e96 && c <= 0x1e9a) || (c >= 0x1f50 && c <= 0x1ffc) ||
           (c >= 0xfb00 && c <= 0xfb17);
}

static void put_letter(struct lf_buf *out, uint32_t c, enum lf_jcase how)
{
    char utf8[4];
    utf8proc_int32_t p = (utf8proc_int32_t)c;
    if (c == 0xdf && how != LF_J_LOWER) /* becomes two letters */
        lf_buf_puts(out, how == LF_J_UPPER ? "SS" : "Ss");
    else
        lf_buf_append(out, utf8,
                      lf_utf8_put(utf8, (uint32_t)(how == LF_J_LOWER   ? utf8proc_tolower(p)
                                                   : how == LF_J_UPPER ? utf8proc_toupper(p)
                                                                       : utf8proc_totitle(p))));
}

struct lf_jv lf_j_change_case(struct lf_jrun *r, struct lf_jv s, enum lf_jcase how)
{
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    bool after_letter = false;
    for (size_t i = 0, len; i < s.s.n; i += len) {
        uint32_t c = lf_utf8_get(s.s.s + i, &len);
        bool starts = how == LF_J_CAPITALIZE ? i == 0 : how == LF_J_TITLE && !after_letter;
        enum lf_jcase as = how == LF_J_UPPER ? how : starts ? LF_J_TITLE : LF_J_LOWER;
        if (is_odd_letter(c, as))
            lf_j_fail(r, LF_E_UNSUPPORTED, "another case of U+%04X is not supported", c);
        put_letter(&b, c, as);
        utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)c);
        after_letter = kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LT;
    }
    struct lf_jv out = lf_jv_take(r, &b);
    out.markup = s.markup;
    return out;
}

bool lf_j_is_printable(uint32_t c)
{
    if (c < 0x80)
        return c >= ' ' && c < 0x7f;
    utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)c);
    return kind != UTF8PROC_CATEGORY_CN && kind < UTF8PROC_CATEGORY_ZS;
}

void lf_j_escape(struct lf_buf *out, struct lf_str s)
{
    static const char chars[] = "&<>'\"";
    static const char *const as[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    for (size_t i = 0; i < s.n; i++) {
        const char *at = memchr(chars, s.s[i], sizeof chars - 1);
        if (at)
            lf_buf_puts(out, as[at - chars]);
        else
            lf_buf_putc(out, s.s[i]);
    }
}

struct lf_jv lf_j_replace(struct lf_jrun *r, struct lf_str s, struct lf_str old, struct lf_str new,
                          int64_t most)
{
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    for (size_t len; most != 0 && b.rc == LF_OK; most -= most > 0) {
        const char *hit = memmem(s.s, s.n, old.s, old.n);
        if (!hit)
            break;
        size_t at = (size_t)(hit - s.s) + old.n;
        lf_buf_append(&b, s.s, at - old.n);
        lf_buf_append(&b, new.s, new.n);
        if (old.n == 0 && s.n == 0)
            break;
        if (old.n == 0) { /* between all characters */
            lf_utf8_get(s.s, &len);
            lf_buf_append(&b, s.s, len);
            at = len;
        }
        s.s += at;
        s.n -= at;
    }
    lf_buf_append(&b, s.s, s.n);
    return lf_jv_take(r, &b);
}

/* --- made --- */

struct lf_jv lf_jv_copy(struct lf_jrun *r, struct lf_str s)
{
    char *p = lf_j_alloc(r, s.n + 1);
    lf_j_spend(r, s.n);
    if (!p)
        return lf_jv_undefined(NULL);
    if (s.n)
        memcpy(p, s.s, s.n);
    return lf_jv_str((struct lf_str){p, s.n});
}

struct lf_jv lf_jv_take(struct lf_jrun *r, struct lf_buf *b)
{
    if (b->rc != LF_OK)
        lf_j_fail(r, b->rc, "a text is over the limit");
    struct lf_jv v = lf_jv_copy(r, (struct lf_str){b->data, b->len});
    lf_buf_free(b);
    return v;
}
