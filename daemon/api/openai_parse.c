/* OpenAI's request bodies. */
#include "daemon/api/form.h"
#include "daemon/api/merged.h"
#include "daemon/api/openai.h"
#include "daemon/api/params.h"
#include "daemon/api/sampling.h"
#include "daemon/limits.h"

#include "core/json.h"
#include "text/messages.h"
#include "trainer/dataset.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- Numbers --------------------------------------------------------------------------------- */

static enum lf_err parse_sampling(struct lf_request *a, const json_t *body, struct lf_diag *diag)
{
    a->sample.temperature = 1;
    enum lf_err rc = lf_request_sampling(a, body, NULL, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_json_in in = lf_json_in(body, diag);
    a->ignore_eos = lf_json_bool(&in, "ignore_eos", false);
    a->ignore_eos = lf_json_bool(&in, "ignore_eos_token", a->ignore_eos); /* LoRAX' name for it */
    return in.rc;
}

static enum lf_err parse_choices(struct lf_openai *o, const json_t *body, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(body, diag);
    o->n = lf_json_int(&in, "n", 1, 1, LF_CHOICES_OF_ONE_MAX);
    o->best_of = lf_json_int(&in, "best_of", o->n, 1, LF_CHOICES_OF_ONE_MAX);
    if (in.rc == LF_OK && o->best_of < o->n)
        return lf_fail(diag, LF_E_INVALID, "\"best_of\" must be at least \"n\"");
    if (in.rc == LF_OK && o->stream && o->best_of > o->n)
        return lf_fail(diag, LF_E_INVALID, "\"best_of\" over \"n\" cannot be streamed");
    return in.rc;
}

static void parse_logprobs(struct lf_openai *o, struct lf_json_in *in)
{
    int n = 0;
    if (o->chat) {
        o->logprobs = lf_json_bool(in, "logprobs", false);
        n = lf_json_int(in, "top_logprobs", 0, 0, LF_TOP_LOGPROBS_MAX);
        if (in->rc == LF_OK && n > 0 && !o->logprobs)
            in->rc = lf_fail(in->diag, LF_E_INVALID, "\"top_logprobs\" wants \"logprobs\": true");
    } else {
        const json_t *v = json_object_get(in->obj, "logprobs");
        n = json_is_false(v) ? 0 : lf_json_int(in, "logprobs", 0, 0, LF_TOP_LOGPROBS_MAX);
        o->logprobs = json_is_number(v);
    }
    lf_request_list(&o->request, n);
    o->request.score_prompt = o->logprobs && o->echo;
}

/* How much is answered, and in what form. */
static enum lf_err parse_form(struct lf_openai *o, const json_t *body, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(body, diag);
    o->echo = !o->chat && lf_json_bool(&in, "echo", false);
    parse_logprobs(o, &in);
    /* OpenAI: 16 for completions; a chat goes on as far as the context reaches. */
    o->request.max_tokens = lf_json_int(&in, "max_tokens", o->chat ? -1 : 16, 0, INT32_MAX);
    if (o->chat)
        o->request.max_tokens =
            lf_json_int64(&in, "max_completion_tokens", o->request.max_tokens, 0, INT32_MAX);
    o->stream = o->request.streams = lf_json_bool(&in, "stream", false);
    struct lf_json_in options = lf_json_in(lf_json_object(&in, "stream_options"), diag);
    if (in.rc != LF_OK)
        return in.rc;
    options.rc = lf_params_check(options.obj, &lf_params_stream_options, diag);
    o->include_usage = lf_json_bool(&options, "include_usage", false);
    return options.rc;
}

enum lf_err lf_openai_parse(struct lf_openai *out, struct lf_http *q, const json_t *body, bool chat,
                            struct lf_diag *diag)
{
    struct lf_openai o = {.chat = chat, .created = (int64_t)time(NULL)};
    char id[25];
    lf_request_init(&o.request);
    o.request.chat = chat;
    o.request.background = !q->conn; /* of a batch */
    lf_answer_id(id);
    snprintf(o.id, sizeof o.id, "%s-%s", chat ? "chatcmpl" : "cmpl", id);
    enum lf_err rc = lf_params_check(body, chat ? &lf_params_chat : &lf_params_completion, diag);
    struct lf_json_in in = {.obj = body, .diag = diag, .rc = rc};
    const char *model = lf_json_str(&in, "model", "");
    rc = in.rc ?: lf_served_model_asked(q, body, model, &o.request.model, diag);
    rc = rc ?: parse_sampling(&o.request, body, diag);
    rc = rc ?: lf_request_stops(&o.request, json_object_get(body, "stop"), diag);
    rc = rc ?: lf_request_biases(&o.request, json_object_get(body, "logit_bias"), diag);
    rc = rc ?: parse_form(&o, body, diag);
    rc = rc ?: lf_request_form(&o.request, q, body, diag);
    rc = rc ?: parse_choices(&o, body, diag);
    if (rc == LF_OK)
        *out = o;
    else
        lf_request_free(&o.request);
    return rc;
}

void lf_openai_free(struct lf_openai *o)
{
    for (int i = 0; i < o->n_prompts; i++)
        lf_ids_free(&o->prompt[i]);
    o->n_prompts = 0;
    json_decref(o->tools);
    o->tools = NULL;
    lf_request_free(&o->request);
}

/* ---- Prompts --------------------------------------------------------------------------------- */

static bool all_integers(const json_t *list)
{
    int64_t id;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!lf_json_whole(json_array_get(list, i), &id))
            return false;
    return json_array_size(list) > 0;
}

enum lf_err lf_openai_id(struct lf_ids *ids, const json_t *number, const struct lf_model *m,
                         struct lf_diag *diag)
{
    int64_t id = -1;
    if (!lf_json_whole(number, &id) || id < 0 || id >= m->config.V)
        return lf_fail(diag, LF_E_INVALID, "%lld is no token id: there are %d", (long long)id,
                       m->config.V);
    return lf_ids_push(ids, (int32_t)id) == LF_OK ? LF_OK : lf_no_memory(diag, "the ids");
}

static enum lf_err prompt_add(struct lf_openai *o, const json_t *p, struct lf_diag *diag)
{
    const struct lf_model *m = o->request.model.team->base->model;
    if (o->n_prompts == LF_PROMPTS_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"prompt\" may have %d entries", LF_PROMPTS_MAX);
    if ((o->n_prompts + 1) * o->best_of > LF_CHOICES_MAX)
        return lf_fail(diag, LF_E_INVALID, "%d choices for each prompt are over %d in all",
                       o->best_of, LF_CHOICES_MAX);
    struct lf_ids *ids = &o->prompt[o->n_prompts++];
    enum lf_err rc = LF_OK;
    if (json_is_string(p))
        return lf_prompt_encode(ids, m, json_string_value(p), json_string_length(p), diag);
    if (!json_is_array(p) || !all_integers(p))
        return lf_fail(diag, LF_E_INVALID,
                       "\"prompt\" must be a string, a list of strings, ids, or lists of ids");
    for (size_t i = 0; i < json_array_size(p) && rc == LF_OK; i++)
        rc = lf_openai_id(ids, json_array_get(p, i), m, diag);
    return rc;
}

enum lf_err lf_openai_prompts(struct lf_openai *o, const json_t *prompt, struct lf_diag *diag)
{
    if (!prompt || json_is_null(prompt))
        return lf_fail(diag, LF_E_INVALID, "\"prompt\" is missing");
    if (!json_is_array(prompt) || all_integers(prompt))
        return prompt_add(o, prompt, diag);
    if (json_array_size(prompt) == 0)
        return lf_fail(diag, LF_E_INVALID, "\"prompt\" is an empty list");
    enum lf_err rc = LF_OK;
    json_type kind = json_typeof(json_array_get(prompt, 0));
    for (size_t i = 0; i < json_array_size(prompt) && rc == LF_OK; i++) {
        const json_t *p = json_array_get(prompt, i);
        if (json_typeof(p) != kind)
            rc = lf_fail(diag, LF_E_INVALID, "\"prompt\" mixes strings and ids");
        else
            rc = prompt_add(o, p, diag);
    }
    return rc;
}

/* ---- Messages -------------------------------------------------------------------------------- */

static enum lf_err messages_normal(json_t *out, const json_t *messages, struct lf_diag *diag)
{
    if (!out)
        return lf_no_memory(diag, "the messages");
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return lf_fail(diag, LF_E_INVALID, "\"messages\" must be a list with a message in it");
    return lf_messages_add(out, messages, diag);
}

/* "tool_choice": calls are wanted, of one tool alone where *only is not NULL. */
static enum lf_err parse_choice(const json_t *body, const json_t *tools, bool *must,
                                const char **only, struct lf_diag *diag)
{
    const json_t *choice = json_object_get(body, "tool_choice");
    const char *word = json_string_value(choice);
    *only = json_string_value(json_object_get(json_object_get(choice, "function"), "name"));
    *must = *only || (word && strcmp(word, "required") == 0);
    if (choice && !json_is_null(choice) && !*must &&
        !(word && (!strcmp(word, "auto") || !strcmp(word, "none"))))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"tool_choice\" may be none, auto, required, or a function by its name");
    if (*must && !tools)
        return lf_fail(diag, LF_E_INVALID,
                       "\"tool_choice\" wants a call, and there are no \"tools\"");
    return LF_OK;
}

/* Each has a name, by which it is called. */
static enum lf_err check_tools(const json_t *tools, struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i), *f = json_object_get(tool, "function");
        if (!*lf_json_text_of(f ? f : tool, "name"))
            return lf_fail(
                diag, LF_E_INVALID,
                "\"tools\"[%zu] must be {\"type\": \"function\", \"function\": {\"name\": "
                "...}}",
                i);
    }
    return LF_OK;
}

/* "tools" and what is said of them, for the template and for the answer. */
static enum lf_err parse_tools(struct lf_openai *o, json_t *vars, const json_t *body,
                               struct lf_diag *diag)
{
    json_auto_t *tools = NULL;
    struct lf_json_in in = lf_json_in(body, diag);
    bool may_call = strcmp(lf_json_text_of(body, "tool_choice"), "none") != 0;
    const char *only;
    bool must_call;
    o->call_once = !lf_json_bool(&in, "parallel_tool_calls", true);
    enum lf_err rc = in.rc ?: lf_tools_normal(&tools, json_object_get(body, "tools"), diag);
    rc = rc ?: check_tools(tools, diag);
    rc = rc ?: parse_choice(body, tools, &must_call, &only, diag);
    if (rc != LF_OK || !tools)
        return rc;
    if (json_object_set(vars, "tools", tools) != 0)
        return lf_no_memory(diag, "the tools");
    o->tools = may_call ? json_incref(tools) : NULL;
    if (must_call && o->request.grammar)
        return lf_fail(diag, LF_E_INVALID,
                       "\"tool_choice\" wants calls, and another form is wanted");
    return must_call ? lf_request_calls(&o->request, tools, only, o->call_once, diag) : LF_OK;
}

/* A template that does not show the tools is no way to offer them. */
static enum lf_err check_shown(const struct lf_model *m, json_t *vars, struct lf_diag *diag)
{
    lf_buf_auto with = {.max = LF_PROMPT_BYTES_MAX}, without = {.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = lf_chat_render(m->chat, &with, vars, true, diag);
    json_object_del(vars, "tools");
    rc = rc ?: lf_chat_render(m->chat, &without, vars, true, diag);
    if (rc == LF_OK && without.len == with.len && memcmp(without.data, with.data, with.len) == 0)
        rc = lf_fail(diag, LF_E_UNSUPPORTED,
                     "the chat template of %s does not show \"tools\": the model would not know "
                     "of them",
                     m->name);
    return rc;
}

/* As the adapter was trained to be asked. */
static enum lf_err encode_chat(struct lf_openai *o, struct lf_http *q, json_t *vars,
                               struct lf_diag *diag)
{
    const struct lf_served_model *m = &o->request.model;
    struct lf_ask ask;
    enum lf_err rc = lf_served_model_ask(q, m, &ask, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_ask_chat(&o->prompt[o->n_prompts++], m->team->base->model, &ask, vars, diag);
    if (rc == LF_OK && o->tools)
        rc = check_shown(m->team->base->model, vars, diag);
    lf_ask_free(&ask);
    return rc;
}

enum lf_err lf_openai_messages(struct lf_openai *o, struct lf_http *q, const json_t *body,
                               struct lf_diag *diag)
{
    json_auto_t *messages = json_array();
    struct lf_json_in in = lf_json_in(body, diag);
    json_t *extra = (json_t *)(uintptr_t)lf_json_object(&in, "chat_template_kwargs");
    enum lf_err rc = in.rc;
    if (rc == LF_OK && json_is_false(json_object_get(extra, "add_generation_prompt")))
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "\"add_generation_prompt\" false is not done here");
    rc = rc ?: messages_normal(messages, json_object_get(body, "messages"), diag);
    json_auto_t *vars = json_is_object(extra) ? lf_json_copy(extra) : json_object();
    if (rc == LF_OK && json_object_set(vars, "messages", messages) != 0)
        rc = lf_no_memory(diag, "the messages");
    rc = rc ?: parse_tools(o, vars, body, diag);
    return rc ?: encode_chat(o, q, vars, diag);
}
