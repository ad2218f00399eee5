/* `lorafs cp`: files to a daemon's adapters and from them. */
#include "core/file.h"
#include "names/files.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRAINS "?train=1"

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

/* query: "?train=1" where a data set is to train, or "". */
static enum lf_err upload(struct lf_remote *c, const char *path, const char *query,
                          const char *file, struct lf_diag *diag)
{
    char url[LF_PATH_MAX + 16];
    json_auto_t *answer = NULL;
    bool trains = strcmp(last_part(path), lf_files[LF_FILE_DATASET].name) == 0;
    snprintf(url, sizeof url, "%s%s", path, trains ? query : "");
    enum lf_err rc = lf_remote_upload(c, &answer, url, file, diag);
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
static enum lf_err between(struct lf_remote *c, const char *from, const char *to,
                           struct lf_diag *diag)
{
    char temp[] = "/tmp/lorafs-cp-XXXXXX", file[sizeof temp + 8];
    if (!mkdtemp(temp))
        return lf_fail_errno(diag, errno, "%s", temp);
    snprintf(file, sizeof file, "%s/file", temp);
    enum lf_err rc = lf_remote_download(c, from, file, diag) ?: upload(c, to, TRAINS, file, diag);
    unlink(file);
    rmdir(temp);
    return rc;
}

/* ---- Whole directories ----------------------------------------------------------------------- */

/* "NAME:" alone. */
static bool is_whole(const char *text)
{
    return is_remote(text) && text[strlen(text) - 1] == ':';
}

/* /v1/adapters/NAME/files/FILE of "NAME:". */
static enum lf_err file_path(char out[LF_PATH_MAX], const char *text, const char *file,
                             struct lf_diag *diag)
{
    char both[LF_PATH_MAX];
    snprintf(both, sizeof both, "%s%s", text, file);
    return remote_path(out, both, file, diag);
}

/* The file of an adapter in a directory of its files, or, of the two that PEFT writes, in one of
 * PEFT's. False: it is in neither. */
static bool find_file(char out[LF_PATH_MAX], const char *dir, const struct lf_file_row *f)
{
    if (lf_path_join(out, dir, f->name, NULL) == LF_OK && lf_file_exists(out))
        return true;
    return f->effect == LF_EFFECT_IMPORT &&
           lf_path_join(out, dir, last_part(f->name), NULL) == LF_OK && lf_file_exists(out);
}

/* What a person may write, where it is there: the rows last, after what they need. With weights of
 * its own the adapter is not trained. */
static enum lf_err put_all(struct lf_remote *c, const char *dir, const char *to,
                           struct lf_diag *diag)
{
    char local[LF_PATH_MAX], path[LF_PATH_MAX];
    bool trained = find_file(local, dir, &lf_files[LF_FILE_ADAPTER_WEIGHTS]);
    int n = 0;
    enum lf_err rc = LF_OK;
    for (size_t i = LF_FILE_N; i-- > 0 && rc == LF_OK;) {
        const struct lf_file_row *f = &lf_files[i];
        if (f->form != LF_FORM_WRITTEN || !find_file(local, dir, f))
            continue;
        rc = file_path(path, to, f->name, diag);
        rc = rc ?: upload(c, path, trained ? "" : TRAINS, local, diag);
        n++;
    }
    if (rc == LF_OK && n == 0)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s has no file of an adapter", dir);
    return rc;
}

/* What has bytes, where it is there. */
static enum lf_err get_all(struct lf_remote *c, const char *from, const char *dir,
                           struct lf_diag *diag)
{
    char local[LF_PATH_MAX], path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(local, dir, "adapter", diag) ?: lf_dir_make(local, diag);
    for (size_t i = 0; i < LF_FILE_N && rc == LF_OK; i++) {
        const struct lf_file_row *f = &lf_files[i];
        if (!f->disk && f->form != LF_FORM_WRITTEN)
            continue;
        rc = lf_path_join(local, dir, f->name, diag) ?: file_path(path, from, f->name, diag);
        rc = rc ?: lf_remote_download(c, path, local, diag);
        if (rc == LF_E_NOT_FOUND)
            rc = LF_OK;
    }
    if (lf_path_join(local, dir, "adapter", NULL) == LF_OK)
        rmdir(local); /* nothing is served yet */
    return rc;
}

static enum lf_err copy_all(struct lf_remote *c, const char *from, const char *to,
                            struct lf_diag *diag)
{
    char temp[] = "/tmp/lorafs-cp-XXXXXX";
    if (!is_remote(from))
        return put_all(c, from, to, diag);
    if (!is_remote(to))
        return get_all(c, from, to, diag);
    if (!mkdtemp(temp))
        return lf_fail_errno(diag, errno, "%s", temp);
    enum lf_err rc = get_all(c, from, temp, diag) ?: put_all(c, temp, to, diag);
    if (lf_dir_remove(temp, NULL) != LF_OK && rc == LF_OK)
        rc = lf_fail(diag, LF_E_IO, "%s is left over", temp);
    return rc;
}

/* The adapter to be read is there, and the one to be written is made where it is not. */
static enum lf_err prepare_all(struct lf_remote *c, const char *from, const char *to,
                               struct lf_diag *diag)
{
    char path[LF_PATH_MAX], name[LF_NAME_MAX + 2];
    json_auto_t *answer = NULL;
    enum lf_err rc = LF_OK;
    if (is_remote(from)) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(from, ":"), from);
        rc = lf_remote_path(path, name, "", diag);
        rc = rc ?: lf_remote_json(c, &answer, "GET", path, NULL, diag);
    }
    if (rc == LF_OK && is_remote(to)) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(to, ":"), to);
        rc = lf_remote_create(c, name, NULL, diag);
        if (rc == LF_E_EXISTS)
            rc = LF_OK;
    }
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
    if ((is_whole(from) && (!in || is_whole(to))) || (!out && is_whole(to) && is_dir(from)))
        return prepare_all(c, from, to, diag) ?: copy_all(c, from, to, diag);
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
    if (out && strcmp(to, "-") == 0)
        return lf_remote_stream(c, source, stdout, diag);
    return out ? lf_remote_download(c, source, target, diag)
               : upload(c, target, TRAINS, strcmp(from, "-") == 0 ? "/dev/stdin" : from, diag);
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
        "trained, and the two files of adapter/ become a version. - is stdin, or stdout.\n\n"
        "A directory, of an adapter or as PEFT writes one, is copied to NAME: as a whole, and "
        "NAME: to a directory or to another adapter.",
        options,
        2,
        -1,
        "  lorafs cp config.json template viggo:\n"
        "  lorafs cp viggo:metrics.json .\n"
        "  zcat rows.gz | lorafs cp - viggo:dataset.jsonl\n"
        "  lorafs cp viggo:config.json other:\n"
        "  lorafs cp viggo: backup && lorafs cp backup again:"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    char *to = args.v[args.n - 1];
    if (args.n > 2 && !is_dir(to) && !(is_remote(to) && strchr("/:", to[strlen(to) - 1])))
        return lf_usage_error(&usage, "'%s' must be a directory or NAME: for several files", to);
    return lf_remote_each(&usage, &o, &args, args.n - 1, copy, to);
}
