/* Commands for a daemon's adapters: each argument in turn; settings from a command line. */
#include "tools/adapter_remote.h"

#include "core/file.h"
#include "core/json.h"
#include "names/files.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int lf_remote_each(const struct lf_usage *u, const struct lf_remote_options *o,
                   const struct lf_args *args, int n, lf_remote_fn fn, void *arg)
{
    struct lf_diag diag = {""};
    struct lf_remote *c = NULL;
    enum lf_err rc = lf_remote_new(&c, o, &diag);
    if (rc != LF_OK)
        return lf_command_failed(u, rc, &diag);
    int status = 0;
    for (int i = 0; i == 0 || i < n; i++)
        if ((rc = fn(arg, c, n ? args->v[i] : NULL, &diag)) != LF_OK)
            status = lf_command_failed(u, rc, &diag);
    lf_remote_free(c);
    return status;
}

/* "rank=8": the value as JSON where it is some, else as text. */
static enum lf_err set_one(json_t *settings, const char *text, struct lf_diag *diag)
{
    size_t n = strcspn(text, "=");
    json_t *value = NULL;
    if (n == 0 || !text[n])
        return lf_fail(diag, LF_E_INVALID, "--set wants KEY=VALUE, not '%.100s'", text);
    const char *said = text + n + 1;
    value = json_loads(said, JSON_DECODE_ANY, NULL);
    if (!value && !(value = json_string(said)))
        return lf_fail(diag, LF_E_INVALID, "--set %.100s: not UTF-8", text);
    lf_buf_auto key = {0};
    enum lf_err rc = lf_buf_append(&key, text, n);
    if (rc != LF_OK || json_object_set_new(settings, key.data, value) != 0)
        rc = lf_fail(diag, LF_E_INVALID, "--set %.100s: not UTF-8", text);
    return rc;
}

enum lf_err lf_settings_of(json_t **out, const struct lf_settings_flags *s, struct lf_diag *diag)
{
    json_t *j = NULL;
    enum lf_err rc = s->file ? lf_json_load(&j, s->file, diag) : LF_OK;
    if (rc == LF_OK && s->file && !json_is_object(j))
        rc = lf_fail(diag, LF_E_INVALID, "%s: not a JSON object", s->file);
    if (rc == LF_OK && !j && s->set.n > 0 && !(j = json_object()))
        rc = lf_no_memory(diag, "the settings");
    for (int i = 0; i < s->set.n && rc == LF_OK; i++)
        rc = set_one(j, s->set.s[i], diag);
    if (rc == LF_OK)
        *out = j;
    else
        json_decref(j);
    return rc;
}

enum lf_err lf_remote_create(struct lf_remote *c, const char *name, json_t *settings,
                             struct lf_diag *diag)
{
    json_auto_t *answer = NULL;
    json_auto_t *body = json_pack("{s:s, s:O?}", "name", name, "config", settings);
    return body ? lf_remote_json(c, &answer, "POST", "/v1/adapters", body, diag)
                : lf_fail(diag, LF_E_INVALID, "'%.80s' is not a name of an adapter", name);
}

enum lf_err lf_remote_download(struct lf_remote *c, const char *path, const char *file,
                               struct lf_diag *diag)
{
    char part[LF_PATH_MAX];
    if (snprintf(part, sizeof part, "%s.part", file) >= (int)sizeof part)
        return lf_fail(diag, LF_E_INVALID, "'%.80s...' is too long", file);
    FILE *to = fopen(part, "w");
    if (!to)
        return lf_fail_errno(diag, errno, "%s", part);
    enum lf_err rc = lf_remote_stream(c, path, to, diag);
    if (fclose(to) != 0 && rc == LF_OK)
        rc = lf_fail_errno(diag, errno, "%s", part);
    if (rc == LF_OK && rename(part, file) != 0)
        rc = lf_fail_errno(diag, errno, "%s", file);
    if (rc != LF_OK)
        unlink(part);
    return rc;
}

enum lf_err lf_remote_served(struct lf_remote *c, const char *name, int64_t *version,
                             struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *answer = NULL;
    enum lf_err rc = lf_remote_path(path, name, "", diag);
    rc = rc ?: lf_remote_json(c, &answer, "GET", path, NULL, diag);
    *version = (int64_t)json_integer_value(json_object_get(answer, "version"));
    return rc == LF_OK && *version < 1
               ? lf_fail(diag, LF_E_NOT_FOUND, "%s has no version yet", name)
               : rc;
}

/* Of one version, also where another one serves meanwhile. */
enum lf_err lf_remote_peft(struct lf_remote *c, const char *name, int64_t version, const char *dir,
                           struct lf_diag *diag)
{
    static const char *const files[] = {LF_ADAPTER_CONFIG_NAME, LF_ADAPTER_WEIGHTS_NAME};
    char rest[LF_PATH_MAX - 256], path[LF_PATH_MAX], file[LF_PATH_MAX];
    enum lf_err rc = version > 0 ? LF_OK : lf_remote_served(c, name, &version, diag);
    for (int i = 0; i < 2 && rc == LF_OK; i++) {
        snprintf(rest, sizeof rest, "/files/" LF_FILE_VERSIONS_DIR "%lld/%s", (long long)version,
                 files[i]);
        rc = lf_remote_path(path, name, rest, diag);
        rc = rc ?: lf_path_join(file, dir, files[i], diag);
        rc = rc ?: lf_remote_download(c, path, file, diag);
    }
    return rc;
}

static enum lf_err put(struct lf_remote *c, json_t **answer, const char *name, const char *rest,
                       const char *file, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_remote_path(path, name, rest, diag);
    rc = rc ?: lf_remote_upload(c, answer, path, file, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", file);
}

enum lf_err lf_remote_train(struct lf_remote *c, const char *name, json_t *settings,
                            const char *dataset, const char *eval, bool *queued,
                            struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *answer = NULL, *set = NULL, *scored = NULL;
    enum lf_err rc = lf_remote_create(c, name, settings, diag);
    if (rc == LF_E_EXISTS) {
        rc = LF_OK;
        if (settings)
            rc = lf_remote_path(path, name, "/files/config.json", diag)
                     ?: lf_remote_json(c, &set, "PUT", path, settings, diag);
    }
    if (rc == LF_OK && eval)
        rc = put(c, &scored, name, "/files/eval.jsonl", eval, diag);
    rc = rc ?: put(c, &answer, name, "/files/dataset.jsonl?train=1", dataset, diag);
    if (rc == LF_OK)
        *queued = json_is_true(json_object_get(answer, "queued"));
    return rc;
}
