/* The daemon itself: its health, its counters, its bases. */
#include "daemon/api/api.h"
#include "core/clock.h"
#include "daemon/embedded.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/sharing.h"
#include "daemon/state.h"
#include "daemon/team.h"

#include <string.h>

/* A file that is part of the program; 304 to who has it. */
static enum lf_err reply_embedded(struct lf_http *q, const struct lf_page_file *f)
{
    const char *had = lf_http_header(q, "If-None-Match");
    lf_buf_auto b = {0};
    lf_http_set(q, "ETag", "%s", f->etag);
    lf_http_set(q, "Cache-Control", "no-cache");
    lf_http_set(q, "X-Content-Type-Options", "nosniff");
    if (had && strstr(had, f->etag)) {
        lf_http_reply_empty(q, 304);
        return LF_OK;
    }
    enum lf_err rc = lf_buf_append(&b, f->bytes, f->n);
    if (rc == LF_OK)
        lf_http_reply(q, 200, f->media_type, &b);
    return rc;
}

/* Whatever a name, a row or an answer holds: nothing runs but the page's own modules, nothing is
 * asked of anyone but the daemon, and nobody frames it. */
static enum lf_err reply_page(struct lf_http *q, const struct lf_page_file *f)
{
    lf_http_set(q, "Content-Security-Policy",
                "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
                "frame-ancestors 'none'");
    lf_http_set(q, "Referrer-Policy", "no-referrer");
    return reply_embedded(q, f);
}

enum lf_err lf_api_page(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    return reply_page(q, lf_page_find("index.html"));
}

enum lf_err lf_api_page_file(struct lf_http *q, struct lf_diag *diag)
{
    const struct lf_page_file *f = lf_page_find(q->param[0]);
    return f ? reply_page(q, f)
             : lf_fail(diag, LF_E_NOT_FOUND, "the page has no file \"%.100s\"", q->param[0]);
}

enum lf_err lf_api_openapi(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    return reply_embedded(q, lf_openapi);
}

/* Those whose devices are lost, while others answer, and bases that could not be loaded. */
static void seats_failed(json_t *list, const struct lf_teams *t)
{
    struct lf_diag why = {""};
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < t->team[i].n; k++) {
            struct lf_engine *e = t->team[i].seat[k].engine;
            struct lf_engine_status s;
            lf_engine_status(e, &s);
            lf_engine_failure(e, &why);
            if (s.state == LF_ENGINE_FAILED)
                json_array_append_new(list, json_sprintf("seat %d is lost: %s", k, why.text));
            else if (s.load_failed)
                json_array_append_new(list, json_string(why.text));
        }
}

/* What does not keep it from answering, and wants somebody to look. */
static json_t *problems_of(struct lf_daemon *d)
{
    struct lf_diag store = {""}, disk = {""}, jobs = {""}, sharing = {""};
    double seconds = 0;
    json_t *list = json_array();
    seats_failed(list, d->teams);
    if (lf_store_trouble(d->store, &seconds, &store) != LF_OK)
        json_array_append_new(list,
                              json_sprintf("changes fail since %.0f s: %s", seconds, store.text));
    if (lf_registry_disk_short(d->registry, &disk))
        json_array_append_new(list, json_string(disk.text));
    if (lf_jobs_unsaved(d->jobs, &jobs) > 0)
        json_array_append_new(list, json_string(jobs.text));
    if (lf_sharing_trouble(d->sharing, &sharing) != LF_OK)
        json_array_append_new(list, json_string(sharing.text));
    return list;
}

enum lf_err lf_api_health(struct lf_http *q, struct lf_diag *diag)
{
    if (atomic_load(&q->daemon->leaving) || atomic_load(&q->daemon->stopping))
        return lf_fail(diag, LF_E_DEVICE_LOST, "the daemon is stopping");
    int seat;
    enum lf_engine_state state = lf_teams_state(q->daemon->teams);
    if (state == LF_ENGINE_FAILED) {
        lf_engine_failure(lf_teams_failed(q->daemon->teams, &seat), diag);
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

/* ---- Bases ----------------------------------------------------------------------------------- */

static const char *state_word(const struct lf_engine_status *s)
{
    static const char *const states[] = {"loading", "ready", "failed", "stopped", "absent"};
    return s->state == LF_ENGINE_ABSENT && s->loading ? "loading" : states[s->state];
}

/* Of several bases: how long one that is there has had nothing to do. */
static double idle_seconds(const struct lf_engine_status *s)
{
    uint64_t now = lf_clock_ns();
    return s->state == LF_ENGINE_READY && s->idle_ns > 0 && now > s->idle_ns
               ? (double)(now - s->idle_ns) / 1e9
               : 0;
}

/* Who answers and trains for it, each with its device. */
static json_t *seats_json(const struct lf_team *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->n; i++) {
        struct lf_engine_status s;
        lf_engine_status(t->seat[i].engine, &s);
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:f, s:b}", "seat",
                            i, "device", s.device, "state", state_word(&s), "running", s.gen.live,
                            "waiting", s.waiting, "trainings", s.trainings, "helping", s.helping,
                            "adapters", s.slots_used, "memory_used", (json_int_t)s.memory_used,
                            "memory", (json_int_t)(s.part ? s.part : s.memory_total),
                            "idle_seconds", idle_seconds(&s), "pinned", s.pinned));
    }
    return list;
}

static json_t *base_json(struct lf_teams *t, const struct lf_base *b)
{
    const struct lf_config *c = &b->model->config;
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:b, s:o}", "name",
                     b->name, "architecture", c->model_type, "parameters",
                     (json_int_t)lf_config_params(c), "bytes", (json_int_t)b->weight_bytes,
                     "quantisation", b->quant, "layers", c->L, "hidden", c->C, "vocabulary", c->V,
                     "context", c->positions_max, "created_ms", (json_int_t)b->created_ms,
                     "info_bytes", (json_int_t)b->info_bytes, "chat", b->model->chat != NULL,
                     "seats", seats_json(lf_team_of(t, b)));
}

static enum lf_err base_find(struct lf_http *q, const struct lf_base **out, struct lf_diag *diag)
{
    *out = lf_bases_find(&q->daemon->teams->bases, q->param[0]);
    char all[LF_DIAG_MAX];
    lf_bases_list(&q->daemon->teams->bases, all);
    return *out ? LF_OK
                : lf_fail(diag, LF_E_NOT_FOUND, "there is no base \"%.100s\"; there is %s",
                          q->param[0], all);
}

enum lf_err lf_api_bases(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    const struct lf_bases *bases = &q->daemon->teams->bases;
    json_t *list = json_array();
    for (int i = 0; i < bases->n; i++)
        json_array_append_new(list, base_json(q->daemon->teams, bases->base[i]));
    lf_http_reply_json(q, 200, json_pack("{s:o}", "bases", list));
    return LF_OK;
}

enum lf_err lf_api_base(struct lf_http *q, struct lf_diag *diag)
{
    const struct lf_base *b;
    enum lf_err rc = base_find(q, &b, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, base_json(q->daemon->teams, b));
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
