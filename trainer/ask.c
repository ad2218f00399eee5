/* A prompt as its adapter was trained to be asked. */
#include "trainer/ask.h"

#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/adapter.h"
#include "model/safetensors.h"
#include "text/messages.h"
#include "trainer/dataset.h"
#include "trainer/form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lf_ask_words[] = {"auto",        LF_ASK_PROMPT, LF_ASK_MESSAGES,
                                    "instruction", "question",    NULL};

static bool is(const char *form, const char *name)
{
    return form && strcmp(form, name) == 0;
}

/* Without a byte order mark, lines ending in \n. */
static enum lf_err clean(struct lf_buf *out, const char *text, size_t n, struct lf_diag *diag)
{
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    lf_buf_append(out, "", 0);
    for (size_t i = 0; i < n;) {
        const char *cr = memchr(text + i, '\r', n - i);
        size_t run = cr ? (size_t)(cr - text) - i : n - i;
        bool ends = cr && i + run + 1 < n && cr[1] == '\n';
        lf_buf_append(out, text + i, run + (cr && !ends));
        i += run + (cr != NULL);
    }
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "the prompt is too long");
}

/* The text as JSON, where it is an object or a list of objects; else NULL. */
static json_t *structure(const struct lf_buf *text)
{
    json_t *j = NULL;
    if (text->len == 0 || !strchr("{[", text->data[0]) ||
        lf_json_parse(&j, text->data, text->len, NULL) != LF_OK)
        return NULL;
    if (json_is_object(j) || json_is_object(json_array_get(j, 0)))
        return j;
    json_decref(j);
    return NULL;
}

/* ---- Conversations --------------------------------------------------------------------------- */

/* A list of messages in what was written, or NULL. */
static const json_t *turns_of(const json_t *j)
{
    const json_t *turns = json_is_array(j) ? j : json_object_get(j, "messages");
    const json_t *first = json_array_get(turns, 0);
    return json_object_get(first, "role") || json_object_get(first, "from") ? turns : NULL;
}

/* ---- Columns --------------------------------------------------------------------------------- */

/* What was written as a row: its columns, or a text that is the one of that name. */
static json_t *row_of(json_t *given, const struct lf_buf *text, const char *column)
{
    if (json_is_object(given))
        return json_incref(given);
    return json_pack("{s:o}", column, json_stringn(text->data, text->len));
}

/* As the template, or the form of that name, makes it; the text stays where neither is there. */
static enum lf_err fill(struct lf_buf *text, const struct lf_ask *ask, json_t *given,
                        struct lf_diag *diag)
{
    char only[LF_NAME_MAX + 1] = "prompt";
    lf_buf_auto out = {.max = LF_PROMPT_BYTES_MAX};
    bool found = true;
    const char *column = lf_form_column(ask->form);
    if (!ask->template_ && !column)
        return LF_OK;
    if (ask->template_)
        lf_template_only(ask->template_, only, sizeof only);
    json_auto_t *row = row_of(given, text, ask->template_ ? only : column);
    if (!row)
        return lf_fail(diag, LF_E_INVALID, "the prompt is not UTF-8");
    enum lf_err rc = ask->template_ ? lf_template_render(&out, ask->template_, row, diag)
                                    : lf_form_prompt(&out, ask->form, row, &found, diag);
    if (rc != LF_OK)
        return json_is_object(given)
                   ? rc
                   : lf_fail_within(diag, rc, "a JSON object gives the columns of a prompt");
    lf_buf_reset(text);
    return lf_buf_append(text, lf_buf_str(&out), out.len);
}

/* ---- Conversations --------------------------------------------------------------------------- */

/* Such are asked through the base's chat template. */
static bool is_chat(const struct lf_ask *ask)
{
    return !ask || is(ask->form, LF_ASK_MESSAGES) || is(ask->form, LF_ASK_IDS) ||
           is(ask->form, LF_ASK_TEXT) || (!ask->form[0] && !ask->template_);
}

static enum lf_err by_chat_template(struct lf_ids *out, const struct lf_model *m, json_t *vars,
                                    struct lf_diag *diag)
{
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    if (!m->chat)
        return lf_fail(diag, LF_E_UNSUPPORTED, "%s has no chat template: %s", m->name,
                       m->chat_reason.text);
    enum lf_err rc = lf_chat_render(m->chat, &text, vars, true, diag);
    return rc ?: lf_tokenizer_encode(m->tokenizer, out, text.data, text.len, false, diag);
}

/* Appends what the user says as the rows' prompts were, another's words as they are. */
static enum lf_err put_turn(struct lf_buf *out, const struct lf_ask *ask, const json_t *message,
                            size_t number, struct lf_diag *diag)
{
    static const char *const roles[] = {"user", "assistant", "system", "developer", NULL};
    const char *role = lf_json_text_of(message, "role");
    const json_t *content = json_object_get(message, "content");
    lf_buf_auto words = {.max = LF_PROMPT_BYTES_MAX};
    size_t i = 0;
    while (roles[i] && strcmp(roles[i], role) != 0)
        i++;
    if (!roles[i] || !json_is_string(content))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "message %zu: calls of tools have no place in the prompts that this adapter "
                       "was trained on",
                       number);
    enum lf_err rc = clean(&words, json_string_value(content), json_string_length(content), diag);
    json_auto_t *given = rc == LF_OK && i == 0 ? structure(&words) : NULL;
    if (rc == LF_OK && i == 0)
        rc = fill(&words, ask, given, diag);
    lf_buf_append(out, lf_buf_str(&words), words.len);
    return rc ?: out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "the chat is too long");
}

/* Turn by turn as the rows were, an empty line before each but the answers. */
static enum lf_err by_rows(struct lf_ids *out, const struct lf_model *m, const struct lf_ask *ask,
                           const json_t *vars, struct lf_diag *diag)
{
    const json_t *messages = json_object_get(vars, "messages");
    size_t n = json_array_size(messages);
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = LF_OK;
    if (json_array_size(json_object_get(vars, "tools")) > 0)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"tools\" have no place in the prompts that this adapter was trained on");
    if (strcmp(lf_json_text_of(json_array_get(messages, n - 1), "role"), "user") != 0)
        return lf_fail(diag, LF_E_INVALID,
                       "the last message must be the user's: it becomes the prompt that this "
                       "adapter was trained on");
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        const json_t *message = json_array_get(messages, i);
        if (i > 0 && strcmp(lf_json_text_of(message, "role"), "assistant") != 0)
            lf_buf_puts(&text, "\n\n");
        rc = put_turn(&text, ask, message, i + 1, diag);
    }
    return rc ?: lf_prompt_encode(out, m, lf_buf_str(&text), text.len, diag);
}

enum lf_err lf_ask_chat(struct lf_ids *out, const struct lf_model *m, const struct lf_ask *ask,
                        json_t *vars, struct lf_diag *diag)
{
    return is_chat(ask) ? by_chat_template(out, m, vars, diag) : by_rows(out, m, ask, vars, diag);
}

/* ---- What was written ------------------------------------------------------------------------ */

/* The variables of a conversation. */
static enum lf_err vars_of(json_t **vars, const json_t *turns, const json_t *tools,
                           struct lf_diag *diag)
{
    json_auto_t *messages = json_array(), *v = json_object(), *offered = NULL;
    enum lf_err rc = messages && v ? LF_OK : lf_no_memory(diag, "the prompt");
    rc = rc ?: lf_messages_add(messages, turns, diag) ?: lf_tools_normal(&offered, tools, diag);
    if (rc == LF_OK && (json_object_set(v, "messages", messages) != 0 ||
                        (offered && json_object_set(v, "tools", offered) != 0)))
        rc = lf_no_memory(diag, "the prompt");
    if (rc == LF_OK)
        *vars = json_incref(v);
    return rc;
}

/* A user's message. */
static enum lf_err vars_of_text(json_t **vars, const struct lf_buf *words, struct lf_diag *diag)
{
    json_auto_t *one =
        json_pack("[{s:s, s:o}]", "role", "user", "content", json_stringn(words->data, words->len));
    return one ? vars_of(vars, one, NULL, diag)
               : lf_fail(diag, LF_E_INVALID, "the prompt is not UTF-8");
}

enum lf_err lf_ask_said(json_t **vars, const char *text, size_t n, struct lf_diag *diag)
{
    lf_buf_auto words = {.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = clean(&words, text, n, diag);
    json_auto_t *given = rc == LF_OK ? structure(&words) : NULL;
    const json_t *turns = turns_of(given);
    if (rc != LF_OK)
        return rc;
    return turns ? vars_of(vars, turns, json_object_get(given, "tools"), diag)
                 : vars_of_text(vars, &words, diag);
}

enum lf_err lf_ask_encode(struct lf_ids *out, const struct lf_model *m, const struct lf_ask *ask,
                          const char *text, size_t n, struct lf_diag *diag)
{
    static const struct lf_ask unknown = {.form = ""};
    lf_buf_auto words = {.max = LF_PROMPT_BYTES_MAX};
    json_auto_t *vars = NULL;
    ask = ask ? ask : &unknown;
    enum lf_err rc = clean(&words, text, n, diag);
    if (rc != LF_OK)
        return rc;
    bool bare =
        is(ask->form, LF_ASK_PROMPT) || is(ask->form, LF_ASK_TEXT) || is(ask->form, LF_ASK_IDS);
    json_auto_t *given = structure(&words);
    const json_t *turns = bare ? NULL : turns_of(given);
    if (turns)
        rc = vars_of(&vars, turns, json_object_get(given, "tools"), diag);
    else if (is(ask->form, LF_ASK_MESSAGES))
        rc = vars_of_text(&vars, &words, diag);
    if (rc == LF_OK && vars)
        return lf_ask_chat(out, m, ask, vars, diag);
    rc = rc ?: fill(&words, ask, given, diag);
    return rc ?: lf_prompt_encode(out, m, words.data, words.len, diag);
}

/* ---- Beside the weights ---------------------------------------------------------------------- */

#define FORM_FILE "form"

void lf_ask_free(struct lf_ask *a)
{
    free(a->template_);
    a->template_ = NULL;
}

struct lf_ask lf_ask_of(const char *form, const struct lf_train_settings *s)
{
    struct lf_ask a = {.template_ = is(form, LF_ASK_PROMPT) ? s->template_ : NULL};
    snprintf(a.form, sizeof a.form, "%s", form);
    return a;
}

enum lf_err lf_ask_write(const char *dir, const struct lf_ask *ask, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    lf_buf_printf(&text, "%s%s%s", ask->form, ask->template_ ? "\n" : "",
                  ask->template_ ? ask->template_ : "");
    enum lf_err rc = text.rc == LF_OK ? LF_OK : lf_no_memory(diag, "the version's form");
    rc = rc ?: lf_path_join(path, dir, FORM_FILE, diag);
    return rc ?: lf_file_write(path, lf_buf_str(&text), text.len, diag);
}

char *lf_ask_note(const struct lf_ask *ask)
{
    json_auto_t *j = json_pack("{s:s, s:s}", "form", ask->form, "template",
                               ask->template_ ? ask->template_ : "");
    return j ? json_dumps(j, JSON_COMPACT) : NULL;
}

static enum lf_err take(struct lf_ask *out, const char *form, const char *template_,
                        struct lf_diag *diag)
{
    struct lf_ask a = {.template_ = NULL};
    snprintf(a.form, sizeof a.form, "%s", strlen(form) < sizeof a.form ? form : "");
    if (template_ && *template_ && lf_template_check(template_, NULL) == LF_OK &&
        !(a.template_ = strdup(template_)))
        return lf_no_memory(diag, "the version's template");
    *out = a;
    return LF_OK;
}

/* The note in the weights of a directory; "not known" where there is none. */
static enum lf_err read_note(struct lf_ask *out, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_tensors *t = NULL;
    json_auto_t *j = NULL;
    const char *note = NULL;
    if (lf_path_join(path, dir, "adapter_model.safetensors", NULL) == LF_OK &&
        lf_file_exists(path) && lf_tensors_open(&t, path, LF_ADAPTER_HEADER_MAX, NULL) == LF_OK)
        note = lf_tensors_note(t);
    if (note && lf_json_parse(&j, note, strlen(note), NULL) != LF_OK)
        j = NULL;
    lf_tensors_free(t);
    return take(out, lf_json_text_of(j, "form"), lf_json_text_of(j, "template"), diag);
}

enum lf_err lf_ask_read(struct lf_ask *out, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    enum lf_err rc = lf_path_join(path, dir, FORM_FILE, diag);
    if (rc == LF_OK && !lf_file_exists(path))
        return read_note(out, dir, diag);
    rc = rc ?: lf_file_read(&text, path, LF_SETTINGS_BYTES_MAX + LF_NAME_MAX + 1, diag);
    if (rc != LF_OK)
        return rc;
    char *end = text.data ? strchr(text.data, '\n') : NULL;
    if (end)
        *end = '\0';
    return take(out, lf_buf_str(&text), end ? end + 1 : NULL, diag);
}
