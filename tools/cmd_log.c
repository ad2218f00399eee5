/* `lorafs log`: what happened to an adapter. */
#include "tools/adapter_remote.h"
#include "tools/commands.h"

static enum lf_err print_log(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    const bool *follow = arg;
    char path[LF_PATH_MAX];
    enum lf_err rc =
        lf_remote_path(path, name, *follow ? "/files/log?follow=1" : "/files/log", diag);
    return rc ?: lf_remote_stream(c, path, stdout, diag);
}

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
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return lf_remote_each(&usage, &o, &args, 1, print_log, &follow);
}
