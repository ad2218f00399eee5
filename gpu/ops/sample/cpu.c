/* Choosing the next token on the cpu: rows over threads; thresholds by bisection, as the definition
 * finds them, over probabilities that are computed once. */
#include "core/rng.h"
#include "gpu/backend.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/vmath.h"
#include "gpu/ops/sample/order.h"
#include "gpu/ops/sample/penalty.h"

#include <math.h>

/* A worker's scratch: probabilities, and a mark for each id of the history. */
#define V_MAX (LF_CPU_SCRATCH / (sizeof(float) + 1))
#define COST 64       /* of a logit, in simple operations */
#define SUM_BLOCK 512 /* terms summed in fp32: 128,000 of them would lose four digits */

struct row {
    float *x, *p; /* logits; probabilities, not divided by their total, 0 where an id is out */
    int V;
};

static float row_max(const float *x, int V)
{
    float max = -INFINITY;
#pragma omp simd reduction(max : max)
    for (int v = 0; v < V; v++)
        max = x[v] > max ? x[v] : max;
    return max;
}

static float log_sum_exp(const float *x, int V)
{
    float max = row_max(x, V);
    double all = 0;
    for (int begin = 0; begin < V; begin += SUM_BLOCK) {
        int end = V < begin + SUM_BLOCK ? V : begin + SUM_BLOCK;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int v = begin; v < end; v++)
            sum += lf_exp(x[v] - max);
        all += sum;
    }
    return max + (float)log(all);
}

static void penalize(float *x, int V, const struct lf_sample_params *p, const int32_t *history,
                     uint8_t *marks)
{
    const int32_t *ids = history + p->history_off;
    if (p->repetition_penalty != 1) {
        memset(marks, 0, (size_t)V);
        for (int i = 0; i < p->history_n; i++) {
            float *at = &x[ids[i]];
            if (!marks[ids[i]])
                *at = *at > 0 ? *at / p->repetition_penalty : *at * p->repetition_penalty;
            marks[ids[i]] = 1;
        }
    }
    if (p->frequency_penalty == 0 && p->presence_penalty == 0)
        return;
    memset(marks, 0, (size_t)V);
    ids += p->history_n - p->completion_n;
    for (int i = 0; i < p->completion_n; i++) {
        x[ids[i]] -= p->frequency_penalty;
        if (!marks[ids[i]])
            x[ids[i]] -= p->presence_penalty;
        marks[ids[i]] = 1;
    }
}

static int32_t greedy(const float *x, int V)
{
    float max = row_max(x, V);
    for (int v = 0; v < V; v++)
        if (x[v] == max)
            return v;
    return 0; /* no number in the row is comparable */
}

static float sum_above(const struct row *r, float threshold)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int v = 0; v < r->V; v++)
        sum += r->x[v] > threshold ? r->p[v] : 0;
    return sum;
}

static float count_above(const struct row *r, float threshold)
{
    int n = 0;
#pragma omp simd reduction(+ : n)
    for (int v = 0; v < r->V; v++)
        n += r->x[v] > threshold;
    return (float)n;
}

/* Drops the ids whose strict betters amount to `limit` or more. */
static void keep_top(struct row *r, float max, float limit, bool count)
{
    uint32_t low = lf_order_key(-INFINITY), high = lf_order_key(max);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        float threshold = lf_order_float(middle);
        if ((count ? count_above(r, threshold) : sum_above(r, threshold)) < limit)
            high = middle;
        else
            low = middle + 1;
    }
    float lowest = lf_order_float(low);
#pragma omp simd
    for (int v = 0; v < r->V; v++)
        r->p[v] = r->x[v] >= lowest ? r->p[v] : 0;
}

static float total(const struct row *r)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int v = 0; v < r->V; v++)
        sum += r->p[v];
    return sum;
}

static int32_t draw(const struct row *r, double u)
{
    double sum = 0, all = 0;
    int32_t last = 0;
    for (int v = 0; v < r->V; v++)
        all += r->p[v];
    for (int v = 0; v < r->V && sum <= u * all; v++) {
        sum += r->p[v];
        last = r->p[v] > 0 ? v : last;
    }
    return last;
}

static int32_t choose(struct row *r, const struct lf_sample_params *p)
{
    if (p->temperature <= 0)
        return greedy(r->x, r->V);
    float max = row_max(r->x, r->V), inverse = 1 / p->temperature;
#pragma omp simd
    for (int v = 0; v < r->V; v++)
        r->p[v] = r->x[v] > -INFINITY ? lf_exp((r->x[v] - max) * inverse) : 0;
    if (p->top_k > 0 && p->top_k < r->V)
        keep_top(r, max, (float)p->top_k, true);
    if (p->top_p < 1)
        keep_top(r, max, p->top_p * total(r), false);
    if (p->min_p > 0)
        for (int v = 0; v < r->V; v++)
            r->p[v] = r->p[v] >= p->min_p ? r->p[v] : 0;
    return draw(r, lf_rng_unit(lf_rng_u32(p->seed, p->counter, 0)));
}

/* Keeps the best so far in order; ids come ascending, so that an equal one stays behind. */
static void list_top(const float *x, int V, int n, float lse, int32_t *ids, float *logprob)
{
    for (int i = 0; i < n; i++) {
        ids[i] = -1;
        logprob[i] = -INFINITY;
    }
    for (int v = 0; v < V; v++) {
        if (!(x[v] > logprob[n - 1]))
            continue;
        int i = n - 1;
        for (; i > 0 && x[v] > logprob[i - 1]; i--) {
            ids[i] = ids[i - 1];
            logprob[i] = logprob[i - 1];
        }
        ids[i] = v;
        logprob[i] = x[v];
    }
    for (int i = 0; i < n; i++)
        logprob[i] -= lse;
}

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_sample_args *a = args;
    for (size_t m = begin; m < end; m++) {
        const struct lf_sample_params *p = &a->params[m];
        struct row r = {.x = a->logits + m * (size_t)a->V, .p = scratch, .V = a->V};
        float lse = a->logprob ? log_sum_exp(r.x, r.V) : 0;
        size_t top = m * (size_t)a->top_ld;
        if (p->top_n > 0)
            list_top(r.x, r.V, p->top_n, lse, a->top_ids + top, a->top_logprob + top);
        int32_t id = a->given ? a->given[m] : -1;
        double raw;
        if (id >= 0) {
            raw = r.x[id];
        } else {
            lf_sample_mask(r.x, r.V, p, a->masks);
            for (int i = 0; i < p->bias_n; i++)
                r.x[a->bias[p->bias_off + i].id] += a->bias[p->bias_off + i].add;
            penalize(r.x, r.V, p, a->history, (uint8_t *)(r.p + r.V));
            id = choose(&r, p);
            raw = lf_sample_raw_logit(r.x[id], p, a->history, a->bias, id);
        }
        a->ids[m] = id;
        if (a->logprob)
            a->logprob[m] = (float)(raw - lse);
    }
}

void LF_ISA(sample)(struct lf_stream *s, const struct lf_sample_args *a)
{
    if ((size_t)a->V > V_MAX)
        lf_ref_sample(s, a);
    else
        lf_cpu_run(s, (size_t)a->M, lf_cpu_grain(COST * (size_t)a->V), rows, a);
}
