/* A merged base as a checkpoint that other programs load: what is one model there needs no adapter.
 * Streamed: memory for some rows of a matrix. One thread. */
#ifndef LF_MODEL_EXPORT_H
#define LF_MODEL_EXPORT_H

#include "model/merged_base.h"

#include <signal.h>

#define LF_EXPORT_CHUNK \
    ((int64_t)1 << 20) /* numbers in memory at once, or a row where it has more */

struct lf_export_options {
    enum lf_dtype dtype; /* LF_BF16, LF_F16, LF_F32 */
    int64_t shard_bytes; /* of a file of weights, at most */
    void (*progress)(void *arg, double fraction, const char *what); /* or NULL */
    void *progress_arg;
    const volatile sig_atomic_t *stop; /* it ends with LF_E_CANCELLED once *stop is set; or NULL */
};

/* Writes DIR: safetensors of the dtype (several and an index, where they are more than a shard
 * has), config.json without a quantisation, and what the base's directory has beside them. DIR
 * appears whole or not at all; one that is there must be empty, else LF_E_EXISTS. */
enum lf_err lf_export_checkpoint(struct lf_merged_base *m, const char *base, const char *dir,
                                 const struct lf_export_options *o,
                                 struct lf_diag *diag) LF_MUST_CHECK;

#endif
