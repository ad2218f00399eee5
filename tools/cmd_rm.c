/* `lorafs rm`: remove adapters. */
#include "client/remote.h"
#include "tools/commands.h"
#include "tools/options.h"

int lf_cmd_rm(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    const struct lf_option options[] = {LF_REMOTE_OPTIONS(o), {0}};
    const struct lf_usage usage = {
        "lorafs rm",
        "NAME...",
        "Removes adapters: each goes to the daemon's trash, where it is kept for seven days. A job "
        "that trains it is cancelled.",
        options,
        .args_min = 1,
        .args_max = -1};
    struct lf_args args;
    int status = 0;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_remote *c = NULL;
    enum lf_err rc = lf_remote_new(&c, &o, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    for (int i = 0; i < args.n; i++) {
        char path[LF_PATH_MAX];
        json_t *answer = NULL;
        rc = lf_remote_path(path, args.v[i], "", &diag);
        rc = rc ?: lf_remote_json(c, &answer, "DELETE", path, NULL, &diag);
        json_decref(answer);
        if (rc != LF_OK)
            status = lf_command_failed(&usage, rc, &diag);
    }
    lf_remote_free(c);
    return status;
}
