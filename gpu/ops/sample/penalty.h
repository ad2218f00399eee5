/* Masks; biases and penalties undone: the raw logit of a chosen id, after its row was used up.
 * Private to gpu/. */
#ifndef LF_GPU_OPS_SAMPLE_PENALTY_H
#define LF_GPU_OPS_SAMPLE_PENALTY_H

#include "gpu/ops.h"

#include <math.h>

/* Leaves of a row of V logits those that p's mask has. */
static inline void lf_sample_mask(float *x, int V, const struct lf_sample_params *p,
                                  const uint32_t *masks)
{
    if (p->mask == 0)
        return;
    const uint32_t *mask = masks + (size_t)(p->mask - 1) * (((size_t)V + 31) / 32);
    for (int v = 0; v < V; v++)
        x[v] = mask[v / 32] >> (v % 32) & 1 ? x[v] : -INFINITY;
}

static inline bool lf_sample_seen(const int32_t *ids, int n, int32_t id)
{
    for (int i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* What p adds to the logit of id. */
static inline double lf_sample_bias(const struct lf_sample_params *p,
                                    const struct lf_logit_bias *bias, int32_t id)
{
    for (int i = 0; i < p->bias_n; i++)
        if (bias[p->bias_off + i].id == id)
            return bias[p->bias_off + i].add;
    return 0;
}

/* The logit of id before p's penalties made `penalized` of it. */
static inline double lf_sample_unpenalized(double penalized, const struct lf_sample_params *p,
                                           const int32_t *history, int32_t id)
{
    const int32_t *ids = history + p->history_off;
    int count = 0;
    for (int i = p->history_n - p->completion_n; i < p->history_n; i++)
        count += ids[i] == id;
    double x = penalized + (double)p->frequency_penalty * count;
    if (count > 0)
        x += p->presence_penalty;
    if (p->repetition_penalty == 1 || !lf_sample_seen(ids, p->history_n, id))
        return x;
    return x > 0 ? x * p->repetition_penalty : x / p->repetition_penalty;
}

/* The logit of id before all that p does made `used` of it. */
static inline double lf_sample_raw_logit(double used, const struct lf_sample_params *p,
                                         const int32_t *history, const struct lf_logit_bias *bias,
                                         int32_t id)
{
    return lf_sample_unpenalized(used, p, history, id) - lf_sample_bias(p, bias, id);
}

#endif
