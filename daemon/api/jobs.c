/* The queue, and orders for its jobs. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/state.h"

#include "core/json.h"

#include <stdlib.h>
#include <string.h>

static enum lf_err job_id(struct lf_http *q, uint64_t *id, struct lf_diag *diag)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(q->param[0], &end, 10);
    if (q->param[0][0] < '0' || q->param[0][0] > '9' || *end || errno == ERANGE)
        return lf_fail(diag, LF_E_NOT_FOUND, "no such job: %.60s", q->param[0]);
    *id = n;
    return LF_OK;
}

enum lf_err lf_api_jobs(struct lf_http *q, struct lf_diag *diag)
{
    json_t *rows = NULL;
    enum lf_err rc = lf_jobs_list_json(q->daemon->jobs, &rows, diag);
    for (size_t i = json_array_size(rows); rc == LF_OK && i-- > 0;)
        if (!lf_key_may(q->key, lf_json_text_of(json_array_get(rows, i), "adapter")))
            json_array_remove(rows, i);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, json_pack("{s:o}", "jobs", rows));
    return rc;
}

/* Of an adapter that who asks may ask for. */
static enum lf_err may(struct lf_http *q, uint64_t id, struct lf_diag *diag)
{
    json_auto_t *j = lf_jobs_json(q->daemon->jobs, id);
    return json_is_null(j) ? LF_OK : lf_http_may(q, lf_json_text_of(j, "adapter"), diag);
}

static enum lf_err reply_job(struct lf_http *q, uint64_t id, struct lf_diag *diag)
{
    json_t *j = lf_jobs_json(q->daemon->jobs, id);
    if (json_is_null(j)) {
        json_decref(j);
        return lf_fail(diag, LF_E_NOT_FOUND, "no such job: %llu", (unsigned long long)id);
    }
    lf_http_reply_json(q, 200, j);
    return LF_OK;
}

enum lf_err lf_api_job(struct lf_http *q, struct lf_diag *diag)
{
    uint64_t id;
    return job_id(q, &id, diag) ?: may(q, id, diag) ?: reply_job(q, id, diag);
}

/* POST /v1/jobs/{id}/<word of ctl>. */
enum lf_err lf_api_job_order(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_ctl_order o;
    uint64_t id;
    enum lf_err rc = job_id(q, &id, diag);
    rc = rc ?: may(q, id, diag);
    rc = rc ?: lf_ctl_parse(&o, strrchr(q->route->path, '/') + 1, diag);
    return rc ?: lf_jobs_order(q->daemon->jobs, id, o.word, diag) ?: reply_job(q, id, diag);
}
