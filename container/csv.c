/* Delimited text, a record at a time. */
#include "container/csv.h"
#include "core/grow.h"
#include "container/limits.h"

#include <stdlib.h>
#include <string.h>

void lf_csv_init(struct lf_csv *c, const char *text, size_t n, char delimiter, bool quotes)
{
    *c = (struct lf_csv){.text = text, .n = n, .delimiter = delimiter, .quotes = quotes};
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        c->at = 3;
}

void lf_csv_free(struct lf_csv *c)
{
    lf_buf_free(&c->bytes);
    free(c->start);
    *c = (struct lf_csv){0};
}

static enum lf_err field_begin(struct lf_csv *c)
{
    if (c->n_fields == LF_CSV_FIELDS_MAX)
        return LF_E_TOO_BIG;
    if (lf_grow(&c->start, &c->cap, c->n_fields + 1, sizeof *c->start) != LF_OK)
        return LF_E_NO_MEMORY;
    c->start[c->n_fields++] = c->bytes.len;
    return LF_OK;
}

static bool at_end_of_field(const struct lf_csv *c)
{
    char ch = c->at < c->n ? c->text[c->at] : '\n';
    return c->at >= c->n || ch == c->delimiter || ch == '\n' || ch == '\r';
}

/* The inside of a quoted field; `at` stands behind the opening quote. */
static enum lf_err quoted_field(struct lf_csv *c, struct lf_diag *diag)
{
    for (;;) {
        const char *from = c->text + c->at;
        const char *quote = memchr(from, '"', c->n - c->at);
        if (!quote)
            return lf_fail(diag, LF_E_INVALID, "line %lld: a quote never closes",
                           (long long)c->line);
        for (const char *p = from; p < quote; p++)
            c->lines_seen += *p == '\n';
        lf_buf_append(&c->bytes, from, (size_t)(quote - from));
        c->at = (size_t)(quote - c->text) + 1;
        if (c->at < c->n && c->text[c->at] == '"') {
            lf_buf_putc(&c->bytes, '"');
            c->at++;
            continue;
        }
        if (!at_end_of_field(c))
            return lf_fail(diag, LF_E_INVALID, "line %lld: text after a closing quote",
                           (long long)(c->lines_seen + 1));
        return LF_OK;
    }
}

static enum lf_err one_field(struct lf_csv *c, struct lf_diag *diag)
{
    enum lf_err rc = field_begin(c);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "line %lld: more than %d fields", (long long)c->line,
                       LF_CSV_FIELDS_MAX);
    if (c->quotes && c->at < c->n && c->text[c->at] == '"') {
        c->at++;
        rc = quoted_field(c, diag);
    } else {
        size_t from = c->at;
        while (!at_end_of_field(c))
            c->at++;
        lf_buf_append(&c->bytes, c->text + from, c->at - from);
    }
    if (rc == LF_OK && lf_buf_putc(&c->bytes, '\0') != LF_OK)
        rc = lf_fail(diag, c->bytes.rc, "line %lld: no memory", (long long)c->line);
    return rc;
}

/* Passes over "\n", "\r\n" or "\r". */
static void end_of_line(struct lf_csv *c)
{
    if (c->at < c->n && c->text[c->at] == '\r')
        c->at++;
    if (c->at < c->n && c->text[c->at] == '\n')
        c->at++;
    c->lines_seen++;
}

enum lf_err lf_csv_next(struct lf_csv *c, bool *more, struct lf_diag *diag)
{
    while (c->at < c->n && (c->text[c->at] == '\n' || c->text[c->at] == '\r'))
        end_of_line(c);
    lf_buf_reset(&c->bytes);
    c->n_fields = 0;
    c->line = c->lines_seen + 1;
    *more = c->at < c->n;
    if (!*more)
        return LF_OK;
    for (;;) {
        enum lf_err rc = one_field(c, diag);
        if (rc != LF_OK)
            return rc;
        if (c->at >= c->n || c->text[c->at] != c->delimiter)
            break;
        c->at++;
    }
    end_of_line(c);
    return LF_OK;
}

const char *lf_csv_field(const struct lf_csv *c, size_t i)
{
    return i < c->n_fields ? c->bytes.data + c->start[i] : "";
}

enum lf_err lf_csv_put(struct lf_buf *out, const char *field)
{
    if (!strpbrk(field, ",\"\r\n"))
        return lf_buf_puts(out, field);
    lf_buf_putc(out, '"');
    for (const char *p = field; *p; p++) {
        if (*p == '"')
            lf_buf_putc(out, '"');
        lf_buf_putc(out, *p);
    }
    return lf_buf_putc(out, '"');
}
