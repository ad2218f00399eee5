/* Slurm's commands. */
#include "slurm/slurm.h"

#include "core/file.h"
#include "slurm/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- Running a program ----------------------------------------------------------------------- */

/* All that it prints, until it closes its end. */
static enum lf_err read_all(int fd, struct lf_buf *out, struct lf_diag *diag)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno != EINTR)
            return lf_fail_errno(diag, errno, "a pipe");
        if (n > 0 && lf_buf_append(out, bytes, (size_t)n) != LF_OK)
            return lf_fail(diag, out->rc, "an answer is too long");
    }
    return LF_OK;
}

static enum lf_err spawn(pid_t *pid, const char *const *argv, int to, struct lf_diag *diag)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, to, STDERR_FILENO);
    int bad = posix_spawnp(pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (bad == ENOENT)
        return lf_fail(diag, LF_E_NOT_FOUND, "there is no %s: this is no host of Slurm's", argv[0]);
    return bad ? lf_fail_errno(diag, bad, "%s", argv[0]) : LF_OK;
}

/* What it prints, on both ways; LF_E_FAILED with it where its status is not 0. */
static enum lf_err ask(struct lf_buf *out, const char *const *argv, struct lf_diag *diag)
{
    int pipes[2], status = 0;
    pid_t pid = 0;
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return lf_fail_errno(diag, errno, "a pipe");
    enum lf_err rc = spawn(&pid, argv, pipes[1], diag);
    close(pipes[1]);
    rc = rc ?: read_all(pipes[0], out, diag);
    close(pipes[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc == LF_OK && status != 0)
        rc = lf_fail(diag, LF_E_FAILED, "%s: %.300s", argv[0], lf_buf_str(out));
    return rc;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

enum lf_err lf_slurm_init(struct lf_slurm *s, const char *dir, const char *const *options,
                          int n_options, struct lf_diag *diag)
{
    char digest[LF_SHA256_HEX];
    *s = (struct lf_slurm){.options = options, .n_options = n_options};
    enum lf_err rc = lf_dir_make(dir, diag);
    if (rc == LF_OK && !realpath(dir, s->dir))
        rc = lf_fail_errno(diag, errno, "%s", dir);
    if (rc != LF_OK)
        return rc;
    lf_sha256_hex(digest, s->dir, strlen(s->dir));
    snprintf(s->name, sizeof s->name, "lorafs-%.12s", digest);
    return LF_OK;
}

enum lf_err lf_slurm_quote(struct lf_buf *out, const char *word)
{
    lf_buf_putc(out, '\'');
    for (; *word; word++)
        if (*word == '\'')
            lf_buf_puts(out, "'\\''");
        else
            lf_buf_putc(out, *word);
    return lf_buf_putc(out, '\'');
}

enum lf_err lf_slurm_self(struct lf_buf *out, struct lf_diag *diag)
{
    char self[LF_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return lf_fail_errno(diag, errno, "/proc/self/exe");
    self[n] = '\0';
    lf_buf_puts(out, "exec ");
    return lf_slurm_quote(out, self) == LF_OK ? LF_OK : lf_no_memory(diag, "a command");
}

static enum lf_err write_script(const struct lf_slurm *s, const char *command,
                                char path[LF_PATH_MAX], struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    lf_buf_printf(&text, "#!/bin/sh\n# An element of %s.\n%s\n", s->name, command);
    enum lf_err rc = text.rc == LF_OK ? LF_OK : lf_no_memory(diag, "a script");
    rc = rc ?: lf_path_join(path, s->dir, "job.sh", diag);
    return rc ?: lf_file_write(path, text.data, text.len, diag);
}

enum lf_err lf_slurm_submit(const struct lf_slurm *s, const char *command, const bool *wanted,
                            int n, struct lf_diag *diag)
{
    char script[LF_PATH_MAX], chdir_to[LF_PATH_MAX + 16], name[96];
    const char *argv[LF_SLURM_OPTIONS_MAX + 16];
    int argc = 0;
    lf_buf_auto array = {0}, said = {.max = LF_SLURM_ANSWER_MAX};
    lf_buf_puts(&array, "--array=");
    for (int k = 0, first = 1; k < n; k++)
        if (wanted[k]) {
            lf_buf_printf(&array, "%s%d", first ? "" : ",", k);
            first = 0;
        }
    if (array.rc != LF_OK)
        return lf_no_memory(diag, "an array");
    if (s->n_options > LF_SLURM_OPTIONS_MAX)
        return lf_fail(diag, LF_E_INVALID, "more than %d options of sbatch", LF_SLURM_OPTIONS_MAX);
    snprintf(chdir_to, sizeof chdir_to, "--chdir=%s", s->dir);
    snprintf(name, sizeof name, "--job-name=%s", s->name);
    const char *const own[] = {"sbatch",          "--parsable", "--requeue", "--open-mode=append",
                               "--output=%a.log", chdir_to,     name,        array.data};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        argv[argc++] = own[i];
    for (int i = 0; i < s->n_options; i++)
        argv[argc++] = s->options[i];
    argv[argc++] = script;
    argv[argc] = NULL;
    return write_script(s, command, script, diag) ?: ask(&said, argv, diag);
}

enum lf_err lf_slurm_live(const struct lf_slurm *s, bool *live, int n, struct lf_diag *diag)
{
    const char *const argv[] = {"squeue", "--noheader",     "--array", "--name",
                                s->name,  "--format=%K %T", NULL};
    lf_buf_auto said = {.max = LF_SLURM_ANSWER_MAX};
    memset(live, 0, (size_t)n * sizeof *live);
    enum lf_err rc = ask(&said, argv, diag);
    if (rc != LF_OK)
        return rc;
    for (char *line = said.data, *next; line && *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = '\0';
        char *end;
        long k = strtol(line, &end, 10);
        /* One that is being cleared away has ended, or its node is lost. */
        if (end != line && k >= 0 && k < n && strcmp(end, " COMPLETING") != 0)
            live[k] = true;
    }
    return LF_OK;
}
