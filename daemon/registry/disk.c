/* Where an adapter lies on disk. */
#include "daemon/registry/index.h"

#include "core/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum lf_err lf_registry_pathf(const struct lf_registry *r, char out[LF_PATH_MAX],
                              struct lf_diag *diag, const char *fmt, ...)
{
    int n = snprintf(out, LF_PATH_MAX, "%s/", r->data_dir);
    va_list ap;
    va_start(ap, fmt);
    int k = vsnprintf(out + n, (size_t)(LF_PATH_MAX - n), fmt, ap);
    va_end(ap);
    if (k < 0 || n + k >= LF_PATH_MAX)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", r->data_dir);
    return LF_OK;
}

enum lf_err lf_registry_dir(struct lf_registry *r, uint64_t id, const char *file,
                            char out[LF_PATH_MAX], struct lf_diag *diag)
{
    return lf_registry_pathf(r, out, diag, "adapters/%llu%s%s", (unsigned long long)id,
                             file ? "/" : "", file ? file : "");
}

enum lf_err lf_upload_place(struct lf_upload *u, const char *path, struct lf_diag *diag)
{
    enum lf_err rc = lf_file_commit(u->fd, u->path, path, diag);
    if (rc == LF_OK) {
        close(u->fd);
        u->fd = -1;
    }
    return rc;
}
