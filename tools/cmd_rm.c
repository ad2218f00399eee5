/* `lorafs rm`: remove adapters. */
#include "tools/adapter_remote.h"
#include "tools/commands.h"

static enum lf_err remove_one(void *arg, struct lf_remote *c, const char *name,
                              struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *answer = NULL;
    (void)arg;
    enum lf_err rc = lf_remote_path(path, name, "", diag);
    return rc ?: lf_remote_json(c, &answer, "DELETE", path, NULL, diag);
}

int lf_cmd_rm(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    const struct lf_option options[] = {LF_REMOTE_OPTIONS(o), {0}};
    const struct lf_usage usage = {
        "lorafs rm",
        "NAME...",
        "Removes adapters: each goes to the daemon's trash, where it is kept for seven days "
        "(lorafs trash). A job that trains it is cancelled.",
        options,
        .args_min = 1,
        .args_max = -1};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return lf_remote_each(&usage, &o, &args, args.n, remove_one, NULL);
}
