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

#include <stddef.h>
#include <stdint.h>

#define LF_TENSOR_DIMS_MAX 8

struct lf_tensor {
    const char *name;
    enum lf_dtype dtype;
    int n_dims;
    int64_t dims[LF_TENSOR_DIMS_MAX];
    const void *data;   /* in the map; not necessarily aligned to the dtype */
    size_t bytes;
};

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
enum lf_err lf_tensors_parse(struct lf_tensors **out, const void *data, size_t n,
                             size_t header_max, struct lf_diag *diag) LF_MUST_CHECK;
void lf_tensors_free(struct lf_tensors *t);

size_t lf_tensors_count(const struct lf_tensors *t);
/* In file order; valid while t lives. */
const struct lf_tensor *lf_tensors_at(const struct lf_tensors *t, size_t i);
/* NULL where there is none. */
const struct lf_tensor *lf_tensors_find(const struct lf_tensors *t, const char *name);
/* A string of __metadata__, or NULL. */
const char *lf_tensors_metadata(const struct lf_tensors *t, const char *key);

/* Writes a file of n tensors (data in host memory, in the given order; the format's usual
 * {"format":"pt"} metadata, and metadata_json's members, an object's text or NULL), durably and
 * at once. */
enum lf_err lf_tensors_write(const char *path, const struct lf_tensor *t, size_t n,
                             const char *metadata_json, struct lf_diag *diag) LF_MUST_CHECK;

#endif
