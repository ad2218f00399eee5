/* Files of an adapter: whether what is in them can be read. */
#include "fsck/inside.h"

#include "container/container.h"
#include "core/file.h"
#include "core/json.h"
#include "trainer/dataset.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static enum lf_err rows_read(const char *path, struct lf_diag *diag)
{
    struct lf_container *c = NULL;
    json_t *row = NULL;
    int64_t place;
    enum lf_err rc = lf_container_open(&c, path, diag);
    do {
        json_decref(row);
        row = NULL;
        rc = rc ?: lf_container_next(c, &row, &place, diag);
    } while (rc == LF_OK && row);
    lf_container_close(c);
    return rc;
}

static enum lf_err settings_read(const char *path, struct lf_diag *diag)
{
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    enum lf_err rc = lf_train_settings_load(&s, path, diag);
    lf_train_settings_free(&s);
    return rc;
}

static enum lf_err text_read(const char *path, const struct lf_file_row *row, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    enum lf_err rc =
        lf_file_read(&text, path, row->bytes_max ? row->bytes_max : LF_JSON_BYTES_MAX, diag);
    if (rc == LF_OK && memchr(lf_buf_str(&text), '\0', text.len))
        return lf_fail(diag, LF_E_INVALID, "holds a NUL byte");
    if (rc == LF_OK && row->check == LF_CHECK_TEMPLATE && text.len > 0)
        return lf_template_check(text.data, diag);
    if (rc == LF_OK && row == &lf_files[LF_FILE_CURVE] &&
        (text.len < 6 || !memmem(text.data, text.len, "</svg>", 6)))
        return lf_fail(diag, LF_E_DAMAGED, "its end is missing");
    return rc;
}

static enum lf_err object_read(const char *path, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_json_load(&j, path, diag);
    return rc == LF_OK && !json_is_object(j) ? lf_fail(diag, LF_E_INVALID, "not an object") : rc;
}

static enum lf_err file_read(const char *path, enum lf_file_kind kind, struct lf_diag *diag)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return lf_fail_errno(diag, errno, "it");
    if (!S_ISREG(st.st_mode))
        return lf_fail(diag, LF_E_INVALID, "it is no regular file");
    switch (kind) {
    case LF_FILE_DATASET:
    case LF_FILE_EVAL:
        return rows_read(path, diag);
    case LF_FILE_CONFIG:
        return settings_read(path, diag);
    case LF_FILE_METRICS:
    case LF_FILE_SWEEP:
        return object_read(path, diag);
    default:
        return text_read(path, &lf_files[kind], diag);
    }
}

/* Whether a line end is missing, or a line is no object. *out: the lines that are well. */
static enum lf_err log_read(struct lf_buf *out, const char *path, int64_t *bad,
                            struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    enum lf_err rc = lf_file_map(&m, path, diag);
    const char *at = lf_mapping_text(&m).s, *end = at + m.bytes;
    for (*bad = 0; rc == LF_OK && at < end;) {
        json_auto_t *line = NULL;
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        size_t n = nl ? (size_t)(nl - at) : (size_t)(end - at);
        bool well = nl && lf_json_parse(&line, at, n, NULL) == LF_OK && json_is_object(line);
        if (well)
            rc = lf_buf_append(out, at, n + 1);
        *bad += !well;
        at += n + (nl != NULL);
    }
    return rc;
}

static void log_check(struct lf_fsck *f, const char *where)
{
    char path[LF_PATH_MAX], what[LF_DIAG_MAX + 64];
    struct lf_diag why = {""};
    lf_buf_auto good = {0};
    int64_t bad = 0;
    enum lf_err rc = lf_registry_pathf(&f->r, path, &why, "%s", where);
    rc = rc ?: log_read(&good, path, &bad, &why);
    if (rc != LF_OK) {
        snprintf(what, sizeof what, "it cannot be read: %s", why.text);
        lf_fsck_take(f, where, what, true);
    } else if (bad > 0) {
        snprintf(what, sizeof what, "%lld torn line%s", (long long)bad, bad == 1 ? "" : "s");
        rc = f->repair ? lf_file_write(path, lf_buf_str(&good), good.len, &why) : LF_OK;
        lf_fsck_tell(f, where, what, rc, "taken out", &why);
    }
}

void lf_fsck_file(struct lf_fsck *f, const char *where, enum lf_file_kind kind)
{
    char path[LF_PATH_MAX], what[LF_DIAG_MAX + 64];
    struct lf_diag why = {""};
    if (kind == LF_FILE_LOG) {
        log_check(f, where);
        return;
    }
    enum lf_err rc = lf_registry_pathf(&f->r, path, &why, "%s", where);
    rc = rc ?: file_read(path, kind, &why);
    if (rc == LF_OK)
        return;
    snprintf(what, sizeof what, "it cannot be read: %s", why.text);
    lf_fsck_take(f, where, what, true);
}
