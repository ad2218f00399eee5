/* `lorafs create`: make adapters of a daemon. */
#include "tools/adapter_remote.h"
#include "tools/commands.h"

static enum lf_err create(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    return lf_remote_create(c, name, arg, diag);
}

int lf_cmd_create(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct lf_settings_flags s = {0};
    const struct lf_option options[] = {LF_SETTINGS_OPTIONS(s), LF_REMOTE_OPTIONS(o), {0}};
    const struct lf_usage usage = {
        "lorafs create",
        "NAME...",
        "Makes adapters, each with the same settings (its config.json); lorafs-config(5) has them "
        "all. Nothing is trained before it has rows: `lorafs train`.",
        options,
        1,
        -1,
        "  lorafs create viggo --set rank=8 --set epochs=2"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    json_auto_t *settings = NULL;
    enum lf_err rc = lf_settings_of(&settings, &s, &diag);
    return rc == LF_OK ? lf_remote_each(&usage, &o, &args, args.n, create, settings)
                       : lf_command_failed(&usage, rc, &diag);
}
