/* The components of a tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder. Each is
 * null, {"type": ...} or a Sequence of such, which is flattened. What is not known is refused by
 * its name. */
#include "text/limits.h"
#include "text/tokenizer/load.h"

#include "core/utf8.h"

#include <string.h>

/* One type of a component: its name, the step that it adds, what reads the rest of that step (NULL:
 * there is no more), and its keys. */
struct type {
    const char *name;
    int kind;
    void (*read)(struct lf_tokenizer *t, void *step, struct lf_json_in *in);
    const char *keys[8];
};

struct component {
    const char *list_key; /* where a Sequence has its list */
    /* The next step; NULL with in->rc where there are too many. No function: `read` adds steps. */
    void *(*add)(struct lf_tokenizer *t, int kind, struct lf_json_in *in);
    const struct type *types;
    size_t n_types;
};

/* Of what stands in several places of a file. */
#define BYTE_LEVEL_KEYS "type", "add_prefix_space", "trim_offsets", "use_regex"
#define METASPACE_KEYS \
    "type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define COMPONENT(list_key, add, types) ((struct component){list_key, add, types, COUNT(types)})

static enum lf_err read_component(struct lf_tokenizer *t, const json_t *obj, struct component c,
                                  struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(obj, diag);
    if (!obj || json_is_null(obj))
        return LF_OK;
    const char *name = lf_json_need_str(&in, "type");
    if (in.rc != LF_OK)
        return in.rc;
    if (strcmp(name, "Sequence") == 0) {
        const char *const known[] = {"type", c.list_key, NULL};
        const json_t *list = json_object_get(obj, c.list_key);
        enum lf_err rc = lf_json_only(obj, known, diag);
        if (rc == LF_OK && !json_is_array(list))
            rc = lf_fail(diag, LF_E_INVALID, "\"%s\" must be a list", c.list_key);
        for (size_t i = 0; rc == LF_OK && i < json_array_size(list); i++)
            rc = read_component(t, json_array_get(list, i), c, diag);
        return rc;
    }
    const struct type *type = c.types, *end = c.types + c.n_types;
    while (type < end && strcmp(type->name, name) != 0)
        type++;
    if (type == end)
        return lf_fail(diag, LF_E_UNSUPPORTED, "type \"%s\" is not supported", name);
    in.rc = lf_json_only(obj, type->keys, diag);
    void *step = in.rc == LF_OK && c.add ? c.add(t, type->kind, &in) : NULL;
    if (in.rc == LF_OK && type->read)
        type->read(t, step, &in);
    return in.rc == LF_OK ? LF_OK : lf_fail_within(diag, in.rc, "%s", name);
}

static bool is_full(size_t n, size_t max, struct lf_json_in *in)
{
    if (n == max)
        in->rc = lf_fail(in->diag, LF_E_TOO_BIG, "more than %zu steps", max);
    return n == max;
}

/* --- values --- */

void lf_tok_get_text(struct lf_tokenizer *t, struct lf_str *out, struct lf_json_in *in,
                     const char *key)
{
    const json_t *v = json_object_get(in->obj, key);
    if (in->rc == LF_OK)
        in->rc = json_is_string(v)
                     ? lf_tok_strdup(&t->arena, out, json_string_value(v), json_string_length(v),
                                     in->diag)
                     : lf_fail(in->diag, LF_E_INVALID, "\"%s\" must be a string", key);
}

static void get_char(struct lf_tokenizer *t, struct lf_str *out, struct lf_json_in *in,
                     const char *key)
{
    lf_tok_get_text(t, out, in, key);
    if (in->rc == LF_OK && (out->n == 0 || lf_utf8_len(out->s, out->n) != out->n))
        in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" must be one character", key);
}

/* {"String": "..."} or {"Regex": "..."} */
static void get_pattern(struct lf_tokenizer *t, struct lf_tok_pattern *out, struct lf_json_in *in)
{
    struct lf_json_in p = lf_json_in(json_object_get(in->obj, "pattern"), in->diag);
    bool regex = json_object_get(p.obj, "Regex") != NULL;
    struct lf_str s;
    if (in->rc != LF_OK)
        return;
    lf_tok_get_text(t, &s, &p, regex ? "Regex" : "String");
    if (p.rc == LF_OK && json_object_size(p.obj) != 1)
        p.rc = lf_fail(in->diag, LF_E_INVALID, "more than one pattern");
    if (p.rc == LF_OK)
        p.rc = regex ? lf_tok_pattern_regex(out, s.s, s.n, in->diag)
                     : lf_tok_pattern_literal(out, s, in->diag);
    in->rc = p.rc == LF_OK ? LF_OK : lf_fail_within(in->diag, p.rc, "pattern");
}

/* A flag that must be there where the library insists on it. */
static bool get_flag(struct lf_json_in *in, const char *key)
{
    if (in->rc == LF_OK && !json_is_boolean(json_object_get(in->obj, key)))
        in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" must be true or false", key);
    return lf_json_bool(in, key, false);
}

/* --- normalizers --- */

static void *norm_add(struct lf_tokenizer *t, int kind, struct lf_json_in *in)
{
    if (is_full(t->n_norms, LF_TOK_STEPS_MAX, in))
        return NULL;
    t->norms[t->n_norms].kind = (enum lf_tok_norm_kind)kind;
    return &t->norms[t->n_norms++];
}

static void norm_prepend(struct lf_tokenizer *t, void *step, struct lf_json_in *in)
{
    lf_tok_get_text(t, &((struct lf_tok_norm *)step)->text, in, "prepend");
}

static void norm_replace(struct lf_tokenizer *t, void *step, struct lf_json_in *in)
{
    struct lf_tok_norm *norm = step;
    get_pattern(t, &norm->pattern, in);
    lf_tok_get_text(t, &norm->text, in, "content");
}

static void norm_unicode(struct lf_tokenizer *t, void *step, struct lf_json_in *in)
{
    struct lf_tok_norm *norm = step;
    const char *name = lf_json_text_of(in->obj, "type");
    (void)t;
    norm->compose = strchr(name, 'C') != NULL;
    norm->compat = strchr(name, 'K') != NULL;
}

static void norm_strip(struct lf_tokenizer *t, void *step, struct lf_json_in *in)
{
    struct lf_tok_norm *norm = step;
    (void)t;
    norm->left = get_flag(in, "strip_left");
    norm->right = get_flag(in, "strip_right");
}

enum lf_err lf_tok_read_normalizer(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    static const struct type types[] = {
        {"Prepend", LF_TOK_NORM_PREPEND, norm_prepend, {"type", "prepend"}},
        {"Replace", LF_TOK_NORM_REPLACE, norm_replace, {"type", "pattern", "content"}},
        {"NFC", LF_TOK_NORM_UNICODE, norm_unicode, {"type"}},
        {"NFD", LF_TOK_NORM_UNICODE, norm_unicode, {"type"}},
        {"NFKC", LF_TOK_NORM_UNICODE, norm_unicode, {"type"}},
        {"NFKD", LF_TOK_NORM_UNICODE, norm_unicode, {"type"}},
        {"Lowercase", LF_TOK_NORM_LOWERCASE, NULL, {"type"}},
        {"Strip", LF_TOK_NORM_STRIP, norm_strip, {"type", "strip_left", "strip_right"}},
    };
    return read_component(t, obj, COMPONENT("normalizers", norm_add, types), diag);
}

/* --- pre-tokenizers --- */

static struct lf_tok_split *split_add(struct lf_tokenizer *t, enum lf_tok_split_kind kind,
                                      struct lf_json_in *in)
{
    if (in->rc != LF_OK || is_full(t->n_splits, LF_TOK_STEPS_MAX, in))
        return NULL;
    t->splits[t->n_splits].kind = kind;
    return &t->splits[t->n_splits++];
}

/* A step that cuts by a regex of our own. */
static void split_regex(struct lf_tokenizer *t, const char *regex, enum lf_tok_behavior behavior,
                        bool invert, struct lf_json_in *in)
{
    struct lf_tok_split *step = split_add(t, LF_TOK_SPLIT_PATTERN, in);
    if (!step)
        return;
    step->behavior = behavior;
    step->invert = invert;
    in->rc = lf_tok_pattern_regex(&step->pattern, regex, strlen(regex), in->diag);
}

static enum lf_tok_behavior get_behavior(struct lf_json_in *in, enum lf_tok_behavior otherwise)
{
    static const char *const names[] = {
        [LF_TOK_REMOVED] = "Removed",
        [LF_TOK_ISOLATED] = "Isolated",
        [LF_TOK_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [LF_TOK_MERGED_WITH_NEXT] = "MergedWithNext",
        [LF_TOK_CONTIGUOUS] = "Contiguous",
        NULL,
    };
    return (enum lf_tok_behavior)lf_json_word(in, "behavior", (int)otherwise, names);
}

static void split_split(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    struct lf_tok_split *step = split_add(t, LF_TOK_SPLIT_PATTERN, in);
    (void)none;
    if (!step || !lf_json_need_str(in, "behavior"))
        return;
    step->behavior = get_behavior(in, LF_TOK_REMOVED);
    step->invert = get_flag(in, "invert");
    get_pattern(t, &step->pattern, in);
}

enum lf_err lf_tok_split_gpt2(struct lf_tokenizer *t, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(NULL, diag);
    split_regex(t, LF_TOK_GPT2_REGEX, LF_TOK_ISOLATED, false, &in);
    return in.rc;
}

enum lf_err lf_tok_split_llama3(struct lf_tokenizer *t, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(NULL, diag);
    split_regex(t, LF_TOK_LLAMA3_REGEX("\\p{N}{1,3}"), LF_TOK_ISOLATED, false, &in);
    return in.rc;
}

static void split_byte_level(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    bool prefix = get_flag(in, "add_prefix_space"), regex = lf_json_bool(in, "use_regex", true);
    (void)none;
    get_flag(in, "trim_offsets");
    if (prefix)
        split_add(t, LF_TOK_SPLIT_PREFIX_SPACE, in);
    if (regex)
        split_regex(t, LF_TOK_GPT2_REGEX, LF_TOK_ISOLATED, false, in);
    split_add(t, LF_TOK_SPLIT_BYTES, in);
}

static void split_digits(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    bool each = get_flag(in, "individual_digits");
    (void)none;
    split_regex(t, "\\p{N}", each ? LF_TOK_ISOLATED : LF_TOK_CONTIGUOUS, false, in);
}

static void split_punctuation(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    (void)none;
    split_regex(t, "[\\p{P}!-/:-@\\[-`{-~]", get_behavior(in, LF_TOK_ISOLATED), false, in);
}

static void split_whitespace(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    (void)none;
    if (strcmp(lf_json_text_of(in->obj, "type"), "WhitespaceSplit") == 0)
        split_regex(t, "\\s", LF_TOK_REMOVED, false, in);
    else
        split_regex(t, "[" LF_TOK_WORD_SET "]+|[^" LF_TOK_WORD_SET "\\s]+", LF_TOK_REMOVED, true,
                    in);
}

/* prepend_scheme, and the older add_prefix_space that may only say "never". */
static enum lf_tok_prepend get_prepend(struct lf_json_in *in)
{
    static const char *const names[] = {
        [LF_TOK_PREPEND_ALWAYS] = "always",
        [LF_TOK_PREPEND_FIRST] = "first",
        [LF_TOK_PREPEND_NEVER] = "never",
        NULL,
    };
    int scheme = lf_json_word(in, "prepend_scheme", LF_TOK_PREPEND_ALWAYS, names);
    if (!lf_json_bool(in, "add_prefix_space", true) && scheme != LF_TOK_PREPEND_NEVER &&
        in->rc == LF_OK)
        in->rc =
            lf_fail(in->diag, LF_E_INVALID, "add_prefix_space does not match the prepend_scheme");
    return (enum lf_tok_prepend)scheme;
}

static void split_metaspace(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    struct lf_tok_split *step = split_add(t, LF_TOK_SPLIT_METASPACE, in);
    (void)none;
    if (!step)
        return;
    get_char(t, &step->mark, in, "replacement");
    step->prepend = get_prepend(in);
    struct lf_tok_split *cutter =
        lf_json_bool(in, "split", true) ? split_add(t, LF_TOK_SPLIT_PATTERN, in) : NULL;
    if (!cutter)
        return;
    cutter->behavior = LF_TOK_MERGED_WITH_NEXT;
    in->rc = lf_tok_pattern_literal(&cutter->pattern, step->mark, in->diag);
}

enum lf_err lf_tok_read_pre_tokenizer(struct lf_tokenizer *t, const json_t *obj,
                                      struct lf_diag *diag)
{
    static const struct type types[] = {
        {"ByteLevel", 0, split_byte_level, {BYTE_LEVEL_KEYS}},
        {"Split", 0, split_split, {"type", "pattern", "behavior", "invert"}},
        {"Digits", 0, split_digits, {"type", "individual_digits"}},
        {"Punctuation", 0, split_punctuation, {"type", "behavior"}},
        {"Whitespace", 0, split_whitespace, {"type"}},
        {"WhitespaceSplit", 0, split_whitespace, {"type"}},
        {"Metaspace", 0, split_metaspace, {METASPACE_KEYS}},
    };
    return read_component(t, obj, COMPONENT("pretokenizers", NULL, types), diag);
}

/* --- post-processors --- */

static void template_push(struct lf_tokenizer *t, int32_t id, struct lf_json_in *in)
{
    if (in->rc == LF_OK && lf_ids_push(&t->template, id) != LF_OK)
        in->rc = lf_no_memory(in->diag, "the template");
}

/* {"SpecialToken": {"id", "type_id"}}: the ids that special_tokens has for it. */
static void template_special(struct lf_tokenizer *t, const char *name, const json_t *specials,
                             struct lf_json_in *in)
{
    const json_t *ids = json_object_get(json_object_get(specials, name), "ids");
    if (in->rc == LF_OK && !json_is_array(ids))
        in->rc = lf_fail(in->diag, LF_E_INVALID, "special token \"%s\" has no ids", name);
    for (size_t i = 0; in->rc == LF_OK && i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= LF_VOCAB_MAX)
            in->rc = lf_fail(in->diag, LF_E_INVALID, "special token \"%s\" has a bad id", name);
        template_push(t, (int32_t)value, in);
    }
}

static void post_template(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    const json_t *single = json_object_get(in->obj, "single");
    const json_t *specials = json_object_get(in->obj, "special_tokens");
    (void)none;
    if (t->template.n > 0)
        in->rc = lf_fail(in->diag, LF_E_UNSUPPORTED, "a second template is not supported");
    else if (!json_is_array(single) || json_array_size(single) == 0 || !json_is_object(specials))
        in->rc =
            lf_fail(in->diag, LF_E_INVALID, "\"single\" or \"special_tokens\" is missing or empty");
    for (size_t i = 0; in->rc == LF_OK && i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        struct lf_json_in of =
            lf_json_in(special ? special : json_object_get(piece, "Sequence"), in->diag);
        const char *which = lf_json_str(&of, "id", "");
        if (of.rc == LF_OK && special)
            template_special(t, which, specials, &of);
        else if (of.rc == LF_OK && strcmp(which, "A") != 0)
            of.rc = lf_fail(in->diag, LF_E_INVALID,
                            "\"single\" may hold special tokens and sequence A");
        if (!special)
            template_push(t, LF_TOK_TEMPLATE_TEXT, &of);
        in->rc = of.rc;
    }
}

/* It only changes offsets. */
static void post_byte_level(struct lf_tokenizer *t, void *none, struct lf_json_in *in)
{
    (void)t;
    (void)none;
    get_flag(in, "trim_offsets");
}

enum lf_err lf_tok_read_post_processor(struct lf_tokenizer *t, const json_t *obj,
                                       struct lf_diag *diag)
{
    static const struct type types[] = {
        {"TemplateProcessing", 0, post_template, {"type", "single", "pair", "special_tokens"}},
        {"ByteLevel", 0, post_byte_level, {BYTE_LEVEL_KEYS}},
    };
    return read_component(t, obj, COMPONENT("processors", NULL, types), diag);
}

/* --- decoders --- */

static void *decode_add(struct lf_tokenizer *t, int kind, struct lf_json_in *in)
{
    if (is_full(t->n_decodes, LF_DECODER_STAGES_MAX, in))
        return NULL;
    t->decodes[t->n_decodes].kind = (enum lf_tok_decode_kind)kind;
    return &t->decodes[t->n_decodes++];
}

static void decode_replace(struct lf_tokenizer *t, void *step, struct lf_json_in *in)
{
    struct lf_tok_decode *decode = step;
    get_pattern(t, &decode->pattern, in);
    lf_tok_get_text(t, &decode->text, in, "content");
}

static void decode_strip(struct lf_tokenizer *t, void *step, struct lf_json_in *in)
{
    struct lf_tok_decode *decode = step;
    get_char(t, &decode->text, in, "content");
    int start = lf_json_int(in, "start", -1, 0, INT32_MAX);
    int stop = lf_json_int(in, "stop", -1, 0, INT32_MAX);
    if (in->rc == LF_OK && (start < 0 || stop < 0))
        in->rc = lf_fail(in->diag, LF_E_INVALID, "\"start\" or \"stop\" is missing");
    decode->start = (size_t)start;
    decode->stop = (size_t)stop;
}

static void decode_metaspace(struct lf_tokenizer *t, void *step, struct lf_json_in *in)
{
    struct lf_tok_decode *decode = step;
    get_char(t, &decode->text, in, "replacement");
    decode->prepends = get_prepend(in) != LF_TOK_PREPEND_NEVER;
}

enum lf_err lf_tok_read_decoder(struct lf_tokenizer *t, const json_t *obj, struct lf_diag *diag)
{
    static const struct type types[] = {
        {"ByteLevel", LF_TOK_DECODE_BYTES, NULL, {BYTE_LEVEL_KEYS}},
        {"Replace", LF_TOK_DECODE_REPLACE, decode_replace, {"type", "pattern", "content"}},
        {"ByteFallback", LF_TOK_DECODE_BYTE_FALLBACK, NULL, {"type"}},
        {"Fuse", LF_TOK_DECODE_FUSE, NULL, {"type"}},
        {"Strip", LF_TOK_DECODE_STRIP, decode_strip, {"type", "content", "start", "stop"}},
        {"Metaspace", LF_TOK_DECODE_METASPACE, decode_metaspace, {METASPACE_KEYS}},
    };
    return read_component(t, obj, COMPONENT("decoders", decode_add, types), diag);
}

/* --- for the forms that have no such file --- */

enum lf_err lf_tok_byte_level(struct lf_tokenizer *t, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(NULL, diag);
    split_add(t, LF_TOK_SPLIT_BYTES, &in);
    decode_add(t, LF_TOK_DECODE_BYTES, &in);
    return in.rc;
}

enum lf_err lf_tok_read_text(struct lf_tokenizer *t, const char *json, lf_tok_read_fn read,
                             struct lf_diag *diag)
{
    json_auto_t *value = NULL;
    return lf_json_parse(&value, json, strlen(json), diag) ?: read(t, value, diag);
}
