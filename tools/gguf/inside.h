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
#include "model/adapter.h"
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

/* ---- Writing ---------------------------------------------------------------------------------
 * Keys and tensors first, in the file's order; then lf_gguf_begin; then bytes in any order. The
 * file appears, whole, at the commit; without one nothing remains. */

struct lf_gguf_writer;
/* n_max: of tensors. Yours, free with lf_gguf_writer_free. */
enum lf_err lf_gguf_create(struct lf_gguf_writer **out, const char *path, size_t n_max,
                           struct lf_diag *diag) LF_MUST_CHECK;
void lf_gguf_writer_free(struct lf_gguf_writer *w);
/* No memory for one of these is said by lf_gguf_begin. */
void lf_gguf_put_text(struct lf_gguf_writer *w, const char *key, const char *s);
void lf_gguf_put_f32(struct lf_gguf_writer *w, const char *key, float x);
/* The next tensor, of LF_F32, LF_F16 or LF_BF16; rows 0: a vector. The first one's index is 0. */
void lf_gguf_add(struct lf_gguf_writer *w, const char *name, enum lf_dtype dtype, int64_t rows,
                 int64_t cols);
/* LF_E_NO_SPACE where the disk has no room for it. */
enum lf_err lf_gguf_begin(struct lf_gguf_writer *w, struct lf_diag *diag) LF_MUST_CHECK;
/* n bytes of a tensor, from `offset` on. */
enum lf_err lf_gguf_put(struct lf_gguf_writer *w, size_t index, uint64_t offset, const void *data,
                        size_t n, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_gguf_commit(struct lf_gguf_writer *w, struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Both names of a checkpoint's tensors ---------------------------------------------------- */

#define LF_GGUF_HF_NAME_BYTES 96
struct lf_gguf_name {
    char hf[LF_GGUF_HF_NAME_BYTES], gguf[LF_GGUF_NAME_MAX];
    int N, K;      /* K 0: a vector of N */
    int heads;     /* > 0: rows of each head stand in rotation's pairs, as llama.cpp turns them */
    bool plus_one; /* the file holds w + 1 */
};
struct lf_gguf_names {
    struct lf_gguf_name *at; /* (n) */
    size_t n;
};
/* All that an architecture with a GGUF name has. Free with lf_gguf_names_free, also after a
 * failure.
 */
enum lf_err lf_gguf_names(struct lf_gguf_names *out, const struct lf_config *c,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_gguf_names_free(struct lf_gguf_names *n);
/* "blk.3.attn_q" of a site; returns its heads, as above. */
int lf_gguf_site(char out[LF_GGUF_NAME_MAX], const struct lf_config *c, int site);
/* Of which row of the checkpoint's matrix of N rows the file's row is. */
size_t lf_gguf_original_row(int heads, int N, size_t row);

/* ---- Adapters -------------------------------------------------------------------------------- */

bool lf_gguf_is_adapter(const struct lf_gguf *g);
/* Of such a file, for the base that c describes. Yours, lf_adapter_free. */
enum lf_err lf_gguf_adapter(struct lf_adapter **out, const struct lf_gguf *g,
                            const struct lf_config *c, struct lf_diag *diag) LF_MUST_CHECK;

/* ---- The parts of a checkpoint --------------------------------------------------------------- */

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
