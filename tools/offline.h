/* A base opened by a command that needs no daemon: its device, stream and model, one adapter, and
 * the options that choose them. One thread. */
#ifndef LF_TOOLS_OFFLINE_H
#define LF_TOOLS_OFFLINE_H

#include "model/adapter.h"
#include "model/generate.h"
#include "model/model.h"
#include "tools/options.h"

#include <stdbool.h>
#include <stdint.h>

#define LF_OFFLINE_SEQS 64           /* completions at once */
#define LF_OFFLINE_QUANTS "none|nf4" /* order of enum lf_quant */

/* Zero-initialised: device auto, block weights as stored. */
struct lf_offline_options {
    const char *base;  /* checkpoint directory, or "org/name" at the hub (tools/hub_cache.h) */
    const char *shape; /* instead of base: random weights of this shape */
    int device;        /* enum lf_device_kind */
    int quant;         /* enum lf_quant */
    int cpu_products;  /* enum lf_cpu_products */
    int64_t threads, gpu;
    bool quiet; /* no progress bar */
};

/* Rows for a command's option table; o is its struct lf_offline_options. */
/* clang-format off */
#define LF_OFFLINE_OPTION_BASE(o)                                                                  \
    {"base", 'b', LF_OPT_STR, "BASE", &(o).base,                                           \
     "the base model: a checkpoint directory, or one at the hub", .required = true}
#define LF_OFFLINE_OPTION_QUANT(o)                                                                 \
    {"quant", 'q', LF_OPT_CHOICE, LF_OFFLINE_QUANTS, &(o).quant,                                   \
     "form of the blocks' linear weights; none keeps them as stored, and a 4-bit checkpoint is "   \
     "used as it is in both cases"}
#define LF_OFFLINE_OPTIONS_COMPUTE(o)                                                              \
    {"device", 'd', LF_OPT_CHOICE, LF_DEVICE_WORDS, &(o).device,                                   \
     "where to compute; auto takes a CUDA card where there is one"},                               \
    {"threads", 't', LF_OPT_INT, "N", &(o).threads, "threads of the cpu device; 0: one a core",    \
     .hi = 1024},                                                                                  \
    {"cpu-products", 0, LF_OPT_CHOICE, LF_CPU_PRODUCTS_WORDS, &(o).cpu_products,                   \
     "how the cpu device multiplies 4-bit weights where it generates: int8 is the fastest, "       \
     "and rounds activations and codes to 8 bits; training is in fp32 always"}
#define LF_OFFLINE_OPTIONS_DEVICE(o)                                                               \
    LF_OFFLINE_OPTIONS_COMPUTE(o),                                                                 \
    {"gpu", 0, LF_OPT_INT, "N", &(o).gpu, "which card of the cuda device, from 0", .hi = 63}
/* clang-format on */

struct lf_offline {
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_model *model;
    struct lf_slots *slots; /* one slot */
    int slot;               /* the adapter's, or -1 */
    int rank_max;           /* at least 1 */
};

/* Opens device and stream alone. */
enum lf_err lf_offline_open_device(struct lf_offline *out, const struct lf_offline_options *o,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* Device, stream and model. Close with lf_offline_close, also after a failure. */
enum lf_err lf_offline_open(struct lf_offline *out, const struct lf_offline_options *o,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* After lf_offline_open: makes the slots and puts the adapter of a PEFT directory (NULL: none) into
 * one, for serving. */
enum lf_err lf_offline_adapter(struct lf_offline *c, const char *dir,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* After lf_offline_adapter: what generates up to `seqs` completions at once, of prompts of up to
 * prompt_max tokens with as many more, within the model's context. Free g, then x. */
enum lf_err lf_offline_gen(struct lf_gen **g, struct lf_exec **x, const struct lf_offline *c,
                           int64_t seqs, int64_t prompt_max, int64_t completion_max,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* A zero-initialised one may be closed. */
void lf_offline_close(struct lf_offline *c);

#endif
