/* The daemon itself: its health, its counters, its bases. */
#include "daemon/api/api.h"
#include "daemon/embedded.h"
#include "daemon/http/connections.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/seat.h"
#include "daemon/state.h"

#include "core/budget.h"
#include "core/clock.h"

#include <string.h>

static enum lf_err reply_embedded(struct lf_http *q, const char *media_type,
                                  const unsigned char *text, size_t n)
{
    lf_buf_auto b = {0};
    enum lf_err rc = lf_buf_append(&b, text, n);
    if (rc == LF_OK)
        lf_http_reply(q, 200, media_type, &b);
    return rc;
}

enum lf_err lf_api_page(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    return reply_embedded(q, "text/html; charset=utf-8", lf_page_html, lf_page_html_n);
}

enum lf_err lf_api_openapi(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    return reply_embedded(q, "application/json", lf_openapi_json, lf_openapi_json_n);
}

/* What does not keep it from answering, and wants somebody to look. */
static json_t *problems_of(struct lf_daemon *d)
{
    struct lf_diag store = {""}, disk = {""}, jobs = {""};
    double seconds = 0;
    json_t *list = json_array();
    if (lf_store_trouble(d->store, &seconds, &store) != LF_OK)
        json_array_append_new(list,
                              json_sprintf("changes fail since %.0f s: %s", seconds, store.text));
    if (lf_registry_disk_short(d->registry, &disk))
        json_array_append_new(list, json_string(disk.text));
    if (lf_jobs_unsaved(d->jobs, &jobs) > 0)
        json_array_append_new(list, json_string(jobs.text));
    return list;
}

enum lf_err lf_api_health(struct lf_http *q, struct lf_diag *diag)
{
    if (atomic_load(&q->daemon->stopping))
        return lf_fail(diag, LF_E_DEVICE_LOST, "the daemon is stopping");
    const struct lf_seat *who;
    enum lf_engine_state state = lf_seats_state(q->daemon->seats, &who);
    if (state == LF_ENGINE_FAILED) {
        lf_engine_failure(who->engine, diag);
        return LF_E_DEVICE_LOST;
    }
    if (state != LF_ENGINE_READY)
        return lf_fail(diag, LF_E_DEVICE_LOST, "the base is being loaded");
    json_t *problems = problems_of(q->daemon);
    bool well = json_array_size(problems) == 0;
    lf_http_reply_json(
        q, 200, json_pack("{s:s, s:o}", "status", well ? "ok" : "degraded", "problems", problems));
    return LF_OK;
}

/* What the engines say of themselves; their sums are shown. */
static const struct gauge {
    const char *name, *help;
    enum { GAUGE_INT, GAUGE_BYTES } type;
    size_t at; /* in struct lf_engine_status: an int, or an uint64_t */
} gauges[] = {
#define INT(name, field, help)                                          \
    {                                                                   \
        name, help, GAUGE_INT, offsetof(struct lf_engine_status, field) \
    }
#define BYTES(name, field, help)                                                   \
    {                                                                              \
        name "_bytes", help, GAUGE_BYTES, offsetof(struct lf_engine_status, field) \
    }
    INT("requests_waiting", waiting, "Generations without a place on the device yet."),
    INT("requests_live", gen.live, "Generations on the device."),
    INT("sequences_decoding", gen.decoding, "Of them, those that make tokens."),
    INT("sequences_max", seqs_max, "Places on the device."),
    INT("kv_pages", gen.pages, "Pages of the KV cache."),
    INT("kv_pages_free", gen.pages_free, "Of them, those that are free."),
    INT("kv_pages_idle", gen.pages_idle, "Of the free ones, those that hold prompts' beginnings."),
    INT("adapter_slots", slots, "Places for adapters on the device."),
    INT("adapter_slots_used", slots_used, "Of them, those that are taken."),
    BYTES("adapter_memory", adapter_bytes_max, "Device memory laid out for adapters so far."),
    BYTES("adapter_memory_used", adapter_bytes, "Of it, what they take."),
    INT("adapters_in_host_memory", adapters_host, "Also those that are on the device."),
    BYTES("adapter_cache", host_bytes, "Host memory that they take."),
    BYTES("adapter_cache_max", host_bytes_max, "That they may take."),
    INT("trainings_running", trainings, "Jobs in the fused training batch."),
    BYTES("device_memory_used", memory_used, "By this daemon."),
    BYTES("device_memory_peak", memory_peak, "The most that it used."),
    BYTES("device_memory", memory_total, "Of the device."),
    BYTES("memory_weights", plan.weights, "Device memory of the base's weights."),
    BYTES("memory_copies", plan.copies, "Of their unpacked copies."),
    BYTES("memory_kv", plan.kv, "Of the cache of keys and values."),
    BYTES("memory_saved", plan.saved, "Of what a training's backward reads."),
    BYTES("memory_working", plan.working, "Of activations, logits and scratch."),
    BYTES("memory_rest", plan.rest, "Left for adapters at the start."),
    BYTES("memory_host", plan.host, "Of the host, that a training's activations wait in."),
    INT("train_recomputes", plan.recomputes, "1 when backward makes activations again."),
};

static double gauge_of(const struct gauge *g, const struct lf_engine_status *s)
{
    const void *at = (const char *)s + g->at;
    return g->type == GAUGE_INT ? *(const int *)at : (double)*(const uint64_t *)at;
}

static void print_connections(struct lf_buf *out, struct lf_daemon *d)
{
    struct lf_connections_status c;
    struct lf_connection_share share = lf_connections_share(d->connections);
    lf_connections_status(d->connections, &c);
    lf_metric_print(out, "gauge", "connections_tcp", "Open over TCP.", c.open[LF_LISTENER_TCP]);
    lf_metric_print(out, "gauge", "connections_unix", "Open on the unix socket.",
                    c.open[LF_LISTENER_UNIX]);
    lf_metric_print(out, "gauge", "connections_max", "That are answered, of each of the two.",
                    share.answered);
    lf_metric_print(out, "counter", "connections_refused_total", "Told to come back later.",
                    (double)c.turned_away);
    lf_metric_print(out, "counter", "connections_late_total",
                    "Closed because their client kept them waiting.", (double)c.late);
    lf_metric_print(out, "gauge", "descriptors", "Open in this process.", c.descriptors);
    lf_metric_print(out, "gauge", "descriptors_max", "That may be.", (double)c.descriptors_max);
}

static void print_memory(struct lf_buf *out, const struct lf_daemon *d)
{
    lf_metric_print(out, "gauge", "request_memory_bytes", "Host memory that requests have taken.",
                    (double)lf_budget_used(d->request_memory));
    lf_metric_print(out, "gauge", "request_memory_max_bytes", "That they may take.",
                    (double)lf_budget_limit(d->request_memory));
    lf_metric_print(out, "gauge", "row_memory_bytes",
                    "Host memory of rows of data sets, and of activations that wait.",
                    (double)lf_budget_used(d->row_memory));
    lf_metric_print(out, "gauge", "row_memory_max_bytes", "That they may take.",
                    (double)lf_budget_limit(d->row_memory));
}

static void print_gauges(struct lf_buf *out, struct lf_daemon *d)
{
    struct lf_engine_status s[LF_BASES_MAX];
    const struct lf_seat *who;
    double load_seconds = 0, preempted = 0;
    for (int i = 0; i < d->seats->n; i++) {
        lf_engine_status(d->seats->seat[i].engine, &s[i]);
        load_seconds += s[i].load_seconds;
        preempted += (double)s[i].gen.preempted;
    }
    for (size_t k = 0; k < sizeof gauges / sizeof *gauges; k++) {
        double sum = 0;
        for (int i = 0; i < d->seats->n; i++)
            sum += gauge_of(&gauges[k], &s[i]);
        lf_metric_print(out, "gauge", gauges[k].name, gauges[k].help, sum);
    }
    lf_metric_print(out, "gauge", "ready", "1 when the model is loaded.",
                    lf_seats_state(d->seats, &who) == LF_ENGINE_READY);
    lf_metric_print(out, "gauge", "load_seconds", "What loading the base took.", load_seconds);
    lf_metric_print(out, "gauge", "uptime_seconds", "Since the daemon started.",
                    (double)(lf_clock_unix_ms() - d->started_ms) / 1e3);
    lf_metric_print(out, "gauge", "http_requests_active", "Requests whose answer is not out yet.",
                    atomic_load(&d->active));
    print_connections(out, d);
    print_memory(out, d);
    lf_metric_print(out, "counter", "preemptions_total", "Times a sequence gave its pages back.",
                    preempted);
}

enum lf_err lf_api_metrics(struct lf_http *q, struct lf_diag *diag)
{
    lf_buf_auto out = {0};
    print_gauges(&out, q->daemon);
    enum lf_err rc = lf_counters_print(&q->daemon->counters, lf_routes, lf_routes_n, &out);
    if (rc == LF_OK)
        lf_http_reply(q, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the counters");
}

/* ---- Bases ----------------------------------------------------------------------------------- */

static json_t *base_json(const struct lf_base *b)
{
    const struct lf_config *c = &b->model->config;
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:b}", "name",
                     b->name, "architecture", c->model_type, "parameters",
                     (json_int_t)lf_config_params(c), "bytes", (json_int_t)b->weight_bytes,
                     "quantisation", b->quant, "layers", c->L, "hidden", c->C, "vocabulary", c->V,
                     "context", c->positions_max, "created_ms", (json_int_t)b->created_ms,
                     "info_bytes", (json_int_t)b->info_bytes, "chat", b->model->chat != NULL);
}

static enum lf_err base_find(struct lf_http *q, const struct lf_base **out, struct lf_diag *diag)
{
    *out = lf_bases_find(&q->daemon->seats->bases, q->param[0]);
    return *out ? LF_OK : lf_fail(diag, LF_E_NOT_FOUND, "there is no base \"%.100s\"", q->param[0]);
}

enum lf_err lf_api_bases(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    const struct lf_bases *bases = &q->daemon->seats->bases;
    json_t *list = json_array();
    for (int i = 0; i < bases->n; i++)
        json_array_append_new(list, base_json(bases->base[i]));
    lf_http_reply_json(q, 200, json_pack("{s:o}", "bases", list));
    return LF_OK;
}

enum lf_err lf_api_base(struct lf_http *q, struct lf_diag *diag)
{
    const struct lf_base *b;
    enum lf_err rc = base_find(q, &b, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, base_json(b));
    return rc;
}

enum lf_err lf_api_base_file(struct lf_http *q, struct lf_diag *diag)
{
    const struct lf_base *b;
    lf_buf_auto text = {0};
    enum lf_err rc = base_find(q, &b, diag);
    if (rc != LF_OK)
        return rc;
    bool info = strcmp(q->param[1], "info") == 0;
    if (info)
        rc = lf_buf_append(&text, b->info, b->info_bytes);
    else if (strcmp(q->param[1], "config.json") == 0)
        rc = lf_buf_append(&text, b->config_text, b->config_bytes);
    else
        rc = lf_fail(diag, LF_E_NOT_FOUND, "a base has info and config.json");
    if (rc == LF_OK)
        lf_http_reply(q, 200, info ? "text/plain; charset=utf-8" : "application/json", &text);
    return rc;
}
