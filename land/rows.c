/* Publishers' files: opened, inflated, converted to UTF-8, and handed to the format's reader. */
#include "land/rows.h"

#include "container/container.h"
#include "core/file.h"
#include "core/utf8.h"
#include "land/limits.h"
#include "land/rows_inside.h"

#include <iconv.h>
#include <string.h>
#include <zlib.h>

json_t *lf_rows_string(const char *s, size_t n)
{
    json_t *out = json_stringn(s, n);
    if (out || lf_utf8_valid(s, n) == n)
        return out;
    lf_buf_auto b = {0};
    out = lf_buf_utf8(&b, s, n) == LF_OK ? json_stringn(b.data, b.len) : NULL;
    return out;
}

enum lf_err lf_rows_give(const struct lf_rows *r, json_t *row, int64_t line, struct lf_diag *diag)
{
    if (!row)
        return lf_no_memory(diag, "a row");
    enum lf_err rc = r->fn(r->arg, row, line, diag);
    json_decref(row);
    if (rc != LF_OK && rc != LF_E_CANCELLED && line > 0)
        lf_fail_within(diag, rc, "line %lld", (long long)line);
    return rc;
}

/* ---- Formats --------------------------------------------------------------------------------- */

static enum lf_err read_csv(const struct lf_rows *r, const char *text, size_t n,
                            struct lf_diag *diag)
{
    return lf_rows_csv(r, text, n, ',', true, diag);
}

static enum lf_err read_tsv(const struct lf_rows *r, const char *text, size_t n,
                            struct lf_diag *diag)
{
    return lf_rows_csv(r, text, n, '\t', r->form->quotes, diag);
}

static const struct format {
    const char *name;
    /* NULL: it is no text, and read from its file. */
    enum lf_err (*read)(const struct lf_rows *r, const char *text, size_t n, struct lf_diag *diag);
    json_type rows; /* of the form's "rows"; NULL: it has none */
} formats[] = {
    {"csv", read_csv, JSON_NULL},        {"tsv", read_tsv, JSON_NULL},
    {"jsonl", lf_rows_jsonl, JSON_NULL}, {"json", lf_rows_json, JSON_ARRAY},
    {"xml", lf_rows_xml, JSON_STRING},   {"sgml", lf_rows_sgml, JSON_STRING},
    {"conll", lf_rows_conll, JSON_NULL}, {"rows", NULL, JSON_NULL},
};
#define FORMATS "csv, tsv, jsonl, json, xml, sgml, conll, rows"

static const struct format *find(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

static bool is_strings(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            return false;
    return json_is_array(list);
}

enum lf_err lf_rows_check(const struct lf_rows_form *form, struct lf_diag *diag)
{
    const struct format *f = find(form->format);
    if (!f)
        return lf_fail(diag, LF_E_INVALID, "\"format\" is \"%.40s\"; it must be one of: " FORMATS,
                       form->format);
    bool xml = f->rows == JSON_STRING;
    if (xml ? !json_is_string(form->rows)
            : form->rows && (f->rows == JSON_NULL || !is_strings(form->rows)))
        return lf_fail(diag, LF_E_INVALID, "\"rows\" of %s must be %s", f->name,
                       xml                     ? "the name of an element"
                       : f->rows == JSON_ARRAY ? "a list of names and \"*\""
                                               : "left out");
    if (form->columns && (!is_strings(form->columns) || json_array_size(form->columns) == 0))
        return lf_fail(diag, LF_E_INVALID, "\"columns\" must be a list of names");
    if (form->encoding[0] == '\0')
        return LF_OK;
    iconv_t c = iconv_open("UTF-8", form->encoding);
    if (c == (iconv_t)-1)
        return lf_fail(diag, LF_E_INVALID, "\"encoding\" \"%.40s\" is not known", form->encoding);
    iconv_close(c);
    return LF_OK;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static enum lf_err convert(struct lf_buf *out, const char *text, size_t n, const char *encoding,
                           struct lf_diag *diag)
{
    iconv_t c = iconv_open("UTF-8", encoding);
    char *in = (char *)(uintptr_t)text;
    if (c == (iconv_t)-1)
        return lf_fail(diag, LF_E_INVALID, "\"encoding\" \"%.40s\" is not known", encoding);
    while (n > 0 && out->rc == LF_OK) {
        char chunk[8192], *to = chunk;
        size_t room = sizeof chunk;
        bool stuck = iconv(c, &in, &n, &to, &room) == (size_t)-1 && errno != E2BIG;
        lf_buf_append(out, chunk, (size_t)(to - chunk));
        if (stuck) { /* bytes that the encoding does not have */
            lf_buf_puts(out, "\xef\xbf\xbd");
            in++;
            n--;
        }
    }
    iconv_close(c);
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "no memory for the text");
}

enum lf_err lf_rows_parse(const char *text, size_t n, const struct lf_rows_form *form,
                          lf_rows_fn fn, void *arg, struct lf_diag *diag)
{
    struct lf_rows r = {form, fn, arg};
    enum lf_err rc = lf_rows_check(form, diag);
    if (rc == LF_OK && !find(form->format)->read)
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "\"%s\" is read from files", form->format);
    if (rc != LF_OK || form->encoding[0] == '\0' || lf_utf8_valid(text, n) == n)
        return rc ?: find(form->format)->read(&r, text, n, diag);
    lf_buf_auto utf8 = {.max = LF_INFLATED_BYTES_MAX};
    rc = convert(&utf8, text, n, form->encoding, diag);
    return rc ?: find(form->format)->read(&r, lf_buf_str(&utf8), utf8.len, diag);
}

static enum lf_err inflate_file(struct lf_buf *out, const char *path, struct lf_diag *diag)
{
    gzFile f = gzopen(path, "rb");
    char chunk[1 << 16];
    int n = 0;
    if (!f)
        return lf_fail_errno(diag, errno ? errno : ENOMEM, "cannot be opened");
    while (out->rc == LF_OK && (n = gzread(f, chunk, sizeof chunk)) > 0)
        lf_buf_append(out, chunk, (size_t)n);
    int trouble = Z_OK;
    gzerror(f, &trouble);
    gzclose(f);
    if (out->rc != LF_OK)
        return lf_fail(diag, out->rc, "inflates to more than %llu bytes",
                       (unsigned long long)LF_INFLATED_BYTES_MAX);
    return n < 0 || trouble != Z_OK ? lf_fail(diag, LF_E_DAMAGED, "is no whole gzip file") : LF_OK;
}

/* ---- A file ---------------------------------------------------------------------------------- */

struct named {
    lf_rows_fn fn;
    void *arg;
    const char *name;
    size_t n;
};

static enum lf_err name_row(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    const struct named *x = arg;
    if (!json_object_get(row, "file") &&
        json_object_set_new(row, "file", lf_rows_string(x->name, x->n)) != 0)
        return lf_no_memory(diag, "a row");
    return x->fn(x->arg, row, line, diag);
}

static enum lf_err read_container(const char *path, lf_rows_fn fn, void *arg, struct lf_diag *diag)
{
    struct lf_container *c;
    json_t *row = NULL;
    int64_t place;
    enum lf_err rc = lf_container_open(&c, path, diag);
    if (rc != LF_OK)
        return rc;
    while (rc == LF_OK && (rc = lf_container_next(c, &row, &place, diag)) == LF_OK && row) {
        struct lf_rows r = {NULL, fn, arg};
        if (json_is_object(row)) {
            rc = lf_rows_give(&r, row, place, diag);
        } else {
            json_decref(row);
            rc = lf_fail(diag, LF_E_INVALID, "row %lld is no object", (long long)place);
        }
    }
    lf_container_close(c);
    return rc;
}

enum lf_err lf_rows_read(const char *path, const struct lf_rows_form *form, lf_rows_fn fn,
                         void *arg, struct lf_diag *diag)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    struct named x = {fn, arg, base, strcspn(base, ".")};
    size_t len = strlen(path);
    lf_mapping_auto m = {0};
    lf_buf_auto inflated = {.max = LF_INFLATED_BYTES_MAX};
    enum lf_err rc = lf_rows_check(form, diag);
    if (rc != LF_OK)
        return rc;
    if (!find(form->format)->read) {
        rc = read_container(path, name_row, &x, diag);
    } else if (len > 3 && strcmp(path + len - 3, ".gz") == 0) {
        rc = inflate_file(&inflated, path, diag);
        if (rc == LF_OK)
            rc = lf_rows_parse(lf_buf_str(&inflated), inflated.len, form, name_row, &x, diag);
    } else {
        rc = lf_file_map(&m, path, diag);
        if (rc != LF_OK)
            return rc;
        rc = lf_rows_parse(m.data, m.bytes, form, name_row, &x, diag);
    }
    return rc == LF_OK || rc == LF_E_CANCELLED ? rc : lf_fail_within(diag, rc, "%s", path);
}
