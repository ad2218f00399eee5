/* Opens the tokenizer of a checkpoint's directory. */
#include "core/file.h"
#include "core/json.h"
#include "core/json_reader.h"
#include "text/tokenizer/load.h"

#include <string.h>

/* A file of the directory, mapped. A missing one is empty. */
struct dir_file {
    struct lf_mapping map;
    bool exists;
    char path[LF_PATH_MAX];
};

static enum lf_err part_open(struct dir_file *p, const char *dir, const char *file,
                             struct lf_diag *diag)
{
    *p = (struct dir_file){.exists = false};
    if (lf_path_join(p->path, dir, file, diag) != LF_OK)
        return LF_E_INVALID;
    if (!lf_file_exists(p->path))
        return LF_OK;
    p->exists = true;
    return lf_file_map(&p->map, p->path, diag);
}

static struct lf_str part_text(const struct dir_file *p)
{
    return (struct lf_str){p->map.data ? (const char *)p->map.data : "", p->map.bytes};
}

static enum lf_err part_close(struct dir_file *p, enum lf_err rc, struct lf_diag *diag)
{
    lf_file_unmap(&p->map);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", p->path);
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
    struct dir_file p;
    enum lf_err rc = part_open(&p, dir, file, diag);
    if (rc == LF_OK && p.exists)
        rc = parse(out, part_text(&p).s, part_text(&p).n, diag);
    return part_close(&p, rc, diag);
}

static enum lf_err open_merges(struct lf_tokenizer **out, const char *dir, struct lf_diag *diag)
{
    struct dir_file vocab, merges, added = {.exists = false};
    enum lf_err rc = part_open(&vocab, dir, "vocab.json", diag);
    if (rc != LF_OK)
        return rc;
    rc = part_open(&merges, dir, "merges.txt", diag);
    rc = rc ?: part_open(&added, dir, "added_tokens.json", diag);
    if (rc == LF_OK && vocab.exists && merges.exists)
        rc = lf_tok_parse_merges(out, part_text(&vocab), part_text(&merges), part_text(&added),
                                 diag);
    lf_file_unmap(&merges.map);
    lf_file_unmap(&added.map);
    return part_close(&vocab, rc, diag);
}

/* --- what the other files say --- */

static enum lf_err get_member(json_t **out, struct lf_str text, const char *key,
                              struct lf_diag *diag)
{
    struct lf_str range = {0};
    *out = NULL;
    if (text.n == 0)
        return LF_OK;
    enum lf_err rc = lf_json_reader_member(&range, text.s, text.n, key, diag);
    return rc == LF_OK && range.n ? lf_json_parse(out, range.s, range.n, diag) : rc;
}

/* "x" or {"content": "x"}: the id of that token; *id stays where the file names none. */
static enum lf_err name_token(const struct lf_tokenizer *t, int32_t *id, struct lf_str text,
                              const char *key, struct lf_diag *diag)
{
    json_t *value;
    enum lf_err rc = get_member(&value, text, key, diag);
    const json_t *s = json_is_object(value) ? json_object_get(value, "content") : value;
    int32_t found = json_is_string(s) ? lf_tokenizer_find(t, json_string_value(s)) : -1;
    if (found >= 0)
        *id = found;
    json_decref(value);
    return rc;
}

/* The form without a post-processor: bos and eos as the file says. */
static enum lf_err read_template(struct lf_tokenizer *t, struct lf_str text, struct lf_diag *diag)
{
    bool add[2] = {t->template.ids[0] >= 0, false};
    static const char *const keys[2] = {"add_bos_token", "add_eos_token"};
    for (size_t i = 0; i < 2; i++) {
        json_t *value;
        enum lf_err rc = get_member(&value, text, keys[i], diag);
        if (rc != LF_OK)
            return rc;
        if (json_is_boolean(value))
            add[i] = json_is_true(value);
        json_decref(value);
    }
    return lf_tok_template(t, add[0], add[1], diag);
}

static enum lf_err read_config(struct lf_tokenizer *t, const char *dir, const char *file,
                               bool template, struct lf_diag *diag)
{
    struct dir_file p;
    enum lf_err rc = part_open(&p, dir, file, diag);
    rc = rc ?: name_token(t, &t->bos, part_text(&p), "bos_token", diag);
    rc = rc ?: name_token(t, &t->eos, part_text(&p), "eos_token", diag);
    if (rc == LF_OK && template)
        rc = read_template(t, part_text(&p), diag);
    return part_close(&p, rc, diag);
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
