/* The components of a tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder. Each is
 * null, {"type": ...} or a Sequence of such, which is flattened. What is not known is refused by
 * its name. */
#include "core/json.h"
#include "text/limits.h"
#include "text/tokenizer/load.h"

#include "core/utf8.h"

#include <string.h>

/* One type of a component: its name, its keys, and what reads it. */
struct type {
    const char *name;
    enum lf_err (*read)(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag);
    const char *keys[8];
};

/* Reads obj, a list of which sits under `list_key` in a Sequence. */
static enum lf_err read_typed(struct lf_tokenizer *t, const json_t *obj, const char *list_key,
                              const struct type *types, size_t n_types, struct lf_diag *diag)
{
    const char *name = NULL;
    if (!obj || json_is_null(obj))
        return LF_OK;
    enum lf_err rc = lf_json_get_str(&name, obj, "type", diag);
    if (rc != LF_OK)
        return rc;
    if (!name)
        return lf_fail(diag, LF_E_INVALID, "\"type\" is missing");
    if (strcmp(name, "Sequence") == 0) {
        const char *const known[] = {"type", list_key, NULL};
        const json_t *list = json_object_get(obj, list_key);
        rc = lf_json_only(obj, known, diag);
        if (rc == LF_OK && !json_is_array(list))
            rc = lf_fail(diag, LF_E_INVALID, "\"%s\" must be a list", list_key);
        for (size_t i = 0; rc == LF_OK && i < json_array_size(list); i++)
            rc = read_typed(t, json_array_get(list, i), list_key, types, n_types, diag);
        return rc;
    }
    for (size_t i = 0; i < n_types; i++) {
        if (strcmp(types[i].name, name) != 0)
            continue;
        rc = lf_json_only(obj, types[i].keys, diag) ?: types[i].read(t, obj, diag);
        return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", name);
    }
    return lf_fail(diag, LF_E_UNSUPPORTED, "type \"%s\" is not supported", name);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- values --- */

enum lf_err lf_tok_get_text(struct lf_tokenizer *t, struct lf_str *out, const json_t *obj,
                            const char *key, struct lf_diag *diag)
{
    const json_t *v = json_object_get(obj, key);
    if (!json_is_string(v))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a string", key);
    return lf_tok_strdup(&t->arena, out, json_string_value(v), json_string_length(v), diag);
}

static enum lf_err get_char(struct lf_tokenizer *t, struct lf_str *out, const json_t *obj,
                            const char *key, struct lf_diag *diag)
{
    enum lf_err rc = lf_tok_get_text(t, out, obj, key, diag);
    if (rc == LF_OK && (out->n == 0 || lf_utf8_len(out->s, out->n) != out->n))
        rc = lf_fail(diag, LF_E_INVALID, "\"%s\" must be one character", key);
    return rc;
}

/* {"String": "..."} or {"Regex": "..."} */
static enum lf_err get_pattern(struct lf_tokenizer *t, struct lf_tok_pattern *out,
                               const json_t *obj, struct lf_diag *diag)
{
    const json_t *pattern = json_object_get(obj, "pattern");
    bool regex = json_object_get(pattern, "Regex") != NULL;
    struct lf_str s;
    enum lf_err rc = lf_tok_get_text(t, &s, pattern, regex ? "Regex" : "String", diag);
    if (rc == LF_OK && json_object_size(pattern) != 1)
        rc = lf_fail(diag, LF_E_INVALID, "more than one pattern");
    if (rc == LF_OK)
        rc = regex ? lf_tok_pattern_regex(out, s.s, s.n, diag)
                   : lf_tok_pattern_literal(out, s, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "pattern");
}

/* A flag that must be there where the library insists on it. */
static enum lf_err get_flag(bool *out, const json_t *obj, const char *key, struct lf_diag *diag)
{
    if (!json_is_boolean(json_object_get(obj, key)))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be true or false", key);
    return lf_json_get_bool(out, obj, key, diag);
}

/* --- normalizers --- */

/* The next step, or NULL when there are too many. */
static struct lf_tok_norm *norm_add(struct lf_tokenizer *t, enum lf_tok_norm_kind kind,
                                    struct lf_diag *diag)
{
    if (t->n_norms == LF_TOK_STEPS_MAX) {
        lf_fail(diag, LF_E_TOO_BIG, "more than %d steps", LF_TOK_STEPS_MAX);
        return NULL;
    }
    t->norms[t->n_norms].kind = kind;
    return &t->norms[t->n_norms++];
}

static enum lf_err norm_prepend(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    struct lf_tok_norm *step = norm_add(t, LF_TOK_NORM_PREPEND, diag);
    return step ? lf_tok_get_text(t, &step->text, obj, "prepend", diag) : LF_E_TOO_BIG;
}

static enum lf_err norm_replace(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    struct lf_tok_norm *step = norm_add(t, LF_TOK_NORM_REPLACE, diag);
    if (!step)
        return LF_E_TOO_BIG;
    enum lf_err rc = get_pattern(t, &step->pattern, obj, diag);
    return rc ?: lf_tok_get_text(t, &step->text, obj, "content", diag);
}

static enum lf_err norm_unicode(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    const char *name = json_string_value(json_object_get(obj, "type"));
    struct lf_tok_norm *step = norm_add(t, LF_TOK_NORM_UNICODE, diag);
    if (!step)
        return LF_E_TOO_BIG;
    step->compose = strchr(name, 'C') != NULL;
    step->compat = strchr(name, 'K') != NULL;
    return LF_OK;
}

static enum lf_err norm_lowercase(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    (void)obj;
    return norm_add(t, LF_TOK_NORM_LOWERCASE, diag) ? LF_OK : LF_E_TOO_BIG;
}

static enum lf_err norm_strip(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    struct lf_tok_norm *step = norm_add(t, LF_TOK_NORM_STRIP, diag);
    if (!step)
        return LF_E_TOO_BIG;
    enum lf_err rc = get_flag(&step->left, obj, "strip_left", diag);
    return rc ?: get_flag(&step->right, obj, "strip_right", diag);
}

enum lf_err lf_tok_read_normalizer(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    static const struct type types[] = {
        {"Prepend", norm_prepend, {"type", "prepend"}},
        {"Replace", norm_replace, {"type", "pattern", "content"}},
        {"NFC", norm_unicode, {"type"}},
        {"NFD", norm_unicode, {"type"}},
        {"NFKC", norm_unicode, {"type"}},
        {"NFKD", norm_unicode, {"type"}},
        {"Lowercase", norm_lowercase, {"type"}},
        {"Strip", norm_strip, {"type", "strip_left", "strip_right"}},
    };
    return read_typed(t, obj, "normalizers", types, COUNT(types), diag);
}

/* --- pre-tokenizers --- */

/* The next step, or NULL when there are too many. */
static struct lf_tok_split *split_add(struct lf_tokenizer *t, enum lf_tok_split_kind kind,
                                      struct lf_diag *diag)
{
    if (t->n_splits == LF_TOK_STEPS_MAX) {
        lf_fail(diag, LF_E_TOO_BIG, "more than %d steps", LF_TOK_STEPS_MAX);
        return NULL;
    }
    t->splits[t->n_splits].kind = kind;
    return &t->splits[t->n_splits++];
}

/* A step that cuts by a regex of our own. */
static enum lf_err split_regex(struct lf_tokenizer *t, const char *regex,
                               enum lf_tok_behavior behavior, bool invert, struct lf_diag *diag)
{
    struct lf_tok_split *step = split_add(t, LF_TOK_SPLIT_PATTERN, diag);
    if (!step)
        return LF_E_TOO_BIG;
    step->behavior = behavior;
    step->invert = invert;
    return lf_tok_pattern_regex(&step->pattern, regex, strlen(regex), diag);
}

static enum lf_err get_behavior(enum lf_tok_behavior *out, const json_t *obj, struct lf_diag *diag)
{
    static const char *const names[] = {
        [LF_TOK_REMOVED] = "Removed",
        [LF_TOK_ISOLATED] = "Isolated",
        [LF_TOK_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [LF_TOK_MERGED_WITH_NEXT] = "MergedWithNext",
        [LF_TOK_CONTIGUOUS] = "Contiguous",
    };
    const char *name = names[*out];
    enum lf_err rc = lf_json_get_str(&name, obj, "behavior", diag);
    for (size_t i = 0; rc == LF_OK && i < COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum lf_tok_behavior)i;
            return LF_OK;
        }
    }
    return rc ?: lf_fail(diag, LF_E_UNSUPPORTED, "behavior \"%s\" is not known", name);
}

static enum lf_err split_split(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    struct lf_tok_split *step = split_add(t, LF_TOK_SPLIT_PATTERN, diag);
    if (!step)
        return LF_E_TOO_BIG;
    if (!json_is_string(json_object_get(obj, "behavior")))
        return lf_fail(diag, LF_E_INVALID, "\"behavior\" must be a string");
    enum lf_err rc = get_behavior(&step->behavior, obj, diag);
    rc = rc ?: get_flag(&step->invert, obj, "invert", diag);
    return rc ?: get_pattern(t, &step->pattern, obj, diag);
}

enum lf_err lf_tok_split_gpt2(struct lf_tokenizer *t, struct lf_diag *diag)
{
    return split_regex(t, LF_TOK_GPT2_REGEX, LF_TOK_ISOLATED, false, diag);
}

enum lf_err lf_tok_split_llama3(struct lf_tokenizer *t, struct lf_diag *diag)
{
    return split_regex(t, LF_TOK_LLAMA3_REGEX("\\p{N}{1,3}"), LF_TOK_ISOLATED, false, diag);
}

static enum lf_err split_byte_level(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    bool prefix = false, trim = false, regex = true;
    enum lf_err rc = get_flag(&prefix, obj, "add_prefix_space", diag);
    rc = rc ?: get_flag(&trim, obj, "trim_offsets", diag);
    rc = rc ?: lf_json_get_bool(&regex, obj, "use_regex", diag);
    if (rc == LF_OK && prefix && !split_add(t, LF_TOK_SPLIT_PREFIX_SPACE, diag))
        rc = LF_E_TOO_BIG;
    if (rc == LF_OK && regex)
        rc = lf_tok_split_gpt2(t, diag);
    if (rc == LF_OK && !split_add(t, LF_TOK_SPLIT_BYTES, diag))
        rc = LF_E_TOO_BIG;
    return rc;
}

static enum lf_err split_digits(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    bool each = false;
    enum lf_err rc = get_flag(&each, obj, "individual_digits", diag);
    return rc ?: split_regex(t, "\\p{N}", each ? LF_TOK_ISOLATED : LF_TOK_CONTIGUOUS, false, diag);
}

static enum lf_err split_punctuation(struct lf_tokenizer *t, const json_t *obj,
                                     struct lf_diag *diag)
{
    enum lf_tok_behavior behavior = LF_TOK_ISOLATED;
    enum lf_err rc = get_behavior(&behavior, obj, diag);
    return rc ?: split_regex(t, "[\\p{P}!-/:-@\\[-`{-~]", behavior, false, diag);
}

static enum lf_err split_whitespace(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    (void)obj;
    return split_regex(t, "[" LF_TOK_WORD_SET "]+|[^" LF_TOK_WORD_SET "\\s]+", LF_TOK_REMOVED, true,
                       diag);
}

static enum lf_err split_whitespace_split(struct lf_tokenizer *t, const json_t *obj,
                                          struct lf_diag *diag)
{
    (void)obj;
    return split_regex(t, "\\s", LF_TOK_REMOVED, false, diag);
}

/* prepend_scheme, and the older add_prefix_space that may only say "never". */
static enum lf_err get_prepend(enum lf_tok_prepend *out, const json_t *obj, struct lf_diag *diag)
{
    static const char *const names[] = {
        [LF_TOK_PREPEND_ALWAYS] = "always",
        [LF_TOK_PREPEND_FIRST] = "first",
        [LF_TOK_PREPEND_NEVER] = "never",
    };
    const char *name = "always";
    bool prefix = true;
    enum lf_err rc = lf_json_get_str(&name, obj, "prepend_scheme", diag);
    rc = rc ?: lf_json_get_bool(&prefix, obj, "add_prefix_space", diag);
    if (rc != LF_OK)
        return rc;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        if (!prefix && i != LF_TOK_PREPEND_NEVER)
            return lf_fail(diag, LF_E_INVALID,
                           "add_prefix_space does not match the prepend_scheme");
        *out = (enum lf_tok_prepend)i;
        return LF_OK;
    }
    return lf_fail(diag, LF_E_UNSUPPORTED, "prepend_scheme \"%s\" is not known", name);
}

static enum lf_err split_metaspace(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    bool cut = true;
    struct lf_tok_split *step = split_add(t, LF_TOK_SPLIT_METASPACE, diag);
    if (!step)
        return LF_E_TOO_BIG;
    enum lf_err rc = get_char(t, &step->mark, obj, "replacement", diag);
    rc = rc ?: get_prepend(&step->prepend, obj, diag);
    rc = rc ?: lf_json_get_bool(&cut, obj, "split", diag);
    if (rc != LF_OK || !cut)
        return rc;
    struct lf_tok_split *cutter = split_add(t, LF_TOK_SPLIT_PATTERN, diag);
    if (!cutter)
        return LF_E_TOO_BIG;
    cutter->behavior = LF_TOK_MERGED_WITH_NEXT;
    return lf_tok_pattern_literal(&cutter->pattern, step->mark, diag);
}

enum lf_err lf_tok_read_pre_tokenizer(struct lf_tokenizer *t, const json_t *obj,
                                      struct lf_diag *diag)
{
    static const struct type types[] = {
        {"ByteLevel", split_byte_level, {"type", "add_prefix_space", "trim_offsets", "use_regex"}},
        {"Split", split_split, {"type", "pattern", "behavior", "invert"}},
        {"Digits", split_digits, {"type", "individual_digits"}},
        {"Punctuation", split_punctuation, {"type", "behavior"}},
        {"Whitespace", split_whitespace, {"type"}},
        {"WhitespaceSplit", split_whitespace_split, {"type"}},
        {"Metaspace",
         split_metaspace,
         {"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"}},
    };
    return read_typed(t, obj, "pretokenizers", types, COUNT(types), diag);
}

/* --- post-processors --- */

static enum lf_err template_push(struct lf_tokenizer *t, int32_t id, struct lf_diag *diag)
{
    return lf_ids_push(&t->template, id) == LF_OK
               ? LF_OK
               : lf_fail(diag, LF_E_NO_MEMORY, "no memory for the template");
}

/* {"SpecialToken": {"id", "type_id"}}: the ids that special_tokens has for it. */
static enum lf_err template_special(struct lf_tokenizer *t, const json_t *piece,
                                    const json_t *specials, struct lf_diag *diag)
{
    const char *name = NULL;
    enum lf_err rc = lf_json_get_str(&name, piece, "id", diag);
    const json_t *ids = json_object_get(json_object_get(specials, name ? name : ""), "ids");
    if (rc == LF_OK && !json_is_array(ids))
        rc = lf_fail(diag, LF_E_INVALID, "special token \"%s\" has no ids", name ? name : "");
    for (size_t i = 0; rc == LF_OK && i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= LF_VOCAB_MAX)
            rc = lf_fail(diag, LF_E_INVALID, "special token \"%s\" has a bad id", name);
        else
            rc = template_push(t, (int32_t)value, diag);
    }
    return rc;
}

static enum lf_err post_template(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    const json_t *single = json_object_get(obj, "single");
    const json_t *specials = json_object_get(obj, "special_tokens");
    if (t->template.n > 0)
        return lf_fail(diag, LF_E_UNSUPPORTED, "a second template is not supported");
    if (!json_is_array(single) || json_array_size(single) == 0 || !json_is_object(specials))
        return lf_fail(diag, LF_E_INVALID, "\"single\" or \"special_tokens\" is missing or empty");
    enum lf_err rc = LF_OK;
    for (size_t i = 0; rc == LF_OK && i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        const char *which = "";
        if (special) {
            rc = template_special(t, special, specials, diag);
            continue;
        }
        rc = lf_json_get_str(&which, json_object_get(piece, "Sequence"), "id", diag);
        if (rc == LF_OK && strcmp(which, "A") != 0)
            rc = lf_fail(diag, LF_E_INVALID, "\"single\" may hold special tokens and sequence A");
        rc = rc ?: template_push(t, LF_TOK_TEMPLATE_TEXT, diag);
    }
    return rc;
}

/* It only changes offsets. */
static enum lf_err post_byte_level(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    (void)t;
    bool flag;
    return get_flag(&flag, obj, "trim_offsets", diag);
}

enum lf_err lf_tok_read_post_processor(struct lf_tokenizer *t, const json_t *obj,
                                       struct lf_diag *diag)
{
    static const struct type types[] = {
        {"TemplateProcessing", post_template, {"type", "single", "pair", "special_tokens"}},
        {"ByteLevel", post_byte_level, {"type", "add_prefix_space", "trim_offsets", "use_regex"}},
    };
    return read_typed(t, obj, "processors", types, COUNT(types), diag);
}

/* --- decoders --- */

/* The next step, or NULL when there are too many. */
static struct lf_tok_decode *decode_add(struct lf_tokenizer *t, enum lf_tok_decode_kind kind,
                                        struct lf_diag *diag)
{
    if (t->n_decodes == LF_DECODER_STAGES_MAX) {
        lf_fail(diag, LF_E_TOO_BIG, "more than %d steps", LF_DECODER_STAGES_MAX);
        return NULL;
    }
    t->decodes[t->n_decodes].kind = kind;
    return &t->decodes[t->n_decodes++];
}

static enum lf_err decode_plain(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    const char *name = json_string_value(json_object_get(obj, "type"));
    enum lf_tok_decode_kind kind = strcmp(name, "Fuse") == 0           ? LF_TOK_DECODE_FUSE
                                   : strcmp(name, "ByteFallback") == 0 ? LF_TOK_DECODE_BYTE_FALLBACK
                                                                       : LF_TOK_DECODE_BYTES;
    return decode_add(t, kind, diag) ? LF_OK : LF_E_TOO_BIG;
}

static enum lf_err decode_replace(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    struct lf_tok_decode *step = decode_add(t, LF_TOK_DECODE_REPLACE, diag);
    if (!step)
        return LF_E_TOO_BIG;
    enum lf_err rc = get_pattern(t, &step->pattern, obj, diag);
    return rc ?: lf_tok_get_text(t, &step->text, obj, "content", diag);
}

static enum lf_err decode_strip(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    int64_t start = -1, stop = -1;
    struct lf_tok_decode *step = decode_add(t, LF_TOK_DECODE_STRIP, diag);
    if (!step)
        return LF_E_TOO_BIG;
    enum lf_err rc = get_char(t, &step->text, obj, "content", diag);
    rc = rc ?: lf_json_get_int(&start, obj, "start", 0, INT32_MAX, diag);
    rc = rc ?: lf_json_get_int(&stop, obj, "stop", 0, INT32_MAX, diag);
    if (rc == LF_OK && (start < 0 || stop < 0))
        rc = lf_fail(diag, LF_E_INVALID, "\"start\" or \"stop\" is missing");
    if (rc == LF_OK) {
        step->start = (size_t)start;
        step->stop = (size_t)stop;
    }
    return rc;
}

static enum lf_err decode_metaspace(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    enum lf_tok_prepend prepend = LF_TOK_PREPEND_ALWAYS;
    struct lf_tok_decode *step = decode_add(t, LF_TOK_DECODE_METASPACE, diag);
    if (!step)
        return LF_E_TOO_BIG;
    enum lf_err rc = get_char(t, &step->text, obj, "replacement", diag);
    rc = rc ?: get_prepend(&prepend, obj, diag);
    if (rc == LF_OK)
        step->prepends = prepend != LF_TOK_PREPEND_NEVER;
    return rc;
}

enum lf_err lf_tok_read_decoder(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    static const struct type types[] = {
        {"ByteLevel", decode_plain, {"type", "add_prefix_space", "trim_offsets", "use_regex"}},
        {"Replace", decode_replace, {"type", "pattern", "content"}},
        {"ByteFallback", decode_plain, {"type"}},
        {"Fuse", decode_plain, {"type"}},
        {"Strip", decode_strip, {"type", "content", "start", "stop"}},
        {"Metaspace",
         decode_metaspace,
         {"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"}},
    };
    return read_typed(t, obj, "decoders", types, COUNT(types), diag);
}

/* --- for the forms that have no such file --- */

enum lf_err lf_tok_byte_level(struct lf_tokenizer *t, struct lf_diag *diag)
{
    if (!split_add(t, LF_TOK_SPLIT_BYTES, diag) || !decode_add(t, LF_TOK_DECODE_BYTES, diag))
        return LF_E_TOO_BIG;
    return LF_OK;
}

enum lf_err lf_tok_read_text(struct lf_tokenizer *t, const char *json, lf_tok_read_fn read,
                             struct lf_diag *diag)
{
    json_t *value;
    enum lf_err rc = lf_json_parse(&value, json, strlen(json), diag);
    if (rc != LF_OK)
        return rc;
    rc = read(t, value, diag);
    json_decref(value);
    return rc;
}
