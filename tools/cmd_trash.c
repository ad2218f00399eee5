/* `lorafs trash`: removed adapters and versions, by a daemon or in a data directory that none has
 * open. */
#include "tools/commands.h"

#include "core/json.h"
#include "core/log.h"
#include "core/file.h"
#include "daemon/registry/registry.h"
#include "tools/adapter_remote.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Where it is asked for, and what for. */
struct trash_run {
    const char *data; /* NULL: by the daemon at `remote` */
    const char *as;
    bool json;
    struct lf_remote_options remote;
    const struct lf_args *args;
    struct lf_registry *registry; /* with `data` */
    struct lf_remote *client;     /* else */
};
typedef enum lf_err (*trash_fn)(struct trash_run *t, const char *word, struct lf_diag *diag);

static enum lf_err path_of(char out[LF_PATH_MAX], const char *word, const char *rest,
                           struct lf_diag *diag)
{
    if (word && !lf_name_ok(word) &&
        strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                     "uvwxyz0123456789._-") != strlen(word))
        return lf_fail(diag, LF_E_INVALID, "\"%.*s\" is nothing of the trash", LF_NAME_MAX, word);
    int n = snprintf(out, LF_PATH_MAX, "/v1/trash%s%s%s", word ? "/" : "", word ? word : "", rest);
    return n < LF_PATH_MAX ? LF_OK : lf_fail(diag, LF_E_INVALID, "a name is too long");
}

static void print_entry(const json_t *e)
{
    char removed[32] = "-";
    struct tm tm;
    const json_t *name = json_object_get(e, "name");
    time_t t = (time_t)(json_integer_value(json_object_get(e, "removed_ms")) / 1000);
    if (localtime_r(&t, &tm))
        strftime(removed, sizeof removed, "%F %H:%M", &tm);
    char version[16] = "";
    int n = (int)json_integer_value(json_object_get(e, "version"));
    if (n > 0)
        snprintf(version, sizeof version, " v%d", n);
    printf("%-16s  %8.1f MB  %s%s%s%s\n", removed,
           (double)json_integer_value(json_object_get(e, "bytes")) / 1e6,
           json_is_string(name) ? json_string_value(name) : "", version,
           json_is_string(name) ? "  " : "damaged: ", lf_json_text_of(e, "entry"));
}

static enum lf_err list(struct trash_run *t, const char *word, struct lf_diag *diag)
{
    json_auto_t *answer = NULL;
    json_t *entries = NULL, *e;
    size_t i;
    (void)word;
    enum lf_err rc = t->registry
                         ? lf_registry_trash_list(t->registry, &entries, diag)
                         : lf_remote_json(t->client, &answer, "GET", "/v1/trash", NULL, diag);
    if (t->registry && rc == LF_OK)
        answer = json_pack("{s:o}", "trash", entries);
    if (rc == LF_OK && t->json)
        lf_print_json(answer);
    json_array_foreach(json_object_get(answer, "trash"), i, e)
        if (!t->json)
            print_entry(e);
    return rc;
}

static enum lf_err restore(struct trash_run *t, const char *word, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_restored back = {""};
    json_auto_t *answer = NULL, *body = json_pack("{s:s?}", "name", t->as);
    enum lf_err rc = path_of(path, word, "/restore", diag);
    if (rc == LF_OK)
        rc = t->registry ? lf_registry_trash_restore(t->registry, word, t->as, &back, diag)
                         : lf_remote_json(t->client, &answer, "POST", path, body, diag);
    if (rc == LF_OK)
        printf("%s\n", t->registry ? back.name : lf_json_text_of(answer, "restored"));
    return rc;
}

static enum lf_err empty(struct trash_run *t, const char *word, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    int64_t bytes = 0;
    json_auto_t *answer = NULL;
    enum lf_err rc = path_of(path, word, "", diag);
    if (rc == LF_OK)
        rc = t->registry ? lf_registry_trash_empty(t->registry, word, &bytes, diag)
                         : lf_remote_json(t->client, &answer, "DELETE", path, NULL, diag);
    if (rc == LF_OK && !t->registry)
        bytes = json_integer_value(json_object_get(answer, "bytes"));
    if (rc == LF_OK)
        printf("%.1f MB freed\n", (double)bytes / 1e6);
    return rc;
}

static enum lf_err each(struct trash_run *t, trash_fn fn, struct lf_diag *diag)
{
    enum lf_err rc = t->args->n == 1 ? fn(t, NULL, diag) : LF_OK;
    for (int i = 1; i < t->args->n && rc == LF_OK; i++)
        rc = fn(t, t->args->v[i], diag);
    return rc;
}

static enum lf_err by_daemon(struct trash_run *t, trash_fn fn, struct lf_diag *diag)
{
    t->data = NULL;
    enum lf_err rc = lf_remote_new(&t->client, &t->remote, diag) ?: each(t, fn, diag);
    lf_remote_free(t->client);
    return rc;
}

/* preset: the directory is LORAFS_DATA's, in which the daemon's socket is, too, where one runs. */
static enum lf_err run(struct trash_run *t, bool preset, trash_fn fn, struct lf_diag *diag)
{
    char state[LF_PATH_MAX];
    struct lf_store *store = NULL;
    if (!t->data)
        return by_daemon(t, fn, diag);
    lf_log_set_level(LF_LOG_ERROR);
    enum lf_err rc = lf_path_join(state, t->data, "state", diag);
    if (rc == LF_OK && !lf_file_exists(state))
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s: no data directory of lorafs", t->data);
    rc = rc ?: lf_store_open(&store, state, diag);
    if (rc == LF_E_BUSY && preset)
        return by_daemon(t, fn, diag);
    rc = rc ?: lf_registry_open_trash(&t->registry, t->data, store, diag) ?: each(t, fn, diag);
    lf_registry_close(t->registry);
    lf_store_close(store);
    return rc;
}

int lf_cmd_trash(int argc, char **argv)
{
    struct trash_run t = {0};
    const struct lf_option options[] = {
        {"as", 0, LF_OPT_STR, "NAME", &t.as, "restore: the adapter's new name"},
        {"data", 0, LF_OPT_STR, "DIR", &t.data,
         "a data directory that no daemon has open; otherwise the daemon is asked"},
        {"json", 0, LF_OPT_FLAG, NULL, &t.json, "ls: JSON"},
        LF_REMOTE_OPTIONS(t.remote),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs trash",
        "ls | restore ENTRY... | empty [ENTRY...]",
        "What was removed: ls lists it, oldest first, restore brings adapters and versions back as "
        "they were, empty frees the room for good. ENTRY is the last word of a line of ls, or the "
        "name of an adapter.\n\n"
        "What lies there goes by itself when the daemon has run for seven days, or when the disk "
        "is nearly full, the oldest first.",
        options,
        .args_min = 1,
        .args_max = -1,
        .examples = "  lorafs trash restore viggo --as viggo-old"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    t.args = &args;
    bool ls = strcmp(args.v[0], "ls") == 0, back = strcmp(args.v[0], "restore") == 0;
    if (!ls && !back && strcmp(args.v[0], "empty") != 0)
        return lf_usage_error(&usage, "ls, restore or empty, not \"%s\"", args.v[0]);
    if ((ls && args.n > 1) || (back && args.n < 2) || (t.as && (!back || args.n > 2)))
        return lf_usage_error(&usage, ls     ? "ls takes no entry"
                                      : back ? "restore wants an entry, and --as one alone"
                                             : "--as is for restore");
    bool preset = !lf_option_given(&args, &usage, "data");
    enum lf_err rc = run(&t, preset, ls ? list : back ? restore : empty, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
