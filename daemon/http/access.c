/* Request ids and the access log. */
#include "daemon/http/access.h"

#include "core/clock.h"
#include "core/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ID_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-"

static bool id_ok(const char *id)
{
    size_t n = strspn(id, ID_BYTES);
    return n > 0 && n <= LF_REQUEST_ID_MAX && !id[n];
}

/* Another one for each request, also after a restart: the time, and a count. */
static void make_id(char out[LF_REQUEST_ID_MAX + 1])
{
    static atomic_uint_fast64_t count;
    snprintf(out, LF_REQUEST_ID_MAX + 1, "%llx-%llx", (unsigned long long)lf_clock_unix_ms(),
             (unsigned long long)atomic_fetch_add(&count, 1));
}

void lf_access_begin(struct lf_http *q, const char *method, const char *path)
{
    const char *given = lf_http_header(q, "X-Request-Id");
    snprintf(q->method, sizeof q->method, "%s", method);
    snprintf(q->path, sizeof q->path, "%s", path);
    if (given && id_ok(given))
        snprintf(q->id, sizeof q->id, "%s", given);
    else
        make_id(q->id);
    lf_http_set(q, "X-Request-Id", "%s", q->id);
}

void lf_access_log(const struct lf_http *q)
{
    char status[16], ms[32];
    bool polled = q->route && q->route->polled && q->status < 400;
    snprintf(status, sizeof status, "%u", q->status);
    snprintf(ms, sizeof ms, "%.1f", (double)(lf_clock_ns() - q->start_ns) / 1e6);
    const struct lf_log_field fields[] = {
        {"status", status, true},
        {"ms", ms, true},
        {"request_id", q->id, false},
    };
    lf_log_fields(polled ? LF_LOG_DEBUG : LF_LOG_INFO, "http", fields,
                  sizeof fields / sizeof *fields, "%s %s", q->method, q->path);
}
