/* `lorafs log`: what happened to an adapter. */
#include "client/remote.h"
#include "tools/commands.h"
#include "tools/options.h"

int lf_cmd_log(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    bool follow = false;
    const struct lf_option options[] = {
        {"follow", 'f', LF_OPT_FLAG, NULL, &follow,
         "go on with what comes until the adapter is trained and scored"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs log",
        "NAME",
        "Prints an adapter's log: a line of JSON for each step and whatever else happened.",
        options,
        1,
        1,
        "  lorafs log -f viggo | jq -r .loss"};
    struct lf_args args;
    char path[LF_PATH_MAX];
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_remote *c = NULL;
    enum lf_err rc = lf_remote_new(&c, &o, &diag);
    rc =
        rc ?: lf_remote_path(path, args.v[0], follow ? "/files/log?follow=1" : "/files/log", &diag);
    rc = rc ?: lf_remote_stream(c, path, stdout, &diag);
    lf_remote_free(c);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
