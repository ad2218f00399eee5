/* The registry's memory: two sorted arrays over the same entries, and how an entry is read from
 * its directory. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/grow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The first place in by_name whose name is not below `name`. */
static size_t name_place(const struct lf_registry *r, const char *name)
{
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(r->by_name[mid]->record.name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static size_t id_place(const struct lf_registry *r, uint64_t id)
{
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->by_id[mid]->record.id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct lf_entry *lf_index_find(const struct lf_registry *r, const char *name)
{
    size_t i = name_place(r, name);
    return i < r->n && strcmp(r->by_name[i]->record.name, name) == 0 ? r->by_name[i] : NULL;
}

struct lf_entry *lf_index_find_id(const struct lf_registry *r, uint64_t id)
{
    size_t i = id_place(r, id);
    return i < r->n && r->by_id[i]->record.id == id ? r->by_id[i] : NULL;
}

static void place_at(struct lf_entry **list, size_t n, size_t i, struct lf_entry *e)
{
    memmove(list + i + 1, list + i, (n - i) * sizeof *list);
    list[i] = e;
}

static void place_gone(struct lf_entry **list, size_t n, size_t i)
{
    memmove(list + i, list + i + 1, (n - i - 1) * sizeof *list);
}

enum lf_err lf_index_reserve(struct lf_registry *r, struct lf_diag *diag)
{
    if (r->n >= LF_ADAPTERS_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "there are %d adapters already", LF_ADAPTERS_MAX);
    if (lf_grow(&r->by_name, &r->cap_names, r->n + 1, sizeof *r->by_name) != LF_OK ||
        lf_grow(&r->by_id, &r->cap_ids, r->n + 1, sizeof *r->by_id) != LF_OK)
        return lf_no_memory(diag, "another adapter");
    return LF_OK;
}

void lf_index_add(struct lf_registry *r, struct lf_entry *e)
{
    lf_assert(r->n < r->cap_names && r->n < r->cap_ids);
    place_at(r->by_name, r->n, name_place(r, e->record.name), e);
    place_at(r->by_id, r->n, id_place(r, e->record.id), e);
    r->n++;
    r->generation++;
}

void lf_index_remove(struct lf_registry *r, struct lf_entry *e)
{
    place_gone(r->by_name, r->n, name_place(r, e->record.name));
    place_gone(r->by_id, r->n, id_place(r, e->record.id));
    r->n--;
    r->generation++;
    lf_entry_free(e);
}

void lf_index_renamed(struct lf_registry *r, struct lf_entry *e,
                      const struct lf_adapter_record *record)
{
    place_gone(r->by_name, r->n, name_place(r, e->record.name));
    r->n--;
    size_t i = name_place(r, record->name);
    e->record = *record;
    place_at(r->by_name, r->n, i, e);
    r->n++;
    lf_index_touch(r, e);
}

void lf_index_touch(struct lf_registry *r, struct lf_entry *e)
{
    free(e->fragment);
    e->fragment = NULL;
    r->generation++;
}

bool lf_entry_is_stranger(const struct lf_entry *e)
{
    const char *on = e->record.base_sha256;
    return e->record.current > 0 && e->base && on[0] && strcmp(on, e->base->sha256) != 0;
}

enum lf_adapter_state lf_entry_state(const struct lf_entry *e)
{
    if (e->activity.job != 0)
        switch (e->activity.progress.state) {
        case LF_JOB_QUEUED:
            return LF_ADAPTER_QUEUED;
        case LF_JOB_RUNNING:
            return LF_ADAPTER_TRAINING;
        case LF_JOB_PAUSED:
            return LF_ADAPTER_PAUSED;
        case LF_JOB_DONE:
        case LF_JOB_FAILED:
        case LF_JOB_CANCELLED:
            break;
        }
    if (e->awaited)
        return LF_ADAPTER_QUEUED;
    if (lf_entry_is_stranger(e))
        return LF_ADAPTER_FAILED;
    bool stands = e->record.refused && e->record.current > 0; /* what was there before */
    if (e->record.trouble[0] && !stands)
        return LF_ADAPTER_FAILED;
    return e->record.current > 0 ? LF_ADAPTER_READY : LF_ADAPTER_EMPTY;
}

const struct lf_version *lf_entry_version(const struct lf_entry *e, int32_t n)
{
    for (size_t i = 0; i < e->n_versions; i++)
        if (e->versions[i].n == n)
            return &e->versions[i];
    return NULL;
}

/* ---- From the disk --------------------------------------------------------------------------- */

/* An error is the disk's: a file that is not there has a size of -1. */
static enum lf_err stat_read(struct lf_file_stat *out, const char *path, struct lf_diag *diag)
{
    struct stat st;
    *out = (struct lf_file_stat){-1, 0};
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR ? LF_OK : lf_fail_errno(diag, errno, "%s", path);
    if (S_ISREG(st.st_mode))
        *out = (struct lf_file_stat){(int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec * 1000 +
                                                              st.st_mtim.tv_nsec / 1000000};
    return LF_OK;
}

struct lf_file_stat lf_file_stat_of(const char *path)
{
    struct lf_file_stat st;
    (void)!stat_read(&st, path, NULL);
    return st;
}

static enum lf_err stat_in(struct lf_file_stat *out, const char *dir, const char *file,
                           struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    return lf_path_join(path, dir, file, diag) ?: stat_read(out, path, diag);
}

static int by_number(const void *a, const void *b)
{
    const struct lf_version *x = a, *y = b;
    return (x->n > y->n) - (x->n < y->n);
}

struct version_list {
    struct lf_version *at;
    size_t n;
    bool parts; /* those without weights, too */
};

/* <dir>/<n>, where both files are there. */
static enum lf_err version_read(struct version_list *l, const char *dir, const char *word,
                                struct lf_diag *diag)
{
    char path[LF_PATH_MAX], *end;
    long n = strtol(word, &end, 10);
    if (word[0] < '1' || word[0] > '9' || *end || n > INT32_MAX ||
        snprintf(path, sizeof path, "%s/%s", dir, word) >= (int)sizeof path)
        return LF_OK;
    struct lf_version v = {.n = (int32_t)n};
    for (size_t i = 0; i < LF_VERSION_FILES_N; i++) {
        enum lf_err rc = stat_in(&v.file[i], path, lf_version_files[i].name, diag);
        if (rc != LF_OK)
            return rc;
    }
    if (!l->parts && (v.file[0].bytes < 0 || v.file[1].bytes < 0))
        return LF_OK;
    struct lf_version *list = realloc(l->at, (l->n + 1) * sizeof v);
    if (!list)
        return lf_no_memory(diag, "the versions of an adapter");
    l->at = list;
    l->at[l->n++] = v;
    return LF_OK;
}

static enum lf_err versions_read(struct version_list *l, const char *dir, const char *name,
                                 struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_names_auto names = {0};
    enum lf_err rc = lf_path_join(path, dir, name, diag) ?: lf_dir_names(&names, path, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++)
        rc = version_read(l, path, names.at[i], diag);
    if (l->n > 1)
        qsort(l->at, l->n, sizeof *l->at, by_number);
    return rc;
}

enum lf_err lf_entry_scan(struct lf_entry *e, const char *dir, struct lf_diag *diag)
{
    struct version_list whole = {.parts = false}, parts = {.parts = true};
    free(e->versions);
    free(e->restored);
    e->versions = e->restored = NULL;
    e->n_versions = e->n_restored = 0;
    enum lf_err rc = LF_OK;
    for (int k = 0; k < LF_FILE_PLAIN_N && rc == LF_OK; k++)
        rc = stat_in(&e->files[k], dir, lf_files[k].disk, diag);
    rc = rc ?: stat_in(&e->staged_config, dir, "import/" LF_ADAPTER_CONFIG_NAME, diag);
    rc = rc ?: stat_in(&e->staged_weights, dir, "import/" LF_ADAPTER_WEIGHTS_NAME, diag);
    rc = rc ?: versions_read(&whole, dir, "versions", diag);
    rc = rc ?: versions_read(&parts, dir, "restore", diag);
    e->versions = whole.at;
    e->n_versions = whole.n;
    e->restored = parts.at;
    e->n_restored = parts.n;
    return rc;
}

void lf_entry_free(struct lf_entry *e)
{
    if (!e)
        return;
    free(e->versions);
    free(e->restored);
    free(e->fragment);
    free(e->warning);
    free(e->refusal);
    free(e->named);
    free(e);
}
