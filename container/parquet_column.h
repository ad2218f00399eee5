/* One column of one row group, a value at a time: its pages are unpacked as they come, one of them
 * and the dictionary are held. Private to container/. */
#ifndef LF_CONTAINER_PARQUET_COLUMN_H
#define LF_CONTAINER_PARQUET_COLUMN_H

#include "container/parquet_file.h"

/* Runs of small numbers: Parquet's "RLE / bit-packing hybrid". */
struct lf_pq_runs {
    const unsigned char *at, *end;
    int width;     /* bits of a number, 0 to 32 */
    uint64_t left; /* numbers of the run that are still to come */
    bool packed;   /* each by itself, from `bit` on; else all are `value` */
    uint32_t value;
    uint64_t bit; /* from run */
    const unsigned char *run;
};

struct lf_pq_column {
    const struct lf_pq_node *node;
    enum lf_pq_codec codec;
    const unsigned char *at, *end;    /* pages still to come */
    int64_t chunk_left, page_left;    /* values of the chunk, and of the page */
    unsigned char *page, *dictionary; /* unpacked; owned */
    unsigned char *plain;             /* its values, where they were encoded otherwise; owned */
    uint64_t page_bytes, dictionary_bytes, plain_bytes;
    uint32_t *starts; /* (n_entries + 1) of a dictionary of byte strings; owned */
    uint32_t n_entries;
    bool has_dictionary, by_index; /* by_index: the page's values are numbers of entries */
    bool runs_of_bits;             /* booleans as runs */
    struct lf_pq_runs reps, defs, indices;
    const unsigned char *value, *values_end;
    unsigned bit; /* of a byte of plain booleans */
    /* The value that comes, once it was looked at */
    bool ready;
    int rep, def;
};

/* What is shared by all columns of a file. */
struct lf_pq_held {
    uint64_t bytes; /* of pages and dictionaries */
    struct lf_growth growth;
    struct lf_budget *budget; /* they come out of it; or NULL */
};

/* Of a column that is closed; one of zeros is. */
void lf_pq_column_open(struct lf_pq_column *c, const struct lf_pq_node *node,
                       const struct lf_pq_chunk *chunk, const unsigned char *file);
void lf_pq_column_close(struct lf_pq_column *c, struct lf_pq_held *held);
/* Makes c->rep and c->def those of the next value; *end: the chunk has no other. */
enum lf_err lf_pq_column_peek(struct lf_pq_column *c, struct lf_pq_held *held, bool *end,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Past the value that was looked at. Where its def is its node's, *bytes and *n are its bytes, as
 * they are stored (a boolean's one byte is 0 or 1), valid until the next value is looked at; else
 * *bytes is NULL. */
enum lf_err lf_pq_column_take(struct lf_pq_column *c, const unsigned char **bytes, uint32_t *n,
                              struct lf_diag *diag) LF_MUST_CHECK;

#endif
