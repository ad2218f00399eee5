/* A run of fsck: the store, then the adapters' directories, then the jobs, then the rest. */
#include "fsck/inside.h"

#include "core/file.h"
#include "core/sums.h"
#include "meta/documents.h"
#include "model/safetensors.h"
#include "peers/publication.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_FILE "state/data.mdb"

/* ---- The store ------------------------------------------------------------------------------- */

/* A store that is looked at, and not mended, is a copy: opening one writes it anew. */
struct scratch {
    char dir[256]; /* "": none */
    int lock_fd;
};

static enum lf_err scratch_make(struct scratch *s, const char *state, struct lf_diag *diag)
{
    char from[LF_PATH_MAX], to[LF_PATH_MAX];
    s->lock_fd = -1;
    enum lf_err rc = lf_file_exists(state) ? lf_store_lock(&s->lock_fd, state, diag) : LF_OK;
    if (rc != LF_OK)
        return rc;
    const char *tmp = getenv("TMPDIR");
    tmp = tmp && *tmp ? tmp : "/tmp";
    if (snprintf(s->dir, sizeof s->dir, "%s/lorafs-fsck-XXXXXX", tmp) >= (int)sizeof s->dir ||
        !mkdtemp(s->dir)) {
        s->dir[0] = '\0';
        return lf_fail_errno(diag, errno, "%s: a place for a copy of the store", tmp);
    }
    rc = lf_path_join(from, state, "data.mdb", diag) ?: lf_path_join(to, s->dir, "data.mdb", diag);
    return rc != LF_OK || !lf_file_exists(from) ? rc : lf_file_copy(from, to, NULL, diag);
}

static void scratch_remove(struct scratch *s)
{
    if (s->dir[0])
        (void)!lf_dir_remove(s->dir, NULL);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}

/* Which file it is: a damaged store is renamed to this, and the name stays. */
static uint64_t put_aside(const char *state)
{
    char path[LF_PATH_MAX];
    struct stat st;
    bool there =
        lf_path_join(path, state, "data.mdb.damaged", NULL) == LF_OK && stat(path, &st) == 0;
    return there ? (uint64_t)st.st_ino : 0;
}

static bool has_adapters(struct lf_fsck *f)
{
    char path[LF_PATH_MAX];
    lf_names_auto names = {0};
    return lf_registry_pathf(&f->r, path, NULL, "adapters") == LF_OK &&
           lf_dir_names(&names, path, NULL) == LF_OK && names.n > 0;
}

static enum lf_err store_open(struct lf_fsck *f, struct scratch *s, struct lf_diag *diag)
{
    char state[LF_PATH_MAX], file[LF_PATH_MAX];
    enum lf_err rc = lf_registry_pathf(&f->r, state, diag, "state");
    rc = rc ?: lf_path_join(file, state, "data.mdb", diag);
    bool missing = rc == LF_OK && lf_file_size(file) <= 0 && has_adapters(f);
    if (rc == LF_OK && !f->repair)
        rc = scratch_make(s, state, diag);
    const char *dir = f->repair ? state : s->dir;
    uint64_t before = put_aside(dir);
    rc = rc ?: lf_store_open(&f->r.store, dir, diag);
    if (rc == LF_OK && missing)
        lf_fsck_tell(f, STORE_FILE, "the store is lost", LF_OK, "made again from the files", NULL);
    else if (rc == LF_OK && put_aside(dir) != before)
        lf_fsck_tell(f, STORE_FILE, "the store is damaged", LF_OK,
                     "kept as data.mdb.damaged, and made again from the files", NULL);
    return rc;
}

static void store_mended(void *arg, const char *what, const char *why, const char *how)
{
    char where[LF_PATH_MAX];
    snprintf(where, sizeof where, "state: %s", what);
    lf_fsck_tell(arg, where, why, LF_OK, how, NULL);
}

/* ---- Directories without a record ------------------------------------------------------------ */

static bool has_record(const struct lf_adapter_record *list, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].id == id)
            return true;
    return false;
}

/* What the daemon would do at its start. */
static enum lf_err stray(struct lf_fsck *f, uint64_t id, const char *where, struct lf_diag *diag)
{
    char what[LF_NAME_MAX + 64];
    struct lf_adapter_record made;
    struct lf_diag why = {""};
    bool removed = false;
    enum lf_err rc = lf_store_adapter_removed(f->r.store, id, &removed, diag);
    if (rc != LF_OK)
        return rc;
    if (removed) {
        lf_fsck_take(f, where, "it was removed, and is still there", true);
        return LF_OK;
    }
    rc = lf_registry_adopt(&f->r, id, &made, &why);
    if (rc == LF_E_NOT_FOUND) {
        lf_fsck_take(f, where, "half of a new adapter", true);
        return LF_OK;
    }
    snprintf(what, sizeof what, "the store has no record of it (%s)",
             rc == LF_OK ? made.name : "without a name");
    lf_fsck_tell(f, where, what, rc, "made again from its files", &why);
    return LF_OK;
}

static enum lf_err strays(struct lf_fsck *f, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], where[LF_PATH_MAX], *end;
    lf_names_auto names = {0};
    struct lf_adapter_record *list = NULL;
    size_t n = 0;
    enum lf_err rc = lf_registry_pathf(&f->r, path, diag, "adapters");
    rc = rc ?: lf_dir_names(&names, path, diag);
    rc = rc ?: lf_store_adapter_list(f->r.store, &list, &n, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        uint64_t id = strtoull(names.at[i], &end, 10);
        snprintf(where, sizeof where, "adapters/%s", names.at[i]);
        if (id == 0 || *end)
            lf_fsck_take(f, where, "it is no adapter's", true);
        else if (!has_record(list, n, id))
            rc = stray(f, id, where, diag);
    }
    free(list);
    return rc;
}

/* ---- The rest -------------------------------------------------------------------------------- */

/* Calls what(path, name), which says what is wrong with a file, for those of DATA/<folder>. */
static enum lf_err folder_check(struct lf_fsck *f, const char *folder,
                                const char *(*fault)(const char *path, const char *name),
                                struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX], where[LF_PATH_MAX];
    lf_names_auto names = {0};
    enum lf_err rc = lf_registry_pathf(&f->r, dir, diag, "%s", folder);
    rc = rc ?: lf_dir_names(&names, dir, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        rc = lf_path_join(path, dir, names.at[i], diag);
        const char *what = rc == LF_OK ? fault(path, names.at[i]) : NULL;
        snprintf(where, sizeof where, "%s/%s", folder, names.at[i]);
        if (what)
            lf_fsck_take(f, where, what, false);
    }
    return rc;
}

static const char *incoming_fault(const char *path, const char *name)
{
    (void)path;
    (void)name;
    return "a file that was being received";
}

static const char *top_fault(const char *path, const char *name)
{
    (void)path;
    return lf_name_is_temporary(name) ? "left over by a backup" : NULL;
}

static const char *cache_fault(const char *path, const char *name)
{
    struct lf_tensors *t = NULL;
    if (lf_name_is_temporary(name))
        return "a file that was being written";
    const char *end = strrchr(name, '.');
    if (!end || strcmp(end, ".safetensors") != 0) /* what is made again where it is damaged */
        return NULL;
    bool bad = lf_tensors_open(&t, path, LF_SAFETENSORS_HEADER_MAX, NULL) != LF_OK;
    lf_tensors_free(t);
    return bad ? "a copy of a base that cannot be read" : NULL;
}

static const char *current_fault(const char *path, const char *name)
{
    lf_buf_auto text = {0};
    char adapter[LF_NAME_MAX + 1];
    struct lf_published p = {0};
    const char *end = strrchr(name, '.');
    snprintf(adapter, sizeof adapter, "%.*s", (int)(end ? end - name : 0), name);
    bool good = lf_file_read(&text, path, LF_SETTINGS_BYTES_MAX, NULL) == LF_OK &&
                lf_published_parse(&p, adapter, lf_buf_str(&text), text.len, NULL) == LF_OK;
    lf_published_free(&p);
    return good ? NULL : "what is published cannot be read";
}

static const char *version_fault(const char *path, const char *name)
{
    char hex[LF_SHA256_HEX];
    bool good = lf_sums_digest(hex, path, NULL) == LF_OK && strcmp(hex, name) == 0 &&
                lf_sums_check(path, NULL) == LF_OK;
    return good ? NULL : "it is not what its digest says";
}

static enum lf_err documents_check(struct lf_fsck *f, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], where[LF_PATH_MAX];
    lf_names_auto names = {0};
    enum lf_err rc = lf_registry_pathf(&f->r, dir, diag, "documents");
    rc = rc ?: lf_dir_names(&names, dir, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        bool aside;
        const char *what = lf_document_fault(dir, names.at[i], &aside);
        snprintf(where, sizeof where, "documents/%s", names.at[i]);
        if (what)
            lf_fsck_take(f, where, what, aside);
    }
    return rc;
}

static enum lf_err adapters(struct lf_fsck *f, struct lf_diag *diag)
{
    struct lf_adapter_record *list = NULL;
    size_t n = 0;
    enum lf_err rc = lf_store_adapter_list(f->r.store, &list, &n, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        rc = lf_fsck_adapter(f, &list[i], diag);
    free(list);
    return rc;
}

static enum lf_err folders(struct lf_fsck *f, struct lf_diag *diag)
{
    static const char *const needed[] = {"adapters", "trash", "incoming"};
    char path[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < 3 && rc == LF_OK && f->repair; i++)
        rc = lf_registry_pathf(&f->r, path, diag, "%s", needed[i]) ?: lf_dir_make(path, diag);
    return rc;
}

static enum lf_err run(struct lf_fsck *f, struct scratch *s, struct lf_diag *diag)
{
    char adapters_dir[LF_PATH_MAX], state[LF_PATH_MAX];
    enum lf_err rc = lf_registry_pathf(&f->r, adapters_dir, diag, "adapters");
    rc = rc ?: lf_registry_pathf(&f->r, state, diag, "state");
    if (rc == LF_OK && !lf_file_exists(adapters_dir) && !lf_file_exists(state))
        return lf_fail(diag, LF_E_NOT_FOUND, "%s: no data directory of lorafs", f->r.data_dir);
    rc = rc ?: store_open(f, s, diag) ?: folders(f, diag) ?: strays(f, diag);
    rc = rc ?: lf_store_mend(f->r.store, store_mended, f, diag);
    rc = rc ?: lf_store_job_list(f->r.store, true, &f->jobs, &f->n_jobs, diag);
    rc = rc ?: lf_fsck_jobs(f, diag) ?: adapters(f, diag);
    rc = rc ?: folder_check(f, "incoming", incoming_fault, diag);
    rc = rc ?: documents_check(f, diag) ?: folder_check(f, ".", top_fault, diag);
    rc = rc ?: folder_check(f, "shared/current", current_fault, diag);
    rc = rc ?: folder_check(f, "shared/versions", version_fault, diag);
    return rc ?: folder_check(f, "cache", cache_fault, diag);
}

enum lf_err lf_fsck_run(const char *data_dir, bool repair, lf_fsck_fn say, void *arg,
                        struct lf_fsck_counts *out, struct lf_diag *diag)
{
    struct scratch s = {.lock_fd = -1};
    struct lf_fsck *f = calloc(1, sizeof *f);
    if (!f)
        return lf_no_memory(diag, "fsck");
    f->repair = repair;
    f->say = say;
    f->arg = arg;
    enum lf_err rc = LF_OK;
    if (snprintf(f->r.data_dir, sizeof f->r.data_dir, "%s", data_dir) >= (int)sizeof f->r.data_dir)
        rc = lf_fail(diag, LF_E_INVALID, "%s: path too long", data_dir);
    rc = rc ?: run(f, &s, diag);
    lf_store_close(f->r.store);
    scratch_remove(&s);
    *out = f->n;
    free(f->jobs);
    free(f);
    return rc;
}
