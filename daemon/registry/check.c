/* Checks of bytes that a person wrote, before they take a file's place: one for each enum
 * lf_file_check. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/json.h"
#include "core/utf8.h"
#include "model/adapter.h"
#include "model/safetensors.h"
#include "trainer/dataset.h"
#include "trainer/sweep.h"

#include <string.h>

void lf_registry_budget(struct lf_registry *r, struct lf_budget *b)
{
    r->budget = b;
}

/* Of a file and the settings that it is checked with. */
static enum lf_err key_of(char key[LF_SHA256_HEX], const char *path,
                          const struct lf_train_settings *s, struct lf_diag *diag)
{
    char tag[LF_FILE_TAG];
    lf_buf_auto text = {0};
    enum lf_err rc = lf_file_tag_at(tag, path, diag);
    if (rc != LF_OK)
        return rc;
    if ((lf_train_settings_print(s, &text) ?: lf_buf_puts(&text, tag)) != LF_OK)
        return lf_no_memory(diag, "a training's settings");
    return lf_sha256_of(key, text.data, text.len, diag);
}

/* Rows are checked when they come, and again when the directory that they are in is whole, by one
 * thread for all: of large ones it is known that they are good. */
static enum lf_err check_rows(struct lf_registry *r, uint64_t id, const char *path,
                              struct lf_diag *diag)
{
    char key[LF_SHA256_HEX], found[LF_SHA256_HEX];
    struct lf_train_settings s;
    const struct lf_dataset_limits limits = {.budget = r->budget};
    enum lf_err rc = lf_registry_settings(r, id, &s, diag);
    if (rc != LF_OK)
        return rc;
    rc = key_of(key, path, &s, diag);
    if (rc == LF_OK && !lf_recent_find(&r->checked, key, found)) {
        rc = lf_dataset_check(path, &s, &limits, diag);
        if (rc == LF_OK)
            lf_recent_keep(&r->checked, key, "");
    }
    lf_train_settings_free(&s);
    return rc;
}

bool lf_registry_wants_template(struct lf_registry *r, uint64_t id, const char *path)
{
    struct lf_train_settings s;
    struct lf_adapter_view v;
    const struct lf_dataset_limits limits = {.budget = r->budget};
    if (lf_registry_view_id(r, id, &v, NULL) != LF_OK || v.record.current > 0 ||
        lf_registry_settings(r, id, &s, NULL) != LF_OK)
        return false;
    bool wants = !s.template_ && (s.template_ = strdup("any")) &&
                 lf_dataset_check(path, &s, &limits, NULL) == LF_OK;
    lf_train_settings_free(&s);
    return wants;
}

/* Each of its trainings has settings that go together. */
static enum lf_err check_sweep(const struct lf_train_settings *s, struct lf_diag *diag)
{
    struct lf_sweep w;
    if (!s->sweep)
        return LF_OK;
    enum lf_err rc = lf_sweep_expand(&w, s, diag);
    if (rc == LF_OK)
        lf_sweep_free(&w);
    return rc;
}

static enum lf_err check_config(struct lf_registry *r, uint64_t id, const char *path,
                                struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    json_auto_t *j = NULL;
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    enum lf_err rc = lf_file_map(&m, path, diag) ?: lf_json_parse(&j, m.data, m.bytes, diag);
    rc = rc ?: lf_train_settings_parse(&s, j, diag) ?: check_sweep(&s, diag);
    const struct lf_base *base = NULL;
    rc = rc ?: lf_registry_base_named(r, id, s.base, &base, diag);
    const struct lf_lora_settings lora = lf_train_settings_lora(&s);
    rc = rc ?: lf_lora_settings_check(&base->model->config, &lora, diag);
    lf_train_settings_free(&s);
    return rc;
}

static enum lf_err check_text(const char *path, const struct lf_file_row *f, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    enum lf_err rc = lf_file_read(&text, path, f->bytes_max, diag);
    const char *s = lf_buf_str(&text);
    size_t good = lf_utf8_valid(s, text.len);
    if (rc == LF_OK && text.len >= 2 &&
        (memcmp(s, "\xff\xfe", 2) == 0 || memcmp(s, "\xfe\xff", 2) == 0))
        rc = lf_fail(diag, LF_E_INVALID, "it is UTF-16 text: save it as UTF-8");
    if (rc == LF_OK && memchr(s, '\0', text.len))
        rc = lf_fail(diag, LF_E_INVALID, "holds a NUL byte");
    if (rc == LF_OK && good < text.len)
        rc = lf_fail(diag, LF_E_INVALID, "it is not UTF-8: byte 0x%02x at %zu",
                     (unsigned char)s[good], good);
    if (rc == LF_OK && f->check == LF_CHECK_TEMPLATE && text.len > 0)
        rc = lf_template_check(s, diag);
    return rc;
}

/* Whether the two files of adapter/ fit is known when both are there; one that is damaged by itself
 * is refused at once. */
static enum lf_err check_adapter(const char *path, const struct lf_file_row *f,
                                 struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    json_auto_t *j = NULL;
    struct lf_tensors *t = NULL;
    enum lf_err rc = lf_file_map(&m, path, diag);
    if (f->check == LF_CHECK_TENSORS)
        rc = rc ?: lf_tensors_parse(&t, m.data, m.bytes, LF_ADAPTER_HEADER_MAX, diag);
    else
        rc = rc ?: lf_json_parse(&j, m.data, m.bytes, diag);
    if (rc == LF_OK && j && !json_is_object(j))
        rc = lf_fail(diag, LF_E_INVALID, "not a JSON object");
    lf_tensors_free(t);
    return rc;
}

enum lf_err lf_registry_check(struct lf_registry *r, uint64_t id, enum lf_file_kind kind,
                              const char *path, struct lf_diag *diag)
{
    const struct lf_file_row *f = &lf_files[kind];
    switch (f->check) {
    case LF_CHECK_ROWS:
        return check_rows(r, id, path, diag);
    case LF_CHECK_SETTINGS:
        return check_config(r, id, path, diag);
    case LF_CHECK_TEMPLATE:
    case LF_CHECK_TEXT:
        return check_text(path, f, diag);
    case LF_CHECK_JSON:
    case LF_CHECK_TENSORS:
        return check_adapter(path, f, diag);
    case LF_CHECK_NONE:
        break;
    }
    return lf_fail(diag, LF_E_READ_ONLY, "that file is not for writing");
}
