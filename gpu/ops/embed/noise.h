/* NEFTune's noise, one element at a time (struct lf_seq defines it). Private to gpu/. */
#ifndef LF_GPU_OPS_EMBED_NOISE_H
#define LF_GPU_OPS_EMBED_NOISE_H

#include "core/rng.h"
#include "gpu/ops.h"

/* What is added to element c of the embedding, of width C, of the token at position pos. */
LF_RNG_FN float lf_embed_noise(const struct lf_seq *seq, int32_t pos, int C, int c)
{
    uint64_t i = (uint64_t)pos * (uint64_t)C + (uint64_t)c;
    return seq->noise * (2 * lf_rng_unit(lf_rng_u32(seq->drop_key, i, LF_NOISE_SITE)) - 1);
}

#endif
