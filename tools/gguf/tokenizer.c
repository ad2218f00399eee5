/* The tokenizer of a GGUF file in its original's form: a tokenizer.model for SentencePiece's
 * vocabularies, a tokenizer.json for byte-level ones; and tokenizer_config.json. */
#include "tools/gguf/inside.h"

#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "text/tokenizer/parts.h"

#include <stdlib.h>
#include <string.h>

/* token_type, SentencePiece's numbers */
enum { KIND_NORMAL = 1, KIND_CONTROL = 3, KIND_USER = 4 };

struct vocabulary {
    const struct lf_gguf *g;
    struct lf_str *tokens;
    const unsigned char *kinds, *scores; /* int32 and float each; scores NULL: none */
    size_t n;
    struct lf_diag *diag;
};

static int kind_of(const struct vocabulary *v, size_t i)
{
    int32_t kind;
    memcpy(&kind, v->kinds + i * sizeof kind, sizeof kind);
    return kind;
}

static bool is_added(const struct vocabulary *v, size_t i)
{
    return kind_of(v, i) == KIND_CONTROL || kind_of(v, i) == KIND_USER;
}

static enum lf_err read_vocabulary(struct vocabulary *v)
{
    const struct lf_gguf_key *tokens = lf_gguf_find(v->g, "tokenizer.ggml.tokens");
    const struct lf_gguf_key *kinds = lf_gguf_find(v->g, "tokenizer.ggml.token_type");
    const struct lf_gguf_key *scores = lf_gguf_find(v->g, "tokenizer.ggml.scores");
    if (!tokens || tokens->kind != LF_GGUF_ARRAY || tokens->each != LF_GGUF_STR)
        return lf_fail(v->diag, LF_E_DAMAGED, "\"tokenizer.ggml.tokens\" is no list of strings");
    if (tokens->n > LF_VOCAB_MAX)
        return lf_fail(v->diag, LF_E_TOO_BIG, "%zu tokens are over the limit of %d", tokens->n,
                       LF_VOCAB_MAX);
    if (!kinds || kinds->kind != LF_GGUF_ARRAY || kinds->each != LF_GGUF_I32 ||
        kinds->n != tokens->n)
        return lf_fail(v->diag, LF_E_DAMAGED,
                       "\"tokenizer.ggml.token_type\" does not fit the "
                       "tokens");
    if (scores && scores->kind == LF_GGUF_ARRAY && scores->each == LF_GGUF_F32 &&
        scores->n == tokens->n)
        v->scores = scores->at;
    v->kinds = kinds->at;
    v->n = tokens->n;
    v->tokens = calloc(v->n + 1, sizeof *v->tokens);
    if (!v->tokens)
        return lf_no_memory(v->diag, "%zu tokens", v->n);
    const unsigned char *at = tokens->at;
    for (size_t i = 0; i < v->n; i++)
        v->tokens[i] = lf_gguf_next_str(&at);
    return LF_OK;
}

static enum lf_err write_out(const struct vocabulary *v, const struct lf_buf *b, const char *dir,
                             const char *name)
{
    char path[LF_PATH_MAX];
    if (b->rc != LF_OK)
        return lf_fail(v->diag, b->rc, "%s: no memory", name);
    if (lf_path_join(path, dir, name, v->diag) != LF_OK)
        return LF_E_INVALID;
    return lf_file_write(path, b->data, b->len, v->diag);
}

/* ---- tokenizer.model ------------------------------------------------------------------------- */

static void put_varint(struct lf_buf *b, uint64_t n)
{
    for (; n > 127; n >>= 7)
        lf_buf_putc(b, (char)(n | 128));
    lf_buf_putc(b, (char)n);
}

static void put_number(struct lf_buf *b, unsigned field, uint64_t n)
{
    put_varint(b, field << 3);
    put_varint(b, n);
}

static void put_bytes(struct lf_buf *b, unsigned field, const void *data, size_t n)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, n);
    lf_buf_append(b, data, n);
}

static void put_piece(struct lf_buf *b, struct lf_buf *one, const struct vocabulary *v, size_t i)
{
    lf_buf_reset(one);
    put_bytes(one, 1, v->tokens[i].s, v->tokens[i].n);
    put_varint(one, 2 << 3 | 5);
    lf_buf_append(one, v->scores + 4 * i, 4);
    put_number(one, 3, (uint64_t)kind_of(v, i));
    put_bytes(b, 1, lf_buf_str(one), one->len);
}

static enum lf_err write_model(const struct vocabulary *v, const char *dir)
{
    lf_buf_auto b = {0}, one = {0};
    bool prefix = true;
    if (!v->scores)
        return lf_fail(v->diag, LF_E_DAMAGED, "\"tokenizer.ggml.scores\" does not fit the tokens");
    lf_gguf_bool(v->g, "tokenizer.ggml.add_space_prefix", &prefix);
    for (size_t i = 0; i < v->n; i++)
        put_piece(&b, &one, v, i);
    lf_buf_reset(&one);
    put_number(&one, 3, 2);  /* BPE */
    put_number(&one, 35, 1); /* byte fallback */
    put_bytes(&b, 2, lf_buf_str(&one), one.len);
    lf_buf_reset(&one);
    put_bytes(&one, 1, "identity", 8);
    put_number(&one, 3, prefix);
    put_number(&one, 4, 0); /* extra white space stays */
    put_number(&one, 5, 1); /* a space is U+2581 */
    put_bytes(&b, 3, lf_buf_str(&one), one.len);
    return write_out(v, &b, dir, "tokenizer.model");
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

/* What llama.cpp calls a way to cut words. */
struct way {
    const char *name, *regex;     /* NULL: GPT-2's, which the byte level has built in */
    bool nfc, ignore_merges, bos; /* bos: where the file does not say */
};

static const struct way *find_way(const struct vocabulary *v)
{
    static const char llama3[] = LF_TOK_LLAMA3_REGEX("\\p{N}{1,3}");
    static const char qwen2[] = LF_TOK_LLAMA3_REGEX("\\p{N}");
    static const struct way ways[] = {
        {"gpt-2", NULL, false, false, false},
        {"phi-2", NULL, false, false, false},
        {"llama-bpe", llama3, false, true, true},
        {"llama3", llama3, false, true, true},
        {"llama-v3", llama3, false, true, true},
        {"dbrx", llama3, false, false, false}, /* OLMo 2 */
        {"qwen2", qwen2, true, false, false},
        {"deepseek-r1-qwen", qwen2, true, false, false},
    };
    struct lf_str name = {"", 0};
    lf_gguf_str(v->g, "tokenizer.ggml.pre", &name);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (lf_str_is(name, ways[i].name))
            return &ways[i];
    lf_fail(v->diag, LF_E_UNSUPPORTED,
            "tokenizer.ggml.pre \"%.*s\" is not supported (gpt-2, "
            "phi-2, llama-bpe, dbrx, qwen2 are)",
            (int)(name.n < 64 ? name.n : 64), name.s);
    return NULL;
}

/* Added tokens that stand behind the vocabulary are numbered there; others stay in it. */
static size_t vocabulary_end(const struct vocabulary *v)
{
    size_t end = v->n;
    while (end > 0 && is_added(v, end - 1))
        end--;
    return end;
}

static void put_pre_tokenizer(struct lf_buf *b, const struct way *way)
{
    lf_buf_puts(b, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    if (way->regex) {
        lf_buf_puts(b, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
        lf_buf_json(b, way->regex, strlen(way->regex));
        lf_buf_puts(b, "},\"behavior\":\"Isolated\",\"invert\":false},");
    }
    lf_buf_printf(b,
                  "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
                  "\"use_regex\":%s}]},",
                  way->regex ? "false" : "true");
}

static void put_added(struct lf_buf *b, const struct vocabulary *v)
{
    bool first = true;
    lf_buf_puts(b, "\"added_tokens\":[");
    for (size_t i = 0; i < v->n; i++) {
        if (!is_added(v, i))
            continue;
        lf_buf_printf(b, "%s{\"id\":%zu,\"content\":", first ? "" : ",", i);
        lf_buf_json(b, v->tokens[i].s, v->tokens[i].n);
        lf_buf_printf(b,
                      ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                      "\"normalized\":false,\"special\":%s}",
                      kind_of(v, i) == KIND_CONTROL ? "true" : "false");
        first = false;
    }
    lf_buf_puts(b, "],");
}

static void put_template(struct lf_buf *b, const struct vocabulary *v, bool bos)
{
    int64_t id = -1;
    lf_gguf_bool(v->g, "tokenizer.ggml.add_bos_token", &bos);
    lf_gguf_int(v->g, "tokenizer.ggml.bos_token_id", &id);
    if (!bos || id < 0 || (size_t)id >= v->n)
        return;
    lf_buf_puts(b, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
                   "{\"SpecialToken\":{\"id\":");
    lf_buf_json(b, v->tokens[id].s, v->tokens[id].n);
    lf_buf_puts(b, ",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
                   "\"special_tokens\":{");
    lf_buf_json(b, v->tokens[id].s, v->tokens[id].n);
    lf_buf_puts(b, ":{\"id\":");
    lf_buf_json(b, v->tokens[id].s, v->tokens[id].n);
    lf_buf_printf(b, ",\"ids\":[%lld],\"tokens\":[", (long long)id);
    lf_buf_json(b, v->tokens[id].s, v->tokens[id].n);
    lf_buf_puts(b, "]}}},");
}

static enum lf_err put_model(struct lf_buf *b, const struct vocabulary *v, const struct way *way)
{
    const struct lf_gguf_key *merges = lf_gguf_find(v->g, "tokenizer.ggml.merges");
    size_t end = vocabulary_end(v);
    if (!merges || merges->kind != LF_GGUF_ARRAY || merges->each != LF_GGUF_STR)
        return lf_fail(v->diag, LF_E_DAMAGED, "\"tokenizer.ggml.merges\" is no list of strings");
    lf_buf_printf(b, "\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,\"vocab\":{",
                  way->ignore_merges ? "true" : "false");
    for (size_t i = 0; i < end; i++) {
        lf_buf_puts(b, i ? "," : "");
        lf_buf_json(b, v->tokens[i].s, v->tokens[i].n);
        lf_buf_printf(b, ":%zu", i);
    }
    lf_buf_puts(b, "},\"merges\":[");
    const unsigned char *at = merges->at;
    for (size_t i = 0; i < merges->n; i++) {
        lf_buf_puts(b, i ? "," : "");
        struct lf_str s = lf_gguf_next_str(&at);
        lf_buf_json(b, s.s, s.n);
    }
    lf_buf_puts(b, "]}}");
    return LF_OK;
}

static enum lf_err write_json(const struct vocabulary *v, const char *dir)
{
    const struct way *way = find_way(v);
    lf_buf_auto b = {.max = LF_JSON_BYTES_MAX};
    if (!way)
        return LF_E_UNSUPPORTED;
    lf_buf_puts(&b, "{\"version\":\"1.0\",");
    put_added(&b, v);
    if (way->nfc)
        lf_buf_puts(&b, "\"normalizer\":{\"type\":\"NFC\"},");
    put_pre_tokenizer(&b, way);
    put_template(&b, v, way->bos);
    lf_buf_puts(&b, "\"decoder\":{\"type\":\"ByteLevel\"},");
    return put_model(&b, v, way) ?: write_out(v, &b, dir, "tokenizer.json");
}

/* ---- tokenizer_config.json ------------------------------------------------------------------- */

static void set_token(json_t *j, const struct vocabulary *v, const char *name, const char *key)
{
    int64_t id;
    if (lf_gguf_int(v->g, key, &id) && id >= 0 && (size_t)id < v->n)
        json_object_set_new(j, name, json_stringn(v->tokens[id].s, v->tokens[id].n));
}

static enum lf_err write_config(const struct vocabulary *v, const char *dir)
{
    lf_buf_auto b = {0};
    struct lf_str template;
    bool add;
    json_t *j = json_object();
    set_token(j, v, "bos_token", "tokenizer.ggml.bos_token_id");
    set_token(j, v, "eos_token", "tokenizer.ggml.eos_token_id");
    set_token(j, v, "unk_token", "tokenizer.ggml.unknown_token_id");
    set_token(j, v, "pad_token", "tokenizer.ggml.padding_token_id");
    if (lf_gguf_bool(v->g, "tokenizer.ggml.add_bos_token", &add))
        json_object_set_new(j, "add_bos_token", json_boolean(add));
    if (lf_gguf_bool(v->g, "tokenizer.ggml.add_eos_token", &add))
        json_object_set_new(j, "add_eos_token", json_boolean(add));
    if (lf_gguf_str(v->g, "tokenizer.chat_template", &template))
        json_object_set_new(j, "chat_template", json_stringn(template.s, template.n));
    lf_json_put(&b, j, JSON_INDENT(2));
    return write_out(v, &b, dir, "tokenizer_config.json");
}

enum lf_err lf_gguf_tokenizer(const struct lf_gguf *g, const char *dir, struct lf_diag *diag)
{
    struct vocabulary v = {.g = g, .diag = diag};
    struct lf_str model;
    if (!lf_gguf_str(g, "tokenizer.ggml.model", &model))
        return LF_OK;
    enum lf_err rc = read_vocabulary(&v);
    if (rc == LF_OK && lf_str_is(model, "llama"))
        rc = write_model(&v, dir);
    else if (rc == LF_OK && lf_str_is(model, "gpt2"))
        rc = write_json(&v, dir);
    else if (rc == LF_OK)
        rc = lf_fail(diag, LF_E_UNSUPPORTED,
                     "tokenizer.ggml.model \"%.*s\" is not supported "
                     "(llama and gpt2 are)",
                     (int)(model.n < 64 ? model.n : 64), model.s);
    rc = rc ?: write_config(&v, dir);
    free(v.tokens);
    return rc;
}
