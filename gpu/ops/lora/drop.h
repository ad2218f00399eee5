/* LoRA dropout's mask, one element at a time (struct lf_seq defines it). Private to gpu/. */
#ifndef LF_GPU_OPS_LORA_DROP_H
#define LF_GPU_OPS_LORA_DROP_H

#include "core/rng.h"
#include "gpu/ops.h"

/* The factor of element k of the token at position pos, input width K: 0 or 1/(1-p). */
static inline float lf_drop_factor(const struct lf_seq *seq, int32_t pos, int K, int k, int site)
{
    if (seq->drop_p <= 0)
        return 1;
    uint64_t i = (uint64_t)pos * (uint64_t)K + (uint64_t)k;
    float u = lf_rng_unit(lf_rng_u32(seq->drop_key, i, (uint64_t)site));
    return u < seq->drop_p ? 0 : 1 / (1 - seq->drop_p);
}

#endif
