/* Tagged tokens, one a line, as sentences. */
#include "land/rows_inside.h"

#include <string.h>

#define SPACE " \t\r"

/* A sentence so far. */
struct sentence {
    json_t *tokens, *tags;
    int64_t line; /* of its first token */
};

static enum lf_err begin(struct sentence *s, struct lf_diag *diag)
{
    *s = (struct sentence){json_array(), json_array(), 0};
    return s->tokens && s->tags ? LF_OK : lf_no_memory(diag, "a sentence");
}

static const char *tag_of(const struct sentence *s, size_t i)
{
    return json_string_value(json_array_get(s->tags, i));
}

/* Tokens from..to with a space between; yours. */
static json_t *join(const struct sentence *s, size_t from, size_t to)
{
    lf_buf_auto text = {0};
    for (size_t i = from; i < to; i++) {
        const json_t *t = json_array_get(s->tokens, i);
        if (i > from)
            lf_buf_putc(&text, ' ');
        lf_buf_append(&text, json_string_value(t), json_string_length(t));
    }
    return text.rc == LF_OK ? json_stringn(lf_buf_str(&text), text.len) : NULL;
}

/* Whether token i goes on with the entity of the token before it: I-X after B-X or I-X. */
static bool goes_on(const struct sentence *s, size_t i)
{
    const char *tag = tag_of(s, i), *before = tag_of(s, i - 1);
    return strncmp(tag, "I-", 2) == 0 && strlen(before) > 2 && before[1] == '-' &&
           strcmp(before + 2, tag + 2) == 0;
}

static json_t *spans(const struct sentence *s)
{
    json_t *list = json_array();
    size_t n = json_array_size(s->tokens);
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        const char *tag = tag_of(s, i);
        if (strncmp(tag, "B-", 2) == 0 || strncmp(tag, "I-", 2) == 0) {
            while (end < n && goes_on(s, end))
                end++;
            json_array_append_new(
                list, json_pack("{s:s, s:o}", "type", tag + 2, "text", join(s, i, end)));
        }
        i = end;
    }
    return list;
}

static json_t *by_tag(const struct sentence *s)
{
    json_t *all = json_object();
    for (size_t i = 0; i < json_array_size(s->tokens); i++) {
        const char *tag = tag_of(s, i);
        if (strcmp(tag, "O") == 0)
            continue;
        if (!json_object_get(all, tag))
            json_object_set_new(all, tag, json_array());
        json_array_append(json_object_get(all, tag), json_array_get(s->tokens, i));
    }
    return all;
}

/* Hands the sentence over, where it has tokens, and begins the next one. */
static enum lf_err end_sentence(const struct lf_rows *r, struct sentence *s, struct lf_diag *diag)
{
    if (json_array_size(s->tokens) == 0)
        return LF_OK;
    size_t n = json_array_size(s->tokens);
    json_t *row = json_pack("{s:O, s:O, s:o, s:o, s:o}", "tokens", s->tokens, "tags", s->tags,
                            "text", join(s, 0, n), "spans", spans(s), "by_tag", by_tag(s));
    enum lf_err rc = lf_rows_give(r, row, s->line, diag);
    json_decref(s->tokens);
    json_decref(s->tags);
    enum lf_err begun = begin(s, diag);
    return rc ?: begun;
}

static enum lf_err add_token(struct sentence *s, const char *text, size_t n, int64_t line,
                             struct lf_diag *diag)
{
    size_t token = strcspn(text, SPACE), from = n;
    token = token < n ? token : n;
    while (from > 0 && !strchr(SPACE, text[from - 1]))
        from--;
    if (token == n || from == 0)
        return lf_fail(diag, LF_E_INVALID, "line %lld: a token without a tag", (long long)line);
    if (json_array_append_new(s->tokens, lf_rows_string(text, token)) != 0 ||
        json_array_append_new(s->tags, lf_rows_string(text + from, n - from)) != 0)
        return lf_no_memory(diag, "a sentence");
    if (s->line == 0)
        s->line = line;
    return LF_OK;
}

enum lf_err lf_rows_conll(const struct lf_rows *r, const char *text, size_t n, struct lf_diag *diag)
{
    struct sentence s;
    lf_buf_auto copy = {0}; /* a line with a NUL behind it */
    enum lf_err rc = begin(&s, diag);
    int64_t line = 1;
    for (size_t at = 0; at < n && rc == LF_OK; line++) {
        const char *from = text + at, *end = memchr(from, '\n', n - at);
        size_t len = end ? (size_t)(end - from) : n - at;
        at += len + 1;
        while (len > 0 && strchr(SPACE, from[len - 1]) && from[len - 1])
            len--;
        lf_buf_reset(&copy);
        if (lf_buf_append(&copy, from, len) != LF_OK)
            rc = lf_fail(diag, copy.rc, "line %lld: no memory", (long long)line);
        else if (len == 0)
            rc = end_sentence(r, &s, diag);
        else if (strncmp(copy.data, "-DOCSTART-", 10) != 0)
            rc = add_token(&s, copy.data, len, line, diag);
    }
    rc = rc ?: end_sentence(r, &s, diag);
    json_decref(s.tokens);
    json_decref(s.tags);
    return rc;
}
