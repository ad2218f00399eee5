/* Text to ids and back, as LoRAX and vLLM are asked for it; vLLM's version and ping. */
#include "daemon/api/api.h"
#include "daemon/api/openai.h"

#include "core/json.h"
#include "daemon/team.h"
#include <stdlib.h>
#include <string.h>

#define LISTED_BYTES 64 /* of an id with its spelling, in a text that doubles */

/* The model that is asked, by "model"; one without a tokenizer is refused. */
static enum lf_err find_model(struct lf_http *q, struct lf_json_in *in, struct lf_served_model *out,
                              struct lf_diag *diag)
{
    const char *name = lf_json_str(in, "model", "");
    enum lf_err rc = in->rc ?: lf_served_model_find(q, name, out, diag);
    if (rc == LF_OK && !out->team->base->model->tokenizer)
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "%s has no tokenizer", out->team->base->name);
    return rc;
}

/* ---- Answers: written as they are, since a tree of values is many times as large --------------
 */

static void put_spelling(struct lf_buf *out, const struct lf_tokenizer *t, int32_t id)
{
    const char *text = lf_tokenizer_token(t, id);
    lf_buf_json(out, text, text ? strlen(text) : 0);
}

static enum lf_err reply(struct lf_http *q, struct lf_buf *text, struct lf_diag *diag)
{
    if (text->rc == LF_OK)
        lf_http_reply(q, 200, "application/json", text);
    return text->rc == LF_OK
               ? LF_OK
               : lf_fail(diag, text->rc, "the answer is over %u MiB", LF_TOKENIZE_ANSWER_MAX >> 20);
}

/* ---- LoRAX ----------------------------------------------------------------------------------- */

/* Each token by its spelling in the vocabulary. */
static enum lf_err reply_spellings(struct lf_http *q, json_t *body, struct lf_diag *diag)
{
    static const char *const known[] = {"inputs", "add_special_tokens", NULL};
    struct lf_served_model m;
    lf_ids_auto ids = {0};
    lf_buf_auto rows = {.max = LF_TOKENIZE_ANSWER_MAX};
    struct lf_json_in in = {.obj = body, .diag = diag, .rc = lf_json_only(body, known, diag)};
    bool special = lf_json_bool(&in, "add_special_tokens", true);
    enum lf_err rc = find_model(q, &in, &m, diag);
    const json_t *inputs = json_object_get(body, "inputs");
    if (rc == LF_OK && !json_is_string(inputs))
        rc = lf_fail(diag, LF_E_INVALID, "\"inputs\" must be a text");
    if (rc != LF_OK)
        return rc;
    const struct lf_tokenizer *t = m.team->base->model->tokenizer;
    rc = lf_tokenizer_encode(t, &ids, json_string_value(inputs), json_string_length(inputs),
                             special, diag);
    rc = rc ?: lf_http_take(q, ids.n * LISTED_BYTES, "the answer needs", diag);
    lf_buf_putc(&rows, '[');
    for (size_t i = 0; i < ids.n && rc == LF_OK && rows.rc == LF_OK; i++) {
        lf_buf_printf(&rows, i ? ",{\"id\":%d,\"text\":" : "{\"id\":%d,\"text\":", (int)ids.ids[i]);
        put_spelling(&rows, t, ids.ids[i]);
        lf_buf_putc(&rows, '}');
    }
    lf_buf_puts(&rows, "]\n");
    return rc ?: reply(q, &rows, diag);
}

/* ---- vLLM ------------------------------------------------------------------------------------ */

/* "prompt", or "messages" as a chat is asked, into o's prompt. */
static enum lf_err encode(struct lf_openai *o, struct lf_http *q, const json_t *body,
                          struct lf_json_in *in, struct lf_diag *diag)
{
    const struct lf_model *m = o->request.model.team->base->model;
    const json_t *prompt = json_object_get(body, "prompt");
    bool special = lf_json_bool(in, "add_special_tokens", !o->chat);
    bool asks = lf_json_bool(in, "add_generation_prompt", true);
    enum lf_err rc = in->rc;
    if (rc == LF_OK && o->chat && (special || !asks))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"%s\": a chat's ids are those that it is asked with",
                       special ? "add_special_tokens" : "add_generation_prompt");
    if (rc == LF_OK && o->chat)
        return lf_openai_messages(o, q, body, diag);
    if (rc == LF_OK && !json_is_string(prompt))
        rc = lf_fail(diag, LF_E_INVALID, "\"prompt\" must be a text");
    if (rc == LF_OK)
        rc =
            lf_tokenizer_encode(m->tokenizer, &o->prompt[o->n_prompts++], json_string_value(prompt),
                                json_string_length(prompt), special, diag);
    return rc;
}

static void put_list(struct lf_buf *out, const struct lf_ids *ids, const struct lf_tokenizer *spelt)
{
    lf_buf_putc(out, '[');
    for (size_t i = 0; i < ids->n && out->rc == LF_OK; i++) {
        lf_buf_puts(out, i ? "," : "");
        if (spelt)
            put_spelling(out, spelt, ids->ids[i]);
        else
            lf_buf_printf(out, "%d", (int)ids->ids[i]);
    }
    lf_buf_putc(out, ']');
}

static enum lf_err reply_ids(struct lf_http *q, json_t *body, struct lf_openai *o,
                             struct lf_diag *diag)
{
    static const char *const known[] = {"model",
                                        "prompt",
                                        "messages",
                                        "tools",
                                        "chat_template_kwargs",
                                        "add_special_tokens",
                                        "add_generation_prompt",
                                        "return_token_strs",
                                        NULL};
    struct lf_engine_status status;
    struct lf_json_in in = {.obj = body, .diag = diag, .rc = lf_json_only(body, known, diag)};
    bool spelt = lf_json_bool(&in, "return_token_strs", false);
    o->chat = json_object_get(body, "messages") != NULL;
    enum lf_err rc = find_model(q, &in, &o->request.model, diag) ?: encode(o, q, body, &in, diag);
    if (rc != LF_OK)
        return rc;
    const struct lf_team *team = o->request.model.team;
    const struct lf_tokenizer *t = team->base->model->tokenizer;
    lf_team_status(team, &status);
    const struct lf_ids *ids = &o->prompt[0];
    lf_buf_auto text = {.max = LF_TOKENIZE_ANSWER_MAX};
    rc = lf_http_take(q, ids->n * LISTED_BYTES, "the answer needs", diag);
    lf_buf_printf(&text, "{\"count\":%zu,\"max_model_len\":%d,\"tokens\":", ids->n,
                  status.context_max);
    if (rc == LF_OK)
        put_list(&text, ids, NULL);
    lf_buf_puts(&text, ",\"token_strs\":");
    if (rc == LF_OK && spelt)
        put_list(&text, ids, t);
    else
        lf_buf_puts(&text, "null");
    lf_buf_puts(&text, "}\n");
    return rc ?: reply(q, &text, diag);
}

/* LoRAX asks with "inputs", vLLM with "prompt" or "messages". */
enum lf_err lf_api_tokenize(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *body = NULL;
    struct lf_openai *o = calloc(1, sizeof *o);
    enum lf_err rc = o ? LF_OK : lf_no_memory(diag, "a request");
    rc = rc ?: lf_http_json(q, &body, diag);
    if (rc == LF_OK && (json_object_get(body, "prompt") || json_object_get(body, "messages")))
        rc = reply_ids(q, body, o, diag);
    else if (rc == LF_OK)
        rc = reply_spellings(q, body, diag);
    if (o)
        lf_openai_free(o);
    free(o);
    return rc;
}

enum lf_err lf_api_detokenize(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"model", "tokens", NULL};
    struct lf_served_model m;
    lf_ids_auto ids = {0};
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    json_auto_t *body = NULL;
    struct lf_json_in in = lf_http_json_in(q, &body, known, diag);
    enum lf_err rc = find_model(q, &in, &m, diag);
    const json_t *tokens = json_object_get(body, "tokens");
    if (rc == LF_OK && !json_is_array(tokens))
        rc = lf_fail(diag, LF_E_INVALID, "\"tokens\" must be a list of ids");
    for (size_t i = 0; i < json_array_size(tokens) && rc == LF_OK; i++)
        rc = lf_openai_id(&ids, json_array_get(tokens, i), m.team->base->model, diag);
    if (rc == LF_OK)
        rc = lf_tokenizer_decode(m.team->base->model->tokenizer, &text, ids.ids, ids.n, false);
    if (rc == LF_OK)
        lf_http_reply_json(
            q, 200,
            json_pack("{s:o}", "prompt", json_stringn(text.data ? text.data : "", text.len)));
    return rc;
}

enum lf_err lf_api_version(struct lf_http *q, struct lf_diag *diag)
{
    (void)diag;
    lf_http_reply_json(q, 200, json_pack("{s:s}", "version", LF_VERSION));
    return LF_OK;
}
