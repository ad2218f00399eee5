/* The sandbox. prlimit sets the limits and becomes bwrap, which makes the namespaces, sets the
 * filter and becomes python, which runs one of the scripts below. Into each box go descriptors: the
 * program (0), the verdict (1; of the program's box nobody reads it), trouble (2), the filter (3)
 * and the socket to the other box (4).
 *
 * A script writes '+' as trouble when it is there, so that a sandbox that cannot be made differs
 * from a program that fails. The judge's writes '.' as the verdict at its end: it is in another
 * process than the program, which can neither write there nor see it. */
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMON                                                                     \
    "import builtins, json, os, socket, sys\n"                                     \
    "source = sys.stdin.buffer.read()\n"                                           \
    "verdict = os.dup(1)\n"                                                        \
    "os.write(2, b'+')\n"                                                          \
    "null = os.open('/dev/null', os.O_RDWR)\n"                                     \
    "for fd in range(3):\n"                                                        \
    "    os.dup2(null, fd)\n"                                                      \
    "link = socket.socket(fileno=4).makefile('rwb')\n"                             \
    "kinds = {'list': list, 'tuple': tuple, 'set': set, 'frozenset': frozenset}\n" \
    "def pack(v):\n"                                                               \
    "    if v is None or isinstance(v, (bool, int, float, str)):\n"                \
    "        return v\n"                                                           \
    "    if isinstance(v, dict):\n"                                                \
    "        return ['dict', *([pack(k), pack(x)] for k, x in v.items())]\n"       \
    "    if isinstance(v, (bytes, bytearray)):\n"                                  \
    "        return ['bytes', v.decode('latin-1')]\n"                              \
    "    if isinstance(v, complex):\n"                                             \
    "        return ['complex', v.real, v.imag]\n"                                 \
    "    for name, kind in kinds.items():\n"                                       \
    "        if isinstance(v, kind):\n"                                            \
    "            return [name, *map(pack, v)]\n"                                   \
    "    raise TypeError(f'{type(v).__name__} is no data')\n"                      \
    "def unpack(v):\n"                                                             \
    "    if not isinstance(v, list):\n"                                            \
    "        return v\n"                                                           \
    "    name, *rest = v\n"                                                        \
    "    if name == 'dict':\n"                                                     \
    "        return {unpack(k): unpack(x) for k, x in rest}\n"                     \
    "    if name == 'bytes':\n"                                                    \
    "        return rest[0].encode('latin-1')\n"                                   \
    "    if name == 'complex':\n"                                                  \
    "        return complex(*rest)\n"                                              \
    "    return kinds[name](map(unpack, rest))\n"                                  \
    "def send(*words):\n"                                                          \
    "    link.write(json.dumps(words).encode() + b'\\n')\n"                        \
    "    link.flush()\n"

/* Runs the program, then its functions as they are asked for. */
static const char program_script[] =
    COMMON "os.close(verdict)\n"
           "scope = {'__name__': 'program'}\n"
           "exec(compile(source, 'program', 'exec'), scope)\n"
           "send('ready')\n"
           "for line in link:\n"
           "    name, args, named = json.loads(line)\n"
           "    try:\n"
           "        send('result', pack(scope[name](*unpack(args), **unpack(named))))\n"
           "    except Exception as e:\n"
           "        send('raised', type(e).__name__, str(e))\n";

/* Runs the judge. What comes from the program is data: nothing of it is run here. */
static const char judge_script[] =
    COMMON "def receive():\n"
           "    line = link.readline()\n"
           "    if not line:\n"
           "        raise EOFError('the program has ended')\n"
           "    return json.loads(line)\n"
           "def program(name):\n"
           "    def ask(*args, **named):\n"
           "        send(name, pack(args), pack(named))\n"
           "        word, *rest = receive()\n"
           "        if word == 'result':\n"
           "            return unpack(rest[0])\n"
           "        kind = getattr(builtins, str(rest[0]), None)\n"
           "        known = isinstance(kind, type) and issubclass(kind, Exception)\n"
           "        raise (kind if known else RuntimeError)(str(rest[1]))\n"
           "    return ask\n"
           "receive()\n"
           "def run():\n"
           "    exec(compile(source, 'judge', 'exec'), {'__name__': 'judge', 'program': program})\n"
           "run()\n"
           "os.write(verdict, b'.')\n";

/* ---- Files and pipes ------------------------------------------------------------------------- */

/* A file in memory with these bytes, to be read from its start; -1 on failure. */
static int memory_file(const char *bytes, size_t size)
{
    int fd = memfd_create("sandbox", MFD_CLOEXEC);
    bool ok = fd >= 0;
    for (size_t at = 0; at < size && ok;) {
        ssize_t n = write(fd, bytes + at, size - at);
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

/* One side: a process, and what goes into it. Descriptors are -1 where they are closed. */
struct box {
    const char *script;
    int source, filter;               /* files to be read */
    int verdict[2], trouble[2];       /* pipes: ours, its */
    int link;                         /* its end of the socket */
    pid_t pid;                        /* 0: not started */
    char said[LF_SANDBOX_STDERR_MAX]; /* '+', or why it could not be made */
    bool listens;                     /* there may be more of that */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_box(struct box *b)
{
    int *const fds[] = {&b->source,     &b->filter,     &b->verdict[0], &b->verdict[1],
                        &b->trouble[0], &b->trouble[1], &b->link};
    if (b->pid > 0) {
        kill(b->pid, SIGKILL);
        while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        b->pid = 0;
    }
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close_fd(fds[i]);
}

/* Moves a descriptor out of the way of those that a box has. */
static bool lift(int *fd)
{
    int high = *fd >= 0 ? fcntl(*fd, F_DUPFD_CLOEXEC, 10) : -1;
    if (high < 0)
        return false;
    close(*fd);
    *fd = high;
    return true;
}

/* Takes link. */
static enum lf_err open_box(struct box *b, const char *script, const char *source, size_t n,
                            int link, struct lf_diag *diag)
{
    *b = (struct box){
        script, memory_file(source, n), filter_file(), {-1, -1}, {-1, -1}, link, 0, "", true};
    if (pipe2(b->verdict, O_CLOEXEC) != 0 || pipe2(b->trouble, O_CLOEXEC) != 0 ||
        !lift(&b->source) || !lift(&b->filter) || !lift(&b->verdict[1]) || !lift(&b->trouble[1]) ||
        !lift(&b->link))
        return lf_fail_errno(diag, errno, "no descriptors for a sandbox");
    fcntl(b->verdict[0], F_SETFL, O_NONBLOCK);
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
        "/usr/bin/python3", "-I", "-S", "-c", b->script, NULL};
    /* clang-format on */
    char *const environment[] = {NULL};
    const int fds[] = {b->source, b->verdict[1], b->trouble[1], b->filter, b->link};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
    int bad = 0;
    for (int i = 0; i < (int)(sizeof fds / sizeof *fds) && !bad; i++)
        bad = posix_spawn_file_actions_adddup2(&files, fds[i], i);
    if (!bad)
        bad = posix_spawn(&b->pid, "/usr/bin/prlimit", &files, &how, (char *const *)(uintptr_t)argv,
                          environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    if (bad) {
        b->pid = 0;
        return lf_fail(diag, LF_E_UNSUPPORTED, "a sandbox cannot be started: /usr/bin/prlimit: %s",
                       strerror(bad));
    }
    close_fd(&b->verdict[1]);
    close_fd(&b->trouble[1]);
    close_fd(&b->link); /* its death is the end of it for the other */
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

/* Until the judge's box closes its verdict, or time is up (false). */
static bool listen_to(struct box *program, struct box *judge, int seconds, char *verdict, size_t n)
{
    uint64_t end = lf_clock_ns() + (uint64_t)seconds * 1000000000u;
    struct box *const boxes[] = {program, judge};
    for (bool open = true; open;) {
        uint64_t now = lf_clock_ns();
        if (now >= end)
            return false;
        struct pollfd fds[] = {{program->listens ? program->trouble[0] : -1, POLLIN, 0},
                               {judge->listens ? judge->trouble[0] : -1, POLLIN, 0},
                               {judge->verdict[0], POLLIN, 0}};
        poll(fds, 3, (int)((end - now) / 1000000) + 1);
        for (int i = 0; i < 2; i++)
            if (fds[i].revents)
                boxes[i]->listens =
                    drain(boxes[i]->trouble[0], boxes[i]->said, sizeof boxes[i]->said);
        if (fds[2].revents)
            open = drain(judge->verdict[0], verdict, n);
    }
    return true;
}

/* The box was made; else why not. */
static enum lf_err check_made(struct box *b, bool ended, struct lf_diag *diag)
{
    if (b->listens)
        drain(b->trouble[0], b->said, sizeof b->said);
    if (b->said[0] == '+')
        return LF_OK;
    b->said[strcspn(b->said, "\n")] = '\0';
    return lf_fail(diag, LF_E_UNSUPPORTED, "a sandbox cannot be made: %s",
                   b->said[0] ? b->said
                   : ended    ? "it ended at once"
                              : "it did not begin in time");
}

enum lf_err lf_sandbox_run(enum lf_sandbox_end *out, const struct lf_sandbox_job *job,
                           const struct lf_sandbox_limits *limits, struct lf_diag *diag)
{
    char verdict[8] = "";
    struct box program, judge;
    int link[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) != 0)
        return lf_fail_errno(diag, errno, "no socket for a sandbox");
    enum lf_err rc =
        open_box(&program, program_script, job->program, job->program_bytes, link[0], diag);
    enum lf_err other = open_box(&judge, judge_script, job->judge, job->judge_bytes, link[1], diag);
    rc = rc ?: other ?: start(&program, limits, diag) ?: start(&judge, limits, diag);
    if (rc == LF_OK) {
        bool ended = listen_to(&program, &judge, limits->seconds * LF_SANDBOX_PATIENCE, verdict,
                               sizeof verdict);
        rc = check_made(&program, ended, diag) ?: check_made(&judge, ended, diag);
        if (rc == LF_OK)
            *out = !ended                      ? LF_SANDBOX_TIMED_OUT
                   : strcmp(verdict, ".") == 0 ? LF_SANDBOX_PASSED
                                               : LF_SANDBOX_FAILED;
    }
    close_box(&program);
    close_box(&judge);
    return rc;
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
    enum lf_err rc = lf_sandbox_run(&end, &(struct lf_sandbox_job){"", 0, "", 0}, &limits, diag);
    return rc == LF_OK && end != LF_SANDBOX_PASSED
               ? lf_fail(diag, LF_E_UNSUPPORTED, "an empty program does not pass in a sandbox")
               : rc;
}
