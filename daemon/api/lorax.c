/* LoRAX' routes: /, /generate, /generate_stream, /info. */
#include "daemon/api/api.h"
#include "daemon/api/form.h"
#include "daemon/api/merged.h"
#include "daemon/api/params.h"
#include "daemon/api/sampling.h"
#include "daemon/api/sse.h"
#include "daemon/limits.h"
#include "daemon/state.h"

#include "core/json.h"
#include "core/num.h"
#include "daemon/team.h"
#include "trainer/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lorax {
    struct lf_request request;
    const char *inputs; /* borrowed from body */
    size_t n_inputs;
    bool stream, details, full_text, seeded;
    bool listed;         /* the answer is a list of one */
    int top_n;           /* alternatives of each token, as text-generation-inference has them */
    int alternatives;    /* and as LoRAX has them */
    int best_of;         /* completions, of which the best is answered */
    json_t *body;        /* holds the strings; owned */
    struct lf_buf whole; /* the text so far, for the stream's last event */
};

static void lorax_free(void *state)
{
    struct lorax *x = state;
    json_decref(x->body);
    lf_request_free(&x->request);
    lf_buf_free(&x->whole);
    free(x);
}

/* ---- What is asked --------------------------------------------------------------------------- */

/* LoRAX samples when do_sample says so or a sampling parameter is given; else it is greedy. */
static enum lf_err parse_sampling(struct lorax *x, const json_t *p, struct lf_diag *diag)
{
    struct lf_sample_params *s = &x->request.sample;
    struct lf_json_in in = lf_json_in(p, diag);
    bool sample = lf_json_bool(&in, "do_sample", false);
    s->temperature = -1; /* not given */
    enum lf_err rc = in.rc ?: lf_request_sampling(&x->request, p, NULL, diag);
    x->seeded = sample || s->temperature > 0 || s->top_p < 1 || s->top_k > 0;
    if (s->temperature < 0 || !x->seeded)
        s->temperature = x->seeded ? 1 : 0;
    return rc;
}

static enum lf_err parse_parameters(struct lorax *x, struct lf_http *q, const json_t *p,
                                    struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(p, diag);
    const char *adapter = lf_json_str(&in, "adapter_id", "");
    x->request.max_tokens = /* none, as LoRAX: what the context leaves */
        lf_json_int(&in, "max_new_tokens", -1, 1, INT32_MAX);
    x->request.ignore_eos = lf_json_bool(&in, "ignore_eos_token", false);
    x->full_text = lf_json_bool(&in, "return_full_text", false);
    x->details = lf_json_bool(&in, "details", false);
    x->top_n = lf_json_int(&in, "top_n_tokens", 0, 0, LF_TOP_LOGPROBS_MAX);
    x->alternatives = lf_json_int(&in, "return_k_alternatives", 0, 0, LF_TOP_LOGPROBS_MAX);
    x->request.score_prompt = lf_json_bool(&in, "decoder_input_details", false);
    /* What stands in the details asks for them. */
    x->details |= x->top_n > 0 || x->alternatives > 0 || x->request.score_prompt;
    x->best_of = lf_json_int(&in, "best_of", 1, 1, LF_CHOICES_OF_ONE_MAX);
    if (in.rc == LF_OK && x->best_of > 1 && x->stream)
        in.rc = lf_fail(diag, LF_E_INVALID, "\"best_of\" over 1 cannot be streamed");
    if (in.rc == LF_OK && x->request.score_prompt && x->stream)
        in.rc = lf_fail(diag, LF_E_UNSUPPORTED, "\"decoder_input_details\" is not streamed");
    enum lf_err rc = in.rc ?: lf_params_check(p, &lf_params_lorax, diag);
    rc = rc ?: lf_served_model_asked(q, p, adapter, &x->request.model, diag);
    if (rc == LF_OK)
        lf_request_list(&x->request, lf_max_int(x->top_n, x->alternatives));
    rc = rc ?: parse_sampling(x, p, diag) ?: lf_request_form(&x->request, q, p, diag);
    return rc ?: lf_request_stops(&x->request, json_object_get(p, "stop"), diag);
}

static enum lf_err parse(struct lorax **out, struct lf_http *q, bool stream, struct lf_diag *diag)
{
    struct lorax *x = calloc(1, sizeof *x);
    if (!x)
        return lf_no_memory(diag, "a request");
    lf_request_init(&x->request);
    json_t *none = json_object();
    enum lf_err rc = lf_http_json(q, &x->body, diag);
    const json_t *inputs = json_object_get(x->body, "inputs");
    const json_t *p = json_object_get(x->body, "parameters");
    if (rc == LF_OK && (!json_is_string(inputs) || json_string_length(inputs) == 0))
        rc = lf_fail(diag, LF_E_INVALID, "\"inputs\" must be a text that is not empty");
    if (rc == LF_OK && p && !json_is_null(p) && !json_is_object(p))
        rc = lf_fail(diag, LF_E_INVALID, "\"parameters\" must be an object");
    rc = rc ?: lf_params_check(x->body, &lf_params_lorax_body, diag);
    struct lf_json_in in = {.obj = x->body, .diag = diag, .rc = rc};
    x->stream = x->request.streams = lf_json_bool(&in, "stream", false) || stream;
    rc = in.rc ?: parse_parameters(x, q, json_is_object(p) ? p : none, diag);
    json_decref(none);
    if (rc != LF_OK) {
        lorax_free(x);
        return rc;
    }
    x->inputs = json_string_value(inputs);
    x->n_inputs = json_string_length(inputs);
    *out = x;
    return LF_OK;
}

/* ---- What is answered ------------------------------------------------------------------------ */

static const char *finish_word(enum lf_ending e)
{
    return e == LF_ENDING_EOS ? "eos_token" : e == LF_ENDING_STOP ? "stop_sequence" : "length";
}

/* A token by itself; without a score, "logprob" is null. */
static json_t *scored_json(const struct lf_completion *c, int32_t id, float logprob)
{
    lf_buf_auto t = {0};
    if (lf_tokenizer_decode(c->tokenizer, &t, &id, 1, false) != LF_OK)
        lf_buf_reset(&t);
    return json_pack("{s:i, s:o, s:o, s:b}", "id", (int)id, "text",
                     json_stringn(lf_buf_str(&t), t.len), "logprob",
                     isfinite(logprob) ? json_real((double)logprob) : json_null(), "special",
                     lf_tokenizer_is_special(c->tokenizer, id));
}

/* The n likeliest tokens in the place of the last one. */
static json_t *likeliest_json(const struct lf_completion *c, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n && i < c->top_n && c->made.top_ids[i] >= 0; i++)
        json_array_append_new(list, scored_json(c, c->made.top_ids[i], c->made.top_logprob[i]));
    return list;
}

static json_t *prompt_json(const struct lf_completion *c, const int32_t *ids)
{
    json_t *list = json_array();
    for (int t = 0; t < c->n_prompt && t < LF_DETAILS_MAX; t++)
        json_array_append_new(
            list, scored_json(c, ids[t], t > 0 ? lf_generation_prompt(c->g, t).logprob : NAN));
    return list;
}

/* The last token, with the text from there on that it settled; a special one's own spelling, where
 * it has no text. */
static json_t *step_json(const struct lorax *x, const struct lf_completion *c, size_t from)
{
    const char *spelling = c->special ? lf_tokenizer_token(c->tokenizer, c->made.token) : NULL;
    size_t n = spelling ? strlen(spelling) : c->out.text.len - from;
    const char *text = spelling ? spelling : n > 0 ? c->out.text.data + from : "";
    json_t *t = json_pack("{s:i, s:o, s:f, s:b, s:b}", "id", (int)c->made.token, "text",
                          json_stringn(text, n), "logprob", (double)c->made.logprob, "special",
                          c->special, "skipped", 0);
    if (x->alternatives > 0)
        json_object_set_new(t, "alternative_tokens", likeliest_json(c, x->alternatives));
    return t;
}

/* tokens, prefill, tops: lists that are taken; tops may be NULL, all NULL in a stream. */
static json_t *details_json(const struct lorax *x, const struct lf_completion *c, json_t *tokens,
                            json_t *prefill, json_t *tops)
{
    json_t *d =
        json_pack("{s:s, s:i, s:i, s:i, s:o}", "finish_reason", finish_word(c->out.ending),
                  "prompt_tokens", c->n_prompt, "generated_tokens", c->n_tokens, "skipped_tokens",
                  0, "seed", x->seeded ? json_integer(x->request.seed) : json_null());
    if (tokens) {
        json_object_set_new(d, "prefill", prefill);
        json_object_set_new(d, "tokens", tokens);
    }
    if (tops)
        json_object_set_new(d, "top_tokens", tops);
    return d;
}

/* Appends j (taken) as text. LoRAX' seeds have 64 bits without a sign: those that JSON integers
 * hold as negative ones are written as what they are. Within a string the quotes would be escaped.
 */
static void put_json(struct lf_buf *out, json_t *j)
{
    static const char mark[] = "\"seed\":-";
    lf_buf_auto text = {0};
    lf_json_put(&text, j, JSON_COMPACT);
    const char *at = lf_buf_str(&text);
    for (const char *next; (next = strstr(at, mark));) {
        char *end;
        next += sizeof mark - 2; /* at the sign */
        lf_buf_append(out, at, (size_t)(next - at));
        lf_buf_printf(out, "%llu", (unsigned long long)strtoll(next, &end, 10));
        at = end;
    }
    lf_buf_puts(out, at);
    out->rc = out->rc ?: text.rc;
}

/* The choice-th completion to its end: *out {"generated_text", "details" where they are wanted}. */
static enum lf_err hear(json_t **out, struct lf_http *q, const struct lorax *x,
                        struct lf_completion *c, const int32_t *ids, int choice,
                        struct lf_diag *diag)
{
    json_auto_t *tokens = json_array(), *tops = x->top_n > 0 ? json_array() : NULL;
    bool stepped;
    enum lf_err rc = x->full_text ? lf_buf_append(&c->out.text, x->inputs, x->n_inputs) : LF_OK;
    while (rc == LF_OK && c->out.ending == LF_ENDING_NONE) {
        size_t from = c->out.text.len;
        rc = lf_completion_next(c, q, &stepped, diag);
        if (rc != LF_OK || !stepped || !x->details || json_array_size(tokens) >= LF_DETAILS_MAX)
            continue;
        json_array_append_new(tokens, step_json(x, c, from));
        if (tops)
            json_array_append_new(tops, likeliest_json(c, x->top_n));
    }
    if (rc != LF_OK)
        return rc;
    *out = json_pack("{s:o}", "generated_text",
                     json_stringn(lf_buf_str(&c->out.text), c->out.text.len));
    if (!x->details)
        return LF_OK;
    json_t *prefill = x->request.score_prompt ? prompt_json(c, ids) : json_array();
    json_t *details = details_json(x, c, json_incref(tokens), prefill, json_incref(tops));
    if (x->seeded)
        json_object_set_new(details, "seed", json_integer(x->request.seed + choice));
    json_object_set_new(*out, "details", details);
    return LF_OK;
}

/* The best answer, the others in its details as text-generation-inference has them. answers: a list
 * of x->best_of. */
static json_t *best_json(const struct lorax *x, const struct lf_completion *list, json_t *answers)
{
    int best = 0;
    for (int i = 1; i < x->best_of; i++)
        if (lf_completion_worth(&list[i]) > lf_completion_worth(&list[best]))
            best = i;
    json_t *answer = json_array_get(answers, (size_t)best), *others = json_array();
    for (int i = 0; i < x->best_of && x->details; i++) {
        json_t *other = json_array_get(answers, (size_t)i);
        if (i == best)
            continue;
        json_object_set(json_object_get(other, "details"), "generated_text",
                        json_object_get(other, "generated_text"));
        json_array_append(others, json_object_get(other, "details"));
    }
    if (x->details && x->best_of > 1)
        json_object_set(json_object_get(answer, "details"), "best_of_sequences", others);
    json_decref(others);
    return json_incref(answer);
}

static enum lf_err reply_whole(struct lf_http *q, const struct lorax *x, struct lf_completion *list,
                               const int32_t *ids, struct lf_diag *diag)
{
    json_auto_t *answers = json_array();
    enum lf_err rc = LF_OK;
    int n_tokens = 0;
    for (int i = 0; i < x->best_of && rc == LF_OK; i++) {
        json_t *answer = NULL;
        rc = hear(&answer, q, x, &list[i], ids, i, diag);
        json_array_append_new(answers, answer);
        n_tokens += list[i].n_tokens;
    }
    if (rc != LF_OK)
        return rc;
    json_t *answer = best_json(x, list, answers);
    lf_buf_auto text = {0};
    put_json(&text, x->listed ? json_pack("[o]", answer) : answer);
    if (lf_buf_putc(&text, '\n') != LF_OK)
        return lf_no_memory(diag, "the answer");
    lf_completion_headers(q, &x->request.model, list->n_prompt, n_tokens, list);
    lf_http_reply(q, 200, "application/json", &text);
    return LF_OK;
}

/* ---- As events ------------------------------------------------------------------------------- */

/* One event a token, as LoRAX; text that was held back comes with a later token's. */
static void event(struct lf_sse *s, struct lf_buf *out, int i, bool stepped)
{
    struct lorax *x = s->state;
    struct lf_completion *c = &s->list[i];
    lf_buf_append(&x->whole, lf_buf_str(&c->out.text), c->out.text.len);
    bool over = c->out.ending != LF_ENDING_NONE;
    if (!stepped && !over)
        return;
    json_t *e = json_pack("{s:o, s:o, s:o}", "token", step_json(x, c, 0), "generated_text",
                          over ? json_stringn(lf_buf_str(&x->whole), x->whole.len) : json_null(),
                          "details", over ? details_json(x, c, NULL, NULL, NULL) : json_null());
    if (x->top_n > 0)
        json_object_set_new(e, "top_tokens", likeliest_json(c, x->top_n));
    lf_buf_puts(out, "data:");
    put_json(out, e);
    lf_buf_puts(out, "\n\n");
    lf_buf_reset(&c->out.text);
}

static void end(struct lf_sse *s, struct lf_buf *out)
{
    (void)s;
    (void)out;
}

static enum lf_err reply_stream(struct lf_http *q, struct lorax *x, struct lf_completion *c,
                                struct lf_diag *diag)
{
    static const struct lf_sse_dialect dialect = {event, end, lorax_free};
    if (x->full_text)
        lf_buf_append(&x->whole, x->inputs, x->n_inputs);
    lf_completion_headers(q, &x->request.model, c->n_prompt, 0, NULL);
    return lf_sse_reply(q, &dialect, x, c, 1, diag);
}

/* ---- Routes ---------------------------------------------------------------------------------- */

static enum lf_err generate(struct lf_http *q, bool stream, bool listed, struct lf_diag *diag)
{
    struct lorax *x = NULL;
    lf_ids_auto ids = {0};
    enum lf_err rc = parse(&x, q, stream, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_completion *list = calloc((size_t)x->best_of, sizeof *list);
    x->listed = listed;
    rc = list ? lf_prompt_encode(&ids, x->request.model.team->base->model, x->inputs, x->n_inputs,
                                 diag)
              : lf_no_memory(diag, "an answer");
    for (int i = 0; i < x->best_of && rc == LF_OK; i++)
        rc = lf_completion_start(&list[i], &x->request, ids.ids, (int)ids.n, i, diag);
    if (rc == LF_OK && x->stream)
        return reply_stream(q, x, list, diag); /* takes both */
    rc = rc ?: reply_whole(q, x, list, ids.ids, diag);
    lf_completions_free(list, x->best_of);
    lorax_free(x);
    return rc;
}

enum lf_err lf_api_lorax_generate(struct lf_http *q, struct lf_diag *diag)
{
    return generate(q, false, false, diag);
}

/* What LoRAX' and huggingface_hub's clients ask, streamed or not; the answer is a list of one. */
enum lf_err lf_api_lorax_root(struct lf_http *q, struct lf_diag *diag)
{
    return generate(q, false, true, diag);
}

enum lf_err lf_api_lorax_generate_stream(struct lf_http *q, struct lf_diag *diag)
{
    return generate(q, true, false, diag);
}

enum lf_err lf_api_lorax_info(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    const struct lf_daemon *d = q->daemon;
    struct lf_engine_status s;
    const struct lf_team *team = &d->teams->team[0]; /* the default: a request names no base */
    lf_team_status(team, &s);
    lf_http_reply_json(
        q, 200,
        json_pack("{s:s, s:n, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:n, s:n}",
                  "model_id", team->base->name, "model_sha", "model_dtype",
                  s.act == LF_BF16 ? "bfloat16" : "float32", "model_device_type",
                  s.device_word ? s.device_word : "", "device", s.device, "model_pipeline_tag",
                  "text-generation", "max_concurrent_requests", LF_QUEUE_MAX, "max_best_of",
                  LF_CHOICES_OF_ONE_MAX, "max_stop_sequences", LF_STOPS_MAX, "max_input_length",
                  s.context_max > 0 ? s.context_max - 1 : 0, "max_total_tokens", s.context_max,
                  "max_batch_total_tokens", d->options.batch_tokens_max, "version", LF_VERSION,
                  "sha", "docker_label"));
    return LF_OK;
}
