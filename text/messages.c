/* Messages made normal. */
#include "text/messages.h"

#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"

#include <stdlib.h>
#include <string.h>

/* Takes members that are null out of v and of what it holds. The depth is bounded: v was parsed. */
static void drop_nulls(json_t *v)
{
    const char *key;
    size_t i;
    void *next;
    json_t *member;
    json_object_foreach_safe(v, next, key, member) {
        if (json_is_null(member))
            json_object_del(v, key);
        else
            drop_nulls(member);
    }
    json_array_foreach(v, i, member)
        drop_nulls(member);
}

/* ShareGPT's words for what templates know. */
static enum lf_err rename_turn(json_t *m, size_t number, struct lf_diag *diag)
{
    static const char *const names[][2] = {{"human", "user"},      {"user", "user"},
                                           {"gpt", "assistant"},   {"chatgpt", "assistant"},
                                           {"bot", "assistant"},   {"assistant", "assistant"},
                                           {"model", "assistant"}, {"system", "system"},
                                           {"tool", "tool"},       {"observation", "tool"}};
    const char *from = json_string_value(json_object_get(m, "from"));
    if (!from || json_object_get(m, "role"))
        return LF_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], from) == 0) {
            json_t *value = json_object_get(m, "value");
            if (json_object_set_new(m, "role", json_string(names[i][1])) != 0 ||
                (value && json_object_set(m, "content", value) != 0))
                return lf_no_memory(diag, "the messages");
            json_object_del(m, "from");
            json_object_del(m, "value");
            return LF_OK;
        }
    return lf_fail(diag, LF_E_INVALID, "message %zu is from \"%.60s\": human, gpt, system or tool",
                   number, from);
}

/* What a message says besides its text, and no template here shows: a call in the form that OpenAI
 * had before tools; that its own text is to be gone on with (Mistral's and Moonshot's words). */
static enum lf_err refuse_members(const json_t *m, size_t number, struct lf_diag *diag)
{
    static const char *const begun[] = {"prefix", "partial"};
    const char *role = json_string_value(json_object_get(m, "role"));
    if (json_object_get(m, "function_call") || (role && strcmp(role, "function") == 0))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "message %zu: \"function_call\" and the role function are of an older form: "
                       "write \"tool_calls\" and the role tool",
                       number);
    for (size_t i = 0; i < sizeof begun / sizeof *begun; i++)
        if (json_is_true(json_object_get(m, begun[i])))
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "message %zu: \"%s\", an answer that is begun, is not done here", number,
                           begun[i]);
    return LF_OK;
}

/* Parts of text are one text, and so is a number; other parts, and what else there is, are none. */
static enum lf_err flatten(json_t *m, size_t number, struct lf_diag *diag)
{
    const json_t *content = json_object_get(m, "content");
    if (json_is_object(content) || json_is_boolean(content))
        return lf_fail(diag, LF_E_INVALID, "\"content\" of message %zu must be a text", number);
    if (json_is_number(content)) {
        char *digits = json_dumps(content, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        json_t *text = digits ? json_string(digits) : NULL;
        free(digits);
        return json_object_set_new(m, "content", text) == 0 ? LF_OK
                                                            : lf_no_memory(diag, "the messages");
    }
    if (!json_is_array(content))
        return LF_OK;
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i), *words = json_object_get(part, "text");
        words = words ? words : part;
        if (!json_is_string(words))
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "message %zu: message parts other than text are not done here", number);
        lf_buf_append(&text, json_string_value(words), json_string_length(words));
    }
    if (text.rc == LF_E_TOO_BIG)
        return lf_fail(diag, text.rc, "message %zu is longer than %u bytes", number,
                       LF_PROMPT_BYTES_MAX);
    if (text.rc != LF_OK ||
        json_object_set_new(m, "content", json_stringn(lf_buf_str(&text), text.len)) != 0)
        return lf_no_memory(diag, "the messages");
    return LF_OK;
}

/* OpenAI's clients write a call's arguments as the text of an object; templates write objects as
 * JSON themselves, and a text once more in quotes. */
static enum lf_err open_arguments(json_t *m, struct lf_diag *diag)
{
    size_t i;
    json_t *call;
    json_array_foreach(json_object_get(m, "tool_calls"), i, call) {
        json_t *f = json_object_get(call, "function"), *at = f ? f : call, *open = NULL;
        const json_t *text = json_object_get(at, "arguments");
        if (json_is_string(text) && json_string_length(text) == 0) {
            if (json_object_set_new(at, "arguments", json_object()) != 0)
                return lf_no_memory(diag, "the messages");
            continue; /* of a tool that takes none */
        }
        if (!json_is_string(text) ||
            lf_json_parse(&open, json_string_value(text), json_string_length(text), NULL) != LF_OK)
            continue;
        if (!json_is_object(open))
            json_decref(open);
        else if (json_object_set_new(at, "arguments", open) != 0)
            return lf_no_memory(diag, "the messages");
    }
    return LF_OK;
}

static enum lf_err normal_turn(json_t *m, size_t number, struct lf_diag *diag)
{
    bool calls = json_array_size(json_object_get(m, "tool_calls")) > 0;
    bool silent = calls && json_is_null(json_object_get(m, "content"));
    drop_nulls(m);
    if (silent && json_object_set_new(m, "content", json_null()) != 0)
        return lf_no_memory(diag, "the messages");
    enum lf_err rc = refuse_members(m, number, diag) ?: open_arguments(m, diag);
    rc = rc ?: rename_turn(m, number, diag) ?: flatten(m, number, diag);
    if (rc != LF_OK)
        return rc;
    if (!json_is_string(json_object_get(m, "role")))
        return lf_fail(diag, LF_E_INVALID, "message %zu has no \"role\"", number);
    if (!json_object_get(m, "content") && !calls)
        return lf_fail(diag, LF_E_INVALID, "message %zu has no \"content\"", number);
    return LF_OK;
}

enum lf_err lf_messages_add(json_t *out, const json_t *turns, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < json_array_size(turns) && rc == LF_OK; i++) {
        const json_t *turn = json_array_get(turns, i);
        size_t number = json_array_size(out) + 1;
        if (!json_is_object(turn))
            return lf_fail(diag, LF_E_INVALID, "message %zu has no \"role\"", number);
        json_t *m = json_deep_copy(turn);
        if (!m || json_array_append_new(out, m) != 0)
            return lf_no_memory(diag, "the messages");
        rc = normal_turn(m, number, diag);
    }
    return rc;
}

enum lf_err lf_tools_normal(json_t **out, const json_t *tools, struct lf_diag *diag)
{
    json_t *list = NULL;
    enum lf_err rc = LF_OK;
    if (json_is_string(tools) && json_string_length(tools) > 0) {
        rc = lf_json_parse(&list, json_string_value(tools), json_string_length(tools), diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "\"tools\"");
    } else if (tools && !json_is_null(tools) && !json_is_string(tools)) {
        list = json_deep_copy(tools);
        if (!list)
            return lf_no_memory(diag, "the messages");
    }
    if (list && !json_is_array(list) && !json_is_null(list))
        rc = lf_fail(diag, LF_E_INVALID, "\"tools\" must be a list");
    drop_nulls(list);
    if (rc == LF_OK && json_array_size(list) > 0)
        *out = json_incref(list);
    else if (rc == LF_OK)
        *out = NULL;
    json_decref(list);
    return rc;
}
