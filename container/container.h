/* Files of rows as people have them, read as a stream of objects: one row in memory at a time. What
 * a file is, its bytes say, whatever its name:
 *
 *   JSON lines     an object a line; blank lines are passed over
 *   a JSON array   [{...}, {...}]
 *   CSV, TSV       a first line that is no JSON and has tabs, commas or semicolons names the
 *                  columns. Fields are texts, quoted as in RFC 4180; those that a short record
 *                  lacks are null; lists in the columns of messages and ids are read as JSON.
 *   Parquet        see container/parquet.h
 *
 * Text may be packed with gzip or zstd and be UTF-16 with a mark (container/source.h). Other files
 * (zip, bzip2, a Git LFS pointer...) are refused by name. Bytes from outside: all is bounded.
 * One thread at a time. */
#ifndef LF_CONTAINER_CONTAINER_H
#define LF_CONTAINER_CONTAINER_H

#include "core/err.h"
#include "core/file.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_container;

/* Yours, free with lf_container_close. */
enum lf_err lf_container_open(struct lf_container **out, const char *path,
                              struct lf_diag *diag) LF_MUST_CHECK;
void lf_container_close(struct lf_container *c);
/* What a large row's values, or a Parquet file's unpacked pages, take comes out of the budget
 * (core/budget.h; or NULL, as it is after lf_container_open) until the next row: LF_E_TOO_BIG,
 * LF_E_OVERLOADED. */
struct lf_budget;
void lf_container_budget(struct lf_container *c, struct lf_budget *b);
/* The next row, yours (json_decref); NULL at the end. *place: its line, or its number in a Parquet
 * file, from 1; lf_container_unit says which. Reasons name the place. A row need not be an object:
 * an item of an array, or a line, is what it is. */
enum lf_err lf_container_next(struct lf_container *c, json_t **row, int64_t *place,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Whether the rows behind one that could not be read can be read: of JSON lines alone, whose
 * *place is also that of a bad line. */
bool lf_container_goes_on(const struct lf_container *c);
/* How much of the file was read, 0 to 1; of a pipe it is not known: 0. */
double lf_container_done(const struct lf_container *c);
/* "line" or "row". Static storage. */
const char *lf_container_unit(const struct lf_container *c);
/* After the last row: SHA-256 over the file's bytes, as they are stored. */
void lf_container_sha256(struct lf_container *c, char out[LF_SHA256_HEX]);

#endif
