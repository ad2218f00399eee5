/* A daemon as a child. */
#include "land/host.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/json.h"
#include "client/remote.h"
#include "land/limits.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_NS 50000000 /* between looks at a child that starts or stops */
#define STOP_SECONDS 60  /* for its checkpoints; then it is killed */

static const char *const option_names[] = {
    "device",    "quant",        "threads",      "cpu_products", "memory",     "slots",
    "kv_tokens", "batch_tokens", "train_tokens", "log_level",    "base_cycle", NULL};

enum lf_err lf_host_options_check(const json_t *options, struct lf_diag *diag)
{
    const char *key;
    json_t *value;
    enum lf_err rc = options ? lf_json_only(options, option_names, diag) : LF_OK;
    json_object_foreach((json_t *)options, key, value)
        if (rc == LF_OK && !json_is_string(value) && !json_is_integer(value))
            rc = lf_fail(diag, LF_E_INVALID, "\"%s\" must be a string or an integer", key);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"daemon\"");
}

/* ---- The child ------------------------------------------------------------------------------- */

#define WORD_BYTES (LF_NAME_MAX + 1 + LF_PATH_MAX) /* NAME=DIR */

struct command_line {
    char text[LF_DAEMON_ARGS_MAX][WORD_BYTES];
    char *argv[LF_DAEMON_ARGS_MAX + 1];
    int n;
};

static void add(struct command_line *c, const char *word)
{
    snprintf(c->text[c->n], WORD_BYTES, "%s", word);
    c->argv[c->n] = c->text[c->n];
    c->argv[++c->n] = NULL;
}

static void add_option(struct command_line *c, const char *name, const char *value)
{
    char word[64];
    snprintf(word, sizeof word, "--%s", name);
    for (char *p = word; *p; p++)
        *p = *p == '_' ? '-' : *p;
    add(c, word);
    add(c, value);
}

/* By the name that the study has for it. */
static void add_base(struct command_line *c, const struct lf_study_base *b)
{
    char word[WORD_BYTES];
    snprintf(word, sizeof word, "%s=%s", b->name, b->dir);
    add_option(c, "base", word);
}

static void make_command(struct command_line *c, const struct lf_host *h,
                         const struct lf_study_base *bases, int n, const char *data,
                         const json_t *options, const char *device)
{
    const char *key;
    json_t *value;
    add(c, "lorafs");
    add(c, "serve");
    add(c, "--no-tcp");
    for (int i = 0; i < n; i++)
        add_base(c, &bases[i]);
    add_option(c, "data", data);
    add_option(c, "socket", h->socket);
    if (device)
        add_option(c, "device", device);
    json_object_foreach((json_t *)options, key, value) {
        char number[32];
        if (device && strcmp(key, "device") == 0)
            continue;
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        add_option(c, key, json_is_string(value) ? json_string_value(value) : number);
    }
}

static void child_main(const struct command_line *c, int log, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C is the parent's to act on */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv("/proc/self/exe", c->argv);
    fprintf(stderr, "cannot start the daemon: %s\n", strerror(errno));
    _exit(1);
}

/* ---- Starting -------------------------------------------------------------------------------- */

/* In the data directory, or, where its path is too long for a socket, in a folder of its own. */
static enum lf_err place_socket(struct lf_host *h, const char *data, struct lf_diag *diag)
{
    char *whole = realpath(data, NULL);
    bool fits = whole && strlen(whole) + sizeof "/lorafsd.sock" <= LF_SOCKET_BYTES_MAX;
    if (fits)
        snprintf(h->socket, sizeof h->socket, "%s/lorafsd.sock", whole);
    free(whole);
    if (fits)
        return LF_OK;
    snprintf(h->temporary, sizeof h->temporary, "/tmp/lorafs-land.XXXXXX");
    if (!mkdtemp(h->temporary)) {
        h->temporary[0] = '\0';
        return lf_fail_errno(diag, errno, "a folder for the daemon's socket");
    }
    snprintf(h->socket, sizeof h->socket, "%.64s/lorafsd.sock", h->temporary);
    return LF_OK;
}

static enum lf_err spawn(struct lf_host *h, const struct command_line *c, struct lf_diag *diag)
{
    int log = open(h->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0)
        return lf_fail_errno(diag, errno, "%s", h->log);
    pid_t parent = getpid();
    fflush(NULL);
    h->pid = fork();
    if (h->pid == 0)
        child_main(c, log, parent);
    int bad = errno;
    close(log);
    if (h->pid > 0)
        return LF_OK;
    h->pid = 0;
    return lf_fail_errno(diag, bad, "fork");
}

/* *healthy: it answers /health. */
static enum lf_err ask_health(const struct lf_host *h, bool *healthy, struct lf_diag *diag)
{
    const struct lf_remote_options at = {.url = h->socket};
    struct lf_remote *c = NULL;
    json_auto_t *answer = NULL;
    struct lf_diag not_yet = {""};
    enum lf_err rc = lf_remote_new(&c, &at, diag);
    *healthy = rc == LF_OK && lf_remote_json(c, &answer, "GET", "/health", NULL, &not_yet) == LF_OK;
    lf_remote_free(c);
    return rc;
}

/* The last line of its log: a command's last word is its reason. */
static void last_words(const struct lf_host *h, char out[LF_DIAG_MAX])
{
    lf_buf_auto text = {0};
    snprintf(out, LF_DIAG_MAX, "see %.400s", h->log);
    if (lf_file_read(&text, h->log, LF_DAEMON_LOG_MAX, NULL) == LF_OK && text.len > 0) {
        size_t end = text.len;
        while (end > 0 && text.data[end - 1] == '\n')
            end--;
        size_t from = end;
        while (from > 0 && text.data[from - 1] != '\n')
            from--;
        if (end > from)
            snprintf(out, LF_DIAG_MAX, "%.*s", (int)(end - from), text.data + from);
    }
}

/* Still there. Otherwise LF_E_IO, with the reason. */
static enum lf_err check_host(struct lf_host *h, struct lf_diag *diag)
{
    char words[LF_DIAG_MAX];
    int status;
    if (h->pid > 0 && waitpid(h->pid, &status, WNOHANG) == 0)
        return LF_OK;
    if (h->pid == 0)
        return lf_fail(diag, LF_E_IO, "no daemon runs");
    h->pid = 0;
    last_words(h, words);
    if (WIFSIGNALED(status))
        return lf_fail(diag, LF_E_IO, "the daemon was ended by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    return lf_fail(diag, LF_E_IO, "the daemon ended: %s", words);
}

enum lf_err lf_host_start(struct lf_host *h, const struct lf_study_base *bases, int n,
                          const char *data, const json_t *options, const char *device,
                          const volatile sig_atomic_t *stop, struct lf_diag *diag)
{
    *h = (struct lf_host){0};
    struct command_line *c = calloc(1, sizeof *c);
    enum lf_err rc = c ? lf_dir_make(data, diag) : lf_fail(diag, LF_E_NO_MEMORY, "no memory");
    if (rc == LF_OK && snprintf(h->log, sizeof h->log, "%s/log", data) >= (int)sizeof h->log)
        rc = lf_fail(diag, LF_E_INVALID, "%.80s...: the path is too long", data);
    rc = rc ?: place_socket(h, data, diag);
    if (rc == LF_OK) {
        make_command(c, h, bases, n, data, options, device);
        rc = spawn(h, c, diag);
    }
    free(c);
    if (rc != LF_OK)
        return rc;
    bool healthy;
    while ((rc = ask_health(h, &healthy, diag)) == LF_OK && !healthy) {
        if (*stop)
            return lf_fail(diag, LF_E_INTERRUPTED, "interrupted");
        rc = check_host(h, diag);
        if (rc != LF_OK)
            return rc;
        lf_clock_sleep(LOOK_NS);
    }
    return rc;
}

/* ---- Its end --------------------------------------------------------------------------------- */

void lf_host_stop(struct lf_host *h)
{
    uint64_t end = lf_clock_ns() + STOP_SECONDS * 1000000000ull;
    int status;
    if (h->pid > 0)
        kill(h->pid, SIGTERM);
    while (h->pid > 0 && waitpid(h->pid, &status, WNOHANG) == 0) {
        if (lf_clock_ns() > end) {
            kill(h->pid, SIGKILL);
            waitpid(h->pid, &status, 0);
            break;
        }
        lf_clock_sleep(LOOK_NS);
    }
    h->pid = 0;
    if (h->temporary[0])
        (void)!rmdir(h->temporary);
    h->temporary[0] = '\0';
}
