/* The ref backend: the meaning of every operation. Plain loops, double accumulation, one thread. */
#include "gpu/host.h"

#include <stdio.h>

static const struct lf_ops ref_ops = {.linear_scratch_bytes = lf_host_linear_scratch_bytes,
                                      LF_OP_ROWS(ref, ref)};

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
