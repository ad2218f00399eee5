/* The command line of the daemon. */
#include "tools/serving.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "client/paths.h"
#include "tools/hub_cache.h"
#include "tools/limits.h"
#include "tools/version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALM_NS 60000000000u            /* a loss later than this after a start begins a new row */
#define EARLIER "LORAFS_EARLIER_LOSSES" /* "TOTAL IN_A_ROW MOUNT", from one life to the next */

/* What the process was before it restarted itself; nothing, where it did not. */
static void remember(struct lf_serving *s)
{
    int total, row, mount;
    const char *text = getenv(EARLIER);
    if (text && sscanf(text, "%d %d %d", &total, &row, &mount) == 3 && total > 0 && row >= 0 &&
        mount >= 0) {
        s->daemon.device_losses = total;
        s->losses_in_a_row = row;
        s->mount = mount;
    }
    unsetenv(EARLIER);
}

void lf_serving_init(struct lf_serving *s)
{
    *s = (struct lf_serving){.quant = LF_QUANT_NF4, .log_level = LF_LOG_INFO};
    lf_daemon_options_default(&s->daemon);
    lf_path_data(s->data_dir);
    s->daemon.data_dir = s->data_dir;
    s->daemon.version = lf_version;
    s->threads = s->daemon.threads;
    s->seats.n = s->daemon.seats;
    s->seats.gpu = "0";
    s->slots = s->daemon.slots;
    s->batch_tokens = s->daemon.batch_tokens_max;
    s->train_tokens = s->daemon.train_tokens;
    s->recompute = (int)s->daemon.recompute;
    s->drain_seconds = s->daemon.drain_seconds;
    s->request_seconds = s->daemon.request_seconds;
    s->speculate = s->daemon.speculate - LF_SPECULATE_AUTO;
    s->started_ns = lf_clock_ns();
    remember(s);
}

static void take_options(struct lf_serving *s)
{
    s->daemon.device = (enum lf_device_kind)s->device;
    s->daemon.seats = (int)s->seats.n;
    memcpy(s->daemon.gpu, s->seats.card, sizeof s->daemon.gpu);
    s->daemon.quant = (enum lf_quant)s->quant;
    s->daemon.threads = (int)s->threads;
    s->daemon.cpu_products = (enum lf_cpu_products)s->cpu_products;
    s->daemon.slots = (int)s->slots;
    s->daemon.pinned = s->pin.s;
    s->daemon.n_pinned = s->pin.n;
    s->daemon.batch_tokens_max = (int)s->batch_tokens;
    s->daemon.train_tokens = (int)s->train_tokens;
    s->daemon.recompute = (enum lf_recompute)s->recompute;
    s->daemon.lame_duck_seconds = (int)s->lame_duck_seconds;
    s->daemon.drain_seconds = (int)s->drain_seconds;
    s->daemon.request_seconds = (int)s->request_seconds;
    s->daemon.speculate = s->speculate + LF_SPECULATE_AUTO; /* "auto" and "off" come first */
    lf_log_set_level((enum lf_log_level)s->log_level);
    lf_log_set_format((enum lf_log_format)s->log_format);
}

/* What stops the daemon: a signal, and the end of the mount's process. Not SIGCHLD, which comes of
 * every child: the store is read by one at each start. */
struct stop {
    int any; /* readable when one of the two is */
    int signals, mount;
};

static void stop_close(struct stop *s)
{
    const int fds[] = {s->any, s->signals, s->mount};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static bool watch(const struct stop *s, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};
    return fd >= 0 && epoll_ctl(s->any, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* Blocks the signals that stop the daemon, for this thread and those it starts. mount: 0: none. */
static enum lf_err stop_open(struct stop *s, pid_t mount, struct lf_diag *diag)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    *s = (struct stop){-1, -1, -1};
    if (sigprocmask(SIG_BLOCK, &set, NULL) == 0) {
        s->any = epoll_create1(EPOLL_CLOEXEC);
        s->signals = signalfd(-1, &set, SFD_CLOEXEC);
        s->mount = mount ? pidfd_open(mount, 0) : -1;
    }
    if (watch(s, s->signals) && (mount == 0 || watch(s, s->mount)))
        return LF_OK;
    enum lf_err rc = lf_fail_errno(diag, errno, "signals");
    stop_close(s);
    return rc;
}

/* A descriptor that is readable when SIGHUP came, where there is a certificate that it has read
 * anew, or a supervisor, whose `reload` it is; else it ends the process, as it does when a terminal
 * is closed. */
static int open_reload_fd(const struct lf_serving *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    bool wanted = s->daemon.tls_cert || getenv("NOTIFY_SOCKET");
    if (!wanted || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The arguments of this process, from where the kernel has them; NULL: they cannot be had. */
static char **own_arguments(struct lf_buf *text)
{
    size_t n = 0;
    lf_buf_init(text, 0);
    if (lf_file_read(text, "/proc/self/cmdline", LF_ARGS_BYTES_MAX, NULL) != LF_OK)
        return NULL;
    for (size_t i = 0; i < text->len; i++)
        n += text->data[i] == '\0';
    char **argv = calloc(n + 1, sizeof *argv), *at = text->data;
    for (size_t i = 0; argv && i < n; i++, at += strlen(at) + 1)
        argv[i] = at;
    return argv;
}

/* Returns where it cannot be. */
static void restart(const struct lf_serving *s, pid_t mount, struct lf_diag *diag)
{
    struct lf_buf text;
    char earlier[64];
    int row = lf_clock_ns() - s->started_ns < CALM_NS ? s->losses_in_a_row + 1 : 1;
    if (row > LF_DEVICE_LOSSES_MAX) {
        lf_fail_within(diag, LF_E_DEVICE_LOST, "lost %d times in a row", row);
        return;
    }
    char **argv = own_arguments(&text);
    snprintf(earlier, sizeof earlier, "%d %d %d", s->daemon.device_losses + 1, row, (int)mount);
    if (argv && setenv(EARLIER, earlier, 1) == 0 && close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0) {
        lf_log(LF_LOG_WARN, "daemon", "restarting: the device was lost (%d of %d in a row)", row,
               LF_DEVICE_LOSSES_MAX);
        execv("/proc/self/exe", argv);
    }
    lf_fail_within(diag, LF_E_DEVICE_LOST, "cannot restart: %s", strerror(errno));
    free(argv);
    lf_buf_free(&text);
}

/* "NAME=BASE", or what is a base as it stands. */
static enum lf_err base_find(struct lf_serving *s, int i, struct lf_diag *diag)
{
    struct lf_serving_base *b = &s->base_at[i];
    const char *at = s->base.s[i], *equals = strchr(at, '=');
    size_t n = equals ? (size_t)(equals - at) : 0;
    struct stat there;
    if (n > 0 && n <= LF_NAME_MAX && !memchr(at, '/', n) && stat(at, &there) != 0) {
        memcpy(b->name, at, n);
        at = equals + 1;
    }
    s->bases[i] = (struct lf_daemon_base){b->name, b->dir};
    return lf_hub_base(b->dir, at, false, diag);
}

enum lf_err lf_serving_base(struct lf_serving *s, struct lf_diag *diag)
{
    enum lf_err rc = lf_seats_read(&s->seats, &s->device, diag);
    if (rc == LF_OK && s->base.n > LF_BASES_MAX)
        rc = lf_fail(diag, LF_E_INVALID, "--base may be given %d times", LF_BASES_MAX);
    for (int i = 0; i < s->base.n && rc == LF_OK; i++)
        rc = base_find(s, i, diag);
    s->daemon.bases = s->bases;
    s->daemon.n_bases = s->base.n;
    if (rc == LF_OK && s->base.n > 1 && s->daemon.draft_dir)
        return lf_fail(diag, LF_E_INVALID, "--draft is of one base, and there are %d", s->base.n);
    if (rc != LF_OK || !s->daemon.draft_dir)
        return rc;
    if (s->speculate + LF_SPECULATE_AUTO == 0)
        return lf_fail(diag, LF_E_INVALID, "--draft and --speculate off do not go together");
    rc = lf_hub_base(s->draft_dir, s->daemon.draft_dir, false, diag);
    s->daemon.draft_dir = s->draft_dir;
    return rc;
}

enum lf_err lf_serving_run(struct lf_serving *s, pid_t mount, struct lf_diag *diag)
{
    take_options(s);
    umask(077); /* what people train on is for nobody else's eyes */
    struct stop stop;
    enum lf_err rc = stop_open(&stop, mount, diag);
    if (rc != LF_OK)
        return rc;
    s->daemon.stop_fd = stop.any;
    s->daemon.reload_fd = open_reload_fd(s);
    rc = lf_daemon_run(&s->daemon, diag);
    stop_close(&stop);
    if (s->daemon.reload_fd >= 0)
        close(s->daemon.reload_fd);
    if (rc == LF_E_DEVICE_LOST)
        restart(s, mount, diag);
    return rc;
}
