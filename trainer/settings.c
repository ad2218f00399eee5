/* Settings: one table of plain members, and by hand the few that are words, lists or choices. */
#include "trainer/settings.h"

#include "core/file.h"
#include "core/json.h"
#include "trainer/dataset.h"
#include "score/metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum member_type { MEMBER_INT, MEMBER_INT64, MEMBER_REAL, MEMBER_BOOL };

#define AT(field) offsetof(struct lf_train_settings, field)

/* 2^53: the largest range of integers that every JSON reader keeps exactly. */
#define JSON_INT_MAX 9007199254740992.0

static const struct member {
    const char *key;
    enum member_type type;
    size_t off;
    double lo, hi;
} members[] = {
    {"rank", MEMBER_INT, AT(rank), 1, LF_RANK_MAX},
    {"alpha", MEMBER_REAL, AT(alpha), 1e-6, 1e6},
    {"rslora", MEMBER_BOOL, AT(rslora), 0, 0},
    {"dropout", MEMBER_REAL, AT(dropout), 0, 0.95},
    {"batch_size", MEMBER_INT, AT(batch_size), 1, 4096},
    {"accumulation", MEMBER_INT, AT(accumulation), 1, 4096},
    {"steps", MEMBER_INT64, AT(steps), 1, 1e9},
    {"epochs", MEMBER_REAL, AT(epochs), 1e-6, 1e6},
    {"weight_decay", MEMBER_REAL, AT(weight_decay), 0, 10},
    {"max_grad_norm", MEMBER_REAL, AT(max_grad_norm), 0, 1e9},
    {"warmup_steps", MEMBER_INT64, AT(warmup_steps), 0, 1e9},
    {"warmup_fraction", MEMBER_REAL, AT(warmup_fraction), 0, 1},
    {"shuffle", MEMBER_BOOL, AT(shuffle), 0, 0},
    {"seed", MEMBER_INT64, AT(seed), 0, JSON_INT_MAX},
    {"max_length", MEMBER_INT, AT(max_length), 2, 1 << 20},
    {"eval_every", MEMBER_INT64, AT(eval_every), 0, 1e9},
    {"eval_rows", MEMBER_INT64, AT(eval_rows), 0, 1e9},
    {"max_tokens", MEMBER_INT, AT(max_tokens), 1, 1 << 20},
};
#define N_MEMBERS (sizeof members / sizeof *members)

static const char *const known_keys[] = {"base",
                                         "preset",
                                         "rank",
                                         "alpha",
                                         "rslora",
                                         "target_modules",
                                         "dropout",
                                         "batch_size",
                                         "accumulation",
                                         "steps",
                                         "epochs",
                                         "learning_rate",
                                         "schedule",
                                         "warmup_steps",
                                         "warmup_fraction",
                                         "optimizer",
                                         "weight_decay",
                                         "max_grad_norm",
                                         "loss_normalization",
                                         "shuffle",
                                         "seed",
                                         "max_length",
                                         "template",
                                         "eval_every",
                                         "eval_rows",
                                         "max_tokens",
                                         "stop",
                                         "metric",
                                         NULL};

static const char *const schedules[] = {"constant", "linear", "cosine", NULL};
static const char *const optimizers[] = {"adam", "adamw", NULL};
static const char *const normalizations[] = {"tokens", "micro_batch", NULL};

void lf_train_settings_default(struct lf_train_settings *out)
{
    *out = (struct lf_train_settings){.rank = 16,
                                      .alpha = 32,
                                      .dropout = 0.05,
                                      .target_modules = "all-linear",
                                      .batch_size = 16,
                                      .accumulation = 1,
                                      .epochs = 3,
                                      .shuffle = true,
                                      .seed = 42,
                                      .max_length = 2048,
                                      .schedule = LF_SCHEDULE_COSINE,
                                      .warmup_steps = -1,
                                      .warmup_fraction = 0.03,
                                      .adamw = true,
                                      .max_grad_norm = 1,
                                      .loss_normalization = LF_LOSS_TOKENS,
                                      .eval_rows = 200,
                                      .max_tokens = 256};
}

/* The configuration of "LoRA Land: 310 Fine-tuned LLMs that Rival GPT-4" (2024): 40,000 micro-steps
 * of one row, Adam at 0.0002 as in its configuration figure (its text says 0.002, at which 4-bit 7B
 * bases diverge). */
static void apply_lora_land(struct lf_train_settings *s)
{
    s->rank = 8;
    s->alpha = 16;
    s->dropout = 0.05;
    snprintf(s->target_modules, sizeof s->target_modules, "q_proj,v_proj");
    s->batch_size = 1;
    s->accumulation = 16;
    s->steps = 2500;
    s->learning_rate = 2e-4;
    s->schedule = LF_SCHEDULE_COSINE;
    s->warmup_fraction = 0.03;
    s->adamw = false;
    s->weight_decay = 0;
    s->loss_normalization = LF_LOSS_MICRO_BATCH;
}

/* ---- Parsing --------------------------------------------------------------------------------- */

static bool has(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return v && !json_is_null(v);
}

static enum lf_err get_member(struct lf_train_settings *s, const struct member *m,
                              const json_t *obj, struct lf_diag *diag)
{
    char *at = (char *)s + m->off;
    if (!has(obj, m->key))
        return LF_OK;
    int64_t i = 0;
    enum lf_err rc = LF_OK;
    switch (m->type) {
    case MEMBER_BOOL:
        return lf_json_get_bool((bool *)at, obj, m->key, diag);
    case MEMBER_REAL:
        return lf_json_get_real((double *)at, obj, m->key, m->lo, m->hi, diag);
    case MEMBER_INT:
    case MEMBER_INT64:
        rc = lf_json_get_int(&i, obj, m->key, (int64_t)m->lo, (int64_t)m->hi, diag);
        if (rc == LF_OK && m->type == MEMBER_INT)
            *(int *)at = (int)i;
        else if (rc == LF_OK)
            *(int64_t *)at = i;
    }
    return rc;
}

/* The index of obj[key] in words. */
static enum lf_err get_word(int *out, const json_t *obj, const char *key, const char *const *words,
                            struct lf_diag *diag)
{
    const char *word = NULL;
    enum lf_err rc = lf_json_get_str(&word, obj, key, diag);
    if (rc != LF_OK || !word)
        return rc;
    char list[128] = "";
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0) {
            *out = i;
            return LF_OK;
        }
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", words[i]);
    }
    return lf_fail(diag, LF_E_INVALID, "\"%s\" is \"%s\"; it must be one of: %s", key, word, list);
}

/* A string that fits `size` bytes. */
static enum lf_err get_text(char *out, size_t size, const json_t *obj, const char *key,
                            struct lf_diag *diag)
{
    const char *text = NULL;
    enum lf_err rc = lf_json_get_str(&text, obj, key, diag);
    if (rc != LF_OK || !text)
        return rc;
    if (strlen(text) >= size)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" is longer than %zu bytes", key, size - 1);
    snprintf(out, size, "%s", text);
    return LF_OK;
}

/* A list of names, or one string of names separated by commas. */
static enum lf_err get_target_modules(struct lf_train_settings *s, const json_t *obj,
                                      struct lf_diag *diag)
{
    const json_t *v = json_object_get(obj, "target_modules");
    char names[sizeof s->target_modules] = "";
    enum lf_err rc = LF_OK;
    if (!json_is_array(v)) {
        memcpy(names, s->target_modules, sizeof names);
        rc = get_text(names, sizeof names, obj, "target_modules", diag);
    }
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        const json_t *name = json_array_get(v, i);
        size_t used = strlen(names);
        if (!json_is_string(name))
            return lf_fail(diag, LF_E_INVALID, "\"target_modules\" must be a list of strings");
        if (used + json_string_length(name) + 2 > sizeof names)
            return lf_fail(diag, LF_E_INVALID, "\"target_modules\" is too long");
        snprintf(names + used, sizeof names - used, "%s%s", i ? "," : "", json_string_value(name));
    }
    if (rc != LF_OK)
        return rc;
    size_t ok = strspn(names, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,-");
    bool whole = names[ok] == '\0' && names[0] != '\0';
    bool empty = names[0] == ',' || strstr(names, ",,") || (ok > 0 && names[ok - 1] == ',');
    if (!whole || empty)
        return lf_fail(diag, LF_E_INVALID,
                       "\"target_modules\" must be \"all-linear\" or module names: [\"q_proj\", "
                       "\"v_proj\"]");
    memcpy(s->target_modules, names, sizeof names);
    return LF_OK;
}

static enum lf_err get_learning_rate(struct lf_train_settings *s, const json_t *obj,
                                     struct lf_diag *diag)
{
    const json_t *v = json_object_get(obj, "learning_rate");
    if (!json_is_string(v))
        return lf_json_get_real(&s->learning_rate, obj, "learning_rate", 1e-9, 1, diag);
    if (strcmp(json_string_value(v), "auto") != 0)
        return lf_fail(diag, LF_E_INVALID, "\"learning_rate\" must be a number or \"auto\"");
    s->learning_rate = 0;
    return LF_OK;
}

/* Members of which one may be given, because each decides alone. */
static enum lf_err check_choices(const json_t *obj, struct lf_diag *diag)
{
    if (has(obj, "steps") && has(obj, "epochs"))
        return lf_fail(diag, LF_E_INVALID, "give \"steps\" or \"epochs\", not both");
    if (has(obj, "warmup_steps") && has(obj, "warmup_fraction"))
        return lf_fail(diag, LF_E_INVALID,
                       "give \"warmup_steps\" or \"warmup_fraction\", not both");
    return LF_OK;
}

static enum lf_err get_preset(struct lf_train_settings *s, const json_t *obj, struct lf_diag *diag)
{
    enum lf_err rc = get_text(s->preset, sizeof s->preset, obj, "preset", diag);
    if (rc != LF_OK || s->preset[0] == '\0')
        return rc;
    if (strcmp(s->preset, "lora-land") != 0)
        return lf_fail(diag, LF_E_INVALID, "\"preset\" is \"%s\"; the only one is \"lora-land\"",
                       s->preset);
    apply_lora_land(s);
    return LF_OK;
}

static enum lf_err get_words(struct lf_train_settings *s, const json_t *obj, struct lf_diag *diag)
{
    int schedule = s->schedule, optimizer = s->adamw, normalization = s->loss_normalization;
    enum lf_err rc = get_word(&schedule, obj, "schedule", schedules, diag);
    if (rc == LF_OK)
        rc = get_word(&optimizer, obj, "optimizer", optimizers, diag);
    if (rc == LF_OK)
        rc = get_word(&normalization, obj, "loss_normalization", normalizations, diag);
    s->schedule = (enum lf_schedule)schedule;
    s->adamw = optimizer == 1;
    s->loss_normalization = (enum lf_loss_normalization)normalization;
    return rc;
}

static enum lf_err get_names(struct lf_train_settings *s, const json_t *obj, struct lf_diag *diag)
{
    enum lf_err rc = get_text(s->base, sizeof s->base, obj, "base", diag);
    if (rc != LF_OK)
        return rc;
    if (s->base[0] && !lf_name_ok(s->base))
        return lf_fail(diag, LF_E_INVALID, "\"base\" is not a name: \"%s\"", s->base);
    rc = get_text(s->metric, sizeof s->metric, obj, "metric", diag);
    if (rc != LF_OK)
        return rc;
    if (s->metric[0] && !lf_metric_find(s->metric))
        return lf_fail(diag, LF_E_INVALID, "\"metric\" is \"%s\"; it must be one of: %s", s->metric,
                       lf_metric_names());
    return LF_OK;
}

static enum lf_err get_template(struct lf_train_settings *s, const json_t *obj,
                                struct lf_diag *diag)
{
    const char *text = NULL;
    enum lf_err rc = lf_json_get_str(&text, obj, "template", diag);
    if (rc != LF_OK || !text)
        return rc;
    rc = lf_template_check(text, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "\"template\"");
    s->template_ = strdup(text);
    return s->template_ ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "no memory for the template");
}

/* A list of strings, or one string. */
static enum lf_err get_stop(struct lf_train_settings *s, const json_t *obj, struct lf_diag *diag)
{
    const json_t *v = json_object_get(obj, "stop");
    bool one = json_is_string(v);
    size_t n = one ? 1 : json_array_size(v);
    if (!has(obj, "stop"))
        return LF_OK;
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
            return lf_fail(diag, LF_E_NO_MEMORY, "no memory for the settings");
    }
    return LF_OK;
}

static enum lf_err get_members(struct lf_train_settings *s, const json_t *obj, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < N_MEMBERS && rc == LF_OK; i++)
        rc = get_member(s, &members[i], obj, diag);
    /* What is given by name wins over what a preset or the default decided by the other. */
    if (has(obj, "epochs"))
        s->steps = 0;
    if (has(obj, "warmup_fraction"))
        s->warmup_steps = -1;
    return rc;
}

enum lf_err lf_train_settings_parse(struct lf_train_settings *out, const json_t *obj,
                                    struct lf_diag *diag)
{
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    enum lf_err rc = lf_json_only(obj, known_keys, diag);
    if (rc == LF_OK)
        rc = check_choices(obj, diag);
    if (rc == LF_OK)
        rc = get_preset(&s, obj, diag);
    if (rc == LF_OK)
        rc = get_members(&s, obj, diag);
    if (rc == LF_OK)
        rc = get_target_modules(&s, obj, diag);
    if (rc == LF_OK)
        rc = get_learning_rate(&s, obj, diag);
    if (rc == LF_OK)
        rc = get_words(&s, obj, diag);
    if (rc == LF_OK)
        rc = get_names(&s, obj, diag);
    if (rc == LF_OK)
        rc = get_template(&s, obj, diag);
    if (rc == LF_OK)
        rc = get_stop(&s, obj, diag);
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

static void print_key(struct lf_buf *out, const char *key)
{
    lf_buf_printf(out, "%s\n  \"%s\": ", out->data[out->len - 1] == '{' ? "" : ",", key);
}

static void print_text(struct lf_buf *out, const char *key, const char *text)
{
    print_key(out, key);
    lf_buf_putc(out, '"');
    lf_buf_json(out, text, strlen(text));
    lf_buf_putc(out, '"');
}

static void print_member(struct lf_buf *out, const struct lf_train_settings *s,
                         const struct member *m)
{
    const char *at = (const char *)s + m->off;
    print_key(out, m->key);
    switch (m->type) {
    case MEMBER_BOOL:
        lf_buf_puts(out, *(const bool *)at ? "true" : "false");
        break;
    case MEMBER_REAL:
        print_real(out, *(const double *)at);
        break;
    case MEMBER_INT:
        lf_buf_printf(out, "%d", *(const int *)at);
        break;
    case MEMBER_INT64:
        lf_buf_printf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    }
}

static void print_target_modules(struct lf_buf *out, const char *names)
{
    if (strcmp(names, "all-linear") == 0) {
        print_text(out, "target_modules", names);
        return;
    }
    print_key(out, "target_modules");
    lf_buf_putc(out, '[');
    for (const char *p = names; *p;) {
        size_t n = strcspn(p, ",");
        lf_buf_printf(out, "%s\"%.*s\"", p == names ? "" : ", ", (int)n, p);
        p += n + (p[n] == ',');
    }
    lf_buf_putc(out, ']');
}

static void print_stop(struct lf_buf *out, const struct lf_train_settings *s)
{
    print_key(out, "stop");
    for (int i = 0; i < s->n_stop; i++) {
        lf_buf_puts(out, i ? ", \"" : "[\"");
        lf_buf_json(out, s->stop[i], strlen(s->stop[i]));
        lf_buf_putc(out, '"');
    }
    lf_buf_putc(out, ']');
}

/* The member does not decide: another one of its choice does. */
static bool is_silent(const struct lf_train_settings *s, const char *key)
{
    return (strcmp(key, "steps") == 0 && s->steps == 0) ||
           (strcmp(key, "epochs") == 0 && s->steps > 0) ||
           (strcmp(key, "warmup_steps") == 0 && s->warmup_steps < 0) ||
           (strcmp(key, "warmup_fraction") == 0 && s->warmup_steps >= 0);
}

enum lf_err lf_train_settings_print(const struct lf_train_settings *s, struct lf_buf *out)
{
    if (lf_buf_putc(out, '{') != LF_OK)
        return out->rc;
    if (s->base[0])
        print_text(out, "base", s->base);
    if (s->preset[0])
        print_text(out, "preset", s->preset);
    print_target_modules(out, s->target_modules);
    print_key(out, "learning_rate");
    if (s->learning_rate > 0)
        print_real(out, s->learning_rate);
    else
        lf_buf_puts(out, "\"auto\"");
    print_text(out, "schedule", schedules[s->schedule]);
    print_text(out, "optimizer", optimizers[s->adamw]);
    print_text(out, "loss_normalization", normalizations[s->loss_normalization]);
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (!is_silent(s, members[i].key))
            print_member(out, s, &members[i]);
    if (s->template_)
        print_text(out, "template", s->template_);
    if (s->n_stop > 0)
        print_stop(out, s);
    if (s->metric[0])
        print_text(out, "metric", s->metric);
    return lf_buf_puts(out, "\n}\n");
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum lf_err lf_train_settings_copy(struct lf_train_settings *out, const struct lf_train_settings *s)
{
    struct lf_train_settings copy = *s;
    bool failed = s->template_ && !(copy.template_ = strdup(s->template_));
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
    free(s->template_);
    s->template_ = NULL;
    for (int i = 0; i < s->n_stop; i++)
        free(s->stop[i]);
    s->n_stop = 0;
}
