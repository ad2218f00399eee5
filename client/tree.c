/* The snapshot: JSON to sorted arrays in one arena. */
#include "client/tree.h"

#include "client/limits.h"
#include "core/arena.h"
#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"

#include <stdlib.h>
#include <string.h>

struct snapshot {
    struct lf_tree tree; /* first: a tree is its snapshot */
    struct lf_arena arena;
};

/* ---- Names ----------------------------------------------------------------------------------- */

/* One to LF_TREE_PATH_DEPTH_MAX good names with a '/' between them. */
static bool path_ok(const char *path)
{
    char part[LF_NAME_MAX + 1];
    for (int depth = 0; depth < LF_TREE_PATH_DEPTH_MAX; depth++) {
        size_t n = strcspn(path, "/");
        if (n > LF_NAME_MAX)
            return false;
        memcpy(part, path, n);
        part[n] = '\0';
        if (!lf_name_ok(part))
            return false;
        if (!path[n])
            return true;
        path += n + 1;
    }
    return false;
}

/* Files, adapters and bases: each begins with its name. */
static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int id_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- Parsing --------------------------------------------------------------------------------- */

/* A list's length, within `max`; a missing list is an empty one. */
static enum lf_err list_size(size_t *n, const json_t *list, size_t max, const char *what,
                             struct lf_diag *diag)
{
    *n = 0;
    if (!list || json_is_null(list))
        return LF_OK;
    if (!json_is_array(list))
        return lf_fail(diag, LF_E_DAMAGED, "\"%s\" is not a list", what);
    if (json_array_size(list) > max)
        return lf_fail(diag, LF_E_TOO_BIG, "%zu %s are over the limit", json_array_size(list),
                       what);
    *n = json_array_size(list);
    return LF_OK;
}

static enum lf_err parse_files(struct lf_tree_adapter *out, struct lf_arena *arena,
                               const json_t *files, struct lf_diag *diag)
{
    size_t n = json_object_size(files), kept = 0;
    if (n > LF_TREE_FILES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%s: %zu files are over the limit", out->name, n);
    struct lf_tree_file *list = lf_arena_alloc(arena, n * sizeof *list + 1);
    if (!list)
        return lf_no_memory(diag, "the tree");
    const char *path;
    json_t *pair;
    json_object_foreach((json_t *)(uintptr_t)files, path, pair) {
        json_int_t bytes = json_integer_value(json_array_get(pair, 0));
        if (!path_ok(path) || json_array_size(pair) != 2 || bytes < 0)
            continue;
        list[kept].path = lf_arena_strdup(arena, path);
        if (!list[kept].path)
            return lf_no_memory(diag, "the tree");
        list[kept].bytes = (uint64_t)bytes;
        list[kept].mtime_ms = json_integer_value(json_array_get(pair, 1));
        kept++;
    }
    qsort(list, kept, sizeof *list, name_order);
    out->files = list;
    out->n_files = kept;
    return LF_OK;
}

static enum lf_err parse_versions(struct lf_tree_adapter *out, struct lf_arena *arena,
                                  const json_t *versions, struct lf_diag *diag)
{
    size_t n, kept = 0;
    enum lf_err rc = list_size(&n, versions, LF_TREE_FILES_MAX, "versions", diag);
    if (rc != LF_OK)
        return rc;
    int64_t *list = lf_arena_alloc(arena, n * sizeof *list + 1);
    if (!list)
        return lf_no_memory(diag, "the tree");
    for (size_t i = 0; i < n; i++) {
        json_int_t v = json_integer_value(json_array_get(versions, i));
        if (v > 0)
            list[kept++] = v;
    }
    qsort(list, kept, sizeof *list, id_order);
    out->versions = list;
    out->n_versions = kept;
    return LF_OK;
}

/* Fills one element, of which the name is there. */
typedef enum lf_err (*parse_fn)(struct snapshot *s, void *out, const json_t *j,
                                struct lf_diag *diag);

static enum lf_err parse_adapter(struct snapshot *s, void *to, const json_t *j,
                                 struct lf_diag *diag)
{
    struct lf_tree_adapter *out = to;
    out->created_ms = json_integer_value(json_object_get(j, "created_ms"));
    out->changed_ms = json_integer_value(json_object_get(j, "changed_ms"));
    out->current = json_integer_value(json_object_get(j, "current"));
    if (out->changed_ms > s->tree.changed_ms)
        s->tree.changed_ms = out->changed_ms;
    enum lf_err rc = parse_versions(out, &s->arena, json_object_get(j, "versions"), diag);
    return rc ?: parse_files(out, &s->arena, json_object_get(j, "files"), diag);
}

static enum lf_err parse_base(struct snapshot *s, void *to, const json_t *j, struct lf_diag *diag)
{
    struct lf_tree_base *out = to;
    json_int_t info = json_integer_value(json_object_get(j, "info_bytes"));
    json_int_t config = json_integer_value(json_object_get(j, "config_bytes"));
    (void)s;
    (void)diag;
    out->created_ms = json_integer_value(json_object_get(j, "created_ms"));
    out->info_bytes = info > 0 ? (uint64_t)info : 0;
    out->config_bytes = config > 0 ? (uint64_t)config : 0;
    return LF_OK;
}

struct entries {
    void *v;
    size_t n;
};

/* A member of the root: objects, each to `bytes` bytes; in the order of their names, without those
 * whose name cannot stand in a path. */
static enum lf_err parse_named(struct entries *out, struct snapshot *s, const json_t *root,
                               const char *what, size_t bytes, parse_fn parse, struct lf_diag *diag)
{
    const json_t *list = json_object_get(root, what);
    size_t n;
    enum lf_err rc = list_size(&n, list, LF_ADAPTERS_MAX, what, diag);
    if (rc != LF_OK)
        return rc;
    char *all = lf_arena_alloc(&s->arena, n * bytes + 1);
    *out = (struct entries){.v = all};
    for (size_t i = 0; i < n && all && rc == LF_OK; i++) {
        const json_t *j = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(j, "name"));
        if (!name || !lf_name_ok(name))
            continue;
        name = lf_arena_strdup(&s->arena, name);
        void *one = memcpy(all + out->n++ * bytes, &name, sizeof name);
        rc = name ? parse(s, one, j, diag) : lf_no_memory(diag, "the tree");
    }
    if (!all)
        return lf_no_memory(diag, "the tree");
    if (rc == LF_OK)
        qsort(all, out->n, bytes, name_order);
    return rc;
}

enum lf_err lf_tree_parse(struct lf_tree **out, const char *json, size_t n, struct lf_diag *diag)
{
    json_auto_t *root = NULL;
    struct entries bases, adapters;
    struct snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "the tree");
    lf_arena_init(&s->arena);
    enum lf_err rc = lf_json_parse(&root, json, n, diag);
    if (rc == LF_OK && !json_is_object(root))
        rc = lf_fail(diag, LF_E_DAMAGED, "the tree is not an object");
    rc = rc ?: parse_named(&bases, s, root, "bases", sizeof *s->tree.bases, parse_base, diag);
    rc = rc
             ?: parse_named(&adapters, s, root, "adapters", sizeof *s->tree.adapters, parse_adapter,
                            diag);
    if (rc != LF_OK) {
        lf_tree_release(&s->tree);
        return rc;
    }
    s->tree.bases = bases.v;
    s->tree.n_bases = bases.n;
    s->tree.adapters = adapters.v;
    s->tree.n_adapters = adapters.n;
    s->tree.generation = json_integer_value(json_object_get(root, "generation"));
    *out = &s->tree;
    return LF_OK;
}

void lf_tree_release(struct lf_tree *t)
{
    struct snapshot *s = (struct snapshot *)t;
    if (!s)
        return;
    lf_arena_free(&s->arena);
    free(s);
}

/* ---- Finding --------------------------------------------------------------------------------- */

const struct lf_tree_adapter *lf_tree_adapter(const struct lf_tree *t, const char *name)
{
    struct lf_tree_adapter key = {.name = name};
    return bsearch(&key, t->adapters, t->n_adapters, sizeof key, name_order);
}

const struct lf_tree_base *lf_tree_base(const struct lf_tree *t, const char *name)
{
    struct lf_tree_base key = {.name = name};
    return bsearch(&key, t->bases, t->n_bases, sizeof key, name_order);
}

const struct lf_tree_file *lf_tree_file(const struct lf_tree_adapter *a, const char *path)
{
    struct lf_tree_file key = {.path = path};
    return bsearch(&key, a->files, a->n_files, sizeof key, name_order);
}

const struct lf_tree_file *lf_tree_files_below(const struct lf_tree_adapter *a, const char *prefix,
                                               size_t *n)
{
    size_t lo = 0, hi = a->n_files, len = strlen(prefix);
    while (lo < hi) { /* the first that is not before the prefix */
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(a->files[mid].path, prefix) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    size_t end = lo;
    while (end < a->n_files && strncmp(a->files[end].path, prefix, len) == 0)
        end++;
    *n = end - lo;
    return a->files + lo;
}

bool lf_tree_has_version(const struct lf_tree_adapter *a, int64_t version)
{
    return bsearch(&version, a->versions, a->n_versions, sizeof version, id_order) != NULL;
}

/* ---- The queue ------------------------------------------------------------------------------- */

static int job_order(const void *a, const void *b)
{
    return id_order(&((const struct lf_tree_job *)a)->id, &((const struct lf_tree_job *)b)->id);
}

static int64_t job_changed(const json_t *job)
{
    static const char *const times[] = {"ended_ms", "started_ms", "created_ms"};
    int64_t ms = 0;
    for (size_t i = 0; ms == 0 && i < sizeof times / sizeof *times; i++)
        ms = json_integer_value(json_object_get(job, times[i]));
    return ms;
}

enum lf_err lf_tree_jobs_parse(struct lf_tree_jobs *out, const char *json, size_t n,
                               struct lf_diag *diag)
{
    json_t *root = NULL;
    size_t n_jobs = 0, kept = 0;
    struct lf_tree_job *parsed = NULL;
    enum lf_err rc = lf_json_parse(&root, json, n, diag);
    const json_t *list = json_is_array(root) ? root : json_object_get(root, "jobs");
    rc = rc ?: list_size(&n_jobs, list, LF_JSON_BYTES_MAX, "jobs", diag);
    if (rc == LF_OK) {
        parsed = calloc(n_jobs + 1, sizeof *parsed);
        if (!parsed)
            rc = lf_no_memory(diag, "the tree");
    }
    for (size_t i = 0; rc == LF_OK && i < n_jobs; i++) {
        const json_t *j = json_array_get(list, i);
        struct lf_tree_job job = {json_integer_value(json_object_get(j, "id")), job_changed(j)};
        if (job.id > 0)
            parsed[kept++] = job;
    }
    json_decref(root);
    if (rc != LF_OK)
        return rc;
    qsort(parsed, kept, sizeof *parsed, job_order);
    *out = (struct lf_tree_jobs){parsed, kept};
    return LF_OK;
}

void lf_tree_jobs_free(struct lf_tree_jobs *jobs)
{
    free(jobs->jobs);
    *jobs = (struct lf_tree_jobs){0};
}

const struct lf_tree_job *lf_tree_job(const struct lf_tree_jobs *jobs, int64_t id)
{
    struct lf_tree_job key = {.id = id};
    return jobs->n ? bsearch(&key, jobs->jobs, jobs->n, sizeof key, job_order) : NULL;
}
