/* Parquet files, as pyarrow, pandas and `datasets` write them, in any encoding,
 * packed with snappy, zstd, gzip or not, texts, numbers, booleans, lists and groups in any nesting.
 * A row is an object: a group too, a list is a list, dates and times are texts as ISO 8601 has
 * them, numbers that are not finite and bytes that are no UTF-8 are null. Columns that no JSON says
 * (decimals, times of day, bytes of a fixed length) are left out. Private to container/. */
#ifndef LF_CONTAINER_PARQUET_H
#define LF_CONTAINER_PARQUET_H

#include "core/err.h"
#include "core/file.h"

#include <jansson.h>
#include <stdint.h>

struct lf_budget;
struct lf_parquet;

/* As lf_container_open, ..._next, ..._close and ..._sha256. */
enum lf_err lf_parquet_open(struct lf_parquet **out, const char *path,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_parquet_close(struct lf_parquet *p);
/* As lf_container_budget: what pages take. */
void lf_parquet_budget(struct lf_parquet *p, struct lf_budget *b);
enum lf_err lf_parquet_next(struct lf_parquet *p, json_t **row, int64_t *place,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* As lf_container_done: by row groups. */
double lf_parquet_done(const struct lf_parquet *p);
void lf_parquet_sha256(const struct lf_parquet *p, char out[LF_SHA256_HEX]);

#endif
