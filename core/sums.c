/* Digests of a directory's files, a line each. */
#include "core/sums.h"

#include "core/buf.h"
#include "core/file.h"

#include <string.h>

#define SUMS_BYTES 4096
#define HEX (LF_SHA256_HEX - 1)

enum lf_err lf_sums_write(const char *dir, const char *const *names, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], hex[LF_SHA256_HEX];
    lf_buf_auto text = {.max = SUMS_BYTES};
    enum lf_err rc = LF_OK;
    for (; *names && rc == LF_OK; names++) {
        rc = lf_path_join(path, dir, *names, diag) ?: lf_sha256_file(hex, path, diag);
        if (rc == LF_OK)
            lf_buf_printf(&text, "%s  %s\n", hex, *names);
    }
    rc = rc ?: lf_sha256_of(hex, lf_buf_str(&text), text.len, diag);
    if (rc == LF_OK && lf_buf_printf(&text, "#%s\n", hex) != LF_OK)
        rc = lf_no_memory(diag, "digests");
    rc = rc ?: lf_path_join(path, dir, LF_SUMS_NAME, diag);
    return rc ?: lf_file_write(path, lf_buf_str(&text), text.len, diag);
}

static enum lf_err is_no_list(struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_INVALID, LF_SUMS_NAME " is damaged");
}

/* "<digits>  <name>" */
static enum lf_err line_check(const char *dir, const char *line, size_t n, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], name[LF_NAME_MAX + 1], hex[LF_SHA256_HEX];
    if (n < HEX + 3 || n - HEX - 2 > LF_NAME_MAX)
        return is_no_list(diag);
    memcpy(name, line + HEX + 2, n - HEX - 2);
    name[n - HEX - 2] = '\0';
    if (!lf_name_ok(name))
        return is_no_list(diag);
    enum lf_err rc = lf_path_join(path, dir, name, diag) ?: lf_sha256_file(hex, path, diag);
    if (rc == LF_E_NOT_FOUND)
        return lf_fail(diag, LF_E_DAMAGED, "%s is missing", name);
    if (rc == LF_OK && memcmp(hex, line, HEX) != 0)
        return lf_fail(diag, LF_E_DAMAGED, "%s is not what was written", name);
    return rc;
}

/* *out: the bytes before the last line, which is their digest. */
static enum lf_err lines_trust(size_t *out, const char *text, size_t n, struct lf_diag *diag)
{
    char hex[LF_SHA256_HEX];
    size_t last = HEX + 2; /* '#', the digits, '\n' */
    if (n <= last || text[n - last] != '#')
        return is_no_list(diag);
    enum lf_err rc = lf_sha256_of(hex, text, n - last, diag);
    if (rc == LF_OK && memcmp(hex, text + n - last + 1, HEX) != 0)
        return is_no_list(diag);
    *out = n - last;
    return rc;
}

/* *n: the bytes of the list before its last line. */
static enum lf_err list_read(struct lf_buf *text, size_t *n, const char *path, struct lf_diag *diag)
{
    enum lf_err rc = lf_file_read(text, path, SUMS_BYTES, diag);
    if (rc == LF_E_TOO_BIG)
        return is_no_list(diag);
    return rc ?: lines_trust(n, lf_buf_str(text), text->len, diag);
}

enum lf_err lf_sums_check(const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    enum lf_err rc = lf_path_join(path, dir, LF_SUMS_NAME, diag);
    if (rc != LF_OK || !lf_file_exists(path))
        return rc;
    size_t n = 0;
    rc = list_read(&text, &n, path, diag);
    const char *at = lf_buf_str(&text), *end = at + n, *nl;
    for (; rc == LF_OK && at < end; at = nl + 1) {
        nl = memchr(at, '\n', (size_t)(end - at));
        if (!nl)
            return is_no_list(diag);
        rc = line_check(dir, at, (size_t)(nl - at), diag);
    }
    return rc;
}

enum lf_err lf_sums_digest(char *hex, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    size_t n = 0;
    enum lf_err rc = lf_path_join(path, dir, LF_SUMS_NAME, diag);
    rc = rc ?: list_read(&text, &n, path, diag);
    if (rc != LF_OK)
        return rc;
    memcpy(hex, text.data + n + 1, HEX); /* behind the '#' */
    hex[HEX] = '\0';
    return LF_OK;
}
