/* Evaluation by a daemon, over /v1/completions and /v1/chat/completions. */
#include "tools/eval_remote.h"

#include "core/file.h"
#include "core/json.h"
#include "land/rows.h"
#include "trainer/dataset.h"

#include <stdlib.h>
#include <string.h>

#define PROMPTS_AT_ONCE 32 /* of one request: the daemon takes 64 */

struct evaluation {
    struct lf_remote *c;
    const char *model; /* "": the base */
    const struct lf_train_settings *s;
    const struct lf_eval_options *o;
    json_t *rows; /* {"ask", "reference", "columns"}; ask is a prompt, or messages */
    struct lf_eval_sums sums;
};

/* ---- Rows ------------------------------------------------------------------------------------ */

static enum lf_err no_memory(struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_NO_MEMORY, "no memory for the rows");
}

/* A text member as the data sets' loader takes it: strings as they are, numbers as JSON. */
static json_t *as_text(const json_t *v)
{
    if (json_is_string(v))
        return json_incref((json_t *)(uintptr_t)v);
    char *s = json_is_number(v) || json_is_boolean(v)
                  ? json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))
                  : NULL;
    json_t *text = s ? json_string(s) : NULL;
    free(s);
    return text;
}

static enum lf_err prompt_of(json_t **out, const struct evaluation *e, const json_t *row,
                             struct lf_diag *diag)
{
    struct lf_buf text;
    enum lf_err rc = LF_OK;
    if (!e->s->template_) {
        *out = as_text(json_object_get(row, "prompt"));
        return *out ? LF_OK : lf_fail(diag, LF_E_INVALID, "no \"prompt\"");
    }
    lf_buf_init(&text, LF_PROMPT_BYTES_MAX);
    rc = lf_template_render(&text, e->s->template_, row, diag);
    *out = rc == LF_OK ? json_stringn(text.data ? text.data : "", text.len) : NULL;
    lf_buf_free(&text);
    return rc == LF_OK && !*out ? no_memory(diag) : rc;
}

/* Messages up to the last one, which must be the assistant's: the reference. */
static enum lf_err messages_of(json_t **ask, json_t **reference, const json_t *row,
                               struct lf_diag *diag)
{
    const json_t *messages = json_object_get(row, "messages");
    size_t n = json_array_size(messages);
    const json_t *last = n > 1 ? json_array_get(messages, n - 1) : NULL;
    const char *role = json_string_value(json_object_get(last, "role"));
    *reference = as_text(json_object_get(last, "content"));
    if (!role || strcmp(role, "assistant") != 0 || !*reference)
        return lf_fail(diag, LF_E_INVALID, "the last of \"messages\" must be the assistant's");
    *ask = json_copy((json_t *)(uintptr_t)messages);
    json_array_remove(*ask, n - 1);
    return *ask ? LF_OK : no_memory(diag);
}

static enum lf_err add_row(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    struct evaluation *e = arg;
    json_t *ask = NULL, *reference = NULL;
    enum lf_err rc;
    (void)line;
    if (json_object_get(row, "input_ids"))
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "ready-made ids are scored without a daemon alone");
    else if (json_object_get(row, "messages"))
        rc = messages_of(&ask, &reference, row, diag);
    else
        rc = prompt_of(&ask, e, row, diag);
    if (rc == LF_OK && !reference && !(reference = as_text(json_object_get(row, "completion"))))
        rc = lf_fail(diag, LF_E_INVALID, "no \"completion\"");
    if (rc == LF_OK &&
        json_array_append_new(e->rows, json_pack("{s:O, s:O, s:O}", "ask", ask, "reference",
                                                 reference, "columns", row)) != 0)
        rc = no_memory(diag);
    json_decref(ask);
    json_decref(reference);
    bool full = e->o->rows_max > 0 && (int64_t)json_array_size(e->rows) == e->o->rows_max;
    return rc == LF_OK && full ? LF_E_CANCELLED : rc;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static enum lf_err score(struct evaluation *e, size_t i, const char *text, int n_tokens,
                         enum lf_finish finish, struct lf_diag *diag)
{
    const json_t *row = json_array_get(e->rows, i);
    struct lf_buf cut;
    lf_buf_init(&cut, 0);
    if (lf_buf_puts(&cut, text) != LF_OK)
        return no_memory(diag);
    if (lf_eval_cut(&cut, e->o->stop, e->o->n_stop))
        finish = LF_FINISH_EOS;
    struct lf_eval_row r = {.row = (int64_t)i,
                            .completion = cut.data ? cut.data : "",
                            .reference = json_string_value(json_object_get(row, "reference")),
                            .n_tokens = n_tokens,
                            .finish = finish};
    enum lf_err rc = lf_eval_add(&e->sums, &r, json_object_get(row, "columns"), diag);
    if (rc == LF_OK && e->o->row)
        e->o->row(e->o->row_arg, &r);
    lf_buf_free(&cut);
    return rc;
}

/* One request of the daemon; *answer is yours. */
static enum lf_err ask(struct evaluation *e, json_t **answer, const char *path, const char *key,
                       json_t *what, int max_tokens, struct lf_diag *diag)
{
    json_t *body = json_pack("{s:s, s:O, s:i, s:i}", "model", e->model, key, what, "max_tokens",
                             max_tokens, "temperature", 0);
    if (!body)
        return no_memory(diag);
    enum lf_err rc = lf_remote_json(e->c, answer, "POST", path, body, diag);
    json_decref(body);
    return rc;
}

static enum lf_finish finish_of(const json_t *choice)
{
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    return reason && strcmp(reason, "length") == 0 ? LF_FINISH_LENGTH : LF_FINISH_EOS;
}

static const char *text_of(const json_t *choice)
{
    const json_t *message = json_object_get(choice, "message");
    const char *s = json_string_value(message ? json_object_get(message, "content")
                                              : json_object_get(choice, "text"));
    return s ? s : "";
}

/* Rows from i on, as the answer has them; the tokens that it used are shared out evenly. */
static enum lf_err score_answer(struct evaluation *e, size_t i, size_t n, const json_t *answer,
                                struct lf_diag *diag)
{
    const json_t *choices = json_object_get(answer, "choices");
    int64_t tokens =
        json_integer_value(json_object_get(json_object_get(answer, "usage"), "completion_tokens"));
    enum lf_err rc = LF_OK;
    if (json_array_size(choices) != n)
        return lf_fail(diag, LF_E_INVALID, "the daemon answered %zu of %zu prompts",
                       json_array_size(choices), n);
    for (size_t k = 0; k < n && rc == LF_OK; k++) {
        const json_t *choice = json_array_get(choices, k);
        int share = (int)(tokens / (int64_t)n) + ((int64_t)k < tokens % (int64_t)n);
        rc = score(e, i + k, text_of(choice), share, finish_of(choice), diag);
    }
    return rc;
}

/* One row. A prompt that leaves less room than max_tokens gets what it leaves, by halves; none: it
 * does not fit, and scores 0. */
static enum lf_err ask_one(struct evaluation *e, size_t i, struct lf_diag *diag)
{
    json_t *what = json_object_get(json_array_get(e->rows, i), "ask"), *answer = NULL;
    bool chat = json_is_array(what);
    enum lf_err rc = LF_E_INVALID;
    for (int room = e->o->max_tokens; room > 0 && rc == LF_E_INVALID; room /= 2) {
        struct lf_diag why = {""};
        rc = ask(e, &answer, chat ? "/v1/chat/completions" : "/v1/completions",
                 chat ? "messages" : "prompt", what, room, &why);
        if (rc != LF_OK && (rc != LF_E_INVALID || !strstr(why.text, "context")))
            return lf_fail(diag, rc, "row %zu: %s", i + 1, why.text);
    }
    if (rc == LF_OK)
        rc = score_answer(e, i, 1, answer, diag);
    else
        rc = score(e, i, "", 0, LF_FINISH_NONE, diag);
    json_decref(answer);
    return rc;
}

/* Up to PROMPTS_AT_ONCE rows from *i on, which moves behind them. */
static enum lf_err ask_some(struct evaluation *e, size_t *i, struct lf_diag *diag)
{
    json_t *prompts = json_array(), *answer = NULL;
    size_t n = json_array_size(e->rows), from = *i, to = from;
    while (to < n && to - from < PROMPTS_AT_ONCE) {
        json_t *what = json_object_get(json_array_get(e->rows, to), "ask");
        if (!json_is_string(what))
            break;
        json_array_append(prompts, what);
        to++;
    }
    *i = to > from ? to : from + 1;
    if (to <= from + 1) {
        json_decref(prompts);
        return ask_one(e, from, diag);
    }
    enum lf_err rc = ask(e, &answer, "/v1/completions", "prompt", prompts, e->o->max_tokens, diag);
    if (rc == LF_OK) {
        rc = score_answer(e, from, to - from, answer, diag);
    } else if (rc == LF_E_INVALID) { /* one of them does not fit: which, is found one by one */
        rc = LF_OK;
        for (size_t k = from; k < to && rc == LF_OK; k++)
            rc = ask_one(e, k, diag);
    }
    json_decref(prompts);
    json_decref(answer);
    return rc;
}

/* ---- Public ---------------------------------------------------------------------------------- */

enum lf_err lf_eval_remote_settings(struct lf_train_settings *out, struct lf_remote *c,
                                    const char *adapter, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_t *config = NULL;
    struct lf_diag why = {""};
    lf_train_settings_default(out);
    if (!adapter)
        return LF_OK;
    enum lf_err rc = lf_remote_path(path, adapter, "/files/config.json", diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_remote_json(c, &config, "GET", path, NULL, &why);
    if (rc == LF_OK)
        rc = lf_train_settings_parse(out, config, diag);
    else if (rc == LF_E_NOT_FOUND)
        rc = LF_OK; /* no config.json; or no adapter, which the first completion says better */
    else
        lf_fail(diag, rc, "%s", why.text);
    json_decref(config);
    return rc;
}

enum lf_err lf_eval_remote(struct lf_remote *c, const char *adapter, const char *dataset,
                           const struct lf_train_settings *s, const struct lf_eval_options *o,
                           int64_t *n_rows, struct lf_eval_report *out, struct lf_diag *diag)
{
    static const struct lf_rows_form form = {.format = "jsonl", .encoding = ""};
    struct evaluation e = {.c = c, .model = adapter ? adapter : "", .s = s, .o = o};
    e.rows = json_array();
    enum lf_err rc = lf_eval_begin(&e.sums, o->metric, diag);
    if (rc == LF_OK)
        rc = lf_rows_read(dataset, &form, add_row, &e, diag);
    if (rc == LF_E_CANCELLED)
        rc = LF_OK;
    *n_rows = (int64_t)json_array_size(e.rows);
    if (rc == LF_OK && *n_rows == 0)
        rc = lf_fail(diag, LF_E_INVALID, "%s: no rows", dataset);
    for (size_t i = 0; rc == LF_OK && i < json_array_size(e.rows);)
        rc = ask_some(&e, &i, diag);
    lf_eval_end(&e.sums, rc == LF_OK ? out : NULL);
    json_decref(e.rows);
    return rc;
}
