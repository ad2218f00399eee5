/* Choosing the next token of each sequence. */
#include "core/rng.h"
#include "gpu/backend.h"
#include "gpu/ops/sample/order.h"
#include "gpu/ops/sample/penalty.h"

#include <math.h>

/* One row under way: x holds its logits, -INFINITY where an id is out. */
struct row {
    float *x;
    int V;
    double max, temperature;
};

static void find_max(struct row *r)
{
    r->max = -INFINITY;
    for (int v = 0; v < r->V; v++)
        r->max = fmax(r->max, r->x[v]);
}

/* Probability of id v, not divided by the total. */
static double mass(const struct row *r, int v)
{
    return r->x[v] == -INFINITY ? 0 : exp((r->x[v] - r->max) / r->temperature);
}

static double total_mass(const struct row *r)
{
    double sum = 0;
    for (int v = 0; v < r->V; v++)
        sum += mass(r, v);
    return sum;
}

static void penalize(struct row *r, const struct lf_sample_params *p, const int32_t *history)
{
    const int32_t *ids = history + p->history_off;
    for (int i = 0; p->repetition_penalty != 1 && i < p->history_n; i++)
        if (!lf_sample_seen(ids, i, ids[i])) {
            float *x = &r->x[ids[i]];
            *x = *x > 0 ? *x / p->repetition_penalty : *x * p->repetition_penalty;
        }
    ids += p->history_n - p->completion_n;
    for (int i = 0; i < p->completion_n; i++) {
        r->x[ids[i]] -= p->frequency_penalty;
        if (!lf_sample_seen(ids, i, ids[i]))
            r->x[ids[i]] -= p->presence_penalty;
    }
}

/* How much lies strictly above a key: ids, or their share of the probability. */
static double above(const struct row *r, uint32_t key, bool count)
{
    double sum = 0;
    for (int v = 0; v < r->V; v++)
        if (lf_order_key(r->x[v]) > key)
            sum += count ? 1 : mass(r, v);
    return sum;
}

/* Keeps the ids whose strict betters amount to less than `limit`. */
static void keep_top(struct row *r, double limit, bool count)
{
    uint32_t low = 0, high = UINT32_MAX; /* the lowest key that stays is in [low, high] */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (above(r, middle, count) < limit)
            high = middle;
        else
            low = middle + 1;
    }
    for (int v = 0; v < r->V; v++)
        if (lf_order_key(r->x[v]) < low)
            r->x[v] = -INFINITY;
}

static int32_t greedy(const struct row *r)
{
    int32_t best = 0;
    for (int v = 1; v < r->V; v++)
        if (r->x[v] > r->x[best])
            best = v;
    return best;
}

static int32_t draw(const struct row *r, double u)
{
    double sum = 0, limit = u * total_mass(r);
    int32_t last = 0;
    for (int v = 0; v < r->V; v++) {
        if (mass(r, v) == 0)
            continue;
        last = v;
        sum += mass(r, v);
        if (sum > limit)
            break;
    }
    return last;
}

static int32_t choose(struct row *r, const struct lf_sample_params *p)
{
    if (p->temperature <= 0)
        return greedy(r);
    r->temperature = p->temperature;
    find_max(r);
    if (p->top_k > 0 && p->top_k < r->V)
        keep_top(r, p->top_k, true);
    if (p->top_p < 1)
        keep_top(r, p->top_p * total_mass(r), false);
    for (int v = 0; v < r->V; v++)
        if (mass(r, v) < p->min_p)
            r->x[v] = -INFINITY;
    return draw(r, lf_rng_unit(lf_rng_u32(p->seed, p->counter, 0)));
}

/* The n likeliest ids of a row as it came. */
static void list_top(const struct row *r, int n, double lse, int32_t *ids, float *logprob)
{
    float before = INFINITY;
    int32_t last = -1;
    for (int i = 0; i < n; i++) {
        int32_t best = -1;
        for (int v = 0; v < r->V; v++) {
            bool comes_later = r->x[v] < before || (r->x[v] == before && v > last);
            if (comes_later && r->x[v] > (best < 0 ? -INFINITY : r->x[best]))
                best = v;
        }
        ids[i] = best;
        logprob[i] = best < 0 ? -INFINITY : (float)(r->x[best] - lse);
        if (best < 0)
            continue;
        before = r->x[best];
        last = best;
    }
}

void lf_ref_sample(struct lf_stream *s, const struct lf_sample_args *a)
{
    (void)s;
    for (int m = 0; m < a->M; m++) {
        const struct lf_sample_params *p = &a->params[m];
        struct row r = {.x = a->logits + (size_t)m * a->V, .V = a->V, .temperature = 1};
        find_max(&r);
        double lse = r.max + log(total_mass(&r)), raw;
        size_t top = (size_t)m * a->top_ld;
        if (p->top_n > 0)
            list_top(&r, p->top_n, lse, a->top_ids + top, a->top_logprob + top);
        a->ids[m] = a->given ? a->given[m] : -1;
        if (a->ids[m] >= 0) {
            raw = r.x[a->ids[m]];
        } else {
            lf_sample_mask(r.x, r.V, p, a->masks);
            for (int i = 0; i < p->bias_n; i++)
                r.x[a->bias[p->bias_off + i].id] += a->bias[p->bias_off + i].add;
            penalize(&r, p, a->history);
            a->ids[m] = choose(&r, p);
            raw = lf_sample_raw_logit(r.x[a->ids[m]], p, a->history, a->bias, a->ids[m]);
        }
        if (a->logprob)
            a->logprob[m] = (float)(raw - lse);
    }
}
