/* From a backup to a data directory. */
#include "backup/backup.h"

#include "core/file.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Below the directory, and nowhere else. */
static bool is_path(const char *path)
{
    return *path && *path != '/' && !strstr(path, "..");
}

static enum lf_err file_restore(const char *dir, const char *data, const json_t *entry,
                                struct lf_backup_counts *n, struct lf_diag *diag)
{
    char object[LF_PATH_MAX], path[LF_PATH_MAX], parent[LF_PATH_MAX], hex[LF_SHA256_HEX];
    const char *rel = lf_json_text_of(entry, "path"), *sha256 = lf_json_text_of(entry, "sha256");
    if (!is_path(rel) || strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64)
        return lf_fail(diag, LF_E_DAMAGED, "%s: its list of files is damaged", dir);
    enum lf_err rc = lf_backup_object(object, dir, sha256, diag);
    rc = rc ?: lf_path_join(path, data, rel, diag);
    if (rc != LF_OK)
        return rc;
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = '\0';
    rc = lf_dir_make(parent, diag) ?: lf_file_copy(object, path, hex, diag);
    if (rc == LF_E_NOT_FOUND)
        return lf_fail(diag, LF_E_DAMAGED, "%s is lost, which was %s", object, rel);
    if (rc == LF_OK && strcmp(hex, sha256) != 0)
        return lf_fail(diag, LF_E_DAMAGED, "%s is damaged, which was %s", object, rel);
    n->files += rc == LF_OK;
    n->bytes += rc == LF_OK ? lf_file_size(path) : 0;
    return rc;
}

static enum lf_err is_empty(const char *data, struct lf_diag *diag)
{
    lf_names_auto names = {0};
    enum lf_err rc = lf_dir_names(&names, data, diag);
    return rc == LF_OK && names.n > 0 ? lf_fail(diag, LF_E_NOT_EMPTY, "%s is not empty", data) : rc;
}

enum lf_err lf_restore(const char *dir, const char *set, const char *data_dir,
                       struct lf_backup_counts *out, struct lf_diag *diag)
{
    json_auto_t *list = NULL;
    json_t *entry;
    size_t i;
    struct lf_backup_counts n = {0};
    enum lf_err rc = is_empty(data_dir, diag) ?: lf_backup_list(&list, dir, set, diag);
    if (rc == LF_OK && !list)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s: no backup that is whole", dir);
    if (rc != LF_OK)
        return rc;
    rc = lf_dir_make(data_dir, diag);
    json_array_foreach(json_object_get(list, "files"), i, entry)
        if (rc == LF_OK)
            rc = file_restore(dir, data_dir, entry, &n, diag);
    if (rc != LF_OK)
        (void)!lf_dir_remove(data_dir, NULL);
    else
        *out = n;
    return rc;
}
