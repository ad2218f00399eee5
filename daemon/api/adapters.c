/* Adapters: the tree, and making, showing, renaming, removing and steering one. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "daemon/team.h"
#include "daemon/warm.h"

#include "core/json.h"
#include "core/log.h"

#include <stdlib.h>
#include <string.h>

static bool may_see(const void *key, const char *adapter)
{
    return lf_key_may(key, adapter);
}

enum lf_err lf_api_tree(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"since", NULL};
    int64_t since = -1;
    enum lf_err rc = lf_http_query_only(q, known, diag);
    rc = rc ?: lf_http_query_int(q, "since", 0, INT64_MAX, &since, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_auto text = {0};
    if (since >= 0 && (uint64_t)since == lf_registry_generation(q->daemon->registry)) {
        lf_http_reply(q, 304, NULL, &text);
    } else {
        rc = lf_registry_tree(q->daemon->registry, may_see, q->key, &text);
        if (rc == LF_OK)
            lf_http_reply(q, 200, "application/json", &text);
    }
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the tree");
}

static json_t *text_or_null(const char *s)
{
    return s[0] ? json_string(s) : json_null();
}

static json_t *view_json(const struct lf_daemon *d, const struct lf_adapter_view *v)
{
    static const char *const residency[] = {"none", "host", "device"};
    const struct lf_adapter_record *a = &v->record;
    lf_buf_auto line = {0};
    json_t *j = NULL;
    if (lf_adapter_status_line(&line, v) == LF_OK)
        j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:o, s:o, s:s}", "name", a->name,
                      "base", a->base, "state", lf_adapter_state_name(v->state), "status",
                      line.data, "version", (int)a->current, "versions_made", (int)a->versions,
                      "created_ms", (json_int_t)a->created_ms, "changed_ms",
                      (json_int_t)a->changed_ms, "trouble", text_or_null(a->trouble), "last_job",
                      a->last_job ? json_integer((json_int_t)a->last_job) : json_null(),
                      "residency",
                      residency[lf_team_residency(lf_team_for(d, a->id), a->id, a->current)]);
    return j;
}

enum lf_err lf_api_adapters(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_adapter_view *list = NULL;
    size_t n = 0;
    enum lf_err rc = lf_registry_list(q->daemon->registry, &list, &n, diag);
    if (rc != LF_OK)
        return rc;
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++)
        if (lf_key_may(q->key, list[i].record.name))
            json_array_append_new(rows, view_json(q->daemon, &list[i]));
    free(list);
    lf_http_reply_json(q, 200, json_pack("{s:o}", "adapters", rows));
    return LF_OK;
}

static enum lf_err reply_adapter(struct lf_http *q, unsigned status, const char *name,
                                 struct lf_diag *diag)
{
    struct lf_adapter_view v;
    int32_t *versions = NULL;
    size_t n = 0;
    enum lf_err rc = lf_registry_view(q->daemon->registry, name, &v, diag);
    rc = rc ?: lf_registry_versions(q->daemon->registry, name, &versions, &n, diag);
    if (rc != LF_OK)
        return rc;
    json_t *j = view_json(q->daemon, &v), *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(versions[i]));
    free(versions);
    json_object_set_new(j, "versions", list);
    json_object_set_new(j, "job",
                        v.record.last_job ? lf_jobs_json(q->daemon->jobs, v.record.last_job)
                                          : json_null());
    lf_http_reply_json(q, status, j);
    return LF_OK;
}

enum lf_err lf_api_adapter(struct lf_http *q, struct lf_diag *diag)
{
    return reply_adapter(q, 200, q->param[0], diag);
}

enum lf_err lf_api_adapter_create(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"name", "config", NULL};
    json_auto_t *body = NULL;
    struct lf_json_in in = lf_http_json_in(q, &body, known, diag);
    const char *name = lf_json_need_str(&in, "name");
    const json_t *config = json_object_get(body, "config");
    enum lf_err rc = in.rc ?: lf_http_may(q, name, diag);
    rc = rc
             ?: lf_registry_create(q->daemon->registry, name, json_is_null(config) ? NULL : config,
                                   diag);
    return rc ?: reply_adapter(q, 201, name, diag);
}

enum lf_err lf_api_adapter_remove(struct lf_http *q, struct lf_diag *diag)
{
    enum lf_err rc = lf_jobs_adapter_remove(q->daemon->jobs, q->param[0], diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, json_pack("{s:s}", "removed", q->param[0]));
    return rc;
}

enum lf_err lf_api_adapter_rename(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"to", NULL};
    json_auto_t *body = NULL;
    struct lf_json_in in = lf_http_json_in(q, &body, known, diag);
    const char *to = lf_json_need_str(&in, "to");
    enum lf_err rc = in.rc ?: lf_http_may(q, to, diag);
    rc = rc ?: lf_registry_rename(q->daemon->registry, q->param[0], to, diag);
    return rc ?: reply_adapter(q, 200, to, diag);
}

/* ---- ctl ------------------------------------------------------------------------------------- */

static enum lf_err rollback(struct lf_http *q, int32_t n, struct lf_diag *diag)
{
    struct lf_adapter_view v;
    enum lf_err rc = lf_registry_view(q->daemon->registry, q->param[0], &v, diag);
    if (rc == LF_OK && n != v.record.current)
        lf_warm(q->daemon, v.record.id, n, LF_WARM_MS);
    return rc ?: lf_registry_rollback(q->daemon->registry, q->param[0], n, diag);
}

/* One line, without its newline and blanks around it. */
static enum lf_err ctl_line(struct lf_http *q, const char *line, struct lf_diag *diag)
{
    struct lf_ctl_order o;
    bool queued;
    enum lf_err rc = lf_ctl_parse(&o, line, diag);
    if (rc != LF_OK)
        return rc;
    if (o.word == LF_CTL_TRAIN)
        return lf_jobs_train(q->daemon->jobs, q->param[0], true, &queued, diag);
    if (o.word == LF_CTL_ROLLBACK)
        return rollback(q, o.n, diag);
    return lf_jobs_order_adapter(q->daemon->jobs, q->param[0], o.word, diag);
}

/* Lines are done in order; the first that fails ends it, named. *done: how many there were. */
static enum lf_err ctl_lines(struct lf_http *q, int *done, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    const char *p = lf_buf_str(&q->body);
    if (strlen(p) != q->body.len)
        rc = lf_fail(diag, LF_E_INVALID, "a command holds a NUL byte");
    while (rc == LF_OK && *p) {
        char line[LF_CTL_LINE_MAX];
        size_t n = strcspn(p, "\n");
        const char *next = p + n + (p[n] == '\n');
        while (n > 0 && strchr(" \t\r", *p))
            p++, n--;
        while (n > 0 && strchr(" \t\r", p[n - 1]))
            n--;
        if (n >= sizeof line) {
            rc = lf_fail(diag, LF_E_INVALID, "a command is longer than %d bytes", LF_CTL_LINE_MAX);
        } else if (n > 0) {
            memcpy(line, p, n);
            line[n] = '\0';
            rc = ctl_line(q, line, diag);
            ++*done;
        }
        p = next;
    }
    if (rc == LF_OK && *done == 0)
        rc = lf_fail(diag, LF_E_INVALID, "no command");
    return rc;
}

enum lf_err lf_api_adapter_ctl(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_adapter_view v;
    struct lf_diag why = {""};
    int done = 0;
    enum lf_err rc = lf_registry_view(q->daemon->registry, q->param[0], &v, diag);
    if (rc != LF_OK)
        return rc;
    rc = ctl_lines(q, &done, &why);
    lf_registry_asked(q->daemon->registry, q->param[0], lf_files[LF_FILE_CTL].name,
                      rc == LF_OK ? NULL : why.text);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "%s", why.text);
    lf_http_reply_json(q, 200, json_pack("{s:i}", "commands", done));
    return LF_OK;
}
