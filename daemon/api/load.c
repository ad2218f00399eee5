/* vLLM's routes for adapters that lie on this machine already; only with --load-root, or with
 * --allow-load for all of it, as they make the daemon read where a client points. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "daemon/team.h"
#include "daemon/warm.h"

#include "core/file.h"
#include "core/json.h"
#include "names/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum lf_err allowed(const struct lf_http *q, struct lf_diag *diag)
{
    if (q->daemon->options.allow_load || q->daemon->options.load_root)
        return LF_OK;
    return lf_fail(diag, LF_E_READ_ONLY, "the daemon was started without --load-root");
}

static void reply_text(struct lf_http *q, const char *what, const char *name)
{
    lf_buf_auto b = {0};
    lf_buf_printf(&b, "Success: LoRA adapter '%s' %s successfully.", name, what);
    lf_http_reply(q, 200, "text/plain; charset=utf-8", &b);
}

/* ---- Files below the root -------------------------------------------------------------------- */

/* Beneath `dir` (a descriptor): no link and no ".." leads out of it. */
static int open_beneath(int dir, const char *path, uint64_t flags, bool anywhere)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_NO_MAGICLINKS | (anywhere ? 0 : RESOLVE_BENEATH)};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static enum lf_err why_not(const char *path, struct lf_diag *diag)
{
    if (errno == EXDEV || errno == ELOOP)
        return lf_fail(diag, LF_E_READ_ONLY, "\"lora_path\" %.300s leads out of --load-root", path);
    if (errno == ENOTDIR)
        return lf_fail(diag, LF_E_INVALID,
                       "\"lora_path\" %.300s is no directory: it is one with adapter_config.json "
                       "and adapter_model.safetensors in it",
                       path);
    return lf_fail(diag, errno == ENOENT ? LF_E_NOT_FOUND : LF_E_INVALID,
                   "\"lora_path\" %.300s: %s", path, strerror(errno));
}

/* The part of an absolute path below the root; NULL: it is elsewhere. */
static const char *below(const char *root, const char *path)
{
    size_t n = strlen(root);
    while (n > 0 && root[n - 1] == '/')
        n--;
    if (strncmp(path, root, n) != 0 || path[n] != '/')
        return NULL;
    path += n + strspn(path + n, "/");
    return *path ? path : ".";
}

/* A directory of ours with links to the open files, so that what is read is what was looked at. */
struct loan {
    char dir[LF_PATH_MAX];
    int fd[2];
};

static const char *const loaned[] = {LF_ADAPTER_CONFIG_NAME, LF_ADAPTER_WEIGHTS_NAME};

static void loan_end(struct loan *l)
{
    char path[LF_PATH_MAX];
    for (int i = 0; i < 2; i++) {
        if (l->fd[i] >= 0)
            close(l->fd[i]);
        if (l->dir[0] && lf_path_join(path, l->dir, loaned[i], NULL) == LF_OK)
            unlink(path);
    }
    if (l->dir[0])
        rmdir(l->dir);
}

static enum lf_err loan_file(struct loan *l, int i, int root, const char *rel, bool anywhere,
                             struct lf_diag *diag)
{
    char path[LF_PATH_MAX], target[64];
    struct stat st;
    enum lf_err rc = lf_path_join(path, rel, loaned[i], diag);
    if (rc != LF_OK)
        return rc;
    l->fd[i] = open_beneath(root, path, O_RDONLY | O_NONBLOCK, anywhere);
    if (l->fd[i] < 0)
        return why_not(path, diag);
    if (fstat(l->fd[i], &st) != 0 || !S_ISREG(st.st_mode))
        return lf_fail(diag, LF_E_INVALID, "\"lora_path\" %.300s is no regular file", path);
    snprintf(target, sizeof target, "/proc/self/fd/%d", l->fd[i]);
    rc = lf_path_join(path, l->dir, loaned[i], diag);
    if (rc == LF_OK && symlink(target, path) != 0)
        rc = lf_fail_errno(diag, errno, "%s", path);
    return rc;
}

static enum lf_err loan_begin(struct loan *l, const struct lf_daemon *d, const char *path,
                              struct lf_diag *diag)
{
    const char *base = d->options.load_root ? d->options.load_root : "/";
    bool anywhere = !d->options.load_root;
    const char *rel = below(base, path);
    *l = (struct loan){.fd = {-1, -1}};
    if (!rel)
        return lf_fail(diag, LF_E_READ_ONLY, "\"lora_path\" %.300s is not below --load-root", path);
    int root = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int dir = root < 0 ? -1 : open_beneath(root, rel, O_PATH | O_DIRECTORY, anywhere);
    enum lf_err rc = dir < 0 ? why_not(path, diag) : LF_OK;
    rc = rc ?: lf_path_join(l->dir, d->options.data_dir, "incoming/load-XXXXXX", diag);
    if (rc == LF_OK && !mkdtemp(l->dir)) {
        rc = lf_fail_errno(diag, errno, "%s", l->dir);
        l->dir[0] = '\0';
    }
    for (int i = 0; i < 2 && rc == LF_OK; i++)
        rc = loan_file(l, i, root, rel, anywhere, diag);
    if (dir >= 0)
        close(dir);
    if (root >= 0)
        close(root);
    return rc;
}

/* The client's path where the reason has that of the loan. */
static void name_dir(struct lf_diag *diag, const char *dir, const char *path)
{
    struct lf_diag was = *diag;
    char *at = dir[0] ? strstr(was.text, dir) : NULL;
    if (at)
        snprintf(diag->text, sizeof diag->text, "%.*s%.200s%s", (int)(at - was.text), was.text,
                 path, at + strlen(dir));
}

/* ---- Routes ---------------------------------------------------------------------------------- */

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
    struct loan loan = {.fd = {-1, -1}};
    rc = rc ?: loan_begin(&loan, q->daemon, path, diag);
    rc = rc ?: lf_registry_import(q->daemon->registry, name, loan.dir, &version, diag);
    if (rc != LF_OK)
        name_dir(diag, loan.dir, path);
    loan_end(&loan);
    if (rc == LF_OK) {
        lf_jobs_score(q->daemon->jobs, name);
        lf_warm_pinned(q->daemon);
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
        rc = lf_team_unload(lf_team_for(q->daemon, v.record.id), v.record.id, diag);
    if (rc == LF_OK)
        reply_text(q, "removed", name);
    return rc;
}
