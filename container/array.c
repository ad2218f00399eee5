/* A JSON array, an item at a time. */
#include "container/inside.h"

#include "core/json.h"
#include "core/limits.h"

#include <stdio.h>
#include <string.h>

/* The next byte that is no white space is at buf.data + used; '\0': the text is over. */
static enum lf_err skip_blank(struct lf_text_rows *t, char *next, struct lf_diag *diag)
{
    struct lf_lines *l = &t->lines;
    for (;;) {
        enum lf_err rc = lf_lines_need(l, 1, diag);
        if (rc != LF_OK)
            return rc;
        *next = '\0';
        if (l->used == l->buf.len)
            return LF_OK;
        *next = l->buf.data[l->used];
        if (*next != ' ' && *next != '\t' && *next != '\r' && *next != '\n')
            return LF_OK;
        t->line += *next == '\n';
        l->used++;
    }
}

static enum lf_err fail_at(const struct lf_text_rows *t, const char *what, struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_INVALID, "line %lld: %s", (long long)t->line, what);
}

/* Bytes of the item that begins at buf.data + used: up to the comma or bracket behind it. */
static enum lf_err item_end(struct lf_text_rows *t, size_t *n, struct lf_diag *diag)
{
    struct lf_lines *l = &t->lines;
    bool in_string = false, escaped = false;
    int depth = 0;
    for (size_t i = 0;; i++) {
        enum lf_err rc = i < l->buf.len - l->used ? LF_OK : lf_lines_need(l, i + 1, diag);
        if (rc != LF_OK)
            return rc;
        if (i > LF_DATASET_LINE_MAX)
            return lf_fail(diag, LF_E_TOO_BIG, "line %lld: longer than %u bytes",
                           (long long)t->line, LF_DATASET_LINE_MAX);
        if (i >= l->buf.len - l->used)
            return fail_at(t, "the array is cut off: an item does not end", diag);
        char c = l->buf.data[l->used + i];
        *n = i;
        if (in_string) {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == ']' || c == ',') && depth == 0) {
            return LF_OK;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
}

/* The item's JSON; a reason's "line 3 column 7" counts from the file's beginning. */
static enum lf_err parse_item(struct lf_text_rows *t, json_t **row, size_t n, struct lf_diag *diag)
{
    struct lf_diag inner = {""};
    struct lf_lines *l = &t->lines;
    const char *text = l->buf.data + l->used, *why = inner.text;
    enum lf_err rc = lf_text_rows_parse(t, row, text, n, &inner);
    int within = 1, skip = 0;
    if (rc != LF_OK && sscanf(why, "line %d %n", &within, &skip) == 1)
        why += skip;
    if (rc != LF_OK)
        return lf_fail(diag, rc, "line %lld: %s", (long long)t->line + within - 1, why);
    for (const char *nl = text; (nl = memchr(nl, '\n', n - (size_t)(nl - text))) != NULL; nl++)
        t->line++;
    l->used += n;
    return LF_OK;
}

/* Past the opening bracket, or the comma behind the item before; *end: there is no other. */
static enum lf_err between(struct lf_text_rows *t, bool *end, struct lf_diag *diag)
{
    char c;
    bool first = !t->begun;
    if (first)
        t->line = 1;
    enum lf_err rc = skip_blank(t, &c, diag);
    if (rc == LF_OK && c == '\0')
        return fail_at(t, "the array is cut off: its ] is missing", diag);
    if (rc != LF_OK)
        return rc;
    *end = !first && c == ']';
    t->lines.used++;
    t->begun = true;
    rc = skip_blank(t, &c, diag);
    if (rc == LF_OK && first && c == ']') {
        *end = true;
        t->lines.used++;
        rc = skip_blank(t, &c, diag);
    }
    if (rc == LF_OK && *end && c != '\0')
        return fail_at(t, "something stands behind the array", diag);
    if (rc == LF_OK && !*end && (c == ',' || c == ']' || c == '\0'))
        return fail_at(t, "an item of the array is missing", diag);
    return rc;
}

enum lf_err lf_array_next(struct lf_text_rows *t, json_t **row, int64_t *place,
                          struct lf_diag *diag)
{
    size_t n;
    *row = NULL;
    enum lf_err rc = t->ended ? LF_OK : between(t, &t->ended, diag);
    if (rc != LF_OK || t->ended)
        return rc;
    *place = t->line;
    rc = item_end(t, &n, diag);
    return rc ?: parse_item(t, row, n, diag);
}
