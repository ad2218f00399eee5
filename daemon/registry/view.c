/* Questions to the index, each under its lock: copies of what is known of adapters. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static enum lf_err no_such(const char *name, struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_NOT_FOUND, "there is no adapter \"%.*s\"", LF_NAME_MAX, name);
}

enum lf_err lf_registry_id(struct lf_registry *r, const char *name, uint64_t *id,
                           struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find(r, name);
    if (e)
        *id = e->record.id;
    return e ? LF_OK : no_such(name, diag);
}

void lf_entry_view(struct lf_adapter_view *out, const struct lf_entry *e)
{
    *out = (struct lf_adapter_view){
        .record = e->record,
        .state = lf_entry_state(e),
        .activity = e->activity,
        .scores = e->scores,
        .told = e->told,
        .later = e->later - 1,
        .base = e->base,
        .stranger = lf_entry_is_stranger(e),
    };
    snprintf(out->warning, sizeof out->warning, "%s", e->warning ? e->warning : "");
    snprintf(out->named, sizeof out->named, "%s", e->named ? e->named : "");
    snprintf(out->refusal, sizeof out->refusal, "%s", e->refusal ? e->refusal : "");
}

enum lf_err lf_registry_view(struct lf_registry *r, const char *name, struct lf_adapter_view *out,
                             struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find(r, name);
    if (e)
        lf_entry_view(out, e);
    return e ? LF_OK : no_such(name, diag);
}

enum lf_err lf_registry_view_id(struct lf_registry *r, uint64_t id, struct lf_adapter_view *out,
                                struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find_id(r, id);
    if (e)
        lf_entry_view(out, e);
    return e ? LF_OK : lf_fail(diag, LF_E_NOT_FOUND, "the adapter is gone");
}

enum lf_err lf_registry_list(struct lf_registry *r, struct lf_adapter_view **out, size_t *n,
                             struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&r->index);
    struct lf_adapter_view *list = malloc((r->n ? r->n : 1) * sizeof *list);
    if (!list)
        return lf_no_memory(diag, "the list of adapters");
    for (size_t i = 0; i < r->n; i++)
        lf_entry_view(&list[i], r->by_name[i]);
    *out = list;
    *n = r->n;
    return LF_OK;
}

const struct lf_base *lf_registry_base(struct lf_registry *r, uint64_t id)
{
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find_id(r, id);
    return lf_bases_of(r->bases, e ? e->record.base : "");
}

enum lf_err lf_registry_versions(struct lf_registry *r, const char *name, int32_t **out, size_t *n,
                                 struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    lf_lock_auto held = lf_lock(&r->index);
    const struct lf_entry *e = lf_index_find(r, name);
    int32_t *list = e ? malloc((e->n_versions ? e->n_versions : 1) * sizeof *list) : NULL;
    if (!e) {
        rc = no_such(name, diag);
    } else if (!list) {
        rc = lf_no_memory(diag, "the list of versions");
    } else {
        for (size_t i = 0; i < e->n_versions; i++)
            list[i] = e->versions[i].n;
        *out = list;
        *n = e->n_versions;
    }
    return rc;
}

enum lf_err lf_registry_path(struct lf_registry *r, const char *name, const struct lf_file_ref *ref,
                             char out[LF_PATH_MAX], struct lf_diag *diag)
{
    struct lf_adapter_view v;
    enum lf_err rc = lf_registry_view(r, name, &v, diag);
    if (rc != LF_OK)
        return rc;
    unsigned long long id = (unsigned long long)v.record.id;
    int n = (int)(ref->version > 0 ? ref->version : v.record.current);
    const char *file = NULL;
    for (size_t i = 0; i < LF_VERSION_FILES_N; i++)
        if (lf_version_files[i].kind == ref->kind)
            file = lf_version_files[i].name;
    if (ref->version == 0 && ref->kind < LF_FILE_PLAIN_N)
        return lf_registry_dir(r, v.record.id, lf_files[ref->kind].disk, out, diag);
    if (!file)
        return lf_fail(diag, LF_E_NOT_FOUND, "no file of that name has bytes of its own");
    if (ref->version == 0) /* half of an import, which waits for the other */
        rc = lf_registry_pathf(r, out, diag, "adapters/%llu/import/%s", id, file);
    else
        rc = lf_registry_pathf(r, out, diag, "adapters/%llu/restore/%d/%s", id, n, file);
    if (rc != LF_OK || lf_file_exists(out))
        return rc;
    if (n == 0)
        return lf_fail(diag, LF_E_NOT_FOUND, "%s has no version yet", name);
    return lf_registry_pathf(r, out, diag, "adapters/%llu/versions/%d/%s", id, n, file);
}

enum lf_err lf_registry_fits(struct lf_registry *r, const char *name, const struct lf_file_ref *ref,
                             struct lf_condition only, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], tag[LF_FILE_TAG];
    if (!only.fits)
        return LF_OK;
    bool there = lf_registry_path(r, name, ref, path, NULL) == LF_OK &&
                 lf_file_tag_at(tag, path, NULL) == LF_OK;
    return only.fits(only.arg, there ? tag : NULL)
               ? LF_OK
               : lf_fail(diag, LF_E_FAILED, "the file is another one by now");
}

/* Of the files that are replaced by others of their name. */
static bool is_pinned(const struct lf_file_ref *ref)
{
    return ref->version == 0 && ref->kind < LF_FILE_PLAIN_N;
}

enum lf_err lf_registry_file_open(struct lf_registry *r, const char *name,
                                  const struct lf_file_ref *ref, const char *tag, bool pieces,
                                  int *fd, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], now[LF_FILE_TAG];
    struct stat st;
    uint64_t id = 0;
    enum lf_err rc = lf_registry_id(r, name, &id, diag);
    int got =
        rc == LF_OK && tag && is_pinned(ref) ? lf_pins_find(&r->pins, id, ref->kind, tag) : -1;
    if (got < 0)
        rc = rc ?: lf_registry_path(r, name, ref, path, diag);
    if (rc == LF_OK && got < 0)
        got = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (rc == LF_OK && got < 0)
        rc = errno == ENOENT
                 ? lf_fail(diag, LF_E_NOT_FOUND, "%s has no %s", name, lf_files[ref->kind].name)
                 : lf_fail_errno(diag, errno, "%s", lf_files[ref->kind].name);
    if (rc != LF_OK)
        return rc;
    if (pieces && is_pinned(ref) && fstat(got, &st) == 0) {
        lf_file_tag(now, &st);
        lf_pins_keep(&r->pins, id, ref->kind, now, got);
    }
    *fd = got;
    return LF_OK;
}

void lf_registry_expire(struct lf_registry *r)
{
    lf_pins_expire(&r->pins);
    lf_parts_expire(&r->parts);
}

struct lf_parts *lf_registry_parts(struct lf_registry *r)
{
    return &r->parts;
}

uint64_t lf_registry_generation(struct lf_registry *r)
{
    lf_lock_auto held = lf_lock(&r->index);
    return r->generation;
}
