/* GET /metrics, for Prometheus and for schedulers that read vLLM's names; GET /v1/rates. */
#include "daemon/api/api.h"
#include "daemon/http/connections.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "trace/trace.h"

#include "core/budget.h"
#include "core/clock.h"
#include "daemon/team.h"
#include "score/metrics.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the engines say of themselves; their sums are shown, and where there are several each. */
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
    INT("trainings_helped", helping, "Trainings of other devices that a device helps with."),
    BYTES("device_memory_used", memory_used, "By this daemon."),
    BYTES("device_memory_peak", memory_peak, "The most that it used."),
    BYTES("device_memory", memory_total, "Of the device."),
    BYTES("memory_weights", plan.weights, "Device memory of the base's weights."),
    BYTES("memory_copies", plan.copies, "Of their unpacked copies."),
    BYTES("memory_kv", plan.kv, "Of the cache of keys and values."),
    BYTES("memory_draft", plan.draft, "Of the draft base: weights, keys and values."),
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

static void print_spans(struct lf_buf *out, const struct lf_daemon *d)
{
    uint64_t sent, dropped;
    lf_tracer_counts(d->tracer, &sent, &dropped);
    lf_metric_print(out, "counter", "spans_sent_total", "That a collector of traces has taken.",
                    (double)sent);
    lf_metric_print(out, "counter", "spans_dropped_total", "That it has not, or too late.",
                    (double)dropped);
}

/* All seats, one after another. */
struct seats {
    int n;
    struct seat {
        const char *base;
        int number; /* in its team */
        struct lf_engine_status s;
    } of[];
};

static struct seats *seats_look(const struct lf_teams *t)
{
    struct seats *all = malloc(sizeof *all + (size_t)t->n * LF_SEATS_MAX * sizeof *all->of);
    if (!all)
        return NULL;
    all->n = 0;
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < t->team[i].n; k++) {
            struct seat *seat = &all->of[all->n++];
            seat->base = t->team[i].base->name;
            seat->number = k;
            lf_engine_status(t->team[i].seat[k].engine, &seat->s);
        }
    return all;
}

static void print_seat(struct lf_buf *out, const char *name, const struct seat *seat, double value)
{
    lf_buf_printf(out, "lorafs_seat_%s{base=\"%s\",seat=\"%d\",device=\"%s\"} %.15g\n", name,
                  seat->base, seat->number, seat->s.device, value);
}

/* Each, where there are several: their names are those of the sums, after "seat_". */
static void print_seats(struct lf_buf *out, const struct seats *all)
{
    char name[64];
    for (size_t k = 0; k < sizeof gauges / sizeof *gauges && all->n > 1; k++) {
        snprintf(name, sizeof name, "seat_%s", gauges[k].name);
        lf_metric_head(out, name, "gauge", gauges[k].help);
        for (int i = 0; i < all->n; i++)
            print_seat(out, gauges[k].name, &all->of[i], gauge_of(&gauges[k], &all->of[i].s));
    }
    if (all->n > 1)
        lf_metric_head(out, "seat_ready", "gauge", "1 when it answers.");
    for (int i = 0; i < all->n && all->n > 1; i++)
        print_seat(out, "ready", &all->of[i], all->of[i].s.state == LF_ENGINE_READY);
    if (all->n > 1)
        lf_metric_head(out, "seat_absent", "gauge", "1 when other bases have its memory.");
    for (int i = 0; i < all->n && all->n > 1; i++)
        print_seat(out, "absent", &all->of[i], all->of[i].s.state == LF_ENGINE_ABSENT);
    if (all->n > 1)
        lf_metric_head(out, "seat_completion_tokens_total", "counter", "Tokens that it made.");
    for (int i = 0; i < all->n && all->n > 1; i++)
        print_seat(out, "completion_tokens_total", &all->of[i],
                   (double)all->of[i].s.gen.completion_tokens);
}

static void print_engines(struct lf_buf *out, struct lf_daemon *d, const struct seats *all)
{
    double load_seconds = 0, preempted = 0;
    for (int i = 0; i < all->n; i++) {
        load_seconds = fmax(load_seconds, all->of[i].s.load_seconds); /* side by side */
        preempted += (double)all->of[i].s.gen.preempted;
    }
    for (size_t k = 0; k < sizeof gauges / sizeof *gauges; k++) {
        double sum = 0;
        for (int i = 0; i < all->n; i++)
            sum += gauge_of(&gauges[k], &all->of[i].s);
        lf_metric_print(out, "gauge", gauges[k].name, gauges[k].help, sum);
    }
    lf_metric_print(out, "gauge", "ready", "1 when the model is loaded.",
                    lf_teams_state(d->teams) == LF_ENGINE_READY);
    lf_metric_print(out, "gauge", "load_seconds", "What loading the base took.", load_seconds);
    lf_metric_print(out, "gauge", "uptime_seconds", "Since the daemon started.",
                    (double)(lf_clock_unix_ms() - d->started_ms) / 1e3);
    lf_metric_print(out, "gauge", "http_requests_active", "Requests whose answer is not out yet.",
                    atomic_load(&d->active));
    lf_metric_print(out, "counter", "preemptions_total", "Times a sequence gave its pages back.",
                    preempted);
    lf_metric_head(out, "build_info", "gauge", "The code that runs.");
    lf_buf_printf(out, "lorafs_build_info{version=\"%s\"} 1\n",
                  d->options.version ? d->options.version : "");
}

/* ---- Adapters -------------------------------------------------------------------------------- */

/* The rows of the table of usages that have somebody to speak of. */
struct named_usage {
    const struct lf_adapter_usage *row;
    char name[LF_NAME_MAX + 1];
    struct lf_told told; /* nothing: the base, or others */
};
struct named_usages {
    int n;
    struct named_usage of[LF_USAGE_ADAPTERS_MAX + 1];
};

/* Removed adapters are left out: nobody asks for them any more. */
static void usages_named(struct named_usages *out, struct lf_daemon *d)
{
    struct lf_adapter_view v;
    out->n = 0;
    for (int i = 0; i <= LF_USAGE_ADAPTERS_MAX; i++) {
        const struct lf_adapter_usage *row = &d->counters.usages.row[i];
        uint64_t owner = atomic_load(&row->owner);
        struct named_usage *u = &out->of[out->n];
        *u = (struct named_usage){.row = row};
        if (i == LF_USAGE_ADAPTERS_MAX)
            snprintf(u->name, sizeof u->name, "(others)");
        else if (owner == 0)
            continue;
        else if (owner > 1 && lf_registry_view_id(d->registry, owner - 1, &v, NULL) != LF_OK)
            continue;
        else if (owner > 1) {
            snprintf(u->name, sizeof u->name, "%s", v.record.name);
            u->told = v.told;
        }
        out->n++;
    }
}

static const struct usage_count {
    const char *name, *help, *outcome; /* help: where the name is new; outcome: a label, or NULL */
    size_t at;                         /* in struct lf_adapter_usage */
} usage_counts[] = {
#define COUNT(name, field, outcome, help)                             \
    {                                                                 \
        name, help, outcome, offsetof(struct lf_adapter_usage, field) \
    }
    COUNT("adapter_requests_total", ended, "ended", "Requests, by adapter and how they ended."),
    COUNT("adapter_requests_total", cancelled, "cancelled", NULL),
    COUNT("adapter_requests_total", failed, "failed", NULL),
    COUNT("adapter_requests_total", refused, "refused", NULL),
    COUNT("adapter_prompt_tokens_total", prompt_tokens, NULL, "Tokens of prompts, by adapter."),
    COUNT("adapter_completion_tokens_total", completion_tokens, NULL, "Tokens made, by adapter."),
    COUNT("adapter_loads_total", loads, NULL, "Times an adapter was brought onto the device."),
};

static void print_usage_counts(struct lf_buf *out, const struct named_usages *u)
{
    for (size_t k = 0; k < sizeof usage_counts / sizeof *usage_counts; k++) {
        const struct usage_count *c = &usage_counts[k];
        if (c->help)
            lf_metric_head(out, c->name, "counter", c->help);
        for (int i = 0; i < u->n; i++) {
            const atomic_uint_fast64_t *at = (const void *)((const char *)u->of[i].row + c->at);
            lf_buf_printf(out, "lorafs_%s{adapter=\"%s\"", c->name, u->of[i].name);
            if (c->outcome)
                lf_buf_printf(out, ",outcome=\"%s\"", c->outcome);
            lf_buf_printf(out, "} %llu\n", (unsigned long long)atomic_load(at));
        }
    }
}

static void print_usage_gauges(struct lf_buf *out, const struct named_usages *u)
{
    lf_metric_head(out, "adapter_requests_waiting", "gauge", "Without a place on the device yet.");
    for (int i = 0; i < u->n; i++)
        lf_buf_printf(out, "lorafs_adapter_requests_waiting{adapter=\"%s\"} %d\n", u->of[i].name,
                      atomic_load(&u->of[i].row->waiting));
    lf_metric_head(out, "adapter_requests_running", "gauge", "On the device.");
    for (int i = 0; i < u->n; i++)
        lf_buf_printf(out, "lorafs_adapter_requests_running{adapter=\"%s\"} %d\n", u->of[i].name,
                      atomic_load(&u->of[i].row->running));
}

static const struct usage_time {
    const char *name, *help;
    size_t micro, n; /* in struct lf_adapter_usage */
} usage_times[] = {
    {"adapter_queue_seconds", "Arrival to first step, by adapter.",
     offsetof(struct lf_adapter_usage, queue_micro), offsetof(struct lf_adapter_usage, queued)},
    {"adapter_first_token_seconds", "Arrival to first token, by adapter.",
     offsetof(struct lf_adapter_usage, first_micro),
     offsetof(struct lf_adapter_usage, first_tokens)},
    {"adapter_token_seconds", "Between tokens after the first, by adapter.",
     offsetof(struct lf_adapter_usage, later_micro),
     offsetof(struct lf_adapter_usage, later_tokens)},
};

static void print_usage_times(struct lf_buf *out, const struct named_usages *u)
{
    for (size_t k = 0; k < sizeof usage_times / sizeof *usage_times; k++) {
        const struct usage_time *t = &usage_times[k];
        lf_metric_head(out, t->name, "summary", t->help);
        for (int i = 0; i < u->n; i++) {
            const char *row = (const char *)u->of[i].row;
            const atomic_uint_fast64_t *micro = (const void *)(row + t->micro);
            const atomic_uint_fast64_t *n = (const void *)(row + t->n);
            lf_buf_printf(out, "lorafs_%s_sum{adapter=\"%s\"} %.6f\n", t->name, u->of[i].name,
                          (double)atomic_load(micro) / 1e6);
            lf_buf_printf(out, "lorafs_%s_count{adapter=\"%s\"} %llu\n", t->name, u->of[i].name,
                          (unsigned long long)atomic_load(n));
        }
    }
}

static void print_score(struct lf_buf *out, const char *name, const char *adapter,
                        const struct lf_told_score *s)
{
    if (s->metric)
        lf_buf_printf(out, "lorafs_%s{adapter=\"%s\",metric=\"%s\"} %.6g\n", name, adapter,
                      lf_metric_name(s->metric), s->value);
}

/* From the reports that stand beside the weights that are served. */
static void print_scores(struct lf_buf *out, const struct named_usages *u)
{
    lf_metric_head(out, "adapter_score", "gauge", "Of the version that is served.");
    for (int i = 0; i < u->n; i++)
        print_score(out, "adapter_score", u->of[i].name, &u->of[i].told.eval);
    lf_metric_head(out, "adapter_base_score", "gauge", "Of the bare base on the same rows.");
    for (int i = 0; i < u->n; i++)
        print_score(out, "adapter_base_score", u->of[i].name, &u->of[i].told.base);
}

/* ---- Names of others ------------------------------------------------------------------------- */

/* Of a name that is not ours, as others have it. */
struct foreign_metric {
    const char *name, *type, *help;
    double value;
};

/* labels: "{...}", of each; or "". */
static void print_foreign(struct lf_buf *out, const struct foreign_metric *m, size_t n,
                          const char *labels)
{
    for (size_t i = 0; i < n; i++)
        lf_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s%s %.15g\n", m[i].name, m[i].help,
                      m[i].name, m[i].type, m[i].name, labels, m[i].value);
}

/* "a,b" of the adapters that have some there. */
static void print_adapters(struct lf_buf *out, const struct named_usages *u, bool running)
{
    const char *comma = "";
    for (int i = 0; i < u->n; i++) {
        const struct lf_adapter_usage *row = u->of[i].row;
        if (!u->of[i].name[0] || atomic_load(running ? &row->running : &row->waiting) == 0)
            continue;
        lf_buf_printf(out, "%s%s", comma, u->of[i].name);
        comma = ",";
    }
}

/* What schedulers read of vLLM, Kubernetes' inference gateway among them, by its names: they route
 * a request to where its adapter is, and the queue is short. */
static void print_vllm(struct lf_buf *out, const struct lf_daemon *d, const struct named_usages *u,
                       const struct seats *all)
{
    int running = 0, waiting = 0, pages = 0, pages_free = 0, slots = 0;
    for (int i = 0; i < all->n; i++) {
        const struct lf_engine_status *s = &all->of[i].s;
        running += s->gen.live;
        waiting += s->waiting;
        pages += s->gen.pages;
        pages_free += s->gen.pages_free;
        slots += s->slots;
    }
    char labels[LF_NAME_MAX + 32];
    snprintf(labels, sizeof labels, "{model_name=\"%s\"}", d->teams->bases.base[0]->name);
    double used = pages > 0 ? 1 - (double)pages_free / pages : 0;
    const struct foreign_metric rows[] = {
        {"vllm:num_requests_running", "gauge", "Requests on the device.", running},
        {"vllm:num_requests_waiting", "gauge", "Requests without a place there yet.", waiting},
        {"vllm:kv_cache_usage_perc", "gauge", "Part of the KV cache that is taken, 1 all.", used},
        {"vllm:gpu_cache_usage_perc", "gauge", "The same, by its older name.", used},
    };
    print_foreign(out, rows, sizeof rows / sizeof *rows, labels);
    lf_buf_printf(out,
                  "# HELP vllm:lora_requests_info Adapters that are asked now; the value is the "
                  "time.\n# TYPE vllm:lora_requests_info gauge\n"
                  "vllm:lora_requests_info{max_lora=\"%d\",running_lora_adapters=\"",
                  slots);
    print_adapters(out, u, true);
    lf_buf_puts(out, "\",waiting_lora_adapters=\"");
    print_adapters(out, u, false);
    lf_buf_printf(out,
                  "\"} %.3f\n# HELP vllm:cache_config_info What the KV cache is laid out as.\n"
                  "# TYPE vllm:cache_config_info gauge\n"
                  "vllm:cache_config_info{block_size=\"%d\",num_gpu_blocks=\"%d\"} 1\n",
                  (double)lf_clock_unix_ms() / 1e3, LF_KV_PAGE_TOKENS, pages);
}

/* The process, by the names of Prometheus' client libraries. */
static void print_process(struct lf_buf *out, struct lf_daemon *d)
{
    struct rusage use;
    struct lf_connections_status c;
    lf_buf_auto text = {0};
    unsigned long long pages, resident = 0;
    if (lf_file_read(&text, "/proc/self/statm", 256, NULL) == LF_OK &&
        sscanf(text.data, "%llu %llu", &pages, &resident) == 2)
        resident *= (unsigned long long)sysconf(_SC_PAGESIZE);
    getrusage(RUSAGE_SELF, &use);
    lf_connections_status(d->connections, &c);
    const struct foreign_metric rows[] = {
        {"process_cpu_seconds_total", "counter", "Processor time.",
         (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
             (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6},
        {"process_resident_memory_bytes", "gauge", "Memory that is there.", (double)resident},
        {"process_start_time_seconds", "gauge", "Since 1970.", (double)d->started_ms / 1e3},
        {"process_open_fds", "gauge", "Descriptors.", c.descriptors},
        {"process_max_fds", "gauge", "That may be open.", (double)c.descriptors_max},
    };
    print_foreign(out, rows, sizeof rows / sizeof *rows, "");
}

/* ---- All ------------------------------------------------------------------------------------- */

enum lf_err lf_api_metrics(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_daemon *d = q->daemon;
    lf_buf_auto out = {0};
    struct named_usages *u = malloc(sizeof *u);
    struct seats *all = seats_look(d->teams);
    if (!u || !all) {
        free(u);
        free(all);
        return lf_no_memory(diag, "the counters");
    }
    usages_named(u, d);
    print_engines(&out, d, all);
    print_seats(&out, all);
    print_connections(&out, d);
    print_memory(&out, d);
    print_spans(&out, d);
    print_usage_counts(&out, u);
    print_usage_gauges(&out, u);
    print_usage_times(&out, u);
    print_scores(&out, u);
    print_vllm(&out, d, u, all);
    print_process(&out, d);
    free(u);
    free(all);
    enum lf_err rc = lf_counters_print(&d->counters, lf_routes, lf_routes_n, &out);
    if (rc == LF_OK)
        lf_http_reply(q, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the counters");
}

enum lf_err lf_api_rates(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    lf_http_reply_json(q, 200, lf_rates_json(&q->daemon->rates));
    return LF_OK;
}
