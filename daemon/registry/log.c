/* What the daemon writes into an adapter's directory: log lines, and whole files. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/lock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All of the line or nothing of it: a part of one (the disk is full) would take the next line
 * along, and is cut off again. */
static bool line_append(const char *path, const char *line, size_t n)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    ssize_t k = fstat(fd, &st) == 0 ? write(fd, line, n) : -1;
    if (k > 0 && (size_t)k < n && ftruncate(fd, st.st_size) != 0)
        lf_log(LF_LOG_WARN, "registry", "%s: holds a part of a line", path);
    close(fd);
    return k == (ssize_t)n;
}

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
    text[n] = '\n'; /* over the NUL */
    pthread_mutex_lock(&r->log);
    bool written = line_append(path, text, n + 1);
    pthread_mutex_unlock(&r->log);
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
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        e->files[kind] = lf_file_stat_of(path);
        lf_index_touch(r, e);
    }
    return LF_OK;
}
