/* What a crash may leave in an adapter's directory, and nothing needs: found here, for whoever
 * opens the registry and for fsck. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_BYTES 512 /* of a path below an adapter's directory: two names */

struct remains_walk {
    struct lf_registry *r;
    uint64_t id;
    const struct lf_job_record *jobs;
    size_t n_jobs;
    lf_remains_fn fn;
    void *arg;
    struct lf_diag *diag;
};

static enum lf_err found(const struct remains_walk *w, const char *part, const char *what,
                         bool aside)
{
    char where[LF_PATH_MAX];
    snprintf(where, sizeof where, "adapters/%llu/%s", (unsigned long long)w->id, part);
    return w->fn(w->arg, where, what, aside, w->diag);
}

static enum lf_err names_of(const struct remains_walk *w, struct lf_names *out, const char *part)
{
    char path[LF_PATH_MAX];
    return lf_registry_dir(w->r, w->id, part, path, w->diag) ?: lf_dir_names(out, path, w->diag);
}

/* It is open, or failed: a retry goes on from there. */
static bool is_needed(const struct remains_walk *w, const char *name)
{
    char *end;
    struct lf_job_record r;
    uint64_t id = strtoull(name, &end, 10);
    for (size_t i = 0; i < w->n_jobs && *end == '\0'; i++)
        if (w->jobs[i].id == id && w->jobs[i].adapter_id == w->id)
            return lf_job_state_open(w->jobs[i].progress.state);
    return *end == '\0' && lf_store_job_get(w->r->store, id, &r, NULL) == LF_OK &&
           r.adapter_id == w->id && r.progress.state == LF_JOB_FAILED;
}

static enum lf_err jobs_walk(const struct remains_walk *w)
{
    lf_names_auto names = {0};
    char part[PART_BYTES];
    enum lf_err rc = names_of(w, &names, "jobs");
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        snprintf(part, sizeof part, "jobs/%s", names.at[i]);
        if (!is_needed(w, names.at[i]))
            rc = found(w, part, "left over by a job", false);
    }
    return rc;
}

static bool has_file(const struct remains_walk *w, const char *version, const char *name)
{
    char part[PART_BYTES], path[LF_PATH_MAX];
    snprintf(part, sizeof part, "versions/%.*s/%s", LF_NAME_MAX, version, name);
    return lf_registry_dir(w->r, w->id, part, path, NULL) != LF_OK || lf_file_exists(path);
}

static enum lf_err version_walk(const struct remains_walk *w, const char *version)
{
    lf_names_auto names = {0};
    char part[PART_BYTES], dir[64];
    snprintf(dir, sizeof dir, "versions/%.32s", version);
    if (!has_file(w, version, LF_ADAPTER_CONFIG_NAME) ||
        !has_file(w, version, LF_ADAPTER_WEIGHTS_NAME))
        return found(w, dir, "half of a version", true);
    enum lf_err rc = names_of(w, &names, dir);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        snprintf(part, sizeof part, "%s/%s", dir, names.at[i]);
        if (lf_name_is_temporary(names.at[i]))
            rc = found(w, part, "a file that was being written", false);
    }
    return rc;
}

static enum lf_err versions_walk(const struct remains_walk *w)
{
    lf_names_auto names = {0};
    char part[PART_BYTES];
    enum lf_err rc = names_of(w, &names, "versions");
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        const char *name = names.at[i];
        snprintf(part, sizeof part, "versions/%s", name);
        if (lf_name_is_temporary(name))
            rc = found(w, part, "a version that was being written", false);
        else if (strspn(name, "0123456789") == strlen(name) && strlen(name) < 11)
            rc = version_walk(w, name);
    }
    return rc;
}

enum lf_err lf_registry_remains(struct lf_registry *r, uint64_t id,
                                const struct lf_job_record *jobs, size_t n_jobs, lf_remains_fn fn,
                                void *arg, struct lf_diag *diag)
{
    const struct remains_walk w = {r, id, jobs, n_jobs, fn, arg, diag};
    lf_names_auto names = {0};
    enum lf_err rc = names_of(&w, &names, NULL);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        const char *name = names.at[i];
        if (lf_name_is_temporary(name))
            rc = found(&w, name, "a file that was being written", false);
        else if (strcmp(name, "import") == 0 || strcmp(name, "restore") == 0)
            rc = found(&w, name, "files that waited for others", false);
        else if (strcmp(name, LF_TRASH_NOTE) == 0)
            rc = found(&w, name, "it came back from the trash", false);
    }
    return rc ?: jobs_walk(&w) ?: versions_walk(&w);
}

enum lf_err lf_registry_aside(struct lf_registry *r, const char *where, struct lf_diag *diag)
{
    char from[LF_PATH_MAX], to[LF_PATH_MAX], flat[LF_PATH_MAX];
    snprintf(flat, sizeof flat, "%s", where);
    for (char *p = flat; *p; p++)
        if (*p == '/')
            *p = '-';
    enum lf_err rc = lf_registry_pathf(r, from, diag, "%s", where);
    return rc ?: lf_registry_trash_path(r, to, flat, diag) ?: lf_file_move(from, to, diag);
}

enum lf_err lf_registry_drop(struct lf_registry *r, const char *where, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    return lf_registry_pathf(r, path, diag, "%s", where) ?: lf_dir_remove(path, diag);
}

/* What cannot be taken away now is tried again at the next start. */
static enum lf_err clear(void *arg, const char *where, const char *what, bool aside,
                         struct lf_diag *diag)
{
    struct lf_registry *r = arg;
    struct lf_diag why = {""};
    (void)diag;
    enum lf_err rc = aside ? lf_registry_aside(r, where, &why) : lf_registry_drop(r, where, &why);
    if (rc == LF_OK)
        lf_log(aside ? LF_LOG_WARN : LF_LOG_INFO, "registry", "%s: %s: %s", where, what,
               aside ? "moved to the trash" : "removed");
    else
        lf_log(LF_LOG_WARN, "registry", "%s: %s, and stays: %s", where, what, why.text);
    return LF_OK;
}

enum lf_err lf_registry_clear(struct lf_registry *r, uint64_t id, const struct lf_job_record *jobs,
                              size_t n_jobs, struct lf_diag *diag)
{
    return lf_registry_remains(r, id, jobs, n_jobs, clear, r, diag);
}
