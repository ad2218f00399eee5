/* Rows: the forms a dataset's line may have, each to ids and targets. */
#include "trainer/row.h"

#include "core/json.h"
#include "core/num.h"
#include "trainer/ask.h"
#include "trainer/dataset.h"
#include "trainer/form.h"

#include <stdlib.h>
#include <string.h>

/* ---- Forms ----------------------------------------------------------------------------------- */

enum row_form { FORM_PLAIN, FORM_CHAT, FORM_IDS };

static enum row_form form_of(const json_t *row)
{
    if (json_object_get(row, "input_ids"))
        return FORM_IDS;
    return json_object_get(row, "messages") ? FORM_CHAT : FORM_PLAIN;
}

/* Roles of other spellings ("Assistant", "ai") are what else may be wrong. */
static enum lf_err nothing_answered(const json_t *messages, struct lf_diag *diag)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (strcmp(lf_json_text_of(json_array_get(messages, i), "role"), "assistant") == 0)
            return lf_fail(diag, LF_E_INVALID,
                           "no message of the assistant that is learnt: nothing to learn");
    return lf_fail(diag, LF_E_INVALID,
                   "no message of the assistant: none has that role (the last has \"%.40s\")",
                   lf_json_text_of(last, "role"));
}

static enum lf_err check_chat(const json_t *row, const struct lf_train_settings *s,
                              struct lf_diag *diag)
{
    const json_t *messages = json_object_get(row, "messages");
    bool answered = false;
    if (!json_is_array(messages))
        return lf_fail(diag, LF_E_INVALID, "\"messages\" must be a list");
    const json_t *extra = json_object_get(row, "chat_template_kwargs");
    if (extra && !json_is_object(extra))
        return lf_fail(diag, LF_E_INVALID, "\"chat_template_kwargs\" must be an object");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);
        if (lf_turn_check(m, i + 1, diag) != LF_OK)
            return LF_E_INVALID;
        bool answer = strcmp(lf_json_text_of(m, "role"), "assistant") == 0;
        if (s->train_on == LF_TRAIN_ON_ALL && answer && !lf_turn_is_learnt(m))
            return lf_fail(diag, LF_E_INVALID,
                           "message %zu is not to be learnt, and config.json's \"train_on\" is "
                           "\"all\"",
                           i + 1);
        answered = answered || lf_turn_is_learnt(m);
    }
    return answered ? LF_OK : nothing_answered(messages, diag);
}

static enum lf_err check_int_list(const json_t *row, const char *name, struct lf_diag *diag)
{
    const json_t *list = json_object_get(row, name);
    if (!json_is_array(list))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a list of integers", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t x = json_integer_value(v);
        if (!json_is_integer(v) || x < INT32_MIN || x > INT32_MAX)
            return lf_fail(diag, LF_E_INVALID, "\"%s\"[%zu] is no token id", name, i);
    }
    return LF_OK;
}

/* Lists beside the ids that say which of them are there, and which are learnt: 1 or 0 each. */
static const char *const mask_names[] = {"attention_mask", "completion_mask", "assistant_masks",
                                         "assistant_mask", "loss_mask"};
#define N_MASKS (sizeof mask_names / sizeof *mask_names)

static enum lf_err check_mask(const json_t *row, const char *name, size_t n, struct lf_diag *diag)
{
    const json_t *mask = json_object_get(row, name);
    if (!mask)
        return LF_OK;
    if (json_array_size(mask) != n)
        return lf_fail(diag, LF_E_INVALID, "%zu \"input_ids\" and %zu in \"%s\"", n,
                       json_array_size(mask), name);
    for (size_t i = 0; i < n; i++) {
        json_int_t x = json_integer_value(json_array_get(mask, i));
        if (!json_is_integer(json_array_get(mask, i)) || x < 0 || x > 1)
            return lf_fail(diag, LF_E_INVALID, "\"%s\"[%zu] must be 0 or 1", name, i);
    }
    return LF_OK;
}

static bool is_masked(const json_t *mask, size_t i)
{
    return mask && json_integer_value(json_array_get(mask, i)) == 0;
}

/* [*first, *end): the ids that are no padding, which is before or behind them. */
static enum lf_err unpadded(const json_t *row, size_t *first, size_t *end, struct lf_diag *diag)
{
    const json_t *mask = json_object_get(row, "attention_mask");
    *first = 0;
    *end = json_array_size(json_object_get(row, "input_ids"));
    while (*first < *end && is_masked(mask, *first))
        (*first)++;
    while (*end > *first && is_masked(mask, *end - 1))
        (*end)--;
    for (size_t i = *first; i < *end; i++)
        if (is_masked(mask, i))
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "\"attention_mask\" is 0 between others (at %zu): only padding at the "
                           "ends is done here",
                           i);
    return LF_OK;
}

/* Positions are counted here: others than that (several texts packed into a row) are refused. */
static enum lf_err check_positions(const json_t *row, size_t first, size_t end,
                                   struct lf_diag *diag)
{
    const json_t *at = json_object_get(row, "position_ids");
    for (size_t i = first; at && i < end; i++)
        if (json_integer_value(json_array_get(at, i)) != (json_int_t)(i - first))
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "\"position_ids\" other than 0, 1, 2... are not done here");
    return LF_OK;
}

static enum lf_err check_ids(const json_t *row, struct lf_diag *diag)
{
    enum lf_err rc = check_int_list(row, "input_ids", diag);
    size_t n = json_array_size(json_object_get(row, "input_ids")), first, end;
    for (size_t i = 0; i < N_MASKS && rc == LF_OK; i++)
        rc = check_mask(row, mask_names[i], n, diag);
    rc = rc ?: unpadded(row, &first, &end, diag) ?: check_positions(row, first, end, diag);
    if (rc != LF_OK || !json_object_get(row, "labels"))
        return rc;
    rc = check_int_list(row, "labels", diag);
    size_t n_labels = json_array_size(json_object_get(row, "labels"));
    if (rc == LF_OK && n != n_labels)
        return lf_fail(diag, LF_E_INVALID, "%zu \"input_ids\" and %zu \"labels\"", n, n_labels);
    return rc;
}

static enum lf_err check_normal(const json_t *row, const struct lf_train_settings *s,
                                struct lf_diag *diag)
{
    switch (form_of(row)) {
    case FORM_IDS:
        return check_ids(row, diag);
    case FORM_CHAT:
        return check_chat(row, s, diag);
    case FORM_PLAIN:
        break;
    }
    return lf_row_text(row, "completion", diag) ?: lf_row_text(row, "prompt", diag);
}

enum lf_err lf_row_check(const json_t *row, const struct lf_train_settings *s, bool *empty,
                         struct lf_diag *diag)
{
    json_auto_t *normal = NULL;
    const char *form;
    enum lf_err rc = lf_row_normal(&normal, &form, row, s, diag);
    const char *completion = json_string_value(json_object_get(normal, "completion"));
    double weight = 1;
    rc = rc ?: lf_row_weight(&weight, normal, s, diag);
    *empty = weight == 0 || (completion && !*completion && s->train_on != LF_TRAIN_ON_ALL);
    return rc ?: check_normal(normal, s, diag);
}

/* ---- Scratch --------------------------------------------------------------------------------- */

void lf_row_ids_init(struct lf_row_ids *r)
{
    *r = (struct lf_row_ids){.completion.max = LF_DATASET_LINE_MAX};
}

void lf_row_ids_free(struct lf_row_ids *r)
{
    lf_ids_free(&r->ids);
    lf_ids_free(&r->targets);
    lf_buf_free(&r->completion);
}

/* Targets for the ids that have none yet: themselves, or no loss. */
static enum lf_err extend_targets(struct lf_row_ids *r, bool learnt, struct lf_diag *diag)
{
    while (r->targets.n < r->ids.n)
        if (lf_ids_push(&r->targets, learnt ? r->ids.ids[r->targets.n] : -1) != LF_OK)
            return lf_no_memory(diag, "a row");
    return LF_OK;
}

static enum lf_err push_eos(struct lf_row_ids *r, const struct lf_model *m, struct lf_diag *diag)
{
    int32_t eos = lf_model_eos(m);
    if (eos >= 0 && (lf_ids_push(&r->ids, eos) != LF_OK || lf_ids_push(&r->targets, eos) != LF_OK))
        return lf_no_memory(diag, "a row");
    return LF_OK;
}

/* ---- Prompt and completion ------------------------------------------------------------------- */

enum lf_err lf_prompt_encode(struct lf_ids *out, const struct lf_model *m, const char *prompt,
                             size_t n, struct lf_diag *diag)
{
    size_t before = out->n;
    if (!m->tokenizer)
        return lf_fail(diag, LF_E_UNSUPPORTED, "%s has no tokenizer: it cannot be asked", m->name);
    enum lf_err rc = lf_tokenizer_encode(m->tokenizer, out, prompt, n, true, diag);
    if (rc != LF_OK || out->n == before || !lf_model_is_eos(m, out->ids[out->n - 1]))
        return rc;
    /* An end-of-text at the end is the post-processor's where the bare text has none. */
    lf_ids_auto bare = {NULL, 0, 0};
    rc = lf_tokenizer_encode(m->tokenizer, &bare, prompt, n, false, diag);
    if (rc == LF_OK && (bare.n == 0 || !lf_model_is_eos(m, bare.ids[bare.n - 1])))
        out->n--;
    return rc;
}

static enum lf_err put_text(struct lf_buf *out, const json_t *v, struct lf_diag *diag)
{
    if (json_is_string(v)) {
        lf_buf_append(out, json_string_value(v), json_string_length(v));
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        if (!text)
            return lf_no_memory(diag, "a row");
        lf_buf_puts(out, text);
        free(text);
    }
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "the text is too long");
}

static enum lf_err encode_prompt(struct lf_row_ids *r, const json_t *row, const struct lf_model *m,
                                 struct lf_diag *diag)
{
    lf_buf_auto prompt = {.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = put_text(&prompt, json_object_get(row, "prompt"), diag);
    rc = rc ?: lf_prompt_encode(&r->ids, m, lf_buf_str(&prompt), prompt.len, diag);
    return rc ?: extend_targets(r, false, diag);
}

static enum lf_err encode_plain(struct lf_row_ids *r, const json_t *row, const struct lf_model *m,
                                struct lf_diag *diag)
{
    enum lf_err rc = encode_prompt(r, row, m, diag);
    rc = rc ?: put_text(&r->completion, json_object_get(row, "completion"), diag);
    if (rc != LF_OK || r->completion.len == 0)
        return rc;
    rc = lf_tokenizer_encode(m->tokenizer, &r->ids, r->completion.data, r->completion.len, false,
                             diag);
    return rc ?: extend_targets(r, true, diag) ?: push_eos(r, m, diag);
}

/* ---- Chats ----------------------------------------------------------------------------------- */

/* A chat rendered in parts. All ids are those of the whole text, which is what serving tokenises;
 * a turn's share of them is found by tokenising the text up to it. */
struct chat {
    const struct lf_model *m;
    const json_t *row, *messages;
    struct lf_buf whole, part;
    struct lf_ids part_ids;
};

/* The first n messages as text. */
static enum lf_err render(struct chat *c, struct lf_buf *out, size_t n, bool add_generation_prompt,
                          struct lf_diag *diag)
{
    json_t *extra = json_object_get(c->row, "chat_template_kwargs");
    json_auto_t *vars = extra ? lf_json_copy(extra) : json_object(), *some = json_array();
    json_t *tools = json_object_get(c->row, "tools");
    int bad = !vars || !some || (tools && json_object_set(vars, "tools", tools));
    for (size_t i = 0; !bad && i < n; i++)
        bad = json_array_append(some, json_array_get(c->messages, i));
    if (!bad)
        bad = json_object_set(vars, "messages", some);
    lf_buf_reset(out);
    enum lf_err rc = bad ? lf_no_memory(diag, "a row")
                         : lf_chat_render(c->m->chat, out, vars, add_generation_prompt, diag);
    return rc == LF_OK && out->rc != LF_OK ? lf_fail(diag, out->rc, "the chat is too long") : rc;
}

/* How many ids the text and the whole text have in common from the start; the text's own are in
 * c->part_ids then. */
static enum lf_err common_ids(struct chat *c, const struct lf_ids *whole, const char *text,
                              size_t n, size_t *common, struct lf_diag *diag)
{
    size_t k = 0;
    c->part_ids.n = 0;
    if (n > 0) {
        enum lf_err rc = lf_tokenizer_encode(c->m->tokenizer, &c->part_ids, text, n, false, diag);
        if (rc != LF_OK)
            return rc;
    }
    while (k < c->part_ids.n && k < whole->n && c->part_ids.ids[k] == whole->ids[k])
        k++;
    *common = k;
    return LF_OK;
}

static size_t common_bytes(const struct lf_buf *a, const struct lf_buf *b)
{
    size_t n = 0;
    while (n < a->len && n < b->len && a->data[n] == b->data[n])
        n++;
    return n;
}

/* Where the first k messages and the generation prompt end, in the whole text's ids. */
static enum lf_err turn_begin(struct chat *c, const struct lf_ids *whole, size_t k, size_t *begin,
                              struct lf_diag *diag)
{
    *begin = 0;
    if (k == 0)
        return LF_OK;
    enum lf_err rc = render(c, &c->part, k, true, diag);
    if (rc != LF_OK)
        return rc;
    size_t bytes = common_bytes(&c->part, &c->whole);
    return common_ids(c, whole, c->whole.data, bytes, begin, diag);
}

/* Where message k ends. Its rendering as the last one may have an end-of-text more; where it
 * differs otherwise from its part of the whole text (a template that drops old reasoning), *end is
 * 0: the turn is not learnt. */
static enum lf_err turn_end(struct chat *c, const struct lf_ids *whole, size_t k, size_t *end,
                            struct lf_diag *diag)
{
    enum lf_err rc = render(c, &c->part, k + 1, false, diag);
    rc = rc ?: common_ids(c, whole, c->part.data, c->part.len, end, diag);
    for (size_t i = *end; rc == LF_OK && i < c->part_ids.n; i++)
        if (!lf_model_is_eos(c->m, c->part_ids.ids[i]))
            *end = 0;
    return rc;
}

/* Gives assistant message k its targets, without what the template puts after the token that ends
 * the turn. */
static enum lf_err learn_turn(struct chat *c, struct lf_row_ids *r, size_t k, bool last,
                              struct lf_diag *diag)
{
    size_t begin, end = r->ids.n;
    enum lf_err rc = turn_begin(c, &r->ids, k, &begin, diag);
    if (rc == LF_OK && !last)
        rc = turn_end(c, &r->ids, k, &end, diag);
    if (rc != LF_OK)
        return rc;
    size_t after = end;
    while (after > begin && !lf_model_is_eos(c->m, r->ids.ids[after - 1]))
        after--;
    if (after > begin)
        end = after;
    for (size_t i = begin; i < end; i++)
        r->targets.ids[i] = r->ids.ids[i];
    if (last)
        r->ids.n = r->targets.n = end;
    return last && after == begin ? push_eos(r, c->m, diag) : LF_OK;
}

static enum lf_err encode_turns(struct chat *c, struct lf_row_ids *r, bool last_alone,
                                struct lf_diag *diag)
{
    size_t n = json_array_size(c->messages);
    while (n > 0 && !lf_turn_is_learnt(json_array_get(c->messages, n - 1)))
        n--;
    enum lf_err rc = render(c, &c->whole, n, false, diag);
    if (rc == LF_OK && c->whole.len > 0)
        rc =
            lf_tokenizer_encode(c->m->tokenizer, &r->ids, c->whole.data, c->whole.len, false, diag);
    rc = rc ?: extend_targets(r, false, diag);
    for (size_t k = last_alone && n > 0 ? n - 1 : 0; k < n && rc == LF_OK; k++)
        if (lf_turn_is_learnt(json_array_get(c->messages, k)))
            rc = learn_turn(c, r, k, k == n - 1, diag);
    const json_t *content = json_object_get(json_array_get(c->messages, n - 1), "content");
    if (rc == LF_OK && json_is_string(content))
        rc = put_text(&r->completion, content, diag);
    return rc;
}

static enum lf_err encode_chat(struct lf_row_ids *r, const json_t *row, const struct lf_model *m,
                               bool last_alone, struct lf_diag *diag)
{
    if (!m->chat)
        return lf_fail(diag, LF_E_INVALID, "\"messages\" need a chat template: %s",
                       m->chat_reason.text[0] ? m->chat_reason.text : "the base has none");
    struct chat c = {.m = m,
                     .row = row,
                     .messages = json_object_get(row, "messages"),
                     .whole.max = LF_PROMPT_BYTES_MAX,
                     .part.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = encode_turns(&c, r, last_alone, diag);
    lf_buf_free(&c.whole);
    lf_buf_free(&c.part);
    lf_ids_free(&c.part_ids);
    return rc;
}

/* ---- Ready-made ids -------------------------------------------------------------------------- */

static enum lf_err encode_ids(struct lf_row_ids *r, const json_t *row, const struct lf_model *m,
                              struct lf_diag *diag)
{
    const json_t *ids = json_object_get(row, "input_ids"), *labels = json_object_get(row, "labels");
    size_t first, end;
    enum lf_err rc = unpadded(row, &first, &end, diag);
    for (size_t i = first; i < end && rc == LF_OK; i++) {
        int64_t id = json_integer_value(json_array_get(ids, i));
        int64_t label = labels ? json_integer_value(json_array_get(labels, i)) : id;
        for (size_t k = 0; k < N_MASKS; k++)
            if (is_masked(json_object_get(row, mask_names[k]), i))
                label = LF_NO_LOSS;
        if (id < 0 || id >= m->config.V)
            return lf_fail(diag, LF_E_INVALID, "\"input_ids\"[%zu] is %lld; the base has %d ids", i,
                           (long long)id, m->config.V);
        if (label != LF_NO_LOSS && (label < 0 || label >= m->config.V))
            return lf_fail(diag, LF_E_INVALID, "\"labels\"[%zu] is %lld; the base has %d ids", i,
                           (long long)label, m->config.V);
        if (lf_ids_push(&r->ids, (int32_t)id) != LF_OK ||
            lf_ids_push(&r->targets, label == LF_NO_LOSS ? -1 : (int32_t)label) != LF_OK)
            return lf_no_memory(diag, "a row");
    }
    return rc;
}

/* ---- Length ---------------------------------------------------------------------------------- */

/* Cuts to n_max ids: first `over` of what comes before the first target, but for a bos; then the
 * end. */
static void fit(struct lf_row_ids *r, size_t over, size_t n_max, int32_t bos)
{
    if (over == 0)
        return;
    int32_t *ids = r->ids.ids, *targets = r->targets.ids;
    size_t keep = bos >= 0 && ids[0] == bos, first = 0;
    while (first < r->ids.n && targets[first] < 0)
        first++;
    size_t room = first > keep ? first - keep : 0;
    size_t cut = over < room ? over : room;
    size_t rest = r->ids.n - keep - cut;
    memmove(ids + keep, ids + keep + cut, rest * sizeof *ids);
    memmove(targets + keep, targets + keep + cut, rest * sizeof *targets);
    r->cut_prompt = cut > 0;
    for (size_t i = n_max; i < keep + rest; i++)
        r->cut_completion = r->cut_completion || targets[i] >= 0;
    r->ids.n = r->targets.n = keep + rest < n_max ? keep + rest : n_max;
}

/* Counts what there is to learn. An end-of-text alone is nothing, except in a ready-made row. */
static void count(struct lf_row_ids *r, const struct lf_model *m, enum row_form form)
{
    bool any = form == FORM_IDS;
    r->n_supervised = 0;
    for (size_t i = 1; i < r->targets.n; i++) {
        r->n_supervised += r->targets.ids[i] >= 0;
        any = any || (r->targets.ids[i] >= 0 && !lf_model_is_eos(m, r->targets.ids[i]));
    }
    if (!any)
        r->n_supervised = 0;
}

/* Where the last run of targets begins: what is before it is asked when a row is scored. */
static size_t prompt_end(const struct lf_row_ids *r)
{
    size_t n = r->targets.n;
    while (n > 0 && r->targets.ids[n - 1] < 0)
        n--;
    while (n > 0 && r->targets.ids[n - 1] >= 0)
        n--;
    return n;
}

/* The prompt is learnt, too. */
static void learn_all(struct lf_row_ids *r)
{
    for (size_t i = 0; i < r->targets.n; i++)
        r->targets.ids[i] = r->ids.ids[i];
}

static enum lf_err encode_form(struct lf_row_ids *out, const json_t *row, const struct lf_model *m,
                               const struct lf_train_settings *s, struct lf_diag *diag)
{
    switch (form_of(row)) {
    case FORM_IDS:
        return encode_ids(out, row, m, diag);
    case FORM_CHAT:
        return encode_chat(out, row, m, s->train_on == LF_TRAIN_ON_LAST_TURN, diag);
    case FORM_PLAIN:
        break;
    }
    return encode_plain(out, row, m, diag);
}

/* A bare prompt that holds special tokens is the text of a chat, rendered before it came here: a
 * chat is asked through the chat template then, not by its last words. */
static bool is_rendered(const struct lf_row_ids *r, const struct lf_model *m,
                        const struct lf_train_settings *s)
{
    size_t i = r->ids.n > 0 && r->ids.ids[0] == lf_tokenizer_bos(m->tokenizer);
    if (s->template_ || strcmp(r->form, LF_ASK_PROMPT) != 0)
        return false;
    while (i < r->ids.n && r->targets.ids[i] < 0 &&
           !lf_tokenizer_is_special(m->tokenizer, r->ids.ids[i]))
        i++;
    return i < r->ids.n && r->targets.ids[i] < 0;
}

/* All of the row, however long it is. */
static enum lf_err encode_whole(struct lf_row_ids *out, enum row_form *form, const json_t *row,
                                const struct lf_model *m, const struct lf_train_settings *s,
                                struct lf_diag *diag)
{
    out->ids.n = out->targets.n = 0;
    out->cut_prompt = out->cut_completion = false;
    lf_buf_reset(&out->completion);
    json_auto_t *normal = NULL;
    enum lf_err rc = lf_row_normal(&normal, &out->form, row, s, diag);
    rc = rc ?: check_normal(normal, s, diag) ?: lf_row_weight(&out->weight, normal, s, diag);
    if (rc != LF_OK)
        return rc;
    *form = form_of(normal);
    if (*form != FORM_IDS && !m->tokenizer)
        return lf_fail(diag, LF_E_INVALID, "the base has no tokenizer: rows need \"input_ids\"");
    rc = encode_form(out, normal, m, s, diag);
    if (rc == LF_OK && *form == FORM_PLAIN && is_rendered(out, m, s))
        out->form = LF_ASK_TEXT;
    return rc;
}

/* By how many ids the row is too long. */
static size_t over_length(const struct lf_row_ids *r, const struct lf_model *m,
                          const struct lf_train_settings *s)
{
    size_t n_max = (size_t)lf_min_int(s->max_length, m->rope_positions);
    return r->ids.n > n_max ? r->ids.n - n_max : 0;
}

/* Cuts the row, over length or beside one that is, and counts. learns_all: the prompt, too. */
static void finish(struct lf_row_ids *r, enum row_form form, size_t over, bool learns_all,
                   const struct lf_model *m, const struct lf_train_settings *s)
{
    size_t n_max = (size_t)lf_min_int(s->max_length, m->rope_positions);
    fit(r, over, n_max, m->tokenizer ? lf_tokenizer_bos(m->tokenizer) : m->config.bos);
    r->n_prompt = prompt_end(r);
    count(r, m, form);
    if (learns_all && r->n_supervised > 0) {
        learn_all(r);
        count(r, m, form);
    }
}

enum lf_err lf_row_encode(struct lf_row_ids *out, const json_t *row, const struct lf_model *m,
                          const struct lf_train_settings *s, struct lf_diag *diag)
{
    enum row_form form;
    enum lf_err rc = encode_whole(out, &form, row, m, s, diag);
    if (rc == LF_OK)
        finish(out, form, over_length(out, m, s),
               s->train_on == LF_TRAIN_ON_ALL && form != FORM_IDS, m, s);
    if (rc == LF_OK && out->weight == 0)
        out->n_supervised = 0;
    return rc;
}

enum lf_err lf_pair_encode(struct lf_row_ids out[2], const struct lf_pair *p,
                           const struct lf_model *m, struct lf_diag *diag)
{
    enum row_form form[2];
    size_t over = 0;
    enum lf_err rc = LF_OK;
    for (int k = 0; k < 2 && rc == LF_OK; k++) {
        rc = encode_whole(&out[k], &form[k], p->row[k], m, &p->s, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "%s", k == 0 ? "\"chosen\"" : "\"rejected\"");
        over = lf_max(over, over_length(&out[k], m, &p->s));
    }
    for (int k = 0; k < 2; k++)
        finish(&out[k], form[k], over, k == 0 && p->s.loss == LF_LOSS_ORPO, m, &p->s);
    return rc;
}

/* ---- Rows that are equal --------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, int32_t x)
{
    h = (h ^ (uint32_t)x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

uint64_t lf_row_hash(const struct lf_row *r)
{
    uint64_t h = (uint64_t)r->n;
    if (r->n_chosen < r->n || r->unwanted) /* others have the hash that they always had */
        h = mix(mix(h, r->n_chosen), r->unwanted);
    for (int i = 0; i < r->n; i++)
        h = mix(mix(h, r->ids[i]), r->labels[i]);
    return h;
}
