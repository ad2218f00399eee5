/* The cpu backend's table of operations for one instruction set. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/host.h"

const struct lf_ops LF_ISA(ops) = {
    .linear_scratch_bytes = lf_host_linear_scratch_bytes,
    .embed = LF_ISA(embed),
    .norm = LF_ISA(norm),
    .norm_bwd = LF_ISA(norm_bwd),
    .linear = LF_ISA(linear),
    .linear_bwd = LF_ISA(linear_bwd),
    .lora = LF_ISA(lora),
    .lora_bwd = LF_ISA(lora_bwd),
    .lora_grads = LF_ISA(lora_grads),
    .rope = LF_ISA(rope),
    .kv_write = lf_ref_kv_write, /* copies: nothing to gain */
    .attn = LF_ISA(attn),
    .attn_bwd = LF_ISA(attn_bwd),
    .glu = LF_ISA(glu),
    .glu_bwd = LF_ISA(glu_bwd),
    .add = LF_ISA(add),
    .gather = lf_ref_gather,
    .scatter = lf_ref_scatter,
    .softcap = LF_ISA(softcap),
    .cross_entropy = LF_ISA(cross_entropy),
    .sample = LF_ISA(sample),
    .sumsq = LF_ISA(sumsq),
    .adam = LF_ISA(adam),
    .nf4 = LF_ISA(nf4),
};
