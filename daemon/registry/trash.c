/* The trash: DATA/trash/<time>-<name>-<id> is a directory that was an adapter's, with removed.json
 * in it, where the store's record is kept; <time>-<name>.v<n>-<id> was a version's, whose
 * removed.json says of which adapter; anything else is a part that was damaged. How long a thing
 * has been there is counted while a daemon runs (ages.json), so that a clock that jumps throws
 * nothing away. */
#include "daemon/registry/index.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_SECONDS (7ll * 24 * 3600)
#define AGES "ages.json"

/* ---- Into it --------------------------------------------------------------------------------- */

enum lf_err lf_registry_trash_path(struct lf_registry *r, char out[LF_PATH_MAX], const char *label,
                                   struct lf_diag *diag)
{
    return lf_registry_pathf(r, out, diag, "trash/%lld-%s", (long long)lf_clock_unix_ms(), label);
}

/* Takes the note. */
static void note_write(const char *dir, json_t *note)
{
    char path[LF_PATH_MAX];
    struct lf_diag why = {""};
    if ((lf_path_join(path, dir, LF_TRASH_NOTE, &why)
             ?: lf_json_write(path, note, JSON_COMPACT, &why)) != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "%s", why.text);
}

/* What only the store knows. Without it the adapter comes back with its newest version. */
static json_t *note_of(const struct lf_adapter_record *record)
{
    return json_pack("{s:I, s:i, s:i, s:s, s:s, s:I}", "id", (json_int_t)record->id, "current",
                     (int)record->current, "versions", (int)record->versions, "inputs_sha256",
                     record->inputs_sha256, "base_sha256", record->base_sha256, "created_ms",
                     (json_int_t)record->created_ms);
}

enum lf_err lf_registry_trash(struct lf_registry *r, uint64_t id, const char *name,
                              const struct lf_adapter_record *record, struct lf_diag *diag)
{
    char from[LF_PATH_MAX], to[LF_PATH_MAX], label[2 * LF_NAME_MAX];
    snprintf(label, sizeof label, "%.*s-%llu", LF_NAME_MAX, name, (unsigned long long)id);
    enum lf_err rc = lf_registry_dir(r, id, NULL, from, diag);
    if (rc == LF_OK && record)
        note_write(from, note_of(record));
    return rc ?: lf_registry_trash_path(r, to, label, diag) ?: lf_file_move(from, to, diag);
}

enum lf_err lf_registry_trash_version(struct lf_registry *r, uint64_t id, const char *name,
                                      int32_t n, char entry[LF_TRASH_ENTRY], struct lf_diag *diag)
{
    char from[LF_PATH_MAX], to[LF_PATH_MAX], label[2 * LF_NAME_MAX];
    snprintf(label, sizeof label, "%.*s.v%d-%llu", LF_NAME_MAX, name, (int)n,
             (unsigned long long)id);
    enum lf_err rc = lf_registry_pathf(r, from, diag, "adapters/%llu/versions/%d",
                                       (unsigned long long)id, (int)n);
    rc = rc ?: lf_registry_trash_path(r, to, label, diag) ?: lf_file_move(from, to, diag);
    if (rc != LF_OK)
        return rc;
    note_write(to,
               json_pack("{s:I, s:i, s:s}", "id", (json_int_t)id, "version", (int)n, "name", name));
    snprintf(entry, LF_TRASH_ENTRY, "%s", strrchr(to, '/') + 1);
    return LF_OK;
}

/* ---- What is in it --------------------------------------------------------------------------- */

/* The number behind the last '-' of an entry. */
static uint64_t id_of(const char *entry)
{
    const char *dash = strrchr(entry, '-');
    return dash ? strtoull(dash + 1, NULL, 10) : 0;
}

enum lf_err lf_trash_look(struct lf_registry *r, const char *entry, struct lf_trashed *out,
                          struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *identity = NULL;
    *out = (struct lf_trashed){.id = id_of(entry)};
    enum lf_err rc = lf_registry_pathf(r, out->dir, diag, "trash/%s", entry);
    if (rc != LF_OK)
        return rc;
    if (lf_path_join(path, out->dir, LF_IDENTITY_FILE, NULL) == LF_OK &&
        lf_json_load(&identity, path, NULL) == LF_OK &&
        lf_name_ok(lf_json_text_of(identity, "name")))
        snprintf(out->name, sizeof out->name, "%s", lf_json_text_of(identity, "name"));
    if (lf_path_join(path, out->dir, LF_TRASH_NOTE, NULL) == LF_OK &&
        lf_json_load(&out->note, path, NULL) == LF_OK) {
        out->id = (uint64_t)json_integer_value(json_object_get(out->note, "id"));
        out->version = (int32_t)json_integer_value(json_object_get(out->note, "version"));
    }
    if (out->version > 0 && lf_name_ok(lf_json_text_of(out->note, "name")))
        snprintf(out->name, sizeof out->name, "%s", lf_json_text_of(out->note, "name"));
    return LF_OK;
}

enum lf_err lf_trash_entries(struct lf_registry *r, struct lf_names *out, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_registry_pathf(r, path, diag, "trash") ?: lf_dir_names(out, path, diag);
    size_t kept = 0;
    for (size_t i = 0; i < out->n; i++) {
        if (strncmp(out->at[i], AGES, strlen(AGES)) == 0)
            free(out->at[i]);
        else
            out->at[kept++] = out->at[i];
    }
    out->n = kept;
    return rc;
}

/* *index: of the entry, or of the newest that was an adapter of this name. */
enum lf_err lf_trash_find(struct lf_registry *r, const struct lf_names *all, const char *word,
                          size_t *index, struct lf_diag *diag)
{
    bool found = false;
    for (size_t i = 0; i < all->n; i++) {
        struct lf_trashed t;
        enum lf_err rc = lf_trash_look(r, all->at[i], &t, diag);
        json_decref(t.note);
        if (rc != LF_OK)
            return rc;
        if (strcmp(all->at[i], word) == 0 || (t.version == 0 && strcmp(t.name, word) == 0)) {
            found = true;
            *index = i;
        }
    }
    return found ? LF_OK
                 : lf_fail(diag, LF_E_NOT_FOUND, "the trash has no \"%.*s\"", LF_NAME_MAX, word);
}

static json_t *ages_read(struct lf_registry *r)
{
    char path[LF_PATH_MAX];
    json_t *ages = NULL;
    if (lf_registry_pathf(r, path, NULL, "trash/" AGES) == LF_OK &&
        lf_json_load(&ages, path, NULL) == LF_OK && json_is_object(ages))
        return ages;
    json_decref(ages);
    return json_object();
}

static int64_t age_of(const json_t *ages, const char *entry)
{
    return json_integer_value(json_object_get(ages, entry));
}

/* The room that its files take: what has another name elsewhere frees none. */
static int64_t bytes_of(const char *path)
{
    struct stat st;
    char inner[LF_PATH_MAX];
    lf_names_auto names = {0};
    if (lstat(path, &st) != 0)
        return 0;
    if (!S_ISDIR(st.st_mode))
        return st.st_nlink == 1 ? (int64_t)st.st_blocks * 512 : 0;
    int64_t bytes = 0;
    enum lf_err rc = lf_dir_names(&names, path, NULL);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++)
        if (lf_path_join(inner, path, names.at[i], NULL) == LF_OK)
            bytes += bytes_of(inner);
    return bytes;
}

enum lf_err lf_registry_trash_list(struct lf_registry *r, json_t **out, struct lf_diag *diag)
{
    lf_names_auto all = {0};
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_trash_entries(r, &all, diag);
    json_auto_t *ages = ages_read(r);
    json_auto_t *list = json_array();
    for (size_t i = 0; i < all.n && rc == LF_OK; i++) {
        struct lf_trashed t;
        rc = lf_trash_look(r, all.at[i], &t, diag);
        if (rc == LF_OK)
            json_array_append_new(list,
                                  json_pack("{s:s, s:s?, s:o*, s:I, s:I, s:I}", "entry", all.at[i],
                                            "name", t.name[0] ? t.name : NULL, "version",
                                            t.version > 0 ? json_integer(t.version) : NULL, "bytes",
                                            (json_int_t)bytes_of(t.dir), "removed_ms",
                                            (json_int_t)strtoll(all.at[i], NULL, 10), "age_seconds",
                                            (json_int_t)age_of(ages, all.at[i])));
        json_decref(t.note);
    }
    if (rc == LF_OK)
        *out = json_incref(list);
    return rc;
}

enum lf_err lf_registry_trash_name(struct lf_registry *r, const char *word,
                                   char name[LF_NAME_MAX + 1], struct lf_diag *diag)
{
    struct lf_trashed t;
    lf_names_auto all = {0};
    size_t i = 0;
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_trash_entries(r, &all, diag) ?: lf_trash_find(r, &all, word, &i, diag);
    rc = rc ?: lf_trash_look(r, all.at[i], &t, diag);
    if (rc != LF_OK)
        return rc;
    snprintf(name, LF_NAME_MAX + 1, "%s", t.name);
    json_decref(t.note);
    return LF_OK;
}

/* ---- Away ------------------------------------------------------------------------------------ */

static enum lf_err throw_away(struct lf_registry *r, const char *entry, int64_t *bytes,
                              struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_registry_pathf(r, path, diag, "trash/%s", entry);
    int64_t n = rc == LF_OK ? bytes_of(path) : 0;
    rc = rc ?: lf_dir_remove(path, diag);
    if (rc == LF_OK)
        *bytes += n;
    return rc;
}

enum lf_err lf_registry_trash_empty(struct lf_registry *r, const char *word, int64_t *bytes,
                                    struct lf_diag *diag)
{
    lf_names_auto all = {0};
    size_t at = 0;
    *bytes = 0;
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_trash_entries(r, &all, diag);
    if (word)
        rc = rc ?: lf_trash_find(r, &all, word, &at, diag);
    if (word && rc == LF_OK)
        return throw_away(r, all.at[at], bytes, diag);
    for (size_t i = 0; i < all.n && rc == LF_OK && !word; i++)
        rc = throw_away(r, all.at[i], bytes, diag);
    return rc;
}

/* The one that has been there longest; of several, which was removed first. */
static size_t oldest(const struct lf_names *all, const json_t *ages)
{
    size_t found = 0;
    for (size_t i = 1; i < all->n; i++)
        if (age_of(ages, all->at[i]) > age_of(ages, all->at[found]))
            found = i;
    return found;
}

static void take_out(struct lf_registry *r, struct lf_names *all, size_t i, const char *why)
{
    struct lf_diag diag = {""};
    int64_t bytes = 0;
    enum lf_err rc = throw_away(r, all->at[i], &bytes, &diag);
    lf_log(rc == LF_OK ? LF_LOG_INFO : LF_LOG_WARN, "registry", "trash: %s: %s", all->at[i],
           rc == LF_OK ? why : diag.text);
    free(all->at[i]);
    memmove(all->at + i, all->at + i + 1, (--all->n - i) * sizeof *all->at);
}

void lf_registry_trash_expire(struct lf_registry *r, int64_t seconds)
{
    char path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    lf_names_auto all = {0};
    lf_lock_auto held = lf_lock(&r->edit);
    if (lf_trash_entries(r, &all, &diag) != LF_OK) {
        lf_log(LF_LOG_WARN, "registry", "trash: %s", diag.text);
        return;
    }
    lf_registry_reserve_make(r);
    json_auto_t *old = ages_read(r);
    json_t *ages = json_object();
    for (size_t i = 0; i < all.n; i++)
        json_object_set_new(ages, all.at[i], json_integer(age_of(old, all.at[i]) + seconds));
    for (size_t i = all.n; i-- > 0;)
        if (age_of(ages, all.at[i]) >= KEPT_SECONDS) {
            json_object_del(ages, all.at[i]);
            take_out(r, &all, i, "kept for seven days");
        }
    while (all.n > 0 && lf_registry_disk_is_short(r)) {
        size_t i = oldest(&all, ages);
        json_object_del(ages, all.at[i]);
        take_out(r, &all, i, "the disk is nearly full");
    }
    if (json_equal(old, ages)) {
        json_decref(ages);
        return;
    }
    enum lf_err rc = lf_registry_pathf(r, path, &diag, "trash/" AGES);
    if ((rc ?: lf_json_write(path, ages, 0, &diag)) != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "trash: %s", diag.text);
}
