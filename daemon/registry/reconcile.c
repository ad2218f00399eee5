/* Opening the registry: disk and store are made to agree, whatever a crash left between them.
 *
 *   a record without a directory: gets an empty one (made, or lost: its versions are gone)
 *
 *   a directory without a record: into the trash where the store gave its id out, since its removal
 *   was cut short; else the store is another one, or the record is damaged, and it gets a record
 * from what lies in it
 *
 *   a current version that is missing: the newest one that is there is served, or none
 *
 *   versions newer than the record: keep their numbers, which are not given out again
 *
 *   an upload or import cut short, what a job left, a file that was being written: thrown away
 *
 *   half of a version: into the trash
 *
 *   lines of the log that are torn: taken out
 */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/grow.h"
#include "core/log.h"
#include "core/num.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What follows the last line end was cut short by a crash. It takes no room to take it off. */
static enum lf_err log_cut(const char *path, off_t n, struct lf_diag *diag)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int bad = fd < 0 || ftruncate(fd, n) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return bad ? lf_fail_errno(diag, bad, "%s", path) : LF_OK;
}

/* Without the lines that hold zeros: a power cut leaves them where pages were lost. */
static enum lf_err log_rewrite(const char *path, struct lf_str text, struct lf_diag *diag)
{
    lf_buf_auto whole = {0};
    const char *at = text.s, *end = text.s + text.n, *nl;
    for (; at < end && (nl = memchr(at, '\n', (size_t)(end - at))); at = nl + 1)
        if (!memchr(at, '\0', (size_t)(nl - at)))
            lf_buf_append(&whole, at, (size_t)(nl + 1 - at));
    if (whole.rc != LF_OK)
        return lf_no_memory(diag, "the lines of a log");
    return lf_file_write(path, lf_buf_str(&whole), whole.len, diag);
}

/* Torn lines are taken out: who reads the log line by line should not meet them. */
static void log_repair(const char *path)
{
    lf_mapping_auto m = {0};
    struct lf_diag why = {""};
    if (!lf_file_exists(path))
        return;
    enum lf_err rc = lf_file_map(&m, path, &why);
    struct lf_str text = lf_mapping_text(&m);
    const char *end = memrchr(text.s, '\n', text.n);
    size_t whole = end ? (size_t)(end + 1 - text.s) : 0;
    if (rc == LF_OK && memchr(text.s, '\0', text.n))
        rc = log_rewrite(path, text, &why);
    else if (rc == LF_OK && whole < text.n)
        rc = log_cut(path, (off_t)whole, &why);
    if (rc != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "%s: it keeps its torn lines: %s", path, why.text);
}

static enum lf_err fit_versions(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    const struct lf_entry *e = arg;
    int32_t newest = e->n_versions ? e->versions[e->n_versions - 1].n : 0;
    if (record->versions < newest)
        record->versions = newest;
    if (record->current > 0 && !lf_entry_version(e, record->current)) {
        snprintf(record->trouble, sizeof record->trouble, "version %d is not on the disk any more",
                 (int)record->current);
        record->refused = LF_REFUSED_NOTHING;
        record->current = newest;
        record->inputs_sha256[0] = '\0';
    }
    return LF_OK;
}

enum lf_err lf_registry_fit(struct lf_registry *r, struct lf_entry *e, bool *changed,
                            struct lf_diag *diag)
{
    const struct lf_adapter_record *record = &e->record;
    int32_t newest = e->n_versions ? e->versions[e->n_versions - 1].n : 0;
    bool changes =
        record->versions < newest || (record->current > 0 && !lf_entry_version(e, record->current));
    if (changed)
        *changed = changes;
    return changes
               ? lf_store_adapter_update(r->store, record->id, fit_versions, e, &e->record, diag)
               : LF_OK;
}

static enum lf_err set_base(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    memcpy(record->base_sha256, arg, sizeof record->base_sha256);
    return LF_OK;
}

/* What the served version was trained on, where its record is older than bases' digests: what its
 * weights say, else the base that is here. */
static enum lf_err base_learn(struct lf_registry *r, struct lf_entry *e, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], sha256[LF_SHA256_HEX];
    struct lf_origin origin;
    enum lf_err rc = lf_registry_pathf(r, dir, diag, "adapters/%llu/versions/%d",
                                       (unsigned long long)e->record.id, (int)e->record.current);
    if (rc != LF_OK)
        return rc;
    lf_origin_read(&origin, dir);
    memcpy(sha256, origin.base_sha256[0] ? origin.base_sha256 : e->base->sha256, sizeof sha256);
    return lf_store_adapter_update(r->store, e->record.id, set_base, sha256, &e->record, diag);
}

struct open_jobs {
    struct lf_job_record *at;
    size_t n;
};

static enum lf_err entry_open(struct lf_registry *r, const struct lf_adapter_record *record,
                              const struct open_jobs *jobs, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX];
    struct lf_entry *e = calloc(1, sizeof *e);
    if (!e)
        return lf_no_memory(diag, "the adapters");
    e->record = *record;
    e->base = lf_bases_of(r->bases, record->base);
    if (lf_bases_find(r->bases, record->name))
        lf_log(LF_LOG_WARN, "registry",
               "the adapter %s has the name of the base, which answers to it: rename the adapter",
               record->name);
    enum lf_err rc = lf_registry_dir(r, record->id, NULL, dir, diag) ?: lf_dir_make(dir, diag);
    rc = rc ?: lf_registry_clear(r, record->id, jobs->at, jobs->n, diag);
    rc = rc ?: lf_registry_dir(r, record->id, lf_files[LF_FILE_LOG].disk, path, diag);
    if (rc == LF_OK) {
        log_repair(path);
        rc = lf_entry_scan(e, dir, diag);
    }
    rc = rc ?: lf_registry_fit(r, e, NULL, diag);
    if (rc == LF_OK && e->record.current > 0 && !e->record.base_sha256[0])
        rc = base_learn(r, e, diag);
    if (rc == LF_OK) {
        e->named = lf_registry_named(r, record->id, e->record.current);
        e->warning = lf_registry_warning(r, record->id, e->record.current);
        e->told = lf_registry_told(r, record->id, e->record.current);
    }
    rc = rc ?: lf_registry_identity(r, &e->record, diag);
    rc = rc ?: lf_index_reserve(r, diag);
    if (rc == LF_OK)
        lf_index_add(r, e);
    else
        lf_entry_free(e);
    return rc;
}

enum lf_err lf_registry_take_up(struct lf_registry *r, const struct lf_adapter_record *record,
                                struct lf_diag *diag)
{
    return entry_open(r, record, &(struct open_jobs){0}, diag);
}

static enum lf_err stray(struct lf_registry *r, uint64_t id, const struct open_jobs *jobs,
                         struct lf_diag *diag)
{
    struct lf_adapter_record record;
    bool removed = false;
    enum lf_err rc = lf_store_adapter_removed(r->store, id, &removed, diag);
    if (rc != LF_OK)
        return rc;
    if (!removed) {
        rc = lf_registry_adopt(r, id, &record, diag);
        if (rc != LF_E_NOT_FOUND)
            return rc ?: entry_open(r, &record, jobs, diag);
    }
    lf_log(LF_LOG_WARN, "registry", "adapters/%llu has no record: moved to the trash",
           (unsigned long long)id);
    return lf_registry_trash(r, id, "stray", NULL, diag);
}

struct id_list {
    uint64_t *id;
    size_t n, cap;
};

/* Directories of DATA/adapters that no record is of, ascending. */
static enum lf_err strays_find(struct lf_registry *r, struct id_list *out, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], *end;
    lf_names_auto names = {0};
    enum lf_err rc = lf_registry_pathf(r, path, diag, "adapters");
    rc = rc ?: lf_dir_names(&names, path, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        uint64_t id = strtoull(names.at[i], &end, 10);
        if (id == 0 || *end || lf_index_find_id(r, id))
            continue;
        rc = lf_grow(&out->id, &out->cap, out->n + 1, sizeof *out->id);
        if (rc == LF_OK)
            out->id[out->n++] = id;
        else
            lf_fail(diag, rc, "no memory for the adapters");
    }
    if (out->n > 1)
        qsort(out->id, out->n, sizeof *out->id, lf_order_u64);
    return rc;
}

/* In ascending order: a record that is made raises the ids that the store says it gave out, and a
 * start that is cut short must not take those still to come for removed ones. */
static enum lf_err strays(struct lf_registry *r, const struct open_jobs *jobs, struct lf_diag *diag)
{
    struct id_list list = {0};
    enum lf_err rc = strays_find(r, &list, diag);
    for (size_t i = 0; i < list.n && rc == LF_OK; i++)
        rc = stray(r, list.id[i], jobs, diag);
    free(list.id);
    return rc;
}

/* Makes disk, store and index agree; fills the index. Called once, before any other thread. */
static enum lf_err reconcile(struct lf_registry *r, struct lf_diag *diag)
{
    struct lf_adapter_record *list = NULL;
    struct open_jobs jobs = {0};
    size_t n = 0;
    enum lf_err rc = lf_store_job_list(r->store, true, &jobs.at, &jobs.n, diag);
    rc = rc ?: lf_store_adapter_list(r->store, &list, &n, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        rc = entry_open(r, &list[i], &jobs, diag);
    free(list);
    rc = rc ?: strays(r, &jobs, diag);
    free(jobs.at);
    return rc;
}

static enum lf_err folders_make(struct lf_registry *r, struct lf_diag *diag)
{
    static const char *const folders[] = {"adapters", "trash", "incoming"};
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_registry_pathf(r, path, diag, "incoming") ?: lf_dir_remove(path, diag);
    for (size_t i = 0; i < 3 && rc == LF_OK; i++) {
        rc = lf_registry_pathf(r, path, diag, "%s", folders[i]) ?: lf_dir_make(path, diag);
    }
    return rc;
}

enum lf_err lf_registry_open_trash(struct lf_registry **out, const char *data_dir,
                                   struct lf_store *store, struct lf_diag *diag)
{
    struct lf_registry *r = calloc(1, sizeof *r);
    if (!r)
        return lf_no_memory(diag, "the registry");
    pthread_mutex_init(&r->edit, NULL);
    pthread_mutex_init(&r->log, NULL);
    pthread_mutex_init(&r->index, NULL);
    lf_pins_init(&r->pins);
    lf_parts_init(&r->parts);
    lf_recent_init(&r->checked);
    r->store = store;
    if (snprintf(r->data_dir, sizeof r->data_dir, "%s", data_dir) < (int)sizeof r->data_dir) {
        *out = r;
        return LF_OK;
    }
    lf_registry_close(r);
    return lf_fail(diag, LF_E_INVALID, "%s: path too long", data_dir);
}

enum lf_err lf_registry_open(struct lf_registry **out, const char *data_dir, struct lf_store *store,
                             const struct lf_bases *bases, struct lf_diag *diag)
{
    struct lf_registry *r = NULL;
    enum lf_err rc = lf_registry_open_trash(&r, data_dir, store, diag);
    if (rc != LF_OK)
        return rc;
    r->bases = bases;
    r->generation = lf_store_epoch(store) << 32; /* changes of this run are below */
    rc = folders_make(r, diag) ?: reconcile(r, diag);
    if (rc != LF_OK) {
        lf_registry_close(r);
        return rc;
    }
    lf_registry_trash_expire(r, 0);
    *out = r;
    return LF_OK;
}

void lf_registry_close(struct lf_registry *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        lf_entry_free(r->by_id[i]);
    free(r->by_id);
    free(r->by_name);
    lf_pins_deinit(&r->pins);
    lf_parts_deinit(&r->parts);
    lf_recent_deinit(&r->checked);
    pthread_mutex_destroy(&r->edit);
    pthread_mutex_destroy(&r->log);
    pthread_mutex_destroy(&r->index);
    free(r);
}
