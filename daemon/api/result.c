/* `result`: what came of the last training, once it is settled. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/json.h"

#include <poll.h>
#include <string.h>

#define LOOK_MS 100

/* Until the adapter is settled. LF_E_CANCELLED: the client went away. */
static enum lf_err await(struct lf_http *q, struct lf_adapter_view *v, struct lf_diag *diag)
{
    uint64_t id = v->record.id;
    while (!lf_adapter_is_settled(v)) {
        if (atomic_load(&q->daemon->stopping))
            return lf_fail(diag, LF_E_DEVICE_LOST, "the daemon is stopping");
        if (lf_http_gone(q))
            return lf_fail(diag, LF_E_CANCELLED, "the client went away");
        poll(NULL, 0, LOOK_MS);
        enum lf_err rc = lf_registry_view_id(q->daemon->registry, id, v, diag);
        if (rc != LF_OK)
            return rc;
    }
    return LF_OK;
}

/* The last job was cancelled, and no version came after it. */
static bool was_cancelled(struct lf_http *q, const struct lf_adapter_view *v)
{
    json_auto_t *job = lf_jobs_json(q->daemon->jobs, v->record.last_job);
    return v->record.last_job && strcmp(lf_json_text_of(job, "state"), "cancelled") == 0 &&
           json_integer_value(json_object_get(job, "version")) > v->record.current;
}

/* metrics.json where it is of the served version, else {}. */
static json_t *report_of(struct lf_http *q, const struct lf_adapter_view *v)
{
    static const struct lf_file_ref ref = {LF_FILE_METRICS, 0};
    char path[LF_PATH_MAX];
    json_t *j = NULL;
    if (lf_registry_path(q->daemon->registry, v->record.name, &ref, path, NULL) != LF_OK ||
        lf_json_load(&j, path, NULL) != LF_OK ||
        json_integer_value(json_object_get(j, "version")) != v->record.current) {
        json_decref(j);
        j = json_object();
    }
    return j;
}

static void copy(json_t *to, const char *key, const json_t *from, const char *from_key)
{
    json_t *value = json_object_get(from, from_key);
    if (value && !json_is_null(value))
        json_object_set(to, key, value);
}

/* One line of JSON; a version that could not be scored is an error. */
static enum lf_err reply_result(struct lf_http *q, const struct lf_adapter_view *v,
                                struct lf_diag *diag)
{
    json_auto_t *report = report_of(q, v);
    const json_t *train = json_object_get(report, "train"), *eval = json_object_get(report, "eval");
    if (v->record.refused == LF_REFUSED_VERSION)
        return lf_fail(diag, LF_E_FAILED, "%s: %s", v->record.name, v->record.trouble);
    const char *unscored = json_string_value(json_object_get(eval, "reason"));
    if (unscored)
        return lf_fail(diag, LF_E_FAILED, "%s v%d is there, but not scored: %s", v->record.name,
                       (int)v->record.current, unscored);
    json_t *j = json_pack("{s:s, s:s, s:i}", "adapter", v->record.name, "state",
                          lf_adapter_state_name(v->state), "version", (int)v->record.current);
    copy(j, "train_loss", train, "loss");
    copy(j, "eval_loss", train, "eval_loss");
    copy(j, "eval_reward_margin", train, "eval_reward_margin");
    copy(j, "eval_reward_accuracy", train, "eval_reward_accuracy");
    copy(j, "metric", eval, "metric");
    copy(j, "score", eval, "score");
    copy(j, "base", json_object_get(report, "base"), "score");
    lf_buf_auto text = {0};
    lf_json_put(&text, j, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (lf_buf_putc(&text, '\n') != LF_OK)
        return lf_fail(diag, text.rc, "no memory for the result");
    lf_http_reply(q, 200, lf_files[LF_FILE_RESULT].media_type, &text);
    return LF_OK;
}

enum lf_err lf_api_result(struct lf_http *q, struct lf_adapter_view *v, bool wait,
                          struct lf_diag *diag)
{
    lf_buf_auto line = {0};
    enum lf_err rc = wait ? await(q, v, diag) : LF_OK;
    if (rc != LF_OK)
        return rc;
    if (lf_adapter_status_line(&line, v) != LF_OK)
        return lf_no_memory(diag, "the result");
    if (!lf_adapter_is_settled(v))
        return lf_fail(diag, LF_E_BUSY, "%s: %s", v->record.name, line.data);
    if (v->state == LF_ADAPTER_FAILED)
        return lf_fail(diag, LF_E_FAILED, "%s %s", v->record.name, line.data);
    if (was_cancelled(q, v))
        return lf_fail(diag, LF_E_FAILED, "%s: job %llu was cancelled", v->record.name,
                       (unsigned long long)v->record.last_job);
    return reply_result(q, v, diag);
}
