/* Rotary embeddings: read from config.json (config_rope.c), and made into tables as transformers
 * computes them (modeling_rope_utils.py), in its fp32 roundings (rope.c). Private to model/.
 *
 * A table has a row for each position, and its rows are used from lf_rope_row on: longrope has one
 * set of factors for texts up to its original context and another for longer ones, which stand in
 * the table one after the other. Which of them counts goes by the whole text, however it comes;
 * a cached one's keys were turned by what was chosen when it began. */
#ifndef LF_MODEL_ROPE_H
#define LF_MODEL_ROPE_H

#include "core/json.h"
#include "model/arch.h"
#include "model/config.h"

#include <stddef.h>

/* Fills c's rope fields; its sizes and windows are there. A failure is left in `file`. */
void lf_rope_read(struct lf_config *c, const struct lf_arch *a, struct lf_json_in *file);

/* Rows of each of the model's tables. */
size_t lf_rope_rows(const struct lf_config *c);
/* cos_, sin_: host, (lf_rope_rows, rot/2). rope: one of c's. */
void lf_rope_tables(float *cos_, float *sin_, const struct lf_config *c,
                    const struct lf_rope *rope);

/* The row of the first position of a text of n tokens in all. */
int lf_rope_row(const struct lf_config *c, int n_tokens);
/* Whether that depends on the text. */
static inline bool lf_rope_varies(const struct lf_config *c)
{
    return c->rope[LF_ROPE_GLOBAL].kind == LF_ROPE_LONGROPE;
}

#endif
