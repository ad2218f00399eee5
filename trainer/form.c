/* Rows in other trainers' forms. */
#include "trainer/form.h"

#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"
#include "text/messages.h"
#include "trainer/ask.h"
#include "trainer/dataset.h"
#include "trainer/limits.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return v && !json_is_null(v);
}

/* It says something: it is neither null nor an empty text or list. */
static bool says(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return has(row, key) && !(json_is_string(v) && json_string_length(v) == 0) &&
           !(json_is_array(v) && json_array_size(v) == 0);
}

static bool is_text(const json_t *v)
{
    return json_is_string(v) || json_is_number(v) || json_is_boolean(v);
}

/* A list of messages. */
static bool is_turns(const json_t *v)
{
    return json_array_size(v) > 0 && json_is_object(json_array_get(v, 0));
}

/* The members of a row that may be what is missed. */
struct guess {
    const char *turns; /* has messages */
    const char *rows;  /* has objects that are none: rows, of a file that is one object */
    const char *alike; /* is written otherwise: "Completion" */
};

static struct guess guess_at(const json_t *row, const char *name)
{
    struct guess g = {NULL, NULL, NULL};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value) {
        const json_t *first = is_turns(value) ? json_array_get(value, 0) : NULL;
        if (json_object_get(first, "role") || json_object_get(first, "from"))
            g.turns = key;
        else if (first)
            g.rows = key;
        if (strcasecmp(key, name) == 0)
            g.alike = key;
    }
    return g;
}

/* The reason for a member that is not there, with those that are. */
static enum lf_err missing(const json_t *row, const char *name, struct lf_diag *diag)
{
    char list[LF_MEMBERS_BYTES];
    struct guess g = guess_at(row, name);
    if ((has(row, "chosen") && has(row, "rejected")) || has(row, "preferred_output"))
        return lf_fail(
            diag, LF_E_INVALID,
            "no \"%s\" (the row has: %s); rows of preferences are for \"loss\": \"dpo\", "
            "\"orpo\" or \"kto\" in config.json",
            name, lf_row_members(list, row));
    if (g.turns)
        return lf_fail(diag, LF_E_INVALID,
                       "no \"%s\" (the row has: %s); where \"%.60s\" are messages, config.json "
                       "says so: \"columns\": {\"messages\": \"%.60s\"}",
                       name, lf_row_members(list, row), g.turns, g.turns);
    if (g.alike)
        return lf_fail(diag, LF_E_INVALID,
                       "no \"%s\" (the row has: %s); config.json names columns that are called "
                       "otherwise: \"columns\": {\"%s\": \"%.60s\"}",
                       name, lf_row_members(list, row), name, g.alike);
    if (g.rows)
        return lf_fail(diag, LF_E_INVALID,
                       "no \"%s\" (the row has: %s); where \"%.60s\" are the rows, give that list "
                       "alone",
                       name, lf_row_members(list, row), g.rows);
    return lf_fail(diag, LF_E_INVALID,
                   "no \"%s\" (the row has: %s); \"template\" and \"completion\" of config.json "
                   "make them of columns",
                   name, lf_row_members(list, row));
}

enum lf_err lf_row_text(const json_t *row, const char *name, struct lf_diag *diag)
{
    const json_t *v = json_object_get(row, name);
    if (!v)
        return missing(row, name, diag);
    if (!is_text(v))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a string%s", name,
                       json_is_null(v) ? ", not null" : "");
    return LF_OK;
}

/* ---- Columns --------------------------------------------------------------------------------- */

/* {"prompt": "question"} gives the row's "question" as its "prompt". */
enum lf_err lf_row_columns(json_t *row, const char *columns, struct lf_diag *diag)
{
    json_auto_t *map = NULL, *mapped = json_object();
    const char *key;
    json_t *name;
    enum lf_err rc = lf_json_parse(&map, columns, strlen(columns), diag);
    if (rc == LF_OK && !mapped)
        rc = lf_no_memory(diag, "a row");
    json_object_foreach(map, key, name) {
        json_t *v = json_object_get(row, json_string_value(name));
        if (!v && rc == LF_OK)
            rc = missing(row, json_string_value(name), diag);
        if (rc == LF_OK && json_object_set(mapped, key, v) != 0)
            rc = lf_no_memory(diag, "a row");
    }
    if (rc == LF_OK && json_object_update(row, mapped) != 0)
        rc = lf_no_memory(diag, "a row");
    return rc;
}

/* Lists that a column of texts has as JSON are those lists. */
static enum lf_err open_lists(json_t *row, struct lf_diag *diag)
{
    static const char *const keys[] = {"messages", "conversations", "conversation"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *text = json_object_get(row, keys[i]);
        json_t *list = NULL;
        if (json_is_string(text) && json_string_value(text)[0] == '[' &&
            lf_json_parse(&list, json_string_value(text), json_string_length(text), NULL) ==
                LF_OK &&
            json_object_set_new(row, keys[i], list) != 0)
            return lf_no_memory(diag, "a row");
    }
    return LF_OK;
}

/* Null is absent: for the members that choose a form or say what is learnt. Other columns are the
 * template's, where null is an empty text. */
static void drop_nulls(json_t *row)
{
    static const char *const keys[] = {"messages",
                                       "conversations",
                                       "text",
                                       "input_ids",
                                       "labels",
                                       "attention_mask",
                                       "completion_mask",
                                       "assistant_masks",
                                       "loss_mask",
                                       "assistant_mask",
                                       "position_ids",
                                       "tools",
                                       "conversation",
                                       "chat_template_kwargs"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_null(json_object_get(row, keys[i])))
            json_object_del(row, keys[i]);
}

/* Sets prompt or completion to what a template makes of the row. */
static enum lf_err render(json_t *out, const char *key, const char *template_, const json_t *row,
                          size_t bytes_max, struct lf_diag *diag)
{
    lf_buf_auto text = {.max = bytes_max};
    enum lf_err rc = lf_template_render(&text, template_, row, diag);
    if (rc == LF_OK &&
        json_object_set_new(out, key, json_stringn(lf_buf_str(&text), text.len)) != 0)
        rc = lf_no_memory(diag, "a row");
    return rc;
}

/* Of rows of columns that are known by their names: what makes a prompt of them where config.json
 * has no template. The first two are Stanford's, for its data set Alpaca. */
static const struct columns_form {
    const char *name;   /* how it is asked */
    const char *column; /* what is asked; in the templates {question} */
    const char *context[3], *answer[6];
    const char *bare, *full; /* without, and with a context, in the templates {context} */
    bool spaced;             /* a blank before the answer */
} forms[] = {
    {"instruction",
     "instruction",
     {"input", "context"},
     {"output", "response", "completion", "answer"},
     "Below is an instruction that describes a task. Write a response that appropriately completes "
     "the request.\n\n### Instruction:\n{question}\n\n### Response:",
     "Below is an instruction that describes a task, paired with an input that provides further "
     "context. Write a response that appropriately completes the request.\n\n### "
     "Instruction:\n{question}\n\n### Input:\n{context}\n\n### Response:"},
    {"question",
     "question",
     {"context", "input"},
     {"answer", "response", "output", "completion"},
     "Question: {question}\nAnswer:",
     "{context}\n\nQuestion: {question}\nAnswer:",
     true},
    {LF_ASK_PROMPT, "prompt", {NULL}, {"response", "output", "answer"}, "{question}"},
    {LF_ASK_PROMPT, "query", {NULL}, {"response", "answer", "output"}, "{question}"},
    {LF_ASK_PROMPT, "problem", {NULL}, {"solution", "answer"}, "{question}"},
    {LF_ASK_PROMPT, "input", {NULL}, {"output", "response", "answer", "target"}, "{question}"},
    {LF_ASK_PROMPT, "source", {NULL}, {"target"}, "{question}"},
};
#define N_FORMS (sizeof forms / sizeof *forms)

/* The first of the row's members among `names` that says something, or else that is there. */
static const char *first_of(const json_t *row, const char *const *names)
{
    const char *there = NULL;
    for (; *names; names++) {
        if (says(row, *names))
            return *names;
        there = !there && has(row, *names) ? *names : there;
    }
    return there;
}

/* What the columns say besides has no place in their prompts: of a prompt that stands in the row as
 * it is, what would have come before it; choices are in it. */
static enum lf_err refuse_others(const json_t *row, bool ready, struct lf_diag *diag)
{
    static const char *const others[] = {"system",  "system_prompt", "history",
                                         "choices", "options",       "candidates"};
    for (size_t i = 0; i < (ready ? 3 : sizeof others / sizeof *others); i++)
        if (says(row, others[i]))
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "\"%s\" has no place in the prompt that is made of such rows: set "
                           "\"template\" in config.json, or write \"messages\"",
                           others[i]);
    return LF_OK;
}

static enum lf_err form_prompt(struct lf_buf *out, const struct columns_form *f, const json_t *row,
                               struct lf_diag *diag)
{
    const char *context = first_of(row, f->context);
    json_auto_t *vars = json_object();
    bool full = context && says(row, context);
    enum lf_err rc = lf_row_text(row, f->column, diag);
    rc = rc ?: full ? lf_row_text(row, context, diag) : LF_OK;
    if (rc != LF_OK)
        return rc;
    if (!vars || json_object_set(vars, "question", json_object_get(row, f->column)) != 0 ||
        (full && json_object_set(vars, "context", json_object_get(row, context)) != 0))
        return lf_no_memory(diag, "a row");
    return lf_template_render(out, full ? f->full : f->bare, vars, diag);
}

static enum lf_err fill_form(json_t *row, const struct columns_form *f, struct lf_diag *diag)
{
    const char *answer = first_of(row, f->answer);
    lf_buf_auto prompt = {.max = LF_PROMPT_BYTES_MAX};
    json_auto_t *vars = json_object();
    enum lf_err rc = refuse_others(row, false, diag) ?: form_prompt(&prompt, f, row, diag);
    rc = rc ?: lf_row_text(row, answer, diag);
    if (rc == LF_OK &&
        (!vars || json_object_set(vars, "answer", json_object_get(row, answer)) != 0))
        rc = lf_no_memory(diag, "a row");
    rc = rc
             ?: render(row, "completion",
                       f->spaced && says(vars, "answer") ? " {answer}" : "{answer}", vars,
                       LF_DATASET_LINE_MAX, diag);
    if (rc == LF_OK &&
        json_object_set_new(row, "prompt", json_stringn(lf_buf_str(&prompt), prompt.len)) != 0)
        rc = lf_no_memory(diag, "a row");
    return rc;
}

enum lf_err lf_form_prompt(struct lf_buf *out, const char *form, const json_t *row, bool *found,
                           struct lf_diag *diag)
{
    for (size_t i = 0; i < N_FORMS; i++)
        if (strcmp(forms[i].name, form) == 0 && forms[i].full) {
            *found = true;
            return form_prompt(out, &forms[i], row, diag);
        }
    *found = false;
    return LF_OK;
}

const char *lf_form_name(const char *name)
{
    static const char *const others[] = {LF_ASK_PROMPT, LF_ASK_MESSAGES, LF_ASK_IDS, LF_ASK_TEXT};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i], name) == 0)
            return others[i];
    for (size_t i = 0; i < N_FORMS; i++)
        if (strcmp(forms[i].name, name) == 0)
            return forms[i].name;
    return NULL;
}

const char *lf_form_column(const char *form)
{
    for (size_t i = 0; i < N_FORMS; i++)
        if (strcmp(forms[i].name, form) == 0 && forms[i].full)
            return forms[i].column;
    return NULL;
}

bool lf_row_is_asked(const json_t *row)
{
    bool asked = has(row, "prompt");
    for (size_t i = 0; i < N_FORMS; i++)
        for (const char *const *a = forms[i].answer; *a; a++)
            asked = asked || (has(row, forms[i].column) && strcmp(*a, "answer") == 0);
    return asked;
}

/* A row of named columns, or {"text"}; untouched where it is neither. */
static enum lf_err columns_known(json_t *row, const char **form, struct lf_diag *diag)
{
    if (has(row, "prompt") && has(row, "completion"))
        return refuse_others(row, true, diag);
    for (size_t i = 0; i < N_FORMS; i++)
        if (has(row, forms[i].column) && first_of(row, forms[i].answer)) {
            *form = forms[i].name;
            return fill_form(row, &forms[i], diag);
        }
    json_t *text = json_object_get(row, "text");
    if (!json_is_string(text) || has(row, "prompt") || has(row, "completion"))
        return LF_OK;
    if (has(row, "label") || has(row, "labels"))
        return lf_fail(diag, LF_E_INVALID,
                       "a \"text\" with a label: say in config.json what is asked and learnt: "
                       "\"template\": \"{text}\\n\", \"completion\": \"{label}\"");
    *form = LF_ASK_TEXT;
    if (json_object_set_new(row, "prompt", json_string("")) ||
        json_object_set(row, "completion", text))
        return lf_no_memory(diag, "a row");
    return LF_OK;
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* A text beside the turns is the system's message, where they begin with none. */
static enum lf_err add_system(json_t *out, const json_t *row, const json_t *turns,
                              struct lf_diag *diag)
{
    static const char *const names[] = {"system", "system_prompt"};
    const json_t *first = json_array_get(turns, 0);
    const char *role = lf_json_text_of(first, "role"), *from = lf_json_text_of(first, "from");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *text = json_object_get(row, names[i]);
        if (!says(row, names[i]))
            continue;
        if (!json_is_string(text))
            return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a text", names[i]);
        if (strcmp(role, "system") == 0 || strcmp(from, "system") == 0)
            return lf_fail(diag, LF_E_INVALID, "\"%s\" beside turns that begin with a system's",
                           names[i]);
        json_t *m = json_pack("{s:s, s:O}", "role", "system", "content", text);
        return m && json_array_append_new(out, m) == 0 ? LF_OK : lf_no_memory(diag, "a row");
    }
    return LF_OK;
}

/* Messages from `first` on are not learnt; that they are said to be context is no wish of the
 * row's where all is learnt. */
static enum lf_err make_context(json_t *messages, size_t first, const struct lf_train_settings *s,
                                struct lf_diag *diag)
{
    if (s->train_on == LF_TRAIN_ON_ALL)
        return LF_OK;
    for (size_t i = first; i < json_array_size(messages); i++)
        if (json_object_set_new(json_array_get(messages, i), "weight", json_integer(0)) != 0)
            return lf_no_memory(diag, "a row");
    return LF_OK;
}

/* A text behind a prompt of messages is the assistant's turn; NULL: there is none. */
static json_t *answer_turn(const json_t *row)
{
    json_t *text = json_object_get(row, "completion");
    return is_turns(json_object_get(row, "prompt")) && json_is_string(text)
               ? json_pack("[{s:s, s:O}]", "role", "assistant", "content", text)
               : NULL;
}

/* What stands for "messages" in the row becomes it. */
static enum lf_err normal_turns(json_t *row, const struct lf_train_settings *s,
                                struct lf_diag *diag)
{
    const json_t *prompt = json_object_get(row, "prompt");
    json_auto_t *answer = answer_turn(row);
    const json_t *completion = answer ? answer : json_object_get(row, "completion");
    const json_t *turns = json_object_get(row, "messages");
    bool parted = !turns && is_turns(prompt) && is_turns(completion);
    static const char *const theirs[] = {"conversations", "conversation"};
    for (size_t i = 0; !turns && !parted && i < sizeof theirs / sizeof *theirs; i++)
        if (is_turns(json_object_get(row, theirs[i])))
            turns = json_object_get(row, theirs[i]);
    if (!parted && !json_is_array(turns))
        return LF_OK;
    json_auto_t *all = json_array(), *tools = NULL;
    enum lf_err rc = all ? LF_OK : lf_no_memory(diag, "a row");
    rc = rc ?: add_system(all, row, parted ? prompt : turns, diag);
    size_t first = json_array_size(all);
    if (rc == LF_OK && parted)
        rc = lf_messages_add(all, prompt, diag)
                 ?: make_context(all, first, s, diag) ?: lf_messages_add(all, completion, diag);
    else
        rc = rc ?: lf_messages_add(all, turns, diag);
    rc = rc ?: lf_tools_normal(&tools, json_object_get(row, "tools"), diag);
    if (rc == LF_OK && says(row, "functions"))
        rc = lf_fail(diag, LF_E_UNSUPPORTED,
                     "\"functions\" are of an older form: write them as \"tools\"");
    json_object_del(row, "tools");
    if (rc == LF_OK && (json_object_set(row, "messages", all) != 0 ||
                        (tools && json_object_set(row, "tools", tools) != 0)))
        rc = lf_no_memory(diag, "a row");
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

static bool names_weight(const char *template_)
{
    return template_ && strstr(template_, "{weight}");
}

enum lf_err lf_row_weight(double *out, const json_t *row, const struct lf_train_settings *s,
                          struct lf_diag *diag)
{
    const json_t *w = json_object_get(row, "weight");
    const char *text = json_string_value(w);
    char *end = "";
    *out = 1;
    if (names_weight(s->template_) || names_weight(s->completion) || !(text || json_is_number(w)))
        return LF_OK;
    double x = text ? strtod(text, &end) : json_number_value(w);
    if (*end || end == text) /* a column of other things */
        return LF_OK;
    if (x != 0 && !(x >= LF_ROW_WEIGHT_MIN && x <= LF_ROW_WEIGHT_MAX))
        return lf_fail(diag, LF_E_INVALID, "a row's \"weight\" must be 0, or between %g and %g",
                       LF_ROW_WEIGHT_MIN, LF_ROW_WEIGHT_MAX);
    if (x != 1 && s->loss != LF_LOSS_SUPERVISED)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "a row's \"weight\" is for \"loss\": \"supervised\"; leave the row out, or "
                       "rename the column");
    *out = x;
    return LF_OK;
}

/* Also as tables have it. */
static bool is_false(const json_t *v)
{
    const char *text = json_string_value(v);
    return json_is_false(v) || (text && strcasecmp(text, "false") == 0);
}

/* What a row says besides, where no template of config.json chooses what counts. */
static enum lf_err refuse_unlearnt(const json_t *row, struct lf_diag *diag)
{
    static const char *const media[] = {"image", "images", "video", "videos", "audio", "audios"};
    for (size_t i = 0; i < sizeof media / sizeof *media; i++)
        if (says(row, media[i]))
            return lf_fail(diag, LF_E_UNSUPPORTED, "\"%s\" is not done here: texts alone are",
                           media[i]);
    if (is_false(json_object_get(row, "label")) && has(row, "prompt") && has(row, "completion"))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"label\" false says that the completion is not wanted: such rows are for "
                       "\"loss\": \"kto\" in config.json");
    return LF_OK;
}

/* ---- All ------------------------------------------------------------------------------------- */

/* Where config.json says what the prompt or the completion is made of. */
static enum lf_err by_templates(json_t *out, const json_t *row, const struct lf_train_settings *s,
                                struct lf_diag *diag)
{
    static const char *const turns[] = {"messages", "conversations", "conversation"};
    enum lf_err rc = LF_OK;
    if (s->template_)
        rc = render(out, "prompt", s->template_, row, LF_PROMPT_BYTES_MAX, diag);
    if (rc == LF_OK && s->completion)
        rc = render(out, "completion", s->completion, row, LF_DATASET_LINE_MAX, diag);
    for (size_t i = 0; i < sizeof turns / sizeof *turns && rc == LF_OK; i++)
        json_object_del(out, turns[i]);
    json_object_del(out, "input_ids");
    return rc;
}

enum lf_err lf_row_normal(json_t **out, const char **form, const json_t *row,
                          const struct lf_train_settings *s, struct lf_diag *diag)
{
    if (!json_is_object(row))
        return lf_fail(diag, LF_E_INVALID, "a row must be an object {...}");
    json_auto_t *n = lf_json_copy(row);
    json_auto_t *columns = NULL;
    enum lf_err rc = n ? LF_OK : lf_no_memory(diag, "a row");
    if (rc == LF_OK && s->columns)
        rc = lf_row_columns(n, s->columns, diag);
    if (rc == LF_OK && !(columns = lf_json_copy(n)))
        rc = lf_no_memory(diag, "a row");
    if (rc != LF_OK)
        return rc;
    drop_nulls(n);
    rc = open_lists(n, diag);
    if (rc != LF_OK)
        return rc;
    bool made = s->completion || (s->template_ && !has(n, "messages") && !has(n, "input_ids"));
    double weight;
    rc = lf_row_weight(&weight, n, s, diag);
    rc = rc ?: made ? LF_OK : refuse_unlearnt(n, diag);
    rc = rc ?: made ? by_templates(n, columns, s, diag) : normal_turns(n, s, diag);
    *form = json_object_get(n, "input_ids")  ? LF_ASK_IDS
            : json_object_get(n, "messages") ? LF_ASK_MESSAGES
                                             : LF_ASK_PROMPT;
    if (rc == LF_OK && !made && strcmp(*form, LF_ASK_PROMPT) == 0)
        rc = columns_known(n, form, diag);
    if (rc == LF_OK)
        *out = json_incref(n);
    return rc;
}
