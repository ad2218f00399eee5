/* Reading a study's file. */
#include "land/study.h"

#include "core/file.h"
#include "core/json.h"
#include "land/limits.h"
#include "trainer/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Words and paths ------------------------------------------------------------------------- */

/* A path of the file, relative to the folder that the file is in. */
static enum lf_err place(char out[LF_PATH_MAX], const char *folder, const char *path,
                         struct lf_diag *diag)
{
    int n = path[0] == '/' ? snprintf(out, LF_PATH_MAX, "%s", path)
                           : snprintf(out, LF_PATH_MAX, "%s/%s", folder, path);
    return n < LF_PATH_MAX ? LF_OK : lf_fail(diag, LF_E_INVALID, "\"%.80s\" is too long", path);
}

/* The last part of a path without its suffix, as a name. */
static enum lf_err name_of(char out[LF_NAME_MAX + 1], const char *path, bool cut_suffix,
                           const char *what, struct lf_diag *diag)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/')
        from--;
    const char *dot = cut_suffix ? memrchr(path + from, '.', n - from) : NULL;
    if (dot && dot > path + from)
        n = (size_t)(dot - path);
    if (n - from <= LF_NAME_MAX)
        snprintf(out, LF_NAME_MAX + 1, "%.*s", (int)(n - from), path + from);
    if (n - from > LF_NAME_MAX || !lf_name_ok(out))
        return lf_fail(diag, LF_E_INVALID, "\"%.200s\" gives no name of a %s", path, what);
    return LF_OK;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

/* "bases/x", or {"base": "bases/x", ...}: the string under `key`, or the entry itself. */
static enum lf_err entry_word(const char **out, const json_t *entry, const char *key,
                              const char *const *known, struct lf_diag *diag)
{
    *out = json_string_value(entry);
    if (*out)
        return LF_OK;
    if (!json_is_object(entry))
        return lf_fail(diag, LF_E_INVALID, "an entry must be a string or an object");
    struct lf_json_in in = {entry, diag, lf_json_only(entry, known, diag)};
    *out = lf_json_str(&in, key, NULL);
    return in.rc == LF_OK && !*out ? lf_fail(diag, LF_E_INVALID, "an entry without \"%s\"", key)
                                   : in.rc;
}

/* `name` is none of the n before it, which are `size` bytes apart. */
static enum lf_err check_new(const char *name, const char *first, int n, size_t size,
                             const char *what, struct lf_diag *diag)
{
    for (int i = 0; i < n; i++)
        if (strcmp(first + (size_t)i * size, name) == 0)
            return lf_fail(diag, LF_E_INVALID, "two %s are called %s", what, name);
    return LF_OK;
}

/* What the paths of a file are relative to. */
struct roots {
    char folder[LF_PATH_MAX]; /* of the file itself */
    const struct lf_study_places *places;
};

static enum lf_err read_base(struct lf_study_base *b, const json_t *entry,
                             const struct roots *roots, struct lf_diag *diag)
{
    static const char *const known[] = {"base", "settings", NULL};
    const char *dir;
    enum lf_err rc = entry_word(&dir, entry, "base", known, diag);
    rc = rc ?: name_of(b->name, dir, false, "base", diag);
    if (rc == LF_OK)
        rc = roots->places->bases ? place(b->dir, roots->places->bases, b->name, diag)
                                  : place(b->dir, roots->folder, dir, diag);
    struct lf_json_in in = lf_json_in(entry, diag);
    b->settings = lf_json_object(&in, "settings");
    return rc ?: in.rc;
}

/* *t holds the study's defaults. */
static enum lf_err read_task(struct lf_study_task *t, const json_t *entry,
                             const struct roots *roots, struct lf_diag *diag)
{
    static const char *const known[] = {"task",  "name",         "data",     "rows", "eval_rows",
                                        "shots", "test_percent", "settings", NULL};
    const char *what;
    enum lf_err rc = entry_word(&what, entry, "task", known, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_json_in in = lf_json_in(entry, diag);
    const char *name = lf_json_str(&in, "name", NULL), *data = lf_json_str(&in, "data", NULL);
    t->rows = lf_json_int64(&in, "rows", t->rows, 0, LF_STUDY_ROWS_MAX);
    t->eval_rows = lf_json_int64(&in, "eval_rows", t->eval_rows, 0, LF_STUDY_ROWS_MAX);
    t->shots = lf_json_int64(&in, "shots", t->shots, 0, LF_STUDY_SHOTS_MAX);
    t->test_percent = lf_json_int64(&in, "test_percent", t->test_percent, 0, 99);
    t->settings = lf_json_object(&in, "settings");
    rc = in.rc;
    bool is_path = strchr(what, '/') || strstr(what, ".json") || strstr(what, ".yaml");
    if (rc == LF_OK && is_path)
        rc = place(t->definition, roots->folder, what, diag);
    else
        snprintf(t->definition, sizeof t->definition, "%s", what);
    rc = rc ?: name_of(t->name, name ? name : what, is_path && !name, "task", diag);
    if (rc == LF_OK && data && !roots->places->data)
        rc = place(t->data, roots->folder, data, diag);
    return rc;
}

static enum lf_err read_bases(struct lf_study *s, const struct roots *roots, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(s->file, diag);
    const json_t *list = lf_json_list(&in, "bases", 1, LF_LAND_BASES_MAX);
    enum lf_err rc = in.rc;
    if (rc != LF_OK)
        return rc;
    int n = (int)json_array_size(list);
    s->bases = calloc((size_t)n, sizeof *s->bases);
    if (!s->bases)
        return lf_no_memory(diag, "the study");
    for (; s->n_bases < n && rc == LF_OK; s->n_bases += rc == LF_OK) {
        struct lf_study_base *b = &s->bases[s->n_bases];
        rc = read_base(b, json_array_get(list, (size_t)s->n_bases), roots, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "\"bases\", entry %d", s->n_bases + 1);
        rc = check_new(b->name, s->bases->name, s->n_bases, sizeof *b, "bases", diag);
    }
    return rc;
}

static enum lf_err read_tasks(struct lf_study *s, const struct roots *roots, struct lf_diag *diag)
{
    struct lf_study_task common = {.shots = -1};
    struct lf_json_in in = lf_json_in(s->file, diag);
    const json_t *list = lf_json_list(&in, "tasks", 1, LF_LAND_TASKS_MAX);
    const char *data = lf_json_str(&in, "data", ".");
    common.rows = lf_json_int64(&in, "rows", 0, 0, LF_STUDY_ROWS_MAX);
    common.eval_rows = lf_json_int64(&in, "eval_rows", 0, 0, LF_STUDY_ROWS_MAX);
    enum lf_err rc = in.rc;
    if (rc == LF_OK)
        rc = roots->places->data ? place(common.data, ".", roots->places->data, diag)
                                 : place(common.data, roots->folder, data, diag);
    if (rc != LF_OK)
        return rc;
    int n = (int)json_array_size(list);
    s->tasks = calloc((size_t)n, sizeof *s->tasks);
    if (!s->tasks)
        return lf_no_memory(diag, "the study");
    for (; s->n_tasks < n && rc == LF_OK; s->n_tasks += rc == LF_OK) {
        struct lf_study_task *t = &s->tasks[s->n_tasks];
        *t = common;
        rc = read_task(t, json_array_get(list, (size_t)s->n_tasks), roots, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "\"tasks\", entry %d", s->n_tasks + 1);
        rc = check_new(t->name, s->tasks->name, s->n_tasks, sizeof *t, "tasks", diag);
    }
    return rc;
}

static enum lf_err read_variants(struct lf_study *s, struct lf_diag *diag)
{
    static const char *const known[] = {"name", "settings", NULL};
    struct lf_json_in in = lf_json_in(s->file, diag);
    const json_t *list = lf_json_list(&in, "variants", 0, LF_LAND_VARIANTS_MAX);
    enum lf_err rc = in.rc;
    s->n_variants = (int)json_array_size(list);
    for (int i = 0; i < s->n_variants && rc == LF_OK; i++) {
        struct lf_study_variant *v = &s->variants[i];
        const json_t *entry = json_array_get(list, (size_t)i);
        const char *name = NULL;
        rc = entry_word(&name, entry, "name", known, diag);
        if (rc == LF_OK && (!lf_name_ok(name) || json_is_string(entry)))
            rc = lf_fail(diag, LF_E_INVALID, "a variant is an object with a \"name\"");
        struct lf_json_in of = lf_json_in(entry, diag);
        v->settings = lf_json_object(&of, "settings");
        rc = rc ?: of.rc;
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "\"variants\", entry %d", i + 1);
        snprintf(v->name, sizeof v->name, "%s", name);
        rc = check_new(name, s->variants->name, i, sizeof *v, "variants", diag);
    }
    if (s->n_variants == 0)
        s->n_variants = 1;
    return rc;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/* Every column has a name, and every cell's settings parse: before hours are spent. */
static enum lf_err check_cells(const struct lf_study *s, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    if (s->together && s->n_bases > LF_BASES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%d bases \"together\": a daemon has %d at most",
                       s->n_bases, LF_BASES_MAX);
    if (s->n_bases * s->n_variants > LF_LAND_BASES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%d bases of %d variants: at most %d columns",
                       s->n_bases, s->n_variants, LF_LAND_BASES_MAX);
    for (int b = 0; b < s->n_bases; b++)
        for (int v = 0; v < s->n_variants; v++) {
            if (strlen(s->bases[b].name) + strlen(s->variants[v].name) + 1 > LF_NAME_MAX)
                return lf_fail(diag, LF_E_INVALID, "%s.%s is too long for a name", s->bases[b].name,
                               s->variants[v].name);
            for (int t = 0; t < s->n_tasks && rc == LF_OK; t++) {
                struct lf_train_settings parsed;
                json_t *j = lf_study_settings(s, NULL, b, t, v);
                rc = j ? lf_train_settings_parse(&parsed, j, diag) : lf_no_memory(diag, "settings");
                json_decref(j);
                if (rc != LF_OK)
                    return lf_fail_within(diag, rc, "settings of %s on %s", s->tasks[t].name,
                                          s->bases[b].name);
                lf_train_settings_free(&parsed);
            }
        }
    return rc;
}

static enum lf_err read_head(struct lf_study *s, const char *path, struct lf_diag *diag)
{
    static const char *const known[] = {"name",   "title",     "bases",    "data",     "tasks",
                                        "rows",   "eval_rows", "settings", "variants", "fused",
                                        "daemon", "together",  NULL};
    enum lf_err rc = json_is_object(s->file)
                         ? lf_json_only(s->file, known, diag)
                         : lf_fail(diag, LF_E_INVALID, "a study is a JSON object");
    if (rc != LF_OK)
        return rc;
    struct lf_json_in in = lf_json_in(s->file, diag);
    const char *name = lf_json_str(&in, "name", NULL);
    s->title = lf_json_str(&in, "title", s->name);
    s->settings = lf_json_object(&in, "settings");
    s->daemon = lf_json_object(&in, "daemon");
    s->together = lf_json_bool(&in, "together", false);
    s->fused = lf_json_int64(&in, "fused", LF_JOBS_FUSED_MAX, 1, LF_JOBS_FUSED_MAX);
    return in.rc == LF_OK ? name_of(s->name, name ? name : path, !name, "study", diag) : in.rc;
}

enum lf_err lf_study_open(struct lf_study *out, const char *path,
                          const struct lf_study_places *places, struct lf_diag *diag)
{
    struct roots roots = {.places = places};
    struct lf_study s = {0};
    const char *slash = strrchr(path, '/');
    int n = slash == path ? 1 : slash ? (int)(slash - path) : 1;
    if (snprintf(roots.folder, LF_PATH_MAX, "%.*s", n, slash ? path : ".") >= LF_PATH_MAX)
        return lf_fail(diag, LF_E_INVALID, "%.80s...: the path is too long", path);
    enum lf_err rc = lf_json_load(&s.file, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = read_head(&s, path, diag) ?: read_bases(&s, &roots, diag);
    rc = rc ?: read_tasks(&s, &roots, diag);
    rc = rc ?: read_variants(&s, diag);
    rc = rc ?: check_cells(&s, diag);
    if (rc != LF_OK) {
        lf_study_close(&s);
        return lf_fail_within(diag, rc, "%s", path);
    }
    *out = s;
    return LF_OK;
}

void lf_study_close(struct lf_study *s)
{
    json_decref(s->file);
    free(s->bases);
    free(s->tasks);
    *s = (struct lf_study){0};
}

/* ---- Cells ----------------------------------------------------------------------------------- */

void lf_study_column(char out[LF_NAME_MAX + 1], const struct lf_study *s, int base, int variant)
{
    char name[2 * LF_NAME_MAX + 2];
    const char *v = s->variants[variant].name;
    snprintf(name, sizeof name, "%s%s%s", s->bases[base].name, v[0] ? "." : "", v);
    name[LF_NAME_MAX] = '\0'; /* lf_study_open saw to it that it is no longer */
    memcpy(out, name, LF_NAME_MAX + 1);
}

static bool lay_over(json_t *settings, const json_t *layer)
{
    for (const struct lf_setting *t = lf_settings; layer && t->key; t++) {
        if (t->instead_of && json_object_get(layer, t->key))
            json_object_del(settings, t->instead_of);
        if (t->instead_of && json_object_get(layer, t->instead_of))
            json_object_del(settings, t->key);
    }
    return !layer || json_object_update(settings, (json_t *)layer) == 0;
}

json_t *lf_study_settings(const struct lf_study *s, const json_t *own, int base, int task,
                          int variant)
{
    const json_t *layers[] = {own, s->settings, s->bases[base].settings, s->tasks[task].settings,
                              s->variants[variant].settings};
    json_t *settings = json_object();
    bool ok = settings != NULL;
    for (size_t i = 0; i < sizeof layers / sizeof *layers && ok; i++)
        ok = lay_over(settings, layers[i]);
    if (ok)
        return settings;
    json_decref(settings);
    return NULL;
}
