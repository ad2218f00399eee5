/* Delimited text: CSV (RFC 4180: quoted fields may hold the delimiter, quotes doubled, and line
 * breaks) and TSV. A record at a time over a whole text in memory; bounded by that text. */
#ifndef LF_CONTAINER_CSV_H
#define LF_CONTAINER_CSV_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_csv {
    const char *text;
    size_t n, at;
    char delimiter; /* ',' or '\t' */
    bool quotes;    /* '"' quotes a field (CSV); TSV files of GLUE use '"' as a letter */
    int64_t line;   /* of the record last read, from 1 */
    int64_t lines_seen;
    struct lf_buf bytes; /* the fields of the record, each ending in a NUL */
    size_t *start;       /* (cap) offsets into bytes */
    size_t n_fields, cap;
};

/* text stays the caller's and must outlive the reader. A UTF-8 byte order mark is skipped. */
void lf_csv_init(struct lf_csv *c, const char *text, size_t n, char delimiter, bool quotes);
void lf_csv_free(struct lf_csv *c);
/* The next record; *more false at the end (blank lines are passed over). LF_E_INVALID names the
 * line of a quote that never closes or of text after a closing quote. */
enum lf_err lf_csv_next(struct lf_csv *c, bool *more, struct lf_diag *diag) LF_MUST_CHECK;
/* Field i of the record, valid until the next one; "" past the last. */
const char *lf_csv_field(const struct lf_csv *c, size_t i);
/* Appends a field, quoted where it must be. */
enum lf_err lf_csv_put(struct lf_buf *out, const char *field);

#endif
