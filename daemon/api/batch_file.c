/* The lines of a batch. */
#include "daemon/api/batch_file.h"
#include "daemon/api/completion.h"
#include "daemon/api/documents.h"
#include "daemon/limits.h"

#include "core/clock.h"
#include "core/grow.h"
#include "core/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERRORS_TOLD 50

static const char *const suffixes[] = {LF_DOCUMENT_OUTPUT, LF_DOCUMENT_ERRORS};
static const char *const file_keys[] = {"output_file_id", "error_file_id"};

void lf_batch_file_init(struct lf_batch_file *f, const json_t *counts)
{
    *f = (struct lf_batch_file){
        .fd = {-1, -1},
        .total = json_integer_value(json_object_get(counts, "total")),
        .completed = json_integer_value(json_object_get(counts, "completed")),
        .failed = json_integer_value(json_object_get(counts, "failed")),
    };
}

void lf_batch_file_close(struct lf_batch_file *f)
{
    for (int i = 0; i < 2; i++)
        if (f->fd[i] >= 0)
            close(f->fd[i]);
    lf_file_unmap(&f->input);
    free(f->v);
    lf_batch_file_init(f, NULL);
}

json_t *lf_batch_file_counts(const struct lf_batch_file *f)
{
    return json_pack("{s:I, s:I, s:I}", "total", (json_int_t)f->total, "completed",
                     (json_int_t)f->completed, "failed", (json_int_t)f->failed);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* The line at *at, without its end; *at is behind it then. False: there is none. */
static bool line_next(struct lf_str text, size_t *at, struct lf_str *line)
{
    if (*at >= text.n)
        return false;
    const char *nl = memchr(text.s + *at, '\n', text.n - *at);
    size_t end = nl ? (size_t)(nl - text.s) : text.n;
    *line = (struct lf_str){text.s + *at, end - *at};
    *at = end + 1;
    return true;
}

static bool is_blank(struct lf_str line)
{
    size_t i = 0;
    while (i < line.n && strchr(" \t\r", line.s[i]))
        i++;
    return i == line.n;
}

/* *id: borrowed from *out, which is yours. */
static enum lf_err line_read(json_t **out, const char **id, struct lf_str line,
                             struct lf_diag *diag)
{
    static const char *const known[] = {"custom_id", "method", "url", "body", NULL};
    if (line.n > LF_HTTP_BODY_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "a request may have %u bytes", LF_HTTP_BODY_MAX);
    enum lf_err rc = lf_json_parse(out, line.s, line.n, diag);
    if (rc == LF_OK && !json_is_object(*out))
        return lf_fail(diag, LF_E_INVALID, "a request must be an object");
    struct lf_json_in in = {.obj = *out, .diag = diag, .rc = rc ?: lf_json_only(*out, known, diag)};
    *id = lf_json_need_str(&in, "custom_id");
    return in.rc;
}

static enum lf_err line_check(const json_t *request, const char *endpoint, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(request, diag);
    const char *method = lf_json_need_str(&in, "method"), *url = lf_json_need_str(&in, "url");
    const json_t *body = lf_json_object(&in, "body");
    if (in.rc != LF_OK)
        return in.rc;
    if (strcmp(method, "POST") != 0)
        return lf_fail(diag, LF_E_INVALID, "\"method\" must be POST");
    if (strcmp(url, endpoint) != 0)
        return lf_fail(diag, LF_E_INVALID, "\"url\" must be the batch's endpoint, %s", endpoint);
    if (!body)
        return lf_fail(diag, LF_E_INVALID, "\"body\" is missing");
    if (json_is_true(json_object_get(body, "stream")))
        return lf_fail(diag, LF_E_UNSUPPORTED, "\"stream\" is not for batches");
    return LF_OK;
}

/* Takes in a line of the input. ids: those before, each with its entry's number. */
static enum lf_err line_add(struct lf_batch_file *f, json_t *ids, struct lf_str line,
                            const char *endpoint, struct lf_diag *diag)
{
    json_auto_t *request = NULL;
    const char *id = NULL;
    enum lf_err rc = line_read(&request, &id, line, diag) ?: line_check(request, endpoint, diag);
    if (rc == LF_OK && json_object_get(ids, id))
        rc = lf_fail(diag, LF_E_EXISTS, "\"custom_id\": %.80s was there before", id);
    if (rc == LF_OK && f->total == LF_BATCH_REQUESTS_MAX)
        rc = lf_fail(diag, LF_E_TOO_BIG, "a batch may have %d requests", LF_BATCH_REQUESTS_MAX);
    if (rc != LF_OK)
        return rc;
    if (lf_grow(&f->v, &f->cap, (size_t)f->total + 1, sizeof *f->v) != LF_OK ||
        json_object_set_new(ids, id, json_integer((json_int_t)f->total)) != 0)
        return lf_no_memory(diag, "a batch's requests");
    const char *text = lf_mapping_text(&f->input).s;
    f->v[f->total++] = (struct lf_batch_entry){.off = (size_t)(line.s - text), .n = line.n};
    return LF_OK;
}

static enum lf_err lines_read(struct lf_batch_file *f, json_t *ids, const char *endpoint,
                              json_t *errors, struct lf_diag *diag)
{
    struct lf_str line;
    size_t at = 0;
    for (int64_t n = 1; line_next(lf_mapping_text(&f->input), &at, &line); n++) {
        struct lf_diag why = {""};
        enum lf_err rc = is_blank(line) ? LF_OK : line_add(f, ids, line, endpoint, &why);
        if (rc == LF_E_NO_MEMORY)
            return lf_fail(diag, rc, "%s", why.text);
        if (rc != LF_OK)
            json_array_append_new(errors,
                                  json_pack("{s:s, s:s, s:I, s:n}", "code", lf_err_name(rc),
                                            "message", why.text, "line", (json_int_t)n, "param"));
        if (json_array_size(errors) >= ERRORS_TOLD || rc == LF_E_TOO_BIG)
            break;
    }
    return f->total > 0 || json_array_size(errors) > 0
               ? LF_OK
               : lf_fail(diag, LF_E_INVALID, "the file has no requests");
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* Marks the lines that the file has answers of, and cuts off one that was torn. */
static enum lf_err answers_read(struct lf_batch_file *f, const char *path, const json_t *ids,
                                int64_t *count, struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    struct lf_str line;
    size_t at = 0;
    enum lf_err rc = lf_file_map(&m, path, diag);
    struct lf_str text = lf_mapping_text(&m);
    while (text.n > 0 && text.s[text.n - 1] != '\n')
        text.n--;
    while (rc == LF_OK && line_next(text, &at, &line)) {
        json_auto_t *answer = NULL;
        rc = lf_json_parse(&answer, line.s, line.n, diag);
        const json_t *entry = json_object_get(ids, lf_json_text_of(answer, "custom_id"));
        if (rc == LF_OK && entry && !f->v[json_integer_value(entry)].answered) {
            f->v[json_integer_value(entry)].answered = true;
            ++*count;
        }
    }
    if (rc == LF_OK && text.n < m.bytes && truncate(path, (off_t)text.n) != 0)
        rc = lf_fail_errno(diag, errno, "%s", path);
    return rc;
}

static enum lf_err answers_open(struct lf_batch_file *f, const char *dir, const char *id,
                                const json_t *ids, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    int64_t *const counts[] = {&f->completed, &f->failed};
    enum lf_err rc = LF_OK;
    f->completed = f->failed = 0;
    for (int i = 0; i < 2 && rc == LF_OK; i++) {
        rc = lf_document_path(path, dir, id, suffixes[i], diag);
        if (rc == LF_OK && lf_file_exists(path))
            rc = answers_read(f, path, ids, counts[i], diag);
        if (rc == LF_OK)
            f->fd[i] = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (rc == LF_OK && f->fd[i] < 0)
            rc = lf_fail_errno(diag, errno, "%s", path);
    }
    return rc;
}

enum lf_err lf_batch_file_open(struct lf_batch_file *f, const char *dir, const char *id,
                               const char *input, const char *endpoint, json_t **errors,
                               struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *ids = json_object(), *told = json_array();
    f->total = 0;
    enum lf_err rc = lf_document_path(path, dir, input, LF_DOCUMENT_BYTES, diag);
    rc = rc ?: lf_file_map(&f->input, path, diag) ?: lines_read(f, ids, endpoint, told, diag);
    if (rc == LF_OK && json_array_size(told) > 0)
        *errors = json_incref(told);
    return rc != LF_OK || json_array_size(told) > 0 ? rc : answers_open(f, dir, id, ids, diag);
}

bool lf_batch_file_next(struct lf_batch_file *f, size_t *entry)
{
    while (f->v && f->next < (size_t)f->total && f->v[f->next].answered)
        f->next++;
    *entry = f->next;
    return f->v && f->next < (size_t)f->total && ++f->next;
}

static struct lf_str line_of(const struct lf_batch_file *f, size_t entry)
{
    return (struct lf_str){lf_mapping_text(&f->input).s + f->v[entry].off, f->v[entry].n};
}

enum lf_err lf_batch_file_body(const struct lf_batch_file *f, size_t entry, struct lf_buf *body,
                               struct lf_diag *diag)
{
    json_auto_t *request = NULL;
    const char *id;
    enum lf_err rc = line_read(&request, &id, line_of(f, entry), diag);
    if (rc == LF_OK)
        rc = lf_json_put(body, json_incref(json_object_get(request, "body")), JSON_COMPACT);
    return rc;
}

/* Appends a line whole, or not at all. */
static enum lf_err append(int fd, const struct lf_buf *line, struct lf_diag *diag)
{
    off_t before = lseek(fd, 0, SEEK_END);
    if (line->rc != LF_OK)
        return lf_no_memory(diag, "an answer");
    if (before < 0)
        return lf_fail_errno(diag, errno, "a batch's answers");
    ssize_t n = write(fd, line->data, line->len);
    if (n == (ssize_t)line->len)
        return LF_OK;
    int why = n < 0 ? errno : ENOSPC;
    if (ftruncate(fd, before) != 0)
        why = errno;
    return lf_fail_errno(diag, why, "a batch's answers");
}

/* The head of an entry's line: its id, and the request's. */
static enum lf_err put_head(struct lf_buf *b, const struct lf_batch_file *f, size_t entry,
                            struct lf_diag *diag)
{
    json_auto_t *request = NULL;
    const char *custom_id;
    char id[25];
    enum lf_err rc = line_read(&request, &custom_id, line_of(f, entry), diag);
    if (rc != LF_OK)
        return rc;
    lf_answer_id(id);
    lf_buf_printf(b, "{\"id\":\"batch_req_%s\",\"custom_id\":", id);
    return lf_buf_json(b, custom_id, strlen(custom_id));
}

static enum lf_err add_line(struct lf_batch_file *f, size_t entry, bool failed,
                            const struct lf_buf *line, struct lf_diag *diag)
{
    enum lf_err rc = append(f->fd[failed], line, diag);
    if (rc == LF_OK) {
        f->v[entry].answered = true;
        ++*(failed ? &f->failed : &f->completed);
    }
    return rc;
}

enum lf_err lf_batch_file_add(struct lf_batch_file *f, size_t entry, unsigned status,
                              const struct lf_buf *answer, struct lf_diag *diag)
{
    lf_buf_auto line = {0};
    char id[25];
    size_t n = answer->len;
    while (n > 0 && answer->data[n - 1] == '\n')
        n--;
    enum lf_err rc = put_head(&line, f, entry, diag);
    if (rc != LF_OK)
        return rc;
    lf_answer_id(id);
    lf_buf_printf(
        &line, ",\"response\":{\"status_code\":%u,\"request_id\":\"req_%s\",\"body\":", status, id);
    lf_buf_append(&line, n > 0 ? answer->data : "null", n > 0 ? n : 4);
    lf_buf_puts(&line, "},\"error\":null}\n");
    return add_line(f, entry, status >= 400, &line, diag);
}

enum lf_err lf_batch_file_expire(struct lf_batch_file *f, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < (size_t)f->total && rc == LF_OK; i++) {
        lf_buf_auto line = {0};
        if (f->v[i].answered)
            continue;
        rc = put_head(&line, f, i, diag);
        lf_buf_puts(&line, ",\"response\":null,\"error\":{\"code\":\"batch_expired\",\"message\":"
                           "\"its turn did not come before the completion window ended\"}}\n");
        rc = rc ?: add_line(f, i, true, &line, diag);
    }
    return rc;
}

enum lf_err lf_batch_file_sync(struct lf_batch_file *f, struct lf_diag *diag)
{
    for (int i = 0; i < 2; i++)
        if (f->fd[i] >= 0 && fsync(f->fd[i]) != 0)
            return lf_fail_errno(diag, errno, "a batch's answers");
    return LF_OK;
}

/* ---- Files ----------------------------------------------------------------------------------- */

enum lf_err lf_batch_file_name(json_t *batch, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], id[LF_DOCUMENT_ID_MAX];
    enum lf_err rc = LF_OK;
    for (int i = 0; i < 2 && rc == LF_OK; i++) {
        rc = lf_document_path(path, dir, lf_json_text_of(batch, "id"), suffixes[i], diag);
        lf_document_id(id, LF_KIND_FILE);
        if (rc == LF_OK && lf_file_size(path) > 0 &&
            json_object_set_new(batch, file_keys[i], json_string(id)) != 0)
            rc = lf_no_memory(diag, "a batch");
    }
    return rc;
}

static enum lf_err publish(const json_t *batch, int i, const char *dir, const char *from,
                           struct lf_diag *diag)
{
    static const char *const words[] = {"output", "error"};
    char to[LF_PATH_MAX], name[LF_DOCUMENT_ID_MAX + 32];
    const char *id = lf_json_text_of(batch, file_keys[i]);
    json_int_t seconds = json_integer_value(
        json_object_get(json_object_get(batch, "output_expires_after"), "seconds"));
    int64_t now = lf_clock_unix_ms() / 1000;
    snprintf(name, sizeof name, "%s_%s.jsonl", lf_json_text_of(batch, "id"), words[i]);
    json_auto_t *j = json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:O, s:o}", "id", id, "object", "file", "bytes",
        (json_int_t)lf_file_size(from), "created_at", (json_int_t)now, "filename", name, "purpose",
        "batch_output", "status", "processed", "owner", json_object_get(batch, "owner"),
        "expires_at", seconds > 0 ? json_integer((json_int_t)now + seconds) : json_null());
    if (!j)
        return lf_no_memory(diag, "a file");
    enum lf_err rc = lf_document_put(dir, j, diag);
    rc = rc ?: lf_document_path(to, dir, id, LF_DOCUMENT_BYTES, diag);
    return rc ?: lf_file_move(from, to, diag);
}

enum lf_err lf_batch_file_publish(const json_t *batch, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    for (int i = 0; i < 2 && rc == LF_OK; i++) {
        rc = lf_document_path(path, dir, lf_json_text_of(batch, "id"), suffixes[i], diag);
        if (rc != LF_OK || !lf_file_exists(path))
            continue;
        rc = json_is_string(json_object_get(batch, file_keys[i]))
                 ? publish(batch, i, dir, path, diag)
                 : lf_file_remove(path, diag);
    }
    return rc;
}
