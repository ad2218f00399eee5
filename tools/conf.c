/* Presets of options. */
#include "tools/conf.h"

#include "core/buf.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/nearest.h"
#include "tools/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_FILE "/etc/lorafs/lorafs.conf"

/* What a file may name beside the options of the command that reads it: every option, and every
 * command. tests/house/cli.py holds both against the help pages. */
/* clang-format off */
static const char *const options[] = {
    "adapter", "adapter-cache", "adapter-cycle", "adapter-memory", "adapters", "all", "allow-load",
    "alpha", "api", "api-key-file", "as", "at-once", "base", "base-cycle", "base-wait", "bases",
    "batch", "batch-tokens",
    "cacert", "checkpoint", "checkpoint-seconds", "completion-tokens", "config", "cors",
    "cpu-products", "csv", "curve", "data", "dataset", "device", "draft", "drain", "dropout",
    "dtype", "endpoint", "eval", "first", "follow", "foreground", "gguf", "gpu", "greedy",
    "host-memory", "html", "ids", "ignore-eos", "init-adapter", "insecure", "iters", "itl-ms",
    "json", "keys", "kv-tokens", "lame-duck", "lazy", "list", "listen", "load-root", "log",
    "log-format", "log-level", "long", "max-tokens", "memory", "merged", "message", "metric",
    "min-p", "mlflow", "models", "mount", "mount-option", "no-tcp", "once", "option",
    "otlp-endpoint", "out", "parallel", "peers", "peers-cacert", "peers-key-file", "pin",
    "predictions", "prefix", "private", "prompt", "prompt-tokens", "published", "quant", "quiet",
    "rank", "rate", "recompute", "repair", "repetition-penalty", "request-timeout", "role", "rows",
    "sbatch", "seats", "seconds", "seed", "seqs", "set", "shape", "shard", "share", "shots",
    "slots", "slurm", "slurm-tasks", "socket", "speculate", "spread", "staging", "stop",
    "store-seconds", "svg", "system", "targets", "temperature", "tensorboard", "test-percent",
    "test-rows", "text", "threads", "timeout", "tls-cert", "tls-key", "tokens", "top-k", "top-p",
    "train-rows", "train-share", "train-tokens", "url", "users", "version", "vocabulary", "wait",
    "waiting", "warmup", "watch", NULL};
static const char *const sections[] = {
    "backup", "bench", "bench serve", "cancel", "chat", "cp", "create", "diff", "eval", "export",
    "finish", "fsck", "generate", "import", "key add", "key list", "key revoke", "land prepare",
    "land report", "land run", "land status", "land tasks", "log", "logits", "lorafsd", "ls",
    "mount", "pause", "plan", "pull", "push", "quantize", "restore", "resume", "retry", "rm",
    "rollback", "rows", "run", "serve", "status", "tokenize", "top", "train", "trash", "umount",
    "wait", NULL};
/* clang-format on */

/* ---- Names ----------------------------------------------------------------------------------- */

/* "LORAFS_TRAIN_BATCH_TOKENS" of "train" and "batch-tokens"; section "": for every command. */
static void variable(char out[LF_CONF_NAME_MAX], const char *section, const char *option)
{
    int n = snprintf(out, LF_CONF_NAME_MAX, "LORAFS_%s%s%s", section, *section ? "_" : "", option);
    for (int i = 0; i < n && i < LF_CONF_NAME_MAX - 1; i++)
        out[i] = out[i] == '-' || out[i] == ' ' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* "train" of "lorafs train"; "lorafsd". */
static const char *section_of(const struct lf_usage *u)
{
    static const char program[] = "lorafs ";
    size_t n = sizeof program - 1;
    return strncmp(u->name, program, n) == 0 ? u->name + n : u->name;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

static bool has_option(const struct lf_usage *u, const char *name)
{
    for (const struct lf_option *o = u->options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

/* ---- Files ----------------------------------------------------------------------------------- */

struct conf_reader {
    const struct lf_usage *u;
    const char *path;
    int line;
    char section[LF_CONF_NAME_MAX]; /* "": of every command */
    struct lf_diag *diag;
};

static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r", text[n - 1]))
        text[--n] = '\0';
    return text;
}

static enum lf_err wrong(const struct conf_reader *r, const char *what)
{
    return lf_fail(r->diag, LF_E_INVALID, "%s:%d: %s", r->path, r->line, what);
}

static enum lf_err read_section(struct conf_reader *r, char *text)
{
    char *end = strchr(text, ']');
    if (!end || *trimmed(end + 1))
        return wrong(r, "a section is a command in brackets: [train]");
    *end = '\0';
    snprintf(r->section, sizeof r->section, "%s", trimmed(text + 1));
    if (is_one_of(r->section, sections))
        return LF_OK;
    lf_fail_unknown(r->diag, "command", r->section, sections);
    return lf_fail_within(r->diag, LF_E_INVALID, "%s:%d", r->path, r->line);
}

/* "#..." after a blank, or quotes around the whole, or "~/" before it. */
static enum lf_err read_value(const struct conf_reader *r, struct lf_buf *out, char *text)
{
    const char *home = getenv("HOME");
    if (*text == '"') {
        char *end = strchr(text + 1, '"');
        if (!end || (*trimmed(end + 1) && *trimmed(end + 1) != '#'))
            return wrong(r, "a value that begins with \" ends with it");
        *end = '\0';
        return lf_buf_puts(out, text + 1);
    }
    for (char *p = text; *p; p++)
        if (*p == '#' && (p == text || p[-1] == ' ' || p[-1] == '\t')) {
            *p = '\0';
            break;
        }
    text = trimmed(text);
    if (strncmp(text, "~/", 2) == 0 && home)
        return lf_buf_printf(out, "%s%s", home, text + 1);
    return lf_buf_puts(out, text);
}

static enum lf_err read_pair(struct conf_reader *r, char *text)
{
    char name[LF_CONF_NAME_MAX];
    lf_buf_auto value = {.max = LF_PATH_MAX};
    char *equals = strchr(text, '=');
    if (!equals)
        return wrong(r, "a line is NAME = VALUE, [COMMAND], or a # with a remark");
    *equals = '\0';
    text = trimmed(text);
    for (char *p = text; *p; p++)
        if (*p == '_')
            *p = '-';
    bool mine = !*r->section || strcmp(r->section, section_of(r->u)) == 0;
    if (!is_one_of(text, options) && !(mine && has_option(r->u, text))) {
        lf_fail_unknown(r->diag, "option", text, options);
        return lf_fail_within(r->diag, LF_E_INVALID, "%s:%d", r->path, r->line);
    }
    if (!mine)
        return LF_OK;
    enum lf_err rc = read_value(r, &value, trimmed(equals + 1));
    if (rc == LF_E_TOO_BIG)
        return wrong(r, "the value is too long");
    variable(name, r->section, text);
    /* The key itself, in the environment, goes before a file that a file names. */
    bool given = strcmp(text, "api-key-file") == 0 && getenv("LORAFS_API_KEY");
    if (rc == LF_OK && !given && setenv(name, value.data ? value.data : "", 0) != 0)
        rc = lf_fail_errno(r->diag, errno, "%s", name);
    return rc;
}

static enum lf_err read_file(const struct lf_usage *u, const char *path, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    struct conf_reader r = {.u = u, .path = path, .diag = diag};
    if (!lf_file_exists(path))
        return LF_OK;
    enum lf_err rc = lf_file_read(&text, path, LF_CONF_BYTES_MAX, diag);
    char *next = text.data;
    while (rc == LF_OK && next) {
        char *line = next;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        r.line++;
        line = trimmed(line);
        if (*line == '[')
            rc = read_section(&r, line);
        else if (*line && *line != '#')
            rc = read_pair(&r, line);
    }
    return rc;
}

/* ---- Public ---------------------------------------------------------------------------------- */

enum lf_err lf_conf_load(const struct lf_usage *u, struct lf_diag *diag)
{
    char path[LF_PATH_MAX] = "";
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        snprintf(path, sizeof path, "%s/lorafs/lorafs.conf", xdg);
    else if (home && home[0] == '/')
        snprintf(path, sizeof path, "%s/.config/lorafs/lorafs.conf", home);
    enum lf_err rc = *path ? read_file(u, path, diag) : LF_OK;
    return rc ?: read_file(u, SYSTEM_FILE, diag);
}

const char *lf_conf_preset(char from[LF_CONF_NAME_MAX], const struct lf_usage *u,
                           const struct lf_option *o)
{
    variable(from, section_of(u), o->name);
    const char *value = getenv(from);
    if (!value) {
        variable(from, "", o->name);
        value = getenv(from);
    }
    return value;
}
