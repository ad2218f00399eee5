/* Completions: words to ids to tokens to text. */
#include "daemon/api/completion.h"

#include "core/clock.h"
#include "core/num.h"
#include "daemon/engine/blend.h"
#include "daemon/registry/registry.h"
#include "daemon/sharing.h"
#include "daemon/state.h"
#include "daemon/team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LOOK_MS 100 /* between looks at the client's end of the connection */

/* ---- What is asked --------------------------------------------------------------------------- */

/* What huggingface_hub sends, and text-generation-inference's manual has, where a server has one
 * model; LoRAX' name for the base. */
static bool is_placeholder(const char *name)
{
    return strcmp(name, "dummy") == 0 || strcmp(name, "tgi") == 0 ||
           strcmp(name, "__base_model__") == 0;
}

static enum lf_err serve_base(struct lf_http *q, const struct lf_base *base,
                              struct lf_served_model *out, struct lf_diag *diag)
{
    if (lf_http_may(q, base->name, diag) != LF_OK)
        return LF_E_DENIED;
    out->team = lf_team_of(q->daemon->teams, base);
    memcpy(out->name, base->name, sizeof out->name);
    return LF_OK;
}

/* The adapter's name in "viggo/3", put into `adapter`, and the version; of any other name, itself
 * and 0: the version that serves. */
static const char *version_split(char adapter[LF_NAME_MAX + 1], int32_t *version, const char *name)
{
    const char *slash = strrchr(name, '/');
    struct lf_file_ref ref;
    char path[64];
    *version = 0;
    if (!slash || slash - name > LF_NAME_MAX)
        return name;
    snprintf(path, sizeof path, LF_FILE_VERSIONS_DIR "%.20s", slash + 1);
    if (!lf_file_ref_parse(&ref, path) || ref.kind != LF_FILE_VERSION)
        return name;
    *version = ref.version;
    snprintf(adapter, LF_NAME_MAX + 1, "%.*s", (int)(slash - name), name);
    return adapter;
}

/* The version that is asked for is there. */
static enum lf_err has_version(struct lf_registry *r, const struct lf_adapter_view *v,
                               int32_t version, struct lf_diag *diag)
{
    int32_t *versions = NULL;
    size_t n = 0;
    enum lf_err rc = lf_registry_versions(r, v->record.name, &versions, &n, diag);
    bool there = false;
    for (size_t i = 0; i < n; i++)
        there = there || versions[i] == version;
    free(versions);
    return rc != LF_OK || there ? rc
                                : lf_fail(diag, LF_E_NOT_FOUND, "%s has no version %d",
                                          v->record.name, (int)version);
}

static enum lf_err serve_adapter(struct lf_http *q, const struct lf_adapter_view *v,
                                 int32_t version, struct lf_served_model *out, struct lf_diag *diag)
{
    const struct lf_daemon *d = q->daemon;
    char part[64];
    if (v->record.current == 0)
        return lf_fail(diag, LF_E_BUSY, "%s has no version to serve yet: it is %s", v->record.name,
                       lf_adapter_state_name(v->state));
    if (v->stranger)
        return lf_adapter_stranger(v, diag);
    enum lf_err rc = version ? has_version(d->registry, v, version, diag) : LF_OK;
    out->team = lf_team_for(d, v->record.id);
    out->pick.id = v->record.id;
    out->pick.version = version ? version : v->record.current;
    memcpy(out->name, v->record.name, sizeof out->name);
    snprintf(part, sizeof part, LF_FILE_VERSIONS_DIR "%d", (int)out->pick.version);
    return rc ?: lf_registry_dir(d->registry, v->record.id, part, out->pick.dir, diag);
}

enum lf_err lf_served_model_find(struct lf_http *q, const char *name, struct lf_served_model *out,
                                 struct lf_diag *diag)
{
    const struct lf_daemon *d = q->daemon;
    struct lf_adapter_view v;
    char room[LF_NAME_MAX + 1];
    int32_t version;
    struct lf_served_model s = {
        .key = lf_key_number(q->key), .waiting_max = lf_key_waiting_max(q->key), .span = q->span};
    const struct lf_base *base = lf_bases_find(&d->teams->bases, name);
    enum lf_err rc = LF_OK, brought;
    if (base) {
        rc = serve_base(q, base, &s, diag);
    } else {
        const char *adapter = version_split(room, &version, name);
        rc = lf_registry_view(d->registry, adapter, &v, diag);
        bool missing = rc == LF_E_NOT_FOUND || (rc == LF_OK && v.record.current == 0);
        if (missing && lf_http_may(q, adapter, NULL) == LF_OK &&
            (brought = lf_sharing_bring(d->sharing, adapter, diag)) != LF_E_NOT_FOUND)
            rc = brought ?: lf_registry_view(d->registry, adapter, &v, diag);
        if (rc == LF_OK && lf_http_may(q, adapter, diag) != LF_OK)
            return LF_E_DENIED;
        if (rc == LF_E_NOT_FOUND && is_placeholder(name))
            return lf_served_model_find(q, "", out, diag);
        rc = rc ?: serve_adapter(q, &v, version, &s, diag);
    }
    if (rc == LF_OK)
        *out = s;
    return rc;
}

enum lf_err lf_served_model_ask(struct lf_http *q, const struct lf_served_model *m,
                                struct lf_ask *out, struct lf_diag *diag)
{
    struct lf_registry *r = q->daemon->registry;
    struct lf_train_settings s;
    *out = (struct lf_ask){.template_ = NULL};
    if (m->pick.id == 0 || m->pick.blend)
        return LF_OK;
    enum lf_err rc = lf_registry_settings(r, m->pick.id, &s, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_registry_ask(r, m->pick.id, m->pick.dir, &s, out, diag);
    lf_train_settings_free(&s);
    return rc;
}

void lf_request_init(struct lf_request *a)
{
    uint64_t seed = lf_clock_ns();
    *a = (struct lf_request){.sample = lf_sample_greedy(), .max_tokens = -1};
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) < 0)
        seed = lf_clock_ns();
    a->seed = (int64_t)(seed >> 1);
}

void lf_request_free(struct lf_request *a)
{
    lf_grammar_release(a->grammar);
    a->grammar = NULL;
    lf_blend_release(a->model.pick.blend);
    a->model.pick.blend = NULL;
    free(a->bias);
    a->bias = NULL;
    a->n_bias = 0;
}

void lf_request_list(struct lf_request *a, int top_n)
{
    a->sample.top_n = lf_min_int(top_n, a->model.team->base->model->config.V);
}

static enum lf_err bias_add(struct lf_request *a, const char *key, const json_t *v,
                            struct lf_diag *diag)
{
    int V = a->model.team->base->model->config.V;
    char *end;
    long id = strtol(key, &end, 10);
    /* One spelling only, so that no id comes twice. */
    if (end == key || *end || key[0] < '0' || key[0] > '9' || (key[0] == '0' && key[1]))
        return lf_fail(diag, LF_E_INVALID, "\"logit_bias\": \"%.40s\" is no token id", key);
    if (id >= V)
        return lf_fail(diag, LF_E_INVALID, "\"logit_bias\": %.40s is no token id: there are %d",
                       key, V);
    double add = json_number_value(v);
    if (!json_is_number(v) || !(fabs(add) <= 100))
        return lf_fail(diag, LF_E_INVALID, "\"logit_bias\" of %ld must be from -100 to 100", id);
    a->bias[a->n_bias++] = (struct lf_logit_bias){(int32_t)id, (float)add};
    return LF_OK;
}

enum lf_err lf_request_biases(struct lf_request *a, const json_t *biases, struct lf_diag *diag)
{
    const char *key;
    json_t *v;
    enum lf_err rc = LF_OK;
    if (!biases || json_is_null(biases))
        return LF_OK;
    if (!json_is_object(biases))
        return lf_fail(diag, LF_E_INVALID, "\"logit_bias\" must be an object of ids and numbers");
    if (json_object_size(biases) > LF_LOGIT_BIASES_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"logit_bias\" may have %d members",
                       LF_LOGIT_BIASES_MAX);
    a->bias = calloc(json_object_size(biases) + 1, sizeof *a->bias);
    if (!a->bias)
        return lf_no_memory(diag, "a request");
    json_object_foreach((json_t *)(uintptr_t)biases, key, v) {
        rc = rc ?: bias_add(a, key, v, diag);
    }
    return rc;
}

static enum lf_err stop_add(struct lf_request *a, const json_t *s, struct lf_diag *diag)
{
    const char *text = json_string_value(s);
    if (!text || strlen(text) != json_string_length(s))
        return lf_fail(diag, LF_E_INVALID, "\"stop\" must be a string or a list of strings");
    if (!*text)
        return LF_OK;
    if (a->n_stops == LF_STOPS_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"stop\" may have %d strings", LF_STOPS_MAX);
    a->stops[a->n_stops++] = text;
    return LF_OK;
}

enum lf_err lf_request_stops(struct lf_request *a, const json_t *stop, struct lf_diag *diag)
{
    if (!stop || json_is_null(stop))
        return LF_OK;
    if (!json_is_array(stop))
        return stop_add(a, stop, diag);
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < json_array_size(stop) && rc == LF_OK; i++)
        rc = stop_add(a, json_array_get(stop, i), diag);
    return rc;
}

void lf_answer_id(char out[25])
{
    unsigned char b[12];
    uint64_t ns = lf_clock_ns();
    memset(b, 0, sizeof b);
    memcpy(b, &ns, sizeof ns);
    if (getrandom(b, sizeof b, GRND_NONBLOCK) < 0)
        memcpy(b + 4, &ns, sizeof ns);
    for (size_t i = 0; i < sizeof b; i++)
        snprintf(out + 2 * i, 3, "%02x", b[i]);
}

/* ---- How it goes ----------------------------------------------------------------------------- */

static double ms_between(uint64_t from, uint64_t to)
{
    return from > 0 && to > from ? (double)(to - from) / 1e6 : 0;
}

/* What is asked, by OpenTelemetry's conventions for generative AI; once a request. */
static void trace_request(const struct lf_request *a, int max_tokens, int n_prompt)
{
    char name[LF_NAME_MAX + 32];
    json_t *span = a->model.span;
    const char *operation = a->chat ? "chat" : "text_completion";
    lf_span_add(span, "gen_ai.usage.input_tokens", n_prompt);
    if (!span || lf_span_has(span, "gen_ai.operation.name"))
        return;
    snprintf(name, sizeof name, "%s %s", operation, a->model.name);
    lf_span_name(span, name);
    lf_span_text(span, "gen_ai.operation.name", operation);
    lf_span_text(span, "gen_ai.provider.name", "lorafs");
    lf_span_text(span, "gen_ai.request.model", a->model.name);
    lf_span_int(span, "gen_ai.request.max_tokens", max_tokens);
    lf_span_int(span, "gen_ai.request.seed", a->seed);
    lf_span_real(span, "gen_ai.request.temperature", (double)a->sample.temperature);
    lf_span_real(span, "gen_ai.request.top_p", (double)a->sample.top_p);
}

/* How it went; of several completions the sums, and the first one's times (as vLLM calls them). */
static void trace_completion(struct lf_completion *c)
{
    static const char *const words[] = {[LF_ENDING_NONE] = "cancelled",
                                        [LF_ENDING_EOS] = "stop",
                                        [LF_ENDING_STOP] = "stop",
                                        [LF_ENDING_LENGTH] = "length"};
    struct lf_generation_times t;
    bool failed = c->news.ended && c->news.rc != LF_OK;
    lf_span_add(c->span, "gen_ai.usage.output_tokens", c->n_tokens);
    lf_span_push(c->span, "gen_ai.response.finish_reasons",
                 failed ? "error" : words[c->out.ending]);
    if (lf_span_has(c->span, "gen_ai.latency.time_in_queue"))
        return;
    lf_generation_times(c->g, &t);
    lf_span_real(c->span, "gen_ai.latency.time_in_queue", ms_between(t.submitted, t.started) / 1e3);
    if (t.first_token)
        lf_span_real(c->span, "gen_ai.latency.time_to_first_token",
                     ms_between(t.submitted, t.first_token) / 1e3);
}

enum lf_err lf_completion_start(struct lf_completion *c, const struct lf_request *a,
                                const int32_t *ids, int n, int choice, struct lf_diag *diag)
{
    struct lf_engine_status status;
    struct lf_generate_spec spec = {.ids = ids,
                                    .n = n,
                                    .pick = &a->model.pick,
                                    .sample = a->sample,
                                    .bias = a->bias,
                                    .n_bias = a->n_bias,
                                    .grammar = a->grammar,
                                    .score_prompt = a->score_prompt,
                                    .max_tokens = (int)a->max_tokens,
                                    .ignore_eos = a->ignore_eos,
                                    .background = a->background,
                                    .priority = a->priority,
                                    .key = a->model.key,
                                    .waiting_max = a->model.waiting_max,
                                    .deadline_ns = a->deadline_ns,
                                    .whole = !a->streams && a->n_stops == 0};
    *c = (struct lf_completion){.tokenizer = a->model.team->base->model->tokenizer,
                                .n_prompt = n,
                                .span = a->model.span,
                                .top_n = a->sample.top_n};
    lf_writer_init(&c->out, c->tokenizer, a->stops, a->n_stops);
    if (a->max_tokens < 0) {
        lf_team_status(a->model.team, &status);
        spec.max_tokens = status.context_max > n ? status.context_max - n : 1;
    }
    spec.sample.seed = (uint64_t)a->seed + (uint64_t)choice;
    if (choice == 0)
        trace_request(a, spec.max_tokens, n);
    return lf_team_generate(a->model.team, &spec, &c->g, diag);
}

void lf_completion_free(struct lf_completion *c)
{
    if (c->span && c->g)
        trace_completion(c);
    lf_generation_release(c->g);
    c->g = NULL;
    lf_writer_free(&c->out);
}

void lf_completions_free(struct lf_completion *list, int n)
{
    for (int i = 0; list && i < n; i++)
        lf_completion_free(&list[i]);
    free(list);
}

double lf_completion_worth(const struct lf_completion *c)
{
    return c->n_tokens > 0 ? c->logprob_sum / c->n_tokens : 0;
}

enum lf_err lf_completion_await(struct lf_completion *c, struct lf_http *q, int timeout_ms,
                                bool *ready, struct lf_diag *diag)
{
    uint64_t end = lf_clock_ns() + (uint64_t)timeout_ms * 1000000u;
    *ready = c->at < c->n_ahead || c->out.ending != LF_ENDING_NONE || c->news.ended;
    while (!*ready) {
        enum lf_err rc = lf_http_wanted(q, diag);
        if (rc != LF_OK) {
            lf_generation_cancel(c->g, false);
            return rc;
        }
        uint64_t now = lf_clock_ns();
        int left = now < end ? (int)((end - now) / 1000000u) : 0;
        lf_generation_take(c->g, c->ahead, LF_TOKENS_AHEAD, left < LOOK_MS ? left : LOOK_MS,
                           &c->news, diag);
        c->n_ahead = c->news.n;
        c->at = 0;
        *ready = c->n_ahead > 0 || c->news.ended;
        if (c->news.ended && c->news.rc != LF_OK)
            return c->news.rc;
        if (now >= end)
            break;
    }
    return LF_OK;
}

enum lf_err lf_completion_step(struct lf_completion *c, bool *stepped, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    *stepped = c->out.ending == LF_ENDING_NONE && c->at < c->n_ahead;
    if (*stepped) {
        c->made = c->ahead[c->at++];
        c->logprob_sum += (double)c->made.logprob;
        c->n_tokens++;
        bool last = c->news.ended && c->at == c->n_ahead;
        bool ends = last && c->news.finish == LF_FINISH_EOS;
        c->special = ends || lf_tokenizer_is_special(c->tokenizer, c->made.token);
        if (!ends)
            rc = lf_writer_token(&c->out, c->made.token);
        if (c->out.ending == LF_ENDING_STOP)
            lf_generation_cancel(c->g, true);
    }
    if (rc == LF_OK && c->news.ended && c->at == c->n_ahead)
        rc = lf_writer_end(&c->out,
                           c->news.finish == LF_FINISH_LENGTH ? LF_ENDING_LENGTH : LF_ENDING_EOS);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the text");
}

enum lf_err lf_completion_next(struct lf_completion *c, struct lf_http *q, bool *stepped,
                               struct lf_diag *diag)
{
    bool ready;
    *stepped = false;
    enum lf_err rc = lf_completion_await(c, q, 1000, &ready, diag);
    return rc == LF_OK && ready ? lf_completion_step(c, stepped, diag) : rc;
}

void lf_completion_headers(struct lf_http *q, const struct lf_served_model *s, int n_prompt,
                           int n_tokens, const struct lf_completion *over)
{
    if (s->pick.id)
        lf_http_set(q, "x-adapter-id", "%s", s->name);
    lf_http_set(q, "x-prompt-tokens", "%d", n_prompt);
    if (!over)
        return;
    struct lf_generation_times t;
    lf_generation_times(over->g, &t);
    uint64_t now = lf_clock_ns();
    lf_http_set(q, "x-generated-tokens", "%d", n_tokens);
    lf_http_set(q, "x-queue-time", "%.0f", ms_between(t.submitted, t.started));
    lf_http_set(q, "x-inference-time", "%.0f", ms_between(t.started, t.ended ? t.ended : now));
    lf_http_set(q, "x-total-time", "%.0f", ms_between(q->start_ns, now));
}
