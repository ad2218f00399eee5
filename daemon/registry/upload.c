/* Files on their way in: received beside the tree, checked, then put in place in one step. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Receiving ------------------------------------------------------------------------------- */

enum lf_err lf_registry_upload_begin(struct lf_registry *r, const char *name,
                                     const struct lf_file_ref *ref, struct lf_upload *out,
                                     struct lf_diag *diag)
{
    uint64_t id;
    struct lf_upload u = {.ref = *ref};
    enum lf_err rc = lf_registry_id(r, name, &id, diag);
    if (rc == LF_OK && !lf_file_ref_writable(ref))
        rc = lf_fail(diag, LF_E_READ_ONLY, "that file is not for writing");
    if (rc == LF_OK)
        u.bytes_max = lf_files[ref->kind].bytes_max;
    rc = rc ?: lf_registry_pathf(r, u.path, diag, "incoming/XXXXXX");
    if (rc != LF_OK)
        return rc;
    u.fd = mkostemp(u.path, O_CLOEXEC);
    if (u.fd < 0)
        return lf_fail_errno(diag, errno, "%s", u.path);
    *out = u;
    return LF_OK;
}

enum lf_err lf_upload_write(struct lf_upload *u, const void *data, size_t n, struct lf_diag *diag)
{
    if (n > u->bytes_max - u->bytes)
        return lf_fail(diag, LF_E_TOO_BIG, "larger than %llu bytes",
                       (unsigned long long)u->bytes_max);
    const char *p = data;
    for (size_t left = n; left > 0;) {
        ssize_t k = write(u->fd, p, left);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return lf_fail_errno(diag, errno, "writing the upload");
        p += k;
        left -= (size_t)k;
    }
    u->bytes += n;
    return LF_OK;
}

void lf_upload_abort(struct lf_upload *u)
{
    if (u->fd < 0)
        return;
    close(u->fd);
    unlink(u->path);
    u->fd = -1;
}

/* ---- Taking in ------------------------------------------------------------------------------- */

/* A file that was in trouble and is good now is in trouble no more. */
static enum lf_err clear_trouble(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    if (lf_reason_is_of(record->trouble, arg))
        record->trouble[0] = '\0';
    return LF_OK;
}

/* Whole at `path`; else it stays to be aborted. */
static enum lf_err place(struct lf_upload *u, const char *path, struct lf_diag *diag)
{
    if (fchmod(u->fd, 0644) != 0)
        return lf_fail_errno(diag, errno, "%s", u->path);
    enum lf_err rc = lf_file_commit(u->fd, u->path, path, diag);
    if (rc == LF_OK) {
        close(u->fd);
        u->fd = -1;
    }
    return rc;
}

static enum lf_err install(struct lf_registry *r, uint64_t id, struct lf_upload *u,
                           struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_adapter_record record;
    enum lf_err rc = lf_registry_dir(r, id, lf_files[u->ref.kind].disk, path, diag);
    rc = rc ?: place(u, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_store_adapter_update(r->store, id, clear_trouble,
                                 (void *)(uintptr_t)lf_files[u->ref.kind].name, &record, diag);
    lf_registry_refresh(r, id, rc == LF_OK ? &record : NULL);
    return rc;
}

static enum lf_err next_version(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    *(int32_t *)arg = ++record->versions;
    return LF_OK;
}

/* A directory in PEFT's form, checked against the base, becomes the next version; `staged` is
 * moved, unless this fails. The number is drawn first: a crash in between leaves a hole in the
 * numbers, no more. */
static enum lf_err import_dir(struct lf_registry *r, uint64_t id, const char *staged,
                              int32_t *version, struct lf_diag *diag)
{
    struct lf_adapter *a = NULL;
    struct lf_adapter_record record;
    char path[LF_PATH_MAX] = "", versions[LF_PATH_MAX] = "";
    int32_t n = 0;
    enum lf_err rc = lf_adapter_load(&a, &lf_registry_base(r, id)->model->config, staged, diag);
    lf_adapter_free(a);
    rc = rc ?: lf_store_adapter_update(r->store, id, next_version, &n, NULL, diag);
    rc = rc ?: lf_registry_dir(r, id, "versions", versions, diag);
    rc = rc
             ?: lf_registry_pathf(r, path, diag, "adapters/%llu/versions/%d",
                                  (unsigned long long)id, (int)n);
    rc = rc ?: lf_dir_make(versions, diag);
    rc = rc ?: lf_dir_sync(staged, diag);
    if (rc == LF_OK && rename(staged, path) != 0)
        rc = lf_fail_errno(diag, errno, "%s", path);
    if (rc != LF_OK)
        return rc;
    rc = lf_dir_sync(versions, diag);
    rc = rc ?: lf_store_adapter_update(r->store, id, lf_record_serve, &n, &record, diag);
    if (rc != LF_OK) {
        if (rename(path, staged) != 0)
            lf_log(LF_LOG_WARN, "registry", "%s: a version that was not taken", path);
        return rc;
    }
    lf_registry_refresh(r, id, &record);
    *version = n;
    return LF_OK;
}

/* One of the two files of adapter/. With both there, they become a version; if they do not fit,
 * the one that came last is thrown away. */
static enum lf_err stage(struct lf_registry *r, uint64_t id, struct lf_upload *u, int32_t *imported,
                         struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], config[LF_PATH_MAX], weights[LF_PATH_MAX];
    bool is_config = u->ref.kind == LF_FILE_ADAPTER_CONFIG;
    enum lf_err rc = lf_registry_dir(r, id, "import", dir, diag);
    rc = rc ?: lf_registry_dir(r, id, "import/" LF_ADAPTER_CONFIG_NAME, config, diag);
    rc = rc ?: lf_registry_dir(r, id, "import/" LF_ADAPTER_WEIGHTS_NAME, weights, diag);
    rc = rc ?: lf_dir_make(dir, diag);
    rc = rc ?: place(u, is_config ? config : weights, diag);
    if (rc != LF_OK)
        return rc;
    if (lf_file_exists(config) && lf_file_exists(weights))
        rc = import_dir(r, id, dir, imported, diag);
    if (rc != LF_OK)
        unlink(is_config ? config : weights);
    if (rc != LF_OK || *imported == 0)
        lf_registry_refresh(r, id, NULL);
    return rc;
}

static bool is_refusal(enum lf_err rc)
{
    return rc == LF_E_INVALID || rc == LF_E_UNSUPPORTED || rc == LF_E_BASE_DIFFERS ||
           rc == LF_E_DAMAGED || rc == LF_E_TOO_BIG;
}

enum lf_err lf_registry_upload_commit(struct lf_registry *r, const char *name, struct lf_upload *u,
                                      int32_t *imported, struct lf_diag *diag)
{
    uint64_t id;
    struct lf_diag why = {""};
    const char *file = lf_files[u->ref.kind].name;
    enum lf_err rc = lf_registry_id(r, name, &id, &why);
    rc = rc ?: lf_registry_check(r, id, u->ref.kind, u->path, &why);
    if (rc == LF_E_INVALID && u->waits && lf_registry_wants_template(r, id, u->path))
        rc = LF_OK; /* lf_registry_whole says so, should none come */
    if (rc == LF_OK) {
        bool adapter = lf_files[u->ref.kind].effect == LF_EFFECT_IMPORT;
        *imported = 0;
        pthread_mutex_lock(&r->edit);
        rc = adapter ? stage(r, id, u, imported, &why) : install(r, id, u, &why);
        pthread_mutex_unlock(&r->edit);
    }
    lf_upload_abort(u);
    if (rc == LF_OK)
        lf_registry_asked(r, name, NULL, NULL);
    if (rc == LF_OK && *imported > 0)
        lf_registry_log(r, id,
                        json_pack("{s:s, s:i}", "event", "imported", "version", (int)*imported));
    if (rc != LF_OK) {
        lf_fail(diag, rc, "%s", why.text);
        if (is_refusal(rc))
            lf_registry_refused(r, name, file, why.text);
    }
    return rc;
}

/* ---- A directory of this machine ------------------------------------------------------------- */

static enum lf_err copy_in(struct lf_registry *r, const char *name, const char *dir,
                           enum lf_file_kind kind, const char *file, int32_t *version,
                           struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_upload u = {.fd = -1};
    lf_mapping_auto m = {0};
    if (lf_path_join(path, dir, file, diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_file_map(&m, path, diag);
    rc = rc ?: lf_registry_upload_begin(r, name, &(struct lf_file_ref){kind, 0}, &u, diag);
    rc = rc ?: lf_upload_write(&u, m.data, m.bytes, diag);
    if (rc == LF_OK)
        return lf_registry_upload_commit(r, name, &u, version, diag);
    lf_upload_abort(&u);
    return rc;
}

enum lf_err lf_registry_import(struct lf_registry *r, const char *name, const char *dir,
                               int32_t *version, struct lf_diag *diag)
{
    struct lf_adapter *a = NULL;
    uint64_t id = 0; /* none yet: it will be of the default base */
    (void)!lf_registry_id(r, name, &id, NULL);
    enum lf_err rc = lf_adapter_load(&a, &lf_registry_base(r, id)->model->config, dir, diag);
    lf_adapter_free(a);
    if (rc == LF_OK) {
        rc = lf_registry_create(r, name, NULL, diag);
        if (rc == LF_E_EXISTS)
            rc = LF_OK;
    }
    rc = rc ?: copy_in(r, name, dir, LF_FILE_ADAPTER_CONFIG, LF_ADAPTER_CONFIG_NAME, version, diag);
    return rc
               ?: copy_in(r, name, dir, LF_FILE_ADAPTER_WEIGHTS, LF_ADAPTER_WEIGHTS_NAME, version,
                          diag);
}
