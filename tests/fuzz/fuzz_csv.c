/* LIBS: lf_land */
/* Any bytes as CSV, and as TSV: every record's fields are strings, and a record that is written and
 * read again is the same. */
#include "container/csv.h"
#include "container/limits.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void there_and_back(const struct lf_csv *c)
{
    struct lf_buf line;
    struct lf_csv again;
    struct lf_diag diag;
    bool more;
    lf_buf_init(&line, 0);
    lf_buf_puts(&line, "head\n"); /* a byte order mark is one at the start only */
    for (size_t i = 0; i < c->n_fields; i++) {
        if (i > 0)
            lf_buf_putc(&line, ',');
        lf_assert(lf_csv_put(&line, lf_csv_field(c, i)) == LF_OK);
    }
    lf_buf_putc(&line, '\n');
    lf_csv_init(&again, line.data, line.len, ',', true);
    lf_assert(lf_csv_next(&again, &more, &diag) == LF_OK && more && again.n_fields == 1);
    lf_assert(lf_csv_next(&again, &more, &diag) == LF_OK);
    if (more) {
        lf_assert(again.n_fields == c->n_fields);
        for (size_t i = 0; i < c->n_fields; i++)
            lf_assert(strcmp(lf_csv_field(&again, i), lf_csv_field(c, i)) == 0);
    } else { /* a blank line is no record */
        lf_assert(c->n_fields <= 1 && lf_csv_field(c, 0)[0] == '\0');
    }
    lf_csv_free(&again);
    lf_buf_free(&line);
}

static void read_all(const char *text, size_t n, char delimiter, bool quotes)
{
    struct lf_csv c;
    struct lf_diag diag = {""};
    bool more = true;
    enum lf_err rc = LF_OK;
    lf_csv_init(&c, text, n, delimiter, quotes);
    while (rc == LF_OK && more) {
        rc = lf_csv_next(&c, &more, &diag);
        if (rc != LF_OK || !more)
            break;
        lf_assert(c.n_fields >= 1 && c.n_fields <= LF_CSV_FIELDS_MAX && c.line >= 1);
        lf_assert(*lf_csv_field(&c, c.n_fields) == '\0');
        there_and_back(&c);
    }
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    lf_csv_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    read_all((const char *)data, n, ',', true);
    read_all((const char *)data, n, '\t', false);
    return 0;
}
