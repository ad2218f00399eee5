/* From a publisher's columns to a prompt and a completion: joined, filtered, computed, worded. */
#include "land/columns.h"

#include "core/limits.h"
#include "land/limits.h"
#include "trainer/dataset.h"

#include <stdlib.h>
#include <string.h>

/* ---- Files ----------------------------------------------------------------------------------- */

/* Appends to g what matches below dir, whose own letters stand for themselves; false: nothing
 * does. */
static bool match(glob_t *g, const char *dir, const char *pattern, bool first)
{
    lf_buf_auto path = {0};
    for (; *dir; dir++) {
        if (strchr("*?[\\", *dir))
            lf_buf_putc(&path, '\\');
        lf_buf_putc(&path, *dir);
    }
    return lf_buf_printf(&path, "/%s", pattern) == LF_OK &&
           glob(path.data, first ? 0 : GLOB_APPEND, NULL, g) == 0;
}

static int missing_of(const json_t *files, const char *dir, const char **missing)
{
    int n = 0;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *pattern = json_string_value(json_array_get(files, i));
        glob_t g = {0};
        if (!match(&g, dir, pattern, true) && n++ == 0)
            *missing = pattern;
        globfree(&g);
    }
    return n;
}

int lf_columns_missing(const struct lf_task_part *p, const char *dir, const char **missing)
{
    const char *of_join = NULL;
    int n = missing_of(lf_task_files(p), dir, missing);
    int n_join = missing_of(json_object_get(lf_task_member(p, "join"), "files"), dir, &of_join);
    if (n == 0 && n_join > 0)
        *missing = of_join;
    return n + n_join;
}

static enum lf_err find_files(glob_t *g, const json_t *files, const char *dir, struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *pattern = json_string_value(json_array_get(files, i));
        if (!match(g, dir, pattern, i == 0))
            return lf_fail(diag, LF_E_NOT_FOUND, "no %s in %s", pattern, dir);
    }
    return LF_OK;
}

static enum lf_err read_files(const glob_t *g, const struct lf_rows_form *form, lf_rows_fn fn,
                              void *arg, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < g->gl_pathc && rc == LF_OK; i++)
        rc = lf_rows_read(g->gl_pathv[i], form, fn, arg, diag);
    return rc;
}

/* ---- Joined tables --------------------------------------------------------------------------- */

/* A value as a key: text as it is, all else as JSON; yours, free(). */
static char *as_key(const json_t *v)
{
    if (json_is_string(v))
        return strdup(json_string_value(v));
    return v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
}

static enum lf_err add_joined(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    struct lf_columns *c = arg;
    (void)line;
    const char *name = json_string_value(json_object_get(c->join, "key"));
    char *key = as_key(json_object_get(row, name));
    if (!key)
        return lf_fail(diag, LF_E_INVALID, "no column \"%.60s\", which \"join\" needs", name);
    int bad = json_object_set(c->joined, key, row);
    free(key);
    return bad ? lf_no_memory(diag, "a joined row") : LF_OK;
}

static void form_of(struct lf_rows_form *form, const struct lf_task_part *p)
{
    *form = (struct lf_rows_form){.format = lf_task_string(p, "format"),
                                  .encoding = lf_task_string(p, "encoding"),
                                  .columns = lf_task_member(p, "columns"),
                                  .quotes = json_is_true(lf_task_member(p, "quotes")),
                                  .rows = lf_task_member(p, "rows")};
}

static enum lf_err read_join(struct lf_columns *c, const char *dir, struct lf_diag *diag)
{
    const struct lf_task_part p = {NULL, NULL, c->join};
    struct lf_rows_form form;
    glob_t g = {0};
    form_of(&form, &p);
    if (form.format[0] == '\0')
        form.format = c->form.format;
    c->joined = json_object();
    enum lf_err rc = find_files(&g, json_object_get(c->join, "files"), dir, diag);
    rc = rc ?: read_files(&g, &form, add_joined, c, diag);
    globfree(&g);
    return rc;
}

static enum lf_err join(const struct lf_columns *c, json_t *row, struct lf_diag *diag)
{
    const char *on = json_string_value(json_object_get(c->join, "on"));
    const char *as = json_string_value(json_object_get(c->join, "as"));
    char *key = as_key(json_object_get(row, on));
    if (!key)
        return lf_fail(diag, LF_E_INVALID, "no column \"%.60s\", which \"join\" needs", on);
    json_t *found = json_object_get(c->joined, key);
    free(key);
    int bad = found ? json_object_set(row, as, found) : json_object_set_new(row, as, json_null());
    return bad ? lf_no_memory(diag, "a row") : LF_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum lf_err open_compute(struct lf_columns *c, struct lf_diag *diag)
{
    const char *name;
    json_t *source;
    json_object_foreach((json_t *)(uintptr_t)lf_task_member(&c->part, "compute"), name, source) {
        if (c->n_compute == LF_COMPUTE_MAX)
            return lf_fail(diag, LF_E_INVALID, "\"compute\" has more than %d columns",
                           LF_COMPUTE_MAX);
        enum lf_err rc = lf_chat_parse(&c->compute[c->n_compute], json_string_value(source),
                                       json_string_length(source), NULL, NULL, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "\"compute\" of \"%s\"", name);
        c->name[c->n_compute++] = name;
    }
    return LF_OK;
}

static enum lf_err open_where(struct lf_columns *c, struct lf_diag *diag)
{
    const char *where = lf_task_string(&c->part, "where");
    lf_buf_auto source = {0};
    if (where[0] == '\0')
        return LF_OK;
    enum lf_err rc = lf_buf_printf(&source, "{%% if %s %%}1{%% endif %%}", where);
    if (rc == LF_OK)
        rc = lf_chat_parse(&c->where, source.data, source.len, NULL, NULL, diag);
    else
        lf_fail(diag, rc, "no memory for a filter");
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"where\"");
}

enum lf_err lf_columns_open(struct lf_columns *c, const struct lf_task_part *p, const char *dir,
                            struct lf_diag *diag)
{
    *c = (struct lf_columns){.part = *p,
                             .prompt = lf_task_string(p, "prompt"),
                             .completion = lf_task_string(p, "completion"),
                             .join = lf_task_member(p, "join"),
                             .keep = lf_task_member(p, "keep")};
    form_of(&c->form, p);
    enum lf_err rc = lf_rows_check(&c->form, diag);
    rc = rc ?: find_files(&c->files, lf_task_files(p), dir, diag);
    rc = rc ?: open_compute(c, diag);
    rc = rc ?: open_where(c, diag);
    return rc == LF_OK && c->join ? read_join(c, dir, diag) : rc;
}

void lf_columns_close(struct lf_columns *c)
{
    for (int i = 0; i < c->n_compute; i++)
        lf_chat_free(c->compute[i]);
    lf_chat_free(c->where);
    json_decref(c->joined);
    globfree(&c->files);
    *c = (struct lf_columns){0};
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* The columns under one name, for those whose own names are no names in Jinja: row["Class Index"].
 */
static enum lf_err add_row(const struct lf_columns *c, json_t *row, struct lf_diag *diag)
{
    if ((c->n_compute == 0 && !c->where) || json_object_get(row, "row"))
        return LF_OK;
    return json_object_set_new(row, "row", json_copy(row)) == 0 ? LF_OK
                                                                : lf_no_memory(diag, "a row");
}

static enum lf_err compute(const struct lf_columns *c, json_t *row, struct lf_diag *diag)
{
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = LF_OK;
    for (int i = 0; i < c->n_compute && rc == LF_OK; i++) {
        lf_buf_reset(&text);
        rc = lf_chat_render(c->compute[i], &text, row, false, diag);
        if (rc != LF_OK)
            lf_fail_within(diag, rc, "\"compute\" of \"%s\"", c->name[i]);
        else if (json_object_set_new(row, c->name[i], json_stringn(lf_buf_str(&text), text.len)) !=
                 0)
            rc = lf_no_memory(diag, "a column");
    }
    return rc;
}

static enum lf_err passes(const struct lf_columns *c, json_t *row, bool *out, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    *out = true;
    if (!c->where)
        return LF_OK;
    enum lf_err rc = lf_chat_render(c->where, &text, row, false, diag);
    *out = text.len > 0;
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"where\"");
}

/* *out: the template's text, NULL where it is nothing but white space; yours. */
static enum lf_err word(json_t **out, const char *name, const char *template_, const json_t *row,
                        struct lf_diag *diag)
{
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    enum lf_err rc = lf_template_render(&text, template_, row, diag);
    *out = NULL;
    if (rc != LF_OK)
        lf_fail_within(diag, rc, "\"%s\"", name);
    else if (text.len > 0 && strspn(text.data, " \t\r\n") < text.len) {
        *out = json_stringn(text.data, text.len);
        rc = *out ? LF_OK : lf_no_memory(diag, "a row");
    }
    return rc;
}

static enum lf_err keep(const struct lf_columns *c, json_t *out, const json_t *row,
                        struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(c->keep); i++) {
        const char *name = json_string_value(json_array_get(c->keep, i));
        json_t *v = name ? json_object_get(row, name) : NULL;
        if (!v)
            return lf_fail(diag, LF_E_INVALID, "no column \"%.60s\", which \"keep\" names",
                           name ? name : "");
        json_object_set(out, name, v);
    }
    return LF_OK;
}

enum lf_err lf_columns_row(const struct lf_columns *c, json_t *row, json_t **out, bool *wanted,
                           struct lf_diag *diag)
{
    json_t *prompt = NULL, *completion = NULL;
    *out = NULL;
    enum lf_err rc = c->join ? join(c, row, diag) : LF_OK;
    rc = rc ?: add_row(c, row, diag) ?: passes(c, row, wanted, diag);
    if (rc != LF_OK || !*wanted)
        return rc;
    rc = compute(c, row, diag) ?: word(&prompt, "prompt", c->prompt, row, diag);
    if (rc == LF_OK && prompt)
        rc = word(&completion, "completion", c->completion, row, diag);
    if (rc == LF_OK && prompt && completion) {
        *out = json_pack("{s:O, s:O}", "prompt", prompt, "completion", completion);
        rc = *out ? keep(c, *out, row, diag) : lf_no_memory(diag, "a row");
    }
    json_decref(prompt);
    json_decref(completion);
    if (rc != LF_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}

enum lf_err lf_columns_read(const struct lf_columns *c, lf_rows_fn fn, void *arg,
                            struct lf_diag *diag)
{
    return read_files(&c->files, &c->form, fn, arg, diag);
}
