/* A page's values in Parquet's other encodings, made plain. Private to container/. */
#ifndef LF_CONTAINER_PARQUET_VALUES_H
#define LF_CONTAINER_PARQUET_VALUES_H

#include "container/parquet_file.h"
#include "core/buf.h"

/* Appends up to n_max values as PLAIN has them. LF_E_UNSUPPORTED with the encoding's name; out->max
 * bounds what comes of it. */
enum lf_err lf_pq_plain(struct lf_buf *out, int64_t encoding, enum lf_pq_type type,
                        const unsigned char *at, const unsigned char *end, int64_t n_max,
                        struct lf_diag *diag) LF_MUST_CHECK;

#endif
