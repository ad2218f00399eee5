/* A fine-tuning's events: the lines of the adapter's log, read from its end, so that a page costs
 * what is on it. An event's id is where its line begins. */
#include "daemon/api/tuning.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/file.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENT_ID "ftevent-"

/* The line before *end, which becomes its beginning. False: there is none. */
static bool line_before(struct lf_str log, size_t *end, struct lf_str *line)
{
    if (*end == 0)
        return false;
    const char *nl = *end > 1 ? memrchr(log.s, '\n', *end - 1) : NULL;
    size_t begin = nl ? (size_t)(nl - log.s) + 1 : 0;
    *line = (struct lf_str){log.s + begin, *end - begin};
    *end = begin;
    return true;
}

static bool has(const json_t *line, const char *key, json_int_t n)
{
    return json_integer_value(json_object_get(line, key)) == n;
}

/* Of this job; lines about its version alone do not name it. */
static bool is_of(const json_t *line, const json_t *job)
{
    const json_t *of = json_object_get(line, "job");
    return of ? json_equal(of, json_object_get(job, "id"))
              : has(line, "version", json_integer_value(json_object_get(job, "version")));
}

static const char *level_of(const char *event)
{
    static const char *const warns[] = {"warning", "not scored", "not served", "not saved yet"};
    if (strcmp(event, "failed") == 0)
        return "error";
    for (size_t i = 0; i < sizeof warns / sizeof *warns; i++)
        if (strcmp(event, warns[i]) == 0)
            return "warn";
    return "info";
}

/* "step: step 3, loss 1.2", from what the line has. */
static void put_message(struct lf_buf *b, const json_t *line)
{
    const char *key, *before = ": ";
    json_t *v;
    lf_buf_puts(b, lf_json_text_of(line, "event"));
    json_object_foreach((json_t *)(uintptr_t)line, key, v) {
        if (strcmp(key, "event") == 0 || strcmp(key, "time") == 0 || strcmp(key, "job") == 0)
            continue;
        lf_buf_printf(b, "%s%s ", before, key);
        if (json_is_string(v))
            lf_buf_puts(b, json_string_value(v));
        else
            lf_json_put(b, json_incref(v), JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        before = ", ";
    }
}

static json_int_t seconds_of(const json_t *line)
{
    struct tm tm = {0};
    return strptime(lf_json_text_of(line, "time"), "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : 0;
}

static json_t *event_json(json_t *line, size_t at)
{
    char id[LF_DOCUMENT_ID_MAX];
    lf_buf_auto message = {0};
    const char *event = lf_json_text_of(line, "event");
    bool metrics = strcmp(event, "step") == 0 || strcmp(event, "eval") == 0;
    snprintf(id, sizeof id, EVENT_ID "%016zx", at);
    put_message(&message, line);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:O}", "object", "fine_tuning.job.event", "id",
                     id, "created_at", seconds_of(line), "level", level_of(event), "type",
                     metrics ? "metrics" : "message", "message", lf_buf_str(&message), "data",
                     line);
}

/* Where the page's lines end. */
static enum lf_err start_of(size_t *end, const struct lf_page *page, struct lf_diag *diag)
{
    char *rest;
    if (!page->after)
        return LF_OK;
    size_t n = strlen(EVENT_ID);
    unsigned long long at =
        strncmp(page->after, EVENT_ID, n) == 0 ? strtoull(page->after + n, &rest, 16) : 0;
    if (strncmp(page->after, EVENT_ID, n) != 0 || *rest || at > *end)
        return lf_fail(diag, LF_E_NOT_FOUND, "\"after\": there is no event %.80s", page->after);
    *end = (size_t)at;
    return LF_OK;
}

enum lf_err lf_tuning_events(struct lf_http *q, const json_t *job, const struct lf_page *page,
                             struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_mapping_auto m = {0};
    struct lf_str text;
    json_auto_t *list = json_array();
    bool began = false; /* its first line was seen */
    enum lf_err rc = lf_registry_path(q->daemon->registry, lf_json_text_of(job, "adapter"),
                                      &(struct lf_file_ref){.kind = LF_FILE_LOG}, path, diag);
    rc = rc ?: lf_file_map(&m, path, diag);
    size_t end = m.bytes, n = 0;
    rc = rc == LF_E_NOT_FOUND ? LF_OK : rc ?: start_of(&end, page, diag);
    while (rc == LF_OK && !began && n <= (size_t)page->limit &&
           line_before(lf_mapping_text(&m), &end, &text)) {
        json_auto_t *line = NULL;
        if (lf_json_parse(&line, text.s, text.n, NULL) != LF_OK || !json_is_object(line) ||
            !is_of(line, job))
            continue;
        began = strcmp(lf_json_text_of(line, "event"), "queued") == 0;
        if (n++ < (size_t)page->limit)
            json_array_append_new(list, event_json(line, end));
    }
    if (rc == LF_OK)
        lf_list_reply(q, json_incref(list), n > (size_t)page->limit);
    return rc;
}
