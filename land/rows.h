/* Rows of a publisher's files, in the formats that publishers ship: each row becomes an object of
 * columns. Bytes from outside: everything is bounded and checked. Any thread, one call at a time.
 *
 *   csv, tsv  a record; columns are named by the first record, or by "columns". Fields are text;
 *             those that a short record lacks are null (but an error under "columns"). In tsv '"'
 *             is a letter unless "quotes".
 *   jsonl     an object a line
 *   json      one document; "rows" says where its rows are: ["*", "qa_pairs", "*"] goes through the
 *             members (or items) of the root, into qa_pairs of each, through its items. A row has
 *             the members of the objects on the way too, and the name of a member as "key".
 *   xml       elements of the name "rows". An element is an object: its attributes are in
 *             "attributes", every child's name holds a list of the children of that name, text is
 *             in "text"; an element of text alone, without attributes, is that text.
 *   sgml      the same, mended first: control characters, bare ampersands, end tags that are
 *             missing or one too many, no root, Latin-1
 *   rows      whatever an adapter takes as its rows (container/container.h): Parquet, JSON lines, a
 *             JSON array, CSV
 *   conll     a token a line, its columns between white space, a sentence up to a blank line:
 *             "tokens" and "tags" (first and last column) are lists, "text" the tokens in a line,
 *             "spans" the entities that BIO tags mark, [{"type", "text"}], "by_tag" the tokens of
 *             every tag but O
 *
 * A name that ends in .gz is inflated first. Every row has the file's name, without its ending, as
 * "file", unless it has a column of that name.
 */
#ifndef LF_LAND_ROWS_H
#define LF_LAND_ROWS_H

#include "core/buf.h"
#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_rows_form {
    const char *format;    /* of the list above */
    const char *encoding;  /* of text that is not UTF-8, as iconv names it; "": none */
    const json_t *columns; /* csv, tsv: names; a last "..." allows more fields; NULL: the first
                              record */
    bool quotes;           /* tsv: '"' quotes a field */
    const json_t *rows;    /* json: list of steps ([]: the root is the row), NULL: its items or
                              members;
                              xml, sgml: the element's name */
};

/* row is borrowed, and may be changed during the call. line: from 1, or 0 where a format has none.
 * LF_E_CANCELLED ends the reading and is what lf_rows_read then returns. */
typedef enum lf_err (*lf_rows_fn)(void *arg, json_t *row, int64_t line, struct lf_diag *diag);

/* Whether the form can be read at all; the reason names the member. */
enum lf_err lf_rows_check(const struct lf_rows_form *form, struct lf_diag *diag) LF_MUST_CHECK;
/* The reason of an error starts with the path, and the line where there is one. */
enum lf_err lf_rows_read(const char *path, const struct lf_rows_form *form, lf_rows_fn fn,
                         void *arg, struct lf_diag *diag) LF_MUST_CHECK;
/* The same over text in memory. */
enum lf_err lf_rows_parse(const char *text, size_t n, const struct lf_rows_form *form,
                          lf_rows_fn fn, void *arg, struct lf_diag *diag) LF_MUST_CHECK;

#endif
