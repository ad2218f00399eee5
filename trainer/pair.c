/* Rows of preferences. */
#include "trainer/pair.h"

#include "core/json.h"
#include "trainer/dataset.h"
#include "trainer/form.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- The prompt that both begin with --------------------------------------------------------- */

static enum lf_err nothing_alike(struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_INVALID,
                   "no \"prompt\", and \"chosen\" and \"rejected\" begin with nothing alike that "
                   "could be one");
}

/* Bytes of the words that both texts begin with, without a blank behind them. */
static size_t common_words(const char *a, const char *b)
{
    size_t n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    while (n > 0 && !strchr(" \t\r\n", a[n - 1]))
        n--;
    return n > 0 && a[n - 1] == ' ' ? n - 1 : n;
}

static enum lf_err part_texts(json_t *row, struct lf_diag *diag)
{
    const char *chosen = json_string_value(json_object_get(row, "chosen"));
    const char *rejected = json_string_value(json_object_get(row, "rejected"));
    size_t n = common_words(chosen, rejected);
    if (n == 0)
        return nothing_alike(diag);
    json_t *prompt = json_stringn(chosen, n), *c = json_string(chosen + n);
    json_t *r = json_string(rejected + n);
    bool failed = json_object_set_new(row, "prompt", prompt) ||
                  json_object_set_new(row, "rejected", r) || json_object_set_new(row, "chosen", c);
    return failed ? lf_no_memory(diag, "a row") : LF_OK;
}

/* Appends messages [from, to) of a list. */
static bool append(json_t *out, const json_t *list, size_t from, size_t to)
{
    bool ok = out != NULL;
    for (size_t i = from; i < to && ok; i++)
        ok = json_array_append(out, json_array_get(list, i)) == 0;
    return ok;
}

static enum lf_err part_messages(json_t *row, struct lf_diag *diag)
{
    const json_t *chosen = json_object_get(row, "chosen");
    const json_t *rejected = json_object_get(row, "rejected");
    size_t n = 0, n_c = json_array_size(chosen), n_r = json_array_size(rejected);
    while (n < n_c && n < n_r && json_equal(json_array_get(chosen, n), json_array_get(rejected, n)))
        n++;
    if (n == n_c && n == n_r && n > 0) /* alike in all: their last turns are what is compared */
        n--;
    if (n == 0)
        return nothing_alike(diag);
    if (n == n_c || n == n_r)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" has no message after those that both begin with",
                       n == n_c ? "chosen" : "rejected");
    json_auto_t *prompt = json_array(), *c = json_array(), *r = json_array();
    bool ok = append(prompt, chosen, 0, n) && append(c, chosen, n, n_c) &&
              append(r, rejected, n, n_r) && json_object_set(row, "prompt", prompt) == 0 &&
              json_object_set(row, "chosen", c) == 0 && json_object_set(row, "rejected", r) == 0;
    return ok ? LF_OK : lf_no_memory(diag, "a row");
}

/* ---- Forms ----------------------------------------------------------------------------------- */

/* Null is absent, as tables have it of columns that a row does not use. */
static void drop_nulls(json_t *row)
{
    static const char *const names[] = {"prompt", "chosen", "rejected", "completion", "label"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_is_null(json_object_get(row, names[i])))
            json_object_del(row, names[i]);
}

/* OpenAI's members under the names that the others have. */
static enum lf_err normal_names(json_t *row, struct lf_diag *diag)
{
    static const char *const names[][2] = {{"preferred_output", "chosen"},
                                           {"non_preferred_output", "rejected"}};
    const json_t *input = json_object_get(row, "input");
    json_t *messages = json_object_get(input, "messages"), *tools = json_object_get(input, "tools");
    bool ok = true;
    if (!json_object_get(row, names[0][0]) || !messages)
        return LF_OK;
    for (size_t i = 0; i < 2; i++) {
        json_t *list = json_object_get(row, names[i][0]);
        ok = ok && (!list || json_object_set(row, names[i][1], list) == 0);
    }
    ok = ok && json_object_set(row, "prompt", messages) == 0 &&
         (!tools || json_object_set(row, "tools", tools) == 0) &&
         json_object_del(row, "input") == 0;
    return ok ? LF_OK : lf_no_memory(diag, "a row");
}

/* A text beside a prompt of messages is the assistant's answer. */
static enum lf_err as_message(json_t *row, const char *name, struct lf_diag *diag)
{
    json_t *text = json_object_get(row, name);
    if (!json_is_array(json_object_get(row, "prompt")) || !json_is_string(text))
        return LF_OK;
    json_t *list = json_pack("[{s:s, s:O}]", "role", "assistant", "content", text);
    return list && json_object_set_new(row, name, list) == 0 ? LF_OK : lf_no_memory(diag, "a row");
}

/* Both completions are there, and of one kind. */
static enum lf_err check_both(const json_t *row, struct lf_diag *diag)
{
    static const char *const names[] = {"chosen", "rejected"};
    int lists = 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *v = json_object_get(row, names[i]);
        char list[LF_MEMBERS_BYTES];
        if (!v)
            return lf_fail(diag, LF_E_INVALID,
                           "no \"%s\" (the row has: %s); where it has another name, \"columns\" of "
                           "config.json says so",
                           names[i], lf_row_members(list, row));
        if (!json_is_array(v)) {
            enum lf_err rc = lf_row_text(row, names[i], diag);
            if (rc != LF_OK)
                return rc;
        } else if (json_array_size(v) == 0) {
            return lf_fail(diag, LF_E_INVALID, "\"%s\" has no message", names[i]);
        } else {
            lists++;
        }
    }
    if (lists == 1)
        return lf_fail(diag, LF_E_INVALID,
                       "\"chosen\" and \"rejected\" must both be texts, or both lists of messages");
    return LF_OK;
}

/* The prompt of a row that names none. */
static enum lf_err find_prompt(json_t *row, const struct lf_train_settings *s, struct lf_diag *diag)
{
    const json_t *prompt = json_object_get(row, "prompt");
    if (json_is_array(json_object_get(row, "chosen")))
        return json_is_array(prompt) ? LF_OK : part_messages(row, diag);
    if (s->template_ || lf_row_is_asked(row))
        return LF_OK;
    if (!json_is_string(json_object_get(row, "chosen")) ||
        !json_is_string(json_object_get(row, "rejected")))
        return nothing_alike(diag);
    return part_texts(row, diag);
}

/* A label as tools write it: true, 1, "True". */
static enum lf_err read_label(bool *wanted, const json_t *v, struct lf_diag *diag)
{
    const char *text = json_string_value(v);
    double x = json_number_value(v);
    *wanted = json_is_true(v) || x == 1 || (text && strcasecmp(text, "true") == 0);
    if (*wanted || json_is_false(v) || (json_is_number(v) && x == 0) ||
        (text && strcasecmp(text, "false") == 0))
        return LF_OK;
    return lf_fail(diag, LF_E_INVALID, "\"label\" must be true (wanted) or false");
}

/* The row with the named completion, without what it says of others. Where there is no prompt yet,
 * form.c makes one of a row that has an answer. */
static enum lf_err take_row(struct lf_pair *p, json_t *row, const char *completion,
                            struct lf_diag *diag)
{
    static const char *const others[] = {"chosen", "rejected", "preferred_output",
                                         "answer", "response", "non_preferred_output",
                                         "output", "target",   "solution"};
    const char *key = p->s.template_ || json_object_get(row, "prompt") ? "completion" : "answer";
    json_t *mine = p->row[p->n++] = json_copy(row);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        json_object_del(mine, others[i]);
    if (!mine || json_object_set(mine, key, json_object_get(row, completion)) != 0)
        return lf_no_memory(diag, "a row");
    return LF_OK;
}

/* ---- Ready-made ids -------------------------------------------------------------------------- */

/* Ids under the name that TRL gives them now, or gave them once. */
static const json_t *ids_of(const json_t *row, const char *what)
{
    char now[32], once[32];
    snprintf(now, sizeof now, "%s_ids", what);
    snprintf(once, sizeof once, "%s_input_ids", what);
    const json_t *ids = json_object_get(row, now);
    return ids ? ids : json_object_get(row, once);
}

/* {"input_ids", "labels"} of a prompt and a completion. */
static enum lf_err take_ids(struct lf_pair *p, const json_t *row, const char *completion,
                            struct lf_diag *diag)
{
    const json_t *before = ids_of(row, "prompt"), *learnt = ids_of(row, completion);
    if (!json_is_array(before) || !json_is_array(learnt))
        return lf_fail(diag, LF_E_INVALID, "\"%s_ids\" must be a list of integers",
                       json_is_array(before) ? completion : "prompt");
    json_auto_t *ids = json_array(), *labels = json_array();
    bool ok = ids && labels && json_array_extend(ids, (json_t *)(uintptr_t)before) == 0;
    for (size_t i = 0; i < json_array_size(before) && ok; i++)
        ok = json_array_append_new(labels, json_integer(LF_NO_LOSS)) == 0;
    ok = ok && json_array_extend(ids, (json_t *)(uintptr_t)learnt) == 0 &&
         json_array_extend(labels, (json_t *)(uintptr_t)learnt) == 0;
    json_t *mine = ok ? json_pack("{s:O, s:O}", "input_ids", ids, "labels", labels) : NULL;
    if (!mine)
        return lf_no_memory(diag, "a row");
    p->row[p->n++] = mine;
    return LF_OK;
}

/* ---- All ------------------------------------------------------------------------------------- */

static enum lf_err split_pair(struct lf_pair *out, json_t *row, struct lf_diag *diag)
{
    if (ids_of(row, "chosen"))
        return take_ids(out, row, "chosen", diag) ?: take_ids(out, row, "rejected", diag);
    enum lf_err rc = as_message(row, "chosen", diag) ?: as_message(row, "rejected", diag);
    rc = rc ?: check_both(row, diag) ?: find_prompt(row, &out->s, diag);
    return rc ?: take_row(out, row, "chosen", diag) ?: take_row(out, row, "rejected", diag);
}

static enum lf_err split_labelled(struct lf_pair *out, json_t *row, struct lf_diag *diag)
{
    bool wanted = true;
    enum lf_err rc = read_label(&wanted, json_object_get(row, "label"), diag);
    out->unwanted = !wanted;
    json_object_del(row, "label");
    if (rc == LF_OK && ids_of(row, "completion"))
        return take_ids(out, row, "completion", diag);
    rc = rc ?: as_message(row, "completion", diag);
    if (rc == LF_OK)
        out->row[out->n++] = json_incref(row);
    return rc;
}

enum lf_err lf_pair_split(struct lf_pair *out, const json_t *row, const struct lf_train_settings *s,
                          struct lf_diag *diag)
{
    *out = (struct lf_pair){.s = *s};
    out->s.columns = NULL; /* they have their names from here on */
    if (!json_is_object(row))
        return lf_fail(diag, LF_E_INVALID, "a row must be an object {...}");
    json_auto_t *n = lf_json_copy(row);
    enum lf_err rc = n ? LF_OK : lf_no_memory(diag, "a row");
    if (rc == LF_OK && s->columns)
        rc = lf_row_columns(n, s->columns, diag);
    rc = rc ?: normal_names(n, diag);
    if (rc != LF_OK)
        return rc;
    drop_nulls(n);
    bool labelled = s->loss == LF_LOSS_KTO && !json_object_get(n, "chosen") && !ids_of(n, "chosen");
    char list[LF_MEMBERS_BYTES];
    if (labelled && !json_object_get(n, "label"))
        return lf_fail(
            diag, LF_E_INVALID,
            "no \"label\", which says whether the completion is wanted, and no \"chosen\" "
            "(the row has: %s); where it has another name, \"columns\" of config.json says "
            "so",
            lf_row_members(list, n));
    return labelled ? split_labelled(out, n, diag) : split_pair(out, n, diag);
}

void lf_pair_free(struct lf_pair *p)
{
    json_decref(p->row[0]);
    json_decref(p->row[1]);
    *p = (struct lf_pair){0};
}
