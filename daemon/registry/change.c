/* Changes of adapters: each is disk, then store, then index, under the edit lock. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/lock.h"
#include "model/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A request names the base and the adapters alike, so that no adapter may have a base's name. */
static enum lf_err name_check(const struct lf_registry *r, const char *name, struct lf_diag *diag)
{
    if (!lf_name_ok(name))
        return lf_fail(
            diag, LF_E_INVALID,
            "\"%.*s\" cannot be a name: 1 to %d of [A-Za-z0-9._-], not starting with '.'",
            2 * LF_NAME_MAX, name, LF_NAME_MAX);
    if (lf_bases_find(r->bases, name))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" is the name of the base itself", name);
    return LF_OK;
}

static int32_t served_version(struct lf_registry *r, uint64_t id)
{
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find_id(r, id);
    return e ? e->record.current : 0;
}

void lf_registry_refresh(struct lf_registry *r, uint64_t id, const struct lf_adapter_record *record)
{
    char dir[LF_PATH_MAX];
    struct lf_diag why = {""};
    struct lf_entry look = {0};
    enum lf_err rc = lf_registry_dir(r, id, NULL, dir, &why) ?: lf_entry_scan(&look, dir, &why);
    if (rc != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "%s", why.text);
    char *named = record ? lf_registry_named(r, id, record->current) : NULL;
    int32_t current = record ? record->current : served_version(r, id);
    struct lf_told told = lf_registry_told(r, id, current);
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e && record) {
        char *old = e->named;
        e->record = *record;
        e->base = r->bases ? lf_bases_of(r->bases, record->base) : NULL;
        e->named = named;
        named = old;
    }
    if (e && e->record.current == current)
        e->told = told;
    if (e && rc == LF_OK) {
        struct lf_version *old = e->versions, *old_parts = e->restored;
        memcpy(e->files, look.files, sizeof e->files);
        e->staged_config = look.staged_config;
        e->staged_weights = look.staged_weights;
        e->versions = look.versions;
        e->n_versions = look.n_versions;
        look.versions = old;
        e->restored = look.restored;
        e->n_restored = look.n_restored;
        look.restored = old_parts;
    }
    if (e)
        lf_index_touch(r, e);
    pthread_mutex_unlock(&r->index);
    free(named);
    free(look.versions);
    free(look.restored);
}

/* The base of a new adapter, and the text of its config.json: all settings; none where none were
 * given, so that whoever copies a directory can make it. */
static enum lf_err config_text(struct lf_registry *r, const json_t *config, struct lf_buf *out,
                               const struct lf_base **base, struct lf_diag *diag)
{
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    enum lf_err rc = config ? lf_train_settings_parse(&s, config, diag) : LF_OK;
    if (rc == LF_OK && !(*base = lf_bases_find(r->bases, s.base)))
        rc = lf_registry_no_base(r, s.base, diag);
    const struct lf_lora_settings lora = lf_train_settings_lora(&s);
    if (rc == LF_OK)
        rc = lf_lora_settings_check(&(*base)->model->config, &lora, diag);
    if (rc == LF_OK && config)
        rc = lf_train_settings_print(&s, out);
    if (rc == LF_OK && out->len > 0 && out->data[out->len - 1] != '\n')
        lf_buf_putc(out, '\n');
    if (out->rc != LF_OK)
        rc = lf_fail(diag, out->rc, "no memory for the adapter's settings");
    lf_train_settings_free(&s);
    return rc;
}

struct creation {
    struct lf_registry *r;
    struct lf_entry *e;
    struct lf_buf config; /* the text of config.json; empty: none */
};

/* The directory, before the store commits to it. */
static enum lf_err create_on_disk(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    const struct creation *c = arg;
    char dir[LF_PATH_MAX], path[LF_PATH_MAX];
    c->e->record = *record;
    enum lf_err rc = lf_registry_dir(c->r, record->id, NULL, dir, diag);
    rc = rc ?: lf_dir_make(dir, diag);
    rc = rc ?: lf_registry_dir(c->r, record->id, lf_files[LF_FILE_CONFIG].disk, path, diag);
    if (rc == LF_OK && c->config.len > 0)
        rc = lf_file_write(path, c->config.data, c->config.len, diag);
    rc = rc ?: lf_registry_identity(c->r, record, diag);
    return rc ?: lf_entry_scan(c->e, dir, diag);
}

/* Of an adapter that was not made after all. */
static void create_undo(struct lf_registry *r, uint64_t id)
{
    char dir[LF_PATH_MAX];
    struct lf_diag why = {""};
    lf_registry_identity_remove(r, id); /* first: what is left must not be taken for an adapter */
    if ((lf_registry_dir(r, id, NULL, dir, &why) ?: lf_dir_remove(dir, &why)) != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "%s", why.text);
}

static enum lf_err create(struct creation *c, struct lf_diag *diag)
{
    struct lf_registry *r = c->r;
    struct lf_adapter_record record = c->e->record;
    pthread_mutex_lock(&r->index);
    enum lf_err rc = lf_index_reserve(r, diag);
    pthread_mutex_unlock(&r->index);
    rc = rc ?: lf_store_adapter_create(r->store, &record, create_on_disk, c, diag);
    if (rc != LF_OK) {
        if (c->e->record.id != 0)
            create_undo(r, c->e->record.id);
        return rc;
    }
    lf_lock_auto held = lf_lock(&r->index);
    lf_index_add(r, c->e);
    c->e = NULL;
    return LF_OK;
}

enum lf_err lf_registry_create(struct lf_registry *r, const char *name, const json_t *config,
                               struct lf_diag *diag)
{
    enum lf_err rc = name_check(r, name, diag);
    if (rc != LF_OK)
        return rc;
    struct creation c = {.r = r, .e = calloc(1, sizeof *c.e)};
    if (!c.e)
        return lf_no_memory(diag, "another adapter");
    snprintf(c.e->record.name, sizeof c.e->record.name, "%s", name);
    const struct lf_base *base = NULL;
    rc = config_text(r, config, &c.config, &base, diag);
    if (rc == LF_OK) {
        memcpy(c.e->record.base, base->name, sizeof c.e->record.base);
        c.e->base = base;
    }
    pthread_mutex_lock(&r->edit);
    rc = rc ?: create(&c, diag);
    pthread_mutex_unlock(&r->edit);
    lf_entry_free(c.e);
    lf_buf_free(&c.config);
    return rc;
}

enum lf_err lf_registry_rename(struct lf_registry *r, const char *name, const char *to,
                               struct lf_diag *diag)
{
    uint64_t id;
    struct lf_adapter_record record;
    struct lf_diag why = {""};
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = name_check(r, to, diag) ?: lf_registry_id(r, name, &id, diag);
    rc = rc ?: lf_store_adapter_rename(r->store, id, to, &record, diag);
    if (rc != LF_OK)
        return rc;
    pthread_mutex_lock(&r->index);
    lf_index_renamed(r, lf_index_find_id(r, id), &record);
    pthread_mutex_unlock(&r->index);
    if (lf_registry_identity(r, &record, &why) != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "%s: its identity.json is written at the next start: %s",
               to, why.text);
    return LF_OK;
}

static enum lf_err remove_adapter(struct lf_registry *r, const char *name, uint64_t *id,
                                  struct lf_diag *diag)
{
    struct lf_adapter_view v;
    struct lf_diag why = {""};
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_registry_view(r, name, &v, diag);
    uint64_t gone = rc == LF_OK ? v.record.id : 0;
    rc = rc ?: lf_store_adapter_delete(r->store, gone, diag);
    if (rc == LF_E_NO_SPACE && lf_registry_reserve_give(r))
        rc = lf_store_adapter_delete(r->store, gone, diag);
    if (rc != LF_OK)
        return rc;
    pthread_mutex_lock(&r->index);
    lf_index_remove(r, lf_index_find_id(r, gone));
    pthread_mutex_unlock(&r->index);
    if (lf_registry_trash(r, gone, name, &v.record, &why) != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "%s: not moved to the trash yet: %s", name, why.text);
    *id = gone;
    return LF_OK;
}

enum lf_err lf_registry_remove(struct lf_registry *r, const char *name, uint64_t *id,
                               struct lf_diag *diag)
{
    enum lf_err rc = remove_adapter(r, name, id, diag);
    if (rc == LF_OK && lf_registry_disk_is_short(r))
        lf_registry_trash_expire(r, 0);
    return rc;
}

struct choice {
    int32_t n;
    struct lf_origin origin; /* what made it; not known: the same dataset may train again */
};

static enum lf_err make_current(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    const struct choice *c = arg;
    if (record->current != c->n || c->origin.inputs_sha256[0])
        memcpy(record->inputs_sha256, c->origin.inputs_sha256, sizeof record->inputs_sha256);
    if (record->current != c->n || c->origin.base_sha256[0])
        memcpy(record->base_sha256, c->origin.base_sha256, sizeof record->base_sha256);
    record->current = c->n;
    record->trouble[0] = '\0';
    record->refused = LF_REFUSED_NOTHING;
    return LF_OK;
}

/* LF_OK with *later: the version is on its way, in an adapter that is being copied in, and is
 * served when it is there. */
static enum lf_err check_choice(struct lf_registry *r, uint64_t id, int32_t n, bool *later,
                                struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    bool there = e && lf_entry_version(e, n);
    *later =
        e && !there && e->record.last_job == 0 && (e->record.current == 0 || e->n_restored > 0);
    if (*later) {
        e->wanted = n;
        lf_index_touch(r, e);
    }
    return there || *later ? LF_OK
                           : lf_fail(diag, LF_E_NOT_FOUND, "%s has no version %d",
                                     e ? e->record.name : "it", (int)n);
}

enum lf_err lf_registry_rollback(struct lf_registry *r, const char *name, int32_t n,
                                 struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    struct lf_adapter_record record;
    struct choice c = {.n = n};
    uint64_t id = 0;
    bool later = false;
    pthread_mutex_lock(&r->edit);
    enum lf_err rc = lf_registry_id(r, name, &id, diag);
    rc = rc ?: check_choice(r, id, n, &later, diag);
    rc = rc
             ?: lf_registry_pathf(r, dir, diag, "adapters/%llu/versions/%d", (unsigned long long)id,
                                  (int)n);
    if (rc == LF_OK && !later) {
        lf_origin_read(&c.origin, dir);
        rc = lf_store_adapter_update(r->store, id, make_current, &c, &record, diag);
        if (rc == LF_OK)
            lf_registry_refresh(r, record.id, &record);
    }
    pthread_mutex_unlock(&r->edit);
    if (rc == LF_OK)
        lf_registry_rewarn(r, id);
    if (rc == LF_OK && !later)
        lf_registry_log(r, id, json_pack("{s:s, s:i}", "event", "rollback", "version", (int)n));
    return rc;
}

static enum lf_err set_trouble(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    snprintf(record->trouble, sizeof record->trouble, "%s", (const char *)arg);
    record->refused = LF_REFUSED_FILE;
    return LF_OK;
}

void lf_registry_refused(struct lf_registry *r, const char *name, const char *file,
                         const char *reason)
{
    char trouble[LF_DIAG_MAX];
    struct lf_adapter_record record;
    uint64_t id;
    snprintf(trouble, sizeof trouble, "%s: %s", file, reason);
    pthread_mutex_lock(&r->edit);
    enum lf_err rc = lf_registry_id(r, name, &id, NULL);
    rc = rc ?: lf_store_adapter_update(r->store, id, set_trouble, trouble, &record, NULL);
    if (rc == LF_OK)
        lf_registry_refresh(r, id, &record);
    pthread_mutex_unlock(&r->edit);
    if (rc == LF_OK)
        lf_registry_log(r, id, json_pack("{s:s, s:s}", "event", "refused", "reason", trouble));
}

bool lf_reason_is_of(const char *reason, const char *file)
{
    size_t n = strlen(file);
    return strncmp(reason, file, n) == 0 && reason[n] == ':';
}

static void swap(char **a, char **b)
{
    char *was = *a;
    *a = *b;
    *b = was;
}

void lf_registry_asked(struct lf_registry *r, const char *name, const char *file,
                       const char *refusal)
{
    char *text = NULL;
    if (refusal && asprintf(&text, "%s: %s", file, refusal) < 0)
        text = NULL;
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = lf_index_find(r, name);
    if (e && (text || (!refusal && e->refusal && (!file || lf_reason_is_of(e->refusal, file))))) {
        swap(&e->refusal, &text);
        lf_index_touch(r, e);
    }
    pthread_mutex_unlock(&r->index);
    free(text);
}

void lf_registry_warned(struct lf_registry *r, uint64_t id, const char *warning)
{
    char *text = *warning ? strdup(warning) : NULL;
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        swap(&e->warning, &text);
        lf_index_touch(r, e);
    }
    pthread_mutex_unlock(&r->index);
    free(text);
}

void lf_registry_rewarn(struct lf_registry *r, uint64_t id)
{
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    int32_t version = e && e->activity.job == 0 ? e->record.current : 0;
    pthread_mutex_unlock(&r->index);
    if (version == 0)
        return;
    char *text = lf_registry_warning(r, id, version);
    lf_registry_warned(r, id, text ? text : "");
    free(text);
}

static enum lf_err remove_version(struct lf_registry *r, const struct lf_adapter_view *v, int32_t n,
                                  char entry[LF_TRASH_ENTRY], struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (v->record.current == n)
        return lf_fail(diag, LF_E_BUSY, "version %d is the one that is served", (int)n);
    enum lf_err rc = lf_registry_pathf(r, path, diag, "adapters/%llu/versions/%d",
                                       (unsigned long long)v->record.id, (int)n);
    if (rc == LF_OK && !lf_file_exists(path))
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s has no version %d", v->record.name, (int)n);
    return rc ?: lf_registry_trash_version(r, v->record.id, v->record.name, n, entry, diag);
}

static enum lf_err delete_file(struct lf_registry *r, const char *name,
                               const struct lf_file_ref *ref, struct lf_condition only,
                               char entry[LF_TRASH_ENTRY], struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_adapter_view v;
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_registry_view(r, name, &v, diag);
    rc = rc ?: lf_registry_fits(r, name, ref, only, diag);
    if (rc == LF_OK && ref->kind == LF_FILE_VERSION) {
        rc = remove_version(r, &v, ref->version, entry, diag);
    } else if (rc == LF_OK && (ref->kind >= LF_FILE_PLAIN_N || !lf_file_ref_writable(ref))) {
        rc = lf_fail(diag, LF_E_READ_ONLY, "that file is not for removing");
    } else if (rc == LF_OK) {
        rc = lf_registry_dir(r, v.record.id, lf_files[ref->kind].disk, path, diag);
        rc = rc ?: lf_file_remove(path, diag);
        if (rc == LF_E_NOT_FOUND)
            lf_fail(diag, rc, "%s has no %s", name, lf_files[ref->kind].name);
        if (rc == LF_OK)
            lf_pins_forget(&r->pins, v.record.id, ref->kind);
    }
    if (rc == LF_OK)
        lf_registry_refresh(r, v.record.id, NULL);
    return rc;
}

enum lf_err lf_registry_delete(struct lf_registry *r, const char *name,
                               const struct lf_file_ref *ref, struct lf_condition only,
                               char entry[LF_TRASH_ENTRY], struct lf_diag *diag)
{
    entry[0] = '\0';
    enum lf_err rc = delete_file(r, name, ref, only, entry, diag);
    if (entry[0] && lf_registry_disk_is_short(r))
        lf_registry_trash_expire(r, 0);
    return rc;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

enum lf_err lf_registry_job_create(struct lf_registry *r, struct lf_job_record *job,
                                   struct lf_diag *diag)
{
    struct lf_adapter_record record;
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_store_job_create(r->store, job, &record, diag);
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = rc == LF_OK ? lf_index_find_id(r, record.id) : NULL;
    if (e)
        e->later = 0;
    pthread_mutex_unlock(&r->index);
    if (rc == LF_OK)
        lf_registry_refresh(r, record.id, &record);
    return rc;
}

static enum lf_err forget_trouble(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)arg;
    (void)diag;
    record->trouble[0] = '\0';
    record->refused = LF_REFUSED_NOTHING;
    return LF_OK;
}

enum lf_err lf_registry_job_reopen(struct lf_registry *r, const struct lf_job_record *job,
                                   struct lf_diag *diag)
{
    struct lf_adapter_record record;
    lf_lock_auto held = lf_lock(&r->edit);
    enum lf_err rc = lf_store_job_put(r->store, job, diag);
    rc = rc
             ?: lf_store_adapter_update(r->store, job->adapter_id, forget_trouble, NULL, &record,
                                        diag);
    if (rc == LF_OK)
        lf_registry_refresh(r, record.id, &record);
    return rc;
}

void lf_registry_activity(struct lf_registry *r, uint64_t id, const struct lf_activity *a)
{
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        enum lf_adapter_state before = lf_entry_state(e);
        e->activity = *a;
        if (lf_entry_state(e) != before)
            lf_index_touch(r, e);
    }
}

void lf_registry_scores_due(struct lf_registry *r, uint64_t id, int by)
{
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        e->scores = (struct lf_scores_due){.versions = e->scores.versions + by};
        lf_index_touch(r, e);
    }
}

void lf_registry_scores_done(struct lf_registry *r, uint64_t id, int64_t done, int64_t rows)
{
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        e->scores.done = done;
        e->scores.rows = rows;
    }
}

/* The version is of the base that is here. */
static enum lf_err set_base(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    const struct lf_base *base = arg;
    memcpy(record->base_sha256, base->sha256, sizeof record->base_sha256);
    return LF_OK;
}

enum lf_err lf_registry_job_finish(struct lf_registry *r, const struct lf_job_record *job,
                                   struct lf_diag *diag)
{
    struct lf_adapter_record record = {0};
    pthread_mutex_lock(&r->edit);
    enum lf_err rc = lf_store_job_finish(r->store, job, &record, diag);
    if (rc == LF_OK && record.id != 0 && job->progress.state == LF_JOB_DONE && !job->held)
        rc = lf_store_adapter_update(r->store, record.id, set_base,
                                     (void *)(uintptr_t)lf_registry_base(r, record.id), &record,
                                     diag);
    if (rc == LF_OK && record.id != 0)
        lf_registry_refresh(r, record.id, &record);
    pthread_mutex_unlock(&r->edit);
    if (rc == LF_OK)
        lf_registry_activity(r, job->adapter_id, &(struct lf_activity){0});
    return rc;
}

struct verdict {
    struct choice choice;
    const char *why; /* not to serve it; NULL: it is served */
};

/* Whoever served another version meanwhile has decided. */
static enum lf_err take_verdict(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    const struct verdict *v = arg;
    bool held = record->refused == LF_REFUSED_VERSION, served = record->current == v->choice.n;
    if (!held && !served)
        return LF_OK;
    if (!v->why)
        return held ? make_current(arg, record, diag) : LF_OK;
    if (served) {
        record->current = 0;
        record->inputs_sha256[0] = record->base_sha256[0] = '\0';
    }
    snprintf(record->trouble, sizeof record->trouble, "%s", v->why);
    record->refused = LF_REFUSED_VERSION;
    return LF_OK;
}

enum lf_err lf_registry_verdict(struct lf_registry *r, uint64_t id, int32_t version,
                                const char *why, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    struct lf_adapter_record record;
    struct verdict v = {.choice = {.n = version}, .why = why};
    pthread_mutex_lock(&r->edit);
    enum lf_err rc = lf_registry_pathf(r, dir, diag, "adapters/%llu/versions/%d",
                                       (unsigned long long)id, (int)version);
    if (rc == LF_OK) {
        lf_origin_read(&v.choice.origin, dir);
        rc = lf_store_adapter_update(r->store, id, take_verdict, &v, &record, diag);
    }
    if (rc == LF_OK)
        lf_registry_refresh(r, id, &record);
    pthread_mutex_unlock(&r->edit);
    if (rc == LF_OK && why)
        lf_registry_log(r, id,
                        json_pack("{s:s, s:i, s:s}", "event", "not served", "version", (int)version,
                                  "reason", why));
    return rc;
}
