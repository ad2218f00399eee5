/* A directory in PEFT's form becomes a version. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/sums.h"
#include "trainer/ask.h"

#include <stdio.h>
#include <string.h>

bool lf_files_are_same(const char *a, const char *b)
{
    struct lf_mapping x, y;
    if (lf_file_size(a) != lf_file_size(b) || lf_file_map(&x, a, NULL) != LF_OK)
        return false;
    bool same = lf_file_map(&y, b, NULL) == LF_OK;
    if (same) {
        same = x.bytes == y.bytes && (x.bytes == 0 || memcmp(x.data, y.data, x.bytes) == 0);
        lf_file_unmap(&y);
    }
    lf_file_unmap(&x);
    return same;
}

static bool is_version(struct lf_registry *r, uint64_t id, int32_t n, const char *dir)
{
    char there[LF_PATH_MAX], here[LF_PATH_MAX];
    for (size_t i = 0; i < 2; i++) {
        const char *name = lf_version_files[i].name;
        if (lf_registry_pathf(r, there, NULL, "adapters/%llu/versions/%d/%s",
                              (unsigned long long)id, (int)n, name) != LF_OK ||
            lf_path_join(here, dir, name, NULL) != LF_OK || !lf_files_are_same(there, here))
            return false;
    }
    return true;
}

struct drawing {
    int32_t want; /* 0: the next one */
    int32_t n;
};

static enum lf_err draw_number(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    struct drawing *d = arg;
    d->n = d->want > 0 ? d->want : record->versions + 1;
    if (record->versions < d->n)
        record->versions = d->n;
    return LF_OK;
}

struct serving {
    int32_t n;
    const struct lf_origin *origin;
    const struct lf_base *base;
};

static enum lf_err serve_import(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    const struct serving *s = arg;
    record->current = s->n;
    memcpy(record->inputs_sha256, s->origin->inputs_sha256, sizeof record->inputs_sha256);
    memcpy(record->base_sha256, s->base->sha256, sizeof record->base_sha256);
    record->trouble[0] = '\0';
    return LF_OK;
}

/* What is known of an adapter before something is imported into it. */
struct importing {
    bool young;          /* has never trained here */
    bool exists, serves; /* version `want`; whether what is imported is to be served */
};

static struct importing look_at(struct lf_registry *r, uint64_t id, int32_t want, bool named)
{
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find_id(r, id);
    if (!e)
        return (struct importing){0};
    return (struct importing){
        .young = e->record.last_job == 0,
        .exists = lf_entry_version(e, want) != NULL,
        .serves = !named || e->record.current == 0 || e->wanted == want ||
                  (e->record.last_job == 0 && e->wanted == 0 && want > e->record.current),
    };
}

static void set_wanted(struct lf_registry *r, uint64_t id, int32_t n)
{
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e)
        e->wanted = n;
}

static enum lf_err check_base(const struct lf_origin *o, const struct lf_base *base,
                              struct lf_diag *diag)
{
    if (!o->base_sha256[0] || strcmp(o->base_sha256, base->sha256) == 0)
        return LF_OK;
    return lf_fail(diag, LF_E_BASE_DIFFERS,
                   "it was trained on the base %s (sha256 %.12s...); here is %s (%.12s...)",
                   o->base, o->base_sha256, lf_base_title(base), base->sha256);
}

enum lf_err lf_version_seal(const char *dir, struct lf_diag *diag)
{
    static const char *const names[] = {LF_ADAPTER_CONFIG_NAME, LF_ADAPTER_WEIGHTS_NAME, NULL};
    return lf_sums_write(dir, names, diag);
}

/* `staged` becomes versions/<n>. */
static enum lf_err place_version(struct lf_registry *r, uint64_t id, const char *staged, int32_t n,
                                 struct lf_diag *diag)
{
    char path[LF_PATH_MAX] = "", versions[LF_PATH_MAX] = "";
    enum lf_err rc = lf_registry_dir(r, id, "versions", versions, diag);
    rc = rc
             ?: lf_registry_pathf(r, path, diag, "adapters/%llu/versions/%d",
                                  (unsigned long long)id, (int)n);
    rc = rc ?: lf_dir_make(versions, diag);
    rc = rc ?: lf_version_seal(staged, diag) ?: lf_dir_sync(staged, diag);
    if (rc == LF_OK && rename(staged, path) != 0)
        rc = lf_fail_errno(diag, errno, "%s", path);
    return rc ?: lf_dir_sync(versions, diag);
}

static void unplace_version(struct lf_registry *r, uint64_t id, const char *staged, int32_t n)
{
    char path[LF_PATH_MAX];
    if (lf_registry_pathf(r, path, NULL, "adapters/%llu/versions/%d", (unsigned long long)id,
                          (int)n) != LF_OK ||
        rename(path, staged) != 0)
        lf_log(LF_LOG_WARN, "registry", "version %d was not taken, and stays", (int)n);
}

/* How it is asked, beside its weights, from their note. */
static enum lf_err write_ask(const char *staged, struct lf_diag *diag)
{
    struct lf_ask ask;
    enum lf_err rc = lf_ask_read(&ask, staged, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_ask_write(staged, &ask, diag);
    lf_ask_free(&ask);
    return rc;
}

/* A reason names the files as the client does: where they are staged is nothing to him. */
static void drop_dir(struct lf_diag *diag, const char *dir)
{
    size_t n = strlen(dir);
    for (char *at; diag && (at = strstr(diag->text, dir)) && at[n] == '/';)
        memmove(at, at + n + 1, strlen(at + n + 1) + 1);
}

/* Checked against the base; `staged` is moved, unless this fails. The number is drawn first: a
 * crash in between leaves a hole in the numbers, no more. A version that is there already, and the
 * same, is that version. */
enum lf_err lf_registry_import_dir(struct lf_registry *r, uint64_t id, const char *staged,
                                   int32_t want, int32_t *version, struct lf_diag *diag)
{
    struct lf_adapter *a = NULL;
    struct lf_adapter_record record;
    struct lf_origin origin;
    const struct lf_base *base = lf_registry_base(r, id);
    lf_origin_read(&origin, staged);
    enum lf_err rc = check_base(&origin, base, diag);
    rc = rc ?: lf_adapter_load(&a, &base->model->config, staged, diag);
    lf_adapter_free(a);
    rc = rc ?: lf_registry_named_write(staged, &origin, base, diag);
    if (rc != LF_OK) {
        drop_dir(diag, staged);
        return rc;
    }
    bool named = want > 0;
    want = named ? want : origin.version;
    struct importing now = look_at(r, id, want, named);
    bool same = now.young && now.exists && is_version(r, id, want, staged);
    struct drawing d = {.want = (named || now.young) && !now.exists ? want : 0};
    if (same)
        d.n = want;
    else
        rc = write_ask(staged, diag)
                 ?: lf_store_adapter_update(r->store, id, draw_number, &d, NULL, diag)
                 ?: place_version(r, id, staged, d.n, diag);
    if (rc == LF_OK && now.serves)
        rc = lf_store_adapter_update(r->store, id, serve_import,
                                     &(struct serving){d.n, &origin, base}, &record, diag);
    if (rc != LF_OK) {
        if (!same)
            unplace_version(r, id, staged, d.n);
        return rc;
    }
    if (same && lf_dir_remove(staged, NULL) != LF_OK)
        lf_log(LF_LOG_WARN, "registry", "%s is left over", staged);
    if (!named)
        set_wanted(r, id, d.n);
    lf_registry_refresh(r, id, now.serves ? &record : NULL);
    *version = d.n;
    return LF_OK;
}
