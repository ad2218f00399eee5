/* Where an adapter lies on disk, and the trash. */
#include "daemon/registry/index.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRASH_KEPT_MS (7ll * 24 * 3600 * 1000)

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

/* ---- The trash ------------------------------------------------------------------------------- */

enum lf_err lf_registry_trash_path(struct lf_registry *r, char out[LF_PATH_MAX], const char *label,
                                   struct lf_diag *diag)
{
    return lf_registry_pathf(r, out, diag, "trash/%lld-%s", (long long)lf_clock_unix_ms(), label);
}

enum lf_err lf_registry_trash(struct lf_registry *r, uint64_t id, const char *name,
                              struct lf_diag *diag)
{
    char from[LF_PATH_MAX], to[LF_PATH_MAX], label[2 * LF_NAME_MAX];
    snprintf(label, sizeof label, "%.*s-%llu", LF_NAME_MAX, name, (unsigned long long)id);
    enum lf_err rc = lf_registry_dir(r, id, NULL, from, diag);
    return rc ?: lf_registry_trash_path(r, to, label, diag) ?: lf_file_move(from, to, diag);
}

/* Names in the trash start with the time of removal in ms. */
void lf_registry_trash_expire(struct lf_registry *r)
{
    char path[LF_PATH_MAX];
    if (lf_registry_pathf(r, path, NULL, "trash") != LF_OK)
        return;
    DIR *d = opendir(path);
    int64_t now = lf_clock_unix_ms();
    for (struct dirent *x = d ? readdir(d) : NULL; x; x = readdir(d)) {
        long long removed_ms = strtoll(x->d_name, NULL, 10);
        if (removed_ms <= 0 || now - removed_ms < TRASH_KEPT_MS)
            continue;
        struct lf_diag why = {""};
        if (lf_registry_pathf(r, path, &why, "trash/%s", x->d_name) != LF_OK ||
            lf_dir_remove(path, &why) != LF_OK)
            lf_log(LF_LOG_WARN, "registry", "trash: %s", why.text);
    }
    if (d)
        closedir(d);
}
