/* Ceilings that container/ alone knows; those that several rooms know are in core/limits.h. */
#ifndef LF_CONTAINER_LIMITS_H
#define LF_CONTAINER_LIMITS_H

#define LF_CSV_FIELDS_MAX 4096 /* of a record */

/* What is unpacked, or made of a packed file's rows, may be this much, or this many times what was
 * read of the file; real rows pack 20 to 1 at the very best. */
#define LF_UNPACKED_FREE_MAX (64ull << 20)
#define LF_UNPACKED_TIMES_MAX 200

/* Parquet */
#define LF_PARQUET_FOOTER_MAX (64u << 20) /* it grows with row groups times columns */
#define LF_PARQUET_COLUMNS_MAX 4096       /* nodes of the schema */
#define LF_PARQUET_DEPTH_MAX 32           /* of nested columns: messages need 5 */
#define LF_PARQUET_GROUPS_MAX 1000000     /* row groups */
#define LF_PARQUET_PAGE_MAX (256u << 20)  /* unpacked; pyarrow's have 1 MiB, or 1024 values */
#define LF_PARQUET_HELD_MAX (1ull << 30)  /* pages and dictionaries of all columns, at a time */
#define LF_PARQUET_BLOCK_MAX (1u << 20)   /* numbers of a block of deltas; writers have 128 */
#define LF_THRIFT_DEPTH_MAX 32            /* of structures that are passed over */

#endif
