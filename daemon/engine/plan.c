/* What trainings take of what a layout leaves. */
#include "daemon/engine/plan.h"

#include <stdio.h>

#define MIB 1048576.0

enum lf_err lf_plan_training(struct lf_training_needs *out, const struct lf_memory_plan *layout,
                             const struct lf_config *base, const struct lf_train_settings *s,
                             struct lf_diag *diag)
{
    struct lf_adapter_shape shape;
    struct lf_lora_settings lora = lf_train_settings_lora(s);
    enum lf_err rc = lf_adapter_shape_new(&shape, base, &lora, diag);
    if (rc != LF_OK)
        return rc;
    enum lf_slot_use use = lf_train_slot_use(s);
    struct lf_slot_bytes trains = lf_slot_bytes(&shape, base, layout->act, use);
    struct lf_slot_bytes served = lf_slot_bytes(&shape, base, layout->act, LF_SLOT_SERVES);
    *out = (struct lf_training_needs){.params = (int64_t)shape.n_params,
                                      .rank = shape.rank_max,
                                      .trains = trains,
                                      .served = served.device,
                                      .least =
                                          trains.device + (layout->own_memory ? 0 : trains.paged)};
    lf_adapter_shape_free(&shape);
    return LF_OK;
}

int lf_plan_rank(const struct lf_memory_plan *layout, const struct lf_config *base,
                 const struct lf_train_settings *s)
{
    struct lf_train_settings narrower = *s; /* borrows its texts */
    struct lf_training_needs needs;
    int fits = 0, too_wide = s->rank + 1;
    narrower.rank_pattern = NULL;
    while (too_wide - fits > 1) {
        narrower.rank = (fits + too_wide) / 2;
        if (lf_plan_training(&needs, layout, base, &narrower, NULL) == LF_OK &&
            needs.least <= layout->rest)
            fits = narrower.rank;
        else
            too_wide = narrower.rank;
    }
    return fits;
}

enum lf_err lf_plan_check(const struct lf_memory_plan *layout, const struct lf_config *base,
                          const struct lf_train_settings *s, struct lf_diag *diag)
{
    struct lf_training_needs needs;
    enum lf_err rc = lf_plan_training(&needs, layout, base, s, diag);
    if (rc != LF_OK || needs.least <= layout->rest)
        return rc;
    char what[64] = "no rank does";
    int fits = lf_plan_rank(layout, base, s);
    if (fits > 0)
        snprintf(what, sizeof what, "rank %d would", fits);
    return lf_fail(diag, LF_E_INVALID,
                   "the training does not fit: an adapter of rank %d wants %.0f MiB of the device, "
                   "and %.0f are left beside the base; %s",
                   needs.rank, (double)needs.least / MIB, (double)layout->rest / MIB, what);
}
