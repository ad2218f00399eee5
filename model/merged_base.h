/* A base with an adapter merged into it, W + scale * B A, or DoRA's weight (model/dora.h), for who
 * writes it out: the tensors of a checkpoint as numbers, some rows at a time, so that a model needs
 * no memory of its size. W is what the file says, 4-bit matrices widened; the sum is made in fp32.
 * One thread drives it. */
#ifndef LF_MODEL_MERGED_BASE_H
#define LF_MODEL_MERGED_BASE_H

#include "model/adapter.h"
#include "model/safetensors.h"

/* A tensor of what comes out. */
struct lf_merged_tensor {
    const struct lf_tensor *stored; /* the checkpoint's; of a 4-bit matrix its codes */
    int site;                       /* of the adapter, or -1 */
    int64_t rows, cols;             /* a vector is one row */
    bool q4;                        /* 4-bit: widened */
    bool numbers; /* floating-point, or 4-bit: lf_merged_rows reads it. Else its bytes are all */
};

struct lf_merged_base {
    struct lf_config config;
    struct lf_merged_tensor *tensors; /* (n) in the checkpoint's order */
    size_t n;
    int rank; /* of the adapter, its largest */
    struct lf_merged_inside *inside;
};

/* base: a checkpoint's directory; adapter: PEFT's, or NULL: the base alone. Errors are those of the
 * files, of an adapter that does not fit, or LF_E_UNSUPPORTED for what is quantised otherwise.
 * Close with lf_merged_close, also after a failure. */
enum lf_err lf_merged_open(struct lf_merged_base *out, const char *base, const char *adapter,
                           struct lf_diag *diag) LF_MUST_CHECK;
void lf_merged_close(struct lf_merged_base *m);

/* Rows [row, row + n) of a tensor of numbers. */
enum lf_err lf_merged_rows(struct lf_merged_base *m, const struct lf_merged_tensor *t, int64_t row,
                           int64_t n, float *out, struct lf_diag *diag) LF_MUST_CHECK;

#endif
