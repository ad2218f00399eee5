/* Delimited text as rows. */
#include "container/csv.h"
#include "land/rows_inside.h"

#include <string.h>

/* Names of the first record as a list; yours. */
static json_t *header(const struct lf_csv *c)
{
    json_t *names = json_array();
    for (size_t i = 0; i < c->n_fields; i++) {
        const char *name = lf_csv_field(c, i);
        json_array_append_new(names, lf_rows_string(name, strlen(name)));
    }
    return names;
}

static bool is_more(const json_t *name)
{
    return name && strcmp(json_string_value(name), "...") == 0;
}

/* The record's fields under their names. Only where the file names its columns itself may a record
 * be short: it is then the file's own flaw, not a file of another form. */
static enum lf_err make_row(json_t **out, const struct lf_csv *c, const json_t *names, bool given,
                            struct lf_diag *diag)
{
    size_t n = json_array_size(names);
    bool more = is_more(json_array_get(names, n - 1));
    n -= more;
    if ((c->n_fields > n && !more) || (given && c->n_fields < n))
        return lf_fail(diag, LF_E_INVALID, "line %lld: %zu fields, but %zu columns",
                       (long long)c->line, c->n_fields, n);
    json_t *row = json_object();
    int bad = !row;
    for (size_t i = 0; i < n && !bad; i++) {
        const char *field = lf_csv_field(c, i);
        json_t *v = i < c->n_fields ? lf_rows_string(field, strlen(field)) : json_null();
        bad = json_object_set_new(row, json_string_value(json_array_get(names, i)), v);
    }
    if (bad) {
        json_decref(row);
        return lf_no_memory(diag, "a row");
    }
    *out = row;
    return LF_OK;
}

enum lf_err lf_rows_csv(const struct lf_rows *r, const char *text, size_t n, char delimiter,
                        bool quotes, struct lf_diag *diag)
{
    struct lf_csv c;
    json_t *names = json_incref((json_t *)(uintptr_t)r->form->columns);
    lf_csv_init(&c, text, n, delimiter, quotes);
    enum lf_err rc = LF_OK;
    for (bool more = true; rc == LF_OK;) {
        rc = lf_csv_next(&c, &more, diag);
        if (rc != LF_OK || !more)
            break;
        if (!names) {
            names = header(&c);
            if (json_array_size(names) != c.n_fields)
                rc = lf_no_memory(diag, "the columns' names");
            continue;
        }
        json_t *row;
        rc = make_row(&row, &c, names, r->form->columns != NULL, diag);
        rc = rc ?: lf_rows_give(r, row, c.line, diag);
    }
    json_decref(names);
    lf_csv_free(&c);
    return rc;
}
