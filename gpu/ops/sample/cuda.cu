/* Choosing the next token on CUDA: a block a row.
 *
 * No sort. The lowest value that top-k or top-p keeps is found by narrowing: the values between two
 * bounds are counted (or their probabilities added) in 1024 bins, the bin in which the limit falls
 * becomes the next pair of bounds, until it holds one value; two rounds as a rule. Probabilities
 * are added as integers of 2^-40, so sums do not depend on their order and results repeat.
 */
#include "gpu/cuda/kernel.cuh"

#define THREADS 1024
#define BINS 1024
#define ONE 1099511627776.0f /* 2^40: probability 1, against the greatest */

typedef unsigned long long mass_t;

/* One row under way. Ids below `low` in value are out. */
struct row {
    float *x;
    int V;
    float max, temperature, low;
};

struct sample_smem {
    mass_t bin[BINS];
    mass_t part[THREADS / 32];
    mass_t before;
    int at;
};

/* ---- Over the block, in any order with the same result --------------------------------------- */

LF_DEVICE mass_t block_add(mass_t v, mass_t *part)
{
#pragma unroll
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, d);
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = v;
    __syncthreads();
    mass_t sum = 0;
    for (int i = 0; i < THREADS / 32; i++)
        sum += part[i];
    return sum;
}

LF_DEVICE mass_t block_greatest(mass_t v, mass_t *part)
{
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        mass_t other = __shfl_xor_sync(0xffffffffu, v, d);
        v = v > other ? v : other;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = v;
    __syncthreads();
    mass_t most = 0;
    for (int i = 0; i < THREADS / 32; i++)
        most = most > part[i] ? most : part[i];
    return most;
}

/* The sum over the threads before this one. */
LF_DEVICE mass_t block_before(mass_t v, mass_t *part)
{
    mass_t upto = warp_upto(v);
    int warp = threadIdx.x / 32;
    __syncthreads();
    if (threadIdx.x % 32 == 31)
        part[warp] = upto;
    __syncthreads();
    mass_t before = upto - v;
    for (int i = 0; i < warp; i++)
        before += part[i];
    return before;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* Floats as integers in the same order (gpu/ops/sample/order.h). */
LF_DEVICE uint32_t order_key(float x)
{
    uint32_t u = __float_as_uint(x + 0.0f);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

LF_DEVICE float row_max(const float *x, int V)
{
    float max = -INFINITY;
    for (int v = threadIdx.x; v < V; v += THREADS)
        max = fmaxf(max, x[v]);
    return block_max<THREADS>(max);
}

LF_DEVICE float log_sum_exp(const float *x, int V)
{
    float max = row_max(x, V), sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += THREADS)
        sum += exp2_fast((x[v] - max) * LOG2E);
    return max + logf(block_sum<THREADS>(sum));
}

/* Probability of a value, against the greatest's. */
LF_DEVICE mass_t mass_of(const struct row &r, float x)
{
    if (!(x >= r.low) || x == -INFINITY)
        return 0;
    return (mass_t)(expf((x - r.max) / r.temperature) * ONE);
}

LF_DEVICE mass_t total_mass(const struct row &r, struct sample_smem *s)
{
    mass_t sum = 0;
    for (int v = threadIdx.x; v < r.V; v += THREADS)
        sum += mass_of(r, r.x[v]);
    return block_add(sum, s->part);
}

/* ---- The likeliest --------------------------------------------------------------------------- */

/* A value and its id, ordered by both: the greater value first, the lower id among equals. */
LF_DEVICE mass_t rank_of(float x, int v)
{
    return (mass_t)order_key(x) << 32 | (0xffffffffu - (uint32_t)v);
}

LF_DEVICE int id_of(mass_t rank)
{
    return (int)(0xffffffffu - (uint32_t)rank);
}

/* This thread's highest rank below `limit`; 0: none of its values. */
LF_DEVICE mass_t own_best(const float *x, int V, mass_t limit)
{
    mass_t best = 0;
    for (int v = threadIdx.x; v < V; v += THREADS) {
        mass_t rank = rank_of(x[v], v);
        if (x[v] > -INFINITY && rank < limit)
            best = best > rank ? best : rank;
    }
    return best;
}

/* One pass; then only the thread whose value was the best looks through its own again. */
LF_DEVICE void list_top(const struct row &r, struct sample_smem *s, int n, float lse, int32_t *ids,
                        float *logprob)
{
    mass_t own = own_best(r.x, r.V, ~0ull);
    for (int i = 0; i < n; i++) {
        mass_t best = block_greatest(own, s->part);
        if (threadIdx.x == 0) {
            ids[i] = best ? id_of(best) : -1;
            logprob[i] = best ? r.x[id_of(best)] - lse : -INFINITY;
        }
        if (best && own == best)
            own = own_best(r.x, r.V, best);
    }
}

/* ---- Masks, biases and penalties ------------------------------------------------------------- */

LF_DEVICE void keep_masked(struct row &r, const struct lf_sample_params &p, const uint32_t *masks)
{
    const uint32_t *mask = masks + (size_t)(p.mask - 1) * ((r.V + 31) / 32);
    for (int v = threadIdx.x; v < r.V; v += THREADS)
        if (!(mask[v / 32] >> v % 32 & 1))
            r.x[v] = -INFINITY;
    __syncthreads();
}

LF_DEVICE void add_biases(float *x, const struct lf_sample_params &p,
                          const struct lf_logit_bias *bias)
{
    for (int i = threadIdx.x; i < p.bias_n; i += THREADS)
        x[bias[p.bias_off + i].id] += bias[p.bias_off + i].add;
    __syncthreads();
}

LF_DEVICE float bias_of(const struct lf_sample_params &p, const struct lf_logit_bias *bias, int id)
{
    float found = 0.0f; /* in one thread at most */
    for (int i = threadIdx.x; i < p.bias_n; i += THREADS)
        if (bias[p.bias_off + i].id == id)
            found = bias[p.bias_off + i].add;
    return block_sum<THREADS>(found);
}

/* True for the first caller with this id. */
LF_DEVICE bool first_sight(uint32_t *seen, int id)
{
    uint32_t bit = 1u << id % 32;
    return (atomicOr(&seen[id / 32], bit) & bit) == 0;
}

LF_DEVICE void clear(uint32_t *seen, int V)
{
    __syncthreads();
    for (int i = threadIdx.x; i < (V + 31) / 32; i += THREADS)
        seen[i] = 0;
    __syncthreads();
}

/* `seen`: a bit an id. Each id is divided once; taking the frequency penalty once an occurrence
 * is the same subtraction as often, so its order does not matter. */
LF_DEVICE void penalize(float *x, int V, const struct lf_sample_params &p, const int32_t *history,
                        uint32_t *seen)
{
    const int32_t *ids = history + p.history_off, *own = ids + p.history_n - p.completion_n;
    if (p.repetition_penalty != 1.0f) {
        clear(seen, V);
        for (int i = threadIdx.x; i < p.history_n; i += THREADS)
            if (first_sight(seen, ids[i])) {
                float v = x[ids[i]];
                x[ids[i]] = v > 0.0f ? v / p.repetition_penalty : v * p.repetition_penalty;
            }
    }
    if (p.frequency_penalty != 0.0f || p.presence_penalty != 0.0f) {
        clear(seen, V);
        for (int i = threadIdx.x; i < p.completion_n; i += THREADS)
            atomicAdd(&x[own[i]], -p.frequency_penalty);
        __syncthreads();
        for (int i = threadIdx.x; i < p.completion_n; i += THREADS)
            if (first_sight(seen, own[i]))
                x[own[i]] -= p.presence_penalty;
    }
    __syncthreads();
}

/* The logit of id before the penalties (gpu/ops/sample/penalty.h). */
LF_DEVICE float unpenalized(float x, const struct lf_sample_params &p, const int32_t *history,
                            int id, struct sample_smem *s)
{
    mass_t found = 0; /* occurrences, those in the completion in the high half */
    for (int i = threadIdx.x; i < p.history_n; i += THREADS)
        if (history[p.history_off + i] == id)
            found += i >= p.history_n - p.completion_n ? 1ull << 32 | 1 : 1;
    found = block_add(found, s->part);
    int count = (int)(found >> 32);
    x += p.frequency_penalty * count + (count > 0 ? p.presence_penalty : 0.0f);
    if (p.repetition_penalty == 1.0f || found == 0)
        return x;
    return x > 0.0f ? x * p.repetition_penalty : x / p.repetition_penalty;
}

/* ---- What stays ------------------------------------------------------------------------------ */

/* Bins of the values in [low, high], the highest first. */
LF_DEVICE int bin_of(float x, float low, float high)
{
    float range = fminf(high - low, 3.0e38f);
    return min(BINS - 1, (int)((high - x) * (BINS / range)));
}

/* Adds the values in [low, high] into bins: their number, or their mass. */
LF_DEVICE void fill_bins(struct sample_smem *s, const struct row &r, float low, float high,
                         bool count)
{
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += THREADS)
        s->bin[i] = 0;
    __syncthreads();
    for (int v = threadIdx.x; v < r.V; v += THREADS) {
        float x = r.x[v];
        if (x >= low && x <= high && x >= r.low) {
            mass_t m = count ? 1 : mass_of(r, x);
            if (m)
                atomicAdd(&s->bin[bin_of(x, low, high)], m);
        }
    }
    __syncthreads();
}

/* The first bin up to which the sum reaches `limit`, given `before`; -1 when none does. Leaves in
 * s->before what lies above the bin. */
LF_DEVICE int find_bin(struct sample_smem *s, double limit, mass_t before)
{
    mass_t own = threadIdx.x < BINS ? s->bin[threadIdx.x] : 0;
    mass_t above = before + block_before(own, s->part);
    if (threadIdx.x == 0)
        s->at = -1;
    __syncthreads();
    if (own && (double)above < limit && (double)(above + own) >= limit) {
        s->at = threadIdx.x;
        s->before = above;
    }
    __syncthreads();
    return s->at;
}

/* The least and the greatest value of a bin, as new bounds. */
LF_DEVICE void narrow(const struct row &r, int bin, float *low, float *high)
{
    float least = INFINITY, most = -INFINITY;
    for (int v = threadIdx.x; v < r.V; v += THREADS) {
        float x = r.x[v];
        if (x >= *low && x <= *high && x >= r.low && bin_of(x, *low, *high) == bin) {
            least = fminf(least, x);
            most = fmaxf(most, x);
        }
    }
    least = -block_max<THREADS>(-least);
    most = block_max<THREADS>(most);
    *low = least;
    *high = most;
}

/* Raises r.low to the lowest value whose strict betters amount to less than `limit`. */
LF_DEVICE void keep_top(struct row &r, struct sample_smem *s, double limit, bool count)
{
    float least = INFINITY;
    for (int v = threadIdx.x; v < r.V; v += THREADS)
        if (r.x[v] >= r.low && r.x[v] > -INFINITY)
            least = fminf(least, r.x[v]);
    float low = -block_max<THREADS>(-least), high = r.max;
    mass_t before = 0;
    while (low < high) {
        fill_bins(s, r, low, high, count);
        int bin = find_bin(s, limit, before);
        if (bin < 0)
            return; /* all together do not reach it */
        before = s->before;
        narrow(r, bin, &low, &high);
    }
    r.low = low;
}

/* Drops ids with less than min_p of the greatest's probability. */
LF_DEVICE void keep_likely(struct row &r, float min_p)
{
    for (int v = threadIdx.x; v < r.V; v += THREADS)
        if (expf((r.x[v] - r.max) / r.temperature) < min_p)
            r.x[v] = -INFINITY;
    __syncthreads();
}

/* ---- Choosing -------------------------------------------------------------------------------- */

LF_DEVICE int greedy(const struct row &r, struct sample_smem *s)
{
    mass_t best = 0;
    for (int v = threadIdx.x; v < r.V; v += THREADS) {
        mass_t rank = rank_of(r.x[v], v);
        best = best > rank ? best : rank;
    }
    return id_of(block_greatest(best, s->part));
}

/* The first id, ascending, at which the running sum of mass exceeds u times the total. */
LF_DEVICE int draw(const struct row &r, struct sample_smem *s, double u)
{
    int each = (r.V + THREADS - 1) / THREADS, begin = min(r.V, (int)threadIdx.x * each);
    int end = min(r.V, begin + each);
    mass_t own = 0;
    for (int v = begin; v < end; v++)
        own += mass_of(r, r.x[v]);
    mass_t before = block_before(own, s->part);
    double limit = u * (double)block_add(own, s->part);
    if ((double)before <= limit && (double)(before + own) > limit)
        for (int v = begin; v < end; v++) {
            before += mass_of(r, r.x[v]);
            if ((double)before > limit) {
                s->at = v;
                break;
            }
        }
    __syncthreads();
    return s->at;
}

LF_DEVICE int choose(struct row &r, struct sample_smem *s, const struct lf_sample_params &p)
{
    if (p.temperature <= 0.0f)
        return greedy(r, s);
    r.temperature = p.temperature;
    r.max = row_max(r.x, r.V);
    r.low = -INFINITY;
    if (p.top_k > 0 && p.top_k < r.V)
        keep_top(r, s, p.top_k, true);
    if (p.top_p < 1.0f)
        keep_top(r, s, p.top_p * (double)total_mass(r, s), false);
    if (p.min_p > 0.0f)
        keep_likely(r, p.min_p);
    return draw(r, s, lf_rng_unit(lf_rng_u32(p.seed, p.counter, 0)));
}

static __global__ void __launch_bounds__(THREADS)
    sample_kernel(const __grid_constant__ struct lf_sample_args a)
{
    __shared__ struct sample_smem s;
    grid_wait();
    const struct lf_sample_params p = a.params[blockIdx.x];
    struct row r = {a.logits + (size_t)blockIdx.x * a.V, a.V, 0.0f, 1.0f, 0.0f};
    float lse = a.logprob ? log_sum_exp(r.x, r.V) : 0.0f;
    size_t top = (size_t)blockIdx.x * a.top_ld;
    if (p.top_n > 0)
        list_top(r, &s, p.top_n, lse, a.top_ids + top, a.top_logprob + top);
    __syncthreads();
    int id = a.given ? a.given[blockIdx.x] : -1;
    bool given = id >= 0;
    if (!given) {
        if (p.mask > 0)
            keep_masked(r, p, a.masks);
        if (p.bias_n > 0)
            add_biases(r.x, p, a.bias);
        penalize(r.x, r.V, p, a.history, (uint32_t *)dynamic_smem());
        id = choose(r, &s, p);
    }
    if (threadIdx.x == 0)
        a.ids[blockIdx.x] = id;
    if (!a.logprob)
        return;
    float raw = r.x[id];
    if (!given) {
        raw = unpenalized(raw, p, a.history, id, &s);
        if (p.bias_n > 0)
            raw -= bias_of(p, a.bias, id);
    }
    if (threadIdx.x == 0)
        a.logprob[blockIdx.x] = raw - lse;
}

void lf_cuda_sample(struct lf_stream *s, const struct lf_sample_args *a)
{
    size_t seen = ((size_t)a->V + 31) / 32 * sizeof(uint32_t);
    lf_launch<sample_kernel>(s, dim3(a->M), THREADS, seen, *a);
}
