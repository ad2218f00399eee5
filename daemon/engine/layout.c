/* An engine's layout on paper. */
#include "daemon/engine/plan.h"

#include "daemon/engine/inside.h"

#include <stdlib.h>

#define MIB 1048576.0

static enum lf_err paper_open(struct lf_engine *e, const struct lf_config *base,
                              struct lf_diag *diag)
{
    uint64_t memory = (uint64_t)e->o->gpu_memory_bytes;
    uint64_t driver = e->o->device == LF_DEVICE_CUDA ? LF_DRIVER_BYTES : 0;
    if (memory <= driver)
        return lf_fail(diag, LF_E_DEVICE_FULL, "a card of %.0f MiB: the driver takes %.0f",
                       (double)memory / MIB, (double)driver / MIB);
    struct lf_device_options options = {.memory_bytes = memory - driver, .paper = true};
    enum lf_err rc = lf_device_open(&e->dev, e->o->device, &options, diag);
    rc = rc ?: lf_stream_new(&e->stream, e->dev, 1, diag);
    rc = rc ?: lf_model_random(&e->model, e->stream, base, e->o->quant, 0, diag);
    return rc == LF_E_DEVICE_FULL ? lf_fail_within(diag, rc, "the base's weights") : rc;
}

enum lf_err lf_plan_layout(struct lf_memory_plan *out, const struct lf_daemon_options *o,
                           const struct lf_config *base, struct lf_budget *host,
                           struct lf_diag *diag)
{
    struct lf_engine *e = calloc(1, sizeof *e);
    if (!e)
        return lf_no_memory(diag, "a plan");
    e->o = o;
    e->memory = host;
    enum lf_err rc = paper_open(e, base, diag) ?: lf_engine_lay_out(e, diag);
    if (rc == LF_OK)
        *out = e->plan;
    lf_engine_release(e);
    free(e);
    return rc;
}
