/* The growable buffer. */
#include "core/buf.h"

#include "core/limits.h"
#include "core/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lf_buf_init(struct lf_buf *b, size_t max)
{
    *b = (struct lf_buf){.max = max};
}

void lf_buf_free(struct lf_buf *b)
{
    free(b->data);
    lf_buf_init(b, b->max);
}

void lf_buf_reset(struct lf_buf *b)
{
    b->len = 0;
    b->rc = LF_OK;
    if (b->data)
        b->data[0] = '\0';
}

static enum lf_err buf_reserve(struct lf_buf *b, size_t extra)
{
    if (b->rc != LF_OK)
        return b->rc;
    size_t max = b->max ? b->max : LF_BUF_BYTES_MAX;
    if (extra > max - b->len)
        return b->rc = LF_E_TOO_BIG;
    size_t need = b->len + extra + 1;
    if (need <= b->cap)
        return LF_OK;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    char *p = realloc(b->data, cap);
    if (!p)
        return b->rc = LF_E_NO_MEMORY;
    b->data = p;
    b->cap = cap;
    return LF_OK;
}

enum lf_err lf_buf_append(struct lf_buf *b, const void *data, size_t n)
{
    if (buf_reserve(b, n) != LF_OK)
        return b->rc;
    if (n)
        memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
    return LF_OK;
}

enum lf_err lf_buf_puts(struct lf_buf *b, const char *s)
{
    return lf_buf_append(b, s, strlen(s));
}

enum lf_err lf_buf_putc(struct lf_buf *b, char c)
{
    return lf_buf_append(b, &c, 1);
}

static enum lf_err vprint(struct lf_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && buf_reserve(b, (size_t)n) == LF_OK) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return b->rc;
}

enum lf_err lf_buf_printf(struct lf_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    enum lf_err rc = vprint(b, fmt, ap);
    va_end(ap);
    return rc;
}

enum lf_err lf_buf_json(struct lf_buf *b, const char *s, size_t n)
{
    lf_buf_putc(b, '"');
    for (size_t i = 0; i < n;) {
        size_t k = lf_utf8_len(s + i, n - i);
        if (k == 0) {
            lf_buf_puts(b, "\\ufffd");
            k = 1;
        } else if (s[i] == '"' || s[i] == '\\') {
            lf_buf_printf(b, "\\%c", s[i]);
        } else if ((unsigned char)s[i] < 0x20) {
            lf_buf_printf(b, "\\u%04x", (unsigned)s[i]);
        } else {
            lf_buf_append(b, s + i, k);
        }
        i += k;
    }
    return lf_buf_putc(b, '"');
}

enum lf_err lf_buf_xml(struct lf_buf *b, const char *s)
{
    static const char marks[] = "&<>\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
    size_t n = strlen(s);
    for (size_t i = 0; i < n;) {
        size_t k = lf_utf8_len(s + i, n - i);
        const char *mark = strchr(marks, s[i]);
        if (k == 0 || ((unsigned char)s[i] < 0x20 && !strchr("\t\n\r", s[i])))
            lf_buf_puts(b, "\xef\xbf\xbd");
        else if (mark)
            lf_buf_puts(b, names[mark - marks]);
        else
            lf_buf_append(b, s + i, k);
        i += k ? k : 1;
    }
    return b->rc;
}

enum lf_err lf_buf_utf8(struct lf_buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t ok = lf_utf8_valid(s + i, n - i);
        lf_buf_append(b, s + i, ok);
        i += ok;
        if (i < n) {
            lf_buf_puts(b, "\xef\xbf\xbd");
            i += lf_utf8_part(s + i, n - i);
        }
    }
    return b->rc;
}

void lf_buf_drop_front(struct lf_buf *b, size_t n)
{
    if (!b->data || n == 0)
        return;
    if (n > b->len)
        n = b->len;
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

char *lf_buf_take(struct lf_buf *b, size_t *len)
{
    if (!b->data && buf_reserve(b, 0) == LF_OK)
        b->data[0] = '\0';
    char *p = b->data;
    if (len)
        *len = b->len;
    b->data = NULL;
    lf_buf_free(b);
    return p;
}
