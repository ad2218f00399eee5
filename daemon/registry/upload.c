/* Files on their way in: received beside the tree, checked, then put in place in one step. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/lock.h"
#include "core/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Receiving ------------------------------------------------------------------------------- */

/* What the daemon has made of an adapter and keeps: it comes back where a copy does. */
static bool is_history(const struct lf_file_ref *ref)
{
    return ref->version == 0 && ref->kind < LF_FILE_PLAIN_N && lf_files[ref->kind].bytes_max == 0;
}

enum lf_err lf_upload_open(struct lf_registry *r, uint64_t bytes_max, struct lf_upload *out,
                           struct lf_diag *diag)
{
    struct lf_upload u = {.bytes_max = bytes_max};
    enum lf_err rc = lf_registry_pathf(r, u.path, diag, "incoming/XXXXXX");
    if (rc != LF_OK)
        return rc;
    u.fd = mkostemp(u.path, O_CLOEXEC);
    if (u.fd < 0)
        return lf_fail_errno(diag, errno, "%s", u.path);
    *out = u;
    return LF_OK;
}

enum lf_err lf_registry_upload_begin(struct lf_registry *r, const char *name,
                                     const struct lf_file_ref *ref, struct lf_upload *out,
                                     struct lf_diag *diag)
{
    struct lf_adapter_view v;
    struct lf_upload u = {.ref = *ref};
    uint64_t most = LF_JSON_BYTES_MAX;
    enum lf_err rc = lf_registry_view(r, name, &v, diag);
    if (rc == LF_OK && ref->version == LF_VERSION_CURRENT)
        u.ref.version = v.record.current;
    if (rc == LF_OK && ref->version == LF_VERSION_CURRENT && v.record.current == 0)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s has no version yet", name);
    ref = &u.ref;
    bool restores = ref->version > 0 ? ref->kind != LF_FILE_VERSION : is_history(ref);
    if (rc == LF_OK && !restores && !lf_file_ref_writable(ref))
        rc = lf_fail(diag, LF_E_READ_ONLY, "that file is not for writing");
    if (rc == LF_OK && lf_files[ref->kind].bytes_max)
        most = lf_files[ref->kind].bytes_max;
    rc = rc ?: lf_upload_open(r, most, out, diag);
    if (rc == LF_OK)
        out->ref = u.ref;
    return rc;
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

enum lf_err lf_upload_adopt(struct lf_upload *u, int fd, const char *path, uint64_t bytes,
                            struct lf_diag *diag)
{
    lf_upload_abort(u);
    u->fd = fd;
    u->bytes = bytes;
    snprintf(u->path, sizeof u->path, "%s", path);
    return bytes > u->bytes_max ? lf_fail(diag, LF_E_TOO_BIG, "larger than %llu bytes",
                                          (unsigned long long)u->bytes_max)
                                : LF_OK;
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

static enum lf_err install(struct lf_registry *r, uint64_t id, struct lf_upload *u,
                           struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_adapter_record record;
    enum lf_err rc = lf_registry_dir(r, id, lf_files[u->ref.kind].disk, path, diag);
    rc = rc ?: lf_upload_place(u, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_store_adapter_update(r->store, id, clear_trouble,
                                 (void *)(uintptr_t)lf_files[u->ref.kind].name, &record, diag);
    lf_registry_refresh(r, id, rc == LF_OK ? &record : NULL);
    return rc;
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
    rc = rc ?: lf_upload_place(u, is_config ? config : weights, diag);
    if (rc != LF_OK)
        return rc;
    if (lf_file_exists(config) && lf_file_exists(weights))
        rc = lf_registry_import_dir(r, id, dir, 0, imported, diag);
    if (rc != LF_OK)
        unlink(is_config ? config : weights);
    if (rc != LF_OK || *imported == 0)
        lf_registry_refresh(r, id, NULL);
    return rc;
}

/* Log, metrics.json or loss.svg of an adapter that is copied in. One that has trained here has its
 * own: then the copy tells nothing. The log's lines of this run stay, after those. */
static enum lf_err take_history(struct lf_registry *r, uint64_t id, struct lf_upload *u,
                                struct lf_diag *diag)
{
    char path[LF_PATH_MAX], start[512];
    struct lf_adapter_view v;
    lf_buf_auto old = {0};
    ssize_t n = pread(u->fd, start, sizeof start, 0);
    if (n < 0 || !lf_file_is_copy(&lf_files[u->ref.kind], start, (size_t)n))
        return lf_fail(diag, LF_E_READ_ONLY, "that file is not for writing");
    enum lf_err rc = lf_registry_view_id(r, id, &v, diag);
    if (rc != LF_OK || v.record.last_job > 0 || n == 0)
        return rc;
    lf_lock_auto log = lf_lock(&r->log);
    rc = lf_registry_dir(r, id, lf_files[u->ref.kind].disk, path, diag);
    if (rc == LF_OK && u->ref.kind == LF_FILE_LOG && lf_file_exists(path))
        rc = lf_file_read(&old, path, LF_JSON_BYTES_MAX, diag)
                 ?: lf_upload_write(u, old.data ? old.data : "", old.len, diag);
    return rc ?: install(r, id, u, diag);
}

static bool is_refusal(enum lf_err rc)
{
    return rc == LF_E_INVALID || rc == LF_E_UNSUPPORTED || rc == LF_E_BASE_DIFFERS ||
           rc == LF_E_DAMAGED || rc == LF_E_TOO_BIG;
}

/* What was checked, under the edit lock. */
static enum lf_err put_in_place(struct lf_registry *r, uint64_t id, struct lf_upload *u,
                                int32_t *imported, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    *imported = 0;
    if (is_history(&u->ref))
        return take_history(r, id, u, diag);
    if (u->ref.version > 0)
        return lf_registry_restore(r, id, u, imported, diag);
    if (lf_files[u->ref.kind].effect == LF_EFFECT_IMPORT)
        return stage(r, id, u, imported, diag);
    if (u->ref.kind == LF_FILE_CONFIG)
        rc = lf_registry_base_choose(r, id, u->path, diag);
    return rc ?: install(r, id, u, diag);
}

enum lf_err lf_registry_upload_commit(struct lf_registry *r, const char *name, struct lf_upload *u,
                                      int32_t *imported, struct lf_diag *diag)
{
    uint64_t id;
    struct lf_diag why = {""};
    const char *file = lf_files[u->ref.kind].name;
    enum lf_err rc = lf_registry_id(r, name, &id, &why);
    bool restores = u->ref.version > 0;
    if (rc == LF_OK && !is_history(&u->ref) &&
        (!restores || lf_files[u->ref.kind].effect == LF_EFFECT_IMPORT))
        rc = lf_registry_check(r, id, u->ref.kind, u->path, &why);
    if (rc == LF_E_INVALID && u->waits && lf_registry_wants_template(r, id, u->path))
        rc = LF_OK; /* lf_registry_whole says so, should none come */
    if (rc == LF_OK) {
        pthread_mutex_lock(&r->edit);
        rc = lf_registry_fits(r, name, &u->ref, u->only, &why)
                 ?: put_in_place(r, id, u, imported, &why);
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

/* ---- Files of this machine ------------------------------------------------------------- */

/* The upload's bytes become those of `path`. */
static enum lf_err link_in(struct lf_upload *u, const char *path, struct lf_diag *diag)
{
    int64_t bytes = lf_file_size(path);
    if (bytes > 0 && (uint64_t)bytes > u->bytes_max)
        return lf_fail(diag, LF_E_TOO_BIG, "larger than %llu bytes",
                       (unsigned long long)u->bytes_max);
    close(u->fd);
    unlink(u->path);
    u->fd = link(path, u->path) == 0 ? open(u->path, O_RDONLY | O_CLOEXEC) : -1;
    u->bytes = (uint64_t)bytes;
    return u->fd < 0 ? lf_fail_errno(diag, errno, "its bytes") : LF_OK;
}

enum lf_err lf_registry_put_file(struct lf_registry *r, const char *name, enum lf_file_kind kind,
                                 const char *path, struct lf_diag *diag)
{
    struct lf_upload u = {.fd = -1};
    int32_t imported;
    enum lf_err rc =
        lf_registry_upload_begin(r, name, &(struct lf_file_ref){.kind = kind}, &u, diag);
    rc = rc ?: link_in(&u, path, diag);
    if (rc == LF_OK)
        return lf_registry_upload_commit(r, name, &u, &imported, diag);
    lf_upload_abort(&u);
    return rc;
}

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
