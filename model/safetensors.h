/* safetensors files: a checked, memory-mapped reader and a writer.
 *
 * The header is trusted only after every rule of the format holds: size, UTF-8 JSON object, no
 * duplicate names, known dtypes, shape x dtype = the byte range without overflow, ranges in order,
 * without holes or overlaps, ending at the file's end. Bounded by core/limits.h.
 */
#ifndef LF_MODEL_SAFETENSORS_H
#define LF_MODEL_SAFETENSORS_H

#include "core/err.h"
#include "gpu/device.h"
#include "model/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_tensor {
    const char *name; /* of a reader: borrowed from the set */
    enum lf_dtype dtype;
    int n_dims;
    int64_t dims[LF_TENSOR_DIMS_MAX];
    const void *data; /* in the map; not necessarily aligned to the dtype */
    size_t bytes;
};

/* bytes = the product of dims times the dtype's size; false where it does not fit a size_t. */
bool lf_tensor_bytes(size_t *out, enum lf_dtype dtype, const int64_t *dims, int n_dims);

/* One file, or a checkpoint directory's set of files (an index's shards, or model.safetensors). */
struct lf_tensors;

/* header_max: ceiling for the JSON header (LF_SAFETENSORS_HEADER_MAX, LF_ADAPTER_HEADER_MAX).
 * Yours, free with lf_tensors_free; tensors and names are borrowed until then. */
enum lf_err lf_tensors_open(struct lf_tensors **out, const char *path, size_t header_max,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* DIR/model.safetensors.index.json's shards, or DIR/model.safetensors. Shard names with '/' or
 * '..' are refused; so are weights that the index names and no shard has. */
enum lf_err lf_tensors_open_checkpoint(struct lf_tensors **out, const char *dir,
                                       struct lf_diag *diag) LF_MUST_CHECK;
/* From memory (the fuzz target's door); the bytes stay the caller's and must outlive the set. */
enum lf_err lf_tensors_parse(struct lf_tensors **out, const void *data, size_t n, size_t header_max,
                             struct lf_diag *diag) LF_MUST_CHECK;
void lf_tensors_free(struct lf_tensors *t);

size_t lf_tensors_count(const struct lf_tensors *t);
/* In file order; valid while t lives. */
const struct lf_tensor *lf_tensors_at(const struct lf_tensors *t, size_t i);
/* NULL where there is none. */
const struct lf_tensor *lf_tensors_find(const struct lf_tensors *t, const char *name);

/* What __metadata__ has under "lorafs": who wrote the file may leave a note in it. NULL: nothing;
 * borrowed. */
const char *lf_tensors_note(const struct lf_tensors *t);

/* Writes a file of n tensors (data in host memory, in the given order, which must keep each
 * aligned to its dtype; metadata {"format":"pt"}), durably and at once. */
enum lf_err lf_tensors_write(const char *path, const struct lf_tensor *t, size_t n,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The same with a note (NULL: none). */
enum lf_err lf_tensors_write_noted(const char *path, const struct lf_tensor *t, size_t n,
                                   const char *note, struct lf_diag *diag) LF_MUST_CHECK;

/* A file written piece by piece, for checkpoints larger than memory: names and shapes first, data
 * in any order; the path appears, whole, at the commit. One thread. */
struct lf_tensors_writer;

/* names_bytes: a ceiling for the sum of all names' lengths, n_max for their number: the header's
 * room is kept free for it. Yours, free with lf_tensors_writer_free. */
enum lf_err lf_tensors_create(struct lf_tensors_writer **out, const char *path, size_t n_max,
                              size_t names_bytes, struct lf_diag *diag) LF_MUST_CHECK;
/* The next tensor of the file (t->data is not read); *index names it to lf_tensors_put. */
enum lf_err lf_tensors_add(struct lf_tensors_writer *w, const struct lf_tensor *t, size_t *index,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* All bytes of a tensor that was added. */
enum lf_err lf_tensors_put(struct lf_tensors_writer *w, size_t index, const void *data,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* n of its bytes, from `offset` on. */
enum lf_err lf_tensors_put_part(struct lf_tensors_writer *w, size_t index, size_t offset,
                                const void *data, size_t n, struct lf_diag *diag) LF_MUST_CHECK;
/* Every tensor was put; what was not is zeros. Writes the header and puts the file in place. */
enum lf_err lf_tensors_commit(struct lf_tensors_writer *w, struct lf_diag *diag) LF_MUST_CHECK;
/* Without a commit nothing remains. */
void lf_tensors_writer_free(struct lf_tensors_writer *w);

#endif
