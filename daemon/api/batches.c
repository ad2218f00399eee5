/* OpenAI's routes of batches. */
#include "daemon/api/api.h"
#include "daemon/api/batch.h"
#include "daemon/api/documents.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/clock.h"
#include "core/json.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 20
#define PAGE_MOST 100
#define ENDED_KEPT 1000 /* as of jobs; the earliest are forgotten */
#define WINDOW_DAYS 30

/* "24h": a number of seconds, minutes, hours, days; 0: it is none, or too long. */
static int64_t window_seconds(const char *text)
{
    static const char units[] = "smhd";
    static const int seconds[] = {1, 60, 3600, 86400};
    char *end;
    long n = strtol(text, &end, 10);
    const char *unit = *end && !end[1] ? strchr(units, *end) : NULL;
    if (end == text || !unit || n < 1 || n > WINDOW_DAYS * 86400)
        return 0;
    int64_t s = (int64_t)n * seconds[unit - units];
    return s <= (int64_t)WINDOW_DAYS * 86400 ? s : 0;
}

/* As it is now: the runner knows more of one that is open than its document. Yours. */
static enum lf_err batch_now(json_t **out, struct lf_http *q, const char *id, struct lf_diag *diag)
{
    json_auto_t *now = lf_batches_now(q->daemon->batches, id), *j = NULL;
    enum lf_err rc = lf_api_document(&j, q, LF_KIND_BATCH, id, diag);
    if (rc != LF_OK)
        return rc;
    *out = lf_api_document_shown(now ? now : j);
    return LF_OK;
}

static enum lf_err reply(struct lf_http *q, const char *id, struct lf_diag *diag)
{
    json_t *j = NULL;
    enum lf_err rc = batch_now(&j, q, id, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, j);
    return rc;
}

/* The earliest of those that ended make room. */
static void forget(struct lf_http *q)
{
    lf_names_auto ids = {0};
    (void)!lf_documents_list(&ids, q->daemon->documents_dir, LF_KIND_BATCH, NULL);
    for (size_t i = 0; i + ENDED_KEPT < ids.n; i++) {
        json_auto_t *open = lf_batches_now(q->daemon->batches, ids.at[i]);
        if (!open)
            (void)!lf_document_remove(q->daemon->documents_dir, ids.at[i], NULL);
    }
}

static enum lf_err check_input(struct lf_http *q, const char *id, struct lf_diag *diag)
{
    json_auto_t *file = NULL;
    enum lf_err rc = lf_api_document(&file, q, LF_KIND_FILE, id, diag);
    if (rc == LF_OK && strcmp(lf_json_text_of(file, "purpose"), "batch") != 0)
        rc = lf_fail(diag, LF_E_INVALID, "its purpose is not batch");
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"input_file_id\" %.80s", id);
}

static enum lf_err check_expiry(const json_t *expiry, struct lf_diag *diag)
{
    static const char *const anchors[] = {"created_at", NULL};
    static const char *const known[] = {"anchor", "seconds", NULL};
    struct lf_json_in in = lf_json_in(expiry, diag);
    if (!expiry)
        return LF_OK;
    in.rc = lf_json_only(expiry, known, diag);
    (void)lf_json_need_str(&in, "anchor");
    (void)lf_json_word(&in, "anchor", 0, anchors);
    if (lf_json_int(&in, "seconds", 0, LF_FILE_EXPIRY_MIN, LF_FILE_EXPIRY_MAX) == 0 &&
        in.rc == LF_OK)
        in.rc = lf_fail(diag, LF_E_INVALID, "\"seconds\" is missing");
    return in.rc;
}

/* What a batch's document is made of; *out is yours. */
static enum lf_err batch_read(json_t **out, struct lf_http *q, const json_t *body,
                              struct lf_diag *diag)
{
    static const char *const known[] = {
        "input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after", NULL};
    struct lf_json_in in = {.obj = body, .diag = diag, .rc = lf_json_only(body, known, diag)};
    const char *input = lf_json_need_str(&in, "input_file_id");
    const char *endpoint = lf_json_need_str(&in, "endpoint");
    const char *window = lf_json_need_str(&in, "completion_window");
    const json_t *metadata = lf_api_metadata(&in);
    const json_t *expiry = lf_json_object(&in, "output_expires_after");
    if (in.rc != LF_OK)
        return in.rc;
    if (!lf_batches_route(q->daemon->batches, endpoint))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"endpoint\" must be /v1/chat/completions or /v1/completions");
    int64_t seconds = window_seconds(window), now = lf_clock_unix_ms() / 1000;
    if (seconds == 0)
        return lf_fail(diag, LF_E_INVALID,
                       "\"completion_window\" must be a time like 24h, 90m or 7d, up to %dd",
                       WINDOW_DAYS);
    enum lf_err rc = check_expiry(expiry, diag);
    rc = rc ?: check_input(q, input, diag);
    if (rc != LF_OK)
        return rc;
    *out = json_pack("{s:s, s:s, s:n, s:s, s:s, s:s, s:n, s:n, s:I, s:{s:i, s:i, s:i}, s:O?, s:O*}",
                     "object", "batch", "endpoint", endpoint, "errors", "input_file_id", input,
                     "completion_window", window, "status", "validating", "output_file_id",
                     "error_file_id", "expires_at", (json_int_t)(now + seconds), "request_counts",
                     "total", 0, "completed", 0, "failed", 0, "metadata", metadata,
                     "output_expires_after", expiry);
    return *out ? LF_OK : lf_no_memory(diag, "a batch");
}

enum lf_err lf_api_batch_create(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *body = NULL, *j = NULL;
    enum lf_err rc = lf_http_json(q, &body, diag) ?: batch_read(&j, q, body, diag);
    if (rc == LF_OK && lf_registry_disk_short(q->daemon->registry, diag))
        rc = LF_E_NO_SPACE;
    if (rc == LF_OK)
        forget(q);
    rc = rc ?: lf_api_document_make(j, q, LF_KIND_BATCH, diag);
    rc = rc ?: lf_batches_add(q->daemon->batches, j, diag);
    return rc ?: reply(q, lf_json_text_of(j, "id"), diag);
}

enum lf_err lf_api_batches(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"after", "limit", NULL};
    struct lf_page page;
    json_auto_t *list = NULL;
    enum lf_err rc = lf_page_read(&page, q, known, PAGE, PAGE_MOST, diag);
    rc = rc ?: lf_api_documents(&list, q, LF_KIND_BATCH, diag);
    for (size_t i = 0; i < json_array_size(list) && rc == LF_OK; i++) {
        const char *id = lf_json_text_of(json_array_get(list, i), "id");
        json_auto_t *now = lf_batches_now(q->daemon->batches, id);
        if (now)
            json_array_set_new(list, i, lf_api_document_shown(now));
    }
    return rc ?: lf_page_reply(q, &page, list, diag);
}

enum lf_err lf_api_batch(struct lf_http *q, struct lf_diag *diag)
{
    return reply(q, q->param[0], diag);
}

enum lf_err lf_api_batch_cancel(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_api_document(&j, q, LF_KIND_BATCH, q->param[0], diag);
    rc = rc ?: lf_batches_cancel(q->daemon->batches, q->param[0], diag);
    return rc ?: reply(q, q->param[0], diag);
}
