/* What the daemon writes into an adapter's directory: log lines, and whole files. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELDS_ANNOUNCED 16 /* the adapter, and members of the line with the most */

/* All of the line or nothing of it: a part of one (the disk is full) would take the next line
 * along, and is cut off again. */
static bool line_append(const char *path, const char *line, size_t n)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    ssize_t k = fstat(fd, &st) == 0 ? write(fd, line, n) : -1;
    if (k > 0 && (size_t)k < n && ftruncate(fd, st.st_size) != 0)
        lf_log(LF_LOG_WARN, "registry", "%s: holds a part of a line", path);
    close(fd);
    return k == (ssize_t)n;
}

/* What a training says again and again stays in the adapter's log. */
static bool is_news(const char *event)
{
    static const char *const quiet[] = {"step", "micro", "eval", "checkpoint"};
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++)
        if (strcmp(event, quiet[i]) == 0)
            return false;
    return *event;
}

static bool is_bad(const char *event)
{
    return strcmp(event, "failed") == 0 || strcmp(event, "refused") == 0 ||
           strcmp(event, "warning") == 0 || strcmp(event, "not scored") == 0;
}

/* The line in the daemon's own log, its members as fields. */
static void announce(struct lf_registry *r, uint64_t id, const json_t *line)
{
    struct lf_adapter_view v;
    struct lf_log_field fields[FIELDS_ANNOUNCED];
    char numbers[FIELDS_ANNOUNCED][32];
    const char *key, *event = lf_json_text_of(line, "event");
    json_t *value;
    size_t n = 0;
    if (!is_news(event) || lf_registry_view_id(r, id, &v, NULL) != LF_OK)
        return;
    fields[n++] = (struct lf_log_field){"adapter", v.record.name, false};
    json_object_foreach((json_t *)(uintptr_t)line, key, value) {
        if (n == FIELDS_ANNOUNCED || strcmp(key, "event") == 0)
            continue;
        if (json_is_string(value)) {
            fields[n++] = (struct lf_log_field){key, json_string_value(value), false};
        } else if (json_is_number(value)) {
            snprintf(numbers[n], sizeof numbers[n], json_is_integer(value) ? "%.0f" : "%.6g",
                     json_number_value(value));
            fields[n] = (struct lf_log_field){key, numbers[n], true};
            n++;
        }
    }
    lf_log_fields(is_bad(event) ? LF_LOG_WARN : LF_LOG_INFO, "jobs", fields, n, "%s: %s",
                  v.record.name, event);
}

/* The file's size and time into the index. */
static void look_again(struct lf_registry *r, uint64_t id, enum lf_file_kind kind, const char *path)
{
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_entry *e = lf_index_find_id(r, id);
    if (e) {
        e->files[kind] = lf_file_stat_of(path);
        lf_index_touch(r, e);
    }
}

void lf_registry_log(struct lf_registry *r, uint64_t id, json_t *line)
{
    if (line)
        announce(r, id, line);
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    lf_json_put(&text, lf_json_dated(line), JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (lf_buf_putc(&text, '\n') != LF_OK ||
        lf_registry_dir(r, id, lf_files[LF_FILE_LOG].disk, path, NULL) != LF_OK)
        return;
    pthread_mutex_lock(&r->log);
    bool written = line_append(path, text.data, text.len);
    pthread_mutex_unlock(&r->log);
    if (written)
        look_again(r, id, LF_FILE_LOG, path);
}

enum lf_err lf_registry_write(struct lf_registry *r, uint64_t id, enum lf_file_kind kind,
                              const struct lf_buf *text, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_registry_dir(r, id, lf_files[kind].disk, path, diag);
    rc = rc ?: lf_file_write(path, lf_buf_str(text), text->len, diag);
    if (rc == LF_OK)
        look_again(r, id, kind, path);
    return rc;
}
