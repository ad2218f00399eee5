/* OpenAI's files: bytes that are uploaded once, to be trained on or answered in a batch. What is
 * kept is a document with the bytes beside it; the name that a client gives is a text in it, and no
 * part of a path. */
#include "daemon/api/api.h"
#include "daemon/api/documents.h"
#include "daemon/http/multipart.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/clock.h"
#include "core/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_MOST 10000 /* as OpenAI's, and a page where no limit is asked for */

/* ---- Receiving ------------------------------------------------------------------------------- */

enum { FIELD_PURPOSE, FIELD_ANCHOR, FIELD_SECONDS, FIELDS_N };
static const char *const fields[FIELDS_N] = {"purpose", "expires_after[anchor]",
                                             "expires_after[seconds]"};

/* A form that comes in. */
struct receiving {
    struct lf_multipart *form;
    struct lf_upload bytes;
    struct lf_buf filename, field[FIELDS_N];
    bool has_file;
};

static enum lf_err take_file(struct receiving *r, const struct lf_part *p, struct lf_diag *diag)
{
    const char *name = p->filename ? p->filename : "";
    if (p->first && r->bytes.bytes > 0)
        return lf_fail(diag, LF_E_INVALID, "one \"file\" at a time");
    if (!r->has_file && lf_buf_utf8(&r->filename, name, strlen(name)) != LF_OK)
        return lf_fail(diag, LF_E_INVALID, "a file's name may have %d bytes", LF_FILENAME_MAX);
    r->has_file = true;
    return lf_upload_write(&r->bytes, p->data, p->n, diag);
}

static enum lf_err take_part(void *arg, const struct lf_part *p, struct lf_diag *diag)
{
    struct receiving *r = arg;
    if (strcmp(p->field, "file") == 0)
        return take_file(r, p, diag);
    for (int i = 0; i < FIELDS_N; i++) {
        if (strcmp(p->field, fields[i]) != 0)
            continue;
        if (lf_buf_append(&r->field[i], p->data, p->n) != LF_OK)
            return lf_fail(diag, LF_E_INVALID, "\"%s\" is too long", p->field);
        return LF_OK;
    }
    return lf_fail(diag, LF_E_INVALID, "a file has no \"%.60s\"", p->field);
}

static enum lf_err receive_begin(struct lf_http *q, int64_t bytes, struct lf_diag *diag)
{
    if (bytes > (int64_t)LF_DATASET_BYTES_MAX + LF_HTTP_BODY_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "a file may have %llu bytes",
                       (unsigned long long)LF_DATASET_BYTES_MAX);
    if (lf_registry_disk_short(q->daemon->registry, diag))
        return LF_E_NO_SPACE;
    struct receiving *r = calloc(1, sizeof *r);
    if (!r)
        return lf_no_memory(diag, "the upload");
    r->bytes.fd = -1;
    lf_buf_init(&r->filename, LF_FILENAME_MAX);
    for (int i = 0; i < FIELDS_N; i++)
        lf_buf_init(&r->field[i], LF_FORM_FIELD_MAX);
    q->sinking = r;
    enum lf_err rc = lf_multipart_new(&r->form, q, take_part, r, diag);
    return rc ?: lf_upload_open(q->daemon->registry, LF_DATASET_BYTES_MAX, &r->bytes, diag);
}

static enum lf_err receive_write(struct lf_http *q, const void *data, size_t n,
                                 struct lf_diag *diag)
{
    struct receiving *r = q->sinking;
    return lf_multipart_write(r->form, data, n, diag);
}

static void receive_end(struct lf_http *q)
{
    struct receiving *r = q->sinking;
    if (!r)
        return;
    lf_upload_abort(&r->bytes);
    lf_multipart_free(r->form);
    lf_buf_free(&r->filename);
    for (int i = 0; i < FIELDS_N; i++)
        lf_buf_free(&r->field[i]);
    free(r);
}

const struct lf_http_sink lf_api_receive = {receive_begin, receive_write, receive_end};

/* ---- Taking in ------------------------------------------------------------------------------- */

/* "expires_at", or NULL. */
static enum lf_err expiry_of(json_t **out, const struct receiving *r, struct lf_diag *diag)
{
    const char *anchor = lf_buf_str(&r->field[FIELD_ANCHOR]);
    const char *seconds = lf_buf_str(&r->field[FIELD_SECONDS]);
    char *end;
    if (!*anchor && !*seconds)
        return LF_OK;
    if (strcmp(anchor, "created_at") != 0)
        return lf_fail(diag, LF_E_INVALID, "\"expires_after[anchor]\" must be created_at");
    long long n = strtoll(seconds, &end, 10);
    if (*end || n < LF_FILE_EXPIRY_MIN || n > LF_FILE_EXPIRY_MAX)
        return lf_fail(diag, LF_E_INVALID, "\"expires_after[seconds]\" must be %d to %d",
                       LF_FILE_EXPIRY_MIN, LF_FILE_EXPIRY_MAX);
    *out = json_integer((json_int_t)(lf_clock_unix_ms() / 1000 + n));
    return LF_OK;
}

static enum lf_err check_form(const struct receiving *r, struct lf_diag *diag)
{
    const char *purpose = lf_buf_str(&r->field[FIELD_PURPOSE]);
    bool batch = strcmp(purpose, "batch") == 0;
    if (!r->has_file)
        return lf_fail(diag, LF_E_INVALID, "the form has no \"file\"");
    if (!batch && strcmp(purpose, "fine-tune") != 0)
        return lf_fail(diag, *purpose ? LF_E_UNSUPPORTED : LF_E_INVALID,
                       "\"purpose\" must be fine-tune or batch");
    if (batch && r->bytes.bytes > LF_BATCH_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "a batch may have %u bytes", LF_BATCH_BYTES_MAX);
    return LF_OK;
}

enum lf_err lf_api_kept_file_create(struct lf_http *q, struct lf_diag *diag)
{
    struct receiving *r = q->sinking;
    char path[LF_PATH_MAX], id[LF_DOCUMENT_ID_MAX];
    const char *name = r->filename.len > 0 ? r->filename.data : "file.jsonl";
    json_auto_t *expires = NULL;
    enum lf_err rc = lf_multipart_end(r->form, diag) ?: check_form(r, diag);
    rc = rc ?: expiry_of(&expires, r, diag);
    if (rc != LF_OK)
        return rc;
    lf_document_id(id, LF_KIND_FILE);
    json_auto_t *j = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:O?}", "id", id, "object", "file",
                               "bytes", (json_int_t)r->bytes.bytes, "filename", name, "purpose",
                               lf_buf_str(&r->field[FIELD_PURPOSE]), "status", "processed",
                               "expires_at", expires);
    if (!j)
        return lf_no_memory(diag, "a file");
    rc = lf_document_path(path, q->daemon->documents_dir, id, LF_DOCUMENT_BYTES, diag);
    rc = rc ?: lf_upload_place(&r->bytes, path, diag);
    rc = rc ?: lf_api_document_make(j, q, LF_KIND_FILE, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, lf_api_document_shown(j));
    else
        (void)!lf_document_remove(q->daemon->documents_dir, id, NULL);
    return rc;
}

/* ---- What is there --------------------------------------------------------------------------- */

enum lf_err lf_api_kept_files(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"purpose", "limit", "after", "order", NULL};
    const char *purpose = lf_http_query(q, "purpose");
    struct lf_page page;
    json_auto_t *list = NULL;
    enum lf_err rc = lf_page_read(&page, q, known, PAGE_MOST, PAGE_MOST, diag);
    rc = rc ?: lf_api_documents(&list, q, LF_KIND_FILE, diag);
    for (size_t i = json_array_size(list); rc == LF_OK && purpose && i-- > 0;)
        if (strcmp(lf_json_text_of(json_array_get(list, i), "purpose"), purpose) != 0)
            json_array_remove(list, i);
    return rc ?: lf_page_reply(q, &page, list, diag);
}

enum lf_err lf_api_kept_file(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_api_document(&j, q, LF_KIND_FILE, q->param[0], diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, lf_api_document_shown(j));
    return rc;
}

enum lf_err lf_api_kept_file_content(struct lf_http *q, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct stat st;
    json_auto_t *j = NULL;
    enum lf_err rc = lf_api_document(&j, q, LF_KIND_FILE, q->param[0], diag);
    rc = rc
             ?: lf_document_path(path, q->daemon->documents_dir, q->param[0], LF_DOCUMENT_BYTES,
                                 diag);
    if (rc != LF_OK)
        return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = lf_fail_errno(diag, errno, "%s", q->param[0]);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    lf_http_reply_file(q, fd, "application/octet-stream");
    return LF_OK;
}

enum lf_err lf_api_kept_file_remove(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_api_document(&j, q, LF_KIND_FILE, q->param[0], diag);
    rc = rc ?: lf_document_remove(q->daemon->documents_dir, q->param[0], diag);
    if (rc == LF_OK)
        lf_http_reply_json(
            q, 200,
            json_pack("{s:s, s:s, s:b}", "id", q->param[0], "object", "file", "deleted", 1));
    return rc;
}
