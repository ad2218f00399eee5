/* DoRA (PEFT's use_dora): what an adapter makes of a weight is
 *   W' = m * (W + scale * B A) / |W + scale * B A|,
 * norms and magnitudes m of each output's row. So with g = m / |W + scale * B A|
 *   W' x = W x + scale * (g B) A x + (g - 1) * (W x),
 * an ordinary adapter of g B, and a gain of the base's own product (gpu/ops.h, struct
 * lf_gain_args): nothing of a base that others share is changed, and none of it unpacked to be
 * kept. A training has the norms anew at each step, of |W|, and of A W^T and A A^T, without
 * W + scale * B A itself (gpu/ops.h, struct lf_dora_args); as in PEFT they have no gradient.
 */
#ifndef LF_MODEL_DORA_H
#define LF_MODEL_DORA_H

#include "model/adapter.h"
#include "model/model.h"

/* Makes an adapter's parameters what a forward on the model's device reads: g B for B, and g - 1
 * for m. Nothing where it has no magnitudes. The base's weights are read once, on all cores.
 * LF_E_DAMAGED: not all of it is finite; else errors are the checkpoint's. Any thread. */
enum lf_err lf_dora_serve(struct lf_adapter *a, const struct lf_model *m,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* For a training: the norms of the base's rows (row_sq). fresh: and the magnitudes, these norms,
 * since B is zero. As above. */
enum lf_err lf_dora_measure(struct lf_adapter *a, const struct lf_model *m, bool fresh,
                            struct lf_diag *diag) LF_MUST_CHECK;

#endif
