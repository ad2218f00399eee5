/* vLLM's routes for adapters that lie on this machine already; only with --allow-load, as they make
 * the daemon read where a client points. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/seat.h"
#include "daemon/state.h"

#include "core/json.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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

static enum lf_err check_dir(const char *path, struct lf_diag *diag)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return lf_fail(diag, errno == ENOENT ? LF_E_NOT_FOUND : LF_E_INVALID,
                       "\"lora_path\" %.300s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return lf_fail(diag, LF_E_INVALID,
                       "\"lora_path\" %.300s is no directory: it is one with adapter_config.json "
                       "and adapter_model.safetensors in it",
                       path);
    return LF_OK;
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
    rc = rc ?: check_dir(path, diag);
    rc = rc ?: lf_registry_import(q->daemon->registry, name, path, &version, diag);
    if (rc == LF_OK) {
        lf_jobs_score(q->daemon->jobs, name);
        reply_text(q, "added", name);
    }
    return rc;
}

/* Frees the memory that it takes on the device, which is what vLLM's clients unload for; its files
 * stay, and a request for it brings it back. */
enum lf_err lf_api_unload(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *body = NULL;
    static const char *const known[] = {"lora_name", "lora_int_id", NULL};
    struct lf_adapter_view v;
    if (allowed(q, diag) != LF_OK)
        return LF_E_READ_ONLY;
    struct lf_json_in in = lf_http_json_in(q, &body, known, diag);
    const char *name = lf_json_need_str(&in, "lora_name");
    enum lf_err rc = in.rc ?: lf_registry_view(q->daemon->registry, name, &v, diag);
    if (rc == LF_OK)
        rc = lf_engine_unload(lf_seat_for(q->daemon, v.record.id)->engine, v.record.id, diag);
    if (rc == LF_OK)
        reply_text(q, "removed", name);
    return rc;
}
