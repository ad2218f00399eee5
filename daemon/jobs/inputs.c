/* Freezing a job's inputs. */
#include "daemon/jobs/inputs.h"

#include "core/file.h"
#include "core/json.h"
#include "daemon/jobs/start.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Digests --------------------------------------------------------------------------------- */

enum lf_err lf_digest_of(struct lf_recent *digests, const char *path, char sha256[LF_SHA256_HEX],
                         struct lf_diag *diag)
{
    char before[LF_FILE_TAG], after[LF_FILE_TAG];
    enum lf_err rc = lf_file_tag_at(before, path, diag);
    if (rc != LF_OK || lf_recent_find(digests, before, sha256))
        return rc;
    rc = lf_sha256_file(sha256, path, diag) ?: lf_file_tag_at(after, path, diag);
    if (rc == LF_OK && strcmp(before, after) == 0) /* it was not replaced meanwhile */
        lf_recent_keep(digests, before, sha256);
    return rc;
}

void lf_inputs_read(struct lf_registry *r, struct lf_recent *digests, uint64_t adapter_id)
{
    char path[LF_PATH_MAX], sha256[LF_SHA256_HEX];
    if (lf_registry_dir(r, adapter_id, lf_files[LF_FILE_DATASET].disk, path, NULL) == LF_OK)
        (void)!lf_digest_of(digests, path, sha256, NULL);
}

/* ---- Freezing -------------------------------------------------------------------------------- */

/* Links the adapter's file into dir; one that is not there is LF_E_NOT_FOUND. */
static enum lf_err link_in(struct lf_registry *r, uint64_t id, enum lf_file_kind kind,
                           const char *dir, const char *name, struct lf_diag *diag)
{
    char from[LF_PATH_MAX], to[LF_PATH_MAX];
    enum lf_err rc = lf_registry_dir(r, id, lf_files[kind].disk, from, diag);
    rc = rc ?: lf_path_join(to, dir, name, diag);
    if (rc == LF_OK && link(from, to) != 0)
        rc = errno == ENOENT ? lf_fail(diag, LF_E_NOT_FOUND, "there is no %s", lf_files[kind].name)
                             : lf_fail_errno(diag, errno, "%s", to);
    return rc;
}

/* Those that decide what a training gives; of the ones that checkpoints are known by, two score. */
static enum lf_err print_deciding(struct lf_buf *out, const struct lf_train_settings *s)
{
    struct lf_train_settings deciding = *s;
    deciding.n_stop = 0;
    deciding.eval_rows = 0;
    return lf_train_settings_print_deciding(&deciding, out);
}

/* All of them into the file, those that decide into the text. */
static enum lf_err settings_write(struct lf_registry *r, uint64_t id, const char *dir,
                                  struct lf_buf *deciding, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_train_settings s;
    lf_buf_auto all = {0};
    enum lf_err rc = lf_registry_settings(r, id, &s, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_start_freeze(r, id, dir, &s, diag);
    if (rc == LF_OK && (lf_train_settings_print(&s, &all) ?: print_deciding(deciding, &s)) != LF_OK)
        rc = lf_no_memory(diag, "a training's settings");
    lf_train_settings_free(&s);
    if (rc != LF_OK)
        return rc;
    rc = lf_path_join(path, dir, LF_INPUTS_SETTINGS, diag);
    return rc ?: lf_file_write(path, all.data, all.len, diag);
}

static enum lf_err digest(struct lf_recent *digests, const char *dir, struct lf_buf *settings,
                          char sha256[LF_SHA256_HEX], struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, dir, LF_INPUTS_DATASET, diag);
    rc = rc ?: lf_digest_of(digests, path, sha256, diag) ?: lf_buf_puts(settings, sha256);
    if (rc == LF_OK)
        lf_sha256_hex(sha256, settings->data, settings->len);
    return rc;
}

enum lf_err lf_inputs_freeze(struct lf_registry *r, struct lf_recent *digests, uint64_t adapter_id,
                             const char *dir, char sha256[LF_SHA256_HEX], struct lf_diag *diag)
{
    char root[LF_PATH_MAX];
    lf_buf_auto settings = {0};
    enum lf_err rc = lf_registry_dir(r, adapter_id, NULL, root, diag);
    rc = rc ?: lf_dir_make_below(root, dir, diag);
    rc = rc ?: link_in(r, adapter_id, LF_FILE_DATASET, dir, LF_INPUTS_DATASET, diag);
    if (rc == LF_OK) {
        rc = link_in(r, adapter_id, LF_FILE_EVAL, dir, LF_INPUTS_EVAL, diag);
        rc = rc == LF_E_NOT_FOUND ? LF_OK : rc;
    }
    rc = rc ?: settings_write(r, adapter_id, dir, &settings, diag);
    return rc ?: digest(digests, dir, &settings, sha256, diag);
}

enum lf_err lf_inputs_settings(const char *dir, struct lf_train_settings *out, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, dir, LF_INPUTS_SETTINGS, diag);
    return rc ?: lf_train_settings_load(out, path, diag);
}

enum lf_err lf_inputs_fault_read(struct lf_inputs_fault *out, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    *out = (struct lf_inputs_fault){0};
    enum lf_err rc = lf_path_join(path, dir, LF_INPUTS_FAULT, diag);
    if (rc != LF_OK || !lf_file_exists(path))
        return rc;
    rc = lf_json_load(&j, path, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_json_in in = lf_json_in(j, diag);
    const json_t *lines = json_object_get(j, "lines");
    out->failures = lf_json_int(&in, "failures", 0, 0, INT_MAX);
    out->fault.not_finite = out->failures > 0;
    for (size_t i = 0; i < json_array_size(lines) && i < LF_FAULT_LINES; i++)
        out->fault.lines[out->fault.n++] = json_integer_value(json_array_get(lines, i));
    return in.rc;
}

enum lf_err lf_inputs_fault_write(const struct lf_inputs_fault *f, const char *dir,
                                  struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    json_t *lines = json_array();
    for (int i = 0; i < f->fault.n; i++)
        json_array_append_new(lines, json_integer((json_int_t)f->fault.lines[i]));
    enum lf_err rc = lf_json_put(
        &text, json_pack("{s:i, s:o}", "failures", f->failures, "lines", lines), JSON_COMPACT);
    rc = rc ?: lf_buf_putc(&text, '\n');
    if (rc != LF_OK)
        return lf_no_memory(diag, "what a training failed of");
    rc = lf_path_join(path, dir, LF_INPUTS_FAULT, diag);
    return rc ?: lf_file_write(path, text.data, text.len, diag);
}
