/* Lines of what was changed, and by whom. */
#include "daemon/http/audit.h"

#include "core/file.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/log.h"
#include "daemon/http/admit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAID_BYTES 256

struct lf_audit {
    char path[LF_PATH_MAX], before[LF_PATH_MAX];
    pthread_mutex_t lock;
    int fd;
};

static enum lf_err open_file(struct lf_audit *a, struct lf_diag *diag)
{
    a->fd = open(a->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return a->fd < 0 ? lf_fail_errno(diag, errno, "%s", a->path) : LF_OK;
}

enum lf_err lf_audit_open(struct lf_audit **out, const char *data_dir, struct lf_diag *diag)
{
    struct lf_audit *a = calloc(1, sizeof *a);
    if (!a)
        return lf_no_memory(diag, "the audit log");
    a->fd = -1;
    pthread_mutex_init(&a->lock, NULL);
    enum lf_err rc = lf_path_join(a->path, data_dir, "audit.jsonl", diag);
    rc = rc ?: lf_path_join(a->before, data_dir, "audit.jsonl.1", diag);
    rc = rc ?: open_file(a, diag);
    if (rc == LF_OK)
        *out = a;
    else
        lf_audit_close(a);
    return rc;
}

void lf_audit_close(struct lf_audit *a)
{
    if (!a)
        return;
    if (a->fd >= 0)
        close(a->fd);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* With the lock held. */
static void turn_over(struct lf_audit *a)
{
    struct stat st;
    struct lf_diag diag = {""};
    if (a->fd >= 0 && (fstat(a->fd, &st) != 0 || st.st_size < LF_AUDIT_BYTES_MAX))
        return;
    if (a->fd >= 0) {
        close(a->fd);
        rename(a->path, a->before);
    }
    if (open_file(a, &diag) != LF_OK)
        lf_log(LF_LOG_ERROR, "audit", "%s", diag.text);
}

void lf_audit_write(struct lf_audit *a, json_t *j)
{
    lf_buf_auto line = {0};
    lf_json_put(&line, lf_json_dated(j), JSON_COMPACT);
    lf_buf_putc(&line, '\n');
    lf_lock_auto held = lf_lock(&a->lock);
    turn_over(a);
    if (line.rc != LF_OK || write(a->fd, line.data, line.len) != (ssize_t)line.len)
        lf_log(LF_LOG_ERROR, "audit", "a line could not be written: %s", lf_buf_str(&line));
}

void lf_audit_request(struct lf_audit *a, struct lf_http *q)
{
    char who[LF_NAME_MAX + 8], what[sizeof q->method + sizeof q->path + 1];
    const struct lf_route *r = q->route;
    if (!r || r->method == LF_HTTP_GET || r->role < LF_ROLE_TRAIN)
        return;
    snprintf(what, sizeof what, "%s %s", q->method, q->path);
    json_t *j = json_pack("{s:s, s:s, s:i, s:s}", "who", lf_admit_who(q, who), "what", what,
                          "status", (int)q->status, "request_id", q->id);
    lf_buf_auto said = {0};
    if (j && !r->sink && q->body.len > 0) {
        lf_buf_utf8(&said, q->body.data, q->body.len < SAID_BYTES ? q->body.len : SAID_BYTES);
        json_object_set_new(j, "said", json_stringn(lf_buf_str(&said), said.len));
    }
    lf_audit_write(a, j);
}
