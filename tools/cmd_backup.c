/* `lorafs backup` and `lorafs restore`: a data directory is copied, and comes back. */
#include "tools/commands.h"

#include "client/paths.h"
#include "core/log.h"
#include "backup/backup.h"
#include "fsck/fsck.h"
#include "tools/options.h"

#include <stdio.h>
#include <sys/stat.h>

#define MB(n) ((double)(n) / 1e6)

int lf_cmd_backup(int argc, char **argv)
{
    const char *data = NULL;
    char path[LF_PATH_MAX];
    const struct lf_option options[] = {
        {"data", 0, LF_OPT_STR, "DIR", &data, "the data directory; otherwise the default one"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs backup",
        "DIR [--data DATA]",
        "Copies a daemon's data directory into DIR, also while the daemon runs: adapters, "
        "versions, data sets, jobs with their checkpoints and the store, all of one moment. Files "
        "are kept by their digest, so that the next backup into DIR copies what has changed.\n\n"
        "The trash and the base are no part of it. DIR is on another disk, best.",
        options,
        .args_min = 1,
        .args_max = 1,
        .examples = "  lorafs backup /mnt/nas/lorafs && lorafs restore /mnt/nas/lorafs /srv/new"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_backup_counts n;
    umask(077); /* as the data directory */
    lf_path_data(path);
    enum lf_err rc = lf_backup(data ? data : path, args.v[0], &n, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    printf("%lld files, %.1f MB; copied %lld files, %.1f MB\n", (long long)n.files, MB(n.bytes),
           (long long)n.files_copied, MB(n.bytes_copied));
    return 0;
}

static void print_problem(void *arg, const struct lf_fsck_problem *p)
{
    (void)arg;
    printf("%s: %s: %s\n", p->where, p->what, p->mended ? p->mended : "left");
}

int lf_cmd_restore(int argc, char **argv)
{
    const char *set = NULL;
    const struct lf_option options[] = {
        {"set", 0, LF_OPT_STR, "NAME", &set, "a file of DIR/sets; otherwise the newest backup"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs restore",
        "DIR DATA [--set NAME]",
        "Makes a data directory of a backup. DATA must be empty, or not there; each file must be "
        "what its digest says, or nothing is left there. Then it is checked, as by lorafs fsck.",
        options,
        .args_min = 2,
        .args_max = 2};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_backup_counts n;
    struct lf_fsck_counts found = {0};
    umask(077); /* as a data directory that the daemon makes */
    lf_log_set_level(LF_LOG_OFF);
    enum lf_err rc = lf_restore(args.v[0], set, args.v[1], &n, &diag);
    rc = rc ?: lf_fsck_run(args.v[1], true, print_problem, NULL, &found, &diag);
    if (rc == LF_OK && found.left > 0)
        rc = lf_fail(&diag, LF_E_DAMAGED, "%lld problems are left", (long long)found.left);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    printf("%lld files, %.1f MB; %lld adapters, %lld versions\n", (long long)n.files, MB(n.bytes),
           (long long)found.adapters, (long long)found.versions);
    return 0;
}
