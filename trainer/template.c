/* Prompt templates: literal text with {column} places. */
#include "trainer/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum part_kind { PART_TEXT, PART_COLUMN, PART_END };

struct template_part {
    enum part_kind kind;
    const char *text; /* of the literal, or the column's name */
    size_t n;
};

/* The next part at *p, which moves behind it. A doubled brace is a literal of one. */
static enum lf_err next_part(struct template_part *out, const char **p, struct lf_diag *diag)
{
    const char *s = *p;
    if (*s == '\0') {
        *out = (struct template_part){PART_END, s, 0};
        return LF_OK;
    }
    size_t n = strcspn(s, "{}");
    if (n > 0) {
        *out = (struct template_part){PART_TEXT, s, n};
        *p = s + n;
        return LF_OK;
    }
    if (s[1] == s[0]) {
        *out = (struct template_part){PART_TEXT, s, 1};
        *p = s + 2;
        return LF_OK;
    }
    if (*s == '}')
        return lf_fail(diag, LF_E_INVALID, "a } without its {; a brace in the text is written }}");
    n = strcspn(s + 1, "{}\n");
    if (s[1 + n] != '}')
        return lf_fail(diag, LF_E_INVALID, "a { without its }; a brace in the text is written {{");
    if (n == 0)
        return lf_fail(diag, LF_E_INVALID, "{} names no column");
    *out = (struct template_part){PART_COLUMN, s + 1, n};
    *p = s + n + 2;
    return LF_OK;
}

enum lf_err lf_template_check(const char *template_, struct lf_diag *diag)
{
    struct template_part part = {PART_TEXT, NULL, 0};
    int columns = 0;
    while (part.kind != PART_END) {
        enum lf_err rc = next_part(&part, &template_, diag);
        if (rc != LF_OK)
            return rc;
        columns += part.kind == PART_COLUMN;
    }
    if (columns == 0)
        return lf_fail(diag, LF_E_INVALID, "the template names no {column}");
    return LF_OK;
}

void lf_template_only(const char *template_, char *name, size_t size)
{
    struct template_part part = {PART_TEXT, NULL, 0}, only = {PART_END, "", 0};
    while (next_part(&part, &template_, NULL) == LF_OK && part.kind != PART_END) {
        if (part.kind != PART_COLUMN)
            continue;
        if (only.n > 0 && (only.n != part.n || memcmp(only.text, part.text, part.n) != 0))
            return;
        only = part;
    }
    if (only.n > 0 && only.n < size)
        snprintf(name, size, "%.*s", (int)only.n, only.text);
}

const char *lf_row_members(char out[LF_MEMBERS_BYTES], const json_t *row)
{
    const char *key;
    json_t *value;
    snprintf(out, LF_MEMBERS_BYTES, "%s", json_object_size(row) == 0 ? "nothing" : "");
    json_object_foreach((json_t *)(uintptr_t)row, key, value) {
        size_t used = strlen(out);
        snprintf(out + used, LF_MEMBERS_BYTES - used, "%s%s", used ? ", " : "", key);
    }
    return out;
}

static enum lf_err unknown_column(const char *name, size_t n, const json_t *row,
                                  struct lf_diag *diag)
{
    char list[LF_MEMBERS_BYTES];
    return lf_fail(diag, LF_E_INVALID, "the template's {%.*s} is no column of the row; it has: %s",
                   (int)(n < 64 ? n : 64), name, lf_row_members(list, row));
}

static enum lf_err put_column(struct lf_buf *out, const char *name, size_t n, const json_t *row,
                              struct lf_diag *diag)
{
    const json_t *v = json_object_getn(row, name, n);
    if (!v)
        return unknown_column(name, n, row, diag);
    if (json_is_null(v))
        return LF_OK;
    if (json_is_string(v)) {
        lf_buf_append(out, json_string_value(v), json_string_length(v));
        return LF_OK;
    }
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (!text)
        return lf_no_memory(diag, "a column");
    lf_buf_puts(out, text);
    free(text);
    return LF_OK;
}

enum lf_err lf_template_render(struct lf_buf *out, const char *template_, const json_t *row,
                               struct lf_diag *diag)
{
    struct template_part part = {PART_TEXT, NULL, 0};
    while (part.kind != PART_END) {
        enum lf_err rc = next_part(&part, &template_, diag);
        if (rc == LF_OK && part.kind == PART_COLUMN)
            rc = put_column(out, part.text, part.n, row, diag);
        if (rc != LF_OK)
            return rc;
        if (part.kind == PART_TEXT)
            lf_buf_append(out, part.text, part.n);
    }
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "the prompt is too long");
}
