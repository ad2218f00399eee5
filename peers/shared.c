/* The directory that daemons share. */
#include "peers/publication.h"

#include "core/json.h"
#include "core/sums.h"
#include "peers/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".json"
#define COMING ".coming-" /* in versions/: what is on its way in */
#define COMING_SECONDS 86400

const char *const lf_shared_files[] = {"adapter_config.json", "adapter_model.safetensors",
                                       LF_SUMS_NAME, NULL};

/* DIR/<folder>/<name>. */
static enum lf_err below(char out[LF_PATH_MAX], const char *dir, const char *folder,
                         const char *name, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    return lf_path_join(path, dir, folder, diag) ?: lf_path_join(out, path, name, diag);
}

/* ---- Versions on their way in ---------------------------------------------------------------- */

static void leftovers_clear(const char *versions)
{
    char path[LF_PATH_MAX];
    struct stat st;
    lf_names_auto names = {0};
    if (lf_dir_names(&names, versions, NULL) != LF_OK)
        return;
    for (size_t i = 0; i < names.n; i++)
        if (strncmp(names.at[i], COMING, strlen(COMING)) == 0 &&
            lf_path_join(path, versions, names.at[i], NULL) == LF_OK && stat(path, &st) == 0 &&
            st.st_mtime < time(NULL) - COMING_SECONDS)
            (void)!lf_dir_remove(path, NULL);
}

enum lf_err lf_shared_open(const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, dir, "current", diag) ?: lf_dir_make(path, diag);
    rc = rc ?: lf_path_join(path, dir, "gone", diag) ?: lf_dir_make(path, diag);
    rc = rc ?: lf_path_join(path, dir, "versions", diag) ?: lf_dir_make(path, diag);
    if (rc == LF_OK)
        leftovers_clear(path);
    return rc;
}

/* ---- Which version is current ---------------------------------------------------------------- */

enum lf_err lf_shared_path(char out[LF_PATH_MAX], const char *dir, const char *name,
                           struct lf_diag *diag)
{
    char file[LF_NAME_MAX + sizeof SUFFIX];
    if (!lf_name_ok(name))
        return lf_fail(diag, LF_E_NOT_FOUND, "\"%.80s\" cannot be a name", name);
    snprintf(file, sizeof file, "%s" SUFFIX, name);
    return below(out, dir, "current", file, diag);
}

enum lf_err lf_shared_names(struct lf_names *out, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    size_t kept = 0, tail = strlen(SUFFIX);
    enum lf_err rc = lf_path_join(path, dir, "current", diag) ?: lf_dir_names(out, path, diag);
    for (size_t i = 0; rc == LF_OK && i < out->n; i++) {
        char *name = out->at[i];
        size_t n = strlen(name);
        bool is_one = n > tail && strcmp(name + n - tail, SUFFIX) == 0;
        if (is_one)
            name[n - tail] = '\0';
        if (is_one && lf_name_ok(name))
            out->at[kept++] = name;
        else
            free(name);
    }
    if (rc == LF_OK)
        out->n = kept;
    return rc;
}

enum lf_err lf_shared_read(struct lf_published *out, const char *dir, const char *name,
                           struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    enum lf_err rc = lf_shared_path(path, dir, name, diag);
    rc = rc ?: lf_file_read(&text, path, LF_PUBLICATION_BYTES_MAX, diag);
    return rc ?: lf_published_parse(out, name, lf_buf_str(&text), text.len, diag);
}

enum lf_err lf_shared_write(const char *dir, const struct lf_published *p, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_shared_path(path, dir, p->name, diag);
    return rc ?: lf_json_write(path, lf_published_json(p), JSON_COMPACT, diag);
}

/* ---- Their files ----------------------------------------------------------------------------- */

static bool is_in(const char *dir, const char *folder, const char *sha256)
{
    char path[LF_PATH_MAX];
    return lf_is_sha256(sha256) && below(path, dir, folder, sha256, NULL) == LF_OK &&
           access(path, F_OK) == 0;
}

bool lf_shared_has(const char *dir, const char *sha256)
{
    return is_in(dir, "versions", sha256);
}

bool lf_shared_had(const char *dir, const char *sha256)
{
    return lf_shared_has(dir, sha256) || is_in(dir, "gone", sha256);
}

enum lf_err lf_shared_file(char out[LF_PATH_MAX], const char *dir, const char *sha256,
                           const char *file, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (!lf_is_sha256(sha256))
        return lf_fail(diag, LF_E_INVALID, "\"%.80s\" is no digest", sha256);
    return below(path, dir, "versions", sha256, diag) ?: lf_path_join(out, path, file, diag);
}

/* linked: a second name will do, where the file system is the same. */
static enum lf_err copy_files(const char *from, const char *to, bool linked, struct lf_diag *diag)
{
    char source[LF_PATH_MAX], target[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    for (int i = 0; lf_shared_files[i] && rc == LF_OK; i++) {
        rc = lf_path_join(source, from, lf_shared_files[i], diag);
        rc = rc ?: lf_path_join(target, to, lf_shared_files[i], diag);
        if (rc == LF_OK && (!linked || link(source, target) != 0))
            rc = lf_file_copy(source, target, NULL, diag);
    }
    return rc;
}

enum lf_err lf_shared_fill(void *arg, const char *to, struct lf_diag *diag)
{
    return copy_files(arg, to, true, diag);
}

/* The files in a directory are those of this digest. */
static enum lf_err check_files(const char *dir, const char *sha256, struct lf_diag *diag)
{
    char hex[LF_SHA256_HEX];
    enum lf_err rc = lf_sums_digest(hex, dir, diag);
    if (rc == LF_E_INVALID || (rc == LF_OK && strcmp(hex, sha256) != 0))
        return lf_fail(diag, LF_E_DAMAGED,
                       "version %.12s...: its " LF_SUMS_NAME " is not what was published", sha256);
    rc = rc ?: lf_sums_check(dir, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "version %.12s...", sha256);
}

enum lf_err lf_shared_put(const char *dir, const char *sha256, lf_shared_fill_fn fill, void *arg,
                          struct lf_diag *diag)
{
    char versions[LF_PATH_MAX], coming[LF_PATH_MAX], path[LF_PATH_MAX];
    if (!lf_is_sha256(sha256))
        return lf_fail(diag, LF_E_INVALID, "\"%.80s\" is no digest", sha256);
    enum lf_err rc = lf_path_join(versions, dir, "versions", diag);
    rc = rc ?: lf_path_join(path, versions, sha256, diag);
    rc = rc ?: lf_path_join(coming, versions, COMING "XXXXXX", diag);
    if (rc != LF_OK || lf_shared_has(dir, sha256))
        return rc;
    if (!mkdtemp(coming))
        return lf_fail_errno(diag, errno, "%s", coming);
    rc = fill(arg, coming, diag) ?: check_files(coming, sha256, diag);
    rc = rc ?: lf_dir_sync(coming, diag);
    /* Another daemon may have been faster: it is the same, and stays. */
    if (rc == LF_OK && rename(coming, path) != 0 && errno != EEXIST && errno != ENOTEMPTY)
        rc = lf_fail_errno(diag, errno, "%s", path);
    if (access(coming, F_OK) == 0)
        (void)!lf_dir_remove(coming, NULL);
    return rc ?: lf_dir_sync(versions, diag);
}

enum lf_err lf_shared_get(const char *dir, const char *sha256, const char *to, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (!lf_shared_has(dir, sha256))
        return lf_fail(diag, LF_E_NOT_FOUND, "version %.12s... is not there", sha256);
    enum lf_err rc = below(path, dir, "versions", sha256, diag);
    return rc ?: copy_files(path, to, false, diag) ?: check_files(to, sha256, diag);
}

/* ---- What is out of use ---------------------------------------------------------------------- */

/* The digests that names have as current. */
struct digests {
    char (*at)[LF_SHA256_HEX]; /* (n) owned */
    size_t n;
};

static int by_digest(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_among(const struct digests *d, const char *sha256)
{
    return d->n > 0 && bsearch(sha256, d->at, d->n, sizeof *d->at, by_digest);
}

/* Yours, also after a failure: free d->at. A publication that cannot be read is one. */
static enum lf_err digests_read(struct digests *d, const char *dir, struct lf_diag *diag)
{
    lf_names_auto names = {0};
    *d = (struct digests){0};
    enum lf_err rc = lf_shared_names(&names, dir, diag);
    if (rc == LF_OK && !(d->at = calloc(names.n + 1, sizeof *d->at)))
        rc = lf_no_memory(diag, "the publications");
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        struct lf_published p = {0};
        rc = lf_shared_read(&p, dir, names.at[i], diag);
        if (rc == LF_OK)
            memcpy(d->at[d->n++], p.sha256, sizeof p.sha256);
        lf_published_free(&p);
    }
    if (rc == LF_OK)
        qsort(d->at, d->n, sizeof *d->at, by_digest);
    return rc;
}

void lf_shared_replaced(const char *dir, const char *sha256)
{
    char path[LF_PATH_MAX];
    if (lf_is_sha256(sha256) && below(path, dir, "versions", sha256, NULL) == LF_OK)
        (void)!utimensat(AT_FDCWD, path, NULL, 0);
}

/* versions/SHA256 to a name that nobody looks for, and that goes by itself; or back. */
static enum lf_err set_aside(const char *versions, const char *sha256, bool back,
                             struct lf_diag *diag)
{
    char path[LF_PATH_MAX], aside[LF_PATH_MAX], name[sizeof COMING + LF_SHA256_HEX];
    snprintf(name, sizeof name, COMING "%s", sha256);
    enum lf_err rc = lf_path_join(path, versions, sha256, diag);
    rc = rc ?: lf_path_join(aside, versions, name, diag);
    if (rc == LF_OK && rename(back ? aside : path, back ? path : aside) != 0)
        rc = lf_fail_errno(diag, errno, "%s", path);
    if (rc == LF_OK && !back) /* it is not left over yet */
        (void)!utimensat(AT_FDCWD, aside, NULL, 0);
    return rc;
}

/* Sets those aside that are out of use, and remembers that there were such: their names stay in
 * the list. */
static enum lf_err choose(const char *dir, const char *versions, int64_t seconds,
                          struct lf_names *names, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct stat st;
    struct digests current;
    size_t kept = 0;
    enum lf_err rc = digests_read(&current, dir, diag);
    for (size_t i = 0; i < names->n; i++) {
        char *sha256 = names->at[i];
        bool out = rc == LF_OK && lf_is_sha256(sha256) && !is_among(&current, sha256) &&
                   lf_path_join(path, versions, sha256, NULL) == LF_OK && stat(path, &st) == 0 &&
                   st.st_mtime <= time(NULL) - seconds;
        if (out)
            rc = below(path, dir, "gone", sha256, diag) ?: lf_file_write(path, "", 0, diag);
        if (out && rc == LF_OK && set_aside(versions, sha256, false, NULL) == LF_OK)
            names->at[kept++] = sha256;
        else
            free(sha256);
    }
    names->n = kept;
    free(current.at);
    return rc;
}

enum lf_err lf_shared_prune(const char *dir, int64_t seconds, int *n, struct lf_diag *diag)
{
    char versions[LF_PATH_MAX], path[LF_PATH_MAX], name[sizeof COMING + LF_SHA256_HEX];
    lf_names_auto names = {0};
    struct digests current = {0};
    *n = 0;
    enum lf_err rc = lf_path_join(versions, dir, "versions", diag);
    rc = rc ?: lf_dir_names(&names, versions, diag);
    rc = rc ?: choose(dir, versions, seconds, &names, diag);
    /* What was published since it was chosen is seen here, or its publisher sees that it is gone.
     */
    enum lf_err known = names.n > 0 ? digests_read(&current, dir, diag) : LF_OK;
    for (size_t i = 0; i < names.n; i++) {
        snprintf(name, sizeof name, COMING "%s", names.at[i]);
        if (known != LF_OK || is_among(&current, names.at[i])) {
            (void)!set_aside(versions, names.at[i], true, NULL);
        } else if (lf_path_join(path, versions, name, NULL) == LF_OK &&
                   lf_dir_remove(path, diag) == LF_OK) {
            ++*n;
        }
    }
    free(current.at);
    return rc ?: known;
}
