/* `lorafs mount` and `lorafs umount`. */
#include "core/buf.h"
#include "core/log.h"
#include "fs/mount.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "client/paths.h"
#include "client/remote.h"

#include <stdio.h>
#include <string.h>

/* The words that are options of ours ("api-key-file=FILE"), which is how fstab has them, are taken
 * as such; the others go to FUSE: `rest`, in `text`. */
static enum lf_err split_words(const struct lf_usage *u, const struct lf_option_strs *words,
                               char text[LF_PATH_MAX], struct lf_option_strs *rest,
                               struct lf_diag *diag)
{
    size_t at = 0;
    for (int i = 0; i < words->n; i++) {
        int n = snprintf(text + at, LF_PATH_MAX - at, "%s", words->s[i]);
        if (n < 0 || (size_t)n >= LF_PATH_MAX - at)
            return lf_fail(diag, LF_E_TOO_BIG, "the mount options are too long");
        char *next = text + at;
        at += (size_t)n + 1;
        while (next) {
            char *word = next, *value = NULL;
            next = strchr(word, ',');
            if (next)
                *next++ = '\0';
            enum lf_err rc = LF_E_NOT_FOUND;
            if (strcmp(word, "option") != 0 && (value = strchr(word, '='))) {
                *value = '\0';
                rc = lf_option_set(u, word, value + 1, diag);
                *value = '=';
            }
            if (rc != LF_OK && rc != LF_E_NOT_FOUND)
                return rc;
            if (rc == LF_E_NOT_FOUND && rest->n == LF_OPTION_LIST_MAX)
                return lf_fail(diag, LF_E_INVALID, "too many mount options");
            if (rc == LF_E_NOT_FOUND)
                rest->s[rest->n++] = word;
        }
    }
    return LF_OK;
}

int lf_cmd_mount(int argc, char **argv)
{
    struct lf_remote_options remote = {0};
    struct lf_mount_options mount = {0};
    struct lf_option_strs words = {0};
    int64_t timeout = 15, wait = 30;
    int level = LF_LOG_INFO, format = LF_LOG_TEXT;
    const struct lf_option options[] = {
        {"foreground", 'f', LF_OPT_FLAG, NULL, &mount.foreground,
         "stay in the foreground, with messages on stderr"},
        {"option", 'o', LF_OPT_STRS, "WORD[,WORD...]", &words,
         "mount options, such as allow_other or ro, and NAME=VALUE of the options here; may be "
         "given again"},
        LF_REMOTE_OPTIONS(remote),
        {"staging", 0, LF_OPT_STR, "DIR", &mount.staging,
         "where files that are being written wait; otherwise TMPDIR or /var/tmp"},
        {"timeout", 0, LF_OPT_INT, "SECONDS", &timeout,
         "how long a daemon that is there may be silent before its calls fail", .lo = 1,
         .hi = 3600},
        {"wait", 0, LF_OPT_INT, "SECONDS", &wait,
         "how long reads and writes wait for a daemon that is silent or away before they fail; "
         "what was listed is shown meanwhile",
         .lo = 0, .hi = 86400},
        {"log", 0, LF_OPT_STR, "FILE", &mount.log, "messages of the background go there"},
        {"log-level", 0, LF_OPT_CHOICE, "debug|info|warn|error", &level, "least level of messages"},
        {"log-format", 0, LF_OPT_CHOICE, LF_LOG_FORMAT_WORDS, &format, "form of messages"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs mount",
        "[URL|SOCKET] DIR",
        "Mounts a daemon's tree on DIR. The daemon is http://host:port or the path of its unix "
        "socket; without it, the socket in the default data directory. It may start later, stop "
        "and come back: the tree is there when it is. A mount whose process died is cleared "
        "first.\n\n"
        "`mount -t fuse.lorafs URL DIR` and a line of fstab do the same.",
        options,
        .args_min = 1,
        .args_max = 2,
        .examples = "  lorafs mount /mnt/models\n"
                    "  # /etc/fstab\n"
                    "  http://gpu1:8080 /mnt/models fuse.lorafs _netdev,api-key-file=/etc/key 0 0\n"
                    "  lorafs mount -o allow_other http://gpu1:8080 /mnt/models"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    char socket[LF_PATH_MAX], text[LF_PATH_MAX];
    struct lf_option_strs fuse = {.n = 0};
    struct lf_diag diag = {""};
    if (split_words(&usage, &words, text, &fuse, &diag) != LF_OK)
        return lf_usage_error(&usage, "-o: %s", diag.text);
    lf_buf_auto key = {0};
    lf_path_socket(socket);
    mount.target = args.n == 2 ? args.v[0] : remote.url ? remote.url : socket;
    mount.dir = args.v[args.n - 1];
    mount.fuse = fuse.s;
    mount.n_fuse = fuse.n;
    lf_log_set_level((enum lf_log_level)level);
    lf_log_set_format((enum lf_log_format)format);
    enum lf_err rc = lf_remote_key(&key, &remote, &diag);
    mount.api_key = key.data;
    mount.cacert = remote.cacert;
    mount.timeout_s = (int)timeout;
    mount.wait_s = (int)wait;
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
