/* `lorafs serve`: the daemon in this process, and its mount as a child.
 *
 * The child is forked first, while there is one thread and no device, and waits on a pipe; when the
 * daemon answers, it becomes `lorafs mount`. A signal stops the daemon, which lets answers under
 * way end; then the child unmounts. When the child ends by itself (somebody unmounted, or it
 * failed), the daemon stops too. A daemon that dies takes the child with it; one that restarts
 * because it lost the device keeps it. */
#include "tools/commands.h"

#include "core/clock.h"
#include "core/file.h"
#include "tools/limits.h"
#include "tools/serving.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNMOUNT_SECONDS 10 /* that the child gets before it is killed */

struct serve {
    struct lf_serving s;
    const char *mount_dir;
    struct lf_option_strs mount_options;
    pid_t child; /* the mount; 0: none */
    int go;      /* writing end of the child's pipe; -1: it is mounted */
};

/* ---- The child ------------------------------------------------------------------------------- */

/* Becomes `lorafs mount SOCKET DIR` once a byte says that the daemon answers. */
static void child_main(const struct serve *s, int wait_fd, const char *socket)
{
    char *argv[2 * LF_OPTION_LIST_MAX + 8];
    int n = 0;
    char go;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C is the parent's to act on */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (read(wait_fd, &go, 1) != 1)
        _exit(0);
    argv[n++] = "lorafs";
    argv[n++] = "mount";
    argv[n++] = "--foreground";
    if (s->s.daemon.api_key_file) {
        argv[n++] = "--api-key-file";
        argv[n++] = (char *)s->s.daemon.api_key_file;
    }
    if (s->s.log_format == LF_LOG_JSON) {
        argv[n++] = "--log-format";
        argv[n++] = "json";
    }
    for (int i = 0; i < s->mount_options.n; i++) {
        argv[n++] = "-o";
        argv[n++] = (char *)s->mount_options.s[i];
    }
    argv[n++] = (char *)socket;
    argv[n++] = (char *)s->mount_dir;
    argv[n] = NULL;
    execv("/proc/self/exe", argv);
    fprintf(stderr, "lorafs serve: cannot start the mount: %s\n", strerror(errno));
    _exit(1);
}

static enum lf_err child_start(struct serve *s, struct lf_diag *diag)
{
    char socket[LF_PATH_MAX];
    int fds[2];
    int n = s->s.daemon.socket_path
                ? snprintf(socket, sizeof socket, "unix:%s", s->s.daemon.socket_path)
                : snprintf(socket, sizeof socket, "unix:%s/lorafsd.sock", s->s.daemon.data_dir);
    if (n >= (int)sizeof socket)
        return lf_fail(diag, LF_E_INVALID, "the socket's path is too long");
    if (pipe2(fds, O_CLOEXEC) != 0)
        return lf_fail_errno(diag, errno, "pipe");
    s->child = fork();
    if (s->child < 0) {
        close(fds[0]);
        close(fds[1]);
        return lf_fail_errno(diag, errno, "fork");
    }
    if (s->child == 0) {
        close(fds[1]);
        child_main(s, fds[0], socket);
    }
    close(fds[0]);
    s->go = fds[1];
    return LF_OK;
}

/* Has the child unmount, and reaps it. LF_E_IO when it failed. */
static enum lf_err child_stop(struct serve *s, struct lf_diag *diag)
{
    int status = 0;
    if (s->go >= 0)
        close(s->go);
    if (waitpid(s->child, &status, WNOHANG) == 0) {
        kill(s->child, SIGTERM);
        int64_t left = (int64_t)UNMOUNT_SECONDS * 50;
        while (waitpid(s->child, &status, WNOHANG) == 0 && left-- > 0)
            lf_clock_sleep(20 * LF_NS_PER_MS);
        if (left < 0) {
            kill(s->child, SIGKILL);
            waitpid(s->child, &status, 0);
            return lf_fail(diag, LF_E_TIMED_OUT, "the mount did not end; unmount %s by hand",
                           s->mount_dir);
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return lf_fail(diag, LF_E_IO, "the mount failed (its reason is above)");
    return LF_OK;
}

/* ---- The daemon ------------------------------------------------------------------------------ */

static void on_ready(void *arg, const struct lf_daemon_address *at)
{
    struct serve *s = arg;
    bool json =
        s->s.log_format == LF_LOG_JSON; /* then its log says where, without words to people */
    if (at->tcp[0] && !json)
        fprintf(stderr, "lorafs: serving http://%s\n", at->tcp);
    if (!json)
        fprintf(stderr, "lorafs: serving %s\n", at->unix_path);
    if (s->go >= 0) {
        if (!json)
            fprintf(stderr, "lorafs: mounting on %s; Ctrl-C stops both\n", s->mount_dir);
        if (write(s->go, "g", 1) != 1)
            fprintf(stderr, "lorafs: the mount is gone: %s\n", strerror(errno));
    }
}

static enum lf_err serve(struct serve *s, struct lf_diag *diag)
{
    enum lf_err rc = lf_serving_base(&s->s, diag);
    if (rc == LF_OK && s->mount_dir)
        rc = lf_dir_make(s->mount_dir, diag);
    rc = rc ?: lf_dir_make(s->s.daemon.data_dir, diag);
    s->child = s->s.mount;
    if (rc == LF_OK && s->mount_dir && s->child == 0)
        rc = child_start(s, diag);
    if (rc != LF_OK)
        return rc;
    s->s.daemon.ready = on_ready;
    s->s.daemon.ready_arg = s;
    rc = lf_serving_run(&s->s, s->child, diag);
    if (!s->mount_dir)
        return rc;
    enum lf_err unmounted = child_stop(s, rc == LF_OK ? diag : NULL);
    return rc ?: unmounted;
}

int lf_cmd_serve(int argc, char **argv)
{
    struct serve s = {.go = -1};
    lf_serving_init(&s.s);
    const struct lf_option options[] = {
        {"mount", 'M', LF_OPT_STR, "DIR", &s.mount_dir,
         "mount the tree here (made where it is missing); without it there is only HTTP"},
        {"mount-option", 'o', LF_OPT_STRS, "OPT", &s.mount_options,
         "passed on to `lorafs mount` as -o OPT; may be given again"},
        LF_SERVING_OPTIONS(s.s),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs serve", "--base DIR --data DIR --mount DIR",
        "Starts the daemon in this process and mounts its tree. Ctrl-C lets answers under way end, "
        "unmounts and stops. For a machine that boots, run `lorafsd` and `lorafs mount` as two "
        "services instead.",
        options,
        .examples = "  lorafs serve --base share/base --data data --mount /mnt/models\n"
                    "  lorafs serve --base mistralai/Mistral-7B-v0.1 --mount /mnt/models"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    enum lf_err rc = serve(&s, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
