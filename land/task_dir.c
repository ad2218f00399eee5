/* What a task's folder holds: written whole or not at all, and read again. */
#include "land/task_dir.h"

#include "core/file.h"
#include "core/json.h"
#include "land/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CHUNK_BYTES (1u << 20)

/* ---- Files ----------------------------------------------------------------------------------- */

enum lf_err lf_task_dir_open(struct lf_task_dir_file *f, const char *dir, const char *name,
                             struct lf_diag *diag)
{
    f->fd = -1;
    lf_buf_init(&f->chunk, 0);
    int n = snprintf(f->path, sizeof f->path, "%s/%s", dir, name);
    if (n < 0 || snprintf(f->tmp, sizeof f->tmp, "%s/.%s.part", dir, name) >= (int)sizeof f->tmp)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", dir);
    f->fd = open(f->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return f->fd < 0 ? lf_fail_errno(diag, errno, "%s", f->tmp) : LF_OK;
}

static enum lf_err flush(struct lf_task_dir_file *f, struct lf_diag *diag)
{
    for (size_t at = 0; at < f->chunk.len;) {
        ssize_t n = write(f->fd, f->chunk.data + at, f->chunk.len - at);
        if (n < 0 && errno != EINTR)
            return lf_fail_errno(diag, errno, "%s", f->tmp);
        at += n > 0 ? (size_t)n : 0;
    }
    lf_buf_reset(&f->chunk);
    return LF_OK;
}

enum lf_err lf_task_dir_put(struct lf_task_dir_file *f, const json_t *row, struct lf_diag *diag)
{
    lf_json_put(&f->chunk, json_incref((json_t *)(uintptr_t)row), JSON_REAL_PRECISION(15));
    enum lf_err rc = lf_buf_putc(&f->chunk, '\n');
    if (rc != LF_OK)
        return lf_fail(diag, rc, "no memory for a row");
    return f->chunk.len >= CHUNK_BYTES ? flush(f, diag) : LF_OK;
}

enum lf_err lf_task_dir_commit(struct lf_task_dir_file *f, struct lf_diag *diag)
{
    enum lf_err rc = flush(f, diag) ?: lf_file_commit(f->fd, f->tmp, f->path, diag);
    if (rc == LF_OK)
        f->tmp[0] = '\0';
    return rc;
}

void lf_task_dir_drop(struct lf_task_dir_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->fd >= 0 && f->tmp[0])
        unlink(f->tmp);
    f->fd = -1;
    lf_buf_free(&f->chunk);
}

/* ---- Notes ----------------------------------------------------------------------------------- */

static enum lf_err write_json(json_t *json, const char *dir, const char *name, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return lf_json_write(path, json, JSON_INDENT(2), diag);
}

static json_t *stops(const struct lf_task *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->n_stop; i++)
        json_array_append_new(list, json_string(t->stop[i]));
    return list;
}

enum lf_err lf_task_dir_notes(const struct lf_task *t, const struct lf_task_rows *r,
                              const char *dir, struct lf_diag *diag)
{
    json_t *config = json_pack("{s:s, s:i, s:o}", "metric", t->metric, "max_tokens", t->max_tokens,
                               "stop", stops(t));
    enum lf_err rc = write_json(config, dir, "config.json", diag);
    if (rc != LF_OK)
        return rc;
    json_t *task = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:s, s:s, s:s, s:s, s:b}", "task",
        t->name, "title", t->title, "category", t->category, "metric", t->metric, "train",
        (json_int_t)r->train, "test", (json_int_t)r->test, "train_found",
        (json_int_t)r->train_found, "test_found", (json_int_t)r->test_found, "left_out",
        (json_int_t)r->left_out, "leaked", (json_int_t)r->leaked, "shots", r->shots, "fidelity",
        lf_fidelity_name(r->fidelity), "fidelity_text", r->fidelity_text, "source", r->source,
        "licence", r->licence, "prepared", r->prepared);
    return write_json(task, dir, "task.json", diag);
}

enum lf_err lf_task_dir_read(struct lf_task_rows *out, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], fidelity[32];
    struct lf_task_rows r = {0};
    json_t *json = NULL;
    int64_t shots = 0;
    snprintf(path, sizeof path, "%s/task.json", dir);
    const struct {
        const char *key;
        int64_t *to;
    } counts[] = {{"train", &r.train},
                  {"test", &r.test},
                  {"train_found", &r.train_found},
                  {"test_found", &r.test_found},
                  {"left_out", &r.left_out},
                  {"leaked", &r.leaked},
                  {"shots", &shots}};
    enum lf_err rc = lf_json_load(&json, path, diag);
    if (rc == LF_OK && !json_is_object(json))
        rc = lf_fail(diag, LF_E_INVALID, "%s: must be an object", path);
    struct lf_json_in in = lf_json_in(json, diag);
    in.rc = rc;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        *counts[i].to = lf_json_int64(&in, counts[i].key, 0, 0, INT32_MAX);
    r.prepared = lf_json_bool(&in, "prepared", false);
    snprintf(fidelity, sizeof fidelity, "%s", lf_json_str(&in, "fidelity", ""));
    snprintf(r.fidelity_text, sizeof r.fidelity_text, "%s", lf_json_str(&in, "fidelity_text", ""));
    snprintf(r.source, sizeof r.source, "%s", lf_json_str(&in, "source", ""));
    snprintf(r.licence, sizeof r.licence, "%s", lf_json_str(&in, "licence", ""));
    json_decref(json);
    if (in.rc != LF_OK)
        return in.rc;
    r.shots = (int)shots;
    for (int f = LF_FIDELITY_UNKNOWN; f <= LF_FIDELITY_STAND_IN; f++)
        if (strcmp(fidelity, lf_fidelity_name(f)) == 0)
            r.fidelity = f;
    *out = r;
    return LF_OK;
}

/* ---- Fidelity -------------------------------------------------------------------------------- */

enum lf_fidelity lf_fidelity_of(const char *words)
{
    static const struct {
        const char *word;
        enum lf_fidelity f;
    } known[] = {
        {"near", LF_FIDELITY_NEAR},
        {"split", LF_FIDELITY_OTHER_SPLIT},
        {"other split", LF_FIDELITY_OTHER_SPLIT},
        {"subset", LF_FIDELITY_OTHER_SPLIT},
        {"reduced", LF_FIDELITY_OTHER_SPLIT},
        {"proxy", LF_FIDELITY_STAND_IN},
        {"stand-in", LF_FIDELITY_STAND_IN},
    };
    if (strncasecmp(words, "exact", 5) == 0) {
        bool plain = words[5] == '\0' || strncmp(words + 5, " (", 2) == 0;
        return plain ? LF_FIDELITY_EXACT : LF_FIDELITY_NEAR;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncasecmp(words, known[i].word, strlen(known[i].word)) == 0)
            return known[i].f;
    return LF_FIDELITY_UNKNOWN;
}

/* The rest of the line "- Key: ...", or "". */
static void md_line(char *out, size_t size, const char *text, const char *key)
{
    out[0] = '\0';
    const char *at = strstr(text, key);
    if (!at)
        return;
    at += strlen(key);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\r\n"), at);
}

void lf_task_dir_source_md(struct lf_task_rows *out, const char *dir)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    snprintf(path, sizeof path, "%s/SOURCE.md", dir);
    bool there = lf_file_read(&text, path, LF_SOURCE_MD_MAX, NULL) == LF_OK && text.data;
    const char *s = there ? text.data : "";
    md_line(out->fidelity_text, sizeof out->fidelity_text, s, "- Fidelity: ");
    md_line(out->source, sizeof out->source, s, "- Origin: ");
    md_line(out->licence, sizeof out->licence, s, "- Licence: ");
    out->fidelity = lf_fidelity_of(out->fidelity_text);
}
