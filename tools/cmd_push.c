/* `lorafs push`: an adapter's version to a Hugging Face-compatible hub. */
#include "tools/commands.h"

#include "core/file.h"
#include "core/json.h"
#include "names/files.h"
#include "tools/adapter_remote.h"
#include "tools/bar.h"
#include "tools/card.h"
#include "tools/hub_push.h"
#include "tools/hub_request.h"
#include "tools/interrupt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct push_flags {
    struct lf_hub_options hub;
    const char *adapter; /* NULL: named as the repository */
    const char *message;
    int64_t version; /* 0: the one that is served */
    bool private, quiet;
    struct lf_bar bar;
};

static int push_progress(void *arg, int64_t done, int64_t total)
{
    struct push_flags *x = arg;
    lf_bar_update(&x->bar, total > 0 ? (double)done / (double)total : 1, "uploading");
    return lf_interrupted;
}

/* A file of the version, or of the adapter (version 0), into DIR; one that is not there is none. */
static enum lf_err fetch(struct lf_remote *c, const char *name, int64_t version, const char *file,
                         const char *dir, struct lf_diag *diag)
{
    char rest[256], path[LF_PATH_MAX], local[LF_PATH_MAX];
    if (version > 0)
        snprintf(rest, sizeof rest, "/files/" LF_FILE_VERSIONS_DIR "%lld/%s", (long long)version,
                 file);
    else
        snprintf(rest, sizeof rest, "/files/%s", file);
    enum lf_err rc = lf_remote_path(path, name, rest, diag);
    rc = rc ?: lf_path_join(local, dir, file, diag);
    rc = rc ?: lf_remote_download(c, path, local, diag);
    return rc == LF_E_NOT_FOUND ? LF_OK : rc;
}

/* The JSON of a file in DIR, NULL where there is none; the file goes: the card says what it does.
 */
static json_t *take_json(const char *dir, const char *file)
{
    char path[LF_PATH_MAX];
    json_t *j = NULL;
    if (lf_path_join(path, dir, file, NULL) != LF_OK || !lf_file_exists(path))
        return NULL;
    if (lf_json_load(&j, path, NULL) != LF_OK)
        j = NULL;
    remove(path);
    return j;
}

static enum lf_err write_card(const char *id, const char *adapter, int64_t version, const char *dir,
                              struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    json_auto_t *config = NULL;
    json_auto_t *metrics = take_json(dir, lf_files[LF_FILE_METRICS].name);
    json_auto_t *settings = take_json(dir, lf_files[LF_FILE_CONFIG].name);
    enum lf_err rc = lf_path_join(path, dir, LF_ADAPTER_CONFIG_NAME, diag);
    rc = rc ?: lf_json_load(&config, path, diag);
    rc = rc ?: lf_path_join(path, dir, lf_files[LF_FILE_CURVE].name, diag);
    if (rc != LF_OK)
        return rc;
    const char *base = json_string_value(json_object_get(config, "base_model_name_or_path"));
    const struct lf_card card = {.id = id,
                                 .adapter = adapter,
                                 .base = base ? base : "",
                                 .version = version,
                                 .metrics = metrics,
                                 .settings = settings,
                                 .curve = lf_file_exists(path)};
    lf_card_put(&text, &card);
    if (text.rc != LF_OK)
        return lf_no_memory(diag, "the model card");
    rc = lf_path_join(path, dir, "README.md", diag);
    return rc ?: lf_file_write(path, text.data, text.len, diag);
}

/* What the repository gets, into DIR. */
static enum lf_err gather(const struct push_flags *x, struct lf_remote *c, const char *id,
                          const char *name, const char *dir, struct lf_diag *diag)
{
    int64_t version = x->version;
    enum lf_err rc = version > 0 ? LF_OK : lf_remote_served(c, name, &version, diag);
    rc = rc ?: lf_remote_peft(c, name, version, dir, diag);
    rc = rc ?: fetch(c, name, version, lf_files[LF_FILE_METRICS].name, dir, diag);
    rc = rc ?: fetch(c, name, version, lf_files[LF_FILE_CONFIG].name, dir, diag);
    rc = rc ?: fetch(c, name, 0, lf_files[LF_FILE_CURVE].name, dir, diag);
    return rc ?: write_card(id, name, version, dir, diag);
}

static enum lf_err push(void *arg, struct lf_remote *c, const char *id, struct lf_diag *diag)
{
    struct push_flags *x = arg;
    char dir[LF_PATH_MAX], commit[LF_HUB_COMMIT_BYTES] = "";
    enum lf_err rc = lf_hub_id_check(id, diag);
    if (rc != LF_OK)
        return rc;
    const char *name = x->adapter ? x->adapter : strchr(id, '/') + 1;
    const struct lf_hub_push p = {.id = id,
                                  .dir = dir,
                                  .message = x->message ? x->message : "Upload with lorafs",
                                  .private = x->private};
    snprintf(dir, sizeof dir, "%s/lorafs-push-XXXXXX", lf_dir_of_temporaries());
    if (!mkdtemp(dir))
        return lf_fail_errno(diag, errno, "%s", dir);
    lf_interrupt_watch();
    lf_bar_init(&x->bar, x->quiet);
    rc = gather(x, c, id, name, dir, diag) ?: lf_hub_push(commit, &p, &x->hub, diag);
    lf_bar_end(&x->bar);
    (void)!lf_dir_remove(dir, NULL);
    if (rc == LF_OK)
        printf("%s%s%s\n", id, *commit ? "@" : "", commit);
    return rc;
}

int lf_cmd_push(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct push_flags x = {.hub = {.progress = push_progress}};
    const struct lf_option options[] = {
        {"version", 'v', LF_OPT_INT, "N", &x.version, "this one; otherwise the one that is served",
         .lo = 1, .hi = INT32_MAX},
        {"message", 'm', LF_OPT_STR, "TEXT", &x.message, "of the commit"},
        {"private", 0, LF_OPT_FLAG, NULL, &x.private, "a repository that is made is private"},
        {"endpoint", 0, LF_OPT_STR, "URL", &x.hub.endpoint, "the hub; otherwise HF_ENDPOINT's"},
        {"quiet", 0, LF_OPT_FLAG, NULL, &x.quiet, "no progress bar"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs push",
        "ORG/NAME [ADAPTER]",
        "Uploads a version of an adapter (NAME, or ADAPTER where it is called otherwise here) to a "
        "hub that speaks Hugging Face's routes: PEFT's two files, its curve, and a model card with "
        "scores, settings and how it is used. The repository is made where it is not there; all "
        "files appear by one commit.\n\n"
        "HF_TOKEN must be a token that may write. What the hub has already is not sent again.",
        options,
        1,
        2,
        "  lorafs push org/viggo\n"
        "  lorafs push org/viggo-7b viggo --version 3 --private"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    x.hub.progress_arg = &x;
    x.adapter = args.n == 2 ? args.v[1] : NULL;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = lf_remote_each(&usage, &o, &args, 1, push, &x);
    curl_global_cleanup();
    return status;
}
