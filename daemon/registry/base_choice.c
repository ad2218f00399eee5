/* Which of the daemon's bases an adapter is of: config.json's "base", until something was made on
 * one. */
#include "daemon/registry/index.h"

#include "core/json.h"

#include <string.h>

static bool is_made(const struct lf_adapter_record *record)
{
    return record->versions > 0 || record->last_job > 0;
}

enum lf_err lf_registry_base_named(struct lf_registry *r, uint64_t id, const char *name,
                                   const struct lf_base **out, struct lf_diag *diag)
{
    struct lf_adapter_view v;
    enum lf_err rc = lf_registry_view_id(r, id, &v, diag);
    if (rc != LF_OK)
        return rc;
    const struct lf_base *named = lf_bases_find(r->bases, name);
    *out = lf_bases_of(r->bases, v.record.base);
    if (!*name || named == *out)
        return LF_OK;
    if (is_made(&v.record))
        return lf_fail(diag, LF_E_INVALID, "\"base\" is \"%.100s\"; this adapter is of \"%s\"",
                       name, (*out)->name);
    *out = named;
    return named ? LF_OK : lf_registry_no_base(r, name, diag);
}

static enum lf_err set_name(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    const struct lf_base *base = arg;
    if (!is_made(record))
        memcpy(record->base, base->name, sizeof record->base);
    return LF_OK;
}

enum lf_err lf_registry_base_choose(struct lf_registry *r, uint64_t id, const char *path,
                                    struct lf_diag *diag)
{
    struct lf_train_settings s;
    struct lf_adapter_record record;
    const struct lf_base *base = NULL;
    json_auto_t *j = NULL;
    lf_train_settings_default(&s);
    enum lf_err rc = lf_json_load(&j, path, diag) ?: lf_train_settings_parse(&s, j, diag);
    rc = rc ?: lf_registry_base_named(r, id, s.base, &base, diag);
    lf_train_settings_free(&s);
    if (rc != LF_OK || base == lf_registry_base(r, id))
        return rc;
    rc = lf_store_adapter_update(r->store, id, set_name, (void *)(uintptr_t)base, &record, diag);
    rc = rc ?: lf_registry_identity(r, &record, diag);
    if (rc == LF_OK)
        lf_registry_refresh(r, id, &record);
    return rc;
}
