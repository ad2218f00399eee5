/* A Parquet file's footer: its columns as a tree, and where each row group has each column. Private
 * to container/.
 *
 * A node is a group of columns or a column (a leaf), in the footer's depth-first order: a group's
 * children begin right behind it. Levels are Dremel's: a value's definition level says how many of
 * the optional and repeated nodes above it are there, its repetition level at which repeated node a
 * new item begins. */
#ifndef LF_CONTAINER_PARQUET_FILE_H
#define LF_CONTAINER_PARQUET_FILE_H

#include "container/source.h"
#include "core/arena.h"
#include "core/err.h"
#include "core/file.h"

#include <stdbool.h>
#include <stdint.h>

enum lf_pq_type {
    LF_PQ_BOOLEAN,
    LF_PQ_INT32,
    LF_PQ_INT64,
    LF_PQ_INT96,
    LF_PQ_FLOAT,
    LF_PQ_DOUBLE,
    LF_PQ_BYTES,
    LF_PQ_FIXED,
    LF_PQ_GROUP /* no column */
};
enum lf_pq_codec { LF_PQ_BARE = 0, LF_PQ_SNAPPY = 1, LF_PQ_GZIP = 2, LF_PQ_ZSTD = 6 };
/* What the values are, where that is more than their type. */
enum lf_pq_meaning {
    LF_PQ_AS_IS,
    LF_PQ_TEXT,
    LF_PQ_UNSIGNED,
    LF_PQ_DATE,         /* days since 1970 */
    LF_PQ_TIMESTAMP_MS, /* since 1970 */
    LF_PQ_TIMESTAMP_US,
    LF_PQ_TIMESTAMP_NS,
    LF_PQ_LIST,  /* a group that is a list, its items below a repeated child */
    LF_PQ_UNREAD /* no JSON says it: decimals, times of day, intervals, bytes of a fixed length */
};

struct lf_pq_node {
    const char *name;
    enum lf_pq_type type;
    enum lf_pq_meaning meaning;
    bool optional, repeated;
    bool kept; /* a leaf that is read, or a group with such a one */
    int depth;
    int def, rep;   /* levels at which it is there */
    int end;        /* the node behind its last descendant */
    int first_leaf; /* of those below it that are kept, itself for a leaf: an index of leaves */
};

/* Where one row group has one column. */
struct lf_pq_chunk {
    uint64_t at, bytes; /* in the file */
    int64_t n_values;
    enum lf_pq_codec codec;
};

struct lf_pq_file {
    struct lf_mapping map;
    struct lf_arena names;
    struct lf_pq_node *nodes; /* (n_nodes), the root first */
    int n_nodes;
    int *leaves;                /* (n_leaves) nodes that are kept */
    int n_leaves, n_columns;    /* n_columns: with those that are not kept */
    struct lf_pq_chunk *chunks; /* (n_groups, n_leaves) */
    int64_t *rows;              /* (n_groups) */
    size_t n_groups;
};

/* Free with lf_pq_file_close, also after a failure. */
enum lf_err lf_pq_file_open(struct lf_pq_file *f, const char *path,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_pq_file_close(struct lf_pq_file *f);

#endif
