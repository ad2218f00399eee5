/* Tokenised rows in a file, so that memory holds neither them nor their index: both are mapped.
 *
 *   0            struct head (row_file.c), written last: a file that was cut off has none
 *   HEAD_BYTES   the rows, one after another: ids (n), labels (n), a text or nothing; padded to 8
 *   index_off    a struct lf_row_place for each
 *
 * The file is this machine's own: host byte order, made again where it does not fit. Private to
 * trainer/. One thread writes; then any thread reads. */
#ifndef LF_TRAINER_ROW_FILE_H
#define LF_TRAINER_ROW_FILE_H

#include "core/file.h"
#include "trainer/dataset.h"

struct lf_row_place {
    uint64_t off;  /* of its ids, in the file */
    uint64_t hash; /* of ids and labels */
    int64_t line;
    uint32_t n, n_supervised, n_prompt;
    uint32_t text_bytes;         /* with its NUL; 0: no text */
    uint32_t n_chosen, unwanted; /* as struct lf_row has them */
    double weight;
};

struct lf_row_file {
    struct lf_mapping map;
    const struct lf_row_place *at; /* (n) */
    size_t n;
};

struct lf_row_writer {
    const char *name;           /* borrowed; NULL: the file has none */
    int dir, fd, index_fd;      /* index_fd: a file without a name, once the index is large */
    struct lf_buf rows, index;  /* that are not written yet */
    uint64_t rows_at, index_at; /* bytes that are */
    uint64_t n;
    uint32_t crc;
};

/* The file that limits name; it has that name from lf_row_file_end on. End with that or
 * lf_row_file_abandon, also after a failure. */
enum lf_err lf_row_file_begin(struct lf_row_writer *w, const struct lf_dataset_limits *limits,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* text NULL: none. The place's off, hash and text_bytes are made here. */
enum lf_err lf_row_file_add(struct lf_row_writer *w, const struct lf_row_place *place,
                            const int32_t *ids, const int32_t *labels, const struct lf_buf *text,
                            struct lf_diag *diag) LF_MUST_CHECK;
#define LF_ROW_NOTE_BYTES 512 /* what may be said of the rows */

/* The file is whole, and is mapped. key: by which lf_row_file_open knows it; note: n bytes, at most
 * LF_ROW_NOTE_BYTES, that it gives back. */
enum lf_err lf_row_file_end(struct lf_row_writer *w, struct lf_row_file *out, const char *key,
                            const void *note, size_t n, struct lf_diag *diag) LF_MUST_CHECK;
void lf_row_file_abandon(struct lf_row_writer *w);

/* A file that was made before. *there false, with nothing mapped: there is none, it has another
 * key, or its bytes are not what was written. LF_E_CANCELLED as limits say. */
enum lf_err lf_row_file_open(struct lf_row_file *out, bool *there, void *note, size_t n,
                             const char *key, const struct lf_dataset_limits *limits,
                             struct lf_diag *diag) LF_MUST_CHECK;
void lf_row_file_close(struct lf_row_file *r);

static inline const int32_t *lf_row_file_ids(const struct lf_row_file *r,
                                             const struct lf_row_place *at)
{
    return (const int32_t *)(const void *)((const char *)r->map.data + at->off);
}

#endif
