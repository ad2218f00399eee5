/* Settings: the table, and what reads and prints each type of its rows. */
#include "trainer/settings.h"

#include "core/file.h"
#include "core/json.h"
#include "model/adapter_start.h"
#include "score/metrics.h"
#include "trainer/ask.h"
#include "trainer/dataset.h"
#include "trainer/limits.h"
#include "trainer/synonyms.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_EXACT_INT 9007199254740992.0 /* 2^53: integers to here are exact for every reader */

static const char *const schedules[] = {"constant", "linear", "cosine", NULL};
static const char *const counted[] = {"steps", "micro_batches", NULL};
static const char *const optimizers[] = {"adam", "adamw", "adamw_8bit", "paged_adamw_8bit", NULL};
static const char *const parts[] = {"completions", "last_turn", "all", NULL};
static const char *const gates[] = {"off", "on", NULL};
static const char *const kept[] = {"best", "last", NULL};
static const char *const losses[] = {"supervised", "dpo", "orpo", "kto", NULL};
static const char *const normalizations[] = {"tokens", "micro_batch", NULL};

/* eval_rows and stop decide no number, but they are part of the digest of old checkpoints. */
#define ROW(k, type, ...)                                                                \
    {                                                                                    \
        .key = #k, LF_SETTING_##type, offsetof(struct lf_train_settings, k), __VA_ARGS__ \
    }
const struct lf_setting lf_settings[] = {
    ROW(base, NAME, .effect = LF_SETTING_LEFT_OUT,
        .help = "base model by name; \"\": the daemon's"),
    ROW(preset, NAME, .effect = LF_SETTING_LEFT_OUT,
        .help = "\"lora-land\": the values of that study, where not set here"),
    ROW(from, NAME, .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "the version whose training goes on: a number, \"current\", \"import\", another "
                "adapter or its \"NAME/N\"; \"\": fresh"),
    ROW(target_modules, MODULES,
        .help =
            "\"all-linear\", or modules: [\"q_proj\", \"v_proj\"]; full names are single layers'"),
    ROW(rank_pattern, PATTERN, 1, LF_RANK_MAX, .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "other ranks by patterns that end a layer's name, as PEFT has it: "
                "{\"q_proj\": 4, \"layers.[01].mlp.up_proj\": 32}"),
    ROW(alpha_pattern, PATTERN, 1e-6, 1e6, .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "other alphas, likewise"),
    ROW(layers_to_transform, LAYERS, .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "numbers of the layers that have an adapter, from 0; null: all"),
    ROW(learning_rate, RATE, 1e-9, 1, .help = "the peak; \"auto\" goes by the base's width"),
    ROW(schedule, WORD, 0, 2, LF_SCHEDULE_COSINE, .words = schedules,
        .help = "of the learning rate after the warm-up"),
    ROW(schedule_by, WORD, 0, 1, LF_SCHEDULE_BY_STEPS, LF_SETTING_DECIDES_IF_SET, .words = counted,
        .help = "what warm-up, schedule and `restart_every` count: optimizer steps, or "
                "micro-batches, as Ludwig does"),
    ROW(optimizer, WORD, 0, 3, LF_OPTIMIZER_ADAMW, .words = optimizers,
        .help = "beta1 0.9, epsilon 1e-8; with 8bit the moments are bitsandbytes' of 8 bits, and "
                "paged they all are"),
    ROW(loss_normalization, WORD, 0, 1, LF_LOSS_TOKENS, .words = normalizations,
        .help = "a step's loss: over all its tokens, or the mean of its micro-batches' means"),
    ROW(loss, WORD, 0, 3, LF_LOSS_SUPERVISED, LF_SETTING_DECIDES_IF_SET, .words = losses,
        .help = "what is learnt: completions, or which of two is preferred (rows {prompt, chosen, "
                "rejected}); dpo and kto hold the adapter against the bare base"),
    ROW(beta, REAL, 1e-6, 1e3, 0.1, LF_SETTING_DECIDES_IF_SET,
        .help = "of dpo and kto: how near the adapter stays to the base; of orpo: the weight of "
                "the odds ratio"),
    ROW(label_smoothing, REAL, 0, 0.5, 0, LF_SETTING_DECIDES_IF_SET,
        .help = "of dpo: the part of the rows whose preference may be the wrong way round"),
    ROW(desirable_weight, REAL, 0, 1e6, 1, LF_SETTING_DECIDES_IF_SET,
        .help = "of kto: what a wanted completion's loss weighs"),
    ROW(undesirable_weight, REAL, 0, 1e6, 1, LF_SETTING_DECIDES_IF_SET,
        .help = "and an unwanted one's"),
    ROW(rank, INT, 1, LF_RANK_MAX, 16, .help = "R in y = W x + (alpha / R) B A x"),
    ROW(alpha, REAL, 1e-6, 1e6, 32, .help = "alpha there"),
    ROW(rslora, BOOL, .help = "alpha / sqrt(R) instead of alpha / R"),
    ROW(dora, BOOL, .effect = LF_SETTING_DECIDES_IF_SET,
        .help =
            "DoRA, as PEFT's `use_dora`: a magnitude of each output's weights is learnt by itself"),
    ROW(init, NAME, .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "where A and B start, as PEFT's `init_lora_weights`: \"pissa\", "
                "\"pissa_niter_4\" (quicker), \"loftq\"; \"\": at random"),
    ROW(dropout, REAL, 0, 0.95, 0.05, .help = "on the adapter's input, while training"),
    ROW(neftune_alpha, REAL, 0, 1000, 0, LF_SETTING_DECIDES_IF_SET,
        .help = "NEFTune: uniform noise on a row's embeddings while training, of at most alpha / "
                "sqrt(tokens x width); 0: none"),
    ROW(batch_size, INT, 1, 4096, 16, .help = "rows of a micro-batch"),
    ROW(accumulation, INT, 1, 4096, 1, .help = "micro-batches of an optimizer step"),
    ROW(devices, COUNT, 1, LF_SEATS_MAX, 1, LF_SETTING_LEFT_OUT,
        .help = "of a daemon with several: so many of those that train nothing else divide the "
                "rows of each batch among them; \"auto\": as many as are idle, where it pays"),
    ROW(steps, INT64, 1, 1e9, 0, .instead_of = "epochs", .help = "optimizer steps"),
    ROW(epochs, RATE, 1e-6, 1e6, 3,
        .help = "passes over the rows; \"auto\": 3, and more of few rows, up to 25, until they "
                "make 30 steps"),
    ROW(adam_beta2, REAL, 0, 0.999999, 0.999, LF_SETTING_DECIDES_IF_SET,
        .help = "of the optimizer; 0.95 forgets the first steps' gradients sooner"),
    ROW(weight_decay, REAL, 0, 10, 0, .help = "decoupled with adamw, in the gradient with adam"),
    ROW(max_grad_norm, REAL, 0, 1e9, 1, .help = "clips the adapter's gradient; 0: off"),
    ROW(warmup_steps, INT64, 0, 1e9, -1, .instead_of = "warmup_fraction",
        .help = "steps in which the learning rate rises"),
    ROW(warmup_fraction, REAL, 0, 1, 0.03, .help = "the same as a part of all steps"),
    ROW(restart_every, INT64, 0, 1e9, 0, LF_SETTING_DECIDES_IF_SET,
        .help = "steps after which the cosine begins again at the peak; 0: never"),
    ROW(lora_plus, REAL, 1e-3, 1e3, 1, LF_SETTING_DECIDES_IF_SET,
        .help = "LoRA+: the learning rate of B is so many times that of A"),
    ROW(shuffle, BOOL, .otherwise = true, .help = "the rows, in another order each epoch"),
    ROW(seed, INT64, 0, JSON_EXACT_INT, 42,
        .help = "of the order of rows, the fresh adapter and the dropout masks"),
    ROW(max_length, INT, 2, 1 << 20, 2048,
        .help = "tokens of a row: the prompt is cut from the left, then the end"),
    ROW(eval_every, INT64, 0, 1e9, 0, LF_SETTING_AT_LOWEST,
        .help =
            "optimizer steps between evaluations; 0: ten of them, or fewer where they are long"),
    ROW(patience, INT, 0, 1e6, 0, LF_SETTING_DECIDES_IF_SET,
        .help = "evaluations in a row without a lower loss, and it ends; 0: never"),
    ROW(keep, WORD, 0, 1, LF_KEEP_BEST, LF_SETTING_DECIDES_IF_SET, .words = kept,
        .help = "the version's weights: those of the best evaluation, or the last"),
    ROW(gate, WORD, 0, 1, LF_GATE_ON, LF_SETTING_LEFT_OUT, .words = gates,
        .help = "a version that scores worse than the one that serves is not served; off: it is"),
    ROW(validation, REAL, 0, 0.5, 0, LF_SETTING_DECIDES_IF_SET,
        .help = "part of the rows that is held out to evaluate on, where there is no `eval.jsonl`"),
    ROW(trials, INT, 0, LF_JOBS_FUSED_MAX, 0, LF_SETTING_DECIDES_IF_SET,
        .help = "of a sweep: so many of its combinations, drawn at random; 0: all"),
    ROW(halving, REAL, 0, 0.5, 0.25, LF_SETTING_DECIDES_IF_SET,
        .help = "of a sweep: the part of the steps after which the best goes on alone; the worse "
                "half of those that are left ends at a quarter of it, at half of it and there; 0: "
                "all run to their ends"),
    ROW(eval_rows, INT64, 0, 1e9, 200,
        .help = "rows of `eval.jsonl` that are completed and scored, the first; 0: all"),
    ROW(max_tokens, INT, 1, 1 << 20, 256, LF_SETTING_AT_LOWEST,
        .help = "of a completion, when a request does not say"),
    {"template", LF_SETTING_TEXT, offsetof(struct lf_train_settings, template_),
     .help = "prompt of a row from its columns: \"Q: {question}\\nA:\""},
    ROW(completion, TEXT, .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "and what is learnt, where no column is named so: \"{output}\""),
    ROW(columns, COLUMNS, .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "members of a row by its own names: {\"prompt\": \"query\"}"),
    ROW(class_weights, PATTERN, LF_ROW_WEIGHT_MIN, LF_ROW_WEIGHT_MAX,
        .effect = LF_SETTING_DECIDES_IF_SET,
        .help = "what a row's loss weighs by its answer: {\"spam\": 4}, 1 for others; times the "
                "row's own `weight`"),
    ROW(train_on, WORD, 0, 2, LF_TRAIN_ON_COMPLETIONS, LF_SETTING_DECIDES_IF_SET, .words = parts,
        .help =
            "of a row: completions (all turns of the assistant), the last turn, or prompts too"),
    ROW(ask, WORD, 0, 4, 0, LF_SETTING_LEFT_OUT, .words = lf_ask_words,
        .help = "what a prompt is put into; \"auto\": what the rows' prompts were in"),
    ROW(stop, STOPS, .help = "strings that end a completion when a request names none"),
    ROW(metric, NAME, .effect = LF_SETTING_LEFT_OUT, .help = "scores completions of `eval.jsonl`"),
    {.key = NULL},
};

/* "LoRA Land: 310 Fine-tuned LLMs that Rival GPT-4" (2024): 40,000 micro-steps of one row, Adam at
 * 0.0002 as in its configuration figure (its text says 0.002, at which 4-bit 7B bases diverge), and
 * where the figure says nothing, Ludwig's defaults of that time: docs/training.md. */
static const char lora_land[] =
    "{\"rank\": 8, \"alpha\": 16, \"dropout\": 0.05, \"target_modules\": [\"q_proj\", \"v_proj\"],"
    " \"batch_size\": 1, \"accumulation\": 16, \"steps\": 2500, \"learning_rate\": 2e-4,"
    " \"schedule\": \"cosine\", \"warmup_fraction\": 0.03, \"schedule_by\": \"micro_batches\","
    " \"restart_every\": 1000, \"optimizer\": \"adam\", \"weight_decay\": 0,"
    " \"max_grad_norm\": 0.5, \"loss_normalization\": \"micro_batch\", \"max_length\": 1196}";

static void *field(const struct lf_train_settings *s, const struct lf_setting *t)
{
    return (char *)(uintptr_t)s + t->at;
}

/* One of the three representations of a number. */
static void set_number(struct lf_train_settings *s, const struct lf_setting *t, double x)
{
    void *at = field(s, t);
    switch (t->type) {
    case LF_SETTING_INT:
    case LF_SETTING_COUNT:
    case LF_SETTING_WORD:
        *(int *)at = (int)x;
        break;
    case LF_SETTING_INT64:
        *(int64_t *)at = (int64_t)x;
        break;
    case LF_SETTING_REAL:
        *(double *)at = x;
        break;
    case LF_SETTING_BOOL:
        *(bool *)at = x != 0;
        break;
    default:
        break;
    }
}

void lf_train_settings_default(struct lf_train_settings *out)
{
    memset(out, 0, sizeof *out);
    for (const struct lf_setting *t = lf_settings; t->key; t++)
        set_number(out, t, t->otherwise);
}

/* ---- Parsing --------------------------------------------------------------------------------- */

static enum lf_err read_all(struct lf_train_settings *s, const json_t *obj, struct lf_diag *diag);

static bool has(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return v && !json_is_null(v);
}

static enum lf_err apply_preset(struct lf_train_settings *s, struct lf_diag *diag)
{
    json_t *preset;
    if (strcmp(s->preset, "lora-land") != 0)
        return lf_fail(diag, LF_E_INVALID, "\"preset\" is \"%s\"; the only one is \"lora-land\"",
                       s->preset);
    enum lf_err rc = lf_json_parse(&preset, lora_land, sizeof lora_land - 1, diag);
    if (rc != LF_OK)
        return rc;
    rc = read_all(s, preset, diag);
    json_decref(preset);
    return rc;
}

static enum lf_err read_name(struct lf_train_settings *s, const struct lf_setting *t,
                             const char *name, struct lf_diag *diag)
{
    char *at = field(s, t);
    if (strlen(name) > LF_NAME_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" is longer than %d bytes", t->key, LF_NAME_MAX);
    snprintf(at, LF_NAME_MAX + 1, "%s", name);
    if (!*name)
        return LF_OK;
    if (at == s->preset)
        return apply_preset(s, diag);
    if (at == s->init) {
        struct lf_adapter_start start;
        enum lf_err rc = lf_adapter_start_parse(&start, name, diag);
        return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"init\"");
    }
    if (at == s->base && !lf_name_ok(name))
        return lf_fail(diag, LF_E_INVALID, "\"base\" is not a name: \"%s\"", name);
    if (at == s->metric && !lf_metric_find(name))
        return lf_fail(diag, LF_E_INVALID, "\"metric\" is \"%s\"; it must be one of: %s", name,
                       lf_metric_names());
    return LF_OK;
}

static enum lf_err replace_text(char **at, const char *text, struct lf_diag *diag)
{
    free(*at);
    *at = text ? strdup(text) : NULL;
    return !text || *at ? LF_OK : lf_no_memory(diag, "the settings");
}

/* A list of names, or one string of names separated by commas. */
static enum lf_err read_modules(char **at, const json_t *v, struct lf_diag *diag)
{
    lf_buf_auto names = {.max = LF_TARGETS_BYTES_MAX};
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        if (!name) {
            return lf_fail(diag, LF_E_INVALID, "\"target_modules\" must be a list of strings");
        }
        lf_buf_printf(&names, "%s%s", i ? "," : "", name);
    }
    enum lf_err rc = names.rc;
    const char *text = lf_buf_str(&names);
    size_t ok = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,-");
    bool gap = !*text || *text == ',' || strstr(text, ",,") || text[names.len - 1] == ',';
    if (rc == LF_E_TOO_BIG)
        rc = lf_fail(diag, LF_E_INVALID, "\"target_modules\" is longer than %u bytes",
                     LF_TARGETS_BYTES_MAX);
    else if (rc != LF_OK)
        rc = lf_fail(diag, rc, "no memory for the settings");
    else if (text[ok] || gap)
        rc = lf_fail(diag, LF_E_INVALID,
                     "\"target_modules\" must be \"all-linear\" or module names: [\"q_proj\", "
                     "\"v_proj\"]");
    else
        rc = replace_text(at, strcmp(text, "all-linear") == 0 ? NULL : text, diag);
    return rc;
}

/* A list of strings, or one string. */
static enum lf_err read_stops(struct lf_train_settings *s, const json_t *v, struct lf_diag *diag)
{
    bool one = json_is_string(v);
    size_t n = one ? 1 : json_array_size(v);
    if ((!one && !json_is_array(v)) || n > LF_STOPS_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"stop\" must be a string, or a list of up to %d",
                       LF_STOPS_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(one ? v : json_array_get(v, i));
        if (!text || text[0] == '\0')
            return lf_fail(diag, LF_E_INVALID,
                           "\"stop\" has something that is no string, or an "
                           "empty one");
        s->stop[s->n_stop] = strdup(text);
        if (!s->stop[s->n_stop++])
            return lf_no_memory(diag, "the settings");
    }
    return LF_OK;
}

/* A template, checked. */
static enum lf_err read_text(char **at, const char *key, const char *text, struct lf_diag *diag)
{
    enum lf_err rc = lf_template_check(text, diag);
    return rc == LF_OK ? replace_text(at, text, diag) : lf_fail_within(diag, rc, "\"%s\"", key);
}

/* Members that a row's forms know, by the names of columns. */
static enum lf_err read_columns(char **at, const json_t *v, struct lf_diag *diag)
{
    static const char *const known[] = {
        "prompt", "completion", "messages", "tools",    "system",          "text",
        "labels", "input_ids",  "question", "answer",   "attention_mask",  "instruction",
        "input",  "output",     "context",  "response", "completion_mask", "chosen",
        "label",  "rejected",   "weight",   NULL};
    const char *key;
    json_t *name;
    enum lf_err rc = lf_json_only(v, known, diag);
    json_object_foreach((json_t *)(uintptr_t)v, key, name)
        if (rc == LF_OK && !json_is_string(name))
            rc = lf_fail(diag, LF_E_INVALID, "\"%s\" must be the name of a column", key);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "\"columns\"");
    free(*at);
    *at = json_dumps(v, JSON_SORT_KEYS);
    return *at ? LF_OK : lf_no_memory(diag, "the settings");
}

/* Numbers by patterns; that the patterns fit is for whoever knows the base. */
static enum lf_err read_pattern(char **at, const struct lf_setting *t, const json_t *v,
                                struct lf_diag *diag)
{
    const char *regex;
    json_t *x;
    json_object_foreach((json_t *)(uintptr_t)v, regex, x)
        if (!json_is_number(x) || json_number_value(x) < t->lo || json_number_value(x) > t->hi)
            return lf_fail(diag, LF_E_INVALID,
                           "\"%s\": \"%.64s\" must be a number between %g and %g", t->key, regex,
                           t->lo, t->hi);
    if (!json_is_object(v) || json_object_size(v) == 0)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be an object of numbers", t->key);
    free(*at);
    *at = json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(15));
    return *at ? LF_OK : lf_no_memory(diag, "the settings");
}

static enum lf_err read_layers(char **at, const struct lf_setting *t, const json_t *v,
                               struct lf_diag *diag)
{
    int64_t n = -1;
    json_auto_t *layers = json_array();
    for (size_t i = 0; i < json_array_size(v); i++)
        if (lf_json_whole(json_array_get(v, i), &n) && n >= 0)
            json_array_append_new(layers, json_integer(n));
    if (json_array_size(v) == 0 || json_array_size(layers) < json_array_size(v))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a list of layers' numbers: [0, 1]",
                       t->key);
    free(*at);
    *at = json_dumps(layers, JSON_COMPACT);
    return *at ? LF_OK : lf_no_memory(diag, "the settings");
}

/* A word in the place of a number can only be "auto". */
static bool is_word(struct lf_json_in *in, const struct lf_setting *t)
{
    const char *word = json_string_value(json_object_get(in->obj, t->key));
    if (word && strcmp(word, "auto") != 0)
        in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" must be a number or \"auto\"", t->key);
    return word;
}

static enum lf_err read_collection(struct lf_train_settings *s, const struct lf_setting *t,
                                   const json_t *v, struct lf_diag *diag)
{
    if (t->type == LF_SETTING_STOPS)
        return read_stops(s, v, diag);
    if (t->type == LF_SETTING_PATTERN)
        return read_pattern(field(s, t), t, v, diag);
    if (t->type == LF_SETTING_LAYERS)
        return read_layers(field(s, t), t, v, diag);
    return t->type == LF_SETTING_MODULES ? read_modules(field(s, t), v, diag)
                                         : read_columns(field(s, t), v, diag);
}

static void read_setting(struct lf_train_settings *s, const struct lf_setting *t,
                         struct lf_json_in *in)
{
    void *at = field(s, t);
    const char *text;
    switch (t->type) {
    case LF_SETTING_INT:
        *(int *)at = lf_json_int(in, t->key, *(int *)at, (int)t->lo, (int)t->hi);
        break;
    case LF_SETTING_INT64:
        *(int64_t *)at = lf_json_int64(in, t->key, *(int64_t *)at, (int64_t)t->lo, (int64_t)t->hi);
        break;
    case LF_SETTING_REAL:
        *(double *)at = lf_json_real(in, t->key, *(double *)at, t->lo, t->hi);
        break;
    case LF_SETTING_BOOL:
        *(bool *)at = lf_json_bool(in, t->key, *(bool *)at);
        break;
    case LF_SETTING_WORD:
        *(int *)at = lf_json_word(in, t->key, *(int *)at, t->words);
        break;
    case LF_SETTING_NAME:
    case LF_SETTING_TEXT:
        if (at == s->from && json_is_number(json_object_get(in->obj, t->key))) {
            snprintf(at, LF_NAME_MAX + 1, "%lld", lf_json_int64(in, t->key, 0, 1, INT32_MAX) + 0LL);
            break;
        }
        text = lf_json_str(in, t->key, NULL);
        if (text)
            in->rc = t->type == LF_SETTING_NAME ? read_name(s, t, text, in->diag)
                                                : read_text(at, t->key, text, in->diag);
        break;
    case LF_SETTING_RATE:
        *(double *)at = is_word(in, t) ? 0 : lf_json_real(in, t->key, *(double *)at, t->lo, t->hi);
        break;
    case LF_SETTING_COUNT:
        *(int *)at =
            is_word(in, t) ? 0 : lf_json_int(in, t->key, *(int *)at, (int)t->lo, (int)t->hi);
        break;
    case LF_SETTING_COLUMNS:
    case LF_SETTING_PATTERN:
    case LF_SETTING_LAYERS:
    case LF_SETTING_MODULES:
    case LF_SETTING_STOPS:
        if (has(in->obj, t->key))
            in->rc = read_collection(s, t, json_object_get(in->obj, t->key), in->diag);
        break;
    }
}

static enum lf_err read_all(struct lf_train_settings *s, const json_t *obj, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(obj, diag);
    for (const struct lf_setting *t = lf_settings; t->key && in.rc == LF_OK; t++) {
        if (t->instead_of && has(obj, t->instead_of)) {
            if (has(obj, t->key))
                return lf_fail(diag, LF_E_INVALID, "give \"%s\" or \"%s\", not both", t->key,
                               t->instead_of);
            set_number(s, t, t->lo - 1); /* what a preset may have given */
        }
        read_setting(s, t, &in);
    }
    return in.rc;
}

/* What goes with a loss or a schedule, and what they leave without a use. */
static enum lf_err check_uses(const struct lf_train_settings *s, struct lf_diag *diag)
{
    bool pairs = s->loss != LF_LOSS_SUPERVISED;
    const struct {
        const char *key, *of;
        bool wrong;
    } checks[] = {
        {"beta", "\"loss\": dpo, orpo, kto", !pairs && s->beta != 0.1},
        {"label_smoothing", "\"loss\": \"dpo\"", s->loss != LF_LOSS_DPO && s->label_smoothing != 0},
        {"desirable_weight", "\"loss\": \"kto\"",
         s->loss != LF_LOSS_KTO && s->desirable_weight != 1},
        {"undesirable_weight", "\"loss\": \"kto\"",
         s->loss != LF_LOSS_KTO && s->undesirable_weight != 1},
        {"train_on", "\"loss\": \"supervised\"", pairs && s->train_on != LF_TRAIN_ON_COMPLETIONS},
        {"completion", "\"loss\": \"supervised\"", pairs && s->completion},
        {"class_weights", "\"loss\": \"supervised\"", pairs && s->class_weights},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i].wrong)
            return lf_fail(diag, LF_E_INVALID, "\"%s\" is for %s, and \"loss\" is \"%s\"",
                           checks[i].key, checks[i].of, losses[s->loss]);
    if (s->restart_every > 0 && s->schedule != LF_SCHEDULE_COSINE)
        return lf_fail(
            diag, LF_E_INVALID,
            "\"restart_every\" is for \"schedule\": \"cosine\", and \"schedule\" is \"%s\"",
            schedules[s->schedule]);
    if (s->loss == LF_LOSS_KTO && s->batch_size < 2)
        return lf_fail(diag, LF_E_INVALID,
                       "\"loss\" is \"kto\": its \"batch_size\" must be 2 or more, for it compares "
                       "each prompt with another row's completion");
    return LF_OK;
}

/* What an adapter cannot have that starts from the base's weights. */
static enum lf_err check_init(const struct lf_train_settings *s, struct lf_diag *diag)
{
    if (s->init[0] && s->from[0])
        return lf_fail(diag, LF_E_INVALID,
                       "give \"init\" or \"from\": an adapter starts in one place");
    if (s->dora && s->init[0])
        return lf_fail(diag, LF_E_INVALID,
                       "give \"init\" or \"dora\": magnitudes begin as the norms of the weights");
    if (lf_train_settings_lora(s).doubled && s->weight_decay > 0)
        return lf_fail(diag, LF_E_INVALID,
                       "\"weight_decay\" takes A and B to 0, and with them the first singular "
                       "directions of the weights, which \"init\": \"%s\" trains: set it to 0",
                       s->init);
    return LF_OK;
}

static enum lf_err parse_flat(struct lf_train_settings *out, const json_t *obj,
                              struct lf_diag *diag)
{
    const char *known[sizeof lf_settings / sizeof *lf_settings];
    struct lf_train_settings s;
    size_t n = 0;
    for (; lf_settings[n].key; n++)
        known[n] = lf_settings[n].key;
    known[n] = NULL;
    lf_train_settings_default(&s);
    enum lf_err rc = lf_settings_only(obj, known, diag) ?: read_all(&s, obj, diag);
    rc = rc ?: check_uses(&s, diag) ?: check_init(&s, diag);
    if (rc == LF_OK)
        *out = s;
    else
        lf_train_settings_free(&s);
    return rc;
}

/* ---- Sweeps ---------------------------------------------------------------------------------- */

/* What a sweep may vary: what decides the numbers, but not which rows they are of, whose losses are
 * compared. */
static bool may_vary(const struct lf_setting *t)
{
    static const char *const fixed[] = {
        "max_length", "template",        "completion",       "columns",
        "stop",       "train_on",        "class_weights",    "from",
        "validation", "trials",          "halving",          "loss",
        "beta",       "label_smoothing", "desirable_weight", "undesirable_weight"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(t->key, fixed[i]) == 0)
            return false;
    return t->effect == LF_SETTING_DECIDES || t->effect == LF_SETTING_DECIDES_IF_SET;
}

/* A list of values, not a value that is a list. */
static bool is_swept(const struct lf_setting *t, const json_t *v)
{
    bool any = t->type != LF_SETTING_MODULES && t->type != LF_SETTING_LAYERS;
    for (size_t i = 0; i < json_array_size(v); i++)
        any = any || json_is_array(json_array_get(v, i));
    return json_is_array(v) && any && may_vary(t);
}

/* Each value on its own, beside the first ones of the others. */
static enum lf_err try_values(json_t *flat, const char *key, const json_t *list,
                              struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = json_array_size(list); i-- > 0 && rc == LF_OK;) { /* the first one stays */
        struct lf_train_settings s;
        json_object_set(flat, key, json_array_get(list, i));
        rc = parse_flat(&s, flat, diag);
        if (rc == LF_OK)
            lf_train_settings_free(&s);
    }
    return rc;
}

/* A value that is there twice would be trained twice, with the same outcome. */
static enum lf_err refuse_repeated(const char *key, const json_t *list, struct lf_diag *diag)
{
    for (size_t i = 1; i < json_array_size(list); i++)
        for (size_t k = 0; k < i; k++) {
            lf_buf_auto text = {0};
            json_t *v = json_array_get(list, i);
            if (!json_equal(v, json_array_get(list, k)))
                continue;
            lf_json_put(&text, json_incref(v), JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
            return lf_fail(diag, LF_E_INVALID, "\"%s\" has the value %.64s twice", key,
                           lf_buf_str(&text));
        }
    return LF_OK;
}

/* flat: the object with the first value of each list; lists: those. */
static enum lf_err take_lists(json_t *flat, json_t *lists, struct lf_diag *diag)
{
    const char *key;
    json_t *list;
    enum lf_err rc = LF_OK;
    for (const struct lf_setting *t = lf_settings; t->key && rc == LF_OK; t++) {
        json_t *v = json_object_get(flat, t->key);
        if (!is_swept(t, v))
            continue;
        if (json_array_size(v) < 1 || json_array_size(v) > LF_JOBS_FUSED_MAX)
            rc = lf_fail(diag, LF_E_INVALID, "\"%s\" may have 1 to %d values", t->key,
                         LF_JOBS_FUSED_MAX);
        json_object_set(lists, t->key, v);
        json_object_set(flat, t->key, json_array_get(v, 0));
    }
    json_object_foreach(lists, key, list)
        rc = rc ?: try_values(flat, key, list, diag) ?: refuse_repeated(key, list, diag);
    return rc;
}

/* What becomes that of the version that "from" names has one value. */
static enum lf_err check_from(const struct lf_train_settings *s, const json_t *lists,
                              struct lf_diag *diag)
{
    static const char *const shape[] = {
        "rank",           "alpha",        "rslora",        "dora",
        "target_modules", "rank_pattern", "alpha_pattern", "layers_to_transform"};
    for (size_t i = 0; i < sizeof shape / sizeof *shape && s->from[0]; i++)
        if (json_object_get(lists, shape[i]))
            return lf_fail(diag, LF_E_INVALID,
                           "\"%s\" is that of the version that \"from\" names: it has no several "
                           "values",
                           shape[i]);
    return LF_OK;
}

enum lf_err lf_train_settings_parse(struct lf_train_settings *out, const json_t *obj,
                                    struct lf_diag *diag)
{
    struct lf_train_settings s;
    json_auto_t *flat = json_copy((json_t *)(uintptr_t)obj), *lists = json_object();
    if (!flat || !lists)
        return lf_no_memory(diag, "the settings");
    enum lf_err rc = json_is_object(flat) ? take_lists(flat, lists, diag) : LF_OK;
    rc = rc ?: parse_flat(&s, flat, diag);
    if (rc != LF_OK)
        return rc;
    rc = check_from(&s, lists, diag);
    bool any = json_object_size(lists) > 0;
    if (rc == LF_OK && any &&
        !(s.sweep = json_dumps(lists, JSON_COMPACT | JSON_REAL_PRECISION(15))))
        rc = lf_no_memory(diag, "the settings");
    else if (rc == LF_OK && !any && s.trials > 0)
        rc = lf_fail(diag, LF_E_INVALID, "\"trials\" is of a sweep: no setting has several values");
    if (rc == LF_OK)
        *out = s;
    else
        lf_train_settings_free(&s);
    return rc;
}

enum lf_err lf_train_settings_load(struct lf_train_settings *out, const char *path,
                                   struct lf_diag *diag)
{
    json_t *j;
    enum lf_err rc = lf_json_load(&j, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_train_settings_parse(out, j, diag);
    json_decref(j);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

/* ---- Printing -------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as x. */
static void print_real(struct lf_buf *out, double x)
{
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    lf_buf_puts(out, text);
}

static void print_modules(struct lf_buf *out, const char *names)
{
    if (!names)
        lf_buf_puts(out, "\"all-linear\"");
    for (const char *p = names; p && *p;) {
        size_t n = strcspn(p, ",");
        lf_buf_puts(out, p == names ? "[" : ", ");
        lf_buf_json(out, p, n);
        p += n + (p[n] == ',');
        if (!*p)
            lf_buf_putc(out, ']');
    }
}

static void print_stops(struct lf_buf *out, const struct lf_train_settings *s)
{
    for (int i = 0; i < s->n_stop; i++) {
        lf_buf_puts(out, i ? ", " : "[");
        lf_buf_json(out, s->stop[i], strlen(s->stop[i]));
    }
    lf_buf_putc(out, ']');
}

static void print_value(struct lf_buf *out, const struct lf_train_settings *s,
                        const struct lf_setting *t)
{
    const void *at = field(s, t);
    const char *text;
    switch (t->type) {
    case LF_SETTING_INT:
        lf_buf_printf(out, "%d", *(const int *)at);
        break;
    case LF_SETTING_COUNT:
        lf_buf_printf(out, *(const int *)at ? "%d" : "\"auto\"", *(const int *)at);
        break;
    case LF_SETTING_INT64:
        lf_buf_printf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case LF_SETTING_BOOL:
        lf_buf_puts(out, *(const bool *)at ? "true" : "false");
        break;
    case LF_SETTING_RATE:
    case LF_SETTING_REAL:
        if (t->type == LF_SETTING_RATE && *(const double *)at == 0)
            lf_buf_puts(out, "\"auto\"");
        else
            print_real(out, *(const double *)at);
        break;
    case LF_SETTING_WORD:
    case LF_SETTING_NAME:
    case LF_SETTING_TEXT:
        text = t->type == LF_SETTING_WORD   ? t->words[*(const int *)at]
               : t->type == LF_SETTING_NAME ? at
                                            : *(char *const *)at;
        lf_buf_json(out, text, strlen(text));
        break;
    case LF_SETTING_COLUMNS:
    case LF_SETTING_PATTERN:
    case LF_SETTING_LAYERS:
        lf_buf_puts(out, *(char *const *)at);
        break;
    case LF_SETTING_MODULES:
        print_modules(out, *(char *const *)at);
        break;
    case LF_SETTING_STOPS:
        print_stops(out, s);
        break;
    }
}

/* A char * of which NULL says nothing. */
static bool is_text(const struct lf_setting *t)
{
    return t->type == LF_SETTING_TEXT || t->type == LF_SETTING_COLUMNS ||
           t->type == LF_SETTING_PATTERN || t->type == LF_SETTING_LAYERS;
}

/* It says something: it is no empty text, and not the one of two that does not decide. */
static bool is_given(const struct lf_train_settings *s, const struct lf_setting *t)
{
    for (const struct lf_setting *other = lf_settings; other->key; other++)
        if (other->instead_of && strcmp(other->instead_of, t->key) == 0)
            return *(int64_t *)field(s, other) < (int64_t)other->lo;
    if (t->instead_of)
        return *(int64_t *)field(s, t) >= (int64_t)t->lo;
    if (is_text(t))
        return *(char **)field(s, t) != NULL;
    return t->type == LF_SETTING_NAME    ? *(char *)field(s, t) != '\0'
           : t->type == LF_SETTING_STOPS ? s->n_stop > 0
                                         : true;
}

static bool is_default(const struct lf_train_settings *s, const struct lf_setting *t)
{
    lf_buf_auto value = {0}, usual = {0};
    struct lf_train_settings defaults;
    lf_train_settings_default(&defaults);
    if (is_text(t))
        return *(char **)field(s, t) == NULL;
    print_value(&value, s, t);
    print_value(&usual, &defaults, t);
    return value.len == usual.len && memcmp(value.data, usual.data, value.len) == 0;
}

static enum lf_err print(const struct lf_train_settings *s, bool deciding, struct lf_buf *out)
{
    struct lf_train_settings shown = *s;
    const char *sep = "{";
    json_auto_t *lists = s->sweep ? json_loads(s->sweep, 0, NULL) : NULL;
    for (const struct lf_setting *t = lf_settings; t->key; t++) {
        if (!is_given(s, t) || (deciding && t->effect == LF_SETTING_LEFT_OUT) ||
            (deciding && t->effect == LF_SETTING_DECIDES_IF_SET && is_default(s, t)))
            continue;
        if (deciding && t->effect == LF_SETTING_AT_LOWEST)
            set_number(&shown, t, t->lo);
        if (deciding && t->type == LF_SETTING_RATE && *(double *)field(s, t) == 0)
            *(double *)field(&shown, t) = t->otherwise;
        lf_buf_printf(out, "%s\n  \"%s\": ", sep, t->key);
        if (json_object_get(lists, t->key))
            lf_json_put(out, json_incref(json_object_get(lists, t->key)),
                        JSON_COMPACT | JSON_REAL_PRECISION(15));
        else
            print_value(out, &shown, t);
        sep = ",";
    }
    return lf_buf_puts(out, "\n}\n");
}

enum lf_err lf_train_settings_print(const struct lf_train_settings *s, struct lf_buf *out)
{
    return print(s, false, out);
}

enum lf_err lf_train_settings_print_deciding(const struct lf_train_settings *s, struct lf_buf *out)
{
    return print(s, true, out);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static bool is_owned(const struct lf_setting *t)
{
    return is_text(t) || t->type == LF_SETTING_MODULES;
}

enum lf_err lf_train_settings_copy(struct lf_train_settings *out, const struct lf_train_settings *s)
{
    struct lf_train_settings copy = *s;
    bool failed = false;
    for (const struct lf_setting *t = lf_settings; t->key; t++) {
        char **at = field(&copy, t);
        if (is_owned(t) && *at)
            failed = !(*at = strdup(*at)) || failed;
    }
    if (s->sweep)
        failed = !(copy.sweep = strdup(s->sweep)) || failed;
    for (int i = 0; i < s->n_stop; i++)
        failed = !(copy.stop[i] = strdup(s->stop[i])) || failed;
    if (failed) {
        lf_train_settings_free(&copy);
        return LF_E_NO_MEMORY;
    }
    *out = copy;
    return LF_OK;
}

void lf_train_settings_free(struct lf_train_settings *s)
{
    for (const struct lf_setting *t = lf_settings; t->key; t++)
        if (is_owned(t))
            (void)replace_text(field(s, t), NULL, NULL);
    (void)replace_text(&s->sweep, NULL, NULL);
    for (int i = 0; i < s->n_stop; i++)
        free(s->stop[i]);
    s->n_stop = 0;
}

struct lf_lora_settings lf_train_settings_lora(const struct lf_train_settings *s)
{
    struct lf_adapter_start start;
    bool pissa =
        lf_adapter_start_parse(&start, s->init, NULL) == LF_OK && start.kind == LF_START_PISSA;
    return (struct lf_lora_settings){.rank = s->rank,
                                     .alpha = s->alpha,
                                     .rslora = s->rslora,
                                     .dropout = s->dropout,
                                     .target_modules = s->target_modules,
                                     .rank_pattern = s->rank_pattern,
                                     .alpha_pattern = s->alpha_pattern,
                                     .layers = s->layers_to_transform,
                                     .doubled = pissa,
                                     .dora = s->dora};
}
