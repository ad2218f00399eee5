/* Chat templates: opened from a checkpoint, rendered with messages. */
#include "text/chat.h"

#include "core/file.h"
#include "core/json.h"
#include "core/json_reader.h"
#include "core/limits.h"
#include "text/chat/names.h"
#include "text/chat/run.h"

#include <stdlib.h>
#include <string.h>

struct lf_chat {
    struct lf_arena arena; /* the tree and its strings */
    struct lf_jnodes body;
    json_t *tokens; /* bos_token, eos_token and the other named special tokens there are */
};

static enum lf_err chat_new(struct lf_chat **out, const char *source, size_t n, json_t *tokens,
                            struct lf_diag *diag)
{
    struct lf_chat *c = calloc(1, sizeof *c);
    if (!c || !tokens) {
        free(c);
        return lf_no_memory(diag, "a chat template");
    }
    lf_arena_init(&c->arena);
    enum lf_err rc = lf_j_parse(&c->arena, (struct lf_str){source, n}, &lf_j_names, &c->body, diag);
    if (rc != LF_OK) {
        lf_chat_free(c);
        return lf_fail_within(diag, rc, "chat template");
    }
    c->tokens = json_incref(tokens);
    *out = c;
    return LF_OK;
}

enum lf_err lf_chat_parse(struct lf_chat **out, const char *source, size_t n, const char *bos,
                          const char *eos, struct lf_diag *diag)
{
    json_auto_t *tokens = json_object();
    if (bos)
        json_object_set_new(tokens, "bos_token", json_string(bos));
    if (eos)
        json_object_set_new(tokens, "eos_token", json_string(eos));
    return chat_new(out, source, n, tokens, diag);
}

void lf_chat_free(struct lf_chat *c)
{
    if (!c)
        return;
    lf_arena_free(&c->arena);
    json_decref(c->tokens);
    free(c);
}

/* --- opening --- */

/* The special tokens that transformers hands to a template: each a string or {"content": ...}. */
static enum lf_err read_tokens(json_t *tokens, struct lf_str config, struct lf_diag *diag)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && rc == LF_OK; i++) {
        json_auto_t *value = NULL;
        rc = lf_json_reader_value(&value, config, names[i], diag);
        json_t *s = json_is_object(value) ? json_object_get(value, "content") : value;
        if (rc == LF_OK && json_is_string(s))
            json_object_set(tokens, names[i], s);
    }
    return rc;
}

/* "chat_template": a string, or a list of {name, template} of which "default" is taken. */
static const json_t *default_template(const json_t *value)
{
    if (json_is_string(value))
        return value;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_object_get(one, "template");
    }
    return NULL;
}

static enum lf_err open_mapped(struct lf_chat **out, struct lf_str jinja, struct lf_str config,
                               json_t *tokens, struct lf_diag *diag)
{
    json_auto_t *value = NULL;
    enum lf_err rc = read_tokens(tokens, config, diag);
    if (rc == LF_OK && jinja.n == 0)
        rc = lf_json_reader_value(&value, config, "chat_template", diag);
    if (rc != LF_OK)
        return rc;
    if (jinja.n > 0)
        return chat_new(out, jinja.s, jinja.n, tokens, diag);
    if (!value)
        return lf_fail(diag, LF_E_NOT_FOUND, "the checkpoint has no chat template");
    const json_t *chosen = default_template(value);
    if (!json_is_string(chosen))
        return lf_fail(diag, LF_E_UNSUPPORTED, "chat_template has no template named default");
    return chat_new(out, json_string_value(chosen), json_string_length(chosen), tokens, diag);
}

enum lf_err lf_chat_open(struct lf_chat **out, const char *dir, struct lf_diag *diag)
{
    lf_mapping_auto jinja = {0}, config = {0};
    json_auto_t *tokens = json_object();
    enum lf_err rc = lf_file_map_optional(&jinja, dir, "chat_template.jinja", diag);
    rc = rc ?: lf_file_map_optional(&config, dir, "tokenizer_config.json", diag);
    rc = rc ?: open_mapped(out, lf_mapping_text(&jinja), lf_mapping_text(&config), tokens, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", dir);
}

/* --- rendering --- */

static struct lf_jv text(const char *s)
{
    return lf_jv_str((struct lf_str){s, strlen(s)});
}

/* A message's reasoning goes by three names; templates read the first or the second. */
static struct lf_jv alias_reasoning(struct lf_jrun *r, struct lf_jv message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    const struct lf_jv *found = NULL;
    if (message.type != LF_J_DICT)
        return lf_j_fail(r, LF_E_INVALID, "a chat message must be an object");
    for (size_t i = 0; i < 3 && !found; i++) {
        found = lf_jdict_find(r, message.dict, text(names[i]));
        if (found && found->type == LF_J_NONE)
            found = NULL;
    }
    if (!found)
        return message;
    struct lf_jdict *d = lf_jdict_new(r, message.dict->n + 2);
    lf_jdict_put(r, d, text(names[1]), *found);
    for (size_t i = 0; i < message.dict->n; i++)
        lf_jdict_put(r, d, message.dict->v[i].key, message.dict->v[i].value);
    lf_jdict_put(r, d, text(names[0]), *found);
    return (struct lf_jv){.type = LF_J_DICT, .dict = d};
}

static struct lf_jv alias_messages(struct lf_jrun *r, struct lf_jv messages)
{
    if (messages.type != LF_J_LIST)
        return lf_j_fail(r, LF_E_INVALID, "\"messages\" must be a list");
    struct lf_jlist *list = lf_jlist_new(r, messages.list->n);
    for (size_t i = 0; i < messages.list->n && r->rc == LF_OK; i++)
        lf_jlist_add(r, list, alias_reasoning(r, messages.list->v[i]));
    return lf_jv_list(LF_J_LIST, list);
}

static void put_all(struct lf_jrun *r, const json_t *members)
{
    struct lf_jv v = lf_jv_from_json(r, members);
    for (size_t i = 0; r->rc == LF_OK && i < v.dict->n; i++)
        lf_jdict_put(r, r->globals, v.dict->v[i].key, v.dict->v[i].value);
}

/* What the template sees: the special tokens, over them what the caller passes, and the names that
 * transformers always sets. */
static void set_globals(struct lf_jrun *r, const struct lf_chat *c, const json_t *vars,
                        bool add_generation_prompt)
{
    r->globals = lf_jdict_new(r, json_object_size(vars) + 16);
    put_all(r, c->tokens);
    lf_jdict_put(r, r->globals, text("tools"), lf_jv_none());
    lf_jdict_put(r, r->globals, text("documents"), lf_jv_none());
    put_all(r, vars);
    const struct lf_jv *messages = lf_jdict_find(r, r->globals, text("messages"));
    if (messages)
        lf_jdict_put(r, r->globals, text("messages"), alias_messages(r, *messages));
    lf_jdict_put(r, r->globals, text("add_generation_prompt"), lf_jv_bool(add_generation_prompt));
}

enum lf_err lf_chat_render(const struct lf_chat *c, struct lf_buf *out, json_t *vars,
                           bool add_generation_prompt, struct lf_diag *diag)
{
    lf_buf_auto b = {.max = LF_PROMPT_BYTES_MAX};
    struct lf_jrun r = {.diag = diag, .names = &lf_j_names, .out = &b};
    if (!json_is_object(vars))
        return lf_fail(diag, LF_E_INVALID, "a chat template's variables must be an object");
    lf_arena_init(&r.arena);
    set_globals(&r, c, vars, add_generation_prompt);
    lf_j_push_scope(&r, NULL);
    lf_j_run(&r, &c->body);
    if (r.rc == LF_OK && lf_buf_append(out, b.data, b.len) != LF_OK)
        r.rc = lf_fail(diag, out->rc, "no room for the prompt");
    lf_arena_free(&r.arena);
    return r.rc == LF_OK ? r.rc : lf_fail_within(diag, r.rc, "chat template");
}
