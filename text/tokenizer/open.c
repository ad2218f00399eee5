/* Opens the tokenizer of a checkpoint's directory. */
#include "core/file.h"
#include "core/json.h"
#include "core/json_reader.h"
#include "text/tokenizer/load.h"

#include <string.h>

static enum lf_err within(struct lf_diag *diag, enum lf_err rc, const char *dir, const char *file)
{
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s/%s", dir, file);
}

/* --- the forms --- */

enum lf_err lf_tokenizer_parse_model(struct lf_tokenizer **out, const char *model, size_t n,
                                     struct lf_diag *diag)
{
    if (n > LF_JSON_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "tokenizer.model of %zu bytes is over the limit", n);
    return lf_tok_is_tiktoken(model, n) ? lf_tok_parse_tiktoken(out, model, n, diag)
                                        : lf_tok_parse_sentencepiece(out, model, n, diag);
}

typedef enum lf_err (*parse_fn)(struct lf_tokenizer **out, const char *bytes, size_t n,
                                struct lf_diag *diag);

/* Parses the file where it exists; else *out stays. */
static enum lf_err open_one(struct lf_tokenizer **out, const char *dir, const char *file,
                            parse_fn parse, struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    enum lf_err rc = lf_file_map_optional(&m, dir, file, diag);
    if (rc == LF_OK && m.data)
        rc = parse(out, m.data, m.bytes, diag);
    return within(diag, rc, dir, file);
}

static enum lf_err open_merges(struct lf_tokenizer **out, const char *dir, struct lf_diag *diag)
{
    lf_mapping_auto vocab = {0}, merges = {0}, added = {0};
    enum lf_err rc = lf_file_map_optional(&vocab, dir, "vocab.json", diag);
    rc = rc ?: lf_file_map_optional(&merges, dir, "merges.txt", diag);
    rc = rc ?: lf_file_map_optional(&added, dir, "added_tokens.json", diag);
    if (rc == LF_OK && vocab.data && merges.data)
        rc = lf_tok_parse_merges(out, lf_mapping_text(&vocab), lf_mapping_text(&merges),
                                 lf_mapping_text(&added), diag);
    return within(diag, rc, dir, "vocab.json");
}

/* --- what the other files say --- */

/* "x" or {"content": "x"}: the id of that token; *id stays where the file names none. */
static enum lf_err name_token(const struct lf_tokenizer *t, int32_t *id, struct lf_str text,
                              const char *key, struct lf_diag *diag)
{
    json_auto_t *value = NULL;
    enum lf_err rc = lf_json_reader_value(&value, text, key, diag);
    const json_t *s = json_is_object(value) ? json_object_get(value, "content") : value;
    int32_t found = json_is_string(s) ? lf_tokenizer_find(t, json_string_value(s)) : -1;
    if (found >= 0)
        *id = found;
    return rc;
}

/* The form without a post-processor: bos and eos as the file says. */
static enum lf_err read_template(struct lf_tokenizer *t, struct lf_str text, struct lf_diag *diag)
{
    bool add[2] = {t->template.ids[0] >= 0, false};
    static const char *const keys[2] = {"add_bos_token", "add_eos_token"};
    for (size_t i = 0; i < 2; i++) {
        json_auto_t *value = NULL;
        enum lf_err rc = lf_json_reader_value(&value, text, keys[i], diag);
        if (rc != LF_OK)
            return rc;
        if (json_is_boolean(value))
            add[i] = json_is_true(value);
    }
    return lf_tok_template(t, add[0], add[1], diag);
}

static enum lf_err read_config(struct lf_tokenizer *t, const char *dir, const char *file,
                               bool template, struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    enum lf_err rc = lf_file_map_optional(&m, dir, file, diag);
    struct lf_str text = lf_mapping_text(&m);
    rc = rc ?: name_token(t, &t->bos, text, "bos_token", diag);
    rc = rc ?: name_token(t, &t->eos, text, "eos_token", diag);
    if (rc == LF_OK && template)
        rc = read_template(t, text, diag);
    return within(diag, rc, dir, file);
}

enum lf_err lf_tokenizer_open(struct lf_tokenizer **out, const char *dir, struct lf_diag *diag)
{
    struct lf_tokenizer *t = NULL;
    enum lf_err rc = open_one(&t, dir, "tokenizer.json", lf_tokenizer_parse, diag);
    bool json = t != NULL;
    if (rc == LF_OK && !t)
        rc = open_one(&t, dir, "tokenizer.model", lf_tokenizer_parse_model, diag);
    if (rc == LF_OK && !t)
        rc = open_merges(&t, dir, diag);
    if (rc == LF_OK && !t)
        rc = lf_fail(diag, LF_E_NOT_FOUND,
                     "%s: no tokenizer.json, tokenizer.model or vocab.json with merges.txt", dir);
    rc = rc ?: read_config(t, dir, "special_tokens_map.json", false, diag);
    rc = rc ?: read_config(t, dir, "tokenizer_config.json", !json, diag);
    if (rc == LF_OK)
        *out = t;
    else
        lf_tokenizer_free(t);
    return rc;
}
