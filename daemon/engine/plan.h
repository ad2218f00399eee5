/* What a daemon would lay its device's memory out for, and what trainings take of the rest: asked
 * before there is such a device, by `lorafs plan`, and when a training is submitted. The layout is
 * made by the code that opens an engine, on a device that is on paper (gpu/device.h). Any thread.
 */
#ifndef LF_DAEMON_ENGINE_PLAN_H
#define LF_DAEMON_ENGINE_PLAN_H

#include "daemon/engine/engine.h"
#include "trainer/settings.h"

/* The engine of these options and a base of this shape, whose weights are of o->quant. o->device is
 * cpu or cuda, o->gpu_memory_bytes what it has: of a card the driver's part is taken off here.
 * host: what waits for backward comes out of it, or NULL. LF_E_DEVICE_FULL says what does not fit.
 */
enum lf_err lf_plan_layout(struct lf_memory_plan *out, const struct lf_daemon_options *o,
                           const struct lf_config *base, struct lf_budget *host,
                           struct lf_diag *diag) LF_MUST_CHECK;
#define LF_DRIVER_BYTES ((uint64_t)512 << 20) /* of a card: its context, the kernels */

/* What a training of the settings takes of lf_memory_plan's rest. */
struct lf_training_needs {
    int64_t params;
    int rank; /* the widest */
    struct lf_slot_bytes trains;
    uint64_t served; /* the adapter that comes of it, when it answers */
    uint64_t least;  /* of the device, without which it cannot run */
};
/* LF_E_INVALID: it names modules that the base has not. */
enum lf_err lf_plan_training(struct lf_training_needs *out, const struct lf_memory_plan *layout,
                             const struct lf_config *base, const struct lf_train_settings *s,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The highest rank, up to the settings', with which the training fits alone; 0: none does. */
int lf_plan_rank(const struct lf_memory_plan *layout, const struct lf_config *base,
                 const struct lf_train_settings *s);
/* LF_E_INVALID where the training cannot run however long it waits: what it needs, what there is,
 * and the rank that would fit. */
enum lf_err lf_plan_check(const struct lf_memory_plan *layout, const struct lf_config *base,
                          const struct lf_train_settings *s, struct lf_diag *diag) LF_MUST_CHECK;

/* What one of several bases has of a device's memory when it is there, and what is laid out in it.
 */
struct lf_base_part {
    uint64_t bytes;
    struct lf_memory_plan plan;
    int context_max;
};
/* Of all bases, on each seat: where all fit the whole memory in proportion to what each needs at
 * least (its layout, and a training with the default settings); else up to half as much again as it
 * needs, as far as no fewer have room for it, and they come and go, beside those that are pinned.
 * *total: of the seat with least. LF_E_DEVICE_FULL names the base that has no room even alone, or
 * beside those. */
enum lf_err lf_plan_parts(struct lf_base_part *parts, uint64_t *total,
                          const struct lf_daemon_options *o, const struct lf_bases *bases,
                          const bool pinned[LF_BASES_MAX], struct lf_budget *host,
                          struct lf_diag *diag) LF_MUST_CHECK;

#endif
