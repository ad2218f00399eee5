/* Who an adapter is, written beside its files: DATA/adapters/<id>/identity.json. The store is the
 * truth; this is read where the store has lost it. */
#include "daemon/registry/index.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum lf_err lf_registry_identity(struct lf_registry *r, const struct lf_adapter_record *record,
                                 struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = json_pack("{s:s, s:s}", "name", record->name, "base", record->base);
    json_auto_t *old = NULL;
    enum lf_err rc = lf_registry_dir(r, record->id, LF_IDENTITY_FILE, path, diag);
    if (rc == LF_OK && j && lf_json_load(&old, path, NULL) == LF_OK && json_equal(old, j))
        return LF_OK;
    return rc ?: lf_json_write(path, json_incref(j), JSON_COMPACT, diag);
}

void lf_registry_identity_remove(struct lf_registry *r, uint64_t id)
{
    char path[LF_PATH_MAX];
    if (lf_registry_dir(r, id, LF_IDENTITY_FILE, path, NULL) == LF_OK)
        unlink(path);
}

/* Nothing but a config.json: such an adapter was being made, and never was. */
static bool is_half_made(struct lf_registry *r, const struct lf_entry *e)
{
    char path[LF_PATH_MAX];
    if (e->n_versions > 0 ||
        (lf_registry_dir(r, e->record.id, LF_IDENTITY_FILE, path, NULL) == LF_OK &&
         lf_file_exists(path)))
        return false;
    for (int k = 0; k < LF_FILE_PLAIN_N; k++)
        if (k != LF_FILE_CONFIG && e->files[k].bytes >= 0)
            return false;
    return true;
}

/* What identity.json says, where it is there and well. One that cannot be read now is an error: the
 * name would be lost with it. */
static enum lf_err identity_read(struct lf_registry *r, struct lf_adapter_record *record,
                                 struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    enum lf_err rc = lf_registry_dir(r, record->id, LF_IDENTITY_FILE, path, diag);
    rc = rc ?: lf_json_load(&j, path, diag);
    if (rc == LF_E_NOT_FOUND || rc == LF_E_INVALID)
        return LF_OK;
    if (rc != LF_OK)
        return rc;
    const char *name = json_string_value(json_object_get(j, "name"));
    const char *base = json_string_value(json_object_get(j, "base"));
    if (name && lf_name_ok(name))
        snprintf(record->name, sizeof record->name, "%s", name);
    if (base && lf_name_ok(base))
        snprintf(record->base, sizeof record->base, "%s", base);
    return LF_OK;
}

/* A job was open. */
static bool was_training(struct lf_registry *r, uint64_t id)
{
    char path[LF_PATH_MAX];
    lf_names_auto jobs = {0};
    return lf_registry_dir(r, id, "jobs", path, NULL) == LF_OK &&
           lf_dir_names(&jobs, path, NULL) == LF_OK && jobs.n > 0 && jobs.at[0][0] != 'n';
}

enum lf_err lf_registry_recall(struct lf_registry *r, uint64_t id, struct lf_adapter_record *out,
                               struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    struct lf_entry e = {.record = {.id = id}};
    struct lf_adapter_record *record = &e.record;
    enum lf_err rc = lf_registry_dir(r, id, NULL, dir, diag) ?: lf_entry_scan(&e, dir, diag);
    if (rc == LF_OK && e.n_versions > 0)
        record->current = record->versions = e.versions[e.n_versions - 1].n;
    free(e.versions);
    free(e.restored);
    if (rc == LF_OK && is_half_made(r, &e))
        rc = lf_fail(diag, LF_E_NOT_FOUND, "adapters/%llu is empty", (unsigned long long)id);
    snprintf(record->name, sizeof record->name, "recovered-%llu", (unsigned long long)id);
    rc = rc ?: identity_read(r, record, diag);
    record->created_ms = record->changed_ms = lf_clock_unix_ms();
    if (rc == LF_OK)
        *out = *record;
    return rc;
}

enum lf_err lf_registry_adopt(struct lf_registry *r, uint64_t id, struct lf_adapter_record *out,
                              struct lf_diag *diag)
{
    struct lf_adapter_record record;
    enum lf_err rc = lf_registry_recall(r, id, &record, diag);
    if (rc != LF_OK)
        return rc;
    record.wanted = was_training(r, id);
    snprintf(record.trouble, sizeof record.trouble,
             "the store had lost it; it was made again from its files");
    rc = lf_store_adapter_adopt(r->store, &record, diag);
    if (rc == LF_E_EXISTS) {
        snprintf(record.name, sizeof record.name, "recovered-%llu", (unsigned long long)id);
        rc = lf_store_adapter_adopt(r->store, &record, diag);
    }
    if (rc == LF_OK) {
        lf_log(LF_LOG_ERROR, "registry", "adapters/%llu was not in the store; made again as %s v%d",
               (unsigned long long)id, record.name, (int)record.current);
        *out = record;
    }
    return rc;
}
