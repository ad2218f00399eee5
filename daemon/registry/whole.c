/* Whether a directory is whole: what a training waits for. */
#include "daemon/registry/index.h"

#include "core/lock.h"
#include "core/file.h"

static enum lf_err set_wanted(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    record->wanted = *(const bool *)arg;
    return LF_OK;
}

enum lf_err lf_registry_await(struct lf_registry *r, uint64_t id, bool wanted, bool awaited,
                              struct lf_diag *diag)
{
    struct lf_adapter_view v;
    struct lf_adapter_record record;
    lf_lock_auto edit = lf_lock(&r->edit);
    enum lf_err rc = lf_registry_view_id(r, id, &v, diag);
    bool changes = rc == LF_OK && v.record.wanted != wanted;
    if (changes)
        rc = lf_store_adapter_update(r->store, id, set_wanted, &wanted, &record, diag);
    lf_lock_auto index = lf_lock(&r->index);
    struct lf_entry *e = rc == LF_OK ? lf_index_find_id(r, id) : NULL;
    if (e) {
        if (changes)
            e->record = record;
        e->awaited = awaited;
        lf_index_touch(r, e);
    }
    return rc;
}

/* With the index lock held: half of an import, where nothing is served yet. */
static bool has_half(const struct lf_entry *e, enum lf_file_kind *missing)
{
    bool config = e->staged_config.bytes >= 0, weights = e->staged_weights.bytes >= 0;
    *missing = config ? LF_FILE_ADAPTER_WEIGHTS : LF_FILE_ADAPTER_CONFIG;
    return e->record.current == 0 && config != weights;
}

enum lf_err lf_registry_whole(struct lf_registry *r, uint64_t id, enum lf_file_kind *file,
                              struct lf_diag *diag)
{
    static const enum lf_file_kind rows[] = {LF_FILE_DATASET, LF_FILE_EVAL};
    char path[LF_PATH_MAX];
    pthread_mutex_lock(&r->index);
    const struct lf_entry *e = lf_index_find_id(r, id);
    bool half = e && has_half(e, file);
    pthread_mutex_unlock(&r->index);
    if (half)
        return lf_fail(diag, LF_E_INVALID, "is not there yet; the training waits for it");
    for (size_t i = 0; i < 2; i++) {
        *file = rows[i];
        enum lf_err rc = lf_registry_dir(r, id, lf_files[rows[i]].disk, path, diag);
        if (rc == LF_OK && lf_file_exists(path))
            rc = lf_registry_check(r, id, rows[i], path, diag);
        if (rc != LF_OK)
            return rc;
    }
    *file = LF_FILE_DATASET;
    return LF_OK;
}

static enum lf_err clear_refused(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)arg;
    (void)diag;
    if (record->refused)
        record->trouble[0] = '\0';
    record->refused = LF_REFUSED_NOTHING;
    return LF_OK;
}

void lf_registry_cleared(struct lf_registry *r, uint64_t id)
{
    struct lf_adapter_view v;
    struct lf_adapter_record record;
    lf_lock_auto edit = lf_lock(&r->edit);
    if (lf_registry_view_id(r, id, &v, NULL) == LF_OK && v.record.refused &&
        lf_store_adapter_update(r->store, id, clear_refused, NULL, &record, NULL) == LF_OK)
        lf_registry_refresh(r, id, &record);
}

void lf_registry_later(struct lf_registry *r, uint64_t id, enum lf_file_kind file)
{
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e)
        e->later = (int)file + 1;
    pthread_mutex_unlock(&r->index);
    lf_registry_log(
        r, id,
        json_pack("{s:s, s:s}", "event", "for the next training", "file", lf_files[file].name));
}
