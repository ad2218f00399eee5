/* A prompt as its adapter was trained to be asked. */
#include "trainer/ask.h"

#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "text/messages.h"
#include "trainer/dataset.h"
#include "trainer/form.h"

#include <stdio.h>
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

static enum lf_err encode_chat(struct lf_ids *out, const struct lf_model *m, const json_t *turns,
                               const json_t *tools, struct lf_diag *diag)
{
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    json_auto_t *messages = json_array(), *vars = json_object(), *offered = NULL;
    if (!m->chat)
        return lf_fail(diag, LF_E_UNSUPPORTED, "%s has no chat template: %s", m->name,
                       m->chat_reason.text);
    enum lf_err rc = messages && vars ? LF_OK : lf_no_memory(diag, "the prompt");
    rc = rc ?: lf_messages_add(messages, turns, diag) ?: lf_tools_normal(&offered, tools, diag);
    if (rc == LF_OK && (json_object_set(vars, "messages", messages) != 0 ||
                        (offered && json_object_set(vars, "tools", offered) != 0)))
        rc = lf_no_memory(diag, "the prompt");
    rc = rc ?: lf_chat_render(m->chat, &text, vars, true, diag);
    return rc ?: lf_tokenizer_encode(m->tokenizer, out, text.data, text.len, false, diag);
}

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
static enum lf_err fill(struct lf_buf *text, const char *template_, const char *form, json_t *given,
                        struct lf_diag *diag)
{
    char only[LF_NAME_MAX + 1] = "prompt";
    lf_buf_auto out = {.max = LF_PROMPT_BYTES_MAX};
    bool found = true;
    if (!template_ && !lf_form_column(form))
        return LF_OK;
    if (template_)
        lf_template_only(template_, only, sizeof only);
    json_auto_t *row = row_of(given, text, template_ ? only : lf_form_column(form));
    if (!row)
        return lf_fail(diag, LF_E_INVALID, "the prompt is not UTF-8");
    enum lf_err rc = template_ ? lf_template_render(&out, template_, row, diag)
                               : lf_form_prompt(&out, form, row, &found, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_reset(text);
    return lf_buf_append(text, lf_buf_str(&out), out.len);
}

enum lf_err lf_ask_encode(struct lf_ids *out, const struct lf_model *m,
                          const struct lf_train_settings *s, const char *form, const char *text,
                          size_t n, struct lf_diag *diag)
{
    lf_buf_auto words = {.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = clean(&words, text, n, diag);
    if (rc != LF_OK)
        return rc;
    bool bare = is(form, LF_ASK_PROMPT) || is(form, LF_ASK_TEXT) || is(form, LF_ASK_IDS);
    json_auto_t *given = structure(&words);
    const json_t *turns = bare ? NULL : turns_of(given);
    if (turns)
        return encode_chat(out, m, turns, json_object_get(given, "tools"), diag);
    if (is(form, LF_ASK_MESSAGES)) {
        json_auto_t *one = json_pack("[{s:s, s:o}]", "role", "user", "content",
                                     json_stringn(words.data, words.len));
        return one ? encode_chat(out, m, one, NULL, diag)
                   : lf_fail(diag, LF_E_INVALID, "the prompt is not UTF-8");
    }
    rc = fill(&words, s->template_, form ? form : "", given, diag);
    return rc ?: lf_prompt_encode(out, m, words.data, words.len, diag);
}

/* ---- Beside the weights ---------------------------------------------------------------------- */

#define FORM_FILE "form"

enum lf_err lf_ask_write(const char *dir, const char *form, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, dir, FORM_FILE, diag);
    return rc ?: lf_file_write(path, form, strlen(form), diag);
}

enum lf_err lf_ask_read(char out[LF_NAME_MAX + 1], const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto word = {0};
    enum lf_err rc = lf_path_join(path, dir, FORM_FILE, diag);
    if (rc == LF_OK && lf_file_exists(path))
        rc = lf_file_first_line(&word, path, LF_NAME_MAX, diag);
    if (rc == LF_OK)
        snprintf(out, LF_NAME_MAX + 1, "%s", lf_buf_str(&word));
    return rc;
}
