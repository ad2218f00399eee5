/* A draft base: a small model of the same tokenizer as a base, on the same device, that says what
 * the base's texts may go on with (model/speculate.h). It has no adapters. What it says is tried
 * out, so it costs time where it is wrong, and nothing else.
 *
 * lf_draft_base_open, then lf_draft_base_lay_out once the memory beside the weights is divided;
 * from then on it is a generation's (lf_gen_limits). The stream's thread uses it.
 */
#ifndef LF_MODEL_DRAFT_BASE_H
#define LF_MODEL_DRAFT_BASE_H

#include "model/exec.h"

struct lf_draft_base {
    struct lf_model *model;
    struct lf_slots *slots; /* empty */
    struct lf_exec *exec;   /* NULL until it is laid out */
};

/* From a checkpoint directory; on a device on paper its shape alone. base: whose tokenizer it has
 * to have too. LF_E_INVALID: it has another, with the first token in which they differ. Yours, free
 * with lf_draft_base_free. */
enum lf_err lf_draft_base_open(struct lf_draft_base **out, struct lf_stream *stream,
                               const char *dir, const struct lf_model *base,
                               const struct lf_model_options *options,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Working memory for the steps, and the cache of the texts, of a generation with these limits;
 * kv_pages: its own. */
enum lf_err lf_draft_base_lay_out(struct lf_draft_base *d, struct lf_stream *stream,
                                  const struct lf_exec_limits *limits,
                                  struct lf_diag *diag) LF_MUST_CHECK;
void lf_draft_base_free(struct lf_draft_base *d);
/* Weights and cache, on the device or mapped. */
size_t lf_draft_base_bytes(const struct lf_draft_base *d);

#endif
