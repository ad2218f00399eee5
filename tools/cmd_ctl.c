/* `lorafs cancel`, `pause`, `resume`, `finish`, `retry`, `rollback`: the words of ctl, each a
 * command. */
#include "names/ctl.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void take_nothing(void *arg, const char *data, size_t n)
{
    (void)arg;
    (void)data;
    (void)n;
}

static enum lf_err order(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    const char *line = arg;
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_remote_path(path, name, "/ctl", diag);
    rc = rc ?: lf_remote_post(c, path, "text/plain", line, strlen(line), take_nothing, NULL, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", name);
}

int lf_cmd_ctl(int argc, char **argv)
{
    const struct lf_ctl_row *word = lf_ctl_find(argv[0]);
    bool numbered = *word->argument != '\0';
    struct lf_remote_options o = {0};
    char name[32], text[160], line[LF_CTL_LINE_MAX];
    snprintf(name, sizeof name, "lorafs %s", word->word);
    snprintf(text, sizeof text, "%c%s.", toupper((unsigned char)word->purpose[0]),
             word->purpose + 1);
    const struct lf_option options[] = {LF_REMOTE_OPTIONS(o), {0}};
    const struct lf_usage usage = {
        name,    numbered ? "NAME N" : "NAME...", text,
        options, .args_min = numbered ? 2 : 1,    .args_max = numbered ? 2 : -1};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    snprintf(line, sizeof line, "%s%s%s", word->word, numbered ? " " : "",
             numbered ? args.v[1] : "");
    return lf_remote_each(&usage, &o, &args, numbered ? 1 : args.n, order, line);
}
