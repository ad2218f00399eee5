/* Snapshots in the hub's cache: looked for, and filled. */
#include "tools/hub_cache.h"

#include "core/buf.h"
#include "core/file.h"
#include "core/json.h"
#include "tools/bar.h"
#include "tools/hub.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMIT_BYTES 40

/* ---- Names ----------------------------------------------------------------------------------- */

struct cached {
    char repo[LF_PATH_MAX];     /* .../models--ORG--NAME */
    char revision[LF_NAME_MAX]; /* as asked for: "main", a tag, a commit */
};

static enum lf_err cache_dir(char out[LF_PATH_MAX], struct lf_diag *diag)
{
    static const struct {
        const char *variable, *below;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HUGGINGFACE_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HOME", "/.cache/huggingface/hub"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = getenv(places[i].variable);
        if (value && *value) {
            int n = snprintf(out, LF_PATH_MAX, "%s%s", value, places[i].below);
            return n < LF_PATH_MAX
                       ? LF_OK
                       : lf_fail(diag, LF_E_TOO_BIG, "%s is too long", places[i].variable);
        }
    }
    return lf_fail(diag, LF_E_NOT_FOUND, "no HOME, and no HF_HOME for the hub's cache");
}

/* "org/name" or "org/name@revision", and no path. */
static bool is_repository(const char *base)
{
    static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t org = strspn(base, ok), name = 0;
    if (org == 0 || base[0] == '.' || base[org] != '/')
        return false;
    name = strspn(base + org + 1, ok);
    const char *end = base + org + 1 + name;
    return name > 0 && base[org + 1] != '.' && (!*end || (*end == '@' && end[1]));
}

static enum lf_err cached_of(struct cached *out, const char *base, struct lf_diag *diag)
{
    char cache[LF_PATH_MAX];
    const char *slash = strchr(base, '/'), *at = strchr(base, '@');
    int name = at ? (int)(at - slash - 1) : (int)strlen(slash + 1);
    enum lf_err rc = cache_dir(cache, diag);
    if (rc != LF_OK)
        return rc;
    int n = snprintf(out->repo, sizeof out->repo, "%s/models--%.*s--%.*s", cache,
                     (int)(slash - base), base, name, slash + 1);
    int k = snprintf(out->revision, sizeof out->revision, "%s", at ? at + 1 : "main");
    if (n >= (int)sizeof out->repo || k >= (int)sizeof out->revision || strstr(out->revision, ".."))
        return lf_fail(diag, LF_E_INVALID, "%.100s: not a name of a repository", base);
    return LF_OK;
}

/* ---- Looking --------------------------------------------------------------------------------- */

static bool has_file(const char *dir, const char *name)
{
    char path[LF_PATH_MAX];
    return lf_path_join(path, dir, name, NULL) == LF_OK && lf_file_exists(path);
}

/* Every file that an index of shards names. */
static bool has_shards(const char *dir, const char *index)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    const char *tensor;
    json_t *file;
    if (lf_path_join(path, dir, index, NULL) != LF_OK || lf_json_load(&j, path, NULL) != LF_OK)
        return false;
    json_t *map = json_object_get(j, "weight_map");
    json_object_foreach(map, tensor, file)
        if (!json_is_string(file) || !has_file(dir, json_string_value(file)))
            return false;
    return json_object_size(map) > 0;
}

/* Config and weights: what other programs fetched may be a part. */
static bool is_whole(const char *dir)
{
    return has_file(dir, "config.json") &&
           (has_file(dir, "model.safetensors") || has_shards(dir, "model.safetensors.index.json"));
}

/* The snapshot's directory, if the revision is known here. */
static bool snapshot_of(char out[LF_PATH_MAX], const struct cached *c)
{
    char path[LF_PATH_MAX + LF_NAME_MAX + 8];
    lf_buf_auto commit = {.max = LF_NAME_MAX};
    snprintf(path, sizeof path, "%s/refs/%s", c->repo, c->revision);
    const char *id = c->revision;
    if (lf_file_exists(path) && lf_file_first_line(&commit, path, LF_NAME_MAX, NULL) == LF_OK &&
        commit.data)
        id = commit.data;
    int n = snprintf(out, LF_PATH_MAX, "%s/snapshots/%s", c->repo, id);
    return n < LF_PATH_MAX && !strchr(id, '/') && is_whole(out);
}

/* ---- Filling --------------------------------------------------------------------------------- */

/* A file's name among the blobs; "": the hub gave no digest, and the file stays where it is. */
static const char *digest_of(const struct lf_hub_file *f)
{
    return f->sha256[0] ? f->sha256 : f->blob;
}

/* Where a blob that another revision brought is there, the snapshot links to it. `blob` is relative
 * to the snapshot, of files without folders; others stay files. */
static void link_blob(const struct cached *c, const char *dir, const struct lf_hub_file *f)
{
    char path[LF_PATH_MAX], blob[LF_PATH_MAX + 80], target[96], temp[LF_PATH_MAX + 8];
    const char *digest = digest_of(f);
    if (!*digest || strchr(f->name, '/') || lf_path_join(path, dir, f->name, NULL) != LF_OK)
        return;
    snprintf(blob, sizeof blob, "%s/blobs/%s", c->repo, digest);
    snprintf(target, sizeof target, "../../blobs/%s", digest);
    snprintf(temp, sizeof temp, "%s.link", path);
    if (lf_file_exists(path) && !lf_file_exists(blob) && link(path, blob) != 0)
        return;
    if (!lf_file_exists(blob))
        return;
    unlink(temp);
    if (symlink(target, temp) == 0 && rename(temp, path) != 0)
        unlink(temp);
}

static enum lf_err write_ref(const struct cached *c, const char *commit, struct lf_diag *diag)
{
    char path[LF_PATH_MAX + LF_NAME_MAX + 8];
    snprintf(path, sizeof path, "%s/refs", c->repo);
    enum lf_err rc = lf_dir_make(path, diag);
    if (strlen(c->revision) == COMMIT_BYTES || strchr(c->revision, '/'))
        return rc; /* it is the commit, or a branch whose name has folders */
    snprintf(path, sizeof path, "%s/refs/%s", c->repo, c->revision);
    return rc ?: lf_file_write(path, commit, strlen(commit), diag);
}

static int show_progress(void *arg, int64_t done, int64_t total)
{
    lf_bar_update(arg, total > 0 ? (double)done / (double)total : 1, "pulling");
    return 0;
}

static enum lf_err fill(const struct cached *c, const struct lf_hub_repo *r, const char *dir,
                        const struct lf_hub_options *o, struct lf_diag *diag)
{
    char blobs[LF_PATH_MAX + 8];
    snprintf(blobs, sizeof blobs, "%s/blobs", c->repo);
    enum lf_err rc = lf_dir_make(blobs, diag) ?: lf_dir_make(dir, diag);
    for (size_t i = 0; i < r->n_files && rc == LF_OK; i++)
        if (lf_hub_wanted(r->files[i].name) && !has_file(dir, r->files[i].name) &&
            strcmp(r->files[i].name, "config.json") != 0)
            link_blob(c, dir, &r->files[i]);
    rc = rc ?: lf_hub_fetch(r, dir, o, diag);
    for (size_t i = 0; i < r->n_files && rc == LF_OK; i++)
        if (lf_hub_wanted(r->files[i].name))
            link_blob(c, dir, &r->files[i]);
    return rc ?: write_ref(c, r->revision, diag);
}

static enum lf_err pull(char out[LF_PATH_MAX], const struct cached *c, const char *base, bool quiet,
                        struct lf_diag *diag)
{
    struct lf_bar bar;
    struct lf_hub_repo repo;
    const struct lf_hub_options o = {.progress = show_progress, .progress_arg = &bar};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum lf_err rc = lf_hub_list(&repo, base, &o, diag);
    if (rc == LF_OK) {
        int n = snprintf(out, LF_PATH_MAX, "%s/snapshots/%s", c->repo, repo.revision);
        lf_bar_init(&bar, quiet);
        rc = n < LF_PATH_MAX ? fill(c, &repo, out, &o, diag)
                             : lf_fail(diag, LF_E_TOO_BIG, "%s: its path is too long", base);
        lf_bar_end(&bar);
        lf_hub_repo_free(&repo);
    }
    curl_global_cleanup();
    if (rc == LF_OK && !is_whole(out))
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "%s has no config.json and safetensors", base);
    return rc;
}

enum lf_err lf_hub_base(char out[LF_PATH_MAX], const char *base, bool quiet, struct lf_diag *diag)
{
    struct cached c;
    struct stat st;
    const char *offline = getenv("HF_HUB_OFFLINE");
    if (stat(base, &st) == 0 && S_ISREG(st.st_mode))
        return lf_fail(diag, LF_E_INVALID,
                       "%s is a file; a base is the directory of a checkpoint (`lorafs import "
                       "FILE.gguf --out DIR` makes one of a GGUF file)",
                       base);
    if (lf_file_exists(base) || !is_repository(base)) {
        int n = snprintf(out, LF_PATH_MAX, "%s", base);
        return n < LF_PATH_MAX ? LF_OK : lf_fail(diag, LF_E_INVALID, "the base's path is too long");
    }
    enum lf_err rc = cached_of(&c, base, diag);
    if (rc != LF_OK || snapshot_of(out, &c))
        return rc;
    if (offline && strcmp(offline, "1") == 0)
        return lf_fail(diag, LF_E_NOT_FOUND,
                       "%s is neither a directory nor in %s, and HF_HUB_OFFLINE is set", base,
                       c.repo);
    rc = pull(out, &c, base, quiet, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "no directory %s, and at the hub", base);
}
