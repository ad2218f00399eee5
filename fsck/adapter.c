/* An adapter: its directory, what is in it, and whether its record agrees. */
#include "fsck/inside.h"

#include "core/file.h"
#include "core/json.h"
#include "core/sums.h"
#include "model/safetensors.h"
#include "trainer/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WHERE_BYTES 512 /* of a path below DATA */

/* The kind of a file that stands in an adapter's directory; LF_FILE_N: none has the name. */
static enum lf_file_kind kind_of(const char *name)
{
    for (int k = 0; k < LF_FILE_PLAIN_N; k++)
        if (strcmp(lf_files[k].disk, name) == 0)
            return (enum lf_file_kind)k;
    return LF_FILE_N;
}

/* ---- Versions -------------------------------------------------------------------------------- */

/* Whether both of PEFT's files can be read at all. */
static enum lf_err weights_read(const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *config = NULL;
    struct lf_tensors *t = NULL;
    enum lf_err rc = lf_path_join(path, dir, LF_ADAPTER_CONFIG_NAME, diag);
    rc = rc ?: lf_json_load(&config, path, diag);
    rc = rc ?: lf_path_join(path, dir, LF_ADAPTER_WEIGHTS_NAME, diag);
    rc = rc ?: lf_tensors_open(&t, path, LF_ADAPTER_HEADER_MAX, diag);
    lf_tensors_free(t);
    return rc;
}

/* What stands beside the weights. */
static void beside_check(struct lf_fsck *f, const char *where, const char *dir)
{
    char part[WHERE_BYTES + 64], path[LF_PATH_MAX];
    struct lf_ask ask = {0};
    for (size_t i = 2; i < LF_VERSION_FILES_N; i++) {
        snprintf(part, sizeof part, "%s/%s", where, lf_version_files[i].name);
        if (lf_registry_pathf(&f->r, path, NULL, "%s", part) == LF_OK && lf_file_exists(path))
            lf_fsck_file(f, part, lf_version_files[i].kind);
    }
    snprintf(part, sizeof part, "%s/form", where);
    if (lf_ask_read(&ask, dir, NULL) != LF_OK &&
        lf_registry_pathf(&f->r, path, NULL, "%s", part) == LF_OK && lf_file_exists(path))
        lf_fsck_take(f, part, "it cannot be read", true);
    lf_ask_free(&ask);
}

static enum lf_err version_check(struct lf_fsck *f, const char *where, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX], sums[WHERE_BYTES + 64];
    struct lf_diag why = {""};
    enum lf_err rc = lf_registry_pathf(&f->r, dir, diag, "%s", where);
    if (rc != LF_OK)
        return rc;
    f->n.versions++;
    enum lf_err sealed = lf_sums_check(dir, &why);
    struct lf_diag bad = why;
    if (sealed == LF_E_DAMAGED || weights_read(dir, &bad) != LF_OK) {
        lf_fsck_take(f, where, bad.text, true);
        return LF_OK;
    }
    beside_check(f, where, dir);
    snprintf(sums, sizeof sums, "%s/" LF_SUMS_NAME, where);
    if (sealed != LF_OK)
        lf_fsck_tell(f, sums, why.text, f->repair ? lf_version_seal(dir, &why) : LF_OK,
                     "written anew", &why);
    rc = lf_path_join(path, dir, LF_SUMS_NAME, diag);
    if (rc == LF_OK && f->repair && !lf_file_exists(path)) /* made before there were digests */
        rc = lf_version_seal(dir, diag);
    return rc;
}

static bool is_half(struct lf_fsck *f, const char *where)
{
    char path[LF_PATH_MAX];
    for (size_t i = 0; i < 2; i++)
        if (lf_registry_pathf(&f->r, path, NULL, "%s/%s", where, lf_version_files[i].name) ==
                LF_OK &&
            !lf_file_exists(path))
            return true;
    return false;
}

static enum lf_err versions_check(struct lf_fsck *f, uint64_t id, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], where[WHERE_BYTES], *end;
    lf_names_auto names = {0};
    enum lf_err rc = lf_registry_dir(&f->r, id, "versions", path, diag);
    rc = rc ?: lf_dir_names(&names, path, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        const char *name = names.at[i];
        long n = strtol(name, &end, 10);
        snprintf(where, sizeof where, "adapters/%llu/versions/%.255s", (unsigned long long)id,
                 name);
        if (lf_name_is_temporary(name) || is_half(f, where))
            continue; /* told already */
        if (n < 1 || n > INT32_MAX || *end || name[0] == '0')
            lf_fsck_take(f, where, "it is no version", true);
        else
            rc = version_check(f, where, diag);
    }
    return rc;
}

/* ---- The directory --------------------------------------------------------------------------- */

static enum lf_err remains(void *arg, const char *where, const char *what, bool aside,
                           struct lf_diag *diag)
{
    (void)diag;
    lf_fsck_take(arg, where, what, aside);
    return LF_OK;
}

static bool is_folder(struct lf_fsck *f, const char *where)
{
    char path[LF_PATH_MAX];
    struct stat st;
    return lf_registry_pathf(&f->r, path, NULL, "%s", where) != LF_OK || lstat(path, &st) != 0 ||
           S_ISDIR(st.st_mode);
}

static void entry_check(struct lf_fsck *f, uint64_t id, const char *name)
{
    static const char *const folders[] = {"versions", "jobs", "import", "restore"};
    char where[LF_PATH_MAX];
    enum lf_file_kind kind = kind_of(name);
    snprintf(where, sizeof where, "adapters/%llu/%s", (unsigned long long)id, name);
    for (size_t i = 0; i < 4; i++)
        if (strcmp(name, folders[i]) == 0) {
            if (!is_folder(f, where))
                lf_fsck_take(f, where, "it is no directory", true);
            return;
        }
    if (kind != LF_FILE_N)
        lf_fsck_file(f, where, kind);
    else if (strcmp(name, LF_IDENTITY_FILE) != 0 && strcmp(name, LF_TRASH_NOTE) != 0 &&
             !lf_name_is_temporary(name)) /* some are left over: remains.c */
        lf_fsck_take(f, where, "it is none of an adapter's files", true);
}

static enum lf_err entries_check(struct lf_fsck *f, uint64_t id, const char *dir,
                                 struct lf_diag *diag)
{
    lf_names_auto names = {0};
    enum lf_err rc = lf_dir_names(&names, dir, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++)
        entry_check(f, id, names.at[i]);
    return rc;
}

static void identity_check(struct lf_fsck *f, const struct lf_adapter_record *record,
                           const char *dir)
{
    char path[LF_PATH_MAX], where[LF_PATH_MAX];
    struct lf_diag why = {""};
    json_auto_t *j = NULL;
    bool well = lf_path_join(path, dir, LF_IDENTITY_FILE, NULL) == LF_OK &&
                lf_json_load(&j, path, NULL) == LF_OK &&
                strcmp(lf_json_text_of(j, "name"), record->name) == 0 &&
                strcmp(lf_json_text_of(j, "base"), record->base) == 0;
    snprintf(where, sizeof where, "adapters/%llu/" LF_IDENTITY_FILE,
             (unsigned long long)record->id);
    if (!well)
        lf_fsck_tell(f, where, "it does not say what the store says",
                     f->repair ? lf_registry_identity(&f->r, record, &why) : LF_OK, "written anew",
                     &why);
}

/* The record, once the versions that are damaged are gone. */
static enum lf_err record_check(struct lf_fsck *f, struct lf_adapter_record *record,
                                const char *dir, struct lf_diag *diag)
{
    char where[64], what[128];
    struct lf_entry e = {.record = *record};
    bool changed = false;
    enum lf_err rc = lf_entry_scan(&e, dir, diag);
    rc = rc ?: lf_registry_fit(&f->r, &e, &changed, diag);
    snprintf(where, sizeof where, "adapters/%llu", (unsigned long long)record->id);
    if (rc == LF_OK && changed && record->current > 0 && e.record.current != record->current) {
        snprintf(what, sizeof what, "version %d of %s is served, and is not there",
                 (int)record->current, record->name);
        lf_fsck_tell(f, where, what, LF_OK,
                     e.record.current ? "the newest that is there is served" : "none is served",
                     NULL);
    } else if (rc == LF_OK && changed) {
        snprintf(what, sizeof what, "%s has versions that the store does not know of",
                 record->name);
        lf_fsck_tell(f, where, what, LF_OK, "taken up", NULL);
    }
    free(e.versions);
    free(e.restored);
    return rc;
}

enum lf_err lf_fsck_adapter(struct lf_fsck *f, struct lf_adapter_record *record,
                            struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], where[64], what[LF_NAME_MAX + 64];
    struct lf_diag why = {""};
    enum lf_err rc = lf_registry_dir(&f->r, record->id, NULL, dir, diag);
    if (rc != LF_OK)
        return rc;
    f->n.adapters++;
    snprintf(where, sizeof where, "adapters/%llu", (unsigned long long)record->id);
    if (!lf_file_exists(dir)) {
        snprintf(what, sizeof what, "the directory of %s is lost", record->name);
        lf_fsck_tell(f, where, what, f->repair ? lf_dir_make(dir, &why) : LF_OK,
                     "an empty one made", &why);
        if (!f->repair || why.text[0])
            return LF_OK;
    }
    rc = lf_registry_remains(&f->r, record->id, f->jobs, f->n_jobs, remains, f, diag);
    rc = rc ?: entries_check(f, record->id, dir, diag);
    rc = rc ?: versions_check(f, record->id, diag);
    identity_check(f, record, dir);
    return rc ?: record_check(f, record, dir, diag);
}
