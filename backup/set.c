/* What a backup's directory holds: bytes by their digest, and lists of files. */
#include "backup/backup.h"

#include "core/file.h"
#include "core/json.h"

#include <stdio.h>
#include <string.h>

enum lf_err lf_backup_object(char *out, const char *dir, const char *sha256, struct lf_diag *diag)
{
    int n =
        snprintf(out, LF_PATH_MAX, "%s/" LF_BACKUP_OBJECTS "/%.2s/%.62s", dir, sha256, sha256 + 2);
    return n < LF_PATH_MAX ? LF_OK : lf_fail(diag, LF_E_INVALID, "%s: path too long", dir);
}

/* "<time>-<16 digits>.json": whether the text is what the digits say. */
static bool is_whole(const char *name, const struct lf_buf *text)
{
    char hex[LF_SHA256_HEX];
    const char *dash = strrchr(name, '-');
    lf_sha256_hex(hex, lf_buf_str(text), text->len);
    return dash && strlen(dash) >= 17 && memcmp(dash + 1, hex, 16) == 0;
}

static enum lf_err set_read(json_t **out, const char *sets, const char *name, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    json_auto_t *j = NULL;
    enum lf_err rc = lf_path_join(path, sets, name, diag);
    rc = rc ?: lf_file_read(&text, path, LF_JSON_BYTES_MAX, diag);
    if (rc == LF_OK && !is_whole(name, &text))
        return lf_fail(diag, LF_E_DAMAGED, "%s is not what was written", path);
    rc = rc ?: lf_json_parse(&j, text.data, text.len, diag);
    if (rc == LF_OK && json_integer_value(json_object_get(j, "format")) != LF_BACKUP_FORMAT)
        return lf_fail(diag, LF_E_UNSUPPORTED, "%s: made by a later version", path);
    if (rc == LF_OK)
        *out = json_incref(j);
    return rc;
}

enum lf_err lf_backup_list(json_t **out, const char *dir, const char *set, struct lf_diag *diag)
{
    char sets[LF_PATH_MAX];
    lf_names_auto names = {0};
    *out = NULL;
    enum lf_err rc = lf_path_join(sets, dir, LF_BACKUP_SETS, diag);
    rc = rc ?: lf_dir_names(&names, sets, diag);
    for (size_t i = names.n; i-- > 0 && rc == LF_OK && !*out;) {
        size_t n = set ? strlen(set) : 0;
        bool asked = set && strncmp(names.at[i], set, n) == 0;
        if (set && !asked)
            continue;
        enum lf_err bad = set_read(out, sets, names.at[i], diag);
        if (asked || bad == LF_E_NO_MEMORY)
            rc = bad;
    }
    if (rc == LF_OK && set && !*out)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s: no backup %s", dir, set);
    return rc;
}
