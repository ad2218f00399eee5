/* What the daemon writes into an adapter's directory: log lines, and whole files. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lf_registry_log(struct lf_registry *r, uint64_t id, json_t *line)
{
    char path[LF_PATH_MAX];
    char *text = NULL;
    json_t *dated = lf_json_dated(line);
    if (dated)
        text = json_dumps(dated, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(dated);
    if (!text || lf_registry_dir(r, id, lf_files[LF_FILE_LOG].disk, path, NULL) != LF_OK) {
        free(text);
        return;
    }
    size_t n = strlen(text);
    text[n] = '\n'; /* over the NUL: the line goes out in one write */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    bool written = fd >= 0 && write(fd, text, n + 1) == (ssize_t)(n + 1);
    if (fd >= 0)
        close(fd);
    free(text);
    if (!written)
        return;
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        e->files[LF_FILE_LOG] = lf_file_stat_of(path);
        lf_index_touch(r, e);
    }
    pthread_mutex_unlock(&r->index);
}

enum lf_err lf_registry_write(struct lf_registry *r, uint64_t id, enum lf_file_kind kind,
                              const struct lf_buf *text, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_registry_dir(r, id, lf_files[kind].disk, path, diag);
    rc = rc ?: lf_file_write(path, text->data ? text->data : "", text->len, diag);
    if (rc != LF_OK)
        return rc;
    pthread_mutex_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        e->files[kind] = lf_file_stat_of(path);
        lf_index_touch(r, e);
    }
    pthread_mutex_unlock(&r->index);
    return LF_OK;
}
