/* `lorafs mount` and `lorafs umount`. */
#include "core/buf.h"
#include "core/log.h"
#include "fs/mount.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "client/paths.h"
#include "client/remote.h"

int lf_cmd_mount(int argc, char **argv)
{
    struct lf_remote_options remote = {0};
    struct lf_mount_options mount = {0};
    struct lf_option_strs words = {0};
    int level = LF_LOG_INFO;
    const struct lf_option options[] = {
        {"foreground", 'f', LF_OPT_FLAG, NULL, &mount.foreground,
         "stay in the foreground, with messages on stderr"},
        {"option", 'o', LF_OPT_STRS, "WORD[,WORD...]", &words,
         "mount options, such as allow_other or ro; may be given again"},
        {"api-key-file", 0, LF_OPT_STR, "FILE", &remote.key_file,
         "file whose first line is the API key; otherwise LORAFS_API_KEY"},
        {"staging", 0, LF_OPT_STR, "DIR", &mount.staging,
         "where files that are being written wait; otherwise TMPDIR or /var/tmp"},
        {"log", 0, LF_OPT_STR, "FILE", &mount.log, "messages of the background go there"},
        {"log-level", 0, LF_OPT_CHOICE, "debug|info|warn|error", &level, "least level of messages"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs mount",
        "[URL|SOCKET] DIR",
        "Mounts a daemon's tree on DIR. The daemon is http://host:port or the path of its unix "
        "socket; without it, the socket in the default data directory. It may start later, stop "
        "and come back: the tree is there when it is. A mount whose process died is cleared first.",
        options,
        .args_min = 1,
        .args_max = 2,
        .examples = "  lorafs mount /mnt/models\n"
                    "  lorafs mount -o allow_other http://gpu1:8080 /mnt/models"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    char socket[LF_PATH_MAX];
    struct lf_diag diag = {""};
    lf_buf_auto key = {0};
    lf_path_socket(socket);
    mount.target = args.n == 2 ? args.v[0] : socket;
    mount.dir = args.v[args.n - 1];
    mount.fuse = words.s;
    mount.n_fuse = words.n;
    lf_log_set_level((enum lf_log_level)level);
    enum lf_err rc = lf_remote_key(&key, &remote, &diag);
    mount.api_key = key.data;
    rc = rc ?: lf_mount_run(&mount, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}

int lf_cmd_umount(int argc, char **argv)
{
    bool lazy = false;
    const struct lf_option options[] = {
        {"lazy", 'l', LF_OPT_FLAG, NULL, &lazy, "even while files are open in it"},
        {0},
    };
    const struct lf_usage usage = {"lorafs umount", "DIR",         "Unmounts a tree.",
                                   options,         .args_min = 1, .args_max = 1};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    enum lf_err rc = lf_mount_undo(args.v[0], lazy, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
