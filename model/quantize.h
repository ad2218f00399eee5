/* Files of quantised weights, for the model's loader. Private to model/. */
#ifndef LF_MODEL_QUANTIZE_H
#define LF_MODEL_QUANTIZE_H

#include "core/err.h"
#include "gpu/device.h"
#include "model/config.h"
#include "model/safetensors.h"

#include <stdbool.h>

/* Where a long task reports how far it is. */
struct lf_reporter {
    void (*fn)(void *arg, double fraction, const char *what); /* or NULL */
    void *arg;
};

static inline void lf_reporter_say(const struct lf_reporter *p, double fraction, const char *what)
{
    if (p->fn)
        p->fn(p->arg, fraction, what);
}

/* Writes `path` with the block linears of a checkpoint in NF4 with double quantisation, computed on
 * the stream's device, and, with with_rest, its other tensors as they are. */
enum lf_err lf_quantize_file(const char *path, struct lf_stream *s, const struct lf_tensors *ts,
                             const struct lf_config *c, bool with_rest,
                             const struct lf_reporter *progress,
                             struct lf_diag *diag) LF_MUST_CHECK;

#endif
