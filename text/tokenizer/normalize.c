/* Normalizers: text in, text out. A step that changes nothing copies nothing. */
#include "core/utf8.h"
#include "text/tokenizer/parts.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* The buffer to write next, empty. The text in flight is never in it. */
static struct lf_buf *next_buf(struct lf_tok_scratch *x)
{
    struct lf_buf *b = &x->norm[x->norm_at ^= 1];
    lf_buf_reset(b);
    return b;
}

static enum lf_err take(struct lf_str *text, const struct lf_buf *b, struct lf_diag *diag)
{
    if (b->rc != LF_OK)
        return lf_fail(diag, b->rc, "no room to normalise the text");
    *text = (struct lf_str){b->len ? b->data : "", b->len};
    return LF_OK;
}

static enum lf_err prepend(const struct lf_tok_norm *step, struct lf_tok_scratch *x,
                           struct lf_str *text, struct lf_diag *diag)
{
    if (text->n == 0)
        return LF_OK;
    struct lf_buf *out = next_buf(x);
    lf_buf_append(out, step->text.s, step->text.n);
    lf_buf_append(out, text->s, text->n);
    return take(text, out, diag);
}

enum lf_err lf_tok_replace(struct lf_buf *out, const struct lf_tok_pattern *pattern,
                           struct lf_str by, struct lf_str text, pcre2_match_data **match,
                           struct lf_diag *diag)
{
    struct lf_tok_search s = {pattern, text, 0, SIZE_MAX, match};
    bool found = text.n > 0;
    size_t done = 0, start, end;
    while (found) {
        enum lf_err rc = lf_tok_search_next(&s, &found, &start, &end, diag);
        if (rc != LF_OK)
            return rc;
        if (found) {
            lf_buf_append(out, text.s + done, start - done);
            lf_buf_append(out, by.s, by.n);
            done = end;
        }
    }
    lf_buf_append(out, text.s + done, text.n - done);
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "no room to replace in the text");
}

static enum lf_err replace(const struct lf_tok_norm *step, struct lf_tok_scratch *x,
                           struct lf_str *text, struct lf_diag *diag)
{
    struct lf_buf *out = next_buf(x);
    enum lf_err rc = lf_tok_replace(out, &step->pattern, step->text, *text, &x->match, diag);
    return rc ?: take(text, out, diag);
}

/* Rust's char::to_lowercase: U+0130 is the one letter that becomes two. */
static enum lf_err lowercase(struct lf_tok_scratch *x, struct lf_str *text, struct lf_diag *diag)
{
    struct lf_buf *out = next_buf(x);
    size_t len;
    for (size_t i = 0; i < text->n; i += len) {
        uint32_t c = lf_utf8_get(text->s + i, &len);
        char utf8[4];
        uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)lf_tok_new_lower(c));
        if (c == 0x130)
            lf_buf_puts(out, "i\xcc\x87");
        else
            lf_buf_append(out, utf8, lf_utf8_put(utf8, lower));
    }
    return take(text, out, diag);
}

static bool is_space(uint32_t c)
{
    return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

size_t lf_tok_spaces_at_start(struct lf_str s)
{
    size_t i = 0, len;
    while (i < s.n && is_space(lf_utf8_get(s.s + i, &len)))
        i += len;
    return i;
}

size_t lf_tok_spaces_at_end(struct lf_str s)
{
    size_t end = s.n;
    while (end > 0) {
        size_t i = end - 1, len;
        while (i > 0 && ((unsigned char)s.s[i] & 0xc0) == 0x80)
            i--;
        if (!is_space(lf_utf8_get(s.s + i, &len)))
            break;
        end = i;
    }
    return s.n - end;
}

static void strip(const struct lf_tok_norm *step, struct lf_str *text, bool *first)
{
    size_t left = step->left ? lf_tok_spaces_at_start(*text) : 0;
    text->s += left;
    text->n -= left;
    if (left > 0)
        *first = false;
    if (step->right)
        text->n -= lf_tok_spaces_at_end(*text);
}

static enum lf_err normalize_run(const struct lf_tok_norm *step, struct lf_buf *out, const char *s,
                                 size_t n, struct lf_diag *diag)
{
    if (n == 0)
        return LF_OK;
    utf8proc_option_t how = UTF8PROC_STABLE;
    how |= step->compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    how |= step->compat ? UTF8PROC_COMPAT : 0;
    utf8proc_uint8_t *done = NULL;
    utf8proc_ssize_t len =
        utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &done, how);
    if (len < 0)
        return lf_fail(diag, LF_E_NO_MEMORY, "Unicode normalisation: %s", utf8proc_errmsg(len));
    lf_buf_append(out, done, (size_t)len);
    free(done);
    return LF_OK;
}

/* Normalises a run, cut at the characters that are to be left alone. */
static enum lf_err normalize_around(const struct lf_tok_norm *step, struct lf_buf *out,
                                    const char *s, size_t n, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    size_t done = 0, len;
    for (size_t i = 0; i < n && rc == LF_OK; i += len) {
        if (!lf_tok_is_unnormalized(lf_utf8_get(s + i, &len)))
            continue;
        rc = normalize_run(step, out, s + done, i - done, diag);
        lf_buf_append(out, s + i, len);
        done = i + len;
    }
    return rc ?: normalize_run(step, out, s + done, n - done, diag);
}

/* Characters below the limit never change nor join with what is before them: ASCII, and for NFC
 * all below U+0300. So the text is cut there, and most of it is copied. */
static enum lf_err unicode(const struct lf_tok_norm *step, struct lf_tok_scratch *x,
                           struct lf_str *text, struct lf_diag *diag)
{
    unsigned char limit = step->compose && !step->compat ? 0xcc : 0x80; /* 0xcc leads U+0300 */
    const unsigned char *s = (const unsigned char *)text->s;
    struct lf_buf *out = NULL;
    size_t done = 0, i = 0, start = 0; /* start: of the last inert character */
    enum lf_err rc = LF_OK;
    while (i < text->n && rc == LF_OK) {
        if (s[i] < limit) {
            if ((s[i] & 0xc0) != 0x80)
                start = i;
            i++;
            continue;
        }
        while (i < text->n && (s[i] >= limit || (s[i] & 0xc0) == 0x80))
            i++;
        if (!out)
            out = next_buf(x);
        lf_buf_append(out, s + done, start - done);
        rc = normalize_around(step, out, text->s + start, i - start, diag);
        done = start = i;
    }
    if (rc != LF_OK || !out)
        return rc;
    lf_buf_append(out, s + done, text->n - done);
    return take(text, out, diag);
}

enum lf_err lf_tok_normalize(const struct lf_tokenizer *t, struct lf_tok_scratch *x,
                             struct lf_str *text, bool *first, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < t->n_norms && rc == LF_OK; i++) {
        const struct lf_tok_norm *step = &t->norms[i];
        switch (step->kind) {
        case LF_TOK_NORM_PREPEND:
            rc = prepend(step, x, text, diag);
            break;
        case LF_TOK_NORM_REPLACE:
            rc = replace(step, x, text, diag);
            break;
        case LF_TOK_NORM_UNICODE:
            rc = unicode(step, x, text, diag);
            break;
        case LF_TOK_NORM_LOWERCASE:
            rc = lowercase(x, text, diag);
            break;
        case LF_TOK_NORM_STRIP:
            strip(step, text, first);
            break;
        }
    }
    return rc;
}
