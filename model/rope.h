/* Rotary tables as transformers computes them (modeling_rope_utils.py), in its fp32 roundings.
 * Private to model/. */
#ifndef LF_MODEL_ROPE_H
#define LF_MODEL_ROPE_H

#include "model/config.h"

#include <stddef.h>

/* Rows of the tables: positions, or twice that for longrope (short factors, then long). */
size_t lf_rope_rows(const struct lf_config *c, int positions);
/* cos_, sin_: host, (lf_rope_rows, rot/2). */
void lf_rope_tables(float *cos_, float *sin_, const struct lf_config *c, int positions);

#endif
