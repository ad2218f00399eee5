/* JSON as rows: a line each, or found in a document by steps. */
#include "core/json.h"
#include "land/rows_inside.h"

#include <string.h>

enum lf_err lf_rows_jsonl(const struct lf_rows *r, const char *text, size_t n, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    int64_t line = 1;
    size_t at = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (; at < n && rc == LF_OK; line++) {
        const char *s = text + at, *end = memchr(s, '\n', n - at);
        size_t len = end ? (size_t)(end - s) : n - at, i = 0;
        at += len + 1;
        while (i < len && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r'))
            i++;
        if (i == len)
            continue;
        json_t *row = NULL;
        struct lf_diag why = {""};
        rc = lf_json_parse(&row, s, len, &why);
        if (rc == LF_OK && !json_is_object(row))
            rc = lf_fail(&why, LF_E_INVALID, "a row must be an object {...}");
        if (rc != LF_OK) {
            json_decref(row);
            return lf_fail(diag, rc, "line %lld: %s", (long long)line, why.text);
        }
        rc = lf_rows_give(r, row, line, diag);
    }
    return rc;
}

/* ---- A document ------------------------------------------------------------------------------ */

struct json_walk {
    const struct lf_rows *rows;
    const json_t *steps; /* NULL: one "*" */
};

static const char *step_at(const struct json_walk *w, size_t i)
{
    if (!w->steps)
        return i == 0 ? "*" : NULL;
    return json_string_value(json_array_get(w->steps, i));
}

/* The members of the objects passed so far, and value's own (without `but`); yours. */
static json_t *merge(const json_t *outer, const json_t *value, const char *but)
{
    json_t *all = lf_json_copy(outer);
    if (!all)
        return NULL;
    int bad = json_is_object(value) ? json_object_update(all, (json_t *)(uintptr_t)value)
                                    : json_object_set(all, "value", (json_t *)(uintptr_t)value);
    if (but)
        json_object_del(all, but);
    if (bad) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static enum lf_err walk(const struct json_walk *w, const json_t *outer, json_t *value, size_t i,
                        struct lf_diag *diag);

static enum lf_err walk_members(const struct json_walk *w, const json_t *outer, json_t *value,
                                size_t i, struct lf_diag *diag)
{
    const char *key;
    json_t *inner;
    enum lf_err rc = LF_OK;
    json_object_foreach(value, key, inner) {
        json_t *named = lf_json_copy(outer);
        if (!named || json_object_set_new(named, "key", json_string(key)) != 0)
            rc = lf_no_memory(diag, "a row");
        rc = rc ?: walk(w, named, inner, i + 1, diag);
        json_decref(named);
        if (rc != LF_OK)
            break;
    }
    return rc;
}

static enum lf_err walk(const struct json_walk *w, const json_t *outer, json_t *value, size_t i,
                        struct lf_diag *diag)
{
    const char *step = step_at(w, i);
    if (!step)
        return lf_rows_give(w->rows, merge(outer, value, NULL), 0, diag);
    enum lf_err rc = LF_OK;
    if (strcmp(step, "*") == 0) {
        if (json_is_object(value))
            return walk_members(w, outer, value, i, diag);
        if (!json_is_array(value))
            return lf_fail(diag, LF_E_INVALID, "no list or object where \"rows\" has \"*\"");
        for (size_t k = 0; k < json_array_size(value) && rc == LF_OK; k++)
            rc = walk(w, outer, json_array_get(value, k), i + 1, diag);
        return rc;
    }
    json_t *inner = json_object_get(value, step);
    if (!inner)
        return lf_fail(diag, LF_E_INVALID, "no \"%.60s\" where \"rows\" has it", step);
    json_auto_t *passed = merge(outer, value, step);
    return passed ? walk(w, passed, inner, i + 1, diag) : lf_no_memory(diag, "a row");
}

enum lf_err lf_rows_json(const struct lf_rows *r, const char *text, size_t n, struct lf_diag *diag)
{
    struct json_walk w = {r, r->form->rows};
    json_auto_t *root = NULL, *nothing = json_object();
    size_t skip = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return lf_json_parse(&root, text + skip, n - skip, diag) ?: walk(&w, nothing, root, 0, diag);
}
