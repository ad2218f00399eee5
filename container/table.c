/* Tables: CSV and its like, a record at a time. */
#include "container/inside.h"

#include "core/json.h"
#include "core/limits.h"
#include "core/utf8.h"

#include <string.h>

void lf_text_rows_free(struct lf_text_rows *t)
{
    lf_lines_close(&t->lines);
    lf_csv_free(&t->csv);
    json_decref(t->names);
}

/* The next record is in t->csv. A record is whole where something stands behind it, or nothing will
 * come: until then more is read, twice as much each time, so that what is read again stays a part
 * of all. */
static enum lf_err next_record(struct lf_text_rows *t, bool *more, struct lf_diag *diag)
{
    struct lf_lines *l = &t->lines;
    int64_t seen = t->csv.lines_seen;
    for (size_t want = LF_HEADER_SEEN;; want *= 2) {
        struct lf_diag why = {""};
        enum lf_err rc = lf_lines_need(l, want, diag);
        if (rc != LF_OK)
            return rc;
        t->csv.text = l->buf.data + l->used;
        t->csv.n = l->buf.len - l->used;
        t->csv.at = 0;
        t->csv.lines_seen = seen;
        rc = lf_csv_next(&t->csv, more, &why);
        bool whole = rc == LF_OK && t->csv.at < t->csv.n;
        if (whole || l->source.at_end || t->csv.n >= LF_DATASET_LINE_MAX) {
            if (rc == LF_OK && !whole && !l->source.at_end)
                return lf_fail(diag, LF_E_TOO_BIG, "line %lld: longer than %u bytes",
                               (long long)t->csv.line, LF_DATASET_LINE_MAX);
            l->used += t->csv.at;
            return rc == LF_OK ? rc : lf_fail(diag, rc, "%s", why.text);
        }
    }
}

/* Bytes of field i, which may have a NUL in it. */
static size_t field_bytes(const struct lf_csv *c, size_t i)
{
    size_t end = i + 1 < c->n_fields ? c->start[i + 1] : c->bytes.len;
    return end - c->start[i] - 1;
}

static enum lf_err put_text(json_t *row, const char *name, const struct lf_csv *c, size_t i,
                            struct lf_diag *diag)
{
    const char *s = lf_csv_field(c, i);
    size_t n = field_bytes(c, i);
    if (lf_utf8_valid(s, n) < n)
        return lf_fail(diag, LF_E_INVALID, "line %lld: it is not UTF-8", (long long)c->line);
    return json_object_set_new(row, name, json_stringn(s, n)) == 0 ? LF_OK
                                                                   : lf_no_memory(diag, "a row");
}

/* Columns whose values are lists, which a table has as text. */
static bool is_list(const char *name)
{
    static const char *const names[] = {"messages",  "conversations", "tools",
                                        "input_ids", "labels",        "attention_mask"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static enum lf_err put_field(json_t *row, const char *name, const struct lf_csv *c, size_t i,
                             struct lf_diag *diag)
{
    json_t *v = NULL;
    if (i >= c->n_fields)
        v = json_null();
    else if (is_list(name) && lf_csv_field(c, i)[0] == '[' &&
             lf_json_parse(&v, lf_csv_field(c, i), field_bytes(c, i), NULL) != LF_OK)
        v = NULL;
    if (!v)
        return put_text(row, name, c, i, diag);
    return json_object_set_new(row, name, v) == 0 ? LF_OK : lf_no_memory(diag, "a row");
}

/* A column's name without the blanks that people write after commas; yours, NULL: out of memory. */
static json_t *trimmed(const json_t *name)
{
    const char *s = json_string_value(name);
    size_t n = json_string_length(name), first = strspn(s, " ");
    while (n > first && s[n - 1] == ' ')
        n--;
    return json_stringn(s + first, n - first);
}

/* The first record names the columns; one without a name, as pandas' index has it, is none. */
static enum lf_err read_names(struct lf_text_rows *t, struct lf_diag *diag)
{
    bool more;
    json_auto_t *seen = json_object();
    t->names = json_array();
    t->csv.delimiter = t->delimiter;
    t->csv.quotes = true;
    enum lf_err rc =
        t->names && seen ? next_record(t, &more, diag) : lf_no_memory(diag, "the columns' names");
    for (size_t i = 0; i < t->csv.n_fields && rc == LF_OK; i++) {
        rc = put_text(seen, " ", &t->csv, i, diag);
        if (rc == LF_OK &&
            json_array_append_new(t->names, trimmed(json_object_get(seen, " "))) != 0)
            rc = lf_no_memory(diag, "the columns' names");
        const char *name = rc == LF_OK ? json_string_value(json_array_get(t->names, i)) : "";
        if (*name && json_object_get(seen, name))
            return lf_fail(diag, LF_E_INVALID, "line %lld: two columns are called \"%.60s\"",
                           (long long)t->csv.line, name);
        if (*name && json_object_set_new(seen, name, json_true()) != 0)
            rc = lf_no_memory(diag, "the columns' names");
    }
    return rc;
}

enum lf_err lf_table_next(struct lf_text_rows *t, json_t **row, int64_t *place,
                          struct lf_diag *diag)
{
    bool more = false;
    *row = NULL;
    enum lf_err rc = t->names ? LF_OK : read_names(t, diag);
    rc = rc ?: next_record(t, &more, diag);
    if (rc != LF_OK || !more)
        return rc;
    size_t n = json_array_size(t->names);
    *place = t->csv.line;
    if (t->csv.n_fields > n)
        return lf_fail(diag, LF_E_INVALID, "line %lld: %zu fields, but %zu columns",
                       (long long)t->csv.line, t->csv.n_fields, n);
    json_auto_t *r = json_object();
    if (!r)
        return lf_no_memory(diag, "a row");
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        const char *name = json_string_value(json_array_get(t->names, i));
        if (*name)
            rc = put_field(r, name, &t->csv, i, diag);
    }
    if (rc == LF_OK)
        *row = json_incref(r);
    return rc;
}
