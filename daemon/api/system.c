/* The daemon itself: its health, its counters, its bases. */
#include "daemon/api/api.h"
#include "daemon/embedded.h"
#include "daemon/seat.h"
#include "daemon/state.h"

#include "core/clock.h"

#include <string.h>

static enum lf_err reply_embedded(struct lf_http *q, const char *media_type,
                                  const unsigned char *text, size_t n)
{
    struct lf_buf b;
    lf_buf_init(&b, 0);
    enum lf_err rc = lf_buf_append(&b, text, n);
    if (rc == LF_OK)
        lf_http_reply(q, 200, media_type, &b);
    lf_buf_free(&b);
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

enum lf_err lf_api_health(struct lf_http *q, struct lf_diag *diag)
{
    if (atomic_load(&q->daemon->stopping))
        return lf_fail(diag, LF_E_DEVICE_LOST, "the daemon is stopping");
    const struct lf_seat *who;
    enum lf_engine_state state = lf_seats_state(q->daemon->seats, &who);
    if (state == LF_ENGINE_FAILED) {
        lf_engine_why(who->engine, diag);
        return LF_E_DEVICE_LOST;
    }
    if (state != LF_ENGINE_READY)
        return lf_fail(diag, LF_E_DEVICE_LOST, "the base is being loaded");
    lf_http_reply_json(q, 200, json_pack("{s:s}", "status", "ok"));
    return LF_OK;
}

/* Of all engines together. */
static struct lf_engine_status status_of_all(const struct lf_seats *seats)
{
    struct lf_engine_status sum, s;
    const struct lf_seat *who;
    lf_engine_status(seats->seat[0].engine, &sum);
    for (int i = 1; i < seats->n; i++) {
        lf_engine_status(seats->seat[i].engine, &s);
        sum.waiting += s.waiting;
        sum.gen.live += s.gen.live;
        sum.gen.decoding += s.gen.decoding;
        sum.gen.pages += s.gen.pages;
        sum.gen.pages_free += s.gen.pages_free;
        sum.gen.preempted += s.gen.preempted;
        sum.seqs_max += s.seqs_max;
        sum.slots += s.slots;
        sum.slots_used += s.slots_used;
        sum.trainings += s.trainings;
        sum.memory_used += s.memory_used;
        sum.memory_peak += s.memory_peak;
        sum.memory_total += s.memory_total;
        sum.load_seconds += s.load_seconds;
        sum.plan.weights += s.plan.weights;
        sum.plan.copies += s.plan.copies;
        sum.plan.kv += s.plan.kv;
        sum.plan.saved += s.plan.saved;
        sum.plan.working += s.plan.working;
        sum.plan.rest += s.plan.rest;
        sum.plan.recomputes = sum.plan.recomputes || s.plan.recomputes;
    }
    sum.state = lf_seats_state(seats, &who);
    return sum;
}

static void print_gauges(struct lf_buf *out, struct lf_daemon *d)
{
    struct lf_engine_status s = status_of_all(d->seats);
    const struct {
        const char *name, *help;
        double value;
    } rows[] = {
        {"uptime_seconds", "Since the daemon started.",
         (double)(lf_clock_unix_ms() - d->started_ms) / 1e3},
        {"ready", "1 when the model is loaded.", s.state == LF_ENGINE_READY},
        {"requests_waiting", "Generations without a place on the device yet.", s.waiting},
        {"requests_live", "Generations on the device.", s.gen.live},
        {"sequences_decoding", "Of them, those that make tokens.", s.gen.decoding},
        {"sequences_max", "Places on the device.", s.seqs_max},
        {"kv_pages", "Pages of the KV cache.", s.gen.pages},
        {"kv_pages_free", "Of them, those that are free.", s.gen.pages_free},
        {"adapter_slots", "Places for adapters on the device.", s.slots},
        {"adapter_slots_used", "Of them, those that are taken.", s.slots_used},
        {"trainings_running", "Jobs in the fused training batch.", s.trainings},
        {"device_memory_used_bytes", "By this daemon.", (double)s.memory_used},
        {"device_memory_peak_bytes", "The most that it used.", (double)s.memory_peak},
        {"device_memory_bytes", "Of the device.", (double)s.memory_total},
        {"memory_weights_bytes", "Device memory of the base's weights.", (double)s.plan.weights},
        {"memory_copies_bytes", "Of their unpacked copies.", (double)s.plan.copies},
        {"memory_kv_bytes", "Of the cache of keys and values.", (double)s.plan.kv},
        {"memory_saved_bytes", "Of what a training's backward reads.", (double)s.plan.saved},
        {"memory_working_bytes", "Of activations, logits and scratch.", (double)s.plan.working},
        {"memory_rest_bytes", "Left for adapters at the start.", (double)s.plan.rest},
        {"train_recomputes", "1 when backward makes activations again.", s.plan.recomputes},
        {"load_seconds", "What loading the base took.", s.load_seconds},
        {"http_requests_active", "Requests whose answer is not out yet.", atomic_load(&d->active)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        lf_metric_print(out, "gauge", rows[i].name, rows[i].help, rows[i].value);
    lf_metric_print(out, "counter", "preemptions_total", "Times a sequence gave its pages back.",
                    (double)s.gen.preempted);
}

enum lf_err lf_api_metrics(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_buf out;
    lf_buf_init(&out, 0);
    print_gauges(&out, q->daemon);
    enum lf_err rc = lf_counters_print(&q->daemon->counters, lf_routes, lf_routes_n, &out);
    if (rc == LF_OK)
        lf_http_reply(q, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
    lf_buf_free(&out);
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
    struct lf_buf text;
    enum lf_err rc = base_find(q, &b, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_init(&text, 0);
    bool info = strcmp(q->param[1], "info") == 0;
    if (info)
        rc = lf_buf_append(&text, b->info, b->info_bytes);
    else if (strcmp(q->param[1], "config.json") == 0)
        rc = lf_buf_append(&text, b->config_text, b->config_bytes);
    else
        rc = lf_fail(diag, LF_E_NOT_FOUND, "a base has info and config.json");
    if (rc == LF_OK)
        lf_http_reply(q, 200, info ? "text/plain; charset=utf-8" : "application/json", &text);
    lf_buf_free(&text);
    return rc;
}
