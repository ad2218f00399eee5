/* Evaluation by a daemon, over /v1/completions and /v1/chat/completions. */
#include "tools/eval_remote.h"

#include "core/json.h"
#include "trainer/dataset.h"

#include <stdlib.h>
#include <string.h>

#define PROMPTS_AT_ONCE 32 /* of one request: the daemon takes 64 */

struct remote {
    struct lf_remote *c;
    const char *model; /* "": the base */
    const struct lf_train_settings *s;
    const struct lf_eval_options *o;
    json_t *rows; /* {"ask", "reference", "columns"}; ask is a prompt, or messages */
};

/* ---- Rows ------------------------------------------------------------------------------------ */

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
    *ask = lf_json_copy(messages);
    json_array_remove(*ask, n - 1);
    return *ask ? LF_OK : lf_no_memory(diag, "the rows");
}

static enum lf_err add_row(void *arg, json_t *normal, json_t *row, struct lf_diag *diag)
{
    struct remote *e = arg;
    json_t *ask = NULL, *reference = NULL;
    enum lf_err rc = LF_OK;
    if (json_object_get(normal, "input_ids"))
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "ready-made ids are scored without a daemon alone");
    else if (json_object_get(normal, "messages"))
        rc = messages_of(&ask, &reference, normal, diag);
    else if (!(ask = as_text(json_object_get(normal, "prompt"))))
        rc = lf_fail(diag, LF_E_INVALID, "no \"prompt\"");
    if (rc == LF_OK && !reference && !(reference = as_text(json_object_get(normal, "completion"))))
        rc = lf_fail(diag, LF_E_INVALID, "no \"completion\"");
    if (rc == LF_OK &&
        json_array_append_new(e->rows, json_pack("{s:O, s:O, s:O}", "ask", ask, "reference",
                                                 reference, "columns", row)) != 0)
        rc = lf_no_memory(diag, "the rows");
    json_decref(ask);
    json_decref(reference);
    bool full = e->o->rows_max > 0 && (int64_t)json_array_size(e->rows) == e->o->rows_max;
    return rc == LF_OK && full ? LF_E_CANCELLED : rc;
}

static enum lf_err get_row(void *arg, int64_t i, struct lf_eval_row *out, struct lf_diag *diag)
{
    const struct remote *e = arg;
    const json_t *row = json_array_get(e->rows, (size_t)i);
    (void)diag;
    out->ask = json_object_get(row, "ask");
    out->reference = json_string_value(json_object_get(row, "reference"));
    out->columns = json_object_get(row, "columns");
    return LF_OK;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* One request of the daemon; *answer is yours. */
static enum lf_err ask(struct remote *e, json_t **answer, const char *path, const char *key,
                       const json_t *what, int max_tokens, struct lf_diag *diag)
{
    json_auto_t *body = json_pack("{s:s, s:O, s:i, s:i}", "model", e->model, key, what,
                                  "max_tokens", max_tokens, "temperature", 0);
    return body ? lf_remote_json(e->c, answer, "POST", path, body, diag)
                : lf_no_memory(diag, "the rows");
}

static enum lf_ending ending_of(const json_t *choice)
{
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    return reason && strcmp(reason, "length") == 0 ? LF_ENDING_LENGTH : LF_ENDING_EOS;
}

static const char *text_of(const json_t *choice)
{
    const json_t *message = json_object_get(choice, "message");
    const char *s = json_string_value(message ? json_object_get(message, "content")
                                              : json_object_get(choice, "text"));
    return s ? s : "";
}

/* Up to PROMPTS_AT_ONCE rows that are asked for together. */
struct batch {
    struct lf_eval_row rows[PROMPTS_AT_ONCE];
    int n;
};

static enum lf_err end_row(struct lf_evaluation *e, int64_t row, const json_t *choice, int n_tokens,
                           struct lf_diag *diag)
{
    struct lf_writer w;
    const char *text = text_of(choice);
    lf_evaluation_writer(e, &w, NULL);
    enum lf_err rc = lf_writer_text(&w, text, strlen(text));
    rc = rc ?: lf_writer_end(&w, ending_of(choice));
    w.n_tokens = n_tokens;
    rc = rc == LF_OK ? lf_evaluation_done(e, row, &w, diag) : lf_no_memory(diag, "the rows");
    lf_writer_free(&w);
    return rc;
}

/* These rows, as the answer has them; the tokens that it used are shared out evenly. */
static enum lf_err take_answer(struct lf_evaluation *e, const struct lf_eval_row *rows, int n,
                               const json_t *answer, struct lf_diag *diag)
{
    const json_t *choices = json_object_get(answer, "choices");
    int tokens = (int)json_integer_value(
        json_object_get(json_object_get(answer, "usage"), "completion_tokens"));
    enum lf_err rc = LF_OK;
    if (json_array_size(choices) != (size_t)n)
        return lf_fail(diag, LF_E_INVALID, "the daemon answered %zu of %d prompts",
                       json_array_size(choices), n);
    for (int k = 0; k < n && rc == LF_OK; k++)
        rc = end_row(e, rows[k].row, json_array_get(choices, (size_t)k),
                     tokens / n + (k < tokens % n), diag);
    return rc;
}

/* One row. A prompt that leaves less room than max_tokens gets what it leaves, by halves; none: it
 * does not fit, and scores 0. */
static enum lf_err ask_one(struct remote *c, struct lf_evaluation *e, const struct lf_eval_row *r,
                           struct lf_diag *diag)
{
    json_auto_t *answer = NULL;
    bool chat = json_is_array(r->ask);
    enum lf_err rc = LF_E_INVALID;
    for (int room = r->max_tokens; room > 0 && rc == LF_E_INVALID; room /= 2) {
        struct lf_diag why = {""};
        rc = ask(c, &answer, chat ? "/v1/chat/completions" : "/v1/completions",
                 chat ? "messages" : "prompt", r->ask, room, &why);
        if (rc != LF_OK && (rc != LF_E_INVALID || !strstr(why.text, "context")))
            return lf_fail(diag, rc, "row %lld: %s", (long long)r->row + 1, why.text);
    }
    return rc == LF_OK ? take_answer(e, r, 1, answer, diag)
                       : lf_evaluation_done(e, r->row, NULL, diag);
}

static enum lf_err ask_batch(struct remote *c, struct lf_evaluation *e, const struct batch *b,
                             struct lf_diag *diag)
{
    json_auto_t *answer = NULL, *prompts = json_array();
    enum lf_err rc = LF_E_INVALID;
    for (int i = 0; i < b->n; i++)
        json_array_append(prompts, (json_t *)(uintptr_t)b->rows[i].ask);
    if (b->n > 1)
        rc = ask(c, &answer, "/v1/completions", "prompt", prompts, b->rows[0].max_tokens, diag);
    if (rc == LF_OK) {
        rc = take_answer(e, b->rows, b->n, answer, diag);
    } else if (rc == LF_E_INVALID) { /* one of them does not fit: which, is found one by one */
        rc = LF_OK;
        for (int i = 0; i < b->n && rc == LF_OK; i++)
            rc = ask_one(c, e, &b->rows[i], diag);
    }
    return rc;
}

/* Prompts go together; messages are a request each. */
static enum lf_err complete(void *arg, struct lf_evaluation *e, struct lf_diag *diag)
{
    struct lf_eval_row r = {0};
    struct batch b = {.n = 0};
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && r.row >= 0) {
        rc = lf_evaluation_next(e, &r, diag);
        bool prompt = r.row >= 0 && json_is_string(r.ask);
        if (rc == LF_OK && b.n > 0 && (!prompt || b.n == PROMPTS_AT_ONCE)) {
            rc = ask_batch(arg, e, &b, diag);
            b.n = 0;
        }
        if (rc == LF_OK && prompt)
            b.rows[b.n++] = r;
        else if (rc == LF_OK && r.row >= 0)
            rc = ask_one(arg, e, &r, diag);
    }
    return rc;
}

/* ---- Public ---------------------------------------------------------------------------------- */

enum lf_err lf_eval_remote_settings(struct lf_train_settings *out, struct lf_remote *c,
                                    const char *adapter, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *config = NULL;
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
    return rc;
}

enum lf_err lf_eval_remote(struct lf_remote *c, const char *adapter, const char *dataset,
                           const struct lf_train_settings *s, const struct lf_eval_options *o,
                           int64_t *n_rows, struct lf_eval_report *out, struct lf_diag *diag)
{
    struct remote e = {.c = c, .model = adapter ? adapter : "", .s = s, .o = o};
    e.rows = json_array();
    enum lf_err rc = lf_metric_ready(o->metric, diag); /* before the rows are read */
    rc = rc ?: lf_dataset_each(dataset, s, add_row, &e, diag);
    if (rc == LF_E_CANCELLED)
        rc = LF_OK;
    else if (rc != LF_OK)
        lf_fail_within(diag, rc, "%s", dataset);
    *n_rows = (int64_t)json_array_size(e.rows);
    if (rc == LF_OK && *n_rows == 0)
        rc = lf_fail(diag, LF_E_INVALID, "%s: no rows", dataset);
    const struct lf_eval_rows rows = {*n_rows, get_row, &e};
    rc = rc ?: lf_evaluate(&rows, o, complete, &e, out, diag);
    json_decref(e.rows);
    return rc;
}
