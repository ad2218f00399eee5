/* `lorafs create`: make adapters of a daemon. */
#include "client/remote.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"
#include "tools/options.h"

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
    int status = 0;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_remote *c = NULL;
    json_auto_t *settings = NULL;
    enum lf_err rc = lf_settings_of(&settings, &s, &diag) ?: lf_remote_new(&c, &o, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    for (int i = 0; i < args.n; i++)
        if ((rc = lf_remote_create(c, args.v[i], settings, &diag)) != LF_OK)
            status = lf_command_failed(&usage, rc, &diag);
    lf_remote_free(c);
    return status;
}
