/* The moments of an adapter's optimizer: one run of bytes beside its flat run of parameters. Of 32
 * bits, the first moments (n_params) and then the second ones. Of 8 bits, tensor by tensor as
 * bitsandbytes keeps them: blocks begin with each A and each B, and a tensor of less than 4096
 * elements, of which they would save nothing, has moments of 32 bits. All zeros: none yet. */
#ifndef LF_MODEL_MOMENTS_H
#define LF_MODEL_MOMENTS_H

#include "model/adapter.h"

size_t lf_moments_bytes(const struct lf_adapter_shape *s, const struct lf_config *c,
                        bool eight_bits);
/* Of 8 bits: points a's moments, of a tensor of a->n parameters, into a run, and answers what they
 * take of it: the next tensor's follow. Tensors come in the order of the flat run. */
size_t lf_moments8_place(struct lf_adam_args *a, char *at);

#endif
