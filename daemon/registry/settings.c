/* An adapter's settings: config.json with the template file in its place. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/json.h"

#include "trainer/ask.h"
#include "trainer/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lf_err lf_registry_no_base(const struct lf_registry *r, const char *name, struct lf_diag *diag)
{
    char all[LF_DIAG_MAX];
    lf_bases_list(r->bases, all);
    return lf_fail(diag, LF_E_INVALID, "\"base\" is \"%.100s\"; this daemon has %s", name, all);
}

/* Settings of an adapter of this base. */
static enum lf_err settings_fit(const struct lf_train_settings *s, const struct lf_base *base,
                                struct lf_diag *diag)
{
    if (s->base[0] && strcmp(s->base, base->name) != 0)
        return lf_fail(diag, LF_E_INVALID, "\"base\" is \"%s\"; this adapter is of \"%s\"", s->base,
                       base->name);
    return LF_OK;
}

/* The `template` file in dir takes the place of config.json's. */
static enum lf_err template_over(const char *dir, struct lf_train_settings *s, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (lf_path_join(path, dir, lf_files[LF_FILE_TEMPLATE].disk, diag) != LF_OK)
        return LF_E_INVALID;
    if (!lf_file_exists(path))
        return LF_OK;
    lf_buf_auto text = {0};
    enum lf_err rc = lf_file_read(&text, path, lf_files[LF_FILE_TEMPLATE].bytes_max, diag);
    if (rc == LF_OK && text.len > 0) {
        char *own = lf_buf_take(&text, NULL);
        if (own) {
            free(s->template_);
            s->template_ = own;
        } else {
            rc = LF_E_NO_MEMORY;
        }
    }
    return rc;
}

/* config.json and template of a directory of files. */
static enum lf_err settings_at(const char *dir, const struct lf_base *base,
                               struct lf_train_settings *out, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_train_settings s;
    if (lf_path_join(path, dir, lf_files[LF_FILE_CONFIG].disk, diag) != LF_OK)
        return LF_E_INVALID;
    lf_train_settings_default(&s);
    enum lf_err rc = LF_OK;
    if (lf_file_exists(path)) {
        json_auto_t *j = NULL;
        rc = lf_json_load(&j, path, NULL);
        if (rc == LF_OK)
            rc = lf_train_settings_parse(&s, j, diag);
        else
            rc = lf_fail(diag, rc, "config.json cannot be read");
    }
    rc = rc ?: settings_fit(&s, base, diag);
    rc = rc ?: template_over(dir, &s, diag);
    if (rc == LF_OK)
        *out = s;
    else
        lf_train_settings_free(&s);
    return rc;
}

enum lf_err lf_registry_settings(struct lf_registry *r, uint64_t id, struct lf_train_settings *out,
                                 struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    enum lf_err rc = lf_registry_dir(r, id, NULL, dir, diag);
    return rc ?: settings_at(dir, lf_registry_base(r, id), out, diag);
}

enum lf_err lf_registry_ask(struct lf_registry *r, uint64_t id, const char *version_dir,
                            const struct lf_train_settings *s, struct lf_ask *out,
                            struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_ask a;
    const char *form = NULL;
    enum lf_err rc = lf_ask_read(&a, version_dir, diag);
    if (rc != LF_OK)
        return rc;
    if (!a.template_ && s->template_ && !(a.template_ = strdup(s->template_)))
        return lf_no_memory(diag, "a template");
    if (s->ask != 0)
        form = lf_ask_words[s->ask];
    else if (!a.form[0] &&
             lf_registry_dir(r, id, lf_files[LF_FILE_DATASET].disk, path, NULL) == LF_OK &&
             lf_dataset_form(&form, path, s, NULL) != LF_OK)
        form = NULL;
    if (form)
        snprintf(a.form, sizeof a.form, "%s", form);
    *out = a;
    return LF_OK;
}
