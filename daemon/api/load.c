/* vLLM's routes for adapters that lie on this machine already; only with --allow-load, as they make
 * the daemon read where a client points. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/json.h"

#include <string.h>

static enum lf_err allowed(const struct lf_http *q, struct lf_diag *diag)
{
    if (q->daemon->options.allow_load)
        return LF_OK;
    return lf_fail(diag, LF_E_READ_ONLY, "the daemon was started without --allow-load");
}

static void reply_text(struct lf_http *q, const char *what, const char *name)
{
    lf_buf_auto b = {0};
    lf_buf_printf(&b, "Success: LoRA adapter '%s' %s successfully.", name, what);
    lf_http_reply(q, 200, "text/plain; charset=utf-8", &b);
}

enum lf_err lf_api_load(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *body = NULL;
    static const char *const known[] = {"lora_name", "lora_path", NULL};
    int32_t version;
    if (allowed(q, diag) != LF_OK)
        return LF_E_READ_ONLY;
    struct lf_json_in in = lf_http_json_in(q, &body, known, diag);
    const char *name = lf_json_need_str(&in, "lora_name");
    const char *path = lf_json_need_str(&in, "lora_path");
    enum lf_err rc = in.rc;
    if (rc == LF_OK && path[0] != '/')
        rc = lf_fail(diag, LF_E_INVALID, "\"lora_path\" must be an absolute path");
    rc = rc ?: lf_registry_import(q->daemon->registry, name, path, &version, diag);
    if (rc == LF_OK) {
        lf_jobs_score(q->daemon->jobs, name);
        reply_text(q, "added", name);
    }
    return rc;
}

enum lf_err lf_api_unload(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *body = NULL;
    static const char *const known[] = {"lora_name", "lora_int_id", NULL};
    uint64_t id;
    if (allowed(q, diag) != LF_OK)
        return LF_E_READ_ONLY;
    struct lf_json_in in = lf_http_json_in(q, &body, known, diag);
    const char *name = lf_json_need_str(&in, "lora_name");
    enum lf_err rc = in.rc ?: lf_registry_remove(q->daemon->registry, name, &id, diag);
    if (rc == LF_OK) {
        lf_jobs_adapter_gone(q->daemon->jobs, id);
        reply_text(q, "removed", name);
    }
    return rc;
}
