/* Versions that are copied in: the files of versions/<n>/, one by one, in whatever order. They wait
 * in restore/<n> until both of PEFT's are there; then the directory is the version. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/lock.h"

#include <unistd.h>

static enum lf_err path_of(struct lf_registry *r, uint64_t id, const char *where, int32_t n,
                           const char *name, char out[LF_PATH_MAX], struct lf_diag *diag)
{
    return lf_registry_pathf(r, out, diag, "adapters/%llu/%s/%d%s%s", (unsigned long long)id, where,
                             (int)n, *name ? "/" : "", name);
}

static const char *name_of(enum lf_file_kind kind)
{
    for (size_t i = 0; i < LF_VERSION_FILES_N; i++)
        if (lf_version_files[i].kind == kind)
            return lf_version_files[i].name;
    return "";
}

static bool is_whole(struct lf_registry *r, uint64_t id, int32_t n)
{
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find_id(r, id);
    return e && lf_entry_version(e, n);
}

/* Of a version that is there: what is the same is taken, what is missing beside its weights is put
 * there, and nothing is written over. */
static enum lf_err complete(struct lf_registry *r, uint64_t id, struct lf_upload *u,
                            struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX];
    int32_t n = u->ref.version;
    const char *name = name_of(u->ref.kind);
    enum lf_err rc = path_of(r, id, "versions", n, "", dir, diag);
    rc = rc ?: path_of(r, id, "versions", n, name, path, diag);
    if (rc != LF_OK || lf_files_are_same(path, u->path))
        return rc;
    if (lf_file_exists(path))
        return lf_fail(diag, LF_E_READ_ONLY, "version %d is there, with another %s", (int)n, name);
    return lf_upload_place(u, path, diag);
}

enum lf_err lf_registry_restore(struct lf_registry *r, uint64_t id, struct lf_upload *u,
                                int32_t *imported, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX], config[LF_PATH_MAX], weights[LF_PATH_MAX];
    int32_t n = u->ref.version;
    enum lf_err rc = path_of(r, id, "restore", n, "", dir, diag);
    rc = rc ?: path_of(r, id, "restore", n, name_of(u->ref.kind), path, diag);
    rc = rc ?: path_of(r, id, "restore", n, LF_ADAPTER_CONFIG_NAME, config, diag);
    rc = rc ?: path_of(r, id, "restore", n, LF_ADAPTER_WEIGHTS_NAME, weights, diag);
    if (rc == LF_OK && is_whole(r, id, n)) {
        rc = complete(r, id, u, diag);
    } else {
        rc = rc ?: lf_dir_make(dir, diag) ?: lf_upload_place(u, path, diag);
        if (rc == LF_OK && lf_file_exists(config) && lf_file_exists(weights)) {
            rc = lf_registry_import_dir(r, id, dir, n, imported, diag);
            if (rc != LF_OK)
                unlink(path);
        }
    }
    if (*imported == 0)
        lf_registry_refresh(r, id, NULL);
    lf_registry_rewarn(r, id);
    return rc;
}
