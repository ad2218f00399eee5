/* The GGUF room's inside: a checked reader, weights to numbers, and the three parts of a checkpoint
 * that are made of them.
 *
 * The file is trusted only after every length in it was held against what is there: keys, arrays
 * and tensors are bounded, tensors lie inside the file, aligned, in whole blocks. All pointers are
 * into the map. */
#ifndef LF_TOOLS_GGUF_INSIDE_H
#define LF_TOOLS_GGUF_INSIDE_H

#include "core/buf.h"
#include "core/file.h"
#include "core/str.h"
#include "model/config.h"
#include "tools/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a key's value, as the file numbers them. */
enum lf_gguf_kind {
    LF_GGUF_U8,
    LF_GGUF_I8,
    LF_GGUF_U16,
    LF_GGUF_I16,
    LF_GGUF_U32,
    LF_GGUF_I32,
    LF_GGUF_F32,
    LF_GGUF_BOOL,
    LF_GGUF_STR,
    LF_GGUF_ARRAY,
    LF_GGUF_U64,
    LF_GGUF_I64,
    LF_GGUF_F64,
    LF_GGUF_KINDS
};

struct lf_gguf_key {
    struct lf_str name;
    enum lf_gguf_kind kind, each; /* each: of an array */
    const unsigned char *at;      /* the value, or an array's first element */
    size_t n;                     /* elements of an array, else 1 */
};

/* How numbers are stored: blocks of `elements` in `bytes`. */
struct lf_gguf_form {
    const char *name;
    uint32_t type; /* as the file numbers them */
    size_t elements, bytes;
    void (*widen)(float *out, const unsigned char *block);
};
/* NULL: not one of those that are read. */
const struct lf_gguf_form *lf_gguf_form(uint32_t type);

struct lf_gguf_tensor {
    struct lf_str name;
    int n_dims;
    int64_t dims[LF_GGUF_DIMS_MAX]; /* the fastest first */
    const struct lf_gguf_form *form;
    const unsigned char *data;
};

struct lf_gguf {
    struct lf_mapping map;
    struct lf_gguf_key *keys;
    struct lf_gguf_tensor *tensors; /* by name */
    size_t n_keys, n_tensors;
};

/* The bytes stay the caller's. Free with lf_gguf_free, which does not unmap. */
enum lf_err lf_gguf_parse(struct lf_gguf *out, const void *data, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_gguf_free(struct lf_gguf *g);

const struct lf_gguf_key *lf_gguf_find(const struct lf_gguf *g, const char *key);
const struct lf_gguf_tensor *lf_gguf_tensor(const struct lf_gguf *g, const char *name);
/* What a key says; false, and *out as it is, where it is missing or of another kind. */
bool lf_gguf_str(const struct lf_gguf *g, const char *key, struct lf_str *out);
bool lf_gguf_int(const struct lf_gguf *g, const char *key, int64_t *out);
bool lf_gguf_real(const struct lf_gguf *g, const char *key, double *out);
bool lf_gguf_bool(const struct lf_gguf *g, const char *key, bool *out);
/* An array's next string; *at starts at the array's. */
struct lf_str lf_gguf_next_str(const unsigned char **at);

/* n numbers from element `from` on, a multiple of the form's block; n too. */
void lf_gguf_widen(float *out, const struct lf_gguf_tensor *t, size_t from, size_t n);

/* config.json. Yours. */
enum lf_err lf_gguf_config(json_t **out, const struct lf_gguf *g, const char *dtype,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* model.safetensors. */
enum lf_err lf_gguf_weights(const struct lf_gguf *g, const struct lf_config *c, const char *path,
                            enum lf_dtype dtype,
                            void (*progress)(void *arg, double fraction, const char *what),
                            void *progress_arg, struct lf_diag *diag) LF_MUST_CHECK;
/* tokenizer.json or tokenizer.model, and tokenizer_config.json. Nothing where there is none. */
enum lf_err lf_gguf_tokenizer(const struct lf_gguf *g, const char *dir,
                              struct lf_diag *diag) LF_MUST_CHECK;

#endif
