/* Starts of an adapter that are taken from the base's weights, as PEFT's init_lora_weights has
 * them.
 *
 * PiSSA: A and B are the first singular vectors of each weight W, and what trains is W itself in
 * these directions. PEFT takes their product off the weight; here all adapters share it, so the
 * adapter takes it off again: y = W x + s (B A - B0 A0) x, of twice the rank, whose second half
 * does not train. That is the adapter that PEFT's path_initial_model_for_weight_conversion makes
 * of a trained one. The base as it is on the device is where it starts, to the bit.
 *
 * LoftQ: A and B are those of W - Q(W), what is lost where the base is quantised when it is loaded:
 * an ordinary adapter, which starts nearer to W. PEFT's with loftq_iter 1, of which more would be
 * another base; s is divided out, which PEFT leaves to those who set alpha to the rank.
 */
#ifndef LF_MODEL_ADAPTER_START_H
#define LF_MODEL_ADAPTER_START_H

#include "model/adapter.h"
#include "model/model.h"

enum lf_adapter_start_kind { LF_START_USUAL, LF_START_PISSA, LF_START_LOFTQ };
struct lf_adapter_start {
    enum lf_adapter_start_kind kind;
    int iterations; /* PEFT's pissa_niter_N; 0: until they change nothing (model/svd.h) */
};

/* "" and PEFT's words: "true", "pissa", "pissa_niter_4", "loftq". Others: LF_E_INVALID. */
enum lf_err lf_adapter_start_parse(struct lf_adapter_start *out, const char *word,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* Sets the parameters of a fresh adapter of the model's base (of twice the rank where it is
 * PiSSA's: lf_lora_settings.doubled). The weights are read from the checkpoint, and decomposed on
 * all cores; for a 7B base this takes minutes: go_on is called before each with the part that is
 * done (0 to 1), and where it says no that is all (LF_E_CANCELLED); it may be NULL. LoftQ:
 * LF_E_UNSUPPORTED where a weight is not quantised while it is loaded. Any thread. */
enum lf_err lf_adapter_start_set(struct lf_adapter *a, const struct lf_model *m,
                                 const struct lf_adapter_start *spec, uint64_t seed,
                                 bool (*go_on)(void *arg, double part), void *arg,
                                 struct lf_diag *diag) LF_MUST_CHECK;

#endif
