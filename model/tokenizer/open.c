/* Opens the tokenizer of a checkpoint's directory. */
#include "core/file.h"
#include "core/json.h"
#include "core/json_reader.h"
#include "model/tokenizer/parts.h"

#include <stdio.h>
#include <string.h>

/* "x" or {"content": "x"}: the id of that token; *id stays where the file names none. */
static enum lf_err name_token(const struct lf_tokenizer *t, int32_t *id, const struct lf_map *m,
                              const char *key, struct lf_diag *diag)
{
    struct lf_str range;
    json_t *value;
    enum lf_err rc = lf_json_reader_member(&range, (const char *)m->data, m->bytes, key, diag);
    if (rc != LF_OK || range.n == 0)
        return rc;
    rc = lf_json_parse(&value, range.s, range.n, diag);
    if (rc != LF_OK)
        return rc;
    const json_t *s = json_is_object(value) ? json_object_get(value, "content") : value;
    int32_t found = json_is_string(s) ? lf_tokenizer_find(t, json_string_value(s)) : -1;
    if (found >= 0)
        *id = found;
    json_decref(value);
    return LF_OK;
}

/* bos and eos as a file of the directory names them. */
static enum lf_err read_names(struct lf_tokenizer *t, const char *dir, const char *file,
                              struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_map m;
    if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", dir);
    if (!lf_file_exists(path))
        return LF_OK;
    enum lf_err rc = lf_file_map(&m, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = name_token(t, &t->bos, &m, "bos_token", diag);
    if (rc == LF_OK)
        rc = name_token(t, &t->eos, &m, "eos_token", diag);
    lf_file_unmap(&m);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

typedef enum lf_err (*parse_fn)(struct lf_tokenizer **out, const char *bytes, size_t n,
                                struct lf_diag *diag);

static enum lf_err parse_file(struct lf_tokenizer **out, const char *path, parse_fn parse,
                              struct lf_diag *diag)
{
    struct lf_map m;
    enum lf_err rc = lf_file_map(&m, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = parse(out, m.data ? (const char *)m.data : "", m.bytes, diag);
    lf_file_unmap(&m);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

enum lf_err lf_tokenizer_open(struct lf_tokenizer **out, const char *dir, struct lf_diag *diag)
{
    static const struct {
        const char *file;
        parse_fn parse;
    } forms[] = {
        {"tokenizer.json", lf_tokenizer_parse},
    };
    char path[LF_PATH_MAX];
    struct lf_tokenizer *t = NULL;
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && !t && rc == LF_OK; i++) {
        if (snprintf(path, sizeof path, "%s/%s", dir, forms[i].file) >= (int)sizeof path)
            return lf_fail(diag, LF_E_INVALID, "%s: path too long", dir);
        if (lf_file_exists(path))
            rc = parse_file(&t, path, forms[i].parse, diag);
    }
    if (rc == LF_OK && !t)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s: no tokenizer.json", dir);
    if (rc == LF_OK)
        rc = read_names(t, dir, "special_tokens_map.json", diag);
    if (rc == LF_OK)
        rc = read_names(t, dir, "tokenizer_config.json", diag);
    if (rc != LF_OK) {
        lf_tokenizer_free(t);
        return rc;
    }
    *out = t;
    return LF_OK;
}
