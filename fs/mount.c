/* The mount's life: the kernel's side, the loop, the end. */
#include "fs/mount.h"

#include "core/clock.h"
#include "core/log.h"
#include "fs/draft.h"
#include "fs/ops.h"
#include "fs/removal.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOP_REQUESTS 64   /* of the kernel in one turn, before HTTP and timers get theirs */
#define DRAIN_SECONDS 30   /* that uploads under way get after the unmount */
#define MAX_BACKGROUND 128 /* read-ahead and releases that the kernel keeps under way */

/* ---- The kernel's side ----------------------------------------------------------------------- */

static void on_init(void *arg, struct fuse_conn_info *conn)
{
    (void)arg;
    unsigned want = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS | FUSE_CAP_AUTO_INVAL_DATA |
                    FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS;
    unsigned never = FUSE_CAP_WRITEBACK_CACHE /* O_APPEND is ours */ | FUSE_CAP_SPLICE_READ |
                     FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS_AUTO;
    conn->want = (conn->want | (conn->capable & want)) & ~never;
    conn->max_background = MAX_BACKGROUND;
    conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
}

static const struct fuse_lowlevel_ops *operations(struct fuse_lowlevel_ops *ops)
{
    *ops = (struct fuse_lowlevel_ops){.init = on_init};
    lf_ops_lookup(ops);
    lf_ops_dirs(ops);
    lf_ops_make(ops);
    lf_ops_remove(ops);
    lf_ops_rename(ops);
    lf_ops_open(ops);
    lf_ops_read(ops);
    lf_ops_write(ops);
    return ops;
}

/* "lorafs -o fsname=...,subtype=lorafs,default_permissions,<the user's>". */
static enum lf_err make_args(struct fuse_args *args, const struct lf_mount_options *o)
{
    char *opts = NULL, *fsname = NULL;
    int bad = asprintf(&fsname, "fsname=%s", o->target) < 0;
    if (bad)
        fsname = NULL;
    bad = bad || fuse_opt_add_opt_escaped(&opts, fsname) ||
          fuse_opt_add_opt(&opts, "subtype=lorafs,default_permissions");
    for (int i = 0; i < o->n_fuse && !bad; i++)
        bad = fuse_opt_add_opt(&opts, o->fuse[i]);
    bad = bad || fuse_opt_add_arg(args, "lorafs") || fuse_opt_add_arg(args, "-o") ||
          fuse_opt_add_arg(args, opts);
    free(fsname);
    free(opts);
    return bad ? LF_E_NO_MEMORY : LF_OK;
}

/* A mount whose process died answers everything with ENOTCONN: it is in the way. (statvfs asks; the
 * kernel may answer a stat from memory.) */
static enum lf_err clear_stale(const char *dir, struct lf_diag *diag)
{
    struct statvfs st;
    if (statvfs(dir, &st) == 0)
        return LF_OK;
    if (errno != ENOTCONN && errno != ECONNABORTED)
        return lf_fail_errno(diag, errno, "%s", dir);
    lf_log(LF_LOG_WARN, "fs", "%s: clearing the mount of a process that died", dir);
    return lf_mount_undo(dir, true, diag);
}

/* A directory, and free: two trees on one would hide each other. dir is absolute. */
static enum lf_err check_free(const char *dir, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    struct stat st;
    if (stat(dir, &st) != 0)
        return lf_fail_errno(diag, errno, "%s", dir);
    if (!S_ISDIR(st.st_mode))
        return lf_fail(diag, LF_E_INVALID, "%s is not a directory", dir);
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *m;
    while (mounts && (m = getmntent(mounts)))
        if (strcmp(m->mnt_type, "fuse.lorafs") == 0 && strcmp(m->mnt_dir, dir) == 0)
            rc = lf_fail(diag, LF_E_BUSY, "a tree is mounted on %s already", dir);
    if (mounts)
        endmntent(mounts);
    return rc;
}

/* ---- State ----------------------------------------------------------------------------------- */

/* On failure, too, fs_deinit ends it. */
static enum lf_err fs_init(struct lf_fs *fs, const struct lf_mount_options *o, struct lf_diag *diag)
{
    *fs = (struct lf_fs){.uid = getuid(), .gid = getgid(), .mounted_ms = lf_clock_unix_ms()};
    fs->stages.dir = -1;
    lf_waits_init(&fs->waits, fs, &fs->nodes);
    lf_snapshot_init(&fs->snapshot);
    LIST_INIT(&fs->timers);
    LIST_INIT(&fs->handles);
    lf_removal_init(fs);
    enum lf_err rc = lf_nodes_init(&fs->nodes);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "out of memory");
    fs->nodes.draft_free = lf_draft_free;
    rc = lf_stage_pool_init(&fs->stages, o->staging, diag);
    rc = rc ?: lf_client_new(&fs->client, o->target, o->api_key, o->cacert, diag);
    if (rc == LF_OK)
        lf_client_patience(fs->client, o->timeout_s, o->wait_s);
    fs->waits.client = fs->snapshot.client = fs->client;
    return rc;
}

static void fs_deinit(struct lf_fs *fs)
{
    while (!LIST_EMPTY(&fs->handles)) /* open still: a lazy unmount */
        lf_handle_discard(LIST_FIRST(&fs->handles));
    lf_client_free(fs->client);
    lf_nodes_deinit(&fs->nodes);
    lf_stage_pool_deinit(&fs->stages);
    lf_snapshot_deinit(&fs->snapshot);
}

/* Each staged file and each connection is a descriptor. */
static void raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

/* ---- The loop -------------------------------------------------------------------------------- */

struct loop {
    struct lf_fs *fs;
    struct fuse_buf buf;
    int signals;
};

static int earlier(int a_ms, int b_ms)
{
    return a_ms < 0 ? b_ms : b_ms < 0 || a_ms < b_ms ? a_ms : b_ms;
}

/* False: the kernel's side is gone. */
static bool serve_kernel(struct loop *l)
{
    struct fuse_session *se = l->fs->session;
    for (int i = 0; i < LOOP_REQUESTS && !fuse_session_exited(se); i++) {
        int n = fuse_session_receive_buf(se, &l->buf);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            return true;
        if (n <= 0)
            return false;
        fuse_session_process_buf(se, &l->buf);
        lf_op_run_interrupts(&l->fs->waits);
    }
    return !fuse_session_exited(se);
}

static bool was_told_to_stop(struct loop *l)
{
    struct signalfd_siginfo info;
    return read(l->signals, &info, sizeof info) == sizeof info;
}

static void serve(struct loop *l)
{
    struct lf_fs *fs = l->fs;
    bool going = true;
    struct pollfd fds[] = {{fuse_session_fd(fs->session), POLLIN, 0},
                           {lf_client_fd(fs->client), POLLIN, 0},
                           {l->signals, POLLIN, 0}};
    while (going) {
        int ms = earlier(lf_client_timeout_ms(fs->client), lf_timer_next_ms(&fs->timers));
        poll(fds, 3, ms);
        if (fds[0].revents)
            going = serve_kernel(l);
        lf_client_run(fs->client);
        lf_timer_run(&fs->timers);
        if (fds[2].revents && was_told_to_stop(l)) {
            serve_kernel(l); /* a close that was made before the signal counts */
            going = false;
        }
    }
}

/* What waits for the kernel's sake is let go, then the tree, then uploads that a close has begun
 * get their time. */
static void wind_up(struct loop *l)
{
    struct lf_fs *fs = l->fs;
    uint64_t until = lf_clock_ns() + (uint64_t)DRAIN_SECONDS * 1000 * LF_NS_PER_MS;
    struct pollfd fd = {lf_client_fd(fs->client), POLLIN, 0};
    lf_op_interrupt_all(&fs->waits);
    lf_removal_run(fs, true);
    fuse_session_unmount(fs->session);
    while (fs->waits.n_detached > 0 && lf_clock_ns() < until) {
        poll(&fd, 1, earlier(lf_client_timeout_ms(fs->client), 1000));
        lf_client_run(fs->client);
    }
    if (fs->waits.n_detached > 0)
        lf_log(LF_LOG_WARN, "fs", "%zu uploads or removals did not end in %d s",
               fs->waits.n_detached, DRAIN_SECONDS);
    while (!TAILQ_EMPTY(&fs->waits.all)) /* those, or new ones whose signals cannot be delivered */
        lf_op_abandon(TAILQ_FIRST(&fs->waits.all));
}

/* Before there is a mount, so that no signal leaves it behind. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* In the process that stays. */
static enum lf_err run_mounted(struct lf_fs *fs, int signals, struct lf_diag *diag)
{
    struct loop l = {.fs = fs, .signals = signals};
    int fd = fuse_session_fd(fs->session);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return lf_fail_errno(diag, errno, "the mount's descriptor");
    serve(&l);
    wind_up(&l);
    free(l.buf.mem);
    return LF_OK;
}

static enum lf_err go_background(const struct lf_mount_options *o, struct lf_diag *diag)
{
    int log = -1;
    if (!o->foreground && o->log) {
        log = open(o->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (log < 0)
            return lf_fail_errno(diag, errno, "%s", o->log);
    }
    if (fuse_daemonize(o->foreground) != 0) {
        if (log >= 0)
            close(log);
        return lf_fail(diag, LF_E_IO, "cannot go to the background");
    }
    if (log >= 0) {
        dup2(log, STDERR_FILENO);
        close(log);
    }
    return LF_OK;
}

static enum lf_err mount_and_run(struct lf_fs *fs, const struct lf_mount_options *o,
                                 const char *dir, struct lf_diag *diag)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_lowlevel_ops ops;
    enum lf_err rc = make_args(&args, o);
    if (rc == LF_OK)
        fs->session = fuse_session_new(&args, operations(&ops), sizeof ops, fs);
    fuse_opt_free_args(&args);
    if (!fs->session)
        return lf_fail(diag, rc == LF_OK ? LF_E_INVALID : rc, "a mount option is not known");
    int signals = open_signals();
    if (signals < 0)
        rc = lf_fail_errno(diag, errno, "signals");
    if (rc == LF_OK && fuse_session_mount(fs->session, dir) != 0)
        rc = lf_fail(diag, LF_E_IO, "cannot mount on %s", dir);
    if (rc == LF_OK) {
        rc = go_background(o, diag) ?: run_mounted(fs, signals, diag);
        fuse_session_unmount(fs->session);
    }
    if (signals >= 0)
        close(signals);
    fuse_session_destroy(fs->session);
    return rc;
}

enum lf_err lf_mount_run(const struct lf_mount_options *o, struct lf_diag *diag)
{
    struct lf_fs fs;
    char *dir = NULL; /* absolute: the background is in the root directory */
    raise_limits();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum lf_err rc = clear_stale(o->dir, diag);
    if (rc == LF_OK && !(dir = realpath(o->dir, NULL)))
        rc = lf_fail_errno(diag, errno, "%s", o->dir);
    rc = rc ?: check_free(dir, diag);
    if (rc == LF_OK) {
        rc = fs_init(&fs, o, diag) ?: mount_and_run(&fs, o, dir, diag);
        fs_deinit(&fs);
    }
    free(dir);
    curl_global_cleanup();
    return rc;
}

/* ---- Unmounting ------------------------------------------------------------------------------ */

/* fusermount3 is what lets a user unmount what that user has mounted. */
static enum lf_err undo_by_helper(const char *dir, bool lazy, struct lf_diag *diag)
{
    int status = 0;
    pid_t child;
    char program[] = "fusermount3", unmount[] = "-u", quiet[] = "-qz", end[] = "--";
    char *argv[] = {program, unmount, quiet, end, (char *)(uintptr_t)dir, NULL};
    if (!lazy)
        quiet[2] = '\0';
    int failed = posix_spawnp(&child, argv[0], NULL, NULL, argv, environ);
    if (failed)
        return lf_fail_errno(diag, failed, "fusermount3 (of the package fuse3)");
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return LF_OK;
    return lf_fail(diag, LF_E_BUSY, "cannot unmount %s: not mounted, or in use", dir);
}

enum lf_err lf_mount_undo(const char *dir, bool lazy, struct lf_diag *diag)
{
    if (geteuid() != 0)
        return undo_by_helper(dir, lazy, diag);
    if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return LF_OK;
    return lf_fail_errno(diag, errno, "cannot unmount %s", dir);
}
