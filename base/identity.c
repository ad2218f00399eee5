/* Which base it is: a digest of its files, and the repository that it came from. */
#include "base/base.h"

#include "core/json.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PIECES 64
#define PIECE_BYTES 4096
#define HEAD_BYTES (1u << 20) /* of a file, with its header */

/* ---- The digest ------------------------------------------------------------------------------ */

/* A whole small file; one that is not there adds nothing. */
static enum lf_err add_file(struct lf_sha256 *h, const char *dir, const char *name,
                            struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_mapping m;
    enum lf_err rc = lf_path_join(path, dir, name, diag);
    if (rc != LF_OK || !lf_file_exists(path))
        return rc;
    rc = lf_file_map(&m, path, diag);
    if (rc != LF_OK)
        return rc;
    lf_sha256_add(h, name, strlen(name) + 1);
    lf_sha256_add(h, m.data, m.bytes);
    lf_file_unmap(&m);
    return LF_OK;
}

static enum lf_err add_weights(struct lf_sha256 *h, const char *dir, const char *name,
                               struct lf_diag *diag)
{
    char path[LF_PATH_MAX], size[32];
    struct lf_mapping m;
    enum lf_err rc = lf_path_join(path, dir, name, diag) ?: lf_file_map(&m, path, diag);
    if (rc != LF_OK)
        return rc;
    int n = snprintf(size, sizeof size, "%zu", m.bytes);
    lf_sha256_add(h, size, (size_t)n + 1);
    lf_sha256_add(h, m.data, m.bytes < HEAD_BYTES ? m.bytes : HEAD_BYTES);
    for (size_t i = 1; i <= PIECES && m.bytes > HEAD_BYTES + PIECE_BYTES; i++)
        lf_sha256_add(h, (const char *)m.data + (m.bytes - PIECE_BYTES) / PIECES * i, PIECE_BYTES);
    lf_file_unmap(&m);
    return LF_OK;
}

static const char *const small[] = {"config.json", "tokenizer.json", "tokenizer.model"};
#define N_SMALL (sizeof small / sizeof *small)

static enum lf_err digest(struct lf_base *b, const struct lf_names *weights, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    struct lf_sha256 *h = lf_sha256_begin();
    if (!h)
        return lf_no_memory(diag, "the base's digest");
    for (size_t i = 0; i < N_SMALL && rc == LF_OK; i++)
        rc = add_file(h, b->dir, small[i], diag);
    for (size_t i = 0; i < weights->n && rc == LF_OK; i++)
        rc = add_weights(h, b->dir, weights->at[i], diag);
    lf_sha256_end(h, b->sha256);
    return rc;
}

/* ---- Kept from start to start ---------------------------------------------------------------- */

#define KEPT "base-digest.json" /* of the last base: {"files", "sha256"} */

/* What stat says of a file; nothing where it is not there. */
static void add_stat(struct lf_sha256 *h, const char *dir, const char *name)
{
    char path[LF_PATH_MAX], text[LF_PATH_MAX + 160];
    struct stat st;
    if (lf_path_join(path, dir, name, NULL) != LF_OK || stat(path, &st) != 0)
        return;
    int n = snprintf(text, sizeof text, "%s %lld %lld.%09ld %lld.%09ld %llu %llu\n", path,
                     (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                     (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec,
                     (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    lf_sha256_add(h, text, (size_t)n);
}

/* A digest of all their names, sizes, times and inodes; "": none. */
static void look(char out[LF_SHA256_HEX], const struct lf_base *b, const struct lf_names *weights)
{
    struct lf_sha256 *h = lf_sha256_begin();
    out[0] = '\0';
    if (!h)
        return;
    for (size_t i = 0; i < N_SMALL; i++)
        add_stat(h, b->dir, small[i]);
    for (size_t i = 0; i < weights->n; i++)
        add_stat(h, b->dir, weights->at[i]);
    lf_sha256_end(h, out);
}

static bool recall(struct lf_base *b, const char *path, const char *files)
{
    json_auto_t *j = NULL;
    if (!lf_file_exists(path) || lf_json_load(&j, path, NULL) != LF_OK)
        return false;
    const char *sha256 = lf_json_text_of(j, "sha256");
    if (!files[0] || strcmp(lf_json_text_of(j, "files"), files) != 0 ||
        strlen(sha256) != LF_SHA256_HEX - 1)
        return false;
    memcpy(b->sha256, sha256, LF_SHA256_HEX);
    return true;
}

static enum lf_err digest_kept(struct lf_base *b, const char *cache_dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], files[LF_SHA256_HEX];
    lf_names_auto weights = {0};
    struct lf_diag why;
    enum lf_err rc = cache_dir ? lf_path_join(path, cache_dir, KEPT, diag) : LF_OK;
    rc = rc ?: lf_model_dir_weights(&weights, b->dir, diag);
    if (rc == LF_OK) {
        look(files, b, &weights);
        if (!cache_dir || !recall(b, path, files)) {
            rc = digest(b, &weights, diag);
            if (rc == LF_OK && cache_dir &&
                (lf_dir_make(cache_dir, &why) != LF_OK ||
                 lf_json_write(path, json_pack("{s:s, s:s}", "files", files, "sha256", b->sha256),
                               JSON_COMPACT, &why) != LF_OK))
                lf_log(LF_LOG_WARN, "daemon", "the base's digest is not kept: %s", why.text);
        }
    }
    return rc;
}

/* ---- The repository -------------------------------------------------------------------------- */

static bool is_repository(const char *s)
{
    const char *slash = s ? strchr(s, '/') : NULL;
    return slash && slash != s && slash[1] && !strchr(slash + 1, '/') && s[0] != '.' &&
           s[0] != '~' && strlen(s) <= LF_REPOSITORY_MAX;
}

/* What `lorafs pull` wrote beside the files. */
static bool from_pull(struct lf_base *b)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    if (lf_path_join(path, b->dir, LF_BASE_SOURCE_FILE, NULL) != LF_OK || !lf_file_exists(path) ||
        lf_json_load(&j, path, NULL) != LF_OK)
        return false;
    const char *repository = json_string_value(json_object_get(j, "repository"));
    const char *revision = json_string_value(json_object_get(j, "revision"));
    if (!is_repository(repository))
        return false;
    snprintf(b->repository, sizeof b->repository, "%s", repository);
    snprintf(b->revision, sizeof b->revision, "%s", revision ? revision : "");
    return true;
}

/* The Hugging Face cache: .../models--org--name/snapshots/<revision>. */
static bool from_cache(struct lf_base *b)
{
    char path[LF_PATH_MAX];
    char *revision, *snapshots, *models, *gap;
    if (!realpath(b->dir, path) || !(revision = strrchr(path, '/')))
        return false;
    *revision++ = '\0';
    if (!(snapshots = strrchr(path, '/')) || strcmp(snapshots, "/snapshots") != 0)
        return false;
    *snapshots = '\0';
    models = strrchr(path, '/');
    if (!models || strncmp(models, "/models--", 9) != 0 || !(gap = strstr(models + 9, "--")))
        return false;
    *gap = '\0';
    if (snprintf(b->repository, sizeof b->repository, "%s/%s", models + 9, gap + 2) >=
        (int)sizeof b->repository)
        b->repository[0] = '\0';
    snprintf(b->revision, sizeof b->revision, "%.*s", LF_REPOSITORY_MAX, revision);
    return b->repository[0] != '\0';
}

static void from_config(struct lf_base *b)
{
    json_auto_t *j = NULL;
    if (lf_json_parse(&j, b->config_text, b->config_bytes, NULL) != LF_OK)
        return;
    const char *name = json_string_value(json_object_get(j, "_name_or_path"));
    if (is_repository(name))
        snprintf(b->repository, sizeof b->repository, "%s", name);
}

enum lf_err lf_base_identify(struct lf_base *b, const char *cache_dir, struct lf_diag *diag)
{
    if (!from_pull(b) && !from_cache(b))
        from_config(b);
    return digest_kept(b, cache_dir, diag);
}

const char *lf_base_title(const struct lf_base *b)
{
    return b->repository[0] ? b->repository : b->name;
}

/* The last part of a path or repository. */
static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash && slash[1] ? slash + 1 : name;
}

bool lf_base_is_called(const struct lf_base *b, const char *name)
{
    const char *last = last_part(name);
    return strcasecmp(last, b->name) == 0 || strcasecmp(last, last_part(b->repository)) == 0 ||
           strcmp(last, b->revision) == 0;
}
