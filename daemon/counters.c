/* Counters, histograms, and their text. */
#include "daemon/counters.h"

#include "daemon/http/http.h"
#include "daemon/limits.h"

#include <string.h>

/* Every status that the server answers with; a status outside is counted as the last. */
static const unsigned statuses[] = {200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 409,
                                    413, 416, 422, 429, 499, 500, 503, 504, 507, 0};
#define N_STATUSES (sizeof statuses / sizeof *statuses)
_Static_assert(N_STATUSES <= LF_COUNTER_STATUSES, "one counter a status");

static const double seconds_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                        0.5,   1,      2.5,   5,    10,    30,   60};
static const double token_bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02,
                                      0.04,   0.08,  0.16,   0.32,  0.64, 1.28};
static const double batch_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

static void histogram_init(struct lf_histogram *h, const double *bounds, size_t n)
{
    h->bounds = bounds;
    h->n_bounds = (int)n;
}

void lf_counters_init(struct lf_counters *c)
{
    size_t n = sizeof seconds_bounds / sizeof *seconds_bounds;
    memset(c, 0, sizeof *c);
    histogram_init(&c->queue_seconds, seconds_bounds, n);
    histogram_init(&c->first_token_seconds, seconds_bounds, n);
    histogram_init(&c->request_seconds, seconds_bounds, n);
    histogram_init(&c->token_seconds, token_bounds, sizeof token_bounds / sizeof *token_bounds);
    histogram_init(&c->batch_tokens, batch_bounds, sizeof batch_bounds / sizeof *batch_bounds);
}

void lf_counters_request(struct lf_counters *c, size_t route, unsigned status)
{
    size_t i = 0;
    while (i + 1 < N_STATUSES && statuses[i] != status)
        i++;
    if (route > LF_COUNTER_ROUTES_MAX)
        route = LF_COUNTER_ROUTES_MAX;
    lf_counter_add(&c->requests[route][i], 1);
}

void lf_histogram_add(struct lf_histogram *h, double value)
{
    int i = 0;
    while (i < h->n_bounds && value > h->bounds[i])
        i++;
    lf_counter_add(&h->bucket[i], 1);
    if (value > 0)
        lf_counter_add(&h->sum_micro, (uint64_t)(value * 1e6));
}

/* ---- Text ------------------------------------------------------------------------------------ */

void lf_metric_head(struct lf_buf *out, const char *name, const char *type, const char *help)
{
    lf_buf_printf(out, "# HELP lorafs_%s %s\n# TYPE lorafs_%s %s\n", name, help, name, type);
}

void lf_metric_print(struct lf_buf *out, const char *type, const char *name, const char *help,
                     double value)
{
    lf_metric_head(out, name, type, help);
    lf_buf_printf(out, "lorafs_%s %.10g\n", name, value);
}

static void counter(struct lf_buf *out, const char *name, const char *help,
                    const atomic_uint_fast64_t *v)
{
    lf_metric_head(out, name, "counter", help);
    lf_buf_printf(out, "lorafs_%s %llu\n", name, (unsigned long long)atomic_load(v));
}

static void histogram(struct lf_buf *out, const char *name, const char *help,
                      const struct lf_histogram *h)
{
    unsigned long long sum = 0;
    lf_metric_head(out, name, "histogram", help);
    for (int i = 0; i < h->n_bounds; i++) {
        sum += atomic_load(&h->bucket[i]);
        lf_buf_printf(out, "lorafs_%s_bucket{le=\"%g\"} %llu\n", name, h->bounds[i], sum);
    }
    sum += atomic_load(&h->bucket[h->n_bounds]);
    lf_buf_printf(out, "lorafs_%s_bucket{le=\"+Inf\"} %llu\n", name, sum);
    lf_buf_printf(out, "lorafs_%s_sum %.6f\n", name, (double)atomic_load(&h->sum_micro) / 1e6);
    lf_buf_printf(out, "lorafs_%s_count %llu\n", name, sum);
}

static void http_requests(struct lf_buf *out, const struct lf_counters *c,
                          const struct lf_route *routes, size_t n)
{
    static const char *const names[] = {"GET", "POST", "PUT", "DELETE"};
    lf_metric_head(out, "http_requests_total", "counter",
                   "HTTP requests answered, by route and status.");
    for (size_t r = 0; r <= n; r++)
        for (size_t i = 0; i < N_STATUSES; i++) {
            unsigned long long v = atomic_load(&c->requests[r][i]);
            if (v > 0)
                lf_buf_printf(out,
                              "lorafs_http_requests_total{method=\"%s\",route=\"%s\",code=\"%u\"}"
                              " %llu\n",
                              r < n ? names[routes[r].method] : "", r < n ? routes[r].path : "",
                              statuses[i], v);
        }
}

static void jobs(struct lf_buf *out, const struct lf_counters *c)
{
    lf_metric_head(out, "jobs_total", "counter", "Trainings that ended, by how.");
    lf_buf_printf(out,
                  "lorafs_jobs_total{outcome=\"done\"} %llu\n"
                  "lorafs_jobs_total{outcome=\"failed\"} %llu\n"
                  "lorafs_jobs_total{outcome=\"cancelled\"} %llu\n",
                  (unsigned long long)atomic_load(&c->jobs_done),
                  (unsigned long long)atomic_load(&c->jobs_failed),
                  (unsigned long long)atomic_load(&c->jobs_cancelled));
}

static void ended(struct lf_buf *out, const struct lf_counters *c)
{
    const struct {
        const char *how;
        const atomic_uint_fast64_t *n;
    } rows[] = {{"eos", &c->ended_eos},
                {"stop", &c->ended_stop},
                {"length", &c->ended_length},
                {"cancelled", &c->ended_cancelled},
                {"failed", &c->ended_failed}};
    lf_metric_head(out, "generations_total", "counter", "Generations that ended, by how.");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        lf_buf_printf(out, "lorafs_generations_total{finish=\"%s\"} %llu\n", rows[i].how,
                      (unsigned long long)atomic_load(rows[i].n));
}

enum lf_err lf_counters_print(const struct lf_counters *c, const struct lf_route *routes, size_t n,
                              struct lf_buf *out)
{
    http_requests(out, c, routes, n);
    ended(out, c);
    jobs(out, c);
    counter(out, "refused_total", "Requests refused because the queue was full.", &c->refused);
    counter(out, "prompt_tokens_total", "Tokens of prompts.", &c->prompt_tokens);
    counter(out, "cached_tokens_total", "Of them, those found in the cache and not read again.",
            &c->cached_tokens);
    counter(out, "completion_tokens_total", "Tokens generated.", &c->completion_tokens);
    counter(out, "drafted_tokens_total", "Tokens tried out ahead of being generated.",
            &c->drafted_tokens);
    counter(out, "accepted_tokens_total", "Of them, those that were generated.",
            &c->accepted_tokens);
    counter(out, "train_tokens_total", "Tokens trained on.", &c->train_tokens);
    counter(out, "train_steps_total", "Optimizer steps.", &c->train_steps);
    counter(out, "adapters_read_total", "Adapters read from their files.", &c->adapters_read);
    counter(out, "adapters_loaded_total", "Adapters brought onto the device.", &c->adapters_loaded);
    counter(out, "adapters_evicted_total", "Adapters that left the device.", &c->adapters_evicted);
    counter(out, "adapter_hits_device_total", "Requests whose adapter was on the device.",
            &c->adapter_hits_device);
    counter(out, "adapter_hits_host_total", "Requests whose adapter was in host memory.",
            &c->adapter_hits_host);
    counter(out, "device_losses_total", "Times the device was lost.", &c->device_losses);
    counter(out, "bases_loaded_total", "Bases brought onto a device.", &c->bases_loaded);
    counter(out, "bases_evicted_total", "Bases that made way for another.", &c->bases_evicted);
    histogram(out, "queue_seconds", "Arrival to first step.", &c->queue_seconds);
    histogram(out, "first_token_seconds", "Arrival to first token.", &c->first_token_seconds);
    histogram(out, "token_seconds", "Mean time of a request's tokens after its first.",
              &c->token_seconds);
    histogram(out, "request_seconds", "Arrival to last token.", &c->request_seconds);
    histogram(out, "batch_tokens", "Tokens of a serving step.", &c->batch_tokens);
    return out->rc;
}
