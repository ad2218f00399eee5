/* The sandbox. prlimit sets the limits and becomes bwrap, which makes the namespaces, sets the
 * filter and becomes python. Three descriptors go in: the program (0), the answers (1), the filter
 * (3).
 *
 * The wrapper answers '+' when it is there, so that a sandbox that cannot be made differs from a
 * program that fails, and a secret when the program has run to its end, so that leaving early is no
 * success. */
#include "score/sandbox.h"

#include "core/clock.h"
#include "score/limits.h"

#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET_BYTES 32

static const char wrapper[] =
    "import os, sys\n"
    "secret, program = sys.stdin.buffer.read().split(b'\\n', 1)\n"
    "answers = os.dup(1)\n"
    "os.write(answers, b'+')\n"
    "null = os.open('/dev/null', os.O_RDWR)\n"
    "for fd in range(3):\n"
    "    os.dup2(null, fd)\n"
    "def run():\n"
    "    exec(compile(program, 'program', 'exec'), {'__name__': 'program'})\n"
    "run()\n"
    "os.write(answers, secret)\n";

/* ---- Files and pipes ------------------------------------------------------------------------- */

/* A file in memory with these pieces, to be read from its start; -1 on failure. */
static int memory_file(const void *a, size_t n_a, const void *b, size_t n_b)
{
    int fd = memfd_create("sandbox", MFD_CLOEXEC);
    const char *pieces[] = {a, b};
    size_t sizes[] = {n_a, n_b};
    bool ok = fd >= 0;
    for (int i = 0; i < 2 && ok; i++)
        for (size_t at = 0; at < sizes[i] && ok;) {
            ssize_t n = write(fd, pieces[i] + at, sizes[i] - at);
            ok = n > 0 || (n < 0 && errno == EINTR);
            at += n > 0 ? (size_t)n : 0;
        }
    if (ok && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The filter for bwrap, to be read from its start; -1 on failure. What begins a process or a thread
 * or reaches for the kernel's own fails; numbers of another machine kill. */
static int filter_file(void)
{
    static const int denied[] = {
        SCMP_SYS(fork),       SCMP_SYS(vfork), SCMP_SYS(clone),           SCMP_SYS(clone3),
        SCMP_SYS(unshare),    SCMP_SYS(setns), SCMP_SYS(ptrace),          SCMP_SYS(mount),
        SCMP_SYS(keyctl),     SCMP_SYS(bpf),   SCMP_SYS(perf_event_open), SCMP_SYS(io_uring_setup),
        SCMP_SYS(userfaultfd)};
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    int fd = memfd_create("filter", MFD_CLOEXEC);
    bool ok =
        c && fd >= 0 && seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0;
    for (size_t i = 0; i < sizeof denied / sizeof *denied && ok; i++)
        ok = seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), denied[i], 0) == 0;
    ok = ok && seccomp_export_bpf(c, fd) == 0 && lseek(fd, 0, SEEK_SET) == 0;
    seccomp_release(c);
    if (ok)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

struct box {
    int program, filter;           /* files to be read; -1: none */
    int answers[2], trouble[2];    /* pipes: ours, its; -1: closed */
    pid_t pid;                     /* 0: not started */
    char secret[SECRET_BYTES + 1]; /* as hex, and the newline after it */
};

static void close_box(struct box *b)
{
    int *const fds[] = {&b->program,    &b->filter,     &b->answers[0],
                        &b->answers[1], &b->trouble[0], &b->trouble[1]};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* Moves a descriptor out of the way of 0 to 3. */
static bool lift(int *fd)
{
    int high = *fd >= 0 ? fcntl(*fd, F_DUPFD_CLOEXEC, 10) : -1;
    if (high < 0)
        return false;
    close(*fd);
    *fd = high;
    return true;
}

static enum lf_err make_secret(struct box *b, struct lf_diag *diag)
{
    unsigned char bytes[SECRET_BYTES / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return lf_fail_errno(diag, errno, "no random bytes for a sandbox");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(b->secret + 2 * i, 3, "%02x", bytes[i]);
    b->secret[SECRET_BYTES] = '\n';
    return LF_OK;
}

static enum lf_err open_box(struct box *b, const char *program, size_t n, struct lf_diag *diag)
{
    *b = (struct box){-1, -1, {-1, -1}, {-1, -1}, 0, ""};
    enum lf_err rc = make_secret(b, diag);
    if (rc != LF_OK)
        return rc;
    b->program = memory_file(b->secret, sizeof b->secret, program, n);
    b->filter = filter_file();
    if (b->program < 0 || b->filter < 0 || pipe2(b->answers, O_CLOEXEC) != 0 ||
        pipe2(b->trouble, O_CLOEXEC) != 0 || !lift(&b->program) || !lift(&b->filter) ||
        !lift(&b->answers[1]) || !lift(&b->trouble[1]))
        return lf_fail_errno(diag, errno, "no descriptors for a sandbox");
    fcntl(b->answers[0], F_SETFL, O_NONBLOCK);
    fcntl(b->trouble[0], F_SETFL, O_NONBLOCK);
    return LF_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

#define FILTER_FD "3"

static enum lf_err start(struct box *b, const struct lf_sandbox_limits *limits,
                         struct lf_diag *diag)
{
    char memory[48], processor[48];
    snprintf(memory, sizeof memory, "--as=%zu", limits->memory_bytes);
    snprintf(processor, sizeof processor, "--cpu=%d", limits->seconds);
    /* clang-format off */
    const char *const argv[] = {
        "prlimit", memory, processor, "--fsize=0", "--core=0", "--nofile=64", "--",
        "/usr/bin/bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc",
        "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop",
        "ALL", "--uid", "65534", "--gid", "65534", "--clearenv", "--ro-bind", "/usr", "/usr",
        "--ro-bind-try", "/lib", "/lib", "--ro-bind-try", "/lib64", "/lib64", "--dev", "/dev",
        "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--seccomp", FILTER_FD, "--",
        "/usr/bin/python3", "-I", "-S", "-c", wrapper, NULL};
    /* clang-format on */
    char *const environment[] = {NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
    int bad = posix_spawn_file_actions_adddup2(&files, b->program, 0);
    bad = bad ? bad : posix_spawn_file_actions_adddup2(&files, b->answers[1], 1);
    bad = bad ? bad : posix_spawn_file_actions_adddup2(&files, b->trouble[1], 2);
    bad = bad ? bad : posix_spawn_file_actions_adddup2(&files, b->filter, 3);
    bad = bad ? bad
              : posix_spawn(&b->pid, "/usr/bin/prlimit", &files, &how,
                            (char *const *)(uintptr_t)argv, environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    if (bad)
        return lf_fail(diag, LF_E_UNSUPPORTED, "a sandbox cannot be started: /usr/bin/prlimit: %s",
                       strerror(bad));
    close(b->answers[1]);
    close(b->trouble[1]);
    b->answers[1] = b->trouble[1] = -1;
    return LF_OK;
}

/* Reads what is there into text (a string); false at the pipe's end. */
static bool drain(int fd, char *text, size_t size)
{
    char more[256];
    ssize_t n;
    while ((n = read(fd, more, sizeof more)) > 0) {
        size_t used = strlen(text), room = size - 1 - used;
        size_t take = (size_t)n < room ? (size_t)n : room;
        memcpy(text + used, more, take);
        text[used + take] = '\0';
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Until the box closes its pipes, or time is up (false). */
static bool listen_to(struct box *b, int seconds, char *answers, size_t n_answers, char *trouble,
                      size_t n_trouble)
{
    uint64_t end = lf_clock_ns() + (uint64_t)seconds * 1000000000u;
    bool open = true, open_trouble = true;
    while (open || open_trouble) {
        uint64_t now = lf_clock_ns();
        if (now >= end)
            return false;
        struct pollfd fds[] = {{open ? b->answers[0] : -1, POLLIN, 0},
                               {open_trouble ? b->trouble[0] : -1, POLLIN, 0}};
        poll(fds, 2, (int)((end - now) / 1000000) + 1);
        if (fds[0].revents)
            open = drain(b->answers[0], answers, n_answers);
        if (fds[1].revents)
            open_trouble = drain(b->trouble[0], trouble, n_trouble);
    }
    return true;
}

enum lf_err lf_sandbox_run(enum lf_sandbox_end *out, const char *program, size_t n,
                           const struct lf_sandbox_limits *limits, struct lf_diag *diag)
{
    char answers[SECRET_BYTES + 8] = "", trouble[LF_SANDBOX_STDERR_MAX] = "";
    struct box b;
    enum lf_err rc = open_box(&b, program, n, diag) ?: start(&b, limits, diag);
    if (rc != LF_OK) {
        close_box(&b);
        return rc;
    }
    bool ended = listen_to(&b, limits->seconds * LF_SANDBOX_PATIENCE, answers, sizeof answers,
                           trouble, sizeof trouble);
    if (!ended)
        kill(b.pid, SIGKILL);
    while (waitpid(b.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close_box(&b);
    b.secret[SECRET_BYTES] = '\0';
    if (answers[0] == '+') {
        bool passed = ended && strcmp(answers + 1, b.secret) == 0;
        *out = passed ? LF_SANDBOX_PASSED : ended ? LF_SANDBOX_FAILED : LF_SANDBOX_TIMED_OUT;
        return LF_OK;
    }
    trouble[strcspn(trouble, "\n")] = '\0';
    return lf_fail(diag, LF_E_UNSUPPORTED, "a sandbox cannot be made: %s",
                   trouble[0] ? trouble
                   : ended    ? "it ended at once"
                              : "it did not begin in time");
}

enum lf_err lf_sandbox_ready(struct lf_diag *diag)
{
    static const char *const programs[] = {"/usr/bin/prlimit", "/usr/bin/bwrap",
                                           "/usr/bin/python3"};
    const struct lf_sandbox_limits limits = {.seconds = 5, .memory_bytes = 1u << 30};
    enum lf_sandbox_end end;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (access(programs[i], X_OK) != 0)
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "programs are run in a sandbox, which needs %s (Debian: %s)",
                           programs[i],
                           i == 0   ? "util-linux"
                           : i == 1 ? "bubblewrap"
                                    : "python3");
    enum lf_err rc = lf_sandbox_run(&end, "", 0, &limits, diag);
    return rc == LF_OK && end != LF_SANDBOX_PASSED
               ? lf_fail(diag, LF_E_UNSUPPORTED, "an empty program does not pass in a sandbox")
               : rc;
}
