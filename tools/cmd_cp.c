/* `lorafs cp` and `lorafs export`: files to a daemon's adapters and from them. */
#include "core/file.h"
#include "names/files.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Pieces ---------------------------------------------------------------------------------- */

/* "NAME:FILE" as the file's path at the daemon. False: no colon, or a '/' before it: a local path.
 */
static bool is_remote(const char *text)
{
    size_t n = strcspn(text, ":/");
    return text[n] == ':';
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* /v1/adapters/NAME/files/FILE of "NAME:FILE"; where FILE is "" or ends in '/', `other`'s last part
 * is put after it. */
static enum lf_err remote_path(char out[LF_PATH_MAX], const char *text, const char *other,
                               struct lf_diag *diag)
{
    char name[LF_NAME_MAX + 2], rest[LF_PATH_MAX - 256];
    size_t n = strcspn(text, ":");
    const char *file = text + n + 1, *tail = "";
    struct lf_file_ref ref;
    snprintf(name, sizeof name, "%.*s", (int)n, text);
    if (n >= sizeof name)
        return lf_fail(diag, LF_E_INVALID, "'%.80s' is not a name of an adapter", text);
    if (!*file || file[strlen(file) - 1] == '/')
        tail = last_part(other);
    snprintf(rest, sizeof rest, "%s%s", file, tail);
    if (!lf_file_ref_parse(&ref, rest))
        return lf_fail(diag, LF_E_NOT_FOUND, "an adapter has no file '%.100s'", rest);
    char path[LF_PATH_MAX];
    snprintf(path, sizeof path, "/files/%s", rest);
    return lf_remote_path(out, name, path, diag);
}

/* The answer to a GET as a local file, which is there whole or not at all. */
static enum lf_err download(struct lf_remote *c, const char *path, const char *file,
                            struct lf_diag *diag)
{
    char part[LF_PATH_MAX];
    if (snprintf(part, sizeof part, "%s.part", file) >= (int)sizeof part)
        return lf_fail(diag, LF_E_INVALID, "'%.80s...' is too long", file);
    FILE *to = fopen(part, "w");
    if (!to)
        return lf_fail_errno(diag, errno, "%s", part);
    enum lf_err rc = lf_remote_stream(c, path, to, diag);
    if (fclose(to) != 0 && rc == LF_OK)
        rc = lf_fail_errno(diag, errno, "%s", part);
    if (rc == LF_OK && rename(part, file) != 0)
        rc = lf_fail_errno(diag, errno, "%s", file);
    if (rc != LF_OK)
        unlink(part);
    return rc;
}

/* A file whose closing trains does so. */
static enum lf_err upload(struct lf_remote *c, char path[LF_PATH_MAX], const char *file,
                          struct lf_diag *diag)
{
    json_auto_t *answer = NULL;
    size_t n = strlen(path);
    const char *end = lf_files[LF_FILE_DATASET].name;
    if (strcmp(last_part(path), end) == 0)
        snprintf(path + n, LF_PATH_MAX - n, "?train=1");
    enum lf_err rc = lf_remote_upload(c, &answer, path, file, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", file);
}

/* ---- cp -------------------------------------------------------------------------------------- */

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where `to` is a directory, below it. */
static enum lf_err local_path(char out[LF_PATH_MAX], const char *to, const char *from,
                              struct lf_diag *diag)
{
    if (is_dir(to))
        return lf_path_join(out, to, last_part(from), diag);
    snprintf(out, LF_PATH_MAX, "%s", to);
    return LF_OK;
}

/* Over a file of ours, which is gone afterwards. */
static enum lf_err between(struct lf_remote *c, const char *from, char to[LF_PATH_MAX],
                           struct lf_diag *diag)
{
    char temp[] = "/tmp/lorafs-cp-XXXXXX", file[sizeof temp + 8];
    if (!mkdtemp(temp))
        return lf_fail_errno(diag, errno, "%s", temp);
    snprintf(file, sizeof file, "%s/file", temp);
    enum lf_err rc = download(c, from, file, diag) ?: upload(c, to, file, diag);
    unlink(file);
    rmdir(temp);
    return rc;
}

/* To `arg`. */
static enum lf_err copy(void *arg, struct lf_remote *c, const char *from, struct lf_diag *diag)
{
    const char *to = arg;
    char source[LF_PATH_MAX], target[LF_PATH_MAX];
    bool out = is_remote(from), in = is_remote(to);
    const char *from_file = out ? strchr(from, ':') + 1 : from;
    enum lf_err rc = LF_OK;
    if (!out && !in)
        return lf_fail(diag, LF_E_INVALID, "neither '%.80s' nor '%.80s' is NAME:FILE", from, to);
    if (out)
        rc = remote_path(source, from, to, diag);
    rc = rc
             ?: in ? remote_path(target, to, from_file, diag)
                   : local_path(target, to, from_file, diag);
    if (rc != LF_OK)
        return rc;
    if (out && in)
        return between(c, source, target, diag);
    return out ? download(c, source, target, diag) : upload(c, target, from, diag);
}

int lf_cmd_cp(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    const struct lf_option options[] = {LF_REMOTE_OPTIONS(o), {0}};
    const struct lf_usage usage = {
        "lorafs cp",
        "FROM... TO",
        "Copies files of a daemon's adapters: one side, or both, is NAME:FILE, and FILE may be "
        "left out where the other side names it. As in the mount, a dataset.jsonl that arrives is "
        "trained, and the two files of adapter/ become a version.",
        options,
        2,
        -1,
        "  lorafs cp config.json template viggo:\n"
        "  lorafs cp viggo:metrics.json .\n"
        "  lorafs cp viggo:config.json other:"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    char *to = args.v[args.n - 1];
    if (args.n > 2 && !is_dir(to) && !(is_remote(to) && strchr("/:", to[strlen(to) - 1])))
        return lf_usage_error(&usage, "'%s' must be a directory or NAME: for several files", to);
    return lf_remote_each(&usage, &o, &args, args.n - 1, copy, to);
}

/* ---- export ---------------------------------------------------------------------------------- */

struct export
{
    const char *dir; /* NULL: named as the adapter */
    int64_t version; /* 0: the one that is served */
};

/* The weights last: a directory that has them is whole. */
static enum lf_err export_version(void *arg, struct lf_remote *c, const char *name,
                                  struct lf_diag *diag)
{
    const struct export *x = arg;
    const char *dir = x->dir ? x->dir : name;
    static const char *const files[] = {LF_ADAPTER_CONFIG_NAME, LF_ADAPTER_WEIGHTS_NAME};
    char rest[LF_PATH_MAX - 256], path[LF_PATH_MAX], file[LF_PATH_MAX];
    enum lf_err rc = lf_dir_make(dir, diag);
    for (int i = 0; i < 2 && rc == LF_OK; i++) {
        if (x->version > 0)
            snprintf(rest, sizeof rest, "/files/" LF_FILE_VERSIONS_DIR "%lld/%s",
                     (long long)x->version, files[i]);
        else
            snprintf(rest, sizeof rest, "/files/" LF_FILE_ADAPTER_DIR "%s", files[i]);
        rc = lf_remote_path(path, name, rest, diag);
        rc = rc ?: lf_path_join(file, dir, files[i], diag);
        rc = rc ?: download(c, path, file, diag);
    }
    if (rc == LF_OK)
        printf("%s\n", dir);
    return rc;
}

int lf_cmd_export(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct export x = {0};
    const struct lf_option options[] = {
        {"version", 'v', LF_OPT_INT, "N", &x.version, "this one; otherwise the one that is served",
         .lo = 1, .hi = INT32_MAX},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs export",
        "NAME [DIR]",
        "Writes a version of an adapter as a PEFT directory, DIR or ./NAME: what transformers, "
        "vLLM and others load, and what `cp` to another daemon's adapter/ imports.",
        options,
        1,
        2,
        "  lorafs export viggo out && python -c 'from peft import PeftModel; ...'"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    x.dir = args.n == 2 ? args.v[1] : NULL;
    return lf_remote_each(&usage, &o, &args, 1, export_version, &x);
}
