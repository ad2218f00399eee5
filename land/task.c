/* Tasks' files: found, read and checked. */
#include "land/task.h"

#include "core/file.h"
#include "core/json.h"
#include "core/nearest.h"
#include "land/limits.h"
#include "land/task_file.h"
#include "client/paths.h"
#include "trainer/dataset.h"
#include "score/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const fidelities[] = {"unknown", "exact", "near", "other split", "stand-in"};

const char *lf_fidelity_name(enum lf_fidelity f)
{
    return fidelities[f];
}

/* ---- Members --------------------------------------------------------------------------------- */

const json_t *lf_task_member(const struct lf_task_part *p, const char *key)
{
    const json_t *const places[] = {p->split, p->source, p->task};
    for (size_t i = 0; i < 3; i++) {
        const json_t *v = json_is_object(places[i]) ? json_object_get(places[i], key) : NULL;
        if (v && !json_is_null(v))
            return v;
    }
    return NULL;
}

const char *lf_task_string(const struct lf_task_part *p, const char *key)
{
    const char *s = json_string_value(lf_task_member(p, key));
    return s ? s : "";
}

const json_t *lf_task_files(const struct lf_task_part *p)
{
    return json_is_object(p->split) ? json_object_get(p->split, "files") : p->split;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/* What may stand at any of the three places, and its type. */
static const struct {
    const char *key;
    json_type type;
} anywhere[] = {
    {"format", JSON_STRING},     {"encoding", JSON_STRING}, {"columns", JSON_ARRAY},
    {"quotes", JSON_TRUE},       {"rows", JSON_NULL},       {"join", JSON_OBJECT},
    {"compute", JSON_OBJECT},    {"where", JSON_STRING},    {"prompt", JSON_STRING},
    {"completion", JSON_STRING}, {"keep", JSON_ARRAY},
};
#define N_ANYWHERE (sizeof anywhere / sizeof *anywhere)

static const char *const task_keys[] = {"title", "category",   "study", "shots", "metric",
                                        "stop",  "max_tokens", "data",  NULL};
static const char *const source_keys[] = {"source", "get", "licence",      "fidelity", "train",
                                          "test",   "all", "test_percent", "split_by", NULL};
static const char *const split_keys[] = {"files", NULL};
static const char *const study_keys[] = {"train", "validation", "test", "evaluated", NULL};
static const char *const join_keys[] = {"files", "on",       "key",     "as",     "format",
                                        "rows",  "encoding", "columns", "quotes", NULL};

/* All members of obj are in own or in `anywhere`, with the types that the latter says. */
static enum lf_err check_members(const json_t *obj, const char *const *own, struct lf_diag *diag)
{
    const char *known[N_ANYWHERE + 16];
    size_t n = 0;
    if (!json_is_object(obj))
        return lf_fail(diag, LF_E_INVALID, "must be an object");
    for (; own[n]; n++)
        known[n] = own[n];
    for (size_t i = 0; i < N_ANYWHERE; i++)
        known[n++] = anywhere[i].key;
    known[n] = NULL;
    enum lf_err rc = lf_json_only(obj, known, diag);
    for (size_t i = 0; rc == LF_OK && i < N_ANYWHERE; i++) {
        const json_t *v = json_object_get(obj, anywhere[i].key);
        json_type want = anywhere[i].type;
        bool ok = !v || json_is_null(v) || want == JSON_NULL || json_typeof(v) == want ||
                  (want == JSON_TRUE && json_is_boolean(v));
        if (!ok)
            rc = lf_fail(diag, LF_E_INVALID, "\"%s\" has the wrong type", anywhere[i].key);
    }
    return rc;
}

static bool is_strings(const json_t *v, bool may_be_empty)
{
    bool ok = json_is_array(v) && (may_be_empty || json_array_size(v) > 0);
    for (size_t i = 0; ok && i < json_array_size(v); i++)
        ok = json_is_string(json_array_get(v, i)) && json_string_length(json_array_get(v, i)) > 0;
    return ok;
}

/* A pattern of files stays below the data's folder. */
static enum lf_err check_files(const json_t *files, struct lf_diag *diag)
{
    if (!is_strings(files, false))
        return lf_fail(diag, LF_E_INVALID, "the files must be a list of names");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *name = json_string_value(json_array_get(files, i));
        if (name[0] == '/' || strstr(name, ".."))
            return lf_fail(diag, LF_E_INVALID, "file \"%s\" leaves the data's folder", name);
    }
    return LF_OK;
}

static enum lf_err check_join(const json_t *join, struct lf_diag *diag)
{
    if (!join || json_is_null(join))
        return LF_OK;
    enum lf_err rc = lf_json_only(join, join_keys, diag);
    rc = rc ?: check_files(json_object_get(join, "files"), diag);
    static const char *const needed[] = {"on", "key", "as"};
    for (size_t i = 0; rc == LF_OK && i < 3; i++)
        if (!json_is_string(json_object_get(join, needed[i])))
            rc = lf_fail(diag, LF_E_INVALID, "needs \"%s\"", needed[i]);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"join\"");
}

/* The templates that a part comes to, nearest members first. */
static enum lf_err check_part(const struct lf_task_part *p, struct lf_diag *diag)
{
    static const char *const needed[] = {"format", "prompt", "completion"};
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < 3; i++)
        if (lf_task_string(p, needed[i])[0] == '\0')
            return lf_fail(diag, LF_E_INVALID, "needs \"%s\"", needed[i]);
    rc = check_join(lf_task_member(p, "join"), diag);
    for (size_t i = 1; rc == LF_OK && i < 3; i++) {
        rc = lf_template_check(lf_task_string(p, needed[i]), diag);
        if (rc != LF_OK)
            lf_fail_within(diag, rc, "\"%s\"", needed[i]);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)lf_task_member(p, "compute"), key, value)
        if (rc == LF_OK && !json_is_string(value))
            rc = lf_fail(diag, LF_E_INVALID, "\"compute\" of \"%s\" must be a string", key);
    return rc;
}

static enum lf_err check_split(const json_t *task, const json_t *source, const char *name,
                               struct lf_diag *diag)
{
    struct lf_task_part p = {task, source, json_object_get(source, name)};
    if (!p.split)
        return LF_OK;
    enum lf_err rc = json_is_object(p.split) ? check_members(p.split, split_keys, diag) : LF_OK;
    rc = rc ?: check_files(lf_task_files(&p), diag);
    rc = rc ?: check_part(&p, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"%s\"", name);
}

static enum lf_err check_source(const json_t *task, const json_t *source, struct lf_diag *diag)
{
    struct lf_json_in in = {source, diag, check_members(source, source_keys, diag)};
    for (int i = 0; i < 4; i++)
        lf_json_str(&in, source_keys[i], NULL);
    lf_json_str(&in, "split_by", NULL);
    int percent = lf_json_int(&in, "test_percent", 0, 1, 99);
    enum lf_err rc = in.rc;
    bool all = json_object_get(source, "all") != NULL;
    bool both = json_object_get(source, "train") && json_object_get(source, "test");
    bool either = json_object_get(source, "train") || json_object_get(source, "test");
    if (rc == LF_OK && (all ? either : !both))
        rc = lf_fail(diag, LF_E_INVALID, "needs \"train\" and \"test\", or \"all\" alone");
    if (rc == LF_OK && all != (percent > 0))
        rc = lf_fail(diag, LF_E_INVALID, "\"all\" and \"test_percent\" go together");
    static const char *const splits[] = {"train", "test", "all"};
    for (int i = 0; rc == LF_OK && i < 3; i++)
        rc = check_split(task, source, splits[i], diag);
    return rc;
}

static enum lf_err check_data(const json_t *file, struct lf_diag *diag)
{
    const json_t *data = json_object_get(file, "data");
    if (!json_is_array(data) || json_array_size(data) == 0)
        return lf_fail(diag, LF_E_INVALID, "\"data\" must be a list of sources");
    for (size_t i = 0; i < json_array_size(data); i++) {
        enum lf_err rc = check_source(file, json_array_get(data, i), diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "\"data\"[%zu]", i);
    }
    return LF_OK;
}

/* ---- A task from its file -------------------------------------------------------------------- */

static enum lf_err read_study(struct lf_task *t, struct lf_diag *diag)
{
    const json_t *study = json_object_get(t->file, "study");
    t->evaluated = "test";
    if (!study)
        return LF_OK;
    struct lf_json_in in = lf_json_in(study, diag);
    in.rc = json_is_object(study) ? lf_json_only(study, study_keys, diag)
                                  : lf_fail(diag, LF_E_INVALID, "must be an object");
    int64_t *const counts[] = {&t->study_train, &t->study_validation, &t->study_test};
    for (int i = 0; i < 3; i++)
        *counts[i] = lf_json_int64(&in, study_keys[i], *counts[i], 0, 1 << 30);
    t->evaluated = lf_json_str(&in, "evaluated", t->evaluated);
    return in.rc == LF_OK ? in.rc : lf_fail_within(diag, in.rc, "\"study\"");
}

static enum lf_err read_stop(struct lf_task *t, struct lf_diag *diag)
{
    const json_t *stop = json_object_get(t->file, "stop");
    if (!stop)
        return LF_OK;
    if (!is_strings(stop, true) || json_array_size(stop) > LF_STOPS_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"stop\" must be a list of at most %d strings",
                       LF_STOPS_MAX);
    for (size_t i = 0; i < json_array_size(stop); i++)
        t->stop[t->n_stop++] = json_string_value(json_array_get(stop, i));
    return LF_OK;
}

static enum lf_err read_file(struct lf_task *t, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(t->file, diag);
    in.rc = check_members(t->file, task_keys, diag);
    t->title = lf_json_str(&in, "title", "");
    t->category = lf_json_str(&in, "category", "");
    t->metric = lf_json_str(&in, "metric", "");
    t->shots = lf_json_int(&in, "shots", 0, 0, LF_STUDY_SHOTS_MAX);
    t->max_tokens = lf_json_int(&in, "max_tokens", 256, 1, 1 << 20);
    enum lf_err rc = in.rc;
    if (rc == LF_OK && !lf_metric_find(t->metric))
        rc = lf_fail(diag, LF_E_INVALID, "\"metric\" is \"%s\"; it must be one of: %s", t->metric,
                     lf_metric_names());
    rc = rc ?: read_stop(t, diag);
    rc = rc ?: read_study(t, diag);
    rc = rc ?: check_data(t->file, diag);
    if (rc != LF_OK)
        return rc;
    in.obj = json_array_get(json_object_get(t->file, "data"), 0);
    t->source = lf_json_str(&in, "source", "");
    t->get = lf_json_str(&in, "get", "");
    t->licence = lf_json_str(&in, "licence", "");
    return in.rc;
}

enum lf_err lf_task_new(struct lf_task **out, const char *name, json_t *file, struct lf_diag *diag)
{
    struct lf_task *t = calloc(1, sizeof *t);
    if (!t) {
        json_decref(file);
        return lf_no_memory(diag, "a task");
    }
    t->file = file;
    enum lf_err rc = lf_name_ok(name) ? read_file(t, diag)
                                      : lf_fail(diag, LF_E_INVALID, "\"%.80s\" is no name", name);
    if (rc != LF_OK) {
        lf_task_close(t);
        return rc;
    }
    snprintf(t->name, sizeof t->name, "%s", name);
    *out = t;
    return LF_OK;
}

void lf_task_close(struct lf_task *t)
{
    if (!t)
        return;
    json_decref(t->file);
    free(t);
}

/* ---- By path and by name --------------------------------------------------------------------- */

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), n_end = strlen(end);
    return n > n_end && strcmp(s + n - n_end, end) == 0;
}

/* "viggo" of tasks/viggo.json, and of the study's tasks/viggo/metadata.yaml; "" where the path has
 * none. */
static void name_of(char name[LF_NAME_MAX + 1], const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *end = base + strcspn(base, ".");
    if (strcmp(base, "metadata.yaml") == 0) {
        end = base > path ? base - 1 : base;
        for (base = end; base > path && base[-1] != '/';)
            base--;
    }
    snprintf(name, LF_NAME_MAX + 1, "%.*s", (int)(end - base), base);
    if (!lf_name_ok(name))
        name[0] = '\0';
}

static enum lf_err read_path(struct lf_task **out, const char *path, struct lf_diag *diag)
{
    char name[LF_NAME_MAX + 1];
    json_t *file = NULL;
    lf_buf_auto text = {0};
    name_of(name, path);
    enum lf_err rc = lf_file_read(&text, path, LF_TASK_BYTES_MAX, diag);
    const char *s = lf_buf_str(&text);
    if (rc == LF_OK && (ends_in(path, ".yaml") || ends_in(path, ".yml")))
        rc = lf_task_from_yaml(&file, name, s, text.len, diag);
    else if (rc == LF_OK)
        rc = lf_json_parse(&file, s, text.len, diag);
    rc = rc ?: lf_task_new(out, name, file, diag);
    return rc == LF_OK || strncmp(diag ? diag->text : "", path, strlen(path)) == 0
               ? rc
               : lf_fail_within(diag, rc, "%s", path);
}

static int only_tasks(const struct dirent *e)
{
    return e->d_name[0] != '.' && ends_in(e->d_name, ".json");
}

/* Files of the installed tasks, sorted; free each and the list. */
static enum lf_err list_files(struct dirent ***out, int *n, char dir[LF_PATH_MAX],
                              struct lf_diag *diag)
{
    enum lf_err rc = lf_path_share(dir, "tasks", diag);
    if (rc != LF_OK)
        return rc;
    *n = scandir(dir, out, only_tasks, alphasort);
    return *n < 0 ? lf_fail_errno(diag, errno, "%s", dir) : LF_OK;
}

static void free_files(struct dirent **files, int n)
{
    for (int i = 0; i < n; i++)
        free(files[i]);
    free(files);
}

static enum lf_err no_such_task(const char *name, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    struct dirent **files;
    const char *names[LF_TASKS_MAX + 1];
    int n, k = 0;
    enum lf_err rc = list_files(&files, &n, dir, diag);
    if (rc != LF_OK)
        return rc;
    for (; k < n && k < LF_TASKS_MAX; k++) {
        files[k]->d_name[strlen(files[k]->d_name) - strlen(".json")] = '\0';
        names[k] = files[k]->d_name;
    }
    names[k] = NULL;
    const char *near = lf_nearest_word(name, names);
    rc = lf_fail(diag, LF_E_NOT_FOUND, "no task \"%.80s\"%s%s%s", name,
                 near ? "; did you mean \"" : ": `lorafs land tasks` lists them", near ? near : "",
                 near ? "\"?" : "");
    free_files(files, n);
    return rc;
}

enum lf_err lf_task_open(struct lf_task **out, const char *what, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX + LF_NAME_MAX + 8];
    if (strchr(what, '/') || ends_in(what, ".json") || ends_in(what, ".yaml"))
        return read_path(out, what, diag);
    if (!lf_name_ok(what))
        return lf_fail(diag, LF_E_INVALID, "\"%.80s\" is no name of a task", what);
    enum lf_err rc = lf_path_share(dir, "tasks", diag);
    if (rc != LF_OK)
        return rc;
    snprintf(path, sizeof path, "%s/%s.json", dir, what);
    return lf_file_exists(path) ? read_path(out, path, diag) : no_such_task(what, diag);
}

enum lf_err lf_task_list(struct lf_task ***out, int *n, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX + 256];
    struct dirent **files;
    int n_files, k = 0;
    enum lf_err rc = list_files(&files, &n_files, dir, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_task **list = calloc((size_t)(unsigned)n_files + 1, sizeof *list);
    if (!list)
        rc = lf_no_memory(diag, "the tasks");
    for (; rc == LF_OK && k < n_files; k++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[k]->d_name);
        rc = read_path(&list[k], path, diag);
    }
    free_files(files, n_files);
    if (rc != LF_OK) {
        lf_task_list_free(list, k);
        return rc;
    }
    *out = list;
    *n = k;
    return LF_OK;
}

void lf_task_list_free(struct lf_task **list, int n)
{
    for (int i = 0; list && i < n; i++)
        lf_task_close(list[i]);
    free(list);
}
