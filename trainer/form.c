/* Rows in other trainers' forms. */
#include "trainer/form.h"

#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"

#include <stdint.h>
#include <string.h>

static enum lf_err no_memory(struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a row");
}

/* Null is absent: for the members that choose a form or say what is learnt. Other columns are the
 * template's, where null is an empty text. */
static void drop_nulls(json_t *row)
{
    static const char *const keys[] = {"messages",        "conversations",   "text",
                                       "input_ids",       "labels",          "attention_mask",
                                       "completion_mask", "assistant_masks", "loss_mask",
                                       "assistant_mask",  "position_ids",    "tools"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_null(json_object_get(row, keys[i])))
            json_object_del(row, keys[i]);
}

/* In a message null is absent, too; a turn that calls tools may say that it has no content. */
static void drop_turn_nulls(json_t *m)
{
    const char *key;
    json_t *v;
    void *next;
    bool calls = json_array_size(json_object_get(m, "tool_calls")) > 0;
    json_object_foreach_safe(m, next, key,
                             v) if (json_is_null(v) && !(calls && strcmp(key, "content") == 0))
        json_object_del(m, key);
}

static bool has(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return v && !json_is_null(v);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static bool is_turns(const json_t *v)
{
    return json_array_size(v) > 0 && json_is_object(json_array_get(v, 0));
}

/* "from" and "value" under the names that templates know. */
static enum lf_err rename_turn(json_t *m, size_t number, struct lf_diag *diag)
{
    static const char *const names[][2] = {
        {"human", "user"},        {"user", "user"},     {"gpt", "assistant"},
        {"chatgpt", "assistant"}, {"bot", "assistant"}, {"assistant", "assistant"},
        {"system", "system"},     {"tool", "tool"},     {"observation", "tool"}};
    const char *from = json_string_value(json_object_get(m, "from"));
    if (!from)
        return LF_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], from) == 0) {
            json_t *value = json_object_get(m, "value");
            if (json_object_set_new(m, "role", json_string(names[i][1])) != 0 ||
                (value && json_object_set(m, "content", value) != 0))
                return no_memory(diag);
            json_object_del(m, "from");
            json_object_del(m, "value");
            return LF_OK;
        }
    return lf_fail(diag, LF_E_INVALID, "message %zu is from \"%.60s\": human, gpt, system or tool",
                   number, from);
}

/* Parts of text are one text; other parts, and objects, cannot be learnt. */
static enum lf_err flatten(json_t *m, size_t number, struct lf_diag *diag)
{
    const json_t *content = json_object_get(m, "content");
    if (json_is_object(content))
        return lf_fail(diag, LF_E_INVALID, "\"content\" of message %zu must be a text", number);
    if (!json_is_array(content))
        return LF_OK;
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i), *words = json_object_get(part, "text");
        words = words ? words : part;
        if (!json_is_string(words))
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "message %zu has parts other than text, which are not done here",
                           number);
        lf_buf_append(&text, json_string_value(words), json_string_length(words));
    }
    if (text.rc != LF_OK ||
        json_object_set_new(m, "content", json_stringn(text.data ? text.data : "", text.len)) != 0)
        return no_memory(diag);
    return LF_OK;
}

/* Appends normal copies of `turns`; context: they are not learnt. */
static enum lf_err add_turns(json_t *out, const json_t *turns, bool context, struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(turns); i++) {
        const json_t *turn = json_array_get(turns, i);
        size_t number = json_array_size(out) + 1;
        if (!json_is_object(turn))
            return lf_fail(diag, LF_E_INVALID, "message %zu has no \"role\"", number);
        json_t *m = lf_json_copy(turn);
        if (!m || json_array_append_new(out, m) != 0)
            return no_memory(diag);
        drop_turn_nulls(m);
        enum lf_err rc = rename_turn(m, number, diag) ?: flatten(m, number, diag);
        if (rc == LF_OK && context && json_object_set_new(m, "weight", json_integer(0)) != 0)
            rc = no_memory(diag);
        if (rc != LF_OK)
            return rc;
    }
    return LF_OK;
}

/* What stands for "messages" in the row becomes it. */
static enum lf_err normal_turns(json_t *row, struct lf_diag *diag)
{
    const json_t *prompt = json_object_get(row, "prompt");
    const json_t *completion = json_object_get(row, "completion");
    const json_t *turns = json_object_get(row, "messages");
    bool parted = !turns && is_turns(prompt) && is_turns(completion);
    if (!turns && !parted && is_turns(json_object_get(row, "conversations")))
        turns = json_object_get(row, "conversations");
    if (!parted && !json_is_array(turns))
        return LF_OK;
    json_auto_t *all = json_array();
    enum lf_err rc = all ? LF_OK : no_memory(diag);
    if (rc == LF_OK && parted)
        rc = add_turns(all, prompt, true, diag) ?: add_turns(all, completion, false, diag);
    else
        rc = rc ?: add_turns(all, turns, false, diag);
    if (rc == LF_OK && json_object_set(row, "messages", all) != 0)
        rc = no_memory(diag);
    return rc;
}

/* ---- Weights --------------------------------------------------------------------------------- */

enum lf_err lf_turn_check(const json_t *message, size_t number, struct lf_diag *diag)
{
    static const char *const flags[] = {"train", "training"};
    const json_t *w = json_object_get(message, "weight");
    if (w && (!json_is_number(w) || (json_number_value(w) != 0 && json_number_value(w) != 1)))
        return lf_fail(diag, LF_E_INVALID, "\"weight\" of message %zu must be 0 or 1", number);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const json_t *v = json_object_get(message, flags[i]);
        if (v && !json_is_boolean(v))
            return lf_fail(diag, LF_E_INVALID, "\"%s\" of message %zu must be true or false",
                           flags[i], number);
    }
    return LF_OK;
}

bool lf_turn_is_learnt(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *w = json_object_get(message, "weight");
    return role && strcmp(role, "assistant") == 0 && !(w && json_number_value(w) == 0) &&
           !json_is_false(json_object_get(message, "train")) &&
           !json_is_false(json_object_get(message, "training"));
}

/* A row counts or is left out; a column of that name is the template's. */
static enum lf_err check_weight(const json_t *row, const char *template_, struct lf_diag *diag)
{
    const json_t *w = json_object_get(row, "weight");
    if (!json_is_number(w) || json_number_value(w) == 1 ||
        (template_ && strstr(template_, "{weight}")))
        return LF_OK;
    return lf_fail(diag, LF_E_UNSUPPORTED,
                   "a row's \"weight\" other than 1 is not done here: leave the row out, or rename "
                   "the column");
}

enum lf_err lf_row_normal(json_t **out, const json_t *row, const char *template_,
                          struct lf_diag *diag)
{
    if (!json_is_object(row))
        return lf_fail(diag, LF_E_INVALID, "a row must be an object {...}");
    json_auto_t *n = lf_json_copy(row);
    if (!n)
        return no_memory(diag);
    drop_nulls(n);
    enum lf_err rc = check_weight(n, template_, diag) ?: normal_turns(n, diag);
    json_t *text = json_object_get(n, "text");
    bool bare = json_is_string(text) && !template_ && !has(n, "prompt") && !has(n, "completion") &&
                !has(n, "messages") && !has(n, "input_ids");
    if (rc == LF_OK && bare &&
        (json_object_set_new(n, "prompt", json_string("")) ||
         json_object_set(n, "completion", text)))
        rc = no_memory(diag);
    if (rc == LF_OK)
        *out = json_incref(n);
    return rc;
}
