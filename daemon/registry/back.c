/* Adapters and versions that come back from the trash. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum lf_err name_free(struct lf_registry *r, const char *name, struct lf_diag *diag)
{
    struct lf_adapter_record *list = NULL;
    size_t n = 0;
    if (!lf_name_ok(name))
        return lf_fail(diag, LF_E_INVALID, "\"%.*s\" cannot be a name", LF_NAME_MAX, name);
    enum lf_err rc = lf_store_adapter_list(r->store, &list, &n, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        if (strcmp(list[i].name, name) == 0)
            rc = lf_fail(diag, LF_E_EXISTS, "there is an adapter \"%s\": give another name", name);
    free(list);
    return rc;
}

static void note_apply(struct lf_adapter_record *record, const json_t *note)
{
    if (!note)
        return;
    record->current = (int32_t)json_integer_value(json_object_get(note, "current"));
    record->versions = (int32_t)json_integer_value(json_object_get(note, "versions"));
    record->created_ms = json_integer_value(json_object_get(note, "created_ms"));
    snprintf(record->inputs_sha256, sizeof record->inputs_sha256, "%s",
             lf_json_text_of(note, "inputs_sha256"));
    snprintf(record->base_sha256, sizeof record->base_sha256, "%s",
             lf_json_text_of(note, "base_sha256"));
}

/* The directory is at its place; then the store, then the index. */
static enum lf_err put_back(struct lf_registry *r, const struct lf_trashed *t, const char *name,
                            struct lf_diag *diag)
{
    char note[LF_PATH_MAX];
    struct lf_adapter_record record;
    enum lf_err rc = lf_registry_recall(r, t->id, &record, diag);
    if (rc != LF_OK)
        return rc;
    note_apply(&record, t->note);
    snprintf(record.name, sizeof record.name, "%s", name);
    rc = lf_store_adapter_adopt(r->store, &record, diag) ?: lf_registry_identity(r, &record, diag);
    if (rc == LF_OK && r->bases)
        rc = lf_registry_take_up(r, &record, diag);
    if (rc != LF_OK)
        (void)!lf_store_adapter_delete(r->store, t->id, NULL);
    else if (lf_registry_dir(r, t->id, LF_TRASH_NOTE, note, NULL) == LF_OK)
        unlink(note);
    return rc;
}

static enum lf_err restore_adapter(struct lf_registry *r, const struct lf_trashed *t,
                                   const char *as, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    enum lf_err rc = lf_registry_dir(r, t->id, NULL, dir, diag);
    if (rc == LF_OK && lf_file_exists(dir))
        rc = lf_fail(diag, LF_E_EXISTS, "adapters/%llu is there", (unsigned long long)t->id);
    rc = rc ?: name_free(r, as, diag) ?: lf_file_move(t->dir, dir, diag);
    if (rc == LF_OK) {
        rc = put_back(r, t, as, diag);
        if (rc != LF_OK && lf_file_move(dir, t->dir, NULL) != LF_OK)
            lf_log(LF_LOG_WARN, "registry", "%s: it is made again at the next start", as);
    }
    return rc;
}

/* name: what the adapter is called now. */
static enum lf_err restore_version(struct lf_registry *r, const struct lf_trashed *t,
                                   char name[LF_NAME_MAX + 1], struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], versions[LF_PATH_MAX], note[LF_PATH_MAX];
    struct lf_adapter_record record;
    enum lf_err rc = lf_registry_dir(r, t->id, "versions", versions, diag);
    rc = rc
             ?: lf_registry_pathf(r, dir, diag, "adapters/%llu/versions/%d",
                                  (unsigned long long)t->id, (int)t->version);
    if (rc == LF_OK && !lf_file_exists(versions))
        rc = lf_fail(diag, LF_E_NOT_FOUND, "its adapter %s is gone: restore that one first",
                     t->name);
    if (rc == LF_OK && lf_file_exists(dir))
        rc = lf_fail(diag, LF_E_EXISTS, "%s has a version %d", t->name, (int)t->version);
    rc = rc ?: lf_registry_recall(r, t->id, &record, diag) ?: lf_file_move(t->dir, dir, diag);
    if (rc != LF_OK)
        return rc;
    if (lf_path_join(note, dir, LF_TRASH_NOTE, NULL) == LF_OK)
        unlink(note);
    if (r->bases)
        lf_registry_refresh(r, t->id, NULL);
    snprintf(name, LF_NAME_MAX + 1, "%s", record.name);
    return LF_OK;
}

static enum lf_err restore(struct lf_registry *r, const char *entry, const char *as,
                           struct lf_restored *out, struct lf_diag *diag)
{
    struct lf_trashed t;
    struct lf_restored back = {""};
    enum lf_err rc = lf_trash_look(r, entry, &t, diag);
    if (rc == LF_OK && (!t.name[0] || t.id == 0))
        rc = lf_fail(diag, LF_E_INVALID, "%.200s is no adapter, but a part of one", entry);
    if (rc == LF_OK && as && t.version > 0)
        rc =
            lf_fail(diag, LF_E_INVALID, "%.200s is a version: it has a number, and no name", entry);
    back.version = t.version;
    if (t.version > 0) {
        rc = rc ?: restore_version(r, &t, back.name, diag);
    } else {
        snprintf(back.name, sizeof back.name, "%s", as ? as : t.name);
        rc = rc ?: restore_adapter(r, &t, as ? as : t.name, diag);
    }
    if (rc == LF_OK)
        *out = back;
    json_decref(t.note);
    return rc;
}

enum lf_err lf_registry_trash_restore(struct lf_registry *r, const char *word, const char *as,
                                      struct lf_restored *out, struct lf_diag *diag)
{
    lf_names_auto all = {0};
    size_t i = 0;
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_trash_entries(r, &all, diag) ?: lf_trash_find(r, &all, word, &i, diag);
    return rc ?: restore(r, all.at[i], as, out, diag);
}
