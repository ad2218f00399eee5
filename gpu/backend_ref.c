/* The ref backend: the meaning of every operation. Plain loops, double accumulation, one thread. */
#include "gpu/host.h"

#include <stdio.h>

static const struct lf_ops ref_ops = {
    .linear_scratch_bytes = lf_host_linear_scratch_bytes,
    .embed = lf_ref_embed,
    .norm = lf_ref_norm,
    .norm_bwd = lf_ref_norm_bwd,
    .linear = lf_ref_linear,
    .linear_bwd = lf_ref_linear_bwd,
    .lora = lf_ref_lora,
    .lora_bwd = lf_ref_lora_bwd,
    .lora_grads = lf_ref_lora_grads,
    .rope = lf_ref_rope,
    .kv_write = lf_ref_kv_write,
    .attn = lf_ref_attn,
    .attn_bwd = lf_ref_attn_bwd,
    .glu = lf_ref_glu,
    .glu_bwd = lf_ref_glu_bwd,
    .add = lf_ref_add,
    .gather = lf_ref_gather,
    .scatter = lf_ref_scatter,
    .softcap = lf_ref_softcap,
    .cross_entropy = lf_ref_cross_entropy,
    .sample = lf_ref_sample,
    .sumsq = lf_ref_sumsq,
    .adam = lf_ref_adam,
    .nf4 = lf_ref_nf4,
};

static void ref_info(struct lf_device *dev, struct lf_device_info *out)
{
    (void)dev;
    snprintf(out->name, sizeof out->name, "ref (plain C, for comparison)");
    out->units = 1;
    lf_host_memory(out);
}

const struct lf_backend lf_backend_ref = {
    .kind = LF_DEVICE_REF,
    .name = "ref",
    .ops = &ref_ops,
    .info = ref_info,
    LF_HOST_BACKEND,
};
