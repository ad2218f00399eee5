/* Ceilings that model/ alone knows; those that several rooms know are in core/limits.h.
 * Checkpoints, adapters, and what a running model keeps. */
#ifndef LF_MODEL_LIMITS_H
#define LF_MODEL_LIMITS_H

#define LF_TENSOR_DIMS_MAX 8 /* of a tensor in a safetensors file */
#define LF_SITE_NAME_MAX 64  /* "model.layers.3.self_attn.q_proj", what PEFT calls a site */
#define LF_BNB_NAME_MAX 192  /* a matrix, as its checkpoint names it */
#define LF_BNB_STATE_MAX 256 /* the JSON of one matrix's quant_state */
#define LF_DRAWS_MAX 2       /* drawings of tokens under way: a step's, and that behind it */
#define LF_STEP_PARTS_MAX 8  /* of a step: with more each is hardly longer than its launch */
#define LF_DRAFTS_MAX 7 /* tokens of a text that a step tries out: few longer runs come whole */
#define LF_RECORDINGS_MAX 48 /* recorded steps; the least recently used one makes room */
#define LF_SVD_ITERATIONS_MAX                                              \
    64 /* of a decomposition: what has not come in by then is no more than \
          noise */

#endif
